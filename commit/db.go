package commit

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"gvpn/commit/diff"
	"gvpn/commit/effect"
	"gvpn/commit/step"
	"gvpn/config"
)

// DB is a node's configuration: what runs, the shared candidate, and what ran before.
type DB struct {
	log     Log
	applier Applier
	now     func() time.Time

	running   config.Tree
	effective config.Effective // of running: what validation and plans are about
	candidate Candidate
	kept      []Revision // what the log holds, oldest first, without texts
	owner     string     // who holds the lock, "" for nobody
	private   []*Candidate
	scheduled *Scheduled
	retry     time.Time // of a rollback or a scheduled commit that failed

	// A checkpoint is due when the deltas since the last are as long as it is, or many.
	checkpoint, deltas int // octets
	since              int // how many deltas
}

// Deltas are many when there are checkpointEvery of them, or one for each checkpointShare octets of the checkpoint if those are
// more: reading so many takes about as long as reading the checkpoint, and a commit seldom has to write all of a large
// configuration.
const (
	checkpointEvery = 25
	checkpointShare = 16 << 10
)

// Options says whose commit it is.
type Options struct {
	User    string
	Client  string // "cli", "netconf", "gnmi", "file"; "other" for the node itself
	Remote  string // see Revision
	Comment string

	// Owner is who commits as far as Lock goes: a commit by anybody else than the lock's owner is refused.
	Owner string
	// Candidate is what is committed; nil: the shared one.
	Candidate *Candidate
	// Confirm, if not 0, has the commit taken back automatically after this time unless it is confirmed.
	Confirm time.Duration
}

// Result is what a commit or a check found.
type Result struct {
	Number   uint64 // of the running configuration after it
	Plan     *step.Plan
	Changes  []diff.Change
	Warnings config.Errors
}

// Open reads the log and rebuilds what runs. now gives the time of a commit. Nothing is applied: see Applied.
func Open(log Log, applier Applier, now func() time.Time) (*DB, error) {
	d := &DB{log: log, applier: applier, now: now}
	d.candidate.db = d
	var err error
	if d.kept, err = log.Revisions(); err != nil {
		return nil, fmt.Errorf("commit: read the history: %w", err)
	}
	if len(d.kept) > 0 && !d.kept[0].Checkpoint {
		return nil, fmt.Errorf("commit: the history begins with revision %d, which is no checkpoint", d.kept[0].Number)
	}
	if d.running, err = d.rebuild(d.Number(), d.measure); err != nil {
		return nil, err
	}
	d.effective, _ = config.Effective{}.Next(d.running) // without errors when it was committed
	d.candidate.Discard()
	d.expireSession()
	return d, d.restoreScheduled()
}

// rebuild makes a revision's configuration from the checkpoint before it; 0 is the empty one. read, if not nil, is told of every
// text.
func (d *DB) rebuild(number uint64, read func(r Revision, text []byte)) (config.Tree, error) {
	var t config.Tree
	if number == 0 {
		return t, nil
	}
	last := slices.IndexFunc(d.kept, func(r Revision) bool { return r.Number == number })
	if last < 0 {
		return t, fmt.Errorf("commit: revision %d is not kept", number)
	}
	first := last
	for first > 0 && !d.kept[first].Checkpoint {
		first--
	}
	for _, r := range d.kept[first : last+1] {
		text, err := d.log.Text(r.Number)
		if err != nil {
			return t, fmt.Errorf("commit: read revision %d: %w", r.Number, err)
		}
		if read != nil {
			read(r, text)
		}
		var errs config.Errors
		if t, errs = t.LoadSet(nil, fmt.Sprintf("revision %d", r.Number), text); errs.Err() != nil {
			return t, fmt.Errorf("commit: revision %d cannot be read by this version: %w", r.Number, errs)
		}
	}
	return t, nil
}

func (d *DB) measure(r Revision, text []byte) {
	if r.Checkpoint {
		d.checkpoint, d.deltas, d.since = len(text), 0, 0
	} else {
		d.deltas += len(text)
		d.since++
	}
}

// Running returns the configuration that runs, as it is written.
func (d *DB) Running() config.Tree { return d.running }

// Effective returns what the configuration that runs means.
func (d *DB) Effective() config.Tree { return d.effective.Tree() }

// Number returns the number of the running configuration, 0 before the first commit.
func (d *DB) Number() uint64 {
	if len(d.kept) == 0 {
		return 0
	}
	return d.kept[len(d.kept)-1].Number
}

// History returns what rollback reaches, newest first, at most HistorySize; the first is the running one. Text is nil.
func (d *DB) History() []Revision {
	h := slices.Clone(d.kept[max(0, len(d.kept)-HistorySize):])
	slices.Reverse(h)
	return h
}

// Rollback returns the configuration of n commits ago, 0 for what runs, rebuilt from the log. The one before the first commit is
// the empty one.
func (d *DB) Rollback(n int) (config.Tree, error) {
	switch last := len(d.kept) - 1; {
	case n == 0:
		return d.running, nil
	case n > 0 && n < HistorySize && n <= last:
		return d.rebuild(d.kept[last-n].Number, nil)
	case n > 0 && n < HistorySize && n == last+1 && d.kept[0].Number == 1:
		return config.Tree{}, nil
	}
	return config.Tree{}, fmt.Errorf("commit: rollback %d: there is no such configuration", n)
}

// Check says what a commit of t would do, and asks the appliers whether they could; it changes nothing. Its error is a
// config.Errors with every reason that there is: all that is wrong with t, or, if t is valid, all that cannot be carried out. The
// Result is filled in as far as Check came.
func (d *DB) Check(t config.Tree) (Result, error) {
	r, _, err := d.check(t)
	return r, err
}

func (d *DB) check(t config.Tree) (r Result, effective config.Effective, err error) {
	r.Number = d.Number()
	effective, missing := d.effective.Next(t)
	old, next := d.effective.Tree(), effective.Tree()
	errs, warnings := next.Validate(old)
	r.Warnings = warnings
	if err := append(missing, errs...).Err(); err != nil {
		return r, effective, err
	}
	r.Changes = diff.Diff(old, next)
	plan, err := effect.Plan(old, next, r.Changes)
	if err != nil {
		return r, effective, refusal("operation-failed", err)
	}
	plan.Commit = d.Number() + 1
	r.Plan = plan
	if err := d.applier.Prepare(plan); err != nil {
		return r, effective, refusal("operation-not-supported", err)
	}
	return r, effective, nil
}

// Commit makes the candidate the running configuration: all of it, or nothing and an error as of Check. A candidate without a
// change is committed too, as a revision of its own. Warnings do not stop it.
//
// The revision is durable before anything is applied. If the log fails, nothing is applied and the candidate is as it was; a
// revision that reached the disk all the same is replaced by the next commit, and counts if the node dies before that.
//
// A private copy is merged with what runs first, see Merge; that fails while the shared candidate has edits. An error that wraps
// ErrLocked means that another than o.Owner holds the lock.
func (d *DB) Commit(o Options) (Result, error) {
	c := o.Candidate
	if c == nil {
		c = &d.candidate
	}
	failed := Result{Number: d.Number()}
	if err := d.Free(o.Owner); err != nil {
		return failed, err
	}
	if c.Private() {
		switch {
		case o.Confirm != 0:
			return failed, errors.New("commit: commit confirmed is not allowed for a private candidate")
		case d.candidate.Changed():
			return failed, ErrSharedModified
		}
		if err := d.Merge(c); err != nil {
			return failed, err
		}
	}
	r, err := d.commit(c.tree, o)
	if err == nil {
		c.Discard()
	}
	return r, err
}

// commit makes next the running configuration. A shared candidate without edits follows it.
func (d *DB) commit(next config.Tree, o Options) (Result, error) {
	r, effective, err := d.check(next)
	if err != nil {
		return r, err
	}
	revision := Revision{
		Number: r.Plan.Commit, Time: d.now(), User: o.User, Client: o.Client, Remote: o.Remote, Comment: o.Comment,
	}
	if o.Confirm != 0 {
		d.confirmed(&revision, o.Confirm)
	}
	d.write(&revision, next)
	if err := d.log.Append(revision); err != nil {
		return r, refusal("operation-failed", fmt.Errorf("commit: record revision %d: %w", revision.Number, err))
	}
	d.measure(revision, revision.Text)
	revision.Text = nil
	follows := !d.candidate.Changed()
	gone, _ := slices.BinarySearchFunc(d.kept, revision.Oldest, func(k Revision, n uint64) int { return cmp.Compare(k.Number, n) })
	d.kept = append(d.kept[gone:], revision)
	d.running, d.effective = next, effective
	if follows {
		d.candidate.Discard()
	}
	r.Number = revision.Number
	d.applier.Apply(r.Plan)
	return r, nil
}

// write fills in the revision's text and what it lets the log forget.
func (d *DB) write(r *Revision, next config.Tree) {
	due := len(d.kept) == 0 || d.deltas >= d.checkpoint || d.since+1 >= max(checkpointEvery, d.checkpoint/checkpointShare)
	if !due {
		var ok bool
		r.Text, ok = delta(d.running, next)
		due = !ok
	}
	if due {
		r.Checkpoint, r.Text = true, config.AppendSet(nil, next.Root())
	}
	// The newest checkpoint from which the oldest revision that rollback reaches can be rebuilt.
	r.Oldest = r.Number
	if len(d.kept) > 0 {
		r.Oldest = d.kept[0].Number
	}
	for i := len(d.kept) - 1; i >= 0; i-- {
		if k := &d.kept[i]; k.Checkpoint && needed(*k, *r) {
			r.Oldest = k.Number
			break
		}
	}
}

// Applied brings the engines to what runs, after a start. number is the last commit that they have persisted, 0 for none: they
// get the plan of that configuration from the empty one, under its number, which tells them that they have been there, then the
// plan of what came after it. Called once, before any commit.
func (d *DB) Applied(number uint64) error {
	if number > d.Number() {
		return fmt.Errorf("commit: the engines have carried out commit %d, the history ends with %d", number, d.Number())
	}
	var from config.Tree
	if number > 0 && number < d.Number() {
		t, err := d.rebuild(number, nil)
		if err != nil {
			return err
		}
		next, _ := d.effective.Next(t)
		if err := d.apply(from, next.Tree(), number); err != nil {
			return err
		}
		from = next.Tree()
	}
	if d.Number() == 0 {
		return nil
	}
	return d.apply(from, d.effective.Tree(), d.Number())
}

func (d *DB) apply(from, to config.Tree, number uint64) error {
	plan, err := effect.Plan(from, to, diff.Diff(from, to))
	if err != nil {
		return err
	}
	plan.Commit = number
	d.applier.Apply(plan)
	return nil
}
