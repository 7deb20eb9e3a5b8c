package server

import (
	"fmt"
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/turn"
)

// Command is one of Rekey, Clear, ClearStatistics and ClearMismatch.
type Command interface{ isCommand() }

type (
	// Rekey replaces the KEK, the TEKs or both of a group now, and tells everybody. Refused on a sub-server, which makes no
	// keys (P3).
	Rekey struct {
		Group    string
		KEK, TEK bool
	}

	// Clear deletes a group's members and SAs ("" for all groups), makes new keys and does what ClearStatistics does: `clear
	// security group-vpn server`. Members, and a root's sub-servers, are told first (C8). A sub-server pushes no deletes on its
	// own account: it forgets its members and keys, and asks its root. Members whom no push tells lose their IKE SA, as
	// wherever else a registration goes (rows 1.4, 1.5b): else they would go on with keys that nobody renews, until those run
	// out.
	//
	// With Now no push tells this server's own members, and that is all that Now changes: a root's sub-servers get the same
	// cluster-update as without it, which has no word for Now, and push "delete all" to their members. Their statistics stay
	// either way.
	Clear struct {
		Group string
		Now   bool
	}

	// ClearStatistics sets a group's counters to zero ("" for all groups and the server's own).
	ClearStatistics struct{ Group string }

	// ClearMismatch sets a group's Mismatch to zero, which is of the statistics of its server-cluster.
	ClearMismatch struct{ Group string }
)

func (Rekey) isCommand()           {}
func (Clear) isCommand()           {}
func (ClearStatistics) isCommand() {}
func (ClearMismatch) isCommand()   {}

// Do carries out an operator's command. An error means that nothing was done.
func (s *Server) Do(now time.Time, c Command) error {
	defer s.end()
	switch c := c.(type) {
	case Rekey:
		g := s.groups[c.Group]
		switch {
		case g == nil:
			return fmt.Errorf("server: rekey: group %q: %w", c.Group, errUnknown)
		case g.conf.Role == step.SubServer:
			return fmt.Errorf("server: rekey: group %s: this server is a sub-server: its root-server makes the keys", g.name)
		case c.KEK && g.conf.Communication == nil:
			return fmt.Errorf("server: rekey: group %s: no KEK without server-member-communication", g.name)
		}
		g.newPlan()
		var names []string
		if c.TEK {
			for i := range g.conf.SAs {
				names = append(names, g.conf.SAs[i].Name)
			}
		}
		s.rekey(now, g, c.KEK, names)
	case Clear:
		groups := s.sorted()
		if c.Group != "" {
			g := s.groups[c.Group]
			if g == nil {
				return fmt.Errorf("server: clear: group %q: %w", c.Group, errUnknown)
			}
			groups = []*group{g}
		}
		s.clearStatistics(c.Group)
		for _, g := range groups {
			s.clear(now, g, c.Now)
		}
	case ClearStatistics:
		if c.Group != "" && s.groups[c.Group] == nil {
			return fmt.Errorf("server: clear statistics: group %q: %w", c.Group, errUnknown)
		}
		s.clearStatistics(c.Group)
	case ClearMismatch:
		g := s.groups[c.Group]
		if g == nil {
			return fmt.Errorf("server: clear mismatch: group %q: %w", c.Group, errUnknown)
		}
		g.mismatch = Mismatch{}
	}
	return nil
}

// clearStatistics sets the counters of a group to zero, or with "" those of all groups and the server's own.
func (s *Server) clearStatistics(name string) {
	if name == "" {
		s.counters = Counters{}
	}
	for _, g := range s.groups {
		if name != "" && g.name != name {
			continue
		}
		g.stats = Statistics{}
		g.sentBytes, g.sentPackets, g.ackBytes, g.ackPackets = 0, 0, 0, 0
		for _, m := range g.members {
			m.pulls, m.sent, m.acked, m.unacked = 0, 0, 0, 0
		}
	}
}

func (s *Server) clear(now time.Time, g *group, atOnce bool) {
	s.notify(turn.Notice, "GKSD_GROUP_CLEARED", fmt.Sprintf("group %s: members and SAs cleared by an operator", g.name))
	s.renew(now, g, atOnce)
}

// renew deletes a group's members and SAs, and makes new keys.
func (s *Server) renew(now time.Time, g *group, atOnce bool) {
	g.newPlan()
	root := g.conf.Role == step.RootServer
	sub := g.conf.Role == step.SubServer
	if atOnce || sub || g.carrier() == nil {
		s.endMemberSAs(g)
	}
	if atOnce || sub {
		s.unregister(g, func(*member) bool { return true })
	}
	if !sub {
		s.sendDeleteAll(now, g, root, true)
	}
	s.unregister(g, func(*member) bool { return true })
	pair := g.sig
	g.sig = turn.KeyPair{} // a clear does not change who signs, so that there are new keys at once
	s.deleteKeys(now, g)
	g.sig = pair
	if sub {
		g.rootActive = false
		s.emit(HardExpired{Group: g.name})
		return
	}
	g.newPlan()
	s.fill(now, g)
	s.sendKEK(now, g, true)
	s.sendTEKs(now, g, true, func(string) bool { return true })
}

// newPlan begins a plan, in which members have been told nothing yet.
func (g *group) newPlan() {
	g.deleted, g.told, g.toldGone = make(map[string][]doomed), make(map[uint32]bool), make(map[uint32]bool)
	g.toldKEKGone, g.toldAll = false, false
}

// endMemberSAs ends the IKE SAs of g's registered members, which makes them register again.
func (s *Server) endMemberSAs(g *group) {
	for _, m := range g.sorted() {
		s.emit(ike.Delete{Gateway: m.gateway, Remote: m.remote.Addr()})
	}
}
