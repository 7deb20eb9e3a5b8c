package sa

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var ref = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// compare shows differences inside Secrets, which print as one placeholder.
var compare = cmp.Options{
	cmp.Comparer(Secret.Equal),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
}

func octets(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(from + i)
	}
	return b
}

func sample() *Update {
	return &Update{
		Group: "G", GroupID: 0x01020304, Version: 7, ActivationDelay: 15 * time.Second,
		Full: true, DeleteKEK: true, DeleteTEKs: []uint32{0xcafe0001},
		KEK: &KEK{
			SPI: [16]byte(octets(1, 16)), KeyBits: 128, IV: [16]byte(octets(0x11, 16)), Key: octets(0xa0, 16),
			SigHash: SHA256, SigPublic: []byte{0x30, 0x01}, SigPrivate: Secret{0x31, 0x02, 0x03}, Seq: 9, Ack: 1,
			Created: ref.Add(-time.Second), Soft: ref.Add(2 * time.Second), Hard: ref.Add(3 * time.Second),
		},
		TEKs: []TEK{{
			Name: "sa1", SPI: 0x0badf00d, KeyBits: 128, Key: octets(0x40, 16), AuthKey: octets(0x60, 32),
			Policies: []Policy{{
				Name: "p", Source: netip.MustParsePrefix("10.1.0.0/16"), Destination: netip.MustParsePrefix("10.2.0.0/16"),
				SourcePort: 1, DestinationPort: 80, Protocol: 6,
			}},
			Created: ref, Hard: ref.Add(time.Hour),
		}},
	}
}

// sampleHex is sample() field by field.
var sampleHex = strings.Join([]string{
	"02",                               // version
	"13",                               // flags: KEK, full, delete KEK
	"01020304",                         // group ID
	"0000000000000007",                 // update version
	"00003a98",                         // activation delay 15000 ms
	"0147",                             // group name "G"
	"0102030405060708090a0b0c0d0e0f10", // KEK SPI
	"0080",                             // 128 bits
	"1112131415161718191a1b1c1d1e1f20", // IV
	"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", // key
	"00",                               // RSA
	"01",                               // SHA-256
	"00023001",                         // public key, 2 octets
	"0003310203",                       // private key, 3 octets
	"00000009",                         // sequence
	"0001",                             // ack type
	"fffffffffffffc18",                 // created -1000 ms
	"00000000000007d0",                 // soft 2000 ms
	"0000000000000bb8",                 // hard 3000 ms
	"0001",                             // one TEK
	"03736131",                         // name "sa1"
	"0badf00d",                         // SPI
	"00",                               // ESP with AES-CBC
	"0080",                             // 128 bits
	"404142434445464748494a4b4c4d4e4f", // key
	"606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f", // authentication key
	"01",               // one match-policy
	"0170",             // name "p"
	"0a01000010",       // 10.1.0.0/16
	"0a02000010",       // 10.2.0.0/16
	"00010050",         // ports 1 and 80
	"06",               // TCP
	"0000000000000000", // created 0 ms
	"8000000000000000", // soft: the zero time
	"000000000036ee80", // hard 3600000 ms
	"8000000000000000", // activate: the zero time
	"0001cafe0001",     // one SPI to delete
}, "")

func TestUpdateKnownAnswer(t *testing.T) {
	got := hex.EncodeToString(AppendUpdate(nil, sample(), ref))
	if got != sampleHex {
		t.Errorf("AppendUpdate:\n got %s\nwant %s", got, sampleHex)
	}
	b, err := hex.DecodeString(sampleHex)
	if err != nil {
		t.Fatal(err)
	}
	u, err := ParseUpdate(b, ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*sample(), u, compare); diff != "" {
		t.Errorf("ParseUpdate (-want +got):\n%s", diff)
	}
}

// timed is sample() with a window of 100 ms.
func timed() *Update {
	u := sample()
	u.TEKs[0].Window = 100 * time.Millisecond
	return u
}

// A TEK with a window is of another kind, so that a program that knows none refuses it; all others are written as before.
func TestUpdateWindow(t *testing.T) {
	const head = "037361310badf00d"
	want := strings.Replace(sampleHex, head+"000080", head+"40008000000064", 1)
	got := AppendUpdate(nil, timed(), ref)
	if hex.EncodeToString(got) != want {
		t.Errorf("AppendUpdate:\n got %x\nwant %s", got, want)
	}
	u, err := ParseUpdate(got, ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*timed(), u, compare); diff != "" {
		t.Errorf("ParseUpdate (-want +got):\n%s", diff)
	}
	at := strings.Index(want, head)/2 + len(head)/2 + 3
	for _, ms := range []uint32{0, 60001, 1<<32 - 1} {
		b := bytes.Clone(got)
		binary.BigEndian.PutUint32(b[at:], ms)
		if _, err := ParseUpdate(b, ref); !errors.Is(err, ErrUpdate) {
			t.Errorf("window of %d ms: %v", ms, err)
		}
	}
	for _, w := range []time.Duration{-1, time.Microsecond, MaxWindow + time.Millisecond} {
		u := timed()
		u.TEKs[0].Window = w
		if err := u.Check(); !errors.Is(err, ErrUpdate) {
			t.Errorf("window of %v: %v", w, err)
		}
	}
	if g := goose(); !g.WindowSound() {
		t.Error("IEC 61850 without a window")
	} else if g.Window = time.Second; (&Update{TEKs: []TEK{g}}).Check() == nil {
		t.Error("IEC 61850 with a window passes")
	}
}

// The reader's clock may be hours off: lifetimes travel as what is left of them.
func TestUpdateBetweenClocks(t *testing.T) {
	theirs := ref.Add(-3 * time.Hour)
	u, err := ParseUpdate(AppendUpdate(nil, sample(), ref), theirs)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := u.KEK.Hard, theirs.Add(3*time.Second); !got.Equal(want) {
		t.Errorf("KEK hard lifetime %v, want %v", got, want)
	}
	if !u.TEKs[0].Activate.IsZero() {
		t.Errorf("zero time became %v", u.TEKs[0].Activate)
	}
}

// No lifetime grows by travelling: what is no whole millisecond is cut down, before the reference too.
func TestUpdateTimesRoundDown(t *testing.T) {
	u := sample()
	u.KEK.Created, u.KEK.Hard = ref.Add(-1500*time.Microsecond), ref.Add(1500*time.Microsecond)
	got, err := ParseUpdate(AppendUpdate(nil, u, ref), ref)
	if err != nil {
		t.Fatal(err)
	}
	if c, h := got.KEK.Created.Sub(ref), got.KEK.Hard.Sub(ref); c != -2*time.Millisecond || h != time.Millisecond {
		t.Errorf("created %v, hard %v from the reference; want -2ms, 1ms", c, h)
	}
}

func TestParseUpdateOwnsItsMemory(t *testing.T) {
	b := AppendUpdate(nil, sample(), ref)
	u, err := ParseUpdate(b, ref)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if diff := cmp.Diff(*sample(), u, compare); diff != "" {
		t.Errorf("the Update changed with the caller's buffer (-want +got):\n%s", diff)
	}
	u.Zero()
	if !u.KEK.Key.Equal(make(Secret, 16)) || !u.KEK.SigPrivate.Equal(make(Secret, 3)) || !u.TEKs[0].AuthKey.Equal(make(Secret, 32)) {
		t.Error("Zero left key material")
	}
}

func TestParseUpdateRefuses(t *testing.T) {
	good := AppendUpdate(nil, sample(), ref)
	for n := range good {
		if _, err := ParseUpdate(good[:n], ref); !errors.Is(err, ErrUpdate) {
			t.Fatalf("cut after %d of %d octets: error %v", n, len(good), err)
		}
	}
	set := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	const kek = 20 // where the KEK begins
	tek := bytes.Index(good, []byte("\x03sa1"))
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"the version before", set(0, 1), "version 1, this program knows 2"},
		{"a later version", set(0, 3), "version 3"},
		{"unknown flag", set(1, 0x93), "flags 0x80 unknown"},
		{"one octet too many", append(bytes.Clone(good), 0), "1 octets too many"},
		{"name not printable", set(19, '\n'), "not printable"},
		{"KEK of 127 bits", set(kek+16, 0, 127), "AES key of 127 bits"},
		{"an unknown signature", set(kek+16+2+16+16, 3), "signature algorithm 3"},
		{"public key too long", set(kek+16+2+16+16+2, 0xff), "public key of"},
		{"private key too long", set(kek+16+2+16+16+2+4, 0xff), "private key of"},
		{"257 TEKs", set(tek-2, 1, 1), "257 TEKs"},
		{"TEK of an unknown kind", set(tek+8, 2), "TEK of kind 2"},
		{"TEK of 0 bits", set(tek+9, 0, 0), "AES key of 0 bits"},
		{"65 match-policies", set(tek+11+16+32, 65), "65 match-policies"},
		{"prefix of 33 bits", set(tek+11+16+32+1+2+4, 33), "prefix of 33 bits"},
		{"any prefix with an address", set(tek+11+16+32+1+2+4, 255), "prefix of 255 bits"},
		{"a time 600 years off", set(len(good)-6-8, 0x01), "ms from the reference"},
		{"300 SPIs to delete", set(len(good)-6, 1, 44), "300 SPIs"},
	} {
		_, err := ParseUpdate(c.b, ref)
		if !errors.Is(err, ErrUpdate) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func TestUpdateCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  func(*Update)
	}{
		{"group name too long", func(u *Update) { u.Group = strings.Repeat("x", 256) }},
		{"group name with a newline", func(u *Update) { u.Group = "a\nb" }},
		{"sender IDs of no epoch", func(u *Update) { u.Senders.Bits = 8 }},
		{"negative activation delay", func(u *Update) { u.ActivationDelay = -1 }},
		{"too many TEKs", func(u *Update) { u.TEKs = make([]TEK, MaxTEKs+1) }},
		{"too many SPIs", func(u *Update) { u.DeleteTEKs = make([]uint32, MaxTEKs+1) }},
		{"KEK key short", func(u *Update) { u.KEK.Key = u.KEK.Key[:15] }},
		{"KEK public key too long", func(u *Update) { u.KEK.SigPublic = make([]byte, MaxPublic+1) }},
		{"TEK key of another length", func(u *Update) { u.TEKs[0].KeyBits = 256 }},
		{"TEK authentication key missing", func(u *Update) { u.TEKs[0].AuthKey = nil }},
		{"TEK authentication key with GCM", func(u *Update) { u.TEKs[0].Cipher = GCM }},
		{"TEK of an unknown cipher", func(u *Update) { u.TEKs[0].Cipher = ciphers }},
		{"a multicast group that is one address", func(u *Update) { u.KEK.Multicast = &Multicast{Group: netip.MustParseAddrPort("192.0.2.1:848")} }},
		{"an IPv6 multicast group", func(u *Update) { u.KEK.Multicast = &Multicast{Group: netip.MustParseAddrPort("[ff0e::1]:848")} }},
		{"an interface with a newline", func(u *Update) {
			*u.KEK = *multicast().KEK
			u.KEK.Multicast = &Multicast{u.KEK.Multicast.Group, 1, "e\n"}
		}},
		{"an unknown signature", func(u *Update) { u.KEK.SigAlg = sigAlgs }},
		{"IEC 61850 and an ESP cipher", func(u *Update) { u.TEKs[0] = goose(); u.TEKs[0].Cipher = GCM }},
		{"IEC 61850 without an OID", func(u *Update) { u.TEKs[0] = goose(); u.TEKs[0].IEC61850.Selector.OID = "" }},
		{"IEC 61850 with an assurance of 101", func(u *Update) { u.TEKs[0] = goose(); u.TEKs[0].IEC61850.Assurance = 101 }},
		{"too many policies", func(u *Update) { u.TEKs[0].Policies = make([]Policy, MaxPolicies+1) }},
		{"IPv6 policy", func(u *Update) { u.TEKs[0].Policies[0].Source = netip.MustParsePrefix("2001:db8::/32") }},
	} {
		u := sample()
		c.bad(u)
		if err := u.Check(); !errors.Is(err, ErrUpdate) {
			t.Errorf("%s: Check gave %v", c.name, err)
		}
	}
	if err := sample().Check(); err != nil {
		t.Errorf("the sample: %v", err)
	}
}

func multicast() *Update {
	u := sample()
	u.KEK.Multicast = &Multicast{Group: netip.MustParseAddrPort("239.1.2.3:848"), TTL: 64, Interface: "eth0"}
	return u
}

func TestUpdateMulticast(t *testing.T) {
	got := AppendUpdate(nil, multicast(), ref)
	if want := strings.Replace(strings.Replace(sampleHex, "0213", "0233", 1), "0bb80001", "0bb8"+"ef010203"+"0350"+"40"+"0465746830"+"0001", 1); hex.EncodeToString(got) != want {
		t.Errorf("AppendUpdate:\n got %x\nwant %s", got, want)
	}
	u, err := ParseUpdate(got, ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*multicast(), u, compare); diff != "" {
		t.Errorf("ParseUpdate (-want +got):\n%s", diff)
	}
	at := bytes.Index(got, []byte{239, 1, 2, 3})
	one, none := bytes.Clone(got), AppendUpdate(nil, &Update{Group: "G"}, ref)
	one[at] = 192 // no group
	none[1] |= flagMulticast
	for _, b := range [][]byte{one, none, got[:at+3], got[:at+8]} {
		if _, err := ParseUpdate(b, ref); !errors.Is(err, ErrUpdate) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func numbered() *Update {
	u := sample()
	u.Senders = Senders{Epoch: 0x0102030405060708, Bits: 12, First: 0x100, Count: 0xf00}
	return u
}

func TestUpdateSenders(t *testing.T) {
	const head = "010203040000000000000007" + "00003a98" + "0147"
	got := AppendUpdate(nil, numbered(), ref)
	if want := strings.Replace(sampleHex, "0213"+head, "0253"+head+"0102030405060708"+"0c"+"00000100"+"00000f00", 1); hex.EncodeToString(got) != want {
		t.Errorf("AppendUpdate:\n got %x\nwant %s", got, want)
	}
	u, err := ParseUpdate(got, ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*numbered(), u, compare); diff != "" {
		t.Errorf("ParseUpdate (-want +got):\n%s", diff)
	}
	at := bytes.Index(got, []byte{1, 2, 3, 4, 5, 6, 7, 8, 12})
	beyond, none := bytes.Clone(got), bytes.Clone(got)
	beyond[at+16] = 1 // one more than there are
	clear(none[at : at+SendersLen])
	for _, b := range [][]byte{beyond, none, got[:at+SendersLen-1]} {
		if _, err := ParseUpdate(b, ref); !errors.Is(err, ErrUpdate) {
			t.Errorf("%x: %v", b, err)
		}
	}
	if _, err := ParseSenders(got[at : at+SendersLen-1]); !errors.Is(err, ErrUpdate) {
		t.Errorf("an octet too few: %v", err)
	}
}

func goose() TEK {
	return TEK{
		Name: "goose", SPI: 1, Key: octets(1, 16), AuthKey: octets(2, 32), Activate: ref.Add(time.Minute),
		IEC61850: &IEC61850{Selector: Selector{OID: "\x06\x03\x2a\x86\x48", Payload: "\x04\x01\x00"}, Auth: AuthHMACSHA256128, Enc: EncCBC128, HasAssurance: true},
	}
}

// Of the octets of RFC 8052's TEKs only the policy and the lengths of the keys are their own.
func TestUpdateCarriesIEC61850(t *testing.T) {
	u := &Update{TEKs: []TEK{goose()}}
	b := AppendUpdate(nil, u, ref)
	policy, err := hex.DecodeString("ff" + "0506032a8648" + "0003040100" + "0002" + "0002" + "00")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, policy) {
		t.Errorf("no %x in %x", policy, b)
	}
	got, err := ParseUpdate(b, ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(u.TEKs, got.TEKs, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	at := bytes.Index(b, policy)
	for _, c := range []struct {
		name string
		at   int
		v    byte
	}{
		{"an OID that is none", at + 2, 7},
		{"an OID one octet short", at + 3, 2},
		{"a payload that is no element", at + 10, 2},
		{"CBC without authentication", at + 13, 1},
		{"an unknown authentication", at + 13, 6},
		{"an unknown encryption", at + 15, 0},
		{"an assurance of 101", at + 16, 101},
	} {
		bad := bytes.Clone(b)
		bad[c.at] = c.v
		if _, err := ParseUpdate(bad, ref); !errors.Is(err, ErrUpdate) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSelectorSound(t *testing.T) {
	oid := "\x06\x03\x2a\x86\x48"
	long := func(head string, n int) string { return head + strings.Repeat("x", n) }
	for _, c := range []struct {
		name string
		s    Selector
		want bool
	}{
		{"no payload", Selector{OID: oid}, true},
		{"a payload of 200 octets", Selector{oid, long("\x04\x81\xc8", 200)}, true},
		{"a payload of 1000 octets", Selector{oid, long("\x04\x82\x03\xe8", 1000)}, true},
		{"a payload with a long tag", Selector{oid, "\x7f\x81\x01\x01x"}, true},
		{"an OID of no octets", Selector{OID: "\x06\x00"}, false},
		{"an OID cut", Selector{OID: oid[:4]}, false},
		{"an OID and more", Selector{OID: oid + "x"}, false},
		{"another tag", Selector{OID: "\x04\x01x"}, false},
		{"nothing", Selector{}, false},
		{"a payload in a longer form than it needs", Selector{oid, long("\x04\x81\x05", 5)}, false},
		{"the same with two octets", Selector{oid, long("\x04\x82\x00\xc8", 200)}, false},
		{"a payload of open length", Selector{oid, "\x24\x80xx"}, false},
		{"a payload that is a tag", Selector{oid, "\x04"}, false},
		{"a payload that is a long tag", Selector{oid, "\x1f\xff\xff"}, false},
		{"a payload of a length cut short", Selector{oid, "\x04\x82\x01"}, false},
		{"a payload over the limit", Selector{oid, long("\x04\x82\x03\xfd", 1021)}, false},
	} {
		if got := c.s.Sound(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestKeyLengths(t *testing.T) {
	iec := func(a Auth, e Enc) TEK { return TEK{IEC61850: &IEC61850{Auth: a, Enc: e}} }
	for _, c := range []struct {
		name      string
		tek       TEK
		key, auth int // -1: refused
		counts    bool
	}{
		{"CBC 128", TEK{KeyBits: 128}, 16, 32, false},
		{"CBC 192", TEK{KeyBits: 192}, 24, 32, false},
		{"GCM 256", TEK{Cipher: GCM, KeyBits: 256}, 36, 0, true},
		{"CBC 64", TEK{KeyBits: 64}, -1, 0, false},
		{"an unknown cipher", TEK{Cipher: ciphers, KeyBits: 128}, -1, 0, false},
		{"NONE, NONE", iec(AuthNone, EncNone), 0, 0, false},
		{"HMAC-SHA256-128, NONE", iec(AuthHMACSHA256128, EncNone), 0, 32, false},
		{"HMAC-SHA256, CBC-256", iec(AuthHMACSHA256, EncCBC256), 32, 32, false},
		{"GMAC-128, NONE", iec(AuthGMAC128, EncNone), 0, 20, true},
		{"GMAC-256, CBC-128", iec(AuthGMAC256, EncCBC128), 16, 36, true},
		{"NONE, GCM-128", iec(AuthNone, EncGCM128), 20, 0, true},
		{"NONE, GCM-256", iec(AuthNone, EncGCM256), 36, 0, true},
		// "MUST NOT be used with the NONE authentication algorithm" (RFC 8052 section 2.2.3)
		{"NONE, CBC-128", iec(AuthNone, EncCBC128), -1, 0, false},
		{"NONE, CBC-256", iec(AuthNone, EncCBC256), -1, 0, false},
		{"HMAC-SHA256, GCM-128", iec(AuthHMACSHA256, EncGCM128), -1, 0, true},
		{"RESERVED, NONE", iec(0, EncNone), -1, 0, false},
		{"NONE, RESERVED", iec(AuthNone, 0), -1, 0, false},
	} {
		key, auth, ok := c.tek.KeyLengths()
		if ok != (c.key >= 0) || ok && (key != c.key || auth != c.auth) || c.tek.Counts() != c.counts {
			t.Errorf("%s: %d, %d, %v; counts %v", c.name, key, auth, ok, c.tek.Counts())
		}
	}
}

func drawUpdate(t *rapid.T) *Update {
	name := rapid.StringMatching(`[ -~]{0,32}`)
	secret := func(n int, label string) Secret {
		return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, label)
	}
	bits := rapid.SampledFrom([]int{128, 192, 256})
	when := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return ref.Add(time.Duration(rapid.Int64Range(-maxMillis, maxMillis).Draw(t, "ms")) * time.Millisecond)
	})
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		n := rapid.IntRange(-1, 32).Draw(t, "bits")
		if n < 0 {
			return netip.Prefix{}
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(secret(4, "address"))), n)
	})
	policy := rapid.Custom(func(t *rapid.T) Policy {
		return Policy{
			Name: name.Draw(t, "name"), Source: prefix.Draw(t, "source"), Destination: prefix.Draw(t, "destination"),
			SourcePort: rapid.Uint16().Draw(t, "sport"), DestinationPort: rapid.Uint16().Draw(t, "dport"), Protocol: rapid.Byte().Draw(t, "protocol"),
		}
	})
	tek := rapid.Custom(func(t *rapid.T) TEK {
		k := TEK{
			Name: name.Draw(t, "name"), SPI: rapid.Uint32().Draw(t, "spi"),
			Policies: rapid.SliceOfN(policy, 0, 10).Draw(t, "policies"),
			Created:  when.Draw(t, "created"), Soft: when.Draw(t, "soft"), Hard: when.Draw(t, "hard"), Activate: when.Draw(t, "activate"),
		}
		if rapid.Bool().Draw(t, "IEC 61850") {
			body := rapid.StringN(0, 20, 100).Draw(t, "payload")
			x := &IEC61850{
				Selector: Selector{OID: "\x06\x01" + string(secret(1, "OID"))}, Enc: EncNone, Auth: Auth(rapid.IntRange(1, 5).Draw(t, "auth")),
				HasAssurance: rapid.Bool().Draw(t, "assured"),
			}
			if body != "" {
				x.Selector.Payload = "\x04" + string([]byte{byte(len(body))}) + body
			}
			if x.HasAssurance {
				x.Assurance = rapid.Uint8Max(100).Draw(t, "assurance")
			}
			k.IEC61850 = x
		} else {
			k.KeyBits, k.Cipher = bits.Draw(t, "bits"), Cipher(rapid.IntRange(0, int(ciphers)-1).Draw(t, "cipher"))
			k.Window = time.Duration(rapid.IntRange(0, 60000).Draw(t, "window")) * time.Millisecond
		}
		n, auth, _ := k.KeyLengths()
		k.Key, k.AuthKey = secret(n, "key"), secret(auth, "auth")
		return k
	})
	u := &Update{
		Group: name.Draw(t, "group"), GroupID: rapid.Uint32().Draw(t, "id"), Version: rapid.Uint64().Draw(t, "version"),
		ActivationDelay: time.Duration(rapid.Uint32().Draw(t, "delay")) * time.Millisecond,
		Full:            rapid.Bool().Draw(t, "full"), DeleteAll: rapid.Bool().Draw(t, "all"),
		DeleteMembers: rapid.Bool().Draw(t, "members"), DeleteKEK: rapid.Bool().Draw(t, "kek"),
		TEKs: rapid.SliceOfN(tek, 0, 4).Draw(t, "teks"), DeleteTEKs: rapid.SliceOfN(rapid.Uint32(), 0, 4).Draw(t, "spis"),
	}
	if rapid.Bool().Draw(t, "with sender IDs") {
		r := Senders{Epoch: rapid.Uint64Min(1).Draw(t, "epoch"), Bits: rapid.IntRange(1, MaxSenderBits).Draw(t, "sender bits")}
		r.First = rapid.Uint32Range(0, 1<<r.Bits).Draw(t, "first")
		r.Count = rapid.Uint32Range(0, 1<<r.Bits-r.First).Draw(t, "count")
		u.Senders = r
	}
	if rapid.Bool().Draw(t, "with KEK") {
		n := bits.Draw(t, "bits")
		u.KEK = &KEK{
			SPI: [16]byte(secret(16, "spi")), KeyBits: n, IV: [16]byte(secret(16, "iv")), Key: secret(n/8, "key"),
			SigAlg: SigAlg(rapid.IntRange(0, int(sigAlgs)-1).Draw(t, "signature")), SigHash: Hash(rapid.Byte().Draw(t, "hash")), SigPublic: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "public"),
			SigPrivate: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "private"),
			Seq:        rapid.Uint32().Draw(t, "seq"), Ack: rapid.Uint16().Draw(t, "ack"),
			Created: when.Draw(t, "created"), Soft: when.Draw(t, "soft"), Hard: when.Draw(t, "hard"),
		}
		if rapid.Bool().Draw(t, "multicast") {
			group := rapid.Uint32Range(224<<24, 239<<24+1<<24-1).Draw(t, "group")
			u.KEK.Multicast = &Multicast{
				Group: netip.AddrPortFrom(netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, group))), rapid.Uint16().Draw(t, "port")),
				TTL:   rapid.Byte().Draw(t, "TTL"), Interface: name.Draw(t, "interface"),
			}
		}
	}
	return u
}

func TestUpdateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := drawUpdate(t)
		got, err := ParseUpdate(AppendUpdate([]byte("before"), u, ref)[len("before"):], ref)
		if err != nil {
			t.Fatal(err)
		}
		// An empty slice and a nil one are the same on the wire.
		empty := cmp.FilterPath(func(p cmp.Path) bool { return true }, cmp.Options{
			cmp.FilterValues(func(a, b []byte) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
			cmp.FilterValues(func(a, b []TEK) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
			cmp.FilterValues(func(a, b []Policy) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
			cmp.FilterValues(func(a, b []uint32) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
		})
		if diff := cmp.Diff(*u, got, compare, empty); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// Whatever parses is written again as the same octets: the form has one spelling.
func FuzzParseUpdate(f *testing.F) {
	f.Add(AppendUpdate(nil, sample(), ref))
	f.Add(AppendUpdate(nil, multicast(), ref))
	f.Add(AppendUpdate(nil, &Update{Group: "G", DeleteAll: true}, ref))
	f.Add(AppendUpdate(nil, &Update{Group: "G", TEKs: []TEK{goose(), {Cipher: GCM, KeyBits: 128, Key: octets(1, 20)}}}, ref))
	f.Add(AppendUpdate(nil, timed(), ref))
	f.Add(AppendUpdate(nil, numbered(), ref))
	f.Add([]byte{updateVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := ParseUpdate(b, ref)
		if err != nil {
			if !errors.Is(err, ErrUpdate) {
				t.Fatalf("error %v does not wrap ErrUpdate", err)
			}
			return
		}
		if again := AppendUpdate(nil, &u, ref); !bytes.Equal(again, b) {
			t.Fatalf("\nread  %x\nwrote %x", b, again)
		}
	})
}
