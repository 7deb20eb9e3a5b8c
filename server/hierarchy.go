package server

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/lkh"
	"gvpn/sa"
	"gvpn/turn"
)

// With key-hierarchy (RFC 6407 section 5.6.3) the KEK is the root of a tree with a leaf for each member. A member gets the keys of
// its way up when it registers. When one is unregistered by an effect, a new KEK goes to the others in one push under the old one,
// with as many keys as the tree is high, squared; then new TEKs, in a push of their own under the new KEK (section 7.4.1), so that
// who is shut out gets neither. One that is taken for gone is shut out with the next new KEK, whenever that is.
//
//	no tree --- a KEK is made ---> tree: root = KEK --- the KEK is destroyed ---> no tree
//
// A member that registered before there was a tree holds the KEK alone. It cannot follow when the tree changes, notices, and
// comes again. A tree that a restart does not find, or not whole, is as if all members held the KEK alone and one were to be shut out:
// the group begins anew.

const (
	minLeaves  = 64
	maxUpdates = 60000 // octets of updates in one push: a change for one member always fits

	treeInfix = "/lkh/"
	treeHead  = treeInfix + "head"
	treePart  = treeInfix + "part/"
)

// hierarchy is a group's tree and what is to be done with it.
type hierarchy struct {
	tree    *lkh.Tree    // nil: none; its root is the KEK otherwise
	updates []lkh.Update // of the KEK made last, for sendKEK
	grown   []lkh.Update // of a tree that has grown: its root is to become the KEK
	leaving []uint16     // leaves of members that are gone: they go with the next KEK
	spare   []uint16     // leaves for members to come
	shut    bool         // somebody was shut out: a new KEK is due at the end of the plan
	written map[int]bool // parts of the tree on disk
}

// rootKEK gives a new KEK its IV and key: those of the tree's new root, or of no tree.
func (s *Server) rootKEK(g *group, c *step.Communication) (iv [16]byte, key sa.Secret) {
	h := &g.lkh
	switch {
	case !c.Hierarchy:
		s.dropTree(g)
		return [16]byte(s.draw(16)), s.draw(c.KeyBits / 8)
	case h.tree == nil || h.updates != nil || len(h.tree.Root().Data) != lkh.DataLen(c.KeyBits):
		// Also if the members have not been told of the change before this one: they could not follow it.
		s.newTree(g, c.KeyBits)
	case h.grown != nil:
		h.updates, h.grown = h.grown, nil
	case !s.changeTree(g):
		s.newTree(g, c.KeyBits)
	}
	root := h.tree.Root().Data
	defer root.Zero()
	copy(iv[:], root)
	return iv, root[len(iv):].Clone()
}

func (s *Server) changeTree(g *group) bool {
	h := &g.lkh
	_, updates, err := h.tree.Change(s.rand, 0, h.leaving...)
	if err != nil {
		return false // no handle is left, after billions of keys
	}
	h.updates, h.leaving = updates, nil
	return true
}

func (s *Server) newTree(g *group, bits int) {
	s.dropTree(g)
	tree, err := lkh.New(bits, min(max(minLeaves, 2*len(g.conf.Members)), lkh.MaxLeaves), s.rand)
	if err != nil {
		panic(err) // the schema has AES's key lengths only
	}
	g.lkh.tree = tree
}

// dropTree destroys the tree. Its members hold the KEK that was its root like those who never had more.
func (s *Server) dropTree(g *group) {
	h := &g.lkh
	if h.tree == nil {
		return
	}
	h.tree.Zero()
	for n := range h.written {
		s.records[g.treeKey(n)] = nil
	}
	s.records[groupPrefix+escape(g.name)+treeHead] = nil
	g.lkh = hierarchy{}
	for _, m := range g.members {
		if m.leaf != 0 {
			m.leaf = 0
			s.members[m] = true
		}
	}
}

func (g *group) treeKey(part int) string {
	return groupPrefix + escape(g.name) + treePart + strconv.Itoa(part)
}

// saveTree has what changed of the tree written.
func (s *Server) saveTree(g *group) {
	h := &g.lkh
	if h.tree == nil {
		return
	}
	parts := h.tree.Changed()
	if len(parts) == 0 {
		return
	}
	if h.written == nil {
		h.written = make(map[int]bool)
	}
	for _, n := range parts {
		s.records[g.treeKey(n)] = h.tree.Part(n)
		h.written[n] = true
	}
	s.records[groupPrefix+escape(g.name)+treeHead] = h.tree.Head()
}

// seat gives a member a leaf of the tree, if there is one. It is false if the tree had no leaf left: it has grown, everybody is
// told the new KEK, and the member must come again for it.
func (s *Server) seat(now time.Time, g *group, m *member) bool {
	h := &g.lkh
	switch {
	case h.tree == nil || h.tree.Has(m.leaf):
		return true
	case len(h.spare) > 0:
		g.sit(m, h.spare[0])
		h.spare = h.spare[1:]
		return true
	case g.conf.Communication == nil || !s.needKey(g):
		return false // the tree might grow, and no KEK could be made
	}
	leaf, updates, err := h.tree.Join(s.rand)
	switch {
	case err != nil:
		return false // lkh.MaxLeaves, more than this server has members
	case updates == nil:
		g.sit(m, leaf)
		s.dirty[g] = true
		return true
	}
	h.spare, h.grown = append(h.spare, leaf), updates
	s.makeKEK(now, g)
	s.sendKEK(now, g, true)
	return false
}

// sit gives a member its leaf, and takes note of the leaf's key.
func (g *group) sit(m *member, leaf uint16) {
	m.leafKey.Zero()
	m.leaf = leaf
	keys := g.way(m)
	m.leafKey = keys.Leaf().Clone()
	keys.Zero()
}

// unseat notes that a member is gone; out says that it is to be shut out at once.
func (s *Server) unseat(g *group, m *member, out bool) {
	h := &g.lkh
	m.leafKey.Zero()
	m.leafKey = nil
	if h.tree == nil {
		return
	}
	if m.leaf != 0 {
		h.leaving = append(h.leaving, m.leaf)
	}
	h.shut = h.shut || out
}

// shutOut replaces the KEK and the TEKs of a group from which the plan in hand has shut members out.
func (s *Server) shutOut(now time.Time, g *group) {
	shut := g.lkh.shut
	g.lkh.shut = false
	if !shut || g.gone || g.kek == nil || g.conf.Communication == nil || !g.conf.Communication.Hierarchy {
		return
	}
	n := len(g.lkh.leaving)
	seated := func(m *member) bool { return m.leaf != 0 }
	if members := g.sorted(); len(members) > 0 && !slices.ContainsFunc(members, seated) {
		// They hold the KEK alone, as who is shut out does: what tells them another would tell it too.
		s.notify(turn.Notice, "GKSD_MEMBERS_SHUT_OUT", fmt.Sprintf("group %s: no member holds a key hierarchy yet: the group begins anew", g.name))
		s.renew(now, g, false)
		return
	}
	var names []string
	for i := range g.conf.SAs {
		names = append(names, g.conf.SAs[i].Name)
	}
	s.notify(turn.Notice, "GKSD_MEMBERS_SHUT_OUT", fmt.Sprintf("group %s: %d members are shut out: new KEK and TEKs", g.name, n))
	s.rekey(now, g, true, names)
}

// way is a member's keys of the tree, nil if it has none.
func (g *group) way(m *member) *lkh.Keys {
	if g.lkh.tree == nil || m.leaf == 0 {
		return nil
	}
	path := g.lkh.tree.Path(m.leaf)
	keys, err := lkh.NewKeys(path)
	if err != nil {
		return nil // no leaf of the tree
	}
	for _, k := range path {
		k.Data.Zero()
	}
	return keys
}

// sendRoot tells members the KEK made last, under the one before it.
func (s *Server) sendRoot(now time.Time, g *group, seq uint32) {
	updates := g.lkh.updates
	g.lkh.updates = nil
	var local netip.Addr
	if len(g.byPlace) > 0 { // nobody else is told
		local = g.byPlace[0].local.Addr()
	}
	if len(updates) == 0 {
		s.send(now, g, g.old, seq, gdoi.Push{Policy: s.announce(&gdoi.Policy{KEK: g.kek}, local)})
		return
	}
	for i, part := range gdoi.SplitUpdates(g.kek, updates, maxUpdates) {
		if i > 0 {
			seq = g.numbered(g.old, false)
		}
		s.send(now, g, g.old, seq, gdoi.Push{Policy: s.announce(&gdoi.Policy{KEK: g.kek, Updates: part}, local)})
	}
}

// byMember says that each member acknowledges with a key of its own.
func byMember(ack uint16) bool { return ack == gdoi.AckLKHSHA256 || ack == gdoi.AckLKHSHA512 }

// verifyAck checks an acknowledgement of a delivery.
func (d *delivery) verifyAck(a gdoi.Ack) bool {
	p := d.push
	if !byMember(p.ack) {
		return a.Verify(p.ackKey)
	}
	if d.lane.member == nil {
		return false
	}
	key := gdoi.AckKey(&sa.KEK{SPI: p.id.spi, Ack: p.ack}, d.lane.member.leafKey, p.options)
	defer key.Zero()
	return a.Verify(key)
}

// treeRecords are the pieces of a tree as they are on disk.
type treeRecords struct {
	head  []byte
	parts map[int][]byte
}

// take keeps a piece of a tree; rest is its key behind the group's name.
func (r *treeRecords) take(rest string, value []byte) error {
	if rest == treeHead {
		r.head = slices.Clone(value)
		return nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(rest, treePart))
	if err != nil || n < 0 {
		return errors.New("its key has no number")
	}
	if r.parts == nil {
		r.parts = make(map[int][]byte)
	}
	r.parts[n] = slices.Clone(value)
	return nil
}

func (r *treeRecords) zero() {
	clear(r.head)
	for _, p := range r.parts {
		clear(p)
	}
}

// adoptTree gives a group its tree back, if its pieces fit together and its root is the KEK: a crash may have come between them.
// Leaves that no member has are shut out. Without the tree nobody can tell who those were: the group then begins anew (shutOut).
func (s *Server) adoptTree(g *group, r *treeRecords) {
	defer r.zero()
	err := s.assemble(g, r)
	if err == nil {
		return
	}
	s.notify(turn.Warning, "GKSD_HIERARCHY_LOST", fmt.Sprintf("group %s: the key hierarchy on disk is not usable, nor is it known who was to be shut out: %v", g.name, err))
	s.dropTree(g)
	g.lkh.shut = true
}

func (s *Server) assemble(g *group, r *treeRecords) error {
	if r.head == nil && r.parts == nil {
		had := g.kek != nil && byMember(g.kek.Ack)
		for _, m := range g.members {
			had = had || m.leaf != 0
			m.leaf = 0
		}
		if had {
			return errors.New("it is not there")
		}
		return nil
	}
	g.lkh.written = make(map[int]bool)
	for n := range maps.Keys(r.parts) {
		g.lkh.written[n] = true
	}
	tree, err := lkh.Assemble(r.head, r.parts)
	if err != nil {
		g.lkh.tree = new(lkh.Tree) // so that its records go
		return err
	}
	g.lkh.tree = tree
	root := tree.Root().Data
	defer root.Zero()
	if k := g.kek; k == nil || !root.Equal(append(k.IV[:], k.Key...)) {
		return errors.New("its root is not the KEK")
	}
	seats := make(map[uint16]*member)
	for _, m := range g.sorted() {
		if !tree.Has(m.leaf) || seats[m.leaf] != nil {
			m.leaf = 0
		} else {
			seats[m.leaf] = m
			g.sit(m, m.leaf)
		}
	}
	for _, leaf := range tree.Leaves() {
		if seats[leaf] == nil {
			g.lkh.leaving, g.lkh.shut = append(g.lkh.leaving, leaf), true
		}
	}
	return nil
}
