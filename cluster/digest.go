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

// parts are the parts of a group's configuration that must be the same on every server of its cluster (V8, V9): all of it but
// its gateways and its server-cluster. Their order is the wire's.
var parts = [...]struct {
	name string // as the configuration calls it
	add  func(h hash.Hash, g *step.Group)
}{
	{"group-id", func(h hash.Hash, g *step.Group) {
		number(h, uint64(g.ID))
		if x := g.Selector; x != (sa.Selector{}) { // ours, as below: servers without it keep their digest
			text(h, fmt.Sprintf("%x %x", x.OID, x.Payload))
		}
	}},
	{"member-threshold", func(h hash.Hash, g *step.Group) { number(h, uint64(g.MemberThreshold)) }},
	{"activation-time-delay", func(h hash.Hash, g *step.Group) {
		number(h, uint64(g.ActivationDelay.Milliseconds()))
		if d := g.DeactivationDelay; d != 0 { // ours: servers without it keep their digest
			number(h, uint64(d.Milliseconds()))
		}
	}},
	{"anti-replay-time-window", func(h hash.Hash, g *step.Group) { number(h, uint64(g.AntiReplayWindow.Milliseconds())) }},
	{"server-member-communication", addCommunication},
	{"ipsec-sa", addSAs},
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

func addSAs(h hash.Hash, g *step.Group) {
	for _, x := range g.SAs {
		text(h, x.Name)
		number(h, uint64(x.Cipher)<<32|uint64(x.KeyBits))
		number(h, uint64(x.Lifetime.Milliseconds()))
		number(h, uint64(len(x.Policies)))
		for _, p := range x.Policies {
			text(h, p.Name)
			prefix(h, p.Source)
			prefix(h, p.Destination)
			number(h, uint64(p.SourcePort)<<32|uint64(p.DestinationPort)<<16|uint64(p.Protocol))
		}
		if i := x.IEC61850; i != nil {
			text(h, fmt.Sprintf("%x %x %d %d %d %t", i.Selector.OID, i.Selector.Payload, i.Auth, i.Enc, i.Assurance, i.HasAssurance))
		}
	}
}
