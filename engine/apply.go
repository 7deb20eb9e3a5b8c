package engine

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/turn"
)

// Prepare reports whether every engine could carry out p. It changes nothing.
func (e *Engine) Prepare(p *step.Plan) error {
	var errs []error
	var check ike.Checker
	defer check.Close()
	for _, c := range p.Gateways {
		if c.New != nil {
			errs = append(errs, check.Supports(*c.New))
		}
	}
	return errors.Join(append(append(errs, e.checkMulticast(p)...), e.server.Prepare(p), e.cluster.Prepare(p), e.member.Prepare(p))...)
}

// Apply carries out a plan, in one turn: what is new or changed is taken over, the effects follow one by one, what is gone
// is forgotten. It cannot fail. The commit's number is persisted after everything else: a commit that is interrupted is
// carried out again.
//
// A plan whose commit has been carried out before comes after a restart, from the empty configuration: the server keeps the
// keys that it has restored and ignores the effects, members register, sub-servers ask their root.
func (e *Engine) Apply(now time.Time, p *step.Plan) {
	old := map[string]step.Group{}
	for _, c := range p.Groups {
		if c.Old != nil {
			old[c.Old.Name] = *c.Old
		}
	}

	e.hostName, e.memberLimit = p.HostName, p.MemberLimit
	for _, c := range p.Gateways {
		if c.New != nil {
			e.ike.SetGateway(now, *c.New)
		}
	}
	for _, c := range p.Groups {
		if c.New != nil {
			e.groups[c.New.Name] = *c.New
		}
	}
	for _, c := range p.VPNs {
		if c.New != nil {
			e.vpns[c.New.Name] = *c.New
		}
	}
	e.server.Configure(now, p)
	e.drain(now)
	e.cluster.Configure(now, p)
	e.drain(now)
	e.member.Configure(now, p)
	e.drain(now)

	for _, f := range p.Effects {
		e.apply(now, f, old)
	}

	e.server.Forget(now, p)
	e.drain(now)
	e.cluster.Forget(now, p)
	e.drain(now)
	e.member.Forget(now, p)
	e.drain(now)
	for _, c := range p.VPNs {
		if c.New == nil && c.Old != nil {
			delete(e.vpns, c.Old.Name)
		}
	}
	for _, c := range p.Groups {
		if c.New == nil && c.Old != nil {
			delete(e.groups, c.Old.Name)
		}
	}
	for _, c := range p.Gateways {
		if c.New == nil && c.Old != nil {
			e.ike.RemoveGateway(now, c.Old.Name)
		}
	}
	e.drain(now)

	if p.Commit != 0 && p.Commit <= e.applied {
		e.greetPeers(now)
	}
	if p.Commit > e.applied {
		e.applied = p.Commit
		e.out = append(e.out, turn.Persist{Key: commitKey, Value: strconv.AppendUint(nil, p.Commit, 10)})
	}
}

// greetPeers opens an IKE SA to every sub-server after a restart of their root (D5). Until they ask it again it knows none of
// them, and what it makes reaches nobody; by themselves they would find out by DPD only, after 50 s by default.
func (e *Engine) greetPeers(now time.Time) {
	for _, g := range inOrder(e.groups) {
		if g.Role != step.RootServer {
			continue
		}
		for _, name := range g.Peers {
			for _, remote := range e.ike.Remotes(name) {
				e.ike.Do(now, ike.Connect{Gateway: name, Remote: remote})
			}
		}
	}
	e.drain(now)
}

// apply carries out one effect: package ike's part of it here, the rest where it belongs. old holds the changed groups as
// they were.
func (e *Engine) apply(now time.Time, f step.Effect, old map[string]step.Group) {
	switch f.Kind {
	case step.SendDeleteAllToMembers, step.SendDeleteAllToSubServers, step.SendDeleteToMembers, step.SendDeleteToSubServers,
		step.SendKEKToSubServers, step.SendTEKToSubServers, step.SendTEKToMembers, step.SendKEKToMembers,
		step.DeleteRegisteredMembers, step.DeleteKeys, step.DeleteTEK, step.DeleteKEK,
		step.GenerateKEK, step.GenerateTEK, step.RekeyTEK, step.RekeyKEK, step.AtNextTEKRekey, step.AtNextKEKRekey:
		e.server.Apply(now, f)
	case step.MarkPeerInactive, step.StartClusterInit:
		e.cluster.Apply(now, f)
	case step.Register, step.RemoveSAs, step.RegisterAgain, step.RegisterNewGroup, step.ReloadPolicy, step.AtNextRegister:
		e.member.Apply(now, f)

	case step.DeleteIKESA:
		e.ike.Do(now, ike.Delete{Gateway: f.Gateway})
	case step.DeleteMemberIKESAs:
		e.server.Apply(now, f) // on a root the registrations go too (T7)
		e.drain(now)
		e.deleteIKESAs(now, f, old, func(g step.Group) []string { return g.Members })
	case step.DeletePeerIKESAs:
		e.deleteIKESAs(now, f, old, func(g step.Group) []string { return g.Peers })
	default:
		panic("engine: no engine for effect " + string(f.Kind))
	}
	e.drain(now)
}

// deleteIKESAs deletes the phase-1 SAs of the gateway that f names, or of those that its group has or had: an SA can only be
// from before the commit, but for a gateway that another group used already.
func (e *Engine) deleteIKESAs(now time.Time, f step.Effect, old map[string]step.Group, of func(step.Group) []string) {
	names := []string{f.Gateway}
	if f.Gateway == "" {
		g, changed := old[f.Group]
		if !changed {
			g = e.groups[f.Group]
		}
		names = slices.Clone(of(g))
	}
	for _, n := range names {
		e.ike.Do(now, ike.Delete{Gateway: n})
		e.drain(now)
	}
}
