package server

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// A GROUPKEY-PUSH on its way (rules M8, T11, T14):
//
//	       signature      Persist, then first in its lane
//	made ------------> sealed ------------> sent --+-- acknowledged -------------------> done
//	  \                   |                  ^  |  |
//	   \                  |    every period  +--+  +-- retries spent: unacknowledged --> done, member may go
//	    \_________________|__________________________ cancelled -----------------------> done

// pushID is what an acknowledgement names.
type pushID struct {
	spi [16]byte
	seq uint32
}

// push is one GROUPKEY-PUSH. It owns all it needs, so that the group's keys can be destroyed while it is under way.
type push struct {
	id      pushID
	order   uint64       // of making, over all groups
	options gdoi.Options // how it is written
	box     *outbox
	work    uint64    // its signature, until that is there
	message []byte    // unsigned, in the clear; nil once sealed
	kek     *sa.KEK   // to seal it with; nil once sealed
	sealed  []byte    // the datagram
	ack     uint16    // RFC 8263's type of acknowledgement, 0: none is asked for
	ackKey  sa.Secret // of the types that all members share; else each member's own, see verifyAck
	keys    bool      // it carries keys, not only deletions
	again   bool      // sent by an earlier run: members may have acknowledged it, so nobody is judged by it
	named   bool      // its record names whom it is for; else they were, when it was made and are still, the group's members
	period  time.Duration
	retries int
	open    []*delivery // by place, since close, awaited and laneTo search it

	// Of a push by multicast (multicast.go); nil and 0 of others.
	way     *sa.Multicast
	cast    *delivery // what is sent in place of those in open
	waiting int       // of open, not reached
}

// delivery is a push to one member.
type delivery struct {
	push  *push
	lane  *lane
	sent  int
	due   time.Time // to be sent again, or given up
	index int       // in the heap; -1 if not sent yet, or not for itself

	reached bool // of a multicast: nothing before it is waited for
}

// lanePlace is where pushes go to, and from where.
type lanePlace struct{ local, remote netip.AddrPort }

// lane is the pushes to one member in their order. The next is sent when the one before it is done, since a member refuses
// push numbers that come late (RFC 6407 section 5.7), unless the member never acknowledges anything.
type lane struct {
	lanePlace
	box    *outbox
	member *member // nil if it was not registered any more at a restart
	queue  []*delivery
}

// parcel is a delivery and the lane that it may be the first of, in one piece: a push to thousands makes all of them at once.
type parcel struct {
	delivery delivery
	lane     lane
	queue    [1]*delivery // the lane's, to begin with
}

// outbox is the pushes of one group.
type outbox struct {
	group  *group // nil: the group is gone, and number names the record
	number uint64
	pushes []*push // in order of making
}

func (m *member) lane() lanePlace { return lanePlace{m.local, m.remote} }

// laneTo is the lane to a place, nil if nothing is on its way there.
func (b *outbox) laneTo(at lanePlace) *lane {
	for _, p := range b.pushes {
		if n := len(p.open); n == 0 || p.open[n-1].lane.compare(at) < 0 { // always so while p is filled
			continue
		}
		if i, ok := slices.BinarySearchFunc(p.open, at, func(d *delivery, at lanePlace) int { return d.lane.compare(at) }); ok {
			return p.open[i].lane
		}
	}
	return nil
}

// send makes a push with number seq for all registered members, one message for each way to speak among them. kek seals it; it is
// copied.
func (s *Server) send(now time.Time, g *group, kek *sa.KEK, seq uint32, content gdoi.Push) {
	if len(g.members) == 0 {
		return
	}
	content.Seq = seq
	iec61850 := g.has61850()
	ways := make(map[gdoi.Options]*push)
	var p *push
	parcels := make([]parcel, len(g.byPlace))
	for i, m := range g.byPlace {
		if byMember(kek.Ack) && m.leaf == 0 && g.kek != nil && kek.SPI == g.kek.SPI {
			m.leafKey.Zero()
			m.leafKey = nil // of a tree before: under this KEK it has no key of its own to acknowledge with
		}
		o := s.spoken[m.gateway]
		o.IEC61850 = iec61850
		if p == nil || p.options != o {
			p = ways[o]
		}
		if p == nil {
			p = &push{
				id: pushID{kek.SPI, seq}, options: o, box: g.box, kek: kek.Clone(), message: gdoi.PushMessage(kek, &content, now, o),
				ack: kek.Ack, ackKey: gdoi.AckKey(kek, nil, o), keys: content.Policy != nil, period: g.period, retries: g.retries,
				open: make([]*delivery, 0, len(g.byPlace)),
			}
			if kek.Multicast != nil {
				p.castFrom(netip.AddrPortFrom(m.local.Addr(), kek.Multicast.Group.Port()), kek.Multicast)
			}
			ways[o] = p
			s.start(p)
		}
		enqueue(p, m.lane(), m, &parcels[i])
	}
	for _, p := range ways {
		p.named = len(ways) > 1
	}
	s.dirty[g] = true
}

// enqueue puts a started push, for places in their order, into a lane; m is nil if nobody is registered there any more.
func enqueue(p *push, at lanePlace, m *member, room *parcel) {
	l := p.box.laneTo(at)
	if n := len(p.open); n > 0 && p.open[n-1].lane.lanePlace == at {
		l = p.open[n-1].lane
	}
	if l == nil {
		l = &room.lane
		l.lanePlace, l.box, l.queue = at, p.box, room.queue[:0]
	}
	if m != nil {
		l.member = m
	}
	d := &room.delivery
	d.push, d.lane, d.index = p, l, -1
	l.queue = append(l.queue, d)
	p.open = append(p.open, d)
	if p.cast != nil {
		p.waiting++
	}
}

// start lets a push that is not sealed be signed.
func (s *Server) start(p *push) {
	s.made++
	p.order = s.made
	p.box.pushes = append(p.box.pushes, p)
	s.pushes[p.id] = append(s.pushes[p.id], p)
	if p.sealed == nil {
		p.work = s.ask(job{push: p}, gdoi.SignOp(p.kek, p.message, p.options))
	}
}

// signed seals a push and sends it.
func (s *Server) signed(now time.Time, p *push, r turn.Result) {
	p.work = 0
	if len(p.open) == 0 {
		return
	}
	signature, ok := r.Value.([]byte)
	// The message counts its signature already; a root that sent a private key of another size than its public one must not
	// bring us down.
	if ok && len(p.message)+isakmp.GenericLen+len(signature) != int(binary.BigEndian.Uint32(p.message[24:])) {
		ok = false
	}
	if r.Err != nil || !ok {
		s.notify(turn.Error, "GKSD_PUSH_NOT_SIGNED", fmt.Sprintf("push %d could not be signed: %v", p.id.seq, r.Err))
		for _, d := range slices.Clone(p.open) {
			s.close(d)
			s.advance(now, d.lane)
		}
		return
	}
	p.sealed = gdoi.SealPush(p.kek, p.message, signature)
	clear(p.message)
	p.kek.Zero()
	p.message, p.kek = nil, nil
	s.save(p.box)
	s.post, s.due = slices.Grow(s.post, len(p.open)), slices.Grow(s.due, len(p.open))
	for _, d := range slices.Clone(p.open) {
		s.advance(now, d.lane)
	}
}

// save has an outbox's record written.
func (s *Server) save(b *outbox) {
	if b.group != nil {
		s.dirty[b.group] = true
	} else {
		s.saveBox(b)
	}
}

// advance sends what is next in a lane.
func (s *Server) advance(now time.Time, l *lane) {
	for _, d := range l.queue {
		if d.push.sealed == nil {
			return
		}
		s.reach(now, d)
		if l.member == nil || !l.member.silent {
			return
		}
	}
}

func (s *Server) transmit(now time.Time, d *delivery) {
	p := d.push
	d.sent++
	s.emit(turn.Transmit{Local: d.lane.local, Remote: d.lane.remote, Datagram: p.sealed, Multicast: p.way})
	told := uint64(d.told())
	if g := p.box.group; g != nil {
		if d.sent == 1 {
			g.stats.PushSent += told
		} else {
			g.stats.PushRetransmitted += told
		}
		g.sentBytes += uint64(len(p.sealed))
		g.sentPackets++
	}
	wait := p.period
	if d.sent > p.retries && p.ack != 0 { // RFC 8263 section 6: wait at least 10 s before it counts as missing
		wait = max(wait, minAckWait)
	}
	d.due = now.Add(wait)
	if d.index < 0 {
		heap.Push(&s.due, d)
	} else {
		heap.Fix(&s.due, d.index)
	}
}

// retransmit sends again what was not acknowledged, and gives up what was sent often enough.
func (s *Server) retransmit(now time.Time) {
	for len(s.due) > 0 && !now.Before(s.due[0].due) {
		d := s.due[0]
		if d.sent <= d.push.retries {
			s.transmit(now, d)
			continue
		}
		s.giveUp(now, d)
	}
}

// missed draws the consequence of a push that a member did not acknowledge: one that has acknowledged before is gone, says
// M8; one that never has may not know acknowledgements, and stays (RFC 8263 section 6).
func (s *Server) missed(d *delivery) {
	g, m := d.push.box.group, d.lane.member
	if g != nil {
		g.stats.PushUnacknowledged++
	}
	if m == nil {
		return
	}
	m.unacked++
	switch {
	case d.push.again:
	case !m.acknowledges, byMember(d.push.ack) && m.leafKey == nil: // the second cannot
		if !m.silent {
			m.silent = true
			s.members[m] = true
		}
	case g != nil && g.members[m.place()] == m:
		s.unseat(g, m, false)
		s.strike(g, m)
		s.records[m.key()] = nil
		s.cancel(d.lane, func(*delivery) bool { return true })
		s.notify(turn.Warning, "GKSD_MEMBER_REMOVED", fmt.Sprintf("group %s: member %s (%v) did not acknowledge push %d and is removed", g.name, m.gateway, m.remote.Addr(), d.push.id.seq))
	}
}

// close ends a delivery, and the push with its last one.
func (s *Server) close(d *delivery) {
	if d.index >= 0 {
		heap.Remove(&s.due, d.index)
	}
	l, p := d.lane, d.push
	if i := slices.Index(l.queue, d); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
	}
	if i, ok := slices.BinarySearchFunc(p.open, d, compareDeliveries); ok {
		p.open = slices.Delete(p.open, i, i+1)
	}
	s.unwait(d)
	if len(p.open) > 0 {
		return
	}
	p.zero()
	delete(s.work, p.work)
	if same := slices.DeleteFunc(s.pushes[p.id], func(o *push) bool { return o == p }); len(same) > 0 {
		s.pushes[p.id] = same
	} else {
		delete(s.pushes, p.id)
	}
	b := p.box
	if i := slices.Index(b.pushes, p); i >= 0 {
		b.pushes = slices.Delete(b.pushes, i, i+1)
	}
	s.save(b)
	if b.group == nil && len(b.pushes) == 0 {
		s.leaving = slices.DeleteFunc(s.leaving, func(o *outbox) bool { return o == b })
	}
}

func compareDeliveries(a, b *delivery) int { return a.lane.compare(b.lane.lanePlace) }

func (p lanePlace) compare(q lanePlace) int {
	if c := p.remote.Compare(q.remote); c != 0 {
		return c
	}
	return p.local.Compare(q.local)
}

func (p *push) zero() {
	clear(p.message)
	p.kek.Zero()
	p.ackKey.Zero()
}

// cancel ends the deliveries of a lane that pick chooses, without a verdict; nil has none.
func (s *Server) cancel(l *lane, pick func(*delivery) bool) {
	if l == nil {
		return
	}
	for _, d := range slices.Clone(l.queue) {
		if pick(d) {
			s.close(d)
		}
	}
}

// HandleDatagram takes a GROUPKEY-PUSH-ACK (RFC 8263 section 5): one that names a push under way to the address that it comes
// from, by a member that holds the KEK. Anything else is counted and dropped.
func (s *Server) HandleDatagram(now time.Time, local, remote netip.AddrPort, b []byte) {
	defer s.end()
	a, err := gdoi.ParseAck(b)
	if err != nil {
		s.counters.AckMalformed++
		return
	}
	d := s.awaited(a, netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()))
	if d == nil {
		s.counters.AckUnexpected++
		return
	}
	if !d.verifyAck(a) {
		s.counters.AckInvalid++
		return
	}
	if g := d.push.box.group; g != nil {
		g.stats.PushAcknowledged++
		g.ackBytes += uint64(len(b))
		g.ackPackets++
	}
	l := d.lane
	if m := l.member; m != nil {
		m.acked++
		if m.silent || !m.acknowledges {
			m.silent, m.acknowledges = false, true
			s.members[m] = true
		}
	}
	s.close(d)
	s.advance(now, l)
}

// awaited finds the delivery that an acknowledgement may be for. Behind a NAT members have one address and are told apart by their
// ports; the address that such a one names is its own, which we never see (RFC 8263 section 3.4 has no word on it).
func (s *Server) awaited(a gdoi.Ack, from netip.AddrPort) *delivery {
	for _, p := range s.pushes[pushID{a.SPI, a.Seq}] {
		if d := p.awaited(a, from); d != nil {
			return d
		}
	}
	return nil
}

func (p *push) awaited(a gdoi.Ack, from netip.AddrPort) *delivery {
	if p.ack == 0 {
		return nil
	}
	i, _ := slices.BinarySearchFunc(p.open, from.Addr(), func(d *delivery, a netip.Addr) int { return d.lane.remote.Addr().Compare(a) })
	for _, d := range p.open[i:] {
		switch {
		case d.lane.remote.Addr() != from.Addr():
			return nil
		case d.sent == 0:
		case d.lane.local.Port() == ike.NATPort && d.lane.remote == from,
			d.lane.local.Port() != ike.NATPort && a.Member == from.Addr():
			return d
		}
	}
	return nil
}

// dueHeap orders deliveries by due time, and those of the same time by member and age: a new KEK goes before what is under it,
// and a run can be repeated.
type dueHeap []*delivery

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	c := a.due.Compare(b.due)
	if c == 0 {
		c = compareDeliveries(a, b)
	}
	if c == 0 {
		c = cmp.Compare(a.push.order, b.push.order)
	}
	return c < 0
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	d := x.(*delivery)
	d.index = len(*h)
	*h = append(*h, d)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	d.index = -1
	return d
}

// numbered counts a change of g's SAs: a root gives it a version, and every server that pushes it a push number under the
// KEK that carries it. A root counts whether it has members or not, since its sub-servers keep step (doc.go).
func (g *group) numbered(kek *sa.KEK, root bool) uint32 {
	if root {
		g.version++
	}
	if kek == nil {
		return 0
	}
	if root || len(g.members) > 0 {
		kek.Seq++
	}
	return kek.Seq
}

// distribute hands a change to the cluster engine.
func (s *Server) distribute(g *group, u sa.Update) {
	u.Group, u.GroupID, u.Version, u.ActivationDelay = g.name, g.conf.ID, g.version, g.conf.ActivationDelay
	u.Senders = g.senders.run()
	if u.DeleteAll { // row 1.4: sub-servers still know the group by the old number
		u.GroupID = g.before.ID
	}
	s.dirty[g] = true
	s.emit(Distribute{Group: g.name, Update: u.Clone()})
}

// rootNow reports whether g is distributed: it is a root's, or was before the plan in hand.
func (g *group) rootNow() bool {
	return g.conf.Role == step.RootServer || g.before.Role == step.RootServer
}

// sendKEK tells members, and sub-servers too if subs, of the KEK made last: under the one before it.
func (s *Server) sendKEK(now time.Time, g *group, subs bool) {
	subs = subs && g.rootNow()
	if g.want { // when it is made
		g.wantSubs = g.wantSubs || subs
		return
	}
	if g.kek == nil || g.old == nil && !subs {
		return
	}
	seq := g.numbered(g.old, subs)
	if subs {
		s.distribute(g, sa.Update{KEK: g.kek})
	}
	if g.old != nil {
		s.sendRoot(now, g, seq)
		g.old.Zero()
		g.old = nil
	}
	s.dirty[g] = true
}

// sendTEKs tells members, and sub-servers too if subs, of the current TEKs that pick chooses. Members are told once in a plan.
func (s *Server) sendTEKs(now time.Time, g *group, subs bool, pick func(name string) bool) {
	subs = subs && g.rootNow()
	var all, fresh []sa.TEK
	for i := range g.teks {
		if !g.isCurrent(i) || !pick(g.teks[i].Name) {
			continue
		}
		all = append(all, g.teks[i])
		if !g.told[g.teks[i].SPI] {
			fresh = append(fresh, g.teks[i])
		}
	}
	kek := g.carrier()
	if subs && len(all) > 0 {
		seq := g.numbered(kek, true)
		s.distribute(g, sa.Update{TEKs: all})
		s.pushTEKs(now, g, kek, seq, fresh)
	} else if len(fresh) > 0 {
		s.pushTEKs(now, g, kek, g.numbered(kek, false), fresh)
	}
}

func (s *Server) pushTEKs(now time.Time, g *group, kek *sa.KEK, seq uint32, teks []sa.TEK) {
	for i := range teks {
		g.told[teks[i].SPI] = true
	}
	if p := g.tekPolicy(teks); kek != nil && p != nil {
		s.send(now, g, kek, seq, gdoi.Push{Policy: p})
	}
	s.dirty[g] = true
}

// sendDelete tells members, and sub-servers too if subs, that TEKs or the KEK are gone. Members are told once in a plan: a second
// push would put this server's numbers out of step with those of its sub-servers.
func (s *Server) sendDelete(now time.Time, g *group, subs, kek bool, teks []doomed) {
	if !kek && len(teks) == 0 {
		return
	}
	subs = subs && g.rootNow()
	newKEK := kek && !g.toldKEKGone
	var fresh []doomed
	for _, t := range teks {
		if !g.toldGone[t.spi] {
			fresh = append(fresh, t)
			g.toldGone[t.spi] = true
		}
	}
	g.toldKEKGone = g.toldKEKGone || kek
	if !subs && !newKEK && len(fresh) == 0 {
		return
	}
	under := g.carrier()
	seq := g.numbered(under, subs)
	if subs {
		u := sa.Update{DeleteKEK: kek}
		for _, t := range teks {
			u.DeleteTEKs = append(u.DeleteTEKs, t.spi)
		}
		s.distribute(g, u)
	}
	if under != nil && (newKEK || len(fresh) > 0) {
		s.send(now, g, under, seq, deletion(newKEK, fresh))
	}
	s.dirty[g] = true
}

// sendDeleteAll tells members, and sub-servers too if subs, that every SA of the group is gone (RFC 6407 section 5.9).
func (s *Server) sendDeleteAll(now time.Time, g *group, subs, members bool) {
	subs = subs && g.rootNow()
	under := g.carrier()
	if subs || !g.toldAll {
		seq := g.numbered(under, subs)
		if subs {
			s.distribute(g, sa.Update{DeleteAll: true, DeleteMembers: members})
		}
		if under != nil && !g.toldAll {
			s.send(now, g, under, seq, gdoi.Push{DeleteAll: true})
		}
	}
	g.toldAll = true
	s.dirty[g] = true
}
