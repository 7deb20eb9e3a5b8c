package gdoi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gvpn/isakmp"
	"gvpn/lkh"
	"gvpn/sa"
	"gvpn/turn"
)

// gooseOID is 1.2.840.10070.61850.8.1.2 of RFC 8052's appendix A, address an OID-specific payload for 233.252.0.1: what it
// looks like is not said there, an OCTET STRING does.
const (
	gooseOID = "\x06\x0b\x2a\x86\x48\xce\x56\x83\xe3\x1a\x08\x01\x02"
	address  = "\x04\x04\xe9\xfc\x00\x01"
)

var goose = sa.Selector{OID: gooseOID, Payload: address}

// drawExtras adds to a Policy what Junos has no statement for.
func drawExtras(t *rapid.T, p *Policy) {
	octets := func(n int, label string) sa.Secret { return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, label) }
	counts := false
	for i := range p.TEKs {
		k := &p.TEKs[i]
		switch rapid.IntRange(0, 2).Draw(t, "TEK's kind") {
		case 1:
			k.Cipher = sa.GCM
		case 2:
			suites := [][2]uint16{{1, 1}, {2, 1}, {3, 2}, {4, 3}, {5, 1}, {1, 4}, {1, 5}, {2, 3}}
			s := rapid.SampledFrom(suites).Draw(t, "suite")
			x := &sa.IEC61850{Selector: goose, Auth: sa.Auth(s[0]), Enc: sa.Enc(s[1]), HasAssurance: rapid.Bool().Draw(t, "assured")}
			if x.HasAssurance {
				x.Assurance = rapid.Uint8Max(100).Draw(t, "assurance")
			}
			if rapid.Bool().Draw(t, "forever") {
				k.Hard = time.Time{}
			}
			if rapid.Bool().Draw(t, "later") {
				k.Activate = now.Add(time.Duration(rapid.Uint32Range(1, 1<<32-1).Draw(t, "ATD")) * time.Second)
			}
			k.IEC61850, k.KeyBits, k.Policies = x, 0, nil
		}
		if k.IEC61850 == nil && rapid.Bool().Draw(t, "timed") {
			k.Window = time.Duration(rapid.IntRange(1, 60000).Draw(t, "window")) * time.Millisecond
		}
		key, auth, _ := k.KeyLengths()
		k.Key, k.AuthKey = octets(key, "key"), octets(auth, "auth")
		counts = counts || k.Counts()
	}
	if counts {
		p.SenderIDs = &SenderIDs{
			Bits: 16, Values: rapid.SliceOfNDistinct(rapid.Uint32Max(65535), 1, MaxSenderIDs, rapid.ID).Draw(t, "sender IDs"),
		}
	}
	if k := p.KEK; k != nil {
		k.SigHash = rapid.SampledFrom([]sa.Hash{sa.SHA256, sa.SHA384, sa.SHA512}).Draw(t, "signature hash")
		if rapid.Bool().Draw(t, "hierarchy") {
			path := make([]lkh.Key, rapid.IntRange(1, 16).Draw(t, "height"))
			for i := range path {
				path[i] = lkh.Key{ID: uint16(i), Handle: uint32(100 + i), Data: octets(lkh.DataLen(k.KeyBits), "node")}
			}
			keys, err := lkh.NewKeys(path)
			if err != nil {
				t.Fatal(err)
			}
			root := keys.Root().Data
			p.LKH, k.IV, k.Key = keys, [16]byte(root), root[16:].Clone()
			k.Ack = rapid.SampledFrom([]uint16{0, AckLKHSHA256, AckKEKSHA512, AckLKHSHA512}).Draw(t, "ack type")
		}
	}
}

// No key is left behind in a buffer that append outgrew: the sizes that buffers are made by are never too small.
func TestBuffersDoNotMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		p := drawPolicy(t, rapid.Bool().Draw(t, "with KEK"))
		drawExtras(t, p)
		if got := appendSA(nil, 0, p, now, o); len(got) > sizeSA(p) {
			t.Fatalf("SA of %d octets, %d foreseen", len(got), sizeSA(p))
		}
		buffer := make([]byte, 0, sizeKD(p))
		if got := appendKD(buffer, 0, p, o); &got[:1][0] != &buffer[:1][0] {
			t.Fatalf("KD of %d octets, %d foreseen", len(got), sizeKD(p))
		}
		// The buffer that the caller gives is left before a key is in it.
		given := make([]byte, 3, 40+rapid.IntRange(0, 4000).Draw(t, "capacity"))
		got := AppendPull4(given, p, o)
		if &got[0] != &given[0] && !bytes.Equal(given[:cap(given)], make([]byte, cap(given))) {
			t.Fatal("message 4 left octets in the caller's buffer")
		}
		kek := testKEK()
		push := &Push{Seq: 1, DeleteTEKs: []uint32{1, 2}, Policy: &Policy{TEKs: p.TEKs}}
		if len(p.TEKs) == 0 {
			return
		}
		msg := PushMessage(kek, push, now, o)
		if cap(msg) != push.size(kek, o) || len(msg) > cap(msg) {
			t.Fatalf("a message of %d octets in a buffer of %d, want %d", len(msg), cap(msg), push.size(kek, o))
		}
		if input := signInput(msg); cap(input) != len(input) {
			t.Fatalf("to be signed: %d octets in %d", len(input), cap(input))
		}
		sealed := SealPush(kek, msg, make([]byte, 256))
		if cap(sealed) != len(sealed) {
			t.Fatalf("sealed: %d octets in %d", len(sealed), cap(sealed))
		}
	})
	// Updates too.
	kek, updates, _ := hierarchy(t, 256)
	p := &Policy{KEK: kek, Updates: updates}
	buffer := make([]byte, 0, sizeKD(p))
	if got := appendKD(buffer, 0, p, Options{}); &got[:1][0] != &buffer[:1][0] {
		t.Errorf("KD of %d octets, %d foreseen", len(got), sizeKD(p))
	}
}

// ecKEK is a KEK whose pushes are signed on a curve.
func ecKEK(t testing.TB, alg sa.SigAlg) *sa.KEK {
	t.Helper()
	key, err := ecdsa.GenerateKey(curveOf(alg), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := testKEK()
	k.SigAlg, k.SigHash, k.SigPublic, k.SigPrivate = alg, alg.Hash(), spki(&key.PublicKey), pkcs8(key)
	return k
}

func TestECDSA(t *testing.T) {
	for alg, attrs := range map[sa.SigAlg]string{
		sa.ECDSA256: "8005 0003 8006 0004 8007 0100",
		sa.ECDSA384: "8005 0004 8006 0005 8007 0180",
	} {
		kek := ecKEK(t, alg)
		sak := appendSA(nil, 0, &Policy{KEK: kek}, now, Options{})
		if !bytes.Contains(sak, spell(t, attrs)) {
			t.Errorf("%v: no %s in %x", alg, attrs, sak)
		}
		_, p, err := ParsePull2(isakmp.PayloadNONCE, AppendPull2(nil, octets(0, 8), &Policy{KEK: kek}, now, Options{}), now, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := ParsePull4(isakmp.PayloadSEQ, AppendPull4(nil, &Policy{KEK: kek}, Options{}), p, Options{}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(atMember(kek), p.KEK, compare); diff != "" {
			t.Errorf("%v (-want +got):\n%s", alg, diff)
		}
		// "SIG_HASH_ALGORITHM is OPTIONAL in a SAK payload" with these (RFC 6407 section 5.3.5).
		short := bytes.Replace(sak, spell(t, attrs[:9]), nil, 1)
		for _, at := range []int{2, 16 + 2} {
			binary.BigEndian.PutUint16(short[at:], binary.BigEndian.Uint16(short[at:])-4)
		}
		if p, err := parseSA(short[4:], now, true, Options{}); err != nil || p.KEK.SigHash != alg.Hash() {
			t.Errorf("%v without a hash: %v", alg, err)
		}

		msg := PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})
		wire := sign(t, kek, msg)
		if !bytes.Equal(wire, sign(t, kek, msg)) {
			t.Errorf("%v: the same message is signed in two ways", alg)
		}
		if _, err := OpenPush(p.KEK, nil, wire, now, Options{}); err != nil {
			t.Errorf("%v: %v", alg, err)
		}
		size := mustPublic(kek).size()
		good, err := Sign(SignOp(kek, msg, Options{}))
		if err != nil {
			t.Fatal(err)
		}
		zeroR, zeroS := slices.Clone(good), slices.Clone(good)
		clear(zeroR[:size/2])
		clear(zeroS[size/2:])
		order := curveOf(alg).Params().N.Bytes()
		overR := append(slices.Clone(order), good[size/2:]...)
		for name, sig := range map[string][]byte{
			"zeros": make([]byte, size), "r of zero": zeroR, "s of zero": zeroS, "r of the order": overR, "an octet less": good[:size-1],
			"empty": nil, "an octet more": append([]byte{0}, good...), "halves changed": append(slices.Clone(good[size/2:]), good[:size/2]...),
		} {
			plain := isakmp.AppendPayload(slices.Clone(msg), 0, sig)
			_, err := OpenPush(kek, nil, encrypt(kek, plain), now, Options{})
			wantKind(t, name, err, ErrSignature)
		}
	}
}

// RFC 6979 appendix A.2.5: what ECDSA gives without a random number, for the message "sample".
func TestECDSAKnownAnswer(t *testing.T) {
	d := spell(t, "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Sign(turn.ECDSASign{Private: pkcs8(key), Message: []byte("sample")})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "r and s", got, spell(t, "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
		"F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"))
}

func TestSignatureRefuses(t *testing.T) {
	curve := func(c elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	p521, p256 := curve(elliptic.P521()), curve(elliptic.P256())
	for name, op := range map[string]turn.Op{
		"no key": turn.ECDSASign{}, "RSA as ECDSA": turn.ECDSASign{Private: signer().Private}, "ECDSA as RSA": turn.RSASign{Private: pkcs8(p256), Hash: sa.SHA256},
		"P-521": turn.ECDSASign{Private: pkcs8(p521)}, "no signature": turn.RSAKey{},
	} {
		if sig, err := Sign(op); err == nil {
			t.Errorf("%s: %d octets", name, len(sig))
		}
	}
	for _, c := range []struct {
		name string
		der  []byte
		alg  sa.SigAlg
		kind error
	}{
		{"RSA for ecdsa-256", signer().Public, sa.ECDSA256, ErrKeys},
		{"P-256 for ecdsa-384", spki(&p256.PublicKey), sa.ECDSA384, ErrKeys},
		{"P-521 for ecdsa-384", spki(&p521.PublicKey), sa.ECDSA384, ErrKeys},
		{"P-256 for rsa", spki(&p256.PublicKey), sa.RSA, ErrKeys},
	} {
		_, err := parsePublic(c.der, c.alg)
		wantKind(t, c.name, err, c.kind)
	}
	// A point that is not on the curve.
	der := spki(&p256.PublicKey)
	der[len(der)-1] ^= 1
	_, err := parsePublic(der, sa.ECDSA256)
	wantKind(t, "off the curve", err, ErrKeys)

	for _, c := range []struct {
		name, old, new string
		kind           error
	}{
		{"DSS", "8006 0001", "8006 0002", ErrUnsupported},
		{"ECDSS", "8006 0001", "8006 0003", ErrUnsupported},
		{"ECDSA-521", "8006 0001", "8006 0006", ErrUnsupported},
		{"ECDSA-256 with SHA-384", "8005 0003 8006 0001 8007 0800", "8005 0004 8006 0004", ErrUnsupported},
		{"ECDSA-384 with SHA-256", "8005 0003 8006 0001 8007 0800", "8005 0003 8006 0005", ErrUnsupported},
		{"ECDSA-384 of 256 bits", "8005 0003 8006 0001 8007 0800", "8006 0005 8007 0100", ErrUnsupported},
		{"RSA without a hash", "8005 0003", "", ErrForm},
	} {
		_, err := parseSA(edit(t, isakmp.PayloadSAK, c.old, c.new)[4:], now, true, Options{})
		wantKind(t, c.name, err, c.kind)
	}
	k := ecKEK(t, sa.ECDSA256)
	k.SigHash = sa.SHA512
	wantKind(t, "ecdsa-256 with SHA-512", (&Policy{KEK: k}).Check(), ErrUnsupported)
}

func TestGCM(t *testing.T) {
	tek := testTEK(0x0badf00d)
	tek.Cipher, tek.KeyBits, tek.Key, tek.AuthKey = sa.GCM, 256, octets(1, 36), nil
	p := &Policy{TEKs: []sa.TEK{tek}, SenderIDs: &SenderIDs{Bits: 8, Values: []uint32{5}}}
	m2 := AppendPull2(nil, octets(0, 8), p, now, Options{})
	// ESP transform 20, no Authentication Algorithm; key length without the salt (RFC 4106 sections 8.2 and 8.4)
	same(t, "from the transform on", m2[bytes.Index(m2, spell(t, "14 0badf00d")):], spell(t, "14 0badf00d 8001 0001 0002 0004 00000e10 8004 0001 8006 0100"))
	m4 := AppendPull4(nil, p, Options{})
	same(t, "message 4", m4, append(append(spell(t, "00 00 004a 0002 0000 01 00 0031 04 0badf00d 0001 0024"), octets(1, 36)...),
		spell(t, "04 00 0011 00 8001 0008 0002 0004 00000005")...))

	_, _, err := ParsePull2(isakmp.PayloadNONCE, m2, now, Options{})
	wantKind(t, "a reader that has no GCM", err, ErrUnsupported)
	_, got, err := ParsePull2(isakmp.PayloadNONCE, m2, now, Options{GCM: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := ParsePull4(isakmp.PayloadKD, m4, got, Options{GCM: true}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	withAuth := edit(t, isakmp.PayloadSAT, "0c 0badf00d", "14 0badf00d")
	_, err = parseSA(withAuth[4:], now, true, Options{GCM: true})
	wantKind(t, "GCM with HMAC", err, ErrUnsupported)
	p.SenderIDs = nil
	if !panics(func() { AppendPull4(nil, p, Options{}) }) {
		t.Error("a cipher that counts was handed out without a sender ID")
	}
}

func TestSenderIDRequest(t *testing.T) {
	for _, n := range []int{0, 1, 2, 65535} {
		b := AppendPull3([]byte("x"), n)[1:]
		if got, err := ParsePull3(Pull3First(n), b); err != nil || got != n {
			t.Errorf("%d sender IDs: read %d, %v", n, got, err)
		}
		if n == 2 {
			same(t, "message 3", b, spell(t, "00 00 0008 8003 0002"))
		}
	}
	if !panics(func() { AppendPull3(nil, 65536) }) || !panics(func() { AppendPull3(nil, -1) }) {
		t.Error("65536 or -1 sender IDs were asked for")
	}
	_, err := ParsePull3(isakmp.PayloadGAP, spell(t, "00 00 000c 0003 0004 00010000"))
	wantKind(t, "65536 sender IDs", err, ErrForm)
}

func TestSenderIDsRefused(t *testing.T) {
	for _, c := range []struct {
		name, packet string
		kind         error
	}{
		{"no bits", "04 00 000d 00 0002 0004 00000001", ErrForm},
		{"no value", "04 00 0009 00 8001 0008", ErrForm},
		{"33 bits", "04 00 0011 00 8001 0021 0002 0004 00000001", ErrForm},
		{"bits twice", "04 00 0015 00 8001 0008 8001 0008 0002 0004 00000001", ErrForm},
		{"256 in 8 bits", "04 00 0011 00 8001 0008 0002 0004 00000100", ErrForm},
		{"a value twice", "04 00 0019 00 8001 0008 0002 0004 00000001 0002 0004 00000001", ErrForm},
		{"a value of no octets", "04 00 000d 00 8001 0008 0002 0000", ErrForm},
		{"a value of 2^32", "04 00 0012 00 8001 0008 0002 0005 0100000000", ErrForm},
		{"attribute 3", "04 00 0011 00 8001 0008 0003 0004 00000001", ErrUnsupported},
		{"a broken attribute", "04 00 0011 00 8001 0008 0002 0005 00000001", ErrForm},
	} {
		p := &Policy{}
		wantKind(t, c.name, pullKD(append([]byte{0, 1, 0, 0}, spell(t, c.packet)...), p), c.kind)
		if p.SenderIDs != nil {
			t.Errorf("%s: put in", c.name)
		}
	}
	good := "04 00 000d 00 8001 0008 8002 0007" // the short form is read too
	p := &Policy{}
	if err := pullKD(append([]byte{0, 1, 0, 0}, spell(t, good)...), p); err != nil || p.SenderIDs.Values[0] != 7 {
		t.Errorf("%v, %+v", err, p.SenderIDs)
	}
	wantKind(t, "two packets", pullKD(append([]byte{0, 2, 0, 0}, spell(t, good, good)...), &Policy{}), ErrForm)
	// "The GCKS MUST NOT send the SID Download Type KD payload as part of a GROUPKEY-PUSH message" (RFC 6407 section 5.6.4.4)
	r := kdReader{p: &Policy{}}
	_, err := r.parseKD(append([]byte{0, 1, 0, 0}, spell(t, good)...), nil)
	wantKind(t, "in a PUSH", err, ErrForm)
}

// RFC 8052 appendix A, with the numbers of its section 4 for the algorithms, 0x0E10 for 3600 seconds as its text has it, and
// without the second row "SA Attr NP".
func TestIEC61850Example(t *testing.T) {
	id := spell(t, "00 00 001e 0d 00 0000", "0d 060b2a8648ce5683e31a080102", "0006 0404e9fc0001")
	m1 := AppendPull1(nil, octets(0, 8), GroupName{Selector: goose}, Options{})
	same(t, "figure 7", m1[12:], id)
	if _, group, err := ParsePull1(isakmp.PayloadNONCE, m1, Options{}); err != nil || group != (GroupName{Selector: goose}) {
		t.Errorf("figure 7: %+v, %v", group, err)
	}

	p := &Policy{TEKs: []sa.TEK{
		{
			SPI: 1, Created: now, Hard: now.Add(3600 * time.Second), Key: octets(0x40, 16), AuthKey: octets(1, 32),
			IEC61850: &sa.IEC61850{Selector: goose, Auth: sa.AuthHMACSHA256128, Enc: sa.EncCBC128},
		},
		{
			SPI: 2, Created: now, Hard: now.Add(12 * time.Hour), Activate: now.Add(3300 * time.Second), Key: octets(0x80, 20),
			IEC61850: &sa.IEC61850{Selector: goose, Auth: sa.AuthNone, Enc: sa.EncGCM128},
		},
	}}
	figure8 := spell(t, "00 00 0066 00000002 00000000 0010 0000",
		"10 00 0027 03 0d 060b2a8648ce5683e31a080102 0006 0404e9fc0001 00000001 0002 0002 00000e10",
		"00 00 002f 03 0d 060b2a8648ce5683e31a080102 0006 0404e9fc0001 00000002 0001 0004 0000a8c0 0001 0004 00000ce4")
	same(t, "figure 8", appendSA(nil, 0, p, now, Options{}), figure8)
	// Figure 9 has the integrity key first; the order of attributes means nothing.
	figure9 := spell(t, "00 00 006a 0002 0000",
		"01 00 0041 04 00000001 0001 0010 404142434445464748494a4b4c4d4e4f 0002 0020 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
		"01 00 0021 04 00000002 0001 0014 808182838485868788898a8b8c8d8e8f90919293")
	same(t, "figure 9", appendKD(nil, 0, p, Options{}), figure9)

	_, err := parseSA(figure8[4:], now, true, Options{})
	wantKind(t, "a reader that has no IEC 61850", err, ErrUnsupported)
	got, err := parseSA(figure8[4:], now, true, Options{IEC61850: true})
	if err != nil {
		t.Fatal(err)
	}
	swapped := spell(t, "00 00 006a 0002 0000",
		"01 00 0041 04 00000001 0002 0020 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20 0001 0010 404142434445464748494a4b4c4d4e4f",
		"01 00 0021 04 00000002 0001 0014 808182838485868788898a8b8c8d8e8f90919293")
	if err := pullKD(swapped[4:], got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	for _, c := range []struct {
		name, old, new string
		kind           error
	}{
		// The example's own numbers: RESERVED, and CBC without authentication.
		{"authentication 0", "00000002 0001 0004", "00000002 0000 0004", ErrUnsupported},
		{"authentication 1 with CBC", "00000001 0002 0002", "00000001 0001 0002", ErrUnsupported},
		{"authentication 6", "00000001 0002 0002", "00000001 0006 0002", ErrUnsupported},
		{"encryption 6", "00000001 0002 0002", "00000001 0002 0006", ErrUnsupported},
		{"GCM with HMAC", "00000002 0001 0004", "00000002 0002 0004", ErrUnsupported},
		{"SPI zero", "00000001 0002 0002", "00000000 0002 0002", ErrForm},
		{"the same SPI twice", "00000002 0001 0004", "00000001 0001 0004", ErrForm},
		{"attribute 3", "0001 0004 00000ce4", "0003 0004 00000ce4", ErrUnsupported},
		{"assurance of 101", "0001 0004 00000ce4", "0002 0004 00000065", ErrForm},
		{"assurance of 356", "0001 0004 00000ce4", "0002 0004 00000164", ErrForm},
		{"an OID that is none", "00000002 00000000 0010 0000 10 00 0027 03 0d 06", "00000002 00000000 0010 0000 10 00 0027 03 0d 07", ErrForm},
		{"an OID length too long", "0010 0000 10 00 0027 03 0d", "0010 0000 10 00 0028 03 ff", ErrForm},
		{"a payload length too long", "0027 03 0d 060b2a8648ce5683e31a080102 0006", "0027 03 0d 060b2a8648ce5683e31a080102 ffff", ErrForm},
	} {
		from, to := spell(t, c.old), spell(t, c.new)
		if bytes.Count(figure8, from) != 1 {
			t.Fatalf("%s: stands %d times", c.name, bytes.Count(figure8, from))
		}
		_, err := parseSA(bytes.Replace(figure8, from, to, 1)[4:], now, true, Options{IEC61850: true})
		wantKind(t, c.name, err, c.kind)
	}
	bad := p.TEKs[0].Clone()
	bad.IEC61850.Auth, bad.AuthKey = sa.AuthNone, nil
	wantKind(t, "CBC with NONE", (&Policy{TEKs: []sa.TEK{bad}}).Check(), ErrUnsupported)
	bad = p.TEKs[0].Clone()
	bad.Policies = []sa.Policy{{}}
	wantKind(t, "a match-policy", (&Policy{TEKs: []sa.TEK{bad}}).Check(), ErrForm)
	bad = p.TEKs[0].Clone()
	bad.IEC61850.Selector.Payload = "x"
	wantKind(t, "a payload that is no DER", (&Policy{TEKs: []sa.TEK{bad}}).Check(), ErrForm)
	if !panics(func() { AppendPull1(nil, octets(0, 8), GroupName{Selector: sa.Selector{OID: "x"}}, Options{}) }) {
		t.Error("an OID that is none was written")
	}
}

func TestDeletes61850(t *testing.T) {
	kek := testKEK()
	o := Options{IEC61850: true}
	for _, push := range []Push{
		{Seq: 1, Delete61850: []uint32{1, 2}},
		{Seq: 2, Delete61850: []uint32{0}, DeleteTEKs: []uint32{0x100}},
		{Seq: 3, DeleteAll: true},
	} {
		got, err := OpenPush(kek, nil, sign(t, kek, PushMessage(kek, &push, now, o)), now, o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&push, got, compare); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if b := PushMessage(kek, &Push{Seq: 3, DeleteAll: true}, now, o); !bytes.Contains(b, spell(t, "00000002 03 04 0001 00000000")) {
		t.Errorf("all, without IEC 61850: %x", b)
	}
	// A server of IEC 61850 alone names that protocol and the KEK.
	var p Push
	d := func(protocol uint8, size int) []byte {
		return isakmp.Delete{DOI: 2, Protocol: protocol, SPISize: size, SPIs: [][]byte{make([]byte, size)}}.Append(nil)
	}
	if err := p.parseDeletes([][]byte{d(3, 4), d(0, 4)}, kek, o); err != nil || !p.DeleteAll {
		t.Errorf("%+v, %v", p, err)
	}
}

// hierarchy makes a tree of 20 members of whom one leaves: the KEK before and its keys at another, the updates, the new KEK.
func hierarchy(t testing.TB, bits int) (next *sa.KEK, updates []lkh.Update, members map[uint16]*lkh.Keys) {
	t.Helper()
	dice := mathrand.NewChaCha8([32]byte{1})
	tree, err := lkh.New(bits, 20, dice)
	if err != nil {
		t.Fatal(err)
	}
	members = map[uint16]*lkh.Keys{}
	for range 20 {
		leaf, _, err := tree.Join(dice)
		if err != nil {
			t.Fatal(err)
		}
		if members[leaf], err = lkh.NewKeys(tree.Path(leaf)); err != nil {
			t.Fatal(err)
		}
	}
	if _, updates, err = tree.Change(dice, 0, 9); err != nil {
		t.Fatal(err)
	}
	return rootKEK(tree.Root().Data, 0x55), updates, members
}

// rootKEK is a KEK that is the root of a hierarchy.
func rootKEK(root sa.Secret, spi byte) *sa.KEK {
	k := testKEK()
	k.SPI[0] = spi
	k.KeyBits, k.IV, k.Key = 8*(len(root)-16), [16]byte(root), root[16:].Clone()
	return k
}

func TestLKH(t *testing.T) {
	for _, bits := range []int{128, 192, 256} {
		next, updates, members := hierarchy(t, bits)
		kek := rootKEK(members[1].Root().Data, 0x44)
		kek.Ack, next.Ack = AckLKHSHA256, AckLKHSHA512
		for leaf, keys := range members {
			// The PULL of each.
			p := &Policy{KEK: kek, LKH: keys}
			_, got, err := ParsePull2(isakmp.PayloadNONCE, AppendPull2(nil, octets(0, 8), p, now, Options{}), now, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := ParsePull4(isakmp.PayloadSEQ, AppendPull4(nil, p, Options{}), got, Options{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&Policy{KEK: atMember(kek), LKH: keys}, got, compare); diff != "" {
				t.Fatalf("leaf %d (-want +got):\n%s", leaf, diff)
			}
			// The PUSH that shuts leaf 9 out, under the old KEK, which leaf 9 has.
			push := &Push{Seq: 1, Policy: &Policy{KEK: next, Updates: updates}}
			wire := sign(t, kek, PushMessage(kek, push, now, Options{}))
			opened, err := OpenPush(got.KEK, got.LKH, wire, now, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if leaf == 9 {
				if !opened.Excluded || opened.Policy.KEK != nil || opened.Policy.LKH != nil {
					t.Errorf("leaf 9 read %+v", opened)
				}
				continue
			}
			if opened.Excluded || !opened.Policy.KEK.Key.Equal(next.Key) || opened.Policy.KEK.IV != next.IV || opened.Policy.KEK.Ack != AckLKHSHA512 {
				t.Fatalf("leaf %d read %+v", leaf, opened)
			}
			// Its own acknowledgement, which nobody else can make.
			key := AckKey(kek, got.LKH.Leaf(), Options{})
			ack, err := ParseAck(AppendAck(nil, Ack{SPI: kek.SPI, Seq: 1, Member: netip.MustParseAddr("192.0.2.1")}, key))
			if err != nil || !ack.Verify(key) || ack.Verify(AckKey(kek, members[9].Leaf(), Options{})) {
				t.Fatalf("leaf %d: acknowledgement: %v", leaf, err)
			}
		}
		// A member that holds no hierarchy is as shut out, and does not answer as if it were not.
		wire := sign(t, kek, PushMessage(kek, &Push{Seq: 1, Policy: &Policy{KEK: next, Updates: updates}}, now, Options{}))
		if opened, err := OpenPush(kek, nil, wire, now, Options{}); err != nil || !opened.Excluded || opened.Policy.KEK != nil {
			t.Errorf("a member without keys read %+v, %v", opened, err)
		}
		if AckKey(kek, nil, Options{}) != nil {
			t.Error("an LKH acknowledgement without a leaf's key")
		}
	}
}

// RFC 8263 section 2.2: the base key is the first LKH key without its IV. Types 3 and 4 use SHA-512, and L counts its block.
func TestLKHAckKeys(t *testing.T) {
	kek := katKEK(t)
	leaf := sa.Secret(kat(t, "kek"))
	kek.Key = octets(0, 32)
	kek.Ack = AckLKHSHA256
	same(t, "type 2", AckKey(kek, leaf, Options{}), kat(t, "ack_key_L512"))
	same(t, "type 2, short L", AckKey(kek, leaf, Options{AckShortL: true}), kat(t, "ack_key_L256_not_literal"))
	kek.Ack, kek.Key = AckKEKSHA512, leaf
	long := AckKey(kek, nil, Options{})
	kek.Ack = AckLKHSHA512
	same(t, "type 4 as type 3", AckKey(kek, leaf, Options{}), long)
	if len(long) != 64 || bytes.Equal(long, AckKey(kek, leaf, Options{AckShortL: true})) {
		t.Errorf("type 4: %d octets", len(long))
	}
	// ID_OID, the third identity of section 3.4.
	ack, err := ParseAck(AppendAck(nil, Ack{SPI: kek.SPI, Seq: 3, Selector: goose}, long))
	if err != nil || ack.Selector != goose || ack.Member.IsValid() || !ack.Verify(long) {
		t.Errorf("ID_OID: %+v, %v", ack, err)
	}
	if !panics(func() { AppendAck(nil, Ack{}, long) }) || !panics(func() { AppendAck(nil, Ack{Selector: sa.Selector{OID: "x"}}, long) }) {
		t.Error("nobody's acknowledgement was written")
	}
}

// The octets of both arrays, RFC 6407 figures 11 to 13.
func TestLKHArraysOctets(t *testing.T) {
	keys, err := lkh.NewKeys([]lkh.Key{{ID: 5, Handle: 7, Data: octets(0, 32)}, {ID: 4, Handle: 8, Data: octets(0x80, 32)}})
	if err != nil {
		t.Fatal(err)
	}
	download := spell(t, "0001 0064 01 0002 00",
		"0005 03 00 00000000 00000000 00000007 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"0004 03 00 00000000 00000000 00000008 808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")
	same(t, "download", appendDownload(nil, keys), download)
	update := spell(t, "0002 003c 01 0001 00 0006 0000 00000009",
		"0004 03 00 00000000 00000000 0000000a 808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")
	u := lkh.Update{ID: 6, Handle: 9, Keys: []lkh.Key{{ID: 4, Handle: 10, Data: octets(0x80, 32)}}}
	same(t, "update", appendUpdateArray(nil, u), update)
	if n := SizeUpdates([]lkh.Update{u}); n != len(update) {
		t.Errorf("SizeUpdates %d, want %d", n, len(update))
	}
	// With dates, which are not looked at.
	dated := slices.Clone(update[4:])
	copy(dated[12+4:], octets(1, 8))
	got, err := parseUpdate(dated, 128)
	if diff := cmp.Diff(u, got, compare); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}

	for _, c := range []struct {
		name string
		at   int
		v    []byte
		kind error
	}{
		{"version 2", 0, []byte{2}, ErrUnsupported},
		{"no keys", 1, []byte{0, 0}, ErrForm},
		{"two keys announced", 1, []byte{0, 2}, ErrForm},
		{"65535 keys announced", 1, []byte{0xff, 0xff}, ErrForm},
		{"RESERVED", 3, []byte{1}, ErrForm},
		{"RESERVED2", 7, []byte{1}, ErrForm},
		{"3DES", 12 + 2, []byte{2}, ErrUnsupported},
		{"a key's RESERVED", 12 + 3, []byte{1}, ErrForm},
	} {
		bad := slices.Clone(update[4:])
		copy(bad[c.at:], c.v)
		_, err := parseUpdate(bad, 128)
		wantKind(t, "update: "+c.name, err, c.kind)
	}
	for n := range update[4:] {
		if _, err := parseUpdate(update[4:4+n], 128); err == nil {
			t.Errorf("update cut after %d octets", n)
		}
	}
	for n := range download[4:] {
		if _, err := parseDownload(download[4:4+n], 128); err == nil {
			t.Errorf("download cut after %d octets", n)
		}
	}
	twice := slices.Clone(download[4:])
	copy(twice[4+48:], []byte{0, 5})
	_, err = parseDownload(twice, 128)
	wantKind(t, "a node twice", err, ErrKeys)
	_, err = parseUpdate(update[4:], 256)
	wantKind(t, "keys of 128 bits for 256", err, ErrForm)
}

func TestLKHPacketRefuses(t *testing.T) {
	next, updates, members := hierarchy(t, 128)
	packet := func(p *Policy) []byte { return appendKD(nil, 0, p, Options{})[4:] }
	keys := members[1]
	kek := rootKEK(keys.Root().Data, 0x44)
	download, push := packet(&Policy{KEK: kek, LKH: keys}), packet(&Policy{KEK: next, Updates: updates})
	empty := func(k *sa.KEK) *Policy { return &Policy{KEK: &sa.KEK{SPI: k.SPI, KeyBits: k.KeyBits}} }
	double := func(body []byte) []byte {
		b := append(slices.Clone(body), body[4:]...)
		b[1] = 2
		return b
	}
	both := append(slices.Clone(download), packet(&Policy{KEK: kek})[4:]...)
	both[1] = 2
	// The signature key stands in both packets: take it out of the second.
	cut := len(both) - 4 - len(kek.SigPublic)
	both = both[:cut]
	binary.BigEndian.PutUint16(both[len(download)+2:], uint16(cut-len(download)))
	other := slices.Clone(both)
	other[len(both)-1] ^= 1
	for _, c := range []struct {
		name string
		r    kdReader
		body []byte
		kind error
	}{
		{"a download array in a PULL", kdReader{p: empty(kek), pull: true}, download, nil},
		{"updates in a PUSH", kdReader{p: empty(next), held: keys}, push, nil},
		{"a download array and the KEK", kdReader{p: empty(kek), pull: true}, both, nil},
		{"a download array and another KEK", kdReader{p: empty(kek), pull: true}, other, ErrKeys},
		{"a download array in a PUSH", kdReader{p: empty(kek), held: keys}, download, ErrUnsupported},
		{"updates in a PULL", kdReader{p: empty(next), pull: true}, push, ErrUnsupported},
		{"two packets", kdReader{p: empty(kek), pull: true}, double(download), ErrForm},
		{"no KEK in the policy", kdReader{p: &Policy{}, pull: true}, download, ErrKeys},
		{"keys of another length", kdReader{p: &Policy{KEK: &sa.KEK{SPI: kek.SPI, KeyBits: 256}}, pull: true}, download, ErrForm},
		{"a hierarchy of other lengths", kdReader{p: empty(next), held: func() *lkh.Keys { _, _, m := hierarchy(t, 256); return m[1] }()}, push, ErrKeys},
	} {
		_, err := c.r.parseKD(c.body, nil)
		if c.kind != nil {
			wantKind(t, c.name, err, c.kind)
		} else if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, c := range []struct {
		name, attrs string
		kind        error
	}{
		{"no array", "", ErrKeys},
		{"attribute 4", "0004 0001 00", ErrUnsupported},
		{"an empty signature key", "0003 0000", ErrKeys},
		{"a broken attribute", "0001 00ff 00", ErrForm},
		{"an empty array", "0001 0000", ErrForm},
	} {
		attrs := spell(t, c.attrs)
		body := append([]byte{0, 1, 0, 0, keyLKH, 0, 0, byte(21 + len(attrs)), 16}, kek.SPI[:]...)
		wantKind(t, c.name, pullKD(append(body, attrs...), empty(kek)), c.kind)
	}
	for name, p := range map[string]*Policy{
		"keys without a KEK":    {LKH: keys, TEKs: []sa.TEK{testTEK(0x100)}},
		"updates without a KEK": {Updates: updates, TEKs: []sa.TEK{testTEK(0x100)}},
		"both":                  {KEK: kek, LKH: keys, Updates: updates},
		"another root":          {KEK: next, LKH: keys},
		"no updates":            {KEK: next, Updates: []lkh.Update{}},
		"an empty update":       {KEK: next, Updates: []lkh.Update{{}}},
		"updates of 256 bits":   {KEK: next, Updates: func() []lkh.Update { _, u, _ := hierarchy(t, 256); return u }()},
	} {
		if p.Check() == nil {
			t.Errorf("%s: passes", name)
		}
	}
	if !panics(func() { AppendPull4(nil, &Policy{KEK: next, Updates: updates}, Options{}) }) {
		t.Error("updates were written into a PULL")
	}
}

// A batch that does not fit one datagram goes in several, and everybody finds its update in one of them.
func TestSplitUpdates(t *testing.T) {
	dice := mathrand.NewChaCha8([32]byte{2})
	tree, err := lkh.New(256, 2000, dice)
	if err != nil {
		t.Fatal(err)
	}
	var members []*lkh.Keys
	var leaves []uint16
	for range 2000 {
		leaf, _, err := tree.Join(dice)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := lkh.NewKeys(tree.Path(leaf))
		if err != nil {
			t.Fatal(err)
		}
		members, leaves = append(members, keys), append(leaves, leaf)
	}
	var gone []uint16
	for i := 0; i < len(leaves); i += 10 {
		gone = append(gone, leaves[i])
	}
	kek := rootKEK(tree.Root().Data, 0x44)
	_, updates, err := tree.Change(dice, 0, gone...)
	if err != nil {
		t.Fatal(err)
	}
	next := rootKEK(tree.Root().Data, 0x55)
	parts := SplitUpdates(next, updates, 1<<30)
	t.Logf("%d octets of updates for %d of %d, in %d messages", SizeUpdates(updates), len(gone), len(members), len(parts))
	if len(parts) < 2 {
		t.Fatal("one part")
	}
	if got := slices.Concat(parts...); len(got) != len(updates) {
		t.Errorf("%d updates in parts, want %d", len(got), len(updates))
	}
	for i, part := range parts {
		wire := sign(t, kek, PushMessage(kek, &Push{Seq: uint32(i + 1), Policy: &Policy{KEK: next, Updates: part}}, now, Options{}))
		if len(wire) > isakmp.MaxMessage {
			t.Errorf("part %d: %d octets", i, len(wire))
		}
	}
	for i, keys := range members {
		found := 0
		for _, part := range parts {
			if _, ok, err := keys.Apply(part); err != nil {
				t.Fatal(err)
			} else if ok {
				found++
			}
		}
		want := 1
		if i%10 == 0 {
			want = 0 // it is one that left
		}
		if found != want {
			t.Fatalf("member %d finds its update %d times, want %d", i, found, want)
		}
	}
	if small := SplitUpdates(next, updates, 1400); len(small) <= len(parts) {
		t.Errorf("%d parts of 1400 octets", len(small))
	}
}

func TestPushCheck(t *testing.T) {
	kek, next := testKEK(), testKEK()
	next.SPI[0] = 0x77
	one := []sa.TEK{testTEK(0x100)}
	keys, updates, members := hierarchy(t, 128)
	for _, c := range []struct {
		name string
		push Push
		ok   bool
	}{
		{"TEKs", Push{Policy: &Policy{TEKs: one}}, true},
		{"a new KEK", Push{Policy: &Policy{KEK: next}}, true},
		{"the KEK in force and TEKs", Push{Policy: &Policy{KEK: kek, TEKs: one}}, true},
		{"updates", Push{Policy: &Policy{KEK: keys, Updates: updates}}, true},
		// "New Data-Security SAs MUST NOT be included in a GROUPKEY-PUSH message that changes group membership" (section 7.4.1)
		{"a new KEK and TEKs", Push{Policy: &Policy{KEK: next, TEKs: one}}, false},
		{"updates and TEKs", Push{Policy: &Policy{KEK: keys, Updates: updates, TEKs: one}}, false},
		{"nothing", Push{}, false},
		{"an empty policy", Push{DeleteAll: true, Policy: &Policy{}}, false},
		{"sender IDs", Push{Policy: &Policy{TEKs: one, SenderIDs: &SenderIDs{Bits: 8, Values: []uint32{1}}}}, false},
		{"one member's keys", Push{Policy: &Policy{KEK: rootKEK(members[1].Root().Data, 5), LKH: members[1]}}, false},
		{"all and one", Push{DeleteAll: true, DeleteTEKs: []uint32{1}}, false},
		{"more than 16 D payloads", Push{DeleteTEKs: make([]uint32, 17*256)}, false},
		{"more than a datagram", Push{DeleteTEKs: make([]uint32, 16*256), Policy: fullPolicy()}, false},
		{"what a reader says", Push{DeleteAll: true, Excluded: true}, false},
	} {
		if err := c.push.Check(kek); c.ok != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !c.ok && !panics(func() { PushMessage(kek, &c.push, now, Options{}) }) {
			t.Errorf("%s: was written", c.name)
		}
	}
}

// fullPolicy is near the most octets that Check lets pass.
func fullPolicy() *Policy {
	p := &Policy{}
	for i := range MaxTEKs {
		t := testTEK(0x100 + uint32(i))
		t.KeyBits, t.Key = 256, octets(i, 32)
		p.TEKs = append(p.TEKs, t)
	}
	for i := range 6 {
		p.TEKs[i].Policies = slices.Repeat(p.TEKs[i].Policies, 60)
	}
	return p
}

func FuzzLKH(f *testing.F) {
	_, updates, members := hierarchy(f, 128)
	f.Add(appendUpdateArray(nil, updates[0])[4:], false)
	f.Add(appendDownload(nil, members[1])[4:], true)
	f.Fuzz(func(t *testing.T, b []byte, download bool) {
		if download {
			if keys, err := parseDownload(b, 128); err == nil && len(appendDownload(nil, keys)) != 4+len(b) {
				t.Fatalf("read %x, wrote another length", b)
			}
			return
		}
		u, err := parseUpdate(b, 128)
		if err != nil {
			return
		}
		if len(appendUpdateArray(nil, u)) != 4+len(b) {
			t.Fatalf("read %x, wrote another length", b)
		}
		if next, ok, err := members[1].Apply([]lkh.Update{u}); ok && (err != nil || next.Len() > lkh.MaxPath) {
			t.Fatal(err)
		}
	})
}

// FuzzPolicy reads both payloads of a PULL, or of a PUSH to a member of a hierarchy, with everything taken that is spoken.
func FuzzPolicy(f *testing.F) {
	next, updates, members := hierarchy(f, 128)
	gcm := testTEK(0x100)
	gcm.Cipher, gcm.Key, gcm.AuthKey = sa.GCM, octets(0, 20), nil
	iec := sa.TEK{SPI: 1, Created: now, Key: octets(0, 16), AuthKey: octets(0, 32), IEC61850: &sa.IEC61850{Selector: goose, Auth: 2, Enc: 2, HasAssurance: true}}
	sids := &SenderIDs{Bits: 8, Values: []uint32{1}}
	root := rootKEK(members[1].Root().Data, 1)
	for _, p := range []*Policy{{KEK: root, LKH: members[1], TEKs: []sa.TEK{gcm, iec}, SenderIDs: sids}, {KEK: next, Updates: updates}, {TEKs: []sa.TEK{iec}}, {TEKs: []sa.TEK{iec, windowed(0x200)}}} {
		f.Add(appendSA(nil, 0, p, now, Options{})[4:], appendKD(nil, 0, p, Options{})[4:], p.Updates == nil, uint8(0))
	}
	f.Fuzz(func(t *testing.T, sap, kd []byte, pull bool, quirks uint8) {
		o := Options{GCM: true, IEC61850: true, SwappedAddresses: quirks&1 != 0, WideIDLen: quirks&2 != 0, SAKReserved6: quirks&4 != 0, HostOrderSID: quirks&8 != 0}
		p, err := parseSA(sap, now, pull, o)
		if err != nil {
			return
		}
		r := kdReader{p: p, pull: pull, o: o}
		if !pull {
			r.held = members[1]
		}
		excluded, err := r.parseKD(kd, nil)
		if err != nil || p.KEK == nil && len(p.TEKs) == 0 {
			return
		}
		if excluded && p.KEK != nil {
			t.Fatal("excluded, and a KEK")
		}
		if err := p.Check(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
	})
}

func BenchmarkParsePull2(b *testing.B) {
	m := kat(b, "pull2_plain")[hashLen:]
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParsePull2(isakmp.PayloadNONCE, m, now, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendPull2(b *testing.B) {
	p, nr := katPolicy(b), octets(0, 32)
	b.ReportAllocs()
	for b.Loop() {
		AppendPull2(nil, nr, p, now, Options{})
	}
}

func BenchmarkAppendPull4(b *testing.B) {
	p := katPolicy(b)
	b.ReportAllocs()
	for b.Loop() {
		AppendPull4(nil, p, Options{})
	}
}

func BenchmarkParsePull4(b *testing.B) {
	m := kat(b, "pull4_plain")[hashLen:]
	_, p, err := ParsePull2(isakmp.PayloadNONCE, kat(b, "pull2_plain")[hashLen:], now, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := ParsePull4(isakmp.PayloadSEQ, m, p, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPushMessage(b *testing.B) {
	kek, push := katKEK(b), katPush1(b)
	b.ReportAllocs()
	for b.Loop() {
		PushMessage(kek, push, now, Options{})
	}
}

// BenchmarkParsePush is what a member does with a message before and after its signature, without it: RSA alone takes longer.
func BenchmarkParsePush(b *testing.B) {
	kek := katKEK(b)
	msg := append(slices.Clone(kat(b, "push1")[:28]), kat(b, "push1_plain")...)
	b.ReportAllocs()
	for b.Loop() {
		f, err := parsePush(msg, isakmp.PayloadSEQ)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.contents(kek, nil, now, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenPush(b *testing.B) {
	kek, wire := katKEK(b), kat(b, "push1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenPush(kek, nil, wire, now, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAck(b *testing.B) {
	kek := katKEK(b)
	a := Ack{SPI: kek.SPI, Seq: 1, Member: netip.MustParseAddr("198.51.100.1")}
	key := AckKey(kek, nil, Options{})
	b.ReportAllocs()
	for b.Loop() {
		got, err := ParseAck(AppendAck(nil, a, key))
		if err != nil || !got.Verify(key) {
			b.Fatal(err)
		}
	}
}

// A datagram of 64 KiB costs what it holds, whatever it announces.
func TestAttackHugePayloadChains(t *testing.T) {
	_, _, members := hierarchy(t, 128)
	full := func(head, unit []byte) []byte {
		b := slices.Clone(head)
		for len(b)+len(unit) <= isakmp.MaxMessage-28 {
			b = append(b, unit...)
		}
		return b
	}
	sak := appendSA(nil, 0, &Policy{KEK: testKEK()}, now, Options{})[4:]
	withKEK := func() *Policy {
		p, err := parseSA(sak, now, true, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	spi := testKEK().SPI
	lkhHead := append([]byte{0, 1, 0, 0, keyLKH, 0, 0, 0, 16}, spi[:]...)
	arrays := full(lkhHead, append(spell(t, "0002 003c 01 0001 00 0006 0000 00000009 0004 03 00 00000000 00000000 0000000a"), make([]byte, 32)...))
	binary.BigEndian.PutUint16(arrays[6:], uint16(len(arrays)-4))
	empties := full(lkhHead, spell(t, "0002 0000"))
	binary.BigEndian.PutUint16(empties[6:], uint16(len(empties)-4))
	sids := full([]byte{0, 1, 0, 0, keySID, 0, 0, 0, 0}, spell(t, "8002 0001"))
	binary.BigEndian.PutUint16(sids[6:], uint16(len(sids)-4))
	iec := "03 0d 060b2a8648ce5683e31a080102 0000 00000001 0002 0001 00000e10"
	pull1 := func(b []byte) error {
		_, _, err := ParsePull1(isakmp.PayloadNONCE, b, Options{})
		return err
	}
	sap := func(b []byte) error {
		_, err := parseSA(b, now, true, Options{IEC61850: true})
		return err
	}
	kd := func(b []byte) error {
		_, err := (&kdReader{p: withKEK(), held: members[1]}).parseKD(b, nil)
		return err
	}
	for _, c := range []struct {
		name string
		b    []byte
		read func([]byte) error
		most uint64 // octets allocated
	}{
		{"a chain of empty payloads", full(nil, []byte{10, 0, 0, 4}), pull1, 16384},
		{"a chain of length 0", make([]byte, 65000), pull1, 16384},
		{"attributes of SAK", full(append(spell(t, "00000002 00000000 000f 0000 00 00 ff00"), sak[16:61]...), spell(t, "8002 0003")), sap, 65536},
		{"one SAT again and again", full(spell(t, "00000002 00000000 0010 0000"), append(spell(t, "10 00 0021"), spell(t, iec)...)), sap, 16384},
		{"key packets", full([]byte{0xff, 0xff, 0, 0}, spell(t, "01 00 0005 00")), kd, 16384},
		{"update arrays", arrays, kd, 4 * isakmp.MaxMessage},
		{"empty update arrays", empties, kd, 16384},
		{"sender IDs", sids, func(b []byte) error { return pullKD(b, &Policy{}) }, 16384},
		{"deletions", full(spell(t, "00000002 01 04 3fff"), make([]byte, 4)), func(b []byte) error { return new(Push).parseDeletes([][]byte{b}, testKEK(), Options{}) }, 16384},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := c.read(c.b)
		runtime.ReadMemStats(&after)
		got := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d octets for %d: %v", c.name, got, len(c.b), err)
		if got > c.most {
			t.Errorf("%s: %d octets allocated, at most %d", c.name, got, c.most)
		}
		if c.name != "update arrays" && err == nil { // those are sound, and for others
			t.Errorf("%s: no error", c.name)
		}
	}
}

// "If a GM cannot respond with the requested type of Acknowledgement, it continues with protocol exchange and participates in
// the group." (RFC 8263 section 4): without a hierarchy nobody has a key for the LKH types.
func TestLKHAckWithoutAHierarchy(t *testing.T) {
	kek := testKEK()
	kek.Ack = AckLKHSHA512
	p := &Policy{KEK: kek}
	_, got, err := ParsePull2(isakmp.PayloadNONCE, AppendPull2(nil, octets(0, 8), p, now, Options{}), now, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ParsePull4(isakmp.PayloadSEQ, AppendPull4(nil, p, Options{}), got, Options{}); err != nil || got.KEK.Ack != 0 {
		t.Errorf("acknowledgement type %d, %v", got.KEK.Ack, err)
	}
}
