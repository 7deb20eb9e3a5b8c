package netconf

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gvpn/commit"
	"gvpn/internal/auth"
)

// TestConversations plays the sessions in testdata. Every case is one message or one happening:
//
//	open a [base=1.0] [class=read-only]   session a begins; prints the server's hello
//	rpc a                                 an operation (input) of session a; prints the content of the reply
//	raw a                                 a whole message of session a; prints the whole reply
//	drop a                                session a's stream breaks
//	cli lock | unlock | edit | commit | confirmed
//	                                      what somebody on the shell does: lock, unlock, set lines (input), commit, commit confirmed
//	after 10m                             time goes by, and the database does what is due; prints what everybody is told
//	restart                               the node starts again, without its sessions
//	history                               prints the newest commit
//	running | candidate                   prints the datastore as set lines
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		n := newNode(t, "")
		s := New(n)
		clients := map[string]*client{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			name := ""
			if len(d.CmdArgs) > 0 {
				name = d.CmdArgs[0].Key
			}
			if c := clients[name]; c != nil {
				c.t = t
			}
			switch d.Cmd {
			case "open":
				base, class := "1.1", string(auth.SuperUser)
				d.MaybeScanArgs(t, "base", &base)
				d.MaybeScanArgs(t, "class", &class)
				clients[name] = dial(t, s, auth.Identity{User: name, Class: auth.Class(class)})
				return clients[name].open(base)
			case "rpc":
				return clients[name].rpc(d.Input)
			case "raw":
				clients[name].write(d.Input)
				return clients[name].read()
			case "drop":
				_ = clients[name].conn.Close()
				if err := clients[name].wait(); err != nil {
					return err.Error() + "\n"
				}
				return "ended\n"
			case "wait":
				if err := clients[name].wait(); err != nil {
					return err.Error() + "\n"
				}
				return "ended\n"
			case "cli":
				return shell(n.db, name, d.Input)
			case "after":
				by, err := time.ParseDuration(name)
				if err != nil {
					t.Fatal(err)
				}
				return n.timeout(by)
			case "restart":
				n.open(t)
				s, clients = New(n), map[string]*client{}
				return n.timeout(0)
			case "history":
				h := n.db.History()[0]
				return fmt.Sprintf("%d by %s via %s: %s\n", h.Number, h.User, h.Client, h.Comment)
			case "running":
				return setLines(n.db.Running())
			case "candidate":
				return setLines(n.db.Candidate().Tree())
			}
			t.Fatalf("%s: unknown case %s", d.Pos, d.Cmd)
			return ""
		})
	})
}

func shell(db *commit.DB, what, input string) string {
	var err error
	switch what {
	case "lock":
		err = db.Lock("mary on the shell")
	case "unlock":
		db.Unlock("mary on the shell")
	case "commit":
		_, err = db.Commit(commit.Options{User: "mary", Client: "cli"})
	case "confirmed":
		_, err = db.Commit(commit.Options{User: "mary", Client: "cli", Confirm: 10 * time.Minute})
	case "edit":
		tree, errs := db.Candidate().Tree().LoadSet(nil, "shell", []byte(input))
		if err = errs.Err(); err == nil {
			db.Candidate().Update(tree)
		}
	}
	if err != nil {
		return err.Error() + "\n"
	}
	return "done\n"
}

// A hello of the client's own with a session-id, without a capability in common, or that is none, ends the session
// (RFC 6241 section 8.1).
func TestBadHello(t *testing.T) {
	for hello, want := range map[string]string{
		`<rpc message-id="1"><close-session/></rpc>`: "no hello",
		`<hello><capabilities><capability>` + base10 + `</capability></capabilities><session-id>4</session-id></hello>`: "session-id",
		`<hello><capabilities><capability>urn:other</capability></capabilities></hello>`:                                "no base capability",
		`<hello>`: "ends within an element",
		`<!DOCTYPE hello [<!ENTITY a "aaaa">]><hello>&a;</hello>`:    "document type",
		strings.Repeat(" ", maxHello+1):                              "too big",
		strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100):     "nested deeper",
		"<hello>" + strings.Repeat("<a/>", maxElements) + "</hello>": "more than",
	} {
		c := dial(t, New(newNode(t, "")), root)
		c.read()
		// A part may stay unread when the server hangs up: then the write fails, as it may.
		_, _ = io.WriteString(c.conn, hello+endOfMessage)
		if err := c.wait(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("hello %.60q: session ended with %v, want an error with %q", hello, err, want)
		}
	}
}

// A stream that ends between messages ends the session without complaint; one that ends within a message does not.
func TestStreamEnds(t *testing.T) {
	for part, clean := range map[string]bool{"": true, "\n#10\n<rpc": false} {
		c := dial(t, New(newNode(t, "")), root)
		c.open("1.1")
		if _, err := io.WriteString(c.conn, part); err != nil {
			t.Fatal(err)
		}
		_ = c.conn.Close()
		if err := c.wait(); (err == nil) != clean {
			t.Errorf("stream ended after %q: %v", part, err)
		}
	}
}

func TestSessionIDs(t *testing.T) {
	s := New(newNode(t, ""))
	for want := 1; want <= 3; want++ {
		c := dial(t, s, root)
		if hello := c.open("1.1"); !strings.Contains(hello, fmt.Sprintf("<session-id>%d</session-id>", want)) {
			t.Errorf("hello of session %d: %s", want, hello)
		}
		_ = c.conn.Close()
		if err := c.wait(); err != nil {
			t.Error(err)
		}
	}
	if len(s.sessions) != 0 || len(s.locks) != 0 {
		t.Errorf("left behind: sessions %v, locks %v", s.sessions, s.locks)
	}
}
