package member

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"gvpn/gdoi"
	"gvpn/sa"
)

var errTEK = errors.New("member: TEK")

// checkPolicy holds what message 2 or a push says against our floor, keys aside: AES-CBC of 128 bits or more, SHA-256 or
// more under the signature (RFC 6407 section 6, and its attack "downgrade"). TEKs that we cannot use are taken out and
// counted; a policy of which no TEK is left is refused.
func (m *Member) checkPolicy(v *vpn, p *gdoi.Policy) error {
	if k := p.KEK; k != nil {
		if !keyBits(k.KeyBits) {
			v.stats.UnsupportedAlgorithm++
			return fmt.Errorf("member: KEK: AES-CBC key of %d bits, want 128, 192 or 256", k.KeyBits)
		}
		if k.SigHash != sa.SHA256 && k.SigHash != sa.SHA384 {
			v.stats.UnsupportedAlgorithm++
			return fmt.Errorf("member: KEK: signature hash %d is below sha-256 or unknown", uint8(k.SigHash))
		}
	}
	var refused error
	kept := p.TEKs[:0]
	for _, t := range p.TEKs {
		if err := m.checkTEK(v, &t); err != nil {
			refused = err
			t.Zero()
			continue
		}
		kept = append(kept, t)
	}
	clear(p.TEKs[len(kept):])
	p.TEKs = kept
	if len(kept) == 0 && refused != nil {
		return refused
	}
	return nil
}

func (m *Member) checkTEK(v *vpn, t *sa.TEK) error {
	switch {
	case !keyBits(t.KeyBits):
		v.stats.UnsupportedAlgorithm++
		return fmt.Errorf("%w %08x: AES-CBC key of %d bits, want 128, 192 or 256", errTEK, t.SPI, t.KeyBits)
	case t.SPI < minTEKSPI:
		v.stats.UnsupportedAlgorithm++
		return fmt.Errorf("%w: SPI %d is reserved (RFC 4303 section 2.1)", errTEK, t.SPI)
	case len(t.Policies) == 0:
		return fmt.Errorf("%w %08x: no traffic", errTEK, t.SPI)
	case len(t.Policies) > maxPoliciesPerTEK:
		// The rest of the traffic stays without an SA, which is to say closed.
		v.stats.ExceedPolicies++
		t.Policies = t.Policies[:maxPoliciesPerTEK:maxPoliciesPerTEK]
	}
	return nil
}

func keyBits(n int) bool { return n == minKeyBits || n == 192 || n == 256 }

// checkKEKKeys holds the KEK's signature key against our floor: RSA of 2048 bits or more. nil is no KEK, which is fine.
func checkKEKKeys(k *sa.KEK) error {
	if k == nil {
		return nil
	}
	key, err := x509.ParsePKIXPublicKey(k.SigPublic)
	if err != nil {
		return fmt.Errorf("member: KEK: signature key: %w", err)
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("member: KEK: signature key is no RSA key")
	}
	if n := public.N.BitLen(); n < minRSABits || n > maxRSABits {
		return fmt.Errorf("member: KEK: RSA key of %d bits, want %d to %d", n, minRSABits, maxRSABits)
	}
	if public.E < minRSAPublic {
		return fmt.Errorf("member: KEK: RSA exponent %d, want %d or more", public.E, minRSAPublic)
	}
	return nil
}
