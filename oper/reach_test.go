package oper

import (
	"net/netip"
	"testing"

	"gvpn/cluster"
	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/member"
	"gvpn/server"
)

// A root with three registered members behind two gateways, one of two peers active, and a member VPN that is up.
func TestReach(t *testing.T) {
	at := netip.MustParseAddrPort
	s := State{
		Groups: []step.Group{{Name: "G", Members: []string{"M1", "M2"}, Peers: []string{"P1", "P2"}}},
		Server: server.State{Groups: []server.GroupState{
			{Name: "G", Members: []server.MemberState{{Gateway: "M1"}, {Gateway: "M2"}, {Gateway: "M2"}}},
			{Name: "H", Members: []server.MemberState{{Gateway: "M9"}}},
		}},
		Cluster: cluster.State{Groups: []cluster.GroupState{{Name: "G", Peers: []cluster.PeerState{{Gateway: "P1", Active: true}, {Gateway: "P2"}}}}},
		Member:  member.State{VPNs: []member.VPN{{Name: "up", Up: true}, {Name: "down"}}},
		IKE: ike.State{SAs: []ike.SAState{
			{Gateway: "M1", Status: ike.Established, Remote: at("127.0.0.1:848")},
			{Gateway: "M1", Status: ike.Established, Remote: at("127.0.0.1:848")}, // the same member's second
			{Gateway: "M2", Status: ike.Negotiating, Remote: at("127.0.0.2:848")},
			{Gateway: "P1", Status: ike.Established, Remote: at("127.0.0.3:848")},
			{Gateway: "P2", Status: ike.Closing, Remote: at("127.0.0.4:848")},
			{Gateway: "KS", Status: ike.Established, Remote: at("127.0.0.5:848")},
		}},
	}
	for _, c := range []struct {
		e    step.Effect
		want string
	}{
		{step.Effect{Kind: step.SendDeleteAllToMembers, Group: "G"}, "3 members"},
		{step.Effect{Kind: step.SendDeleteToMembers, Group: "H"}, "1 member"},
		{step.Effect{Kind: step.SendTEKToMembers, Group: "new"}, "-"},
		{step.Effect{Kind: step.SendKEKToMembers, Group: "G"}, "3 members"},
		{step.Effect{Kind: step.DeleteRegisteredMembers, Group: "G"}, "3 members"},
		{step.Effect{Kind: step.DeleteRegisteredMembers, Group: "G", Gateway: "M2"}, "2 members"},
		{step.Effect{Kind: step.RekeyTEK, Group: "G"}, "3 members, 1 peer"},
		{step.Effect{Kind: step.RekeyKEK, Group: "H"}, "1 member"},
		{step.Effect{Kind: step.SendDeleteAllToSubServers, Group: "G"}, "1 peer"},
		{step.Effect{Kind: step.SendDeleteToSubServers, Group: "G"}, "1 peer"},
		{step.Effect{Kind: step.SendKEKToSubServers, Group: "G"}, "1 peer"},
		{step.Effect{Kind: step.SendTEKToSubServers, Group: "H"}, "-"},
		{step.Effect{Kind: step.MarkPeerInactive, Group: "G"}, "1 peer"},
		{step.Effect{Kind: step.MarkPeerInactive, Group: "G", Gateway: "P2"}, "-"},
		{step.Effect{Kind: step.DeleteIKESA, Gateway: "M1"}, "1 member"},
		{step.Effect{Kind: step.DeleteIKESA, Gateway: "M2"}, "-"},
		{step.Effect{Kind: step.DeleteIKESA, Gateway: "KS"}, "1 peer"},
		{step.Effect{Kind: step.DeleteMemberIKESAs, Group: "G"}, "1 member"},
		{step.Effect{Kind: step.DeletePeerIKESAs, Group: "G"}, "1 peer"},
		{step.Effect{Kind: step.DeletePeerIKESAs, Group: "G", Gateway: "P2"}, "-"},
		{step.Effect{Kind: step.StartClusterInit, Group: "G"}, "1 peer"},
		{step.Effect{Kind: step.RemoveSAs, VPN: "up"}, "1 peer"},
		{step.Effect{Kind: step.RemoveSAs, VPN: "down"}, "-"},
		{step.Effect{Kind: step.RegisterAgain, VPN: "down"}, "1 peer"},
		{step.Effect{Kind: step.DeleteKeys, Group: "G"}, "-"},
		{step.Effect{Kind: step.AtNextTEKRekey, Group: "G"}, "-"},
	} {
		if got := s.Reach(c.e).String(); got != c.want {
			t.Errorf("%v: %s, want %s", c.e, got, c.want)
		}
	}
}
