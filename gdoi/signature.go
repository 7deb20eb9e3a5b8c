package gdoi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// curveOf is the curve of an algorithm (RFC 6407 sections 5.3.6.4 and 5.3.6.5), nil for RSA.
func curveOf(alg sa.SigAlg) elliptic.Curve {
	switch alg {
	case sa.ECDSA256:
		return elliptic.P256()
	case sa.ECDSA384:
		return elliptic.P384()
	}
	return nil
}

// publicKey is a signature key of a KEK: exactly one of the two is set.
type publicKey struct {
	rsa *rsa.PublicKey
	ec  *ecdsa.PublicKey
}

// parsePublic reads the key of a SIG_ALGORITHM_KEY, which must be one for alg: DER SubjectPublicKeyInfo. RFC 6407 does not
// say the form; this is what peers send for RSA, and it has one for curves too.
func parsePublic(der []byte, alg sa.SigAlg) (publicKey, error) {
	if len(der) > sa.MaxPublic {
		return publicKey{}, refuse(ErrKeys, "signature key of %d octets, at most %d", len(der), sa.MaxPublic)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return publicKey{}, refuse(ErrKeys, "signature key of %d octets is no SubjectPublicKeyInfo", len(der))
	}
	switch pub := key.(type) {
	case *rsa.PublicKey:
		if alg != sa.RSA {
			return publicKey{}, refuse(ErrKeys, "signature key is RSA, want %v", alg)
		}
		if err := isakmp.CheckRSA(pub); err != nil {
			return publicKey{}, refuse(ErrKeys, "signature key: %v", err)
		}
		return publicKey{rsa: pub}, nil
	case *ecdsa.PublicKey:
		if c := curveOf(alg); c == nil || pub.Curve != c {
			return publicKey{}, refuse(ErrKeys, "signature key is on %s, want %v", pub.Params().Name, alg)
		}
		return publicKey{ec: pub}, nil
	}
	return publicKey{}, refuse(ErrUnsupported, "signature key is neither RSA nor ECDSA")
}

// keyBits is the length of a KEK's signature key, as in SIG_KEY_LENGTH. It reads no more than that, since every pull asks for it;
// it panics on what parsePublic refuses for its form.
func keyBits(k *sa.KEK) int {
	if c := curveOf(k.SigAlg); c != nil {
		return c.Params().BitSize
	}
	der := cryptobyte.String(k.SigPublic)
	var info, bits, key cryptobyte.String
	var unused uint8
	var modulus []byte
	if !der.ReadASN1(&info, asn1.SEQUENCE) || !info.SkipASN1(asn1.SEQUENCE) || !info.ReadASN1(&bits, asn1.BIT_STRING) ||
		!bits.ReadUint8(&unused) || !bits.ReadASN1(&key, asn1.SEQUENCE) || !key.ReadASN1Integer(&modulus) {
		panic(refuse(ErrKeys, "signature key of %d octets is no SubjectPublicKeyInfo of an RSA key", len(k.SigPublic)))
	}
	return new(big.Int).SetBytes(modulus).BitLen()
}

// size is the length of a signature: the modulus's, or that of r and s, each as long as the curve's order and nothing around
// them (RFC 4754 section 7, which RFC 6407 section 5.3.6.4 demands).
func (p publicKey) size() int {
	if p.ec != nil {
		return isakmp.ECDSASize(p.ec.Curve)
	}
	return p.rsa.Size()
}

// verify checks a signature. An RSA one is held against the whole PKCS #1 block, with DigestInfo or, if raw, with the hash
// alone as well.
func (p publicKey) verify(h sa.Hash, message, signature []byte, raw bool) bool {
	hash, d, err := digest(h, message)
	if err != nil || len(signature) != p.size() {
		return false
	}
	if p.ec != nil {
		return isakmp.VerifyECDSA(p.ec, d, signature)
	}
	return rsa.VerifyPKCS1v15(p.rsa, hash, d, signature) == nil || raw && rsa.VerifyPKCS1v15(p.rsa, 0, d, signature) == nil
}

func digest(h sa.Hash, message []byte) (crypto.Hash, []byte, error) {
	switch h {
	case sa.SHA256:
		d := sha256.Sum256(message)
		return crypto.SHA256, d[:], nil
	case sa.SHA384:
		d := sha512.Sum384(message)
		return crypto.SHA384, d[:], nil
	case sa.SHA512:
		d := sha512.Sum512(message)
		return crypto.SHA512, d[:], nil
	}
	return 0, nil, refuse(ErrUnsupported, "signature hash %v", h)
}

// Sign carries out a turn.RSASign or a turn.ECDSASign: RSASSA-PKCS1-v1_5 with DigestInfo (RFC 6407 section 5.3.6.1) or, if
// Raw, without; ECDSA with r and s side by side. The same operation gives the same octets: neither draws random numbers. It
// takes some milliseconds; a worker calls it, not the loop.
func Sign(op turn.Op) ([]byte, error) {
	switch op := op.(type) {
	case turn.RSASign:
		return signRSA(op)
	case turn.ECDSASign:
		return signECDSA(op)
	}
	return nil, fmt.Errorf("gdoi: sign: %T is no signature", op)
}

func signRSA(op turn.RSASign) ([]byte, error) {
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
	if op.Raw {
		hash = 0
	}
	// PKCS #1 v1.5 signing draws no random numbers; the argument is a relic.
	sig, err := rsa.SignPKCS1v15(nil, private, hash, d)
	if err != nil {
		return nil, fmt.Errorf("gdoi: sign: %w", err)
	}
	return sig, nil
}

func signECDSA(op turn.ECDSASign) ([]byte, error) {
	key, err := x509.ParsePKCS8PrivateKey(op.Private)
	if err != nil {
		return nil, fmt.Errorf("gdoi: sign: private key of %d octets is no PKCS #8", len(op.Private))
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("gdoi: sign: private key is not ECDSA")
	}
	alg := sa.ECDSA256
	if private.Curve != curveOf(alg) {
		alg = sa.ECDSA384
	}
	if private.Curve != curveOf(alg) {
		return nil, fmt.Errorf("gdoi: sign: private key on %s, want P-256 or P-384", private.Params().Name)
	}
	_, d, err := digest(alg.Hash(), op.Message)
	if err != nil {
		return nil, err
	}
	sig, err := isakmp.SignECDSA(private, d)
	if err != nil {
		return nil, fmt.Errorf("gdoi: sign: %w", err)
	}
	return sig, nil
}
