package config

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
)

// Validate holds t against every constraint of the modules: must, mandatory, min- and max-elements, unique, leafref. It
// gives all errors, not just the first, and apart from them the warnings. prev is a tree that is known to be valid (the
// zero Tree if there is none): what t shares with prev and what nothing changed about is not looked at again, so the
// cost follows the difference, and so do the warnings. Both trees should be effective ones (see Effective).
func (t Tree) Validate(prev Tree) (errs, warnings Errors) {
	v := validator{root: t.Root(), found: findings{most: maxFound}}
	v.node(v.root, prev.Root(), prev.root == nil)
	if prev.root != nil { // else everything was looked at
		v.referrers()
	}
	return v.found.all().Split()
}

// maxFound bounds how many errors, and how many warnings, one validation gives: enough for a person, and no flood. The others are
// counted.
const maxFound = 1000

type validator struct {
	root  Node
	found findings
	// touched has, for each list that a leafref names, the keys of entries that changed or went: who refers to them
	// must be looked at again.
	touched map[*Schema]map[string]bool
	arrived map[*Schema]bool // lists with deniers that got entries
	said    map[uint64]bool  // what was reported, by its hash, since a node may be looked at twice
}

func limitError(p Path, s *Schema) *Error {
	return &Error{At: p, Path: p.Edit(), Element: s.name, Tag: "too-many-elements", Message: fmt.Sprintf("number of elements exceeds limit of %d", s.max)}
}

// report notes an error about n. A key stands for its entry.
func (v *validator) report(n Node, tag, message string, warning bool) {
	if n.s.isKey {
		n = n.Parent()
	}
	v.add(&Error{At: n.Path(), Path: n.Parent().Path().Edit(), Element: n.element(), Tag: tag, Message: message, Warning: warning})
}

func (v *validator) add(e *Error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.At.String() + keySep + e.Element + keySep + e.Message)) // a hash does not fail
	what := h.Sum64()
	if v.said[what] {
		return
	}
	if v.said == nil {
		v.said = map[uint64]bool{}
	}
	v.said[what] = true
	v.found.add(e)
}

func (v *validator) musts(n Node) {
	for _, m := range n.s.musts {
		if !m.holds(n) {
			v.report(n, "operation-failed", m.message, m.warning)
		}
	}
}

// findChecked fills in checked at and below s, and reports whether validation has to look at s: whether there is a constraint on it
// or below it, or something that others refer to.
func findChecked(s *Schema) bool {
	for _, k := range s.keys {
		if findChecked(k) {
			s.checked = append(s.checked, k)
		}
	}
	for _, c := range s.children {
		if !c.isKey && findChecked(c) {
			s.checked = append(s.checked, c)
		}
	}
	return len(s.checked) > 0 || len(s.musts) > 0 || len(s.uniques) > 0 || len(s.referrers) > 0 || len(s.watchers) > 0 ||
		s.mandatory || s.min > 0 || s.max > 0 || s.typ != nil && s.typ.target != nil
}

// node checks a container or entry and what is below it. old is the same place in the valid tree, absent if it was not
// there; full says to check everything, whatever old has.
func (v *validator) node(n, old Node, full bool) {
	if !full && Same(n, old) {
		return
	}
	full = full || old.s == nil || n.s.readFromBelow
	v.musts(n)
	for _, c := range n.s.checked {
		switch {
		case c.isKey:
			v.leaf(n.child(c, &n))
		case c.kind == List:
			v.list(n, old, c, full)
		case c.isContainer():
			if k := n.child(c, &n); k.s != nil {
				v.node(k, old.Child(c.name), full)
			} else if o := old.Child(c.name); o.s != nil {
				v.gone(o)
			}
		default:
			k := n.child(c, &n)
			if k.s == nil {
				if c.min > 0 {
					v.count(n, c, 0)
				}
				if c.mandatory && v.caseChosen(n, c) {
					m := c.mandatoryText
					if m == "" {
						m = "Missing mandatory statement: '" + c.name + "'"
					}
					v.report(n, "data-missing", m, false)
				}
				continue
			}
			v.leaf(k)
		}
	}
}

// caseChosen reports whether a mandatory leaf is wanted: always, unless it is in a case that is not chosen.
func (v *validator) caseChosen(n Node, c *Schema) bool {
	if len(c.cases) == 0 {
		return true
	}
	for i := range n.n.kids {
		for _, a := range n.s.children[n.n.kids[i].id].cases {
			for _, b := range c.cases {
				if a == b {
					return true
				}
			}
		}
	}
	return false
}

// leaf checks a leaf, a flag, or each value of a leaf-list.
func (v *validator) leaf(n Node) {
	s := n.s
	if s.kind != LeafList {
		v.value(n)
		return
	}
	count := n.n.list.byName.n
	v.count(n.Parent(), s, count)
	up := n.Parent()
	n.n.list.byLabel.all(func(_ uint64, val string) bool {
		v.value(Node{s: s, up: &up, val: val})
		return true
	})
}

func (v *validator) value(n Node) {
	if n.s.typ != nil && n.s.typ.target != nil && !n.refers() {
		m := n.s.referenceError
		if m == "" {
			m = "Referenced " + n.s.typ.target.parent.name + " is not defined"
		}
		v.report(n, "data-missing", m, false)
		return // musts that follow the reference would only repeat it
	}
	v.musts(n)
}

// refers reports whether there is what a leafref names.
func (n *Node) refers() bool {
	_, ok := n.s.typ.route.find(n, n.val)
	return ok
}

func (v *validator) count(parent Node, s *Schema, n int) {
	if s.max > 0 && n > s.max {
		v.add(limitError(parent.Path(), s))
	}
	if n < s.min {
		p := parent.Path()
		v.add(&Error{
			At: p, Path: p.Edit(), Element: s.name, Tag: "too-few-elements",
			Message: fmt.Sprintf("number of elements is below minimum of %d", s.min),
		})
	}
}

func (v *validator) list(n, old Node, c *Schema, full bool) {
	_, l := n.list(c.name)
	size := 0
	if l != nil {
		size = l.byName.n
	}
	v.count(n, c, size)
	if full {
		_, was := old.list(c.name)
		for e := range n.entries(c, l) {
			var o Node
			if was != nil {
				o = old.entry(c, was, e.val)
			}
			v.node(e, o, true)
		}
		if was != nil {
			// Who refers to what changed or went may stand where nothing else is checked.
			for ch := range DiffEntries(old, n, c.name) {
				v.touch(ch)
				if ch.New.s == nil {
					v.gone(ch.Old)
				}
			}
		} else if size > 0 {
			v.arrive(c)
		}
		v.uniques(n, c, nil)
		return
	}
	changed := map[string]bool{}
	for ch := range DiffEntries(old, n, c.name) {
		v.touch(ch)
		if ch.New.s == nil {
			v.gone(ch.Old)
			continue
		}
		changed[ch.New.val] = true
		v.node(ch.New, ch.Old, false)
	}
	if len(changed) > 0 {
		v.uniques(n, c, changed)
	}
}

// arrive notes that the list got an entry.
func (v *validator) arrive(list *Schema) {
	if len(list.deniers) == 0 {
		return // what is new has no other referrers that were not looked at
	}
	if v.arrived == nil {
		v.arrived = map[*Schema]bool{}
	}
	v.arrived[list] = true
}

// touch notes that an entry changed, went or came.
func (v *validator) touch(ch Change) {
	e := ch.Old
	if e.s == nil {
		v.arrive(ch.New.s)
		return
	}
	if len(e.s.referrers) == 0 && len(e.s.watchers) == 0 {
		return
	}
	if v.touched == nil {
		v.touched = map[*Schema]map[string]bool{}
	}
	if v.touched[e.s] == nil {
		v.touched[e.s] = map[string]bool{}
	}
	v.touched[e.s][e.val] = true
}

// gone notes the entries in what went as a whole.
func (v *validator) gone(o Node) {
	for _, c := range o.s.checked {
		switch {
		case c.kind == List:
			for e := range o.Entries(c.name) {
				v.touch(Change{Old: e})
				v.gone(e)
			}
		case c.isContainer():
			if k := o.Child(c.name); k.s != nil {
				v.gone(k)
			}
		}
	}
}

// uniques checks the unique statements of a list; changed has the entries that may have broken one, nil for all.
func (v *validator) uniques(n Node, c *Schema, changed map[string]bool) {
	for _, leaves := range c.uniques {
		seen := map[string][]string{} // values to the entries that have them, if any of them changed
		values := func(e Node) (string, bool) {
			parts := make([]string, 0, 1)
			for _, l := range leaves {
				k := e.child(l, &e)
				if k.s == nil {
					return "", false // RFC 7950 section 7.8.3: entries without the leaf do not count
				}
				parts = append(parts, k.val)
			}
			return strings.Join(parts, keySep), true
		}
		if changed != nil {
			for key := range changed {
				_, l := n.list(c.name)
				if val, ok := values(n.entry(c, l, key)); ok {
					seen[val] = nil
				}
			}
			if len(seen) == 0 {
				continue
			}
		}
		for e := range n.Entries(c.name) {
			val, ok := values(e)
			if !ok {
				continue
			}
			others, wanted := seen[val]
			if !wanted && changed != nil {
				continue
			}
			if len(others) > 0 {
				m := c.uniqueError
				if m == "" {
					m = "values must be unique among the entries of " + c.name
				}
				v.report(e, "operation-failed", m, false)
			}
			seen[val] = append(others, e.val)
		}
	}
}

// referrers looks again at whoever refers to an entry that changed or went: whether it is still there, and every must
// that reads it; and at every must that may want that there is none where one came. Where the reference is itself a key
// it is found by name, else all leaves of its kind are looked at once.
func (v *validator) referrers() {
	if len(v.touched) == 0 && len(v.arrived) == 0 {
		return
	}
	lists := slices.Collect(maps.Keys(v.touched))
	for s := range v.arrived {
		if v.touched[s] == nil {
			lists = append(lists, s)
		}
	}
	slices.SortFunc(lists, bySchema)
	for _, s := range lists {
		keys := v.touched[s]
		if keys == nil {
			for _, from := range s.deniers {
				v.refer(v.root, from, nil)
			}
			continue
		}
		for _, from := range s.referrers {
			v.refer(v.root, from, keys)
		}
		for _, from := range s.watchers {
			v.refer(v.root, from, nil)
		}
	}
}

// bySchema orders schema nodes as they stand in the schema, parents first.
func bySchema(a, b *Schema) int {
	for a.depth > b.depth {
		if a = a.parent; a == b {
			return 1
		}
	}
	for b.depth > a.depth {
		if b = b.parent; a == b {
			return -1
		}
	}
	for a != b && a.parent != b.parent {
		a, b = a.parent, b.parent
	}
	return int(a.id) - int(b.id)
}

// refer looks at the leaves from at and below n whose value is one of keys, or at all of them if keys is nil.
func (v *validator) refer(n Node, from *Schema, keys map[string]bool) {
	next := from
	for next.parent != n.s {
		next = next.parent
	}
	switch {
	case next == from:
		k := n.child(from, &n)
		for _, val := range k.Values() {
			if keys == nil || keys[val] {
				v.again(n)
				return
			}
		}
	case keys != nil && next.kind == List && from.isKey && from.parent == next && len(next.keys) == 1:
		_, l := n.list(next.name)
		if l == nil {
			return
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if e := n.entry(next, l, key); e.s != nil {
				v.again(e)
			}
		}
	case next.kind == List:
		for e := range n.Entries(next.name) {
			v.refer(e, from, keys)
		}
	default:
		if k := n.child(next, &n); k.s != nil {
			v.refer(k, from, keys)
		}
	}
}

// again checks the leaves of n and the musts of n and what is above it.
func (v *validator) again(n Node) {
	for _, c := range n.s.children {
		if c.isInner() {
			continue
		}
		if k := n.child(c, &n); k.s != nil {
			v.leaf(k)
		}
	}
	for at := n; at.s != nil; at = at.Parent() {
		for _, m := range at.s.musts {
			if len(m.follows) > 0 && !m.holds(at) {
				v.report(at, "operation-failed", m.message, m.warning)
			}
		}
	}
}
