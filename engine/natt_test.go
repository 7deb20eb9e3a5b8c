package engine

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/server"
)

// Two members behind one NAT register with a server, get a push each and acknowledge it, all of it over port 4500 (RFC 6407 section
// 2.2, RFC 3947). Then the NAT forgets one of them: the server follows it with its next message that is authenticated.
func TestMembersBehindNAT(t *testing.T) {
	const outside, gm1, gm2 = "203.0.113.1", "10.0.0.1", "10.0.0.2"
	l := newLAN(t)
	ks, a, b := l.add(rootAddr, 1), l.add(gm1, 2), l.add(gm2, 3)
	outer := netip.MustParseAddr(outside)
	out, in, next := map[netip.AddrPort]uint16{}, map[uint16]netip.AddrPort{}, uint16(20000)
	l.nat = func(from, to netip.AddrPort, o []byte) (netip.AddrPort, netip.AddrPort) {
		if marked := len(o) > 1 && bytes.HasPrefix(o, make([]byte, 4)); len(o) > 1 && marked != (from.Port() == ike.NATPort || to.Port() == ike.NATPort) {
			t.Errorf("%v to %v: %x", from, to, o[:4])
		}
		if from.Addr().IsPrivate() {
			if out[from] == 0 {
				next++
				out[from], in[next] = next, from
			}
			return netip.AddrPortFrom(outer, out[from]), to
		}
		return from, in[to.Port()]
	}
	serve := func(name, host string) step.GatewayChange {
		g := peer(name, step.Server, rootAddr, outside, false)
		g.RemoteID = step.Identity{Kind: step.Hostname, Value: host}
		return step.GatewayChange{New: g}
	}
	ks.Apply(l.now, &step.Plan{
		MemberLimit: 10,
		Commit:      1,
		Gateways:    []step.GatewayChange{serve("GM1", "gm1.example.net"), serve("GM2", "gm2.example.net")},
		Groups:      []step.GroupChange{{New: group(step.Standalone, []string{"GM1", "GM2"}, nil)}},
		Effects:     []step.Effect{{Row: "1.14", Kind: step.GenerateKEK, Group: "G"}, {Row: "1.14", Kind: step.GenerateTEK, Group: "G"}},
	})
	l.settle()
	for e, local := range map[*Engine]string{a: gm1, b: gm2} {
		p := memberPlan(1)
		p.Gateways[0].New = peer("G", step.Member, local, rootAddr, false)
		p.Gateways[0].New.LocalID = step.Identity{Kind: step.Hostname, Value: map[string]string{gm1: "GM1.example.net", gm2: "gm2.example.net"}[local]}
		p.VPNs[0].New.Group = 7
		e.Apply(l.now, p)
	}
	l.pass(time.Second)
	members := ks.State().Server.Groups[0].Members
	if len(members) != 2 || members[0].Remote.Addr() != outer || members[1].Remote.Addr() != outer || members[0].Remote == members[1].Remote ||
		members[0].Local.Port() != ike.NATPort {
		t.Fatalf("members: %+v", members)
	}
	rekey := func(want uint64) {
		t.Helper()
		if err := ks.Do(l.now, server.Rekey{Group: "G", TEK: true}); err != nil {
			t.Fatal(err)
		}
		l.pass(5 * time.Second)
		if s := ks.State().Server.Groups[0].Statistics; s.PushAcknowledged != want {
			t.Errorf("%d pushes acknowledged, want %d: %+v", s.PushAcknowledged, want, s)
		}
	}
	rekey(2)
	l.pass(time.Minute)
	if n := ks.State().Refused.Keepalives; n < 5 {
		t.Errorf("%d keepalives", n)
	}

	clear(out)
	clear(in)
	before := members[0].Remote
	// Any exchange will do: this one is refused by the server, who has no group 99.
	p := memberPlan(2)
	p.VPNs[0].New.Name, p.VPNs[0].New.Group = "W", 99
	p.Effects[0].VPN = "W"
	p.Gateways = nil
	a.Apply(l.now, p)
	l.pass(time.Second)
	for _, m := range ks.State().Server.Groups[0].Members {
		if m.Gateway == "GM1" && (m.Remote == before || m.Remote.Addr() != outer) {
			t.Errorf("the server still thinks that the member is at %v", m.Remote)
		}
	}
	if n := len(ks.State().Server.Groups[0].Members); n != 2 {
		t.Errorf("%d members", n)
	}
}
