package sim

import (
	"testing"

	"gvpn/sa"
	"gvpn/turn"
)

// The verifier of nonces sees one that comes twice, under a key that counts and under no other.
func TestVerifierSeesNonces(t *testing.T) {
	w := New(1)
	n := w.Node("m")
	w.verify.gcm[7] = true
	packet := func(spi, iv byte) []byte {
		b := make([]byte, 40)
		b[23], b[35] = spi, iv
		return b
	}
	for _, p := range [][]byte{packet(7, 1), packet(7, 2), packet(8, 1), packet(8, 1)} {
		w.verify.nonce(n, p)
	}
	if len(w.Violations) != 0 {
		t.Fatal(w.Violations)
	}
	w.verify.nonce(n, packet(7, 2))
	if len(w.Violations) != 1 {
		t.Error("an IV that came twice was not seen")
	}
}

// The verifiers of sender IDs see one that two members have under one TEK, and one that two servers may give.
func TestVerifierSeesSenderIDs(t *testing.T) {
	w := New(1)
	a, b := w.Node("a"), w.Node("b")
	ids := func(spi uint32, values ...uint32) (o turn.InstallTEK) {
		o.TEK.SPI = spi
		for _, v := range values {
			o.Senders = append(o.Senders, turn.SenderID{Value: v, Bits: 8})
		}
		return o
	}
	w.verify.given(a, ids(7, 1, 2))
	w.verify.given(a, ids(7, 1))
	w.verify.given(b, ids(7, 3))
	w.verify.given(b, ids(8, 1))
	w.verify.owns(a, "G", sa.Senders{Epoch: 1, Bits: 8, First: 16, Count: 240})
	w.verify.owns(b, "G", sa.Senders{Epoch: 1, Bits: 8, First: 0, Count: 16})
	w.verify.owns(b, "G", sa.Senders{Epoch: 2, Bits: 8, First: 0, Count: 255})
	w.verify.owns(b, "G", sa.Senders{Epoch: 1, Bits: 8, First: 16, Count: 0})
	if len(w.Violations) != 0 {
		t.Fatal(w.Violations)
	}
	w.verify.given(b, ids(7, 4, 2))
	w.verify.owns(b, "G", sa.Senders{Epoch: 1, Bits: 8, First: 15, Count: 2})
	a.life++
	w.verify.given(a, ids(7, 1))
	if len(w.Violations) != 3 {
		t.Errorf("%d violations, want 3: %v", len(w.Violations), w.Violations)
	}
}
