package gdoi

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"net/netip"
	"slices"
	"testing"

	"gvpn/isakmp"
	"gvpn/lkh"
	"gvpn/sa"
)

// Known classes of attack on what is read here; further tests of the same names stand with the mechanism's others. What a class is, and
// where else it is tested, is in docs/attacks.md.

// lengthFields are the places of all lengths of two octets in a chain of payloads: of the payloads, of those in SA, of key packets, of
// attributes and of what is in the arrays of a hierarchy.
func lengthFields(t *testing.T, first isakmp.PayloadType, b []byte) (places []int) {
	t.Helper()
	u16 := func(at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
	attrs := func(at, end int) {
		for at < end {
			if b[at]&0x80 != 0 {
				at += 4
				continue
			}
			places = append(places, at+2)
			at += 4 + u16(at+2)
		}
	}
	identities := func(at int) int { // two, each of type, port, length and octets
		for range 2 {
			at += 4 + int(b[at+3])
		}
		return at
	}
	var chain func(first isakmp.PayloadType, at, end int)
	chain = func(first isakmp.PayloadType, at, end int) {
		for typ := first; ; {
			places = append(places, at+2)
			body, next := at+4, at+u16(at+2)
			switch typ {
			case isakmp.PayloadSA:
				chain(isakmp.PayloadType(u16(body+8)), body+12, next)
			case isakmp.PayloadSAK:
				attrs(identities(body+1)+20, next)
			case isakmp.PayloadSAT:
				if b[body] == proto61850 {
					payload := body + 2 + int(b[body+1]) // of the identifier; its length of two octets is zero here
					attrs(payload+2+u16(payload)+12, next)
				} else {
					attrs(identities(body+2)+5, next)
				}
			case isakmp.PayloadGAP:
				attrs(body, next)
			case isakmp.PayloadKD:
				for p := body + 4; p < next; p += u16(p + 2) {
					places = append(places, p+2)
					attrs(p+5+int(b[p+4]), p+u16(p+2))
				}
			}
			if typ = isakmp.PayloadType(b[at]); typ == isakmp.NoPayload {
				if next != end {
					t.Fatalf("the chain ends at %d of %d", next, end)
				}
				return
			}
			at = next
		}
	}
	chain(first, 0, len(b))
	return places
}

// abused is a policy with something of everything.
func abused(t *testing.T, alg sa.SigAlg) (*Policy, Options) {
	kek := ecKEK(t, alg)
	kek.SPI[0] ^= 0x80
	gcm := testTEK(0x200)
	gcm.Cipher, gcm.Key, gcm.AuthKey = sa.GCM, octets(0, 20), nil
	iec := sa.TEK{SPI: 0x300, Created: now, Hard: now.Add(90e9), Key: octets(0, 16), AuthKey: octets(0, 32), IEC61850: &sa.IEC61850{Selector: goose, Auth: 2, Enc: 2, HasAssurance: true}}
	two := []sa.Policy{
		{Source: netip.MustParsePrefix("10.1.0.0/16"), Destination: netip.MustParsePrefix("10.2.0.0/16"), Protocol: 6, DestinationPort: 443},
		{Source: netip.MustParsePrefix("10.3.0.0/16"), Destination: netip.MustParsePrefix("10.4.0.0/16")},
	}
	return &Policy{
		KEK: kek, TEKs: []sa.TEK{testTEK(0x100, two...), gcm, iec}, ActivationDelay: 10e9, DeactivationDelay: 20e9,
		SenderIDs: &SenderIDs{Bits: 8, Values: []uint32{5, 9}},
	}, Options{GCM: true, IEC61850: true}
}

// Zero-length payload loop: a length of 0 to 3, or one that is far too long, anywhere: inside SA, KD, attributes and arrays of LKH.
func TestAttackZeroLengthPayloadLoop(t *testing.T) {
	p, o := abused(t, sa.ECDSA256)
	m2, m4 := AppendPull2(nil, octets(0, 8), p, now, o), AppendPull4(nil, p, o)
	next, updates, members := hierarchy(t, 128)
	old := rootKEK(members[1].Root().Data, 0x44)
	tree := AppendPull4(nil, &Policy{KEK: old, LKH: members[1]}, o)
	changes := appendKD(nil, 0, &Policy{KEK: next, Updates: updates}, o)
	for _, c := range []struct {
		name  string
		first isakmp.PayloadType
		b     []byte
		read  func(b []byte) error
		least int // length fields
	}{
		{"message 2", isakmp.PayloadNONCE, m2, func(b []byte) error { _, _, err := ParsePull2(isakmp.PayloadNONCE, b, now, o); return err }, 12},
		{"message 4", Pull4First(p), m4, func(b []byte) error {
			_, q, err := ParsePull2(isakmp.PayloadNONCE, m2, now, o)
			if err != nil {
				t.Fatal(err)
			}
			return ParsePull4(Pull4First(p), b, q, o)
		}, 14},
		{"message 4 with a hierarchy", isakmp.PayloadSEQ, tree, func(b []byte) error {
			return ParsePull4(isakmp.PayloadSEQ, b, &Policy{KEK: &sa.KEK{SPI: old.SPI, KeyBits: 128}}, o)
		}, 5},
		{"updates of a hierarchy", isakmp.PayloadKD, changes, func(b []byte) error {
			f, err := isakmp.ChainLen(isakmp.PayloadKD, b)
			if err != nil || f != len(b) {
				return form("KD", err)
			}
			_, err = (&kdReader{p: &Policy{KEK: &sa.KEK{SPI: next.SPI, KeyBits: 128}}, held: members[1]}).parseKD(b[4:], nil)
			return err
		}, 5},
	} {
		if err := c.read(slices.Clone(c.b)); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		places := lengthFields(t, c.first, c.b)
		if len(places) < c.least {
			t.Errorf("%s: %d lengths found, want %d at least", c.name, len(places), c.least)
		}
		for _, at := range places {
			for _, n := range []uint16{0, 1, 2, 3, 0xffff} {
				b := slices.Clone(c.b)
				binary.BigEndian.PutUint16(b[at:], n)
				if c.read(b) == nil {
					t.Errorf("%s: a length of %d at %d passes", c.name, n, at)
				}
			}
		}
	}
}

// Attribute abuse from an authenticated peer: each octet of a key server's messages, and of what it signs, is another. Nothing
// panics, and what is accepted all the same is policy that we could have written ourselves. (CVE-2023-20109.)
func TestAttackAttributeAbuse(t *testing.T) {
	p, o := abused(t, sa.ECDSA256)
	m2, m4 := AppendPull2(nil, octets(0, 8), p, now, o), AppendPull4(nil, p, o)
	sound := func(what string, at int, got *Policy) {
		if err := got.Check(); err != nil {
			t.Errorf("%s, octet %d: accepted, but %v", what, at, err)
		}
	}
	each := func(b []byte, from int, try func(at int, bad []byte)) {
		for at := from; at < len(b); at++ {
			for _, v := range []byte{0, b[at] ^ 1, b[at] ^ 0x80, 0xff} {
				bad := slices.Clone(b)
				bad[at] = v
				try(at, bad)
			}
		}
	}
	each(m2, 0, func(at int, bad []byte) {
		_, got, err := ParsePull2(isakmp.PayloadNONCE, bad, now, o)
		if err == nil && ParsePull4(Pull4First(p), m4, got, o) == nil {
			sound("message 2", at, got)
		}
	})
	each(m4, 0, func(at int, bad []byte) {
		_, got, err := ParsePull2(isakmp.PayloadNONCE, m2, now, o)
		if err != nil {
			t.Fatal(err)
		}
		if ParsePull4(Pull4First(p), bad, got, o) == nil {
			sound("message 4", at, got)
		}
	})
	kek := ecKEK(t, sa.ECDSA256)
	pushed := &Policy{TEKs: p.TEKs, ActivationDelay: p.ActivationDelay}
	msg := PushMessage(kek, &Push{Seq: 1, DeleteTEKs: []uint32{7}, Delete61850: []uint32{8}, Policy: pushed}, now, o)
	each(msg, isakmp.HeaderLen, func(at int, bad []byte) {
		sig, err := Sign(SignOp(kek, bad, o))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenPush(kek, nil, SealPush(kek, bad, sig), now, o); err == nil && got.Policy != nil {
			sound("push", at, got.Policy)
		}
	})
}

// Downgrade: ciphers, hashes and signatures below the floor are refused whoever offers them, in a pull and in a push, and so is a part
// that is left out.
func TestAttackDowngrade(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		typ            isakmp.PayloadType
		kind           error
	}{
		{"KEK of DES", "8002 0003", "8002 0001", isakmp.PayloadSAK, ErrUnsupported},
		{"KEK of 3DES", "8002 0003", "8002 0002", isakmp.PayloadSAK, ErrUnsupported},
		{"KEK of 64 bits", "8003 0100", "8003 0040", isakmp.PayloadSAK, ErrUnsupported},
		{"signature over MD5", "8005 0003", "8005 0001", isakmp.PayloadSAK, ErrUnsupported},
		{"signature over SHA-1", "8005 0003", "8005 0002", isakmp.PayloadSAK, ErrUnsupported},
		{"no signature hash", "8005 0003", "", isakmp.PayloadSAK, ErrForm},
		{"signature with DSS", "8006 0001 8007", "8006 0002 8007", isakmp.PayloadSAK, ErrUnsupported},
		{"no signature algorithm", "8006 0001 8007 0800", "8007 0800", isakmp.PayloadSAK, ErrForm},
		{"RSA of 1024 bits", "8007 0800", "8007 0400", isakmp.PayloadSAK, ErrUnsupported},
		{"ESP with 3DES", "0c 0badf00d", "03 0badf00d", isakmp.PayloadSAT, ErrUnsupported},
		{"ESP with NULL", "0c 0badf00d", "0b 0badf00d", isakmp.PayloadSAT, ErrUnsupported},
		{"HMAC-MD5", "8005 0005", "8005 0001", isakmp.PayloadSAT, ErrUnsupported},
		{"no authentication", "8005 0005", "", isakmp.PayloadSAT, ErrForm},
		{"a key of 160 bits", "8006 0100", "8006 00a0", isakmp.PayloadSAT, ErrUnsupported},
	} {
		for _, pull := range []bool{true, false} {
			_, err := parseSA(edit(t, c.typ, c.old, c.new)[4:], now, pull, Options{GCM: true, IEC61850: true})
			wantKind(t, c.name, err, c.kind)
		}
	}
}

// signBlock is what makes the RSA block: with the private key one can make any signature that a forger might find for a small exponent.
func signBlock(t *testing.T, kek *sa.KEK, block []byte) []byte {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(kek.SigPrivate)
	if err != nil {
		t.Fatal(err)
	}
	private := key.(*rsa.PrivateKey)
	m := new(big.Int).SetBytes(block)
	if m.Cmp(private.N) >= 0 {
		t.Fatal("the block is no number below the modulus")
	}
	return m.Exp(m, private.D, private.N).FillBytes(make([]byte, private.Size()))
}

// RSA signature parsing: the whole block is compared (Bleichenbacher's forgery for exponent 3, CVE-2018-16151 and -16152,
// CVE-2026-50721), and a signature is one number below the modulus, of the modulus's length.
func TestAttackRSASignature(t *testing.T) {
	kek := testKEK()
	msg := PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})
	h := sha256.Sum256(signInput(msg))
	hash := h[:]
	const size = 256
	oid := spell(t, "06 09 608648016503040201")
	info := append(spell(t, "3031 300d"), append(oid, spell(t, "0500 0420")...)...)
	full := append(slices.Clone(info), hash...)
	// pad is 00 01 FF.. 00 and t, then what is behind it; with fill octets of FF, or as many as there is room for.
	pad := func(fill int, t, behind []byte) []byte {
		if fill < 0 {
			fill = size - 3 - len(t) - len(behind)
		}
		b := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, fill)...)
		b = append(append(append(b, 0), t...), behind...)
		return append(b, bytes.Repeat([]byte{0xa5}, size-len(b))...)
	}
	with := func(b []byte, at int, v byte) []byte {
		b = slices.Clone(b)
		b[at] = v
		return b
	}
	seq := func(parts ...[]byte) []byte { // DER, below 128 octets
		b := slices.Concat(parts...)
		return append([]byte{0x30, byte(len(b))}, b...)
	}
	null, octet := []byte{5, 0}, append([]byte{4, 32}, hash...)
	for _, c := range []struct {
		name  string
		block []byte
		raw   bool // a raw signature is what this is
		ok    bool
	}{
		{"PKCS #1 with DigestInfo", pad(-1, full, nil), false, true},
		{"the hash alone", pad(-1, hash, nil), true, true},

		{"octets behind DigestInfo", pad(8, full, nil), false, false},
		{"octets behind the hash, within DigestInfo", pad(-1, seq(seq(oid, null), octet, []byte{4, 4, 1, 2, 3, 4}), nil), false, false},
		{"octets in the algorithm's parameters", pad(-1, seq(seq(oid, []byte{4, 4, 1, 2, 3, 4}), octet), nil), false, false},
		{"octets behind the algorithm's parameters", pad(-1, seq(seq(oid, null, []byte{4, 2, 1, 2}), octet), nil), false, false},
		{"no parameters", pad(-1, seq(seq(oid), octet), nil), false, false},
		{"lengths in the long form", pad(-1, append([]byte{0x30, 0x81}, full[1:]...), nil), false, false},
		{"a hash cut short", pad(-1, seq(seq(oid, null), append([]byte{4, 31}, hash[:31]...)), nil), false, false},
		{"an empty hash", pad(-1, seq(seq(oid, null), []byte{4, 0}), nil), false, false},
		{"named SHA-512", pad(-1, with(full, 14, 3), nil), false, false},
		{"no padding", pad(0, full, nil), false, false},
		{"a padding octet of FE", with(pad(-1, full, nil), 40, 0xfe), false, false},
		{"padding that ends early", with(pad(-1, full, nil), 40, 0), false, false},
		{"padding of zeros, type 0", append(make([]byte, size-len(full)), full...), false, false},
		{"type 2", with(pad(-1, full, nil), 1, 2), false, false},
		{"begins with 1", append(pad(-1, full, nil)[1:], 0), false, false},
		{"zeros", make([]byte, size), false, false},

		{"octets behind the hash alone", pad(8, hash, nil), true, false},
		{"one octet behind the hash alone", pad(-1, hash, []byte{0}), true, false},
		{"half the hash alone", pad(-1, hash[:16], nil), true, false},
		{"the hash alone but for its last octet", pad(-1, hash[:31], nil), true, false},
		{"the hash alone behind a zero", pad(-1, append([]byte{0}, hash...), nil), true, false},
		{"padding alone", pad(size-3, nil, nil), true, false},
	} {
		if len(c.block) != size {
			t.Fatalf("%s: block of %d octets", c.name, len(c.block))
		}
		wire := SealPush(kek, msg, signBlock(t, kek, c.block))
		for _, raw := range []bool{false, true} {
			_, err := OpenPush(kek, nil, wire, now, Options{RawSignature: raw})
			if ok := c.ok && (raw || !c.raw); ok && err != nil {
				t.Errorf("%s, raw signatures %v: %v", c.name, raw, err)
			} else if !ok {
				wantKind(t, c.name, err, ErrSignature)
			}
		}
	}
	// The same number again, one modulus higher: as many octets, where it fits, which a modulus of many leading ones rarely allows.
	for mustPublic(kek).rsa.N.Bytes()[0] >= 0xf0 {
		pair := makeSigner(2048)
		kek.SigPublic, kek.SigPrivate = pair.Public, pair.Private
	}
	pub := mustPublic(kek).rsa
	tried := false
	for i := uint32(1); i < 1000 && !tried; i++ {
		msg := PushMessage(kek, &Push{Seq: i, DeleteAll: true}, now, Options{})
		good, err := Sign(SignOp(kek, msg, Options{}))
		if err != nil {
			t.Fatal(err)
		}
		if higher := new(big.Int).Add(new(big.Int).SetBytes(good), pub.N); higher.BitLen() <= 8*size {
			tried = true
			_, err = OpenPush(kek, nil, SealPush(kek, msg, higher.FillBytes(make([]byte, size))), now, Options{RawSignature: true})
			wantKind(t, "a number from the modulus on", err, ErrSignature)
		}
	}
	if !tried {
		t.Error("no signature leaves room for one modulus more")
	}
}

// A member of two groups whose pushes one key signs, or one who has kept what was pushed before, seals it under the KEK in force: the
// signature is over the cookies too, so it is good for the KEK that it was made for and for no other.
func TestAttackPUSHForgeryOtherGroup(t *testing.T) {
	for name, ours := range map[string]*sa.KEK{"rsa": testKEK(), "ecdsa-256": ecKEK(t, sa.ECDSA256), "ecdsa-384": ecKEK(t, sa.ECDSA384)} {
		other := ours.Clone()
		other.SPI[15] ^= 1
		other.Key, other.IV = octets(0x77, 16), [16]byte(octets(0x88, 16))
		theirs := sign(t, other, PushMessage(other, &Push{Seq: 9, DeleteAll: true}, now, Options{}))
		if _, err := OpenPush(other, nil, theirs, now, Options{}); err != nil {
			t.Fatalf("%s: under its own KEK: %v", name, err)
		}
		_, err := OpenPush(ours, nil, theirs, now, Options{})
		wantKind(t, name+" as it was sent", err, ErrSPI)

		cookiesChanged := slices.Clone(theirs)
		copy(cookiesChanged, ours.SPI[:])
		if _, err = OpenPush(ours, nil, cookiesChanged, now, Options{}); err == nil {
			t.Errorf("%s: accepted with our cookies", name)
		}
		plain := slices.Clone(theirs)
		cbc(other, plain[isakmp.HeaderLen:], false)
		copy(plain, ours.SPI[:])
		_, err = OpenPush(ours, nil, encrypt(ours, plain), now, Options{})
		wantKind(t, name+" with our cookies, sealed under our KEK", err, ErrSignature)
	}
}

// A member of a hierarchy sends updates of its own making: it has no signing key. Updates for another hierarchy, well signed, do not fit.
// In either case the keys stay as they were.
func TestAttackPUSHForgeryHierarchy(t *testing.T) {
	next, updates, members := hierarchy(t, 128)
	long, longUpdates, _ := hierarchy(t, 256)
	kek, keys := rootKEK(members[1].Root().Data, 0x44), members[1]
	before := keys.Root().Data.Clone()
	forger := kek.Clone()
	forger.SigPrivate = makeSigner(2048).Private
	push := func(k *sa.KEK, u []lkh.Update) []byte {
		return PushMessage(kek, &Push{Seq: 1, Policy: &Policy{KEK: k, Updates: u}}, now, Options{})
	}
	for _, c := range []struct {
		name   string
		signer *sa.KEK
		msg    []byte
		kind   error
	}{
		{"updates that a member signed", forger, push(next, updates), ErrSignature},
		{"updates of 256 bits for keys of 128", kek, push(long, longUpdates), ErrKeys},
		{"the KEK in force, with another key", kek, push(func() *sa.KEK { k := next.Clone(); k.SPI = kek.SPI; return k }(), updates), ErrKeys},
	} {
		_, err := OpenPush(kek, keys, sign(t, c.signer, c.msg), now, Options{})
		wantKind(t, c.name, err, c.kind)
		if !keys.Root().Data.Equal(before) {
			t.Errorf("%s: the member's keys changed", c.name)
		}
	}
}

// What a push may bring is bounded, and nothing is taken of one that brings more: TEKs, policies, deletions, octets.
func TestAttackPUSHBounds(t *testing.T) {
	kek := ecKEK(t, sa.ECDSA256)
	one := testTEK(0x100)
	push := func(parts ...[]byte) []byte {
		msg := PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})[:isakmp.HeaderLen]
		for _, p := range parts {
			msg = append(msg, p...)
		}
		binary.BigEndian.PutUint32(msg[24:], uint32(len(msg)+isakmp.GenericLen+mustPublic(kek).size()))
		return sign(t, kek, msg)
	}
	many := &Policy{}
	for i := range MaxTEKs + 1 {
		t := testTEK(uint32(0x100 + i))
		many.TEKs = append(many.TEKs, t)
	}
	wide := &Policy{TEKs: []sa.TEK{testTEK(0x100, slices.Repeat(one.Policies, MaxPolicies+1)...)}}
	short, long := one, one
	short.Key, long.Key = one.Key[:15], octets(0, 32)
	for _, c := range []struct {
		name   string
		policy *Policy // of SA
		keys   *Policy // of KD
		kind   error
	}{
		{"one TEK", &Policy{TEKs: []sa.TEK{one}}, &Policy{TEKs: []sa.TEK{one}}, nil},
		{"a TEK too many", many, many, ErrForm},
		{"a policy too many", wide, wide, ErrForm},
		{"a key an octet short", &Policy{TEKs: []sa.TEK{one}}, &Policy{TEKs: []sa.TEK{short}}, ErrKeys},
		{"a key of another length", &Policy{TEKs: []sa.TEK{one}}, &Policy{TEKs: []sa.TEK{long}}, ErrKeys},
		{"no key", &Policy{TEKs: []sa.TEK{one}}, &Policy{}, ErrKeys},
		{"a key for nothing", &Policy{TEKs: []sa.TEK{one}}, &Policy{TEKs: []sa.TEK{one, testTEK(0x101)}}, ErrKeys},
		{"the key of another TEK", &Policy{TEKs: []sa.TEK{one}}, &Policy{TEKs: []sa.TEK{testTEK(0x101)}}, ErrKeys},
	} {
		got, err := OpenPush(kek, nil, push(appendSEQ(nil, isakmp.PayloadSA, 1),
			appendSA(nil, isakmp.PayloadKD, c.policy, now, Options{}), appendKD(nil, isakmp.PayloadSIG, c.keys, Options{})), now, Options{})
		if c.kind == nil {
			if err != nil || len(got.Policy.TEKs) != 1 {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		wantKind(t, c.name, err, c.kind)
		if got != nil {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	// 64 KiB under the KEK, and more than a datagram is.
	for _, n := range []int{65504, 65536, 1 << 20} {
		plain := append(PushMessage(kek, &Push{Seq: 1, DeleteAll: true}, now, Options{})[:isakmp.HeaderLen], make([]byte, n)...)
		if _, err := OpenPush(kek, nil, encrypt(kek, plain), now, Options{}); err == nil {
			t.Errorf("%d octets of zeros are a push", n)
		}
	}
}
