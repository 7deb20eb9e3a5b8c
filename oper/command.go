package oper

import (
	"fmt"
	"slices"

	"gvpn/cluster"
	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/member"
	"gvpn/server"
)

// Argument is a kind of argument of a Command.
type Argument uint8

// The arguments. Unless said otherwise one is a keyword with a value.
const (
	Level       Argument = iota + 1 // "brief" or "detail"
	Group                           // "group NAME", 1..32 characters
	GroupID                         // "group-id N", 1..4294967295: also on a server, where Junos stops at 65535 though its configuration does not
	Peer                            // an address without keyword
	PeerGateway                     // "peer-gateway NAME"
	VPN                             // "vpn NAME"
	Index                           // "index N"
	Now                             // "now", a flag
	KEK                             // "kek", a flag
	TEK                             // "tek", a flag
)

// Command is one row of the table of what an operator can ask and do: with Reply it shows, with Do it acts.
type Command struct {
	Words string // the command line without arguments
	RPC   string // Junos's name of the RPC; empty where Junos has no such command
	Help  string
	Args  []Argument

	// Reply makes the answer of a show command. A group or VPN that is named and not configured is an error.
	Reply func(*State, Args) (Reply, error)
	// Do makes what the engines are to be given, in order: values of server.Command, cluster.Command, member.Command, ike.Delete, or
	// ClearTraffic for the data plane.
	Do func(*State, Args) ([]any, error)
}

// ClearTraffic sets the data plane's counters to zero.
type ClearTraffic struct{}

// Commands returns the table, by words. The caller must not change what is in it.
func Commands() []Command { return commands }

// Engines is the node that a Command is for.
type Engines interface {
	// State returns a copy of the node's operational state as of now.
	State() (State, error)
	// Do gives the engines what Command.Do made and returns after that turn.
	Do(command any) error
}

// Run carries a command out. The reply is nil if the command acts.
func (c Command) Run(e Engines, a Args) (Reply, error) {
	state, err := e.State()
	if err != nil {
		return nil, err
	}
	if c.Reply != nil {
		return c.Reply(&state, a)
	}
	all, err := c.Do(&state, a)
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if err := e.Do(one); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// Beside takes out of left what cannot be given beside a: a once more, and what chooses the same thing in another way.
func (a Argument) Beside(left []Argument) []Argument {
	choice := []Argument{Group, GroupID, VPN}
	return slices.DeleteFunc(left, func(b Argument) bool {
		return b == a || slices.Contains(choice, a) && slices.Contains(choice, b)
	})
}

// The largest values of GroupID and Index; the smallest are 1.
const (
	MaxGroupID = 1<<32 - 1
	MaxIndex   = 1 << 48
)

var commands = []Command{
	{
		Words: "clear security group-vpn member group", RPC: "clear-gvpn-group-information",
		Help: "Clear all SAs of a group and register again", Args: []Argument{GroupID, VPN},
		Do: func(s *State, a Args) ([]any, error) {
			_, _, err := s.vpns(a)
			return []any{member.ClearGroup{VPN: a.VPN, GroupID: a.GroupID}}, err
		},
	},
	{
		Words: "clear security group-vpn member ike security-associations", RPC: "clear-group-vpn-ike-security-associations",
		Help: "Clear IKE security associations", Args: []Argument{Peer, Index}, Do: clearIKE,
	},
	{
		Words: "clear security group-vpn member ipsec security-associations", RPC: "clear-gvpn-ipsec-security-association",
		Help: "Clear IPsec security associations and pull again", Args: []Argument{GroupID},
		Do: func(s *State, a Args) ([]any, error) {
			_, _, err := s.vpns(a)
			return []any{member.ClearIPsec{GroupID: a.GroupID}}, err
		},
	},
	{
		Words: "clear security group-vpn member ipsec security-associations statistics", RPC: "clear-gvpn-ipsec-security-association-statistics",
		Help: "Clear statistics of IPsec security associations", Args: []Argument{GroupID},
		Do: func(s *State, a Args) ([]any, error) {
			_, _, err := s.vpns(a)
			return []any{member.ClearStatistics{GroupID: a.GroupID}}, err
		},
	},
	{
		Words: "clear security group-vpn member ipsec statistics", RPC: "clear-gvpn-ipsec-statistics",
		Help: "Clear IPsec statistics", Do: func(*State, Args) ([]any, error) { return []any{ClearTraffic{}}, nil },
	},
	{
		Words: "clear security group-vpn server", RPC: "clear-security-group-vpn-server",
		Help: "Clear group members, SAs and statistics", Args: []Argument{Group, GroupID, Now},
		Do: func(s *State, a Args) ([]any, error) {
			name, err := s.groupName(a)
			return []any{server.Clear{Group: name, Now: a.Now}}, err
		},
	},
	{
		Words: "clear security group-vpn server server-cluster", RPC: "clear-security-group-vpn-server-server-cluster",
		Help: "Clear server cluster connections", Do: func(*State, Args) ([]any, error) { return []any{cluster.Clear{}}, nil },
	},
	{
		Words: "clear security group-vpn server server-cluster statistics", RPC: "clear-security-group-vpn-svr-svr-cluster-stats",
		Help: "Clear server cluster statistics", Args: []Argument{Group, GroupID, PeerGateway},
		Do: clearClusterStatistics,
	},
	{
		Words: "clear security group-vpn server statistics", RPC: "clear-security-group-vpn-server-statistics",
		Help: "Clear group statistics", Args: []Argument{Group, GroupID},
		Do: func(s *State, a Args) ([]any, error) {
			name, err := s.groupName(a)
			return []any{server.ClearStatistics{Group: name}}, err
		},
	},
	{
		Words: "request security group-vpn server rekey", // ours
		Help:  "Make new keys now", Args: []Argument{Group, GroupID, KEK, TEK},
		Do: func(s *State, a Args) ([]any, error) {
			groups, err := s.groups(a)
			if err == nil && len(groups) == 0 {
				err = fmt.Errorf("no group is configured")
			}
			all := !a.KEK && !a.TEK
			var out []any
			for _, g := range groups {
				out = append(out, server.Rekey{Group: g.Name, KEK: a.KEK || all, TEK: a.TEK || all})
			}
			return out, err
		},
	},
	{
		Words: "show security group-vpn datagrams",
		Help:  "Show what became of datagrams from the network, by kind", Reply: datagrams,
	},
	{
		Words: "show security group-vpn member ike security-associations", RPC: "get-gvpn-ike-security-associations-information",
		Help: "Show IKE security associations", Args: []Argument{Level, Peer, Index}, Reply: memberIKE,
	},
	{
		Words: "show security group-vpn member ipsec inactive-tunnels", RPC: "get-gvpn-inactive-tunnels",
		Help: "Show tunnels without keys, and why", Args: []Argument{GroupID}, Reply: inactiveTunnels,
	},
	{
		Words: "show security group-vpn member ipsec security-associations", RPC: "get-gvpn-security-associations-information",
		Help: "Show IPsec security associations", Args: []Argument{Level, Index, GroupID}, Reply: memberIPsec,
	},
	{
		Words: "show security group-vpn member ipsec statistics", RPC: "get-gvpn-ipsec-statistics-information",
		Help: "Show IPsec statistics", Reply: ipsecStatistics,
	},
	{
		Words: "show security group-vpn member kek security-associations", RPC: "get-gvpn-kek-security-associations-information",
		Help: "Show KEK security associations", Args: []Argument{Level, Peer, Index, GroupID, VPN}, Reply: memberKEK,
	},
	{
		Words: "show security group-vpn member policy", RPC: "get-gvpn-policy-information",
		Help: "Show group VPN policies", Args: []Argument{GroupID, VPN}, Reply: memberPolicy,
	},
	{
		Words: "show security group-vpn server ike security-associations", RPC: "get-security-group-vpn-server-ike-security-associations-information",
		Help: "Show IKE security associations", Args: []Argument{Level, Peer, Group, GroupID, Index}, Reply: serverIKE,
	},
	{
		Words: "show security group-vpn server ipsec security-associations", RPC: "get-security-group-vpn-server-security-information",
		Help: "Show IPsec security associations", Args: []Argument{Level, Group, GroupID}, Reply: serverIPsec,
	},
	{
		Words: "show security group-vpn server kek security-associations", RPC: "get-security-group-vpn-server-kek-sa",
		Help: "Show KEK security associations", Args: []Argument{Level, Group, GroupID, Index}, Reply: serverKEK,
	},
	{
		Words: "show security group-vpn server registered-members", RPC: "get-security-group-vpn-server-registered-members",
		Help: "Show members registered with this server", Args: []Argument{Level, Group, GroupID, Peer}, Reply: registeredMembers,
	},
	{
		Words: "show security group-vpn server server-cluster", RPC: "get-security-group-vpn-svr-svr-cluster-info",
		Help: "Show server cluster", Args: []Argument{Level, Group, GroupID, PeerGateway}, Reply: serverCluster,
	},
	{
		Words: "show security group-vpn server statistics", RPC: "get-security-group-vpn-server-stats",
		Help: "Show group statistics", Args: []Argument{Group, GroupID}, Reply: serverStatistics,
	},
}

// groupName is the name of the group that the arguments choose, empty for all.
func (s *State) groupName(a Args) (string, error) {
	if a.Group == "" && a.GroupID == 0 {
		return "", nil
	}
	groups, err := s.groups(a)
	if err != nil {
		return "", err
	}
	return groups[0].Name, nil
}

// clearClusterStatistics sets to zero what the reply serverCluster shows of the groups and peers that the arguments choose.
func clearClusterStatistics(s *State, a Args) ([]any, error) {
	name, err := s.groupName(a)
	out := []any{cluster.ClearStatistics{Group: name, Gateway: a.PeerGateway}}
	for _, g := range s.Cluster.Groups {
		for _, p := range g.Peers {
			if p.Role == step.RootServer && (name == "" || g.Name == name) && (a.PeerGateway == "" || p.Gateway == a.PeerGateway) {
				out = append(out, server.ClearMismatch{Group: g.Name})
			}
		}
	}
	return out, err
}

// clearIKE deletes the phase-1 SAs that the arguments choose, each by its gateway and address.
func clearIKE(s *State, a Args) ([]any, error) {
	var out []any
	done := map[ike.Delete]bool{}
	for _, sa := range s.IKE.SAs {
		if a.Peer.IsValid() && sa.Remote.Addr() != a.Peer || a.Index != 0 && uint64(sa.ID) != a.Index {
			continue
		}
		d := ike.Delete{Gateway: sa.Gateway, Remote: sa.Remote.Addr()}
		if !done[d] {
			done[d] = true
			out = append(out, d)
		}
	}
	if len(out) == 0 && (a.Peer.IsValid() || a.Index != 0) {
		return nil, fmt.Errorf("no such IKE security association")
	}
	return out, nil
}
