package isakmp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func bin(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '|' || r == '\n' || r == '\t' {
			return -1
		}
		return r
	}, s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantKind(t *testing.T, what string, err error, k Kind) {
	t.Helper()
	if err == nil || KindOf(err) != k {
		t.Errorf("%s: %v, want kind %v", what, err, k)
	}
}

func TestHeader(t *testing.T) {
	h := Header{
		InitiatorCookie: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, ResponderCookie: [8]byte{9, 10, 11, 12, 13, 14, 15, 16},
		Next: PayloadHASH, Exchange: ExchangePull, Flags: FlagEncryption, MessageID: 0xa1b2c3d4, Length: 28,
	}
	b := AppendHeader(nil, h)
	want := bin(t, "0102030405060708 090a0b0c0d0e0f10 08 10 20 01 a1b2c3d4 0000001c")
	if !bytes.Equal(b, want) {
		t.Errorf("%x", b)
	}
	got, err := ParseHeader(b)
	if err != nil || got != h {
		t.Errorf("%+v %v", got, err)
	}
	_, err = ParseHeader(b[:27])
	wantKind(t, "27 octets", err, Short)
	_, err = ParseHeader(nil)
	wantKind(t, "nothing", err, Short)
	for _, v := range []byte{0x00, 0x11, 0x20} {
		bad := bytes.Clone(b)
		bad[17] = v
		_, err = ParseHeader(bad)
		wantKind(t, "version", err, Version)
	}
	// "the message MUST be rejected" when Length is not the datagram's, in both directions (RFC 2408 section 5.1).
	for _, l := range []string{"0000001b", "0000001d", "00000000", "ffffffff", "0000011c"} {
		_, err = ParseHeader(append(bytes.Clone(b[:24]), bin(t, l)...))
		wantKind(t, l, err, LengthMismatch)
	}
	_, err = ParseHeader(append(bytes.Clone(b), 0))
	wantKind(t, "an octet more", err, LengthMismatch)
	long := append(b, 1, 2, 3)
	SetLength(long)
	if h, err := ParseHeader(long); err != nil || h.Length != 31 {
		t.Errorf("%+v %v", h, err)
	}
}

func TestChain(t *testing.T) {
	b := AppendPayload(nil, PayloadVID, []byte("abc"))
	b = AppendPayload(b, NoPayload, nil)
	whole := len(b)
	b = append(b, make([]byte, 16)...) // a whole block of padding
	c := Payloads(PayloadNONCE, b)
	var got []string
	for p, ok := c.Next(); ok; p, ok = c.Next() {
		got = append(got, fmt.Sprintf("%v %x %x", p.Type, p.Body, p.Raw))
	}
	if d := cmp.Diff([]string{"NONCE 616263 0d000007616263", "VID  00000004"}, got); d != "" || c.Err() != nil || c.Offset() != whole || c.Peek() != NoPayload {
		t.Error(d, c.Err(), c.Offset())
	}
	if n, err := ChainLen(NoPayload, b); n != 0 || err != nil {
		t.Error(n, err)
	}
	// Views end where they end: appending to one does not reach the next payload.
	c = Payloads(PayloadNONCE, b)
	p, _ := c.Next()
	_ = append(p.Body, 0xff)
	if b[7] != 0 {
		t.Error("a view reaches into its neighbour")
	}
	for name, x := range map[string]struct {
		b    string
		kind Kind
	}{
		"nothing":       {"", Short},
		"three octets":  {"000000", Short},
		"length 0":      {"00000000", PayloadLength},
		"length 3":      {"00000003", PayloadLength},
		"one too long":  {"0000000501020304"[:8], PayloadLength},
		"ffff":          {"0000ffff", PayloadLength},
		"reserved":      {"00010004", Reserved},
		"next missing":  {"0d000004", Short},
		"loop of zeros": {"0d000000", PayloadLength},
	} {
		_, err := ChainLen(PayloadN, bin(t, x.b))
		wantKind(t, name, err, x.kind)
	}
	if _, err := ChainLen(PayloadN, append(bytes.Repeat([]byte{11, 0, 0, 4}, 63), 0, 0, 0, 4)); err != nil {
		t.Error("64 payloads:", err)
	}
	_, err := ChainLen(PayloadN, bytes.Repeat([]byte{11, 0, 0, 4}, 16000))
	wantKind(t, "16000 payloads", err, TooManyPayloads)
	at := 0
	o, at := OpenPayload([]byte{1, 2}, PayloadKD)
	o = ClosePayload(append(o, "xyz"...), at)
	if !bytes.Equal(o, append([]byte{1, 2}, AppendPayload(nil, PayloadKD, []byte("xyz"))...)) {
		t.Errorf("%x", o)
	}
}

func TestAttrs(t *testing.T) {
	b := AppendAttrBasic(nil, 1, 7)
	b = AppendAttr(b, 12, []byte{0, 1, 0x51, 0x80})
	b = AppendAttrUint32(b, 13, 5)
	b = AppendAttr(b, 9, nil)
	if want := bin(t, "80010007 000c000400015180 000d000400000005 00090000"); !bytes.Equal(b, want) {
		t.Errorf("%x", b)
	}
	got, err := ParseAttrs(b)
	want := []Attr{{1, true, []byte{0, 7}}, {12, false, []byte{0, 1, 0x51, 0x80}}, {13, false, []byte{0, 0, 0, 5}}, {9, false, []byte{}}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	for i, v := range []uint64{7, 86400, 5} {
		if n, ok := got[i].Uint(); !ok || n != v {
			t.Errorf("%+v: %d %v", got[i], n, ok)
		}
	}
	if _, ok := got[3].Uint(); ok {
		t.Error("a number of no octets")
	}
	if _, ok := (Attr{Value: make([]byte, 9)}).Uint(); ok {
		t.Error("a number of nine octets")
	}
	_, err = ParseAttrs(b[:3])
	wantKind(t, "three octets", err, Short)
	_, err = ParseAttrs(bin(t, "000c000500015180"))
	wantKind(t, "too long", err, PayloadLength)
	_, err = ParseAttrs(bytes.Repeat([]byte{0x80, 1, 0, 7}, 65))
	wantKind(t, "65", err, TooMany)
	if none, err := ParseAttrs(nil); none != nil || err != nil {
		t.Error(none, err)
	}
}

func TestCursor(t *testing.T) {
	c := NewCursor("thing", bin(t, "01 0203 04050607 0809 0a"))
	if c.Uint8() != 1 || c.Uint16() != 0x203 || c.Uint32() != 0x4050607 || !bytes.Equal(c.Bytes(2), []byte{8, 9}) || c.Len() != 1 || c.Err() != nil {
		t.Error("wrong fields")
	}
	wantKind(t, "left over", c.End(), Long)
	c = NewCursor("thing", []byte{1})
	if c.Uint32() != 0 || c.Uint8() != 0 || c.Bytes(1) != nil || c.Rest() != nil {
		t.Error("something after an error")
	}
	c.Fail(Malformed, "later")
	wantKind(t, "short", c.End(), Short)
	if got := c.Err().Error(); got != "isakmp: thing: 1 octets left, want 4 more" {
		t.Error(got)
	}
	c = NewCursor("thing", []byte{1})
	c.Bytes(-1)
	wantKind(t, "negative", c.Err(), Short)
	c = NewCursor("thing", []byte{1})
	c.Fail(Malformed, "value %d", 7)
	if got := c.Err().Error(); got != "isakmp: thing: value 7" {
		t.Error(got)
	}
}

func TestBodies(t *testing.T) {
	id := bin(t, "01000000 c6336401")
	if got, err := ParseID(id); err != nil || got.Type != IDIPv4 || !bytes.Equal(got.Append(nil), id) {
		t.Errorf("%+v %v", got, err)
	}
	for b, k := range map[string]Kind{
		"": Short, "010000": Short, "01000000": PayloadLength, "01000000c63364": PayloadLength, "05000000c6336401": PayloadLength, "0b000000": PayloadLength,
	} {
		_, err := ParseID(bin(t, b))
		wantKind(t, "ID "+b, err, k)
	}
	n := bin(t, "00000001 01 02 8d28 aabb 00000007")
	if got, err := ParseNotify(n); err != nil || got.Type != RUThere || !bytes.Equal(got.SPI, []byte{0xaa, 0xbb}) || !bytes.Equal(got.Append(nil), n) {
		t.Errorf("%+v %v", got, err)
	}
	for _, b := range []string{"", "00000001", "0000000101ff8d28aabb"} {
		_, err := ParseNotify(bin(t, b))
		wantKind(t, "N "+b, err, Short)
	}
	d := bin(t, "00000002 00 02 0002 aabb ccdd")
	if got, err := ParseDelete(d); err != nil || len(got.SPIs) != 2 || !bytes.Equal(got.Append(nil), d) {
		t.Errorf("%+v %v", got, err)
	}
	for b, k := range map[string]Kind{
		"": Short, "00000002": Short, "0000000200020000": Malformed, "0000000200000001": Malformed,
		"0000000200020002aabb": PayloadLength, "0000000200020001aabbcc": PayloadLength, "000000020001ffff00": TooMany, "0000000200ff0100": PayloadLength,
	} {
		_, err := ParseDelete(bin(t, b))
		wantKind(t, "D "+b, err, k)
	}
	if CheckNonce(make([]byte, 8), 8, 128) != nil || CheckNonce(make([]byte, 128), 8, 128) != nil {
		t.Error("a good nonce is refused")
	}
	wantKind(t, "nonce", CheckNonce(make([]byte, 7), 8, 128), PayloadLength)
	wantKind(t, "nonce", CheckNonce(make([]byte, 129), 8, 128), PayloadLength)
}

// The SAi_b of the known answers, and how it can be wrong.
const saiB = "00000002 00000000 | 00000030 01010001 | 00000028 01010000 | 80010007 800e0100 80020004 8004000e 80030001 800b0001 000c000400015180"

func TestSA(t *testing.T) {
	b := bin(t, saiB)
	s, err := ParseSA(b)
	if err != nil || s.DOI != DOIGDOI || s.Situation != SituationGDOI || len(s.Proposals) != 1 || len(s.Proposals[0].Transforms) != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	if tr := s.Proposals[0].Transforms[0]; tr.Number != 1 || tr.ID != KeyIKE || len(tr.Attrs) != 32 {
		t.Errorf("%+v", tr)
	}
	if got := s.Append(nil); !bytes.Equal(got, b) {
		t.Errorf("%x", got)
	}
	for name, x := range map[string]struct {
		b    string
		kind Kind
	}{
		"empty":                {"", Short},
		"no proposal":          {"0000000200000000", Short},
		"proposal of length 0": {"0000000200000000 00000000 01010001", PayloadLength},
		"proposal of length 4": {"0000000200000000 00000004", Short},
		"proposal too long":    {"0000000200000000 00000030 01010001", PayloadLength},
		"no transform":         {"0000000200000000 00000008 01010000", Short},
		"SPI too long":         {"0000000200000000 00000008 0101ff01", Short},
		"transform length 0":   {"0000000200000000 0000000c 01010001 00000000", PayloadLength},
		"transform length 4":   {"0000000200000000 0000000c 01010001 00000004", Short},
		"RESERVED2":            {"0000000200000000 00000010 01010001 00000008 01010001", Reserved},
		"attribute too long":   {"0000000200000000 00000014 01010001 0000000c 01010000 000c0001", PayloadLength},
		"one transform of two": {"0000000200000000 00000010 01010002 00000008 01010000", Malformed},
		"255 transforms":       {"0000000200000000 00000010 010100ff 00000008 01010000", TooMany},
		"transform in SA":      {"0000000200000000 03000010 01010001 00000008 01010000 00000008 01010000", UnexpectedPayload},
		"proposal among T":     {"0000000200000000 00000018 01010002 02000008 01010000 00000008 01010000", UnexpectedPayload},
		"octets after":         {"0000000200000000 00000010 01010001 00000008 01010000 00", Long},
		"octets after T":       {"0000000200000000 00000011 01010001 00000008 01010000 00", Long},
	} {
		_, err := ParseSA(bin(t, x.b))
		wantKind(t, name, err, x.kind)
	}
	many := SA{DOI: 1}
	for range MaxProposals + 1 {
		many.Proposals = append(many.Proposals, s.Proposals[0])
	}
	_, err = ParseSA(many.Append(nil))
	wantKind(t, "nine proposals", err, TooMany)
}

func TestNames(t *testing.T) {
	for k := Short; k <= UnsupportedVariant; k++ {
		if s := k.String(); s == "" || strings.HasPrefix(s, "kind-") {
			t.Errorf("kind %d has no name", k)
		}
	}
	for got, want := range map[string]string{
		Kind(200).String(): "kind-200", PayloadSAK.String(): "SAK", PayloadType(99).String(): "payload-99", ExchangePull.String(): "groupkey-pull",
		ExchangeClusterUpdate.String(): "exchange-241", NoProposalChosen.String(): "NO-PROPOSAL-CHOSEN", NotifyType(40000).String(): "notify-40000",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if KindOf(fmt.Errorf("wrapped: %w", Errorf(Long, "x"))) != Long || KindOf(fmt.Errorf("other")) != Malformed {
		t.Error("KindOf")
	}
	if !ExchangeClusterInit.Private() || ExchangePull.Private() {
		t.Error("Private")
	}
}
