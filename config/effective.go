package config

import (
	"fmt"
	"slices"
	"strings"
)

// Effective is what a configuration means: groups are inherited where they are applied, and what is inactive is left out,
// as are groups and apply-groups themselves. Validation, diff and the engines read it.
//
// What stands in the configuration goes before what is inherited; a group that is applied further down before one from
// further up, and one that is named earlier before one named later. An inactive statement inherits nothing. Entries and
// values that are inherited come behind those that are there. A pattern in a group adds to entries that stand in the
// configuration or that some group brings under their own name; it brings none itself.
type Effective struct {
	raw, tree Tree
}

// Tree returns the configuration in force.
func (e Effective) Tree() Tree { return e.tree }

// Effective returns t's effective configuration. Groups that are applied but not there count as empty.
func (t Tree) Effective() Tree {
	e, _ := Effective{}.Next(t)
	return e.tree
}

// Next makes t's effective configuration. e is any other one, best that of the tree that t was edited from: where nothing changed
// its parts are used again, so the cost follows the change. The errors name groups that are applied but not there; they
// count as empty.
func (e Effective) Next(t Tree) (Effective, Errors) { return e.next(t, maxInherited) }

func (e Effective) next(t Tree, limit uint32) (Effective, Errors) {
	x := expansion{o: &owner{}, wilds: map[*list][]wildEntry{}, limit: limit}
	x.groups, x.oldGroups = t.groups(), e.raw.groups()
	root := x.inner(Root(), before{e.raw.root, e.tree.root, nil, true}, t.root, nil)
	if x.brought > limit || root != nil && root.inherited > limit {
		return e, Errors{{
			Path: Path(nil).Edit(), Element: Root().apply.name, Tag: "resource-denied",
			Message: fmt.Sprintf("groups bring more than %d statements into the configuration", limit),
		}}
	}
	if root == nil || len(root.kids) == 0 {
		return Effective{raw: t}, x.errs
	}
	return Effective{t, Tree{root}}, x.errs
}

// maxInherited bounds what groups may bring, which is not bounded by the length of the text: a pattern over n entries brings what it
// has n times. It is room for 20 statements at each of 100,000 gateways, and about a gigabyte.
const maxInherited = 2_000_000

// groups returns the holder of the list of groups.
func (t Tree) groups() *node {
	s := Root().groups
	if s == nil {
		return nil
	}
	if k := t.root.find(s); k != nil {
		return k.node
	}
	return nil
}

// expansion is one run of Effective.
type expansion struct {
	o                 *owner
	groups, oldGroups *node
	wilds             map[*list][]wildEntry
	at                []step // where it is
	errs              Errors
	brought, limit    uint32 // statements that groups brought in this run, and may bring in all

	origins map[origin]string // not nil: keep what is inactive, share nothing with groups, and note what came from where
}

// layer is what one group has for a place: a container, an entry, or the holder of a list or leaf-list. The node of an entry
// that is empty is nil.
type layer struct {
	group string
	n     *node
}

// before is what a place was in the previous configuration: as written, in force, and the layers over it.
type before struct {
	raw, made *node
	layers    []layer
	known     bool // it was there
}

// origin names what was inherited: child id of a container or entry, or the key of an entry or value in a holder.
type origin struct {
	in  *node
	id  uint16
	key string
}

// noted counts what a group brought, and remembers where it came from.
func (x *expansion) noted(in *node, id uint16, key, group string) {
	x.brought++
	if x.origins != nil {
		x.origins[origin{in, id, key}] = group
	}
}

// again reports whether a place that was raw with old.layers means what it meant. applies says whether groups are applied below
// it.
func (x *expansion) again(old before, raw *node, layers []layer, applies bool) bool {
	return old.known && old.raw == raw && slices.Equal(old.layers, layers) && (!applies || x.groups == x.oldGroups) && x.origins == nil
}

// inner returns what raw, a container or entry that may be nil, is together with the layers over it.
func (x *expansion) inner(s *Schema, old before, raw *node, layers []layer) *node {
	if raw == nil {
		raw = &emptyNode
	}
	if old.raw == nil {
		old.raw = &emptyNode
	}
	layers = x.applied(s, raw, layers, x.groups, true)
	old.layers = x.applied(s, old.raw, old.layers, x.oldGroups, false)
	if x.again(old, raw, layers, raw.flags&applies != 0) {
		return old.made
	}
	if x.brought > x.limit || len(layers) == 0 && raw.flags&(below|applies) == 0 && (s.groups == nil || raw.find(s.groups) == nil) {
		return raw
	}
	if raw == &emptyNode && len(layers) == 1 && !s.lists && x.origins == nil {
		if n := layers[0].n; n == nil || n.flags&below == 0 {
			return n
		}
	}
	out := &node{owner: x.o, comment: raw.comment, flags: raw.flags &^ (below | applies)}
	if x.origins != nil {
		out.flags = raw.flags
	}
	for _, id := range ids(raw, layers) {
		c := s.children[id]
		if c.everywhere || c == s.groups {
			continue
		}
		k, inRaw := raw.kid(id)
		if inRaw && c.isOff(k) {
			if x.origins != nil {
				out.kids = append(out.kids, k)
			}
			continue
		}
		over := x.over(c, raw, layers, inRaw)
		if !inRaw && len(over) == 0 {
			continue
		}
		if k, ok := x.kid(c, old, raw, out, k, inRaw, over); ok {
			out.kids = append(out.kids, k)
			if k.node != nil {
				out.inherited += k.node.inherited
			}
			if !inRaw && c.kind != List && c.kind != LeafList {
				out.inherited++
			}
		}
	}
	switch {
	case sameKids(out, raw) && raw != &emptyNode && x.origins == nil:
		return raw
	case old.known && old.made != nil && out.inherited == old.made.inherited && sameKids(out, old.made) && x.origins == nil:
		return old.made
	}
	out.kids = slices.Clip(out.kids)
	return out
}

// kid returns child c of a node that is out.
func (x *expansion) kid(c *Schema, old before, raw, out *node, k kid, inRaw bool, over []overKid) (kid, bool) {
	if c.kind == Leaf || c.kind == Empty {
		if !inRaw {
			k = over[0].kid
			x.noted(out, c.id, "", over[0].group)
		}
		return k, true
	}
	var was before
	if made, ok := old.made.kid(c.id); ok && old.known {
		o, wasRaw := old.raw.kid(c.id)
		was = before{raw: o.node, made: made.node, known: true}
		for _, o := range x.over(c, old.raw, old.layers, wasRaw) {
			was.layers = append(was.layers, layer{o.group, o.kid.node})
		}
	}
	var layers []layer
	for _, o := range over {
		layers = append(layers, layer{o.group, o.kid.node})
	}
	if !inRaw {
		k = kid{id: c.id}
	}
	from := k.node
	switch c.kind {
	case LeafList:
		k.node = x.values(was, from, layers)
	case List:
		k.node = x.list(c, was, from, layers, raw.flags)
		if k.node == nil {
			return k, false
		}
	default:
		x.at = append(x.at, step{s: c})
		k.node = x.inner(c, was, from, layers)
		x.at = x.at[:len(x.at)-1]
		if k.node == nil || k.node == &emptyNode {
			k.node = &node{owner: x.o}
		}
		if c.kind == Container && len(k.node.kids) == 0 {
			return k, false
		}
	}
	if !inRaw && c.isContainer() {
		x.noted(out, c.id, "", layers[0].group)
	}
	return k, true
}

// overKid is a child of a layer.
type overKid struct {
	group string
	kid   kid
}

// over returns what the layers have for child c: nothing that is inactive, and nothing of another case of a choice than what
// is there already.
func (x *expansion) over(c *Schema, raw *node, layers []layer, inRaw bool) []overKid {
	var out []overKid
	for i, l := range layers {
		k, ok := l.n.kid(c.id)
		if !ok || c.isOff(k) {
			continue
		}
		if len(c.cases) > 0 && !inRaw && len(out) == 0 {
			taken := rivalIn(c, raw)
			for _, first := range layers[:i] {
				taken = taken || rivalIn(c, first.n)
			}
			if taken {
				break
			}
		}
		out = append(out, overKid{l.group, k})
	}
	return out
}

// rivalIn reports whether n has a child that cannot be together with c.
func rivalIn(c *Schema, n *node) bool {
	if n == nil {
		return false
	}
	return slices.ContainsFunc(n.kids, func(k kid) bool {
		s := c.parent.children[k.id]
		return rivals(s, c) && !s.isOff(k)
	})
}

// isOff reports whether a child of schema s is marked inactive.
func (s *Schema) isOff(k kid) bool {
	return k.flags&inactive != 0 || s.isContainer() && k.node != nil && k.node.flags&inactive != 0
}

// kid returns the child with the id, if it is there.
func (n *node) kid(id uint16) (kid, bool) {
	if n == nil {
		return kid{}, false
	}
	i, ok := n.index(id)
	if !ok {
		return kid{}, false
	}
	return n.kids[i], true
}

// ids returns the ids of the children that n or a layer has, ascending.
func ids(n *node, layers []layer) []uint16 {
	var out []uint16
	for _, k := range n.kids {
		out = append(out, k.id)
	}
	for _, l := range layers {
		if l.n != nil {
			for _, k := range l.n.kids {
				out = append(out, k.id)
			}
		}
	}
	if len(layers) > 0 {
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out
}

func sameKids(a, b *node) bool {
	return a.comment == b.comment && a.flags&marks == b.flags&marks && slices.Equal(a.kids, b.kids)
}

// applied returns the layers at a place, with the groups that are applied there before those from further up and without
// those excepted there.
func (x *expansion) applied(s *Schema, raw *node, layers []layer, groups *node, report bool) []layer {
	if s.apply == nil || len(raw.kids) == 0 || raw.kids[0].id > s.except.id {
		return layers
	}
	var out []layer
	if k, ok := raw.kid(s.apply.id); ok && k.flags&inactive == 0 {
		k.node.list.byLabel.all(func(_ uint64, name string) bool {
			g, ok := groupNamed(groups, name)
			if !ok && report {
				p := pathOf(x.at)
				x.errs = append(x.errs, &Error{
					At: append(p, Elem{Name: s.apply.name, Keys: []string{name}}), Path: p.Edit(), Element: s.apply.name + " " + Quote(name), Tag: "data-missing",
					Message: "Referenced configuration group must be defined under [edit groups]",
				})
			}
			if ok {
				out = append(out, x.find(layer{name, g})...)
			}
			return true
		})
	}
	out = append(out, layers...)
	if k, ok := raw.kid(s.except.id); ok && k.flags&inactive == 0 {
		out = slices.DeleteFunc(out, func(l layer) bool {
			_, excepted := k.node.list.byName.get(l.group)
			return excepted
		})
	}
	return out
}

// groupNamed returns the node of an active group.
func groupNamed(groups *node, name string) (*node, bool) {
	if groups == nil {
		return nil, false
	}
	sl, ok := groups.list.byName.get(name)
	if !ok || sl.node != nil && sl.node.flags&inactive != 0 {
		return nil, false
	}
	return sl.node, true
}

// find returns what a group has for the place where x is: from patterns, there may be several.
func (x *expansion) find(group layer) []layer {
	out := []layer{group}
	for _, st := range x.at {
		var next []layer
		for _, l := range out {
			k, ok := l.n.kid(st.s.id)
			switch {
			case !ok || st.s.isOff(k):
			case st.s.kind == List:
				over, _ := x.entries(st.s, layer{l.group, k.node}, st.key)
				next = append(next, over...)
			default:
				next = append(next, layer{l.group, k.node})
			}
		}
		out = next
	}
	return out
}

// entries returns what a layer over a list has for the entry with the key: under its own name first, then under patterns, in the
// order of the group; and whether it names it.
func (x *expansion) entries(c *Schema, l layer, key string) (out []layer, named bool) {
	sl, ok := l.n.list.byName.get(key)
	if named = ok && (sl.node == nil || sl.node.flags&inactive == 0) && !wildIn(c, key); named {
		out = append(out, layer{l.group, sl.node})
	}
	if ws := x.wild(c, l.n.list); len(ws) > 0 {
		keys := splitKeys(c, key)
		for _, w := range ws {
			if w.takes(keys) {
				out = append(out, layer{l.group, w.n})
			}
		}
	}
	return out, named
}

// wildIn reports whether an entry's key is, or has, a pattern.
func wildIn(c *Schema, key string) bool {
	if len(c.keys) == 1 {
		return isWild(key)
	}
	return strings.Contains(key, "<") && slices.ContainsFunc(splitKeys(c, key), isWild)
}

// wildEntry is an active entry of a group's list whose key has patterns.
type wildEntry struct {
	wild
	key string
	n   *node
}

// wild returns the entries with patterns of a group's list, in its order.
func (x *expansion) wild(c *Schema, l *list) []wildEntry {
	if ws, ok := x.wilds[l]; ok {
		return ws
	}
	type labelled struct {
		label uint64
		wildEntry
	}
	var found []labelled
	add := func(key string, sl slot) {
		if wildIn(c, key) && (sl.node == nil || sl.node.flags&inactive == 0) {
			found = append(found, labelled{sl.label, wildEntry{newWild(splitKeys(c, key)), key, sl.node}})
		}
	}
	if len(c.keys) == 1 {
		// Patterns begin with <, so they stand together.
		for key, sl, ok := l.byName.above("<"); ok && key[0] == '<'; key, sl, ok = l.byName.above(key) {
			add(key, sl)
		}
	} else {
		l.byName.all(func(key string, sl slot) bool {
			add(key, sl)
			return true
		})
	}
	slices.SortFunc(found, func(a, b labelled) int {
		if a.label < b.label {
			return -1
		}
		return 1
	})
	var ws []wildEntry
	for _, f := range found {
		ws = append(ws, f.wildEntry)
	}
	x.wilds[l] = ws
	return ws
}

// values returns a leaf-list's values with those of the layers that are new behind them.
func (x *expansion) values(old before, raw *node, layers []layer) *node {
	switch {
	case len(layers) == 0:
		return raw
	case x.again(old, raw, layers, false):
		return old.made
	}
	out := &node{owner: x.o, list: &list{owner: x.o}}
	if raw != nil {
		l := *raw.list
		l.owner = x.o
		out.comment, out.list = raw.comment, &l
	}
	for _, l := range layers {
		l.n.list.byLabel.all(func(_ uint64, v string) bool {
			if _, ok := out.list.byName.get(v); !ok {
				out.list.byName.set(x.o, v, slot{label: out.list.appendLabel(x.o, v)})
				x.noted(out, 0, v, l.group)
				out.inherited++
			}
			return true
		})
	}
	return out
}

// inheritedLabel is where the labels of inherited entries begin: behind those of all that were ever appended.
const inheritedLabel = labelStart + 1<<62

// list returns the list raw, which may be nil, with what the layers have; nil if nothing is in it. The parent's flags tell what is
// in raw.
func (x *expansion) list(c *Schema, old before, raw *node, layers []layer, parent flags) *node {
	switch {
	case x.again(old, raw, layers, parent&applies != 0):
		return old.made
	case len(layers) == 0 && parent&(below|applies) == 0:
		return raw
	}
	var none list
	src := &none
	if raw != nil {
		src = raw.list
	}
	keys, some := x.changed(c, old, raw, layers, parent)
	l := *src
	if some {
		l = list{}
		if old.made != nil {
			l = *old.made.list
		}
	}
	l.owner = x.o
	out := &node{owner: x.o, list: &l}
	if !some {
		keys = allKeys(src, layers)
	} else if old.made != nil {
		out.inherited = old.made.inherited
	}
	if raw != nil {
		out.comment, out.flags = raw.comment, raw.flags
	}
	x.fill(c, out, keys, old, src, layers)
	if l.byName.n == 0 {
		return nil
	}
	if raw != nil && l.byName.root == raw.list.byName.root && l.byLabel.root == raw.list.byLabel.root {
		return raw
	}
	return out
}

// changed returns the keys of the entries that may not be what they were; false if that may be any.
func (x *expansion) changed(c *Schema, old before, raw *node, layers []layer, parent flags) ([]string, bool) {
	if !old.known || x.origins != nil || len(layers) != len(old.layers) || parent&applies != 0 && x.groups != x.oldGroups {
		return nil, false
	}
	keys := map[string]bool{}
	diff := func(a, b *node) {
		var none list
		la, lb := &none, &none
		if a != nil {
			la = a.list
		}
		if b != nil {
			lb = b.list
		}
		la.byName.diff(&lb.byName, func(key string, p, q slot, inA, inB bool) bool {
			if inA != inB || p != q {
				keys[key] = true
			}
			return true
		})
	}
	diff(old.raw, raw)
	for i, l := range layers {
		was := old.layers[i]
		if l.group != was.group {
			return nil, false
		}
		if l.n == was.n {
			continue
		}
		same := func(a, b wildEntry) bool { return a.key == b.key && a.n == b.n }
		if !slices.EqualFunc(x.wild(c, l.n.list), x.wild(c, was.n.list), same) || l.n.list.byLabel.root != was.n.list.byLabel.root {
			return nil, false
		}
		diff(was.n, l.n)
	}
	out := make([]string, 0, len(keys))
	for key := range keys {
		out = append(out, key)
	}
	slices.Sort(out)
	return out, true
}

// allKeys returns the keys of all entries that raw and the layers name, each once.
func allKeys(raw *list, layers []layer) []string {
	keys := make([]string, 0, raw.byName.n)
	raw.byName.all(func(key string, _ slot) bool {
		keys = append(keys, key)
		return true
	})
	for _, l := range layers {
		l.n.list.byName.all(func(key string, _ slot) bool {
			if _, ok := raw.byName.get(key); !ok {
				keys = append(keys, key)
			}
			return true
		})
	}
	if len(layers) > 1 {
		slices.Sort(keys)
		keys = slices.Compact(keys)
	}
	return keys
}

// ranks returns the labels of inherited entries: those of the first layer in their order, then those that the second has
// more, and so on. They depend on nothing but the order in the groups, so that an entry keeps its label when others come and go.
func ranks(layers []layer) map[string]uint64 {
	out := map[string]uint64{}
	for _, l := range layers {
		l.n.list.byLabel.all(func(_ uint64, key string) bool {
			if _, ok := out[key]; !ok {
				out[key] = inheritedLabel + uint64(len(out))*labelGap
			}
			return true
		})
	}
	return out
}

// fill brings the entries keys of out, a list that is right but for them, up to date.
func (x *expansion) fill(c *Schema, out *node, keys []string, old before, raw *list, layers []layer) {
	l := out.list
	type found struct {
		key  string
		sl   slot
		from int // index of the layer that brings it, -1: none
	}
	var come []found
	var labels map[string]uint64
	for _, key := range keys {
		sl, from, ok := x.entry(c, key, old, raw, layers)
		have, had := l.byName.get(key)
		if ok && from >= 0 {
			if labels == nil {
				labels = ranks(layers)
			}
			sl.label = labels[key]
		}
		if ok == had && sl == have {
			continue
		}
		if had {
			out.inherited -= have.inherited()
			// Labels are taken away before any is given: entries may have exchanged theirs.
			l.byLabel.del(x.o, have.label)
			if !ok {
				l.byName.del(x.o, key)
			}
		}
		if ok {
			come = append(come, found{key, sl, from})
		}
	}
	for _, f := range come {
		out.inherited += f.sl.inherited()
		l.byName.set(x.o, f.key, f.sl)
		l.byLabel.set(x.o, f.sl.label, f.key)
		if f.from >= 0 {
			x.noted(out, 0, f.key, layers[f.from].group)
		}
	}
}

// inherited counts what groups brought of an entry, itself too.
func (sl slot) inherited() uint32 {
	n := uint32(0)
	if sl.label >= inheritedLabel {
		n = 1
	}
	if sl.node != nil {
		n += sl.node.inherited
	}
	return n
}

// entry returns the entry with the key, with the label that it has in raw, and which layer brings it if raw does not (else -1);
// false if it is not there.
func (x *expansion) entry(c *Schema, key string, old before, raw *list, layers []layer) (sl slot, from int, ok bool) {
	over, from := x.layersOf(c, layers, key)
	sl, inRaw := raw.byName.get(key)
	switch {
	case inRaw && sl.node != nil && sl.node.flags&inactive != 0:
		return sl, -1, x.origins != nil
	case !inRaw && from < 0:
		return slot{}, -1, false
	case inRaw:
		from = -1
	}
	was := before{known: old.known && old.raw != nil}
	if old.raw != nil {
		o, there := old.raw.list.byName.get(key)
		was.raw, was.known = o.node, was.known && there
	}
	if old.made != nil && was.known {
		o, there := old.made.list.byName.get(key)
		was.made, was.known = o.node, there
	}
	if was.known {
		was.layers, _ = x.layersOf(c, old.layers, key)
	}
	x.at = append(x.at, step{s: c, key: key})
	n := x.inner(c, was, sl.node, over)
	x.at = x.at[:len(x.at)-1]
	if n == &emptyNode {
		n = nil
	}
	return slot{label: sl.label, node: n}, from, true
}

// layersOf returns the layers over the entry with the key, and the first that names it, -1 if none does.
func (x *expansion) layersOf(c *Schema, layers []layer, key string) (over []layer, from int) {
	from = -1
	for i, l := range layers {
		of, named := x.entries(c, l, key)
		over = append(over, of...)
		if named && from < 0 {
			from = i
		}
	}
	return over, from
}
