package ike

import (
	"net/netip"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
)

func aggressively(g *step.Gateway) { g.Mode = "aggressive" }

// dynamicWorld is a member in aggressive mode whose server does not know where it is.
func dynamicWorld(t *testing.T, id step.Identity, change ...func(*step.Gateway)) *world {
	w := newWorld(t)
	w.a.e.SetGateway(w.now, gatewayTo(addrB, append(change, aggressively, func(g *step.Gateway) { g.LocalID = named("gm.example.net") })...))
	w.b.e.SetGateway(w.now, gatewayTo(addrA, append(change, aggressively, func(g *step.Gateway) { g.Remote, g.Dynamic = nil, id })...))
	return w
}

// RFC 2409 section 5.4: three messages, the last encrypted; then exchanges run as after main mode.
func TestAggressiveMode(t *testing.T) {
	w := dynamicWorld(t, named("GM.example.net"))
	w.connect()
	if len(w.sent) != 3 {
		t.Fatalf("%d messages", len(w.sent))
	}
	for i, m := range w.sent {
		h, err := isakmp.ParseHeader(m.b)
		if err != nil || h.Exchange != isakmp.ExchangeAggressive || (h.Flags == isakmp.FlagEncryption) != (i == 2) {
			t.Errorf("message %d: %+v %v", i+1, h, err)
		}
	}
	w.a.want("up 1")
	w.b.want("up 1")
	a, b := w.a.last(), w.b.last()
	if a.iv != b.iv || !a.keys.e.Equal(b.keys.e) || b.look().RemoteID != `"gm.example.net"` || !a.peerDPD || !b.peerDPD {
		t.Errorf("%+v\n%+v", a.look(), b.look())
	}
	w.a.e.Do(w.now, Begin{SA: 1, Exchange: isakmp.ExchangePull, Token: 1, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 4)})
	w.settle()
	w.pull()
	w.pull()
	w.pull()
	if m, ok := w.a.take()[0].(Message); !ok || m.Number != 4 {
		t.Errorf("%+v", m)
	}
	w.run(time.Minute)
	if len(w.a.e.timers.h) != 2 { // the lifetime and the renewal
		t.Errorf("%d timers", len(w.a.e.timers.h))
	}
}

// Message 3 has no answer: it is repeated until the peer shows that it came.
func TestAggressiveMessage3Lost(t *testing.T) {
	w := dynamicWorld(t, named("gm.example.net"))
	lost := 0
	w.net = func(d wire) []wire {
		if h, _ := isakmp.ParseHeader(d.b); h.Exchange == isakmp.ExchangeAggressive && h.Flags != 0 && lost < 2 {
			lost++
			return nil
		}
		return []wire{d}
	}
	w.connect()
	w.b.want()
	w.run(3 * time.Second)
	w.a.want("up 1")
	w.b.want("up 1")
	w.run(20 * time.Second)
	if n := len(w.sent); n != 6 {
		t.Errorf("%d datagrams", n)
	}
}

// A wrong key and an identity that nobody has look the same from outside: message 2 comes, nothing after it, and as much is
// computed.
func TestAttackPSKGuessingAggressive(t *testing.T) {
	var sent, work [2]int
	for i, change := range []func(*step.Gateway){
		func(g *step.Gateway) { g.PSK = sa.Secret("another-key") },
		func(g *step.Gateway) { g.LocalID = named("nobody.example.net") },
	} {
		w := dynamicWorld(t, named("gm.example.net"))
		w.a.e.SetGateway(w.now, gatewayTo(addrB, aggressively, func(g *step.Gateway) { g.LocalID = named("gm.example.net") }, change))
		w.connect()
		w.run(40 * time.Second)
		if got := w.a.said(); got != "failed sa 0 token 0: the peer could not prove who it is: does the pre-shared key agree?" {
			t.Error(got)
		}
		w.b.want()
		for _, m := range w.sent {
			sent[i] += len(m.b)
		}
		work[i] = int(w.b.e.lastWork)
		if len(w.b.e.sas) != 0 || w.b.e.half.pinned != 0 || w.b.e.half.aggressive != 0 {
			t.Error("the responder keeps what failed")
		}
	}
	// The identities differ in length.
	if sent[1]-sent[0] != len("nobody")-len("gm") || work[0] != work[1] {
		t.Errorf("octets %v, work %v", sent, work)
	}
}

// A forger who knows no key sends a message 3 of its own: nothing moves.
func TestAttackAuthBypassAggressive(t *testing.T) {
	w := dynamicWorld(t, named("gm.example.net"))
	w.net = func(d wire) []wire {
		if h, _ := isakmp.ParseHeader(d.b); h.Flags != 0 {
			bad := append([]byte(nil), d.b...)
			bad[40] ^= 1
			return []wire{{d.from, d.to, bad}}
		}
		return []wire{d}
	}
	w.connect()
	w.run(10 * time.Second)
	w.b.want()
	if w.b.e.count[string(tallyUp)] != 0 || w.b.last().state != waitAuth {
		t.Errorf("%v", w.b.e.count)
	}
}

// Main mode with a gateway in aggressive mode, and the other way round: silence. A member's gateway never answers.
func TestModesDoNotMix(t *testing.T) {
	for _, c := range []struct{ a, b string }{{"aggressive", "main"}, {"main", "aggressive"}} {
		w := newWorld(t)
		w.a.e.SetGateway(w.now, gatewayTo(addrB, func(g *step.Gateway) { g.Mode = c.a }))
		w.a.e.SetGateway(w.now, gatewayTo(addrB, func(g *step.Gateway) { g.Mode, g.LocalID = c.a, named("x") }))
		w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.Mode = c.b }))
		w.connect()
		w.run(10 * time.Second)
		w.b.want()
		for _, m := range w.sent {
			if m.from == addrB {
				t.Errorf("%s to %s: answered", c.a, c.b)
			}
		}
	}
	w := dynamicWorld(t, named("gm.example.net"))
	w.b.e.SetGateway(w.now, gatewayTo(addrA, aggressively, func(g *step.Gateway) { g.Side, g.RemoteID = step.Member, named("gm.example.net") }))
	w.connect()
	w.b.want()
}

// What strangers begin is bounded: of an address by its limit, and in all.
func TestAttackHalfOpenFloodAggressive(t *testing.T) {
	w := dynamicWorld(t, named("gm.example.net"))
	w.net = func(wire) []wire { return nil }
	w.connect()
	first := w.sent[0].b
	w.b.hold = true
	answered := 0
	for i := range 2000 {
		b := append([]byte(nil), first...)
		b[0], b[1] = byte(i), byte(i>>8)|1
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i), byte(i >> 4), 1}), 848)
		if i < 20 {
			from = addrA
		}
		w.b.e.HandleDatagram(w.now, addrB, from, b)
		w.b.drain()
		if i == 19 {
			answered = len(w.b.e.sas)
		}
	}
	if answered != 8 || len(w.b.e.sas) != maxAggressive || len(w.b.held) != maxAggressive {
		t.Errorf("%d of one address, %d in all, %d computations", answered, len(w.b.e.sas), len(w.b.held))
	}
	w.run(31 * time.Second)
	if len(w.b.e.sas) != 0 || w.b.e.half.aggressive != 0 {
		t.Errorf("%d left", len(w.b.e.sas))
	}
}

// Behind a NAT message 3 goes to port 4500.
func TestAggressiveNAT(t *testing.T) {
	w, _ := natWorld(t, aggressively)
	w.connect()
	w.a.want("up 1")
	w.b.want("up 1")
	if b := w.b.last(); b.local.Port() != NATPort || b.remote.Addr() != outside || b.nat.behind || !b.nat.peerIs || !w.a.last().nat.behind {
		t.Errorf("%v to %v, %+v", b.local, b.remote, b.nat)
	}
}

// Nothing in a message 1 or 2 makes the parser panic or keep more than its share.
func FuzzAggressive(f *testing.F) {
	w := dynamicWorld(&testing.T{}, named("gm.example.net"), onP256)
	w.connect()
	for _, m := range w.sent {
		f.Add(m.b, true)
		f.Add(m.b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, mid bool) {
		w := dynamicWorld(t, named("gm.example.net"), onP256)
		w.a.hold, w.b.hold = true, true
		if mid {
			left := 3
			w.net = func(d wire) []wire {
				if left--; left < 0 {
					return []wire{d}
				}
				return []wire{d, {d.from, d.to, b}}
			}
			w.connect()
		}
		w.b.e.HandleDatagram(w.now, addrB, addrA, b)
		w.settle()
		if len(w.b.e.sas) > 3 {
			t.Errorf("%d SAs", len(w.b.e.sas))
		}
	})
}
