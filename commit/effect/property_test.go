package effect

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gvpn/commit/diff"
	"gvpn/commit/step"
	"gvpn/config"
)

// edits are lines that random configurations are made of; those after which the configuration is invalid are passed over.
var edits = func() []string {
	lines := []string{
		"delete security group-vpn server", "delete security group-vpn member", "delete security",
		"set security group-vpn server ike proposal IP encryption-algorithm aes-128-cbc",
		"delete security group-vpn server ike proposal IP encryption-algorithm",
		"set security group-vpn server ike policy GMs pre-shared-key hexadecimal abc",
		"set security group-vpn server ike policy Peers description text",
		"set security group-vpn server ike policy GMs proposals IQ",
		"delete security group-vpn server ike policy GMs proposals IP",
		"set security group-vpn server ike gateway P1 dead-peer-detection interval 20",
		"set security group-vpn server ike gateway M1 address 127.9.9.9",
		"delete security group-vpn server ike gateway M2", "delete security group-vpn server ike gateway M1",
		"delete security group-vpn server ike gateway M1 address",
		"set security group-vpn server ipsec proposal TP lifetime-seconds 200",
		"set security group-vpn member ike policy K pre-shared-key ascii-text other",
		"set security group-vpn member ike gateway S server-address 127.0.0.9",
		"delete security group-vpn member ike gateway S server-address 127.0.0.1",
		"delete security group-vpn member ike gateway T server-address",
		"deactivate security group-vpn server group G1", "activate security group-vpn server group G1",
		"deactivate security group-vpn server ike gateway M1", "activate security group-vpn server ike gateway M1",
		"set security ipsec-policy from-zone LAN to-zone DMZ ipsec-group-vpn V2", "delete security ipsec-policy",
		"set system host-name a",
	}
	for _, v := range []string{"V1", "V2", "V3"} {
		vpn := "security group-vpn member ipsec vpn " + v
		lines = append(lines, "set "+vpn+" ike-gateway T", "set "+vpn+" group 3", "set "+vpn+" df-bit copy", "delete "+vpn,
			"set "+vpn+" fail-open rule r application x", "set "+vpn+" recovery-probe", "deactivate "+vpn)
	}
	for _, g := range []string{"G1", "G2", "G3"} {
		lines = append(lines, groupEdits(g)...)
	}
	return lines
}()

func groupEdits(g string) []string {
	group := "security group-vpn server group " + g
	lines := []string{
		"set " + group + " group-id 1" + g[1:], "delete " + group, "set " + group + " ike-gateway M1",
		"delete " + group + " ike-gateway M1", "set " + group + " ike-gateway M2", "delete " + group + " ike-gateway M2",
		"set " + group + " server-cluster server-role root-server", "set " + group + " server-cluster server-role sub-server",
		"delete " + group + " server-cluster", "set " + group + " server-cluster ike-gateway P1", "set " + group + " server-cluster ike-gateway P2",
		"delete " + group + " server-cluster ike-gateway P1", "delete " + group + " server-cluster ike-gateway P2",
		"set " + group + " server-cluster retransmission-period 5",
		"set " + group + " server-member-communication sig-hash-algorithm sha-384", "delete " + group + " server-member-communication",
		"set " + group + " anti-replay-time-window 100", "delete " + group + " anti-replay-time-window",
		"set " + group + " no-anti-replay", "delete " + group + " no-anti-replay", "set " + group + " member-threshold 4",
		"set " + group + " group-id 2" + g[1:],
	}
	for _, s := range []string{"A", "B"} {
		sa := group + " ipsec-sa " + s
		lines = append(lines, "set "+sa+" proposal TP", "set "+sa+" proposal TQ", "set "+sa+" match-policy 1 protocol 6", "delete "+sa,
			"set "+sa+" match-policy 2 protocol 17", "delete "+sa+" match-policy 1")
	}
	return lines
}

// draw makes a valid configuration from one. Lines come in bunches that must be valid together.
func draw(t *rapid.T, tree config.Tree, label string) config.Tree {
	for range rapid.IntRange(1, 12).Draw(t, label) {
		next := tree
		for range rapid.IntRange(1, 4).Draw(t, "lines") {
			from := edits
			if rapid.Bool().Draw(t, "G1") { // so that one group has many changes at once
				from = groupEdits("G1")
			}
			if made, errs := next.LoadSet(nil, "edit", []byte(rapid.SampledFrom(from).Draw(t, "line"))); errs.Err() == nil {
				next = made
			}
		}
		if errs, _ := next.Effective().Validate(config.Tree{}); len(errs) == 0 {
			tree = next
		}
	}
	return tree
}

// conf is what engines hold: the New sides of all plans so far.
type conf struct {
	gateways map[string]step.Gateway
	groups   map[string]step.Group
	vpns     map[string]step.VPN
}

func (c *conf) apply(t *rapid.T, p *step.Plan) {
	apply(t, c.gateways, p.Gateways, func(x step.GatewayChange) (*step.Gateway, *step.Gateway) { return x.Old, x.New },
		func(g step.Gateway) string { return g.Name })
	apply(t, c.groups, p.Groups, func(x step.GroupChange) (*step.Group, *step.Group) { return x.Old, x.New },
		func(g step.Group) string { return g.Name })
	apply(t, c.vpns, p.VPNs, func(x step.VPNChange) (*step.VPN, *step.VPN) { return x.Old, x.New },
		func(v step.VPN) string { return v.Name })
}

// apply carries changes out, and wants each to be a difference from what is there, and the list to be sorted.
func apply[T, C any](t *rapid.T, have map[string]T, changes []C, sides func(C) (*T, *T), name func(T) string) {
	last := ""
	for _, c := range changes {
		o, n := sides(c)
		if o == nil && n == nil || reflect.DeepEqual(o, n) {
			t.Fatalf("a change that changes nothing: %+v", c)
		}
		key := ""
		if o != nil {
			key = name(*o)
		} else {
			key = name(*n)
		}
		was, ok := have[key]
		if ok != (o != nil) || ok && !reflect.DeepEqual(was, *o) {
			t.Fatalf("%s: the change says that it was %+v, it was %+v", key, o, was)
		}
		if key <= last {
			t.Fatalf("%s after %s: not sorted", key, last)
		}
		last = key
		delete(have, key)
		if n != nil {
			have[key] = *n
		}
	}
}

func newConf() *conf {
	return &conf{map[string]step.Gateway{}, map[string]step.Group{}, map[string]step.VPN{}}
}

// TestPlanProperties: a plan mentions what differs and nothing else, holds every effect once, and leaves engines with the
// configuration that a fresh start would give them.
func TestPlanProperties(t *testing.T) {
	bases := map[string]config.Tree{}
	for _, role := range []string{"standalone", "root-server", "sub-server", "member"} {
		bases[role] = base(t, role)
	}
	rapid.Check(t, func(t *rapid.T) {
		role := rapid.SampledFrom([]string{"standalone", "root-server", "sub-server", "member"}).Draw(t, "role")
		a := draw(t, bases[role], "before")
		b := draw(t, a, "after")
		old, next := a.Effective(), b.Effective()
		make := func(old, next config.Tree) *step.Plan {
			p, err := Plan(old, next, diff.Diff(old, next))
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		if p := make(next, next); !p.Empty() || len(p.Quiet) > 0 {
			t.Fatalf("from a configuration to itself: %s", AppendText(nil, p, nil))
		}

		p := make(old, next)
		// The lines that come out do not depend on what the two trees share.
		unshared, errs := config.Tree{}.LoadSet(nil, "copy", config.AppendSet(nil, next.Root()))
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		if q := make(old, unshared); !reflect.DeepEqual(p, q) {
			t.Fatalf("plan\n%s\nfrom a copy\n%s", AppendText(nil, p, nil), AppendText(nil, q, nil))
		}

		stepwise, fresh := newConf(), newConf()
		start := make(config.Tree{}, old)
		stepwise.apply(t, start)
		before := *newConf()
		before.apply(t, start)
		stepwise.apply(t, p)
		fresh.apply(t, make(config.Tree{}, next))
		if !reflect.DeepEqual(stepwise, fresh) {
			t.Fatalf("stepwise %+v\nfresh %+v", stepwise, fresh)
		}
		checkEffects(t, p, before, fresh)
	})
}

// checkEffects holds the effects of a plan to the rules around the tables.
func checkEffects(t *rapid.T, p *step.Plan, before conf, after *conf) {
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), AppendText(nil, p, nil))
	}
	gateways, groups, vpns := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range p.Gateways {
		for _, g := range []*step.Gateway{c.Old, c.New} {
			if g != nil {
				gateways[g.Name] = true
			}
		}
	}
	for _, c := range p.Groups {
		for _, g := range []*step.Group{c.Old, c.New} {
			if g != nil {
				groups[g.Name] = true
			}
		}
	}
	for _, c := range p.VPNs {
		for _, v := range []*step.VPN{c.Old, c.New} {
			if v != nil {
				vpns[v.Name] = true
			}
		}
	}
	differs := func(gateway string) bool { // itself, or in a group or VPN that does
		if gateways[gateway] {
			return true
		}
		for name := range groups {
			if slices.Contains(before.groups[name].Members, gateway) || slices.Contains(before.groups[name].Peers, gateway) {
				return true
			}
		}
		for name := range vpns {
			if before.vpns[name].Gateway == gateway {
				return true
			}
		}
		return false
	}

	seen := map[step.Effect]bool{}
	noKEK := map[string]bool{} // groups whose KEK is gone so far
	tek := map[string]bool{}   // group and SA: has a TEK
	for name, g := range before.groups {
		for _, s := range g.SAs {
			tek[name+" "+s.Name] = true
		}
	}
	init := false
	for _, e := range p.Effects {
		key := e
		key.Row = ""
		if seen[key] {
			fail("%v twice", e)
		}
		seen[key] = true
		switch {
		case e.Kind == "":
			fail("an effect that is none")
		case e.VPN != "" && !vpns[e.VPN] && !gateways[before.vpns[e.VPN].Gateway]:
			fail("%v: vpn %s does not differ", e, e.VPN)
		case e.Group != "" && !groups[e.Group] && !gateways[e.Gateway]:
			fail("%v: group %s does not differ", e, e.Group)
		case e.Gateway != "" && !differs(e.Gateway):
			fail("%v: gateway %s does not differ", e, e.Gateway)
		case strings.HasPrefix(string(e.Kind), "generate") && after.groups[e.Group].Role == step.SubServer:
			fail("%v: the root alone generates keys", e)
		}
		switch e.Kind {
		case step.DeleteKEK, step.DeleteKeys:
			noKEK[e.Group] = true
		case step.GenerateKEK, step.RekeyKEK:
			noKEK[e.Group] = false
		case step.SendDeleteToMembers, step.SendTEKToMembers, step.SendDeleteAllToMembers, step.SendKEKToMembers:
			if noKEK[e.Group] && before.groups[e.Group].Communication != nil {
				fail("%v: after the deletion of the KEK that it needs", e)
			}
		}
		if init && e.Kind != step.StartClusterInit && e.VPN == "" && e.Row[0] != '3' {
			fail("%v: after a start-cluster-init", e)
		}
		init = init || e.Kind == step.StartClusterInit
		for _, g := range []step.Group{before.groups[e.Group], after.groups[e.Group]} {
			for _, s := range g.SAs {
				if e.SA != "" && e.SA != s.Name {
					continue
				}
				switch e.Kind {
				case step.DeleteKeys, step.DeleteTEK:
					tek[e.Group+" "+s.Name] = false
				case step.GenerateTEK, step.RekeyTEK:
					tek[e.Group+" "+s.Name] = true
				}
			}
		}
	}
	for name, g := range after.groups {
		for _, s := range g.SAs {
			if g.Role != step.SubServer && !tek[name+" "+s.Name] {
				fail("ipsec-sa %s of group %s has no TEK at the end (T13)", s.Name, name)
			}
		}
	}
}
