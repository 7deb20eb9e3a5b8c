package commit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gvpn/commit/step"
	"gvpn/config"
)

const server = `
set system host-name ks
set security group-vpn server ike proposal P dh-group group14
set security group-vpn server ike policy K proposals P
set security group-vpn server ike policy K pre-shared-key ascii-text secret
set security group-vpn server ike gateway M1 ike-policy K
set security group-vpn server ike gateway M1 address 127.3.0.1
set security group-vpn server ipsec proposal T lifetime-seconds 3600
set security group-vpn server group G group-id 1
set security group-vpn server group G ike-gateway M1
set security group-vpn server group G server-member-communication lifetime-seconds 7200
set security group-vpn server group G ipsec-sa A proposal T
set security group-vpn server group G ipsec-sa A match-policy 1 source 10.0.0.0/8
`

// failer is a testing.TB or a rapid.T.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

// world is a DB with fakes around it. The clock goes a second with every commit.
type world struct {
	t failer
	*DB
	log      *MemoryLog
	recorder *Recorder
	clock    time.Time
	trace    []string
}

func newWorld(t failer) *world {
	w := &world{t: t, log: &MemoryLog{}, clock: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.open()
	return w
}

// open starts the node anew over the same log.
func (w *world) open() {
	w.t.Helper()
	w.recorder = &Recorder{}
	db, err := Open(w.log, (*tracer)(w), func() time.Time {
		w.clock = w.clock.Add(time.Second)
		return w.clock
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.DB = db
}

// tracer notes the order of what a commit asks of its appliers.
type tracer world

func (a *tracer) Prepare(p *step.Plan) error {
	a.trace = append(a.trace, "prepare")
	return a.recorder.Prepare(p)
}

func (a *tracer) Apply(p *step.Plan) {
	a.trace = append(a.trace, "apply")
	a.recorder.Apply(p)
}

func (w *world) edit(lines string) {
	w.t.Helper()
	tree, errs := w.Candidate().Tree().LoadSet(nil, "test", []byte(lines))
	if errs.Err() != nil {
		w.t.Fatal(errs)
	}
	w.Candidate().Update(tree)
}

func (w *world) commit(lines string) Result {
	w.t.Helper()
	w.edit(lines)
	r, err := w.Commit(Options{User: "lab", Client: "test", Comment: "comment"})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) text(t config.Tree) string { return string(config.AppendSet(nil, t.Root())) }

// applied words what the appliers were given: commit numbers and effects.
func applied(plans []*step.Plan) string {
	var lines []string
	for _, p := range plans {
		line := fmt.Sprintf("commit %d:", p.Commit)
		for _, e := range p.Effects {
			line += " " + string(e.Kind)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func want(t failer, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

// wantUntouched checks that a failed commit did nothing: what runs, the candidate and the appliers are as before.
func (w *world) wantUntouched(running, candidate config.Tree, number uint64) {
	w.t.Helper()
	want(w.t, "running", w.text(w.Running()), w.text(running))
	want(w.t, "candidate", w.text(w.Candidate().Tree()), w.text(candidate))
	if w.Number() != number {
		w.t.Errorf("number %d, want %d", w.Number(), number)
	}
	if slices.Contains(w.trace, "apply") {
		w.t.Errorf("trace %v: a failed commit was applied", w.trace)
	}
}

func TestCommit(t *testing.T) {
	w := newWorld(t)
	w.log.Fail = func(step string) error {
		w.trace = append(w.trace, step)
		return nil
	}
	r := w.commit(server)
	// Prepare, then the record, then Apply: in this order, or a crash loses a commit or applies half of one.
	want(t, "order", fmt.Sprint(w.trace), "[prepare append appended apply]")
	want(t, "applied", applied(w.recorder.Applied), "commit 1: generate-kek generate-tek")
	if r.Number != 1 || r.Plan != w.recorder.Applied[0] || len(r.Changes) == 0 {
		t.Errorf("result %+v", r)
	}
	want(t, "running", w.text(w.Running()), w.text(w.Candidate().Tree()))
	if w.Candidate().Changed() {
		t.Error("the candidate differs from what runs after a commit")
	}
	h := w.History()
	if len(h) != 1 || h[0].User != "lab" || h[0].Client != "test" || h[0].Comment != "comment" || !h[0].Time.Equal(w.clock) || h[0].Text != nil {
		t.Errorf("history %+v", h)
	}
}

func TestInvalidGivesEveryError(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	w.trace = nil
	running := w.Running()
	w.edit("set security group-vpn server ike gateway M2 ike-policy none\nset security group-vpn server group G ike-gateway other\n")
	candidate := w.Candidate().Tree()
	for _, try := range []func() (Result, error){
		func() (Result, error) { return w.Check(candidate) },
		func() (Result, error) { return w.Commit(Options{}) },
	} {
		_, err := try()
		var errs config.Errors
		if !errors.As(err, &errs) || len(errs) < 2 {
			t.Fatalf("error %v, want a config.Errors with both references", err)
		}
	}
	w.wantUntouched(running, candidate, 1)
	if len(w.trace) > 0 {
		t.Errorf("trace %v: appliers were asked about an invalid configuration", w.trace)
	}
	// The candidate can be put right and committed.
	w.commit("delete security group-vpn server ike gateway M2\ndelete security group-vpn server group G ike-gateway other\n")
}

func TestPrepareRefuses(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	w.trace = nil
	w.recorder.Refuse = errors.Join(errors.New("ike: not supported"), errors.New("dataplane: no room"))
	running := w.Running()
	w.edit("set system host-name other\n")
	candidate := w.Candidate().Tree()
	_, err := w.Commit(Options{})
	var errs config.Errors
	if !errors.As(err, &errs) || len(errs) != 2 {
		t.Fatalf("error %v, want both reasons", err)
	}
	want(t, "reasons", errs.Error(), "[edit] ike: not supported\n[edit] dataplane: no room")
	w.wantUntouched(running, candidate, 1)
	w.recorder.Refuse = nil
	w.commit("")
	if w.Number() != 2 {
		t.Errorf("number %d, want 2", w.Number())
	}
}

// A log that fails: nothing is applied, and the next commit goes through, under the same number.
func TestLogFails(t *testing.T) {
	for _, step := range []string{"append", "appended"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			w.commit(server)
			w.trace = nil
			running := w.Running()
			w.edit("set system host-name other\n")
			candidate := w.Candidate().Tree()
			w.log.Fail = func(s string) error {
				if s == step {
					return errors.New("disk full")
				}
				return nil
			}
			_, err := w.Commit(Options{})
			var errs config.Errors
			if !errors.As(err, &errs) || !strings.Contains(err.Error(), "revision 2: disk full") {
				t.Fatalf("error %v", err)
			}
			w.wantUntouched(running, candidate, 1)
			w.log.Fail = nil

			t.Run("and the node dies", func(t *testing.T) {
				log := *w.log
				db, err := Open(&log, &Recorder{}, time.Now)
				if err != nil {
					t.Fatal(err)
				}
				// What reached the log counts, although nobody was told.
				if want := map[string]uint64{"append": 1, "appended": 2}[step]; db.Number() != want {
					t.Errorf("number %d, want %d", db.Number(), want)
				}
			})

			w.commit("set system host-name third\n")
			if w.Number() != 2 {
				t.Errorf("number %d, want 2", w.Number())
			}
			w.open()
			want(t, "host name", w.Running().Root().Child("system").Get("host-name"), "third")
		})
	}
}

// TestStart starts a node whose engines have persisted an older commit than the last one recorded: the crash was between
// the record and Apply.
func TestStart(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	w.commit("set security group-vpn server group G anti-replay-time-window 100\n")
	w.commit("set security group-vpn server group G group-id 2\n")
	for _, tt := range []struct {
		persisted uint64
		want      string
	}{
		{3, "commit 3: generate-kek generate-tek"}, // a repetition, as the number says
		{2, "commit 2: generate-kek generate-tek\n" +
			"commit 3: send-delete-all-to-members delete-member-ike-sas delete-keys delete-registered-members generate-kek generate-tek"},
		{0, "commit 3: generate-kek generate-tek"}, // never applied anything: a start like the first
	} {
		w.open()
		if err := w.Applied(tt.persisted); err != nil {
			t.Fatal(err)
		}
		want(t, fmt.Sprint("applied after ", tt.persisted), applied(w.recorder.Applied), tt.want)
	}
	w.open()
	if err := w.Applied(4); err == nil || len(w.recorder.Applied) > 0 {
		t.Errorf("engines ahead of the history: %v, applied %v", err, applied(w.recorder.Applied))
	}
	empty := newWorld(t)
	if err := empty.Applied(0); err != nil || len(empty.recorder.Applied) > 0 {
		t.Errorf("start of a new node: %v, applied %v", err, applied(empty.recorder.Applied))
	}
}

func TestRollback(t *testing.T) {
	w := newWorld(t)
	texts := []string{""}
	for i := range 70 {
		w.commit(fmt.Sprintf("set system host-name name%d\n", i))
		texts = append(texts, w.text(w.Running()))
		if i == 2 {
			for n := range 4 { // the last one is the configuration before the first commit
				tree, err := w.Rollback(n)
				if err != nil {
					t.Fatal(err)
				}
				want(t, fmt.Sprint("rollback ", n, " of 3"), w.text(tree), texts[3-n])
			}
		}
	}
	for range 2 { // before and after a start
		for n := range HistorySize {
			tree, err := w.Rollback(n)
			if err != nil {
				t.Fatal(err)
			}
			want(t, fmt.Sprint("rollback ", n), w.text(tree), texts[70-n])
		}
		for _, n := range []int{-1, 50, 69, 70, 1000} {
			if _, err := w.Rollback(n); err == nil {
				t.Errorf("rollback %d: no error", n)
			}
		}
		if h := w.History(); len(h) != HistorySize || h[0].Number != 70 || h[49].Number != 21 {
			t.Errorf("history of %d from %d", len(h), h[0].Number)
		}
		w.open()
	}
	if kept := len(w.log.revisions); kept > HistorySize+checkpointEvery {
		t.Errorf("the log keeps %d revisions", kept)
	}
}

// A commit of one leaf is recorded as a line or two, however long the configuration is.
func TestDeltaFollowsTheChange(t *testing.T) {
	w := newWorld(t)
	var b strings.Builder
	b.WriteString(server)
	for i := range 500 {
		fmt.Fprintf(&b, "set security group-vpn server ike gateway X%d ike-policy K\n", i)
		fmt.Fprintf(&b, "set security group-vpn server ike gateway X%d address 127.4.%d.%d\n", i, i/250, i%250)
	}
	w.commit(b.String())
	w.commit("set security group-vpn server ike gateway X7 address 127.9.9.9\n")
	r := w.log.revisions[1]
	want(t, "delta", string(r.Text), "set security group-vpn server ike gateway X7 address 127.9.9.9\n")
	if r.Checkpoint {
		t.Error("recorded as a checkpoint")
	}
}

// TestDelta shows how changes are recorded; the first commit is a checkpoint, and these are none.
func TestDelta(t *testing.T) {
	tests := []struct{ name, edit, want string }{
		{"an entry that went", "delete security group-vpn server group G ike-gateway M1\n", "same"},
		{"an entry at the end", "set security zones security-zone D description \"two words\"\n", "same"},
		{"entries at the end, in their order", "set security zones security-zone Z\nset security zones security-zone D\n", "same"},
		{"deactivated", "deactivate security zones security-zone A\n", "same"},
		{"activated", "activate security zones security-zone B\n", "same"},
		{"protected", "protect system\n", "same"},
		{"unprotected", "unprotect security group-vpn server ike proposal Q\n", "same"},
		{
			"a protected leaf changed", "unprotect system host-name\nset system host-name other\nprotect system host-name\n",
			"set system host-name other\nprotect system host-name\n",
		},
		{"a flag", "set security group-vpn server traceoptions file world-readable\n", "same"},
		{"a leaf-list", "set security group-vpn server ike policy K proposals Q\n", "same"},
		{"a remark", "annotate system \"why\"\n", "same"},
		{"a remark on an entry before others", "annotate security zones security-zone A \"why\"\n", "same"},
		{
			"a move", "delete security zones security-zone A\nset security zones security-zone A\n",
			"insert security zones security-zone B before security-zone A\n",
		},
		{
			"an entry between others", "set security zones security-zone C\ninsert security zones security-zone C after security-zone A\n", "same",
		},
		{"another name", "rename security group-vpn server group G to group H\n", "same"},
		{"nothing", "", "same"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.commit(server + "set security group-vpn server ike proposal Q dh-group group14\nset security zones security-zone A\n" +
				"set security zones security-zone B\ndeactivate security zones security-zone B\nprotect security group-vpn server ike proposal Q\n")
			w.commit(tt.edit)
			r := w.log.revisions[1]
			got := string(r.Text)
			if r.Checkpoint {
				got = "checkpoint"
			}
			if tt.want == "same" {
				tt.want = tt.edit
			}
			want(t, "delta", got, tt.want)
			running := w.text(w.Running())
			w.open()
			want(t, "running after a start", w.text(w.Running()), running)
		})
	}
}

func TestWarningsDoNotStop(t *testing.T) {
	w := newWorld(t)
	r := w.commit("set security group-vpn server group G description unfinished\n")
	if len(r.Warnings) == 0 {
		t.Error("no warning about a group without group-id")
	}
	if w.Number() != 1 {
		t.Errorf("number %d", w.Number())
	}
}

func TestCheckChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.edit(server)
	r, err := w.Check(w.Candidate().Tree())
	if err != nil || r.Number != 0 || r.Plan.Commit != 1 || len(r.Plan.Effects) == 0 {
		t.Errorf("check: %+v, %v", r, err)
	}
	w.wantUntouched(config.Tree{}, w.Candidate().Tree(), 0)
	if len(w.log.revisions) > 0 {
		t.Error("recorded")
	}
}

func TestLock(t *testing.T) {
	w := newWorld(t)
	if err := errors.Join(w.Lock("a"), w.Lock("a")); err != nil {
		t.Fatal(err)
	}
	if err := w.Lock("b"); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "a") {
		t.Errorf("second owner: %v", err)
	}
	w.Unlock("b") // not its own
	want(t, "owner", w.Locked(), "a")
	w.Unlock("a")
	if err := w.Lock("b"); err != nil {
		t.Error(err)
	}
}

func TestCandidate(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	c := w.Candidate()
	w.edit("set system host-name other\n")
	if !c.Changed() {
		t.Error("not changed after an edit")
	}
	w.edit("set system host-name ks\n")
	if c.Changed() {
		t.Error("changed after an edit and its undoing")
	}
	w.edit("delete security\n")
	c.Discard()
	want(t, "candidate", w.text(c.Tree()), w.text(w.Running()))
}

func TestOpenOnADamagedLog(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(l *MemoryLog)
		want string
	}{
		{"history unreadable", func(l *MemoryLog) {
			l.Fail = func(s string) error { return map[string]error{"revisions": errors.New("torn")}[s] }
		}, "torn"},
		{"text unreadable", func(l *MemoryLog) {
			l.Fail = func(s string) error { return map[string]error{"text": errors.New("torn")}[s] }
		}, "revision 1: torn"},
		{"no checkpoint", func(l *MemoryLog) { l.revisions = l.revisions[1:] }, "no checkpoint"},
		{"text of something else", func(l *MemoryLog) { l.revisions[1].Text = []byte("set system flavour vanilla\n") }, "revision 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.commit(server)
			w.commit("set system host-name b\n")
			tt.do(w.log)
			_, err := Open(w.log, &Recorder{}, time.Now)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "commit: ") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestHistoryProperty: whatever is edited, what is rebuilt from the log is what was committed, to the last mark, remark and
// place in a list.
func TestHistoryProperty(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	places := []string{
		"security group-vpn server ike policy %s", "security group-vpn server ike gateway %s",
		"security zones security-zone %s", "security group-vpn server group %s", "system login user %s",
	}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		w.commit(server)
		trees := []config.Tree{w.Running()}
		for range rapid.IntRange(1, 8).Draw(rt, "commits") {
			tree := w.Candidate().Tree()
			for range rapid.IntRange(1, 6).Draw(rt, "edits") {
				path := fmt.Sprintf(rapid.SampledFrom(places).Draw(rt, "place"), names.Draw(rt, "name"))
				line := rapid.SampledFrom([]string{
					"set " + path, "delete " + path, "deactivate " + path, "activate " + path, "protect " + path, "unprotect " + path,
					"annotate " + path + ` "remark \"quoted\" and long"`,
					"set security group-vpn server group G member-threshold 1",
					"set security group-vpn server ike policy K proposals P", "delete security group-vpn server ike policy K description",
					`set security group-vpn server ike policy K description "two words"`,
					"deactivate security group-vpn server ipsec", "activate security group-vpn server ipsec",
					"set security group-vpn server ike gateway M1 local-identity hostname name",
					"set security group-vpn server ike gateway M1 local-identity inet 127.0.0.1",
				}).Draw(rt, "line")
				if t, errs := tree.LoadSet(nil, "edit", []byte(line)); errs.Err() == nil {
					tree = t
				}
				if rapid.Bool().Draw(rt, "move") {
					moved := []string{"security", "zones", "security-zone", names.Draw(rt, "moved")}
					if t, err := tree.InsertBefore(nil, moved, []string{"security-zone", names.Draw(rt, "before")}); err == nil {
						tree = t
					}
				}
			}
			w.Candidate().Update(tree)
			if _, err := w.Commit(Options{}); err != nil {
				w.Candidate().Discard() // many of these are invalid, and refused
				continue
			}
			trees = append(trees, tree)
		}
		w.open()
		for n := range trees {
			got, err := w.Rollback(n)
			if err != nil {
				rt.Fatal(err)
			}
			if want := trees[len(trees)-1-n]; !config.Equal(got.Root(), want.Root()) {
				rt.Fatalf("rollback %d:\n%s\nwant:\n%s", n, w.text(got), w.text(want))
			}
		}
	})
}
