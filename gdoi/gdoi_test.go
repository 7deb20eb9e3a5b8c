package gdoi

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

func wantKind(t testing.TB, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: error %v, want one that is %q", what, err, kind)
	}
	if err != nil && !strings.HasPrefix(err.Error(), "gdoi: ") {
		t.Errorf("%s: error %q does not name the package", what, err)
	}
}

// signer is a signature key of the tests' own.
var signer = sync.OnceValue(func() turn.KeyPair { return makeSigner(2048) })

func makeSigner(bits int) turn.KeyPair {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return turn.KeyPair{Public: spki(&key.PublicKey), Private: pkcs8(key)}
}

func spki(key any) []byte {
	b, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return b
}

func pkcs8(key any) []byte {
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return b
}

// testKEK is a KEK that can sign.
func testKEK() *sa.KEK {
	return &sa.KEK{
		SPI: [16]byte(octets(1, 16)), KeyBits: 128, IV: [16]byte(octets(0x20, 16)), Key: octets(0x30, 16),
		SigHash: sa.SHA256, SigPublic: signer().Public, SigPrivate: signer().Private, Ack: AckKEKSHA256,
		Created: now, Hard: now.Add(2 * time.Hour),
	}
}

// atMember is k as a member holds it after a PULL.
func atMember(k *sa.KEK) *sa.KEK {
	c := k.Clone()
	c.SigPrivate, c.Soft = nil, time.Time{}
	return c
}

func testTEK(spi uint32, policies ...sa.Policy) sa.TEK {
	if len(policies) == 0 {
		policies = []sa.Policy{{Source: netip.MustParsePrefix("172.16.0.0/12"), Destination: netip.MustParsePrefix("172.16.0.0/12")}}
	}
	return sa.TEK{
		SPI: spi, KeyBits: 128, Key: octets(int(spi), 16), AuthKey: octets(int(spi>>8), 32), Policies: policies,
		Created: now, Hard: now.Add(time.Hour),
	}
}

// pullKD reads a KD payload of a PULL.
func pullKD(body []byte, p *Policy) error {
	r := kdReader{p: p, pull: true}
	_, err := r.parseKD(body, nil)
	return err
}

// sign finishes a message as the worker and the server do.
func sign(t testing.TB, kek *sa.KEK, msg []byte) []byte {
	t.Helper()
	sig, err := Sign(SignOp(kek, msg, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	return SealPush(kek, msg, sig)
}

func TestPullRoundTrip(t *testing.T) {
	// Properties of a PULL: what the server's policy says arrives, names and server's own fields aside.
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, rapid.Bool().Draw(t, "with KEK"))
		nr := rapid.SliceOfN(rapid.Byte(), minNonce, maxNonce).Draw(t, "nr")
		b := AppendPull2([]byte("x"), nr, p, now, Options{})[1:]
		gotNr, got, err := ParsePull2(isakmp.PayloadNONCE, b, now, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(gotNr, nr) {
			t.Fatalf("nonce %x, want %x", gotNr, nr)
		}
		if err := ParsePull4(Pull4First(p), AppendPull4(nil, p, Options{}), got, Options{}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, got, compare); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// drawPolicy draws what a member can learn: no names, lifetimes in whole seconds from now, prefixes in their masked form.
func drawPolicy(t *rapid.T, kek bool) *Policy {
	octets := func(n int, label string) []byte { return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, label) }
	life := rapid.Custom(func(t *rapid.T) time.Time {
		return now.Add(time.Duration(rapid.Uint32Range(1, 1<<32-1).Draw(t, "life")) * time.Second)
	})
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(octets(4, "address"))), rapid.IntRange(0, 32).Draw(t, "bits")).Masked()
	})
	policy := rapid.Custom(func(t *rapid.T) sa.Policy {
		return sa.Policy{
			Source: prefix.Draw(t, "source"), Destination: prefix.Draw(t, "destination"),
			SourcePort: rapid.Uint16().Draw(t, "sport"), DestinationPort: rapid.Uint16().Draw(t, "dport"), Protocol: rapid.Byte().Draw(t, "protocol"),
		}
	})
	delay := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Uint16().Draw(t, "seconds")) * time.Second
	})
	p := &Policy{ActivationDelay: delay.Draw(t, "ATD"), DeactivationDelay: delay.Draw(t, "DTD")}
	least := 1
	if kek {
		least = 0
		bits := rapid.SampledFrom([]int{128, 192, 256}).Draw(t, "KEK bits")
		p.KEK = &sa.KEK{
			SPI: [16]byte(append([]byte{1}, octets(15, "KEK SPI")...)), KeyBits: bits, IV: [16]byte(octets(16, "IV")), Key: octets(bits/8, "KEK"),
			SigHash: rapid.SampledFrom([]sa.Hash{sa.SHA256, sa.SHA384}).Draw(t, "hash"), SigPublic: signer().Public,
			Seq: rapid.Uint32().Draw(t, "seq"), Ack: rapid.SampledFrom([]uint16{0, AckKEKSHA256, AckKEKSHA512}).Draw(t, "ack"),
			Created: now, Hard: life.Draw(t, "KEK life"),
		}
		port := rapid.Uint16Min(1)
		p.PushFrom = netip.AddrPortFrom(netip.AddrFrom4([4]byte(octets(4, "from"))), port.Draw(t, "port"))
		if rapid.Bool().Draw(t, "multicast") {
			to := [4]byte(octets(4, "to"))
			to[0] = 224 | to[0]&15
			p.KEK.Multicast = &sa.Multicast{Group: netip.AddrPortFrom(netip.AddrFrom4(to), port.Draw(t, "port"))}
		}
	}
	spis := rapid.SliceOfNDistinct(rapid.Uint32Min(minSPI), least, 6, rapid.ID).Draw(t, "SPIs")
	for _, spi := range spis {
		bits := rapid.SampledFrom([]int{128, 192, 256}).Draw(t, "TEK bits")
		p.TEKs = append(p.TEKs, sa.TEK{
			SPI: spi, KeyBits: bits, Key: octets(bits/8, "TEK"), AuthKey: octets(32, "auth"),
			Policies: rapid.SliceOfN(policy, 1, 10).Draw(t, "policies"), Created: now, Hard: life.Draw(t, "TEK life"),
		})
	}
	return p
}

func TestPushRoundTrip(t *testing.T) {
	kek := testKEK()
	next := testKEK()
	next.SPI[0], next.KeyBits, next.Key, next.SigHash = 0x77, 256, octets(0x80, 32), sa.SHA384
	many := make([]uint32, 300)
	for i := range many {
		many[i] = 0x1000 + uint32(i)
	}
	for _, c := range []struct {
		name string
		push Push
	}{
		{"a TEK", Push{Seq: 1, Policy: &Policy{TEKs: []sa.TEK{testTEK(0x100)}, ActivationDelay: 15 * time.Second, DeactivationDelay: 30 * time.Second}}},
		{"two TEKs, one replaced", Push{Seq: 7, DeleteTEKs: []uint32{0x99}, Policy: &Policy{TEKs: []sa.TEK{testTEK(0x100), testTEK(0x200)}}}},
		{"a KEK", Push{Seq: 8, Policy: &Policy{KEK: atMember(next)}}},
		{"a KEK for the one in force", Push{Seq: 9, DeleteKEK: true, Policy: &Policy{KEK: atMember(next)}}},
		{"the KEK goes", Push{Seq: 10, DeleteKEK: true}},
		{"one TEK goes", Push{Seq: 11, DeleteTEKs: []uint32{0xfffffffe}}},
		{"every TEK goes", Push{Seq: 12, DeleteTEKs: []uint32{0}}},
		{"300 TEKs go, in two D payloads", Push{Seq: 13, DeleteTEKs: many, DeleteKEK: true}},
		{"all goes", Push{Seq: 14, DeleteAll: true}},
		{"all goes and a TEK comes", Push{Seq: 1<<32 - 1, DeleteAll: true, Policy: &Policy{TEKs: []sa.TEK{testTEK(0x100)}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire := sign(t, kek, PushMessage(kek, &c.push, now, Options{}))
			if len(wire)%16 != 28%16 {
				t.Errorf("%d octets are not a header and whole blocks", len(wire))
			}
			got, err := OpenPush(atMember(kek), nil, wire, now, Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := c.push
			if diff := cmp.Diff(&want, got, compare); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Every message under a KEK starts from the KEK's IV: the same plain text gives the same octets, whatever went before.
func TestPushIVIsStatic(t *testing.T) {
	kek := testKEK()
	push := &Push{Seq: 3, DeleteKEK: true}
	first := sign(t, kek, PushMessage(kek, push, now, Options{}))
	sign(t, kek, PushMessage(kek, &Push{Seq: 4, DeleteAll: true}, now, Options{}))
	same(t, "the same message again", sign(t, kek, PushMessage(kek, push, now, Options{})), first)
}

// "The HASH is taken over the string 'rekey', the GROUPKEY-PUSH HDR, …": some sign the Length of the padded message.
func TestPushSignedOverPaddedLength(t *testing.T) {
	kek := testKEK()
	msg := PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})
	padded := slices.Clone(msg)
	binary.BigEndian.PutUint32(padded[24:], binary.BigEndian.Uint32(padded[24:])+8)
	sig, err := Sign(turn.RSASign{Private: kek.SigPrivate, Hash: kek.SigHash, Message: signInput(padded)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPush(kek, nil, SealPush(kek, msg, sig), now, Options{}); err != nil {
		t.Errorf("signature over the padded length: %v", err)
	}
	binary.BigEndian.PutUint32(padded[24:], 0)
	if sig, err = Sign(turn.RSASign{Private: kek.SigPrivate, Hash: kek.SigHash, Message: signInput(padded)}); err != nil {
		t.Fatal(err)
	}
	_, err = OpenPush(kek, nil, SealPush(kek, msg, sig), now, Options{})
	wantKind(t, "signature over another length", err, ErrSignature)
}

// Peers pad an aligned message with a whole block more.
func TestPushWithAnExtraBlock(t *testing.T) {
	kek := testKEK()
	msg := PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})
	sig, err := Sign(SignOp(kek, msg, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	plain := isakmp.AppendPayload(slices.Clone(msg), 0, sig)
	plain = append(plain, make([]byte, 16+(16-(len(plain)-28)%16)%16)...)
	if _, err := OpenPush(kek, nil, encrypt(kek, plain), now, Options{}); err != nil {
		t.Error(err)
	}
}

// encrypt is the last step of SealPush, for messages that SealPush would not make.
func encrypt(kek *sa.KEK, plain []byte) []byte {
	b := slices.Clone(plain)
	for (len(b)-28)%16 != 0 {
		b = append(b, 0)
	}
	isakmp.SetLength(b)
	cbc(kek, b[28:], true)
	return b
}

func TestAttackPUSHReplay(t *testing.T) {
	// "…validated to ensure that it is greater than the previously received sequence number." (RFC 6407 section 4.4)
	kek := testKEK()
	wire := sign(t, kek, PushMessage(kek, &Push{Seq: 5, DeleteAll: true}, now, Options{}))
	for _, c := range []struct {
		seen uint32
		ok   bool
	}{{0, true}, {4, true}, {5, false}, {6, false}, {1<<32 - 1, false}} {
		kek.Seq = c.seen
		_, err := OpenPush(kek, nil, wire, now, Options{})
		if c.ok && err != nil {
			t.Errorf("SEQ 5 after %d: %v", c.seen, err)
		}
		if !c.ok {
			wantKind(t, "SEQ 5 after a later one", err, ErrReplay)
		}
	}
	// No number is greater than the last one: the counter does not wrap.
	kek.Seq = 1<<32 - 1
	_, err := OpenPush(kek, nil, sign(t, kek, PushMessage(kek, &Push{Seq: 0, DeleteAll: true}, now, Options{})), now, Options{})
	wantKind(t, "SEQ 0 after the last", err, ErrReplay)
}

func TestAttackPUSHForgeryTampered(t *testing.T) {
	kek := testKEK()
	wire := sign(t, kek, PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{}))
	for i := range wire {
		b := slices.Clone(wire)
		b[i] ^= 0x40
		got, err := OpenPush(kek, nil, b, now, Options{})
		if err == nil {
			// Nothing vouches for the padding; it is not looked at either.
			if i < len(wire)-16 {
				t.Fatalf("octet %d changed: accepted as %+v", i, got)
			}
			continue
		}
		if !errors.Is(err, ErrForm) && !errors.Is(err, ErrSPI) && !errors.Is(err, ErrSignature) {
			t.Fatalf("octet %d changed: %v", i, err)
		}
	}
	for n := range wire {
		if _, err := OpenPush(kek, nil, wire[:n], now, Options{}); !errors.Is(err, ErrForm) {
			t.Fatalf("cut after %d octets: %v", n, err)
		}
	}
}

// A member holds the KEK, but not the signing key.
func TestAttackPUSHForgery(t *testing.T) {
	kek := testKEK()
	msg := PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})
	other := makeSigner(2048)
	sig, err := Sign(turn.RSASign{Private: other.Private, Hash: kek.SigHash, Message: signInput(msg)})
	if err != nil {
		t.Fatal(err)
	}
	good, err := Sign(SignOp(kek, msg, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	with := func(sig []byte) []byte { return isakmp.AppendPayload(slices.Clone(msg), 0, sig) }
	noSIG := slices.Clone(msg)
	noSIG[28+8] = 0 // the first D payload is the last
	second := slices.Clone(with(good))
	second[len(msg)] = byte(isakmp.PayloadSIG)
	second = isakmp.AppendPayload(second, 0, good)
	after := slices.Clone(with(good))
	after[len(msg)] = byte(isakmp.PayloadD)
	after = isakmp.AppendPayload(after, 0, isakmp.Delete{DOI: 2, Protocol: 1, SPISize: 4, SPIs: [][]byte{{0, 0, 0, 0}}}.Append(nil))
	sha384, err := Sign(turn.RSASign{Private: kek.SigPrivate, Hash: sa.SHA384, Message: signInput(msg)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		msg  []byte
		want error
	}{
		{"signed with another key", with(sig), ErrSignature},
		{"signature of zeros", with(make([]byte, 256)), ErrSignature},
		{"empty signature", with(nil), ErrSignature},
		{"signature one octet short", with(good[:255]), ErrSignature},
		{"signature one octet long", with(append([]byte{0}, good...)), ErrSignature},
		{"signed with another hash", with(sha384), ErrSignature},
		{"no signature", noSIG, ErrForm},
		{"two signatures", second, ErrForm},
		{"a payload after the signature", after, ErrForm},
	} {
		got, err := OpenPush(kek, nil, encrypt(kek, c.msg), now, Options{})
		if got != nil {
			t.Errorf("%s: accepted", c.name)
		}
		wantKind(t, c.name, err, c.want)
	}
	if kek.Seq != 0 {
		t.Errorf("Seq went to %d", kek.Seq)
	}
}

func TestPushForm(t *testing.T) {
	kek := testKEK()
	p := &Policy{TEKs: []sa.TEK{testTEK(0x100)}}
	seq := func(next isakmp.PayloadType) []byte { return appendSEQ(nil, next, 1) }
	sap := func(next isakmp.PayloadType) []byte { return appendSA(nil, next, p, now, Options{}) }
	kd := func(next isakmp.PayloadType) []byte { return appendKD(nil, next, p, Options{}) }
	del := func(next isakmp.PayloadType) []byte {
		return isakmp.AppendPayload(nil, next, isakmp.Delete{DOI: 2, Protocol: 1, SPISize: 4, SPIs: [][]byte{{0, 0, 1, 0}}}.Append(nil))
	}
	for _, c := range []struct {
		name  string
		parts [][]byte
		ok    bool
	}{
		{"SEQ D SA KD SIG", [][]byte{seq(12), del(1), sap(17), kd(9)}, true},
		{"SEQ SA KD SIG", [][]byte{seq(1), sap(17), kd(9)}, true},
		{"SEQ D D SIG", [][]byte{seq(12), del(12), del(9)}, true},
		{"SEQ SIG", [][]byte{seq(9)}, false},
		{"SEQ SA SIG", [][]byte{seq(1), sap(9)}, false},
		{"SEQ KD SIG", [][]byte{seq(17), kd(9)}, false},
		{"SEQ SA KD D SIG", [][]byte{seq(1), sap(17), kd(12), del(9)}, false},
		{"SEQ KD SA SIG", [][]byte{seq(17), kd(1), sap(9)}, false},
		{"SEQ SEQ D SIG", [][]byte{seq(18), seq(12), del(9)}, false},
		{"SEQ SA SA KD SIG", [][]byte{seq(1), sap(1), sap(17), kd(9)}, false},
		{"SEQ SA KD KD SIG", [][]byte{seq(1), sap(17), kd(17), kd(9)}, false},
		{"SEQ HASH SIG", [][]byte{seq(8), isakmp.AppendPayload(nil, 9, make([]byte, 32))}, false},
	} {
		msg := PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})[:28]
		for _, part := range c.parts {
			msg = append(msg, part...)
		}
		binary.BigEndian.PutUint32(msg[24:], uint32(len(msg)+260))
		_, err := OpenPush(kek, nil, sign(t, kek, msg), now, Options{})
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !c.ok {
			wantKind(t, c.name, err, ErrForm)
		}
	}
	tooMany := PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})[:28]
	tooMany = append(tooMany, seq(12)...)
	for range maxDeletes {
		tooMany = append(tooMany, del(12)...)
	}
	tooMany = append(tooMany, del(9)...)
	_, err := OpenPush(kek, nil, sign(t, kek, tooMany), now, Options{})
	wantKind(t, "17 D payloads", err, ErrForm)
}

func TestAttackPUSHForgeryHeader(t *testing.T) {
	wire := kat(t, "push1_digestinfo_unpadded")
	for _, c := range []struct {
		name  string
		at    int
		value byte
	}{
		{"first payload SA", 16, 1},
		{"version 2.0", 17, 0x20},
		{"exchange 32", 18, 32},
		{"no flag", 19, 0},
		{"E and C flags", 19, 3},
		{"E and A flags", 19, 5},
		{"message ID", 20, 1},
		{"length one more", 27, wire[27] + 1},
		{"length one less", 27, wire[27] - 1},
		{"length of 4 GB", 24, 0xff},
	} {
		b := slices.Clone(wire)
		b[c.at] = c.value
		if spi, ok := PushSPI(b); ok || spi != [16]byte{} {
			t.Errorf("%s: PushSPI takes it for a PUSH", c.name)
		}
		_, err := OpenPush(katKEK(t), nil, b, now, Options{})
		wantKind(t, c.name, err, ErrForm)
	}
	kek := katKEK(t)
	kek.SPI[15]++
	_, err := OpenPush(kek, nil, wire, now, Options{})
	wantKind(t, "under another SPI", err, ErrSPI)
}

// One make of peer repeats the KEK in force in every message.
func TestPushRepeatsItsKEK(t *testing.T) {
	kek := testKEK()
	wire := sign(t, kek, PushMessage(kek, &Push{Seq: 1, Policy: &Policy{KEK: atMember(kek), TEKs: []sa.TEK{testTEK(0x100)}}}, now, Options{}))
	got, err := OpenPush(atMember(kek), nil, wire, now, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Policy.KEK != nil || len(got.Policy.TEKs) != 1 {
		t.Errorf("KEK %v, %d TEKs; want the repeated KEK left out", got.Policy.KEK, len(got.Policy.TEKs))
	}
	changed := atMember(kek)
	changed.Key = octets(0x99, 16)
	_, err = OpenPush(atMember(kek), nil, sign(t, kek, PushMessage(kek, &Push{Seq: 1, Policy: &Policy{KEK: changed}}, now, Options{})), now, Options{})
	wantKind(t, "another key under the SPI in force", err, ErrKeys)
}

func TestPushNewKEKInheritsItsSigner(t *testing.T) {
	kek, next := testKEK(), testKEK()
	next.SPI[3]++
	p := &Policy{KEK: next}
	body := appendKD(nil, 0, p, Options{})[4:]
	// Take SIG_ALGORITHM_KEY off the end, out of the packet's length.
	cut := len(body) - 4 - len(next.SigPublic)
	body = body[:cut]
	binary.BigEndian.PutUint16(body[6:], uint16(cut-4))
	got := &Policy{KEK: &sa.KEK{SPI: next.SPI, KeyBits: next.KeyBits}}
	wantKind(t, "a first KEK without a signature key", pullKD(body, got), ErrKeys)
	r := kdReader{p: got}
	if _, err := r.parseKD(body, kek.SigPublic); err != nil {
		t.Fatal(err)
	}
	same(t, "signature key", got.KEK.SigPublic, kek.SigPublic)
}

func TestDeletes(t *testing.T) {
	kek := testKEK()
	d := func(doi uint32, protocol uint8, spis ...[]byte) []byte {
		return isakmp.Delete{DOI: doi, Protocol: protocol, SPISize: len(spis[0]), SPIs: spis}.Append(nil)
	}
	zero4, zero16, one := make([]byte, 4), make([]byte, 16), []byte{0, 0, 1, 0}
	stranger := octets(0x90, 16)
	for _, c := range []struct {
		name   string
		bodies [][]byte
		want   Push
		err    error
	}{
		{"the KEK by its SPI", [][]byte{d(2, 0, kek.SPI[:])}, Push{DeleteKEK: true}, nil},
		{"all KEKs, 16 octets", [][]byte{d(2, 0, zero16)}, Push{DeleteKEK: true}, nil},
		{"all KEKs, 4 octets", [][]byte{d(2, 0, zero4)}, Push{DeleteKEK: true}, nil},
		{"all, 4 octets", [][]byte{d(2, 1, zero4), d(2, 0, zero4)}, Push{DeleteAll: true}, nil},
		{"all, in the other order", [][]byte{d(2, 0, zero16), d(2, 1, zero4)}, Push{DeleteAll: true}, nil},
		{"all and one by name", [][]byte{d(2, 1, one, zero4), d(2, 0, zero16)}, Push{DeleteAll: true}, nil},
		{"all TEKs and one by name", [][]byte{d(2, 1, one, zero4)}, Push{DeleteTEKs: []uint32{0}}, nil},
		{"one TEK twice", [][]byte{d(2, 1, one), d(2, 1, one)}, Push{DeleteTEKs: []uint32{0x100}}, nil},
		{"all TEKs and this KEK", [][]byte{d(2, 1, zero4), d(2, 0, kek.SPI[:])}, Push{DeleteTEKs: []uint32{0}, DeleteKEK: true}, nil},
		{"a KEK that is not here", [][]byte{d(2, 0, stranger)}, Push{}, nil},
		{"AH and IEC 61850", [][]byte{d(2, 2, zero4), d(2, 3, one)}, Push{}, nil},
		{"a KEK SPI of 4 octets", [][]byte{d(2, 0, one)}, Push{}, ErrForm},
		{"a KEK SPI of 8 octets", [][]byte{d(2, 0, make([]byte, 8))}, Push{}, ErrForm},
		{"a TEK SPI of 16 octets", [][]byte{d(2, 1, zero16)}, Push{}, ErrForm},
		{"DOI IPsec", [][]byte{d(1, 1, one)}, Push{}, ErrUnsupported},
		{"an unknown protocol", [][]byte{d(2, 9, one)}, Push{}, ErrUnsupported},
		{"a count that lies", [][]byte{append(d(2, 1, one), 0)}, Push{}, ErrForm},
	} {
		var p Push
		err := p.parseDeletes(c.bodies, kek, Options{})
		if c.err != nil {
			wantKind(t, c.name, err, c.err)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, p, compare); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// No verb prints keys, whatever holds the Policy.
func TestAttackKeyHygiene(t *testing.T) {
	p := katPolicy(t)
	p.KEK.Key, p.TEKs[0].Key = sa.Secret("hunter2!"), sa.Secret("hunter2!")
	push := &Push{Policy: p}
	for _, v := range []any{p, *p, push, *push, struct{ P *Push }{push}, []*Policy{p}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%b"} {
			out := fmt.Sprintf(verb, v)
			for _, leak := range []string{"hunter2", "68756e74", "104 117", "0x68, 0x75", "1101000 1110101"} {
				if strings.Contains(out, leak) {
					t.Errorf("%s of %T: %s", verb, v, out)
				}
			}
		}
	}
	if out := fmt.Sprintf("%+v", &Push{Seq: 1}); !strings.Contains(out, "Policy:<nil>") {
		t.Errorf("a Push without policy prints as %s", out)
	}
}

// What a pull says of the signature key's length is what reading the whole key would say; what cannot be a key is no length.
func TestKeyBits(t *testing.T) {
	for want, k := range map[int]*sa.KEK{
		2048: {SigAlg: sa.RSA, SigPublic: signer().Public},
		3072: {SigAlg: sa.RSA, SigPublic: makeSigner(3072).Public},
		256:  {SigAlg: sa.ECDSA256},
		384:  {SigAlg: sa.ECDSA384},
	} {
		if got := keyBits(k); got != want {
			t.Errorf("%d bits, want %d", got, want)
		}
	}
	whole := signer().Public
	for n := range len(whole) {
		func() {
			defer func() { _ = recover() }()
			t.Errorf("%d of %d octets of a key have %d bits", n, len(whole), keyBits(&sa.KEK{SigAlg: sa.RSA, SigPublic: whole[:n]}))
		}()
	}
}
