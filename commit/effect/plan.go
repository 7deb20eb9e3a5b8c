package effect

import (
	"maps"
	"slices"

	"gvpn/commit/diff"
	"gvpn/commit/step"
	"gvpn/config"
)

// Plan says what a commit from old to next does. The trees are effective ones and valid, and changes is what diff.Diff makes
// of them. The plan of a node that starts is the one from the empty tree. Its Commit is left to the caller. An error, of type
// config.Errors, names values that cannot be read; the schema's types let none of them through.
//
// Effects come in this order: rows 1.1; then group by group, by name, in the order of the tables; then row 2.1b; then every
// start-cluster-init; then the VPNs, by name. Groups share IKE SAs with their peers (T9), and a send needs one: so groups that
// delete some come behind those that do not, with their "delete all" to sub-servers before the first deletion, row 2.1b behind
// all groups, and start-cluster-init, which needs a new IKE SA, behind that.
func Plan(old, next config.Tree, changes []diff.Change) (*step.Plan, error) {
	c := classify(old, next, changes)
	c.plan.HostName, c.plan.MemberLimit = c.next.hostName(), c.next.memberLimit()

	var members, peers []hit
	groups, vpns := map[string][]hit{}, map[string][]hit{}
	for _, h := range c.hits {
		switch {
		case h.vpn != "":
			vpns[h.vpn] = append(vpns[h.vpn], h)
		case h.group != "":
			groups[h.group] = append(groups[h.group], h)
		case rows[h.row].ID[0] == '1':
			members = append(members, h)
		default:
			peers = append(peers, h)
		}
	}

	out := listed{plan: &c.plan, seen: map[step.Effect]bool{}}
	out.add(together(members)...)
	out.add(c.groupEffects(groups)...)
	inits := out.take(step.StartClusterInit)
	out.add(together(peers)...)
	out.add(inits...)
	for _, name := range slices.Sorted(maps.Keys(vpns)) {
		for _, h := range vpns[name] {
			if h.is("3.4") && slices.ContainsFunc(vpns[name], func(x hit) bool { return x.is("3.3") }) {
				continue // it registers anew from the new list at once
			}
			out.add(h.effects(nil)...)
		}
	}
	return &c.plan, slices.Concat(c.old.errs, c.next.errs).Err()
}

// listed collects the effects of a plan, each once.
type listed struct {
	plan *step.Plan
	seen map[step.Effect]bool // Row aside
}

func (l *listed) add(effects ...step.Effect) {
	for _, e := range effects {
		if e.Kind == "" {
			l.plan.Quiet = append(l.plan.Quiet, e)
			continue
		}
		key := e
		key.Row = ""
		if !l.seen[key] {
			l.seen[key] = true
			l.plan.Effects = append(l.plan.Effects, e)
		}
	}
}

// take removes the effects of one kind from the plan and returns them.
func (l *listed) take(kind step.Kind) (taken []step.Effect) {
	l.plan.Effects = slices.DeleteFunc(l.plan.Effects, func(e step.Effect) bool {
		if e.Kind == kind {
			taken = append(taken, e)
			key := e
			key.Row = ""
			delete(l.seen, key)
		}
		return e.Kind == kind
	})
	return taken
}

// groupEffects puts the groups' effects one after the other.
func (c *classifier) groupEffects(groups map[string][]hit) []step.Effect {
	var keep, told, drop []step.Effect // of groups that keep and that delete IKE SAs of peers
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		g := groupPlan{pair: c.pairs[name]}
		effects := g.effects(groups[name])
		if !slices.ContainsFunc(effects, func(e step.Effect) bool { return e.Kind == step.DeletePeerIKESAs }) {
			keep = append(keep, effects...)
			continue
		}
		n := 0
		for n < len(effects) && deletesAll(effects[n]) {
			n++
		}
		told, drop = append(told, effects[:n]...), append(drop, effects[n:]...)
	}
	return slices.Concat(keep, told, drop)
}

func (h hit) is(id string) bool { return rows[h.row].ID == id }

// cell returns what the row does in the role that it is read for.
func (h hit) cell() cell { return rows[h.row].cells[h.column] }

// effects writes the row's cell out with the names of this hit. A row that does nothing at once gives one effect without Kind.
// g is nil for a row that is not a group's.
func (h hit) effects(g *groupPlan) []step.Effect {
	row := rows[h.row].ID
	if h.reading != "" {
		row = h.reading
	}
	if len(h.cell()) == 0 {
		return []step.Effect{{Row: row, Group: h.group, Gateway: h.gateway, SA: h.sa, VPN: h.vpn}}
	}
	var out []step.Effect
	for _, d := range h.cell() {
		e := step.Effect{Row: row, Kind: d.kind, Group: h.group, VPN: h.vpn}
		switch d.arg {
		case affected, theGateway, thePeer:
			e.Gateway = h.gateway
			if d.kind == step.DeleteIKESA { // an IKE SA is its gateway's, not a group's or a VPN's
				e.Group, e.VPN = "", ""
			}
		case perGroup:
			e.Gateway = h.gateway
			for _, name := range h.groups {
				e.Group = name
				out = append(out, e)
			}
			continue
		case theRoot:
			if len(g.o.Peers) > 0 {
				e.Gateway = g.o.Peers[0]
			}
		case theSA:
			e.SA = h.sa
		case theKEK:
			e.SA = step.KEKName
		case asConfiguredTEK:
			if len(g.n.SAs) == 0 {
				continue
			}
		case asConfiguredKEK:
			if g.n.Communication == nil {
				continue
			}
		case again:
			if h.newGroup {
				e.Kind = step.RegisterNewGroup
			}
		}
		out = append(out, e)
	}
	return out
}

// together writes out hits of rows that are not a group's, sorted by row. A cell's effect comes for every gateway of the row
// before the cell's next one.
func together(hits []hit) []step.Effect {
	var out []step.Effect
	for len(hits) > 0 {
		n := 1
		for n < len(hits) && hits[n].row == hits[0].row {
			n++
		}
		at := len(out)
		for _, h := range hits[:n] {
			out = append(out, h.effects(nil)...)
		}
		c := hits[0].cell()
		place := func(e step.Effect) int {
			return slices.IndexFunc(c, func(d do) bool { return d.kind == e.Kind })
		}
		slices.SortStableFunc(out[at:], func(a, b step.Effect) int { return place(a) - place(b) })
		hits = hits[n:]
	}
	return out
}

// groupPlan puts the effects of one group together.
type groupPlan struct {
	pair
	out []step.Effect
}

func (g *groupPlan) effects(hits []hit) []step.Effect {
	var kekGone []step.Effect
	for _, h := range hits {
		e := g.readings(h, h.effects(g))
		if h.is("1.10") {
			kekGone = e
			continue
		}
		g.out = append(g.out, e...)
	}
	if g.n != nil && g.n.Role != step.SubServer {
		g.missingTEKs()
	}
	g.dropCovered()
	g.deleteAllFirst()
	return g.placeKEKGone(kekGone, hits)
}

// readings adds to a row's effects what T7, T8, T12 and T16 say.
func (g *groupPlan) readings(h hit, effects []step.Effect) []step.Effect {
	var out []step.Effect
	for _, e := range effects {
		out = append(out, e)
		if h.column == step.RootServer {
			out = append(out, g.toOwnMembers(h, e)...)
		}
	}
	switch {
	case h.is("1.8") && h.column != step.RootServer && g.o != nil && len(g.o.Members) > 0:
		// T16: what a root's cell says in so many words. A member that is forgotten without a word comes for the KEK when its TEK
		// ends, some before the others, and meanwhile the TEK is renewed for those who came: a planned rekey would lose packets.
		out = append(out, step.Effect{Row: "T16", Kind: step.DeleteMemberIKESAs, Group: h.group})
	case h.is("2.4b") && h.column == step.SubServer && len(g.n.Peers) > 0:
		// T8: it has got another root in the same commit (V1), and asks that one.
		out = append(out, step.Effect{Row: "T8", Kind: step.StartClusterInit, Group: h.group})
	case h.is("2.3") && h.column == step.SubServer:
		// T12: row 2.4b is swallowed, and yet a peer that is gone goes inactive and loses its IKE SA.
		gone, _ := compare(g.o.Peers, g.n.Peers)
		for _, name := range gone {
			out = append(out,
				step.Effect{Row: "T12", Kind: step.MarkPeerInactive, Group: h.group, Gateway: name},
				step.Effect{Row: "T12", Kind: step.DeletePeerIKESAs, Group: h.group, Gateway: name})
		}
	}
	return out
}

// toOwnMembers is T7: what a root sends to its sub-servers goes to its own members too, and with delete-member-ike-sas their
// registrations go. It has some only if the group named gateways for them before the commit. The first KEK of a group is not
// sent to members: they have none under which it could travel.
func (g *groupPlan) toOwnMembers(h hit, e step.Effect) []step.Effect {
	if g.o == nil || len(g.o.Members) == 0 {
		return nil
	}
	to, ok := map[step.Kind]step.Kind{
		step.SendDeleteAllToSubServers: step.SendDeleteAllToMembers,
		step.SendDeleteToSubServers:    step.SendDeleteToMembers,
		step.SendTEKToSubServers:       step.SendTEKToMembers,
		step.SendKEKToSubServers:       step.SendKEKToMembers,
		step.DeleteMemberIKESAs:        step.DeleteRegisteredMembers,
	}[e.Kind]
	if !ok || h.is("1.8") && to == step.SendKEKToMembers {
		return nil
	}
	return []step.Effect{{Row: "T7", Kind: to, Group: e.Group, SA: e.SA}}
}

// missingTEKs is T13, and with it T4: an ipsec-sa that is configured and has no TEK at the end gets one, and it is sent. An
// ipsec-sa that was configured before is taken to have one.
func (g *groupPlan) missingTEKs() {
	for _, s := range g.n.SAs {
		has := g.o != nil && find(g.o.SAs, s.Name) != nil
		for _, e := range g.out {
			if e.SA != "" && e.SA != s.Name {
				continue
			}
			switch e.Kind {
			case step.DeleteKeys, step.DeleteTEK:
				has = false
			case step.GenerateTEK, step.RekeyTEK:
				has = true
			}
		}
		if has {
			continue
		}
		made := step.Effect{Row: "T13", Kind: step.GenerateTEK, Group: g.n.Name, SA: s.Name}
		sent := made
		if g.n.Role == step.Standalone {
			sent.Kind = step.SendTEKToMembers
			g.out = append(g.out, made, sent)
			continue
		}
		sent.Kind = step.SendTEKToSubServers
		g.out = append(append(g.out, made, sent), g.toOwnMembers(hit{}, sent)...)
	}
}

// dropCovered takes out what another effect of the group does as well: an effect for one SA, gateway or peer beside the same one
// for all; a rekey of what is generated, or a generation of one TEK beside a rekey of all.
func (g *groupPlan) dropCovered() {
	forAll := map[step.Kind]bool{}
	for _, e := range g.out {
		if e.SA == "" && e.Gateway == "" {
			forAll[e.Kind] = true
		}
	}
	g.out = slices.DeleteFunc(g.out, func(e step.Effect) bool {
		switch {
		case e.Kind == step.RekeyTEK:
			return forAll[step.GenerateTEK]
		case e.Kind == step.RekeyKEK:
			return forAll[step.GenerateKEK]
		case e.SA == "" && e.Gateway == "" || e.Kind == "":
			return false
		case e.Kind == step.GenerateTEK && forAll[step.RekeyTEK]:
			return true
		}
		return forAll[e.Kind]
	})
}

// deleteAllFirst puts "delete all" before everything else: it needs the KEK, the list of SAs, the registrations and the IKE SAs
// to peers, and every row that has it begins with it. With several rows the others may stand before it. T14: what follows may
// take the KEK and the IKE SA away at once; who carries the send out keeps what it takes to repeat it.
func (g *groupPlan) deleteAllFirst() {
	last := func(e step.Effect) int {
		if deletesAll(e) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(g.out, func(a, b step.Effect) int { return last(a) - last(b) })
}

func deletesAll(e step.Effect) bool {
	return e.Kind == step.SendDeleteAllToSubServers || e.Kind == step.SendDeleteAllToMembers
}

// placeKEKGone puts the effects of row 1.10 where the tables have them, or behind everything that is still sent to members:
// that travels under the KEK which they delete.
func (g *groupPlan) placeKEKGone(effects []step.Effect, hits []hit) []step.Effect {
	if len(effects) == 0 {
		return g.out
	}
	for _, e := range g.out {
		switch e.Kind {
		case step.SendDeleteToMembers, step.SendTEKToMembers, step.SendKEKToMembers:
			return append(g.out, effects...)
		}
	}
	at := 0
	for _, e := range g.out {
		if i, ok := rowIndex[e.Row]; !ok || i < rowIndex["1.10"] {
			at++
		}
	}
	return slices.Insert(g.out, at, effects...)
}
