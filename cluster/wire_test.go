package cluster

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
)

func fullUpdate(now time.Time) sa.Update {
	t := tek(300, now)
	t.Policies = []sa.Policy{{Name: "1", Source: netip.MustParsePrefix("172.16.0.0/12"), Destination: netip.MustParsePrefix("10.0.0.0/8"), Protocol: 6}}
	return sa.Update{
		Group: "G", GroupID: 1, Version: 7, Full: true, ActivationDelay: 15 * time.Second, TEKs: []sa.TEK{t},
		KEK: &sa.KEK{
			SPI: [16]byte{1, 2, 3}, KeyBits: 128, Key: make(sa.Secret, 16), SigHash: sa.SHA256, SigPublic: []byte{1}, SigPrivate: sa.Secret{2},
			Seq: 4, Ack: 1, Created: now, Soft: now.Add(time.Minute), Hard: now.Add(time.Hour),
		},
	}
}

// frames is one of each kind.
func frames(now time.Time) []*frame {
	d := digestOf(&step.Group{ID: 1, MemberThreshold: 5})
	full := fullUpdate(now)
	change := fullUpdate(now)
	change.Full = false
	change.Senders = sa.Senders{Epoch: 9, Bits: 8}
	full.Senders = sa.Senders{Epoch: 9, Bits: 16, First: 4096, Count: 4096}
	return []*frame{
		{kind: request, groupID: 1, version: 3, group: "G", digest: d},
		{kind: request, groupID: 1, version: 3, group: "G", digest: d, senders: sa.Senders{Epoch: 9, Bits: 8, First: 20, Count: 12}},
		{kind: reply, groupID: 1, version: 7, group: "G", digest: d, update: full},
		{kind: refusal, code: notReady, groupID: 1, group: "G"},
		{kind: update, groupID: 1, version: 7, base: 6, group: "G", digest: d, update: change},
		{kind: ack, groupID: 1, version: 7, group: "G"},
	}
}

func mustAppend(t testing.TB, f *frame, now time.Time) []byte {
	b, err := appendMessage(nil, bytes.Repeat([]byte{9}, nonceLength), f, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The figure of wire.go, octet for octet.
func TestWireForm(t *testing.T) {
	b, err := appendMessage(nil, bytes.Repeat([]byte{0xaa}, 8), &frame{
		kind: request, groupID: 0x01020304, version: 5, group: "GRP", senders: sa.Senders{Epoch: 0x1122334455667788, Bits: 12, First: 0x100, Count: 0x20},
	}, start)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"80 00 000c", "aaaaaaaaaaaaaaaa", // NONCE, followed by payload 128
		"00 00 0078",                       // 4 + 24 + 3 + 72 + 17
		"03", "01", "00", "03", "01020304", // format, kind, code, name length, group ID
		"0000000000000005", "0000000000000000", // version, base
		hex.EncodeToString([]byte("GRP")),
		strings.Repeat("0000000000000000", len(parts)),   // digests, of no configuration
		"1122334455667788", "0c", "00000100", "00000020", // sender IDs: epoch, bits, first, count
	}, "")
	if got := hex.EncodeToString(b); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("message:\n%s, want\n%s", got, want)
	}
}

// "Times relative to now": a sub-server whose clock is an hour off has the lifetimes that its root has.
func TestRoundTrip(t *testing.T) {
	there := start.Add(time.Hour)
	for _, f := range frames(start) {
		got, err := parseMessage(isakmp.PayloadNONCE, mustAppend(t, f, start), there)
		if err != nil {
			t.Errorf("kind %d: %v", f.kind, err)
			continue
		}
		if got.kind != f.kind || got.code != f.code || got.groupID != f.groupID || got.version != f.version || got.base != f.base || got.group != f.group || got.digest != f.digest || got.senders != f.senders || got.update.Senders != f.update.Senders {
			t.Errorf("kind %d: %+v, want %+v", f.kind, got, f)
		}
		if !f.kind.hasUpdate() {
			continue
		}
		u := got.update
		if u.Version != 7 || len(u.TEKs) != 1 || !u.TEKs[0].Key.Equal(f.update.TEKs[0].Key) || u.TEKs[0].Hard.Sub(there) != 2*time.Hour || u.KEK.Hard.Sub(there) != time.Hour {
			t.Errorf("kind %d: update %+v", f.kind, u)
		}
	}
}

// Every octet counts: what is cut, longer, or not of the table is refused.
func TestExactDecoding(t *testing.T) {
	for _, f := range frames(start) {
		b := mustAppend(t, f, start)
		at := isakmp.GenericLen + nonceLength + isakmp.GenericLen
		body := b[at:]
		for n := range body {
			if _, err := parseFrame(body[:n], start); !errors.Is(err, errForm) {
				t.Errorf("kind %d, %d of %d octets: %v", f.kind, n, len(body), err)
			}
		}
		if _, err := parseFrame(append(slices.Clone(body), 0), start); !errors.Is(err, errForm) {
			t.Errorf("kind %d, an octet too many: %v", f.kind, err)
		}
		if _, err := parseMessage(isakmp.PayloadNONCE, b[:at-isakmp.GenericLen], start); !errors.Is(err, errForm) {
			t.Errorf("kind %d, NONCE alone: %v", f.kind, err)
		}
		if _, err := parseMessage(payloadCluster, b[isakmp.GenericLen+nonceLength:], start); !errors.Is(err, errForm) {
			t.Errorf("kind %d, without NONCE: %v", f.kind, err)
		}
	}
	for _, c := range []struct {
		what  string
		wrong frame
	}{
		{"no kind", frame{groupID: 1, group: "G"}},
		{"kind 6", frame{kind: ack + 1, groupID: 1, group: "G"}},
		{"code in a request", frame{kind: request, code: notPeer, groupID: 1, group: "G"}},
		{"refusal without code", frame{kind: refusal, groupID: 1, group: "G"}},
		{"unknown code", frame{kind: refusal, code: lastCode + 1, groupID: 1, group: "G"}},
		{"version in a refusal", frame{kind: refusal, code: notPeer, version: 1, groupID: 1, group: "G"}},
		{"base in an ack", frame{kind: ack, base: 1, version: 2, groupID: 1, group: "G"}},
		{"sender IDs of no epoch", frame{kind: request, groupID: 1, group: "G", senders: sa.Senders{Bits: 8}}},
		{"sender IDs of no length", frame{kind: request, groupID: 1, group: "G", senders: sa.Senders{Epoch: 1}}},
		{"sender IDs of 17 bits", frame{kind: request, groupID: 1, group: "G", senders: sa.Senders{Epoch: 1, Bits: 17}}},
		{"sender IDs beyond the last", frame{kind: request, groupID: 1, group: "G", senders: sa.Senders{Epoch: 1, Bits: 8, First: 257}}},
		{"more sender IDs than there are", frame{kind: request, groupID: 1, group: "G", senders: sa.Senders{Epoch: 1, Bits: 8, First: 1, Count: 256}}},
		{"sender IDs that go round", frame{kind: request, groupID: 1, group: "G", senders: sa.Senders{Epoch: 1, Bits: 8, First: 1, Count: 1<<32 - 1}}},
		{"no group", frame{kind: ack, groupID: 1}},
		{"group ID 0", frame{kind: ack, group: "G"}},
		{"a name that is no name", frame{kind: ack, groupID: 1, group: "G\n"}},
		{"an update on itself", frame{kind: update, groupID: 1, group: "G", version: 7, base: 7, update: sa.Update{Group: "G", GroupID: 1, Version: 7}}},
		{"another version inside", frame{kind: update, groupID: 1, group: "G", version: 8, update: sa.Update{Group: "G", GroupID: 1, Version: 7}}},
		{"another group inside", frame{kind: update, groupID: 1, group: "G", version: 7, update: sa.Update{Group: "H", GroupID: 1, Version: 7}}},
		{"a full update", frame{kind: update, groupID: 1, group: "G", version: 7, update: sa.Update{Group: "G", GroupID: 1, Version: 7, Full: true}}},
		{"a reply that is not full", frame{kind: reply, groupID: 1, group: "G", version: 7, update: sa.Update{Group: "G", GroupID: 1, Version: 7}}},
	} {
		if _, err := parseMessage(isakmp.PayloadNONCE, mustAppend(t, &c.wrong, start), start); !errors.Is(err, errForm) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	u := fullUpdate(start)
	for i := range 200 {
		x := u.TEKs[0].Clone()
		x.SPI = uint32(1000 + i)
		for len(x.Policies) < 10 {
			x.Policies = append(x.Policies, x.Policies[0])
			x.Policies[len(x.Policies)-1].Name = "a name of thirty-two characters."
		}
		u.TEKs = append(u.TEKs, x)
	}
	if _, err := appendMessage(nil, make([]byte, nonceLength), &frame{kind: reply, groupID: 1, version: 7, group: "G", update: u}, start); !errors.Is(err, errLarge) {
		t.Errorf("a message over the limit: %v", err)
	}
}

// V8, V9: each part shows in its own digest, and gateways, role and cluster in none.
func TestDigest(t *testing.T) {
	base := func() *step.Group {
		return &step.Group{
			Name: "G", ID: 1, MemberThreshold: 1, ActivationDelay: time.Second, Communication: &step.Communication{KeyBits: 128},
			SAs: []step.IPsecSA{{Name: "S", KeyBits: 128, Policies: []sa.Policy{{Name: "1"}, {Name: "2"}}}},
		}
	}
	for _, c := range []struct {
		want   string
		change func(g *step.Group)
	}{
		{"", func(g *step.Group) {
			g.Role, g.Members, g.Peers, g.PeerPeriod = step.SubServer, []string{"m"}, []string{"p"}, time.Minute
		}},
		{"", func(g *step.Group) { g.SAs[0].Policies[0].Source = netip.MustParsePrefix("0.0.0.0/0") }},
		{"group-id", func(g *step.Group) { g.ID = 2 }},
		{"group-id", func(g *step.Group) { g.Selector.OID = "\x06\x01\x2a" }},
		{"member-threshold", func(g *step.Group) { g.MemberThreshold = 2 }},
		{"activation-time-delay", func(g *step.Group) { g.ActivationDelay = time.Minute }},
		{"deactivation-time-delay", func(g *step.Group) { g.DeactivationDelay = time.Minute }},
		{"sender-id-bits", func(g *step.Group) { g.SenderIDBits = 8 }},
		{"anti-replay-time-window", func(g *step.Group) { g.AntiReplayWindow = time.Second }},
		{"server-member-communication", func(g *step.Group) { g.Communication = nil }},
		{"server-member-communication", func(g *step.Group) { g.Communication.Retries = 1 }},
		{"match-policy,proposal", func(g *step.Group) { g.SAs = nil }},
		{"match-policy,proposal", func(g *step.Group) { g.SAs[0].Name = "T" }},
		{"proposal", func(g *step.Group) { g.SAs[0].KeyBits = 256 }},
		{"proposal", func(g *step.Group) { g.SAs[0].Lifetime = time.Hour }},
		{"match-policy,proposal", func(g *step.Group) { g.SAs[0].IEC61850 = &sa.IEC61850{Enc: sa.EncNone} }},
		{"match-policy", func(g *step.Group) { slices.Reverse(g.SAs[0].Policies) }},
		{"match-policy", func(g *step.Group) { g.SAs[0].Policies[1].Protocol = 1 }},
		{"match-policy", func(g *step.Group) { g.SAs[0].Policies[1].DestinationPort = 1 }},
	} {
		g := base()
		c.change(g)
		if got := strings.Join(digestOf(g).differs(digestOf(base())), ","); got != c.want {
			t.Errorf("differs in %q, want %q", got, c.want)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, x := range frames(start) {
		b, err := appendMessage(nil, make([]byte, nonceLength), x, start)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseMessage(isakmp.PayloadNONCE, b, start)
		if err != nil {
			return
		}
		// What was read is what is written again, NONCE and padding aside.
		again, err := appendMessage(nil, make([]byte, nonceLength), x, start)
		if err != nil {
			t.Fatal(err)
		}
		n, err := isakmp.ChainLen(isakmp.PayloadNONCE, b)
		if err != nil {
			t.Fatal(err)
		}
		c := isakmp.Payloads(isakmp.PayloadNONCE, b)
		c.Next()
		if want := b[c.Offset():n]; !bytes.Equal(again[isakmp.GenericLen+nonceLength:], want) {
			t.Errorf("%x\nis read, and written as\n%x", want, again[isakmp.GenericLen+nonceLength:])
		}
	})
}

// FuzzHandleMessage gives an engine anything that a peer with an IKE SA can say, on either side of either exchange.
func FuzzHandleMessage(f *testing.F) {
	for _, x := range frames(start) {
		b, err := appendMessage(nil, make([]byte, nonceLength), x, start)
		if err != nil {
			f.Fatal(err)
		}
		for way := range uint8(8) {
			f.Add(way, b)
		}
	}
	f.Fuzz(func(t *testing.T, way uint8, b []byte) { hear(t, way, b) })
}
