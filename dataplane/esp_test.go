package dataplane

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gvpn/commit/step"
	"gvpn/sa"
	"gvpn/turn"
)

var hello = packet{src: "10.1.0.1", dst: "10.2.0.1", sport: 1000, dport: 2000, payload: 8, tos: 0xb9, ttl: 17, flags: flagDF}

func TestESPKnownAnswer(t *testing.T) {
	// The ciphertext and the ICV were also computed with openssl(1): enc -aes-256-cbc -nopad, dgst -mac HMAC -sha256.
	want, err := hex.DecodeString(strings.Join([]string{
		"45b9",                 // version 4, five words; TOS is the original's, ECN too
		"006c",                 // 108 octets
		"0000",                 // identification
		"0000",                 // DF cleared, no fragment
		"1132",                 // TTL is the original's; ESP
		"94a3",                 // checksum
		"0a010001", "0a020001", // the original's addresses
		"00000100",                         // SPI
		"00000001",                         // the first number
		"000102030405060708090a0b0c0d0e0f", // IV
		knownCipher,
		knownICV,
	}, ""))
	if err != nil {
		t.Fatal(err)
	}
	tek := testTEK(0x100)
	inner := hello.build()
	p := newPlane(tek)
	got, v := p.Outbound(start, inner, []byte("before"))
	if v != Encrypted || !bytes.Equal(got, append([]byte("before"), want...)) {
		t.Errorf("%v\n got %x\nwant %x", v, got, want)
	}
	same := seal(got[6:26], tek, 1, octets(0, 16), inner, trailer(len(inner), protoIPIP))
	if !bytes.Equal(same, want) {
		t.Errorf("by hand:\n got %x\nwant %x", same, want)
	}
	back, v := newPlane(tek).Inbound(start, want, nil)
	if v != Decrypted || !bytes.Equal(back, inner) {
		t.Errorf("Inbound: %v\n got %x\nwant %x", v, back, inner)
	}
	s := p.State(start)
	if s.Stats.ESPEncryptedPackets != 1 || s.Stats.ESPEncryptedBytes != 108 || s.VPNs[0].TEKs[0].Sequence != 1 {
		t.Errorf("state %+v", s)
	}
}

const (
	knownCipher = "9f7ce332159862f872099b2b653566877f95f59242c60f98a26c21bd0f50093d" +
		"579e9e9de562c32d4f808b1259b811b7"
	knownICV = "8690181768e07e835a1af01c40041272"
)

// Whatever octet of the packet is changed on its way: it is not delivered. The outer header's TOS, identification, the bit that is
// reserved, DF bit and TTL may change on the way and are no part of what is protected; the rest is caught by a check of its own.
func TestTamperEveryOctet(t *testing.T) {
	tek := testTEK(0x100)
	inner := hello.build()
	wire, _ := newPlane(tek).Outbound(start, inner, nil)
	for i := range wire {
		for bit := range 8 {
			b := slices.Clone(wire)
			b[i] ^= 1 << bit
			for _, summed := range []bool{false, true} {
				if summed && i < headerLen && b[0]&15 == 5 {
					fixSum(b) // an attacker can
				}
				got, v := newPlane(tek).Inbound(start, b, nil)
				if v.Passed() || len(got) != 0 {
					mutable := i == 1 || i == 4 || i == 5 || i == 6 && bit >= 6 || i == 8 || i == 10 || i == 11
					if !mutable {
						t.Fatalf("octet %d, bit %d changed: %v", i, bit, v)
					}
					want := slices.Clone(inner)
					if b[1]&3 == 3 {
						want[1] |= 3 // congestion on the way is told, see TestECN
						fixSum(want)
					}
					if !bytes.Equal(got, want) {
						t.Fatalf("octet %d, bit %d changed: delivered %x", i, bit, got)
					}
				}
				if v == Decrypted {
					continue
				}
				want := DropAuth
				switch {
				case i < headerLen:
					want = v // header checks differ; passed above is what matters
				case i < headerLen+4:
					want = DropSPI
				}
				if v != want {
					t.Fatalf("octet %d, bit %d changed: %v, want %v", i, bit, v, want)
				}
			}
		}
	}
	for n := range wire {
		b := slices.Clone(wire[:n])
		if _, v := newPlane(tek).Inbound(start, b, nil); v != DropMalformed {
			t.Fatalf("cut after %d octets: %v", n, v)
		}
		if n < headerLen {
			continue
		}
		binary.BigEndian.PutUint16(b[2:], uint16(n))
		if _, v := newPlane(tek).Inbound(start, fixSum(b), nil); v != DropShort && v != DropAuth {
			t.Fatalf("made %d octets long: %v", n, v)
		}
	}
}

func TestInboundRefuses(t *testing.T) {
	tek := testTEK(0x100, "10.1.0.0/16", "10.2.0.0/16")
	tek.Policies[0].Protocol, tek.Policies[0].DestinationPort = protoUDP, 2000
	iv := octets(0x50, 16)
	inner := hello.build()
	whole := trailer(len(inner), protoIPIP)
	change := func(at int, v byte) []byte {
		b := slices.Clone(inner)
		b[at] = v
		return fixSum(b)
	}
	other := hello
	other.dport = 2001
	tcp := hello
	tcp.protocol = protoTCP
	fragment := hello
	fragment.flags = 8
	tfc := append(slices.Clone(inner), make([]byte, 64)...)
	foreign := tek.Clone()
	foreign.AuthKey = octets(0, 32)
	badSum := slices.Clone(inner)
	badSum[8]--
	from := func(src, dst string) []byte {
		p := hello
		p.src, p.dst = src, dst
		return outer(p)
	}
	cut := hello
	cut.protocol, cut.flags = protoESP, flagMF
	for _, c := range []struct {
		name string
		wire []byte
		want Verdict
	}{
		{"as it should be", seal(outer(hello), tek, 1, iv, inner, whole), Decrypted},
		{"the same number again: many members send, none counts", seal(outer(hello), tek, 1, iv, inner, whole), Decrypted},
		{"number 0", seal(outer(hello), tek, 0, iv, inner, whole), Decrypted},
		{"hidden length (TFC padding)", seal(outer(hello), tek, 2, iv, tfc, trailer(len(tfc), protoIPIP)), Decrypted},
		{"options in the outer header", seal(outer(packet{src: "10.1.0.1", dst: "10.2.0.1", options: 2}), tek, 3, iv, inner, whole), Decrypted},
		{"sealed with another key", seal(outer(hello), foreign, 1, iv, inner, whole), DropAuth},
		{"another SPI", seal(outer(hello), testTEK(0x101), 1, iv, inner, whole), DropSPI},
		{"pad octets that do not count", seal(outer(hello), tek, 1, iv, inner, append(make([]byte, len(whole)-2), byte(len(whole)-2), protoIPIP)), DropTrailer},
		{"more padding than packet", seal(outer(hello), tek, 1, iv, inner, append(slices.Clone(whole[:len(whole)-2]), 255, protoIPIP)), DropTrailer},
		{"an IPv6 packet inside", seal(outer(hello), tek, 1, iv, inner, trailer(len(inner), protoIPv6)), DropIPv6},
		{"transport mode", seal(outer(hello), tek, 1, iv, inner, trailer(len(inner), protoUDP)), DropTrailer},
		{"a dummy packet", seal(outer(hello), tek, 1, iv, make([]byte, 30), trailer(30, protoNone)), DropDummy},
		{"IP version 5 inside", seal(outer(hello), tek, 1, iv, change(0, 0x55), whole), DropInner},
		{"version 6 inside, IPv4 it says", seal(outer(hello), tek, 1, iv, change(0, 0x65), whole), DropInner},
		{"inner checksum", seal(outer(hello), tek, 1, iv, badSum, whole), DropInner},
		{"an inner length beyond the packet", seal(outer(hello), tek, 1, iv, change(2, 1), whole), DropInner},
		{"nothing inside", seal(outer(hello), tek, 1, iv, nil, trailer(0, protoIPIP)), DropInner},
		{"outer source changed", seal(from("10.1.0.2", "10.2.0.1"), tek, 1, iv, inner, whole), DropSelector},
		{"outer destination changed", seal(from("10.1.0.1", "10.2.0.2"), tek, 1, iv, inner, whole), DropSelector},
		{"another port than the policy's", seal(outer(hello), tek, 1, iv, other.build(), trailer(len(inner), protoIPIP)), DropSelector},
		{"another protocol than the policy's", seal(outer(hello), tek, 1, iv, tcp.build(), trailer(len(inner), protoIPIP)), DropSelector},
		{"a later fragment, the policy has ports", seal(outer(hello), tek, 1, iv, fragment.build(), trailer(len(inner), protoIPIP)), DropSelector},
		{"against the policy's direction", seal(from("10.2.0.1", "10.1.0.1"), tek, 1, iv, packet{src: "10.2.0.1", dst: "10.1.0.1", dport: 2000, payload: 8}.build(), whole), DropSelector},
		{"a fragment of ESP", seal(cut.build()[:headerLen], tek, 1, iv, inner, whole), DropFragment},
		{"a piece of a block", seal(outer(hello), tek, 1, iv, inner, append(slices.Clone(whole), 1)), DropShort},
		{"no block at all", seal(outer(hello), tek, 1, iv, nil, nil), DropShort},
		{"an ESP header cut short", packet{src: "10.1.0.1", dst: "10.2.0.1", protocol: protoESP, payload: 7}.build(), DropShort},
		{"an IPv6 packet", append([]byte{0x60}, make([]byte, 60)...), DropIPv6},
		{"nothing", nil, DropMalformed},
	} {
		p := newPlane(tek)
		got, v := p.Inbound(start, c.wire, []byte("x"))
		if v != c.want {
			t.Errorf("%s: %v, want %v", c.name, v, c.want)
		}
		if want := "x"; v.Passed() {
			if !bytes.Equal(got[1:], inner) {
				t.Errorf("%s: delivered %x", c.name, got)
			}
		} else if string(got) != want {
			t.Errorf("%s: dropped, but gave back %x", c.name, got)
		}
		passed := p.stats.ESPDecryptedPackets
		drops := p.stats.ESPAuthenticationFailures + p.stats.ESPDecryptionFailures + p.stats.BadHeaders + p.stats.BadTrailers +
			p.stats.InvalidSPI + p.stats.TSCheckFail + p.stats.Discards
		if passed+drops != 1 || (passed == 1) != v.Passed() {
			t.Errorf("%s: counted %d passed, %d dropped", c.name, passed, drops)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	// Any packet that a policy has comes out at another member as it went in, and no block of it is seen on the way.
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SampledFrom([]int{128, 192, 256}).Draw(t, "bits")
		tek := testTEK(0x100, "0.0.0.0/0", "0.0.0.0/0")
		tek.KeyBits, tek.Key = bits, tek.Key[:bits/8]
		inner := packet{
			src: "10.1.0.1", dst: "224.1.2.3", protocol: rapid.Byte().Draw(t, "protocol"), payload: rapid.IntRange(0, 1500).Draw(t, "payload"),
			tos: rapid.Byte().Draw(t, "tos"), ttl: rapid.Byte().Draw(t, "ttl"), flags: rapid.Uint16().Draw(t, "flags") & 0x7fff, options: rapid.IntRange(0, 10).Draw(t, "options"),
			sport: rapid.Uint16().Draw(t, "sport"), dport: rapid.Uint16().Draw(t, "dport"),
		}.build()
		extra := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "link padding")
		wire, v := newPlane(tek).Outbound(start, append(slices.Clone(inner), extra...), nil)
		if v != Encrypted {
			t.Fatal(v)
		}
		if checksum(wire[:headerLen]) != 0 || int(binary.BigEndian.Uint16(wire[2:])) != len(wire) || len(wire)%4 != 0 {
			t.Fatalf("outer header %x of %d octets", wire[:headerLen], len(wire))
		}
		if !bytes.Equal(wire[12:20], inner[12:20]) || wire[1] != inner[1] || wire[8] != inner[8] {
			t.Fatalf("outer header %x for %x", wire[:headerLen], inner[:headerLen])
		}
		for i := 0; i+16 <= len(inner); i++ {
			if bytes.Contains(wire, inner[i:i+16]) {
				t.Fatalf("the wire shows octets %d on of the packet", i)
			}
		}
		got, v := newPlane(tek).Inbound(start, append(slices.Clone(wire), extra...), nil)
		if v != Decrypted || !bytes.Equal(got, inner) {
			t.Fatalf("%v: got %x, want %x", v, got, inner)
		}
	})
}

func TestDFBit(t *testing.T) {
	for _, c := range []struct {
		df        string
		inner     uint16
		want      uint16
		otherwise string
	}{
		{"", flagDF, 0, ""},
		{"clear", flagDF, 0, ""},
		{"set", 0, flagDF, ""},
		{"copy", flagDF, flagDF, ""},
		{"copy", 0, 0, ""},
		{"copy", flagDF | flagMF, flagDF, "the inner packet is a fragment, the outer one is not"},
		{"clear", 100, 0, "so here"},
	} {
		p := newPlane(testTEK(0x100))
		p.SetVPN(step.VPN{Name: "v", DFBit: c.df})
		inner := hello
		inner.flags = c.inner
		wire, v := p.Outbound(start, inner.build(), nil)
		if v != Encrypted {
			t.Fatal(v)
		}
		if got := binary.BigEndian.Uint16(wire[6:]); got != c.want {
			t.Errorf("df-bit %q, inner flags %#04x: outer flags %#04x, want %#04x %s", c.df, c.inner, got, c.want, c.otherwise)
		}
	}
}

func TestECN(t *testing.T) {
	for _, c := range []struct{ inner, outer, want uint8 }{
		{0xb8, 0xbb, 0xb8}, // not ECT: congestion cannot be told
		{0xb9, 0xb8, 0xb9}, // what else changes outside stays outside
		{0xb9, 0xbb, 0xbb}, // ECT(1), congestion
		{0xba, 0x03, 0xbb}, // ECT(0), congestion; DSCP stays inside
		{0xbb, 0xb8, 0xbb},
	} {
		inner := hello
		inner.tos = c.inner
		wire, _ := newPlane(testTEK(0x100)).Outbound(start, inner.build(), nil)
		wire[1] = c.outer
		got, v := newPlane(testTEK(0x100)).Inbound(start, fixSum(wire), nil)
		inner.tos = c.want
		if v != Decrypted || !bytes.Equal(got, inner.build()) {
			t.Errorf("inner %#02x, outer %#02x: %v, TOS %#02x, want %#02x", c.inner, c.outer, v, got[1], c.want)
		}
	}
}

func TestIVs(t *testing.T) {
	p := newPlane(testTEK(0x100))
	seen := map[string]bool{}
	for i := range 14 { // the counter comes round after 256 octets; within them no IV may come twice
		wire, v := p.Outbound(start, hello.build(), nil)
		if v != Encrypted {
			t.Fatal(v)
		}
		iv := string(wire[headerLen+espLen : headerLen+espLen+ivLen])
		if seen[iv] {
			t.Fatalf("IV of packet %d was used before", i+1)
		}
		seen[iv] = true
		if seq := binary.BigEndian.Uint32(wire[headerLen+4:]); seq != uint32(i+1) {
			t.Fatalf("packet %d has number %d", i+1, seq)
		}
	}
	if p.pool[0] != 0 || !bytes.Equal(p.pool[:14*ivLen], make([]byte, 14*ivLen)) {
		t.Error("used octets of the pool are still there")
	}
}

type dry struct{}

func (dry) Read([]byte) (int, error) { return 0, errors.New("dry") }

func TestNoRandomness(t *testing.T) {
	p := New(dry{})
	p.SetVPN(step.VPN{Name: "v", FailOpen: []step.Rule{{Name: "all"}}})
	if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: testTEK(0x100)}); err != nil {
		t.Fatal(err)
	}
	if got, v := p.Outbound(start, hello.build(), nil); v != DropNoRandom || len(got) != 0 {
		t.Errorf("%v, %x", v, got)
	}
	if p.State(start).VPNs[0].TEKs[0].Sequence != 0 {
		t.Error("a number was spent")
	}
}

func TestTooBig(t *testing.T) {
	// 20 + 8 + 16 + 65456 + 16 = 65516 fit; the next whole block does not.
	for _, c := range []struct {
		size int
		want Verdict
	}{{65454, Encrypted}, {65470, Encrypted}, {65471, DropTooBig}, {65535, DropTooBig}} {
		p := newPlane(testTEK(0x100))
		inner := packet{src: "10.1.0.1", dst: "10.2.0.1", protocol: 200, payload: c.size - 20}.build()
		if _, v := p.Outbound(start, inner, nil); v != c.want {
			t.Errorf("%d octets: %v, want %v", c.size, v, c.want)
		}
		if got := p.State(start).Stats.ExceedsTunnelMTU; (got == 1) != (c.want == DropTooBig) {
			t.Errorf("%d octets: counted %d", c.size, got)
		}
	}
}

func TestSequenceNumbersEnd(t *testing.T) {
	tek := testTEK(0x100)
	p := newPlane(tek)
	p.SetVPN(step.VPN{Name: "v", FailOpen: []step.Rule{{Name: "all"}}})
	p.vpns[0].teks[0].seq = 1<<32 - 2
	wire, v := p.Outbound(start, hello.build(), nil)
	if v != Encrypted || binary.BigEndian.Uint32(wire[headerLen+4:]) != 1<<32-1 {
		t.Fatalf("the last number: %v", v)
	}
	// "…the counter MUST NOT cycle" (RFC 4303 section 3.3.3); nor does the packet go out by the fail-open rule.
	for range 3 {
		if _, v := p.Outbound(start, hello.build(), nil); v != DropExhausted {
			t.Fatalf("after the last number: %v", v)
		}
	}
	if s := p.State(start).VPNs[0].TEKs[0]; !s.Exhausted {
		t.Error("the state does not say so")
	}
	// The same TEK again changes nothing.
	if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: tek}); err != nil {
		t.Fatal(err)
	}
	if _, v := p.Outbound(start, hello.build(), nil); v != DropExhausted {
		t.Fatalf("after the same TEK was installed again: %v", v)
	}
	// It is received with still, and another TEK sends.
	if _, v := p.Inbound(start, wire, nil); v != Decrypted {
		t.Errorf("receiving: %v", v)
	}
	if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: testTEK(0x200)}); err != nil {
		t.Fatal(err)
	}
	if wire, v = p.Outbound(start, hello.build(), nil); v != Encrypted || binary.BigEndian.Uint32(wire[headerLen:]) != 0x200 {
		t.Errorf("with another TEK: %v", v)
	}
	// Other keys under the same SPI count from the start.
	tek.Key = octets(9, 32)
	if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: tek}); err != nil {
		t.Fatal(err)
	}
	if s := p.State(start).VPNs[0].TEKs; s[1].SPI != 0x100 || s[1].Sequence != 0 {
		t.Errorf("with other keys: %+v", s)
	}
}

// No octet is allocated per packet once the buffers are there.
func TestNoAllocation(t *testing.T) {
	tek := testTEK(0x100)
	a, b := newPlane(tek), newPlane(tek)
	for _, p := range []*Plane{a, b} {
		p.SetVPN(step.VPN{Name: "v", Exclude: []step.Rule{{Name: "r", Application: "junos-bgp"}}, FailOpen: []step.Rule{{Name: "all", Application: "junos-ssh"}}})
	}
	inner := packet{src: "10.1.0.1", dst: "10.2.0.1", payload: 1372}.build()
	stranger := packet{src: "192.0.2.1", dst: "10.2.0.1", payload: 1372}.build()
	wire, back := make([]byte, 0, 2048), make([]byte, 0, 2048)
	n := testing.AllocsPerRun(200, func() {
		w, v := a.Outbound(start, inner, wire)
		if _, u := b.Inbound(start, w, back); v != Encrypted || u != Decrypted {
			t.Fatal(v, u)
		}
		if _, v := a.Outbound(start, stranger, wire); v != DropFailClose {
			t.Fatal(v)
		}
		w[len(w)-1] ^= 1
		if _, v := b.Inbound(start, w, back); v != DropAuth {
			t.Fatal(v)
		}
		if _, v := b.Inbound(start, inner, back); v != DropClear {
			t.Fatal(v)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a packet's way and four more", n)
	}
}

// A TEK's memory is the Plane's own, and is zeroed when it goes.
func TestAttackKeyHygiene(t *testing.T) {
	tek := testTEK(0x100)
	p := newPlane(tek)
	held := p.vpns[0].teks[0].sa
	tek.Zero()
	if wire, v := p.Outbound(start, hello.build(), nil); v != Encrypted {
		t.Fatal(v)
	} else if _, v := newPlane(testTEK(0x100)).Inbound(start, wire, nil); v != Decrypted {
		t.Fatalf("the Plane's keys changed with the caller's: %v", v)
	}
	for name, remove := range map[string]func(){
		"RemoveTEK": func() { p.RemoveTEK(turn.RemoveTEK{VPN: "v", SPI: 0x100}) },
		"RemoveVPN": func() { p.RemoveVPN("v") },
		"replacing": func() {
			if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: testTEK(0x100)}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		p = newPlane(testTEK(0x100))
		held = p.vpns[0].teks[0].sa
		remove()
		if !held.Key.Equal(make(sa.Secret, 32)) || !held.AuthKey.Equal(make(sa.Secret, 32)) {
			t.Errorf("%s left the keys", name)
		}
	}
}

func TestTEKLifetimes(t *testing.T) {
	at := func(d time.Duration) time.Time { return start.Add(d) }
	first, second := testTEK(0x100), testTEK(0x200)
	first.Hard = at(60 * time.Second)
	second.Activate, second.Hard = at(10*time.Second), at(time.Hour)
	p := newPlane(first)
	other := newPlane(first)
	spi := func(now time.Time) uint32 {
		t.Helper()
		wire, v := p.Outbound(now, hello.build(), nil)
		if v != Encrypted {
			return 0
		}
		if _, v := other.Inbound(now, wire, nil); v != Decrypted {
			t.Fatalf("%v after the start: sent, received as %v", now.Sub(start), v)
		}
		return binary.BigEndian.Uint32(wire[headerLen:])
	}
	want := func(d time.Duration, want uint32) {
		t.Helper()
		if got := spi(at(d)); got != want {
			t.Errorf("%v after the start: sent with %#x, want %#x", d, got, want)
		}
	}
	want(0, 0x100)
	for _, q := range []*Plane{p, other} {
		if err := q.InstallTEK(turn.InstallTEK{VPN: "v", TEK: second}); err != nil {
			t.Fatal(err)
		}
	}
	// The new one is received with at once and sent with after its delay.
	fast := newPlane(second)
	wire, v := fast.Outbound(at(time.Second), hello.build(), nil)
	if v != Encrypted {
		t.Fatalf("a new TEK without an older one: %v", v)
	}
	if _, v := p.Inbound(at(time.Second), wire, nil); v != Decrypted {
		t.Errorf("receiving with a TEK that waits for its activation: %v", v)
	}
	want(9999*time.Millisecond, 0x100)
	want(10*time.Second, 0x200)
	old, _ := newPlane(first).Outbound(at(0), hello.build(), nil)
	if _, v := p.Inbound(at(59*time.Second), old, nil); v != Decrypted {
		t.Errorf("the old TEK before its hard lifetime: %v", v)
	}
	if _, v := p.Inbound(at(60*time.Second), old, nil); v != DropExpired {
		t.Errorf("the old TEK at its hard lifetime: %v", v)
	}
	want(59*time.Minute+59*time.Second, 0x200)
	want(time.Hour, 0)
	// If the second one is taken back before it was active, the first goes on.
	p = newPlane(first, second)
	p.RemoveTEK(turn.RemoveTEK{VPN: "v", SPI: 0x200})
	want(11*time.Second, 0x100)
	// Without any that is active, the one that will be first.
	third := testTEK(0x300)
	third.Activate = at(20 * time.Second)
	p = newPlane(third, second)
	other = newPlane(third, second)
	want(0, 0x200)
	// An older TEK that comes later, with an earlier activation, does not take over.
	late := testTEK(0x400)
	late.Activate = at(9 * time.Second)
	p, other = newPlane(second, late), newPlane(second, late)
	want(30*time.Second, 0x200)
	// Of two with one activation, the one installed last.
	late.Activate = second.Activate
	p, other = newPlane(second, late), newPlane(second, late)
	want(30*time.Second, 0x400)
}

func TestInstallTEKRefuses(t *testing.T) {
	p := newPlane()
	for _, c := range []struct {
		name string
		bad  func(*turn.InstallTEK)
		want string
	}{
		{"a VPN that is not there", func(i *turn.InstallTEK) { i.VPN = "w" }, `no vpn "w"`},
		{"a short key", func(i *turn.InstallTEK) { i.TEK.Key = i.TEK.Key[:31] }, "keys of 31 and 32 octets"},
		{"no authentication key", func(i *turn.InstallTEK) { i.TEK.AuthKey = nil }, "keys of 32 and 0 octets"},
		{"64 bits", func(i *turn.InstallTEK) { i.TEK.KeyBits, i.TEK.Key = 64, i.TEK.Key[:8] }, "keys of 8 and 32 octets for 64 bits"},
		{"no policy", func(i *turn.InstallTEK) { i.TEK.Policies = nil }, "no policy"},
		{"IPv6 policy", func(i *turn.InstallTEK) { i.TEK.Policies = testTEK(1, "::/0", "::/0").Policies }, "not IPv4"},
	} {
		i := turn.InstallTEK{VPN: "v", TEK: testTEK(0x100)}
		c.bad(&i)
		if err := p.InstallTEK(i); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for i := range maxTEKs {
		if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: testTEK(uint32(0x1000 + i))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: testTEK(0x100)}); err == nil {
		t.Error("one TEK too many was taken")
	}
	if err := p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: testTEK(0x1000)}); err != nil {
		t.Errorf("replacing at the limit: %v", err)
	}
	p.RemoveTEK(turn.RemoveTEK{VPN: "v", SPI: 0x9999})
	p.RemoveTEK(turn.RemoveTEK{VPN: "w", SPI: 0x1000})
	p.RemoveVPN("w")
	if got := len(p.State(start).VPNs[0].TEKs); got != maxTEKs {
		t.Errorf("%d TEKs, want %d", got, maxTEKs)
	}
}

// Two groups of two servers may meet in one SPI.
func TestOneSPITwoVPNs(t *testing.T) {
	a, b := testTEK(0x100, "10.0.0.0/8", "10.0.0.0/8"), testTEK(0x100, "172.16.0.0/12", "172.16.0.0/12")
	b.Key, b.AuthKey = octets(3, 32), octets(7, 32)
	make2 := func() *Plane {
		p := newPlane(a)
		p.SetVPN(step.VPN{Name: "another"})
		if err := p.InstallTEK(turn.InstallTEK{VPN: "another", TEK: b}); err != nil {
			t.Fatal(err)
		}
		return p
	}
	p, q := make2(), make2()
	for _, inner := range []packet{hello, {src: "172.16.0.1", dst: "172.17.0.1"}} {
		wire, v := p.Outbound(start, inner.build(), nil)
		if v != Encrypted {
			t.Fatal(v)
		}
		if got, v := q.Inbound(start, wire, nil); v != Decrypted || !bytes.Equal(got, inner.build()) {
			t.Errorf("%s to %s: %v", inner.src, inner.dst, v)
		}
	}
	q.RemoveTEK(turn.RemoveTEK{VPN: "v", SPI: 0x100})
	wire, _ := p.Outbound(start, hello.build(), nil)
	if _, v := q.Inbound(start, wire, nil); v != DropAuth {
		t.Errorf("under the keys of the other VPN: %v", v)
	}
	q.RemoveVPN("another")
	if _, v := q.Inbound(start, wire, nil); v != DropSPI || len(q.spis) != 0 {
		t.Errorf("after both are gone: %v, %d SPIs", v, len(q.spis))
	}
}

func FuzzInbound(f *testing.F) {
	tek := testTEK(0x100)
	wire, _ := newPlane(tek).Outbound(start, hello.build(), nil)
	f.Add(wire)
	f.Add(hello.build())
	f.Add(append([]byte{0x60}, make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPlane(tek)
		got, v := p.Inbound(start, b, nil)
		if v.Passed() && (v != Decrypted || !bytes.Equal(got, hello.build())) {
			t.Fatalf("%v: %x", v, got)
		}
		if !v.Passed() && len(got) != 0 {
			t.Fatalf("%v, but %x", v, got)
		}
	})
}

// FuzzInner goes behind the ICV: another member has the keys.
func FuzzInner(f *testing.F) {
	tek := testTEK(0x100)
	f.Add(append(hello.build(), trailer(len(hello.build()), protoIPIP)...))
	f.Add(make([]byte, 32))
	f.Fuzz(func(t *testing.T, plain []byte) {
		plain = plain[:min(len(plain), 4096)&^15]
		got, v := newPlane(tek).Inbound(start, seal(outer(hello), tek, 1, octets(0, 16), plain, nil), nil)
		if !v.Passed() {
			return
		}
		ip, bad := parseIPv4(got)
		if bad != NoVerdict || ip.length != len(got) || !bytes.HasPrefix(plain, got[:1]) {
			t.Fatalf("%v: %x", v, got)
		}
	})
}

func FuzzOutbound(f *testing.F) {
	tek := testTEK(0x100, "0.0.0.0/0", "0.0.0.0/0")
	f.Add(hello.build())
	f.Add(packet{src: "10.1.0.1", dst: "10.2.0.1", flags: flagMF | 5, options: 3}.build())
	f.Fuzz(func(t *testing.T, b []byte) {
		wire, v := newPlane(tek).Outbound(start, b, nil)
		if v != Encrypted {
			if len(wire) != 0 {
				t.Fatalf("%v, but %x", v, wire)
			}
			return
		}
		got, v := newPlane(tek).Inbound(start, wire, nil)
		if v != Decrypted || !bytes.HasPrefix(b, got) {
			t.Fatalf("%v: sent %x, got %x", v, b, got)
		}
	})
}
