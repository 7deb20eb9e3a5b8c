package isakmp

import (
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"
)

// The bounds of RSA keys, each from both sides (CVE-2017-9022: modulus and exponent unchecked).
func TestAttackRSASignatureKey(t *testing.T) {
	modulus := func(bits int) *big.Int { // odd, with its highest bit set
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.SetBit(n, 0, 1)
	}
	even := modulus(2048)
	even.SetBit(even, 0, 0)
	for _, c := range []struct {
		name string
		key  rsa.PublicKey
		want string
	}{
		{"2048 bits", rsa.PublicKey{N: modulus(2048), E: 65537}, ""},
		{"4096 bits", rsa.PublicKey{N: modulus(4096), E: 65537}, ""},
		{"the largest exponent", rsa.PublicKey{N: modulus(2048), E: 1<<31 - 1}, ""},
		{"2047 bits", rsa.PublicKey{N: modulus(2047), E: 65537}, "2047 bits"},
		{"4097 bits", rsa.PublicKey{N: modulus(4097), E: 65537}, "4097 bits"},
		{"no modulus", rsa.PublicKey{N: new(big.Int), E: 65537}, "0 bits"},
		{"exponent 0", rsa.PublicKey{N: modulus(2048)}, "exponent 0"},
		{"exponent 1", rsa.PublicKey{N: modulus(2048), E: 1}, "exponent 1"},
		{"exponent 3", rsa.PublicKey{N: modulus(2048), E: 3}, "exponent 3"},
		{"exponent 65535", rsa.PublicKey{N: modulus(2048), E: 65535}, "exponent 65535"},
		{"an even exponent", rsa.PublicKey{N: modulus(2048), E: 65538}, "exponent 65538"},
		{"an even modulus", rsa.PublicKey{N: even, E: 65537}, "even modulus"},
	} {
		err := CheckRSA(&c.key)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
