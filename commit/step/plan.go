package step

import "strings"

// Kind is the name of an effect, spelt as the vocabulary of the tables spells it.
type Kind string

// The effects. Which engine carries out which is package engine's route.go.
const (
	SendDeleteAllToMembers    Kind = "send-delete-all-to-members"
	SendDeleteAllToSubServers Kind = "send-delete-all-to-sub-servers"
	SendDeleteToMembers       Kind = "send-delete-to-members"     // SA
	SendDeleteToSubServers    Kind = "send-delete-to-sub-servers" // SA
	SendKEKToSubServers       Kind = "send-kek-to-sub-servers"
	SendTEKToSubServers       Kind = "send-tek-to-sub-servers" // SA
	SendTEKToMembers          Kind = "send-tek-to-members"     // SA
	SendKEKToMembers          Kind = "send-kek-to-members"
	DeleteIKESA               Kind = "delete-ike-sa"             // Gateway
	DeleteMemberIKESAs        Kind = "delete-member-ike-sas"     // of Group
	DeletePeerIKESAs          Kind = "delete-peer-ike-sas"       // of Group, or of Gateway if named
	DeleteRegisteredMembers   Kind = "delete-registered-members" // of Group, or of Gateway if named
	DeleteKeys                Kind = "delete-keys"
	DeleteTEK                 Kind = "delete-tek" // SA; empty: all
	DeleteKEK                 Kind = "delete-kek"
	GenerateKEK               Kind = "generate-kek"
	GenerateTEK               Kind = "generate-tek"       // SA; empty: all configured
	MarkPeerInactive          Kind = "mark-peer-inactive" // Gateway; empty: all
	StartClusterInit          Kind = "start-cluster-init"
	AtNextTEKRekey            Kind = "at-next-tek-rekey"
	AtNextKEKRekey            Kind = "at-next-kek-rekey"
	RekeyTEK                  Kind = "rekey-tek"
	RekeyKEK                  Kind = "rekey-kek"

	// Table 3: the member.
	Register         Kind = "register"           // VPN: with the first server of its gateway
	RemoveSAs        Kind = "remove-sas"         // VPN: from the data plane, Informational Delete, forget the keys
	RegisterAgain    Kind = "register-again"     // VPN: old TEKs serve until the new ones are in
	ReloadPolicy     Kind = "reload-policy"      // VPN: data-plane policy, at once
	AtNextRegister   Kind = "at-next-register"   // VPN
	RegisterNewGroup Kind = "register-new-group" // VPN: the old TEKs go at once
)

// KEKName stands for the KEK where an effect's SA names what is deleted.
const KEKName = "kek"

// Effect is one effect of a plan. Unused fields are empty.
type Effect struct {
	Row     string // "1.3", "2.2", "3.1", or a reading such as "T13"
	Kind    Kind
	Group   string
	Gateway string
	SA      string // an ipsec-sa's name, or KEKName
	VPN     string
}

// String is the effect as an operator reads it: "1.3 GROUP delete-keys".
func (e Effect) String() string {
	var b strings.Builder
	b.WriteString(e.Row)
	for _, s := range []string{e.Group, e.VPN} {
		if s != "" {
			b.WriteString(" " + s)
		}
	}
	b.WriteString(" " + string(e.Kind))
	switch {
	case e.Gateway != "":
		b.WriteString("(" + e.Gateway + ")")
	case e.SA != "":
		b.WriteString("(" + e.SA + ")")
	}
	return b.String()
}

// GatewayChange, GroupChange and VPNChange carry the configuration before and after; nil stands for absent.
type (
	GatewayChange struct{ Old, New *Gateway }
	GroupChange   struct{ Old, New *Group }
	VPNChange     struct{ Old, New *VPN }
)

// Plan is what one commit does. Lists are sorted by name, effects are in the order in which they are carried out.
type Plan struct {
	Commit   uint64 // the commit's number; engines persist the last one applied
	HostName string // system host-name after the commit
	// MemberLimit is how many members a server serves in all its groups (M4), after the commit.
	MemberLimit int
	Gateways    []GatewayChange
	Groups      []GroupChange
	VPNs        []VPNChange
	Effects     []Effect
	// Quiet are the rows that do nothing at once, for an operator who reads the plan; their Kind is empty and engines pass
	// them by.
	Quiet []Effect
}

// Empty reports whether the plan changes nothing for the engines.
func (p *Plan) Empty() bool {
	return len(p.Gateways) == 0 && len(p.Groups) == 0 && len(p.VPNs) == 0 && len(p.Effects) == 0
}
