package ike

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/turn"
)

// natBox translates addresses and ports between two networks as a NAT of a site does: each inner address and port has an
// outer port of its own, which the box may forget. What comes to a port that nothing uses is lost.
type natBox struct {
	outer netip.Addr
	inner []netip.Addr
	next  uint16
	out   map[netip.AddrPort]uint16
	in    map[uint16]netip.AddrPort
	kept  int // keepalives that came by
}

func newNATBox(outer netip.Addr, inner ...netip.Addr) *natBox {
	return &natBox{outer: outer, inner: inner, next: 20000, out: map[netip.AddrPort]uint16{}, in: map[uint16]netip.AddrPort{}}
}

func (b *natBox) forget() { clear(b.out); clear(b.in) }

func (b *natBox) carry(d wire) []wire {
	if slices.Contains(b.inner, d.from.Addr()) {
		if len(d.b) == 1 {
			b.kept++
		}
		port, ok := b.out[d.from]
		if !ok {
			b.next++
			port = b.next
			b.out[d.from], b.in[port] = port, d.from
		}
		d.from = netip.AddrPortFrom(b.outer, port)
		return []wire{d}
	}
	if d.to.Addr() == b.outer {
		to, ok := b.in[d.to.Port()]
		if !ok {
			return nil
		}
		d.to = to
	}
	return []wire{d}
}

var (
	inside  = netip.MustParseAddr("10.0.0.1")
	inside2 = netip.MustParseAddr("10.0.0.2")
	outside = netip.MustParseAddr("203.0.113.1")
)

func named(name string) step.Identity { return step.Identity{Kind: step.Hostname, Value: name} }

// natWorld is a world whose a stands behind a NAT. Both ports lead to each node.
func natWorld(t *testing.T, change ...func(*step.Gateway)) (*world, *natBox) {
	w := newWorld(t)
	clear(w.nodes)
	box := newNATBox(outside, inside, inside2)
	w.net = box.carry
	w.a = w.add(netip.AddrPortFrom(inside, Port), 1, Options{WorkBase: 1 << 56}, gatewayTo(addrB, append(change, func(g *step.Gateway) { g.LocalID = named("a.example.net") })...))
	w.b = w.add(addrB, 2, Options{WorkBase: 1 << 56}, gatewayTo(netip.AddrPortFrom(outside, 0), append(change, func(g *step.Gateway) { g.RemoteID = named("a.example.net") })...))
	w.floats(w.a)
	w.floats(w.b)
	return w, box
}

// floats makes port 4500 lead to a node too.
func (w *world) floats(n *node) { w.nodes[netip.AddrPortFrom(n.addr.Addr(), NATPort)] = n }

// RFC 3947 section 4: with a NAT between the peers the initiator moves to port 4500 with message 5, and everything after goes there.
func TestNATFloat(t *testing.T) {
	w, _ := natWorld(t)
	w.connect()
	w.a.want("up 1")
	w.b.want("up 1")
	for i, m := range w.sent {
		to4500 := m.to.Port() == NATPort || m.from.Port() == NATPort
		if to4500 != (i >= 4) {
			t.Errorf("message %d: %v to %v", i+1, m.from, m.to)
		}
	}
	a, b := w.a.last(), w.b.last()
	if !a.nat.behind || a.nat.peerIs || b.nat.behind || !b.nat.peerIs {
		t.Errorf("a knows %+v, b %+v", a.nat, b.nat)
	}
	if b.local.Port() != NATPort || b.remote != netip.AddrPortFrom(outside, 20002) || a.remote.Port() != NATPort {
		t.Errorf("SA between %v and %v", b.local, b.remote)
	}
	w.a.e.Do(w.now, Begin{SA: 1, Exchange: isakmp.ExchangePull, Token: 1, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 4)})
	w.settle()
	w.pull()
	w.pull()
	w.pull()
	if m, ok := w.a.take()[0].(Message); !ok || m.Number != 4 || m.Local.Port() != NATPort {
		t.Errorf("%+v", m)
	}
}

// Without a NAT nobody moves.
func TestNoNAT(t *testing.T) {
	w := newWorld(t)
	w.up()
	for _, m := range w.sent {
		if m.from.Port() != Port || m.to.Port() != Port {
			t.Errorf("%v to %v", m.from, m.to)
		}
	}
}

// The side behind the NAT keeps the way in open, also when its SA has expired, since pushes come under none; until the
// gateway's SAs are deleted.
func TestKeepalive(t *testing.T) {
	w, box := natWorld(t, func(g *step.Gateway) { g.Proposals[0].Lifetime = 180 * time.Second })
	w.connect()
	w.run(200 * time.Second)
	if box.kept != 10 || len(w.a.e.sas) != 0 {
		t.Errorf("%d keepalives, %d SAs", box.kept, len(w.a.e.sas))
	}
	w.a.e.Do(w.now, Delete{Gateway: "peer"})
	w.run(200 * time.Second)
	if box.kept != 10 {
		t.Errorf("%d keepalives after Delete", box.kept)
	}
	if len(w.a.e.timers.h) != 0 {
		t.Errorf("%d timers", len(w.a.e.timers.h))
	}
	for _, m := range w.sent {
		if len(m.b) == 1 && (m.b[0] != 0xff || m.from != netip.AddrPortFrom(inside, NATPort)) {
			t.Errorf("keepalive %x from %v", m.b, m.from)
		}
	}
}

// A NAT that forgot its peers gives them other ports. The SA follows a verified, fresh message, and nothing else.
func TestNATRemap(t *testing.T) {
	w, box := natWorld(t, withDPD)
	w.connect()
	w.a.want("up 1")
	w.b.want("up 1")
	var probe wire
	carry := w.net
	w.net = func(d wire) []wire {
		if d.from.Addr() == inside && len(d.b) > 1 {
			probe = d
		}
		return carry(d)
	}
	w.run(11 * time.Second)
	old := w.b.last().remote

	// The same octets from elsewhere, and others: the SA stays.
	for _, b := range [][]byte{probe.b, append(slices.Clone(probe.b[:len(probe.b)-1]), probe.b[len(probe.b)-1]^1)} {
		w.deliver(wire{netip.AddrPortFrom(outside, 31000), netip.AddrPortFrom(addrB.Addr(), NATPort), b})
		if w.b.last().remote != old {
			t.Fatalf("a replay moves the SA to %v", w.b.last().remote)
		}
	}
	w.settle()
	before := len(w.sent)
	box.forget()
	w.run(10 * time.Second)
	moved := w.b.last().remote
	if moved == old || moved.Addr() != outside {
		t.Fatalf("still at %v", moved)
	}
	var said []turn.Output
	for _, o := range w.b.take() {
		if m, ok := o.(Moved); ok {
			said = append(said, m)
		}
	}
	if len(said) != 1 || said[0] != (Moved{SA: 1, Gateway: "peer", From: old, To: moved}) {
		t.Errorf("%+v", said)
	}
	if w.a.e.State().Gateways[0].Missed > 1 || len(w.sent) == before {
		t.Errorf("%+v", w.a.e.State().Gateways)
	}
	// To port 848 it never moves, nor to another address.
	for _, d := range []wire{
		{netip.AddrPortFrom(outside, 31000), addrB, nil},
		{netip.MustParseAddrPort("203.0.113.9:4500"), netip.AddrPortFrom(addrB.Addr(), NATPort), nil},
	} {
		if w.b.last().mayMove(datagram{local: d.to, remote: d.from}) {
			t.Errorf("may move to %v at %v", d.from, d.to)
		}
	}
}

// Members behind one NAT have one address; with one pre-shared key they are told apart by their identities.
func TestTwoBehindOneNAT(t *testing.T) {
	w, _ := natWorld(t)
	other := w.add(netip.AddrPortFrom(inside2, Port), 3, Options{WorkBase: 1 << 56}, gatewayTo(addrB, func(g *step.Gateway) { g.LocalID = named("c.example.net") }))
	w.floats(other)
	second := gatewayTo(netip.AddrPortFrom(outside, 0), func(g *step.Gateway) { g.Name, g.RemoteID = "second", named("c.example.net") })
	w.b.e.SetGateway(w.now, second)
	w.connect()
	first := w.a
	w.a = other
	w.connect()
	other.want("up 1")
	first.want("up 1")
	w.b.want("up 1", "up 2")
	l := w.b.e.sorted()
	if l[0].gw.c.Name != "peer" || l[1].gw.c.Name != "second" || l[0].remote.Addr() != l[1].remote.Addr() || l[0].remote == l[1].remote {
		t.Errorf("%s at %v, %s at %v", l[0].gw.c.Name, l[0].remote, l[1].gw.c.Name, l[1].remote)
	}
	if len(l[0].gw.sas) != 1 || len(l[1].gw.sas) != 1 {
		t.Error("an SA stands under two gateways")
	}
}

// A peer that names several addresses of its own, or sends the vendor ID and no NAT-D.
func TestFindNAT(t *testing.T) {
	p := &phase1{suite: suite{hash: 0, bits: 256, group: 14}, nat: nat{both: true}, local: addrB, remote: addrA}
	d := datagram{local: addrB, remote: addrA}
	me, you, none := p.natHash(addrB), p.natHash(addrA), bytes.Repeat([]byte{1}, 32)
	for i, c := range []struct {
		seen [][]byte
		want nat
	}{
		{[][]byte{me, you}, nat{both: true}},
		{[][]byte{me, none, you, none}, nat{both: true}},
		{[][]byte{you, you}, nat{both: true, behind: true}},
		{[][]byte{me, none}, nat{both: true, peerIs: true}},
		{[][]byte{none, nil}, nat{both: true, behind: true, peerIs: true}},
		{[][]byte{me}, nat{}},
		{nil, nat{}},
	} {
		p.nat = nat{both: true}
		if p.findNAT(d, c.seen); p.nat != c.want {
			t.Error(fmt.Sprint(i), p.nat)
		}
	}
}

// NAT-D is not authenticated. Changed on its way to one side, it makes that one believe in a NAT before it, and the other does not
// follow: no keepalive goes to a port where it would be half a message.
func TestAttackStateConfusionNATD(t *testing.T) {
	const hash = 32
	w := newWorld(t)
	w.net = func(d wire) []wire {
		if d.to == addrB && len(d.b) > 16 && d.b[16] == byte(isakmp.PayloadKE) { // message 3; its last payload but one is for b's address
			d.b = bytes.Clone(d.b)
			d.b[len(d.b)-isakmp.GenericLen-hash-1] ^= 1
		}
		return []wire{d}
	}
	w.up()
	if b := w.b.last(); !b.nat.behind || b.local.Port() != Port {
		t.Fatalf("b is %+v on port %d", b.nat, b.local.Port())
	}
	n := len(w.sent)
	w.run(10 * keepaliveEvery)
	if len(w.sent) != n {
		t.Errorf("%d datagrams, the first %x", len(w.sent)-n, w.sent[n].b)
	}
}
