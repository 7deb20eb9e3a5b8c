package ike

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
)

// A peer that has restarted says so with its first SA, and what it had before goes; its later SAs say nothing.
func TestInitialContact(t *testing.T) {
	w := newWorld(t)
	w.up()
	w.run(time.Second)
	w.a.e = New(rand.NewChaCha8([32]byte{9}), Options{WorkBase: 1 << 56})
	w.a.e.SetGateway(w.now, gatewayTo(addrB))
	w.connect()
	w.a.want("up 1")
	w.b.want("up 2", "down 1: the peer has restarted")
	if len(w.b.e.sas) != 1 {
		t.Errorf("%d SAs", len(w.b.e.sas))
	}
	w.run(time.Second)
	w.another()
	w.a.want("up 2")
	w.b.want("up 3")
	if len(w.b.e.sas) != 2 {
		t.Errorf("%d SAs", len(w.b.e.sas))
	}
	// Under an SA too, and only with the SA's cookies.
	p := w.a.last()
	w.run(time.Second)
	for _, n := range []isakmp.Notify{
		{DOI: 1, Protocol: 1, Type: isakmp.InitialContact, SPI: make([]byte, 16)},
		{DOI: 1, Protocol: 1, Type: isakmp.InitialContact, SPI: p.spi()},
	} {
		w.a.e.inform(p, isakmp.PayloadN, n.Append(nil))
		w.settle()
	}
	w.b.want("down 2: the peer has restarted")
}

// Members behind one NAT with one identity are not each other.
func TestInitialContactBehindNAT(t *testing.T) {
	w, _ := natWorld(t)
	w.connect()
	w.run(time.Second)
	w.b.want("up 1")
	other := w.add(netip.AddrPortFrom(inside2, Port), 3, Options{WorkBase: 1 << 56}, gatewayTo(addrB, func(g *step.Gateway) { g.LocalID = named("a.example.net") }))
	w.floats(other)
	w.a = other
	w.connect()
	other.want("up 1")
	w.b.want("up 2")
}

// Both sides begin at once: both SAs come up, both can be used, and in the end the newest is the one that is renewed.
func TestSimultaneous(t *testing.T) {
	w := newWorld(t, withDPD, func(g *step.Gateway) { g.Proposals[0].Lifetime = 600 * time.Second })
	w.a.e.Do(w.now, Connect{Gateway: "peer", Remote: addrB.Addr()})
	w.b.e.Do(w.now, Connect{Gateway: "peer", Remote: addrA.Addr()})
	w.settle()
	if len(w.a.e.sas) != 2 || len(w.b.e.sas) != 2 {
		t.Fatalf("%d and %d SAs\n%s\n%s", len(w.a.e.sas), len(w.b.e.sas), w.a.said(), w.b.said())
	}
	for _, n := range []*node{w.a, w.b} {
		for _, p := range n.e.sorted() {
			n.e.Do(w.now, Begin{SA: p.id, Exchange: isakmp.ExchangePull, Token: uint64(p.id), First: isakmp.PayloadNONCE, Payloads: chainOf('i', 4)})
		}
	}
	w.settle()
	w.pull()
	w.pull()
	w.pull()
	for _, n := range []*node{w.a, w.b} {
		done := 0
		for _, o := range n.take() {
			if m, ok := o.(Message); ok && m.Number == 4 {
				done++
			}
		}
		if done != 2 {
			t.Errorf("%v: %d exchanges done", n.addr, done)
		}
	}
	w.run(2 * time.Hour)
	if a, b := len(w.a.e.sas), len(w.b.e.sas); a > 2 || b > 2 || a == 0 || b == 0 {
		t.Errorf("%d and %d SAs after two hours", a, b)
	}
	if n := w.a.e.count[string(tallyInitiated)] + w.b.e.count[string(tallyInitiated)]; n > 2+2*14 {
		t.Errorf("%d negotiations in two hours", n)
	}
}

// An SA that is watched is replaced before it ends, so that there is always one.
func TestRenewal(t *testing.T) {
	w := newWorld(t, withDPD, func(g *step.Gateway) { g.Proposals[0].Lifetime = 600 * time.Second })
	w.up()
	for range 1200 {
		w.run(time.Second)
		if w.a.e.gateways["peer"].newest(addrB.Addr(), anySA) == nil || w.b.e.gateways["peer"].newest(addrA.Addr(), anySA) == nil {
			t.Fatalf("no SA at %v", w.now.Sub(epoch))
		}
	}
	if n := w.a.e.count[string(tallyRenewed)]; n != 2 {
		t.Errorf("%d renewals", n)
	}
	// Without DPD an SA ends when it ends.
	w = newWorld(t, func(g *step.Gateway) { g.Proposals[0].Lifetime = 600 * time.Second })
	w.up()
	w.run(601 * time.Second)
	if len(w.a.e.sas)+len(w.b.e.sas) != 0 {
		t.Error("kept")
	}
}

// An exchange that is under way when the lifetime ends is answered under the old SA.
func TestExpiryLosesNoExchange(t *testing.T) {
	w := newWorld(t, func(g *step.Gateway) { g.Proposals[0].Lifetime = 180 * time.Second })
	w.up()
	w.run(178 * time.Second)
	w.a.e.Do(w.now, Begin{SA: 1, Exchange: isakmp.ExchangePull, Token: 1, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 4)})
	w.settle()
	w.run(3 * time.Second)
	w.a.want("down 1: lifetime expired")
	w.pull()
	w.pull()
	w.pull()
	if all := w.a.take(); len(all) == 0 || all[0].(Message).Number != 4 {
		t.Fatalf("%+v", all)
	}
	w.run(2 * time.Minute)
	if len(w.a.e.sas)+len(w.b.e.sas) != 0 {
		t.Error("the old SA stays for ever")
	}
}
