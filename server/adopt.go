package server

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/sa"
	"gvpn/turn"
)

// RootActive tells a sub-server's group whether its root is active: new members are served only then (D4).
func (s *Server) RootActive(now time.Time, name string, active bool) {
	if g := s.groups[name]; g != nil && g.conf.Role == step.SubServer {
		g.rootActive = active
	}
}

// Fetch answers with all that a root's group has (cluster-init, C2), and with a block of sender IDs if the sub-server needs one.
func (s *Server) Fetch(now time.Time, f Fetch) {
	defer s.end()
	u, err := s.fetch(now, f)
	s.emit(Fetched{Group: f.Group, Exchange: f.Exchange, Update: u, Err: err})
}

func (s *Server) fetch(now time.Time, f Fetch) (sa.Update, error) {
	g := s.groups[f.Group]
	switch {
	case g == nil || g.gone:
		return sa.Update{}, fmt.Errorf("server: group %s: not configured", f.Group)
	case g.conf.Role != step.RootServer:
		return sa.Update{}, fmt.Errorf("server: group %s: this server is its %v", g.name, g.conf.Role)
	case g.alone():
		return sa.Update{}, fmt.Errorf("server: group %s: its KEK of before there was a cluster has not ended yet", g.name)
	}
	var senders sa.Senders
	if g.ready() {
		senders = s.lend(now, g, f) // which may renew the group
	}
	if !g.ready() {
		return sa.Update{}, fmt.Errorf("server: group %s: its keys are not there yet", g.name)
	}
	u := sa.Update{
		Group: g.name, GroupID: g.conf.ID, Version: g.version, ActivationDelay: g.conf.ActivationDelay, Senders: senders,
		Full: true, KEK: g.kek,
	}
	for i := range g.teks {
		if now.Before(g.teks[i].Hard) {
			u.TEKs = append(u.TEKs, g.teks[i])
		}
	}
	return u.Clone(), nil
}

// Adopt takes over what the root sent: it is on disk before Adopted without an error goes out, and members are told after
// that (C4). The answer is an error if nothing was changed.
func (s *Server) Adopt(now time.Time, a Adopt) {
	defer s.end()
	defer a.Update.Zero() // what is installed is copied
	g, err := s.adoptable(now, &a)
	s.emit(Adopted{Group: a.Group, Exchange: a.Exchange, Err: err})
	if err != nil {
		s.complain(now, "GKSD_CLUSTER_NOT_INSTALLED", err.Error())
		return
	}
	if !a.Update.Full && a.Update.Version <= g.version {
		return // done before
	}
	s.compare(now, g, &a.Update)
	s.adopt(now, g, &a.Update)
	if !a.Update.Full { // with which a block comes, if there is one
		s.wantSenders(now, g)
	}
}

// adoptable reports why an Update cannot be installed.
func (s *Server) adoptable(now time.Time, a *Adopt) (*group, error) {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("server: group %s: update of the root-server: %s", a.Group, fmt.Sprintf(format, args...))
	}
	g, u := s.groups[a.Group], &a.Update
	switch {
	case g == nil || g.gone:
		return nil, fault("the group is not configured")
	case g.conf.Role != step.SubServer:
		return nil, fault("this server is its %v", g.conf.Role)
	case u.GroupID != g.conf.ID:
		return nil, fault("group-id %d, ours is %d", u.GroupID, g.conf.ID)
	}
	if d := u.ActivationDelay; d%time.Second != 0 || d > maxDelay {
		return nil, fault("activation-time-delay %v", d)
	}
	// Dead on arrival: not worth an error, and nobody may use them.
	u.TEKs = slices.DeleteFunc(u.TEKs, func(t sa.TEK) bool { return !now.Before(t.Hard) })
	if err := u.Check(); err != nil {
		return nil, fault("%v", err)
	}
	if k := u.KEK; k != nil {
		switch {
		case slices.Contains(k.SPI[:], 0):
			return nil, fault("KEK: an octet of its SPI is zero")
		case !now.Before(k.Hard):
			return nil, fault("KEK: its lifetime is over")
		case byMember(k.Ack):
			return nil, fault("KEK: a key hierarchy is not supported in a server cluster")
		case k.Multicast != nil:
			return nil, fault("KEK: multicast is not supported in a server cluster")
		case len(k.SigPrivate) == 0:
			return nil, fault("KEK: no key to sign with")
		}
	}
	policy := &gdoi.Policy{KEK: u.KEK, TEKs: slices.Clone(u.TEKs), ActivationDelay: u.ActivationDelay, DeactivationDelay: deactivation(&g.conf, u.ActivationDelay)}
	spis := make(map[uint32]bool)
	for i := range u.TEKs {
		t := &u.TEKs[i]
		if t.Counts() && u.Senders.Epoch == 0 {
			return nil, fault("TEK %q: its nonces count, and no sender IDs go with it", t.Name)
		}
		if t.SPI < minTEKSPI || spis[t.SPI] || (len(t.Policies) == 0) != (t.IEC61850 != nil) {
			return nil, fault("TEK %q: SPI %#08x, %d match-policies", t.Name, t.SPI, len(t.Policies))
		}
		spis[t.SPI] = true
	}
	if !u.Full {
		for i := range g.teks {
			if !spis[g.teks[i].SPI] {
				policy.TEKs = append(policy.TEKs, g.teks[i])
			}
		}
	}
	if policy.KEK != nil || len(policy.TEKs) > 0 {
		if err := policy.Check(); err != nil {
			return nil, fault("it does not fit a GDOI message: %v", err)
		}
	}
	return g, nil
}

// compare counts where the root's SAs are not what this sub-server's own configuration would make (V8). They are installed all
// the same (T13).
func (s *Server) compare(now time.Time, g *group, u *sa.Update) {
	var differs []string
	count := func(n *uint64, what string) {
		*n++
		differs = append(differs, what)
	}
	for i := range u.TEKs {
		t := &u.TEKs[i]
		if g.has(t.SPI) || slices.ContainsFunc(u.TEKs[i+1:], func(later sa.TEK) bool { return later.Name == t.Name }) {
			continue // counted when it came, or on its way out
		}
		x := g.configured(t.Name)
		if x == nil {
			what := step.IPsecSA{IEC61850: t.IEC61850}
			count(&g.mismatch.Policy, what.Statement()+" "+t.Name+" is not configured here")
			continue
		}
		ours, words := blankTEK(x), [2]string{"match-policies", "proposal"}
		if x.IEC61850 != nil {
			words = [2]string{"object-identifier", "algorithms"}
		}
		if !ours.SameTraffic(t) {
			count(&g.mismatch.Policy, words[0]+" of "+x.Statement()+" "+t.Name)
		}
		if ours.Algorithms() != t.Algorithms() || ours.KeyBits != t.KeyBits {
			count(&g.mismatch.Proposal, words[1]+" of "+x.Statement()+" "+t.Name)
		}
	}
	c, k := g.conf.Communication, u.KEK
	switch {
	case k != nil && c == nil:
		count(&g.mismatch.Communication, "server-member-communication is not configured here")
	case k == nil && c != nil && u.Full:
		count(&g.mismatch.Communication, "server-member-communication is not configured at the root-server")
	case k != nil && (g.kek == nil || g.kek.SPI != k.SPI) && (k.KeyBits != c.KeyBits || k.SigAlg != c.SigAlg || k.SigHash != c.SigHash || k.Ack != ackType(c)):
		count(&g.mismatch.KEK, "algorithms of server-member-communication")
	}
	for _, d := range differs {
		s.complain(now, "GKSD_CLUSTER_MISMATCH", fmt.Sprintf("group %s: the root-server's SAs differ from this configuration: %s", g.name, d))
	}
}

// adopt installs an Update that adoptable found good and tells the members, in this order: what is gone and the new KEK in a
// push under the KEK that they hold, then new TEKs under the new KEK (RFC 6407 section 7.4.1).
func (s *Server) adopt(now time.Time, g *group, u *sa.Update) {
	steps := uint32(1)
	if u.Version > g.version {
		steps = uint32(min(u.Version-g.version, 1<<16))
	}
	if u.Version != g.version || u.ActivationDelay != g.delay || u.Senders.Epoch != g.senders.epoch {
		g.stamp++ // not for a block of sender IDs alone: pulls under way go on
	}
	g.version, g.delay = u.Version, u.ActivationDelay
	s.dirty[g] = true

	if g.ended(u) { // the root's word that all is deleted did not come here
		u.DeleteAll, u.DeleteMembers = true, true
	}
	if u.DeleteAll {
		if g.kek != nil {
			g.kek.Seq += steps
			s.send(now, g, g.kek, g.kek.Seq, gdoi.Push{DeleteAll: true})
		} else { // no push can tell them
			s.endMemberSAs(g)
		}
		s.deleteKeys(now, g)
	}
	if u.DeleteMembers {
		s.unregister(g, func(*member) bool { return true })
		s.notify(turn.Notice, "GKSD_MEMBERS_DELETED", fmt.Sprintf("group %s: the root-server deleted all members", g.name))
	}

	g.senders.adopt(u.Senders)
	gone := s.adoptDeletions(g, u)
	fresh := s.adoptTEKs(now, g, u)
	push := deletion(false, gone)
	deleteKEK := u.DeleteKEK && u.KEK == nil || u.Full && u.KEK == nil
	switch {
	case u.KEK != nil && g.kek != nil && g.kek.SPI == u.KEK.SPI, u.KEK == nil && g.kek != nil:
		target := g.kek.Seq + steps
		if u.KEK != nil {
			target = u.KEK.Seq
		}
		push.DeleteKEK = deleteKEK
		push.Policy = g.tekPolicy(fresh)
		if (push.DeleteKEK || len(gone) > 0 || push.Policy != nil) && len(g.members) > 0 {
			g.kek.Seq = max(g.kek.Seq+1, target)
			s.send(now, g, g.kek, g.kek.Seq, push)
		}
		g.kek.Seq = max(g.kek.Seq, target)
		if deleteKEK {
			s.dropKEK(g)
		}
	case u.KEK != nil:
		if g.kek != nil {
			g.kek.Seq++ // under a KEK that ends here, members need no number that is everybody's, and none left out
			push.Policy = &gdoi.Policy{KEK: u.KEK}
			s.send(now, g, g.kek, g.kek.Seq, push)
		} else if !u.Full { // which says when each ends
			g.endReplaced(now)
		}
		s.dropKEK(g)
		g.kek = u.KEK.Clone()
		g.stamp++
		g.period, g.retries = defaultPeriod, defaultRetries
		if c := g.conf.Communication; c != nil {
			g.period, g.retries = c.Retransmission, c.Retries
		}
		used := s.usedNumber(g.kek.SPI)
		g.kek.Seq = max(g.kek.Seq, used)
		if p := g.tekPolicy(fresh); p != nil && len(g.members) > 0 {
			g.kek.Seq = max(g.kek.Seq, used+1)
			s.send(now, g, g.kek, g.kek.Seq, gdoi.Push{Policy: p})
		}
	}
}

// adoptDeletions destroys what an Update names, and what a full one does not name any more. It returns the SPIs that members
// must be told of: not those that have a successor, which end by themselves at their deactivation; but also those that this
// server's own commit has destroyed before the root's word came.
func (s *Server) adoptDeletions(g *group, u *sa.Update) (told []doomed) {
	carried := func(pick func(t *sa.TEK) bool) bool {
		return slices.ContainsFunc(u.TEKs, func(t sa.TEK) bool { return pick(&t) })
	}
	s.dropTEKs(g, func(i int) bool {
		t := &g.teks[i]
		switch {
		case slices.Contains(u.DeleteTEKs, t.SPI):
			told = append(told, doom(t))
		case u.Full && !carried(func(c *sa.TEK) bool { return c.SPI == t.SPI }):
			if !carried(func(c *sa.TEK) bool { return c.Name == t.Name }) {
				told = append(told, doom(t))
			}
		default:
			return false
		}
		return true
	})
	g.owed = slices.DeleteFunc(g.owed, func(d doomed) bool {
		gone := slices.Contains(u.DeleteTEKs, d.spi) || u.Full && !carried(func(c *sa.TEK) bool { return c.SPI == d.spi })
		if gone {
			told = append(told, d)
		}
		return gone
	})
	return told
}

// adoptTEKs installs the TEKs that are new here and returns them.
func (s *Server) adoptTEKs(now time.Time, g *group, u *sa.Update) (fresh []sa.TEK) {
	for i := range u.TEKs {
		t := u.TEKs[i].Clone()
		switch at := slices.IndexFunc(g.teks, func(o sa.TEK) bool { return o.SPI == t.SPI }); {
		case slices.Contains(g.over, t.SPI) && slices.ContainsFunc(u.TEKs[i+1:], func(later sa.TEK) bool { return later.Name == t.Name }):
			// A reply that was late: its times are from when it was written. Members must not be told again of what is replaced and
			// over, under a number that no other server gives.
			t.Zero()
			continue
		case at >= 0:
			if o := &g.teks[at]; t.Hard.Before(o.Hard) { // replaced at the root since
				o.Hard = t.Hard
			}
			t.Zero()
			continue
		case u.Full:
			// The root says when each ends. What comes late, after its successor came in an update, must not end that.
			g.teks = append(g.teks, t)
			g.stamp++
			s.dirty[g] = true
		default:
			s.addTEK(now, g, t)
		}
		fresh = append(fresh, t)
	}
	if u.Full { // the root's order says which of a name is current
		at := func(t sa.TEK) int { return slices.IndexFunc(u.TEKs, func(c sa.TEK) bool { return c.SPI == t.SPI }) }
		slices.SortStableFunc(g.teks, func(a, b sa.TEK) int { return at(a) - at(b) })
	}
	return fresh
}

// tekPolicy is what members are told of these TEKs of the group; nil if there are none. The activation delay is for members that
// have an older TEK to go on with: without one in the group it is left out, since a member that obeys it would send nothing. TEKs
// for IEC 61850 have a delay of their own each.
func (g *group) tekPolicy(teks []sa.TEK) *gdoi.Policy {
	if len(teks) == 0 {
		return nil
	}
	p := &gdoi.Policy{TEKs: teks, DeactivationDelay: g.deactivationDelay()}
	for i := range teks {
		if teks[i].IEC61850 == nil && slices.ContainsFunc(g.teks, func(o sa.TEK) bool { return o.Name == teks[i].Name && o.SPI != teks[i].SPI }) {
			p.ActivationDelay = g.activationDelay()
			break
		}
	}
	return p
}

// errUnknown is what Do answers for a group that is not there.
var errUnknown = errors.New("not configured")
