package gdoi

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"

	"gvpn/sa"
	"gvpn/turn"
)

// The floor under a signature key (RFC 6407 section 6.1; small exponents make forged PKCS #1 blocks cheap), and a ceiling,
// since checking costs more with every bit and the key comes from a peer.
const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minRSAExponent = 65537
)

// parsePublic reads the RSA key of a SIG_ALGORITHM_KEY: DER SubjectPublicKeyInfo.
func parsePublic(der []byte) (*rsa.PublicKey, error) {
	if len(der) > sa.MaxPublic {
		return nil, refuse(ErrKeys, "signature key of %d octets, at most %d", len(der), sa.MaxPublic)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, refuse(ErrKeys, "signature key of %d octets is no SubjectPublicKeyInfo", len(der))
	}
	pub, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, refuse(ErrUnsupported, "signature key is not RSA")
	}
	if n := pub.N.BitLen(); n < minRSABits || n > maxRSABits || pub.E < minRSAExponent {
		return nil, refuse(ErrKeys, "signature key: RSA of %d bits with exponent %d, want %d to %d bits and at least %d",
			n, pub.E, minRSABits, maxRSABits, minRSAExponent)
	}
	return pub, nil
}

func digest(h sa.Hash, message []byte) (crypto.Hash, []byte, error) {
	switch h {
	case sa.SHA256:
		d := sha256.Sum256(message)
		return crypto.SHA256, d[:], nil
	case sa.SHA384:
		d := sha512.Sum384(message)
		return crypto.SHA384, d[:], nil
	}
	return 0, nil, refuse(ErrUnsupported, "signature hash %v", h)
}

// Sign carries out a turn.RSASign: RSASSA-PKCS1-v1_5 with DigestInfo (RFC 6407 section 5.3.6.1). The same operation gives
// the same octets. It takes some milliseconds; a worker calls it, not the loop.
func Sign(op turn.RSASign) ([]byte, error) {
	key, err := x509.ParsePKCS8PrivateKey(op.Private)
	if err != nil {
		return nil, fmt.Errorf("gdoi: sign: private key of %d octets is no PKCS #8", len(op.Private))
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("gdoi: sign: private key is not RSA")
	}
	hash, d, err := digest(op.Hash, op.Message)
	if err != nil {
		return nil, err
	}
	// PKCS #1 v1.5 signing draws no random numbers; the argument is a relic.
	sig, err := rsa.SignPKCS1v15(nil, private, hash, d)
	if err != nil {
		return nil, fmt.Errorf("gdoi: sign: %w", err)
	}
	return sig, nil
}

// verify checks a signature by comparing the whole PKCS #1 block.
func verify(pub *rsa.PublicKey, h sa.Hash, message, signature []byte) bool {
	hash, d, err := digest(h, message)
	return err == nil && rsa.VerifyPKCS1v15(pub, hash, d, signature) == nil
}
