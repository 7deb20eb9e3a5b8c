package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// handleRequest takes a cluster-init: from a configured peer of a group that we are the root of.
func (c *Cluster) handleRequest(now time.Time, m ike.Message, f *frame) {
	g := c.byID(f.groupID)
	var p *peer
	if g != nil && g.conf.Role == step.RootServer {
		p = g.peer(m.Gateway)
	}
	if p == nil {
		c.complain("GKSD_CLUSTER_INIT_REFUSED", fmt.Sprintf("cluster-init of gateway %s for group %d, in which it is not a sub-server of ours", m.Gateway, f.groupID))
		c.refuse(now, m.SA, m.MsgID, f.groupID, f.group, notPeer)
		return
	}
	p.count.InitReceived++
	if m.SA == p.answered && f.version < p.has { // it has not got the answer to its last question
		p.count.InitDuplicate++
	}
	c.compare(p, f)
	p.count.add(f.digest, g.digest)
	id := c.number()
	c.asked[id] = question{peer: p, sa: m.SA, mid: m.MsgID, kind: request}
	c.emit(Fetch{Group: g.name, Peer: p.gateway, Has: f.senders, Exchange: id})
}

func (c *Cluster) refuse(now time.Time, id ike.SAID, mid uint32, groupID uint32, group string, why code) {
	chain, err := appendMessage(nil, c.nonce(), &frame{kind: refusal, code: why, groupID: groupID, group: group}, now)
	if err != nil { // a refusal has no Update in it
		panic(err)
	}
	c.emit(ike.Reply{SA: id, MsgID: mid, First: isakmp.PayloadNONCE, Payloads: chain, Last: true})
}

// Fetched takes the server engine's answer to Fetch, and answers the cluster-init with it. From then on the sub-server is
// active and gets every change.
func (c *Cluster) Fetched(now time.Time, f Fetched) {
	defer f.Update.Zero()
	q, ok := c.asked[f.Exchange]
	delete(c.asked, f.Exchange)
	if !ok || q.peer.group.gone || !slices.Contains(q.peer.group.peers, q.peer) {
		return
	}
	p, g := q.peer, q.peer.group
	if f.Err != nil {
		p.count.InitFailed++
		c.refuse(now, q.sa, q.mid, g.conf.ID, g.name, notReady)
		return
	}
	chain, err := appendMessage(nil, c.nonce(), &frame{
		kind: reply, groupID: g.conf.ID, version: f.Update.Version, group: g.name, digest: g.digest, update: f.Update,
	}, now)
	if err != nil {
		p.count.InitFailed++
		c.notify(turn.Error, "GKSD_CLUSTER_TOO_LARGE", "group "+g.name+": "+err.Error())
		c.refuse(now, q.sa, q.mid, g.conf.ID, g.name, tooLarge)
		return
	}
	p.count.InitSucceeded++
	g.version = max(g.version, f.Update.Version)
	c.drop(p)
	p.has, p.answered = f.Update.Version, q.sa
	c.emit(ike.Reply{SA: q.sa, MsgID: q.mid, First: isakmp.PayloadNONCE, Payloads: chain, Last: true})
	c.activate(p)
}

// drop forgets what a sub-server was to be told, since it is being told everything.
func (c *Cluster) drop(p *peer) {
	p.forget()
	c.abandon(p)
	p.again = time.Time{}
}

// abandon gives up a cluster-update under way, since something else takes its place.
func (c *Cluster) abandon(p *peer) {
	if p.token == 0 {
		return
	}
	p.count.UpdateAborted++
	c.emit(ike.Abort{SA: p.sa, Token: p.token})
	delete(c.tokens, p.token)
	p.token = 0
}

// Distribute carries a change to every active sub-server of a group (C4), those of before the plan in hand too. One that has not
// acknowledged the change before is told when it has: it pushes each under the number that all servers count for it, and its
// members would take a number that it leaves out for a lost push. A deletion of everything does not wait, since the IKE SA may go
// with the plan (T14).
func (c *Cluster) Distribute(now time.Time, d Distribute) {
	defer d.Update.Zero()
	g := c.groups[d.Group]
	if g == nil {
		return
	}
	if g.conf.Role == step.RootServer {
		g.version = max(g.version, d.Update.Version)
	}
	for _, p := range g.all() {
		if p.role != step.SubServer || !p.active {
			continue
		}
		u := d.Update.Clone()
		p.next = both(p.next, &u)
		if p.token == 0 || u.DeleteAll || u.DeleteMembers {
			c.send(now, p)
		}
	}
}

// both is merge, where either may be nil.
func both(a, b *sa.Update) *sa.Update {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	u := merge(*a, *b)
	return &u
}

// merge makes one Update of two, the later second: what both together leave a sub-server with. It owns both.
func merge(a, b sa.Update) sa.Update {
	if b.DeleteAll || b.Full { // nothing of before is left
		b.DeleteMembers = b.DeleteMembers || a.DeleteMembers
		b.DeleteAll = b.DeleteAll || a.DeleteAll
		a.Zero()
		return b
	}
	b.DeleteAll, b.DeleteMembers = a.DeleteAll, a.DeleteMembers || b.DeleteMembers
	var teks []sa.TEK
	for _, t := range a.TEKs {
		if slices.Contains(b.DeleteTEKs, t.SPI) || slices.ContainsFunc(b.TEKs, func(n sa.TEK) bool { return n.SPI == t.SPI }) {
			t.Zero()
			continue
		}
		teks = append(teks, t)
	}
	b.TEKs = append(teks, b.TEKs...)
	for _, spi := range a.DeleteTEKs {
		if !slices.Contains(b.DeleteTEKs, spi) {
			b.DeleteTEKs = append(b.DeleteTEKs, spi)
		}
	}
	switch {
	case b.KEK != nil: // it takes the place of whatever there was
		a.KEK.Zero()
		b.DeleteKEK = b.DeleteKEK || a.DeleteKEK
	case b.DeleteKEK:
		a.KEK.Zero()
	default:
		b.KEK, b.DeleteKEK = a.KEK, a.DeleteKEK
		if b.KEK != nil {
			// The root has counted a push number under it with each version since: the sub-server is to count alike.
			b.KEK.Seq += uint32(b.Version - a.Version)
		}
	}
	return b
}

// send begins a cluster-update with all that a sub-server has not acknowledged, in place of one under way. It is one datagram, with
// the retransmission-period for its answer (C5); what goes out after that is made anew, since times in it are relative.
func (c *Cluster) send(now time.Time, p *peer) {
	c.abandon(p)
	p.pending, p.next = both(p.pending, p.next), nil
	g := p.group
	way := c.way(p.gateway)
	if way == 0 { // D5: either side may open one
		p.again = now.Add(period(g))
		c.emit(ike.Connect{Gateway: p.gateway, Remote: c.remote(p.gateway)})
		return
	}
	chain, err := appendMessage(nil, c.nonce(), &frame{
		kind: update, groupID: p.pending.GroupID, version: p.pending.Version, base: p.has, group: g.name, digest: g.digest, update: *p.pending,
	}, now)
	if errors.Is(err, errLarge) { // it is told everything, in the smallest form there is, when it asks
		c.notify(turn.Error, "GKSD_CLUSTER_TOO_LARGE", "group "+g.name+": "+err.Error())
		c.inactive(p, "a cluster-update does not fit one message")
		return
	}
	p.begun, p.again = now, time.Time{}
	p.sa, p.token = way, c.number()
	c.tokens[p.token] = p
	p.count.UpdateSent++
	c.emit(ike.Begin{
		SA: way, Exchange: isakmp.ExchangeClusterUpdate, Messages: 2, Token: p.token, First: isakmp.PayloadNONCE, Payloads: chain,
		Every: period(g), Tries: 1,
	})
}

// handleAck takes the acknowledgement of a cluster-update.
func (c *Cluster) handleAck(now time.Time, m ike.Message, f *frame) {
	p := c.tokens[m.Token]
	if p == nil || p.token != m.Token || p.gateway != m.Gateway || p.role != step.SubServer {
		return
	}
	delete(c.tokens, m.Token)
	p.token = 0
	if f.kind != ack || p.pending == nil || f.groupID != p.pending.GroupID || f.version < p.pending.Version {
		p.count.UpdateFailed++
		p.again = later(p.begun.Add(period(p.group)), now)
		return
	}
	p.count.UpdateSucceeded++
	p.has = p.pending.Version
	p.pending.Zero()
	p.pending = nil
	if p.next != nil {
		c.send(now, p)
	}
}
