package commit

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gvpn/config"
)

// Candidate is a configuration that is being edited: the shared one, or a session's private copy.
type Candidate struct {
	db   *DB
	tree config.Tree
	// base is what ran when a private copy was taken or last brought up to date; unused for the shared one.
	base   config.Tree
	owner  string    // of a private copy, "" for the shared one
	edited time.Time // the last Update or Replace
}

// Tree returns the candidate as it stands.
func (c *Candidate) Tree() config.Tree { return c.tree }

// Update replaces the candidate by an edited one.
func (c *Candidate) Update(t config.Tree) { c.tree, c.edited = t, c.db.now() }

// Replace puts t in the place of the candidate whatever others have committed: t is all that is wanted. Update keeps what
// others committed since a private copy was taken.
func (c *Candidate) Replace(t config.Tree) {
	c.Update(t)
	c.base = c.db.running
}

// Edited returns when the candidate was last edited, and whether it holds edits at all.
func (c *Candidate) Edited() (time.Time, bool) { return c.edited, c.Changed() }

// Changed reports whether the candidate holds edits: differs from what runs, or a private copy from what ran when it was
// taken.
func (c *Candidate) Changed() bool {
	old := c.db.running
	if c.Private() {
		old = c.base
	}
	return !config.Equal(c.tree.Root(), old.Root())
}

// Discard makes the candidate what runs.
func (c *Candidate) Discard() { c.tree, c.base = c.db.running, c.db.running }

// Private reports whether the candidate is a private copy.
func (c *Candidate) Private() bool { return c.owner != "" }

// Reasons for which a candidate cannot be had or committed.
var (
	// ErrLocked is wrapped by the errors of whoever wants what another has locked.
	ErrLocked = errors.New("configuration database locked by")
	// ErrModified is returned while the shared candidate has edits that would be lost, or mixed with one's own.
	ErrModified = errors.New("configuration database modified")
	// ErrSharedModified is ErrModified in the words for private copies.
	ErrSharedModified = errors.New("shared configuration database modified")
)

// Candidate returns the shared candidate. It is valid as long as d.
func (d *DB) Candidate() *Candidate { return &d.candidate }

// Private takes a private copy of what runs for owner, which must not be empty. It fails while the shared candidate has
// edits. Forget gives it back.
func (d *DB) Private(owner string) (*Candidate, error) {
	if d.candidate.Changed() {
		return nil, ErrSharedModified
	}
	c := &Candidate{db: d, owner: owner}
	c.Discard()
	d.private = append(d.private, c)
	return c, nil
}

// Forget drops a private copy with its edits; it must not be used any more.
func (d *DB) Forget(c *Candidate) {
	d.private = slices.DeleteFunc(d.private, func(p *Candidate) bool { return p == c })
}

// PrivateOwners returns who has private copies, in the order in which they were taken.
func (d *DB) PrivateOwners() []string {
	var owners []string
	for _, c := range d.private {
		owners = append(owners, c.owner)
	}
	return owners
}

// Lock gives the database to one owner: nobody else may edit the shared candidate or commit. It fails if another has it.
func (d *DB) Lock(owner string) error {
	if err := d.Free(owner); err != nil {
		return err
	}
	d.owner = owner
	return nil
}

// Exclusive is Lock for an owner who wants the shared candidate as it runs: it fails too while that has edits.
func (d *DB) Exclusive(owner string) error {
	if err := d.Free(owner); err != nil {
		return err
	}
	if d.candidate.Changed() {
		return ErrModified
	}
	return d.Lock(owner)
}

// Unlock gives the database back if owner has it.
func (d *DB) Unlock(owner string) {
	if d.owner == owner {
		d.owner = ""
	}
}

// Locked returns who holds the lock, "" for nobody. A commit that waits for its time holds it too.
func (d *DB) Locked() string {
	if s := d.scheduled; s != nil {
		return fmt.Sprintf("commit at %s of %s", s.At.Format("2006-01-02 15:04:05 MST"), s.User)
	}
	return d.owner
}

// Free is an error that wraps ErrLocked if somebody other than owner holds the lock.
func (d *DB) Free(owner string) error {
	if holder := d.Locked(); holder != "" && holder != owner {
		return fmt.Errorf("%w: %s", ErrLocked, holder)
	}
	return nil
}
