package cluster

import (
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/turn"
)

// attempt is a sub-server's cluster-init.
type attempt struct {
	state      state
	due        time.Time // idle, waiting: when to begin; else when to give up
	had        uint64    // the version when the question was put
	unanswered int       // in a row, under IKE SAs that are up
}

type state uint8

const (
	idle       state = iota // not asking
	waiting                 // to ask again
	connecting              // for an IKE SA
	asking                  // for the reply
	adopting                // for the server engine
)

// start begins a cluster-init, unless one is under way (C3).
func (c *Cluster) start(now time.Time, g *group) {
	r := g.root()
	if r == nil || g.init.state > waiting {
		return
	}
	g.init.due = now.Add(initGuard)
	if c.way(r.gateway) != 0 && g.init.unanswered < freshAfter {
		c.ask(now, g)
		return
	}
	g.init.state, g.init.unanswered = connecting, 0
	c.emit(ike.Connect{Gateway: r.gateway, Remote: c.remote(r.gateway)})
}

// ask puts the question under the newest IKE SA.
func (c *Cluster) ask(now time.Time, g *group) {
	r := g.root()
	f := &frame{kind: request, groupID: g.conf.ID, version: g.version, group: g.name, digest: g.digest, senders: c.held[g.name]}
	chain, err := appendMessage(nil, c.nonce(), f, now)
	if err != nil { // a request has no Update in it
		panic(err)
	}
	g.init.state, g.init.had = asking, g.version
	r.sa, r.token = c.way(r.gateway), c.number()
	c.tokens[r.token] = r
	r.count.InitSent++
	c.emit(ike.Begin{SA: r.sa, Exchange: isakmp.ExchangeClusterInit, Messages: 2, Token: r.token, First: isakmp.PayloadNONCE, Payloads: chain})
}

// failed ends an attempt and sets the next (C3: every 5 s, without limit).
func (c *Cluster) failed(now time.Time, g *group, why string) {
	r := g.root()
	if g.init.state == waiting {
		return
	}
	r.count.InitFailed++
	g.init.state, g.init.due = waiting, now.Add(initRetry)
	if why != g.trouble {
		g.trouble = why
		c.notify(turn.Notice, "GKSD_CLUSTER_INIT_FAILED", "group "+g.name+": cluster-init with "+r.gateway+": "+why+"; trying again every "+initRetry.String())
	}
}

// stop forgets an attempt.
func (c *Cluster) stop(g *group, r *peer) {
	if r != nil && r.role == step.RootServer && r.token != 0 {
		c.emit(ike.Abort{SA: r.sa, Token: r.token})
		delete(c.tokens, r.token)
		r.token = 0
	}
	for id, q := range c.asked {
		if q.peer == r {
			delete(c.asked, id)
		}
	}
	g.init = attempt{}
}

func (c *Cluster) tick(now time.Time, g *group) {
	r := g.root()
	if r == nil || g.init.due.IsZero() || now.Before(g.init.due) {
		return
	}
	switch g.init.state {
	case idle, waiting:
		c.start(now, g)
	default:
		r.count.InitAborted++
		c.stop(g, r)
		c.failed(now, g, "it took too long")
	}
}

// handleReply takes message 2 of a cluster-init of ours.
func (c *Cluster) handleReply(now time.Time, m ike.Message, f *frame) {
	p := c.tokens[m.Token]
	if p == nil || p.token != m.Token || p.gateway != m.Gateway || p.group.root() != p {
		f.update.Zero()
		return
	}
	g := p.group
	delete(c.tokens, m.Token)
	p.token, g.init.unanswered = 0, 0
	switch {
	case f.kind != reply && f.kind != refusal || f.groupID != g.conf.ID:
		f.update.Zero()
		c.failed(now, g, "the reply is not one to our question")
		return
	case f.kind == refusal:
		if f.code == notPeer {
			c.inactive(p, f.code.String())
		}
		c.failed(now, g, f.code.String())
		return
	}
	c.compare(p, f)
	if g.version != g.init.had && f.version < g.version {
		// A cluster-update overtook it, and has more.
		f.update.Zero()
		p.count.InitDuplicate++
		g.init.state = idle
		c.start(now, g)
		return
	}
	g.init.state = adopting
	f.update.Group = g.name
	c.adopt(question{peer: p, kind: reply, version: f.version}, f)
}

func (c *Cluster) adopt(q question, f *frame) {
	id := c.number()
	c.asked[id] = q
	c.emit(Adopt{Group: q.peer.group.name, Update: f.update, Exchange: id})
}

// handleUpdate takes a cluster-update: only from the configured root, only under its SA.
func (c *Cluster) handleUpdate(now time.Time, m ike.Message, f *frame) {
	g := c.byID(f.groupID)
	var r *peer
	if g != nil {
		r = g.root()
	}
	if r == nil || r.gateway != m.Gateway {
		f.update.Zero()
		c.emit(ike.Abort{SA: m.SA, MsgID: m.MsgID})
		c.complain("GKSD_CLUSTER_UPDATE_REFUSED", "cluster-update from gateway "+m.Gateway+", which is not the root-server of that group")
		return
	}
	r.count.UpdateReceived++
	c.compare(r, f)
	switch {
	case f.base > g.version: // what it builds on never came
		f.update.Zero()
		r.count.UpdateFailed++
		c.emit(ike.Abort{SA: m.SA, MsgID: m.MsgID})
		c.start(now, g)
	case f.version <= g.version: // done before; the acknowledgement was lost
		f.update.Zero()
		c.acknowledge(now, g, m.SA, m.MsgID)
	default:
		f.update.Group = g.name
		c.adopt(question{
			peer: r, sa: m.SA, mid: m.MsgID, kind: update, version: f.version, all: f.update.DeleteAll,
		}, f)
	}
}

func (c *Cluster) acknowledge(now time.Time, g *group, id ike.SAID, mid uint32) {
	chain, err := appendMessage(nil, c.nonce(), &frame{kind: ack, groupID: g.conf.ID, version: g.version, group: g.name}, now)
	if err != nil { // an acknowledgement has no Update in it
		panic(err)
	}
	c.emit(ike.Reply{SA: id, MsgID: mid, First: isakmp.PayloadNONCE, Payloads: chain, Last: true})
}

// Adopted takes the server engine's answer to Adopt. What could not be installed is not acknowledged, and comes again (C5).
func (c *Cluster) Adopted(now time.Time, a Adopted) {
	q, ok := c.asked[a.Exchange]
	delete(c.asked, a.Exchange)
	if !ok || q.peer.group.root() != q.peer {
		return
	}
	p, g := q.peer, q.peer.group
	switch {
	case q.kind == reply && a.Err != nil:
		c.failed(now, g, a.Err.Error())
	case q.kind == reply:
		p.count.InitSucceeded++
		g.version = q.version
		g.init, g.trouble = attempt{}, ""
		c.activate(p)
		if c.way(p.gateway) == 0 { // it went while the reply was on its way, and without one DPD sees nothing
			c.start(now, g)
		}
	case a.Err != nil:
		p.count.UpdateFailed++
		c.emit(ike.Abort{SA: q.sa, MsgID: q.mid})
	default:
		p.count.UpdateSucceeded++
		g.version = max(g.version, q.version)
		c.acknowledge(now, g, q.sa, q.mid)
		if q.all { // C8
			c.start(now, g)
		}
	}
}

// SoftExpired tells that a sub-server's SA reached its soft lifetime: it asks (C6).
func (c *Cluster) SoftExpired(now time.Time, name string) {
	if g := c.groups[name]; g != nil {
		c.start(now, g)
	}
}

// SenderIDs takes note of what a sub-server's records have of sender IDs, and asks for more if they are low.
func (c *Cluster) SenderIDs(now time.Time, o SenderIDs) {
	c.held[o.Group] = o.Has
	if g := c.groups[o.Group]; g != nil && o.Low {
		c.start(now, g)
	}
}

// HardExpired tells that a sub-server's SA is dead: the root counts as inactive, and is asked until it answers (C7).
func (c *Cluster) HardExpired(now time.Time, name string) {
	g := c.groups[name]
	if g == nil || g.root() == nil {
		return
	}
	c.inactive(g.root(), "an SA reached its hard lifetime")
	c.start(now, g)
}
