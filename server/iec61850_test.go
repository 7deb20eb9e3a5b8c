package server

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/sa"
)

// octets reads hexadecimal digits with blanks.
func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// payload writes a generic header, or that of a key packet, which has the same form, before a body.
func payload(next byte, body ...string) string {
	all := strings.ReplaceAll(strings.Join(body, ""), " ", "")
	return fmt.Sprintf("%02x00%04x%s", next, 4+len(all)/2, all)
}

// RFC 8052 appendix A written by hand, with the numbers of section 4 and without the row "SA Attr NP" between the two SATs: an
// IED asks for GOOSE to 233.252.0.1, and gets a TEK in use and its successor with an SA_ATD. The lifetimes are those of the
// moment: the successor is made at nine tenths of 3600 s, lives for 12 hours and is active 180 s before the other one ends.
func TestAppendixA(t *testing.T) {
	const (
		selector = "0d 06 0b 2a 86 48 ce 56 83 e3 1a 08 01 02" + "0006 04 04 e9 fc 00 01"
		nonce    = "0505050505050505"
	)
	b := newBench(t)
	conf := parseGroup(t, "G members=m1 kek=none oid=1.2.840.10070.61850.8.1.2/233.252.0.1 iec=GOOSE:1.2.840.10070.61850.8.1.2/233.252.0.1/2/2")
	conf.ActivationDelay, conf.SAs[0].Lifetime = 300*time.Second, time.Hour
	if err := b.commit(1, map[string]step.Group{"G": conf}, []step.Effect{{Group: "G", Kind: step.GenerateTEK}}); err != nil {
		t.Fatal(err)
	}
	next := conf
	next.SAs = []step.IPsecSA{{
		Name: "GOOSE", Lifetime: 12 * time.Hour,
		IEC61850: &sa.IEC61850{Selector: conf.SAs[0].IEC61850.Selector, Auth: sa.AuthNone, Enc: sa.EncGCM128},
	}}
	if err := b.commit(2, map[string]step.Group{"G": next}, []step.Effect{{Group: "G", Kind: step.AtNextTEKRekey, SA: "GOOSE"}}); err != nil {
		t.Fatal(err)
	}
	b.advance(3240 * time.Second)
	teks := b.s.byID(1).teks
	if len(teks) != 2 {
		t.Fatalf("%d TEKs", len(teks))
	}
	spi := func(i int) string { return fmt.Sprintf("%08x", teks[i].SPI) }

	// Figure 7.
	m := ike.Message{SA: 1, Gateway: "m1", Local: us, Remote: memberAddr(t, "m1"), Exchange: isakmp.ExchangePull, MsgID: 7, Number: 1, First: isakmp.PayloadNONCE}
	m.Payloads = octets(t, payload(5, nonce)+payload(0, "0d 000000", selector))
	r := b.message(m)
	if r == nil {
		t.Fatal("no answer")
	}
	// Figure 8, with a GAP of our own: DEACTIVATION_TIME_DELAY of 600 s.
	policy := payload(
		0, "00000002 00000000 0016 0000",
		payload(16, "8002 0258"),
		payload(16, "03", selector, spi(0), "0002 0002 00000168"),
		payload(0, "03", selector, spi(1), "0001 0004 0000a8c0", "0001 0004 000000b4"),
	)
	if got := r.Payloads[4+nonceLength:]; !bytes.Equal(got, octets(t, policy)) {
		t.Errorf("message 2\n%x, want\n%x", got, octets(t, policy))
	}
	m.Number, m.First, m.Payloads = 3, isakmp.NoPayload, nil
	if r = b.message(m); r == nil {
		t.Fatal("no answer to message 3")
	}
	// Figure 9, with the sender ID that AES-GCM asks for (RFC 6407 section 5.6.4): 0, of 16 bits.
	keys := payload(
		0, "0003 0000",
		payload(1, "04", spi(0), "0001 0010", hex.EncodeToString(teks[0].Key), "0002 0020", hex.EncodeToString(teks[0].AuthKey)),
		payload(1, "04", spi(1), "0001 0014", hex.EncodeToString(teks[1].Key)),
		payload(4, "00", "8001 0010", "0002 0004 00000000"),
	)
	if !bytes.Equal(r.Payloads, octets(t, keys)) {
		t.Errorf("message 4\n%x, want\n%x", r.Payloads, octets(t, keys))
	}
}

// The same octets in a PUSH; and only a group that has such TEKs names their protocol when it deletes all: other members may not
// know it.
func TestPushOf61850(t *testing.T) {
	for _, c := range []struct {
		sas      string
		iec61850 bool
	}{{"iec=GOOSE:1.2.840.10070.61850.8.1.2/233.252.0.1/2/2/90", true}, {"sas=S", false}} {
		b := newBench(t)
		config := map[string]step.Group{"G": parseGroup(t, "G members=m1 "+c.sas)}
		if err := b.commit(1, config, []step.Effect{{Group: "G", Kind: step.GenerateKEK}, {Group: "G", Kind: step.GenerateTEK}}); err != nil {
			t.Fatal(err)
		}
		b.pull("m1", 1, 0)
		b.hold = true // the pushes stay in the clear
		if err := b.s.Do(b.now, Rekey{Group: "G", TEK: true}); err != nil {
			t.Fatal(err)
		}
		g := b.s.byID(1)
		if tek := g.teks[1]; c.iec61850 {
			want := octets(t, payload(
				0, "03 0d 06 0b 2a 86 48 ce 56 83 e3 1a 08 01 02 0006 04 04 e9 fc 00 01", fmt.Sprintf("%08x", tek.SPI),
				"0002 0002 00000708", "0001 0004 0000000f", "8002 005a",
			))
			keys := octets(t, payload(1, "04", fmt.Sprintf("%08x", tek.SPI), "0001 0010", hex.EncodeToString(tek.Key), "0002 0020", hex.EncodeToString(tek.AuthKey)))
			if msg := g.box.pushes[0].message; !bytes.Contains(msg, want) || !bytes.Contains(msg, keys) {
				t.Errorf("a push without %x or %x", want, keys)
			}
		}
		if err := b.s.Do(b.now, Clear{}); err != nil {
			t.Fatal(err)
		}
		all := g.box.pushes[len(g.box.pushes)-1]
		if got := bytes.Contains(all.message, octets(t, "0010 00000002 03 04 0001 00000000")); got != c.iec61850 {
			t.Errorf("%s: deletes all of protocol 3: %v", c.sas, got)
		}
		if all.options.IEC61850 != c.iec61850 { // what a restart writes it by
			t.Errorf("%s: %+v", c.sas, all.options)
		}
	}
}

// A TEK for IEC 61850 is active before its predecessor ends, for there is nothing else to send with then; in a group without a KEK
// not much sooner. One for ESP waits as the configuration says.
func TestActivation(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		group             string
		delay, life, left time.Duration
		iec61850          bool
		want              time.Duration
	}{
		{"G", 15 * s, 3600 * s, 360 * s, true, 15 * s},
		{"G", 900 * s, 3600 * s, 930 * s, true, 750 * s},
		{"G", 900 * s, 180 * s, 90 * s, true, 81 * s},
		{"G", 900 * s, 180 * s, 90 * s, false, 900 * s},
		{"G kek=none", 15 * s, 3600 * s, 360 * s, true, 345 * s},
		{"G kek=none", 900 * s, 3600 * s, 930 * s, true, 750 * s},
		{"G kek=none", 15 * s, 180 * s, 90 * s, true, 81 * s},
		{"G kek=none", 15 * s, 180 * s, 5 * s, true, 0},
		{"G kek=none", 15 * s, 3600 * s, 360 * s, false, 15 * s},
	} {
		g := &group{conf: parseGroup(t, c.group)}
		g.conf.ActivationDelay = c.delay
		old := &sa.TEK{Created: start.Add(c.left - c.life), Hard: start.Add(c.left)}
		if c.iec61850 {
			old.IEC61850 = &sa.IEC61850{}
		}
		if got := g.activation(start, old).Sub(start); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
