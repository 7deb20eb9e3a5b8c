package isakmp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// The bounds of an RSA key that signs. One of fewer bits is weak (RFC 6407 section 6.1); of more, checking takes too long for what
// a peer's own key may cost us. A small exponent is what forged PKCS #1 blocks are made for.
const (
	MinRSABits     = 2048
	MaxRSABits     = 4096
	minRSAExponent = 65537
)

// CheckRSA reports how an RSA key that comes from a peer or a configuration is outside the bounds, nil if it is not. An even number
// is neither a modulus nor an exponent.
func CheckRSA(k *rsa.PublicKey) error {
	switch n := k.N.BitLen(); {
	case n < MinRSABits || n > MaxRSABits:
		return fmt.Errorf("an RSA key of %d bits (%d to %d)", n, MinRSABits, MaxRSABits)
	case k.E < minRSAExponent || k.E%2 == 0:
		return fmt.Errorf("an RSA key with exponent %d (odd, at least %d)", k.E, minRSAExponent)
	case k.N.Bit(0) == 0:
		return errors.New("an RSA key with an even modulus")
	}
	return nil
}

// SignECDSA signs a digest as RFC 4754 section 7 has it, which GDOI shares (RFC 6407 section 5.3.6.4): r and s, each as long as the
// order of the curve, one behind the other. The key is on P-256 or P-384, whose hash made the digest. The nonce is RFC 6979's, so the
// same digest gives the same octets, and no bad randomness can give the key away.
func SignECDSA(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	h := crypto.SHA256
	if key.Curve == elliptic.P384() {
		h = crypto.SHA384
	}
	der, err := key.Sign(nil, digest, h)
	if err != nil {
		return nil, fmt.Errorf("isakmp: sign: %w", err)
	}
	var rs struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &rs); err != nil || len(rest) != 0 {
		return nil, fmt.Errorf("isakmp: sign: not the signature that was expected")
	}
	n := scalarLen(key.Curve)
	sig := make([]byte, 2*n)
	rs.R.FillBytes(sig[:n])
	rs.S.FillBytes(sig[n:])
	return sig, nil
}

// VerifyECDSA reports whether sig is what SignECDSA makes of the digest; a signature of another length is none.
func VerifyECDSA(key *ecdsa.PublicKey, digest, sig []byte) bool {
	n := scalarLen(key.Curve)
	return len(sig) == 2*n && ecdsa.Verify(key, digest, new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
}

// ECDSASize is the length of a signature by a key on the curve, in octets.
func ECDSASize(c elliptic.Curve) int { return 2 * scalarLen(c) }

func scalarLen(c elliptic.Curve) int { return (c.Params().N.BitLen() + 7) / 8 }
