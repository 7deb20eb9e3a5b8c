package gdoi

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gvpn/isakmp"
	"gvpn/sa"
)

// One message lists a TEK of before the statement and its successor: only the latter has a window.
func TestWindows(t *testing.T) {
	p := katPolicy(t)
	old := AppendPull2(nil, octets(0, 8), p, now, Options{})
	timed := testTEK(0x100)
	timed.Window = 100 * time.Millisecond
	p.TEKs = append(p.TEKs, timed)
	m2 := AppendPull2(nil, octets(0, 8), p, now, Options{})
	gap := spell(t, "10 00 0018 8001 000a 8002 001e 00d3 0008 00000100 00000064")
	if !bytes.Contains(m2, gap) {
		t.Errorf("no GAP %x in %x", gap, m2)
	}
	_, got, err := ParsePull2(isakmp.PayloadNONCE, m2, now, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got.TEKs[0].Window != 0 || got.TEKs[1].Window != timed.Window {
		t.Errorf("windows %v and %v", got.TEKs[0].Window, got.TEKs[1].Window)
	}
	// Without delays there is a GAP all the same; without a window none of it is written.
	p.ActivationDelay, p.DeactivationDelay = 0, 0
	if m2 := AppendPull2(nil, octets(0, 8), p, now, Options{}); !bytes.Contains(m2, spell(t, "10 00 0010 00d3 0008 00000100 00000064")) {
		t.Errorf("no GAP of its own in %x", m2)
	}
	if bytes.Contains(old, []byte{0, gapWindows}) {
		t.Errorf("an attribute without a window: %x", old)
	}
}

func TestWindowsRefused(t *testing.T) {
	const spi = "0badf00d"
	for _, c := range []struct {
		name, attr string
		kind       error
	}{
		{"no octets", "00d3 0000", ErrForm},
		{"an SPI alone", "00d3 0004 " + spi, ErrForm},
		{"an octet too many", "00d3 0009 " + spi + " 00000064 00", ErrForm},
		{"cut short", "00d3 0008 " + spi, ErrForm},
		{"0 ms", "00d3 0008 " + spi + " 00000000", ErrForm},
		{"60001 ms", "00d3 0008 " + spi + " 0000ea61", ErrForm},
		{"2^32-1 ms", "00d3 0008 " + spi + " ffffffff", ErrForm},
		{"a TEK twice", "00d3 0010 " + spi + " 00000064 " + spi + " 00000064", ErrForm},
		{"two attributes", "00d3 0008 " + spi + " 00000064 00d3 0008 0badf00e 00000064", ErrForm},
		{"a TEK that the message does not list", "00d3 0008 0badf00e 00000064", ErrForm},
		{"a TEK more", "00d3 0010 " + spi + " 00000064 0badf00e 00000064", ErrForm},
		{"more than there can be", "00d3 0808 " + strings.Repeat(spi+" 00000064 ", MaxTEKs+1), ErrForm},
		{"the short form", "80d3 0064", ErrUnsupported},
		{"its neighbour", "00d4 0008 " + spi + " 00000064", ErrUnsupported},
	} {
		_, err := parseSA(edit(t, isakmp.PayloadGAP, "8002 001e", "8002 001e "+c.attr)[4:], now, true, Options{})
		wantKind(t, c.name, err, c.kind)
	}
	p, err := parseSA(edit(t, isakmp.PayloadGAP, "8002 001e", "8002 001e 00d3 0008 "+spi+" 0000ea60")[4:], now, true, Options{})
	if err != nil || p.TEKs[0].Window != sa.MaxWindow {
		t.Errorf("60000 ms: %v", err)
	}
	// Writing: what no TEK can have.
	for _, w := range []time.Duration{-time.Millisecond, time.Microsecond, 1500 * time.Microsecond, sa.MaxWindow + time.Millisecond} {
		tek := testTEK(0x100)
		tek.Window = w
		wantKind(t, w.String(), (&Policy{TEKs: []sa.TEK{tek}}).Check(), ErrForm)
	}
	iec := sa.TEK{SPI: 1, Key: octets(0, 16), AuthKey: octets(0, 32), IEC61850: &sa.IEC61850{Selector: goose, Auth: 2, Enc: 2}}
	body := appendSA(nil, 0, &Policy{TEKs: []sa.TEK{iec, windowed(0x100)}}, now, Options{})[4:]
	_, err = parseSA(bytes.Replace(body, spell(t, "00000100 00000064"), spell(t, "00000001 00000064"), 1), now, true, Options{IEC61850: true})
	wantKind(t, "a window for IEC 61850", err, ErrForm)
	iec.Window = time.Second
	wantKind(t, "IEC 61850", (&Policy{TEKs: []sa.TEK{iec}}).Check(), ErrForm)
}

func windowed(spi uint32) sa.TEK {
	t := testTEK(spi)
	t.Window = 100 * time.Millisecond
	return t
}

// The most TEKs that a message can have, each with a window, come through a pull.
func TestWindowsOfAll(t *testing.T) {
	p := &Policy{}
	for i := range MaxTEKs {
		tek := testTEK(uint32(minSPI + i))
		tek.Window = time.Duration(i+1) * time.Millisecond
		p.TEKs = append(p.TEKs, tek)
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	body := appendSA(nil, 0, p, now, Options{})
	if len(body) > sizeSA(p) {
		t.Errorf("%d octets, sizeSA %d", len(body), sizeSA(p))
	}
	got, err := parseSA(body[4:], now, true, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := pullKD(appendKD(nil, 0, p, Options{})[4:], got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got, compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
