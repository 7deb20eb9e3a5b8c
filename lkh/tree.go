package lkh

import (
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"slices"

	"gvpn/sa"
)

// MaxLeaves is how many members a Tree can have: node IDs have 16 bits.
const MaxLeaves = 1 << maxHeight

const maxHeight = 15

// maxHandle leaves room for one change of everything below the last handle.
const maxHandle = math.MaxUint32 - 4*MaxLeaves

// Tree is the key server's side. Its nodes are numbered from left to right, leaves odd, so that numbers stay when the tree
// grows a new root:
//
//	         4
//	   2           6
//	1     3     5     7
//
// Every node above a member has a key; the root always has one.
type Tree struct {
	bits    int    // of an AES key
	height  int    // of the root: room for 1<<height members
	handle  uint32 // the last one given; none is given twice
	members int
	free    int          // no leaf before this one is free
	nodes   []node       // by ID
	changed map[int]bool // parts of the record that differ from those that Changed told of
}

type node struct {
	handle uint32 // 0: no key
	below  uint16 // members at or below it
	data   [ivLen + 32]byte
}

// New makes a tree with room for at least so many members, 1 to MaxLeaves; when more come, it grows. random gives the keys,
// here and below; it panics if that fails.
func New(keyLength, members int, random io.Reader) (*Tree, error) {
	if !keyBits(keyLength) {
		return nil, fmt.Errorf("lkh: AES key of %d bits", keyLength)
	}
	if members < 1 || members > MaxLeaves {
		return nil, fmt.Errorf("lkh: a tree for %d members, want 1 to %d", members, MaxLeaves)
	}
	t := &Tree{bits: keyLength, height: max(1, bits.Len(uint(members-1)))}
	t.nodes = make([]node, 2<<t.height)
	t.renew(t.root(), random)
	return t, nil
}

func (t *Tree) root() uint16             { return 1 << t.height }
func (t *Tree) dataLen() int             { return DataLen(t.bits) }
func leafID(index int) uint16            { return uint16(2*index + 1) }
func (t *Tree) key(id uint16) Key        { return Key{id, t.nodes[id].handle, t.data(id)} }
func (t *Tree) data(id uint16) sa.Secret { return t.nodes[id].data[:t.dataLen()] }

// parent is the node above id: of the two multiples of the next power of two beside it, the odd one.
func parent(id uint16) uint16 {
	step := id & -id
	return (id | step<<1) &^ step
}

// children are the nodes below id, none for a leaf.
func children(id uint16) []uint16 {
	if step := (id & -id) >> 1; step != 0 {
		return []uint16{id - step, id + step}
	}
	return nil
}

// renew gives a node a new key.
func (t *Tree) renew(id uint16, random io.Reader) {
	n := &t.nodes[id]
	if _, err := io.ReadFull(random, n.data[:t.dataLen()]); err != nil {
		panic("lkh: no random numbers: " + err.Error())
	}
	t.handle++
	n.handle = t.handle
	t.touch(id)
}

// Members is how many members the tree has.
func (t *Tree) Members() int { return t.members }

// Has reports whether a member is at leaf.
func (t *Tree) Has(leaf uint16) bool {
	return leaf&1 == 1 && int(leaf) < len(t.nodes) && t.nodes[leaf].handle != 0
}

// Root is the group's KEK, a copy.
func (t *Tree) Root() Key {
	k := t.key(t.root())
	k.Data = k.Data.Clone()
	return k
}

// Path gives the keys of the member at leaf, copies, its own first and the KEK last (LKH_DOWNLOAD_ARRAY, RFC 6407 section
// 5.6.3.1). They are for that member alone. It is nil if there is none.
func (t *Tree) Path(leaf uint16) []Key {
	if !t.Has(leaf) {
		return nil
	}
	var path []Key
	for id := leaf; ; id = parent(id) {
		k := t.key(id)
		k.Data = k.Data.Clone()
		path = append(path, k)
		if id == t.root() {
			return path
		}
	}
}

// Join puts a member in without replacing a key (RFC 6407 section 3.4), so that nobody else needs to be told: what it gets is
// what the others have. Change with join of 1 is for a group whose past is to stay closed to it (section 7.4.2). Only if the
// tree must grow, which it does by doubling, there is a new KEK, and updates bring it to the others. The error is ErrFull.
func (t *Tree) Join(random io.Reader) (leaf uint16, updates []Update, err error) {
	if t.members == MaxLeaves || t.handle > maxHandle {
		return 0, nil, ErrFull
	}
	if t.members == 1<<t.height {
		old := t.root()
		t.grow(random)
		updates = []Update{{old, t.nodes[old].handle, []Key{t.wrapped(old, t.root())}}}
	}
	return t.enter(random), updates, nil
}

// grow doubles the room: the old root becomes the left child of a new one.
func (t *Tree) grow(random io.Reader) {
	t.height++
	nodes := make([]node, 2<<t.height)
	copy(nodes, t.nodes)
	clear(t.nodes)
	t.nodes = nodes
	t.nodes[t.root()].below = uint16(t.members)
	t.renew(t.root(), random)
}

// enter takes the first free leaf, which there is, and gives keys to what is above it and has none.
func (t *Tree) enter(random io.Reader) uint16 {
	for t.nodes[leafID(t.free)].handle != 0 {
		t.free++
	}
	leaf := leafID(t.free)
	for id := leaf; ; id = parent(id) {
		n := &t.nodes[id]
		if n.below++; n.handle == 0 {
			t.renew(id, random)
		}
		if id == t.root() {
			break
		}
	}
	t.members++
	return leaf
}

// leave takes a member out and destroys the keys that nobody is below any more.
func (t *Tree) leave(leaf uint16) {
	for id := leaf; ; id = parent(id) {
		n := &t.nodes[id]
		if n.below--; n.below == 0 && id != t.root() {
			*n = node{}
			t.touch(id)
		}
		if id == t.root() {
			break
		}
	}
	t.members--
	t.free = min(t.free, int(leaf/2))
}

// Change takes the members at the leaves out, puts join new ones in, and replaces every key above either, the KEK in any case.
// Who left, and who was not there before, can do nothing with the updates; all others get the new KEK from exactly one of
// them. The new members' leaves are returned in order; Path has their keys. The error is ErrFull, or says which leaf has no
// member; then nothing has changed.
func (t *Tree) Change(random io.Reader, join int, leaves ...uint16) (joined []uint16, updates []Update, err error) {
	out := make(map[uint16]bool, len(leaves))
	for _, leaf := range leaves {
		if !t.Has(leaf) || out[leaf] {
			return nil, nil, fmt.Errorf("lkh: no member at leaf %d, or named twice", leaf)
		}
		out[leaf] = true
	}
	if t.members-len(leaves)+join > MaxLeaves || t.handle > maxHandle {
		return nil, nil, ErrFull
	}
	for _, leaf := range leaves {
		t.leave(leaf)
	}
	touched := slices.Clone(leaves)
	for range join {
		if t.members == 1<<t.height {
			t.grow(random)
		}
		leaf := t.enter(random)
		joined = append(joined, leaf)
		touched = append(touched, leaf)
	}
	return joined, t.replace(touched, joined, random), nil
}

// replace gives new keys to the root and to all nodes above the leaves, and makes the arrays that tell them: one for every
// node beside those ways up that has members, the new ones aside.
func (t *Tree) replace(leaves, joined []uint16, random io.Reader) []Update {
	isNew := make(map[uint16]bool, len(joined))
	for _, leaf := range joined {
		isNew[leaf] = true
	}
	changed := map[uint16]bool{t.root(): true}
	for _, leaf := range leaves {
		for id := leaf; id != t.root(); {
			id = parent(id)
			if changed[id] && id != t.root() {
				break
			}
			changed[id] = true
		}
	}
	order := slices.Sorted(maps.Keys(changed))
	for _, id := range order {
		if t.nodes[id].below > 0 || id == t.root() {
			t.renew(id, random)
		}
	}
	above := make(map[uint16]Key, len(changed)) // the key above a changed node, under that node's
	var updates []Update
	for _, id := range order {
		for _, child := range children(id) {
			if t.nodes[child].below == 0 || changed[child] || isNew[child] {
				continue
			}
			u := Update{child, t.nodes[child].handle, []Key{t.wrapped(child, id)}}
			for at := id; at != t.root(); at = parent(at) {
				k, ok := above[at]
				if !ok {
					k = t.wrapped(at, parent(at))
					above[at] = k
				}
				u.Keys = append(u.Keys, k)
			}
			updates = append(updates, u)
		}
	}
	return updates
}

// wrapped is the key of id, encrypted under that of the node under.
func (t *Tree) wrapped(under, id uint16) Key {
	return Key{id, t.nodes[id].handle, wrap(t.data(under), t.data(id))}
}

// Zero destroys all keys.
func (t *Tree) Zero() { clear(t.nodes) }

// Format implements fmt.Formatter: a Tree prints how large it is and no key.
func (t Tree) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "lkh.Tree of %d members", t.members)
}
