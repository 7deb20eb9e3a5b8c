package effect

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gvpn/commit/step"
	"gvpn/config"
	"gvpn/ike"
	"gvpn/sa"
)

// Every group and hash that the model has, Junos's words and ours, reaches the engine as what it is, and the engine can do it.
func TestProposalWords(t *testing.T) {
	groups := map[string]int{"group14": 14, "group15": 15, "group16": 16, "group19": 19, "group20": 20, "group21": 21, "group24": 24}
	hashes := map[string]sa.Hash{"sha-256": sa.SHA256, "sha-384": sa.SHA384, "sha-512": sa.SHA512}
	for role, c := range map[string]struct{ side, proposal, gateway string }{
		"standalone": {"server", "IP", "M1"}, "member": {"member", "P", "S"},
	} {
		node := config.Root()
		for _, word := range []string{"security", "group-vpn", c.side, "ike", "proposal"} {
			node = node.Child(word)
		}
		try := func(leaf, word string) (int, sa.Hash) {
			tree := load(t, base(t, role), "set security group-vpn "+c.side+" ike proposal "+c.proposal+" "+leaf+" "+word)
			gw := newView(tree).gateway(c.gateway)
			if err := new(ike.Checker).Supports(*gw); err != nil {
				t.Errorf("%s %s: %v", leaf, word, err)
			}
			return gw.Proposals[0].DHGroup, gw.Proposals[0].Hash
		}
		for _, e := range node.Child("dh-group").Enums() {
			if strings.HasSuffix(e.Description, "not supported") {
				continue
			}
			if g, _ := try("dh-group", e.Name); g != groups[e.Name] || g == 0 {
				t.Errorf("%s: group %d", e.Name, g)
			}
		}
		for _, e := range node.Child("authentication-algorithm").Enums() {
			if strings.HasSuffix(e.Description, "not supported") {
				continue
			}
			if _, h := try("authentication-algorithm", e.Name); h != hashes[e.Name] || h == 0 {
				t.Errorf("%s: %v", e.Name, h)
			}
		}
	}
}

// A policy's certificates reach the engine: the one that it shows with its key, and of the issuers those that it believes, by name.
func TestCertificates(t *testing.T) {
	for role, c := range map[string]struct{ side, gateway, believe string }{
		"standalone": {"server", "M1", "certificate trust-anchor [ B A ]"},
		"member":     {"member", "S", "certificate trusted-ca use-all"},
	} {
		ike := "set security group-vpn " + c.side + " ike "
		tree := load(t, base(t, role), strings.Join([]string{
			`set security certificates local ME "-----BEGIN CERTIFICATE----- me"`,
			`set security certificates trust-anchor B "-----BEGIN CERTIFICATE----- b"`,
			`set security certificates trust-anchor A "-----BEGIN CERTIFICATE----- a"`,
			ike + "proposal C authentication-method ecdsa-signatures-384",
			ike + "policy C proposals C",
			ike + "policy C certificate local-certificate ME",
			ike + "policy C " + c.believe,
			ike + "gateway " + c.gateway + " ike-policy C",
			ike + "gateway " + c.gateway + " local-identity distinguished-name",
			ike + "gateway " + c.gateway + ` remote-identity distinguished-name "CN=a,O=b"`,
		}, "\n"))
		g := newView(tree).gateway(c.gateway)
		if g.Cert == nil || g.Cert.Name != "ME" || !strings.HasSuffix(string(g.Cert.PEM), " me") || len(g.Anchors) != 2 ||
			g.Anchors[0] != (step.TrustAnchor{Name: "A", PEM: "-----BEGIN CERTIFICATE----- a"}) || g.Anchors[1].Name != "B" ||
			g.Proposals[0].Auth != step.ECDSASignatures384 || len(g.PSK) != 0 {
			t.Errorf("%s: %v believes %v, %v", role, g.Cert != nil, g.Anchors, g.Proposals)
		}
		if g.LocalID != (step.Identity{Kind: step.DistinguishedName}) || g.RemoteID != (step.Identity{Kind: step.DistinguishedName, Value: "CN=a,O=b"}) {
			t.Errorf("%s: identities %+v, %+v", role, g.LocalID, g.RemoteID)
		}
	}
}

// D7: a server probes the gateways under its server-cluster and no others. A gateway's place there comes and goes with changes of
// groups, which engines hear of as changes of the gateway; that alone is no row of it.
func TestD7PeersFollowTheCluster(t *testing.T) {
	const gone = "delete group G1 server-cluster ike-gateway P1\ndelete group G2 server-cluster ike-gateway P1\n"
	for _, c := range []struct{ role, before, lines, gateways, rows string }{
		{"root-server", "", "set group G1 server-cluster ike-gateway P2", "P2:true", ""},
		{"root-server", "", "delete group G1 server-cluster ike-gateway P1", "", "2.4b"},
		{"root-server", "", gone, "P1:false", "2.4b"},
		{"root-server", "", "delete server group G1\ndelete server group G2", "P1:false", "1.3"},
		{"root-server", "", "delete group G1 server-cluster\ndelete group G2 server-cluster", "P1:false", "2.6"},
		{"root-server", gone, "set group G1 server-cluster ike-gateway P1", "P1:true", ""},
		{"standalone", "", serverCluster("root-server", "G1"), "P1:true", ""},
		{"sub-server", "", "delete group G1 server-cluster ike-gateway P1\nset group G1 server-cluster ike-gateway P2", "P2:true", "2.4b T8"},
		// What is configured of the gateway itself is a row, whether or not it is a peer.
		{"root-server", "", "set server ike gateway P1 dead-peer-detection interval 20", "P1:true", "2.1b"},
		{"root-server", "", "set server ike gateway P2 dead-peer-detection interval 20", "P2:false", "1.1a"},
		{"root-server", "", "set server ike gateway P2 dead-peer-detection interval 20\nset group G1 server-cluster ike-gateway P2", "P2:true", "1.1a"},
		{"root-server", "", "set server ike policy Peers description text\nset group G1 server-cluster ike-gateway P2", "P2:true", ""},
	} {
		before := load(t, base(t, c.role), expand(c.before))
		p := plan(t, before, load(t, before, expand(c.lines)))
		var gateways, rows []string
		for _, ch := range p.Gateways {
			gateways = append(gateways, fmt.Sprintf("%s:%v", ch.New.Name, ch.New.Probes()))
		}
		for _, e := range p.Effects {
			if e.Row[0] != 'T' || e.Kind == step.StartClusterInit {
				rows = append(rows, e.Row)
			}
		}
		rows = slices.Compact(rows)
		if got := strings.Join(gateways, " "); got != c.gateways {
			t.Errorf("%s: %s: gateways %q, want %q", c.role, c.lines, got, c.gateways)
		}
		if got := strings.Join(rows, " "); got != c.rows {
			t.Errorf("%s: %s: rows %q, want %q", c.role, c.lines, got, c.rows)
		}
	}
}
