package member

import (
	"net/netip"
	"slices"
	"time"

	"gvpn/ike"
	"gvpn/sa"
	"gvpn/turn"
)

// Pushes by multicast (RFC 6407 sections 3.4 and 5.3): the SA KEK names the group that they go to, and the node listens to it, on the
// interface of the address that we registered with, while there is a KEK that says so and a little longer. What comes in there is verified like
// any other push; and since anybody can send to a group, and all of its members would answer, no datagram's source is believed.

const (
	maxGroups = 64 // memberships, of all VPNs together

	// spread is the longest that an acknowledgement of a multicast waits, for the server's sake: less than the shortest period of
	// retransmissions, 2 s (RFC 8263 section 4 allows 5 s).
	spread = time.Second
	// repeatAfter is the least time between two acknowledgements of one multicast. The server repeats it later than that; who
	// repeats it sooner wants its members to flood the server.
	repeatAfter = time.Second
)

// joinable reports whether we listen to a group. What is sent to 224.0.0.0/24 is between routers, and 4500 is for pushes through a NAT.
func joinable(group netip.AddrPort) bool {
	return group.Addr().IsMulticast() && !group.Addr().IsLinkLocalMulticast() && group.Port() != ike.NATPort
}

// hear takes note of where pushes under a new KEK come to. A group that we do not listen to is said once; the VPN goes on without pushes.
func (m *Member) hear(v *vpn, k *sa.KEK) {
	if k == nil || k.Multicast == nil {
		return
	}
	group := k.Multicast.Group
	if group.Port() == 0 {
		group = netip.AddrPortFrom(group.Addr(), m.options.Port)
	}
	if !joinable(group) {
		m.notify(turn.Warning, "GKMD_MULTICAST_REFUSED", "vpn %s: group %d: server %s sends its pushes to %v, which no member listens to: keys are renewed by registration", v.config.Name, v.config.Group, v.server.Addr(), group)
		k.Multicast = nil
		return
	}
	k.Multicast = &sa.Multicast{Group: group}
}

// memberships are what the node is to listen to.
func (m *Member) memberships() []turn.Membership {
	var list []turn.Membership
	for _, v := range m.vpns {
		if v.kek != nil && v.kek.Multicast != nil && v.local.IsValid() {
			list = append(list, turn.Membership{Group: v.kek.Multicast.Group, Local: v.local.Addr()})
		}
		if v.oldGroup.IsValid() && v.local.IsValid() {
			list = append(list, turn.Membership{Group: v.oldGroup, Local: v.local.Addr()})
		}
	}
	slices.SortFunc(list, turn.Membership.Compare)
	list = slices.Compact(list)
	return list[:min(len(list), maxGroups)]
}

// listen gives the output for a change of memberships, false if there is none.
func (m *Member) listen() (turn.Output, bool) {
	list := m.memberships()
	if slices.Equal(list, m.listens) {
		return nil, false
	}
	m.listens = list
	return turn.Listen{Groups: slices.Clone(list)}, true
}
