package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"gvpn/cli"
	"gvpn/commit"
	"gvpn/commit/step"
	"gvpn/internal/auth"
	"gvpn/oper"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gvpn": main})
}

// backend is a node with nothing but a configuration.
type backend struct {
	mu      sync.Mutex
	db      *commit.DB
	editors cli.Editors
}

func (b *backend) Prepare(*step.Plan) error { return nil }
func (b *backend) Apply(*step.Plan)         {}
func (b *backend) Manage(f func(*commit.DB) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return f(b.db)
}
func (b *backend) State() (oper.State, error) { return oper.State{Now: time.Now()}, nil }
func (b *backend) Do(any) error               { return nil }
func (b *backend) Editors() *cli.Editors      { return &b.editors }
func (b *backend) Lab() cli.Lab               { return nil }

// serve runs a shell on a control socket until the test ends.
func serve(path string, cleanup func(func())) error {
	b := &backend{}
	db, err := commit.Open(&commit.MemoryLog{}, b, time.Now)
	if err != nil {
		return err
	}
	b.db = db
	key, err := auth.HostKey(filepath.Dir(path))
	if err != nil {
		return err
	}
	ln, err := auth.Listen(path)
	if err != nil {
		return err
	}
	s := &auth.Server{HostKey: key, Peer: auth.LocalPeer(), Shell: cli.Handler(b)}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(ln) })
	cleanup(func() {
		_ = s.Close()
		served.Wait()
	})
	return nil
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			dir, err := os.MkdirTemp("", "gvpn") // $WORK may be too long for a socket's path
			if err != nil {
				return err
			}
			e.Defer(func() { os.RemoveAll(dir) })
			e.Setenv("SOCKET", filepath.Join(dir, "s"))
			return serve(filepath.Join(dir, "s"), e.Defer)
		},
	})
}

// A daemon of another user gets only files that the commands name: whoever holds the other end of the socket must not have all
// that this user may read.
func TestFilesForDaemon(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file.conf")
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	const own, other = 1000, 1001
	for _, c := range []struct {
		daemon   uint32
		commands string
		refused  bool
	}{
		{daemon: own},
		{daemon: 0},
		{daemon: other, refused: true},
		{daemon: other, commands: "configure; load merge " + name},
		{daemon: other, commands: "configure; load merge another.conf", refused: true},
		{daemon: other, commands: "configure; load merge " + name + ".old", refused: true},
		{daemon: other, commands: `configure; save "` + name + `"; exit`},
	} {
		files := lentFiles{c.commands, own}
		var got [2]bool
		r, err := files.Open(c.daemon, name)
		if got[0] = err != nil; !got[0] {
			_ = r.Close()
		}
		w, err := files.Create(c.daemon, name)
		if got[1] = err != nil; !got[1] {
			_ = w.Close()
		}
		if want := [2]bool{c.refused, c.refused}; got != want {
			t.Errorf("daemon of %d, commands %q: reading and writing refused %v, want %v", c.daemon, c.commands, got, want)
		}
	}
}

// On a terminal the client is interactive, and gives the terminal back as it was.
func TestInteractive(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	if err := serve(socket, t.Cleanup); err != nil {
		t.Fatal(err)
	}
	master, slave := pty(t)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	in, out, errs := os.Stdin, os.Stdout, os.Stderr
	os.Stdin, os.Stdout, os.Stderr = slave, slave, slave
	defer func() { os.Stdin, os.Stdout, os.Stderr = in, out, errs }()
	status := make(chan int, 1)
	go func() { status <- run([]string{"-s", socket}) }()
	talk := &conversation{t: t, f: master}
	talk.want("@gvpn> ")
	talk.say("conf\t")
	talk.want("configure ")
	talk.say("\r")
	talk.want("Entering configuration mode\r\n\r\n[edit]\r\n")
	talk.say("exit\rnosuch\rexit\r")
	talk.want("unknown command.")
	if got := <-status; got != 0 {
		t.Errorf("exit status %d, want 0 of the last command", got)
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is left as %+v, want %+v (%v)", after, before, err)
	}
}

// conversation talks to a terminal.
type conversation struct {
	t    *testing.T
	f    *os.File
	seen string
}

func (c *conversation) say(keys string) {
	if _, err := io.WriteString(c.f, keys); err != nil {
		c.t.Fatal(err)
	}
}

// want reads until text has come.
func (c *conversation) want(text string) {
	c.t.Helper()
	_ = c.f.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 4096)
	for !strings.Contains(c.seen, text) {
		n, err := c.f.Read(buf)
		c.seen += string(buf[:n])
		if err != nil {
			c.t.Fatalf("want %q, got %q: %v", text, c.seen, err)
		}
	}
	_, c.seen, _ = strings.Cut(c.seen, text)
}

// pty opens a pseudo-terminal.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}
