package cli

import (
	"errors"
	"fmt"

	"gvpn/commit"
	"gvpn/config"
)

// parseConfigure reads configure [exclusive | private].
func parseConfigure(p *parser) (action, error) {
	rows := []row{
		{name: "exclusive", help: "Obtain exclusive lock (other users will not be able to make changes)"},
		{name: "private", help: "Work in private database (other users can make changes)"},
	}
	kind := ""
	p.mayEnd()
	if !p.atEnd() {
		i, err := p.keyword(notExpected, rows...)
		if err != nil {
			return action{}, err
		}
		kind = rows[i].name
	}
	return action{run: func(r *run) error { return configure(r, kind) }}, p.end()
}

// configure enters configuration mode: "" is the shared candidate.
func configure(r *run, kind string) error {
	entry := r.backend.Editors().enter(r.cfg.Identity.User, r.cfg.Now())
	if entry == nil {
		r.backend.Editors().write(r.w, nil, r.cfg.Now())
		return fmt.Errorf("%d sessions are in configuration mode, and no more may be; one of them must exit first", maxEditors)
	}
	e := &editing{entry: entry}
	changed := false
	var inUse []string
	err := r.backend.Manage(func(db *commit.DB) (err error) {
		switch kind {
		case "exclusive":
			if err = unlockedFor(db, ""); err == nil {
				err = db.Exclusive(entry.name())
			}
			e.owner = entry.name()
		case "private":
			e.private, err = db.Private(entry.name())
		default:
			e.found, changed, inUse = db.Candidate().Tree(), db.Candidate().Changed(), db.PrivateOwners()
		}
		return err
	})
	if err == nil && len(inUse) > 0 {
		err = errors.New("private edits in use. Try 'configure private' or 'configure exclusive'")
	}
	if err != nil {
		r.backend.Editors().leave(entry)
		if inUse != nil {
			r.backend.Editors().write(r.w, entry, r.cfg.Now())
		}
		return err
	}
	if kind != "" {
		r.backend.Editors().mark(entry, kind)
		if err := r.printf("warning: uncommitted changes will be discarded on exit\n"); err != nil {
			return err
		}
	}
	r.editing = e
	if err := r.printf("Entering configuration mode\n"); err != nil {
		return err
	}
	r.backend.Editors().write(r.w, entry, r.cfg.Now())
	if changed {
		return r.printf("The configuration has been changed but not committed\n")
	}
	return nil
}

// quit leaves configuration mode, unless there are changes and the user would rather stay. Without a terminal to ask at, edits of
// the shared candidate stay in it, and other edits are lost, as the warning on entry said.
func quit(r *run) error {
	changed := false
	err := r.backend.Manage(func(db *commit.DB) error {
		changed = r.candidate(db).Changed()
		return nil
	})
	if err != nil {
		return err
	}
	kind := r.editing.kind()
	switch {
	case !changed:
	case kind != "":
		if err := r.printf("The configuration has been changed but not committed\nwarning: Auto rollback on exiting 'configure %s'\n", kind); err != nil {
			return err
		}
		if !r.ask("Discard uncommitted changes?", true, true) {
			return nil
		}
		if err := r.printf("warning: discarding uncommitted changes\nload complete\n"); err != nil {
			return err
		}
	case r.term != nil:
		if err := r.printf("The configuration has been changed but not committed\n"); err != nil {
			return err
		}
		if !r.ask("Exit with uncommitted changes?", true, true) {
			return nil
		}
	default:
		r.warnLeft()
	}
	r.leave()
	return r.printf("Exiting configuration mode\n")
}

// kind is the word after `configure`.
func (e *editing) kind() string {
	switch {
	case e.private != nil:
		return "private"
	case e.owner != "":
		return "exclusive"
	}
	return ""
}

// release frees what configuration mode holds: the lock, with the edits made under it, or the private copy.
func (s *Shell) release() {
	e := s.editing
	if e.kind() == "" {
		return
	}
	_ = s.backend.Manage(func(db *commit.DB) error { // a node that is closing forgets both
		if e.private != nil {
			db.Forget(e.private)
		} else if db.Locked() == e.owner {
			db.Candidate().Discard()
			db.Unlock(e.owner)
		}
		return nil
	})
}

// candidate is what the session edits: its private copy, or the shared one. Valid within Manage.
func (s *Shell) candidate(db *commit.DB) *commit.Candidate {
	if s.editing != nil && s.editing.private != nil {
		return s.editing.private
	}
	return db.Candidate()
}

// owner is the session as the database's lock knows it, "" if it has not asked for the lock.
func (s *Shell) owner() string {
	if s.editing == nil {
		return ""
	}
	return s.editing.owner
}

// update replaces what the session edits by an edited tree. Another's lock forbids it for the shared candidate.
func (s *Shell) update(db *commit.DB, t config.Tree) error {
	err := s.mayEdit(db)
	if err == nil {
		s.candidate(db).Update(t)
	}
	return err
}

// replace puts a whole configuration in the place of what the session edits, see commit.Candidate.Replace.
func (s *Shell) replace(db *commit.DB, t config.Tree) error {
	err := s.mayEdit(db)
	if err == nil {
		s.candidate(db).Replace(t)
	}
	return err
}

func (s *Shell) mayEdit(db *commit.DB) error {
	if s.editing != nil && s.editing.private != nil {
		return nil
	}
	return unlockedFor(db, s.owner())
}

// unlockedFor is an error in Junos's form while somebody other than owner has the configuration locked.
func unlockedFor(db *commit.DB, owner string) error {
	if db.Free(owner) != nil {
		return fmt.Errorf("%w:\n  %s", commit.ErrLocked, db.Locked())
	}
	return nil
}

// isPrivate reports that the session is in `configure private`.
func (s *Shell) isPrivate() bool { return s.editing != nil && s.editing.private != nil }

// updatePrivate brings a private copy up to date.
func updatePrivate(r *run) error {
	err := r.backend.Manage(func(db *commit.DB) error { return db.Merge(r.editing.private) })
	var conflict *commit.ConflictError
	if errors.As(err, &conflict) {
		configErrors(r.w, conflict.Conflicts)
		return r.printf("warning: private edits conflict with later commits and stand over them\n")
	}
	return err
}
