package gdoi

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// Each quirk changes exactly the octets that it says, and what it writes it reads.
func TestQuirks(t *testing.T) {
	plain := AppendPull2(nil, kat(t, "pull_nr"), katPolicy(t), now, Options{})
	for _, c := range []struct {
		name     string
		o        Options
		old, new string // in message 2
		grow     map[isakmp.PayloadType]int
	}{
		{
			"SAKReserved6",
			Options{SAKReserved6: true},
			"8877665544 3322 00000000 8002", "8877665544 3322 000000000000 8002",
			map[isakmp.PayloadType]int{isakmp.PayloadSAK: 2},
		},
		{
			"ShortKEKLifetime", Options{ShortKEKLifetime: true}, "0004 0004 00015180", "8004 ffff", // 86400 s do not fit
			map[isakmp.PayloadType]int{isakmp.PayloadSAK: -4},
		},
		{
			"SwappedAddresses",
			Options{SwappedAddresses: true},
			"08 0a010000 ffff0000 04 0000 08 0a020000 ffff0000", "08 0000010a 0000ffff 04 0000 08 0000020a 0000ffff",
			nil,
		},
		{
			"WideIDLen",
			Options{WideIDLen: true},
			"01 0350 04 c6336402 01 0350 04 e9fc0001", "01 0350 0004 c6336402 01 0350 0004 e9fc0001",
			map[isakmp.PayloadType]int{isakmp.PayloadSAK: 2, isakmp.PayloadSAT: 2},
		},
	} {
		want := bytes.Replace(plain, spell(t, c.old), spell(t, c.new), 1)
		if c.o.WideIDLen {
			want = bytes.Replace(want, spell(t, "04 0000 08 0a010000 ffff0000 04 0000 08 0a02"), spell(t, "04 0000 0008 0a010000 ffff0000 04 0000 0008 0a02"), 1)
		}
		// The lengths: SA's, SAK's and SAT's.
		add := func(at, n int) {
			binary.BigEndian.PutUint16(want[at+2:], uint16(int(binary.BigEndian.Uint16(want[at+2:]))+n))
		}
		sak, sat := c.grow[isakmp.PayloadSAK], c.grow[isakmp.PayloadSAT]
		add(36, sak+sat)
		add(36+16, sak)
		add(36+16+73+sak+12, sat)
		got := AppendPull2(nil, kat(t, "pull_nr"), katPolicy(t), now, c.o)
		same(t, c.name, got, want)
		_, p, err := ParsePull2(isakmp.PayloadNONCE, got, now, c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if p.TEKs[0].Policies[0].Source != netip.MustParsePrefix("10.1.0.0/16") || p.KEK.SPI != katKEK(t).SPI {
			t.Errorf("%s: read as %+v", c.name, p)
		}
	}
	// Without the switch the swapped mask is refused, and no other traffic is protected than was meant.
	swappedMessage := AppendPull2(nil, kat(t, "pull_nr"), katPolicy(t), now, Options{SwappedAddresses: true})
	_, _, err := ParsePull2(isakmp.PayloadNONCE, swappedMessage, now, Options{})
	wantKind(t, "swapped addresses without the switch", err, ErrUnsupported)

	host := Options{HostOrderGroup: true}
	m1 := AppendPull1(nil, octets(0, 8), GroupName{ID: 1234}, host)
	if !bytes.HasSuffix(m1, spell(t, "0b 00 0000 d2040000")) {
		t.Errorf("HostOrderGroup: %x", m1)
	}
	if _, group, err := ParsePull1(isakmp.PayloadNONCE, m1, host); err != nil || group != (GroupName{ID: 1234}) {
		t.Errorf("HostOrderGroup: group %v, %v", group, err)
	}
	if _, group, err := ParsePull1(isakmp.PayloadNONCE, m1, Options{}); err != nil || group.ID == 1234 {
		t.Errorf("HostOrderGroup without the switch: group %v, %v", group, err)
	}

	sids := &SenderIDs{Bits: 12, Values: []uint32{0, 0x123}}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "04 00 0019 00 8001 000c 0002 0004 00000000 0002 0004 00000123"},
		{Options{HostOrderSID: true}, "04 00 0019 00 8001 000c 0002 0004 00000000 0002 0004 23010000"},
	} {
		b := appendSenderIDs(nil, sids, c.o)
		same(t, "sender IDs", b, spell(t, c.want))
		list, err := isakmp.ParseAttrs(b[5:])
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseSenderIDs(list, c.o)
		if diff := cmp.Diff(sids, got); err != nil || diff != "" {
			t.Errorf("sender IDs: %v\n%s", err, diff)
		}
	}
}

// push1 signed in the reference implementation's way, and with the padded Length: where the message is a whole number of
// blocks by itself, the two Lengths are one.
func TestPushKnownAnswersOfQuirks(t *testing.T) {
	kek := katKEK(t)
	for name, o := range map[string]Options{
		"push1":                     {},
		"push1_digestinfo_unpadded": {},
		"push1_digestinfo_padded":   {PaddedLength: true},
		"push1_rawhash_unpadded":    {RawSignature: true},
		"push1_rawhash_padded":      {RawSignature: true, PaddedLength: true},
	} {
		wire := kat(t, name)
		got, err := OpenPush(kek, nil, wire, now, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(katPush1(t), got, compare); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		// The signature of the file, on the message that this package builds, gives the file's datagram.
		plain := bytes.Clone(wire)
		cbc(kek, plain[28:], false)
		same(t, name, SealPush(kek, PushMessage(kek, katPush1(t), now, o), plain[len(plain)-256:]), wire)
		op := SignOp(kek, PushMessage(kek, katPush1(t), now, o), o).(turn.RSASign)
		same(t, name+": to be signed", op.Message, kat(t, "push1_tbs"))
		if op.Raw != o.RawSignature {
			t.Errorf("%s: raw %v", name, op.Raw)
		}
	}
}

func TestPaddedLengthIsSigned(t *testing.T) {
	kek := testKEK()
	msg := PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})
	unpadded := SignOp(kek, msg, Options{}).(turn.RSASign).Message
	padded := SignOp(kek, msg, Options{PaddedLength: true}).(turn.RSASign).Message
	// 28 + 8 + 16 + 28 + 260 = 340 octets, 348 with padding
	if n := binary.BigEndian.Uint32(unpadded[5+24:]); n != 340 {
		t.Errorf("unpadded Length %d", n)
	}
	if n := binary.BigEndian.Uint32(padded[5+24:]); n != 348 {
		t.Errorf("padded Length %d", n)
	}
	for _, o := range []Options{{}, {PaddedLength: true}} {
		sig, err := Sign(SignOp(kek, msg, o))
		if err != nil {
			t.Fatal(err)
		}
		wire := SealPush(kek, msg, sig)
		if len(wire) != 348 {
			t.Errorf("%d octets", len(wire))
		}
		if _, err := OpenPush(kek, nil, wire, now, Options{}); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Without the switch a raw signature is none; with it both are; nothing else is, however it is dressed.
func TestRawSignature(t *testing.T) {
	kek := testKEK()
	msg := PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})
	raw, err := Sign(SignOp(kek, msg, Options{RawSignature: true}))
	if err != nil {
		t.Fatal(err)
	}
	full, err := Sign(SignOp(kek, msg, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	other := kek.Clone()
	other.SigHash = sa.SHA384
	longer, err := Sign(SignOp(other, msg, Options{RawSignature: true}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		sig  []byte
		o    Options
		ok   bool
	}{
		{"raw", raw, Options{RawSignature: true}, true},
		{"raw without the switch", raw, Options{}, false},
		{"with DigestInfo", full, Options{RawSignature: true}, true},
		{"raw over another hash", longer, Options{RawSignature: true}, false},
	} {
		_, err := OpenPush(kek, nil, SealPush(kek, msg, c.sig), now, c.o)
		if c.ok && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !c.ok {
			wantKind(t, c.name, err, ErrSignature)
		}
	}
}

func drawOptions(t *rapid.T) Options {
	yes := func(name string) bool { return rapid.Bool().Draw(t, name) }
	return Options{
		GCM: true, IEC61850: true,
		HostOrderGroup: yes("HostOrderGroup"), SAKReserved6: yes("SAKReserved6"), SwappedAddresses: yes("SwappedAddresses"),
		RawSignature: yes("RawSignature"), HostOrderSID: yes("HostOrderSID"), PaddedLength: yes("PaddedLength"),
		WideIDLen: yes("WideIDLen"), AckShortL: yes("AckShortL"),
	}
}

// Whatever the switches, what is written under them is read under them.
func TestQuirksRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		group := GroupName{ID: rapid.Uint32().Draw(t, "group")}
		ni := rapid.SliceOfN(rapid.Byte(), minNonce, maxNonce).Draw(t, "ni")
		if _, got, err := ParsePull1(isakmp.PayloadNONCE, AppendPull1(nil, ni, group, o), o); err != nil || got != group {
			t.Fatalf("group %v, %v", got, err)
		}
		p := drawPolicy(t, rapid.Bool().Draw(t, "with KEK"))
		drawExtras(t, p)
		_, got, err := ParsePull2(isakmp.PayloadNONCE, AppendPull2(nil, ni, p, now, o), now, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := ParsePull4(Pull4First(p), AppendPull4(nil, p, o), got, o); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, got, compare); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		kek := testKEK()
		push := &Push{Seq: 1, Policy: &Policy{TEKs: p.TEKs}}
		if len(p.TEKs) == 0 {
			push = &Push{Seq: 1, DeleteAll: true}
		}
		msg := PushMessage(kek, push, now, o)
		sig, err := Sign(SignOp(kek, msg, o))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := OpenPush(atMember(kek), nil, SealPush(kek, msg, sig), now, o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(push, opened, compare); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}
