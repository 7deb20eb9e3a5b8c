package gdoi

import (
	"fmt"
	"net/netip"
	"time"

	"gvpn/sa"
)

// Policy is what an SA payload and its KD payload say together: the KEK and the TEKs of a group.
type Policy struct {
	KEK  *sa.KEK  // nil: none (or, in a PUSH, no new one)
	TEKs []sa.TEK // up to MaxTEKs

	// ActivationDelay and DeactivationDelay are GAP's ATD and DTD, in whole seconds up to 65535; 0 is absent.
	ActivationDelay, DeactivationDelay time.Duration

	// PushFrom and PushTo are what SAK says of the PUSH datagram's addresses. The zero value is written as address 0.0.0.0
	// and port 0, "any": a server of unicast PUSHes sends the same datagram to all of its members.
	PushFrom, PushTo netip.AddrPort
}

// Zero destroys the key material.
func (p *Policy) Zero() {
	if p == nil {
		return
	}
	p.KEK.Zero()
	for i := range p.TEKs {
		p.TEKs[i].Zero()
	}
}

// Check reports the first part of p that cannot be written: more TEKs or match-policies than the limits, a key whose length
// is not its KeyBits, a reserved or repeated SPI, a signature key under the floor (RSA of 2048 bits, exponent 65537), a
// prefix that is not IPv4. The Append functions and PushMessage panic on what Check refuses, so whoever makes policy from a
// configuration checks it before it is committed to.
func (p *Policy) Check() error {
	if p.KEK == nil && len(p.TEKs) == 0 {
		return refuse(ErrForm, "policy with neither KEK nor TEK")
	}
	for _, d := range []time.Duration{p.ActivationDelay, p.DeactivationDelay} {
		if d < 0 || d%time.Second != 0 || d > 65535*time.Second {
			return refuse(ErrForm, "policy: delay %v, want whole seconds up to 65535", d)
		}
	}
	for _, a := range []netip.AddrPort{p.PushFrom, p.PushTo} {
		if a.Addr().IsValid() && !a.Addr().Is4() {
			return refuse(ErrUnsupported, "policy: PUSH address %v is not IPv4", a)
		}
	}
	if p.KEK != nil {
		if err := checkKEK(p.KEK); err != nil {
			return err
		}
	}
	if len(p.TEKs) > MaxTEKs {
		return refuse(ErrForm, "policy: %d TEKs, at most %d", len(p.TEKs), MaxTEKs)
	}
	seen := make(map[uint32]bool, len(p.TEKs))
	total := 0
	for i := range p.TEKs {
		t := &p.TEKs[i]
		if seen[t.SPI] {
			return refuse(ErrForm, "policy: TEK SPI %#08x twice", t.SPI)
		}
		seen[t.SPI] = true
		if total += len(t.Policies); total > MaxPolicies {
			return refuse(ErrForm, "policy: more than %d match-policies", MaxPolicies)
		}
		if err := checkTEK(t); err != nil {
			return err
		}
	}
	return nil
}

func checkKEK(k *sa.KEK) error {
	switch {
	case k.SPI == [16]byte{}:
		return refuse(ErrForm, "KEK with SPI zero")
	case !aesBits(k.KeyBits) || len(k.Key) != k.KeyBits/8:
		return refuse(ErrKeys, "KEK: key of %d octets for %d bits", len(k.Key), k.KeyBits)
	case k.SigHash != sa.SHA256 && k.SigHash != sa.SHA384:
		return refuse(ErrUnsupported, "KEK: signature hash %v", k.SigHash)
	case k.Ack != 0 && ackHash(k.Ack) == nil:
		return refuse(ErrUnsupported, "KEK: acknowledgement type %d", k.Ack)
	}
	_, err := parsePublic(k.SigPublic)
	return err
}

func checkTEK(t *sa.TEK) error {
	switch {
	case t.SPI < minSPI:
		return refuse(ErrForm, "TEK: SPI %#08x is reserved", t.SPI)
	case !aesBits(t.KeyBits) || len(t.Key) != t.KeyBits/8 || len(t.AuthKey) != integrityKeyLen:
		return refuse(ErrKeys, "TEK %#08x: keys of %d and %d octets for %d bits", t.SPI, len(t.Key), len(t.AuthKey), t.KeyBits)
	case len(t.Policies) == 0 || len(t.Policies) > sa.MaxPolicies:
		return refuse(ErrForm, "TEK %#08x: %d match-policies, want 1 to %d", t.SPI, len(t.Policies), sa.MaxPolicies)
	}
	for _, m := range t.Policies {
		for _, prefix := range []netip.Prefix{m.Source, m.Destination} {
			if prefix != (netip.Prefix{}) && (!prefix.IsValid() || !prefix.Addr().Is4()) {
				return refuse(ErrUnsupported, "TEK %#08x: match-policy prefix %v is not IPv4", t.SPI, prefix)
			}
		}
	}
	return nil
}

// mustCheck is for the encoders: writing what Check refuses would put lengths or counts on the wire that lie.
func mustCheck(p *Policy) {
	if err := p.Check(); err != nil {
		panic(err)
	}
}

func aesBits(n int) bool { return n == 128 || n == 192 || n == 256 }

// remaining is a lifetime on the wire: whole seconds left, rounded down so that no receiver keeps a key longer than its
// maker, and at least 1.
func remaining(hard, now time.Time) uint32 {
	return uint32(min(max(hard.Sub(now)/time.Second, 1), 1<<32-1))
}

// Format implements fmt.Formatter: every verb prints as %v or %+v does. Without it, a wrong verb for a struct that points to a
// Policy would print the keys behind it as numbers, since fmt asks no Formatter there.
func (p Policy) Format(f fmt.State, _ rune) {
	type bare Policy
	if f.Flag('+') {
		_, _ = fmt.Fprintf(f, "%+v", bare(p))
		return
	}
	_, _ = fmt.Fprint(f, bare(p))
}
