package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"net/netip"

	"gvpn/commit/step"
	"gvpn/sa"
)

const communication = "server-member-communication"

// parts are the parts of a group's configuration that must be the same on every server of its cluster (V8, V9): all of it but
// its gateways and its server-cluster. Their order is the wire's.
var parts = [...]struct {
	name  string // as the configuration calls it
	add   func(h hash.Hash, g *step.Group)
	count func(c *Counters) *uint64 // where a difference counts; nil for none of its own
}{
	{"group-id", func(h hash.Hash, g *step.Group) {
		number(h, uint64(g.ID))
		if x := g.Selector; x != (sa.Selector{}) { // ours, as below: servers without it keep their digest
			text(h, x.OID)
			text(h, x.Payload)
		}
	}, nil},
	{"member-threshold", func(h hash.Hash, g *step.Group) { number(h, uint64(g.MemberThreshold)) }, nil},
	{"activation-time-delay", func(h hash.Hash, g *step.Group) { number(h, uint64(g.ActivationDelay.Milliseconds())) }, nil},
	{"deactivation-time-delay", func(h hash.Hash, g *step.Group) { number(h, uint64(g.DeactivationDelay.Milliseconds())) }, nil},
	{"anti-replay-time-window", func(h hash.Hash, g *step.Group) { number(h, uint64(g.Window().Milliseconds())) }, nil},
	{"sender-id-bits", func(h hash.Hash, g *step.Group) { number(h, uint64(g.SenderIDBits)) }, nil},
	{communication, addCommunication, func(c *Counters) *uint64 { return &c.KEKDiffers }},
	{"match-policy", addPolicies, func(c *Counters) *uint64 { return &c.PolicyDiffers }},
	{"proposal", addProposals, func(c *Counters) *uint64 { return &c.ProposalDiffers }},
}

// digest is the digests of the parts: the first octets of SHA-256 over an unambiguous form of each. It is no secret and no
// protection: the IKE SA is. It only shows a difference.
type digest [len(parts)][digestLength]byte

func digestOf(g *step.Group) (d digest) {
	for i, p := range parts {
		h := sha256.New()
		p.add(h, g)
		copy(d[i][:], h.Sum(nil))
	}
	return d
}

// differs names the parts in which d and e differ.
func (d digest) differs(e digest) (names []string) {
	for i, p := range parts {
		if d[i] != e[i] {
			names = append(names, p.name)
		}
	}
	return names
}

// nothing is the digest of a part that is not configured.
var nothing = [digestLength]byte(sha256.New().Sum(nil))

// add counts the parts in which two servers' digests differ (V8).
func (c *Counters) add(d, e digest) {
	for i, p := range parts {
		switch {
		case d[i] == e[i] || p.count == nil:
		case p.name == communication && (d[i] == nothing || e[i] == nothing):
			c.CommunicationDiffers++
		default:
			*p.count(c)++
		}
	}
}

func number(h hash.Hash, n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	h.Write(b[:])
}

func text(h hash.Hash, s string) {
	number(h, uint64(len(s)))
	h.Write([]byte(s))
}

func prefix(h hash.Hash, p netip.Prefix) {
	if !p.IsValid() { // any
		p = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	text(h, p.Masked().String())
}

func addCommunication(h hash.Hash, g *step.Group) {
	c := g.Communication
	if c == nil {
		return
	}
	for _, n := range []uint64{
		uint64(c.KeyBits), uint64(c.SigHash), uint64(c.Lifetime.Milliseconds()),
		uint64(c.Retransmission.Milliseconds()), uint64(c.Retries),
	} {
		number(h, n)
	}
	text(h, c.Certificate)
	// What is ours is added only where it is said, so that servers without it keep their digest.
	if c.SigAlg != 0 || c.AckHash != 0 || c.NoAck || c.Hierarchy {
		text(h, fmt.Sprint(c.SigAlg, c.AckHash, c.NoAck, c.Hierarchy))
	}
}

// addPolicies adds which traffic each SA is for.
func addPolicies(h hash.Hash, g *step.Group) {
	for _, x := range g.SAs {
		text(h, x.Name)
		number(h, uint64(len(x.Policies)))
		for _, p := range x.Policies {
			text(h, p.Name)
			prefix(h, p.Source)
			prefix(h, p.Destination)
			number(h, uint64(p.SourcePort)<<32|uint64(p.DestinationPort)<<16|uint64(p.Protocol))
		}
		if i := x.IEC61850; i != nil {
			text(h, i.Selector.OID)
			text(h, i.Selector.Payload)
		}
	}
}

// addProposals adds how each SA protects it.
func addProposals(h hash.Hash, g *step.Group) {
	for _, x := range g.SAs {
		text(h, x.Name)
		number(h, uint64(x.Cipher)<<32|uint64(x.KeyBits))
		number(h, uint64(x.Lifetime.Milliseconds()))
		if i := x.IEC61850; i != nil {
			text(h, fmt.Sprint(i.Auth, i.Enc, i.Assurance, i.HasAssurance))
		}
	}
}
