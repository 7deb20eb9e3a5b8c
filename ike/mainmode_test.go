package ike

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

func TestMainMode(t *testing.T) {
	w := newWorld(t)
	w.connect()
	want := []struct {
		from, to  netip.AddrPort
		first     isakmp.PayloadType
		encrypted bool
	}{
		{addrA, addrB, isakmp.PayloadSA, false},
		{addrB, addrA, isakmp.PayloadSA, false},
		{addrA, addrB, isakmp.PayloadKE, false},
		{addrB, addrA, isakmp.PayloadKE, false},
		{addrA, addrB, isakmp.PayloadID, true},
		{addrB, addrA, isakmp.PayloadID, true},
	}
	if len(w.sent) != len(want) {
		t.Fatalf("%d messages, want %d", len(w.sent), len(want))
	}
	for i, m := range want {
		h, err := isakmp.ParseHeader(w.sent[i].b)
		if err != nil || w.sent[i].from != m.from || w.sent[i].to != m.to || h.Next != m.first || (h.Flags == 1) != m.encrypted ||
			h.Exchange != isakmp.ExchangeMain || h.MessageID != 0 {
			t.Errorf("message %d: %+v %v", i+1, h, err)
		}
	}
	w.a.want("up 1")
	w.b.want("up 1")
	w.wantIdle()
	a, b := w.a.e.State().SAs[0], w.b.e.State().SAs[0]
	if a.Status != Established || a.InitiatorCookie != b.InitiatorCookie || a.ResponderCookie != b.ResponderCookie || !a.Initiator || b.Initiator ||
		a.LocalID != "198.51.100.1" || b.RemoteID != "198.51.100.1" || a.Expires != epoch.Add(24*time.Hour) || a.InPackets != 3 || b.OutPackets != 3 {
		t.Errorf("state: %+v\n%+v", a, b)
	}

	// Connect again: the SA is up, so Up is said again and nothing is sent.
	w.connect()
	w.a.want("up 1")
	w.wantIdle()
	if len(w.sent) != 6 {
		t.Error("a second Connect sent something")
	}
}

func TestSuites(t *testing.T) {
	for _, hash := range []sa.Hash{sa.SHA256, sa.SHA384, sa.SHA512} {
		for group := range groups {
			for _, bits := range []int{128, 192, 256} {
				t.Run(fmt.Sprint(hash, group, bits), func(t *testing.T) {
					w := newWorld(t, func(g *step.Gateway) {
						g.Proposals = []step.Proposal{{Hash: hash, DHGroup: group, KeyBits: bits}}
					})
					a, b := w.up()
					if a.suite != b.suite || a.suite != (suite{hash: hash, bits: uint16(bits), group: uint16(group)}) || a.life != DefaultLifetime {
						t.Errorf("agreed on %+v and %+v", a.suite, b.suite)
					}
					if a.iv != b.iv || !a.keys.e.Equal(b.keys.e) {
						t.Error("keys differ")
					}
				})
			}
		}
	}
}

// Proposals are tried in the responder's order of preference.
func TestProposalOrder(t *testing.T) {
	w := newWorld(t)
	weak := step.Proposal{Hash: sa.SHA256, DHGroup: 14, KeyBits: 128}
	strong := step.Proposal{Hash: sa.SHA384, DHGroup: 14, KeyBits: 256}
	w.a.e.SetGateway(w.now, gatewayTo(addrB, func(g *step.Gateway) { g.Proposals = []step.Proposal{weak, strong} }))
	w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.Proposals = []step.Proposal{strong, weak} }))
	a, _ := w.up()
	if a.suite.bits != 256 {
		t.Errorf("agreed on %+v", a.suite)
	}
	s, err := isakmp.ParseSA(offered([]step.Proposal{weak, strong}).Append(nil))
	if err != nil || len(s.Proposals) != 1 || len(s.Proposals[0].Transforms) != 2 {
		t.Errorf("offer: %+v %v", s, err)
	}
}

func TestIdentities(t *testing.T) {
	host := func(v string) step.Identity { return step.Identity{Kind: step.Hostname, Value: v} }
	for _, c := range []struct {
		name                   string
		aLocal, bRemote        step.Identity
		bLocal, aRemote        step.Identity
		ok                     bool
		wantAtB, wantB, wantDr string
	}{
		{name: "addresses", ok: true, wantAtB: "198.51.100.1"},
		{name: "hostname", aLocal: host("gm.example"), bRemote: host("GM.example"), ok: true, wantAtB: `"gm.example"`},
		{
			name: "user", aLocal: step.Identity{Kind: step.UserAtHostname, Value: "u@h"}, bRemote: step.Identity{Kind: step.UserAtHostname, Value: "u@h"},
			ok: true, wantAtB: `"u@h"`,
		},
		{
			name: "inet", aLocal: step.Identity{Kind: step.Inet, Value: "192.0.2.7"}, bRemote: step.Identity{Kind: step.Inet, Value: "192.0.2.7"},
			ok: true, wantAtB: "192.0.2.7",
		},
		{name: "other hostname", aLocal: host("gm.example"), bRemote: host("other.example")},
		{name: "hostname where an address is wanted", aLocal: host("198.51.100.1")},
		{name: "responder's is wrong", bLocal: host("a"), aRemote: host("b")},
		{name: "hostname of another kind", aLocal: host("u@h"), bRemote: step.Identity{Kind: step.UserAtHostname, Value: "u@h"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.a.e.SetGateway(w.now, gatewayTo(addrB, func(g *step.Gateway) { g.LocalID, g.RemoteID = c.aLocal, c.aRemote }))
			w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.LocalID, g.RemoteID = c.bLocal, c.bRemote }))
			if c.ok {
				_, b := w.up()
				if got := b.look().RemoteID; got != c.wantAtB {
					t.Errorf("identity %s, want %s", got, c.wantAtB)
				}
				return
			}
			w.connect()
			w.run(6 * time.Second)
			w.a.want("failed sa 0 token 0: no answer to message 5: do pre-shared key and identities agree?")
			if n := w.a.e.count["identity-mismatch"] + w.b.e.count["identity-mismatch"]; n == 0 {
				t.Error("mismatch not counted")
			}
		})
	}
}

// The initiator repeats at 0.5, 1.5 and 3.5 s and gives up at 5.5 s.
func TestNoAnswer(t *testing.T) {
	w := newWorld(t)
	var at []time.Duration
	w.net = func(wire) []wire {
		at = append(at, w.now.Sub(epoch))
		return nil
	}
	w.connect()
	w.run(5499 * time.Millisecond)
	w.a.want()
	w.run(time.Millisecond)
	w.a.want("failed sa 0 token 0: no answer to message 1")
	if got := fmt.Sprint(at); got != "[0s 500ms 1.5s 3.5s]" {
		t.Errorf("sent at %s", got)
	}
	if len(w.a.e.sas)+len(w.a.e.byCookie)+len(w.a.e.ours)+len(w.a.e.timers.h) != 0 {
		t.Error("something stays behind")
	}
}

func TestWrongPSK(t *testing.T) {
	w := newWorld(t)
	w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.PSK = sa.Secret("another-key-altogether") }))
	w.connect()
	w.run(time.Second)
	complaints := 0
	for _, o := range w.b.take() {
		if n, ok := o.(turn.Notify); ok && n.Code == "IKE_AUTHENTICATION_FAILED" {
			complaints++
			if strings.Contains(n.Text, "horse") {
				t.Error("a key in a notification")
			}
		}
	}
	if complaints != 1 {
		t.Errorf("%d notifications, want 1 however often the message comes", complaints)
	}
	w.run(40 * time.Second)
	w.a.want("failed sa 0 token 0: no answer to message 5: do pre-shared key and identities agree?")
	w.b.want()
	if len(w.b.e.sas) != 0 || w.b.e.half.n()+w.b.e.half.pinned != 0 {
		t.Error("the responder keeps a negotiation that failed")
	}
}

func TestNoProposal(t *testing.T) {
	w := newWorld(t)
	w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.Proposals[0].KeyBits = 128 }))
	w.connect()
	w.run(6 * time.Second)
	w.a.want("failed sa 0 token 0: no answer to message 1; the peer said, unauthenticated: NO-PROPOSAL-CHOSEN")
	w.b.want()
	if len(w.b.e.sas) != 0 || w.b.e.count["no-proposal-chosen"] != 4 {
		t.Errorf("%v", w.b.e.count)
	}
	for i := 0; i+1 < len(w.sent); i += 2 {
		if len(w.sent[i+1].b) > len(w.sent[i].b) {
			t.Errorf("a refusal of %d octets for a request of %d", len(w.sent[i+1].b), len(w.sent[i].b))
		}
	}
}

// A refused peer may send as much as it likes: the log hears of it once in ten seconds.
func TestAttackLogFloodOfGateway(t *testing.T) {
	w := newWorld(t)
	w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.Proposals[0].KeyBits = 128 }))
	w.connect()
	msg := w.sent[0]
	w.b.take()
	for range 50 {
		w.now = w.now.Add(time.Second)
		w.deliver(msg)
	}
	if n := len(w.b.take()); n != 5 {
		t.Errorf("%d notifications in 50 s, want 5", n)
	}
}

// "The initiator MUST NOT accept what it did not offer": a transform altered on the way is refused, and the real answer
// still counts.
func TestAttackDowngrade(t *testing.T) {
	w := newWorld(t)
	w.net = func(d wire) []wire {
		if h, _ := isakmp.ParseHeader(d.b); d.from != addrB || h.Next != isakmp.PayloadSA {
			return []wire{d}
		}
		var out []wire
		for _, change := range []func(s *isakmp.SA){
			func(s *isakmp.SA) {
				s.Proposals[0].Transforms[0].Attrs = offer{suite: suite{hash: sa.SHA256, bits: 128, group: 14}, life: time.Hour}.attrs()
			},
			func(s *isakmp.SA) {
				s.Proposals[0].Transforms = append(s.Proposals[0].Transforms, s.Proposals[0].Transforms[0])
			},
			func(s *isakmp.SA) { s.Proposals = append(s.Proposals, s.Proposals[0]) },
			func(s *isakmp.SA) { s.Proposals[0].Protocol = 3 },
			func(s *isakmp.SA) { s.DOI = 0 },
		} {
			m, err := readSA(isakmp.PayloadSA, d.b[isakmp.HeaderLen:])
			if err != nil {
				t.Fatal(err)
			}
			change(&m.sa)
			msg := isakmp.AppendPayload(bytes.Clone(d.b[:isakmp.HeaderLen]), 0, m.sa.Append(nil))
			out = append(out, wire{d.from, d.to, finish(msg)})
		}
		return append(out, d)
	}
	w.up()
	if w.a.e.count["transform-not-offered"] != 4 || w.a.e.count["malformed-unsupported-doi"] != 1 {
		t.Errorf("%v", w.a.e.count)
	}
}

// What others answer: strongSwan returns DOI 1 and situation 1.
func TestDOIs(t *testing.T) {
	for _, c := range []struct {
		doi, situation uint32
		ok             bool
	}{{1, 1, true}, {1, 0, true}, {2, 1, true}, {2, 0, true}, {0, 0, false}, {3, 0, false}, {2, 2, false}} {
		if err := checkDOI(isakmp.SA{DOI: c.doi, Situation: c.situation}); (err == nil) != c.ok {
			t.Errorf("DOI %d situation %d: %v", c.doi, c.situation, err)
		}
	}
}

// What we begin bears DOI 2 and situation 0 (RFC 6407 section 2.1), or what IKE daemons that know no GDOI want.
func TestOptionDOI(t *testing.T) {
	for doi, want := range map[uint32]string{0: "0000000200000000", 2: "0000000200000000", 1: "0000000100000001"} {
		w := newWorld(t)
		a := w.add(addrA, 1, Options{WorkBase: 1 << 56, DOI: doi}, gatewayTo(addrB))
		w.a = a
		w.up()
		if got := fmt.Sprintf("%x", w.sent[0].b[isakmp.HeaderLen+isakmp.GenericLen:][:8]); got != want {
			t.Errorf("DOI %d: the SA begins with %s, want %s", doi, got, want)
		}
	}
}

func TestOffers(t *testing.T) {
	ok := offer{suite: suite{hash: sa.SHA256, bits: 256, group: 14}, life: time.Hour}
	read := func(attrs []byte) (offer, bool) {
		return readOffer(isakmp.Transform{Number: 1, ID: isakmp.KeyIKE, Attrs: attrs})
	}
	if got, is := read(ok.attrs()); !is || got != ok {
		t.Fatalf("%+v %v", got, is)
	}
	add := func(typ, v uint16) []byte { return isakmp.AppendAttrBasic(ok.attrs(), typ, v) }
	for name, attrs := range map[string][]byte{
		"empty":             nil,
		"unknown attribute": add(13, 1),
		"cipher twice":      add(attrCipher, cipherAESCBC),
		"duration alone":    add(attrLife, 10),
		"life of zero":      isakmp.AppendAttrBasic(add(attrLifeType, 1), attrLife, 0),
		"life type 3":       isakmp.AppendAttrBasic(add(attrLifeType, 3), attrLife, 10),
		"value of 9 octets": isakmp.AppendAttr(ok.attrs(), 20, make([]byte, 9)),
		"3DES":              {0x80, 1, 0, 5, 0x80, 2, 0, 4, 0x80, 3, 0, 1, 0x80, 4, 0, 14},
		"AES without size":  {0x80, 1, 0, 7, 0x80, 2, 0, 4, 0x80, 3, 0, 1, 0x80, 4, 0, 14},
		"MD5":               {0x80, 1, 0, 7, 0x80, 14, 1, 0, 0x80, 2, 0, 1, 0x80, 3, 0, 1, 0x80, 4, 0, 14},
		"DSS":               {0x80, 1, 0, 7, 0x80, 14, 1, 0, 0x80, 2, 0, 4, 0x80, 3, 0, 2, 0x80, 4, 0, 14},
	} {
		if o, is := read(attrs); is {
			t.Errorf("%s: accepted as %+v", name, o)
		}
	}
	// A volume limit beside the time limit is not ours to keep; a huge or short-form life is read as what it means.
	if o, is := read(isakmp.AppendAttrBasic(add(attrLifeType, lifeKilobyte), attrLife, 10)); !is || o.life != time.Hour {
		t.Errorf("%+v %v", o, is)
	}
	basic := isakmp.AppendAttrBasic(isakmp.AppendAttrBasic(ok.attrs()[:20], attrLifeType, 1), attrLife, 600)
	if o, is := read(basic); !is || o.life != 600*time.Second {
		t.Errorf("%+v %v", o, is)
	}
	huge := isakmp.AppendAttr(isakmp.AppendAttrBasic(ok.attrs()[:20], attrLifeType, 1), attrLife, bytes.Repeat([]byte{255}, 8))
	if o, is := read(huge); !is || o.life != MaxLifetime {
		t.Errorf("%+v %v", o, is)
	}
}

// Before message 3 the answer is never longer than the request, however short that is.
func TestAttackAmplification(t *testing.T) {
	w := newWorld(t)
	for _, vid := range []bool{false, true} {
		s := offered(gatewayTo(addrA).Proposals)
		msg := isakmp.AppendHeader(nil, isakmp.Header{InitiatorCookie: [8]byte{1, 2, 3, 4, 5, 6, 7, byte(len(w.sent))}, Next: isakmp.PayloadSA, Exchange: isakmp.ExchangeMain})
		next := isakmp.NoPayload
		if vid {
			next = isakmp.PayloadVID
		}
		msg = isakmp.AppendPayload(msg, next, s.Append(nil))
		if vid {
			msg = isakmp.AppendPayload(msg, 0, isakmp.VendorDPD[:])
		}
		before := len(w.sent)
		w.deliver(wire{addrA, addrB, finish(msg)})
		if len(w.sent) != before+1 || len(w.sent[before].b) > len(msg) {
			t.Errorf("vid %v: %d answers to %d octets: %d", vid, len(w.sent)-before, len(msg), len(w.sent[before].b))
		}
	}
}

// An SA of many transforms fits, up to a limit: what a stranger has us keep is bounded.
func TestManyTransforms(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		transforms int
		ok         bool
	}{{18, true}, {25, true}, {26, false}} {
		many := make([]step.Proposal, c.transforms) // each 40 octets as we write it
		for i := range many {
			many[i] = gatewayTo(addrA).Proposals[0]
		}
		body := offered(many).Append(nil)
		if ok := len(body) <= maxSAi; ok != c.ok {
			t.Fatalf("%d transforms are %d octets", c.transforms, len(body))
		}
		msg := isakmp.AppendHeader(nil, isakmp.Header{InitiatorCookie: [8]byte{byte(c.transforms)}, Next: isakmp.PayloadSA, Exchange: isakmp.ExchangeMain})
		before, sent := w.b.e.State().Counters[string(dropSize)], len(w.sent)
		w.deliver(wire{addrA, addrB, finish(isakmp.AppendPayload(msg, 0, body))})
		dropped := w.b.e.State().Counters[string(dropSize)] - before
		if answers := len(w.sent) - sent; c.ok && (answers != 1 || dropped != 0) || !c.ok && (answers != 0 || dropped != 1) {
			t.Errorf("%d transforms, %d octets: %d answers, %d dropped", c.transforms, len(body), answers, dropped)
		}
	}
}

// strongSwan adds a whole block of zeros to a message that is aligned already, and sends INITIAL-CONTACT beside ID and
// HASH; neither matters.
func TestPaddingAndInitialContact(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w2 := newWorld(t)
	w2.net = func(d wire) []wire {
		h, _ := isakmp.ParseHeader(d.b)
		if d.from != addrA || h.Flags == 0 {
			return []wire{d}
		}
		// Written again as the peer would: from the initiator's own state.
		p := w2.a.last()
		id := p.localID.Append(nil)
		msg := isakmp.AppendPayload(p.header(isakmp.PayloadID, isakmp.ExchangeMain, isakmp.FlagEncryption, 0), isakmp.PayloadHASH, id)
		msg = isakmp.AppendPayload(msg, isakmp.PayloadN, p.auth(true, id))
		msg = isakmp.AppendPayload(msg, isakmp.NoPayload, isakmp.Notify{DOI: 1, Protocol: 1, Type: isakmp.InitialContact, SPI: p.spi()}.Append(nil))
		for (len(msg)-isakmp.HeaderLen)%16 != 0 {
			msg = append(msg, 0)
		}
		var gxi, gxr []byte = p.public, p.peer
		msg, p.iv = p.keys.seal(append(msg, make([]byte, 16)...), p.suite.firstIV(gxi, gxr))
		return []wire{{d.from, d.to, msg}}
	}
	w2.up()
}

// The responder answers to the source it saw, and only that source goes on with the negotiation.
func TestOtherPort(t *testing.T) {
	w := newWorld(t)
	strange := netip.MustParseAddrPort("198.51.100.1:500")
	w.connect()
	first := w.sent[0]
	w = newWorld(t)
	w.deliver(wire{strange, addrB, first.b})
	if len(w.sent) != 1 || w.sent[0].to != strange {
		t.Fatalf("%+v", w.sent)
	}
	h, _ := isakmp.ParseHeader(w.sent[0].b)
	h.Next = isakmp.PayloadKE
	w.deliver(wire{addrA, addrB, finish(isakmp.AppendHeader(nil, h))})
	if w.b.e.count["wrong-address"] != 1 {
		t.Errorf("%v", w.b.e.count)
	}
}

func TestAttackBadDHValue(t *testing.T) {
	for _, group := range []int{14, 15, 16, 24} {
		m := groups[group].(*modp)
		edge := func(d int) []byte {
			v := bytes.Clone(m.p)
			v[len(v)-1] += byte(d)
			return v
		}
		small := func(n byte) []byte {
			v := make([]byte, m.size)
			v[m.size-1] = n
			return v
		}
		for name, v := range map[string][]byte{
			"0": small(0), "1": small(1), "p-1": edge(-1), "p": edge(0), "over p": bytes.Repeat([]byte{255}, m.size),
			"short": small(2)[1:], "long": append([]byte{0}, small(2)...), "empty": {},
		} {
			if err := CheckPublic(group, v); err == nil {
				t.Errorf("group %d: %s passes", group, name)
			}
			if _, err := DHShared(group, sa.Secret{3}, v); err == nil {
				t.Errorf("group %d: %s is raised to a power", group, name)
			}
			w := newWorld(t, func(g *step.Gateway) { g.Proposals[0].DHGroup = group })
			w.net = func(d wire) []wire {
				h, _ := isakmp.ParseHeader(d.b)
				if h.Next != isakmp.PayloadKE {
					return []wire{d}
				}
				m, err := readKey(group, h.Next, d.b[isakmp.HeaderLen:])
				if err != nil {
					t.Fatal(err)
				}
				msg := isakmp.AppendPayload(isakmp.AppendHeader(nil, h), isakmp.PayloadNONCE, v)
				return []wire{{d.from, d.to, finish(isakmp.AppendPayload(msg, 0, m.nonce))}, d}
			}
			w.b.hold = true
			w.connect()
			if len(w.b.held) != 1 || w.b.e.count["bad-public-value"] != 1 {
				t.Errorf("group %d: %s: %d computations asked for, %v", group, name, len(w.b.held), w.b.e.count)
			}
			w.b.hold = false
			for _, k := range w.b.held {
				w.b.work(k)
			}
			w.settle()
			if w.a.e.count["bad-public-value"] != 1 || w.a.last().state != up || w.b.last().state != up {
				t.Errorf("group %d: %s: the good value does not go through after the bad one", group, name)
			}
		}
		if err := CheckPublic(group, edge(-2)); err != nil {
			t.Error(err)
		}
		if err := CheckPublic(group, small(2)); err != nil {
			t.Error(err)
		}
	}
	// RFC 5114 section 4: values outside the subgroup of prime order leak the exponent. 2 is not in group 24's.
	if _, err := DHShared(24, sa.Secret{3}, append(make([]byte, 255), 2)); err == nil {
		t.Error("group 24: a value outside the subgroup is raised to a power")
	}
	if _, err := DHPublic(2, sa.Secret{3}); err == nil {
		t.Error("group 2 is computed")
	}
}

// A flood from forged addresses keeps to its bounds, and a real peer gets through during it.
func TestAttackHalfOpenFlood(t *testing.T) {
	w := newWorld(t)
	o := Options{MaxHalfOpen: 50, MaxPinnedPerPeer: 4}
	b := New(zeroless{}, o)
	var peers []netip.Addr
	for i := range 200 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		peers = append(peers, a)
		b.SetGateway(w.now, gatewayTo(netip.AddrPortFrom(a, 848), func(g *step.Gateway) { g.Name = a.String() }))
	}
	w.connect()
	msg := bytes.Clone(w.sent[0].b)
	now := epoch
	for i := range 20000 {
		msg[0], msg[1], msg[2] = byte(i), byte(i>>8), byte(i>>16)|0x40
		b.HandleDatagram(now, addrB, netip.AddrPortFrom(peers[i*7%len(peers)], 848), msg)
		for _, ok := b.Next(); ok; _, ok = b.Next() {
		}
		if b.half.n() > 50 || len(b.half.index) > 50 || len(b.sas)+len(b.byCookie)+len(b.byStart)+b.half.pinned > 0 || len(b.timers.h) > 1 {
			t.Fatalf("after %d: %d half-open", i, b.half.n())
		}
		for a, q := range b.half.queues[2] {
			if i > 10000 && q.n > 2 {
				t.Fatalf("%v has %d", a, q.n)
			}
		}
	}
	b.HandleTimeout(now.Add(time.Minute))
	h := &b.half
	if h.n() != 0 || len(h.index)+len(h.queues[0])+len(h.queues[1])+len(h.queues[2])+len(b.timers.h) != 0 || len(h.free) != 50 {
		t.Error("something stays behind")
	}
	if b.count["half-open-evicted"] == 0 {
		t.Error("nothing evicted")
	}
}

// The flood uses the real peer's own address, and the peer still gets through: what it proved is not pushed out.
func TestAttackHalfOpenFloodForgedAddress(t *testing.T) {
	w := newWorld(t)
	w.connect()
	msg := bytes.Clone(w.sent[0].b)
	w = newWorld(t)
	flood := func() {
		for range 100 {
			msg[0]++
			msg[1] += msg[0]
			w.b.e.HandleDatagram(w.now, addrB, addrA, msg)
			for o, ok := w.b.e.Next(); ok; o, ok = w.b.e.Next() {
				if k, is := o.(turn.Work); is {
					w.b.held = append(w.b.held, k)
				}
			}
		}
	}
	w.b.hold = true
	w.connect() // as far as message 3
	if w.b.last().state != compute {
		t.Fatal("not at message 3")
	}
	flood()
	w.b.hold = false
	for _, k := range w.b.held {
		w.b.work(k)
	}
	w.settle()
	if w.a.last().state != up {
		t.Error("pushed out by a flood after message 3")
	}
}

// The same while the peer's message 3 is still on its way: it gets through a flood that does not fill the whole table meanwhile,
// and so does the peer at another address, however long that is.
func TestAttackHalfOpenFloodBeforeMessage3(t *testing.T) {
	for _, c := range []struct {
		from netip.AddrPort
		n    int
		up   bool
	}{{addrA, 16000, true}, {addrA, 16500, false}, {netip.MustParseAddrPort("198.51.100.3:848"), 50000, true}} {
		w := newWorld(t)
		w.b.e.SetGateway(w.now, gatewayTo(c.from, func(g *step.Gateway) {
			if c.from != addrA {
				g.Name = "flooded"
			}
		}))
		flooded := false
		w.net = func(d wire) []wire {
			if h, err := isakmp.ParseHeader(d.b); err == nil && h.Next == isakmp.PayloadKE && d.from == addrA && !flooded {
				flooded = true
				msg := bytes.Clone(w.sent[0].b)
				for i := range c.n {
					msg[0], msg[1], msg[2] = byte(i), byte(i>>8), ^msg[2]
					w.b.e.HandleDatagram(w.now, addrB, c.from, msg)
					for _, ok := w.b.e.Next(); ok; _, ok = w.b.e.Next() {
					}
				}
			}
			return []wire{d}
		}
		w.connect()
		if got := w.a.last() != nil && w.a.last().state == up; got != c.up || !flooded {
			t.Errorf("%d of %v: up %v, want %v", c.n, c.from, got, c.up)
		}
	}
}

// Message 3 makes us compute: an address that does not go on after it is given a few, and no more until they have timed out.
func TestAttackHalfOpenFloodOfMessage3(t *testing.T) {
	w := newWorld(t)
	w.b.e.o.MaxPinnedPerPeer = 3
	w.net = func(d wire) []wire {
		if h, err := isakmp.ParseHeader(d.b); err == nil && h.Flags&isakmp.FlagEncryption != 0 {
			return nil // message 5 never comes
		}
		return []wire{d}
	}
	for range 5 {
		w.connect()
		w.a.e.discard(w.a.last())
	}
	if h := &w.b.e.half; h.pinned != 3 || h.n() != 2 || w.b.e.count["half-open-limit"] != 2 || len(w.b.e.work) != 0 {
		t.Errorf("%d past message 3, %d before it, %v", h.pinned, h.n(), w.b.e.count)
	}
	w.net = nil
	w.run(31 * time.Second)
	w.connect()
	if p := w.a.last(); p == nil || p.state != up {
		t.Error("not up after the others have timed out")
	}
}

// Who finds no room past message 3, since so many others are being computed for, is served when it asks again, without having to
// begin anew: its slot has waited, whatever others have begun meanwhile.
func TestMessage3WaitsForRoom(t *testing.T) {
	for name, c := range map[string]struct{ full, free func(e *Endpoint) }{
		"number": {func(e *Endpoint) { e.o.MaxPinned, e.half.pinned = 1, 1 }, func(e *Endpoint) { e.half.pinned = 0 }},
		"late": {func(e *Endpoint) {
			e.half.delay = maxDelay
			for i := range uint64(fewWorks) {
				e.work[i] = nil
			}
		}, func(e *Endpoint) { delete(e.work, 0) }},
	} {
		w := newWorld(t)
		c.full(w.b.e)
		w.connect()
		if h := &w.b.e.half; h.n() != 1 || w.b.e.count["half-open-limit"] != 1 || len(w.b.e.sas) != 0 {
			t.Fatalf("%s: %d before message 3, %d SAs, %v", name, h.n(), len(w.b.e.sas), w.b.e.count)
		}
		c.free(w.b.e)
		w.run(time.Second)
		if p := w.a.last(); p == nil || p.state != up || w.b.e.count["negotiations-answered"] != 1 || w.b.e.half.delay >= maxDelay {
			t.Errorf("%s: not up, or late: %v, %v", name, w.b.e.half.delay, w.b.e.count)
		}
	}
}

type zeroless struct{}

var counter uint64

func (zeroless) Read(b []byte) (int, error) {
	for i := range b {
		counter = counter*6364136223846793005 + 1442695040888963407
		b[i] = byte(counter >> 33)
	}
	return len(b), nil
}

// A member does not answer its servers' main mode; nobody answers a stranger.
func TestWhoAnswers(t *testing.T) {
	w := newWorld(t)
	w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.Side = step.Member }))
	w.connect()
	if len(w.sent) != 1 || w.b.e.count["gateway-does-not-respond"] != 1 {
		t.Errorf("%d sent, %v", len(w.sent), w.b.e.count)
	}
	w.deliver(wire{netip.MustParseAddrPort("203.0.113.9:848"), addrB, w.sent[0].b})
	// Our own message 1 thrown back at us.
	w.deliver(wire{addrB, addrA, w.sent[0].b})
	if len(w.sent) != 1 || w.b.e.count["no-gateway"] != 1 || w.a.e.count["reflected"] != 1 {
		t.Errorf("%d sent, %v %v", len(w.sent), w.a.e.count, w.b.e.count)
	}
}

func TestLocalAddressSelectsGateway(t *testing.T) {
	e := New(zeroless{}, Options{})
	for _, c := range []struct{ name, local string }{{"any", ""}, {"first", "192.0.2.1"}, {"second", "192.0.2.2"}} {
		e.SetGateway(epoch, gatewayTo(addrA, func(g *step.Gateway) {
			g.Name = c.name
			if c.local != "" {
				g.Local = netip.MustParseAddr(c.local)
			}
		}))
	}
	for local, want := range map[string]string{"192.0.2.1": "first", "192.0.2.2": "second", "192.0.2.3": "any"} {
		if l := e.leads(netip.MustParseAddr(local), addrA.Addr(), false); len(l) == 0 || l[0].c.Name != want {
			t.Errorf("%s: %+v, want %s", local, l, want)
		}
	}
	e.RemoveGateway(epoch, "any")
	if l := e.leads(netip.MustParseAddr("192.0.2.3"), addrA.Addr(), false); len(l) != 0 {
		t.Errorf("found %s after its removal", l[0].c.Name)
	}
}

func TestSupports(t *testing.T) {
	for want, change := range map[string]func(*step.Gateway){
		"": func(*step.Gateway) {},
		"mode base of the policy is not supported": func(g *step.Gateway) { g.Mode = "base" },
		"Main mode for dynamic peer with Preshared key based authentication is not allowed": func(g *step.Gateway) {
			g.Remote, g.Dynamic = nil, step.Identity{Kind: step.Hostname, Value: "a.example.net"}
		},
		"the gateway has an address too": func(g *step.Gateway) { g.Dynamic.Kind = step.Hostname },
		"mode aggressive needs one dh-group in all proposals": func(g *step.Gateway) {
			g.Mode = "aggressive"
			g.Proposals = append(g.Proposals, step.Proposal{Hash: sa.SHA256, DHGroup: 19, KeyBits: 256})
		},
		"mode aggressive with authentication-method rsa-signatures is not supported": func(g *step.Gateway) {
			g.Mode, g.Proposals[0].Auth = "aggressive", step.RSASignatures
		},
		"ecdsa-signatures-384 with sha-256 is not supported: it needs sha-384": func(g *step.Gateway) { g.Proposals[0].Auth = step.ECDSASignatures384 },
		"proposal q: pre-shared-keys beside rsa-signatures": func(g *step.Gateway) {
			g.Proposals[0].Auth = step.RSASignatures
			g.Proposals = append(g.Proposals, step.Proposal{Name: "q", Hash: sa.SHA256, DHGroup: 14, KeyBits: 256})
		},
		"the policy has no local-certificate": func(g *step.Gateway) { g.Proposals[0].Auth = step.RSASignatures },
		"distinguished-name needs a cert":     func(g *step.Gateway) { g.LocalID.Kind = step.DistinguishedName },
		"distinguished-name with pre-shared keys is not supported": func(g *step.Gateway) {
			g.RemoteID = step.Identity{Kind: step.DistinguishedName, Value: "CN=a"}
		},
		"no address":        func(g *step.Gateway) { g.Remote = nil },
		"no pre-shared key": func(g *step.Gateway) { g.PSK = nil },
		"no proposal":       func(g *step.Gateway) { g.Proposals = nil },
		"dh-group 2 is not supported ([14 15 16 19 20 21 24] are)": func(g *step.Gateway) { g.Proposals[0].DHGroup = 2 },
		"AES-CBC with 64 bits is not supported":                    func(g *step.Gateway) { g.Proposals[0].KeyBits = 64 },
		"authentication-algorithm unknown-hash is not":             func(g *step.Gateway) { g.Proposals[0].Hash = 9 },
		`identity inet "nonsense" is not an address`:               func(g *step.Gateway) { g.LocalID = step.Identity{Kind: step.Inet, Value: "nonsense"} },
		"identity of 0 octets is not supported":                    func(g *step.Gateway) { g.RemoteID = step.Identity{Kind: step.Hostname} },
		"address 198.51.100.2 with local-address ::1 is":           func(g *step.Gateway) { g.Local = netip.MustParseAddr("::1") },
	} {
		g := gatewayTo(addrB, change)
		err := new(Checker).Supports(g)
		switch {
		case want == "":
			if err != nil {
				t.Error(err)
			}
		case err == nil || !strings.HasPrefix(err.Error(), "gateway peer: ") || !strings.Contains(err.Error(), want):
			t.Errorf("%v, want %s", err, want)
		default:
			// It neither connects nor answers.
			w := newWorld(t)
			w.a.e.SetGateway(w.now, g)
			w.connect()
			if got := w.a.said(); len(w.sent) != 0 || !strings.HasPrefix(got, "failed") {
				t.Errorf("%s: %d sent, said %q", want, len(w.sent), got)
			}
		}
	}
}

// A changed gateway: SAs stay, negotiations begin again with what is new.
func TestReconfigure(t *testing.T) {
	w := newWorld(t)
	w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.PSK = sa.Secret("new-pre-shared-key") }))
	w.net = func(wire) []wire { return nil }
	w.connect()
	w.net = nil
	w.a.e.SetGateway(w.now, gatewayTo(addrB, func(g *step.Gateway) { g.PSK = sa.Secret("new-pre-shared-key") }))
	w.settle()
	w.a.want("up 2")
	w.a.e.SetGateway(w.now, gatewayTo(addrB))
	w.a.want()
	if w.a.last().state != up {
		t.Error("an SA that was up went")
	}
	w.a.e.RemoveGateway(w.now, "peer")
	w.a.want("down 2: deleted")
	w.settle()
	w.b.want("up 1", "down 1: deleted by the peer")
	w.connect()
	w.a.want("failed sa 0 token 0: no such gateway")
}

func TestSuperseded(t *testing.T) {
	w := newWorld(t)
	w.up()
	for i := range 9 {
		w.another()
		if n := len(w.a.e.sas); n > 8 {
			t.Fatalf("%d SAs after %d", n, i+2)
		}
	}
	if got := w.a.said(); !strings.Contains(got, "down 1: superseded") || !strings.Contains(got, "down 2: superseded") || strings.Contains(got, "down 3") {
		t.Error(got)
	}
}

// Without a local address there is nothing to identify by; a configured identity does. IPv6 works as IPv4 does.
func TestLocalAddress(t *testing.T) {
	w := newWorld(t)
	blind := netip.MustParseAddrPort("0.0.0.0:848")
	w.nodes[blind] = w.b
	reach := func(d wire) []wire { // a node that does not know which of its addresses was spoken to
		if d.to == addrB {
			d.to = blind
		}
		if d.from == blind {
			d.from = addrB
		}
		return []wire{d}
	}
	w.net = reach
	w.connect()
	w.run(10 * time.Second)
	w.a.want("failed sa 0 token 0: no answer to message 3")
	if len(w.b.e.sas) != 0 {
		t.Error("the responder goes on")
	}
	w = newWorld(t)
	w.nodes[blind] = w.b
	w.net = reach
	w.b.e.SetGateway(w.now, gatewayTo(addrA, func(g *step.Gateway) { g.LocalID = step.Identity{Kind: step.Inet, Value: "198.51.100.2"} }))
	w.up()

	a6, b6 := netip.MustParseAddrPort("[2001:db8::1]:848"), netip.MustParseAddrPort("[2001:db8::2]:848")
	w = newWorld(t)
	w.a = w.add(a6, 3, Options{WorkBase: 1 << 56}, gatewayTo(b6))
	w.b = w.add(b6, 4, Options{WorkBase: 1 << 56}, gatewayTo(a6))
	w.a.e.Do(w.now, Connect{Gateway: "peer", Remote: b6.Addr()})
	w.settle()
	w.a.want("up 1")
	if got := w.b.last().look(); got.RemoteID != "2001:db8::1" || got.Status != Established {
		t.Errorf("%+v", got)
	}
}

// A computation that fails ends the negotiation; one that comes back too late is ignored.
func TestWorkFails(t *testing.T) {
	w := newWorld(t, func(g *step.Gateway) { g.Proposals[0].DHGroup = 24 })
	w.net = func(d wire) []wire {
		h, _ := isakmp.ParseHeader(d.b)
		if d.from != addrB || h.Next != isakmp.PayloadKE {
			return []wire{d}
		}
		m, _ := readKey(24, h.Next, d.b[isakmp.HeaderLen:])
		msg := isakmp.AppendPayload(isakmp.AppendHeader(nil, h), isakmp.PayloadNONCE, append(make([]byte, 255), 2))
		return []wire{{d.from, d.to, finish(isakmp.AppendPayload(msg, 0, m.nonce))}}
	}
	w.connect()
	w.a.want("failed sa 0 token 0: Diffie-Hellman: ike: group24: public value is not in the subgroup")

	w = newWorld(t)
	w.a.hold = true
	w.connect()
	w.a.e.HandleResult(w.now, turn.Result{ID: w.a.held[0].ID, Value: 7})
	w.a.want("failed sa 0 token 0: Diffie-Hellman: ike: work 72057594037927937: result is int")
	w.a.hold = false
	w.a.work(w.a.held[0])
	w.a.e.HandleResult(w.now, turn.Result{ID: 1<<56 | 99, Value: []byte{1}})
	w.wantIdle()
	if len(w.a.e.work) != 0 {
		t.Error("work stays")
	}
}

func TestReadKey(t *testing.T) {
	ke, nonce := append(make([]byte, 255), 5), make([]byte, 32)
	pay := func(next isakmp.PayloadType, b []byte) []byte { return isakmp.AppendPayload(nil, next, b) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	if _, err := readKey(14, isakmp.PayloadNATD, join(pay(isakmp.PayloadKE, nil), pay(isakmp.PayloadVID, ke), pay(isakmp.PayloadCR, nil), pay(isakmp.PayloadNONCE, nil), pay(0, nonce))); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		first isakmp.PayloadType
		b     []byte
		kind  isakmp.Kind
	}{
		"two KE":       {isakmp.PayloadKE, join(pay(isakmp.PayloadKE, ke), pay(0, ke)), isakmp.DuplicatePayload},
		"two nonces":   {isakmp.PayloadNONCE, join(pay(isakmp.PayloadNONCE, nonce), pay(0, nonce)), isakmp.DuplicatePayload},
		"no nonce":     {isakmp.PayloadKE, pay(0, ke), isakmp.MissingPayload},
		"no KE":        {isakmp.PayloadNONCE, pay(0, nonce), isakmp.MissingPayload},
		"nonce of 7":   {isakmp.PayloadNONCE, pay(0, nonce[:7]), isakmp.PayloadLength},
		"nonce of 257": {isakmp.PayloadNONCE, pay(0, make([]byte, 257)), isakmp.PayloadLength},
		"SAK":          {isakmp.PayloadSAK, pay(0, nonce), isakmp.UnexpectedPayload},
		"nothing":      {isakmp.NoPayload, nil, isakmp.MissingPayload},
		"cut":          {isakmp.PayloadKE, pay(0, ke)[:100], isakmp.PayloadLength},
	} {
		if _, err := readKey(14, c.first, c.b); err == nil || isakmp.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		first isakmp.PayloadType
		b     []byte
		kind  isakmp.Kind
	}{
		"two IDs":  {isakmp.PayloadID, join(pay(isakmp.PayloadID, ke), pay(0, ke)), isakmp.DuplicatePayload},
		"no HASH":  {isakmp.PayloadID, pay(0, ke), isakmp.MissingPayload},
		"no ID":    {isakmp.PayloadHASH, pay(0, ke), isakmp.MissingPayload},
		"a CERT":   {isakmp.PayloadCERT, pay(0, ke), isakmp.UnexpectedPayload},
		"too long": {isakmp.PayloadID, []byte{0, 0, 0, 9, 1}, isakmp.PayloadLength},
	} {
		if _, err := readMessage(c.first, c.b, isakmp.PayloadID, isakmp.PayloadHASH); err == nil || isakmp.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		first isakmp.PayloadType
		b     []byte
		kind  isakmp.Kind
	}{
		"VID first":   {isakmp.PayloadVID, pay(isakmp.PayloadSA, nil), isakmp.UnexpectedPayload},
		"two SAs":     {isakmp.PayloadSA, join(pay(isakmp.PayloadSA, offered(gatewayTo(addrA).Proposals).Append(nil)), pay(0, nil)), isakmp.DuplicatePayload},
		"KE beside":   {isakmp.PayloadSA, join(pay(isakmp.PayloadKE, offered(gatewayTo(addrA).Proposals).Append(nil)), pay(0, nil)), isakmp.UnexpectedPayload},
		"empty SA":    {isakmp.PayloadSA, pay(0, nil), isakmp.Short},
		"zero length": {isakmp.PayloadSA, []byte{0, 0, 0, 0}, isakmp.PayloadLength},
	} {
		if _, err := readSA(c.first, c.b); err == nil || isakmp.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMatches(t *testing.T) {
	want := isakmp.ID{Type: isakmp.IDIPv4, Data: []byte{192, 0, 2, 1}}
	for _, c := range []struct {
		protocol uint8
		port     uint16
		ok       bool
	}{{0, 0, true}, {17, 0, true}, {17, 500, true}, {17, 848, true}, {17, 10848, true}, {17, 4, false}, {6, 500, false}, {0, 500, false}} {
		got := want
		got.Protocol, got.Port = c.protocol, c.port
		if matches(got, idKey(want), 10848) != c.ok {
			t.Errorf("%+v: not %v", got, c.ok)
		}
	}
	if idText(isakmp.ID{Type: isakmp.IDKeyID, Data: []byte{1, 2}}) != "type 11 0102" || idText(isakmp.ID{Type: isakmp.IDFQDN, Data: []byte("a\nb")}) != `"a\nb"` {
		t.Error("an identity is not shown safely")
	}
	if Negotiating.String()+Established.String()+Closing.String() != "DOWNUPCLOSING" {
		t.Error("words of Status")
	}
}
