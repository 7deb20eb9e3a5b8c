package dataplane

import (
	"crypto/aes"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"gvpn/commit/step"
	"gvpn/sa"
	"gvpn/turn"
)

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// packet describes an IPv4 packet to build. The zero values of ttl and protocol are 64 and UDP.
type packet struct {
	src, dst     string
	protocol     uint8
	sport, dport uint16
	payload      int // octets behind the ports (or behind the header, for a protocol without)
	tos, ttl     uint8
	flags        uint16 // DF, MF, offset in 8 octets
	options      int    // words
}

func (p packet) build() []byte {
	if p.protocol == 0 {
		p.protocol = protoUDP
	}
	if p.ttl == 0 {
		p.ttl = 64
	}
	header := headerLen + 4*p.options
	b := make([]byte, header)
	b[0], b[1], b[8], b[9] = byte(0x40|header/4), p.tos, p.ttl, p.protocol
	binary.BigEndian.PutUint16(b[4:], 0x1234)
	binary.BigEndian.PutUint16(b[6:], p.flags)
	src, dst := netip.MustParseAddr(p.src).As4(), netip.MustParseAddr(p.dst).As4()
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	for i := range 4 * p.options {
		b[headerLen+i] = 1 // no operation
	}
	if p.protocol == protoUDP || p.protocol == protoTCP {
		b = binary.BigEndian.AppendUint16(b, p.sport)
		b = binary.BigEndian.AppendUint16(b, p.dport)
	}
	for i := range p.payload {
		b = append(b, byte(7+5*i))
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return fixSum(b)
}

// fixSum sets the header checksum right.
func fixSum(b []byte) []byte {
	n := int(b[0]&15) * 4
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], checksum(b[:n]))
	return b
}

// counter is a source of octets 0, 1, 2, …: no randomness, but the same in every run.
type counter struct{ n byte }

func (c *counter) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = c.n
		c.n++
	}
	return len(b), nil
}

func octets(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(from + i)
	}
	return b
}

// newPlane makes a Plane with the VPN "v" and the given TEKs.
func newPlane(teks ...sa.TEK) *Plane {
	p := New(&counter{})
	p.SetVPN(step.VPN{Name: "v"})
	for _, t := range teks {
		if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: t}); err != nil {
			panic(err)
		}
	}
	return p
}

// testTEK lives for an hour; its policies are pairs of prefixes.
func testTEK(spi uint32, prefixes ...string) sa.TEK {
	t := sa.TEK{SPI: spi, KeyBits: 256, Key: octets(int(spi), 32), AuthKey: octets(int(spi)+100, 32), Created: start, Hard: start.Add(time.Hour)}
	if len(prefixes) == 0 {
		prefixes = []string{"10.0.0.0/8", "10.0.0.0/8"}
	}
	for i := 0; i < len(prefixes); i += 2 {
		t.Policies = append(t.Policies, sa.Policy{Source: netip.MustParsePrefix(prefixes[i]), Destination: netip.MustParsePrefix(prefixes[i+1])})
	}
	return t
}

// seal builds an ESP packet by the letter of RFC 4303, RFC 3602 and RFC 4868 and with nothing of this package: CBC out of
// single AES blocks, HMAC out of SHA-256. outer is the outer header, trailer what stands behind inner before it is encrypted.
func seal(outer []byte, t sa.TEK, seq uint32, iv, inner, trailer []byte) []byte {
	block, err := aes.NewCipher(t.Key)
	if err != nil {
		panic(err)
	}
	esp := binary.BigEndian.AppendUint32(nil, t.SPI)
	esp = binary.BigEndian.AppendUint32(esp, seq)
	esp = append(esp, iv...)
	plain := append(append([]byte{}, inner...), trailer...)
	last := iv
	for ; len(plain) >= 16; plain = plain[16:] {
		var x, y [16]byte
		for i := range x {
			x[i] = plain[i] ^ last[i]
		}
		block.Encrypt(y[:], x[:])
		esp = append(esp, y[:]...)
		last = y[:]
	}
	esp = append(esp, plain...) // a piece of a block stays as it is
	inside, outside := make([]byte, 64), make([]byte, 64)
	copy(inside, t.AuthKey)
	copy(outside, t.AuthKey)
	for i := range inside {
		inside[i] ^= 0x36
		outside[i] ^= 0x5c
	}
	first := sha256.Sum256(append(inside, esp...))
	mac := sha256.Sum256(append(outside, first[:]...))
	esp = append(esp, mac[:16]...)
	b := append(append([]byte{}, outer...), esp...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return fixSum(b)
}

// trailer is padding, pad length and next header for an inner packet of n octets.
func trailer(n int, next byte) []byte {
	var b []byte
	for (n+len(b)+2)%16 != 0 {
		b = append(b, byte(len(b)+1))
	}
	return append(b, byte(len(b)), next)
}

// outer is an outer header for the packet.
func outer(p packet) []byte {
	p.protocol, p.payload = protoESP, 0
	return p.build()
}
