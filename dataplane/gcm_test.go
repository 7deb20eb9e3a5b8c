package dataplane

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gvpn/commit/step"
	"gvpn/sa"
	"gvpn/turn"
)

var (
	anySender = turn.SenderID{Value: 0xabcd, Bits: 16}
	noSender  turn.SenderID
)

func gcmTEK(spi uint32) sa.TEK {
	t := testTEK(spi)
	t.Cipher, t.KeyBits, t.Key, t.AuthKey = sa.GCM, 128, octets(int(spi), 16+4), nil
	return t
}

func gcmPlane(t *testing.T, sender turn.SenderID, teks ...sa.TEK) *Plane {
	t.Helper()
	p := New(&counter{})
	p.SetVPN(step.VPN{Name: "v"})
	var senders []turn.SenderID
	if sender != noSender {
		senders = append(senders, sender)
	}
	for _, tek := range teks {
		if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: tek, Senders: senders}); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// sealGCM builds an ESP packet by the letter of RFC 4106 and NIST SP 800-38D out of single AES blocks.
func sealGCM(outer []byte, t sa.TEK, seq uint32, iv uint64, inner, trailer []byte) []byte {
	block, err := aes.NewCipher(t.Key[:t.KeyBits/8])
	if err != nil {
		panic(err)
	}
	esp := binary.BigEndian.AppendUint32(nil, t.SPI)
	esp = binary.BigEndian.AppendUint32(esp, seq)
	aad := slices.Clone(esp)
	esp = binary.BigEndian.AppendUint64(esp, iv)
	nonce := binary.BigEndian.AppendUint64(slices.Clone(t.Key[t.KeyBits/8:]), iv)
	stream := func(n uint32) (out [16]byte) {
		block.Encrypt(out[:], binary.BigEndian.AppendUint32(slices.Clone(nonce), n))
		return out
	}
	plain := slices.Concat(inner, trailer)
	sealed := make([]byte, len(plain))
	for i := range plain {
		k := stream(uint32(2 + i/16))
		sealed[i] = plain[i] ^ k[i%16]
	}
	var h, y [16]byte
	block.Encrypt(h[:], h[:])
	hash := func(b []byte) {
		for ; len(b) > 0; b = b[min(16, len(b)):] {
			for i := range min(16, len(b)) {
				y[i] ^= b[i]
			}
			y = multiply(y, h)
		}
	}
	hash(aad)
	hash(sealed)
	hash(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(8*len(aad))), uint64(8*len(sealed))))
	for i, k := range stream(1) {
		y[i] ^= k
	}
	out := slices.Concat(outer, esp, sealed, y[:])
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)))
	fixSum(out)
	return out
}

// multiply is the product in GCM's field, bit by bit (SP 800-38D section 6.3).
func multiply(x, y [16]byte) (z [16]byte) {
	v := y
	for i := range 128 {
		if x[i/8]>>(7-i%8)&1 == 1 {
			for j := range z {
				z[j] ^= v[j]
			}
		}
		odd := v[15]&1 == 1
		for j := 15; j > 0; j-- {
			v[j] = v[j]>>1 | v[j-1]<<7
		}
		v[0] >>= 1
		if odd {
			v[0] ^= 0xe1
		}
	}
	return z
}

// The bit-by-bit code above is right: test case 4 of the GCM specification (McGrew and Viega), in its parts that an ESP packet has.
func TestByHandGCM(t *testing.T) {
	// H and H², from AES-128 of zeros under key zero: GHASH of test case 2.
	h := [16]byte(unhex(t, "66e94bd4ef8a2c3b884cfa59ca342b2e"))
	c := [16]byte(unhex(t, "0388dace60b6a392f328c2b971b2fe78"))
	y := multiply(c, h)
	for i, o := range unhex(t, "00000000000000000000000000000080") {
		y[i] ^= o
	}
	if y = multiply(y, h); !bytes.Equal(y[:], unhex(t, "f38cbb1ad69223dcc3457ae5b6b0f885")) {
		t.Errorf("GHASH %x", y)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// "The AES-GCM-ESP IV field MUST be eight octets"; the nonce is salt and IV, the additional data SPI and sequence number (RFC
// 4106 sections 3.1, 4 and 5). The IV begins with the sender ID (RFC 6054 section 4).
func TestGCMByTheLetter(t *testing.T) {
	for _, bits := range []int{128, 192, 256} {
		tek := gcmTEK(0x100)
		tek.KeyBits, tek.Key = bits, octets(7, bits/8+4)
		p := gcmPlane(t, anySender, tek)
		for n, payload := range []int{8, 9, 10, 11, 1000} {
			in := hello
			in.payload = payload
			inner := in.build()
			wire, v := p.Outbound(start, inner, nil)
			if v != Encrypted {
				t.Fatal(v)
			}
			trailer := []byte{1, 2, 3}[:(4-(len(inner)+2)%4)%4]
			trailer = append(slices.Clone(trailer), byte(len(trailer)), protoIPIP)
			want := sealGCM(slices.Clone(wire[:headerLen]), tek, uint32(n+1), 0xabcd<<48+uint64(n+1), inner, trailer)
			if !bytes.Equal(wire, want) {
				t.Fatalf("%d bits, %d octets:\n got %x\nwant %x", bits, payload, wire, want)
			}
			if back, v := gcmPlane(t, noSender, tek).Inbound(start, want, nil); v != Decrypted || !bytes.Equal(back, inner) {
				t.Errorf("%d bits: %v", bits, v)
			}
		}
	}
}

func TestGCMTamper(t *testing.T) {
	tek := gcmTEK(0x100)
	wire, _ := gcmPlane(t, anySender, tek).Outbound(start, hello.build(), nil)
	for i := headerLen + 4; i < len(wire); i++ {
		b := slices.Clone(wire)
		b[i] ^= 0x10
		if _, v := gcmPlane(t, anySender, tek).Inbound(start, b, nil); v != DropAuth {
			t.Fatalf("octet %d changed: %v", i, v)
		}
	}
}

// "A member never sends with GCM without its own SID": it receives, and drops what it would send by name.
func TestGCMWithoutSender(t *testing.T) {
	tek := gcmTEK(0x100)
	p := gcmPlane(t, noSender, tek)
	if _, v := p.Outbound(start, hello.build(), nil); v != DropExhausted {
		t.Errorf("sent without a sender ID: %v", v)
	}
	if !p.State(start).VPNs[0].TEKs[0].Exhausted {
		t.Error("not told in the state")
	}
	// Another TEK that can be sent with takes its place.
	other := testTEK(0x200)
	if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: other}); err != nil {
		t.Fatal(err)
	}
	if _, v := p.Outbound(start, hello.build(), nil); v != Encrypted {
		t.Errorf("with another TEK: %v", v)
	}
	for _, s := range []turn.SenderID{{Value: 256, Bits: 8}, {Value: 1, Bits: 33}, {Value: 1}} {
		if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: tek, Senders: []turn.SenderID{s}}); err == nil || !strings.Contains(err.Error(), "sender ID") {
			t.Errorf("sender %+v: %v", s, err)
		}
	}
}

// No nonce comes twice under one sender ID, whatever is removed and installed again, nor is one sent after the last.
func TestAttackGCMNonceReuse(t *testing.T) {
	seen := map[uint64]bool{}
	p := gcmPlane(t, anySender, gcmTEK(0x100))
	send := func() Verdict {
		wire, v := p.Outbound(start, hello.build(), nil)
		if v == Encrypted {
			iv := binary.BigEndian.Uint64(wire[headerLen+espLen:])
			if seen[iv] {
				t.Fatalf("IV %#x twice", iv)
			}
			seen[iv] = true
		}
		return v
	}
	for range 3 {
		send()
		p.RemoveTEK(turn.RemoveTEK{VPN: "v", SPI: 0x100})
		for _, s := range []turn.SenderID{{Value: 7, Bits: 16}, anySender} {
			if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: gcmTEK(0x100), Senders: []turn.SenderID{s}}); err != nil {
				t.Fatal(err)
			}
			send()
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d packets, want 9", len(seen))
	}
	p.vpns[0].nonces[anySender].last = 1<<48 - 2
	if v := send(); v != Encrypted {
		t.Errorf("the last nonce: %v", v)
	}
	if v := send(); v != DropExhausted {
		t.Errorf("after the last nonce: %v", v)
	}
}

// Of several sender IDs one is used after the other, over all TEKs; before the last is used up the VPN is named, once.
func TestGCMSendersInTurn(t *testing.T) {
	ids := []turn.SenderID{{Value: 5, Bits: 32}, {Value: 9, Bits: 32}}
	p := gcmPlane(t, noSender)
	install := func(spi uint32, ids ...turn.SenderID) {
		t.Helper()
		if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: gcmTEK(spi), Senders: ids}); err != nil {
			t.Fatal(err)
		}
	}
	send := func() string {
		wire, v := p.Outbound(start, hello.build(), nil)
		if v != Encrypted {
			return v.String()
		}
		iv := binary.BigEndian.Uint64(wire[headerLen+espLen:])
		return fmt.Sprintf("%d/%x %q", iv>>32, uint32(iv), p.Low())
	}
	want := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			if got := send(); got != text {
				t.Errorf("%s, want %s", got, text)
			}
		}
	}
	install(0x100, ids...)
	want(`5/1 []`)
	p.vpns[0].nonces[ids[0]].last = 1<<32 - 1 - 1<<28 - 1 // not the last ID: nobody needs to know
	want(`5/efffffff []`, `5/f0000000 []`)
	install(0x200, ids...)
	p.vpns[0].nonces[ids[0]].last = 1<<32 - 2
	want(`5/ffffffff []`, `9/1 []`)
	p.vpns[0].nonces[ids[1]].last = 1<<32 - 1 - 1<<28 - 1
	want(`9/efffffff ["v"]`, `9/f0000000 []`)
	p.vpns[0].nonces[ids[1]].last = 1<<32 - 2
	want(`9/ffffffff []`, `sequence-exhausted`)
	install(0x200, ids[0]) // an old one comes back: it stays used up
	want(`sequence-exhausted`)
	install(0x200, turn.SenderID{Value: 10, Bits: 32})
	want(`10/1 []`)
}

func TestGCMNoAllocation(t *testing.T) {
	tek := gcmTEK(0x100)
	a, b := gcmPlane(t, anySender, tek), gcmPlane(t, noSender, tek)
	inner := packet{src: "10.1.0.1", dst: "10.2.0.1", payload: 1372}.build()
	wire, back := make([]byte, 0, 2048), make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(200, func() {
		w, v := a.Outbound(start, inner, wire)
		if _, u := b.Inbound(start, w, back); v != Encrypted || u != Decrypted {
			t.Fatal(v, u)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a packet's way", n)
	}
}
