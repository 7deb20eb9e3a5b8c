package isakmp

import (
	"bytes"
	"testing"
)

func FuzzParseHeader(f *testing.F) {
	f.Add(AppendHeader(nil, Header{Next: PayloadSA, Exchange: ExchangeMain, Length: HeaderLen}))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err == nil && !bytes.Equal(AppendHeader(nil, h), b[:HeaderLen]) {
			t.Fatalf("%+v from %x", h, b)
		}
	})
}

func FuzzChain(f *testing.F) {
	f.Add(uint8(PayloadN), AppendPayload(AppendPayload(nil, PayloadVID, []byte("abc")), NoPayload, nil))
	f.Fuzz(func(t *testing.T, first uint8, b []byte) {
		c := Payloads(PayloadType(first), b)
		var again []byte
		n := 0
		for p, ok := c.Next(); ok; p, ok = c.Next() {
			if n++; n > MaxPayloads {
				t.Fatal("too many payloads")
			}
			again = AppendPayload(again, c.Peek(), p.Body)
		}
		if !bytes.HasPrefix(b, again) || c.Err() == nil && (c.Offset() != len(again) || c.Peek() != NoPayload) {
			t.Fatalf("%x from %x", again, b)
		}
	})
}

func FuzzParseAttrs(f *testing.F) {
	f.Add(AppendAttrUint32(AppendAttrBasic(nil, 1, 7), 12, 86400))
	f.Fuzz(func(t *testing.T, b []byte) {
		attrs, err := ParseAttrs(b)
		if err != nil {
			return
		}
		var again []byte
		for _, a := range attrs {
			if v, ok := a.Uint(); a.Basic && ok {
				again = AppendAttrBasic(again, a.Type, uint16(v))
			} else {
				again = AppendAttr(again, a.Type, a.Value)
			}
		}
		if len(attrs) > MaxAttrs || !bytes.Equal(again, b) {
			t.Fatalf("%x from %x", again, b)
		}
	})
}

func FuzzParseSA(f *testing.F) {
	f.Add(bin(f, saiB))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSA(b)
		if err == nil && !bytes.Equal(s.Append(nil), b) {
			t.Fatalf("%+v from %x", s, b)
		}
	})
}

func FuzzBodies(f *testing.F) {
	f.Add(bin(f, "01000000c6336401"))
	f.Add(bin(f, "0000000101028d28aabb00000007"))
	f.Add(bin(f, "0000000200020002aabbccdd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := ParseID(b); err == nil && !bytes.Equal(x.Append(nil), b) {
			t.Fatalf("%+v from %x", x, b)
		}
		if x, err := ParseNotify(b); err == nil && !bytes.Equal(x.Append(nil), b) {
			t.Fatalf("%+v from %x", x, b)
		}
		if x, err := ParseDelete(b); err == nil && !bytes.Equal(x.Append(nil), b) {
			t.Fatalf("%+v from %x", x, b)
		}
	})
}

// A whole datagram of nothing but payloads, and one of a single big one, are read in far less than a millisecond.
func BenchmarkChain64K(b *testing.B) {
	big := AppendPayload(nil, NoPayload, make([]byte, 65000))
	small := bytes.Repeat([]byte{11, 0, 0, 4}, 16000)
	for b.Loop() {
		if _, err := ChainLen(PayloadN, big); err != nil {
			b.Fatal(err)
		}
		if _, err := ChainLen(PayloadN, small); err == nil {
			b.Fatal("16000 payloads pass")
		}
	}
}
