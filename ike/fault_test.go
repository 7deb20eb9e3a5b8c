package ike

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
)

// conversation is main mode and then an exchange of four messages; it reports whether both came through.
func (w *world) conversation() bool {
	w.connect()
	for range 12 {
		if w.a.e.State().Counters["established"] > 0 {
			break
		}
		w.run(500 * time.Millisecond)
	}
	a := w.a.last()
	if a == nil || a.state != up {
		return false
	}
	w.begin(a.id, 7)
	for range 40 {
		w.pull()
		for _, o := range w.a.log {
			if m, ok := o.(Message); ok && m.Number == 4 {
				return m.Token == 7 && bytes.Equal(m.Payloads, isakmp.AppendPayload(nil, 0, []byte("keys")))
			}
		}
		w.run(250 * time.Millisecond)
	}
	return false
}

// Each of the ten datagrams in turn is lost, doubled, held back until the next one is sent, held back for a second, or comes
// again at the very end.
func TestEachDatagramMistreated(t *testing.T) {
	const datagrams = 10
	for _, treat := range []string{"lose", "double", "swap", "late", "thrice"} {
		for i := range datagrams {
			t.Run(fmt.Sprintf("%s %d", treat, i+1), func(t *testing.T) {
				w := newWorld(t)
				n := 0
				var held []wire
				w.net = func(d wire) []wire {
					n++
					out := []wire{d}
					if n == i+1 {
						switch treat {
						case "lose":
							return nil
						case "double":
							return []wire{d, d}
						case "thrice":
							return []wire{d, d, d}
						default:
							held = append(held, d)
							return nil
						}
					}
					if len(held) > 0 && (treat == "swap" || n > i+2) {
						out = append(out, held...)
						held = nil
					}
					return out
				}
				if !w.conversation() {
					t.Fatalf("did not come through\n%s\n%s\n%v\n%v", w.a.said(), w.b.said(), w.a.e.count, w.b.e.count)
				}
				if len(w.a.e.sas) != 1 || len(w.b.e.sas) != 1 {
					t.Errorf("%d and %d SAs", len(w.a.e.sas), len(w.b.e.sas))
				}
			})
		}
	}
}

// The whole conversation replayed afterwards, in order and backwards: no state moves, nothing comes up, and nothing is
// answered but by the same octets as before.
func TestAttackPULLReplay(t *testing.T) {
	w := newWorld(t, withDPD)
	if !w.conversation() {
		t.Fatal("no conversation")
	}
	w.run(15 * time.Second)
	w.a.take()
	w.b.take()
	all := slices.Clone(w.sent)
	known := make(map[string]bool)
	for _, d := range all {
		known[string(d.b)] = true
	}
	a, b := w.a.last(), w.b.last()
	before := fmt.Sprint(frozen(a), frozen(b))
	replay := func(d wire) {
		w.deliver(d)
		for _, s := range w.wire {
			if !known[string(s.b)] {
				h, _ := isakmp.ParseHeader(s.b)
				// The answer to the newest R-U-THERE, which its sender may have repeated.
				if h.Exchange != isakmp.ExchangeInformational {
					t.Errorf("a fresh answer to a replayed datagram: %+v", h)
				}
			}
		}
		w.wire = nil
	}
	for _, d := range all {
		replay(d)
	}
	for _, d := range slices.Backward(all) {
		replay(d)
	}
	if after := fmt.Sprint(frozen(a), frozen(b)); after != before {
		t.Errorf("state moved\n%s\n%s", before, after)
	}
	w.a.want()
	w.b.want()
}

// frozen is what a stranger's datagram must not move.
func frozen(p *phase1) []any {
	var x []any
	for _, e := range p.order {
		x = append(x, e.id, e.number, e.turn, e.lastIn, e.lastOut)
		if e.course != nil {
			x = append(x, e.iv, e.ni, e.nr)
		}
	}
	return []any{p.state, p.ck, p.iv, p.keys.a[:], p.lastIn, p.lastOut, p.timeout.at, p.remote, p.local, p.dpdAcked, p.dpdSeq, x}
}

// Every octet of messages 5 and 6 and of a whole exchange is damaged, one after the other, and the damaged datagram comes
// first: nothing moves, and the good one still counts, so no damaged message moves the CBC chain.
func TestDamagedMessages(t *testing.T) {
	w := newWorld(t)
	// HASH does not cover a notification beside it (RFC 2409 section 5); one that is damaged is not acted on.
	w.a.e.gateways["peer"].met(addrB.Addr())
	w.b.e.gateways["peer"].met(addrA.Addr())
	n := 0
	w.net = func(d wire) []wire {
		if n++; n < 5 {
			return []wire{d}
		}
		to := w.nodes[d.to]
		p := to.last()
		before := fmt.Sprint(frozen(p))
		for i := range d.b {
			for _, bit := range []byte{1, 0x80} {
				bad := bytes.Clone(d.b)
				bad[i] ^= bit
				to.e.HandleDatagram(w.now, d.to, d.from, bad)
				for o, ok := to.e.Next(); ok; o, ok = to.e.Next() {
					if !strings.Contains(fmt.Sprintf("%T", o), "Notify") {
						t.Fatalf("datagram %d, octet %d: %T", n, i, o)
					}
				}
				if after := fmt.Sprint(frozen(p)); after != before {
					t.Fatalf("datagram %d, octet %d: state moved\n%s\n%s", n, i, before, after)
				}
			}
		}
		return []wire{d}
	}
	if !w.conversation() {
		t.Fatal("the good datagrams did not count")
	}
	if n != 10 {
		t.Errorf("%d datagrams", n)
	}
}

// Messages 1 to 4 are not authenticated when they come. A damaged one that comes instead of the good one never brings up
// two ends that disagree.
func TestDamagedNegotiation(t *testing.T) {
	for m := 1; m <= 4; m++ {
		size := 0
		for i := 0; i == 0 || i < size; i += 3 {
			w := newWorld(t)
			n := 0
			w.net = func(d wire) []wire {
				if n++; n != m {
					return []wire{d}
				}
				size = len(d.b)
				bad := bytes.Clone(d.b)
				bad[i] ^= 0x10
				return []wire{{d.from, d.to, bad}}
			}
			w.connect()
			w.run(6 * time.Second)
			var ups []*phase1
			for _, node := range []*node{w.a, w.b} {
				for _, p := range node.e.sorted() {
					if p.state == up {
						ups = append(ups, p)
					}
				}
			}
			if len(ups) == 0 {
				continue
			}
			if len(ups) != 2 || ups[0].ck != ups[1].ck || ups[0].iv != ups[1].iv || !ups[0].keys.a.Equal(ups[1].keys.a) || ups[0].suite != ups[1].suite {
				t.Errorf("message %d, octet %d: the ends disagree", m, i)
			}
		}
	}
}

// Exchanges 32, 5, 4 and unknown ones at every stage of a negotiation and with unknown cookies: silence.
func TestAttackStateConfusion(t *testing.T) {
	for stage := range 7 {
		w := newWorld(t)
		n := 0
		w.net = func(d wire) []wire {
			if n++; n > stage {
				return nil
			}
			return []wire{d}
		}
		w.connect()
		w.a.take()
		w.b.take()
		sent := len(w.sent)
		states := func() string {
			s := ""
			for _, n := range []*node{w.a, w.b} {
				for _, p := range n.e.sorted() {
					s += fmt.Sprint(frozen(p))
				}
			}
			return s
		}
		before := states()
		ck := w.a.last().ck
		if b := w.b.last(); b != nil {
			ck = b.ck
		} else if i, ok := w.b.e.half.index[start{ck.i, addrB, addrA}]; ok {
			ck.r = w.b.e.half.slots[i].cookie
		}
		for _, c := range []cookies{ck, {ck.i, [8]byte{9}}, {[8]byte{9}, ck.r}, {ck.i, [8]byte{}}, {}} {
			for _, x := range []isakmp.ExchangeType{0, 1, 2, 4, 5, 6, 32, 33, 34, 35, 200, 240, 241, 255} {
				for _, f := range []isakmp.Flags{0, 1, 2, 3, 4, 255} {
					for _, id := range []uint32{0, 5} {
						for _, first := range []isakmp.PayloadType{0, 1, 4, 5, 8, 11, 12, 240} {
							msg := isakmp.AppendHeader(nil, isakmp.Header{InitiatorCookie: c.i, ResponderCookie: c.r, Next: first, Exchange: x, Flags: f, MessageID: id})
							msg = finish(append(msg, 0, 0, 0, 32, 0, 0, 0, 1, 1, 16, 141, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
							w.deliver(wire{addrA, addrB, msg})
							w.deliver(wire{addrB, addrA, msg})
						}
					}
				}
			}
		}
		w.a.want()
		w.b.want()
		if len(w.sent) != sent || states() != before {
			t.Errorf("stage %d: %d answers, state\n%s\n%s", stage, len(w.sent)-sent, before, states())
		}
	}
}

// A key holder gone bad: chains and bodies that verify and are nonsense. Nothing panics, and the SA stays.
func TestAttackAttributeAbuse(t *testing.T) {
	w := newWorld(t)
	a, b := w.up()
	chains := map[string]struct {
		first isakmp.PayloadType
		chain []byte
	}{
		"zero length":         {isakmp.PayloadN, []byte{0, 0, 0, 0}},
		"length 3":            {isakmp.PayloadN, []byte{0, 0, 0, 3}},
		"overlong":            {isakmp.PayloadN, []byte{0, 0, 255, 255, 1, 2, 3}},
		"empty N":             {isakmp.PayloadN, []byte{0, 0, 0, 4}},
		"65 payloads":         {isakmp.PayloadN, bytes.Repeat([]byte{11, 0, 0, 4}, 65)},
		"SPI longer":          {isakmp.PayloadN, isakmp.AppendPayload(nil, 0, []byte{0, 0, 0, 1, 1, 200, 0, 1})},
		"SPIs uncounted":      {isakmp.PayloadD, isakmp.AppendPayload(nil, 0, []byte{0, 0, 0, 1, 1, 16, 255, 255})},
		"no SPIs":             {isakmp.PayloadD, isakmp.AppendPayload(nil, 0, []byte{0, 0, 0, 1, 1, 0, 0, 0})},
		"delete of ESP":       {isakmp.PayloadD, isakmp.AppendPayload(nil, 0, []byte{0, 0, 0, 1, 3, 4, 0, 1, 1, 2, 3, 4})},
		"delete of nobody":    {isakmp.PayloadD, isakmp.AppendPayload(nil, 0, append([]byte{0, 0, 0, 1, 1, 16, 0, 1}, make([]byte, 16)...))},
		"payload not allowed": {isakmp.PayloadSA, isakmp.AppendPayload(nil, 0, nil)},
		"nothing":             {isakmp.NoPayload, nil},
	}
	for name, c := range chains {
		for _, x := range []isakmp.ExchangeType{isakmp.ExchangeInformational, isakmp.ExchangePull} {
			id := w.a.e.messageID(a)
			msg, _ := a.protect(x, id, a.suite.exchangeIV(a.iv, id), c.first, c.chain)
			if len(msg) > 65535 {
				t.Fatal(name)
			}
			w.b.e.HandleDatagram(w.now, addrB, addrA, msg)
			if got := w.b.said(); got != "" {
				t.Errorf("%s: %s", name, got)
			}
			if b.state != up || len(b.order) != 0 {
				t.Fatalf("%s: moved", name)
			}
		}
	}
	// A notification that is not known is told to the operator, in our words.
	w.a.e.sendNotify(a, 999, 0)
	w.settle()
	if o := w.b.take(); len(o) != 1 || !strings.Contains(fmt.Sprint(o[0]), "notify-999") {
		t.Errorf("%v", o)
	}
}

// A peer cannot hold more exchanges open than the limit, and those it leaves open end.
func TestExchangeLimit(t *testing.T) {
	w := newWorld(t)
	a, b := w.up()
	for range 200 {
		id := w.a.e.messageID(a)
		a.seen.add(id)
		msg, _ := a.protect(isakmp.ExchangeClusterInit, id, a.suite.exchangeIV(a.iv, id), isakmp.PayloadNONCE, chainOf('i', 1))
		w.deliver(wire{addrA, addrB, msg})
		for _, o := range w.b.take() {
			if m, ok := o.(Message); ok {
				w.b.e.Do(w.now, Reply{SA: m.SA, MsgID: m.MsgID, First: isakmp.PayloadNONCE, Payloads: chainOf('r', 1)})
			}
		}
		if len(b.order) > 64 {
			t.Fatal("over the limit")
		}
	}
	if w.b.e.count["exchange-limit"] != 136 {
		t.Errorf("%v", w.b.e.count)
	}
	w.run(61 * time.Second)
	if len(b.order) != 0 {
		t.Errorf("%d stay", len(b.order))
	}
	// Finished ones do not pile up either.
	for range 1000 {
		id := w.a.e.messageID(a)
		a.seen.add(id)
		msg, _ := a.protect(isakmp.ExchangeClusterInit, id, a.suite.exchangeIV(a.iv, id), isakmp.PayloadNONCE, chainOf('i', 1))
		w.deliver(wire{addrA, addrB, msg})
		for _, o := range w.b.take() {
			if m, ok := o.(Message); ok {
				w.b.e.Do(w.now, Reply{SA: m.SA, MsgID: m.MsgID, First: isakmp.PayloadNONCE, Payloads: chainOf('r', 1), Last: true})
			}
		}
	}
	if len(b.order) > 4*64 {
		t.Errorf("%d finished exchanges", len(b.order))
	}
}

// Whole blocks, and one at least.
func TestBlocks(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	for _, n := range []int{0, 1, aes.BlockSize - 1, aes.BlockSize + 1} {
		msg := append(a.header(isakmp.PayloadHASH, isakmp.ExchangePull, isakmp.FlagEncryption, 3), make([]byte, n)...)
		w.deliver(wire{addrA, addrB, finish(msg)})
	}
	if w.b.e.count["not-whole-blocks"] != 4 {
		t.Errorf("%v", w.b.e.count)
	}
}

// The same seed gives the same octets.
func TestDeterminism(t *testing.T) {
	run := func() []wire {
		w := newWorld(t, withDPD)
		w.conversation()
		w.run(time.Minute)
		return w.sent
	}
	if !reflect.DeepEqual(run(), run()) {
		t.Error("two runs differ")
	}
}

// Any schedule of loss, doubling, delay and commands: no panic, tables within their bounds, an Up at one end only with the
// other end's consent, and after the network heals both ends can speak.
func TestAnyNetwork(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, withDPD)
		var late []wire
		healed := false
		fate := rapid.SampledFrom([]string{"ok", "ok", "ok", "lose", "double", "late", "flip"})
		w.net = func(d wire) []wire {
			if healed {
				return []wire{d}
			}
			switch fate.Draw(rt, "fate") {
			case "lose":
				return nil
			case "double":
				return []wire{d, d}
			case "late":
				late = append(late, d)
				return nil
			case "flip":
				bad := bytes.Clone(d.b)
				bad[rapid.IntRange(0, len(bad)-1).Draw(rt, "octet")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
				return []wire{{d.from, d.to, bad}, d}
			}
			return []wire{d}
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.IntRange(0, 6).Draw(rt, "step") {
			case 0:
				w.connect()
			case 1:
				w.b.e.Do(w.now, Connect{Gateway: "peer", Remote: addrA.Addr()})
				w.settle()
			case 2:
				if p := w.a.last(); p != nil {
					w.begin(p.id, 1)
				}
			case 3:
				w.pull()
			case 4:
				w.a.e.Do(w.now, Delete{Gateway: "peer"})
				w.settle()
			case 5:
				l := late
				late = nil
				for _, d := range l {
					w.deliver(d)
				}
				w.settle()
			case 6:
				w.run(time.Duration(rapid.IntRange(1, 20000).Draw(rt, "ms")) * time.Millisecond)
			}
			for _, n := range []*node{w.a, w.b} {
				if len(n.e.sas) > 24 || n.e.half.n() > 8 || n.e.half.pinned > 8 || len(n.e.byCookie) != len(n.e.sas) {
					rt.Fatalf("%d SAs, %d half-open, %d cookies", len(n.e.sas), n.e.half.n(), len(n.e.byCookie))
				}
			}
		}
		healed = true
		w.run(2 * time.Minute)
		w.a.take()
		w.b.take()
		w.a.e.Do(w.now, Delete{Gateway: "peer"})
		w.b.e.Do(w.now, Delete{Gateway: "peer"})
		w.run(2 * time.Minute)
		for _, n := range []*node{w.a, w.b} {
			if len(n.e.sas)+len(n.e.byCookie)+len(n.e.byStart)+len(n.e.begun)+len(n.e.ours)+len(n.e.timers.h)+n.e.half.n()+n.e.half.pinned != 0 {
				rt.Fatalf("something stays behind: %+v", n.e.State())
			}
		}
		w.a.take()
		if !w.conversation() {
			rt.Fatal("no conversation after healing")
		}
	})
}

// What the wire says never makes an ID collide with the sign of a cookie that is none.
func TestCookies(t *testing.T) {
	e := New(&zeros{n: 5}, Options{})
	if c := e.cookie(); binary.BigEndian.Uint32(c[:4]) == 0 {
		t.Errorf("cookie %x", c)
	}
}

type zeros struct{ n int }

func (z *zeros) Read(b []byte) (int, error) {
	clear(b)
	if z.n--; z.n < 0 {
		b[0] = 1
	}
	return len(b), nil
}

// "In a replay/reflection attack, an attacker captures messages between GDOI entities and subsequently forwards them to a GDOI
// entity" (RFC 6407 section 7.1.4). Nothing in HASH tells the two directions apart: what a node sent itself is known by its
// message ID.
func TestAttackReflection(t *testing.T) {
	w := newWorld(t, withDPD)
	a, b := w.up()
	w.run(35 * time.Second) // probes and answers of both
	w.a.e.Do(w.now, Begin{SA: a.id, Exchange: isakmp.ExchangePull, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 8)})
	w.settle()
	for range 3 {
		w.pull()
	}
	w.run(70 * time.Second) // both have forgotten the exchange
	w.a.take()
	w.b.take()
	if len(a.order) != 0 || len(b.order) != 0 {
		t.Fatalf("%d and %d exchanges left", len(a.order), len(b.order))
	}
	peerA, peerB, sent := a.dpdPeer, b.dpdPeer, len(w.sent)
	for _, d := range w.sent[:sent] {
		w.deliver(wire{from: d.to, to: d.from, b: d.b})
	}
	w.wantIdle()
	if len(w.sent) != sent {
		t.Errorf("%d answers to what was reflected", len(w.sent)-sent)
	}
	if a.dpdPeer != peerA || b.dpdPeer != peerB {
		t.Error("a reflected probe moved the peer's sequence number")
	}
	if a.state != up || b.state != up || w.a.e.count[string(dropReflected)] == 0 || w.b.e.count[string(dropReflected)] == 0 {
		t.Errorf("states %d and %d, counters %v and %v", a.state, b.state, w.a.e.count, w.b.e.count)
	}
}

// "Identifies the DOI [...] under which this deletion is taking place" (RFC 2408 section 3.15; 3.14 says it of notifications): the
// one of the SA, which is GDOI's between ourselves (RFC 6407 section 2.1) and IPsec's with a peer that began under that.
func TestDOIOfDelete(t *testing.T) {
	for _, doi := range []uint32{isakmp.DOIGDOI, isakmp.DOIIPsec} {
		w := newWorld(t)
		a, b := w.up()
		if a.doi != isakmp.DOIGDOI || b.doi != isakmp.DOIGDOI {
			t.Fatalf("DOI %d and %d", a.doi, b.doi)
		}
		a.doi = doi
		w.a.e.Do(w.now, Delete{Gateway: "peer"})
		w.a.drain()
		d := w.sent[len(w.sent)-1].b
		h, err := isakmp.ParseHeader(d)
		if err != nil {
			t.Fatal(err)
		}
		first, chain, _, ok := w.b.e.open(b, datagram{h: h, b: d}, b.suite.exchangeIV(b.iv, h.MessageID))
		if !ok || first != isakmp.PayloadD {
			t.Fatalf("%v payload, verified: %v", first, ok)
		}
		if got, err := isakmp.ParseDelete(chain[isakmp.GenericLen:]); err != nil || got.DOI != doi {
			t.Errorf("Delete %+v, %v, want DOI %d", got, err, doi)
		}
	}
	w := newWorld(t)
	s := offered([]step.Proposal{{Hash: sa.SHA384, DHGroup: 14, KeyBits: 128}})
	for _, s.DOI = range []uint32{isakmp.DOIGDOI, isakmp.DOIIPsec} {
		msg := isakmp.AppendHeader(nil, isakmp.Header{InitiatorCookie: [8]byte{byte(s.DOI)}, Next: isakmp.PayloadSA, Exchange: isakmp.ExchangeMain})
		w.deliver(wire{from: addrA, to: addrB, b: finish(isakmp.AppendPayload(msg, isakmp.NoPayload, s.Append(nil)))})
		d := w.sent[len(w.sent)-1].b
		if got, err := isakmp.ParseNotify(d[isakmp.HeaderLen+isakmp.GenericLen:]); err != nil || got.DOI != s.DOI || got.Type != isakmp.NoProposalChosen {
			t.Errorf("notification %+v, %v, want DOI %d", got, err, s.DOI)
		}
	}
}
