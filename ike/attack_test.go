package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// One test for each known class of attack on IKE daemons; further ones of the same name stand where the mechanism's other tests
// are (grep TestAttack). What concerns parsing alone is in package isakmp.

// silent delivers to b what should have no answer and no effect, and says which counters moved.
func (w *world) silent(what string, msgs ...[]byte) map[string]uint64 {
	w.t.Helper()
	sent, before, states := len(w.sent), w.b.e.count.all(), ""
	for _, p := range w.b.e.sorted() {
		states += fmt.Sprint(frozen(p))
	}
	for _, m := range msgs {
		w.deliver(wire{addrA, addrB, m})
	}
	w.wire = nil
	if len(w.sent) != sent {
		w.t.Errorf("%s: %d answers", what, len(w.sent)-sent)
	}
	for _, p := range w.b.e.sorted() {
		states, _ = strings.CutPrefix(states, fmt.Sprint(frozen(p)))
	}
	if states != "" {
		w.t.Errorf("%s: state moved", what)
	}
	moved := w.b.e.count.all()
	for k, n := range before {
		if moved[k] -= n; moved[k] == 0 {
			delete(moved, k)
		}
	}
	return moved
}

// message1Of is a's message 1 to b, which has not seen it.
func message1Of(t testing.TB, change ...func(*step.Gateway)) (*world, []byte) {
	w := newWorld(t, change...)
	w.net = func(wire) []wire { return nil }
	w.connect()
	return w, bytes.Clone(w.sent[0].b)
}

// Zero-length payload loop; header length lies: whole datagrams this time, in every stage that a stranger reaches.
func TestAttackZeroLengthPayloadLoop(t *testing.T) {
	w, msg := message1Of(t)
	for n := range uint16(4) {
		bad := bytes.Clone(msg)
		binary.BigEndian.PutUint16(bad[isakmp.HeaderLen+2:], n)
		if moved := w.silent("length", bad); moved["malformed-payload-length"] != 1 {
			t.Errorf("length %d: %v", n, moved)
		}
	}
	for _, n := range []uint32{0, 27, uint32(len(msg)) - 1, uint32(len(msg)) + 1, 0xffffffff} {
		bad := bytes.Clone(msg)
		binary.BigEndian.PutUint32(bad[24:], n)
		if moved := w.silent("header length", bad); moved["malformed-length-mismatch"] != 1 {
			t.Errorf("header length %d: %v", n, moved)
		}
	}
}

// Huge payload chains: what is too large for a stranger is not looked at, and what an SA's peer sends is walked to the limit only.
func TestAttackHugePayloadChains(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	huge := finish(append(isakmp.AppendHeader(nil, isakmp.Header{InitiatorCookie: [8]byte{7}, Next: isakmp.PayloadVID, Exchange: isakmp.ExchangeMain}),
		bytes.Repeat([]byte{13, 0, 0, 4}, 16000)...))
	if moved := w.silent("stranger", huge); moved[string(dropSize)] != 1 {
		t.Errorf("%v", moved)
	}
	id := w.a.e.messageID(a)
	msg, _ := a.protect(isakmp.ExchangePull, id, a.suite.exchangeIV(a.iv, id), isakmp.PayloadVID, bytes.Repeat([]byte{13, 0, 0, 4}, 16000))
	if moved := w.silent("peer", msg); moved["malformed-too-many-payloads"] != 1 {
		t.Errorf("%v", moved)
	}
}

// Fragments: those of Cisco's making (payload 132) are not put together, neither before authentication nor after it.
func TestAttackFragments(t *testing.T) {
	const fragment = isakmp.PayloadType(132)
	w := newWorld(t)
	a, b := w.up()
	_, m1 := message1Of(t)
	m1[0], m1[16] = ^m1[0], byte(fragment)
	if moved := w.silent("stranger", m1); moved["malformed-unexpected-payload"] != 1 {
		t.Errorf("%v", moved)
	}
	// ID, number, last; in each exchange, sealed and in the clear.
	for _, x := range []isakmp.ExchangeType{isakmp.ExchangeMain, isakmp.ExchangeAggressive, isakmp.ExchangeInformational, isakmp.ExchangePull} {
		for n := range 100 {
			chain := isakmp.AppendPayload(nil, isakmp.NoPayload, append([]byte{0, 1, byte(n), 0}, make([]byte, 500)...))
			id := w.a.e.messageID(a)
			sealed, _ := a.protect(x, id, a.suite.exchangeIV(a.iv, id), fragment, chain)
			w.silent("sealed", sealed)
			w.silent("in the clear", finish(append(a.header(fragment, x, 0, id), chain...)))
		}
	}
	if b.state != up || len(b.order) != 0 {
		t.Errorf("state %d, %d exchanges", b.state, len(b.order))
	}
}

// Memory disclosure: an answer holds what it should and no more. The refusal is 40 octets that only the cookie varies; padding
// under encryption is zeros.
func TestAttackMemoryDisclosure(t *testing.T) {
	w, msg := message1Of(t, func(g *step.Gateway) { g.Proposals[0].KeyBits = 128 })
	w.b.e.SetGateway(w.now, gatewayTo(addrA))
	msg = append(msg[:len(msg):len(msg)], bytes.Repeat([]byte("secret!!"), 50)...) // after the chain's end
	w.net = nil
	w.deliver(wire{addrA, addrB, finish(msg)})
	got := w.sent[len(w.sent)-1].b
	want := isakmp.AppendHeader(nil, isakmp.Header{InitiatorCookie: [8]byte(msg), ResponderCookie: [8]byte(got[8:]), Next: isakmp.PayloadN, Exchange: 5})
	want = isakmp.AppendPayload(want, 0, []byte{0, 0, 0, 2, 1, 0, 0, 14})
	wantOctets(t, "refusal", got, finish(want))

	w = newWorld(t)
	a, b := w.up()
	for _, d := range w.sent[4:] {
		key, iv := &a.keys, a.suite.firstIV(kePayload(t, w.sent[2].b), kePayload(t, w.sent[3].b))
		if d.from == addrB {
			iv = [16]byte(w.sent[4].b[len(w.sent[4].b)-16:])
		}
		plain, _, ok := key.open(d.b, iv)
		n, err := isakmp.ChainLen(isakmp.PayloadID, plain)
		if !ok || err != nil || !zero(plain[n:]) {
			t.Errorf("padding %x, %v", plain[n:], err)
		}
	}
	if b.state != up {
		t.Error("not up")
	}
}

func kePayload(t *testing.T, msg []byte) []byte {
	m, err := readKey(14, isakmp.PayloadKE, msg[isakmp.HeaderLen:])
	if err != nil {
		t.Fatal(err)
	}
	return m.ke
}

// State confusion: every exchange with cookies that nobody knows is met with silence, and DPD or Delete has no effect before there
// is an SA.
func TestAttackStateConfusionUnknownCookies(t *testing.T) {
	w := newWorld(t)
	w.up()
	for _, x := range []isakmp.ExchangeType{2, 4, 5, 32, 33, 35, 240} {
		for _, f := range []isakmp.Flags{0, isakmp.FlagEncryption} {
			h := isakmp.Header{InitiatorCookie: [8]byte{1}, ResponderCookie: [8]byte{0, 5, 2}, Next: isakmp.PayloadHASH, Exchange: x, Flags: f, MessageID: uint32(x)}
			w.silent(fmt.Sprint(x), finish(append(isakmp.AppendHeader(nil, h), make([]byte, 64)...)))
		}
	}
	w.wantIdle()
}

// Informational not authenticated: with one bit of HASH changed, DPD and Delete do nothing.
func TestAttackInformationalNotAuthenticated(t *testing.T) {
	w := newWorld(t)
	a, b := w.up()
	bodies := map[isakmp.PayloadType][]byte{
		isakmp.PayloadN: isakmp.Notify{DOI: 1, Protocol: 1, Type: isakmp.RUThere, SPI: a.spi(), Data: []byte{0, 0, 0, 9}}.Append(nil),
		isakmp.PayloadD: isakmp.Delete{DOI: 1, Protocol: 1, SPISize: 16, SPIs: [][]byte{a.spi()}}.Append(nil),
	}
	for typ, body := range bodies {
		chain := isakmp.AppendPayload(nil, 0, body)
		for bit := range 256 {
			id := w.a.e.messageID(a)
			hash := a.hash(isakmp.ExchangeInformational, id, chain, nil)
			hash[bit/8] ^= 1 << (bit % 8)
			msg := isakmp.AppendPayload(a.header(isakmp.PayloadHASH, isakmp.ExchangeInformational, isakmp.FlagEncryption, id), typ, hash)
			msg, _ = a.keys.seal(append(msg, chain...), a.suite.exchangeIV(a.iv, id))
			if moved := w.silent("bit", msg); moved[string(dropHash)] != 1 {
				t.Fatalf("%v, bit %d: %v", typ, bit, moved)
			}
		}
		// None of HASH, half of it, and too much.
		for _, n := range []int{0, 16, 33} {
			id := w.a.e.messageID(a)
			hash := append(a.hash(isakmp.ExchangeInformational, id, chain, nil), 0)[:n]
			msg := isakmp.AppendPayload(a.header(isakmp.PayloadHASH, isakmp.ExchangeInformational, isakmp.FlagEncryption, id), typ, hash)
			msg, _ = a.keys.seal(append(msg, chain...), a.suite.exchangeIV(a.iv, id))
			w.silent("length", msg)
		}
	}
	if b.state != up {
		t.Error("the SA is gone")
	}
}

// Bad DH value, on the curves: off the curve, coordinates from the prime on, the wrong length, a form that is compressed, all zeros.
func TestAttackBadDHValueOfCurve(t *testing.T) {
	for _, group := range []int{19, 20, 21} {
		c := groups[group].(*ecp)
		x := bytes.Repeat([]byte{1}, c.size)
		good, err := DHPublic(group, x)
		if err != nil {
			t.Fatal(err)
		}
		with := func(change func(b []byte)) []byte {
			b := bytes.Clone(good)
			change(b)
			return b
		}
		for name, v := range map[string][]byte{
			"off the curve": with(func(b []byte) { b[len(b)-1] ^= 1 }),
			"over p":        with(func(b []byte) { copy(b, bytes.Repeat([]byte{255}, c.size)) }),
			"zeros":         make([]byte, 2*c.size),
			"short":         good[1:],
			"x only":        good[:c.size],
			"long":          append(bytes.Clone(good), 0),
			"with form":     append([]byte{4}, good...),
			"compressed":    append([]byte{2}, good[:c.size]...),
			"infinity":      {0},
			"empty":         {},
		} {
			if CheckPublic(group, v) == nil {
				t.Errorf("group %d: %s passes", group, name)
			}
			if _, err := DHShared(group, x, v); err == nil {
				t.Errorf("group %d: %s is multiplied", group, name)
			}
			w := newWorld(t, func(g *step.Gateway) { g.Proposals[0].DHGroup = group })
			w.b.hold = true
			w.net = func(d wire) []wire {
				h, _ := isakmp.ParseHeader(d.b)
				if h.Next != isakmp.PayloadKE {
					return []wire{d}
				}
				msg := isakmp.AppendPayload(isakmp.AppendHeader(nil, h), isakmp.PayloadNONCE, v)
				return []wire{{d.from, d.to, finish(isakmp.AppendPayload(msg, 0, make([]byte, 32)))}}
			}
			w.connect()
			if len(w.b.held) != 0 || w.b.e.count[string(dropPublic)] != 1 || w.b.e.half.pinned != 0 {
				t.Errorf("group %d: %s: %d computations, %v", group, name, len(w.b.held), w.b.e.count)
			}
		}
	}
}

// RSA-encryption authentication oracles, and weak algorithms: no transform with them is ever accepted. (PSK guessing: nor is
// aggressive mode answered.)
func TestAttackRSAEncryptionAndWeakSuites(t *testing.T) {
	suites := 0
	for auth := range uint16(12) {
		for hash := range uint16(8) {
			for _, group := range []uint16{1, 2, 5, 14, 17, 18, 19, 22, 23, 25, 26} {
				b := isakmp.AppendAttrBasic(nil, attrCipher, cipherAESCBC)
				b = isakmp.AppendAttrBasic(b, attrKeyBits, 256)
				b = isakmp.AppendAttrBasic(b, attrHash, hash)
				b = isakmp.AppendAttrBasic(b, attrGroup, group)
				b = isakmp.AppendAttrBasic(b, attrAuth, auth)
				s := isakmp.SA{DOI: 2, Proposals: []isakmp.Proposal{{Number: 1, Protocol: 1, Transforms: []isakmp.Transform{{Number: 1, ID: 1, Attrs: b}}}}}
				if o, ok := readOffer(s.Proposals[0].Transforms[0]); ok && (auth != authNumbers[o.auth] || o.auth == 0 && auth != 1 || hash < 4 || hash > 6) {
					t.Errorf("auth %d, hash %d: %+v", auth, hash, o)
				}
				if _, _, ok := choose(gatewayTo(addrA).Proposals, s); ok {
					suites++
				}
			}
		}
	}
	if suites != 1 {
		t.Errorf("%d of the offers are the configured one", suites)
	}
	w := newWorld(t)
	_, msg := message1Of(t)
	msg[18] = byte(isakmp.ExchangeAggressive)
	if moved := w.silent("aggressive mode", msg); moved[string(dropAggro)] != 1 {
		t.Errorf("%v", moved)
	}
}

// PSK guessing: an identity that is not the configured one, under the right key, and the right one under the wrong key look the
// same from outside: no answer, and as much work.
func TestAttackPSKGuessing(t *testing.T) {
	identity := func(g *step.Gateway) {
		g.LocalID = step.Identity{Kind: step.Hostname, Value: "somebody.example"}
	}
	key := func(g *step.Gateway) { g.PSK = sa.Secret("not-the-one-it-is") }
	var spent [2][]time.Duration
	for range 40 {
		for i, change := range []func(*step.Gateway){identity, key} {
			w := newWorld(t)
			w.a.e.SetGateway(w.now, gatewayTo(addrB, change))
			w.net = func(d wire) []wire {
				if h, _ := isakmp.ParseHeader(d.b); h.Flags == isakmp.FlagEncryption {
					return nil
				}
				return []wire{d}
			}
			w.connect()
			msg := w.sent[len(w.sent)-1].b
			runtime.GC()
			began := time.Now()
			moved := w.silent("message 5", msg)
			spent[i] = append(spent[i], time.Since(began))
			if len(moved) == 0 || w.b.last().state != waitAuth || len(w.sent) != 5 {
				t.Fatalf("%v, %d sent", moved, len(w.sent))
			}
		}
	}
	middle := func(l []time.Duration) time.Duration { slices.Sort(l); return l[len(l)/2] }
	// The same work within what a loaded machine lets one see: leaving out HASH would be more than this.
	if one, other := middle(spent[0]), middle(spent[1]); one > 3*other || other > 3*one {
		t.Errorf("%v for an unknown identity, %v for a wrong key", one, other)
	}
}

// Auth bypass: identities are bound to keys. The key of one gateway does not open another one's SA by naming its identity, and no
// exchange runs before both HASHes are verified (TestAttackStateConfusion tries each message in each state).
func TestAttackAuthBypass(t *testing.T) {
	other := netip.MustParseAddrPort("198.51.100.3:848")
	w := newWorld(t)
	w.b.e.SetGateway(w.now, gatewayTo(other, func(g *step.Gateway) { g.Name, g.PSK = "other", sa.Secret("the-key-of-the-other") }))
	// a has its own key and says that it is the other.
	w.a.e.SetGateway(w.now, gatewayTo(addrB, func(g *step.Gateway) {
		g.LocalID = step.Identity{Kind: step.Inet, Value: other.Addr().String()}
	}))
	w.connect()
	if w.b.last().state != waitAuth || w.b.e.count[string(dropIdentity)] != 1 {
		t.Errorf("%v", w.b.e.count)
	}
	w.b.want()
	// Nor does a begin anything.
	w.a.e.Do(w.now, Begin{SA: w.a.last().id, Exchange: isakmp.ExchangePull, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 8)})
	if got := w.a.said(); !strings.Contains(got, "not up") {
		t.Error(got)
	}
}

// Half-open flood, cookie exhaustion: 100,000 first messages from forged addresses fill the table and take no more memory than that, an
// SA that is up works during them, and afterwards all is as before.
func TestAttackHalfOpenFlood100000(t *testing.T) {
	w := newWorld(t)
	a, _ := w.up()
	var forged []netip.AddrPort
	for i := range 500 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i / 100), byte(i), 9}), 848)
		forged = append(forged, from)
		w.b.e.SetGateway(w.now, gatewayTo(from, func(g *step.Gateway) { g.Name = from.String() }))
	}
	_, msg := message1Of(t)
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			binary.BigEndian.PutUint32(msg, uint32(i)|1<<31)
			w.b.e.HandleDatagram(w.now, addrB, forged[i%len(forged)], msg)
			for _, ok := w.b.e.Next(); ok; _, ok = w.b.e.Next() {
			}
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	empty := heap()
	flood(0, 20000)
	before := heap()
	if before > empty+12<<20 {
		t.Errorf("%d octets in use, and %d with the table full", empty, before)
	}
	for i := range 16 {
		flood(5000*(i+4), 5000*(i+5))
		w.begin(a.id, uint64(i))
		w.pull()
		w.pull()
		w.pull()
		if got := w.a.said(); !strings.Contains(got, "message 4") {
			t.Fatalf("after %d: %s", 5000*(i+5), got)
		}
		w.sent = nil
	}
	if after := heap(); after > before+256<<10 {
		t.Errorf("%d octets in use after 20,000, %d after 100,000", before, after)
	}
	if w.b.e.half.n() != w.b.e.o.MaxHalfOpen || len(w.b.e.sas) != 1 {
		t.Errorf("%d half-open, %d SAs", w.b.e.half.n(), len(w.b.e.sas))
	}
	w.run(31 * time.Second)
	if w.b.e.half.n() != 0 {
		t.Errorf("%d half-open after they expired", w.b.e.half.n())
	}
	if after := heap(); after > empty+1<<20 {
		t.Errorf("%d octets in use before, %d afterwards", empty, after)
	}
}

// A network's flood pushes out itself: a peer of another network goes on at its leisure, however many addresses are forged.
func TestAttackHalfOpenFloodOfNetwork(t *testing.T) {
	w := newWorld(t)
	var forged []netip.AddrPort
	for i := range 256 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 848)
		forged = append(forged, from)
		w.b.e.SetGateway(w.now, gatewayTo(from, func(g *step.Gateway) { g.Name = from.String() }))
	}
	flooded := false
	w.net = func(d wire) []wire {
		if h, err := isakmp.ParseHeader(d.b); err == nil && h.Next == isakmp.PayloadKE && d.from == addrA && !flooded {
			flooded = true
			msg := bytes.Clone(w.sent[0].b)
			for i := range 20000 {
				binary.BigEndian.PutUint32(msg, uint32(i)|1<<31)
				w.b.e.HandleDatagram(w.now, addrB, forged[i*7%256], msg)
				for _, ok := w.b.e.Next(); ok; _, ok = w.b.e.Next() {
				}
			}
		}
		return []wire{d}
	}
	w.up()
	if !flooded {
		t.Error("no flood")
	}
}

// The cookie of a slot that was used again is still known to be ours, for the count; a cookie that is not ours is not. No use of a
// slot gives the same cookie twice, whatever is replayed.
func TestAttackCookies(t *testing.T) {
	_, msg := message1Of(t)
	w := newWorld(t)
	w.b.e.o.MaxHalfOpen = 2
	w.b.e.half = halfOpen{timer: w.b.e.half.timer}
	seen := map[[8]byte]bool{}
	first := [8]byte{}
	for i := range 2000 {
		at := start{[8]byte(msg), addrB, addrA}
		c := w.b.e.takeSlot(w.now, at).cookie
		w.b.e.half.release(w.b.e.half.index[at])
		if seen[c] || [4]byte(c[:4]) == [4]byte{} {
			t.Fatalf("use %d: cookie %x again", i, c)
		}
		if seen[c] = true; i == 1999 {
			first = c
		}
	}
	h := isakmp.Header{InitiatorCookie: [8]byte(msg), ResponderCookie: first, Next: isakmp.PayloadKE, Exchange: isakmp.ExchangeMain}
	m3 := finish(append(isakmp.AppendHeader(nil, h), make([]byte, 64)...))
	if moved := w.silent("late", m3); moved[string(dropLate)] != 1 {
		t.Errorf("%v", moved)
	}
	for at := range 16 {
		bad := bytes.Clone(m3)
		bad[at] ^= 0x10
		if moved := w.silent("forged", bad); moved[string(dropCookies)] != 1 {
			t.Errorf("octet %d: %v", at, moved)
		}
	}
	w.b.e.HandleDatagram(w.now, addrB, netip.MustParseAddrPort("198.51.100.9:848"), m3)
	if w.b.e.count[string(dropCookies)] != 17 {
		t.Error("the cookie is good for another address")
	}
}

// Amplification: a responder never sends on a timer, a slot answers a repeated message 1 with as many octets again, and the
// refusals that strangers can ask for are counted out.
func TestAttackAmplificationByTime(t *testing.T) {
	w, msg := message1Of(t)
	w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.DPD = nil }))
	w.deliver(wire{addrA, addrB, msg})
	answer := w.sent[len(w.sent)-1].b
	w.a.e.discard(w.a.last())
	sent := len(w.sent)
	w.run(20 * time.Second)
	if len(w.sent) != sent {
		t.Errorf("%d datagrams on a timer", len(w.sent)-sent)
	}
	w.deliver(wire{addrA, addrB, msg})
	if again := w.sent[len(w.sent)-1].b; len(w.sent) != sent+1 || !bytes.Equal(again, answer) || len(answer) > len(msg) {
		t.Errorf("%d datagrams, %x after %x", len(w.sent)-sent, again, answer)
	}
	w.run(40 * time.Second)

	w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.Proposals[0].KeyBits = 192 }))
	sent = len(w.sent)
	for i := range 1000 {
		msg[0] = byte(i) | 1
		w.deliver(wire{addrA, addrB, msg})
	}
	if n := len(w.sent) - sent; n != 100 || w.b.e.count[string(tallyUnrefused)] != 900 {
		t.Errorf("%d refusals in no time, %v", n, w.b.e.count)
	}
	w.now = w.now.Add(500 * time.Millisecond)
	for range 1000 {
		w.deliver(wire{addrA, addrB, msg})
	}
	if n := len(w.sent) - sent; n != 150 {
		t.Errorf("%d refusals after half a second more, want 150", n)
	}
}

// Key hygiene, of the log: however many gateways are attacked, strangers fill a line a second of it.
func TestAttackLogFlood(t *testing.T) {
	w, msg := message1Of(t)
	var from []netip.AddrPort
	for i := range 300 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 848)
		from = append(from, a)
		w.b.e.SetGateway(w.now, gatewayTo(a, func(g *step.Gateway) { g.Name, g.Proposals[0].KeyBits = a.String(), 192 }))
	}
	for range 10 {
		for _, a := range from {
			w.deliver(wire{a, addrB, msg})
		}
	}
	lines := 0
	for _, o := range w.b.take() {
		if _, ok := o.(turn.Notify); ok {
			lines++
		}
	}
	if lines != 60 || w.b.e.count[string(tallySilent)] != 2940 {
		t.Errorf("%d lines, %v", lines, w.b.e.count)
	}
}

// What is refused is counted by kind, once: one datagram for each kind that no other test asserts.
func TestCountersByKind(t *testing.T) {
	w := newWorld(t)
	a, b := w.up()
	_, m1 := message1Of(t)
	alter := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	under := func(x isakmp.ExchangeType, f isakmp.Flags, id uint32) []byte {
		return finish(append(a.header(isakmp.PayloadHASH, x, f, id), make([]byte, 64)...))
	}
	const encrypted = isakmp.FlagEncryption
	for _, c := range []struct {
		name string
		msg  []byte
		want drop
	}{
		{"message 1 with a flag", alter(m1, 19, 1), dropFlags},
		{"message 1 with a message ID", alter(m1, 23, 1), dropMessageID},
		{"message 1 in aggressive mode with a message ID", alter(alter(m1, 23, 1), 18, 4), dropMessageID},
		{"message 1 without a cookie", append(make([]byte, 8), m1[8:]...), dropCookies},
		{"base mode", alter(m1, 18, 1), dropExchange},
		{"authentication only", alter(m1, 18, 3), dropExchange},
		{"a push", alter(m1, 18, 33), dropExchange},
		{"main mode under an SA", under(isakmp.ExchangeMain, encrypted, 0), dropState},
		{"aggressive mode under an SA", under(isakmp.ExchangeAggressive, encrypted, 0), dropState},
		{"a pull in the clear", under(isakmp.ExchangePull, 0, 7), dropClear},
		{"a pull with the commit flag", under(isakmp.ExchangePull, encrypted|2, 7), dropFlags},
		{"a pull without a message ID", under(isakmp.ExchangePull, encrypted, 0), dropMessageID},
		{"a pull of nobody", under(isakmp.ExchangePull, encrypted, 7), dropHash},
		{"an Informational in the clear", under(isakmp.ExchangeInformational, 0, 7), dropClear},
		{"an Informational with the commit flag", under(isakmp.ExchangeInformational, encrypted|2, 7), dropFlags},
		{"an Informational without a message ID", under(isakmp.ExchangeInformational, encrypted, 0), dropMessageID},
	} {
		moved := w.silent(c.name, c.msg)
		if c.want == dropHash { // under a wrong key the chain breaks, or the hash is wrong
			if len(moved) != 1 {
				t.Errorf("%s: %v", c.name, moved)
			}
			continue
		}
		if len(moved) != 1 || moved[string(c.want)] != 1 {
			t.Errorf("%s: %v, want %s", c.name, moved, c.want)
		}
	}

	// What happens, too.
	count := func(n *node, d drop, want uint64) {
		t.Helper()
		if got := n.e.count[string(d)]; got != want {
			t.Errorf("%s: %d, want %d", d, got, want)
		}
	}
	count(w.a, tallyInitiated, 1)
	count(w.b, tallyAnswered, 1)
	w.a.e.Do(w.now, Delete{Gateway: "peer"})
	w.settle()
	count(w.b, tallyDeleted, 1)
	if b.state != gone {
		t.Error("the SA is there")
	}
	w.net = func(d wire) []wire { // b hears messages 1 and 3, a nothing but message 2
		if h, _ := isakmp.ParseHeader(d.b); d.from == addrB && h.Next == isakmp.PayloadKE {
			return nil
		}
		return []wire{d}
	}
	w.connect()
	w.run(31 * time.Second)
	count(w.a, tallyFailed, 1)
	count(w.a, tallyResent, 3)
	count(w.b, tallyExpired, 1)
}
