package server

import (
	"slices"
	"time"

	"gvpn/commit/step"
)

// Apply carries out one effect of the plan that Configure took over. Effects that are other engines' are ignored, and so are
// all of a plan that was carried out before a restart.
func (s *Server) Apply(now time.Time, e step.Effect) {
	if s.replay {
		return
	}
	defer s.end()
	if e.Kind == step.DeleteRegisteredMembers && e.Group == "" {
		for _, g := range s.sorted() {
			s.unregister(g, func(m *member) bool { return m.gateway == e.Gateway })
		}
		return
	}
	g := s.groups[e.Group]
	if g == nil {
		return
	}
	named := func(name string) bool { return e.SA == "" || name == e.SA }
	switch e.Kind {
	case step.SendDeleteAllToMembers:
		s.sendDeleteAll(now, g, false, false)
	case step.SendDeleteAllToSubServers:
		s.sendDeleteAll(now, g, true, false)
	case step.SendDeleteToMembers:
		s.applyDelete(now, g, e.SA, false)
	case step.SendDeleteToSubServers:
		s.applyDelete(now, g, e.SA, true)
	case step.SendKEKToSubServers:
		s.sendKEK(now, g, true)
	case step.SendKEKToMembers:
		s.sendKEK(now, g, false)
	case step.SendTEKToSubServers:
		s.sendTEKs(now, g, true, named)
	case step.SendTEKToMembers:
		s.sendTEKs(now, g, false, named)
	case step.DeleteRegisteredMembers:
		s.unregister(g, func(m *member) bool { return e.Gateway == "" || m.gateway == e.Gateway })
	case step.DeleteMemberIKESAs:
		// The SAs are package ike's. T7: on a root the registrations go with them.
		if g.before.Role == step.RootServer {
			s.unregister(g, func(*member) bool { return true })
		}
	case step.DeleteKeys:
		s.deleteKeys(now, g)
	case step.DeleteKEK:
		s.keepNumber(now, g)
		s.dropKEK(g)
		if g.conf.Communication == nil { // nothing is signed any more
			s.dropSignatureKey(g)
		}
	case step.DeleteTEK:
		s.applyDeleteTEK(g, e.SA)
	case step.GenerateKEK:
		if !g.restored || g.kek == nil {
			s.makeKEK(now, g)
		}
	case step.RekeyKEK:
		s.makeKEK(now, g)
	case step.GenerateTEK, step.RekeyTEK:
		if g.conf.Role == step.SubServer {
			return
		}
		for i := range g.conf.SAs {
			x := &g.conf.SAs[i]
			if named(x.Name) && !(g.restored && g.current(x.Name) >= 0) {
				s.makeTEK(now, g, x)
			}
		}
	case step.AtNextTEKRekey, step.AtNextKEKRekey:
		// Nothing now: keys are made of the configuration of their time, which Configure has taken over.
	}
}

// applyDelete tells that the TEKs of one ipsec-sa (all if name is empty) or the KEK are gone: those that there are, and those
// that this plan has destroyed already, since rows 1.12b and 1.13 put delete-tek first on a standalone server.
func (s *Server) applyDelete(now time.Time, g *group, name string, subs bool) {
	if name == step.KEKName {
		s.sendDelete(now, g, subs, true, nil)
		return
	}
	var gone []doomed
	for _, n := range g.namesDeleted() {
		if name == "" || n == name {
			gone = append(gone, g.deleted[n]...)
			delete(g.deleted, n)
		}
	}
	for i := range g.teks {
		if name == "" || g.teks[i].Name == name {
			gone = append(gone, doom(&g.teks[i]))
		}
	}
	s.sendDelete(now, g, subs, false, gone)
}

func (g *group) namesDeleted() (names []string) {
	for n := range g.deleted {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// applyDeleteTEK destroys TEKs. On a sub-server it means those of its configuration before the plan: a successor that the root
// has already sent stays (T5).
func (s *Server) applyDeleteTEK(g *group, name string) {
	// Row 2.4b names none: it deletes them all, with the root that they came from.
	successors := name != "" && g.conf.Role == step.SubServer && slices.Equal(g.conf.Peers, g.before.Peers)
	s.dropTEKs(g, func(i int) bool {
		t := &g.teks[i]
		if name != "" && t.Name != name {
			return false
		}
		if successors && !slices.ContainsFunc(g.before.SAs, func(x step.IPsecSA) bool {
			blank := blankTEK(&x)
			return x.Name == t.Name && blank.SameTraffic(t)
		}) {
			return false
		}
		g.deleted[t.Name] = append(g.deleted[t.Name], doom(t))
		if g.conf.Role == step.SubServer {
			g.owed = append(g.owed, doom(t))
		}
		return true
	})
}
