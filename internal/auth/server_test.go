package auth

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// serve runs a server on a control socket in a directory of its own and returns the socket's path.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	dir := t.TempDir()
	key, err := HostKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.HostKey = key
	path := filepath.Join(dir, "s")
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-done; err != nil && !errors.Is(err, ErrClosed) { // closed before it began
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("the socket file is still there after Close")
		}
	})
	return path
}

func dial(t *testing.T, path string, files Files) *Client {
	t.Helper()
	c, err := Dial(t.Context(), path, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestExecOnControlSocket(t *testing.T) {
	path := serve(t, &Server{
		Peer: LocalPeer(),
		Shell: func(_ context.Context, s *Session) int {
			in, err := io.ReadAll(s)
			if err != nil {
				t.Errorf("input: %v", err)
			}
			fmt.Fprintf(s, "class=%s exec=%v command=%q input=%q terminal=%v", s.Identity.Class, s.Exec, s.Command, in, s.Terminal != nil)
			fmt.Fprint(s.Stderr, "to stderr")
			return 3
		},
	})
	session, err := dial(t, path, nil).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader("typed"), &out, &stderr
	err = session.Run("show version; x")
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("Run: %v, want exit status 3", err)
	}
	if want := `class=super-user exec=true command="show version; x" input="typed" terminal=false`; out.String() != want {
		t.Errorf("output %q\nwant   %q", out.String(), want)
	}
	if stderr.String() != "to stderr" {
		t.Errorf("stderr %q", stderr.String())
	}
}

func TestShellWithTerminal(t *testing.T) {
	sizes := make(chan [2]int, 2)
	path := serve(t, &Server{
		Peer: LocalPeer(),
		Shell: func(_ context.Context, s *Session) int {
			w, h := s.Terminal.Size()
			sizes <- [2]int{w, h}
			<-s.Terminal.Resized()
			w, h = s.Terminal.Size()
			sizes <- [2]int{w, h}
			return 0
		},
	})
	session, err := dial(t, path, nil).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("xterm", 40, 132, nil); err != nil {
		t.Fatal(err)
	}
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	if got := <-sizes; got != [2]int{132, 40} {
		t.Errorf("size %v, want 132 by 40", got)
	}
	if err := session.WindowChange(50, 200); err != nil {
		t.Fatal(err)
	}
	if got := <-sizes; got != [2]int{200, 50} {
		t.Errorf("size after window-change %v, want 200 by 50", got)
	}
	if err := session.Wait(); err != nil {
		t.Errorf("Wait: %v", err)
	}
}

// A subsystem that is not offered is refused, and so is a shell where there is none; an offered subsystem gets its name.
func TestSubsystems(t *testing.T) {
	path := serve(t, &Server{
		Peer: LocalPeer(),
		Subsystems: map[string]Handler{"netconf": func(_ context.Context, s *Session) int {
			fmt.Fprintf(s, "hello from %s", s.Subsystem)
			return 0
		}},
	})
	client := dial(t, path, nil)
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestSubsystem("netconf"); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(out); string(got) != "hello from netconf" {
		t.Errorf("subsystem said %q", got)
	}
	for _, try := range []func(*ssh.Session) error{
		func(s *ssh.Session) error { return s.RequestSubsystem("sftp") },
		func(s *ssh.Session) error { return s.Shell() },
	} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if err := try(session); err == nil {
			t.Error("a program that is not offered was started")
		}
		session.Close()
	}
}

// "uid 0 and the daemon's own user are super-user; others are refused with a clear text."
func TestPeerByUserID(t *testing.T) {
	const own = 4711
	for _, c := range []struct {
		uid     uint32
		refused bool
	}{{uid: 0}, {uid: own}, {uid: own + 1, refused: true}} {
		path := serve(t, &Server{
			Peer:  localPeer(func(net.Conn) (uint32, error) { return c.uid, nil }, own),
			Shell: func(context.Context, *Session) int { return 0 },
		})
		client, err := Dial(t.Context(), path, nil)
		if err == nil {
			client.Close()
		}
		switch {
		case !c.refused && err != nil:
			t.Errorf("uid %d: %v", c.uid, err)
		case c.refused && err == nil:
			t.Errorf("uid %d: let in", c.uid)
		case c.refused && err.Error() != "permission denied: uid-4712 may not use the control socket; it is for root and for uid-4711, the daemon's user":
			t.Errorf("uid %d: refused with %q", c.uid, err)
		}
	}
}

func TestPeerUID(t *testing.T) {
	path := serve(t, &Server{Peer: LocalPeer()})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if uid, err := PeerUID(c); err != nil || uid != uint32(os.Geteuid()) {
		t.Errorf("PeerUID = %d, %v, want our own user %d", uid, err, os.Geteuid())
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := PeerUID(a); err == nil {
		t.Error("PeerUID of a connection without user gave one")
	}
}

// lent are files of a client by what they are for.
type lent struct {
	t     *testing.T
	big   []byte
	saved bytes.Buffer
}

func (l *lent) Open(uid uint32, name string) (io.ReadCloser, error) {
	if uid != uint32(os.Geteuid()) {
		l.t.Errorf("the daemon's user is %d, want %d", uid, os.Geteuid())
	}
	switch name {
	case "big":
		return io.NopCloser(bytes.NewReader(l.big)), nil
	case "broken":
		return io.NopCloser(io.MultiReader(strings.NewReader("half"), errReader{})), nil
	}
	return os.Open(filepath.Join(l.t.TempDir(), name))
}

func (l *lent) Create(uid uint32, name string) (io.WriteCloser, error) {
	if uid != uint32(os.Geteuid()) {
		l.t.Errorf("the daemon's user is %d, want %d", uid, os.Geteuid())
	}
	switch name {
	case "big":
		return &badFile{w: &l.saved}, nil
	case "full":
		return &badFile{write: &fs.PathError{Op: "write", Path: "full", Err: unix.ENOSPC}}, nil
	case "late":
		return &badFile{w: io.Discard, close: errors.New("disk on fire")}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

// badFile fails as it is told to.
type badFile struct {
	w            io.Writer
	write, close error
}

func (b *badFile) Write(p []byte) (int, error) {
	if b.write != nil {
		return 0, b.write
	}
	return b.w.Write(p)
}

func (b *badFile) Close() error { return b.close }

// A client's files: a whole one, one that is not there, one that breaks off, and a client that has none; and those that it writes.
func TestClientFiles(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 300_000) // more than a channel's window
	path := serve(t, &Server{
		Peer: LocalPeer(),
		Shell: func(_ context.Context, s *Session) int {
			verb, name, _ := strings.Cut(s.Command, " ")
			if verb == "save" {
				f, err := s.Create(name)
				if err != nil {
					fmt.Fprintf(s, "create: %v", err)
					return 1
				}
				_, err = f.Write(big)
				fmt.Fprintf(s, "write: %v, close: %v", err, f.Close())
				return 0
			}
			f, err := s.Open(name)
			if err != nil {
				fmt.Fprintf(s, "open: %v", err)
				return 1
			}
			defer f.Close()
			b, err := io.ReadAll(f)
			if err != nil {
				fmt.Fprintf(s, "read: %v", err)
				return 1
			}
			fmt.Fprintf(s, "%d octets, same %v", len(b), bytes.Equal(b, big))
			return 0
		},
	})
	files := &lent{t: t, big: big}
	for _, c := range []struct {
		command string
		files   Files
		want    string
	}{
		{"load big", files, "4800000 octets, same true"},
		{"load absent", files, "open: absent: no such file or directory"},
		{"load broken", files, "read: broken: the client did not send the whole file: unexpected EOF"},
		{"load big", nil, "open: big: this client cannot hand over files; use 'terminal' and send the text"},
		{"save big", files, "write: <nil>, close: <nil>"},
		{"save full", files, "write: <nil>, close: full: no space left on device"},
		{"save late", files, "write: <nil>, close: late: disk on fire"},
		{"save secret", files, "create: secret: permission denied"},
		{"save big", nil, "create: big: this client writes no files; use 'show' and keep its output"},
	} {
		session, err := dial(t, path, c.files).NewSession()
		if err != nil {
			t.Fatal(err)
		}
		out, err := session.Output(c.command)
		if string(out) != c.want {
			t.Errorf("%s: %q (%v), want %q", c.command, out, err, c.want)
		}
	}
	if !bytes.Equal(files.saved.Bytes(), big) {
		t.Errorf("saved: %d octets, want the same %d", files.saved.Len(), len(big))
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestDialWithoutDaemon(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	_, err := Dial(t.Context(), path, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "no daemon at "+path+": there is no such socket") {
		t.Errorf("no socket: %v", err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false) // as a killed daemon leaves it
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Dial(t.Context(), path, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "no daemon at "+path+": nobody answers there") {
		t.Errorf("stale socket: %v", err)
	}
	fresh, err := Listen(path)
	if err != nil {
		t.Fatalf("a stale socket is not replaced: %v", err)
	}
	defer fresh.Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket mode %v, %v, want 0600", info.Mode(), err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another daemon listens") {
		t.Errorf("second Listen on a live socket: %v", err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(plain); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("Listen on a plain file: %v", err)
	}
}

// Connections and sessions above the limits are turned away; those below them are not disturbed.
func TestLimits(t *testing.T) {
	refused := make(chan string, 1)
	path := serve(t, &Server{
		Peer: LocalPeer(), MaxConns: 1, MaxSessions: 1,
		Shell: func(_ context.Context, s *Session) int { _, _ = io.Copy(io.Discard, s); return 0 },
		Log:   func(text string) { refused <- text },
	})
	client := dial(t, path, nil)
	first, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Shell(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.NewSession(); err == nil || !strings.Contains(err.Error(), "too many sessions") {
		t.Errorf("second session: %v", err)
	}
	if _, err := Dial(t.Context(), path, nil); err == nil || err.Error() != "too many connections: 1 are open" {
		t.Errorf("second connection: %v", err)
	}
	if got := <-refused; !strings.Contains(got, "1 connections are open") {
		t.Errorf("log %q", got)
	}
	in.Close()
	if err := first.Wait(); err != nil {
		t.Errorf("first session: %v", err)
	}
}

// Whoever opens connections and does not log in keeps nobody out, and is cut off: the oldest at once, all when their time is over.
func TestConnectionsWithoutLogin(t *testing.T) {
	path := serve(t, &Server{
		Peer: LocalPeer(), MaxConns: 1, HandshakeTimeout: time.Minute,
		Shell: func(context.Context, *Session) int { return 0 },
	})
	var idle []net.Conn
	for i := range 3 * maxPending {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%3 == 1 { // half a version string, or a flood of something else
			_, _ = io.WriteString(c, "SSH-2.0")
		} else if i%3 == 2 {
			_, _ = c.Write(bytes.Repeat([]byte("a"), 1<<12))
		}
		idle = append(idle, c)
	}
	session, err := dial(t, path, nil).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Run("x"); err != nil {
		t.Error(err)
	}
	_ = idle[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, idle[0]); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the oldest is still open")
	}
}

// The time to log in is bounded, however slowly a client talks.
func TestSlowLogin(t *testing.T) {
	path := serve(t, &Server{
		Peer: LocalPeer(), HandshakeTimeout: 50 * time.Millisecond,
		Shell: func(context.Context, *Session) int { return 0 },
	})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
}

// Close ends handlers that wait for their client.
func TestCloseEndsSessions(t *testing.T) {
	started := make(chan struct{})
	s := &Server{Peer: LocalPeer(), Shell: func(ctx context.Context, s *Session) int {
		close(started)
		_, err := s.Read(make([]byte, 1))
		<-ctx.Done()
		if err == nil {
			t.Error("Read returned octets after Close")
		}
		return 0
	}}
	path := serve(t, s)
	session, err := dial(t, path, nil).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	<-started
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); !errors.Is(err, ErrClosed) {
		t.Errorf("Serve after Close: %v", err)
	}
}

func TestPublicKeys(t *testing.T) {
	newKey := func() ssh.Signer {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewSignerFromKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return signer
	}
	alice, mallory := newKey(), newKey()
	keys := new(Keys)
	keys.add("alice", Operator, string(ssh.MarshalAuthorizedKey(alice.PublicKey())))
	keys.add("alice", Operator, "not a key")
	s := &Server{
		Keys: func() *Keys { return keys },
		Shell: func(_ context.Context, s *Session) int {
			fmt.Fprintf(s, "%s is %s from %v", s.Identity.User, s.Identity.Class, s.Identity.Remote != "")
			return 0
		},
	}
	key, err := HostKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.HostKey = key
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	defer s.Close()
	login := func(user string, signers ...ssh.Signer) (string, error) {
		c, err := ssh.Dial("tcp", ln.Addr().String(), &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signers...)}, HostKeyCallback: ssh.FixedHostKey(key.PublicKey()),
		})
		if err != nil {
			return "", err
		}
		defer c.Close()
		session, err := c.NewSession()
		if err != nil {
			return "", err
		}
		out, err := session.Output("x")
		return string(out), err
	}
	if out, err := login("alice", mallory, alice); err != nil || out != "alice is operator from true" {
		t.Errorf("alice: %q, %v", out, err)
	}
	for _, c := range []struct {
		user string
		key  ssh.Signer
	}{{"alice", mallory}, {"bob", alice}, {"", alice}} {
		if out, err := login(c.user, c.key); err == nil {
			t.Errorf("%q with a key that is not theirs: %q", c.user, out)
		}
	}
}

func TestHostKeyIsKept(t *testing.T) {
	dir := t.TempDir()
	first, err := HostKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := HostKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.PublicKey().Marshal(), second.PublicKey().Marshal()) {
		t.Error("the second start has another key")
	}
	name := filepath.Join(dir, HostKeyFile)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := HostKey(dir); err == nil || !strings.Contains(err.Error(), "mode 0644, want 0600") {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := os.WriteFile(name, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := HostKey(dir); err == nil {
		t.Error("a broken key was replaced in silence")
	}
}

func TestPermissionsOfClasses(t *testing.T) {
	for class, want := range map[Class][3]bool{
		SuperUser: {true, true, true}, Operator: {true, true, false}, ReadOnly: {true, false, false}, Unauthorized: {}, "": {}, "made-up": {},
	} {
		id := Identity{Class: class}
		if got := [3]bool{id.May(View), id.May(Clear), id.May(Configure)}; got != want {
			t.Errorf("class %q may view, clear, configure: %v, want %v", class, got, want)
		}
	}
}

// A session's input ends in io.EOF only if its client says that this is all and is still there; what a client that went away has
// sent may break off anywhere.
func TestInputEnds(t *testing.T) {
	for name, c := range map[string]struct {
		leave func(*Client, *ssh.Session, io.WriteCloser) error
		want  error
	}{
		"end of input":     {func(_ *Client, _ *ssh.Session, in io.WriteCloser) error { return in.Close() }, nil},
		"channel closed":   {func(_ *Client, s *ssh.Session, _ io.WriteCloser) error { return s.Close() }, io.ErrUnexpectedEOF},
		"connection ended": {func(c *Client, _ *ssh.Session, _ io.WriteCloser) error { return c.Close() }, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan error, 1)
			began := make(chan bool)
			path := serve(t, &Server{
				Peer: LocalPeer(),
				Shell: func(_ context.Context, s *Session) int {
					first := make([]byte, 5)
					if _, err := io.ReadFull(s, first); err != nil {
						t.Errorf("input: %v", err)
					}
					close(began)
					_, err := io.ReadAll(s)
					got <- err
					return 0
				},
			})
			client := dial(t, path, nil)
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
			if _, err := io.WriteString(in, "first"); err != nil {
				t.Fatal(err)
			}
			<-began
			if err := c.leave(client, session, in); err != nil {
				t.Fatal(err)
			}
			if err := <-got; !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
