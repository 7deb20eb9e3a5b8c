package server

import (
	"fmt"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// A registration, as the server sees it (RFC 6407 section 3.2; HASH and the phase-1 SA are package ike's):
//
//	      message 1: NONCE, ID          message 3
//	idle -------------------> offered -----------> registered; KD sent
//	  \-> refused, no answer     \-> time, SA down, keys changed: nothing recorded

// exchange names a pull.
type exchange struct {
	sa  ike.SAID
	mid uint32
}

// pull is an exchange that waits for its third message. Nothing of it is recorded before (RFC 6407 section 7.2.5).
type pull struct {
	exchange
	group    *group
	gateway  string
	stamp    uint64 // of the group when the policy was sent
	deadline time.Time
}

// HandleMessage takes a message of a GROUPKEY-PULL (exchange 32) that a member began. A server that does not serve a member
// does not answer (M3), so that the member goes on to its next server.
func (s *Server) HandleMessage(now time.Time, m ike.Message) {
	if m.Exchange != isakmp.ExchangePull || m.Initiator {
		return
	}
	defer s.end()
	switch m.Number {
	case 1:
		s.offer(now, m)
	case 3:
		s.register(now, m)
	}
}

// offer answers message 1 with the group's policy, without keys.
func (s *Server) offer(now time.Time, m ike.Message) {
	x := exchange{m.SA, m.MsgID}
	// A refused exchange is forgotten by ike too, so that a repetition of it finds us when we may have changed our mind; it
	// is counted once.
	again := s.refused[m.Gateway] == x
	refuse := func() {
		s.refused[m.Gateway] = x
		s.emit(ike.Abort{SA: m.SA, MsgID: m.MsgID})
	}
	if m.First == isakmp.PayloadSA {
		// "In Quick Mode, a HASH payload MUST immediately follow the ISAKMP header and a SA payload MUST immediately follow the HASH"
		// (RFC 2409 section 5.5), and an IKE daemon that knows no GDOI goes on to it. No message 1 of a pull begins so.
		if !again {
			s.counters.QuickMode++
			s.complain(now, "GKSD_QUICK_MODE", fmt.Sprintf("gateway %s asks for an SA by quick mode, which a key server does not speak: its members register by GROUPKEY-PULL", m.Gateway))
		}
		refuse()
		return
	}
	_, name, err := gdoi.ParsePull1(m.First, m.Payloads, s.spoken[m.Gateway])
	if err != nil {
		s.counters.PullMalformed++
		s.complain(now, "GKSD_PULL_MALFORMED", fmt.Sprintf("pull of gateway %s: %v", m.Gateway, err))
		refuse()
		return
	}
	g, asked := s.byID(name.ID), fmt.Sprint(name.ID)
	if name.Selector != (sa.Selector{}) {
		g, asked = s.bySelector(name.Selector), name.Selector.String()
	}
	if g == nil {
		if !again {
			s.counters.PullUnknownGroup++
			s.complain(now, "GKSD_PULL_UNKNOWN_GROUP", fmt.Sprintf("gateway %s asks for group %s, which is not configured", m.Gateway, asked))
		}
		refuse()
		return
	}
	if why, counter := s.refusal(now, g, m); why != "" {
		if !again {
			*counter++
			s.complain(now, "GKSD_PULL_REFUSED", fmt.Sprintf("group %s: gateway %s (%v): %s", g.name, m.Gateway, m.Remote.Addr(), why))
		}
		s.wantSenders(now, g)
		refuse()
		return
	}
	if s.waiting(m.SA) >= maxPullsPerSA || len(s.pulls) >= maxPulls {
		g.stats.PullRefused++
		refuse()
		return
	}
	p := &pull{exchange: x, group: g, gateway: m.Gateway, stamp: g.stamp, deadline: now.Add(pullTimeout)}
	s.pulls[x] = p
	s.pullQueue = append(s.pullQueue, p)
	delete(s.refused, m.Gateway)
	s.emit(ike.Reply{
		SA: m.SA, MsgID: m.MsgID, First: isakmp.PayloadNONCE,
		Payloads: gdoi.AppendPull2(nil, s.draw(nonceLength), s.announce(g.policy(now), m.Local.Addr()), now, s.spoken[m.Gateway]),
	})
}

// refusal says why m's sender is not served, and what counts it; "" if it is.
func (s *Server) refusal(now time.Time, g *group, m ike.Message) (string, *uint64) {
	_, known := g.members[placeOf(m.Gateway, m.Local, m.Remote)]
	switch {
	case !g.serves(m.Gateway):
		return "not a member gateway of the group", &g.stats.PullFailed
	case !g.ready():
		return "the group's keys are not there yet", &g.stats.PullRefused
	case g.kek == nil && len(g.live(now)) == 0: // a sub-server's that has lost its root
		return "the group's last keys end", &g.stats.PullRefused
	case g.conf.Role == step.SubServer && g.counts() && g.senders.left() == 0: // every pull needs one
		return "the root-server has lent no sender IDs that are left", &g.stats.PullRefused
	case known: // may always come again
		return "", nil
	case g.conf.Role == step.SubServer && !g.rootActive: // D4
		return "the root-server is inactive", &g.stats.PullRefused
	case g.conf.MemberThreshold > 0 && len(g.members) >= int(g.conf.MemberThreshold): // M3
		return fmt.Sprintf("member-threshold %d is reached", g.conf.MemberThreshold), &g.stats.PullExceedThreshold
	case s.total() >= s.limit: // M4
		return fmt.Sprintf("member-limit %d of this server is reached", s.limit), &g.stats.PullExceedThreshold
	}
	return "", nil
}

func (g *group) serves(gateway string) bool {
	_, found := slices.BinarySearch(g.gateways, gateway)
	return found
}

func (s *Server) byID(id uint32) *group {
	for _, g := range s.groups {
		if g.conf.ID == id && !g.gone {
			return g
		}
	}
	return nil
}

// bySelector finds the group that has this object-identity (RFC 8052 section 2.1).
func (s *Server) bySelector(x sa.Selector) *group {
	for _, g := range s.groups {
		if g.conf.Selector == x && !g.gone {
			return g
		}
	}
	return nil
}

func (s *Server) waiting(id ike.SAID) (n int) {
	for x := range s.pulls {
		if x.sa == id {
			n++
		}
	}
	return n
}

// register records the member and sends it the keys. If the group's keys changed since the policy was sent there is no answer:
// the member would take keys that do not fit, and comes again.
func (s *Server) register(now time.Time, m ike.Message) {
	x := exchange{m.SA, m.MsgID}
	p := s.pulls[x]
	delete(s.pulls, x)
	fail := func(code, why string) {
		if p != nil {
			p.group.stats.PullFailed++
			s.complain(now, code, fmt.Sprintf("group %s: gateway %s (%v): %s", p.group.name, m.Gateway, m.Remote.Addr(), why))
		}
		s.emit(ike.Abort{SA: m.SA, MsgID: m.MsgID})
	}
	if p == nil || p.gateway != m.Gateway {
		fail("GKSD_PULL_FAILED", "no such exchange")
		return
	}
	g := p.group
	asked, err := gdoi.ParsePull3(m.First, m.Payloads)
	if err != nil {
		s.counters.PullMalformed++
		fail("GKSD_PULL_MALFORMED", err.Error())
		return
	}
	if g.stamp != p.stamp {
		fail("GKSD_PULL_FAILED", "the group's keys changed meanwhile")
		return
	}
	if why, counter := s.refusal(now, g, m); why != "" {
		*counter++
		s.complain(now, "GKSD_PULL_REFUSED", fmt.Sprintf("group %s: gateway %s (%v): %s", g.name, m.Gateway, m.Remote.Addr(), why))
		s.emit(ike.Abort{SA: m.SA, MsgID: m.MsgID})
		return
	}
	policy := g.policy(now)
	if g.counts() {
		var why string
		if policy.SenderIDs, why = s.giveSenderIDs(now, g, asked); why != "" {
			g.stats.PullRefused++
			s.complain(now, "GKSD_PULL_REFUSED", fmt.Sprintf("group %s: gateway %s (%v): %s", g.name, m.Gateway, m.Remote.Addr(), why))
			s.emit(ike.Abort{SA: m.SA, MsgID: m.MsgID})
			return
		}
		s.wantSenders(now, g)
	}
	at := placeOf(m.Gateway, m.Local, m.Remote)
	r := g.members[at]
	fresh := r == nil
	if fresh {
		r = &member{group: g, gateway: m.Gateway, since: now}
	}
	if !s.seat(now, g, r) {
		g.stats.PullRefused++
		s.emit(ike.Abort{SA: m.SA, MsgID: m.MsgID}) // it comes again
		return
	}
	if fresh {
		s.notify(turn.Info, "GKSD_MEMBER_REGISTERED", fmt.Sprintf("group %s: member %s (%v) registered", g.name, m.Gateway, m.Remote.Addr()))
	} else {
		// It has now all that those would tell, and refuses their numbers.
		s.cancel(g.box.laneTo(r.lane()), func(*delivery) bool { return true })
		s.strike(g, r)
	}
	r.local, r.remote, r.updated = m.Local, m.Remote, now
	r.pulls++
	s.cancel(g.box.laneTo(r.lane()), func(*delivery) bool { return true })
	s.enlist(g, r)
	g.stats.PullSucceeded++
	s.members[r] = true
	policy.LKH = g.way(r)
	defer policy.LKH.Zero()
	s.emit(ike.Reply{SA: m.SA, MsgID: m.MsgID, First: gdoi.Pull4First(policy), Payloads: gdoi.AppendPull4(nil, policy, s.spoken[m.Gateway]), Last: true})
	s.emit(ike.Created{SA: m.SA, TEKs: len(policy.TEKs)})
}

// policy is what a member is given: the KEK and every live TEK, older before newer. It shares the group's keys; whoever gets
// it encodes it at once.
func (g *group) policy(now time.Time) *gdoi.Policy {
	p := g.tekPolicy(g.live(now))
	if p == nil {
		p = &gdoi.Policy{}
	}
	p.KEK = g.kek
	return p
}

// live is the TEKs that do not end before a member has them: those that have a second yet, the wire's unit.
func (g *group) live(now time.Time) (all []sa.TEK) {
	for _, i := range g.inOrder() {
		if g.teks[i].Hard.Sub(now) >= time.Second {
			all = append(all, g.teks[i])
		}
	}
	return all
}

// inOrder lists the TEKs' places by configured order of their ipsec-sas; those that are not configured come last.
func (g *group) inOrder() (order []int) {
	for _, x := range g.conf.SAs {
		for i := range g.teks {
			if g.teks[i].Name == x.Name {
				order = append(order, i)
			}
		}
	}
	for i := range g.teks {
		if g.configured(g.teks[i].Name) == nil {
			order = append(order, i)
		}
	}
	return order
}

// trimPulls keeps the queue of pulls about as short as what it is for. Those that end well leave their place in it, and members
// that come one after another without a pause must not make it grow, nor every look for a deadline go through it.
func (s *Server) trimPulls() {
	dead := func(p *pull) bool { return s.pulls[p.exchange] != p }
	for len(s.pullQueue) > 0 && dead(s.pullQueue[0]) {
		s.pullQueue[0] = nil
		s.pullQueue = s.pullQueue[1:]
	}
	if len(s.pullQueue) > 2*len(s.pulls)+maxPullsPerSA {
		s.pullQueue = slices.DeleteFunc(s.pullQueue, dead)
	}
}

// expirePulls gives up exchanges whose third message did not come.
func (s *Server) expirePulls(now time.Time) {
	for len(s.pullQueue) > 0 {
		p := s.pullQueue[0]
		live := s.pulls[p.exchange] == p
		if live && now.Before(p.deadline) {
			return
		}
		if live {
			delete(s.pulls, p.exchange)
			p.group.stats.PullFailed++
			s.emit(ike.Abort{SA: p.sa, MsgID: p.mid})
		}
		s.pullQueue[0] = nil
		s.pullQueue = s.pullQueue[1:]
	}
}
