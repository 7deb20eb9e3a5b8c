package dataplane

import (
	"fmt"
	"net/netip"
	"time"
)

// Net is a WAN in memory for tests and the lab: it carries packets between Planes by the destination of their outer header,
// as a backbone does that knows the LANs' prefixes. No loss, no delay, no goroutine.
type Net struct {
	sites []*site
}

type site struct {
	name  string
	plane *Plane
	lan   netip.Prefix
}

// Delivery is the way of one packet.
type Delivery struct {
	From, To          string  // names of sites; "" if there is none
	Outbound, Inbound Verdict // NoVerdict where the packet did not come
	Wire              []byte  // what the WAN saw; nil if nothing
	Packet            []byte  // what the LAN of To received; nil if nothing
}

// Delivered reports whether the packet arrived.
func (d Delivery) Delivered() bool { return d.Packet != nil }

// String is the way in one line: "GM-0001 encrypted, GM-0003 decrypted".
func (d Delivery) String() string {
	switch {
	case d.From == "":
		return fmt.Sprintf("%s %v", d.To, d.Inbound)
	case d.To == d.From:
		return d.From + " stays in the LAN"
	case d.Wire == nil:
		return fmt.Sprintf("%s %v", d.From, d.Outbound)
	case d.To == "":
		return fmt.Sprintf("%s %v, no route", d.From, d.Outbound)
	}
	return fmt.Sprintf("%s %v, %s %v", d.From, d.Outbound, d.To, d.Inbound)
}

// NewNet makes a WAN without sites.
func NewNet() *Net { return new(Net) }

// Attach connects a Plane and the LAN behind it; an IPv4 prefix. A site of that name is replaced. The longest prefix that
// holds an address is its LAN, so prefixes may lie within each other but not be the same.
func (n *Net) Attach(name string, p *Plane, lan netip.Prefix) error {
	if !lan.IsValid() || !lan.Addr().Is4() {
		return fmt.Errorf("dataplane: net: site %q: LAN %v is not an IPv4 prefix", name, lan)
	}
	s := &site{name: name, plane: p, lan: lan.Masked()}
	at := len(n.sites)
	for i, old := range n.sites {
		switch {
		case old.name == name:
			at = i
		case old.lan == s.lan:
			return fmt.Errorf("dataplane: net: site %q: LAN %v is that of %q", name, s.lan, old.name)
		}
	}
	if at == len(n.sites) {
		n.sites = append(n.sites, nil)
	}
	n.sites[at] = s
	return nil
}

func (n *Net) site(a netip.Addr) (best *site) {
	for _, s := range n.sites {
		if s.lan.Contains(a) && (best == nil || s.lan.Bits() > best.lan.Bits()) {
			best = s
		}
	}
	return best
}

// Send gives a packet of a LAN's host to the Plane of its source address, and what comes out of it to the WAN. A packet whose
// destination is in the same LAN does not come past the Plane.
func (n *Net) Send(now time.Time, packet []byte) Delivery {
	src, dst, ok := addresses(packet)
	if !ok {
		return Delivery{}
	}
	from := n.site(src)
	if from == nil {
		return Delivery{}
	}
	d := Delivery{From: from.name}
	if n.site(dst) == from {
		d.To, d.Packet = from.name, append([]byte{}, packet...)
		return d
	}
	var wire []byte
	if wire, d.Outbound = from.plane.Outbound(now, packet, nil); !d.Outbound.Passed() {
		return d
	}
	arrived := n.Inject(now, wire)
	d.To, d.Inbound, d.Wire, d.Packet = arrived.To, arrived.Inbound, wire, arrived.Packet
	return d
}

// Inject puts a packet on the WAN, as any host there can, and gives it to the Plane of its destination.
func (n *Net) Inject(now time.Time, wire []byte) Delivery {
	d := Delivery{Wire: wire}
	_, dst, ok := addresses(wire)
	if !ok {
		return d
	}
	to := n.site(dst)
	if to == nil {
		return d
	}
	d.To = to.name
	packet, v := to.plane.Inbound(now, wire, nil)
	if d.Inbound = v; v.Passed() {
		d.Packet = packet
	}
	return d
}

// addresses reads a packet's addresses as a router does, which looks at no more.
func addresses(packet []byte) (src, dst netip.Addr, ok bool) {
	if len(packet) < headerLen || packet[0]>>4 != 4 {
		return src, dst, false
	}
	return netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20])), true
}
