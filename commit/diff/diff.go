package diff

import (
	"slices"
	"strings"

	"gvpn/config"
)

// Op is what happened to a node.
type Op uint8

// The operations. Modify is another value of a leaf, or other values of a leaf-list. Move is another place among its
// siblings for an entry, or another order of the same values for a leaf-list.
const (
	Add Op = iota + 1
	Modify
	Delete
	Move
)

// String returns a word for the operation.
func (o Op) String() string {
	switch o {
	case Add:
		return "add"
	case Modify:
		return "change"
	case Delete:
		return "delete"
	case Move:
		return "move"
	}
	return "unknown operation"
}

// Change is one difference. Old is absent for Add, New for Delete.
type Change struct {
	Path     config.Path
	Op       Op
	Old, New config.Node
}

// String is the change as an operator reads it, without values: some are secret.
func (c Change) String() string { return c.Op.String() + " " + c.Path.String() }

// Diff returns what makes next from old, nil if nothing does. Changes are in schema order, entries by their keys; the move of
// an entry comes before changes within it.
func Diff(old, next config.Tree) []Change {
	var d differ
	a, b := old.Root(), next.Root()
	d.inner(a.Schema(), a, b)
	return d.changes
}

type differ struct{ changes []Change }

func (d *differ) add(op Op, old, next config.Node) {
	at := next
	if !at.Exists() {
		at = old
	}
	d.changes = append(d.changes, Change{Path: at.Path(), Op: op, Old: old, New: next})
}

// appeared adds a change if one of the nodes is absent, and reports whether both are there.
func (d *differ) appeared(old, next config.Node) bool {
	switch {
	case old.Exists() && next.Exists():
		return true
	case next.Exists():
		d.add(Add, old, next)
	case old.Exists():
		d.add(Delete, old, next)
	}
	return false
}

// inner compares the content of two containers or entries of the schema node s; either may be absent.
func (d *differ) inner(s *config.Schema, a, b config.Node) {
	if config.Same(a, b) {
		return
	}
	for _, c := range s.Children() {
		switch name := c.Name(); {
		case c.IsKey():
		case c.Kind() == config.List:
			d.list(c, a, b)
		default:
			d.child(c, a.Child(name), b.Child(name))
		}
	}
}

func (d *differ) child(s *config.Schema, a, b config.Node) {
	switch s.Kind() {
	case config.Container:
		d.inner(s, a, b)
	case config.Presence:
		if d.appeared(a, b) {
			d.inner(s, a, b)
		}
	case config.Leaf:
		if d.appeared(a, b) && a.Value() != b.Value() {
			d.add(Modify, a, b)
		}
	case config.Empty:
		d.appeared(a, b)
	case config.LeafList:
		d.leafList(a, b)
	}
}

func (d *differ) leafList(a, b config.Node) {
	if config.Same(a, b) || !d.appeared(a, b) {
		return
	}
	old, next := a.Values(), b.Values()
	if slices.Equal(old, next) {
		return
	}
	slices.Sort(old)
	slices.Sort(next)
	if slices.Equal(old, next) {
		d.add(Move, a, b)
	} else {
		d.add(Modify, a, b)
	}
}

func (d *differ) list(s *config.Schema, a, b config.Node) {
	moved := config.Moved(a, b, s.Name())
	slices.SortFunc(moved, func(x, y config.Node) int { return slices.Compare(x.Key(), y.Key()) })
	d.changes = slices.Grow(d.changes, max(b.Len(s.Name())-a.Len(s.Name()), 0))
	move := func() {
		d.add(Move, a.Entry(s.Name(), moved[0].Key()...), moved[0])
		moved = moved[1:]
	}
	for e := range config.DiffEntries(a, b, s.Name()) {
		at := e.New
		if !at.Exists() {
			at = e.Old
		}
		for len(moved) > 0 && slices.Compare(moved[0].Key(), at.Key()) <= 0 {
			move()
		}
		if d.appeared(e.Old, e.New) {
			d.inner(s, e.Old, e.New)
		}
	}
	for len(moved) > 0 {
		move()
	}
}

// Under reports whether the change lies at or below the place that names spell, keys aside.
func (c Change) Under(names ...string) bool {
	if len(c.Path) < len(names) {
		return false
	}
	for i, n := range names {
		if c.Path[i].Name != n {
			return false
		}
	}
	return true
}

// AppendText appends one line per change.
func AppendText(dst []byte, changes []Change) []byte {
	for _, c := range changes {
		dst = append(append(dst, c.String()...), '\n')
	}
	return dst
}

// Text is AppendText as a string without the last newline; "no change" if there is none.
func Text(changes []Change) string {
	if len(changes) == 0 {
		return "no change"
	}
	return strings.TrimSuffix(string(AppendText(nil, changes)), "\n")
}
