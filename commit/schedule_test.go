package commit

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// schedule edits and asks for a commit in an hour.
func (w *world) schedule(lines string) {
	w.t.Helper()
	w.edit(lines)
	if _, err := w.CommitAt(Options{User: "lab", Client: "test", Comment: "later"}, w.clock.Add(time.Hour)); err != nil {
		w.t.Fatal(err)
	}
}

func TestCommitAt(t *testing.T) {
	for name, between := range map[string]func(*world){"no restart": func(*world) {}, "restart": (*world).open} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.commit(server)
			w.schedule("set system host-name a")
			between(w)
			want(t, "candidate", w.Candidate().Tree().Root().Child("system").Get("host-name"), "a")
			if news := w.timeout(); news != nil {
				t.Errorf("before the time: %q", news)
			}
			w.wantHost("ks")
			w.clock = w.clock.Add(time.Hour)
			if news := w.timeout(); len(news) != 1 || !strings.HasSuffix(news[0], "by lab complete") {
				t.Errorf("at the time: %q", news)
			}
			w.wantHost("a")
			h := w.History()[0]
			want(t, "commit", h.User+" "+h.Client+" "+h.Comment, "lab test later")
			if _, ok := w.Deadline(); ok || w.Locked() != "" {
				t.Errorf("something is left: locked by %q", w.Locked())
			}
			w.open()
			if w.Number() != 2 || w.Scheduled() != nil {
				t.Errorf("after a restart: commit %d, scheduled %v", w.Number(), w.Scheduled())
			}
		})
	}
}

// Until its time a scheduled commit keeps everybody from committing and from the lock.
func TestCommitAtLocks(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	w.schedule("set system host-name a")
	for what, f := range map[string]func() error{
		"commit":    func() error { _, err := w.Commit(Options{}); return err },
		"commit at": func() error { _, err := w.CommitAt(Options{}, w.clock.Add(2*time.Hour)); return err },
		"lock":      func() error { return w.Lock("bob") },
		"exclusive": func() error { return w.Exclusive("bob") },
	} {
		if err := f(); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: %v, want %v", what, err, ErrLocked)
		}
	}
	if found, err := w.ClearScheduled(); !found || err != nil {
		t.Fatalf("clear: %v, %v", found, err)
	}
	w.open()
	if _, ok := w.Deadline(); ok {
		t.Error("a scheduled commit came back after it was cleared")
	}
	w.commit("set system host-name b")
	w.wantHost("b")
}

func TestCommitAtRefused(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	private, err := w.Private("ann")
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Hour
	for what, c := range map[string]struct {
		o     Options
		after time.Duration
		want  string
	}{
		"past":      {Options{}, -hour, "the time is past"},
		"confirmed": {Options{Confirm: hour}, hour, "must be confirmed"},
		"private":   {Options{Candidate: private}, hour, "private"},
	} {
		if _, err := w.CommitAt(c.o, w.clock.Add(c.after)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	w.confirmed("set system host-name a", hour)
	if _, err := w.CommitAt(Options{}, w.clock.Add(hour)); err == nil || !strings.Contains(err.Error(), "pending") {
		t.Errorf("while a confirmed commit is pending: %v", err)
	}
}

// What cannot be carried out any more when its time comes is dropped, with the reason, and its changes stay in the candidate.
func TestCommitAtFails(t *testing.T) {
	w := newWorld(t)
	w.commit(server)
	w.schedule("set system host-name a")
	w.recorder.Refuse = errors.New("no more")
	w.clock = w.clock.Add(time.Hour)
	if news := w.timeout(); len(news) != 1 || !strings.Contains(news[0], "no more") {
		t.Errorf("news %q", news)
	}
	w.recorder.Refuse = nil
	w.wantHost("ks")
	if !w.Candidate().Changed() || w.Locked() != "" {
		t.Errorf("candidate changed: %v; locked by %q", w.Candidate().Changed(), w.Locked())
	}
}

// A log that fails at any step delays the commit, or has it happen; it never happens twice.
func TestCommitAtCrashes(t *testing.T) {
	for _, step := range []string{"append", "appended", "keep", "have kept"} {
		for name, between := range map[string]func(*world){"no restart": func(*world) {}, "restart": (*world).open} {
			t.Run(step+" "+name, func(t *testing.T) {
				w := newWorld(t)
				w.commit(server)
				w.schedule("set system host-name a")
				w.clock = w.clock.Add(time.Hour)
				w.log.Fail = func(s string) error {
					if s == step {
						return errors.New("crash")
					}
					return nil
				}
				_, err := w.HandleTimeout()
				w.log.Fail = nil
				if failed := step == "append" || step == "appended"; (err != nil) != failed {
					t.Fatalf("error %v", err)
				}
				between(w)
				w.clock = w.clock.Add(retryEvery)
				w.timeout()
				w.wantHost("a")
				w.open()
				w.timeout()
				w.wantHost("a")
				if w.Number() != 2 {
					t.Errorf("%d commits, want 2", w.Number())
				}
			})
		}
	}
}

func TestRescue(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Rescue(); err == nil {
		t.Error("a rescue configuration that nobody saved")
	}
	if err := w.SaveRescue(); err != nil { // the empty one is one too
		t.Fatal(err)
	}
	tree, err := w.Rescue()
	if err != nil {
		t.Fatal(err)
	}
	want(t, "rescue", w.text(tree), "")
	w.commit(server)
	if err := w.SaveRescue(); err != nil {
		t.Fatal(err)
	}
	w.commit("set system host-name a")
	w.open()
	if tree, err = w.Rescue(); err != nil {
		t.Fatal(err)
	}
	text := w.text(tree)
	old, err := w.Rollback(1)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "rescue", text, w.text(old))
	for range 2 {
		if err := w.DeleteRescue(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Rescue(); err == nil {
		t.Error("a rescue configuration that was deleted")
	}
}
