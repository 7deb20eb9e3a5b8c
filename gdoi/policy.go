package gdoi

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gvpn/isakmp"
	"gvpn/lkh"
	"gvpn/sa"
)

// Policy is what an SA payload and its KD payload say together: the KEK and the TEKs of a group.
type Policy struct {
	KEK  *sa.KEK  // nil: none (or, in a PUSH, no new one)
	TEKs []sa.TEK // up to MaxTEKs

	// ActivationDelay and DeactivationDelay are GAP's ATD and DTD, in whole seconds up to 65535; 0 is absent.
	ActivationDelay, DeactivationDelay time.Duration

	// PushFrom is what SAK says of where PUSH datagrams come from; where they go to is the KEK's Multicast. What is not set is
	// written as address 0.0.0.0 and port 0, "any": a server of unicast PUSHes sends the same datagram to all of its members.
	PushFrom netip.AddrPort

	// SenderIDs are one member's own (section 3.5): in message 4 of a PULL and nowhere else. A member that sends with a TEK that
	// Counts needs one.
	SenderIDs *SenderIDs

	// LKH are one member's keys of the hierarchy that the KEK is the root of (section 5.6.3): in message 4 of a PULL, in place of
	// the KEK alone, and in what OpenPush returns. nil: the KEK is the root of none.
	LKH *lkh.Keys
	// Updates tell the members of a hierarchy the KEK, which the message does not hold otherwise: in a PUSH that is written.
	Updates []lkh.Update
}

// SenderIDs are numbers of a fixed length in bits that no other sender of the group has (RFC 6407 section 5.6.4).
type SenderIDs struct {
	Bits   int      // 1 to 32; RFC 6054 wants 8, 12 and 16
	Values []uint32 // 1 to MaxSenderIDs
}

// checkSenderIDs holds for writing and for reading.
func checkSenderIDs(s *SenderIDs) error {
	switch {
	case s.Bits < 1 || s.Bits > maxSenderBits:
		return refuse(ErrForm, "sender IDs of %d bits, want 1 to %d", s.Bits, maxSenderBits)
	case len(s.Values) == 0 || len(s.Values) > MaxSenderIDs:
		return refuse(ErrForm, "%d sender IDs, want 1 to %d", len(s.Values), MaxSenderIDs)
	}
	for i, v := range s.Values {
		if uint64(v)>>s.Bits != 0 || slices.Contains(s.Values[:i], v) {
			return refuse(ErrForm, "sender ID %d in %d bits, or twice", v, s.Bits)
		}
	}
	return nil
}

// Zero destroys the key material.
func (p *Policy) Zero() {
	if p == nil {
		return
	}
	p.KEK.Zero()
	p.LKH.Zero()
	for i := range p.TEKs {
		p.TEKs[i].Zero()
	}
}

// Check reports the first part of p that cannot be written: more TEKs or match-policies than the limits or than a datagram
// holds, a key whose length is not its algorithm's, a reserved or repeated SPI, an anti-replay window
// that cannot be, a signature key that is not SigAlg's or under
// the floor (RSA of 2048 bits, exponent 65537), a hash that does not go with it, a prefix that is not IPv4, RFC 8052's CBC
// without authentication, a hierarchy whose root is not the KEK. The Append functions and PushMessage panic on what Check refuses, so whoever makes policy from a
// configuration checks it before it is committed to.
func (p *Policy) Check() error {
	if err := p.shape(); err != nil || p.KEK == nil {
		return err
	}
	_, err := parsePublic(p.KEK.SigPublic, p.KEK.SigAlg)
	return err
}

// shape is Check without a look into the signature key, which takes longer than all the rest.
func (p *Policy) shape() error {
	if p.KEK == nil && len(p.TEKs) == 0 {
		return refuse(ErrForm, "policy with neither KEK nor TEK")
	}
	for _, d := range []time.Duration{p.ActivationDelay, p.DeactivationDelay} {
		if d < 0 || d%time.Second != 0 || d > 65535*time.Second {
			return refuse(ErrForm, "policy: delay %v, want whole seconds up to 65535", d)
		}
	}
	if a := p.PushFrom.Addr(); a.IsValid() && !a.Is4() {
		return refuse(ErrUnsupported, "policy: PUSH address %v is not IPv4", a)
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
			return refuse(ErrForm, "policy: TEK SPI %#08x twice", t.SPI) // of another protocol too: key packets have no protocol
		}
		seen[t.SPI] = true
		if total += len(t.Policies); total > MaxPolicies {
			return refuse(ErrForm, "policy: more than %d match-policies", MaxPolicies)
		}
		if err := checkTEK(t); err != nil {
			return err
		}
	}
	if p.SenderIDs != nil {
		if err := checkSenderIDs(p.SenderIDs); err != nil {
			return err
		}
	}
	if err := checkLKH(p); err != nil {
		return err
	}
	if n := sizeSA(p) + sizeKD(p); n > maxPolicySize {
		return refuse(ErrForm, "policy: up to %d octets, at most %d fit a datagram", n, maxPolicySize)
	}
	return nil
}

func checkLKH(p *Policy) error {
	switch {
	case p.LKH == nil && p.Updates == nil:
		return nil
	case p.KEK == nil:
		return refuse(ErrForm, "policy: a key hierarchy without a KEK")
	case p.LKH != nil && p.Updates != nil:
		return refuse(ErrForm, "policy: a member's keys of a hierarchy and updates for others")
	case p.LKH != nil:
		return rootIs(p.LKH, p.KEK)
	case len(p.Updates) == 0:
		return refuse(ErrForm, "policy: updates of a hierarchy, but none")
	}
	for _, u := range p.Updates {
		if len(u.Keys) == 0 {
			return refuse(ErrForm, "policy: an update without keys")
		}
		for _, k := range u.Keys {
			if len(k.Data) != lkh.WrappedLen(p.KEK.KeyBits) {
				return refuse(ErrKeys, "policy: an encrypted key of %d octets for %d bits", len(k.Data), p.KEK.KeyBits)
			}
		}
	}
	return nil
}

// rootIs reports an error unless the KEK is the root of the keys: "The GM takes the last key in the array as the group KEK"
// (RFC 6407 section 3.3).
func rootIs(keys *lkh.Keys, k *sa.KEK) error {
	root := keys.Root().Data
	if keys.Bits() != k.KeyBits || !root[:len(k.IV)].Equal(k.IV[:]) || !root[len(k.IV):].Equal(k.Key) {
		return refuse(ErrKeys, "the last key of a hierarchy is not the KEK")
	}
	return nil
}

// checkKEK does not look into the signature key.
func checkKEK(k *sa.KEK) error {
	switch {
	case k.SPI == [16]byte{}:
		return refuse(ErrForm, "KEK with SPI zero")
	case !aesBits(k.KeyBits) || len(k.Key) != k.KeyBits/8:
		return refuse(ErrKeys, "KEK: key of %d octets for %d bits", len(k.Key), k.KeyBits)
	case k.Ack != 0 && ackHash(k.Ack) == nil:
		return refuse(ErrUnsupported, "KEK: acknowledgement type %d", k.Ack)
	case k.Multicast != nil && !isGroup(k.Multicast.Group):
		return refuse(ErrUnsupported, "KEK: %v is not an IPv4 multicast group", k.Multicast.Group)
	}
	if len(k.SigPublic) == 0 {
		return refuse(ErrKeys, "KEK without a signature key")
	}
	return checkSigHash(k.SigAlg, k.SigHash)
}

func isGroup(a netip.AddrPort) bool { return a.Addr().Is4() && a.Addr().IsMulticast() }

// checkSigHash reports an error unless the hash is known and goes with the algorithm.
func checkSigHash(alg sa.SigAlg, h sa.Hash) error {
	if _, _, err := digest(h, nil); err != nil {
		return err
	}
	if want := alg.Hash(); want != 0 && h != want {
		return refuse(ErrUnsupported, "signature %v with %v, it goes with %v", alg, h, want)
	}
	return nil
}

func checkTEK(t *sa.TEK) error {
	key, auth, ok := t.KeyLengths()
	switch {
	case t.IEC61850 != nil && !ok:
		return refuse61850(t)
	case !ok || len(t.Key) != key || len(t.AuthKey) != auth:
		return refuse(ErrKeys, "TEK %#08x: keys of %d and %d octets for %d bits", t.SPI, len(t.Key), len(t.AuthKey), t.KeyBits)
	case t.IEC61850 != nil:
		return check61850(t)
	case !t.WindowSound():
		return refuse(ErrForm, "TEK %#08x: anti-replay window %v, want whole milliseconds up to %v", t.SPI, t.Window, sa.MaxWindow)
	case t.SPI < minSPI:
		return refuse(ErrForm, "TEK: SPI %#08x is reserved", t.SPI)
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

// check61850 holds for writing and for reading; the keys are looked at elsewhere.
func check61850(t *sa.TEK) error {
	x := t.IEC61850
	switch {
	case t.SPI == 0:
		return refuse(ErrForm, "IEC 61850 TEK: SPI zero")
	case !x.Selector.Sound():
		return refuse(ErrForm, "IEC 61850 TEK %#08x: OID of %d octets with a payload of %d are not DER", t.SPI, len(x.Selector.OID), len(x.Selector.Payload))
	case x.Assurance > 100:
		return refuse(ErrForm, "IEC 61850 TEK %#08x: key delivery assurance of %d per cent", t.SPI, x.Assurance)
	case len(t.Policies) != 0 || t.Cipher != 0 || t.KeyBits != 0 || t.Window != 0:
		return refuse(ErrForm, "IEC 61850 TEK %#08x: with match-policies, a cipher or an anti-replay window, for ESP", t.SPI)
	}
	return nil
}

// refuse61850 names what is wrong with algorithms that have no key lengths.
func refuse61850(t *sa.TEK) error {
	x := t.IEC61850
	if x.Auth == sa.AuthNone && (x.Enc == sa.EncCBC128 || x.Enc == sa.EncCBC256) {
		// "MUST NOT be used with the NONE authentication algorithm" (RFC 8052 section 2.2.3)
		return refuse(ErrUnsupported, "IEC 61850 TEK %#08x: AES-CBC with authentication NONE", t.SPI)
	}
	return refuse(ErrUnsupported, "IEC 61850 TEK %#08x: authentication %d with encryption %d", t.SPI, x.Auth, x.Enc)
}

// mustCheck is for the encoders: writing what Check refuses would put lengths or counts on the wire that lie. Whoever needs
// the signature key to be one finds out when reading it.
func mustCheck(p *Policy) {
	if err := p.shape(); err != nil {
		panic(err)
	}
}

func aesBits(n int) bool { return n == 128 || n == 192 || n == 256 }

// mustPull is mustCheck for a PULL, which nobody else gets: it has no use for updates.
func mustPull(p *Policy) {
	mustCheck(p)
	if p.Updates != nil {
		panic(refuse(ErrForm, "policy: updates of a hierarchy in a PULL"))
	}
}

// sizeSA and sizeKD are the most octets that the payloads of a Policy have, generic header and all, under any Options. Buffers
// are made by them, so that append never moves a key and leaves it behind.
func sizeSA(p *Policy) int {
	n := isakmp.GenericLen + 12 + 4 + 8 + sizeWindows(p) // GAP
	if p.KEK != nil {
		n += 4 + 1 + 2*9 + 16 + 6 + 7*4 + 8
	}
	for i := range p.TEKs {
		if x := p.TEKs[i].IEC61850; x != nil {
			n += 4 + 1 + 1 + len(x.Selector.OID) + 2 + len(x.Selector.Payload) + 12 + 8 + 4
		}
		n += len(p.TEKs[i].Policies) * (4 + 1 + 1 + 2*13 + 5 + 4*4 + 8)
	}
	return n
}

func sizeKD(p *Policy) int {
	n := isakmp.GenericLen + 4
	for i := range p.TEKs {
		n += 5 + 4 + 8 + len(p.TEKs[i].Key) + len(p.TEKs[i].AuthKey)
	}
	if k := p.KEK; k != nil {
		n += 5 + 16 + 4 + 4 + len(k.SigPublic)
		switch {
		case p.LKH != nil:
			n += 4 + p.LKH.Len()*(lkhKeyHead+lkh.DataLen(k.KeyBits))
		case p.Updates != nil:
			n += SizeUpdates(p.Updates)
		default:
			n += len(k.IV) + len(k.Key)
		}
	}
	if p.SenderIDs != nil {
		n += 5 + 4 + 8*len(p.SenderIDs.Values)
	}
	return n
}

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
