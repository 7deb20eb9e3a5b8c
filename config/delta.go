package config

import (
	"cmp"
	"slices"
)

// AppendDelta appends lines that make next of old when LoadSet reads them: set, delete, rename, insert, and those of marks and
// remarks. Its cost and length follow the difference, but for the cost of a list in which something moved.
//
// On every level what comes is written before what goes, so that nothing is empty, and gone with its marks, in between. What is
// protected is first unprotected, and protected again at the end.
func AppendDelta(dst []byte, old, next Tree) []byte {
	d := deltaPrinter{setPrinter{dst: dst}}
	d.inner(Root(), old.root, next.root)
	return d.dst
}

type deltaPrinter struct{ setPrinter }

// say writes one line about an element at the present path: of a list the entry with the key val, of a leaf-list its value val, or
// all of it if there is none.
func (d *deltaPrinter) say(verb string, s *Schema, val string) {
	at := len(d.path)
	d.element(s, val)
	d.line(verb)
	d.path = d.path[:at]
}

func (d *deltaPrinter) element(s *Schema, val string) {
	switch {
	case s.kind == List:
		d.path = appendEntry(d.path, s, val)
	case s.kind == LeafList && val != "":
		d.path = appendWord(append(append(d.path, s.name...), ' '), val)
	default:
		d.path = append(d.path, s.name...)
	}
	d.path = append(d.path, ' ')
}

// within writes what do says about the inside of an element.
func (d *deltaPrinter) within(s *Schema, val string, do func()) {
	at := len(d.path)
	d.element(s, val)
	do()
	d.path = d.path[:at]
}

// marking is what is said of an element and not by it.
type marking struct {
	flags  flags
	remark string
}

func (n *node) marking() marking {
	if n == nil {
		return marking{}
	}
	return marking{n.flags & marks, n.comment}
}

func (k *kid) marking(s *Schema) marking {
	m := k.node.marking()
	if !s.isInner() {
		m.flags = k.flags & marks
	}
	return m
}

// marked writes the difference of marks around that of the content.
func (d *deltaPrinter) marked(s *Schema, val string, was, is marking, content func()) {
	start := len(d.dst)
	if was.flags&protected != 0 {
		d.say("unprotect", s, val)
	}
	opened := len(d.dst)
	content()
	switch {
	case was.flags&inactive == is.flags&inactive:
	case is.flags&inactive != 0:
		d.say("deactivate", s, val)
	default:
		d.say("activate", s, val)
	}
	if was.remark != is.remark {
		d.within(s, val, func() { d.annotate(is.remark) })
	}
	switch {
	case is.flags&protected == 0:
	case was.flags&protected != 0 && len(d.dst) == opened:
		d.dst = d.dst[:start]
	default:
		d.say("protect", s, val)
	}
}

// inner writes what differs in a container or entry; nil is an empty one.
func (d *deltaPrinter) inner(s *Schema, a, b *node) {
	if a == b {
		return
	}
	if a == nil {
		a = &emptyNode
	}
	if b == nil {
		b = &emptyNode
	}
	var gone []*kid
	for i := range a.kids {
		k := &a.kids[i]
		c := s.children[k.id]
		if b.find(c) != nil {
			continue
		}
		d.unprotectKid(c, k, a.flags)
		if !b.holdsRival(c) { // else it goes when that is set
			gone = append(gone, k)
		}
	}
	for i := range b.kids {
		k := &b.kids[i]
		c := s.children[k.id]
		if was := a.find(c); was != nil {
			d.kidChanged(c, was, k)
		} else {
			d.kid(c, k)
		}
	}
	for _, k := range gone {
		c := s.children[k.id]
		if c.kind != List {
			d.say("delete", c, "")
			continue
		}
		k.node.list.byLabel.all(func(_ uint64, key string) bool {
			d.say("delete", c, key)
			return true
		})
	}
}

// holdsRival reports whether n has something that cannot be together with s.
func (n *node) holdsRival(s *Schema) bool {
	return len(s.cases) > 0 && slices.ContainsFunc(n.kids, func(k kid) bool { return rivals(s.parent.children[k.id], s) })
}

// unprotectKid unprotects what is protected in a child; around has the flags of the node that it is in.
func (d *deltaPrinter) unprotectKid(s *Schema, k *kid, around flags) {
	switch {
	case around&shields == 0:
	case s.kind == List:
		k.node.list.byName.all(func(key string, sl slot) bool {
			d.unprotect(s, key, sl.node.marking(), sl.node)
			return true
		})
	default:
		d.unprotect(s, "", k.marking(s), k.node)
	}
}

func (d *deltaPrinter) unprotect(s *Schema, val string, m marking, n *node) {
	if m.flags&protected != 0 {
		d.say("unprotect", s, val)
	}
	if n == nil || n.flags&shields == 0 {
		return
	}
	d.within(s, val, func() {
		for i := range n.kids {
			d.unprotectKid(s.children[n.kids[i].id], &n.kids[i], n.flags)
		}
	})
}

func (d *deltaPrinter) kidChanged(s *Schema, was, is *kid) {
	if s.kind == List {
		d.list(s, was.node.list, is.node.list)
		return
	}
	d.marked(s, "", was.marking(s), is.marking(s), func() {
		switch {
		case s.kind == LeafList:
			d.list(s, was.node.list, is.node.list)
		case s.isInner():
			d.within(s, "", func() { d.inner(s, was.node, is.node) })
		case was.val != is.val:
			at := len(d.path)
			d.path = appendLeaf(d.path, s, is.val)
			d.line("set")
			d.path = d.path[:at]
		}
	})
}

// entryDelta is an entry of a list, or a value of a leaf-list, that is not as it was.
type entryDelta struct {
	key, old string // old: under another name
	was, is  slot
}

func (d *deltaPrinter) list(s *Schema, a, b *list) {
	if a == b {
		return
	}
	var stays, gone, came []entryDelta
	a.byName.diff(&b.byName, func(key string, x, y slot, inA, inB bool) bool {
		e := entryDelta{key, key, x, y}
		switch {
		case !inA:
			came = append(came, e)
		case !inB:
			gone = append(gone, e)
		case x.node != y.node:
			stays = append(stays, e)
		}
		return true
	})
	renamed, gone, came := renames(gone, came)
	for _, e := range renamed {
		if e.was.node.marking().flags&protected != 0 {
			d.say("unprotect", s, e.old)
		}
		d.pair("rename", s, e.old, "to", e.key)
		was := e.was.node.marking()
		was.flags &^= protected
		d.marked(s, e.key, was, e.is.node.marking(), func() {
			d.within(s, e.key, func() { d.inner(s, e.was.node, e.is.node) })
		})
	}
	for _, e := range stays {
		d.marked(s, e.key, e.was.node.marking(), e.is.node.marking(), func() {
			d.within(s, e.key, func() { d.inner(s, e.was.node, e.is.node) })
		})
	}
	slices.SortFunc(came, byLabel)
	for _, e := range came {
		if s.kind == List {
			d.node(s, e.is.node, e.key, 0)
		} else {
			d.say("set", s, e.key)
		}
	}
	for _, e := range gone {
		d.unprotect(s, e.key, e.was.node.marking(), e.was.node)
		d.say("delete", s, e.key)
	}
	d.places(s, a, b, came, renamed)
}

func byLabel(x, y entryDelta) int { return cmp.Compare(x.is.label, y.is.label) }

// pair writes one line about two entries of a list, or two values of a leaf-list.
func (d *deltaPrinter) pair(verb string, s *Schema, one, between, other string) {
	at := len(d.path)
	d.element(s, one)
	d.path = append(append(d.path, between...), ' ')
	d.element(s, other)
	d.line(verb)
	d.path = d.path[:at]
}

// renames finds those that went and came again under another name: what is in them is the same by structure, at least a part of it.
func renames(gone, came []entryDelta) (renamed, left, new []entryDelta) {
	if len(gone) == 0 || len(came) == 0 {
		return nil, gone, came
	}
	held := map[any]int{} // what was in those that went
	for i, e := range gone {
		e.was.node.parts(func(part any) bool {
			held[part] = i
			return true
		})
	}
	taken := map[int]bool{}
	for _, e := range came {
		i, ok := 0, false
		e.is.node.parts(func(part any) bool {
			i, ok = held[part]
			return !ok
		})
		if !ok || taken[i] {
			new = append(new, e)
			continue
		}
		taken[i] = true
		e.old, e.was = gone[i].key, gone[i].was
		renamed = append(renamed, e)
	}
	for i, e := range gone {
		if !taken[i] {
			left = append(left, e)
		}
	}
	return renamed, left, new
}

// parts yields what an entry may share with what it was made from: itself, what it holds, and the upper pages of its lists.
func (n *node) parts(yield func(any) bool) {
	if n == nil || !yield(n) {
		return
	}
	for _, k := range n.kids {
		if k.node == nil {
			continue
		}
		if !yield(k.node) {
			return
		}
		if l := k.node.list; l != nil && l.byName.root != nil {
			for _, p := range l.byName.root.kids {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// places writes what brings the entries of b into its order, when what came stands behind all others and what was renamed where it
// was: each that must move goes behind the one before it, from the first on.
func (d *deltaPrinter) places(s *Schema, a, b *list, came, renamed []entryDelta) {
	move := slices.Clone(came)
	shuffled := relabelled(a, b)
	for _, e := range renamed {
		if shuffled || e.was.label != e.is.label {
			move = append(move, e)
		}
	}
	if shuffled {
		for _, key := range movedKeys(a, b) {
			is, _ := b.byName.get(key)
			move = append(move, entryDelta{key: key, is: is})
		}
	}
	slices.SortFunc(move, byLabel)
	// What came last stands right.
	label, _, ok := b.byLabel.last()
	for n := len(came); ok && n > 0 && came[n-1].is.label == label; n-- {
		move = move[:len(move)-1]
		label, _, ok = b.byLabel.below(label)
	}
	for i, e := range move {
		between := "after"
		_, other, ok := b.byLabel.below(e.is.label)
		if !ok { // the first: before the first that does not move
			between = "before"
			label := e.is.label
			for j := i + 1; ; j++ {
				if label, other, ok = b.byLabel.above(label); !ok || j >= len(move) || move[j].is.label != label {
					break
				}
			}
			if !ok {
				continue // all move, to behind this one
			}
		}
		held := s.kind == List && e.is.node.marking().flags&protected != 0
		if held {
			d.say("unprotect", s, e.key)
		}
		d.pair("insert", s, e.key, between, other)
		if held {
			d.say("protect", s, e.key)
		}
	}
}
