package effect

import (
	"strings"
	"testing"

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
