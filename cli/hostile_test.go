package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"gvpn/internal/auth"
)

// However long a line is, it is refused with an exact error that shows only what is near the fault, and nothing is changed.
func TestLongLines(t *testing.T) {
	r := strings.Repeat
	for _, c := range []struct{ line, wrong string }{
		{r("x", 100_000), "error: unknown command: " + r("x", 100) + "...\n" + r("x", 100) + "...\n^\n"},
		{"configure\nset system host-name " + r("a", 100_000), "error: Length 100000 is not within range (1..253)\nset system host-name " + r("a", 100) + "...\n" + r(" ", 21) + "^\n"},
		{"configure\nset system " + r("host-name a ", 10_000) + "bogus x", "error: syntax error, expecting <statement> or <identifier>: bogus\n...e a " + r("host-name a ", 8) + "bogus ...\n" + r(" ", 103) + "^\n"},
		{"configure\nset system host-name \"" + r(`\"`, 100_000), "error: unterminated string\nset system host-name \" ...\n" + r(" ", 21) + "^\n"},
		{"show \x1b31m\u202e", "error: syntax error, expecting <command>: ?31m?\nshow ?31m?\n     ^\n"},
		{"show \"\x1b[31m", "error: unterminated string\nshow \" ...\n     ^\n"},
		{"configure\nreplace pattern " + r("(", 1000) + " with b", "error: pattern of 1000 octets; at most 255 are taken\nreplace pattern "},
		{"configure\nwildcard delete system " + r("(", 1000), "error: pattern of 1000 octets; at most 255 are taken\n"},
		{"show configuration | match " + r("(ab)*", 1200), "error: pattern of 6000 octets; at most 255 are taken\n"},
		{"configure\nreplace pattern " + r("(", 250) + " with b", "error: invalid pattern: '" + r("(", 250) + "'\n"},
		{r("y", maxLine+1), fmt.Sprintf("error: line longer than %d octets\n", maxLine)},
		{r(";", maxLine+1), fmt.Sprintf("error: line longer than %d octets\n", maxLine)},
		{"configure\nset system login user " + r("[", 1000), "error: "},
	} {
		n := newNode(t)
		var out, errs bytes.Buffer
		s := New(Config{Backend: n, Identity: auth.Identity{User: "mary", Class: auth.SuperUser}, In: strings.NewReader(c.line), Out: &out, Err: &errs})
		if status := s.Script(context.Background()); status != 1 {
			t.Errorf("%.60q: status %d", c.line, status)
		}
		if got := errs.String(); !strings.HasPrefix(got, c.wrong) || len(got) > 2000 {
			t.Errorf("%.60q\n%.1500s\nwant\n%s", c.line, got, c.wrong)
		}
		if n.db.Candidate().Changed() {
			t.Errorf("%.60q: changed", c.line)
		}
	}
}

// endless is a text without end.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '#'
	}
	e.read += len(b)
	return len(b), nil
}

// A text that does not end is refused when the bound is reached.
func TestEndlessText(t *testing.T) {
	n := newNode(t)
	var errs bytes.Buffer
	text := &endless{}
	s := New(Config{Backend: n, Identity: auth.Identity{User: "mary", Class: auth.SuperUser}, In: text, Out: &bytes.Buffer{}, Err: &errs})
	if status := s.Exec(context.Background(), "configure exclusive; load set terminal; commit"); status != 1 {
		t.Errorf("status %d", status)
	}
	if want := "error: more than 134217728 octets of configuration at once; load it in parts\n"; errs.String() != want {
		t.Errorf("%s\nwant %s", errs.String(), want)
	}
	if text.read > maxText+1<<20 || n.db.Locked() != "" {
		t.Errorf("%d octets read, lock of %q", text.read, n.db.Locked())
	}
}
