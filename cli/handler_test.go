package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"gvpn/internal/auth"
)

// connect serves a node's shell on a control socket and returns a client of it, with the files of a directory.
func connect(t *testing.T, n *node, dir string) *auth.Client {
	t.Helper()
	state := t.TempDir()
	key, err := auth.HostKey(state)
	if err != nil {
		t.Fatal(err)
	}
	server := &auth.Server{HostKey: key, Peer: auth.LocalPeer(), Shell: Handler(n)}
	path := filepath.Join(state, "s")
	ln, err := auth.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	client, err := auth.Dial(t.Context(), path, func(_ uint32, name string) (io.ReadCloser, error) { return os.Open(filepath.Join(dir, name)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return client
}

func TestShellOverControlSocket(t *testing.T) {
	n := newNode(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file.conf"), []byte("system {\n    host-name from-file;\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := connect(t, n, dir)
	run := func(commands, in string) (stdout, stderr string, status int) {
		t.Helper()
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		var out, messages bytes.Buffer
		session.Stdin, session.Stdout, session.Stderr = strings.NewReader(in), &out, &messages
		if commands != "" {
			err = session.Run(commands)
		} else if err = session.Shell(); err == nil {
			err = session.Wait()
		}
		var exit *ssh.ExitError
		switch {
		case errors.As(err, &exit):
			status = exit.ExitStatus()
		case err != nil:
			t.Fatal(err)
		}
		return out.String(), messages.String(), status
	}
	for _, c := range []struct {
		commands, in string
		out, err     string
		status       int
	}{
		{
			commands: "configure; load merge file.conf; commit; exit; show configuration | display set",
			out:      "Entering configuration mode\nload complete\ncommit complete\nExiting configuration mode\nset system host-name from-file\n",
		},
		{
			commands: "configure; load merge nowhere.conf; commit",
			out:      "Entering configuration mode\n", err: "error: nowhere.conf: no such file or directory\n", status: 1,
		},
		{
			commands: "configure; load set terminal; show | compare; rollback", in: "set system host-name from-stdin\n",
			out: "Entering configuration mode\nload complete\n[edit system]\n-   host-name from-file;\n+   host-name from-stdin;\nload complete\n",
		},
		{in: "show configuration system\nnosuch\nshow configuration", out: "host-name from-file;\n", err: "error: unknown command: nosuch\nnosuch\n^\n", status: 1},
		{in: "show configuration system host-name", out: "host-name from-file;\n"},
	} {
		out, messages, status := run(c.commands, c.in)
		if out != c.out || messages != c.err || status != c.status {
			t.Errorf("%q %q:\n%s%s[%d]\nwant:\n%s%s[%d]", c.commands, c.in, out, messages, status, c.out, c.err, c.status)
		}
	}
}

// With a terminal the prompt has the user whom the kernel names, and a session that loses its client leaves no editor behind.
func TestTerminalOverControlSocket(t *testing.T) {
	n := newNode(t)
	client := connect(t, n, t.TempDir())
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("vt100", 30, 100, nil); err != nil {
		t.Fatal(err)
	}
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	session.Stdout = &out
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "configure\rset system host-name x\r"); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if err := session.Wait(); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if shown := screen(out.Bytes()); !strings.Contains(shown, "@gvpn> configure\nEntering configuration mode\n\n[edit]\n") {
		t.Errorf("screen:\n%s", shown)
	}
	if n.editors.write(io.Discard, nil, n.state.Now) {
		t.Error("an editor is left")
	}
}

// A session whose context has ended runs nothing more.
func TestContextEndsSession(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := newNode(t)
	var out bytes.Buffer
	s := New(Config{Backend: n, Identity: auth.Identity{User: "a", Class: auth.SuperUser}, In: strings.NewReader(""), Out: &out})
	if s.Exec(ctx, "clear security group-vpn server") == 0 || len(n.done) > 0 {
		t.Errorf("ran %v: %s", n.done, out.String())
	}
}
