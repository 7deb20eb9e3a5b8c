package oper

import (
	"testing"

	"gvpn/sa"
)

// AES-GCM is named as Junos names it elsewhere, and nothing stands beside it.
func TestCipherWords(t *testing.T) {
	for _, c := range []struct {
		cipher        sa.Cipher
		bits          int
		words, beside string
	}{
		{sa.CBC, 256, "aes-256", "sha256"},
		{sa.GCM, 128, "aes-gcm-128", "None"},
		{sa.GCM, 256, "aes-gcm-256", "None"},
	} {
		if got, beside := encryption(c.cipher, c.bits), integrity(c.cipher); got != c.words || beside != c.beside {
			t.Errorf("%v %d: %s/%s, want %s/%s", c.cipher, c.bits, got, beside, c.words, c.beside)
		}
	}
}
