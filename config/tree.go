package config

import (
	"iter"
	"slices"
	"strconv"
)

// Tree is a configuration: immutable, typed by the schema, sharing structure with the trees that it was made from. The
// zero value is the empty configuration. A Tree may be copied, kept and read from any number of goroutines.
type Tree struct{ root *node }

// node is a container, a list entry, or the holder of a list, a leaf-list or a leaf's remark. It is shared between
// trees and must not be changed but by the edit whose owner it carries.
type node struct {
	owner   *owner
	kids    []kid // children that are there, ascending by id
	list    *list // of lists and leaf-lists
	comment string
	flags   flags

	inherited uint32 // in an effective tree: how many statements in and below the node came from groups
}

// kid is a child that is there.
type kid struct {
	val   string // of a leaf
	node  *node  // of everything but a leaf; of a leaf with a remark
	id    uint16 // Schema.id
	flags flags  // of leaves and leaf-lists
}

// list is the entries of a list, or the values of a leaf-list, by name and by order. The order is that of labels,
// which belong to the list: a move gives an entry a new label.
type list struct {
	owner   *owner
	byName  btree[string, slot]
	byLabel btree[uint64, string]
}

// slot is an entry; its node is nil if it has nothing but its keys.
type slot struct {
	label uint64
	node  *node
}

type flags uint8

const (
	inactive flags = 1 << iota
	// below: something under this node may be inactive. It may be set without need, but is never missing.
	below
	protected
	// shields: something under this node may be protected; with the rule of below.
	shields
	// applies: this node, or something under it, may say which groups are applied to it; with the rule of below.
	applies

	marks = inactive | protected // what an element itself carries
)

// each calls yield for every entry in the list's order until it returns false. Where entries that follow each other do so by
// name too, as in most lists, the next one is found beside the last.
func (l *list) each(yield func(key string, sl slot) bool) {
	at := newCursor(l.byName.root)
	l.byLabel.all(func(_ uint64, key string) bool {
		for at.page() != nil {
			at.open()
		}
		k, sl, ok := at.item()
		if !ok || k != key {
			at.seek(l.byName.root, key)
			_, sl, _ = at.item()
		}
		at.skip()
		return yield(key, sl)
	})
}

// labelGap is the distance of the labels of entries that were appended, labelStart the first label.
const (
	labelGap   = 1 << 24
	labelStart = 1 << 63
)

func (n *node) find(s *Schema) *kid {
	if n == nil {
		return nil
	}
	i, ok := n.index(s.id)
	if !ok {
		return nil
	}
	return &n.kids[i]
}

func (n *node) index(id uint16) (int, bool) {
	for i := range n.kids {
		if got := n.kids[i].id; got >= id {
			return i, got == id
		}
	}
	return len(n.kids), false
}

// Empty reports whether the configuration holds nothing.
func (t Tree) Empty() bool { return t.root == nil || len(t.root.kids) == 0 }

// Root returns the container configuration, which always exists.
func (t Tree) Root() Node {
	n := t.root
	if n == nil {
		n = &emptyNode
	}
	return Node{s: Root(), n: n}
}

var emptyNode node // what the root of the empty tree reads as; never written, since no edit owns it

// Node is a place in a Tree: a container, a list entry, a leaf, or a leaf-list as a whole. It is a cheap value. The zero
// Node is an absent one, and every method may be called on it. Lists as such are no nodes, only their entries are.
type Node struct {
	s     *Schema
	n     *node
	up    *Node
	val   string // an entry's joined keys; a leaf's value
	flags flags  // a leaf's or leaf-list's
}

// Exists reports whether there is something at the place.
func (n Node) Exists() bool { return n.s != nil }

// Schema returns the node's schema, nil if absent.
func (n Node) Schema() *Schema { return n.s }

// Name returns the statement's name, "" if absent.
func (n Node) Name() string {
	if n.s == nil {
		return ""
	}
	return n.s.name
}

// Key returns the key values of a list entry in key order, nil for every other node.
func (n Node) Key() []string {
	if n.s == nil || n.s.kind != List {
		return nil
	}
	return splitKeys(n.s, n.val)
}

// Value returns the value of a leaf as it was set; "" for a flag, for an absent leaf and for what is no leaf. A secret
// leaf gives its obfuscated form ($9$...).
func (n Node) Value() string {
	if n.s == nil || n.s.kind != Leaf {
		return ""
	}
	return n.val
}

// Values returns the values of a leaf-list in order, or the one value of a leaf; nil if absent.
func (n Node) Values() []string {
	switch {
	case n.s == nil:
		return nil
	case n.s.kind == Leaf:
		return []string{n.val}
	case n.s.kind != LeafList:
		return nil
	}
	out := make([]string, 0, n.n.list.byLabel.n)
	n.n.list.byLabel.all(func(_ uint64, v string) bool {
		out = append(out, v)
		return true
	})
	return out
}

// Inactive reports whether the node itself is marked inactive.
func (n Node) Inactive() bool {
	if n.n != nil && n.s.isInner() {
		return n.n.flags&inactive != 0
	}
	return n.flags&inactive != 0
}

// Protected reports whether the node itself is marked protected.
func (n Node) Protected() bool {
	if n.n != nil && n.s.isInner() {
		return n.n.flags&protected != 0
	}
	return n.flags&protected != 0
}

// Comment returns the remark shown before the node, without its delimiters, or "".
func (n Node) Comment() string {
	if n.n == nil {
		return ""
	}
	return n.n.comment
}

// Parent returns the node above; absent for the root and for an absent node.
func (n Node) Parent() Node {
	if n.up == nil {
		return Node{}
	}
	return *n.up
}

// Path returns where the node is; empty for the root and for an absent node.
func (n Node) Path() Path {
	if n.up == nil {
		return nil
	}
	out := make(Path, n.s.depth)
	for at := &n; at.up != nil; at = at.up {
		out[at.s.depth-1] = Elem{Name: at.s.name, Keys: at.Key()}
	}
	return out
}

// Child returns the child of that name: a container, a leaf, a leaf-list, or an entry's key leaf. It is absent if it is
// not there, and for a list, whose entries Entry and Entries give.
func (n Node) Child(name string) Node {
	c, k := n.kid(name)
	if k == nil {
		return Node{}
	}
	up := n // only what is there costs memory
	return Node{s: c, n: k.node, up: &up, val: k.val, flags: k.flags}
}

// kid returns the child of that name, nil if it is not there or is a list.
func (n *Node) kid(name string) (*Schema, *kid) {
	if n.s == nil || !n.s.isInner() {
		return nil, nil
	}
	c := n.s.byName[name]
	if c == nil || c.kind == List {
		return c, nil
	}
	if c.isKey {
		return c, &kid{val: n.key(c)}
	}
	return c, n.n.find(c)
}

// key returns the value of a key leaf of the entry.
func (n *Node) key(c *Schema) string {
	return splitKeys(n.s, n.val)[slices.Index(n.s.keys, c)]
}

func (n *Node) child(c *Schema, up *Node) Node {
	if c.isKey {
		return Node{s: c, up: up, val: n.key(c)}
	}
	if c.kind == List {
		return Node{}
	}
	k := n.n.find(c)
	if k == nil {
		return Node{}
	}
	return Node{s: c, n: k.node, up: up, val: k.val, flags: k.flags}
}

// Entry returns the entry of the list with these key values, in key order.
func (n Node) Entry(list string, keys ...string) Node {
	c, l := n.list(list)
	if l == nil || len(keys) != len(c.keys) {
		return Node{}
	}
	key := joinKeys(keys)
	sl, ok := l.byName.get(key)
	if !ok {
		return Node{}
	}
	up := n // only what is there costs memory
	return Node{s: c, n: sl.node, up: &up, val: key}
}

func (n *Node) entry(c *Schema, l *list, key string) Node {
	sl, ok := l.byName.get(key)
	if !ok {
		return Node{}
	}
	return Node{s: c, n: sl.node, up: n, val: key}
}

func (n *Node) list(name string) (*Schema, *list) {
	if n.s == nil || !n.s.isInner() {
		return nil, nil
	}
	c := n.s.byName[name]
	if c == nil || c.kind != List {
		return nil, nil
	}
	k := n.n.find(c)
	if k == nil {
		return nil, nil
	}
	return c, k.node.list
}

// Entries returns the entries of the list in their order.
func (n Node) Entries(list string) iter.Seq[Node] {
	c, l := n.list(list)
	return n.entries(c, l)
}

func (n Node) entries(c *Schema, l *list) iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if l == nil {
			return
		}
		l.each(func(key string, sl slot) bool { return yield(Node{s: c, n: sl.node, up: &n, val: key}) })
	}
}

// Len returns how many entries the list has, or how many values the leaf-list.
func (n Node) Len(list string) int {
	if n.s == nil || !n.s.isInner() {
		return 0
	}
	c := n.s.byName[list]
	if c == nil || c.kind != List && c.kind != LeafList {
		return 0
	}
	if k := n.n.find(c); k != nil {
		return k.node.list.byName.n
	}
	return 0
}

// Children returns what is in a container or entry: nodes in schema order, the entries of a list in their order, a
// leaf-list as one node. Key leaves are left out.
func (n Node) Children() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if n.s == nil || n.n == nil || !n.s.isInner() {
			return
		}
		for i := range n.n.kids {
			k := &n.n.kids[i]
			c := n.s.children[k.id]
			if c.kind != List {
				if !yield(Node{s: c, n: k.node, up: &n, val: k.val, flags: k.flags}) {
					return
				}
				continue
			}
			for e := range n.entries(c, k.node.list) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// At returns the node at a path below n. A path that ends in a value of a leaf-list gives the leaf-list if it holds that
// value; one that does not fit the schema gives an absent node.
func (n Node) At(path Path) Node {
	for _, e := range path {
		switch {
		case len(e.Keys) == 0:
			n = n.Child(e.Name)
		default:
			if c := n.Child(e.Name); c.s != nil && c.s.kind == LeafList {
				if _, ok := c.n.list.byName.get(e.Keys[0]); !ok || len(e.Keys) != 1 {
					return Node{}
				}
				n = c
				continue
			}
			n = n.Entry(e.Name, e.Keys...)
		}
	}
	return n
}

// Get returns the value of the child leaf: as set, else its default, else "".
func (n Node) Get(name string) string {
	switch c, k := n.kid(name); {
	case c == nil:
		return ""
	case k == nil:
		return c.def
	case c.kind == Leaf:
		return k.val
	}
	return ""
}

// Uint returns Get as a number, 0 if it is none.
func (n Node) Uint(name string) uint64 {
	v, err := strconv.ParseUint(n.Get(name), 10, 64)
	if err != nil {
		return 0
	}
	return v
}

// Has reports whether the child, flag or list entry of that name is there.
func (n Node) Has(name string) bool {
	_, k := n.kid(name)
	return k != nil || n.Len(name) > 0
}

// element words the node as it would stand in its parent: a name, for an entry with its keys.
func (n Node) element() string {
	if n.s == nil {
		return ""
	}
	if n.s.kind != List {
		return n.s.name
	}
	return string(appendEntry(nil, n.s, n.val))
}
