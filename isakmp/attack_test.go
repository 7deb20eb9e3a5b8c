package isakmp

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// One test for each known class of attack on IKE daemons that concerns what is read here. Those of package ike are in its own
// attack_test.go, and its other tests named so.

// decoders read a body, or a chain of payloads of one type.
var decoders = map[string]func(b []byte) error{
	"header": func(b []byte) error { _, err := ParseHeader(b); return err },
	"chain":  func(b []byte) error { _, err := ChainLen(PayloadN, b); return err },
	"attrs":  func(b []byte) error { _, err := ParseAttrs(b); return err },
	"SA":     func(b []byte) error { _, err := ParseSA(b); return err },
	"ID":     func(b []byte) error { _, err := ParseID(b); return err },
	"N":      func(b []byte) error { _, err := ParseNotify(b); return err },
	"D":      func(b []byte) error { _, err := ParseDelete(b); return err },
}

// Zero-length payload loop: a length of 0 to 3 anywhere, in the chain and inside an SA. (CVE-2004-0218, and one datagram that hangs
// the reference implementation for ever.)
func TestAttackZeroLengthPayloadLoop(t *testing.T) {
	for n := range uint16(GenericLen) {
		payload := binary.BigEndian.AppendUint16([]byte{byte(PayloadN), 0}, n)
		for _, b := range [][]byte{payload, append(AppendPayload(nil, PayloadN, []byte("first")), payload...), append(payload, make([]byte, 60)...)} {
			if _, err := ChainLen(PayloadN, b); KindOf(err) != PayloadLength {
				t.Errorf("length %d: %v", n, err)
			}
		}
	}
	good := bin(t, saiB)
	for _, at := range []int{10, 18} { // of the proposal and of the transform
		for n := range uint16(GenericLen) {
			b := bytes.Clone(good)
			binary.BigEndian.PutUint16(b[at:], n)
			if _, err := ParseSA(b); err == nil {
				t.Errorf("a nested length of %d at %d passes", n, at)
			}
		}
	}
	// An attribute of no octets takes four, so attributes end too.
	if attrs, err := ParseAttrs(bytes.Repeat([]byte{0, 1, 0, 0}, MaxAttrs)); err != nil || len(attrs) != MaxAttrs {
		t.Error(err)
	}
}

// Huge payload chains: 64 KiB of the shortest payloads, attributes, transforms and SPIs. Nothing walks further than its limit, nor
// allocates more than for the limit.
func TestAttackHugePayloadChains(t *testing.T) {
	transforms := append(bin(t, "0000000200000000"), AppendPayload(nil, NoPayload, append([]byte{1, 1, 0, 255},
		bytes.Repeat([]byte{3, 0, 0, 8, 1, 1, 0, 0}, 8000)...))...)
	proposals := append(bin(t, "0000000200000000"), bytes.Repeat([]byte{2, 0, 0, 16, 1, 1, 0, 1, 0, 0, 0, 8, 1, 1, 0, 0}, 4000)...)
	spis := append(bin(t, "000000010104ffff"), make([]byte, 4*0xffff)...)
	for name, b := range map[string][]byte{
		"chain": bytes.Repeat([]byte{byte(PayloadN), 0, 0, 4}, 16000),
		"attrs": bytes.Repeat([]byte{0x80, 1, 0, 1}, 16000),
		"SA":    transforms,
		"D":     spis,
	} {
		wantTooMany(t, name, b)
	}
	wantTooMany(t, "SA", proposals)
}

func wantTooMany(t *testing.T, name string, b []byte) {
	t.Helper()
	if k := KindOf(decoders[name](b)); k != TooMany && k != TooManyPayloads {
		t.Errorf("%s: %v", name, k)
	}
	quickest := time.Hour
	for range 20 {
		began := time.Now()
		_ = decoders[name](b)
		quickest = min(quickest, time.Since(began))
	}
	if quickest > time.Millisecond {
		t.Errorf("%s: %v for %d octets", name, quickest, len(b))
	}
}

// Transform length 0, wrong counts: every count and every nested length of an SA, altered one by one, and every octet of any body
// cut off.
func TestAttackTransformLength(t *testing.T) {
	good := bin(t, saiB)
	for at, what := range map[int]string{11 + 4: "transform count", 14: "SPI size", 10: "proposal length, high", 11: "proposal length", 18: "transform length, high", 19: "transform length"} {
		for v := range 256 {
			if b := bytes.Clone(good); int(b[at]) != v {
				b[at] = byte(v)
				if s, err := ParseSA(b); err == nil {
					t.Errorf("%s %d passes: %+v", what, v, s)
				}
			}
		}
	}
	for n := range good {
		if _, err := ParseSA(good[:n]); err == nil {
			t.Errorf("the first %d octets of an SA pass", n)
		}
	}
	d := Delete{DOI: 1, Protocol: 1, SPISize: 4, SPIs: [][]byte{{1, 2, 3, 4}, {5, 6, 7, 8}}}.Append(nil)
	for _, count := range []uint16{0, 1, 3, 0xffff} {
		b := bytes.Clone(d)
		binary.BigEndian.PutUint16(b[6:], count)
		if _, err := ParseDelete(b); err == nil {
			t.Errorf("%d SPIs where there are 2 pass", count)
		}
	}
}

// Header length lies, both ways: "the length of the message" is the datagram's (RFC 2408 section 5.1).
func TestAttackHeaderLengthLies(t *testing.T) {
	b := AppendHeader(nil, Header{Next: PayloadN, Exchange: ExchangeMain})
	b = AppendPayload(b, NoPayload, make([]byte, 8))
	for _, n := range []uint32{0, 1, 27, 28, 39, 41, 0xffff, 0x80000028, 0xffffffff} {
		binary.BigEndian.PutUint32(b[24:], n)
		if _, err := ParseHeader(b); KindOf(err) != LengthMismatch {
			t.Errorf("length %#x for 40 octets: %v", n, err)
		}
	}
	for n := range HeaderLen {
		if _, err := ParseHeader(b[:n]); KindOf(err) != Short {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

// No error says what the wire said, but for numbers.
func TestAttackMemoryDisclosure(t *testing.T) {
	for name, decode := range decoders {
		if err := decode([]byte("%s%x\x00\x1b[31mSECRET")); err != nil && bytes.Contains([]byte(err.Error()), []byte("SECRET")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
