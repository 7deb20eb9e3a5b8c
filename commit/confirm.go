package commit

import (
	"fmt"
	"time"
)

// A confirmed commit is recorded with the time at which it is taken back and the revision that it is taken back to, in the
// revision itself: so it is pending exactly as long as that revision is the newest, and a node that dies finds it again. A
// later commit is newer and with that confirms; a later confirmed commit takes over the first point of return. A commit check
// confirms by recording the revision again without the time.

// Pending returns when the running configuration will be taken back; ok is false if it is confirmed.
func (d *DB) Pending() (deadline time.Time, ok bool) {
	if len(d.kept) == 0 {
		return time.Time{}, false
	}
	deadline = d.kept[len(d.kept)-1].Deadline
	return deadline, !deadline.IsZero()
}

// Confirm keeps the running configuration: a commit check does this. owner is as in Options. It does nothing if nothing is
// pending.
func (d *DB) Confirm(owner string) error {
	if _, ok := d.Pending(); !ok {
		return nil
	}
	if err := d.Free(owner); err != nil {
		return err
	}
	newest := &d.kept[len(d.kept)-1]
	r := *newest
	r.Deadline, r.Return = time.Time{}, 0
	var err error
	if r.Text, err = d.log.Text(r.Number); err == nil {
		err = d.log.Append(r)
	}
	if err != nil {
		return refusal("operation-failed", fmt.Errorf("commit: record that revision %d is confirmed: %w", r.Number, err))
	}
	r.Text = nil
	*newest = r
	return nil
}

// confirmed fills in what makes a revision one that must be confirmed.
func (d *DB) confirmed(r *Revision, within time.Duration) {
	// Round(0): by the wall clock, which also counts while the machine sleeps.
	r.Within, r.Deadline, r.Return = within, r.Time.Add(within).Round(0), d.Number()
	if _, ok := d.Pending(); ok {
		r.Return = d.kept[len(d.kept)-1].Return
	}
}

// NotConfirmed is what everybody who is logged in is told after an automatic rollback (junos-facts.md 5.6).
const NotConfirmed = "Commit was not confirmed; automatic rollback complete."

// takeBack commits what ran before the first of the commits that were not confirmed. The lock does not stop it. A shared
// candidate without edits follows; edits stay, over the configuration that they were made in. why is the middle of the comment.
func (d *DB) takeBack(o Options, why string) error {
	newest := d.kept[len(d.kept)-1]
	next, err := d.rebuild(newest.Return, nil)
	if err == nil {
		o.Comment = fmt.Sprintf("commit %d was %s; rolled back to commit %d", newest.Number, why, newest.Return)
		_, err = d.commit(next, o)
	}
	if err != nil {
		return fmt.Errorf("commit: rollback of a commit that was %s: %w", why, err)
	}
	return nil
}

// Cancel takes back a commit that waits for its confirmation, now; o says who does it. It does nothing if nothing is pending.
func (d *DB) Cancel(o Options) error {
	if _, ok := d.Pending(); !ok {
		return nil
	}
	return d.takeBack(o, "cancelled")
}

// Expire lets the time of a commit that waits for its confirmation be over: HandleTimeout takes it back.
func (d *DB) Expire() {
	if _, ok := d.Pending(); ok {
		d.kept[len(d.kept)-1].Deadline = d.now()
	}
}

// expireSession is Expire after a start for a commit that a NETCONF session was to confirm: "If the device reboots for any reason
// before the confirm timeout expires, the server MUST restore the configuration to its state before the confirmed commit was issued"
// (RFC 6241 section 8.4.1). The shell's own, as Junos has them, go on waiting.
func (d *DB) expireSession() {
	if _, ok := d.Pending(); ok && d.kept[len(d.kept)-1].Client == "netconf" {
		d.Expire()
	}
}

// retryEvery is how long a rollback, or a commit at a time, that the log refused waits for its next try. Ours: short beside the
// minutes of a confirmed commit.
const retryEvery = 10 * time.Second

// Deadline returns when HandleTimeout has something to do; ok is false if it has not.
func (d *DB) Deadline() (deadline time.Time, ok bool) {
	deadline, ok = d.Pending()
	if d.scheduled != nil {
		deadline, ok = d.scheduled.At, true // never while a rollback is pending: see CommitAt
	}
	if deadline.Before(d.retry) {
		deadline = d.retry
	}
	return deadline, ok
}

// HandleTimeout carries out what is due and returns what everybody who is logged in is to be told. Whatever fails is tried
// again: see Deadline. Call it at the deadline or at any time before.
func (d *DB) HandleTimeout() (news []string, err error) {
	deadline, ok := d.Deadline()
	now := d.now()
	if !ok || now.Before(deadline) {
		return nil, nil
	}
	if d.scheduled != nil {
		news, err = d.executeScheduled()
	} else if err = d.takeBack(Options{User: "root", Client: "other"}, "not confirmed"); err == nil {
		news = []string{NotConfirmed}
	}
	d.retry = time.Time{}
	if err != nil {
		d.retry = now.Add(retryEvery)
	}
	return news, err
}

// needed reports whether the checkpoint k may be the oldest that is kept when r is recorded: rollback reaches no further back,
// and a pending rollback does not either.
func needed(k, r Revision) bool {
	return k.Number+HistorySize <= r.Number+1 && (r.Deadline.IsZero() || r.Return == 0 || k.Number <= r.Return)
}

// CheckCandidate is Check for a candidate; a private copy is merged with what runs first, as Commit does.
func (d *DB) CheckCandidate(c *Candidate) (Result, error) {
	if err := d.Merge(c); err != nil {
		return Result{Number: d.Number()}, err
	}
	return d.Check(c.tree)
}

// Minutes is a confirmed commit's time as it is shown, rounded up: NETCONF counts it in seconds.
func Minutes(d time.Duration) int { return int((d + time.Minute - 1) / time.Minute) }

// PendingMinutes returns how many minutes, rounded up, are left before the running configuration is taken back at now.
func (d *DB) PendingMinutes(now time.Time) (left int, ok bool) {
	deadline, ok := d.Pending()
	return max(Minutes(deadline.Sub(now)), 0), ok
}
