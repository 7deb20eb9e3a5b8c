package lkh

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// recordVersion is the first octet of the binary form.
const recordVersion = 1

// Append appends the tree's binary form to dst, which holds secrets: 54 octets a key with AES-256, some 2 keys a member.
//
//	Tree:  version 1 (=1) | key bits 2 | height 1 | last handle 4 | keys
//	key:   ID 2 | handle 4 | IV 16 | key
//
// All numbers are big endian. Keys are in the order of their IDs. A leaf with a key is a member.
func (t *Tree) Append(dst []byte) []byte {
	dst = append(dst, t.Head()...)
	for id := range t.nodes {
		dst = t.appendKey(dst, id)
	}
	return dst
}

// Parse reads what Append wrote; the tree owns its memory. Errors wrap ErrKeys: octets too few or too many, a number out of
// its range, an order that Append does not write, a node with members and no key or with a key and no members.
func Parse(b []byte) (*Tree, error) {
	fault := func(format string, args ...any) (*Tree, error) {
		return nil, fmt.Errorf("%w: tree: %s", ErrKeys, fmt.Sprintf(format, args...))
	}
	if len(b) < 8 {
		return fault("%d octets", len(b))
	}
	be := binary.BigEndian
	t := &Tree{bits: int(be.Uint16(b[1:])), height: int(b[3]), handle: be.Uint32(b[4:])}
	switch {
	case b[0] != recordVersion:
		return fault("version %d, this program knows %d", b[0], recordVersion)
	case !keyBits(t.bits):
		return fault("AES key of %d bits", t.bits)
	case t.height < 1 || t.height > maxHeight:
		return fault("height %d", t.height)
	}
	b = b[8:]
	size := 6 + t.dataLen()
	if len(b)%size != 0 {
		return fault("%d octets are no whole number of keys", len(b))
	}
	t.nodes = make([]node, 2<<t.height)
	handles := make(map[uint32]bool, len(b)/size)
	last := 0
	for ; len(b) > 0; b = b[size:] {
		id, handle := int(be.Uint16(b)), be.Uint32(b[2:])
		if id <= last || id >= len(t.nodes) || handle == 0 || handle > t.handle || handles[handle] {
			t.Zero()
			return fault("key of node %d after %d, handle %d", id, last, handle)
		}
		last, handles[handle] = id, true
		n := &t.nodes[id]
		n.handle = handle
		copy(n.data[:], b[6:size])
		if id&1 == 1 {
			t.members++
			for at := uint16(id); ; at = parent(at) {
				t.nodes[at].below++
				if at == t.root() {
					break
				}
			}
		}
	}
	for id := range t.nodes {
		n, root := &t.nodes[id], id == int(t.root())
		if (n.handle != 0) != (n.below > 0 || root) {
			t.Zero()
			return fault("node %d has %d members, a key: %v", id, n.below, n.handle != 0)
		}
	}
	return t, nil
}

// partNodes is how many node IDs a part of the record covers: a member that comes or goes changes about as many parts as the
// tree is high, some 900 octets each.
const partNodes = 16

func (t *Tree) touch(id uint16) {
	if t.changed == nil {
		t.changed = make(map[int]bool)
	}
	t.changed[int(id)/partNodes] = true
}

// Changed lists the parts of the record that have changed since it was called last, in order: what is to be written again, with
// the head, so that a group of thousands is not written whole for each member.
func (t *Tree) Changed() []int {
	parts := slices.Sorted(maps.Keys(t.changed))
	clear(t.changed)
	return parts
}

// Head and Part give what Append writes, in pieces: first the head, then every part that is not nil, by its number.
func (t *Tree) Head() []byte {
	dst := binary.BigEndian.AppendUint16([]byte{recordVersion}, uint16(t.bits))
	return binary.BigEndian.AppendUint32(append(dst, byte(t.height)), t.handle)
}

// Part is nil if no node in it has a key.
func (t *Tree) Part(number int) (dst []byte) {
	for id := number * partNodes; id < min((number+1)*partNodes, len(t.nodes)); id++ {
		dst = t.appendKey(dst, id)
	}
	return dst
}

// Assemble reads a record in pieces, as Parse does.
func Assemble(head []byte, parts map[int][]byte) (*Tree, error) {
	b := slices.Clone(head)
	for _, n := range slices.Sorted(maps.Keys(parts)) {
		b = append(b, parts[n]...)
	}
	defer clear(b)
	return Parse(b)
}

// Leaves lists the leaves that have a member, in order.
func (t *Tree) Leaves() (leaves []uint16) {
	for id := 1; id < len(t.nodes); id += 2 {
		if t.nodes[id].handle != 0 {
			leaves = append(leaves, uint16(id))
		}
	}
	return leaves
}

func (t *Tree) appendKey(dst []byte, id int) []byte {
	n := &t.nodes[id]
	if n.handle == 0 {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(id))
	dst = binary.BigEndian.AppendUint32(dst, n.handle)
	return append(dst, n.data[:t.dataLen()]...)
}
