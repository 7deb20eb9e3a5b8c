package engine

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/sa"
)

// All members hear one message: they must read it alike, and know its source. A gateway that changes later is held to it too, and one
// that no group with multicast has is not.
func TestMulticastNeedsGatewaysThatAgree(t *testing.T) {
	member := func(name, local string, quirk bool) step.GatewayChange {
		g := gateway(name, step.Server, "198.51.100."+strings.TrimPrefix(name, "m"))
		g.Local = netip.Addr{}
		if local != "" {
			g.Local = netip.MustParseAddr(local)
		}
		g.Quirks.PaddedLength = quirk
		return step.GatewayChange{New: g}
	}
	group := func(members ...string) []step.GroupChange {
		return []step.GroupChange{{New: &step.Group{
			Name: "G", ID: 1, Members: members, ActivationDelay: 15 * time.Second,
			Communication: &step.Communication{KeyBits: 256, SigHash: sa.SHA256, Lifetime: time.Hour, Retransmission: 10 * time.Second, Group: netip.MustParseAddr("239.1.1.1"), TTL: 64},
		}}}
	}
	ready := New(&stream{}, Options{})
	ready.Apply(start, &step.Plan{
		Commit: 1, MemberLimit: 10, Groups: group("m1", "m2"),
		Gateways: []step.GatewayChange{member("m1", "192.0.2.1", false), member("m2", "192.0.2.1", false), member("m3", "192.0.2.9", true)},
	})
	joins := group("m1", "m2", "m3")
	joins[0].Old = group("m1", "m2")[0].New
	for _, c := range []struct {
		name string
		e    *Engine
		p    step.Plan
		want string // "": nothing
	}{
		{"alike", New(&stream{}, Options{}), step.Plan{Groups: group("m1", "m2"), Gateways: []step.GatewayChange{member("m1", "192.0.2.1", true), member("m2", "192.0.2.1", true)}}, ""},
		{"any address", New(&stream{}, Options{}), step.Plan{Groups: group("m1", "m2"), Gateways: []step.GatewayChange{member("m1", "", true), member("m2", "", true)}}, ""},
		{"nobody", New(&stream{}, Options{}), step.Plan{Groups: group()}, ""},
		{"compatibility", New(&stream{}, Options{}), step.Plan{Groups: group("m1", "m2"), Gateways: []step.GatewayChange{member("m1", "192.0.2.1", false), member("m2", "192.0.2.1", true)}}, "m1 and m2, which differ in compatibility"},
		{"addresses", New(&stream{}, Options{}), step.Plan{Groups: group("m1", "m2"), Gateways: []step.GatewayChange{member("m1", "192.0.2.1", false), member("m2", "", false)}}, "m1 and m2, which have not the same local-address"},
		{"IPv6", New(&stream{}, Options{}), step.Plan{Groups: group("m1"), Gateways: []step.GatewayChange{member("m1", "2001:db8::1", false)}}, "local-address 2001:db8::1 of gateway m1: it is not IPv4"},
		{"a gateway of a group that stays", ready, step.Plan{Gateways: []step.GatewayChange{member("m2", "192.0.2.1", true)}}, "differ in compatibility"},
		{"both of its gateways", ready, step.Plan{Gateways: []step.GatewayChange{member("m1", "192.0.2.2", true), member("m2", "192.0.2.2", true)}}, ""},
		{"a gateway of no group", ready, step.Plan{Gateways: []step.GatewayChange{member("m3", "192.0.2.7", true)}}, ""},
		{"a gateway that joins", ready, step.Plan{Groups: joins}, "m1 and m3"},
	} {
		err := c.e.Prepare(&c.p)
		if c.want == "" && err != nil && strings.Contains(err.Error(), "multicast") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
