package dataplane

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"

	"gvpn/commit/step"
	"gvpn/turn"
)

// benchPlane has 10 policies, of which the last fits, and rules that do not.
func benchPlane(b *testing.B) *Plane {
	b.Helper()
	p := New(rand.Reader)
	v := step.VPN{Name: "v", Exclude: []step.Rule{{Name: "r", Application: "junos-bgp"}}, FailOpen: []step.Rule{{Name: "f"}}}
	p.SetVPN(v)
	var prefixes []string
	for i := range 9 {
		prefixes = append(prefixes, fmt.Sprintf("192.168.%d.0/24", i), "192.168.0.0/16")
	}
	tek := testTEK(0x100, append(prefixes, "10.0.0.0/8", "10.0.0.0/8")...)
	if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: tek}); err != nil {
		b.Fatal(err)
	}
	return p
}

var sizes = []int{64, 1400}

func benchPacket(size int) []byte {
	return packet{src: "10.1.0.1", dst: "10.2.0.1", sport: 1000, dport: 2000, payload: size - 24}.build()
}

func BenchmarkOutbound(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p, packet, dst := benchPlane(b), benchPacket(size), make([]byte, 0, 2048)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, v := p.Outbound(start, packet, dst); v != Encrypted {
					b.Fatal(v)
				}
			}
		})
	}
}

func BenchmarkInbound(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p, dst := benchPlane(b), make([]byte, 0, 2048)
			wire, v := p.Outbound(start, benchPacket(size), nil)
			if v != Encrypted {
				b.Fatal(v)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, v := p.Inbound(start, wire, dst); v != Decrypted {
					b.Fatal(v)
				}
			}
		})
	}
}

// BenchmarkBare is what the same octets cost in crypto alone: the yardstick for the two above.
func BenchmarkBare(b *testing.B) {
	for _, decrypt := range []bool{false, true} {
		for _, size := range sizes {
			b.Run(fmt.Sprintf("%s/%d", map[bool]string{false: "encrypt", true: "decrypt"}[decrypt], size), func(b *testing.B) {
				sealed := (size + 2 + 15) &^ 15
				buf := make([]byte, espLen+ivLen+sealed)
				block, err := aes.NewCipher(octets(0, 32))
				if err != nil {
					b.Fatal(err)
				}
				mac := hmac.New(sha256.New, octets(0, 32))
				mode := cipher.NewCBCEncrypter(block, buf[:16])
				if decrypt {
					mode = cipher.NewCBCDecrypter(block, buf[:16])
				}
				var sum [32]byte
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					mode.CryptBlocks(buf[24:], buf[24:])
					mac.Reset()
					mac.Write(buf)
					mac.Sum(sum[:0])
				}
			})
		}
	}
}
