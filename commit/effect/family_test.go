package effect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"gvpn/commit/diff"
	"gvpn/commit/step"
	"gvpn/config"
)

// nodes walks the whole schema, keys aside, and configuration groups: what they bring is where it is inherited.
func nodes(visit func(path string, s *config.Schema)) {
	var walk func(s *config.Schema)
	walk = func(s *config.Schema) {
		for _, c := range s.Children() {
			if c.IsKey() || c.Everywhere() || c.Template() {
				continue
			}
			visit(strings.TrimPrefix(c.Path(), "security/"), c)
			if k := c.Kind(); k == config.List || k == config.Container || k == config.Presence {
				walk(c)
			}
		}
	}
	walk(config.Root())
}

// refused are nodes that no valid configuration of a member with a group VPN has.
var refused = []string{
	"group-vpn/member/ike/policy/certificate/trusted-ca/ca-index", "group-vpn/member/ike/policy/proposal-set", "services/service-set/next-hop-service",
	"services/service-set/sampling-service", "services/service-set/ipsec-vpn-rule", "services/service-set/ipsec-vpn-options",
	"group-vpn/server/traceoptions/no-remote-trace", "group-vpn/member/ike/traceoptions/no-remote-trace",
}

// TestEveryNodeHasARow counts: every node that a change can be about, and every operation on it, has a row of the tables or a
// stated reason for none; every row has a node, and every family names nodes and rows that there are.
func TestEveryNodeHasARow(t *testing.T) {
	count, used, named := 0, map[*family]bool{}, map[string]bool{}
	nodes(func(path string, s *config.Schema) {
		if s.Kind() == config.Container && lookup(path) == nil {
			return // what is in it counts
		}
		f := lookup(path)
		if f == nil {
			t.Errorf("%s: no row and no reason", path)
			return
		}
		used[f] = true
		for op, row := range map[string]string{"add": f.add, "change": f.modify, "delete": f.delete} {
			count++
			if row == "-" && f.why == "" {
				t.Errorf("%s, %s: no row and no reason", path, op)
			}
			for _, id := range strings.Fields(row) {
				named[id] = true
				if _, ok := rowIndex[id]; !ok && id != "-" {
					t.Errorf("%s, %s: there is no row %s", path, op, id)
				}
			}
		}
	})
	if count < 900 {
		t.Errorf("counted %d nodes and operations, fewer than there are", count)
	}
	for i := range families {
		if f := &families[i]; !used[f] {
			t.Errorf("%s: no such node", f.path)
		}
	}
	for _, r := range rows {
		if !named[r.ID] {
			t.Errorf("row %s: no node", r.ID)
		}
	}
}

// everything sets every leaf there is. {role} and {members} come from the role.
const everythingServer = `
set security group-vpn server traceoptions file filename a
set security group-vpn server traceoptions file size 1m
set security group-vpn server traceoptions file files 5
set security group-vpn server traceoptions file world-readable
set security group-vpn server traceoptions file match x
set security group-vpn server traceoptions level all
set security group-vpn server traceoptions flag ike
set security group-vpn server traceoptions gateway-filter local-address 127.0.0.1
set security group-vpn server traceoptions gateway-filter remote-address 127.0.0.1
set security group-vpn server ike proposal IP description text
set security group-vpn server ike proposal IP authentication-method pre-shared-keys
set security group-vpn server ike proposal IP dh-group group24
set security group-vpn server ike proposal IP authentication-algorithm sha-384
set security group-vpn server ike proposal IP encryption-algorithm aes-192-cbc
set security group-vpn server ike proposal IQ dh-group group24
set security group-vpn server ike policy K description text
set security group-vpn server ike policy K mode aggressive
set security group-vpn server ike policy K proposals IP
set security group-vpn server ike policy K pre-shared-key ascii-text secret
set security group-vpn server ike policy L mode aggressive
set security group-vpn server ike policy L proposals IP
set security group-vpn server ike policy L pre-shared-key hexadecimal 0123
set security group-vpn server ike gateway M1 ike-policy K
set security group-vpn server ike gateway M1 address 127.3.0.1
set security group-vpn server ike gateway M1 local-address 127.1.0.1
set security group-vpn server ike gateway M1 local-identity inet 127.1.0.1
set security group-vpn server ike gateway M1 remote-identity hostname m1
set security group-vpn server ike gateway M1 routing-instance x
set routing-instances x
set security group-vpn server ike gateway M2 ike-policy L
set security group-vpn server ike gateway M2 dynamic hostname m2
set security group-vpn server ike gateway M2 local-identity hostname s
set security group-vpn server ike gateway M3 ike-policy L
set security group-vpn server ike gateway M3 dynamic inet 127.3.0.3
set security group-vpn server ike gateway M3 local-identity user-at-hostname a@b
set security group-vpn server ike gateway M4 ike-policy L
set security group-vpn server ike gateway M4 dynamic user-at-hostname c@d
set security group-vpn server ike gateway M5 ike-policy L
set security group-vpn server ike gateway M5 address 127.3.0.5
set security group-vpn server ike gateway M5 remote-identity inet 127.3.0.5
set security group-vpn server ike gateway M6 ike-policy L
set security group-vpn server ike gateway M6 address 127.3.0.6
set security group-vpn server ike gateway M6 remote-identity user-at-hostname e@f
set security certificates local C1 "-----BEGIN CERTIFICATE-----"
set security certificates local C2 "-----BEGIN CERTIFICATE-----"
set security certificates trust-anchor A1 "-----BEGIN CERTIFICATE-----"
set security certificates trust-anchor A2 "-----BEGIN CERTIFICATE-----"
set security group-vpn server ike policy C proposals IC
set security group-vpn server ike policy C certificate local-certificate C1
set security group-vpn server ike policy C certificate trust-anchor A1
set security group-vpn server ike policy C certificate trust-anchor A2
set security group-vpn server ike proposal IC authentication-method rsa-signatures
set security group-vpn server ike gateway M7 ike-policy C
set security group-vpn server ike gateway M7 dynamic distinguished-name CN=m7
set security group-vpn server ike gateway M7 local-identity distinguished-name
set security group-vpn server ike gateway M8 ike-policy C
set security group-vpn server ike gateway M8 address 127.3.0.8
set security group-vpn server ike gateway M8 remote-identity distinguished-name CN=m8
set security group-vpn server ike gateway P1 ike-policy K
set security group-vpn server ike gateway P1 address 127.2.0.1
set security group-vpn server ike gateway P1 dead-peer-detection always-send
set security group-vpn server ike gateway P1 dead-peer-detection interval 20
set security group-vpn server ike gateway P1 dead-peer-detection threshold 4
set security group-vpn server ipsec proposal TP description text
set security group-vpn server ipsec proposal TP authentication-algorithm hmac-sha-256-128
set security group-vpn server ipsec proposal TP encryption-algorithm aes-192-cbc
set security group-vpn server ipsec proposal TP lifetime-seconds 7200
set security group-vpn server ipsec proposal TQ lifetime-seconds 300
set security group-vpn server group G1 description text
set security group-vpn server group G1 group-id 1
set security group-vpn server group G1 member-threshold 7
set security group-vpn server group G1 server-cluster server-role root-server
set security group-vpn server group G1 server-cluster ike-gateway P1
set security group-vpn server group G1 server-cluster retransmission-period 20
set security group-vpn server group G1 ike-gateway M1
set security group-vpn server group G1 ike-gateway M2
set security group-vpn server group G1 ike-gateway M3
set security group-vpn server group G1 ike-gateway M4
set security group-vpn server group G1 ike-gateway M5
set security group-vpn server group G1 ike-gateway M6
set security group-vpn server group G1 ike-gateway M7
set security group-vpn server group G1 ike-gateway M8
set security group-vpn server group G1 activation-time-delay 20
set security group-vpn server group G1 anti-replay-time-window 100
set security group-vpn server group G1 no-anti-replay
set security group-vpn server group G1 server-member-communication communication-type unicast
set security group-vpn server group G1 server-member-communication lifetime-seconds 7200
set security group-vpn server group G1 server-member-communication retransmission-period 20
set security group-vpn server group G1 server-member-communication number-of-retransmission 5
set security group-vpn server group G1 server-member-communication heartbeat 60
set security group-vpn server group G1 server-member-communication encryption-algorithm aes-192-cbc
set security group-vpn server group G1 server-member-communication sig-hash-algorithm sha-384
set security group-vpn server group G1 server-member-communication certificate c
set security group-vpn server group G1 server-member-communication acknowledgements sha-512
set security group-vpn server group G1 ipsec-sa A proposal TP
set security group-vpn server group G1 ipsec-sa A match-policy 1 source 10.0.0.0/8
set security group-vpn server group G1 ipsec-sa A match-policy 1 destination 10.0.0.0/8
set security group-vpn server group G1 ipsec-sa A match-policy 1 source-port 1
set security group-vpn server group G1 ipsec-sa A match-policy 1 destination-port 2
set security group-vpn server group G1 ipsec-sa A match-policy 1 protocol 17
set security group-vpn server group G2 group-id 2
set security group-vpn server ike gateway M1 compatibility host-order-group
set security group-vpn server ike gateway M1 compatibility sak-reserved-6
set security group-vpn server ike gateway M1 compatibility short-kek-lifetime
set security group-vpn server ike gateway M1 compatibility swapped-addresses
set security group-vpn server ike gateway M1 compatibility raw-signature
set security group-vpn server ike gateway M1 compatibility host-order-sender-id
set security group-vpn server ike gateway M1 compatibility padded-length
set security group-vpn server ike gateway M1 compatibility wide-identity-length
set security group-vpn server ike gateway M1 compatibility short-acknowledgement-key
set security group-vpn server group G2 server-member-communication lifetime-seconds 7200
set security group-vpn server group G2 sender-id-bits 12
set security group-vpn server member-limit 100
set security group-vpn server group G2 object-identity object-identifier 1.2.840.10070.61850.8.1.2
set security group-vpn server group G2 object-identity payload 233.252.0.1
set security group-vpn server group G2 iec61850-sa B object-identifier 1.2.840.10070.61850.8.1.2
set security group-vpn server group G2 iec61850-sa B payload 233.252.0.1
set security group-vpn server group G2 iec61850-sa B authentication-algorithm hmac-sha-256
set security group-vpn server group G2 iec61850-sa B encryption-algorithm aes-256-cbc
set security group-vpn server group G2 iec61850-sa B lifetime-seconds 7200
set security group-vpn server group G2 iec61850-sa B key-delivery-assurance 90
set security group-vpn server group G2 deactivation-time-delay 60
set security group-vpn server group G2 server-member-communication key-hierarchy
set security group-vpn server group G2 server-member-communication communication-type multicast
set security group-vpn server group G2 server-member-communication multicast-group 239.1.1.1
set security group-vpn server group G2 server-member-communication multicast-outgoing-interface eth1
set security group-vpn server group G2 server-member-communication multicast-ttl 8
set security group-vpn server group G2 server-member-communication signature-algorithm ecdsa-256
`

const everythingMember = `
set security zones security-zone LAN
set security zones security-zone WAN
set security group-vpn member ike traceoptions file filename a
set security group-vpn member ike traceoptions file size 1m
set security group-vpn member ike traceoptions file files 5
set security group-vpn member ike traceoptions file no-world-readable
set security group-vpn member ike traceoptions file match x
set security group-vpn member ike traceoptions level all
set security group-vpn member ike traceoptions flag ike
set security group-vpn member ike traceoptions gateway-filter local-address 127.0.0.1
set security group-vpn member ike traceoptions gateway-filter remote-address 127.0.0.1
set security group-vpn member ike proposal P description text
set security group-vpn member ike proposal P authentication-method pre-shared-keys
set security group-vpn member ike proposal P dh-group group24
set security group-vpn member ike proposal P authentication-algorithm sha-384
set security group-vpn member ike proposal P encryption-algorithm aes-192-cbc
set security group-vpn member ike proposal P lifetime-seconds 3600
set security group-vpn member ike proposal Q dh-group group24
set security group-vpn member ike policy K description text
set security group-vpn member ike policy K mode aggressive
set security group-vpn member ike policy K proposals P
set security group-vpn member ike policy K pre-shared-key ascii-text secret
set security group-vpn member ike policy L proposals P
set security group-vpn member ike policy L pre-shared-key hexadecimal 0123
set security group-vpn member ike gateway S ike-policy K
set security group-vpn member ike gateway S server-address 127.0.0.1
set security group-vpn member ike gateway S server-address 127.0.0.2
set security group-vpn member ike gateway S local-address 127.3.0.1
set security group-vpn member ike gateway S routing-instance x
set security group-vpn member ike gateway S compatibility host-order-group
set security group-vpn member ike gateway S compatibility sak-reserved-6
set security group-vpn member ike gateway S compatibility short-kek-lifetime
set security group-vpn member ike gateway S compatibility swapped-addresses
set security group-vpn member ike gateway S compatibility raw-signature
set security group-vpn member ike gateway S compatibility host-order-sender-id
set security group-vpn member ike gateway S compatibility padded-length
set security group-vpn member ike gateway S compatibility wide-identity-length
set security group-vpn member ike gateway S compatibility short-acknowledgement-key
set routing-instances x
set interfaces ge-0/0/1 unit 0
set applications application a description text
set applications application a protocol tcp
set applications application a source-port 1024-65535
set applications application a destination-port 80
set applications application a application-protocol http
set applications application a icmp-type echo-request
set applications application a icmp-code no-route
set applications application a icmp6-type echo-request
set applications application a icmp6-code no-route
set applications application a rpc-program-number 100000
set applications application a uuid 00-1
set applications application a inactivity-timeout 60
set applications application a term t alg http
set applications application a term t protocol tcp
set applications application a term t source-port 1024-65535
set applications application a term t destination-port 80
set applications application a term t icmp-type echo-request
set applications application a term t icmp-code no-route
set applications application a term t icmp6-type echo-request
set applications application a term t icmp6-code no-route
set applications application a term t rpc-program-number 100000
set applications application a term t uuid 00-1
set applications application a term t inactivity-timeout 60
set services service-interface-pools pool IP interface ge-0/0/1.0
set services service-set SS interface-service load-balancing-options hash-keys resource-triggered
set services service-set SS interface-service load-balancing-options hash-keys ingress-key source-ip
set services service-set SS interface-service load-balancing-options hash-keys egress-key oif
set services service-set SS tcp-mss 1400
set services service-set SS max-flows 1000
set services service-set SS interface-service service-interface ms-0/0/0.0
set services service-set SS ipsec-group-vpn V1
set security group-vpn member ike gateway S local-identity inet 127.3.0.1
set security group-vpn member ike gateway S remote-identity hostname s
set security group-vpn member ike gateway T ike-policy L
set security group-vpn member ike gateway T server-address 127.0.0.3
set security group-vpn member ike gateway T local-identity hostname m
set security group-vpn member ike gateway T remote-identity inet 127.0.0.3
set security group-vpn member ike gateway U ike-policy L
set security group-vpn member ike gateway U server-address 127.0.0.4
set security group-vpn member ike gateway U local-identity user-at-hostname a@b
set security group-vpn member ike gateway U remote-identity user-at-hostname c@d
set security certificates local C1 "-----BEGIN CERTIFICATE-----"
set security certificates local C2 "-----BEGIN CERTIFICATE-----"
set security certificates trust-anchor A1 "-----BEGIN CERTIFICATE-----"
set security certificates trust-anchor A2 "-----BEGIN CERTIFICATE-----"
set security group-vpn member ike policy C proposals PC
set security group-vpn member ike policy C certificate local-certificate C1
set security group-vpn member ike policy C certificate peer-certificate-type x509-signature
set security group-vpn member ike policy C certificate trust-anchor A1
set security group-vpn member ike policy C certificate trust-anchor A2
set security group-vpn member ike policy D proposals PC
set security group-vpn member ike policy D certificate local-certificate C2
set security group-vpn member ike policy D certificate trusted-ca use-all
set security group-vpn member ike proposal PC authentication-method ecdsa-signatures-256
set security group-vpn member ike gateway W ike-policy C
set security group-vpn member ike gateway W server-address 127.0.0.5
set security group-vpn member ike gateway W local-identity distinguished-name
set security group-vpn member ike gateway W remote-identity distinguished-name CN=w
set security group-vpn member ike gateway X ike-policy D
set security group-vpn member ike gateway X server-address 127.0.0.6
set security group-vpn member ipsec vpn V4 ike-gateway W
set security group-vpn member ipsec vpn V4 group 4
set security group-vpn member ipsec vpn V5 ike-gateway X
set security group-vpn member ipsec vpn V5 group 5
set security group-vpn member ipsec vpn V1 ike-gateway S
set security group-vpn member ipsec vpn V1 group-vpn-external-interface ge-0/0/1.0
set security group-vpn member ipsec vpn V1 group 1
set security group-vpn member ipsec vpn V1 heartbeat-threshold 5
set security group-vpn member ipsec vpn V1 recovery-probe
set security group-vpn member ipsec vpn V1 df-bit set
set security group-vpn member ipsec vpn V1 match-direction input
set security group-vpn member ipsec vpn V1 tunnel-mtu 1400
set security group-vpn member ipsec vpn V1 forward-policy-mismatch
set security group-vpn member ipsec vpn V1 fail-open rule r source-address 10.0.0.0/8
set security group-vpn member ipsec vpn V1 fail-open rule r destination-address 10.0.0.0/8
set security group-vpn member ipsec vpn V1 fail-open rule r application a
set security group-vpn member ipsec vpn V1 exclude rule r source-address 10.0.0.0/8
set security group-vpn member ipsec vpn V1 exclude rule r destination-address 10.0.0.0/8
set security group-vpn member ipsec vpn V1 exclude rule r application a
set security group-vpn member ipsec vpn V2 ike-gateway T
set security group-vpn member ipsec vpn V2 group 2
set security group-vpn member ipsec vpn V3 ike-gateway U
set security group-vpn member ipsec vpn V3 group 3
set security group-vpn member ipsec vpn V3 object-identity object-identifier 1.2.840.10070.61850.8.1.2
set security group-vpn member ipsec vpn V3 object-identity payload 233.252.0.1
set security ipsec-policy from-zone LAN to-zone WAN ipsec-group-vpn V1
`

// TestEveryNodeDoesWhatItsRowSays deletes every node from a configuration that sets every leaf, puts it back, and gives every leaf
// another value, and wants the plan to have rows of the node's family and no others. What makes the configuration invalid is left
// out; the cases of the tables have that, together with what makes it valid again.
func TestEveryNodeDoesWhatItsRowSays(t *testing.T) {
	tried := 0
	for _, text := range []string{everythingServer, everythingMember} {
		full := load(t, config.Tree{}, text)
		seen := map[string]bool{}
		if errs, _ := full.Validate(config.Tree{}); len(errs) > 0 {
			t.Fatal(errs)
		}
		var walk func(n config.Node)
		walk = func(n config.Node) {
			for c := range n.Children() {
				if k := c.Key(); len(k) == 1 && slices.Contains([]string{"IQ", "Q", "TQ"}, k[0]) {
					continue // no one names these
				}
				path := strings.TrimPrefix(c.Schema().Path(), "security/")
				if k := c.Schema().Kind(); k != config.Container || lookup(path) != nil && lookup(path).path == path {
					seen[path] = true
					tried += tryNode(t, full, path, c)
				}
				walk(c)
			}
		}
		walk(full.Root().Child("security").Child("group-vpn"))
		walk(full.Root().Child("security").Child("ipsec-policy"))
		walk(full.Root().Child("security").Child("certificates"))
		walk(full.Root().Child("services"))
		walk(full.Root().Child("applications"))
		nodes(func(path string, s *config.Schema) {
			top, rest, _ := strings.Cut(path, "/")
			if !slices.Contains([]string{"group-vpn", "ipsec-policy", "services", "applications", "certificates"}, top) || strings.HasPrefix(rest, "application-set") ||
				slices.ContainsFunc(refused, func(p string) bool { return strings.HasPrefix(path, p) }) {
				return
			}
			next, _, _ := strings.Cut(rest, "/")
			side := strings.Contains(text, " "+next+" ")
			alternative := strings.HasSuffix(path, "world-readable") // one of two in each text
			if side && !seen[path] && s.Kind() != config.Container && !alternative {
				t.Errorf("%s: not in the configuration that has everything", path)
			}
		})
	}
	if tried < 250 {
		t.Errorf("tried %d changes, fewer than there are", tried)
	}
}

func tryNode(t *testing.T, full config.Tree, path string, n config.Node) (tried int) {
	f := lookup(path)
	at := n.Path()
	without, err := full.DeletePath(at)
	if err != nil {
		t.Fatalf("delete %s: %v", at, err)
	}
	try := func(op, allowed string, old, next config.Tree) {
		for _, tree := range []config.Tree{old, next} {
			if errs, _ := tree.Validate(config.Tree{}); len(errs) > 0 {
				return
			}
		}
		tried++
		p, err := Plan(old, next, diff.Diff(old, next))
		if err != nil {
			t.Fatalf("%s %s: %v", op, at, err)
		}
		got := rowsOf(p)
		ok := len(got) > 0 || slices.Contains(strings.Fields(allowed), "-")
		for _, id := range got {
			ok = ok && slices.Contains(strings.Fields(allowed), id)
		}
		if !ok {
			t.Errorf("%s %s: rows %v, want of %q", op, at, got, allowed)
		}
	}
	deleted := f.delete
	if strings.HasPrefix(f.why, "T1 ") { // whose effect names the reading and no row
		deleted = "T1"
	}
	try("delete", deleted, full, without)
	try("add", f.add, without, full)
	if v := otherValue(n); v != "" {
		changed, err := full.SetValue(at, v)
		if err != nil {
			t.Fatalf("set %s %s: %v", at, v, err)
		}
		try("change", f.modify, full, changed)
	}
	return tried
}

// rowsOf returns the rows of a plan, readings aside that only add to rows.
func rowsOf(p *step.Plan) []string {
	set := map[string]bool{}
	for _, e := range slices.Concat(p.Effects, p.Quiet) {
		switch e.Row {
		case "T7", "T8", "T12", "T13":
		default:
			set[e.Row] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// otherValue returns a value of a leaf's type that it does not have, "" if there is none.
func otherValue(n config.Node) string {
	s := n.Schema()
	if s.Kind() != config.Leaf {
		return ""
	}
	for _, e := range s.Enums() {
		if e.Name != n.Value() {
			return e.Name
		}
	}
	switch {
	case len(s.Enums()) > 0, s.Target() != nil && s.IsKey():
		return ""
	case strings.HasPrefix(s.Path(), "security/certificates/"):
		return "-----BEGIN CERTIFICATE----- another"
	case s.Name() == "local-certificate":
		return map[string]string{"C1": "C2", "C2": "C1"}[n.Value()]
	case s.Secret():
		return "456789"
	case s.Target() != nil:
		return map[string]string{"P": "Q", "IP": "IQ", "K": "L", "TP": "TQ", "S": "T", "V1": "V2"}[n.Value()]
	case n.Name() == "sender-id-bits":
		return "8"
	case strings.HasPrefix(s.Type(), "uint"):
		return fmt.Sprint(n.Parent().Uint(n.Name()) + 1)
	case strings.Contains(n.Value(), "/8"):
		return "192.168.0.0/16"
	case strings.HasPrefix(n.Value(), "127."):
		return "127.9.9.9"
	case s.Type() == "interface-name":
		return strings.TrimSuffix(n.Value(), ".0") + ".7"
	case strings.HasSuffix(n.Name(), "-port"):
		return "443"
	}
	return n.Value() + "1"
}
