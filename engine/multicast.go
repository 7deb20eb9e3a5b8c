package engine

import (
	"fmt"
	"net/netip"

	"gvpn/commit/step"
)

// checkMulticast reports what of a plan stands against pushes by multicast: in groups that it changes and, if it changes gateways, in
// the others too. It is here since package ike alone keeps every gateway.
func (e *Engine) checkMulticast(p *step.Plan) (errs []error) {
	var groups []step.Group
	take := func(g step.Group) {
		if g.Communication != nil && g.Communication.Group.IsValid() {
			groups = append(groups, g)
		}
	}
	planned := make(map[string]bool)
	for _, c := range p.Groups {
		if c.New != nil {
			take(*c.New)
		}
		if c.Old != nil {
			planned[c.Old.Name] = true
		}
	}
	if len(p.Gateways) > 0 {
		for _, g := range inOrder(e.groups) {
			if !planned[g.Name] {
				take(g)
			}
		}
	}
	if len(groups) == 0 {
		return nil
	}
	changed := make(map[string]*step.Gateway)
	for _, c := range p.Gateways {
		if c.New != nil && c.New.Side == step.Server {
			changed[c.New.Name] = c.New
		}
	}
	speech := func(name string) (local netip.Addr, quirks step.Quirks) {
		if c := changed[name]; c != nil {
			return c.Local, c.Quirks
		}
		c, _ := e.ike.Gateway(name)
		return c.Local, c.Quirks
	}
	for _, g := range groups {
		if why := unfit(g.Members, speech); why != "" {
			errs = append(errs, &step.Refusal{
				Group: g.Name, Statement: []string{"server-member-communication", "communication-type"}, Reason: "multicast is not supported " + why,
			})
		}
	}
	return errs
}

// unfit says why members behind these gateways cannot all take one message; "" if they can.
func unfit(members []string, speech func(name string) (netip.Addr, step.Quirks)) string {
	if len(members) == 0 {
		return ""
	}
	local, quirks := speech(members[0])
	for _, name := range members {
		switch l, q := speech(name); {
		case l.IsValid() && !l.Is4():
			return fmt.Sprintf("from local-address %v of gateway %s: it is not IPv4", l, name)
		case l != local:
			return fmt.Sprintf("with gateways %s and %s, which have not the same local-address: all members hear one message", members[0], name)
		case q != quirks:
			return fmt.Sprintf("with gateways %s and %s, which differ in compatibility: all members hear one message", members[0], name)
		}
	}
	return ""
}
