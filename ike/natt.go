package ike

import (
	"crypto/subtle"
	"net/netip"
	"time"

	"gvpn/isakmp"
	"gvpn/turn"
)

// NATPort is where IKE goes on once a NAT is found between the peers (RFC 3947 section 4). What is sent and received there
// carries four zero octets in front, which whoever moves datagrams adds and takes away (RFC 3948 section 2.2), but for
// keepalives.
const NATPort = 4500

// keepaliveEvery is how often the side behind a NAT reminds it of the way in (RFC 3948 section 4 has 20 s as default).
const keepaliveEvery = 20 * time.Second

// keepalive is the one octet that a NAT-keepalive consists of (RFC 3948 section 2.3). Nobody answers it.
const keepalive = 0xff

// nat is what is known of NATs between us and a peer.
type nat struct {
	both           bool // both sides sent the vendor ID of RFC 3947
	behind, peerIs bool // somebody changes our address or port, or the peer's
}

func (n nat) found() bool { return n.behind || n.peerIs }

// natHash is what an address and port look like in a NAT-D payload (RFC 3947 section 3.2).
func (p *phase1) natHash(a netip.AddrPort) []byte {
	h := p.suite.newHash()
	h.Write(p.ck.i[:])
	h.Write(p.ck.r[:])
	h.Write(a.Addr().AsSlice())
	h.Write([]byte{byte(a.Port() >> 8), byte(a.Port())})
	return h.Sum(nil)
}

// natParts are our NAT-D payloads: what we see of the peer first, then ourselves.
func (p *phase1) natParts() []part {
	if !p.nat.both {
		return nil
	}
	return []part{{isakmp.PayloadNATD, p.natHash(p.remote)}, {isakmp.PayloadNATD, p.natHash(p.local)}}
}

// findNAT compares the peer's NAT-D payloads with what we see. A peer may name several addresses of its own. One that sends
// the vendor ID and then no NAT-D payloads does not do NAT traversal.
func (p *phase1) findNAT(d datagram, seen [][]byte) {
	if !p.nat.both || len(seen) < 2 {
		p.nat = nat{}
		return
	}
	same := func(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
	// In aggressive mode the payloads of message 3 may be of the ports before or after the move.
	p.nat.behind = !same(seen[0], p.natHash(d.local)) && !same(seen[0], p.natHash(p.local))
	p.nat.peerIs = true
	for _, s := range seen[1:] {
		if same(s, p.natHash(d.remote)) || same(s, p.natHash(p.remote)) {
			p.nat.peerIs = false
		}
	}
}

// float moves an initiator's negotiation to port 4500 if there is a NAT (RFC 3947 section 4).
func (p *phase1) float() {
	if p.nat.found() {
		p.local = netip.AddrPortFrom(p.local.Addr(), NATPort)
		p.remote = netip.AddrPortFrom(p.remote.Addr(), NATPort)
	}
}

// mayMove reports whether a datagram may be p's peer's although it comes another way: to port 4500, from another port of the same
// address. It may at a responder with the message that ends the negotiation, and later when the NAT has forgotten who the peer was. Until the datagram is
// verified, and known not to be an old one, the SA stays where it is.
func (p *phase1) mayMove(d datagram) bool {
	last := !p.initiator && p.state == waitAuth
	return (p.nat.found() || p.aggressive && last && p.nat.both) && d.local.Port() == NATPort && d.remote.Addr() == p.remote.Addr() &&
		(p.local.Addr() == d.local.Addr() || p.local.Addr().IsUnspecified()) &&
		(p.local.Port() == NATPort || last)
}

// move follows a peer that has sent a verified, fresh message from elsewhere. Registrations and what goes to them follow too.
func (e *Endpoint) move(p *phase1, d datagram) {
	if p.from(d) {
		return
	}
	before := p.remote
	p.local = netip.AddrPortFrom(p.local.Addr(), d.local.Port())
	p.remote = d.remote
	if p.state != up {
		return
	}
	e.tally(tallyMoved)
	e.notify(turn.Info, "IKE_PEER_MOVED", "gateway %s, %v: IKE SA %d is now at port %d", p.gw.c.Name, before, p.id, p.remote.Port())
	e.emit(Moved{SA: p.id, Gateway: p.gw.c.Name, From: before, To: p.remote})
}

// warmPath is a way through a NAT in front of us that is kept open, for what comes under an SA and for pushes, which come
// under none: it is kept after the SA has expired, until the gateway or its SAs are deleted.
type warmPath struct {
	local, remote netip.AddrPort
	timer         timer
}

// keepWarm is told of every new SA.
func (e *Endpoint) keepWarm(now time.Time, p *phase1) {
	g := p.gw
	w := g.warm[p.remote.Addr()]
	// Whoever changes NAT-D on its way can have one side see a NAT that the other does not: they stay on a port where a keepalive is
	// no message.
	if !p.nat.behind || p.local.Port() != NATPort {
		if w != nil {
			e.letCool(g, p.remote.Addr())
		}
		return
	}
	if w == nil {
		w = &warmPath{}
		w.timer.fire = func(now time.Time) {
			e.emit(turn.Transmit{Local: w.local, Remote: w.remote, Datagram: []byte{keepalive}})
			e.timers.arm(&w.timer, now.Add(keepaliveEvery))
		}
		if g.warm == nil {
			g.warm = make(map[netip.Addr]*warmPath)
		}
		g.warm[p.remote.Addr()] = w
	}
	w.local, w.remote = p.local, p.remote
	e.timers.arm(&w.timer, now.Add(keepaliveEvery))
}

// letCool ends the keepalives to one address of a gateway, or to all if it is not valid.
func (e *Endpoint) letCool(g *gateway, remote netip.Addr) {
	for a, w := range g.warm {
		if !remote.IsValid() || a == remote {
			e.timers.stop(&w.timer)
			delete(g.warm, a)
		}
	}
}
