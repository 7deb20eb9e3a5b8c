package commit

import (
	"errors"
	"fmt"
	"time"

	"gvpn/commit/diff"
	"gvpn/commit/effect"
	"gvpn/commit/step"
	"gvpn/config"
)

// Applier carries plans out: the engines of a node, behind its loop.
type Applier interface {
	// Prepare says whether the plan can be carried out. It must not act: the commit may still fail elsewhere.
	Prepare(p *step.Plan) error
	// Apply carries the plan out. It must not fail.
	Apply(p *step.Plan)
}

// DB is a node's configuration: what runs, the shared candidate, and what ran before.
type DB struct {
	log     Log
	applier Applier
	now     func() time.Time

	running   config.Tree
	candidate Candidate
	history   []Revision // newest first, at most HistorySize
	owner     string     // who holds the lock, "" for nobody
}

// Candidate is the configuration that is being edited.
type Candidate struct {
	tree    config.Tree
	running *config.Tree
}

// Tree returns the candidate as it stands.
func (c *Candidate) Tree() config.Tree { return c.tree }

// Update replaces the candidate by an edited one.
func (c *Candidate) Update(t config.Tree) { c.tree = t }

// Changed reports whether the candidate differs from what runs.
func (c *Candidate) Changed() bool { return !config.Equal(c.tree.Root(), c.running.Root()) }

// Discard makes the candidate what runs.
func (c *Candidate) Discard() { c.tree = *c.running }

// Options is how a commit is made.
type Options struct {
	User    string
	Client  string // "cli", "netconf", "gnmi", "file"
	Comment string
}

// Result is what a commit or a check found.
type Result struct {
	Number   uint64 // of the running configuration after it
	Plan     *step.Plan
	Changes  []diff.Change
	Warnings config.Errors
}

// Open reads the log and rebuilds what runs. Nothing is applied: see Applied.
func Open(log Log, applier Applier, now func() time.Time) (*DB, error) {
	d := &DB{log: log, applier: applier, now: now}
	d.candidate.running = &d.running
	revisions, err := log.Revisions()
	if err != nil {
		return nil, fmt.Errorf("commit: read the history: %w", err)
	}
	for _, r := range revisions {
		d.history = append([]Revision{r}, d.history...)
	}
	if len(d.history) > 0 {
		if d.running, err = d.tree(d.history[0].Number); err != nil {
			return nil, err
		}
	}
	d.candidate.Discard()
	return d, nil
}

// tree rebuilds a revision's configuration; 0 is the empty one.
func (d *DB) tree(number uint64) (config.Tree, error) {
	if number == 0 {
		return config.Tree{}, nil
	}
	text, err := d.log.Text(number)
	if err != nil {
		return config.Tree{}, fmt.Errorf("commit: read revision %d: %w", number, err)
	}
	t, errs := config.Tree{}.LoadSet(nil, fmt.Sprintf("revision %d", number), text)
	if err := errs.Err(); err != nil {
		return config.Tree{}, fmt.Errorf("commit: revision %d is not what was committed: %w", number, err)
	}
	return t, nil
}

// Running returns the configuration that runs.
func (d *DB) Running() config.Tree { return d.running }

// Number returns the number of the running configuration, 0 before the first commit.
func (d *DB) Number() uint64 {
	if len(d.history) == 0 {
		return 0
	}
	return d.history[0].Number
}

// Candidate returns the shared candidate. It is valid as long as d.
func (d *DB) Candidate() *Candidate { return &d.candidate }

// History returns what rollback reaches, newest first; Text is nil.
func (d *DB) History() []Revision { return append([]Revision(nil), d.history...) }

// Rollback returns the configuration of n commits ago, 0 for what runs.
func (d *DB) Rollback(n int) (config.Tree, error) {
	if n == 0 {
		return d.running, nil
	}
	if n < 0 || n >= HistorySize || n > len(d.history) {
		return config.Tree{}, fmt.Errorf("commit: rollback %d: there is no such configuration", n)
	}
	if n == len(d.history) {
		if oldest := d.history[n-1].Number; oldest == 1 {
			return d.tree(0)
		}
		return config.Tree{}, fmt.Errorf("commit: rollback %d: there is no such configuration", n)
	}
	return d.tree(d.history[n].Number)
}

// ErrLocked is wrapped by the errors of whoever wants what another has locked.
var ErrLocked = errors.New("configuration database locked by")

// Lock gives the candidate to one owner. It fails if another has it.
func (d *DB) Lock(owner string) error {
	if d.owner != "" && d.owner != owner {
		return fmt.Errorf("%w: %s", ErrLocked, d.owner)
	}
	d.owner = owner
	return nil
}

// Unlock gives the candidate back if owner has it.
func (d *DB) Unlock(owner string) {
	if d.owner == owner {
		d.owner = ""
	}
}

// Locked returns who holds the lock, "" for nobody.
func (d *DB) Locked() string { return d.owner }

// Check says what a commit of t would do; it changes nothing. Its error is a config.Errors for what is wrong with t, or
// what an applier cannot carry out.
func (d *DB) Check(t config.Tree) (Result, error) {
	r := Result{Number: d.Number()}
	next, old := t.Effective(), d.running.Effective()
	errs, warnings := next.Validate(old)
	r.Warnings = warnings
	if err := errs.Err(); err != nil {
		return r, err
	}
	r.Changes = diff.Diff(old, next)
	plan, err := effect.Plan(old, next, r.Changes)
	if err != nil {
		return r, err
	}
	plan.Commit = d.Number() + 1
	r.Plan = plan
	return r, d.applier.Prepare(plan)
}

// Commit makes the candidate the running configuration: all of it, or nothing and an error as of Check.
func (d *DB) Commit(o Options) (Result, error) {
	next := d.candidate.tree
	r, err := d.Check(next)
	if err != nil {
		return r, err
	}
	revision := Revision{
		Number: r.Plan.Commit, Time: d.now(), User: o.User, Client: o.Client, Comment: o.Comment,
		Checkpoint: true, Text: config.AppendSet(nil, next.Root()), Oldest: d.oldest(),
	}
	if err := d.log.Append(revision); err != nil {
		return r, fmt.Errorf("commit: record revision %d: %w", revision.Number, err)
	}
	d.applier.Apply(r.Plan)
	revision.Text = nil
	d.history = append([]Revision{revision}, d.history...)
	if len(d.history) > HistorySize {
		d.history = d.history[:HistorySize]
	}
	d.running = next
	d.candidate.Discard()
	r.Number = revision.Number
	return r, nil
}

func (d *DB) oldest() uint64 {
	if len(d.history) < HistorySize {
		return 1
	}
	return d.history[HistorySize-2].Number
}

// Applied has carried out what the engines have not seen yet. number is the last commit that they have persisted: they
// get the plan of that configuration from nothing first, then that of what came after. Called once, before any commit.
func (d *DB) Applied(number uint64) error {
	from := config.Tree{}
	if number > d.Number() {
		return fmt.Errorf("commit: the engines have carried out commit %d, the history ends with %d", number, d.Number())
	}
	stages := []uint64{number, d.Number()}
	if number == d.Number() {
		stages = stages[:1]
	}
	for _, n := range stages {
		if n == 0 {
			continue
		}
		t, err := d.tree(n)
		if err != nil {
			return err
		}
		old, next := from.Effective(), t.Effective()
		plan, err := effect.Plan(old, next, diff.Diff(old, next))
		if err != nil {
			return err
		}
		plan.Commit = n
		d.applier.Apply(plan)
		from = t
	}
	return nil
}
