package config

import (
	"testing"

	"gvpn/gen"
)

func TestBindSmoke(t *testing.T) {
	tr, errs := Tree{}.LoadCurly(nil, Merge, "", []byte(`security { group-vpn { server { ike { gateway A { ike-policy P; dead-peer-detection { always-send; interval 20; } } }
	 group G { group-id 7; server-member-communication sig-hash-algorithm sha-384; ike-gateway X; ike-gateway B; } } } }`))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	var c gen.GvpnConfRoot_Configuration
	if err := Bind(tr.Root(), &c); err != nil {
		t.Fatal(err)
	}
	g := c.Security.GroupVpn.Server.Group.Values()[0]
	if *g.GroupId != 7 || g.ServerMemberCommunication.SigHashAlgorithm.String() != "sha-384" || *g.IkeGateway.Values()[0].Name != "X" {
		t.Error(g)
	}
}
