package commit

import (
	"errors"
	"testing"
	"time"
)

// confirmed edits and commits, to be confirmed within a time.
func (w *world) confirmed(lines string, within time.Duration) {
	w.t.Helper()
	w.edit(lines)
	if _, err := w.Commit(Options{User: "lab", Client: "test", Confirm: within}); err != nil {
		w.t.Fatal(err)
	}
}

// timeout has the database do what is due.
func (w *world) timeout() []string {
	w.t.Helper()
	news, err := w.HandleTimeout()
	if err != nil {
		w.t.Fatal(err)
	}
	return news
}

func (w *world) wantHost(name string) {
	w.t.Helper()
	want(w.t, "host-name", w.Running().Root().Child("system").Get("host-name"), name)
}

func TestConfirmedCommitIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	w.confirmed("set system host-name a", 10*time.Minute)
	if left, ok := w.PendingMinutes(w.clock); !ok || left != 10 {
		t.Errorf("%d minutes left, %v; want 10", left, ok)
	}
	w.clock = w.clock.Add(9 * time.Minute)
	if news := w.timeout(); news != nil {
		t.Errorf("before the time: %q", news)
	}
	w.wantHost("a")
	w.clock = w.clock.Add(time.Minute)
	if news := w.timeout(); len(news) != 1 || news[0] != NotConfirmed {
		t.Errorf("at the time: %q", news)
	}
	w.wantHost("ks")
	if _, ok := w.Deadline(); ok {
		t.Error("there is still a deadline")
	}
	if w.Candidate().Changed() {
		t.Error("the candidate did not follow the rollback")
	}
	h := w.History()
	want(t, "commit", h[0].User+" via "+h[0].Client, "root via other")
	if h[1].Within != 10*time.Minute {
		t.Errorf("the history says %v of the confirmed commit", h[1].Within)
	}
}

// "Confirmed commit that forgets the first backup": a second one does not move the point of return, nor does a restart between
// them.
func TestSecondConfirmedCommitKeepsThePointOfReturn(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	w.confirmed("set system host-name a", 10*time.Minute)
	w.open()
	w.confirmed("set system host-name b", 10*time.Minute)
	w.open()
	w.clock = w.clock.Add(time.Hour)
	w.timeout()
	w.wantHost("ks")
}

// The point of return is kept for longer than rollback reaches.
func TestPointOfReturnIsKept(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	for i := range 3 * HistorySize {
		w.confirmed("set system host-name h"+string(rune('a'+i%26)), time.Hour)
	}
	w.open()
	w.clock = w.clock.Add(2 * time.Hour)
	w.timeout()
	w.wantHost("ks")
	w.commit("set system host-name z")
	w.open()
	w.wantHost("z")
	if n := len(w.kept); n > HistorySize+2*checkpointEvery {
		t.Errorf("%d revisions are kept after the rollback", n)
	}
}

// The first commit of all may be a confirmed one: it goes back to nothing.
func TestFirstCommitIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.confirmed(server, time.Minute)
	w.clock = w.clock.Add(time.Hour)
	w.timeout()
	want(t, "running", w.text(w.Running()), "")
}

func TestConfirm(t *testing.T) {
	for name, confirm := range map[string]func(w *world){
		"by a commit": func(w *world) { w.commit("") },
		"by a check": func(w *world) {
			if err := w.Confirm(""); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.commit(server)
			w.confirmed("set system host-name a", time.Minute)
			w.confirmed("set system host-name b", time.Minute)
			confirm(w)
			w.clock = w.clock.Add(time.Hour)
			if news := w.timeout(); news != nil {
				t.Errorf("news of a confirmed commit: %q", news)
			}
			w.open()
			if news := w.timeout(); news != nil {
				t.Errorf("news after a restart: %q", news)
			}
			w.wantHost("b")
			w.commit("set system host-name c")
			w.open()
			w.wantHost("c")
		})
	}
}

// A lock forbids others to confirm, and does not stop the rollback.
func TestConfirmedCommitAndLock(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	w.confirmed("set system host-name a", time.Minute)
	if err := w.Lock("bob"); err != nil {
		t.Fatal(err)
	}
	if err := w.Confirm(""); !errors.Is(err, ErrLocked) {
		t.Errorf("confirmed by others than the lock's owner: %v", err)
	}
	w.clock = w.clock.Add(time.Hour)
	w.timeout()
	w.wantHost("ks")
}

// Edits under way stay where they are when the configuration below them is taken back.
func TestRollbackLeavesEdits(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	w.confirmed("set system host-name a", time.Minute)
	w.edit("set system host-name edited")
	w.clock = w.clock.Add(time.Hour)
	w.timeout()
	w.wantHost("ks")
	want(t, "candidate", w.Candidate().Tree().Root().Child("system").Get("host-name"), "edited")
}

// Every step of a confirmed commit, its confirmation and its rollback may be the node's last: what is found after it is what was
// before or what was to come, and what is pending stays so.
func TestConfirmedCommitCrashes(t *testing.T) {
	crash := errors.New("crash")
	for _, step := range []string{"append", "appended", "text", "revisions"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			w.commit(server)
			failing := func(s string) error {
				if s == step {
					return crash
				}
				return nil
			}
			recorded := step == "appended"

			// The confirmed commit.
			w.edit("set system host-name a")
			w.log.Fail = failing
			_, err := w.Commit(Options{User: "lab", Client: "test", Confirm: time.Minute})
			w.log.Fail = nil
			if (err != nil) != (step == "append" || step == "appended") {
				t.Fatalf("commit: %v", err)
			}
			w.open()
			if _, ok := w.Pending(); ok != (err == nil || recorded) {
				t.Errorf("after a crash at %s of the commit: pending is %v", step, ok)
			}
			if _, ok := w.Pending(); !ok {
				w.confirmed("set system host-name a", time.Minute)
			}

			// A rollback that fails is tried again, without a restart and with one.
			w.clock = w.clock.Add(time.Hour)
			w.log.Fail = failing
			_, err = w.HandleTimeout()
			w.log.Fail = nil
			if err != nil {
				if deadline, ok := w.Deadline(); !ok || deadline.Sub(w.clock) > retryEvery {
					t.Errorf("after a rollback that failed at %s: deadline %v, %v", step, deadline, ok)
				}
				w.wantHost("a")
				w.clock = w.clock.Add(retryEvery)
				w.timeout()
			}
			w.wantHost("ks")
			w.open()
			w.wantHost("ks")

			// The confirmation.
			w.confirmed("set system host-name b", time.Minute)
			w.log.Fail = failing
			err = w.Confirm("")
			w.log.Fail = nil
			if (err != nil) != (step != "revisions") {
				t.Fatalf("confirm: %v", err)
			}
			if _, ok := w.Pending(); ok != (err != nil) {
				t.Errorf("after a confirmation with error %v: pending is %v", err, ok)
			}
			w.open()
			if _, ok := w.Pending(); ok != (err != nil && !recorded) {
				t.Errorf("after a crash at %s of the confirmation: pending is %v", step, ok)
			}
			w.wantHost("b")
		})
	}
}

// A revision that reached the disk though its Append failed is gone once the one before it is confirmed.
func TestConfirmAfterAFailedCommit(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	w.confirmed("set system host-name a", time.Minute)
	w.edit("set system host-name b")
	w.log.Fail = func(step string) error {
		if step == "appended" {
			return errors.New("disk")
		}
		return nil
	}
	if _, err := w.Commit(Options{}); err == nil {
		t.Fatal("the commit did not fail")
	}
	w.log.Fail = nil
	if err := w.Confirm(""); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.wantHost("a")
}
