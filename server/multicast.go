package server

import (
	"container/heap"
	"net/netip"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/sa"
)

// With communication-type multicast one datagram takes a push to all members, and each acknowledges it for itself (RFC 8263 section
// 3): so there is a delivery to each member as ever, which says who is waited for and who is judged, but what is sent, again too, is
// the push's cast. Where pushes go is the KEK's: what tells members of a group goes to each at its own address yet.
//
//	       in front in its lane, or behind those that a silent member was sent
//	waiting --------------------------------------------------> reached      all of a push: the cast is sent

// multicast is where pushes under a new KEK go, nil: to each member.
func (s *Server) multicast(c *step.Communication) *sa.Multicast {
	if !c.Group.IsValid() {
		return nil
	}
	return &sa.Multicast{Group: netip.AddrPortFrom(c.Group, s.options.Port), TTL: c.TTL, Interface: c.Interface}
}

// announce completes what a policy says of a KEK's pushes: they come from the address that a member knows us by, which is one for all
// members of a multicast.
func (s *Server) announce(p *gdoi.Policy, local netip.Addr) *gdoi.Policy {
	if p.KEK != nil && p.KEK.Multicast != nil {
		p.PushFrom = netip.AddrPortFrom(local, s.options.Port)
	}
	return p
}

// castFrom makes p a push by multicast that leaves from an address.
func (p *push) castFrom(from netip.AddrPort, way *sa.Multicast) {
	p.way = way
	p.cast = &delivery{push: p, lane: &lane{lanePlace: lanePlace{from, way.Group}, box: p.box}, index: -1}
}

// reach says that nothing before d is waited for any more: a unicast is sent, and a multicast with the last of its members.
func (s *Server) reach(now time.Time, d *delivery) {
	p := d.push
	switch {
	case p.cast == nil && d.sent == 0:
		s.transmit(now, d)
	case p.cast != nil && !d.reached:
		d.reached = true
		if p.waiting--; p.waiting == 0 {
			s.transmit(now, p.cast)
		}
	}
}

// unwait notes that a delivery of a multicast ends. Was it the last that the others waited for, they are sent it at once: by the
// clock, since whoever ends deliveries has no time.
func (s *Server) unwait(d *delivery) {
	p := d.push
	if p.cast == nil {
		return
	}
	if !d.reached {
		p.waiting--
	}
	switch {
	case len(p.open) == 0 && p.cast.index >= 0:
		heap.Remove(&s.due, p.cast.index)
	case len(p.open) > 0 && p.waiting == 0 && p.sealed != nil && p.cast.sent == 0 && p.cast.index < 0:
		p.cast.due = epoch
		heap.Push(&s.due, p.cast)
	}
}

// told notes for whom what was sent just now is: how many they are.
func (d *delivery) told() int {
	p := d.push
	to := []*delivery{d}
	if d == p.cast {
		to = p.open
	}
	for _, o := range to {
		o.sent = d.sent
		if d.sent == 1 && o.lane.member != nil {
			o.lane.member.sent++
		}
	}
	return len(to)
}

// giveUp ends what was sent often enough, to one member or to all that are open.
func (s *Server) giveUp(now time.Time, d *delivery) {
	p := d.push
	to := []*delivery{d}
	if d == p.cast {
		to = slices.Clone(p.open)
	}
	for _, o := range to {
		if !slices.Contains(o.lane.queue, o) {
			continue // ended with another of its lane, which two members behind one address share
		}
		s.close(o)
		if p.ack != 0 {
			s.missed(o)
		}
		s.advance(now, o.lane)
	}
}
