package cli

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"gvpn/commit"
	"gvpn/config"
)

// rescueCommands are below `request system`.
func rescueCommands() []*command {
	manage := func(f func(db *commit.DB) error) func(p *parser) (action, error) {
		return noArguments(action{run: func(r *run) error { return r.backend.Manage(f) }})
	}
	return []*command{
		{name: "configuration", help: "Request operation on system configuration", sub: []*command{
			{name: "rescue", help: "Request operation on system rescue configuration", sub: []*command{
				{name: "delete", help: "Delete rescue configuration", parse: manage((*commit.DB).DeleteRescue)},
				{name: "save", help: "Save rescue configuration", parse: manage((*commit.DB).SaveRescue)},
			}},
		}},
	}
}

// parseShowRescue reads show system configuration rescue.
func parseShowRescue(p *parser) (action, error) {
	return action{
		forms: []form{formSet, formXML, formJSON}, inherits: true, run: func(r *run) error {
			var t config.Tree
			err := r.backend.Manage(func(db *commit.DB) (err error) {
				t, err = db.Rescue()
				return err
			})
			if err != nil {
				return err
			}
			return show(r, t, nil, statement{}, stamp{})
		},
	}, p.end()
}

// clearCommit cancels a commit that waits for its time.
func clearCommit(r *run) error {
	found := false
	err := r.backend.Manage(func(db *commit.DB) (err error) {
		found, err = db.ClearScheduled()
		return err
	})
	switch {
	case err != nil:
		return err
	case !found:
		return r.printf("No commit is pending.\n")
	}
	return r.printf("Pending commit cleared.\n")
}

var dateWord = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)

// commitTime reads the time of commit at: hh:mm[:ss] of today, or yyyy-mm-dd hh:mm[:ss] as one word in quotes or two.
func (p *parser) commitTime() (time.Time, error) {
	t, err := p.value(row{name: "<at-time>", help: `Time at which to commit: hh:mm[:ss], or "yyyy-mm-dd hh:mm[:ss]"`, marker: ' '})
	if err != nil {
		return time.Time{}, err
	}
	if t.text == "reboot" {
		return time.Time{}, p.fail(t, "commit at reboot is not supported: give a time")
	}
	text := t.text
	if dateWord.MatchString(text) {
		next, err := p.value(row{name: "<time>", help: "Time of that day: hh:mm[:ss]", marker: ' '})
		if err != nil {
			return time.Time{}, err
		}
		text += " " + next.text
	}
	now := p.shell.cfg.Now()
	for _, layout := range []string{"15:04", "15:04:05", "2006-01-02 15:04", time.DateTime} {
		at, err := time.ParseInLocation(layout, text, now.Location())
		if err != nil {
			continue
		}
		if at.Year() == 0 {
			at = time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), at.Second(), 0, now.Location())
		}
		if !at.After(now) {
			return time.Time{}, p.fail(t, "the time is past: %s", at.Format(time.DateTime))
		}
		return at, nil
	}
	return time.Time{}, p.fail(t, "invalid time: '%s'", text)
}

// commitAt has the candidate committed at its time.
func commitAt(r *run, o commitOptions) error {
	var result commit.Result
	err := r.backend.Manage(func(db *commit.DB) (err error) {
		if err = unlockedFor(db, r.owner()); err == nil {
			result, err = db.CommitAt(commit.Options{
				User: r.cfg.Identity.User, Client: client, Remote: r.cfg.Identity.Remote, Comment: o.comment, Owner: r.owner(), Candidate: r.candidate(db),
			}, o.at)
		}
		return err
	})
	if err := r.checked(result, err); err != nil {
		return err
	}
	if err := r.printf("configuration check succeeds\ncommit at will be executed at %s\n", o.at.Format("2006-01-02 15:04:05 MST")); err != nil || !o.quit {
		return err
	}
	return quit(r)
}

// parseRollback reads rollback [number | rescue].
func parseRollback(p *parser) (action, error) {
	n := 0
	rescue := false
	p.mayEnd()
	if !p.atEnd() {
		p.offer(row{name: "rescue", help: "Rescue configuration", marker: ' '})
		p.offer(rollbackRows(p.shell)...)
		if t, _ := p.peek(); !t.partial && t.text != "" && strings.HasPrefix("rescue", t.text) {
			p.next++
			rescue = true
		} else {
			var err error
			if n, err = p.number("Number of the prior configuration", 0, maxRollback); err != nil {
				return action{}, err
			}
		}
	}
	return action{run: func(r *run) error {
		err := r.backend.Manage(func(db *commit.DB) error {
			prior := func() (config.Tree, error) { return db.Rollback(n) }
			if rescue {
				prior = db.Rescue
			}
			t, err := prior()
			if err == nil {
				err = r.replace(db, t)
			}
			return err
		})
		if err != nil {
			return err
		}
		return r.printf("load complete\n")
	}}, p.end()
}

// rollbackRows are the configurations that there are.
func rollbackRows(s *Shell) []row {
	var rows []row
	_ = s.backend.Manage(func(db *commit.DB) error { // a node that is closing offers none
		for i, v := range db.History() {
			rows = append(rows, row{name: fmt.Sprint(i), help: committed(v), marker: ' ', value: true})
		}
		return nil
	})
	return rows
}
