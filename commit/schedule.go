package commit

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gvpn/config"
)

// Scheduled is a commit that waits for its time. Until then nobody edits the shared candidate or commits.
type Scheduled struct {
	At      time.Time `json:"at"`
	User    string    `json:"user"`
	Client  string    `json:"client"`
	Remote  string    `json:"remote,omitempty"`
	Comment string    `json:"comment,omitempty"`

	// Number is that of the commit to be. If there is one with it the node died after the commit and before it forgot this.
	Number uint64 `json:"number"`
	Text   []byte `json:"text"` // set lines of the whole configuration

	tree config.Tree
}

// CommitAt checks the candidate as Check does and has it committed at a time, which must be to come. Options.Confirm and a
// private candidate are refused, and so is a commit at a time while a confirmed commit is pending.
func (d *DB) CommitAt(o Options, at time.Time) (Result, error) {
	failed := Result{Number: d.Number()}
	if err := d.Free(o.Owner); err != nil {
		return failed, err
	}
	_, pending := d.Pending()
	switch {
	case o.Confirm != 0:
		return failed, errors.New("commit: a commit at a time cannot be one that must be confirmed")
	case o.Candidate != nil && o.Candidate.Private():
		return failed, errors.New("commit: commit at is not allowed for a private candidate")
	case pending:
		return failed, errors.New("commit: a confirmed commit is pending: confirm it first")
	case !at.After(d.now()):
		return failed, fmt.Errorf("commit: commit at %s: the time is past", at.Format(time.DateTime))
	}
	r, err := d.Check(d.candidate.tree)
	if err != nil {
		return r, err
	}
	s := &Scheduled{
		At: at.Round(0), User: o.User, Client: o.Client, Remote: o.Remote, Comment: o.Comment, Number: d.Number() + 1,
		Text: config.AppendSet([]byte{}, d.candidate.tree.Root()), tree: d.candidate.tree,
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = d.log.Keep(keptScheduled, text)
	}
	if err != nil {
		return r, refusal("operation-failed", fmt.Errorf("commit: record the commit at %s: %w", at.Format(time.DateTime), err))
	}
	s.Text = nil
	d.scheduled = s
	return r, nil
}

// Scheduled returns the commit that waits for its time, nil if there is none.
func (d *DB) Scheduled() *Scheduled { return d.scheduled }

// ClearScheduled cancels the commit that waits for its time; its changes stay in the candidate. It reports whether there was one.
func (d *DB) ClearScheduled() (bool, error) {
	if d.scheduled == nil {
		return false, nil
	}
	if err := d.log.Keep(keptScheduled, nil); err != nil {
		return true, fmt.Errorf("commit: forget the commit at %s: %w", d.scheduled.At.Format(time.DateTime), err)
	}
	d.scheduled = nil
	return true, nil
}

// restoreScheduled finds the commit that waited when the node died; its changes are in the candidate again.
func (d *DB) restoreScheduled() error {
	text, err := d.log.Kept(keptScheduled)
	if err != nil {
		return fmt.Errorf("commit: read the commit that waits for its time: %w", err)
	}
	if text == nil {
		return nil
	}
	s := &Scheduled{}
	if err := json.Unmarshal(text, s); err != nil {
		return fmt.Errorf("commit: the commit that waits for its time cannot be read: %w", err)
	}
	d.scheduled = s
	if s.Number <= d.Number() {
		_, err := d.ClearScheduled()
		return err
	}
	var errs config.Errors
	if s.tree, errs = s.tree.LoadSet(nil, "commit at "+s.At.Format(time.DateTime), s.Text); errs.Err() != nil {
		return fmt.Errorf("commit: the commit that waits for its time cannot be read by this version: %w", errs)
	}
	s.Text = nil
	d.candidate.tree = s.tree
	return nil
}

// executeScheduled commits what waited. If the configuration cannot be committed any more it stays in the candidate, and the
// news say why.
func (d *DB) executeScheduled() (news []string, err error) {
	s := d.scheduled
	when := s.At.Format(time.DateTime)
	if _, err := d.Check(s.tree); err != nil {
		if _, clearErr := d.ClearScheduled(); clearErr != nil {
			return nil, clearErr
		}
		return []string{fmt.Sprintf("commit at %s by %s failed: %v", when, s.User, err)}, nil
	}
	if _, err := d.commit(s.tree, Options{User: s.User, Client: s.Client, Remote: s.Remote, Comment: s.Comment}); err != nil {
		return nil, err
	}
	d.candidate.Discard()
	if _, err := d.ClearScheduled(); err != nil {
		// It is committed; that it is forgotten is not vital, see Number.
		d.scheduled = nil
	}
	return []string{fmt.Sprintf("commit at %s by %s complete", when, s.User)}, nil
}
