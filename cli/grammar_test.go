package cli

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"gvpn/config"
	"gvpn/internal/auth"
)

func newTestShell(t testing.TB, editing bool) *Shell {
	n := newNode(t)
	tree, errs := n.db.Candidate().Tree().LoadCurly(nil, config.Merge, "", []byte(serverText))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	n.db.Candidate().Update(tree)
	s := New(Config{Backend: n, Identity: auth.Identity{User: "a", Class: auth.SuperUser}, In: strings.NewReader(""), Out: io.Discard})
	if editing {
		if err := s.execute(t.Context(), "configure"); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestLex(t *testing.T) {
	for _, c := range []struct {
		line string
		want []token
	}{
		{"", nil},
		{"  \t ", nil},
		{"a bc", []token{{text: "a", end: 1}, {text: "bc", start: 2, end: 4}}},
		{`a "b c"|d`, []token{{text: "a", end: 1}, {text: "b c", quoted: true, start: 2, end: 7}, {text: "|", start: 7, end: 8}, {text: "d", start: 8, end: 9}}},
		{`"a\"b\\c\n\x" "|"`, []token{{text: "a\"b\\c\n\\x", quoted: true, end: 13}, {text: "|", quoted: true, start: 14, end: 17}}},
		{`pre"in side"post`, []token{{text: "prein sidepost", quoted: true, end: 16}}},
		{"# comment", nil},
		{"a#b ## c", []token{{text: "a#b", end: 3}}},
		{"a # b", []token{{text: "a", end: 1}, {text: "#", start: 2, end: 3}, {text: "b", start: 4, end: 5}}},
		{`""`, []token{{quoted: true, end: 2}}},
	} {
		got, err := lex(c.line)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("lex(%q) = %+v, %v\nwant %+v", c.line, got, err, c.want)
		}
	}
	_, err := lex(`set x "open`)
	var wrong *syntaxError
	if !errors.As(err, &wrong) || wrong.at != 6 {
		t.Errorf("an open quote: %v, want an error at octet 6", err)
	}
}

func TestSplitCommands(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" ; ;\n; ", nil},
		{"a; b ;c\nd", []string{"a", "b", "c", "d"}},
		{`set x "a; b"; show`, []string{`set x "a; b"`, "show"}},
		{`set x "a\"; b"; show`, []string{`set x "a\"; b"`, "show"}},
		{`set x "a\\"; show`, []string{`set x "a\\"`, "show"}},
		{"set x \"a\nb\"; show", []string{"set x \"a\nb\"", "show"}},
		{"a; # b; c\nd ## e; f\ng", []string{"a", "# b; c", "d ## e; f", "g"}},
		{"a # b; c", []string{"a # b", "c"}},
		{`"open; a`, []string{`"open; a`}},
	} {
		if got := splitCommands(c.text); !slices.Equal(got, c.want) {
			t.Errorf("splitCommands(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

// What is quoted as configuration text has it comes out of the line as it was.
func TestQuotedValuesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.StringMatching(`[ -~\n\t\r]{0,12}`), 1, 4).Draw(t, "values")
		line := "set"
		for _, v := range values {
			line += " " + config.Quote(v)
		}
		commands := splitCommands(line + ";show")
		if len(commands) != 2 || commands[0] != line {
			t.Fatalf("splitCommands(%q) = %q", line, commands)
		}
		tokens, err := lex(line)
		if err != nil {
			t.Fatalf("lex(%q): %v", line, err)
		}
		var got []string
		for _, t := range tokens[1:] {
			got = append(got, t.text)
		}
		if !slices.Equal(got, values) {
			t.Fatalf("%q gives %q, want %q", line, got, values)
		}
	})
}

// Words of a set statement come back spelt out, and what is spelt out means the same.
func TestAbbreviationsAreSpeltOut(t *testing.T) {
	s := newTestShell(t, true)
	for short, want := range map[string]string{
		"set sec gr s ik ga X addr 10.0.0.1":                 "security group-vpn server ike gateway X address 10.0.0.1",
		"set sys log us bob cl super-user":                   "system login user bob class super-user",
		"set sec group s gro G server-m com un":              "security group-vpn server group G server-member-communication communication-type unicast",
		"set sec group m ike pol P proposals [a b] mode mai": "security group-vpn member ike policy P proposals [ a b ] mode main",
	} {
		p, err := newParser(s, short, false)
		if err != nil {
			t.Fatal(err)
		}
		p.next = 1
		st, err := p.configured(nil, verbSet)
		if err != nil || strings.Join(st.words, " ") != want {
			t.Errorf("%q is %q, %v\nwant %q", short, strings.Join(st.words, " "), err, want)
		}
	}
}

// Each command of the help is offered once, has a help text, and can be abbreviated to some word of its own length or shorter.
func TestEveryCommandHasHelp(t *testing.T) {
	var visit func(where string, commands []*command)
	visit = func(where string, commands []*command) {
		seen := map[string]bool{}
		for _, c := range commands {
			if c.help == "" || seen[c.name] || c.parse == nil && len(c.sub) == 0 {
				t.Errorf("%s%s: help %q, seen %v", where, c.name, c.help, seen[c.name])
			}
			seen[c.name] = true
			visit(where+c.name+" ", c.sub)
		}
	}
	visit("> ", operationalCommands())
	visit("# ", configurationCommands())
}

func FuzzSplitCommands(f *testing.F) {
	for _, s := range []string{"a;b", `a "b;c" d;e`, "#c;d\ne", `"\";`, "a ##;b", "\f#\"\n\n#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		commands := splitCommands(text)
		if again := splitCommands(strings.Join(commands, "\n")); !slices.Equal(again, commands) {
			t.Errorf("%q splits into %q, and that into %q", text, commands, again)
		}
		for _, c := range commands {
			if c == "" || strings.TrimSpace(c) != c {
				t.Errorf("%q gives the command %q", text, c)
			}
		}
	})
}

// FuzzLine parses a line in both modes and completes each beginning of it: nothing panics, places are within the line, and the
// words that parsing spells out parse to themselves.
func FuzzLine(f *testing.F) {
	for _, s := range []string{
		"show configuration | display set | match x", "show security group-vpn server registered-members detail 10.0.0.1", "set security group-vpn server group G ike-gateway [ a b ]",
		"set sec gr s gr G ipsec-sa S match-policy 1 source 10.0.0.0/8 destination ", "commit comment \"x\" and-quit", "delete system", "edit security ipsec-policy from-zone a to-zone b",
		"top show system | display json", "run clear security group-vpn server now", "load merge relative x", "show | compare rollback 3 | last 4", "request lab node X", "rename system login user a to user b",
		"insert security group-vpn server ike gateway A before gateway B", "replace pattern a with \"b c\" upto 3", "wildcard delete system .*",
		"annotate system \"x y\"", "protect security", "load patch x relative", "show | display set explicit relative", "up 3 | count", "[]]", "\"", "|||",
	} {
		f.Add(s)
	}
	shells := []*Shell{newTestShell(f, false), newTestShell(f, true)}
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 300 {
			return
		}
		for _, s := range shells {
			commands, unknown := s.grammar()
			check := func(err error) {
				var wrong *syntaxError
				if errors.As(err, &wrong) && (wrong.at < 0 || wrong.at > len(line)) {
					t.Errorf("%q: error at %d: %v", line, wrong.at, err)
				}
			}
			if p, err := newParser(s, line, false); err != nil {
				check(err)
			} else {
				_, _, err = p.parseCommand(commands, unknown)
				check(err)
				if p.offered != nil || errors.Is(err, errOffered) {
					t.Errorf("%q: completions were offered for a line that is to be run", line)
				}
			}
			for i := range len(line) + 1 {
				p, err := s.complete(line[:i])
				check(err)
				if err != nil {
					continue
				}
				for _, r := range p.candidates() {
					if !r.isPlaceholder() && !strings.HasPrefix(r.name, p.prefix) {
						t.Errorf("%q: offers %q for %q", line[:i], r.name, p.prefix)
					}
				}
			}
			var out bytes.Buffer
			s.cfg.Err = &out
			s.report(line, &syntaxError{at: len(line), text: "x"})
			if utf8.ValidString(line) && !utf8.Valid(out.Bytes()) {
				t.Errorf("%q is reported as %q", line, out.String())
			}
		}
	})
}

// FuzzKeys types anything at all: the session ends when its terminal does, and nothing panics.
func FuzzKeys(f *testing.F) {
	for _, s := range []string{
		"conf\tset sys ?host-name x\rcommit\rexit\rexit\r", "\x03\x04", "configure\rload set terminal\rset system host-name y\r\x04exit\rno\r", "show \x1b[A\x1b[B\x1b[200~a\tb\x1b[201~\r",
		"\"\t? ?\r", "configure\rdelete\ryes\r\x04\x04", "configure\redit security\rup\rtop\rstatus\r", "sh\x7f\x7f\x15\x0b\x17\r",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, typed []byte) {
		if len(typed) > 500 {
			return
		}
		n := newNode(t)
		c := Config{
			Backend: n, Identity: auth.Identity{User: "a", Class: auth.SuperUser}, In: bytes.NewReader(typed), Out: io.Discard,
			Terminal: auth.NewTerminal(40, 10),
		}
		New(c).Interactive(t.Context())
		if n.editors.write(io.Discard, nil, n.state.Now) {
			t.Errorf("%q leaves an editor", typed)
		}
	})
}
