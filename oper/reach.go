package oper

import (
	"fmt"
	"net/netip"
	"slices"

	"gvpn/commit/step"
	"gvpn/ike"
)

// Reach is how many others an effect would touch: members of a group, and peers, which are the servers of a cluster, and for a
// member VPN its key server.
type Reach struct{ Members, Peers int }

// String is the reach as an operator reads it, "-" for nobody.
func (r Reach) String() string {
	several := func(n int, what string) string {
		if n != 1 {
			what += "s"
		}
		return fmt.Sprintf("%d %s", n, what)
	}
	switch {
	case r.Members > 0 && r.Peers > 0:
		return several(r.Members, "member") + ", " + several(r.Peers, "peer")
	case r.Members > 0:
		return several(r.Members, "member")
	case r.Peers > 0:
		return several(r.Peers, "peer")
	}
	return "-"
}

// Reach returns whom an effect would touch at this moment: to whom it would send, or whose registration, activity or IKE SA
// it would end. What waits for a rekey, or touches only our own keys, reaches nobody.
func (s *State) Reach(e step.Effect) Reach {
	switch e.Kind {
	case step.SendDeleteAllToMembers, step.SendDeleteToMembers, step.SendTEKToMembers, step.SendKEKToMembers:
		return Reach{Members: s.registered(e.Group, "")}
	case step.DeleteRegisteredMembers:
		return Reach{Members: s.registered(e.Group, e.Gateway)}
	case step.RekeyTEK, step.RekeyKEK:
		return Reach{Members: s.registered(e.Group, ""), Peers: s.active(e.Group, "")}
	case step.SendDeleteAllToSubServers, step.SendDeleteToSubServers, step.SendKEKToSubServers, step.SendTEKToSubServers:
		return Reach{Peers: s.active(e.Group, "")}
	case step.MarkPeerInactive:
		return Reach{Peers: s.active(e.Group, e.Gateway)}
	case step.DeleteIKESA:
		if n := s.connected(e.Gateway); s.isMember(e.Gateway) {
			return Reach{Members: n}
		} else {
			return Reach{Peers: n}
		}
	case step.DeleteMemberIKESAs:
		return Reach{Members: s.connected(s.group(e.Group).Members...)}
	case step.DeletePeerIKESAs:
		if e.Gateway != "" {
			return Reach{Peers: s.connected(e.Gateway)}
		}
		return Reach{Peers: s.connected(s.group(e.Group).Peers...)}
	case step.StartClusterInit, step.Register, step.RegisterAgain, step.RegisterNewGroup:
		return Reach{Peers: 1} // the root; the first key server that answers
	case step.RemoveSAs:
		for _, v := range s.Member.VPNs {
			if v.Name == e.VPN && v.Up {
				return Reach{Peers: 1}
			}
		}
	}
	return Reach{}
}

// group is a group's configuration as the engines have it, the zero Group if they have none of that name.
func (s *State) group(name string) step.Group {
	for _, g := range s.Groups {
		if g.Name == name {
			return g
		}
	}
	return step.Group{}
}

// isMember reports whether a gateway is that of members of some group.
func (s *State) isMember(gateway string) bool {
	return slices.ContainsFunc(s.Groups, func(g step.Group) bool { return slices.Contains(g.Members, gateway) })
}

// registered counts a group's members; gateway "" stands for all.
func (s *State) registered(group, gateway string) int {
	n := 0
	for _, g := range s.Server.Groups {
		for _, m := range g.Members {
			if g.Name == group && (gateway == "" || m.Gateway == gateway) {
				n++
			}
		}
	}
	return n
}

// active counts a group's active peers; gateway "" stands for all.
func (s *State) active(group, gateway string) int {
	n := 0
	for _, g := range s.Cluster.Groups {
		for _, p := range g.Peers {
			if g.Name == group && p.Active && (gateway == "" || p.Gateway == gateway) {
				n++
			}
		}
	}
	return n
}

// connected counts the addresses with which there is an IKE SA of one of the gateways.
func (s *State) connected(gateways ...string) int {
	at := map[netip.Addr]bool{}
	for _, a := range s.IKE.SAs {
		if a.Status == ike.Established && slices.Contains(gateways, a.Gateway) {
			at[a.Remote.Addr()] = true
		}
	}
	return len(at)
}
