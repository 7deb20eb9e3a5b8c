package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gvpn/commit"
)

// commitOptions are what may follow commit.
type commitOptions struct {
	check, quit bool
	comment     string
	confirm     int       // minutes, 0: not confirmed
	at          time.Time // zero: now
}

// The minutes of a confirmed commit (junos-facts.md 5.6; the upper bound is from memory).
const (
	defaultConfirm = 10
	maxConfirm     = 65535
)

const oneEngine = "a node has one routing engine; a server cluster's members are configured each by itself"

func parseCommit(p *parser) (action, error) {
	var o commitOptions
	left := []row{
		{name: "and-quit", help: "Quit configuration mode if commit succeeds"},
		{name: "at", help: "Time at which to activate configuration changes"},
		{name: "check", help: "Check correctness of syntax; do not apply changes"},
		{name: "comment", help: "Message to write to commit log"},
		{name: "confirmed", help: "Automatically rollback if not confirmed"},
		{name: "synchronize", refused: oneEngine},
		{name: "peers-synchronize", refused: oneEngine},
		{name: "prepare", refused: "a commit is prepared and activated at once; 'commit check' prepares without a trace"},
		{name: "activate", refused: "a commit is prepared and activated at once"},
	}
	for {
		p.mayEnd()
		if p.atEnd() {
			break
		}
		i, err := p.keyword(notExpected, left...)
		if err != nil {
			return action{}, err
		}
		chosen := left[i].name
		switch chosen {
		case "and-quit":
			o.quit = true
		case "at":
			if o.at, err = p.commitTime(); err != nil {
				return action{}, err
			}
		case "check":
			o.check = true
		case "comment":
			t, err := p.value(row{name: "<comment>", help: "Message to write to commit log"})
			if err != nil {
				return action{}, err
			}
			o.comment = t.text
		case "confirmed":
			if o.confirm, err = p.confirmMinutes(); err != nil {
				return action{}, err
			}
		}
		left = slices.DeleteFunc(slices.Clone(left), func(r row) bool {
			return r.name == chosen || chosen == "check" || r.name == "check" ||
				chosen == "at" && r.name == "confirmed" || chosen == "confirmed" && r.name == "at"
		})
	}
	if !o.at.IsZero() {
		return action{run: func(r *run) error { return commitAt(r, o) }}, nil
	}
	return action{effects: o.check, run: func(r *run) error { return doCommit(r, o) }}, nil
}

// confirmMinutes reads the number that may follow confirmed.
func (p *parser) confirmMinutes() (int, error) {
	p.mayEnd()
	p.offer(row{name: "<timeout>", help: fmt.Sprintf("Number of minutes until automatic rollback (1..%d)", maxConfirm), marker: ' ', value: true})
	t, ok := p.peek()
	if !ok || t.partial || strings.Trim(t.text, "0123456789") != "" {
		return defaultConfirm, nil
	}
	return p.number("Number of minutes until automatic rollback", 1, maxConfirm)
}

func doCommit(r *run, o commitOptions) error {
	var result commit.Result
	err := r.backend.Manage(func(db *commit.DB) (err error) {
		c := r.candidate(db)
		if o.check {
			if result, err = db.CheckCandidate(c); err == nil {
				err = db.Confirm(r.owner())
			}
			return err
		}
		if err = unlockedFor(db, r.owner()); err == nil {
			result, err = db.Commit(commit.Options{
				User: r.cfg.Identity.User, Client: client, Remote: r.cfg.Identity.Remote, Comment: o.comment, Owner: r.owner(), Candidate: c,
				Confirm: time.Duration(o.confirm) * time.Minute,
			})
		}
		return err
	})
	if err := r.checked(result, err); err != nil {
		return err
	}
	if o.check {
		if err := r.printf("configuration check succeeds\n"); err != nil || !r.pipe.effects {
			return err
		}
		return effects(r, result.Plan)
	}
	if o.confirm != 0 {
		if err := r.printf("commit confirmed will be automatically rolled back in %d minutes unless confirmed\n", o.confirm); err != nil {
			return err
		}
	}
	if err := r.printf("commit complete\n"); err != nil || !o.quit {
		return err
	}
	return quit(r)
}

// pending is the line that comes before each prompt while a commit waits for its confirmation.
func (s *Shell) pending() string {
	line := ""
	_ = s.backend.Manage(func(db *commit.DB) error { // a node that is closing has another word to say
		if left, ok := db.PendingMinutes(s.cfg.Now()); ok {
			line = fmt.Sprintf("# commit confirmed will be rolled back in %d minutes\n", left)
		}
		return nil
	})
	return line
}
