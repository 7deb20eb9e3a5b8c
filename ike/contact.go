package ike

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
)

// contactKey is what INITIAL-CONTACT is sent to once: an address of a gateway, or a dynamic gateway's peer wherever it is.
func (p *phase1) contactKey() netip.Addr {
	if p.gw.c.Dynamic.Kind != step.None {
		return netip.Addr{}
	}
	return p.remote.Addr()
}

// contact is the notification INITIAL-CONTACT (RFC 2407 section 4.6.3.3) if this is the first SA with the peer since we started:
// what the peer has of an earlier life of ours is worth nothing. It goes with our proof of identity, encrypted.
func (e *Endpoint) contact(p *phase1) []part {
	key := p.contactKey()
	if slices.Contains(p.gw.contacted, key) {
		return nil
	}
	n := isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolISAKMP, Type: isakmp.InitialContact, SPI: p.spi()}
	return []part{{isakmp.PayloadN, n.Append(nil)}}
}

// met notes that the peer has an SA with this life of ours.
func (g *gateway) met(key netip.Addr) {
	if !slices.Contains(g.contacted, key) {
		g.contacted = append(g.contacted, key)
	}
}

// firstContact takes INITIAL-CONTACT, which came with a peer's proof of identity or under an SA: SAs with the same identity and
// address that were up before this one was begun are of an earlier life of the peer's. Those that came up since are not, which
// matters when both sides begin at once. Behind a NAT, where several may share both, the port must be the same too.
func (e *Endpoint) firstContact(p *phase1, n *isakmp.Notify) {
	if n == nil || len(n.SPI) != 0 && !bytes.Equal(n.SPI, p.spi()) {
		return
	}
	for _, o := range slices.Clone(p.gw.sas) {
		same := o.remote.Addr() == p.remote.Addr() && (!o.nat.peerIs && !p.nat.peerIs || o.remote == p.remote)
		if o != p && o.state == up && same && idKey(o.remoteID) == idKey(p.remoteID) && o.since.Before(p.created) {
			e.tally(tallyReplaced)
			e.gone(o, "the peer has restarted")
		}
	}
}

// renewal is how long after its beginning an SA that is kept up is replaced: nine tenths of its lifetime, so that what runs under it
// has time to end.
func renewal(life time.Duration) time.Duration { return life - life/10 }

// renew begins the successor of an SA. Only SAs of gateways that are watched are kept up; a member opens one when it needs it.
func (e *Endpoint) renew(now time.Time, p *phase1) {
	g := p.gw
	if p.state == up && g.dpd.running && g.newest(netip.Addr{}, anySA) == p && !g.initiating(p.remote.Addr()) && g.bad == nil && len(g.c.Remote) > 0 {
		e.tally(tallyRenewed)
		e.initiate(now, g, p.remote.Addr())
	}
}
