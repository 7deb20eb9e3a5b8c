package dataplane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gvpn/sa"
	"gvpn/turn"
)

const window = 100 * time.Millisecond

func timedTEK(spi uint32) sa.TEK {
	t := testTEK(spi)
	t.Window = window
	return t
}

// stampOf is a time stamp by the letter of the figure in d3p.go.
func stampOf(typ, next byte, length uint16, at int64) []byte {
	b := binary.BigEndian.AppendUint16([]byte{typ, next}, length)
	return binary.BigEndian.AppendUint64(b, uint64(at))
}

func TestTimeStampByTheLetter(t *testing.T) {
	inner := hello.build()
	plain := append(stampOf(1, 4, 12, start.UnixMilli()), inner...)
	tek := timedTEK(0x100)
	wire, v := newPlane(tek).Outbound(start, inner, nil)
	if want := seal(wire[:headerLen], tek, 1, octets(0, 16), plain, trailer(len(plain), 253)); v != Encrypted || !bytes.Equal(wire, want) {
		t.Errorf("AES-CBC: %v\n got %x\nwant %x", v, wire, want)
	}
	tek = gcmTEK(0x200)
	tek.Window = window
	wire, v = gcmPlane(t, anySender, tek).Outbound(start, inner, nil)
	if want := sealGCM(wire[:headerLen], tek, 1, 0xabcd<<48|1, plain, []byte{1, 2, 2, 253}); v != Encrypted || !bytes.Equal(wire, want) {
		t.Errorf("AES-GCM: %v\n got %x\nwant %x", v, wire, want)
	}
}

// A packet that was captured is dropped when its window is over. Until then it is taken: time is all that is checked.
func TestAttackPacketReplay(t *testing.T) {
	tek := timedTEK(0x100)
	inner := hello.build()
	wire, _ := newPlane(tek).Outbound(start.Add(999*time.Microsecond), inner, nil)
	for _, c := range []struct {
		clock time.Duration // of the receiver
		want  Verdict
	}{
		{0, Decrypted},
		{window, Decrypted},
		{window + 999*time.Microsecond, Decrypted}, // whole milliseconds count
		{window + time.Millisecond, DropTooOld},
		{time.Minute, DropTooOld},
		{-window, Decrypted},
		{-window - time.Microsecond, DropTooNew},
		{-time.Hour, DropTooNew},
	} {
		p := newPlane(tek)
		got, v := p.Inbound(start.Add(c.clock), wire, nil)
		if v != c.want || v.Passed() && !bytes.Equal(got, inner) {
			t.Errorf("received after %v: %v, %x, want %v", c.clock, v, got, c.want)
		}
		// A time stamp is no number: within the window a packet is taken as often as it comes.
		if _, again := p.Inbound(start.Add(c.clock), wire, nil); again != v {
			t.Errorf("received after %v a second time: %v, then %v", c.clock, v, again)
		}
	}
	// The longest and the shortest.
	for _, w := range []time.Duration{time.Millisecond, sa.MaxWindow} {
		tek.Window = w
		wire, _ := newPlane(tek).Outbound(start, inner, nil)
		if _, v := newPlane(tek).Inbound(start.Add(w), wire, nil); v != Decrypted {
			t.Errorf("%v after: %v", w, v)
		}
		if _, v := newPlane(tek).Inbound(start.Add(w+time.Millisecond), wire, nil); v != DropTooOld {
			t.Errorf("more than %v after: %v", w, v)
		}
	}
}

// Another member has the keys, and may say of the time what it likes: what cannot be is dropped and counted by kind.
func TestAttackPacketReplayForged(t *testing.T) {
	inner := hello.build()
	now := start.UnixMilli()
	stamped := func(stamp []byte) []byte { return append(stamp, inner...) }
	for _, c := range []struct {
		name  string
		tek   sa.TEK
		plain []byte
		next  byte
		want  Verdict
		count func(*D3PStats) *uint64 // nil: another counter
	}{
		{"as it should be", timedTEK(1 << 8), stamped(stampOf(1, 4, 12, now)), 253, Decrypted, nil},
		{"too old", timedTEK(1 << 8), stamped(stampOf(1, 4, 12, now-101)), 253, DropTooOld, func(d *D3PStats) *uint64 { return &d.TooOld }},
		{"of 1970", timedTEK(1 << 8), stamped(stampOf(1, 4, 12, 0)), 253, DropTooOld, func(d *D3PStats) *uint64 { return &d.TooOld }},
		{"too new", timedTEK(1 << 8), stamped(stampOf(1, 4, 12, now+101)), 253, DropTooNew, func(d *D3PStats) *uint64 { return &d.TooNew }},
		{"2^63-1", timedTEK(1 << 8), stamped(stampOf(1, 4, 12, math.MaxInt64)), 253, DropTooNew, func(d *D3PStats) *uint64 { return &d.TooNew }},
		{"2^63", timedTEK(1 << 8), stamped(stampOf(1, 4, 12, math.MinInt64)), 253, DropTooNew, func(d *D3PStats) *uint64 { return &d.TooNew }},
		{"2^64-1", timedTEK(1 << 8), stamped(stampOf(1, 4, 12, -1)), 253, DropTooNew, func(d *D3PStats) *uint64 { return &d.TooNew }},
		{"none", timedTEK(1 << 8), inner, protoIPIP, DropNoTimestamp, func(d *D3PStats) *uint64 { return &d.NoTimestamp }},
		{"none, IPv6", timedTEK(1 << 8), inner, protoIPv6, DropNoTimestamp, func(d *D3PStats) *uint64 { return &d.NoTimestamp }},
		{"a dummy packet without", timedTEK(1 << 8), inner, protoNone, DropDummy, nil},
		{"a dummy packet", timedTEK(1 << 8), stampOf(1, 59, 12, now), 253, DropDummy, nil},
		{"an old dummy packet", timedTEK(1 << 8), stampOf(1, 59, 12, now-101), 253, DropTooOld, func(d *D3PStats) *uint64 { return &d.TooOld }},
		{"not expected", testTEK(1 << 8), stamped(stampOf(1, 4, 12, now)), 253, DropUnexpectedTimestamp, func(d *D3PStats) *uint64 { return &d.Unexpected }},
		{"not expected, nothing inside", testTEK(1 << 8), nil, 253, DropUnexpectedTimestamp, func(d *D3PStats) *uint64 { return &d.Unexpected }},
		{"type 0", timedTEK(1 << 8), stamped(stampOf(0, 4, 12, now)), 253, DropTimestampType, func(d *D3PStats) *uint64 { return &d.TypeErrors }},
		{"type 2", timedTEK(1 << 8), stamped(stampOf(2, 4, 12, now)), 253, DropTimestampType, func(d *D3PStats) *uint64 { return &d.TypeErrors }},
		{"length 0", timedTEK(1 << 8), stamped(stampOf(1, 4, 0, now)), 253, DropTimestampLength, func(d *D3PStats) *uint64 { return &d.LengthErrors }},
		{"length 16", timedTEK(1 << 8), stamped(stampOf(1, 4, 16, now)), 253, DropTimestampLength, func(d *D3PStats) *uint64 { return &d.LengthErrors }},
		{"nothing inside", timedTEK(1 << 8), nil, 253, DropTimestampLength, func(d *D3PStats) *uint64 { return &d.LengthErrors }},
		{"11 octets", timedTEK(1 << 8), stampOf(1, 4, 12, now)[:11], 253, DropTimestampLength, func(d *D3PStats) *uint64 { return &d.LengthErrors }},
		{"UDP behind", timedTEK(1 << 8), stamped(stampOf(1, 17, 12, now)), 253, DropTimestampNext, func(d *D3PStats) *uint64 { return &d.NextHeaderErrors }},
		{"another behind", timedTEK(1 << 8), stamped(stampOf(1, 253, 12, now)), 253, DropTimestampNext, func(d *D3PStats) *uint64 { return &d.NextHeaderErrors }},
		{"IPv6 behind", timedTEK(1 << 8), stamped(stampOf(1, 41, 12, now)), 253, DropIPv6, nil},
		{"no packet behind", timedTEK(1 << 8), stampOf(1, 4, 12, now), 253, DropInner, nil},
	} {
		p := newPlane(c.tek)
		got, v := p.Inbound(start, seal(outer(hello), c.tek, 1, octets(0, 16), c.plain, trailer(len(c.plain), c.next)), []byte("x"))
		if v != c.want {
			t.Errorf("%s: %v, want %v", c.name, v, c.want)
		}
		if !v.Passed() && string(got) != "x" {
			t.Errorf("%s: dropped, but gave back %x", c.name, got)
		}
		var want D3PStats
		if c.count != nil {
			*c.count(&want) = 1
		}
		s := p.State(start)
		for _, got := range []D3PStats{s.Stats.D3P, s.VPNs[0].Stats.D3P, s.VPNs[0].TEKs[0].Stats.D3P} {
			if got != want {
				t.Errorf("%s: counted %+v, want %+v", c.name, got, want)
			}
		}
	}
}

// Changing any octet of a packet with a time stamp is seen before its time is.
func TestAttackPacketReplayChanged(t *testing.T) {
	tek := timedTEK(0x100)
	wire, _ := newPlane(tek).Outbound(start, hello.build(), nil)
	for i := headerLen + espLen; i < len(wire); i++ {
		b := slices.Clone(wire)
		b[i] ^= 1
		if _, v := newPlane(tek).Inbound(start.Add(time.Minute), b, nil); v != DropAuth {
			t.Errorf("octet %d changed: %v", i, v)
		}
	}
}

// The header is counted in what a packet has on the wire, and in what still fits one.
func TestTimeStampSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inner := packet{
			src: "10.1.0.1", dst: "10.2.0.1", payload: rapid.IntRange(8, 1500).Draw(t, "payload"), tos: rapid.Byte().Draw(t, "tos"),
			options: rapid.IntRange(0, 10).Draw(t, "options"),
		}.build()
		a, b := newPlane(timedTEK(0x100)), newPlane(timedTEK(0x100))
		wire, v := a.Outbound(start, inner, []byte("before"))
		if v != Encrypted {
			t.Fatal(v)
		}
		wire = wire[len("before"):]
		if want := headerLen + espLen + ivLen + (len(inner)+stampLen+2+15)&^15 + icvLen; len(wire) != want || a.stats.ESPEncryptedBytes != uint64(want) {
			t.Fatalf("%d octets, counted %d, want %d", len(wire), a.stats.ESPEncryptedBytes, want)
		}
		got, v := b.Inbound(start, wire, []byte("before"))
		if v != Decrypted || !bytes.Equal(got, append([]byte("before"), inner...)) {
			t.Fatalf("%v: sent %x, got %x", v, inner, got)
		}
	})
	for _, c := range []struct {
		size int
		want Verdict
	}{{65470 - stampLen, Encrypted}, {65471 - stampLen, DropTooBig}} {
		p := newPlane(timedTEK(0x100))
		inner := packet{src: "10.1.0.1", dst: "10.2.0.1", protocol: 200, payload: c.size - headerLen}.build()
		if _, v := p.Outbound(start, inner, nil); v != c.want {
			t.Errorf("%d octets: %v, want %v", c.size, v, c.want)
		}
	}
}

func TestTimeStampNoAllocation(t *testing.T) {
	a, b := newPlane(timedTEK(0x100)), newPlane(timedTEK(0x100))
	inner := packet{src: "10.1.0.1", dst: "10.2.0.1", payload: 1372}.build()
	wire, back := make([]byte, 0, 2048), make([]byte, 0, 2048)
	n := testing.AllocsPerRun(200, func() {
		w, v := a.Outbound(start, inner, wire)
		if _, u := b.Inbound(start, w, back); v != Encrypted || u != Decrypted {
			t.Fatal(v, u)
		}
		if _, u := b.Inbound(start.Add(time.Minute), w, back); u != DropTooOld {
			t.Fatal(u)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a packet's way", n)
	}
}

func TestInstallTEKWindow(t *testing.T) {
	p := newPlane()
	for _, w := range []time.Duration{-1, time.Microsecond, sa.MaxWindow + time.Millisecond} {
		tek := testTEK(0x100)
		tek.Window = w
		if p.InstallTEK(turn.InstallTEK{VPN: "v", TEK: tek}) == nil {
			t.Errorf("a window of %v was taken", w)
		}
	}
}

// FuzzTimeStamp goes behind the ICV: another member has the keys, and may say of the time what it likes.
func FuzzTimeStamp(f *testing.F) {
	tek := timedTEK(0x100)
	f.Add(append(stampOf(1, 4, 12, start.UnixMilli()), hello.build()...), byte(253))
	f.Add(stampOf(1, 59, 12, math.MinInt64), byte(253))
	f.Add(hello.build(), byte(4))
	f.Fuzz(func(t *testing.T, plain []byte, next byte) {
		plain = plain[:min(len(plain), 4096)]
		got, v := newPlane(tek).Inbound(start, seal(outer(hello), tek, 1, octets(0, 16), plain, trailer(len(plain), next)), nil)
		if !v.Passed() {
			if len(got) != 0 {
				t.Fatalf("%v, but %x", v, got)
			}
			return
		}
		at := int64(binary.BigEndian.Uint64(plain[4:]))
		if next != 253 || len(got) > len(plain)-stampLen || max(at-start.UnixMilli(), start.UnixMilli()-at) > window.Milliseconds() {
			t.Fatalf("%v: %x of %x", v, got, plain)
		}
	})
}

func BenchmarkTimeStamp(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p, packet, dst, back := newPlane(timedTEK(0x100)), benchPacket(size), make([]byte, 0, 2048), make([]byte, 0, 2048)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				wire, v := p.Outbound(start, packet, dst)
				if _, u := p.Inbound(start, wire, back); v != Encrypted || u != Decrypted {
					b.Fatal(v, u)
				}
			}
		})
	}
}
