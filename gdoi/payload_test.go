package gdoi

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// cbc encrypts or decrypts b in place under the KEK.
func cbc(kek *sa.KEK, b []byte, encrypt bool) {
	block, err := aes.NewCipher(kek.Key)
	if err != nil {
		panic(err)
	}
	if encrypt {
		cipher.NewCBCEncrypter(block, kek.IV[:]).CryptBlocks(b, b)
		return
	}
	cipher.NewCBCDecrypter(block, kek.IV[:]).CryptBlocks(b, b)
}

// pull2SA is the SA payload of the known answer, from its generic header on.
func pull2SA(t testing.TB) []byte { return kat(t, "pull2_plain")[hashLen+36:] }

// edit replaces, in the known SA payload, the one place where old stands, and sets the lengths of the payloads around it
// right: the SA's, and that of the attribute payload of type typ.
func edit(t *testing.T, typ isakmp.PayloadType, old, replacement string) []byte {
	t.Helper()
	b, from := pull2SA(t), spell(t, old)
	if bytes.Count(b, from) != 1 {
		t.Fatalf("%x stands %d times", from, bytes.Count(b, from))
	}
	to := spell(t, replacement)
	grow := len(to) - len(from)
	at := map[isakmp.PayloadType]int{isakmp.PayloadSAK: 16, isakmp.PayloadGAP: 16 + 73, isakmp.PayloadSAT: 16 + 73 + 12}[typ]
	for _, place := range []int{2, at + 2} {
		binary.BigEndian.PutUint16(b[place:], uint16(int(binary.BigEndian.Uint16(b[place:]))+grow))
	}
	return bytes.Replace(b, from, to, 1)
}

func TestSAVariants(t *testing.T) {
	// What the field sends and the text does not, or says in two ways; all mean what the known answer means.
	for _, c := range []struct {
		name, old, new string
		typ            isakmp.PayloadType
	}{
		{"KEK lifetime in the short form", "0004 0004 00015180", "8004 5180", isakmp.PayloadSAK},
		{"KEK lifetime in eight octets", "0004 0004 00015180", "0004 0008 0000000000015180", isakmp.PayloadSAK},
		{"KEK algorithm in the long form", "8002 0003", "0002 0002 0003", isakmp.PayloadSAK},
		{"six reserved octets in SAK", "33 22 00000000 8002", "33 22 000000000000 8002", isakmp.PayloadSAK},
		{"wide identity lengths in SAK", "01 0350 04 c6336402 01 0350 04 e9fc0001", "01 0350 0004 c6336402 01 0350 0004 e9fc0001", isakmp.PayloadSAK},
		{
			"wide identity lengths and six reserved octets in SAK",
			"01 0350 04 c6336402 01 0350 04 e9fc0001 aabbccddeeff00119988776655443322 00000000",
			"01 0350 0004 c6336402 01 0350 0004 e9fc0001 aabbccddeeff00119988776655443322 000000000000", isakmp.PayloadSAK,
		},
		{"LKH in a PULL", "8002 0003", "8001 0001 8002 0003", isakmp.PayloadSAK},
		{"no signature key length", "8007 0800", "", isakmp.PayloadSAK},
		{"an acknowledgement type of the future", "8009 0001", "8009 0063", isakmp.PayloadSAK},
		{
			"wide identity lengths in SAT", "04 0000 08 0a010000 ffff0000 04 0000 08 0a020000 ffff0000",
			"04 0000 0008 0a010000 ffff0000 04 0000 0008 0a020000 ffff0000", isakmp.PayloadSAT,
		},
		{"address ranges that are prefixes", "04 0000 08 0a010000 ffff0000", "07 0000 08 0a010000 0a01ffff", isakmp.PayloadSAT},
		{"host bits under the mask", "04 0000 08 0a010000 ffff0000", "04 0000 08 0a010203 ffff0000", isakmp.PayloadSAT},
		{"TEK lifetime in the short form", "0002 0004 00000e10", "8002 0e10", isakmp.PayloadSAT},
		{"a group description", "8004 0001", "8003 000e 8004 0001", isakmp.PayloadSAT},
		{"addresses preserved, said aloud", "8006 0100", "8006 0100 800e 0004", isakmp.PayloadSAT},
		{"symmetric, said aloud", "8006 0100", "8006 0100 800f 0003", isakmp.PayloadSAT},
		{"ECN and ESN said aloud", "8006 0100", "8006 0100 800a 0001 800b 0000", isakmp.PayloadSAT},
	} {
		p, err := parseSA(edit(t, c.typ, c.old, c.new)[4:], now, true, Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want, err := parseSA(pull2SA(t)[4:], now, true, Options{})
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.Contains(c.name, "acknowledgement"):
			// "If a GM cannot respond with the requested type of Acknowledgement, it continues" (RFC 8263 section 4)
			want.KEK.Ack = 0
		case c.new == "8004 5180":
			want.KEK.Hard = now.Add(0x5180 * time.Second)
		}
		if diff := cmp.Diff(want, p, compare); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestSATIdentities(t *testing.T) {
	for _, c := range []struct {
		name, identity string
		want           string
		err            error
	}{
		{"an address", "01 0000 04 0a010203", "10.1.2.3/32", nil},
		{"no octets: any source", "01 0000 00", "0.0.0.0/0", nil},
		// "Set to 3 octets or zero for multiple-source multicast groups" (RFC 6407 section 5.5.1)
		{"three octets of zero: any source", "04 0000 03 000000", "0.0.0.0/0", nil},
		{"a subnet of all", "04 0000 08 00000000 00000000", "0.0.0.0/0", nil},
		{"a range of all", "07 0000 08 00000000 ffffffff", "0.0.0.0/0", nil},
		{"a range of one", "07 0000 08 0a010203 0a010203", "10.1.2.3/32", nil},
		{"a range that is no prefix", "07 0000 08 0a010001 0a010003", "", ErrUnsupported},
		{"a range that runs backwards", "07 0000 08 0a0100ff 0a010000", "", ErrUnsupported},
		{"a mask with a hole", "04 0000 08 0a010000 ff00ff00", "", ErrUnsupported},
		{"IPv6", "05 0000 10 20010db8000000000000000000000001", "", ErrUnsupported},
		{"an IPv6 subnet", "06 0000 20 20010db8000000000000000000000000ffff0000000000000000000000000000", "", ErrUnsupported},
		{"a name", "02 0000 04 61626364", "", ErrForm},
		{"an address of 5 octets", "01 0000 05 0a01020304", "", ErrForm},
		{"three octets that are not zero", "04 0000 03 000001", "", ErrForm},
	} {
		p, err := parseSA(edit(t, isakmp.PayloadSAT, "04 0000 08 0a010000 ffff0000", c.identity)[4:], now, true, Options{})
		if c.err != nil {
			wantKind(t, c.name, err, c.err)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := p.TEKs[0].Policies[0].Source; got != netip.MustParsePrefix(c.want) {
			t.Errorf("%s: source %v, want %s", c.name, got, c.want)
		}
	}
}

func TestSARefuses(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		typ            isakmp.PayloadType
		kind           error
	}{
		// "A GDOI implementation MUST abort if it encounters an attribute or capability that it does not understand."
		{"SAK attribute 8, KE_OAKLEY_GROUP of RFC 3547", "8009 0001", "8008 000e", isakmp.PayloadSAK, ErrUnsupported},
		{"SAK attribute 10", "8009 0001", "800a 0001", isakmp.PayloadSAK, ErrUnsupported},
		{"SAK attribute for private use", "8009 0001", "8080 0001", isakmp.PayloadSAK, ErrUnsupported},
		{"GAP attribute 4", "8002 001e", "8004 001e", isakmp.PayloadGAP, ErrUnsupported},
		{"GAP sender ID request from a server", "8002 001e", "8003 0001", isakmp.PayloadGAP, ErrUnsupported},
		{"SAT attribute 99", "8006 0100", "8006 0100 8063 0001", isakmp.PayloadSAT, ErrUnsupported},
		{"no KEK algorithm", "8002 0003", "", isakmp.PayloadSAK, ErrForm},
		{"no KEK key length", "8003 0100", "", isakmp.PayloadSAK, ErrForm},
		{"KEK key length twice", "8003 0100", "8003 0100 8003 0080", isakmp.PayloadSAK, ErrForm},
		{"KEK lifetime 0", "00015180", "00000000", isakmp.PayloadSAK, ErrForm},
		{"KEK lifetime of 2^32 s", "0004 0004 00015180", "0004 0005 0100000000", isakmp.PayloadSAK, ErrForm},
		{"KEK lifetime of no octets", "0004 0004 00015180", "0004 0000", isakmp.PayloadSAK, ErrForm},
		{"KEK lifetime of 9 octets", "0004 0004 00015180", "0004 0009 000000000000015180", isakmp.PayloadSAK, ErrForm},
		{"KEK SPI zero", "aabbccddeeff00119988776655443322", "00000000000000000000000000000000", isakmp.PayloadSAK, ErrForm},
		{"PUSH over TCP", "11 01 0350 04 c6", "06 01 0350 04 c6", isakmp.PayloadSAK, ErrUnsupported},
		{"RESERVED2 of SAK not zero", "3322 00000000", "3322 00000001", isakmp.PayloadSAK, ErrForm},
		{"SAK address of 5 octets", "04 c6336402", "05 c633640200", isakmp.PayloadSAK, ErrForm},
		{"SAK cut short", "8009 0001", "8009 00", isakmp.PayloadSAK, ErrForm},
		{"AH", "01 00 04 0000 08 0a01", "02 00 04 0000 08 0a01", isakmp.PayloadSAT, ErrUnsupported},
		{"IEC 61850", "01 00 04 0000 08 0a01", "03 00 04 0000 08 0a01", isakmp.PayloadSAT, ErrUnsupported},
		{"a private protocol", "01 00 04 0000 08 0a01", "80 00 04 0000 08 0a01", isakmp.PayloadSAT, ErrUnsupported},
		{"ESP with GCM", "0c 0badf00d", "14 0badf00d", isakmp.PayloadSAT, ErrUnsupported},
		{"SPI zero", "0c 0badf00d", "0c 00000000", isakmp.PayloadSAT, ErrForm},
		{"a reserved SPI", "0c 0badf00d", "0c 000000ff", isakmp.PayloadSAT, ErrForm},
		{"transport mode", "8004 0001", "8004 0002", isakmp.PayloadSAT, ErrUnsupported},
		{"UDP encapsulation", "8004 0001", "8004 0003", isakmp.PayloadSAT, ErrUnsupported},
		{"no encapsulation mode", "8004 0001", "", isakmp.PayloadSAT, ErrForm},
		{"no key length", "8006 0100", "", isakmp.PayloadSAT, ErrForm},
		{"addresses not preserved", "8006 0100", "8006 0100 800e 0001", isakmp.PayloadSAT, ErrUnsupported},
		{"sender only", "8006 0100", "8006 0100 800f 0001", isakmp.PayloadSAT, ErrUnsupported},
		{"64-bit sequence numbers", "8006 0100", "8006 0100 800b 0001", isakmp.PayloadSAT, ErrUnsupported},
		{"a lifetime in kilobytes", "8001 0001 0002 0004 00000e10", "8001 0001 0002 0004 00000e10 8001 0002 0002 0004 00000064", isakmp.PayloadSAT, ErrUnsupported},
		{"two lifetimes", "8001 0001 0002 0004 00000e10", "8001 0001 0002 0004 00000e10 8001 0001 0002 0004 00000064", isakmp.PayloadSAT, ErrForm},
		{"a duration without a type", "8001 0001 0002 0004", "0002 0004", isakmp.PayloadSAT, ErrForm},
		{"a type without a duration", "0002 0004 00000e10", "", isakmp.PayloadSAT, ErrForm},
		{"an unknown life type", "8001 0001 0002 0004", "8001 0003 0002 0004", isakmp.PayloadSAT, ErrUnsupported},
		{"TEK lifetime 0", "00000e10", "00000000", isakmp.PayloadSAT, ErrForm},
		{"SAT cut short", "8006 0100", "8006 01", isakmp.PayloadSAT, ErrForm},
	} {
		_, err := parseSA(edit(t, c.typ, c.old, c.new)[4:], now, true, Options{})
		wantKind(t, c.name, err, c.kind)
	}
	set := func(at int, v ...byte) []byte {
		b := pull2SA(t)
		copy(b[at:], v)
		return b[4:]
	}
	for _, c := range []struct {
		name string
		body []byte
		kind error
	}{
		{"DOI 1", set(4, 0, 0, 0, 1), ErrUnsupported},
		{"situation 1", set(8, 0, 0, 0, 1), ErrUnsupported},
		{"no attribute payload", set(12, 0, 0), ErrForm},
		{"attribute payload of type 271", set(12, 1, 15), ErrForm},
		{"RESERVED2 of SA", set(14, 0, 1), ErrForm},
		{"begins with KD", set(12, 0, 17), ErrForm},
		{"SAK after SAK", set(16, byte(isakmp.PayloadSAK)), ErrForm},
		{"GAP, then SAK", set(16+73, byte(isakmp.PayloadSAK)), ErrForm},
		{"SAT, then a SAT that is not there", set(16+73+12, byte(isakmp.PayloadSAT)), ErrForm},
		{"length 3 in SAK", set(16+2, 0, 3), ErrForm},
		{"length 0 in SAT", set(16+73+12+2, 0, 0), ErrForm},
		{"octets after the last", append(pull2SA(t), 0)[4:], ErrForm},
		{"ends at SAK, more follows", set(16, 0), ErrForm},
		{"only a GAP", spell(t, "00000002 00000000 0016 0000 00 00 0008 8001 000a"), ErrForm},
		{"nothing at all", nil, ErrForm},
	} {
		_, err := parseSA(c.body, now, true, Options{})
		wantKind(t, c.name, err, c.kind)
	}
	// KEK_MANAGEMENT_ALGORITHM is ignored in a PULL, and means LKH in a PUSH.
	if _, err := parseSA(edit(t, isakmp.PayloadSAK, "8002 0003", "8001 0001 8002 0003")[4:], now, false, Options{}); err != nil {
		t.Errorf("LKH in a PUSH: %v", err)
	}
	_, err := parseSA(edit(t, isakmp.PayloadSAK, "8002 0003", "8001 0002 8002 0003")[4:], now, false, Options{})
	wantKind(t, "another management algorithm in a PUSH", err, ErrUnsupported)
	if _, err = parseSA(pull2SA(t)[4:], now, false, Options{}); err != nil {
		t.Errorf("the known answer in a PUSH: %v", err)
	}
}

func TestDefaultLifetimes(t *testing.T) {
	p, err := parseSA(edit(t, isakmp.PayloadSAT, "8001 0001 0002 0004 00000e10", "")[4:], now, true, Options{})
	if err != nil {
		t.Fatal(err)
	}
	// "If unspecified, the default value shall be assumed to be 28800 seconds (8 hours)." (RFC 2407 section 4.5)
	if got := p.TEKs[0].Hard.Sub(now); got != 8*time.Hour {
		t.Errorf("TEK lifetime %v", got)
	}
	if p, err = parseSA(edit(t, isakmp.PayloadSAK, "0004 0004 00015180", "")[4:], now, true, Options{}); err != nil {
		t.Fatal(err)
	}
	if got := p.KEK.Hard.Sub(now); got != 24*time.Hour {
		t.Errorf("KEK lifetime %v", got)
	}
}

// SATs with one SPI are one TEK; they may not disagree about it.
func TestSATsMerge(t *testing.T) {
	m := []sa.Policy{
		{Source: netip.MustParsePrefix("10.1.0.0/16"), Destination: netip.MustParsePrefix("10.2.0.0/16"), Protocol: 6, DestinationPort: 443},
		{Source: netip.MustParsePrefix("10.2.0.0/16"), Destination: netip.MustParsePrefix("10.1.0.0/16"), SourcePort: 53, Protocol: 17},
	}
	a, b := testTEK(0x100, m...), testTEK(0x200, m[0])
	body := appendSA(nil, 0, &Policy{TEKs: []sa.TEK{a, b}}, now, Options{})[4:]
	p, err := parseSA(body, now, true, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.TEKs) != 2 || !slices.Equal(p.TEKs[0].Policies, m) || !slices.Equal(p.TEKs[1].Policies, m[:1]) {
		t.Errorf("got %+v", p.TEKs)
	}
	b.SPI, b.KeyBits, b.Key = 0x100, 256, octets(0, 32)
	split := func(x, y sa.TEK) []byte {
		body := spell(t, "00000002 00000000 0010 0000")
		body = appendSAT(body, isakmp.PayloadSAT, &x, m[0], now, Options{})
		return appendSAT(body, isakmp.NoPayload, &y, m[1], now, Options{})
	}
	_, err = parseSA(split(a, b), now, true, Options{})
	wantKind(t, "two key lengths", err, ErrForm)
	b = a
	b.Hard = b.Hard.Add(time.Minute)
	_, err = parseSA(split(a, b), now, true, Options{})
	wantKind(t, "two lifetimes", err, ErrForm)
}

func TestLimits(t *testing.T) {
	many := make([]sa.Policy, sa.MaxPolicies)
	for i := range many {
		many[i] = sa.Policy{Source: netip.MustParsePrefix("10.0.0.0/8"), Destination: netip.MustParsePrefix("10.0.0.0/8"), SourcePort: uint16(i)}
	}
	p := &Policy{KEK: testKEK(), ActivationDelay: time.Second, DeactivationDelay: time.Second}
	for i := range 6 {
		p.TEKs = append(p.TEKs, testTEK(0x100+uint32(i), many...))
	}
	for len(p.TEKs) < MaxTEKs {
		p.TEKs = append(p.TEKs, testTEK(0x100+uint32(len(p.TEKs))))
	}
	// 6 × 64 + 250 = 634 match-policies; 6 more make the limit.
	p.TEKs[255].Policies = many[:7]
	for i := range p.TEKs {
		p.TEKs[i].KeyBits, p.TEKs[i].Key = 256, octets(i, 32)
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	// The largest Policy fits one datagram as a PUSH, and comes back whole.
	kek := testKEK()
	wire := sign(t, kek, PushMessage(kek, &Push{Seq: 1, DeleteTEKs: make([]uint32, MaxTEKs), Policy: p}, now, Options{}))
	if len(wire) > isakmp.MaxMessage {
		t.Errorf("%d octets do not fit a datagram", len(wire))
	}
	got, err := OpenPush(kek, nil, wire, now, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Policy.TEKs) != MaxTEKs || len(got.Policy.TEKs[0].Policies) != sa.MaxPolicies {
		t.Errorf("%d TEKs, %d policies in the first", len(got.Policy.TEKs), len(got.Policy.TEKs[0].Policies))
	}
	p.TEKs[255].Policies = many[:8]
	wantKind(t, "641 match-policies", p.Check(), ErrForm)
	p.TEKs[255].Policies = many[:1]
	p.TEKs = append(p.TEKs, testTEK(0x9999))
	wantKind(t, "257 TEKs", p.Check(), ErrForm)

	// A parser holds to the same limits.
	body := spell(t, "00000002 00000000 0010 0000")
	one := testTEK(0x100)
	for i := range MaxPolicies + 3 {
		one.SPI = 0x100 + uint32(i%20)
		next := isakmp.PayloadSAT
		if i == MaxPolicies+2 {
			next = isakmp.NoPayload
		}
		body = appendSAT(body, next, &one, one.Policies[0], now, Options{})
	}
	_, err = parseSA(body, now, true, Options{})
	wantKind(t, "643 SATs", err, ErrForm)
}

func TestPolicyCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  func(*Policy)
		kind error
	}{
		{"nothing in it", func(p *Policy) { p.KEK, p.TEKs = nil, nil }, ErrForm},
		{"ATD of 1.5 s", func(p *Policy) { p.ActivationDelay = 1500 * time.Millisecond }, ErrForm},
		{"DTD of a day", func(p *Policy) { p.DeactivationDelay = 24 * time.Hour }, ErrForm},
		{"PUSH from IPv6", func(p *Policy) { p.PushFrom = netip.MustParseAddrPort("[2001:db8::1]:848") }, ErrUnsupported},
		{"PUSH to an IPv6 group", func(p *Policy) {
			p.KEK.Multicast = &sa.Multicast{Group: netip.MustParseAddrPort("[ff0e::1]:848")}
		}, ErrUnsupported},
		{"PUSH to one address as if it were a group", func(p *Policy) {
			p.KEK.Multicast = &sa.Multicast{Group: netip.MustParseAddrPort("192.0.2.1:848")}
		}, ErrUnsupported},
		{"KEK SPI zero", func(p *Policy) { p.KEK.SPI = [16]byte{} }, ErrForm},
		{"KEK key short", func(p *Policy) { p.KEK.Key = p.KEK.Key[:8] }, ErrKeys},
		{"KEK of 100 bits", func(p *Policy) { p.KEK.KeyBits = 100 }, ErrKeys},
		{"no hash", func(p *Policy) { p.KEK.SigHash = 0 }, ErrUnsupported},
		{"an unknown acknowledgement", func(p *Policy) { p.KEK.Ack = 5 }, ErrUnsupported},
		{"no signature key", func(p *Policy) { p.KEK.SigPublic = nil }, ErrKeys},
		{"reserved SPI", func(p *Policy) { p.TEKs[0].SPI = 255 }, ErrForm},
		{"SPI twice", func(p *Policy) { p.TEKs = append(p.TEKs, p.TEKs[0]) }, ErrForm},
		{"TEK key of the wrong length", func(p *Policy) { p.TEKs[0].KeyBits = 128 }, ErrKeys},
		{"no integrity key", func(p *Policy) { p.TEKs[0].AuthKey = nil }, ErrKeys},
		{"no match-policy", func(p *Policy) { p.TEKs[0].Policies = nil }, ErrForm},
		{"IPv6 match-policy", func(p *Policy) { p.TEKs[0].Policies[0].Destination = netip.MustParsePrefix("::/0") }, ErrUnsupported},
	} {
		p := katPolicy(t)
		c.bad(p)
		wantKind(t, c.name, p.Check(), c.kind)
		if !panics(func() { AppendPull2(nil, octets(0, 16), p, now, Options{}) }) {
			t.Errorf("%s: AppendPull2 wrote it", c.name)
		}
	}
	p := katPolicy(t)
	if !panics(func() { AppendPull1(nil, octets(0, 7), GroupName{ID: 1}, Options{}) }) || !panics(func() { AppendPull2(nil, octets(0, 129), p, now, Options{}) }) {
		t.Error("a nonce of 7 or 129 octets was written")
	}
	if !panics(func() { PushMessage(katKEK(t), &Push{Seq: 1}, now, Options{}) }) {
		t.Error("a PUSH that says nothing was written")
	}
	if !panics(func() { SealPush(katKEK(t), make([]byte, 28), make([]byte, 128)) }) {
		t.Error("a signature of the wrong length was written")
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

// What is left of a lifetime is rounded down, and never written as zero.
func TestRemaining(t *testing.T) {
	for _, c := range []struct {
		left time.Duration
		want uint32
	}{
		{time.Hour, 3600},
		{1999 * time.Millisecond, 1},
		{time.Millisecond, 1},
		{0, 1},
		{-time.Hour, 1},
		{1 << 62, 1<<32 - 1},
	} {
		if got := remaining(now.Add(c.left), now); got != c.want {
			t.Errorf("%v left: %d s, want %d", c.left, got, c.want)
		}
	}
}

func TestKDRefuses(t *testing.T) {
	good := kat(t, "pull4_plain")[hashLen+8+4:] // the body of KD
	tek, kek := good[4:4+81], good[4+81:]
	join := func(count byte, packets ...[]byte) []byte {
		b := []byte{0, count, 0, 0}
		for _, p := range packets {
			b = append(b, p...)
		}
		return b
	}
	set := func(packet []byte, at int, v ...byte) []byte {
		b := slices.Clone(packet)
		copy(b[at:], v)
		return b
	}
	// resize replaces old by new in a packet and sets the packet's length.
	resize := func(packet []byte, old, with string) []byte {
		from := spell(t, old)
		if bytes.Count(packet, from) != 1 {
			t.Fatalf("%s stands %d times", old, bytes.Count(packet, from))
		}
		b := bytes.Replace(packet, from, spell(t, with), 1)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		return b
	}
	key32 := "0001 0020 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
	auth := "0002 0020 4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60"
	weak := spki(&rsa.PublicKey{N: weakModulus(), E: 65537})
	small := spki(&rsa.PublicKey{N: bigModulus(t), E: 3})
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	withSigner := func(der []byte) []byte {
		at := len(kek) - 4 - len(kat(t, "rsa_spki"))
		b := isakmp.AppendAttr(slices.Clone(kek[:at]), sigAlgorithmKey, der)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		return b
	}
	for _, c := range []struct {
		name string
		body []byte
		kind error
	}{
		{"nothing", nil, ErrForm},
		{"RESERVED2", set(good, 2, 1), ErrForm},
		{"one packet announced, two there", set(good, 1, 1), ErrForm},
		{"three packets announced, two there", set(good, 1, 3), ErrForm},
		{"65535 packets announced", set(good, 0, 0xff, 0xff), ErrForm},
		{"packet of length 0", join(1, set(tek, 2, 0, 0)), ErrForm},
		{"packet of length 4", join(1, set(tek, 2, 0, 4)), ErrForm},
		{"packet longer than the payload", join(1, set(tek, 2, 0, 82)), ErrForm},
		{"packet's RESERVED", join(2, set(tek, 1, 1), kek), ErrForm},
		{"SPI longer than the packet", join(1, set(tek, 4, 0xff)), ErrForm},
		{"attribute longer than the packet", join(2, set(tek, 11, 0xff), kek), ErrForm},
		{"no TEK packet", join(1, kek), ErrKeys},
		{"no KEK packet", join(1, tek), ErrKeys},
		{"TEK packet twice", join(3, tek, tek, kek), ErrForm},
		{"KEK packet twice", join(3, tek, kek, kek), ErrForm},
		{"a TEK that the policy does not have", join(3, tek, set(tek, 8, 0x0e), kek), ErrKeys},
		{"another KEK", join(2, tek, set(kek, 5, 0xab)), ErrKeys},
		{"TEK SPI of 3 octets", join(2, resize(tek, "04 0badf00d", "03 0badf0"), kek), ErrForm},
		{"KEK SPI of 8 octets", join(2, tek, resize(kek, "10 aabbccddeeff00119988776655443322", "08 aabbccddeeff0011")), ErrForm},
		{"TEK without a key", join(2, resize(tek, key32, ""), kek), ErrKeys},
		{"TEK without an integrity key", join(2, resize(tek, auth, ""), kek), ErrKeys},
		{"TEK key of 16 octets for 256 bits", join(2, resize(tek, key32, "0001 0010 0102030405060708090a0b0c0d0e0f10"), kek), ErrKeys},
		{"TEK key empty", join(2, resize(tek, key32, "0001 0000"), kek), ErrKeys},
		{"TEK key twice", join(2, resize(tek, auth, "0001 0002 0102"), kek), ErrForm},
		{"integrity key of 20 octets", join(2, resize(tek, auth, "0002 0014 4142434445464748494a4b4c4d4e4f5051525354"), kek), ErrKeys},
		{"source authentication key", join(2, resize(tek, auth, "0003 0001 01"), kek), ErrUnsupported},
		{"KEK key without its IV", join(2, tek, resize(kek, "0001 0030 101112131415161718191a1b1c1d1e1f", "0001 0020")), ErrKeys},
		{"KEK attribute 3", join(2, tek, resize(kek, "0002 0126", "0003 0126")), ErrUnsupported},
		{"LKH packet", join(2, tek, set(kek, 0, keyLKH)), ErrUnsupported},
		{"SID packet with an SPI", join(2, tek, set(kek, 0, keySID)), ErrForm},
		{"packet of type 0", join(2, tek, set(kek, 0, 0)), ErrUnsupported},
		{"packet for private use", join(2, tek, set(kek, 0, 128)), ErrUnsupported},
		{"signature key of 1024 bits", join(2, tek, withSigner(weak)), ErrKeys},
		{"signature key with exponent 3", join(2, tek, withSigner(small)), ErrKeys},
		{"signature key on a curve", join(2, tek, withSigner(spki(&curve.PublicKey))), ErrKeys},
		{"signature key that is no key", join(2, tek, withSigner([]byte{0x30, 0x80, 0})), ErrKeys},
		{"signature key of 3000 octets", join(2, tek, withSigner(make([]byte, 3000))), ErrKeys},
	} {
		p, err := parseSA(pull2SA(t)[4:], now, true, Options{})
		if err != nil {
			t.Fatal(err)
		}
		wantKind(t, c.name, pullKD(c.body, p), c.kind)
		if p.KEK.Key != nil || p.KEK.SigPublic != nil || p.TEKs[0].Key != nil {
			t.Errorf("%s: keys were put in", c.name)
		}
	}
	p := &Policy{TEKs: []sa.TEK{{SPI: 0x0badf00d, KeyBits: 256}}}
	wantKind(t, "a KEK that the policy does not have", pullKD(good, p), ErrKeys)
	if err := pullKD(join(1, tek), p); err != nil {
		t.Errorf("a TEK alone: %v", err)
	}
}

func weakModulus() *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), 1023)
	return n.SetBit(n, 0, 1)
}

func bigModulus(t *testing.T) *big.Int {
	t.Helper()
	pub, err := parsePublic(signer().Public, sa.RSA)
	if err != nil {
		t.Fatal(err)
	}
	return pub.rsa.N
}

func TestPullChains(t *testing.T) {
	nonce := func(n int, next isakmp.PayloadType) []byte { return isakmp.AppendPayload(nil, next, make([]byte, n)) }
	id := func(body string) []byte { return isakmp.AppendPayload(nil, 0, spell(t, body)) }
	group := "0b 00 0000 000004d2"
	for _, c := range []struct {
		name  string
		first isakmp.PayloadType
		b     []byte
		kind  error
	}{
		{"nonce of 8", 10, append(nonce(8, 5), id(group)...), nil},
		{"nonce of 128, and padding", 10, append(append(nonce(128, 5), id(group)...), make([]byte, 16)...), nil},
		{"nonce of 7", 10, append(nonce(7, 5), id(group)...), ErrForm},
		// IKEv1 lets nonces have 256 octets; "between 8 and 128 octets" in GDOI (RFC 6407 section 5.8)
		{"nonce of 129", 10, append(nonce(129, 5), id(group)...), ErrForm},
		{"no ID", 10, nonce(8, 0), ErrForm},
		{"nothing", 0, nil, ErrForm},
		{"ID first", 5, id(group), ErrForm},
		{"a third payload", 10, append(nonce(8, 10), append(nonce(8, 5), id(group)...)...), ErrForm},
		{"KEY_ID of 3 octets", 10, append(nonce(8, 5), id("0b 00 0000 0004d2")...), ErrUnsupported},
		{"KEY_ID of 5 octets", 10, append(nonce(8, 5), id("0b 00 0000 00000004d2")...), ErrUnsupported},
		{"an address", 10, append(nonce(8, 5), id("01 00 0000 e9fc0001")...), ErrUnsupported},
		// "the DOI-Specific ID Data field MUST be set to 0" (section 5.1)
		{"port 848", 10, append(nonce(8, 5), id("0b 00 0350 000004d2")...), ErrForm},
		{"ID of 3 octets", 10, append(nonce(8, 5), id("0b 00 00")...), ErrForm},
	} {
		_, group, err := ParsePull1(c.first, c.b, Options{})
		if c.kind != nil {
			wantKind(t, c.name, err, c.kind)
		} else if err != nil || group != (GroupName{ID: 1234}) {
			t.Errorf("%s: group %v, %v", c.name, group, err)
		}
	}
	for _, c := range []struct {
		name  string
		first isakmp.PayloadType
		b     []byte
		kind  error
	}{
		{"empty", 0, AppendPull3(nil, 0), nil},
		{"empty, padded", 0, make([]byte, 16), nil},
		{"a request for sender IDs", 22, isakmp.AppendPayload(nil, 0, spell(t, "8003 0002")), nil},
		{"an unknown request", 22, isakmp.AppendPayload(nil, 0, spell(t, "8063 0002")), ErrUnsupported},
		{"a broken GAP", 22, isakmp.AppendPayload(nil, 0, spell(t, "8063 00")), ErrForm},
		{"a nonce", 10, nonce(8, 0), ErrForm},
	} {
		if _, err := ParsePull3(c.first, c.b); c.kind != nil {
			wantKind(t, c.name, err, c.kind)
		} else if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// A SEQ belongs to a KEK.
	withKEK, without := katPolicy(t), katPolicy(t)
	without.KEK = nil
	wantKind(t, "SEQ without a KEK", ParsePull4(isakmp.PayloadSEQ, appendKD(appendSEQ(nil, 17, 0), 0, without, Options{}), without, Options{}), ErrForm)
	wantKind(t, "KEK without a SEQ", ParsePull4(isakmp.PayloadKD, appendKD(nil, 0, withKEK, Options{}), withKEK, Options{}), ErrForm)
	wantKind(t, "SEQ of 5 octets", ParsePull4(isakmp.PayloadSEQ, appendKD(isakmp.AppendPayload(nil, 17, make([]byte, 5)), 0, withKEK, Options{}), withKEK, Options{}), ErrForm)
	if Pull4First(without) != isakmp.PayloadKD {
		t.Error("message 4 without a KEK does not begin with KD")
	}
}

func TestAckRefuses(t *testing.T) {
	good := kat(t, "ack1")
	set := func(at int, v ...byte) []byte {
		b := slices.Clone(good)
		copy(b[at:], v)
		return b
	}
	longer := append(slices.Clone(good), 0, 0, 0, 0)
	isakmp.SetLength(longer)
	for _, c := range []struct {
		name string
		b    []byte
		kind error
	}{
		{"a PUSH", set(18, 33), ErrForm},
		{"encrypted, it says", set(19, 1), ErrForm},
		{"a message ID", set(23, 1), ErrForm},
		{"begins with SEQ", set(16, 18), ErrForm},
		{"no ID", set(28+36, 0), ErrForm},
		{"more than ID", set(28+36+8, 11), ErrForm},
		{"octets left over", longer, ErrForm},
		{"a port in ID", set(28+36+8+6, 3), ErrForm},
		{"an address as ID_OID", set(28+36+8+4, 13), ErrForm},
		{"a name", set(28+36+8+4, 2), ErrUnsupported},
		{"cut", good[:80], ErrForm},
	} {
		_, err := ParseAck(c.b)
		wantKind(t, c.name, err, c.kind)
	}
	kek := katKEK(t)
	key := AckKey(kek, nil, Options{})
	// Whatever octet is changed: it does not parse, does not verify, or is the header's, which the HASH does not cover.
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 1
		ack, err := ParseAck(b)
		if err == nil && ack.Verify(key) && i >= 16 {
			t.Errorf("octet %d changed: verifies", i)
		}
	}
	ack, err := ParseAck(good)
	if err != nil {
		t.Fatal(err)
	}
	if ack.Verify(nil) || ack.Verify(key[:31]) || ack.Verify(make(sa.Secret, 64)) {
		t.Error("verifies with a key that is none")
	}
	clear(good)
	if !ack.Verify(key) {
		t.Error("the Ack changed with the caller's buffer")
	}
}

func TestAckTypes(t *testing.T) {
	kek := testKEK()
	for _, c := range []struct {
		typ  uint16
		size int
	}{{0, 0}, {AckKEKSHA256, 32}, {2, 0}, {AckKEKSHA512, 64}, {4, 0}} {
		kek.Ack = c.typ
		key := AckKey(kek, nil, Options{})
		if len(key) != c.size {
			t.Errorf("type %d: key of %d octets, want %d", c.typ, len(key), c.size)
		}
		if c.size == 0 {
			if !panics(func() { AppendAck(nil, Ack{SPI: kek.SPI, Seq: 1, Member: netip.MustParseAddr("192.0.2.1")}, key) }) {
				t.Errorf("type %d: an acknowledgement was written", c.typ)
			}
			continue
		}
		for _, member := range []string{"192.0.2.1", "2001:db8::1"} {
			ack, err := ParseAck(AppendAck(nil, Ack{SPI: kek.SPI, Seq: 77, Member: netip.MustParseAddr(member)}, key))
			if err != nil {
				t.Fatal(err)
			}
			if !ack.Verify(key) || ack.Seq != 77 || ack.Member.String() != member {
				t.Errorf("type %d: verifies %v, SEQ %d, member %v", c.typ, ack.Verify(key), ack.Seq, ack.Member)
			}
		}
	}
}

func TestSign(t *testing.T) {
	pair := signer()
	pub, err := parsePublic(pair.Public, sa.RSA)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []sa.Hash{sa.SHA256, sa.SHA384} {
		sig, err := Sign(turn.RSASign{Private: pair.Private, Hash: h, Message: []byte("rekey…")})
		if err != nil {
			t.Fatal(err)
		}
		if !pub.verify(h, []byte("rekey…"), sig, false) || pub.verify(h, []byte("Rekey…"), sig, false) {
			t.Errorf("%v: signature is not over the message", h)
		}
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, op := range map[string]turn.RSASign{
		"no key":          {Hash: sa.SHA256},
		"a curve's key":   {Private: pkcs8(curve), Hash: sa.SHA256},
		"an unknown hash": {Private: pair.Private, Hash: 9},
	} {
		if sig, err := Sign(op); err == nil || !strings.HasPrefix(err.Error(), "gdoi: ") {
			t.Errorf("%s: %d octets, %v", name, len(sig), err)
		}
	}
}

// An error quotes nothing: whatever the message, its text is our words and numbers.
func TestAttackMemoryDisclosure(t *testing.T) {
	b := edit(t, isakmp.PayloadSAK, "8009 0001", "0063 0010 68756e746572322168756e7465723221")
	_, err := parseSA(b[4:], now, true, Options{})
	if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "68756e74") {
		t.Errorf("error %v", err)
	}
}

func FuzzParsePull1(f *testing.F) {
	f.Add(byte(isakmp.PayloadNONCE), kat(f, "pull1_plain")[hashLen:])
	f.Fuzz(func(t *testing.T, first byte, b []byte) {
		ni, group, err := ParsePull1(isakmp.PayloadType(first), b, Options{})
		if err != nil {
			return
		}
		again := AppendPull1(nil, ni, group, Options{})
		if len(again) > len(b) || !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("read %x, wrote %x", b, again)
		}
	})
}

func FuzzParsePull2(f *testing.F) {
	f.Add(byte(isakmp.PayloadNONCE), kat(f, "pull2_plain")[hashLen:])
	p := katPolicy(f)
	p.KEK, p.ActivationDelay = nil, 0
	p.TEKs[0].Policies = append(p.TEKs[0].Policies, sa.Policy{Protocol: 6, SourcePort: 1})
	f.Add(byte(isakmp.PayloadNONCE), AppendPull2(nil, octets(0, 8), p, now, Options{}))
	public := map[sa.SigAlg][]byte{sa.RSA: kat(f, "rsa_spki"), sa.ECDSA256: ecKEK(f, sa.ECDSA256).SigPublic, sa.ECDSA384: ecKEK(f, sa.ECDSA384).SigPublic}
	for alg := range public {
		if alg != sa.RSA {
			f.Add(byte(isakmp.PayloadNONCE), AppendPull2(nil, octets(0, 8), &Policy{KEK: ecKEK(f, alg)}, now, Options{}))
		}
	}
	f.Fuzz(func(t *testing.T, first byte, b []byte) {
		nr, p, err := ParsePull2(isakmp.PayloadType(first), b, now, Options{})
		if err != nil {
			return
		}
		// With keys made up, what was read can be written, and reads as the same again.
		for i := range p.TEKs {
			p.TEKs[i].Key, p.TEKs[i].AuthKey = make(sa.Secret, p.TEKs[i].KeyBits/8), make(sa.Secret, 32)
		}
		if p.KEK != nil {
			p.KEK.Key, p.KEK.SigPublic = make(sa.Secret, p.KEK.KeyBits/8), public[p.KEK.SigAlg]
			if p.KEK.Ack == AckLKHSHA256 || p.KEK.Ack == AckLKHSHA512 {
				p.KEK.Ack = 0 // as message 4 makes it, which brings no hierarchy
			}
		}
		_, again, err := ParsePull2(isakmp.PayloadNONCE, AppendPull2(nil, nr, p, now, Options{}), now, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := ParsePull4(Pull4First(p), AppendPull4(nil, p, Options{}), again, Options{}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, again, compare); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func FuzzParsePull3(f *testing.F) {
	f.Add(byte(0), []byte{})
	f.Add(byte(isakmp.PayloadGAP), isakmp.AppendPayload(nil, 0, []byte{0x80, 3, 0, 1}))
	f.Fuzz(func(t *testing.T, first byte, b []byte) {
		if _, err := ParsePull3(isakmp.PayloadType(first), b); err == nil && first != 0 && first != byte(isakmp.PayloadGAP) {
			t.Fatalf("a chain that begins with %d passes", first)
		}
	})
}

func FuzzParsePull4(f *testing.F) {
	f.Add(byte(isakmp.PayloadSEQ), kat(f, "pull4_plain")[hashLen:])
	sa2 := pull2SA(f)[4:]
	f.Fuzz(func(t *testing.T, first byte, b []byte) {
		p, err := parseSA(sa2, now, true, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := ParsePull4(isakmp.PayloadType(first), b, p, Options{}); err != nil {
			if p.KEK.Key != nil || p.TEKs[0].Key != nil {
				t.Fatal("keys in spite of an error")
			}
			return
		}
		if err := p.Check(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
	})
}

func FuzzOpenPush(f *testing.F) {
	kek := katKEK(f)
	f.Add(kat(f, "push1_digestinfo_unpadded"))
	f.Add(kat(f, "push2_delete_all"))
	f.Add(kat(f, "ack1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		spi, ok := PushSPI(b)
		p, err := OpenPush(kek, nil, b, now, Options{})
		if err == nil && (!ok || spi != kek.SPI || p.Seq == 0) {
			t.Fatalf("opened, but PushSPI gave %x, %v", spi, ok)
		}
	})
}

// FuzzPushPlain goes behind the encryption and the signature: a hostile server has both.
func FuzzPushPlain(f *testing.F) {
	kek := katKEK(f)
	f.Add(kat(f, "push1_plain"))
	f.Add(kat(f, "push2_delete_all_plain"))
	next := katPolicy(f)
	next.KEK.SPI[2]++
	msg := pushMessage(kek, &Push{Seq: 3, DeleteTEKs: []uint32{0x100, 0x200}, DeleteKEK: true, Policy: next}, mustPublic(kek), now, Options{})
	f.Add(isakmp.AppendPayload(msg, 0, make([]byte, 256))[28:])
	header := kat(f, "push1")[:28]
	f.Fuzz(func(t *testing.T, plain []byte) {
		msg := append(slices.Clone(header), plain...)
		parsed, err := parsePush(msg, isakmp.PayloadSEQ)
		if err != nil {
			return
		}
		p, err := parsed.contents(kek, nil, now, Options{})
		if err != nil {
			return
		}
		if p.DeleteAll && (p.DeleteKEK || len(p.DeleteTEKs) > 0) {
			t.Fatalf("deletions told twice: %+v", p)
		}
		if p.Policy == nil {
			return
		}
		if p.Policy.KEK == nil && len(p.Policy.TEKs) == 0 {
			return // a repeated KEK was all
		}
		if err := p.Policy.Check(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
	})
}

func FuzzParseAck(f *testing.F) {
	key := AckKey(katKEK(f), nil, Options{})
	f.Add(kat(f, "ack1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ack, err := ParseAck(b)
		if err != nil || !ack.Verify(key) {
			return
		}
		if again := AppendAck(nil, ack, key); !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x", b, again)
		}
	})
}
