package config

import (
	"fmt"
	"slices"
	"strings"
)

// editor is one edit of a tree: a sequence of changes that become visible together. It changes nodes in place if it
// made them, and copies them first if it did not, so the tree it began with stays as it was.
type editor struct {
	o      *owner
	root   *node
	recent *[256]string // values that were kept lately, by a hash

	before  *node // if not nil: only what is protected in it too is protected; for texts that may set the mark before they are done
	free    bool  // nothing is protected: the edit puts something else in the place of everything
	hold    bool  // a container stays when the last that was in it is removed
	refused []*Error

	// The path of the last put, so that the next one with the same beginning need not walk from the root. Valid until
	// something is removed.
	stack []frame
}

type frame struct {
	st step
	n  *node
}

func (t Tree) edit() *editor {
	e := &editor{o: &owner{}}
	e.root = e.own(t.root)
	return e
}

// tree ends the edit.
func (e *editor) tree() Tree {
	e.o = nil // whoever uses the editor further would change a tree that others see; own would copy all
	if len(e.root.kids) == 0 {
		return Tree{}
	}
	return Tree{e.root}
}

// keep returns v as a string of its own. Values that come again and again share one: those kept lately are remembered, not all, since
// most values of a large configuration come once or twice.
func (e *editor) keep(v string) string {
	at := e.kept(hashed(v))
	if *at != v || v == "" {
		*at = strings.Clone(v)
	}
	return *at
}

// text is keep for a value in a text; it keeps nothing of the text's memory.
func (e *editor) text(b []byte) string {
	at := e.kept(hashed(b))
	if *at != string(b) {
		*at = string(b)
	}
	return *at
}

func (e *editor) kept(hash uint32) *string {
	if e.recent == nil {
		e.recent = new([256]string)
	}
	return &e.recent[hash%256]
}

// hashed is FNV-1a.
func hashed[T string | []byte](v T) uint32 {
	h := uint32(2166136261)
	for i := 0; i < len(v); i++ {
		h = (h ^ uint32(v[i])) * 16777619
	}
	return h ^ h>>16
}

func (e *editor) own(n *node) *node {
	if n == nil {
		return &node{owner: e.o}
	}
	if n.owner == e.o {
		return n
	}
	return &node{owner: e.o, kids: slices.Clone(n.kids), list: n.list, comment: n.comment, flags: n.flags}
}

func (e *editor) ownList(n *node) *list {
	switch {
	case n.list == nil:
		n.list = &list{owner: e.o}
	case n.list.owner != e.o:
		l := *n.list
		l.owner = e.o
		n.list = &l
	}
	return n.list
}

// kid returns the child s of n, which must be owned, and makes it if it is not there; other cases of its choices go.
func (e *editor) kid(n *node, s *Schema) *kid {
	i, ok := n.index(s.id)
	if ok {
		return &n.kids[i]
	}
	if len(s.cases) > 0 {
		e.dropCases(n, s)
		i, _ = n.index(s.id)
	}
	if n.kids == nil {
		n.kids = make([]kid, 0, min(4, len(s.parent.children)))
	}
	n.kids = slices.Insert(n.kids, i, kid{id: s.id})
	return &n.kids[i]
}

// dropCases removes the children of n that cannot be together with s (RFC 7950 section 7.9).
func (e *editor) dropCases(n *node, s *Schema) {
	n.kids = slices.DeleteFunc(n.kids, func(k kid) bool { return rivals(s.parent.children[k.id], s) })
}

// rivals reports whether two siblings are in different cases of one choice.
func rivals(a, b *Schema) bool {
	for _, x := range a.cases {
		for _, y := range b.cases {
			if x.choice == y.choice && x.which != y.which {
				return true
			}
		}
	}
	return false
}

// enter returns the container or entry st below n, which must be owned; both are owned then.
func (e *editor) enter(n *node, st step) *node {
	k := e.kid(n, st.s)
	if st.s.kind != List {
		k.node = e.own(k.node)
		return k.node
	}
	k.node = e.own(k.node)
	l := e.ownList(k.node)
	sl, ok := l.byName.get(st.key)
	if ok && sl.node != nil && sl.node.owner == e.o {
		return sl.node
	}
	sl.node = e.own(sl.node)
	if !ok {
		st.key = e.keep(st.key)
		sl.label = l.appendLabel(e.o, st.key)
	} else {
		st.key, _ = l.byLabel.get(sl.label)
	}
	l.byName.set(e.o, st.key, sl)
	return sl.node
}

// maxValues bounds the values of a leaf-list whose schema does not: a value of a few letters takes fifty times its memory.
const maxValues = 1 << 16

// touch makes the entry or value st if it is not there, without a node of its own.
func (e *editor) touch(n *node, st step) {
	k := e.kid(n, st.s)
	k.node = e.own(k.node)
	l := e.ownList(k.node)
	if _, ok := l.byName.get(st.key); ok {
		return
	}
	if st.s.kind == LeafList && l.byName.n >= maxValues {
		e.refused = append(e.refused, &Error{Element: st.s.name, Tag: "too-many-elements", Message: fmt.Sprintf("number of elements exceeds limit of %d", maxValues)})
		return
	}
	key := e.keep(st.key)
	l.byName.set(e.o, key, slot{label: l.appendLabel(e.o, key)})
}

func (l *list) appendLabel(o *owner, key string) uint64 {
	label, _, ok := l.byLabel.last()
	if !ok {
		label = labelStart
	} else {
		label += labelGap
	}
	l.byLabel.set(o, label, key)
	return label
}

// put carries out steps from the root: it makes containers and entries as it goes down, and sets leaves, flags and
// leaf-list values where it is. Trailing containers without meaning of their own are not made.
func (e *editor) put(steps []step) {
	for len(steps) > 0 && steps[len(steps)-1].s.kind == Container {
		steps = steps[:len(steps)-1]
	}
	if e.guards() && e.refusesPut(steps) {
		return
	}
	n, i := e.root, 0
	for ; i < len(steps) && i < len(e.stack) && e.stack[i].st == steps[i]; i++ {
		n = e.stack[i].n
	}
	e.stack = e.stack[:i]
	for ; i < len(steps); i++ {
		st := steps[i]
		switch st.s.kind {
		case Leaf:
			k := e.kid(n, st.s)
			if k.val != st.key {
				k.val = e.value(st)
			}
		case Empty:
			e.kid(n, st.s)
		case LeafList:
			e.touch(n, st)
			if st.s.everywhere {
				e.change(steps[:i+1], applies, func(*kid, *node) {})
			}
		case List:
			if i == len(steps)-1 {
				e.touch(n, st)
				return
			}
			n = e.down(n, st)
		default:
			n = e.down(n, st)
		}
	}
}

// down enters st and remembers it, unless leaves came before it on the same path.
func (e *editor) down(n *node, st step) *node {
	m := e.enter(n, st)
	if len(e.stack) == 0 && n == e.root || len(e.stack) > 0 && e.stack[len(e.stack)-1].n == n {
		e.stack = append(e.stack, frame{st, m})
	}
	return m
}

// value keeps a leaf's value; the words of enumerations are kept by the schema already.
func (e *editor) value(st step) string {
	if t := st.s.typ.resolved(); t.base == baseEnum {
		return t.words[st.key]
	}
	return e.keep(st.key)
}

// get returns the node of steps (nil if it has none) and whether it is there.
func (e *editor) get(steps []step) (*node, bool) { return lookup(e.root, steps) }

func lookup(n *node, steps []step) (*node, bool) {
	for _, st := range steps {
		k := n.find(st.s)
		if k == nil {
			return nil, false
		}
		n = k.node
		switch {
		case st.s.kind == Leaf && !st.all && k.val != st.key:
			return nil, false
		case (st.s.kind == List || st.s.kind == LeafList) && !st.all:
			sl, ok := k.node.list.byName.get(st.key)
			if !ok {
				return nil, false
			}
			n = sl.node
		}
	}
	return n, true
}

// remove deletes what steps name, and the containers without meaning of their own that are empty then. It reports
// whether it was there.
func (e *editor) remove(steps []step) bool {
	if _, ok := e.get(steps); !ok {
		return false
	}
	e.stack = e.stack[:0]
	if e.guards() && (e.refuses(steps, "deleted") || e.removeAround(steps)) {
		return true
	}
	if len(steps) == 0 {
		e.root = &node{owner: e.o}
		return true
	}
	e.removeBelow(e.root, steps)
	return true
}

// empty takes everything out of the container or entry that steps name, which stays where it is among its siblings; a
// leaf or leaf-list goes. It reports whether it was there.
func (e *editor) empty(steps []step) bool {
	if len(steps) == 0 {
		return e.remove(steps)
	}
	last := steps[len(steps)-1]
	if last.s.kind != List || last.all {
		return e.remove(steps)
	}
	if e.guards() && e.refuses(steps, "replaced") {
		return true
	}
	return e.change(steps, 0, func(_ *kid, n *node) {
		rest := &node{}
		if e.guards() {
			if kept := e.protectedIn(last.s, n); kept != nil {
				rest = kept
			}
		}
		*n = *rest
		n.owner = e.o
	})
}

// removeBelow removes steps, which are there, from n, which is owned.
func (e *editor) removeBelow(n *node, steps []step) {
	st := steps[0]
	i, _ := n.index(st.s.id)
	drop := false
	switch st.s.kind {
	case Leaf, Empty:
		drop = true
	case Container, Presence:
		if drop = len(steps) == 1; !drop {
			k := &n.kids[i]
			k.node = e.own(k.node)
			e.removeBelow(k.node, steps[1:])
			drop = st.s.kind == Container && len(k.node.kids) == 0 && !e.hold
		}
	case List, LeafList:
		if drop = st.all; !drop {
			k := &n.kids[i]
			k.node = e.own(k.node)
			l := e.ownList(k.node)
			sl, _ := l.byName.get(st.key)
			if len(steps) > 1 {
				sl.node = e.own(sl.node)
				key, _ := l.byLabel.get(sl.label)
				l.byName.set(e.o, key, sl)
				e.removeBelow(sl.node, steps[1:])
				break
			}
			l.byName.del(e.o, st.key)
			l.byLabel.del(e.o, sl.label)
			drop = l.byName.n == 0
		}
	}
	if drop {
		n.kids = slices.Delete(n.kids, i, i+1)
	}
}

// mark sets and clears flags of what steps name, and reports whether it is there.
func (e *editor) mark(steps []step, set, unset flags) bool {
	if e.guards() && (set|unset)&inactive != 0 && e.refusesMark(steps, set, unset) {
		return true
	}
	var along flags
	if set&inactive != 0 {
		along |= below
	}
	if set&protected != 0 {
		along |= shields
	}
	return e.change(steps, along, func(k *kid, n *node) {
		if n != nil {
			n.flags = n.flags&^unset | set
		} else {
			k.flags = k.flags&^unset | set
		}
	})
}

// remark sets the comment of what steps name, and reports whether it is there.
func (e *editor) remark(steps []step, text string) bool {
	if e.guards() && e.refusesRemark(steps, text) {
		return true
	}
	return e.change(steps, 0, func(k *kid, n *node) {
		if n == nil {
			k.node = e.own(k.node)
			n = k.node
		}
		n.comment = text
	})
}

// change calls f with the owned holder of what steps name: the node of a container or entry, else the kid. The nodes on the
// way to it get the flags along.
func (e *editor) change(steps []step, along flags, f func(*kid, *node)) bool {
	if _, ok := e.get(steps); !ok || len(steps) == 0 {
		return false
	}
	e.stack = e.stack[:0]
	n := e.root
	for i, st := range steps {
		n.flags |= along
		if last := i == len(steps)-1; last && !st.s.isInner() {
			f(e.kid(n, st.s), nil)
			return true
		}
		n = e.enter(n, st)
	}
	f(nil, n)
	return true
}

// place says where among its siblings an entry or value goes.
type place uint8

const (
	atLast place = iota
	atFirst
	beforeOther
	afterOther
)

// move gives the entry or value that steps name another place in its order; other is the key of the sibling that
// beforeOther and afterOther mean. It reports whether both are there.
func (e *editor) move(steps []step, where place, other string) bool {
	if _, ok := e.get(steps); !ok || len(steps) == 0 {
		return false
	}
	if e.guards() && e.refuses(steps, "inserted") {
		return true
	}
	e.stack = e.stack[:0]
	n := e.root
	last := len(steps) - 1
	for _, st := range steps[:last] {
		n = e.enter(n, st)
	}
	st := steps[last]
	k := n.find(st.s)
	var at slot
	if where == beforeOther || where == afterOther {
		var ok bool
		if at, ok = k.node.list.byName.get(other); !ok {
			return false
		}
		if other == st.key {
			return true
		}
	}
	k.node = e.own(k.node)
	l := e.ownList(k.node)
	sl, _ := l.byName.get(st.key)
	key, _ := l.byLabel.get(sl.label)
	l.byLabel.del(e.o, sl.label)
	sl.label = l.label(e.o, where, at.label)
	l.byLabel.set(e.o, sl.label, key)
	l.byName.set(e.o, key, sl)
	return true
}

// label finds a free label for the place.
func (l *list) label(o *owner, where place, at uint64) uint64 {
	for {
		first, _, some := l.byLabel.first()
		end, _, _ := l.byLabel.last()
		if !some {
			return labelStart
		}
		var lo, hi uint64
		switch where {
		case atFirst:
			return first - labelGap
		case atLast:
			return end + labelGap
		case beforeOther:
			below, _, ok := l.byLabel.below(at)
			if !ok {
				return at - labelGap
			}
			lo, hi = below, at
		case afterOther:
			above, _, ok := l.byLabel.above(at)
			if !ok {
				return at + labelGap
			}
			lo, hi = at, above
		}
		if hi-lo > 1 {
			return lo + (hi-lo)/2
		}
		at = l.relabel(o, at)
	}
}

// relabel makes room around the label at: it takes in neighbours on both sides, twice as many each time, until they can
// stand 2^12 apart, and spreads them evenly. It returns the new label of what had the label at.
func (l *list) relabel(o *owner, at uint64) uint64 {
	for reach := 8; ; reach *= 2 {
		labels := []uint64{at}
		lo, hi, closed := at, at, true
		for range reach {
			b, _, ok := l.byLabel.below(lo)
			if !ok {
				closed = false
				break
			}
			lo = b
			labels = append(labels, b)
		}
		slices.Reverse(labels)
		if closed {
			labels = labels[1:] // lo is the border, and stays
		} else {
			lo -= uint64(reach) * labelGap
		}
		closed = true
		for range reach {
			a, _, ok := l.byLabel.above(hi)
			if !ok {
				closed = false
				break
			}
			hi = a
			labels = append(labels, a)
		}
		if closed {
			labels = labels[:len(labels)-1]
		} else {
			hi += uint64(reach) * labelGap
		}
		if gap := (hi - lo) / uint64(len(labels)+1); gap >= 1<<12 {
			return l.spread(o, labels, lo, gap, at)
		}
	}
}

// spread gives the entries with these labels new ones, gap apart, the first gap above lo.
func (l *list) spread(o *owner, labels []uint64, lo, gap, at uint64) uint64 {
	keys := make([]string, len(labels))
	for i, label := range labels {
		keys[i], _ = l.byLabel.get(label)
		l.byLabel.del(o, label)
	}
	moved := at
	for i, key := range keys {
		label := lo + gap*uint64(i+1)
		if labels[i] == at {
			moved = label
		}
		l.byLabel.set(o, label, key)
		sl, _ := l.byName.get(key)
		sl.label = label
		l.byName.set(o, key, sl)
	}
	return moved
}
