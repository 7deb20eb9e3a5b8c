package ike

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// state is where a phase-1 SA stands; the diagram is in doc.go.
type state uint8

const (
	waitSA state = iota
	makeKE
	waitKE
	share
	compute  // a responder's first: before message 3 there is only a slot of halfOpen
	signing  // our proof of identity: message 5 for an initiator, 6 for a responder
	waitAuth // message 6 for an initiator, message 5 for a responder
	up
	closing
	gone
)

const nonceLen = 32

// phase1 is one SA of phase 1, from its first message until it is forgotten.
type phase1 struct {
	id            SAID
	gw            *gateway
	ck            cookies
	local, remote netip.AddrPort
	created       time.Time
	since         time.Time // when it came up
	life          time.Duration
	suite         suite

	doi        uint32 // that phase 1 was begun under
	state      state
	initiator  bool
	aggressive bool
	nat        nat
	decoy      bool   // in aggressive mode: nobody has the peer's identity
	unheard    bool   // in aggressive mode: nothing verified came since our message 3
	pinned     bool   // counted in halfOpen
	lapsed     bool   // its lifetime is over; what runs may end
	suspect    bool   // an exchange of ours went unanswered
	sent       uint16 // how often lastOut went out (initiator)

	peerDPD          bool   // the peer sent the vendor ID
	dpdPeerKnown     bool   // the next number is set
	dpdPeer          uint32 // the highest of the peer's
	dpdSeq, dpdAcked uint32 // the last R-U-THERE number sent, the last one answered

	*negotiation      // nil when it has ended
	localID, remoteID isakmp.ID
	keys              keys
	iv                [16]byte    // the last cipher block of phase 1
	lastIn            fingerprint // of the last message that was accepted
	lastOut           []byte      // our last message; nil while we owe one
	timeout           timer       // armed as long as it is: the end of the negotiation, of the lifetime or of closing
	retry, renewal    *timer      // an initiator's

	order []*exchange // by age
	seen  memory      // message IDs that the peer began exchanges with
	own   *memory     // those that we have used: what bears one is ours, sent back by somebody (RFC 6407 section 7.1.4)

	stat tallies
}

// negotiation is what of a phase 1 only its negotiation needs: there may be very many SAs.
type negotiation struct {
	start            start     // a responder's key in byStart
	asked            time.Time // when its message 3 came
	sai              []byte    // SAi_b as the initiator sent it
	exponent         sa.Secret
	public, peer     []byte // our g^x and the peer's
	shared           sa.Secret
	ni, nr           []byte
	peerID, peerHash []byte // bodies; in aggressive mode, where they come before they can be judged
	saiAnswer        []byte // likewise
	proof            []byte // our HASH or SIG
	hint             string // what an unauthenticated notification said
	complained       bool   // a failed authentication was notified
}

// tallies are the counters of SAState.
type tallies struct {
	inOctets, inPackets, outOctets, outPackets uint64
	dpdSent, dpdAcked, dpdAnswered             uint32
	exchangesBegun, exchangesAnswered          uint32
	teksCreated                                uint32
}

func (p *phase1) negotiating() bool { return p.state < up }

func (p *phase1) from(d datagram) bool {
	if p.remote != d.remote || p.local.Port() != d.local.Port() {
		return false
	}
	return p.local.Addr() == d.local.Addr() || p.local.Addr().IsUnspecified()
}

func (p *phase1) upMessage() Up {
	return Up{SA: p.id, Gateway: p.gw.c.Name, Local: p.local, Remote: p.remote, Initiator: p.initiator}
}

func (e *Endpoint) newSA(now time.Time, g *gateway, initiator bool, local, remote netip.AddrPort) *phase1 {
	e.lastID++
	p := &phase1{
		id: e.lastID, gw: g, initiator: initiator, local: local, remote: remote, created: now,
		negotiation: &negotiation{},
	}
	p.timeout.fire = func(now time.Time) { e.expire(now, p) }
	if initiator {
		p.retry = &timer{fire: func(now time.Time) { e.retransmit(now, p) }}
		p.renewal = &timer{fire: func(now time.Time) { e.renew(now, p) }}
	}
	e.timers.arm(&p.timeout, now.Add(e.o.HalfOpenTimeout))
	e.sas[p.id] = p
	g.sas = append(g.sas, p)
	return p
}

// discard forgets an SA and zeroes its keys. It says nothing to anybody.
func (e *Endpoint) discard(p *phase1) {
	if p.state == gone {
		return
	}
	p.state = gone
	e.timers.stop(p.retry)
	e.timers.stop(&p.timeout)
	e.timers.stop(p.renewal)
	for _, x := range p.order {
		e.timers.stop(&x.timer)
	}
	p.order = nil
	delete(e.sas, p.id)
	if e.byCookie[p.ck] == p {
		delete(e.byCookie, p.ck)
	}
	if p.initiator {
		delete(e.ours, p.ck.i)
	} else if e.begun[p.ck.i] == p {
		delete(e.begun, p.ck.i)
	}
	e.half.unpin(p)
	p.gw.sas = without(p.gw.sas, p)
	e.endNegotiation(p)
	p.keys.zero()
}

func (e *Endpoint) endNegotiation(p *phase1) {
	n := p.negotiation
	if n == nil {
		return
	}
	n.exponent.Zero()
	n.shared.Zero()
	if e.byStart[n.start] == p {
		delete(e.byStart, n.start)
	}
	p.negotiation = nil
	p.keys.settle()
}

// fail ends a negotiation. An initiator's is reported; a responder's makes no noise that a stranger could cause.
func (e *Endpoint) fail(p *phase1, reason string) {
	if p.hint != "" {
		reason += "; the peer said, unauthenticated: " + p.hint
	}
	e.discard(p)
	if !p.initiator {
		return
	}
	e.tally(tallyFailed)
	e.notify(turn.Warning, "IKE_NEGOTIATION_FAILED", "gateway %s, %v: %s", p.gw.c.Name, p.remote, reason)
	e.emit(Failed{Gateway: p.gw.c.Name, Remote: p.remote.Addr(), Reason: reason})
}

// expire is the end of a lifetime: of the negotiation, of the SA, or of closing.
func (e *Endpoint) expire(now time.Time, p *phase1) {
	switch {
	case p.state == up:
		p.lapsed = true
		e.shut(now, p, "lifetime expired")
		e.dpdExpired(now, p)
	case p.state == closing:
		e.down(p, "closed")
	case p.initiator:
		e.fail(p, "negotiation took too long")
	default:
		e.tally(tallyExpired)
		e.discard(p)
	}
}

// send transmits a message of an SA, to which nobody writes any more.
func (e *Endpoint) send(p *phase1, msg []byte) {
	p.stat.outPackets++
	p.stat.outOctets += uint64(len(msg))
	e.emit(turn.Transmit{Local: p.local, Remote: p.remote, Datagram: msg})
}

// ask sends an initiator's message of phase 1 and repeats it until it is answered.
func (e *Endpoint) ask(now time.Time, p *phase1, s state, msg []byte) {
	p.state, p.lastOut, p.sent = s, msg, 1
	e.send(p, msg)
	e.timers.arm(p.retry, now.Add(e.o.Retransmit[0]))
}

func (e *Endpoint) retransmit(now time.Time, p *phase1) {
	if int(p.sent) == len(e.o.Retransmit) {
		if p.state == up {
			return // message 3 of aggressive mode: whether it came, the first exchange will show
		}
		e.fail(p, map[state]string{
			waitSA:   "no answer to message 1",
			waitKE:   "no answer to message 3",
			waitAuth: "no answer to message 5: do pre-shared key and identities agree?",
		}[p.state])
		return
	}
	e.tally(tallyResent)
	e.send(p, p.lastOut)
	e.timers.arm(p.retry, now.Add(e.o.Retransmit[p.sent]))
	p.sent++
}

// accepted notes that a message moved the state: it is the one whose repetition is told apart from now on.
func (e *Endpoint) accepted(p *phase1, d datagram, s state) {
	p.state, p.lastIn, p.lastOut = s, d.hash, nil
	e.timers.stop(p.retry)
}

func (p *phase1) header(next isakmp.PayloadType, x isakmp.ExchangeType, f isakmp.Flags, id uint32) []byte {
	return isakmp.AppendHeader(nil, isakmp.Header{
		InitiatorCookie: p.ck.i, ResponderCookie: p.ck.r, Next: next, Exchange: x, Flags: f, MessageID: id,
	})
}

func finish(msg []byte) []byte {
	isakmp.SetLength(msg)
	return msg
}

// initiate sends message 1.
func (e *Endpoint) initiate(now time.Time, g *gateway, remote netip.Addr) {
	addr := g.c.Local
	switch {
	case addr.IsValid():
	case remote.Is4():
		addr = netip.IPv4Unspecified()
	default:
		addr = netip.IPv6Unspecified()
	}
	p := e.newSA(now, g, true, netip.AddrPortFrom(addr, e.o.Port), netip.AddrPortFrom(remote, e.o.Port))
	e.tally(tallyInitiated)
	for p.ck.i = e.cookie(); e.ours[p.ck.i]; {
		p.ck.i = e.cookie()
	}
	e.ours[p.ck.i] = true
	e.byCookie[p.ck] = p
	p.doi = e.o.DOI
	offers := offered(g.c.Proposals)
	if p.doi == isakmp.DOIIPsec {
		offers.DOI, offers.Situation = p.doi, isakmp.SituationIdentityOnly
	}
	p.sai = offers.Append(nil)
	if g.aggressive() {
		e.startAggressive(p)
		return
	}
	msg := p.header(isakmp.PayloadSA, isakmp.ExchangeMain, 0, 0)
	e.ask(now, p, waitSA, finish(appendParts(msg, part{isakmp.PayloadSA, p.sai}, vendorDPD, vendorNATT)))
}

// addressee returns the phase 1 that a datagram is for, nil if there is none or it has another peer: then the datagram is
// counted and does no more. early: it may be one that we began and whose responder's cookie we do not know yet.
func (e *Endpoint) addressee(d datagram, early bool) *phase1 {
	p := e.byCookie[cookies{d.h.InitiatorCookie, d.h.ResponderCookie}]
	if p == nil && early {
		p = e.byCookie[cookies{i: d.h.InitiatorCookie}]
	}
	switch {
	case p == nil && e.half.late(d):
		e.tally(dropLate)
		return nil
	case p == nil:
		e.tally(dropCookies)
		return nil
	case !p.from(d) && !p.mayMove(d):
		e.tally(dropAddress)
		return nil
	}
	p.received(d)
	return p
}

// handlePhase1 takes a datagram of exchange 2 (main mode) or 4 (aggressive mode).
func (e *Endpoint) handlePhase1(now time.Time, d datagram) {
	aggressive := d.h.Exchange == isakmp.ExchangeAggressive
	switch {
	case len(d.b) > maxEarly && (aggressive || d.h.Flags&isakmp.FlagEncryption == 0 || len(d.b) > maxAuthentication):
		e.tally(dropSize)
		return
	case d.h.MessageID != 0:
		e.tally(dropMessageID)
		return
	case d.h.InitiatorCookie == [8]byte{}:
		e.tally(dropCookies)
		return
	case d.h.ResponderCookie == [8]byte{} && aggressive:
		e.answerAggressive(now, d)
		return
	case d.h.ResponderCookie == [8]byte{}:
		e.message1(now, d)
		return
	}
	if s := e.half.slotOf(d.h); s != nil && !aggressive {
		e.message3(now, s, d)
		return
	}
	p := e.addressee(d, true)
	if p == nil {
		return
	}
	if len(d.b) > maxEarly && (p.state != waitAuth || p.suite.auth == step.PreSharedKeys) {
		e.tally(dropSize)
		return
	}
	d.hash = digest(d.b)
	want := isakmp.Flags(0)
	if p.state == waitAuth {
		want = isakmp.FlagEncryption
	}
	switch {
	case d.hash == p.lastIn:
		e.repeated(p)
	case p.aggressive != aggressive || p.state != waitSA && p.state != waitKE && p.state != waitAuth:
		e.tally(dropState)
	case d.h.Flags != want:
		e.tally(dropFlags)
	case p.state == waitSA && aggressive:
		e.aggressive2(now, p, d)
	case p.state == waitSA:
		e.message2(now, p, d)
	case p.state == waitKE:
		e.message4(p, d)
	case aggressive:
		e.aggressive3(now, p, d)
	default:
		e.message56(now, p, d)
	}
}

func (p *phase1) received(d datagram) {
	p.stat.inPackets++
	p.stat.inOctets += uint64(len(d.b))
}

// repeated answers octets that came before with the octets of the first answer. Only a responder does, since an initiator's own
// messages go by its timer, and an initiator in aggressive mode, whose message 3 has no answer: when message 2 comes again, it did not
// arrive. The answer goes where the first one went, never to another source.
func (e *Endpoint) repeated(p *phase1) {
	e.tally(dropRepeated)
	if (!p.initiator || p.aggressive) && p.lastOut != nil {
		e.send(p, p.lastOut)
	}
}

// message1 opens a negotiation as responder: HDR, SA, VID.
func (e *Endpoint) message1(now time.Time, d datagram) {
	if d.h.Flags != 0 {
		e.tally(dropFlags)
		return
	}
	if e.ours[d.h.InitiatorCookie] {
		e.tally(dropReflected)
		return
	}
	d.hash = digest(d.b)
	key := start{d.h.InitiatorCookie, d.local, d.remote}
	i, again := e.half.index[key]
	if e.byStart[key] != nil || e.hasBegun(d) || again && e.half.slots[i].hash != d.hash {
		e.tally(dropRepeated)
		return
	}
	leads := e.leads(d.local.Addr(), d.remote.Addr(), false)
	switch {
	case len(leads) == 0:
		e.tally(dropGateway)
		return
	case !slices.ContainsFunc(leads, responds):
		e.tally(dropInitiate)
		return
	}
	m, err := readSA(d.h.Next, d.b[isakmp.HeaderLen:])
	if err != nil {
		e.refuse(err)
		return
	}
	g, answer, o := chooseLead(leads, m.sa)
	if answer.DOI == 0 {
		e.tally(dropProposal)
		e.notice(now, g, turn.Warning, "IKE_NO_PROPOSAL_CHOSEN", "gateway %s, %v: none of the offered transforms is configured", g.c.Name, d.remote)
		e.refuseProposal(now, d, m.sa.DOI)
		return
	}
	if len(m.saBody) > maxSAi {
		e.tally(dropSize)
		return
	}
	var s *slot
	if again {
		e.tally(dropRepeated)
		s = e.half.slots[i]
	} else {
		e.tally(tallyAnswered)
		s = e.takeSlot(now, key)
		s.gw, s.hash, s.suite, s.life, s.dpd, s.natt, s.doi = g, d.hash, o.suite, o.life, m.dpd, m.natt && !d.local.Addr().IsUnspecified(), m.sa.DOI
		s.sai = append(s.sai[:0], m.saBody...)
	}

	// A stranger's address may be forged: the answer is never longer than what asked for it.
	parts := []part{{isakmp.PayloadSA, answer.Append(nil)}}
	room := len(d.b) - isakmp.HeaderLen - isakmp.GenericLen - len(parts[0].body)
	vendors := []part{vendorDPD}
	if s.natt {
		vendors = []part{vendorNATT, vendorDPD}
	}
	for _, v := range vendors {
		if room -= isakmp.GenericLen + len(v.body); room >= 0 {
			parts = append(parts, v)
		}
	}
	msg := isakmp.AppendHeader(make([]byte, 0, len(d.b)), isakmp.Header{
		InitiatorCookie: key.cookie, ResponderCookie: s.cookie, Next: isakmp.PayloadSA, Exchange: isakmp.ExchangeMain,
	})
	msg = finish(appendParts(msg, parts...))
	s.stat.inPackets++
	s.stat.inOctets += uint64(len(d.b))
	s.stat.outPackets++
	s.stat.outOctets += uint64(len(msg))
	e.emit(turn.Transmit{Local: d.local, Remote: d.remote, Datagram: msg})
}

// hasBegun reports whether a message 1 is one that began an SA which is up.
func (e *Endpoint) hasBegun(d datagram) bool {
	p := e.begun[d.h.InitiatorCookie]
	return p != nil && p.remote.Addr() == d.remote.Addr()
}

// refuseProposal tells an initiator, in clear and without keeping anything, that none of its transforms will do. It is 40
// octets, and no message 1 is shorter.
func (e *Endpoint) refuseProposal(now time.Time, d datagram, doi uint32) {
	if !e.refusals.allow(now) {
		e.tally(tallyUnrefused)
		return
	}
	msg := isakmp.AppendHeader(nil, isakmp.Header{
		InitiatorCookie: d.h.InitiatorCookie, ResponderCookie: e.cookie(), Next: isakmp.PayloadN, Exchange: isakmp.ExchangeInformational,
	})
	n := isakmp.Notify{DOI: doi, Protocol: isakmp.ProtocolISAKMP, Type: isakmp.NoProposalChosen}
	msg = finish(isakmp.AppendPayload(msg, isakmp.NoPayload, n.Append(nil)))
	e.emit(turn.Transmit{Local: d.local, Remote: d.remote, Datagram: msg})
}

// message2 is the responder's choice: HDR, SA, VID.
func (e *Endpoint) message2(now time.Time, p *phase1, d datagram) {
	m, err := readSA(d.h.Next, d.b[isakmp.HeaderLen:])
	if err != nil {
		e.refuse(err)
		return
	}
	o, ok := accept(p.gw.c.Proposals, m.sa)
	if !ok {
		e.tally(dropForeign)
		e.notice(now, p.gw, turn.Warning, "IKE_TRANSFORM_NOT_OFFERED", "gateway %s, %v: the answer is not one transform that was offered", p.gw.c.Name, d.remote)
		return
	}
	delete(e.byCookie, p.ck)
	p.ck.r = d.h.ResponderCookie
	e.byCookie[p.ck] = p
	if p.local.Addr().IsUnspecified() {
		p.local = d.local
	}
	p.suite, p.life, p.peerDPD, p.nat.both = o.suite, o.life, m.dpd, m.natt && !p.local.Addr().IsUnspecified()
	e.accepted(p, d, makeKE)
	e.drawExponent(p)
	e.workPublic(p)
}

func (e *Endpoint) drawExponent(p *phase1) {
	g := groups[int(p.suite.group)] // one of the configured proposals', which Supports has seen
	for p.exponent = e.draw(g.exponentLen()); !g.fit(p.exponent); {
		p.exponent = e.draw(g.exponentLen())
	}
}

func (e *Endpoint) startWork(p *phase1, op turn.Op) {
	e.lastWork++
	id := e.o.WorkBase | e.lastWork
	e.work[id] = p
	e.emit(turn.Work{ID: id, Op: op})
}

// The worker owns its own copy of the exponent, and zeroes it.
func (e *Endpoint) workPublic(p *phase1) {
	e.startWork(p, turn.DHPublic{Group: int(p.suite.group), Exponent: p.exponent.Clone()})
}

func (e *Endpoint) workShared(p *phase1) {
	e.startWork(p, turn.DHShared{Group: int(p.suite.group), Exponent: p.exponent.Clone(), Peer: append([]byte(nil), p.peer...)})
}

func (e *Endpoint) workBoth(p *phase1) {
	e.startWork(p, turn.DHBoth{Group: int(p.suite.group), Exponent: p.exponent.Clone(), Peer: append([]byte(nil), p.peer...)})
}

// HandleResult takes the result of a Work. One whose negotiation is gone is ignored.
func (e *Endpoint) HandleResult(now time.Time, r turn.Result) {
	p := e.work[r.ID]
	delete(e.work, r.ID)
	if p == nil || p.negotiation == nil {
		switch v := r.Value.(type) {
		case sa.Secret:
			v.Zero()
		case turn.KeyExchange:
			v.Shared.Zero()
		}
		return
	}
	if p.state == compute && !p.aggressive {
		e.half.delay = now.Sub(p.asked)
	}
	switch v := r.Value.(type) {
	case []byte:
		switch {
		case r.Err != nil:
		case p.state == signing:
			p.proof = v
		case p.public == nil:
			p.public = v
		}
	case sa.Secret:
		if r.Err == nil && p.shared == nil {
			p.shared = v
		}
	case turn.KeyExchange:
		if r.Err == nil && p.shared == nil {
			p.public, p.shared = v.Public, v.Shared
		}
	default:
		if r.Err == nil {
			r.Err = fmt.Errorf("ike: work %d: result is %T", r.ID, r.Value)
		}
	}
	switch {
	case r.Err != nil && p.state == signing:
		e.fail(p, r.Err.Error())
	case r.Err != nil:
		// The peer's value may have been outside the subgroup.
		e.tally(dropPublic)
		e.fail(p, "Diffie-Hellman: "+r.Err.Error())
	case p.state == makeKE && p.aggressive && p.public != nil:
		e.aggressive1(now, p)
	case p.state == makeKE && p.public != nil:
		p.ni = e.draw(nonceLen)
		e.ask(now, p, waitKE, p.keyMessage(p.ni))
	case p.state == share && p.aggressive && p.shared != nil:
		e.finishAggressive(now, p)
	case p.state == share && p.shared != nil:
		e.message5(now, p)
	case p.state == compute && p.shared != nil && p.aggressive:
		e.answer2(p)
	case p.state == compute && p.shared != nil:
		e.answer4(p)
	case p.state == signing && p.proof != nil:
		e.prove(now, p)
	}
}

// keyMessage is message 3 or 4: HDR, KE, NONCE; CERTREQ with signatures; NAT-D twice if both do NAT traversal.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                       Key Exchange Data                       ~   KE, RFC 2408 section 3.7: exactly the group's size
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                          Nonce Data                           ~   NONCE, section 3.13: 8 to 256 octets
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
func (p *phase1) keyMessage(nonce []byte) []byte {
	parts := append([]part{{isakmp.PayloadKE, p.public}, {isakmp.PayloadNONCE, nonce}}, p.suite.request()...)
	parts = append(parts, p.natParts()...)
	return finish(appendParts(p.header(isakmp.PayloadKE, isakmp.ExchangeMain, 0, 0), parts...))
}

// readPeer reads messages 3 and 4; false if there is anything wrong with them.
func (e *Endpoint) readPeer(group int, d datagram) (message, bool) {
	m, err := readKey(group, d.h.Next, d.b[isakmp.HeaderLen:])
	if _, is := err.(*isakmp.Error); is {
		e.refuse(err)
	} else if err != nil {
		e.tally(dropPublic)
	}
	return m, err == nil
}

// message3 is the initiator's: HDR, KE, Ni. From here on its address is known to be real.
func (e *Endpoint) message3(now time.Time, s *slot, d datagram) {
	switch {
	case s.start.remote != d.remote || s.start.local != d.local:
		e.tally(dropAddress)
		return
	case d.h.Flags != 0:
		e.tally(dropFlags)
		return
	}
	m, ok := e.readPeer(int(s.suite.group), d)
	if !ok {
		return
	}
	if !e.roomToPin(d.remote.Addr()) {
		e.tally(dropHalfOpen)
		return
	}
	p := e.pin(now, s)
	p.received(d)
	d.hash = digest(d.b)
	p.peer, p.ni, p.nr = bytes.Clone(m.ke), bytes.Clone(m.nonce), e.draw(nonceLen)
	p.findNAT(d, m.natd)
	e.accepted(p, d, compute)
	e.drawExponent(p)
	e.workBoth(p)
}

// answer4 sends message 4 when both computations are done.
func (e *Endpoint) answer4(p *phase1) {
	if !e.derive(p) {
		return
	}
	p.state = waitAuth
	p.lastOut = p.keyMessage(p.nr)
	e.send(p, p.lastOut)
}

// message4 is the responder's: HDR, KE, Nr.
func (e *Endpoint) message4(p *phase1, d datagram) {
	m, ok := e.readPeer(int(p.suite.group), d)
	if !ok {
		return
	}
	p.peer, p.nr = bytes.Clone(m.ke), bytes.Clone(m.nonce)
	p.findNAT(d, m.natd)
	e.accepted(p, d, share)
	e.workShared(p)
}

// derive makes the keys and our identity once g^xy is there.
func (e *Endpoint) derive(p *phase1) bool {
	var err error
	p.keys, err = deriveKeys(p.suite, e.psk(p), p.ni, p.nr, p.shared, p.ck)
	if err == nil {
		err = p.identify()
	}
	p.exponent.Zero()
	p.shared.Zero()
	p.exponent, p.shared = nil, nil
	if err != nil {
		e.fail(p, err.Error())
		return false
	}
	if e.o.KeyLog {
		e.emit(turn.KeyLog{InitiatorCookie: p.ck.i, Key: p.keys.e.Clone()})
	}
	gxi, gxr := p.public, p.peer
	if !p.initiator {
		gxi, gxr = gxr, gxi
	}
	p.iv = p.suite.firstIV(gxi, gxr)
	return true
}

// auth is HASH_I (ours for an initiator, the peer's for a responder) or HASH_R (RFC 2409 section 5).
func (p *phase1) auth(ofInitiator bool, id []byte) []byte {
	own, other := p.public, p.peer
	if ofInitiator != p.initiator {
		own, other = other, own
	}
	a, b := p.ck.i[:], p.ck.r[:]
	if !ofInitiator {
		a, b = b, a
	}
	return again(p.keys.prf, own, other, a, b, p.sai, id)
}

// authMessage is message 5 or 6: HDR*, ID, HASH or HDR*, ID, CERT, SIG. It moves the IV.
func (e *Endpoint) authMessage(p *phase1) []byte {
	parts := []part{{isakmp.PayloadID, p.localID.Append(nil)}}
	if p.suite.auth == step.PreSharedKeys {
		parts = append(parts, part{isakmp.PayloadHASH, p.proof})
	} else {
		parts = append(append(parts, p.gw.cred.parts()...), part{isakmp.PayloadSIG, p.proof})
	}
	parts = append(parts, e.contact(p)...)
	msg := appendParts(p.header(isakmp.PayloadID, isakmp.ExchangeMain, isakmp.FlagEncryption, 0), parts...)
	msg, p.iv = p.keys.seal(msg, p.iv)
	return msg
}

// makeProof makes HASH, or has SIG made of it, and sends it (prove).
func (e *Endpoint) makeProof(now time.Time, p *phase1) {
	hash := p.auth(p.initiator, p.localID.Append(nil))
	p.state = signing
	if p.suite.auth != step.PreSharedKeys {
		e.startWork(p, turn.SignHash{Private: p.gw.cred.key.Clone(), Digest: hash})
		return
	}
	p.proof = hash
	e.prove(now, p)
}

// prove sends message 5 or 6.
func (e *Endpoint) prove(now time.Time, p *phase1) {
	msg := e.authMessage(p)
	if p.initiator {
		p.float()
		e.ask(now, p, waitAuth, msg)
		return
	}
	p.state, p.lastOut = up, msg
	e.send(p, msg)
	e.establish(now, p)
}

func (e *Endpoint) message5(now time.Time, p *phase1) {
	if e.derive(p) {
		e.makeProof(now, p)
	}
}

// message56 is message 5 at a responder and message 6 at an initiator: HDR*, ID, HASH or SIG. A wrong key, a wrong identity, a
// certificate that is not believed and a broken message are all met with silence, and the state stays. What can be computed is computed
// before anything is judged, so that not even time tells them apart.
func (e *Endpoint) message56(now time.Time, p *phase1, d datagram) {
	plain, last, ok := p.keys.open(d.b, p.iv)
	if !ok {
		e.tally(dropBlocks)
		return
	}
	by := isakmp.PayloadHASH
	if p.suite.auth != step.PreSharedKeys {
		by = isakmp.PayloadSIG
	}
	m, broken := readMessage(d.h.Next, plain, isakmp.PayloadID, by)
	if broken != nil {
		m.id, m.hash = plain, nil
	}
	id, err := isakmp.ParseID(m.id)
	var g *gateway
	if err == nil {
		g = e.claim(p, id)
	}
	wrong := ""
	switch {
	case by == isakmp.PayloadHASH:
		if subtle.ConstantTimeCompare(m.hash, p.auth(!p.initiator, m.id)) != 1 {
			wrong = "wrong HASH"
		}
	case broken == nil:
		judge := g
		if judge == nil {
			judge = p.gw
		}
		if err := e.verifyPeer(now, p, judge, m, id); err != nil {
			wrong = err.Error()
		}
	}
	switch {
	case broken != nil && by == isakmp.PayloadHASH:
		// Under a wrong key anything may come out.
		e.refuse(broken)
		e.complain(now, p, "the message does not decrypt: does the pre-shared key agree?")
		return
	case broken != nil:
		e.refuse(broken)
		e.complain(now, p, "the message is malformed")
		return
	case wrong != "":
		e.tally(dropHash)
		e.complain(now, p, wrong)
		return
	case g == nil:
		e.tally(dropIdentity)
		e.complain(now, p, fmt.Sprintf("identity %s, want %s", idText(id), keyText(p.gw.wants(p.remote.Addr()))))
		return
	}
	id.Data = append([]byte(nil), id.Data...)
	p.remoteID = id
	if g != p.gw {
		p.adopt(g)
		if err := p.identify(); err != nil {
			e.fail(p, err.Error())
			return
		}
	}
	e.move(p, d)
	e.accepted(p, d, up)
	p.iv = last
	if p.initiator {
		e.establish(now, p)
	} else {
		e.makeProof(now, p)
	}
	e.firstContact(p, m.initialContact)
}

// complain tells the operator once per negotiation why its authentication failed.
func (e *Endpoint) complain(now time.Time, p *phase1, text string) {
	if !p.complained {
		p.complained = true
		e.notice(now, p.gw, turn.Warning, "IKE_AUTHENTICATION_FAILED", "gateway %s, %v: %s", p.gw.c.Name, p.remote, text)
	}
}

// establish ends a negotiation that was authenticated on both sides.
func (e *Endpoint) establish(now time.Time, p *phase1) {
	e.half.unpin(p)
	e.endNegotiation(p)
	if !p.initiator {
		e.begun[p.ck.i] = p
	}
	e.timers.arm(&p.timeout, now.Add(p.life))
	p.since = now
	p.gw.met(p.contactKey())
	if p.initiator { // its gateway may be watched by then
		e.timers.arm(p.renewal, now.Add(renewal(p.life)))
	}
	e.tally(tallyUp)
	e.notify(turn.Info, "IKE_SA_UP", "gateway %s, %v: IKE SA %d up", p.gw.c.Name, p.remote, p.id)
	e.emit(p.upMessage())

	var same []*phase1
	for _, o := range slices.Clone(p.gw.sas) {
		switch {
		case o.state != up || o.contactKey() != p.contactKey(): // a dynamic peer may come from everywhere
		case p.initiator && o != p && o.suspect: // Connect passed it by
			e.shut(now, o, superseded)
		default:
			same = append(same, o)
		}
	}
	// A peer with the right key could still open SAs for ever.
	for i := 0; i < len(same)-e.o.MaxSAsPerPeer; i++ {
		e.down(same[i], superseded)
	}
	e.dpdUp(now, p)
	e.keepWarm(now, p)
}

// superseded is why an SA ends that a newer one has made needless.
const superseded = "superseded"

// shut takes an SA that is up out of use: at once, or after the answers that its exchanges still wait for (T14).
func (e *Endpoint) shut(now time.Time, p *phase1, reason string) {
	if !p.waiting() {
		e.down(p, reason)
		return
	}
	e.emitDown(p, reason)
	p.state = closing
	if end := now.Add(e.o.ClosingTimeout); end.Before(p.timeout.at) || !now.Before(p.timeout.at) {
		e.timers.arm(&p.timeout, end)
	}
}

// down deletes an SA: the exchanges that still wait have failed, the peer is told, the engines above are told.
func (e *Endpoint) down(p *phase1, reason string) {
	e.sendDelete(p)
	e.gone(p, reason)
}

// gone is down without telling the peer.
func (e *Endpoint) gone(p *phase1, reason string) {
	e.failExchanges(p, reason)
	if p.state == up {
		e.emitDown(p, reason)
	}
	e.discard(p)
}

func (e *Endpoint) emitDown(p *phase1, reason string) {
	e.notify(turn.Info, "IKE_SA_DOWN", "gateway %s, %v: IKE SA %d down: %s", p.gw.c.Name, p.remote, p.id, reason)
	e.emit(Down{SA: p.id, Gateway: p.gw.c.Name, Remote: p.remote, Reason: reason})
}

// responds reports whether a gateway's peer may open an SA: a member's servers never do (M1), so a member that answered
// would only add ways in.
func responds(g *gateway) bool { return g.c.Side == step.Server }

func (p *phase1) look() SAState {
	t := &p.stat
	s := SAState{
		ID: p.id, Gateway: p.gw.c.Name, Initiator: p.initiator,
		InOctets: t.inOctets, InPackets: t.inPackets, OutOctets: t.outOctets, OutPackets: t.outPackets,
		DPDSent: uint64(t.dpdSent), DPDAcked: uint64(t.dpdAcked), DPDAnswered: uint64(t.dpdAnswered),
		ExchangesBegun: uint64(t.exchangesBegun), ExchangesAnswered: uint64(t.exchangesAnswered),
		TEKsCreated: uint64(t.teksCreated),
	}
	s.InitiatorCookie, s.ResponderCookie = p.ck.i, p.ck.r
	s.Local, s.Remote, s.Created, s.Expires = p.local, p.remote, p.created, p.timeout.at
	s.Aggressive, s.Auth = p.aggressive, p.suite.auth
	s.Hash, s.KeyBits, s.DHGroup, s.Lifetime = p.suite.hash, int(p.suite.bits), int(p.suite.group), p.life
	switch p.state {
	case up:
		s.Status = Established
	case closing:
		s.Status = Closing
	}
	if p.localID.Data != nil {
		s.LocalID = idText(p.localID)
	}
	if p.remoteID.Data != nil {
		s.RemoteID = idText(p.remoteID)
	}
	for _, x := range p.order {
		if x.turn != over {
			s.ExchangesRunning++
		}
	}
	return s
}
