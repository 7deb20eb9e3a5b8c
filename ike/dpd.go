package ike

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"gvpn/isakmp"
	"gvpn/turn"
)

// dpd is dead peer detection of one gateway, in the form always-send (RFC 3706; rules D1 to D7). There is one verdict for a
// gateway however many SAs it has (D1).
//
//	stopped --SA up--> running --Threshold probes or negotiations in a row unanswered--> dead --SA up--> running
//
// A probe goes out every Interval, traffic or none (D2). Each has a whole Interval for its answer, so the verdict falls
// when the (Threshold+1)th would be due. An Interval that finds no SA up negotiates one instead (D5).
type dpd struct {
	running, dead bool
	missed        int // probes or negotiations without an answer, in a row
	timer         timer
	count         DPDCounters
}

func anySA(*phase1) bool { return true }

// dpdUp is told of every new SA.
func (e *Endpoint) dpdUp(now time.Time, p *phase1) {
	g := p.gw
	if !g.c.Probes() || g.gone {
		return
	}
	if !p.peerDPD {
		e.notify(turn.Warning, "IKE_DPD_UNSUPPORTED", "gateway %s, %v: the peer does not do dead peer detection", g.c.Name, p.remote)
		return
	}
	// The first number of an SA is random with the high bit zero (RFC 3706 section 6.2). One that was watched before goes on with its
	// own: the peer would take a lower one for an old one.
	if p.dpdSeq == 0 {
		p.dpdSeq = binary.BigEndian.Uint32(e.draw(4)) >> 1
		p.dpdAcked = p.dpdSeq
	}
	g.dpd.missed, g.dpd.dead = 0, false
	if !g.dpd.running {
		g.dpd.running = true
		e.timers.arm(&g.dpd.timer, now.Add(g.c.DPD.Interval))
	}
}

// dpdConfigured takes over a changed configuration.
func (e *Endpoint) dpdConfigured(now time.Time, g *gateway) {
	p := g.newest(netip.Addr{}, anySA)
	switch {
	case !g.c.Probes():
		e.dpdStop(g)
		g.dpd.dead = false
	case g.dpd.running:
		e.timers.arm(&g.dpd.timer, now.Add(g.c.DPD.Interval))
	case p != nil:
		e.dpdUp(now, p)
	}
}

func (e *Endpoint) dpdStop(g *gateway) {
	g.dpd.running, g.dpd.missed = false, 0
	e.timers.stop(&g.dpd.timer)
}

// dpdTick is due every Interval.
func (e *Endpoint) dpdTick(now time.Time, g *gateway) {
	if g.dpd.missed >= g.c.DPD.Threshold {
		e.dpdDead(g)
		return
	}
	e.timers.arm(&g.dpd.timer, now.Add(g.c.DPD.Interval))
	g.dpd.missed++
	p := g.newest(netip.Addr{}, func(p *phase1) bool { return p.peerDPD })
	if p == nil {
		g.dpd.count.SendFailed++
		e.dpdNegotiate(now, g)
		return
	}
	p.dpdSeq++
	p.stat.dpdSent++
	g.dpd.count.Sent++
	e.sendNotify(p, isakmp.RUThere, p.dpdSeq)
}

// dpdNegotiate opens an SA with a peer that was alive when the last one ended (D5).
func (e *Endpoint) dpdNegotiate(now time.Time, g *gateway) {
	if g.bad == nil && len(g.c.Remote) > 0 && !g.initiating(g.c.Remote[0]) {
		e.initiate(now, g, g.c.Remote[0])
	}
}

// dpdExpired is told when an SA's lifetime is over. Who began the old one begins the new one at once; the other side waits
// for its next Interval, so that both rarely do it together.
func (e *Endpoint) dpdExpired(now time.Time, p *phase1) {
	if p.initiator && p.gw.dpd.running && p.gw.newest(netip.Addr{}, anySA) == nil {
		e.dpdNegotiate(now, p.gw)
	}
}

// dpdDead is the verdict (D3).
func (e *Endpoint) dpdDead(g *gateway) {
	e.dpdStop(g)
	e.letCool(g, netip.Addr{})
	g.dpd.dead = true
	e.tally(tallyDead)
	e.notify(turn.Warning, "IKE_DPD_PEER_DEAD", "gateway %s: %d probes in a row were not answered", g.c.Name, g.c.DPD.Threshold)
	for _, p := range slices.Clone(g.sas) {
		if p.negotiating() {
			e.fail(p, "peer is dead")
		} else {
			e.down(p, "peer is dead")
		}
	}
	e.emit(Dead{Gateway: g.c.Name})
}

// answerProbe answers R-U-THERE, whether or not DPD is configured here. A number lower than one that came before is an old
// message of somebody's; the same one again may be the peer's retransmission.
func (e *Endpoint) answerProbe(p *phase1, d datagram, seq uint32) {
	if p.dpdPeerKnown && int32(seq-p.dpdPeer) < 0 {
		e.tally(dropSequence)
		return
	}
	if !p.dpdPeerKnown || seq != p.dpdPeer {
		e.move(p, d)
	}
	p.dpdPeer, p.dpdPeerKnown = seq, true
	p.stat.dpdAnswered++
	e.sendNotify(p, isakmp.RUThereAck, seq)
}

// probeAnswered takes R-U-THERE-ACK: any number that is out and was not answered before.
func (e *Endpoint) probeAnswered(p *phase1, d datagram, seq uint32) {
	if n := seq - p.dpdAcked; n == 0 || n > p.dpdSeq-p.dpdAcked {
		e.tally(dropSequence)
		p.gw.dpd.count.InvalidAcks++
		return
	}
	e.move(p, d)
	p.dpdAcked = seq
	p.stat.dpdAcked++
	p.gw.dpd.count.Acked++
	p.gw.dpd.missed = 0
}
