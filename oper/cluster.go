package oper

import (
	"strings"

	"gvpn/cluster"
	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/server"
)

// ServerCluster is `show security group-vpn server server-cluster [detail]`: one element a group that is in a cluster.
type ServerCluster []ClusterGroup

// ClusterGroup is one group's cluster as this server sees it.
type ClusterGroup struct {
	Name    string        `xml:"group-vpn-group-name"`
	ID      uint32        `xml:"group-vpn-group-id"`
	Role    string        `xml:"server-role"`    // "Root-server" or "Sub-server"
	Version uint64        `xml:"version-number"` // of the group's SAs
	Peers   []ClusterPeer `xml:"server-cluster-peer"`

	detail bool
}

// ClusterPeer is a gateway under server-cluster.
type ClusterPeer struct {
	Gateway string           `xml:"peer-gateway"`
	Address string           `xml:"peer-ip"`
	Local   string           `xml:"local-ip,omitempty"`         // detail
	VR      string           `xml:"routing-instance,omitempty"` // detail
	Role    string           `xml:"peer-role"`
	Status  string           `xml:"peer-status"` // "Active" or "Inactive"
	Differs []string         `xml:"configuration-difference"`
	Stats   *ClusterCounters `xml:"server-cluster-stats"` // detail
}

// ClusterCounters are the counters of a peer, those of Junos and no others; package cluster says which cannot move, and why. DPD is
// the gateway's, whichever group names it (D1). Of the mismatches a sub-server counts the group's, of the root's SAs against its own
// configuration, and a root the peer's requests.
type ClusterCounters struct {
	InitSend      uint64 `xml:"cluster-init-send"`
	InitRecv      uint64 `xml:"cluster-init-recv"`
	InitSuccess   uint64 `xml:"cluster-init-success"`
	InitFail      uint64 `xml:"cluster-init-fail"`
	InitDup       uint64 `xml:"cluster-init-dup"`
	InitAbort     uint64 `xml:"cluster-init-abort"`
	InitTimeout   uint64 `xml:"cluster-init-timeout"`
	UpdateSend    uint64 `xml:"cluster-update-send"`
	UpdateRecv    uint64 `xml:"cluster-update-recv"`
	UpdateSuccess uint64 `xml:"cluster-update-success"`
	UpdateFail    uint64 `xml:"cluster-update-fail"`
	UpdateAbort   uint64 `xml:"cluster-update-abort"`
	UpdateTimeout uint64 `xml:"cluster-update-timeout"`
	UpdatePending uint64 `xml:"cluster-update-pending"`
	UpdateMax     uint64 `xml:"cluster-update-max-retry-reached"`
	DPDSend       uint64 `xml:"dpd-send"`
	DPDSendFail   uint64 `xml:"dpd-send-fail"`
	DPDAck        uint64 `xml:"dpd-ack-recv"`
	DPDInvalid    uint64 `xml:"dpd-ack-invalid-seqno"`
	Policy        uint64 `xml:"ipsec-sa-policy-mismatch"`
	Proposal      uint64 `xml:"ipsec-sa-proposal-mismatch"`
	KEK           uint64 `xml:"kek-sa-proposal-mismatch"`
	Communication uint64 `xml:"comm-protocol-mismatch"`
}

func serverCluster(s *State, a Args) (Reply, error) {
	groups, err := s.groups(a)
	if err != nil {
		return nil, err
	}
	reply := ServerCluster{}
	for _, g := range groups {
		for _, c := range s.Cluster.Groups {
			if c.Name == g.Name && c.Role != step.Standalone {
				reply = append(reply, clusterGroup(s, a, g, c))
			}
		}
	}
	return reply, nil
}

func clusterGroup(s *State, a Args, g server.GroupState, c cluster.GroupState) ClusterGroup {
	out := ClusterGroup{Name: g.Name, ID: g.ID, Role: capital(c.Role.String()), Version: g.Version, detail: a.Detail}
	for _, p := range c.Peers {
		if a.PeerGateway != "" && p.Gateway != a.PeerGateway {
			continue
		}
		peer := ClusterPeer{Gateway: p.Gateway, Address: p.Remote.String(), Role: capital(p.Role.String()), Status: "Inactive", Differs: p.Differs}
		if p.Active {
			peer.Status = "Active"
		}
		if a.Detail {
			peer.Local, peer.VR = "any", "default"
			if p.Local.IsValid() {
				peer.Local = p.Local.String()
			}
			peer.Stats = clusterCounters(s.IKE, g.Mismatch, p)
		}
		out.Peers = append(out.Peers, peer)
	}
	return out
}

func clusterCounters(i ike.State, m server.Mismatch, p cluster.PeerState) *ClusterCounters {
	c := p.Counters
	out := &ClusterCounters{
		InitSend: c.InitSent, InitRecv: c.InitReceived, InitSuccess: c.InitSucceeded, InitFail: c.InitFailed,
		InitDup: c.InitDuplicate, InitAbort: c.InitAborted, InitTimeout: c.InitTimeout,
		UpdateSend: c.UpdateSent, UpdateRecv: c.UpdateReceived, UpdateSuccess: c.UpdateSucceeded, UpdateFail: c.UpdateFailed,
		UpdateAbort: c.UpdateAborted, UpdateTimeout: c.UpdateTimeout, UpdatePending: c.UpdatePending, UpdateMax: c.UpdateMaxRetry,
		Policy: c.PolicyDiffers, Proposal: c.ProposalDiffers, KEK: c.KEKDiffers, Communication: c.CommunicationDiffers,
	}
	if p.Role == step.RootServer {
		out.Policy, out.Proposal, out.KEK, out.Communication = m.Policy, m.Proposal, m.KEK, m.Communication
	}
	for _, g := range i.Gateways {
		if g.Name == p.Gateway {
			out.DPDSend, out.DPDSendFail, out.DPDAck, out.DPDInvalid = g.Sent, g.SendFailed, g.Acked, g.InvalidAcks
		}
	}
	return out
}

// Root implements Reply.
func (ServerCluster) Root() string { return "security-group-vpn-svr-svr-cluster-info" }

// AppendText implements Reply.
func (r ServerCluster) AppendText(dst []byte) []byte {
	for i, g := range r {
		dst = addf(between(dst, i), labelGroup, g.Name, g.ID)
		dst = addf(dst, labelClusterRole, g.Role, g.Version)
		if g.detail {
			for _, p := range g.Peers {
				dst = p.appendDetail(append(dst, '\n'))
			}
			continue
		}
		var rows [][]string
		for _, p := range g.Peers {
			rows = append(rows, []string{p.Gateway, p.Address, p.Role, p.Status})
		}
		dst = table(dst, "", []string{"Peer Gateway", "Peer IP", "Role", "Status"}, rows)
		for _, p := range g.Peers {
			if len(p.Differs) > 0 {
				dst = addf(dst, labelDiffers, p.Gateway, strings.Join(p.Differs, ", "))
			}
		}
	}
	return dst
}

func (p ClusterPeer) appendDetail(dst []byte) []byte {
	dst = addf(dst, labelPeerGateway, p.Gateway)
	dst = addf(dst, labelPeerAddresses, p.Address, p.Local, p.VR)
	dst = addf(dst, labelPeerRole, p.Role, p.Status)
	if len(p.Differs) > 0 {
		dst = addf(append(dst, "  "...), labelDiffers, p.Gateway, strings.Join(p.Differs, ", "))
	}
	c := p.Stats
	for _, l := range []struct {
		label string
		n     uint64
	}{
		{"CLUSTER-INIT send:", c.InitSend},
		{"CLUSTER-INIT recv:", c.InitRecv},
		{"CLUSTER-INIT success:", c.InitSuccess},
		{"CLUSTER-INIT fail:", c.InitFail},
		{"CLUSTER-INIT dup:", c.InitDup},
		{"CLUSTER-INIT abort:", c.InitAbort},
		{"CLUSTER-INIT timeout:", c.InitTimeout},
		{"CLUSTER-UPDATE send:", c.UpdateSend},
		{"CLUSTER-UPDATE recv:", c.UpdateRecv},
		{"CLUSTER-UPDATE success:", c.UpdateSuccess},
		{"CLUSTER-UPDATE fail:", c.UpdateFail},
		{"CLUSTER-UPDATE abort:", c.UpdateAbort},
		{"CLUSTER-UPDATE timeout:", c.UpdateTimeout},
		{"CLUSTER-UPDATE pending:", c.UpdatePending},
		{"CLUSTER-UPDATE max retry reached:", c.UpdateMax},
		{"DPD send:", c.DPDSend},
		{"DPD send fail:", c.DPDSendFail},
		{"DPD ACK recv:", c.DPDAck},
		{"DPD ACK invalid seqno:", c.DPDInvalid},
		{"IPsec SA policy mismatch:", c.Policy},
		{"IPsec SA proposal mismatch:", c.Proposal},
		{"KEK SA proposal mismatch:", c.KEK},
		{"COMM protocol mismatch:", c.Communication},
	} {
		dst = addf(dst, labelPeerCounter, l.label, l.n)
	}
	return dst
}
