package cluster

import (
	"net/netip"
	"slices"

	"gvpn/commit/step"
)

// State is a copy of what an operator may see.
type State struct {
	Groups []GroupState // groups with a server-cluster, by name
}

// GroupState is one group.
type GroupState struct {
	Name    string
	ID      uint32
	Role    step.Role   // ours
	Version uint64      // of the SAs: distributed last (root), installed (sub-server)
	Peers   []PeerState // in configured order
}

// PeerState is one peer of a group.
type PeerState struct {
	Gateway       string
	Remote, Local netip.Addr // Local is the configured one, else that of an IKE SA that is up, else invalid
	Role          step.Role  // the peer's
	Active        bool
	Differs       []string // parts of the group's configuration that differ there (V8), as it said last
	Counters      Counters
}

// Counters of one peer, those of `show security group-vpn server server-cluster detail`. Sent and received count exchanges, not
// datagrams; package ike counts those, and DPD. A sub-server sends cluster-inits and a root cluster-updates, so that each leaves
// some at zero.
type Counters struct {
	InitSent, InitReceived, InitSucceeded, InitFailed uint64
	// InitDuplicate: a root was asked again what it had answered, under the same IKE SA; a sub-server got an answer that a
	// cluster-update had overtaken.
	InitDuplicate uint64
	InitAborted   uint64 // there was no IKE SA, or no end in sight
	InitTimeout   uint64

	UpdateSent, UpdateReceived, UpdateSucceeded, UpdateFailed uint64
	// UpdateAborted: the sub-server went inactive with one outstanding, or a root gave one up under way, since a deletion of
	// everything or the answer to a cluster-init took its place.
	UpdateAborted uint64
	UpdateTimeout uint64

	// UpdatePending counts nothing: it is 1 while a cluster-update is not acknowledged. ClearStatistics leaves it.
	UpdatePending uint64
	// UpdateMaxRetry is always 0: C5 repeats a cluster-update without limit.
	UpdateMaxRetry uint64

	// How often a sub-server asked that has another configuration than its root, by part (V8). KEKDiffers is about what
	// server-member-communication says, CommunicationDiffers about its being there at one end only. A sub-server counts by
	// the SAs that it is given (package server).
	PolicyDiffers, ProposalDiffers, KEKDiffers, CommunicationDiffers uint64
}

// State returns a copy.
func (c *Cluster) State() State {
	var st State
	for _, g := range c.sorted() {
		if g.conf.Role == step.Standalone {
			continue
		}
		gs := GroupState{Name: g.name, ID: g.conf.ID, Role: g.conf.Role, Version: g.version}
		for _, p := range g.peers {
			ps := PeerState{
				Gateway: p.gateway, Remote: c.remote(p.gateway), Role: p.role, Active: p.active,
				Differs: slices.Clone(p.differs), Counters: p.count,
			}
			if gw := c.gateways[p.gateway]; gw != nil {
				ps.Local = gw.local
				if n := len(gw.up); n > 0 && !ps.Local.IsValid() {
					ps.Local = gw.up[n-1].local
				}
			}
			if p.pending != nil {
				ps.Counters.UpdatePending = 1
			}
			gs.Peers = append(gs.Peers, ps)
		}
		st.Groups = append(st.Groups, gs)
	}
	return st
}
