package isakmp

import (
	"bytes"
	"testing"
)

// message300 is the bodies of datagrams of about 300 octets: message 1 with seven transforms, message 3, and an Informational one.
func message300() (sa []byte, rest [][]byte) {
	attrs := AppendAttrUint32(AppendAttrBasic(AppendAttrBasic(AppendAttrBasic(AppendAttrBasic(nil, 1, 7), 14, 256), 2, 4), 4, 14), 12, 86400)
	p := Proposal{Number: 1, Protocol: ProtocolISAKMP}
	for i := range uint8(7) {
		p.Transforms = append(p.Transforms, Transform{Number: i + 1, ID: KeyIKE, Attrs: attrs})
	}
	sa = SA{DOI: DOIGDOI, Proposals: []Proposal{p}}.Append(nil)
	ke := AppendPayload(AppendPayload(nil, PayloadNONCE, make([]byte, 232)), NoPayload, make([]byte, 32))
	n := Notify{DOI: DOIIPsec, Protocol: 1, Type: RUThere, SPI: make([]byte, 16), Data: make([]byte, 220)}.Append(nil)
	return sa, [][]byte{ke, n}
}

// BenchmarkParse300 reads each of the kinds of message of 300 octets; BenchmarkBuild300 writes one of as many.
func BenchmarkParse300(b *testing.B) {
	sa, rest := message300()
	header := AppendHeader(nil, Header{Next: PayloadSA, Exchange: ExchangeMain, Length: HeaderLen})
	for name, f := range map[string]func() error{
		"SA":    func() error { _, err := ParseSA(sa); return err },
		"chain": func() error { _, err := ChainLen(PayloadKE, rest[0]); return err },
		"N":     func() error { _, err := ParseNotify(rest[1]); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseHeader(header); err != nil {
					b.Fatal(err)
				}
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBuild300(b *testing.B) {
	sa, _ := message300()
	parsed, err := ParseSA(sa)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		msg := AppendHeader(buf, Header{Next: PayloadSA, Exchange: ExchangeMain})
		msg, at := OpenPayload(msg, NoPayload)
		msg = ClosePayload(parsed.Append(msg), at)
		SetLength(msg)
	}
}

// What a peer chooses makes no decoder allocate: not lengths, not counts. Where something is kept for each of a counted thing, the
// octets received and the limits bound it.
func TestAllocations(t *testing.T) {
	sa, rest := message300()
	lying := bytes.Clone(sa)
	lying[15] = 64 // transforms announced, in 300 octets
	for name, c := range map[string]struct {
		most float64
		f    func()
	}{
		"attributes": {0, func() {
			for rest := bytes2000; len(rest) > 0; {
				_, rest, _ = NextAttr(rest)
			}
		}},
		"SA":            {5, func() { _, _ = ParseSA(sa) }},
		"SA that lies":  {9, func() { _, _ = ParseSA(lying) }},
		"chain":         {0, func() { _, _ = ChainLen(PayloadKE, rest[0]) }},
		"notification":  {1, func() { _, _ = ParseNotify(rest[1]) }},
		"broken chain":  {4, func() { _, _ = ChainLen(PayloadKE, rest[0][:100]) }},
		"64 KiB of SPI": {4, func() { _, _ = ParseDelete(bytes64K) }},
	} {
		if n := testing.AllocsPerRun(50, c.f); n > c.most {
			t.Errorf("%s: %v allocations, want at most %v", name, n, c.most)
		}
	}
}

var (
	bytes2000 = bytes.Repeat([]byte{0, 9, 0, 196, 199: 0}, 10)
	bytes64K  = append([]byte{0, 0, 0, 1, 1, 4, 0x3f, 0xff}, make([]byte, 4*0x3fff)...)
)
