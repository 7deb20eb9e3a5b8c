package server

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/sa"
)

// TestAttackPULLReplay: "The GCKS MUST NOT change state before a good message 3" (RFC 6407 section 7.2.5): message 1, repeated or
// in any number, takes no sender ID and no leaf of the hierarchy, and a message 3 takes them once, whatever is repeated after it.
func TestAttackPULLReplay(t *testing.T) {
	b := gcmBench(t, "G members=m1,m2 sas=S gcm lkh")
	g := b.s.groups["G"]
	counts := func() string {
		return fmt.Sprint(g.senders.next, g.lkh.tree.Members(), len(g.members), len(b.disk))
	}
	before := counts()
	message := func(id ike.SAID, mid uint32, number int) *ike.Reply {
		m := ike.Message{
			SA: id, Gateway: "m1", Local: us, Remote: memberAddr(t, "m1"), Exchange: isakmp.ExchangePull, MsgID: mid, Number: number,
		}
		if number == 1 {
			m.First, m.Payloads = isakmp.PayloadNONCE, gdoi.AppendPull1(nil, bytes.Repeat([]byte{5}, 16), gdoi.GroupName{ID: 1}, gdoi.Options{})
		}
		return b.message(m)
	}
	for range 3 {
		message(1, 7, 1)
	}
	// Parallel pulls of one peer are bounded, and so is what they leave behind.
	answered := 0
	for mid := range uint32(100) {
		if message(2, mid, 1) != nil {
			answered++
		}
	}
	if answered != maxPullsPerSA || len(b.s.pulls) != maxPullsPerSA+1 {
		t.Errorf("%d answered, %d wait; want %d for each IKE SA", answered, len(b.s.pulls), maxPullsPerSA)
	}
	// Of an exchange that there is not, or that was refused.
	if message(3, 7, 3) != nil || message(2, 99, 3) != nil {
		t.Error("a message 3 without a message 1 was answered")
	}
	if after := counts(); after != before {
		t.Errorf("state moved: %s, was %s", after, before)
	}
	if message(1, 7, 3) == nil {
		t.Fatal("message 3 was not answered")
	}
	once := counts()
	// Package ike answers a repetition; one that reaches us all the same finds no exchange.
	for range 3 {
		if message(1, 7, 3) != nil {
			t.Error("message 3 was answered again")
		}
	}
	if after := counts(); after != once {
		t.Errorf("state moved: %s, was %s", after, once)
	}
	b.advance(pullTimeout + time.Second)
	if len(b.s.pulls) != 0 || len(b.s.pullQueue) != 0 {
		t.Errorf("%d pulls and %d places in their queue remain", len(b.s.pulls), len(b.s.pullQueue))
	}
	if after := counts(); after != once {
		t.Errorf("state moved: %s, was %s", after, once)
	}
}

// All peers together are bounded too, and one more is refused without a trace.
func TestAttackPULLFlood(t *testing.T) {
	b := gcmBench(t, "G members=m1 sas=S")
	open := func(id ike.SAID) bool {
		return b.message(ike.Message{
			SA: id, Gateway: "m1", Local: us, Remote: memberAddr(t, "m1"), Exchange: isakmp.ExchangePull, MsgID: 7, Number: 1,
			First: isakmp.PayloadNONCE, Payloads: gdoi.AppendPull1(nil, bytes.Repeat([]byte{5}, 16), gdoi.GroupName{ID: 1}, gdoi.Options{}),
		}) != nil
	}
	for i := range maxPulls {
		if !open(ike.SAID(i + 1)) {
			t.Fatalf("pull %d is not answered", i)
		}
	}
	for i := range 1000 {
		if open(ike.SAID(maxPulls + i + 1)) {
			t.Fatal("one too many is answered")
		}
	}
	if len(b.s.pulls) != maxPulls || len(b.s.pullQueue) != maxPulls {
		t.Errorf("%d pulls, %d in the queue", len(b.s.pulls), len(b.s.pullQueue))
	}
}

// Rogue identity: who may have a group's keys is decided by the gateway that phase 1 has authenticated, whatever group or address a
// message names; and one that is no member of the group is answered as one who asks for no group at all, which is not.
func TestAttackRogueGCKSMember(t *testing.T) {
	b := newBench(t)
	groups := map[string]step.Group{"G": parseGroup(t, "G id=1 members=m1,m4 sas=S"), "H": parseGroup(t, "H id=2 members=m2 sas=S")}
	if err := b.commit(1, groups, []step.Effect{
		{Row: "1.14", Group: "G", Kind: step.GenerateKEK},
		{Row: "1.14", Group: "G", Kind: step.GenerateTEK},
		{Row: "1.14", Group: "H", Kind: step.GenerateKEK},
		{Row: "1.14", Group: "H", Kind: step.GenerateTEK},
	}); err != nil {
		t.Fatal(err)
	}
	ask := func(gateway string, from string, group uint32, sa ike.SAID, number int) *ike.Reply {
		m := ike.Message{
			SA: sa, Gateway: gateway, Local: us, Remote: memberAddr(t, from), Exchange: isakmp.ExchangePull, MsgID: 7, Number: number,
		}
		if number == 1 {
			m.First, m.Payloads = isakmp.PayloadNONCE, gdoi.AppendPull1(nil, bytes.Repeat([]byte{5}, 16), gdoi.GroupName{ID: group}, gdoi.Options{})
		}
		return b.message(m)
	}
	for _, c := range []struct {
		gateway, from string
		group         uint32
		ok            bool
	}{
		{"m1", "m1", 1, true},
		{"m2", "m1", 1, false}, // at the address of a member
		{"m2", "m2", 1, false}, // a member of another group
		{"m3", "m1", 1, false}, // a gateway of no group
		{"m1", "m1", 3, false}, // no group
		{"m1", "m2", 1, true},  // an address is no identity
	} {
		if got := ask(c.gateway, c.from, c.group, ike.SAID(50), 1) != nil; got != c.ok {
			t.Errorf("%s from the address of %s asks for group %d: answered %v", c.gateway, c.from, c.group, got)
		}
	}
	// The third message of one gateway's exchange, from another.
	for _, other := range []string{"m2", "m4"} { // m4 is a member too
		if ask("m1", "m1", 1, 60, 1) == nil {
			t.Fatal("not answered")
		}
		if ask(other, other, 1, 60, 3) != nil || len(b.s.groups["G"].members) != 0 {
			t.Errorf("%s went on with the exchange of m1", other)
		}
	}
}

// ACK abuse (RFC 8263 section 7): what is not for a push under way, from the address that it went to, by one who has the key, changes
// nothing but a counter, and the push goes out again.
func TestAttackACKAbuse(t *testing.T) {
	for _, how := range []string{"", " lkh", " ack=sha-512", " lkh ack=sha-512"} {
		b := newBench(t)
		groups := map[string]step.Group{"G": parseGroup(t, "G id=1 members=m1,m2 sas=S"+how), "H": parseGroup(t, "H id=2 members=m1 sas=S"+how)}
		var effects []step.Effect
		for _, g := range []string{"G", "H"} {
			effects = append(effects, step.Effect{Row: "1.14", Group: g, Kind: step.GenerateKEK}, step.Effect{Row: "1.14", Group: g, Kind: step.GenerateTEK})
		}
		if err := b.commit(1, groups, effects); err != nil {
			t.Fatal(err)
		}
		b.pull("m1", 2, 0)
		b.pull("m1", 1, 0)
		b.pull("m2", 1, 0)
		rekey := func() {
			if err := b.s.Do(b.now, Rekey{Group: "G", TEK: true}); err != nil {
				t.Fatal(err)
			}
			b.drain()
		}
		rekey()
		rekey() // waits behind the first
		g, h := b.s.groups["G"], b.s.groups["H"]
		ack := func(kek *sa.KEK, seq uint32, named string, key sa.Secret) []byte {
			return gdoi.AppendAck(nil, gdoi.Ack{SPI: kek.SPI, Seq: seq, Member: memberAddr(t, named).Addr()}, key)
		}
		keyOf := func(name string) sa.Secret { return gdoi.AckKey(g.kek, b.leaf(name), gdoi.Options{}) }
		shared := *g.kek
		if byMember(shared.Ack) { // as the types that all members share
			shared.Ack--
		}
		good := ack(g.kek, 1, "m1", keyOf("m1"))
		v6 := gdoi.AppendAck(nil, gdoi.Ack{SPI: g.kek.SPI, Seq: 1, Member: netip.MustParseAddr("2001:db8::1")}, keyOf("m1"))
		elsewhere := memberAddr(t, "m9")
		told := func() string {
			s := b.state()
			return s[:strings.LastIndex(s, "{PullUnknownGroup")] // without the counters
		}
		try := func(name string, from netip.AddrPort, datagram []byte, want Counters) {
			t.Helper()
			b.s.counters = Counters{AckUnexpected: 1} // so that there is a line of them
			before, disk := told(), fmt.Sprint(b.disk)
			b.s.counters = Counters{}
			b.s.HandleDatagram(b.now, us, from, datagram)
			b.drain()
			if got := b.s.counters; got != want {
				t.Errorf("%q: %s: counted as %+v, want %+v", how, name, got, want)
			}
			b.s.counters = Counters{AckUnexpected: 1}
			if after := told(); after != before || fmt.Sprint(b.disk) != disk {
				t.Errorf("%q: %s: state moved\n%s\nwas\n%s", how, name, after, before)
			}
		}
		malformed, unexpected, invalid := Counters{AckMalformed: 1}, Counters{AckUnexpected: 1}, Counters{AckInvalid: 1}
		b.said()
		from := memberAddr(t, "m1")
		try("nothing", from, nil, malformed)
		try("cut", from, good[:len(good)-1], malformed)
		try("a push", from, func() []byte { b := bytes.Clone(good); b[18] = 33; return b }(), malformed)
		try("another octet of HASH", from, func() []byte { b := bytes.Clone(good); b[40] ^= 1; return b }(), invalid)
		try("a key of zeros", from, ack(g.kek, 1, "m1", make(sa.Secret, len(keyOf("m1")))), invalid)
		try("the other hash's key", from, ack(g.kek, 1, "m1", make(sa.Secret, 96-len(keyOf("m1")))), invalid)
		try("SEQ that was not sent", from, ack(g.kek, 3, "m1", keyOf("m1")), unexpected)
		try("SEQ that waits to be sent", from, ack(g.kek, 2, "m1", keyOf("m1")), unexpected)
		try("SEQ 0", from, ack(g.kek, 0, "m1", keyOf("m1")), unexpected)
		try("the last SEQ", from, ack(g.kek, 1<<32-1, "m1", keyOf("m1")), unexpected)
		try("another group's KEK", from, ack(h.kek, 1, "m1", keyOf("m1")), unexpected)
		try("naming another", from, ack(g.kek, 1, "m2", keyOf("m2")), unexpected)
		try("from another's address", memberAddr(t, "m2"), good, unexpected)
		try("from nobody's address", elsewhere, good, unexpected)
		try("from nobody's address, naming it", elsewhere, ack(g.kek, 1, "m9", keyOf("m1")), unexpected)
		try("naming an IPv6 address", from, v6, unexpected)
		if byMember(g.kek.Ack) {
			try("another member's key, for us", from, ack(g.kek, 1, "m1", keyOf("m2")), invalid)
			try("the key that all derive", from, ack(g.kek, 1, "m1", gdoi.AckKey(&shared, nil, gdoi.Options{})), invalid)
		}
		b.s.counters = Counters{}
		b.advance(10 * time.Second)
		if said := b.said(); strings.Count(said, "push to m1") != 1 {
			t.Errorf("%q: not sent again: %s", how, said)
		}
		b.s.HandleDatagram(b.now, us, from, good)
		b.drain()
		if said := b.said(); strings.Count(said, "push to m1") != 1 || g.members[placeOf("m1", us, from)].acked != 1 {
			t.Errorf("%q: the good one does not count: %s", how, said)
		}
		try("again", from, good, unexpected)
	}
}

// An acknowledgement where none was asked for is not looked at.
func TestAttackACKAbuseUnasked(t *testing.T) {
	b := gcmBench(t, "G members=m1 sas=S ack=none")
	b.pull("m1", 1, 0)
	if err := b.s.Do(b.now, Rekey{Group: "G", TEK: true}); err != nil {
		t.Fatal(err)
	}
	b.drain()
	g := b.s.groups["G"]
	kek := *g.kek
	for kek.Ack = range uint16(5) {
		if key := gdoi.AckKey(&kek, make(sa.Secret, 32), gdoi.Options{}); key != nil {
			b.s.HandleDatagram(b.now, us, memberAddr(t, "m1"), gdoi.AppendAck(nil, gdoi.Ack{SPI: kek.SPI, Seq: 1, Member: memberAddr(t, "m1").Addr()}, key))
		}
	}
	if want := (Counters{AckUnexpected: 4}); b.s.counters != want || g.stats.PushAcknowledged != 0 {
		t.Errorf("%+v, %+v", b.s.counters, g.stats)
	}
}

// Attribute abuse from an authenticated peer, a member gone bad: each octet of its messages is another. Nothing but a good message 3 makes
// a member of it.
func TestAttackAttributeAbuse(t *testing.T) {
	b := gcmBench(t, "G members=m1 sas=S gcm lkh")
	g := b.s.groups["G"]
	first := gdoi.AppendPull1(nil, bytes.Repeat([]byte{5}, 16), gdoi.GroupName{ID: 1}, gdoi.Options{})
	third := gdoi.AppendPull3(nil, 8)
	id := ike.SAID(1000)
	try := func(first, third []byte, next isakmp.PayloadType) {
		id++
		m := ike.Message{
			SA: id, Gateway: "m1", Local: us, Remote: memberAddr(t, "m1"), Exchange: isakmp.ExchangePull, MsgID: 7, Number: 1,
			First: isakmp.PayloadNONCE, Payloads: first,
		}
		if b.message(m) == nil {
			return
		}
		m.Number, m.First, m.Payloads = 3, next, third
		before, given := len(g.members), g.senders.next
		if b.message(m) == nil && (len(g.members) != before || g.senders.next != given) {
			t.Errorf("%x, %x: not answered, and state moved", first, third)
		}
	}
	each := func(b []byte, try func(bad []byte)) {
		for at := range b {
			for _, v := range []byte{0, 1, 0x80, 0xff, b[at] ^ 1} {
				bad := bytes.Clone(b)
				bad[at] = v
				try(bad)
			}
			try(b[:at])
		}
	}
	each(first, func(bad []byte) { try(bad, bytes.Clone(third), gdoi.Pull3First(8)) })
	each(third, func(bad []byte) { try(bytes.Clone(first), bad, gdoi.Pull3First(8)) })
	for typ := range 256 {
		try(bytes.Clone(first), bytes.Clone(third), isakmp.PayloadType(typ))
	}
	if len(g.members) > 1 || g.lkh.tree.Members() > 1 || b.s.counters.PullMalformed == 0 {
		t.Errorf("%d members, %d leaves, %+v", len(g.members), g.lkh.tree.Members(), b.s.counters)
	}
}

// Flood of the log, by a member: whatever it asks for, and how often, what is said of it is bounded in a minute.
func TestAttackLogFlood(t *testing.T) {
	b := gcmBench(t, "G members=m1 sas=S")
	said := func(n int, message func(i int) ike.Message) int {
		for i := range n {
			m := message(i)
			m.Gateway, m.Local, m.Remote, m.Exchange, m.MsgID, m.Number = "m1", us, memberAddr(t, "m1"), isakmp.ExchangePull, uint32(i)+1, 1
			b.message(m)
		}
		return strings.Count(b.said(), "GKSD_")
	}
	pull := func(group uint32) ike.Message {
		return ike.Message{SA: 1, First: isakmp.PayloadNONCE, Payloads: gdoi.AppendPull1(nil, bytes.Repeat([]byte{5}, 16), gdoi.GroupName{ID: group}, gdoi.Options{})}
	}
	for _, c := range []struct {
		name    string
		message func(i int) ike.Message
		most    int
	}{
		{"of one group", func(int) ike.Message { return pull(99) }, 1},
		{"malformed", func(int) ike.Message { m := pull(1); m.Payloads = m.Payloads[:20]; return m }, 1},
		{"quick mode", func(int) ike.Message { return ike.Message{SA: 1, First: isakmp.PayloadSA} }, 1},
		{"of ever more groups", func(i int) ike.Message { return pull(uint32(i) + 1000) }, 1024},
	} {
		if n := said(5000, c.message); n == 0 || n > c.most {
			t.Errorf("%s: %d lines", c.name, n)
		}
	}
	if n := len(b.s.quiet); n > 1024 {
		t.Errorf("%d lines are kept", n)
	}
}

// A Quick Mode comes under the exchange number of a pull from peers that know no GDOI: it is told apart, counted once, and not answered.
func TestQuickMode(t *testing.T) {
	b := gcmBench(t, "G members=m1 sas=S")
	chain := isakmp.AppendPayload(nil, isakmp.PayloadNONCE, make([]byte, 40))
	chain = isakmp.AppendPayload(chain, isakmp.NoPayload, make([]byte, 16))
	for range 3 { // the peer repeats it
		if b.message(ike.Message{
			SA: 1, Gateway: "m1", Local: us, Remote: memberAddr(t, "m1"), Exchange: isakmp.ExchangePull, MsgID: 7, Number: 1,
			First: isakmp.PayloadSA, Payloads: bytes.Clone(chain),
		}) != nil {
			t.Error("answered")
		}
	}
	if want := (Counters{QuickMode: 1}); b.s.counters != want || len(b.s.pulls) != 0 {
		t.Errorf("%+v, %d pulls", b.s.counters, len(b.s.pulls))
	}
	want := "+0s GKSD_QUICK_MODE gateway m1 asks for an SA by quick mode, which a key server does not speak: its members register by GROUPKEY-PULL\n"
	if got := b.said(); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}
