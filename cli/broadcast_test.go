package cli

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"gvpn/internal/auth"
)

// Who sits at a terminal and types nothing sees what everybody is told, above the line that is being typed.
func TestBroadcast(t *testing.T) {
	n := newNode(t)
	in, keyboard := io.Pipe()
	screen, out := io.Pipe()
	ended := make(chan int)
	go func() {
		ended <- New(Config{
			Backend: n, Identity: auth.Identity{User: "admin", Class: auth.SuperUser}, In: in, Out: out, Terminal: auth.NewTerminal(80, 24),
		}).Interactive(t.Context())
		_ = out.Close()
	}()
	shown := bufio.NewReader(screen)
	until := func(text string) {
		t.Helper()
		var got strings.Builder
		for !strings.HasSuffix(got.String(), text) {
			r, _, err := shown.ReadRune()
			if err != nil {
				t.Fatalf("%v after %q, want %q", err, got.String(), text)
			}
			got.WriteRune(r)
		}
	}
	until("admin@gvpn> ")
	n.editors.Broadcast("the news")
	until("the news\r\n")
	until("admin@gvpn> ")
	go func() { _, _ = io.Copy(io.Discard, shown) }()
	if _, err := io.WriteString(keyboard, "exit\r"); err != nil {
		t.Fatal(err)
	}
	if status := <-ended; status != 0 {
		t.Errorf("exit status %d", status)
	}
	n.editors.Broadcast("nobody hears this, and nothing waits for it")
	if len(n.editors.terminals) != 0 {
		t.Errorf("%d terminals are left", len(n.editors.terminals))
	}
}
