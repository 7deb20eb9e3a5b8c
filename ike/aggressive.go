package ike

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// Aggressive mode (RFC 2409 section 5.4) is for peers with a pre-shared key whose address nobody knows beforehand. It shows both
// identities in the clear, and whoever sees or asks for message 2 can try keys against its HASH_R at home. So it runs only with
// gateways whose policy says so, and these run nothing else.
//
//	initiator                                                responder
//	  makeKE    (g^x first)
//	  waitSA    -- HDR, SA, KE, Ni, IDii, VID ------------->  compute
//	  share    <-- HDR, SA, KE, Nr, IDir, HASH_R, NAT-D, VID  waitAuth
//	  up        -- HDR*, HASH_I, NAT-D -------------------->  up
//
// A stranger's message 1 costs the responder two exponentiations and an answer somewhat longer than itself, to an address that may
// be forged. So there are never more such negotiations than maxAggressive, and the answer goes out once, and again only when the
// same octets come again. An identity that is not configured is answered as any other, with a key that nobody has.
//
// With signatures it would be worse than that, so it does not run with them (checkAggressive): message 2 would carry our certificates,
// many times as long as the message 1 that asked for them, and a signature made for who has shown nothing yet. Main mode finds a peer
// without an address by its certificate too.

// maxAggressive is how many negotiations in aggressive mode that peers began may be unfinished.
const maxAggressive = 64

// startAggressive begins a negotiation of ours: g^x first, since message 1 has it. All proposals of such a policy have one group.
func (e *Endpoint) startAggressive(p *phase1) {
	p.aggressive = true
	p.suite.group = uint16(p.gw.c.Proposals[0].DHGroup)
	p.state = makeKE
	e.drawExponent(p)
	e.workPublic(p)
}

// aggressive1 sends our message 1.
func (e *Endpoint) aggressive1(now time.Time, p *phase1) {
	if err := p.identify(); err != nil {
		e.fail(p, err.Error())
		return
	}
	p.ni = e.draw(nonceLen)
	msg := appendParts(p.header(isakmp.PayloadSA, isakmp.ExchangeAggressive, 0, 0),
		part{isakmp.PayloadSA, p.sai}, part{isakmp.PayloadKE, p.public}, part{isakmp.PayloadNONCE, p.ni},
		part{isakmp.PayloadID, p.localID.Append(nil)}, vendorDPD, vendorNATT)
	e.ask(now, p, waitSA, finish(msg))
}

// answerAggressive takes message 1 as responder.
func (e *Endpoint) answerAggressive(now time.Time, d datagram) {
	d.hash = digest(d.b)
	key := start{d.h.InitiatorCookie, d.local, d.remote}
	leads := e.leads(d.local.Addr(), d.remote.Addr(), true)
	switch {
	case d.h.Flags != 0:
		e.tally(dropFlags)
		return
	case e.ours[d.h.InitiatorCookie]:
		e.tally(dropReflected)
		return
	case e.byStart[key] != nil:
		e.tally(dropRepeated)
		if p := e.byStart[key]; p.aggressive && p.lastIn == d.hash && p.state == waitAuth {
			e.send(p, p.lastOut)
		}
		return
	case e.hasBegun(d):
		e.tally(dropRepeated)
		return
	case !slices.ContainsFunc(leads, responds):
		e.tally(dropAggro)
		return
	}
	m, err := readSA(d.h.Next, d.b[isakmp.HeaderLen:], isakmp.PayloadKE, isakmp.PayloadNONCE, isakmp.PayloadID)
	if err != nil {
		e.refuse(err)
		return
	}
	id, err := isakmp.ParseID(m.id)
	if err != nil {
		e.refuse(err)
		return
	}
	g, answer, o := chooseLead(leads, m.sa)
	known := e.called(d, id)
	if known != nil {
		g = known
		answer, o, _ = choose(g.c.Proposals, m.sa)
	}
	switch {
	case answer.DOI == 0:
		e.tally(dropProposal)
		e.notice(now, g, turn.Warning, "IKE_NO_PROPOSAL_CHOSEN", "gateway %s, %v: none of the offered transforms is configured", g.c.Name, d.remote)
		e.refuseProposal(now, d, m.sa.DOI)
		return
	case CheckPublic(int(o.group), m.ke) != nil:
		e.tally(dropPublic)
		return
	case len(m.saBody) > maxSAi:
		e.tally(dropSize)
		return
	case e.half.aggressive >= maxAggressive || !e.roomToPin(d.remote.Addr()):
		e.tally(dropHalfOpen)
		return
	}
	e.tally(tallyAnswered)
	p := e.newSA(now, g, false, d.local, d.remote)
	p.aggressive, p.decoy = true, known == nil
	p.ck.i = d.h.InitiatorCookie
	for p.ck.r = e.cookie(); e.byCookie[p.ck] != nil; {
		p.ck.r = e.cookie()
	}
	e.byCookie[p.ck] = p
	p.start = key
	e.byStart[key] = p
	e.pinDown(p)
	p.received(d)
	p.sai = bytes.Clone(m.saBody)
	p.suite, p.life, p.peerDPD, p.doi = o.suite, o.life, m.dpd, m.sa.DOI
	p.nat.both = m.natt && !d.local.Addr().IsUnspecified()
	p.peer, p.ni, p.nr = bytes.Clone(m.ke), bytes.Clone(m.nonce), e.draw(nonceLen)
	id.Data = bytes.Clone(id.Data)
	p.remoteID, p.saiAnswer, p.peerID = id, answer.Append(nil), bytes.Clone(m.id)
	e.accepted(p, d, compute)
	e.drawExponent(p)
	e.workBoth(p)
}

// called is the gateway in aggressive mode whose peer has an ID, nil if there is none.
func (e *Endpoint) called(d datagram, id isakmp.ID) *gateway {
	for _, g := range slices.Concat(e.byRemote[d.remote.Addr()], e.dynamic.byID[idKey(id)]) {
		if g.bad == nil && g.aggressive() && responds(g) && (!g.c.Local.IsValid() || g.c.Local == d.local.Addr()) &&
			matches(id, g.wants(d.remote.Addr()), e.o.Port) {
			return g
		}
	}
	return nil
}

// psk is the key of a negotiation: the gateway's or, for an identity that nobody has, one that nobody has either, always the same
// for the same identity.
func (e *Endpoint) psk(p *phase1) sa.Secret {
	if !p.decoy {
		return p.gw.c.PSK
	}
	if e.decoys == nil {
		e.decoys = e.draw(32)
	}
	mac := hmac.New(sha256.New, e.decoys)
	mac.Write(p.peerID)
	return mac.Sum(nil)
}

// answer2 sends message 2 when both computations are done.
func (e *Endpoint) answer2(p *phase1) {
	if !e.derive(p) {
		return
	}
	id := p.localID.Append(nil)
	parts := []part{
		{isakmp.PayloadSA, p.saiAnswer},
		{isakmp.PayloadKE, p.public},
		{isakmp.PayloadNONCE, p.nr},
		{isakmp.PayloadID, id},
		{isakmp.PayloadHASH, p.auth(false, id)},
	}
	if p.nat.both {
		parts = append(append(parts, p.natParts()...), vendorNATT)
	}
	if p.peerDPD {
		parts = append(parts, vendorDPD)
	}
	p.state = waitAuth
	p.lastOut = finish(appendParts(p.header(isakmp.PayloadSA, isakmp.ExchangeAggressive, 0, 0), parts...))
	e.send(p, p.lastOut)
}

// aggressive2 takes message 2 as initiator. What it shows is judged when g^xy is there.
func (e *Endpoint) aggressive2(now time.Time, p *phase1, d datagram) {
	m, err := readSA(d.h.Next, d.b[isakmp.HeaderLen:], isakmp.PayloadKE, isakmp.PayloadNONCE, isakmp.PayloadID, isakmp.PayloadHASH)
	if err != nil {
		e.refuse(err)
		return
	}
	id, err := isakmp.ParseID(m.id)
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
	if CheckPublic(int(o.group), m.ke) != nil {
		e.tally(dropPublic)
		return
	}
	if p.local.Addr().IsUnspecified() {
		p.local = netip.AddrPortFrom(d.local.Addr(), p.local.Port())
	}
	delete(e.byCookie, p.ck)
	p.ck.r = d.h.ResponderCookie
	e.byCookie[p.ck] = p
	p.suite, p.life, p.peerDPD, p.nat.both = o.suite, o.life, m.dpd, m.natt && !p.local.Addr().IsUnspecified()
	p.peer, p.nr = bytes.Clone(m.ke), bytes.Clone(m.nonce)
	p.findNAT(d, m.natd)
	id.Data = bytes.Clone(id.Data)
	p.remoteID, p.peerID, p.peerHash = id, bytes.Clone(m.id), bytes.Clone(m.hash)
	e.accepted(p, d, share)
	e.workShared(p)
}

// finishAggressive judges message 2 and sends message 3, which is repeated until something verified comes from the peer: it has no
// answer of its own.
func (e *Endpoint) finishAggressive(now time.Time, p *phase1) {
	if !e.derive(p) {
		return
	}
	right := subtle.ConstantTimeCompare(p.peerHash, p.auth(false, p.peerID)) == 1
	switch {
	case !right:
		e.tally(dropHash)
		e.complain(now, p, "wrong HASH: does the pre-shared key agree?")
		e.fail(p, "the peer could not prove who it is: does the pre-shared key agree?")
		return
	case e.claim(p, p.remoteID) == nil:
		e.tally(dropIdentity)
		e.complain(now, p, "identity "+idText(p.remoteID)+", want "+keyText(p.gw.wants(p.remote.Addr())))
		e.fail(p, "the peer has another identity")
		return
	}
	parts := append([]part{{isakmp.PayloadHASH, p.auth(true, p.localID.Append(nil))}}, p.natParts()...)
	p.float()
	parts = append(parts, e.contact(p)...)
	msg := appendParts(p.header(isakmp.PayloadHASH, isakmp.ExchangeAggressive, isakmp.FlagEncryption, 0), parts...)
	msg, p.iv = p.keys.seal(msg, p.iv)
	p.unheard = true
	e.ask(now, p, up, msg)
	e.establish(now, p)
}

// aggressive3 takes message 3 as responder. Whatever is wrong with it is met with silence, after the same work.
func (e *Endpoint) aggressive3(now time.Time, p *phase1, d datagram) {
	plain, last, ok := p.keys.open(d.b, p.iv)
	if !ok {
		e.tally(dropBlocks)
		return
	}
	m, err := readMessage(d.h.Next, plain, isakmp.PayloadHASH)
	right := subtle.ConstantTimeCompare(m.hash, p.auth(true, p.peerID)) == 1
	switch {
	case err != nil:
		e.refuse(err)
		e.complain(now, p, "the message does not decrypt: does the pre-shared key agree?")
		return
	case !right || p.decoy:
		e.tally(dropHash)
		e.complain(now, p, "wrong HASH, or nobody has the identity "+idText(p.remoteID))
		return
	}
	p.findNAT(d, m.natd)
	if !p.from(d) {
		p.nat.peerIs = true
	}
	e.move(p, d)
	e.accepted(p, d, up)
	p.iv = last
	e.establish(now, p)
	e.firstContact(p, m.initialContact)
}

// checkAggressive says what aggressive mode cannot do of a gateway's configuration, "" if nothing.
func checkAggressive(g step.Gateway) string {
	for _, p := range g.Proposals {
		switch {
		case p.Auth != step.PreSharedKeys:
			return "mode aggressive with authentication-method " + p.Auth.String() + " is not supported: use mode main, which hides the certificates"
		case p.DHGroup != g.Proposals[0].DHGroup:
			return "mode aggressive needs one dh-group in all proposals: its first message is made in that group"
		}
	}
	return ""
}
