package sa

import (
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"
)

// RFC 8052 appendix A: "OID=<06 0B 2A 86 48 CE 56 83 E3 1A 08 01 02>" is 1.2.840.10070.61850.8.1.2.
func TestNewSelector(t *testing.T) {
	for _, c := range []struct{ oid, payload, wantOID, wantPayload string }{
		{"1.2.840.10070.61850.8.1.2", "233.252.0.1", "060b2a8648ce5683e31a080102", "0404e9fc0001"},
		{"1.2.840.10070.61850.8.1.2", "", "060b2a8648ce5683e31a080102", ""},
		{"2.999", "0C026F6B", "06028837", "0c026f6b"},
		{"0.0", "0500", "", ""},        // an element of no octets selects nothing
		{"1.2.3", "192.0.2.1", "", ""}, // not multicast
		{"1.2.3", "ff02::1", "", ""},
		{"1.2.3", "040", "", ""},
		{"1.2.3", "0401", "", ""},
		{"1.2.3", "04010000", "", ""},
		{"3.1", "", "", ""},
		{"1.40", "", "", ""},
		{"1", "", "", ""},
		{"", "", "", ""},
		{"goose", "", "", ""},
	} {
		s, err := NewSelector(c.oid, c.payload)
		if oid, payload := hex.EncodeToString([]byte(s.OID)), hex.EncodeToString([]byte(s.Payload)); oid != c.wantOID || payload != c.wantPayload || (err == nil) != (c.wantOID != "") {
			t.Errorf("%q %q: %s %s, %v", c.oid, c.payload, oid, payload, err)
		}
	}
	long := "1.2"
	for len(long) < 1000 {
		long += ".12345"
	}
	if _, err := NewSelector(long, ""); err == nil {
		t.Error("an object identifier of more than 127 octets")
	}
}

// Whatever a server sends is shown, and what has a text form is read again as it was.
func TestSelectorText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Selector{OID: string(rapid.SliceOf(rapid.Byte()).Draw(t, "OID")), Payload: string(rapid.SliceOf(rapid.Byte()).Draw(t, "payload"))}
		if rapid.Bool().Draw(t, "DER") {
			body := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "arcs")
			s.OID = string(append([]byte{tagOID, byte(len(body))}, body...))
			address := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")
			s.Payload = string(append([]byte{tagOctets, 4}, address...))
		}
		oid, payload := s.Text()
		if got, err := NewSelector(oid, payload); err == nil && got != s {
			t.Fatalf("%x %x is shown as %s %s, which is %x %x", s.OID, s.Payload, oid, payload, got.OID, got.Payload)
		}
		if s.String() == "" && s != (Selector{}) {
			t.Fatalf("%x %x has no text", s.OID, s.Payload)
		}
	})
	if got := (Selector{OID: "\x06\x01\x80", Payload: "\x04\x01x"}).String(); got != "060180 040178" {
		t.Errorf("an OID that is none: %s", got)
	}
	if got := (Selector{OID: "\x06\x01\x2a", Payload: "\x04\x04\xe0\x00\x00\x09"}).String(); got != "1.2 224.0.0.9" {
		t.Errorf("an address: %s", got)
	}
}
