package config

import "slices"

// Protection: a protected element, and everything below it, stays as it is until the mark is taken away. What an edit would change
// there it leaves out, with a warning; what would change nothing is no matter. Deleting an element that is not protected itself
// keeps what is protected in it. Marks of protection themselves can always be set and taken away.

// protects makes protection a matter of what t protects: marks that the edit itself sets forbid nothing, and those that it takes
// away forbid nothing from then on.
func (e *editor) protects(t Tree) {
	e.before = t.root
	e.free = t.root == nil
}

// guards reports whether protection can matter at all.
func (e *editor) guards() bool { return e.root.flags&shields != 0 && !e.free }

// protectedAt returns which of the steps is the first that names something protected, -1 if none does.
func protectedAt(n *node, steps []step) int {
	for i, st := range steps {
		if n == nil || n.flags&shields == 0 {
			return -1
		}
		k := n.find(st.s)
		inner := st.s.isInner()
		switch {
		case k == nil && inner:
			return -1
		case k == nil:
			continue // the next is its sibling
		case !inner:
			if k.flags&protected != 0 {
				return i
			}
			continue
		case st.s.kind == List && st.all:
			return -1
		case st.s.kind == List:
			sl, _ := k.node.list.byName.get(st.key)
			n = sl.node
		default:
			n = k.node
		}
		if n != nil && n.flags&protected != 0 {
			return i
		}
	}
	return -1
}

// refuses notes that steps name something protected, or something below it, which therefore cannot be what (deleted, say). It
// reports whether that is so.
func (e *editor) refuses(steps []step, what string) bool {
	i := protectedAt(e.root, steps)
	if i < 0 || e.before != nil && protectedAt(e.before, steps) < 0 {
		return false
	}
	e.refuse(steps, i, what)
	return true
}

func (e *editor) refuse(steps []step, i int, what string) {
	if len(e.refused) >= maxErrors {
		return
	}
	last := steps[len(steps)-1]
	level := innerSteps(steps[:len(steps)-1])
	e.refused = append(e.refused, &Error{
		At: pathOf(level), Path: pathOf(level).Edit(), Element: last.s.name, Tag: "access-denied", Warning: true,
		Message: "[" + pathOf(append(innerSteps(steps[:i]), step{s: steps[i].s, key: steps[i].key, all: !steps[i].s.isInner()})).String() +
			"] is protected, '" + last.element() + "' cannot be " + what,
	})
}

// innerSteps leaves the leaves out of steps.
func innerSteps(steps []step) []step {
	return slices.DeleteFunc(slices.Clone(steps), func(st step) bool { return !st.s.isInner() })
}

// element words a step as it would stand in its parent, without the value of a leaf.
func (st step) element() string {
	if st.s.kind != List || st.all {
		return st.s.name
	}
	return string(appendEntry(nil, st.s, st.key))
}

// refusals returns what was refused since it was asked last.
func (e *editor) refusals() []*Error {
	r := e.refused
	e.refused = nil
	return r
}

// refusal is refusals for an edit of one thing: nil if it was done.
func (e *editor) refusal() *Error {
	if r := e.refusals(); len(r) > 0 {
		return r[0]
	}
	return nil
}

// refusesPut is refuses for put: what is there already may be put again, and another case of a choice may be protected.
func (e *editor) refusesPut(steps []step) bool {
	n, settled := e.root, true
	for i, st := range steps {
		k := n.find(st.s)
		if k == nil && len(st.s.cases) > 0 && n != nil {
			for _, other := range n.kids {
				s := st.s.parent.children[other.id]
				if rivals(s, st.s) && e.holdsProtected(s, other) {
					e.refuse(append(innerSteps(steps[:i]), step{s: s, all: true}), i-len(steps[:i])+len(innerSteps(steps[:i])), "replaced by "+st.s.name)
					return true
				}
			}
		}
		switch {
		case k == nil:
			settled = false
		case st.s.kind == Leaf:
			settled = settled && k.val == st.key
		case st.s.kind == LeafList:
			_, ok := k.node.list.byName.get(st.key)
			settled = settled && ok
		}
		if !st.s.isInner() {
			continue
		}
		switch {
		case k == nil:
			n = nil
		case st.s.kind == List:
			sl, ok := k.node.list.byName.get(st.key)
			settled = settled && ok
			n = sl.node
		default:
			n = k.node
		}
	}
	return !settled && e.refuses(steps, "modified")
}

// holdsProtected reports whether a child is protected or holds what is.
func (e *editor) holdsProtected(s *Schema, k kid) bool {
	if s.kind != List {
		return k.flags&protected != 0 || e.keptOf(s, k.node) != nil
	}
	found := false
	k.node.list.byName.all(func(_ string, sl slot) bool {
		found = e.keptOf(s, sl.node) != nil
		return !found
	})
	return found
}

func (e *editor) refusesMark(steps []step, set, unset flags) bool {
	now := e.marksOf(steps)
	what := "deactivated"
	if unset&inactive != 0 {
		what = "activated"
	}
	return now&^unset|set != now && e.refuses(steps, what)
}

func (e *editor) marksOf(steps []step) flags {
	last := len(steps) - 1
	if last < 0 {
		return 0
	}
	n, _ := lookup(e.root, steps)
	if steps[last].s.isInner() {
		if n == nil {
			return 0
		}
		return n.flags
	}
	up, _ := lookup(e.root, steps[:last])
	if k := up.find(steps[last].s); k != nil {
		return k.flags
	}
	return 0
}

func (e *editor) refusesRemark(steps []step, text string) bool {
	n, ok := lookup(e.root, steps)
	if !ok || n == nil && text == "" || n != nil && n.comment == text {
		return false
	}
	return e.refuses(steps, "annotated")
}

// removeAround removes what steps name, which is there and not protected itself, but for what is protected in it. It reports false,
// and has done nothing, if there is no such thing.
func (e *editor) removeAround(steps []step) bool {
	if len(steps) == 0 {
		kept := e.protectedIn(Root(), e.root)
		if kept != nil {
			e.root = kept
		}
		return kept != nil
	}
	last := steps[len(steps)-1]
	n, _ := lookup(e.root, steps)
	switch {
	case n == nil || last.s.kind == Leaf || last.s.kind == LeafList || last.s.kind == Empty:
		return false
	case last.s.kind == List && last.all:
		var keys []string
		n.list.byName.all(func(key string, _ slot) bool {
			keys = append(keys, key)
			return true
		})
		one := slices.Clone(steps)
		for _, key := range keys {
			one[len(one)-1] = step{s: last.s, key: key}
			if e.refuses(one, "deleted") || e.removeAround(one) {
				continue
			}
			e.removeBelow(e.root, one)
		}
		return true
	}
	kept := e.protectedIn(last.s, n)
	if kept == nil {
		return false
	}
	return e.change(steps, 0, func(_ *kid, n *node) { *n = *kept })
}

// protectedIn returns a node with what is protected in n and nothing else, nil if there is no such thing.
func (e *editor) protectedIn(s *Schema, n *node) *node {
	if n == nil || n.flags&shields == 0 {
		return nil
	}
	out := &node{owner: e.o, flags: n.flags & (below | shields | applies)}
	for _, k := range n.kids {
		c := s.children[k.id]
		switch {
		case !c.isInner():
			if k.flags&protected == 0 {
				continue
			}
		case c.kind == List:
			l := &list{owner: e.o}
			k.node.list.byLabel.all(func(label uint64, key string) bool {
				sl, _ := k.node.list.byName.get(key)
				if m := e.keptOf(c, sl.node); m != nil {
					l.byLabel.set(e.o, label, key)
					l.byName.set(e.o, key, slot{label, m})
				}
				return true
			})
			if l.byName.n == 0 {
				continue
			}
			k.node = &node{owner: e.o, list: l, comment: k.node.comment, flags: k.node.flags}
		default:
			if k.node = e.keptOf(c, k.node); k.node == nil {
				continue
			}
		}
		out.kids = append(out.kids, k)
	}
	if len(out.kids) == 0 {
		return nil
	}
	return out
}

// keptOf is n itself if it is protected, else what is protected in it.
func (e *editor) keptOf(s *Schema, n *node) *node {
	if n != nil && n.flags&protected != 0 {
		return n
	}
	return e.protectedIn(s, n)
}
