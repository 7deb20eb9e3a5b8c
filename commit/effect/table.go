package effect

import "gvpn/commit/step"

//go:generate go test -count=1 -run ^TestTablesPage$ . -args -write

// arg says which of a row's names an effect carries.
type arg uint8

const (
	whole           arg = iota // none: the effect is for the group, or for the VPN
	affected                   // every gateway that the row affects, one effect each
	theGateway                 // the row's gateway
	thePeer                    // the row's cluster gateway
	theRoot                    // a sub-server's one cluster gateway
	theSA                      // the row's ipsec-sa
	theKEK                     // the group's KEK, by step.KEKName
	perGroup                   // the row's gateways, once in each group that names them
	all                        // none, where the table says "all"
	asConfiguredTEK            // none; left out if no ipsec-sa is configured
	asConfiguredKEK            // none; left out if no server-member-communication is configured
	again                      // none; register-new-group stands in its place if the group number changed
)

// word is how the tables spell the argument.
func (a arg) word() string {
	switch a {
	case affected:
		return "(each affected gateway)"
	case theGateway:
		return "(gateway)"
	case thePeer:
		return "(peer)"
	case theRoot:
		return "(root)"
	case theSA:
		return "(SA)"
	case theKEK:
		return "(KEK)"
	case again:
		return " (register-new-group if the group number changed)"
	case perGroup:
		return "(each affected gateway)"
	case all:
		return "(all)"
	}
	return ""
}

// do is one effect of a cell.
type do struct {
	kind step.Kind
	arg  arg
}

// cell is what one row does in one role, in order. An empty one does nothing at once.
type cell []do

// tableRow is one row of a table. Which tables a row is in follows from its number.
type tableRow struct {
	ID     string // "1.1a", "2.3", "3.5"
	Change string // what happened
	Ours   bool   // not in Juniper's page

	cells [3]cell // Table 1 by step.Role; Table 2 by root-server and sub-server; Table 3 has one, the first
}

func same(c ...do) [3]cell { return [3]cell{c, c, c} }

func sides(root, sub cell) [3]cell { return [3]cell{nil, root, sub} }

// readings are the readings of change-effects.md that put effects of their own into a plan, under their number.
var readings = map[string]string{
	"T7":  "the root-server has members of its own",
	"T8":  "another root-server takes its place",
	"T12": "a peer went with the change of role",
	"T13": "an ipsec-sa would be left without a TEK",
	"T16": "members that are forgotten have no KEK",
}

// because says what a row or reading stands for.
func because(id string) string {
	for i := range rows {
		if rows[i].ID == id {
			return rows[i].Change
		}
	}
	return readings[id]
}

// The three tables. The cells are the page's, word for word; what readings add to a cell is in plan.go. T6: a sub-server's cell is
// all that happens at once, though it may start cluster-init after any change of a group (C3).
var rows = []tableRow{
	// Table 1: any group server.
	{ID: "1.1a", Change: "IKE proposal, policy or gateway changed", cells: same(
		do{step.DeleteIKESA, affected},
	)},
	{ID: "1.1b", Change: "IKE proposal, policy or gateway deleted", cells: same(
		do{step.DeleteIKESA, affected}, do{step.DeleteRegisteredMembers, perGroup},
	)},
	{ID: "1.2", Change: "IPsec proposal changed", cells: same(
		do{step.AtNextTEKRekey, theSA},
	)},
	{ID: "1.3", Change: "group deleted", cells: [3]cell{
		{
			{step.SendDeleteAllToMembers, whole},
			{step.DeleteMemberIKESAs, whole},
			{step.DeleteKeys, whole}, // T11: right after the push
			{step.DeleteRegisteredMembers, all},
		},
		{
			{step.SendDeleteAllToSubServers, whole},
			{step.DeleteKeys, whole},
			{step.MarkPeerInactive, all}, // T11: a lost "delete all" is not sent again
			{step.DeletePeerIKESAs, whole},
			{step.DeleteMemberIKESAs, whole},
		},
		{
			{step.DeleteMemberIKESAs, whole},
			{step.DeleteKeys, whole},
			{step.DeleteRegisteredMembers, all},
			{step.MarkPeerInactive, theRoot},
			{step.DeletePeerIKESAs, whole},
		},
	}},
	{ID: "1.4", Change: "group-id changed", cells: [3]cell{
		{
			{step.SendDeleteAllToMembers, whole},
			{step.DeleteMemberIKESAs, whole},
			{step.DeleteKeys, whole},
			{step.DeleteRegisteredMembers, all},
			{step.GenerateKEK, asConfiguredKEK},
			{step.GenerateTEK, asConfiguredTEK},
		},
		{
			{step.SendDeleteAllToSubServers, whole},
			{step.DeleteMemberIKESAs, whole},
			{step.DeleteKeys, whole},
			{step.MarkPeerInactive, all},
			{step.DeletePeerIKESAs, whole},
			{step.GenerateKEK, asConfiguredKEK},
			{step.GenerateTEK, asConfiguredTEK},
		},
		{
			{step.DeleteMemberIKESAs, whole},
			{step.DeleteKeys, whole},
			{step.DeleteRegisteredMembers, all},
			{step.MarkPeerInactive, theRoot},
			{step.DeletePeerIKESAs, whole},
			{step.StartClusterInit, whole},
		},
	}},
	{ID: "1.5a", Change: "IKE gateway added to the group"},
	{ID: "1.5b", Change: "IKE gateway removed from the group", cells: same(
		do{step.DeleteIKESA, theGateway}, do{step.DeleteRegisteredMembers, theGateway},
	)},
	{ID: "1.6", Change: "anti-replay-time-window added or changed", cells: same(
		do{step.AtNextTEKRekey, whole},
	)},
	{ID: "1.7", Change: "no-anti-replay added or changed", cells: same(
		do{step.AtNextTEKRekey, whole},
	)},
	{ID: "1.8", Change: "server-member-communication added", cells: [3]cell{
		{{step.DeleteRegisteredMembers, all}, {step.GenerateKEK, whole}},
		{{step.GenerateKEK, whole}, {step.SendKEKToSubServers, whole}, {step.DeleteMemberIKESAs, whole}},
		{{step.DeleteRegisteredMembers, all}},
	}},
	{ID: "1.9", Change: "server-member-communication changed", cells: same(
		do{step.AtNextKEKRekey, whole},
	)},
	{ID: "1.10", Change: "server-member-communication deleted", cells: [3]cell{
		{{step.SendDeleteToMembers, theKEK}, {step.DeleteKEK, whole}},
		{{step.SendDeleteToSubServers, theKEK}, {step.DeleteKEK, whole}, {step.DeleteMemberIKESAs, whole}},
		{{step.DeleteKEK, whole}},
	}},
	{ID: "1.11", Change: "ipsec-sa added", cells: [3]cell{
		{{step.GenerateTEK, theSA}, {step.SendTEKToMembers, theSA}},
		{{step.GenerateTEK, theSA}, {step.SendTEKToSubServers, theSA}},
		nil,
	}},
	{ID: "1.12a", Change: "ipsec-sa changed, match-policy the same", cells: same(
		do{step.AtNextTEKRekey, theSA},
	)},
	{ID: "1.12b", Change: "ipsec-sa changed in its match-policy", cells: [3]cell{
		{{step.DeleteTEK, theSA}, {step.SendDeleteToMembers, theSA}},
		{{step.SendDeleteToSubServers, theSA}, {step.DeleteTEK, theSA}},
		{{step.DeleteTEK, theSA}}, // T5: the TEK of the old configuration
	}},
	{ID: "1.13", Change: "ipsec-sa deleted", cells: [3]cell{
		{{step.DeleteTEK, theSA}, {step.SendDeleteToMembers, theSA}},
		{{step.SendDeleteToSubServers, theSA}, {step.DeleteTEK, theSA}},
		{{step.DeleteTEK, theSA}}, // T5
	}},
	{ID: "1.14", Change: "group added", Ours: true, cells: [3]cell{ // T2
		{{step.GenerateKEK, asConfiguredKEK}, {step.GenerateTEK, asConfiguredTEK}},
		{
			{step.GenerateKEK, asConfiguredKEK},
			{step.GenerateTEK, asConfiguredTEK},
			{step.SendKEKToSubServers, asConfiguredKEK},
			{step.SendTEKToSubServers, asConfiguredTEK},
		},
		{{step.StartClusterInit, whole}},
	}},
	{ID: "1.15", Change: "anything else in a group", Ours: true}, // T3, T15

	// Table 2: the server cluster itself.
	{ID: "2.1a", Change: "IKE proposal, policy or gateway of a cluster peer added"},
	{ID: "2.1b", Change: "IKE proposal, policy or gateway of a cluster peer changed or deleted", cells: sides(
		cell{{step.DeleteIKESA, affected}},
		cell{{step.DeleteIKESA, affected}},
	)},
	{ID: "2.2", Change: "server-cluster added", cells: sides(
		nil, // G1: a standalone server becomes root without loss
		cell{
			{step.SendDeleteAllToMembers, whole},
			{step.DeleteMemberIKESAs, whole},
			{step.DeleteKeys, whole}, // T11
			{step.DeleteRegisteredMembers, all},
			{step.StartClusterInit, whole},
		},
	)},
	{ID: "2.3", Change: "server-role changed (the column is the role before)", cells: sides(
		cell{
			{step.SendDeleteAllToSubServers, whole},
			{step.DeleteMemberIKESAs, whole},
			{step.DeleteKeys, whole},
			{step.MarkPeerInactive, all},
			{step.DeletePeerIKESAs, whole},
			{step.StartClusterInit, whole},
		},
		cell{ // T10: the TEK first, so that it travels under the old KEK
			{step.RekeyTEK, asConfiguredTEK},
			{step.RekeyKEK, asConfiguredKEK},
			{step.SendTEKToSubServers, asConfiguredTEK},
			{step.SendKEKToSubServers, asConfiguredKEK},
			{step.SendTEKToMembers, asConfiguredTEK},
			{step.SendKEKToMembers, asConfiguredKEK},
		},
	)},
	{ID: "2.4a", Change: "peer added (server-cluster ike-gateway)"},
	{ID: "2.4b", Change: "peer removed", cells: sides(
		cell{{step.MarkPeerInactive, thePeer}, {step.DeletePeerIKESAs, thePeer}},
		cell{
			{step.MarkPeerInactive, theRoot},
			{step.DeleteKEK, whole},
			{step.DeleteTEK, whole},
			{step.DeletePeerIKESAs, theRoot},
		},
	)},
	{ID: "2.5", Change: "retransmission-period of server-cluster changed"},
	{ID: "2.6", Change: "server-cluster deleted", cells: sides(
		cell{
			{step.SendDeleteAllToSubServers, whole},
			{step.DeleteKeys, whole},
			{step.MarkPeerInactive, all},
			{step.DeletePeerIKESAs, whole},
			{step.GenerateTEK, asConfiguredTEK},
			{step.GenerateKEK, asConfiguredKEK},
		},
		cell{
			{step.DeleteMemberIKESAs, whole},
			{step.DeleteKeys, whole},
			{step.DeleteRegisteredMembers, all},
			{step.MarkPeerInactive, theRoot},
			{step.DeletePeerIKESAs, whole},
			{step.GenerateTEK, asConfiguredTEK},
			{step.GenerateKEK, asConfiguredKEK},
		},
	)},

	// Table 3: the member.
	{ID: "3.1", Change: "vpn added", Ours: true, cells: same(
		do{step.Register, whole},
	)},
	{ID: "3.2", Change: "vpn deleted", Ours: true, cells: same(
		do{step.RemoveSAs, whole},
	)},
	{ID: "3.3", Change: "ike-gateway, the gateway's policy, proposal or key, the external interface or the group number changed", Ours: true, cells: same(
		do{step.DeleteIKESA, theGateway}, do{step.RegisterAgain, again},
	)},
	{ID: "3.4", Change: "server-address list changed: as 3.3 if the current server left it", Ours: true, cells: same(
		do{step.AtNextRegister, whole},
	)},
	{ID: "3.5", Change: "fail-open, exclude, df-bit, tunnel-mtu, match-direction or binding changed", Ours: true, cells: same(
		do{step.ReloadPolicy, whole},
	)},
	{ID: "3.6", Change: "recovery-probe, description, order", Ours: true},
}

// meanings are the effects, for the page.
var meanings = []struct {
	kind step.Kind
	text string
}{
	{step.SendDeleteAllToMembers, "members are told, under the KEK that they have, to forget every SA of the group"},
	{step.SendDeleteAllToSubServers, "every active sub-server is told to tell its members so"},
	{step.SendDeleteToMembers, "members are told to forget one TEK or the KEK"},
	{step.SendDeleteToSubServers, "every active sub-server is told to tell its members so"},
	{step.SendKEKToSubServers, "every active sub-server gets the new KEK"},
	{step.SendTEKToSubServers, "every active sub-server gets the new TEK"},
	{step.SendTEKToMembers, "members get the new TEK, in a push"},
	{step.SendKEKToMembers, "members get the new KEK, in a push under the old one"},
	{step.DeleteIKESA, "the gateway's phase-1 SAs go, and the peer is told so"},
	{step.DeleteMemberIKESAs, "so do those of all members of the group"},
	{step.DeletePeerIKESAs, "so do those of its cluster peers, or of the one that is named"},
	{step.DeleteRegisteredMembers, "registrations are forgotten: the gateway's, or all"},
	{step.DeleteKeys, "the KEK and every TEK are destroyed"},
	{step.DeleteTEK, "the TEK is destroyed; all, if none is named"},
	{step.DeleteKEK, "the KEK is destroyed"},
	{step.GenerateKEK, "a KEK is made as configured now"},
	{step.GenerateTEK, "the TEK is made as configured now; all, if none is named"},
	{step.MarkPeerInactive, "the cluster peer counts as inactive"},
	{step.StartClusterInit, "the sub-server asks its root for all that the group has"},
	{step.AtNextTEKRekey, "nothing now; the next TEK is made with the new value"},
	{step.AtNextKEKRekey, "nothing now; the next KEK is made with the new value"},
	{step.RekeyTEK, "another TEK takes the place of the one that there is"},
	{step.RekeyKEK, "another KEK takes the place of the one that there is"},
	{step.Register, "the member registers with the first server of its gateway"},
	{step.RemoveSAs, "SAs and policies leave the data plane, the server is told that the phase-1 SA goes, the keys are forgotten"},
	{step.RegisterAgain, "the member registers; the TEKs that it has serve until others are there"},
	{step.RegisterNewGroup, "the member registers; the TEKs that it has go at once"},
	{step.ReloadPolicy, "the data plane changes its policy at once, with no packet in the clear in between"},
	{step.AtNextRegister, "nothing now; the next registration goes by it"},
}

// rowIndex finds rows by their number.
var rowIndex = func() map[string]int {
	m := make(map[string]int, len(rows))
	for i, r := range rows {
		m[r.ID] = i
	}
	return m
}()
