package sim

import "testing"

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
