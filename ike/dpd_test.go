package ike

import (
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
)

// D2: probes go whether or not there is traffic, on both sides.
func TestDPDAlwaysSends(t *testing.T) {
	w := newWorld(t, withDPD)
	a, b := w.up()
	w.run(time.Minute)
	w.wantIdle()
	if a.stat.dpdSent != 6 || a.stat.dpdAcked != 6 || b.stat.dpdSent != 6 || b.stat.dpdAcked != 6 || a.stat.dpdAnswered != 6 || b.stat.dpdAnswered != 6 {
		t.Errorf("%+v\n%+v", a.stat, b.stat)
	}
	if a.dpdSeq-a.dpdAcked != 0 || w.a.e.gateways["peer"].dpd.missed != 0 {
		t.Error("missed something")
	}
}

// D3: declared dead after Threshold probes without an answer; its SAs go; DPD stops.
func TestDPDDead(t *testing.T) {
	w := newWorld(t, withDPD)
	w.up()
	w.run(25 * time.Second)
	w.net = func(wire) []wire { return nil } // from here on nobody hears anybody
	w.run(34 * time.Second)
	w.wantIdle()
	w.run(time.Second)
	w.a.want("down 1: peer is dead", "dead peer")
	w.b.want("down 1: peer is dead", "dead peer")
	if s := w.a.e.State(); len(s.SAs) != 0 || s.Gateways[0].Running || !s.Gateways[0].Dead || s.Counters["dead-peers"] != 1 {
		t.Errorf("%+v", s)
	}
	sent := len(w.sent)
	w.run(10 * time.Minute)
	if len(w.sent) != sent || len(w.a.e.timers.h) != 0 {
		t.Error("DPD goes on")
	}
	// The peer comes back: a new SA starts DPD again.
	w.net = nil
	w.connect()
	w.a.want("up 2")
	w.b.want("up 2")
	if s := w.a.e.State().Gateways[0]; !s.Running || s.Dead {
		t.Errorf("%+v", s)
	}
}

// Loss of fewer probes than Threshold is no verdict.
func TestDPDForgives(t *testing.T) {
	w := newWorld(t, withDPD)
	w.up()
	i := 0
	w.net = func(d wire) []wire {
		if d.from != addrA {
			return []wire{d}
		}
		if i++; i%3 != 0 {
			return nil
		}
		return []wire{d}
	}
	w.b.e.SetGateway(w.now, gatewayTo(addrA)) // b only answers
	w.run(10 * time.Minute)
	w.wantIdle()
}

// D6 and D4: no DPD configured, no probe; yet R-U-THERE of anybody with an SA is answered.
func TestDPDAnswersAnybody(t *testing.T) {
	w := newWorld(t)
	w.a.e.SetGateway(w.now, gatewayTo(addrB, withDPD))
	a, b := w.up()
	w.run(35 * time.Second)
	w.wantIdle()
	if a.stat.dpdAcked != 3 || b.stat.dpdAnswered != 3 || b.stat.dpdSent != 0 {
		t.Errorf("%+v\n%+v", a.stat, b.stat)
	}
}

// "An R-U-THERE-ACK with a number that does not match SHOULD be rejected"; so is an old R-U-THERE (RFC 3706 section 6).
func TestDPDSequence(t *testing.T) {
	w := newWorld(t)
	w.a.e.SetGateway(w.now, gatewayTo(addrB, withDPD))
	a, b := w.up()
	if a.dpdSeq>>31 != 0 {
		t.Error("the first number has its high bit set")
	}
	var old wire
	w.net = func(d wire) []wire {
		if d.from == addrA && old.b == nil {
			old = d
		}
		return []wire{d}
	}
	w.run(25 * time.Second)
	sent := len(w.sent)
	w.deliver(old)
	if len(w.sent) != sent || w.b.e.count["dpd-sequence"] != 1 {
		t.Error("an old R-U-THERE is answered")
	}
	for _, seq := range []uint32{a.dpdSeq + 1, a.dpdSeq, a.dpdAcked - 1, a.dpdSeq + 1<<31} {
		w.b.e.sendNotify(b, isakmp.RUThereAck, seq)
	}
	w.settle()
	if a.stat.dpdAcked != 2 || w.a.e.count["dpd-sequence"] != 4 {
		t.Errorf("%+v %v", a.stat, w.a.e.count)
	}
	for _, n := range []isakmp.Notify{
		{DOI: 1, Protocol: 1, Type: isakmp.RUThere, SPI: a.spi(), Data: []byte{1}},
		{DOI: 1, Protocol: 1, Type: isakmp.RUThere, SPI: make([]byte, 16), Data: uint32s(a.dpdSeq + 1)},
		{DOI: 1, Protocol: 1, Type: isakmp.RUThere, Data: uint32s(a.dpdSeq + 1)},
	} {
		sent := len(w.sent)
		w.a.e.inform(a, isakmp.PayloadN, n.Append(nil))
		w.settle()
		if len(w.sent) != sent+1 {
			t.Errorf("answered: %+v", n)
		}
	}
}

// What is not encrypted does nothing once an SA is up: R-U-THERE, Delete, anything.
func TestAttackStateConfusionUnencrypted(t *testing.T) {
	w := newWorld(t, withDPD)
	a, _ := w.up()
	for _, c := range []struct {
		typ  isakmp.PayloadType
		body []byte
	}{
		{isakmp.PayloadN, isakmp.Notify{DOI: 1, Protocol: 1, Type: isakmp.RUThere, SPI: a.spi(), Data: uint32s(a.dpdSeq + 1)}.Append(nil)},
		{isakmp.PayloadD, isakmp.Delete{DOI: 1, Protocol: 1, SPISize: 16, SPIs: [][]byte{a.spi()}}.Append(nil)},
	} {
		for _, flags := range []isakmp.Flags{0, isakmp.FlagAuthOnly, isakmp.FlagCommit} {
			msg := isakmp.AppendPayload(a.header(c.typ, isakmp.ExchangeInformational, flags, 77), 0, c.body)
			w.deliver(wire{addrA, addrB, finish(msg)})
		}
		// With a HASH that is right, but in clear.
		chain := isakmp.AppendPayload(nil, 0, c.body)
		msg := isakmp.AppendPayload(a.header(isakmp.PayloadHASH, isakmp.ExchangeInformational, 0, 77), c.typ, a.hash(isakmp.ExchangeInformational, 77, chain, nil))
		w.deliver(wire{addrA, addrB, finish(append(msg, chain...))})
	}
	w.wantIdle()
	if len(w.sent) != 6 || w.b.e.count["unencrypted"] != 8 {
		t.Errorf("%d sent, %v", len(w.sent), w.b.e.count)
	}
}

// D5: the SA expires while the peer lives: a new one comes up, and nothing breaks.
func TestDPDRenegotiates(t *testing.T) {
	w := newWorld(t, withDPD, func(g *step.Gateway) { g.Proposals[0].Lifetime = 185 * time.Second })
	w.up()
	w.run(time.Hour)
	for _, n := range []*node{w.a, w.b} {
		s := n.e.State()
		live := 0
		for _, p := range s.SAs {
			if p.Status == Established {
				live++
			}
		}
		if live == 0 || live > 2 || !s.Gateways[0].Running || s.Counters["established"] < 19 {
			t.Errorf("%v: %d SAs live, %+v", n.addr, live, s)
		}
		for _, o := range n.take() {
			if _, is := o.(Dead); is {
				t.Error("declared dead")
			}
		}
	}
}

// D5: the SA expires and the peer is gone: negotiations count as probes do.
func TestDPDRenegotiationFails(t *testing.T) {
	w := newWorld(t, withDPD, func(g *step.Gateway) { g.Proposals[0].Lifetime = 185 * time.Second })
	w.up()
	w.run(184 * time.Second)
	w.net = func(wire) []wire { return nil }
	w.run(2 * time.Minute)
	a := w.a.said()
	if len(a) < 9 || a[len(a)-9:] != "dead peer" {
		t.Errorf("%s", a)
	}
	if len(w.a.e.sas)+len(w.a.e.timers.h) != 0 {
		t.Error("something stays behind")
	}
}

// D5: both sides open an SA at the same moment. Both come up, both can be used.
func TestBothAtOnce(t *testing.T) {
	w := newWorld(t, withDPD)
	w.a.e.Do(w.now, Connect{Gateway: "peer", Remote: addrB.Addr()})
	w.b.e.Do(w.now, Connect{Gateway: "peer", Remote: addrA.Addr()})
	w.settle()
	for _, n := range []*node{w.a, w.b} {
		if got := n.said(); got != "up 1\nup 2" && got != "up 2\nup 1" {
			t.Fatal(got)
		}
	}
	for _, p := range w.a.e.sorted() {
		w.begin(p.id, uint64(p.id))
	}
	if w.b.said() == "" {
		t.Error("no message")
	}
	w.run(20 * time.Second)
	if s := w.a.e.State(); len(s.SAs) != 2 || s.Gateways[0].Missed != 0 {
		t.Errorf("%+v", s)
	}
}

func TestDPDWithoutVendorID(t *testing.T) {
	w := newWorld(t, withDPD)
	a, _ := w.up()
	w.a.e.dpdStop(w.a.e.gateways["peer"])
	w.a.said()
	a.peerDPD = false
	w.a.e.dpdUp(w.now, a)
	if o := w.a.take(); len(o) != 1 || w.a.e.State().Gateways[0].Running {
		t.Errorf("%v", o)
	}
}

// DPD is configured and taken away while an SA is up.
func TestDPDReconfigured(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	w.a.e.SetGateway(w.now, gatewayTo(addrB, withDPD))
	w.run(11 * time.Second)
	if a.stat.dpdAcked != 1 {
		t.Errorf("%+v", a.stat)
	}
	w.a.e.SetGateway(w.now, gatewayTo(addrB, withDPD, func(g *step.Gateway) { g.DPD.Interval = 60 * time.Second }))
	w.run(59 * time.Second)
	if a.stat.dpdSent != 1 {
		t.Errorf("%+v", a.stat)
	}
	w.run(time.Second)
	if a.stat.dpdAcked != 2 {
		t.Errorf("%+v", a.stat)
	}
	w.a.e.SetGateway(w.now, gatewayTo(addrB))
	w.run(10 * time.Minute)
	if a.stat.dpdSent != 2 {
		t.Errorf("%+v", a.stat)
	}
}

// D7: "An active server probes the gateways under its server-cluster, and no others", whatever their configuration says of DPD.
// One that becomes a peer is probed from then on; a negotiation under way is none of DPD's business.
func TestD7OnlyPeersAreProbed(t *testing.T) {
	w := newWorld(t)
	alone := func(g *step.Gateway) { withDPD(g); g.Peer = false }
	w.a.e.SetGateway(w.now, gatewayTo(addrB, alone))
	a, b := w.up()
	w.run(10 * time.Minute)
	w.wantIdle()
	if a.stat.dpdSent != 0 || b.stat.dpdAnswered != 0 || len(w.a.e.State().Gateways) != 0 {
		t.Errorf("%+v\n%+v", a.stat, b.stat)
	}
	w.a.e.SetGateway(w.now, gatewayTo(addrB, withDPD))
	w.run(35 * time.Second)
	if a.stat.dpdAcked != 3 {
		t.Errorf("as a peer: %+v", a.stat)
	}
	w.a.e.SetGateway(w.now, gatewayTo(addrB, alone))
	w.run(10 * time.Minute)
	if a.stat.dpdSent != 3 {
		t.Errorf("as a peer no more: %+v", a.stat)
	}

	w = newWorld(t)
	w.a.e.Do(w.now, Connect{Gateway: "peer", Remote: addrB.Addr()})
	begun := w.a.last()
	w.a.e.SetGateway(w.now, gatewayTo(addrB, withDPD))
	if w.a.last() != begun {
		t.Error("the negotiation began anew")
	}
	w.settle()
	w.a.want("up 1")
}

// D1: what DPD of a gateway counts outlives its SAs.
func TestDPDCountsByGateway(t *testing.T) {
	w := newWorld(t)
	w.a.e.SetGateway(w.now, gatewayTo(addrB, withDPD))
	_, b := w.up()
	want := func(c DPDCounters) {
		t.Helper()
		if got := w.a.e.State().Gateways[0].DPDCounters; got != c {
			t.Errorf("counted %+v, want %+v", got, c)
		}
	}
	w.run(25 * time.Second)
	want(DPDCounters{Sent: 2, Acked: 2})
	w.b.e.sendNotify(b, isakmp.RUThereAck, b.dpdPeer+7) // a number that is not out
	w.b.e.sendNotify(b, isakmp.RUThereAck, b.dpdPeer)   // one that was answered
	w.settle()
	want(DPDCounters{Sent: 2, Acked: 2, InvalidAcks: 2})
	w.b.e.Do(w.now, Delete{Gateway: "peer"})
	w.settle()
	want(DPDCounters{Sent: 2, Acked: 2, InvalidAcks: 2})
	w.run(5 * time.Second) // a probe is due, and there is no SA
	want(DPDCounters{Sent: 2, Acked: 2, InvalidAcks: 2, SendFailed: 1})
	w.run(10 * time.Second)
	want(DPDCounters{Sent: 3, Acked: 3, InvalidAcks: 2, SendFailed: 1})
	w.a.e.Do(w.now, ClearDPD{Gateway: "nobody"})
	want(DPDCounters{Sent: 3, Acked: 3, InvalidAcks: 2, SendFailed: 1})
	w.a.e.Do(w.now, ClearDPD{Gateway: "peer"})
	want(DPDCounters{})
}

// An SA that was there before its gateway was watched, or is watched once more, is probed with numbers that only grow, and renewed.
func TestProbesGoOnWithTheirNumbers(t *testing.T) {
	w := newWorld(t)
	w.up()
	p := w.a.last()
	for i := range 20 {
		w.a.e.SetGateway(w.now, gatewayTo(addrB, withDPD))
		before := p.dpdSeq
		w.run(25 * time.Second)
		if p.dpdSeq <= before || p.dpdAcked != p.dpdSeq {
			t.Fatalf("round %d: number %d after %d, %d answered", i, p.dpdSeq, before, p.dpdAcked)
		}
		w.a.e.SetGateway(w.now, gatewayTo(addrB))
		w.run(time.Second)
	}
	w.a.e.SetGateway(w.now, gatewayTo(addrB, withDPD))
	w.run(24 * time.Hour)
	if w.a.e.count["renewals-begun"] != 1 {
		t.Errorf("not renewed: %v", w.a.e.count)
	}
}
