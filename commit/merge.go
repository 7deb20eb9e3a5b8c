package commit

import (
	"errors"
	"fmt"
	"slices"

	"gvpn/commit/diff"
	"gvpn/config"
)

// ConflictError says that others have committed changes at the places that a private copy changes too. The copy holds by
// then what they committed with its own changes over it, so the next commit of it wins (junos-facts.md 5.1).
type ConflictError struct{ Conflicts config.Errors }

// Error lists the places.
func (e *ConflictError) Error() string {
	return "commit: private edits conflict with later commits: " + e.Conflicts.Error()
}

// Merge brings a private copy up to date: what others have committed since it was taken, with its own changes over it. Where
// both changed the same, its own wins and a ConflictError lists the places. If the two cannot be put together the error is
// another, and the copy is as it was. The shared candidate is always up to date.
func (d *DB) Merge(c *Candidate) error {
	if !c.Private() || config.Equal(c.base.Root(), d.running.Root()) {
		return nil
	}
	mine, theirs := diff.Diff(c.base, c.tree), diff.Diff(c.base, d.running)
	wrong := conflicts(mine, theirs)
	merged, ok := config.Tree{}, false
	if !bothMove(mine, theirs) {
		merged, ok = merge(c.base, d.running, c.tree, len(wrong) == 0)
	}
	if !ok {
		return refusal("operation-failed", errors.New("commit: the private edits cannot be merged with later commits: "+
			"both change the order of entries, or one deletes what the other changes; note the edits and take them up again after 'rollback 0'"))
	}
	c.Replace(merged)
	if len(wrong) > 0 {
		return &ConflictError{wrong}
	}
	return nil
}

// merge makes the changes from base to mine to theirs. Its cost follows the changes.
func merge(base, theirs, mine config.Tree, agree bool) (merged config.Tree, ok bool) {
	if lines, ok := delta(base, mine); ok {
		if t, errs := theirs.LoadSet(nil, "private edits", lines); errs.Err() == nil {
			return t, true
		}
	}
	// What mine has put next to something may find it gone. Then theirs may be made to mine, if neither touched what the other did.
	if lines, ok := delta(base, theirs); ok && agree {
		t, errs := mine.LoadSet(nil, "later commits", lines)
		return t, errs.Err() == nil
	}
	return config.Tree{}, false
}

// bothMove reports whether both sides move entries of one list. Each says where its own go by what the other may have moved, so the
// two orders cannot be put together.
func bothMove(mine, theirs []diff.Change) bool {
	list := func(c diff.Change) string {
		last := c.Path[len(c.Path)-1]
		return append(c.Path[:len(c.Path)-1:len(c.Path)-1], config.Elem{Name: last.Name}).String()
	}
	moved := map[string]bool{}
	for _, c := range theirs {
		moved[list(c)] = moved[list(c)] || c.Op == diff.Move
	}
	return slices.ContainsFunc(mine, func(c diff.Change) bool { return c.Op == diff.Move && moved[list(c)] })
}

// conflicts are the places that both sides changed, and to different ends: the same node, or one a node within which the other
// changed something.
func conflicts(mine, theirs []diff.Change) config.Errors {
	at := make(map[string]diff.Change, len(theirs))
	above := map[string]bool{} // places below which they changed something
	for _, c := range theirs {
		at[c.Path.String()] = c
		for n := 1; n < len(c.Path); n++ {
			above[c.Path[:n].String()] = true
		}
	}
	var wrong config.Errors
	for _, c := range mine {
		reason := ""
		if above[c.Path.String()] && c.Op != diff.Move {
			reason = c.Op.String() + " here, while a later commit changed what is below"
		}
		for n := 1; n <= len(c.Path) && reason == ""; n++ {
			other, ok := at[c.Path[:n].String()]
			switch {
			case !ok || other.Op == c.Op && n == len(c.Path) && (c.Op == diff.Delete || config.Equal(c.New, other.New)):
			case n < len(c.Path) && other.Op == diff.Move:
			default:
				reason = fmt.Sprintf("%s here, %s in a later commit", c.Op, other.Op)
			}
		}
		if reason != "" {
			wrong = append(wrong, &config.Error{
				Path: c.Path[:len(c.Path)-1].Edit(), Tag: "operation-failed", Element: c.Path[len(c.Path)-1:].String(), Message: reason,
			})
		}
	}
	return wrong
}
