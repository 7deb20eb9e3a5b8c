package ike

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"gvpn/commit/step"
	"gvpn/isakmp"
)

func (w *world) begin(id SAID, token uint64) {
	w.a.e.Do(w.now, Begin{SA: id, Exchange: isakmp.ExchangeClusterInit, Token: token, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 20)})
	w.settle()
}

// What is over is not held in memory by what is not.
func TestNothingStaysInMemory(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	w.begin(a.id, 7)
	w.b.e.Do(w.now, Reply{SA: 1, MsgID: w.b.last().order[0].id, First: isakmp.PayloadNONCE, Payloads: chainOf('r', 3), Last: true})
	w.settle()
	x, p := weak.Make(w.b.last().order[0]), weak.Make(w.b.last())
	w.run(2 * time.Minute)
	runtime.GC()
	if x.Value() != nil {
		t.Error("an exchange that is over stays")
	}
	w.a.e.Do(w.now, Delete{Gateway: "peer"})
	w.settle()
	runtime.GC()
	if p.Value() != nil {
		t.Error("an SA that is gone stays")
	}
	runtime.KeepAlive(w)
}

func TestExchange(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	// A -> B: HDR*, HASH(1), NONCE, ID
	w.begin(a.id, 7)
	w.b.want(fmt.Sprintf("message 1 of exchange-240 token 0: %x", chainOf('i', 20)))
	id := w.b.last().order[0].id
	// B -> A: HDR*, HASH(2), NONCE, ID
	w.b.e.Do(w.now, Reply{SA: 1, MsgID: id, First: isakmp.PayloadNONCE, Payloads: chainOf('r', 3)})
	w.settle()
	w.a.want(fmt.Sprintf("message 2 of exchange-240 token 7: %x", chainOf('r', 3)))
	// A -> B: HDR*, HASH(3)
	w.a.e.Do(w.now, Reply{SA: a.id, MsgID: id, Last: true})
	w.settle()
	w.b.want("message 3 of exchange-240 token 0: ")
	w.b.e.Do(w.now, Abort{SA: 1, MsgID: id})
	w.wantIdle()
	// Nothing is left after a while, and nobody is told.
	w.run(2 * time.Minute)
	w.wantIdle()
	if len(a.order)+len(w.b.last().order) != 0 {
		t.Error("an exchange that is over stays for ever")
	}
	if s := w.a.e.State().SAs[0]; s.ExchangesBegun != 1 || s.ExchangesRunning != 0 {
		t.Errorf("%+v", s)
	}
}

// An exchange counts against the limit until its last message has come, however many there are one after another; what is over is
// kept to know repetitions by, and not without end.
func TestFinishedExchangesDoNotCount(t *testing.T) {
	w := newWorld(t)
	a, b := w.up()
	limit := w.a.e.o.MaxExchanges
	for i := range 5 * limit {
		w.a.e.Do(w.now, Begin{SA: a.id, Exchange: isakmp.ExchangePull, Messages: 4, Token: uint64(i), First: isakmp.PayloadNONCE, Payloads: chainOf('i', 1)})
		w.settle()
		w.pull()
		w.pull()
		w.pull()
		w.a.want(fmt.Sprintf("message 4 of %v token %d: %x", isakmp.ExchangePull, i, isakmp.AppendPayload(nil, 0, []byte("keys"))))
		for _, p := range []*phase1{a, b} {
			if p.running(true)+p.running(false) != 0 || len(p.order) > 4*limit {
				t.Fatalf("after %d exchanges %d run and %d are kept", i+1, p.running(true)+p.running(false), len(p.order))
			}
		}
		if a.state == closing || a.waiting() {
			t.Fatal("something is waited for")
		}
	}
	// The answer was lost: message 3 comes again and is answered again; that answer is known here.
	n := len(w.sent)
	third := w.sent[n-2]
	w.deliver(third)
	w.settle()
	if len(w.sent) != n+1 || string(w.sent[n].b) != string(w.sent[n-1].b) {
		t.Errorf("message 3 again: %d datagrams, want the last one again", len(w.sent)-n)
	}
	w.wantIdle()
	if c := w.a.e.State().Counters; c[string(dropRepeated)] != 1 {
		t.Errorf("counted: %v", c)
	}
	w.run(time.Minute)
	if len(a.order)+len(b.order) != 0 {
		t.Error("an exchange that is over stays for ever")
	}
}

// M3: a server that does not want a member says nothing, and the member hears of it from its own timer.
func TestExchangeUnanswered(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	w.begin(a.id, 7)
	w.run(5499 * time.Millisecond)
	w.a.want()
	w.run(time.Millisecond)
	w.a.want("failed sa 1 token 7: no answer")
	w.b.said()
	if n := len(w.sent); n != 10 {
		t.Errorf("%d datagrams, want 6 and 4", n)
	}
	// The peer may have forgotten the SA: Connect negotiates again, and the new one takes its place at both ends.
	w.connect()
	w.a.want("up 2", "down 1: superseded")
	w.b.want("up 2", "down 1: deleted by the peer")
}

// C5: a period of one's own, without limit.
func TestExchangePeriod(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	w.net = func(wire) []wire { return nil }
	w.a.e.Do(w.now, Begin{SA: a.id, Exchange: isakmp.ExchangeClusterUpdate, Token: 3, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 5), Every: 10 * time.Second, Tries: -1})
	w.run(time.Hour)
	if n := len(w.sent) - 6; n != 361 {
		t.Errorf("%d sent in an hour, want 361", n)
	}
	w.a.e.Do(w.now, Abort{SA: a.id, Token: 3})
	w.a.want()
	w.run(time.Minute)
	if n := len(w.sent) - 6; n != 361 {
		t.Error("sent after Abort")
	}
	w.a.e.Do(w.now, Begin{SA: a.id, Exchange: isakmp.ExchangeClusterUpdate, Token: 4, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 5), Every: 10 * time.Second, Tries: 2})
	w.run(19 * time.Second)
	w.a.want()
	w.run(time.Second)
	w.a.want("failed sa 1 token 4: no answer")
}

// T14: nothing new can be begun under an SA that is closing, so what has a period goes on there until ClosingTimeout.
func TestExchangePeriodClosing(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	w.net = func(wire) []wire { return nil }
	w.a.e.Do(w.now, Begin{SA: a.id, Exchange: isakmp.ExchangeClusterUpdate, Token: 3, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 5), Every: 10 * time.Second, Tries: 1})
	w.a.e.Do(w.now, Delete{Gateway: "peer"})
	w.a.want("down 1: deleted")
	w.run(59 * time.Second)
	w.a.want()
	if n := len(w.sent) - 6; n != 6 {
		t.Errorf("%d sent in a minute, want 6", n)
	}
	w.run(time.Second)
	w.a.want("failed sa 1 token 3: IKE SA: closed")
	if len(w.a.e.sas)+len(w.a.e.timers.h) != 0 {
		t.Error("something stays behind")
	}
}

// C5: a peer whose engine let go of message 1 without an answer acts on its repetition.
func TestRefusedMessageComesAgain(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	w.begin(a.id, 7)
	id := w.b.last().order[0].id
	w.b.said()
	w.run(600 * time.Millisecond)
	w.b.want() // a repetition while the engine still thinks
	w.b.e.Do(w.now, Abort{SA: 1, MsgID: id})
	w.run(time.Second)
	w.b.want(fmt.Sprintf("message 1 of exchange-240 token 0: %x", chainOf('i', 20)))
}

func TestBeginRefused(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	ok := Begin{SA: a.id, Exchange: isakmp.ExchangePull, Token: 1, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 1)}
	for want, change := range map[string]func(*Begin){
		"the IKE SA is not up": func(b *Begin) { b.SA = 99 },
		"no exchange of this type runs under an IKE SA: main-mode": func(b *Begin) { b.Exchange = isakmp.ExchangeMain },
		"no NONCE payload": func(b *Begin) { b.First, b.Payloads = isakmp.NoPayload, nil },
		"a second NONCE payload": func(b *Begin) {
			b.Payloads = append(isakmp.AppendPayload(nil, isakmp.PayloadNONCE, make([]byte, 16)), isakmp.AppendPayload(nil, 0, make([]byte, 16))...)
		},
		"NONCE payload: 3 octets":             func(b *Begin) { b.Payloads = isakmp.AppendPayload(nil, 0, []byte("abc")) },
		"octets after the chain":              func(b *Begin) { b.Payloads = append(chainOf('i', 1), 0) },
		"octets left":                         func(b *Begin) { b.Payloads = b.Payloads[:5] },
		"the message does not fit a datagram": func(b *Begin) { b.Payloads = chainOf('i', 65430) },
	} {
		b := ok
		change(&b)
		w.a.e.Do(w.now, b)
		if got := w.a.said(); !strings.HasPrefix(got, fmt.Sprintf("failed sa %d token 1: ", b.SA)) || !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for range 65 {
		ok.Payloads = chainOf('i', 1)
		w.a.e.Do(w.now, ok)
	}
	w.a.want("failed sa 1 token 1: too many exchanges under the IKE SA")
	if n := len(w.a.e.sas[1].order); n != 64 {
		t.Errorf("%d exchanges", n)
	}
}

// A message that is sent leaves none of its keys in the clear, neither with the engine that made it nor with us.
func TestSentPayloadsAreCleared(t *testing.T) {
	w := newWorld(t)
	a, b := w.up()
	first, second := chainOf('i', 1), chainOf('r', 1)
	w.a.e.Do(w.now, Begin{SA: a.id, Exchange: isakmp.ExchangePull, First: isakmp.PayloadNONCE, Payloads: first})
	w.settle()
	w.b.e.Do(w.now, Reply{SA: b.id, MsgID: a.order[0].id, First: isakmp.PayloadNONCE, Payloads: second})
	w.settle()
	if a.order[0].number != 2 {
		t.Fatalf("message %d, want 2", a.order[0].number)
	}
	if !zero(first) || !zero(second) {
		t.Errorf("left in the clear: %x and %x", first, second)
	}
}

// What an engine may say too late or at the wrong time does nothing.
func TestMisplacedReply(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	w.begin(a.id, 7)
	id := a.order[0].id
	sent := len(w.sent)
	w.a.e.Do(w.now, Reply{SA: a.id, MsgID: id})     // the peer's turn
	w.a.e.Do(w.now, Reply{SA: a.id, MsgID: id + 1}) // no such exchange
	w.a.e.Do(w.now, Reply{SA: 99, MsgID: id})
	w.a.e.Do(w.now, Abort{SA: 99, MsgID: id})
	w.a.e.Do(w.now, Delete{Gateway: "nobody"})
	w.settle()
	w.a.want()
	if len(w.sent) != sent || w.a.e.count["reply-without-turn"] != 3 {
		t.Errorf("%d sent, %v", len(w.sent)-sent, w.a.e.count)
	}
}

// A peer that repeats a message gets the first answer again, octet for octet, also when the exchange is over.
func TestRepeatedMessage(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	w.begin(a.id, 7)
	w.pull()
	w.pull()
	w.pull()
	if n := len(w.sent); n != 10 {
		t.Fatalf("%d datagrams", n)
	}
	for _, c := range []struct{ sent, again int }{{6, -1}, {8, 9}} {
		before := len(w.sent)
		w.b.e.HandleDatagram(w.now, addrB, addrA, w.sent[c.sent].b)
		w.b.drain()
		switch {
		case c.again < 0 && len(w.sent) != before:
			t.Errorf("message %d is answered again", c.sent-5)
		case c.again >= 0 && (len(w.sent) != before+1 || !bytes.Equal(w.sent[before].b, w.sent[c.again].b)):
			t.Errorf("message %d is not answered as before", c.sent-5)
		}
	}
	w.b.want()
	// A message 3 that somebody has overheard and sends again and again is not answered without end.
	before := len(w.sent)
	for range 1000 {
		w.b.e.HandleDatagram(w.now, addrB, addrA, w.sent[8].b)
		w.b.drain()
	}
	if n := len(w.sent) - before; n != maxRepeats-1 {
		t.Errorf("message 3 is answered again %d times, want %d", n+1, maxRepeats)
	}
	w.b.want()
	// Long after, the message ID is still known.
	w.run(5 * time.Minute)
	w.a.said()
	w.b.e.HandleDatagram(w.now, addrB, addrA, w.sent[6].b)
	w.b.want()
	if w.b.e.count["replayed"] != 1 {
		t.Errorf("%v", w.b.e.count)
	}
}

func TestMemory(t *testing.T) {
	var m memory
	for i := range uint32(3 * maxSeen) {
		m.add(i)
	}
	if len(m.ring) != maxSeen || m.has(2*maxSeen-1) || !m.has(2*maxSeen) || !m.has(3*maxSeen-1) {
		t.Errorf("%d", len(m.ring))
	}
	m.forget(2 * maxSeen)
	if m.has(2 * maxSeen) {
		t.Error("not forgotten")
	}
}

// T14: what must be acknowledged is, before the SA goes.
func TestClosing(t *testing.T) {
	w := newWorld(t, withDPD)
	a, b := w.up()
	lost := true
	w.net = func(d wire) []wire {
		if lost {
			return nil
		}
		return []wire{d}
	}
	w.begin(a.id, 7)
	w.a.e.Do(w.now, Delete{Gateway: "peer"})
	w.settle()
	w.a.want("down 1: deleted")
	if s := w.a.e.State(); len(s.SAs) != 1 || s.SAs[0].Status != Closing || s.Gateways[0].Running {
		t.Fatalf("%+v", s)
	}
	w.a.e.Do(w.now, Begin{SA: a.id, Exchange: isakmp.ExchangePull, Token: 8, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 1)})
	w.a.want("failed sa 1 token 8: the IKE SA is not up")
	lost = false
	w.run(600 * time.Millisecond)
	w.b.want(fmt.Sprintf("message 1 of exchange-240 token 0: %x", chainOf('i', 20)))
	// A closing SA answers no probe and no exchange of the peer's.
	sent := len(w.sent)
	b.dpdSeq++
	w.b.e.sendNotify(b, isakmp.RUThere, b.dpdSeq)
	w.b.e.Do(w.now, Begin{SA: b.id, Exchange: isakmp.ExchangePull, Token: 9, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 1)})
	w.settle()
	if n := len(w.sent) - sent; n != 2 {
		t.Errorf("%d datagrams, want the two of b", n)
	}
	w.b.e.Do(w.now, Abort{SA: b.id, Token: 9})
	// The acknowledgement comes up, and then the SA goes.
	w.b.e.Do(w.now, Reply{SA: 1, MsgID: b.order[0].id, First: isakmp.PayloadNONCE, Payloads: chainOf('r', 1), Last: true})
	w.settle()
	w.a.want(fmt.Sprintf("message 2 of exchange-240 token 7: %x", chainOf('r', 1)))
	w.b.want("down 1: deleted by the peer")
	if len(w.a.e.sas)+len(w.b.e.sas) != 0 {
		t.Error("an SA stays")
	}
	if !zero(a.keys.a) || !zero(a.keys.e) || a.keys.seed != nil {
		t.Error("keys outlive their SA")
	}
}

// The retries are spent: the SA goes all the same.
func TestClosingGivesUp(t *testing.T) {
	for _, every := range []time.Duration{0, 10 * time.Second} {
		w := newWorld(t)
		a, _ := w.up()
		w.net = func(wire) []wire { return nil }
		w.a.e.Do(w.now, Begin{SA: a.id, Exchange: isakmp.ExchangeClusterUpdate, Token: 3, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 5), Every: every, Tries: -1})
		w.a.e.RemoveGateway(w.now, "peer")
		w.a.want("down 1: deleted")
		want, reason := 5500*time.Millisecond, "no answer"
		if every != 0 {
			want, reason = time.Minute, "IKE SA: closed"
		}
		w.run(want - 1)
		w.a.want()
		w.run(1)
		w.a.want("failed sa 1 token 3: " + reason)
		if len(w.a.e.sas)+len(w.a.e.timers.h) != 0 {
			t.Error("something stays behind")
		}
	}
}

func TestDeleteOneAddress(t *testing.T) {
	w := newWorld(t)
	w.a.e.SetGateway(w.now, gatewayTo(addrB, func(g *step.Gateway) {
		g.Remote = append(g.Remote, addrA.Addr())
	}))
	w.up()
	w.a.e.Do(w.now, Delete{Gateway: "peer", Remote: addrA.Addr()})
	w.settle()
	w.wantIdle()
	w.a.e.Do(w.now, Delete{Gateway: "peer", Remote: addrB.Addr()})
	w.settle()
	w.a.want("down 1: deleted")
	w.b.want("down 1: deleted by the peer")
}

// A Delete that names the same SA twice, and two Delete payloads in one message.
func TestAttackStateConfusionDeleteTwice(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	d := isakmp.Delete{DOI: 1, Protocol: 1, SPISize: 16, SPIs: [][]byte{a.spi(), a.spi()}}.Append(nil)
	chain := isakmp.AppendPayload(isakmp.AppendPayload(nil, isakmp.PayloadD, d), isakmp.NoPayload, d)
	id := w.a.e.messageID(a)
	msg, _ := a.protect(isakmp.ExchangeInformational, id, a.suite.exchangeIV(a.iv, id), isakmp.PayloadD, chain)
	w.deliver(wire{addrA, addrB, msg})
	w.b.want("down 1: deleted by the peer")
	if len(w.b.e.sas) != 0 {
		t.Error("the SA stays")
	}
	w.deliver(wire{addrA, addrB, msg})
	w.b.want()
}

// The lifetime ends on both sides.
func TestLifetime(t *testing.T) {
	w := newWorld(t, func(g *step.Gateway) { g.Proposals[0].Lifetime = 200 * time.Second })
	w.up()
	w.run(200*time.Second - 1)
	w.wantIdle()
	w.run(time.Second)
	w.a.want("down 1: lifetime expired")
	if got := w.b.said(); got != "down 1: lifetime expired" && got != "down 1: deleted by the peer" {
		t.Error(got)
	}
	if len(w.a.e.sas)+len(w.b.e.sas)+len(w.a.e.timers.h)+len(w.b.e.timers.h) != 0 {
		t.Error("something stays behind")
	}
}

// An engine's own mistake in a Reply ends that exchange and nothing else.
func TestBadReply(t *testing.T) {
	for name, r := range map[string]Reply{
		"no nonce in message 2": {First: isakmp.NoPayload},
		"too long":              {First: isakmp.PayloadNONCE, Payloads: chainOf('r', 65430)},
		"cut":                   {First: isakmp.PayloadNONCE, Payloads: chainOf('r', 1)[:10]},
	} {
		w := newWorld(t)
		a, b := w.up()
		w.a.e.Do(w.now, Begin{SA: a.id, Exchange: isakmp.ExchangePull, Token: 5, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 1)})
		w.settle()
		w.b.take()
		r.SA, r.MsgID = b.id, b.order[0].id
		sent := len(w.sent)
		w.b.e.Do(w.now, r)
		w.settle()
		if len(w.sent) != sent || len(b.order) != 0 || b.state != up {
			t.Errorf("%s: sent %d, %d exchanges", name, len(w.sent)-sent, len(b.order))
		}
	}
	w := newWorld(t)
	a, b := w.up()
	w.begin(a.id, 5)
	w.b.take()
	w.b.e.Do(w.now, Reply{SA: b.id, MsgID: b.order[0].id, First: isakmp.PayloadNONCE, Payloads: chainOf('r', 1)})
	w.settle()
	w.a.take()
	w.a.e.Do(w.now, Reply{SA: a.id, MsgID: a.order[0].id, First: isakmp.PayloadID, Payloads: []byte{0, 0, 0, 3}})
	w.a.want("failed sa 1 token 5: isakmp: ID payload: length 3 with 4 octets left")
}

// A message 2 that verifies and has a nonce of the wrong length, and an exchange that goes on for ever.
func TestContinuedBadly(t *testing.T) {
	w := newWorld(t)
	a, b := w.up()
	w.begin(a.id, 5)
	w.b.take()
	x, y := a.order[0], b.order[0]
	msg, _ := b.protect(x.typ, x.id, y.iv, isakmp.PayloadNONCE, isakmp.AppendPayload(nil, 0, []byte("short")), y.ni)
	w.deliver(wire{addrB, addrA, msg})
	w.a.want()
	if x.number != 1 || x.turn != theirs || w.a.e.count["malformed-payload-length"] != 1 {
		t.Errorf("%+v %v", x, w.a.e.count)
	}
	for i := 0; i < 40; i++ {
		n, p := w.b, b
		if i%2 == 1 {
			n, p = w.a, a
		}
		n.take()
		n.e.Do(w.now, Reply{SA: p.id, MsgID: x.id, First: isakmp.PayloadNONCE, Payloads: chainOf('n', 1)})
		w.settle()
	}
	if x.number != maxNumber || y.number != maxNumber {
		t.Errorf("%d and %d messages", x.number, y.number)
	}
}
