package config

import (
	"slices"
	"strings"
	"testing"
)

// TestJunosTexts: the error texts that Junos's own models have for Group VPN (section 3 of the Junos facts) come word for word. Each
// configuration is a base of testdata/bases.txt with a change, and draws exactly that text at that place, and maybe others. All of them
// apply.
func TestJunosTexts(t *testing.T) {
	const (
		server = "[edit security group-vpn server"
		member = "[edit security group-vpn member"
	)
	bases := ruleBases(t)
	for _, c := range []struct{ text, base, lines, path, element string }{
		// 3.1
		{
			"Configuring both group-vpn server and group-vpn member is not supported", "member",
			"set security group-vpn server group G group-id 1", "[edit security]", "group-vpn",
		},
		{
			"Must be a string beginning with a number or letter and consisting of letters, numbers, dashes and underscores.", "root",
			"set security group-vpn server ike proposal _ dh-group group14\nset security group-vpn server ike policy P proposals _",
			server + " ike policy P]", "proposals",
		},
		// 3.2
		{"Referenced proposal is not defined", "root", "set security group-vpn server ike policy P proposals X", server + " ike policy P]", "proposals"},
		{
			"IKE policy must have either proposals or proposal-set configured", "member",
			"delete security group-vpn member ike policy P proposals", member + " ike]", "policy P",
		},
		{
			"IKE policy must have either local certificate or pre-shared key configured", "member",
			"delete security group-vpn member ike policy P pre-shared-key", member + " ike]", "policy P",
		},
		{
			"Must be hexadecimal digits (0-9, a-f, A-F)", "root",
			"set security group-vpn server ike policy P pre-shared-key hexadecimal 0g", "[edit]", "hexadecimal",
		},
		{
			"Referenced IKE policy must be defined under [edit security group-vpn server ike policy]", "sub",
			"set security group-vpn server ike gateway GM ike-policy X", server + " ike gateway GM]", "ike-policy",
		},
		{
			"Main mode for dynamic peer with Preshared key based authentication is not allowed", "root",
			"set security group-vpn server ike gateway GM dynamic hostname a", server + " ike]", "gateway GM",
		},
		{
			"Since the remote gateway is dynamic, Define remote identity under dynamic", "root",
			"set security group-vpn server ike gateway GM dynamic hostname a\nset security group-vpn server ike gateway GM remote-identity hostname a",
			server + " ike]", "gateway GM",
		},
		{
			"Referenced routing-instance must be defined", "root",
			"set security group-vpn server ike gateway GM routing-instance X", server + " ike gateway GM]", "routing-instance",
		},
		{
			"Member can not have the same local address as server", "member",
			"set security group-vpn member ike gateway GW local-address 10.0.0.1", member + "]", "ike",
		},
		{
			"Referenced IKE policy must be defined under [edit security group-vpn member ike policy]", "member",
			"set security group-vpn member ike gateway GW ike-policy X", member + " ike gateway GW]", "ike-policy",
		},
		{"Gateway already defined under [security ike]", "member", "set security ike gateway GW", member + " ike]", "gateway GW"},
		// 3.3
		{"Group id must be unique among groups", "root", "set security group-vpn server group H group-id 1", server + "]", "group H"},
		{
			"Referenced IKE gateway must not be dynamic gateway", "root",
			"set security group-vpn server ike gateway SUB1 dynamic inet 10.0.0.1", server + " group G server-cluster]", "ike-gateway SUB1",
		},
		{
			"Referenced IKE gateway must be defined with dead-peer-detection always-send mode", "root",
			"delete security group-vpn server ike gateway SUB1 dead-peer-detection", server + " group G server-cluster]", "ike-gateway SUB1",
		},
		{
			"Referenced IKE gateway must NOT be defined with dead-peer-detection", "sub",
			"set security group-vpn server ike gateway GM dead-peer-detection always-send", server + " group G]", "ike-gateway GM",
		},
		{
			"Referenced IKE gateway must be defined under [edit security group-vpn server ike gateway]", "sub",
			"delete security group-vpn server ike gateway GM", server + " group G]", "ike-gateway GM",
		},
		// 3.5
		{"Referenced proposal is not defined", "root", "delete security group-vpn server ipsec proposal IP", server + " group G ipsec-sa S]", "proposal"},
		// 3.6
		{
			"Referenced IKE gateway must be defined under [edit security group-vpn member ike gateway]", "member",
			"set security group-vpn member ipsec vpn V ike-gateway X", member + " ipsec vpn V]", "ike-gateway",
		},
		{
			"Group id must be unique among group vpns", "member",
			"set security group-vpn member ipsec vpn W ike-gateway GW group 1", member + " ipsec]", "vpn W",
		},
		{
			"Referenced interface must be configured under [edit interfaces] hierarchy", "bound",
			"set security group-vpn member ipsec vpn V group-vpn-external-interface ge-9/0/0.0", member + " ipsec vpn V]", "group-vpn-external-interface",
		},
		{
			"Application must be defined", "bound",
			"set security group-vpn member ipsec vpn V exclude rule R application X", member + " ipsec vpn V exclude rule R]", "application",
		},
		{"VPN already defined under [security ipsec]", "member", "set security ipsec vpn V", member + " ipsec]", "vpn V"},
		// 3.7
		{
			"A Group VPN object can be referenced only in one service set", "bound",
			"set services service-set S ipsec-group-vpn V\nset services service-set T ipsec-group-vpn V", "[edit services]", "service-set T",
		},
		{"referenced group-vpn must be defined", "bound", "set services service-set S ipsec-group-vpn X", "[edit services service-set S]", "ipsec-group-vpn"},
		{
			"Group VPN supported on interface style service-set", "bound",
			"set services service-set S ipsec-group-vpn V\nset services service-set S next-hop-service inside-service-interface ms-0/0/0.1",
			"[edit services]", "service-set S",
		},
		{
			"IPSec VPN rules not supported for Group VPN", "bound",
			"set services service-set S ipsec-group-vpn V\nset services service-set S ipsec-vpn-rules R", "[edit services]", "service-set S",
		},
	} {
		tree, errs := bases[c.base].LoadSet(nil, c.base, []byte(c.lines))
		if errs.Err() == nil {
			errs, _ = tree.Effective().Validate(Tree{})
		}
		if !slices.ContainsFunc(errs, func(e *Error) bool {
			return e.Message == c.text && e.Path == c.path && e.Element == c.element && !e.Warning
		}) {
			t.Errorf("%s\n%s:\nwant: %s '%s' %s\ngot:  %s", c.base, c.lines, c.path, c.element, c.text, strings.ReplaceAll(describe(errs, nil), "\n", "\n      "))
		}
	}
}
