package step

import "strings"

// Refusal is what of a plan an engine cannot carry out, by the names of the configuration, so that the commit can say where.
// Of Gateway, Group and VPN one is set.
type Refusal struct {
	Gateway string
	Side    Side // of Gateway
	Group   string
	VPN     string

	Statement []string // below the object, the words that are to blame; none: the object as a whole
	Reason    string
}

// Error implements error: "group G: anti-replay-time-window: not yet supported".
func (r *Refusal) Error() string {
	var b strings.Builder
	for _, o := range [][2]string{{"gateway", r.Gateway}, {"group", r.Group}, {"vpn", r.VPN}} {
		if o[1] != "" {
			b.WriteString(o[0] + " " + o[1] + ": ")
		}
	}
	if len(r.Statement) > 0 {
		b.WriteString(strings.Join(r.Statement, " ") + ": ")
	}
	b.WriteString(r.Reason)
	return b.String()
}
