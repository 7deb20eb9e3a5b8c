package netconf

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gvpn/commit"
	"gvpn/commit/step"
	"gvpn/config"
	"gvpn/internal/auth"
	"gvpn/oper"
)

// node is the Backend of tests: a database in memory that nothing is applied to, and a state that never changes.
type node struct {
	mu    sync.Mutex
	db    *commit.DB
	log   commit.MemoryLog
	clock time.Time
	state oper.State
	did   []any
}

// open opens the database, anew if there was one.
func (n *node) open(t testing.TB) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	var err error
	if n.db, err = commit.Open(&n.log, applier{}, func() time.Time { return n.clock }); err != nil {
		t.Fatal(err)
	}
}

// timeout lets time go by, has the database do what is due, and returns the news.
func (n *node) timeout(by time.Duration) string {
	var news []string
	if err := n.Manage(func(db *commit.DB) (err error) {
		n.clock = n.clock.Add(by)
		news, err = db.HandleTimeout()
		return err
	}); err != nil {
		return err.Error() + "\n"
	}
	return strings.Join(append(news, ""), "\n")
}

func (n *node) State() (oper.State, error) { return n.state, nil }

func (n *node) Do(command any) error {
	n.did = append(n.did, command)
	return nil
}

func (n *node) Manage(f func(db *commit.DB) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return f(n.db)
}

// applier takes every plan that does not name the host "unwilling".
type applier struct{}

func (applier) Prepare(p *step.Plan) error {
	if p.HostName == "unwilling" {
		return fmt.Errorf("engine: host-name unwilling: not today")
	}
	return nil
}

func (applier) Apply(*step.Plan) {}

func newNode(t testing.TB, set string) *node {
	t.Helper()
	n := &node{clock: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	n.open(t)
	db := n.db
	if set != "" {
		tree, errs := db.Running().LoadSet(nil, "test", []byte(set))
		if err := errs.Err(); err != nil {
			t.Fatal(err)
		}
		db.Candidate().Update(tree)
		if _, err := db.Commit(commit.Options{User: "test", Client: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// client is the other end of a session, with framing of its own.
type client struct {
	t       testing.TB
	conn    net.Conn
	chunked bool
	done    chan error // what Serve returned
}

var root = auth.Identity{User: "root", Class: auth.SuperUser}

// dial opens a session on a pipe; the hellos are not exchanged yet.
func dial(t testing.TB, s *Server, id auth.Identity) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	c := &client{t: t, conn: ours, done: make(chan error, 1)}
	go func() {
		err := s.Serve(context.Background(), theirs, id)
		_ = theirs.Close()
		c.done <- err
	}()
	t.Cleanup(func() { _ = ours.Close() })
	_ = ours.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// open exchanges the hellos and returns the server's.
func (c *client) open(base string) string {
	c.t.Helper()
	hello := c.read()
	c.write(`<hello xmlns="` + baseNamespace + `"><capabilities><capability>urn:ietf:params:netconf:base:` + base + `</capability></capabilities></hello>`)
	c.chunked = base == "1.1"
	return hello
}

func (c *client) write(msg string) {
	c.t.Helper()
	if c.chunked {
		// In two chunks, so that the server has to join them.
		half := len(msg) / 2
		msg = "\n#" + strconv.Itoa(half) + "\n" + msg[:half] + "\n#" + strconv.Itoa(len(msg)-half) + "\n" + msg[half:] + "\n##\n"
	} else {
		msg += endOfMessage
	}
	if _, err := io.WriteString(c.conn, msg); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// read returns the next message, "" if the session has ended.
func (c *client) read() string {
	c.t.Helper()
	end := endOfMessage
	if c.chunked {
		end = "\n##\n"
	}
	var msg []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(msg, []byte(end)) {
		if _, err := c.conn.Read(one); err != nil {
			if len(msg) > 0 {
				c.t.Fatalf("read: %v after %q", err, msg)
			}
			return ""
		}
		msg = append(msg, one[0])
	}
	text := strings.TrimSuffix(string(msg), end)
	if !c.chunked {
		return text
	}
	head, body, ok := strings.Cut(strings.TrimPrefix(text, "\n#"), "\n")
	if n, err := strconv.Atoi(head); !ok || err != nil || n != len(body) {
		c.t.Fatalf("read: %q: chunk of %q octets", text, head)
	}
	return body
}

// rpc sends one operation and returns the content of its reply.
func (c *client) rpc(operation string) string {
	c.t.Helper()
	c.write(`<rpc message-id="7" xmlns="` + baseNamespace + `">` + operation + `</rpc>`)
	const before = `<rpc-reply xmlns="` + baseNamespace + `" message-id="7">` + "\n"
	got := c.read()
	body, ok := strings.CutPrefix(got, before)
	if !ok {
		c.t.Fatalf("reply: %q", got)
	}
	return strings.TrimSuffix(body, "</rpc-reply>\n")
}

// wait returns what Serve returned.
func (c *client) wait() error {
	c.t.Helper()
	select {
	case err := <-c.done:
		return err
	case <-time.After(20 * time.Second):
		c.t.Fatal("the session does not end")
		return nil
	}
}

func setLines(t config.Tree) string { return string(config.AppendSet(nil, t.Root())) }
