package commit

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"gvpn/config"
)

// testdata/private is conversations of sessions with one database. The first word is the session: "shared" for the shared
// candidate, any other name for a private copy.
func TestCandidates(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	copies := map[string]*Candidate{}
	candidate := func(name string) *Candidate {
		if c := copies[name]; c != nil {
			return c
		}
		return w.Candidate()
	}
	datadriven.RunTest(t, "testdata/private", func(t *testing.T, d *datadriven.TestData) string {
		who := ""
		if len(d.CmdArgs) > 0 {
			who = d.CmdArgs[0].Key
		}
		answer := func(err error) string {
			var conflict *ConflictError
			switch {
			case err == nil:
				return "ok\n"
			case errors.As(err, &conflict):
				out := ""
				for _, c := range conflict.Conflicts {
					out += fmt.Sprintf("conflict %s '%s': %s\n", c.Path, c.Element, c.Message)
				}
				return out
			}
			return strings.TrimSpace(err.Error()) + "\n"
		}
		c := candidate(who)
		switch d.Cmd {
		case "private":
			p, err := w.Private(who)
			if err == nil {
				copies[who] = p
			}
			return answer(err)
		case "forget":
			w.Forget(c)
			delete(copies, who)
			return fmt.Sprintf("left: %q\n", w.PrivateOwners())
		case "edit":
			tree, errs := c.Tree().LoadSet(nil, "test", []byte(d.Input))
			if errs.Err() != nil {
				t.Fatal(errs)
			}
			c.Update(tree)
			return fmt.Sprintf("changed: %v\n", c.Changed())
		case "insert":
			var key [3]string
			d.ScanArgs(t, "list", &key[0])
			d.ScanArgs(t, "entry", &key[1])
			d.ScanArgs(t, "before", &key[2])
			base := c.Tree().Root().Child("security").Child("group-vpn").Child("server").Entry("group", "G").Entry("ipsec-sa", "A").Path()
			tree, err := c.Tree().InsertBefore(base, key[:2], []string{key[0], key[2]})
			if err != nil {
				t.Fatal(err)
			}
			c.Update(tree)
			return fmt.Sprintf("changed: %v\n", c.Changed())
		case "replace":
			t2, err := w.Rollback(1)
			if err == nil {
				c.Replace(t2)
			}
			return answer(err)
		case "discard":
			c.Discard()
			return fmt.Sprintf("changed: %v\n", c.Changed())
		case "merge":
			return answer(w.Merge(c))
		case "check":
			_, err := w.CheckCandidate(c)
			return answer(err)
		case "commit":
			_, err := w.Commit(Options{User: who, Candidate: copies[who], Owner: who})
			return answer(err)
		case "exclusive":
			return answer(w.Exclusive(who))
		case "unlock":
			w.Unlock(who)
			return fmt.Sprintf("locked: %q\n", w.Locked())
		case "confirmed":
			_, err := w.Commit(Options{User: who, Candidate: copies[who], Confirm: 1})
			return answer(err)
		case "show":
			tree := w.Running()
			if who != "" {
				tree = c.Tree()
			}
			out := ""
			for line := range strings.Lines(string(config.AppendSet(nil, tree.Root()))) {
				if strings.Contains(line, d.CmdArgs[len(d.CmdArgs)-1].Key) {
					out += line
				}
			}
			return out
		}
		t.Fatalf("unknown command %q", d.Cmd)
		return ""
	})
}
