package member

import (
	"errors"

	"gvpn/gdoi"
)

// The floor under what a server may order (AES-CBC of 128 bits, SHA-256 under an RSA signature of 2048 bits, no reserved
// SPI) is package gdoi's: its parsers refuse what is below.

// trim holds a policy against the limits that a member counts: of a TEK with too many policies the first ones are taken,
// and the rest of the traffic stays without an SA, which is to say closed.
func (v *vpn) trim(p *gdoi.Policy) {
	for i := range p.TEKs {
		t := &p.TEKs[i]
		if len(t.Policies) > maxPoliciesPerTEK {
			v.stats.ExceedPolicies++
			t.Policies = t.Policies[:maxPoliciesPerTEK:maxPoliciesPerTEK]
		}
	}
}

// countRefusal counts what a server offered and package gdoi would not take.
func (v *vpn) countRefusal(err error) {
	if errors.Is(err, gdoi.ErrUnsupported) {
		v.stats.UnsupportedAlgorithm++
	}
}
