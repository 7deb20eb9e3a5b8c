package effect

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gvpn/commit/step"
	"gvpn/sa"
)

// What server-member-communication says reaches the engine as what it is, Junos's words and ours.
func TestCommunicationWords(t *testing.T) {
	for words, want := range map[string]func(*step.Communication){
		"lifetime-seconds 3600":         func(*step.Communication) {},
		"sig-hash-algorithm sha-384":    func(c *step.Communication) { c.SigHash = sa.SHA384 },
		"sig-hash-algorithm sha-512":    func(c *step.Communication) { c.SigHash = sa.SHA512 },
		"signature-algorithm ecdsa-256": func(c *step.Communication) { c.SigAlg = sa.ECDSA256 },
		"signature-algorithm ecdsa-384": func(c *step.Communication) { c.SigAlg, c.SigHash = sa.ECDSA384, sa.SHA384 },
		"key-hierarchy":                 func(c *step.Communication) { c.Hierarchy = true },
		"acknowledgements none":         func(c *step.Communication) { c.NoAck = true },
		"acknowledgements sha-256":      func(*step.Communication) {},
		"acknowledgements sha-512":      func(c *step.Communication) { c.AckHash = sa.SHA512 },
		"communication-type unicast":    func(*step.Communication) {},
		"communication-type multicast multicast-group 239.1.1.1": func(c *step.Communication) {
			c.Group, c.TTL = netip.MustParseAddr("239.1.1.1"), 64
		},
		"communication-type multicast multicast-group 239.1.1.1 multicast-outgoing-interface eth1 multicast-ttl 8": func(c *step.Communication) {
			c.Group, c.TTL, c.Interface = netip.MustParseAddr("239.1.1.1"), 8, "eth1"
		},
	} {
		before := newView(load(t, base(t, "standalone"), "set security group-vpn server group G1 server-member-communication lifetime-seconds 3600")).group("G1").Communication
		got := newView(load(t, base(t, "standalone"), "set security group-vpn server group G1 server-member-communication "+words)).group("G1").Communication
		want(before)
		before.Lifetime = got.Lifetime
		if diff := cmp.Diff(before, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: -want +got\n%s", words, diff)
		}
	}
}
