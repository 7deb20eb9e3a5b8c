package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"gvpn/commit"
	"gvpn/internal/auth"
)

// connect serves a node's shell on a control socket and returns a client of it, with the files of a directory.
func connect(t *testing.T, n *node, dir string) *auth.Client {
	t.Helper()
	return connectTo(t, Handler(n), dir)
}

func connectTo(t *testing.T, shell auth.Handler, dir string) *auth.Client {
	t.Helper()
	state := t.TempDir()
	key, err := auth.HostKey(state)
	if err != nil {
		t.Fatal(err)
	}
	server := &auth.Server{HostKey: key, Peer: auth.LocalPeer(), Shell: shell}
	path := filepath.Join(state, "s")
	ln, err := auth.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	client, err := auth.Dial(t.Context(), path, lent(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		if err := server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
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

// OnTerminal is for a program that is the node itself: on a pipe it reads commands, on a terminal it is interactive and gives the
// terminal back.
func TestOnTerminal(t *testing.T) {
	n := newNode(t)
	id := auth.Identity{User: "root", Class: auth.SuperUser}
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "file.conf")
	if err := os.WriteFile(name, []byte("system { host-name local; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(typed, "configure\nload merge "+name+"\ncommit and-quit\n"); err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(t.TempDir(), "saved.conf")
	if _, err := io.WriteString(typed, "configure\nsave "+saved+"\nedit system\nload override terminal relative\n"); err != nil {
		t.Fatal(err)
	}
	typed.Close()
	shown, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	status := OnTerminal(t.Context(), n, id, in, out)
	out.Close()
	text, err := io.ReadAll(shown)
	if want := "Entering configuration mode\nload complete\ncommit complete\nExiting configuration mode\n" +
		"Entering configuration mode\nWrote 3 lines of configuration to '" + saved + "'\nload complete\n"; err != nil || status != 0 || string(text) != want {
		t.Errorf("on a pipe: %q, status %d, %v", text, status, err)
	}
	if text, err := os.ReadFile(saved); err != nil || string(text) != "system {\n    host-name local;\n}\n" {
		t.Errorf("saved: %q, %v", text, err)
	}
	if info, err := os.Stat(saved); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("saved with mode %v, %v", info.Mode(), err)
	}
	n.db.Candidate().Discard()

	master, slave := pty(t)
	before, err := term.GetState(int(slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(master, "show configuration system host-name\rexit\r"); err != nil {
		t.Fatal(err)
	}
	if status := OnTerminal(t.Context(), n, id, slave, slave); status != 0 {
		t.Errorf("on a terminal: status %d", status)
	}
	after, err := term.GetState(int(slave.Fd()))
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("the terminal is left as %+v, want %+v (%v)", after, before, err)
	}
	buf := make([]byte, 16<<10)
	var seen []byte
	for !bytes.Contains(seen, []byte("host-name local;")) {
		k, err := master.Read(buf)
		if seen = append(seen, buf[:k]...); err != nil {
			t.Fatalf("the terminal shows %q: %v", seen, err)
		}
	}
}

// pty opens a pseudo-terminal.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

// awaited closes done when so much has been read and more is wanted.
type awaited struct {
	r    io.Reader
	left int
	done chan bool
}

func (a *awaited) Read(p []byte) (int, error) {
	if a.left == 0 {
		a.left = -1
		close(a.done)
	}
	n, err := a.r.Read(p)
	if a.left > 0 {
		a.left -= n
	}
	return n, err
}

// What a client that goes away has sent breaks off anywhere: nothing of a load is applied, no line without its end is carried out,
// and no lock and no editor is left.
func TestClientGoesAway(t *testing.T) {
	for name, sent := range map[string]string{
		"set text":        "configure exclusive\nload set terminal\nset system host-name gone\nset system login user a class operator\n",
		"curly text":      "configure\nload merge terminal\nsystem { host-name gone; }\n",
		"a private copy":  "configure private\nload override terminal\nsystem { host-name gone; }\n",
		"within a line":   "configure\ndelete system host-name",
		"within a quote":  "configure\nset system host-name \"gone",
		"in a short file": "configure\nload set terminal\n",
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			tree, errs := n.db.Running().LoadSet(nil, "", []byte("set system host-name stays"))
			if errs.Err() != nil {
				t.Fatal(errs)
			}
			n.db.Candidate().Update(tree)
			if _, err := n.db.Commit(commit.Options{User: "test"}); err != nil {
				t.Fatal(err)
			}
			ended := make(chan int, 1)
			handler := Handler(n)
			arrived := make(chan bool)
			client := connectTo(t, func(ctx context.Context, s *auth.Session) int {
				s.Reader = &awaited{r: s.Reader, left: len(sent), done: arrived}
				status := handler(ctx, s)
				ended <- status
				return status
			}, t.TempDir())
			session, err := client.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			in, err := session.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := session.Shell(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(in, sent); err != nil {
				t.Fatal(err)
			}
			<-arrived
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			if status := <-ended; status == 0 {
				t.Error("status 0")
			}
			if got := n.db.Candidate().Tree().Root().Child("system").Get("host-name"); got != "stays" {
				t.Errorf("host-name %q", got)
			}
			if n.db.Candidate().Changed() || n.db.Locked() != "" || len(n.db.PrivateOwners()) > 0 || n.editors.write(io.Discard, nil, n.state.Now) {
				t.Error("something is left of the session")
			}
		})
	}
}

// lent are the files of a directory.
type lent string

func (l lent) Open(_ uint32, name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(l), name))
}

func (l lent) Create(_ uint32, name string) (io.WriteCloser, error) {
	return os.Create(filepath.Join(string(l), name))
}
