package server

import (
	"container/heap"
	"slices"
	"time"

	"gvpn/ike"
)

// HandleMoved takes the news that a NAT gives a member another port: its registrations, and what is on the way to it, follow. The
// news comes with a message that the member has authenticated.
func (s *Server) HandleMoved(_ time.Time, v ike.Moved) {
	defer s.end()
	for _, g := range s.sorted() {
		for _, m := range g.sorted() {
			if m.gateway != v.Gateway || m.remote != v.From || m.local.Port() != ike.NATPort {
				continue
			}
			s.records[m.key()] = nil
			s.strike(g, m)
			lane := g.box.laneTo(m.lane())
			m.remote = v.To
			s.relocate(lane, m.lane())
			// Who was there before is not there any more.
			if there := g.members[m.place()]; there != nil {
				s.unseat(g, there, false)
				s.strike(g, there)
			}
			s.enlist(g, m)
			s.members[m] = true
		}
	}
}

// relocate gives a lane another place; nil is none.
func (s *Server) relocate(l *lane, to lanePlace) {
	if l == nil {
		return
	}
	s.cancel(l.box.laneTo(to), func(*delivery) bool { return true })
	var waiting []*delivery
	for _, d := range l.queue {
		if d.index >= 0 {
			heap.Remove(&s.due, d.index)
			waiting = append(waiting, d)
		}
	}
	l.lanePlace = to
	for _, d := range l.queue {
		slices.SortFunc(d.push.open, compareDeliveries)
	}
	for _, d := range waiting {
		heap.Push(&s.due, d)
	}
	s.save(l.box)
}
