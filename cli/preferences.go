package cli

import (
	"runtime/debug"

	"gvpn/commit"
)

// preferences is the tree `set cli`: what clients that drive a Junos shell set before all else. There is no pager and no
// wrapping, so what they set to be rid of them is true already, and anything else is refused.
func preferences() []*command {
	return []*command{{name: "cli", help: "Set CLI properties", sub: []*command{
		{name: "complete-on-space", help: "Set whether typing space completes current word", parse: setCompletion},
		{name: "screen-length", help: "Set number of lines on screen", parse: func(p *parser) (action, error) {
			return setScreen(p, "length", 0, "pager")
		}},
		{name: "screen-width", help: "Set number of characters on a line", parse: func(p *parser) (action, error) {
			return setScreen(p, "width", 1024, "wrapping of lines")
		}},
	}}}
}

func setCompletion(p *parser) (action, error) {
	i, err := p.keyword(notExpected, row{name: "off", help: "Turn feature off"}, row{name: "on", help: "Turn feature on"})
	if err != nil {
		return action{}, err
	}
	return action{run: func(r *run) error {
		if r.plainSpace = i == 0; r.plainSpace {
			return r.printf("Disabling complete-on-space\n")
		}
		return r.printf("Enabling complete-on-space\n")
	}}, p.end()
}

// setScreen takes 0, for no limit, and what is as good as none, from free on (Junos takes 0 to 100000 lines, 0 and 40 to 1024
// characters).
func setScreen(p *parser, what string, free int, missing string) (action, error) {
	n, err := p.number("0: no limit", 0, 100_000)
	if err != nil {
		return action{}, err
	}
	if n != 0 && (free == 0 || n < free) {
		return action{}, p.fail(p.tokens[p.next-1], "screen-%s %d is not supported: there is no %s (use 0)", what, n, missing)
	}
	return action{run: func(r *run) error { return r.printf("Screen %s set to %d\n", what, n) }}, p.end()
}

// showVersion says what runs here.
func showVersion(r *run) error {
	host := defaultHostName
	err := r.backend.Manage(func(db *commit.DB) error {
		host = hostName(db)
		return nil
	})
	if err != nil {
		return err
	}
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return r.printf("Hostname: %s\nModel: gvpn\ngvpn: %s\n", host, version)
}

// hostName is what a node calls itself.
func hostName(db *commit.DB) string {
	if name := db.Effective().Root().Child("system").Get("host-name"); name != "" {
		return name
	}
	return defaultHostName
}
