package node

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gvpn/commit"
	"gvpn/internal/auth"
)

// clock is the wall clock and what a test adds to it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

// heard passes a node's log on, and closes rolledBack at the first automatic rollback.
type heard struct {
	slog.Handler
	rolledBack chan struct{}
}

func (h heard) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == commit.NotConfirmed {
		close(h.rolledBack)
	}
	return h.Handler.Handle(ctx, r)
}

func openAt(t *testing.T, dir string, c *clock) (*Node, chan struct{}) {
	t.Helper()
	h := heard{slog.NewTextHandler(t.Output(), nil), make(chan struct{})}
	n, err := Open(Options{Dir: dir, File: "test.conf", Config: []byte(serverText), Port: testPort, Log: slog.New(h), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return n, h.rolledBack
}

func wantHostName(t *testing.T, n *Node, name string) {
	t.Helper()
	if got := run(t, n, "show configuration system host-name"); got != "host-name "+name+";\n" {
		t.Errorf("runs %q, want host-name %s", got, name)
	}
}

// A commit that nobody confirms is taken back on time, also a second one, to what ran before the first.
func TestConfirmedCommitIsTakenBack(t *testing.T) {
	var c clock
	n, rolledBack := openAt(t, t.TempDir(), &c)
	defer closeNode(t, n)
	told := make(chan string, 1)
	defer n.editors.Listen(func(text string) { told <- text })()
	run(t, n, "configure; set system host-name a; commit confirmed 5")
	run(t, n, "configure; set system host-name b; commit confirmed 1")
	wantHostName(t, n, "b")
	c.advance(time.Minute)
	<-rolledBack
	if got := <-told; got != commit.NotConfirmed {
		t.Errorf("terminals were told %q", got)
	}
	wantHostName(t, n, "ks")
	if got := run(t, n, "show system commit"); !strings.Contains(got, "by root via other") {
		t.Errorf("the rollback is not in the history:\n%s", got)
	}
}

// What is pending survives a restart: it is taken back on time after it, or at once if its time ran out before.
func TestConfirmedCommitSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	var c clock
	n, _ := openAt(t, dir, &c)
	run(t, n, "configure; set system host-name a; commit confirmed 2")
	closeNode(t, n)

	n, rolledBack := openAt(t, dir, &c)
	wantHostName(t, n, "a")
	c.advance(2 * time.Minute)
	<-rolledBack
	wantHostName(t, n, "ks")
	run(t, n, "configure; set system host-name b; commit confirmed 2")
	closeNode(t, n)

	c.advance(2 * time.Minute)
	n, rolledBack = openAt(t, dir, &c)
	defer closeNode(t, n)
	<-rolledBack
	wantHostName(t, n, "ks")
}

// commit check confirms, durably: nothing is taken back after a restart.
func TestCommitCheckConfirms(t *testing.T) {
	dir := t.TempDir()
	var c clock
	n, _ := openAt(t, dir, &c)
	run(t, n, "configure; set system host-name a; commit confirmed 2; commit check")
	closeNode(t, n)
	c.advance(time.Hour)
	n, rolledBack := openAt(t, dir, &c)
	defer closeNode(t, n)
	select {
	case <-rolledBack:
		t.Error("a confirmed commit was taken back")
	default:
	}
	wantHostName(t, n, "a")
	if err := n.Manage(func(db *commit.DB) error {
		if _, ok := db.Deadline(); ok {
			return errors.New("something is still pending")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// A confirmed commit over NETCONF is taken back when its session ends, and when the node ends with it; by a commit it is confirmed.
func TestConfirmedCommitOfSession(t *testing.T) {
	dir := t.TempDir()
	var c clock
	n, rolledBack := openAt(t, dir, &c)
	confirmed := func(host string) (*auth.Client, io.Writer, *bufio.Scanner) {
		run(t, n, "configure; set system host-name "+host)
		client, err := auth.Dial(t.Context(), filepath.Join(dir, ControlSocket), nil)
		if err != nil {
			t.Fatal(err)
		}
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		in, err := session.StdinPipe()
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
		lines := bufio.NewScanner(out)
		say(t, in, `<hello><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>`)
		say(t, in, `<rpc message-id="1"><commit><confirmed/></commit></rpc>`)
		hear(t, lines, "<ok/>")
		return client, in, lines
	}
	client, in, lines := confirmed("a")
	say(t, in, `<rpc message-id="2"><commit/></rpc>`)
	hear(t, lines, "<ok/>")
	_ = client.Close()
	wantHostName(t, n, "a")

	client, _, _ = confirmed("b")
	wantHostName(t, n, "b")
	_ = client.Close()
	<-rolledBack
	wantHostName(t, n, "a")
	closeNode(t, n)

	// By the session's end, or at the next start if the node was gone before that.
	n, _ = openAt(t, dir, &c)
	client, _, _ = confirmed("c")
	defer client.Close()
	wantHostName(t, n, "c")
	closeNode(t, n)
	n, _ = openAt(t, dir, &c)
	defer closeNode(t, n)
	wantHostName(t, n, "a")
}

func say(t *testing.T, in io.Writer, message string) {
	t.Helper()
	if _, err := io.WriteString(in, message+"]]>]]>"); err != nil {
		t.Fatal(err)
	}
}

// hear reads lines up to one with text.
func hear(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), "rpc-error") {
			t.Fatal(lines.Text())
		}
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	t.Fatalf("the session ended before %q: %v", text, lines.Err())
}
