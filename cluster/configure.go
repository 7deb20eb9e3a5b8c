package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/sa"
	"gvpn/turn"
)

// Prepare reports, by name, what of a plan this engine cannot carry out. It changes nothing.
func (c *Cluster) Prepare(p *step.Plan) error {
	var errs []error
	for _, ch := range p.Groups {
		g := ch.New
		if g == nil || g.Role == step.Standalone {
			continue
		}
		if c.tooMany(g) {
			errs = append(errs, &step.Refusal{
				Group: g.Name, Statement: []string{"server-cluster", "ike-gateway"},
				Reason: fmt.Sprintf("a root-server has at most %d sub-servers (gvpnd -max-sub-servers), here are %d: delete some", c.options.MaxSubServers, len(g.Peers)),
			})
		}
		if size(g) > maxPayload {
			errs = append(errs, &step.Refusal{Group: g.Name, Reason: fmt.Sprintf("its %d ipsec-sas with their match-policies do not fit one cluster message: not supported in a server-cluster", len(g.SAs))})
		}
	}
	return errors.Join(errs...)
}

func (c *Cluster) tooMany(g *step.Group) bool {
	return g.Role == step.RootServer && len(g.Peers) > c.options.MaxSubServers
}

// size is the longest that a cluster payload for g can be: everything, with each ipsec-sa's TEK and two that it replaced.
func size(g *step.Group) int {
	const (
		side    = 3
		tek     = 4 + 2 + 32 + 32 + 1 + 4*8 // see sa.AppendUpdate
		policy  = 2*5 + 2 + 2 + 1
		kek     = 4096
		deleted = 4 * sa.MaxTEKs
	)
	n := fixedLength + digests + 2*len(g.Name) + sa.SendersLen + kek + deleted + 64
	for _, x := range g.SAs {
		one := tek + 1 + len(x.Name)
		for _, p := range x.Policies {
			one += policy + 1 + len(p.Name)
		}
		if i := x.IEC61850; i != nil {
			one += 1 + len(i.Selector.OID) + 2 + len(i.Selector.Payload) + 2 + 2 + 1
		}
		n += side * one
	}
	return n
}

// Configure takes over the new configuration of a plan. What it takes away stays until Forget, so that effects still reach those
// peers.
func (c *Cluster) Configure(now time.Time, p *step.Plan) {
	clear(c.refused)
	for _, ch := range p.Gateways {
		switch {
		case ch.New != nil && ch.New.Side == step.Server:
			gw := c.gateways[ch.New.Name]
			if gw == nil {
				gw = &gateway{}
				c.gateways[ch.New.Name] = gw
			}
			*gw = gateway{local: ch.New.Local, up: gw.up}
			if len(ch.New.Remote) > 0 {
				gw.remote = ch.New.Remote[0]
			}
		case ch.New == nil && ch.Old != nil:
			if gw := c.gateways[ch.Old.Name]; gw != nil {
				gw.gone = true
			}
		}
	}
	for _, ch := range p.Groups {
		switch {
		case ch.New != nil:
			c.setGroup(ch.New)
			if c.tooMany(ch.New) { // Prepare refuses it, but what was committed under a higher limit starts
				c.notify(turn.Warning, "GKSD_CLUSTER_TOO_MANY_PEERS", fmt.Sprintf(
					"group %s: %d sub-servers, and a root-server has at most %d: commits that change the group are refused until gvpnd is given -max-sub-servers again or sub-servers are deleted",
					ch.New.Name, len(ch.New.Peers), c.options.MaxSubServers))
			}
		case ch.Old != nil:
			if g := c.groups[ch.Old.Name]; g != nil {
				c.stop(g, g.root())
				g.gone = true
			}
		}
	}
}

func (c *Cluster) setGroup(conf *step.Group) {
	g := c.groups[conf.Name]
	if g == nil {
		g = &group{name: conf.Name, conf: step.Group{Role: conf.Role}}
		c.groups[g.name] = g
	}
	d := digestOf(conf)
	g.changed = d != g.digest
	theirs := step.SubServer
	if conf.Role == step.SubServer {
		theirs = step.RootServer
	}
	before := g.root()
	var peers []*peer
	if conf.Role != step.Standalone {
		for _, name := range conf.Peers {
			p := g.peer(name)
			if p == nil || p.role != theirs {
				p = &peer{group: g, gateway: name, role: theirs}
			}
			peers = append(peers, p)
		}
	}
	for _, p := range g.peers {
		if !slices.Contains(peers, p) {
			g.leaving = append(g.leaving, p)
		}
	}
	g.conf, g.digest, g.peers = *conf, d, peers
	if before != g.root() {
		c.stop(g, before)
		if g.root() != nil {
			g.version = 0 // another root counts its own
		}
	}
}

// Apply carries out one effect of the plan that Configure took over. Effects that are other engines' are ignored.
func (c *Cluster) Apply(now time.Time, e step.Effect) {
	g := c.groups[e.Group]
	if g == nil {
		return
	}
	switch e.Kind {
	case step.MarkPeerInactive:
		// A peer that the plan gives another role is meant in the role that it had.
		for _, p := range append(slices.Clone(g.leaving), g.peers...) {
			if e.Gateway == "" || p.gateway == e.Gateway {
				c.inactive(p, "configuration change")
			}
		}
	case step.StartClusterInit:
		c.start(now, g)
	}
}

// Forget ends a plan: what it took away goes. Sub-servers whose root is inactive ask it (C3); those whose group changed ask a
// little later, since the tables want nothing to happen at once (T6).
func (c *Cluster) Forget(now time.Time, p *step.Plan) {
	for _, g := range c.sorted() {
		for _, p := range g.leaving {
			c.inactive(p, "not a cluster peer any more")
		}
		g.leaving = nil
		if g.gone {
			for _, p := range g.peers {
				c.inactive(p, "group deleted")
			}
			delete(c.groups, g.name)
			delete(c.held, g.name)
			continue
		}
		switch r := g.root(); {
		case r == nil:
		case !r.active:
			if g.init.state == idle {
				c.start(now, g)
			}
		case g.changed && g.init.state == idle:
			g.init.due = now.Add(initRetry)
		}
		g.changed = false
	}
	for _, ch := range p.Gateways {
		if ch.Old == nil {
			continue
		}
		if gw := c.gateways[ch.Old.Name]; gw != nil && gw.gone {
			delete(c.gateways, ch.Old.Name)
		}
	}
}

// Command is one of Clear and ClearStatistics.
type Command interface{ isCommand() }

type (
	// Clear starts the cluster over: every peer inactive, its IKE SAs deleted, sub-servers ask anew: `clear security group-vpn
	// server server-cluster`. Keys and members stay.
	Clear struct{}

	// ClearStatistics sets the counters of peers to zero, and DPD's of their gateways, which are one for all groups (D1); empty
	// for all groups, and all peers of a group.
	ClearStatistics struct{ Group, Gateway string }
)

func (Clear) isCommand()           {}
func (ClearStatistics) isCommand() {}

// Do carries out an operator's command. An error means that nothing was done.
func (c *Cluster) Do(now time.Time, cmd Command) error {
	switch cmd := cmd.(type) {
	case Clear:
		var names []string
		for _, g := range c.sorted() {
			for _, p := range g.peers {
				if !slices.Contains(names, p.gateway) {
					names = append(names, p.gateway)
				}
			}
			if r := g.root(); r != nil {
				c.stop(g, r)
				g.init.state, g.init.due = waiting, now.Add(initRetry)
			}
			for _, p := range g.peers {
				c.inactive(p, "cleared by an operator")
			}
		}
		slices.Sort(names)
		for _, name := range names {
			c.emit(ike.Delete{Gateway: name})
		}
		c.notify(turn.Notice, "GKSD_CLUSTER_CLEARED", "server-cluster: peers cleared by an operator")
	case ClearStatistics:
		if cmd.Group != "" && c.groups[cmd.Group] == nil {
			return fmt.Errorf("cluster: clear statistics: group %q: not configured", cmd.Group)
		}
		for _, g := range c.sorted() {
			for _, p := range g.peers {
				if (cmd.Group == "" || g.name == cmd.Group) && (cmd.Gateway == "" || p.gateway == cmd.Gateway) {
					p.count = Counters{}
					c.emit(ike.ClearDPD{Gateway: p.gateway})
				}
			}
		}
	}
	return nil
}
