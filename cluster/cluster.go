package cluster

import (
	"cmp"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// Constants of the specification.
const (
	// MaxSubServers is how many sub-servers a group's root-server may have (P3, V1): Juniper's page "Group VPNv2 Server Clusters"
	// knows no more than four. Options can raise it in a lab; nothing else here depends on it.
	MaxSubServers = 4

	initRetry = 5 * time.Second // C3
)

// Constants of this implementation.
const (
	defaultTokenBase = 3 << 56
	defaultPeriod    = 10 * time.Second // server-cluster retransmission-period, if a plan has none
	// initGuard ends an attempt at a cluster-init that neither succeeded nor failed: package ike gives up much sooner.
	initGuard = 60 * time.Second
	// freshAfter is how many unanswered cluster-inits make a new IKE SA worth while: the root may have lost its own.
	freshAfter = 3
)

// Options sets what must not collide with engines side by side. The zero value of a field means its default.
type Options struct {
	// TokenBase is the high octet of the tokens of exchanges; its low 56 bits are zero.
	TokenBase uint64
	// MaxSubServers takes the place of the constant, in a lab.
	MaxSubServers int
}

// Outputs to the server engine, through package engine, and inputs from it. The types have the shape of server's.
type (
	// Adopt hands a sub-server's group what its root sent. The Update is owned by the receiver.
	Adopt struct {
		Group    string
		Update   sa.Update
		Exchange uint64
	}

	// Fetch asks for all that a group has, for a sub-server that has this of sender IDs.
	Fetch struct {
		Group    string
		Peer     string // its gateway
		Has      sa.Senders
		Exchange uint64
	}

	// RootActive says whether a sub-server's root is active (D4).
	RootActive struct {
		Group  string
		Active bool
	}

	// Distribute carries a change to every active sub-server. The Update is owned by the Cluster.
	Distribute struct {
		Group  string
		Update sa.Update
	}

	// Adopted answers Adopt. It comes when the SAs are on disk.
	Adopted struct {
		Group    string
		Exchange uint64
		Err      error
	}

	// SenderIDs says what a sub-server has of sender IDs, for its next cluster-init; Low asks for one now.
	SenderIDs struct {
		Group string
		Has   sa.Senders
		Low   bool
	}

	// Fetched answers Fetch. The Update is owned by the Cluster.
	Fetched struct {
		Group    string
		Update   sa.Update
		Exchange uint64
		Err      error
	}
)

// IsOutput implements turn.Output.
func (Adopt) IsOutput() {}

// IsOutput implements turn.Output.
func (Fetch) IsOutput() {}

// IsOutput implements turn.Output.
func (RootActive) IsOutput() {}

// Cluster is the server-cluster engine of one node. It is owned by one goroutine.
type Cluster struct {
	rand     io.Reader
	options  Options
	groups   map[string]*group
	gateways map[string]*gateway
	last     uint64 // token and exchange numbers given out
	tokens   map[uint64]*peer
	asked    map[uint64]question
	held     map[string]sa.Senders // what the server engine has of sender IDs, by group: it knows before the group is configured
	refused  map[string]bool       // complaints made since the last plan
	out      []turn.Output
}

// gateway is a peer's gateway. Several groups may name it (D1).
type gateway struct {
	local  netip.Addr // invalid: any
	remote netip.Addr // its first address; invalid: none
	gone   bool
	up     []path // phase-1 SAs, oldest first
}

// path is an SA, and our address in it. Every member's is here too, so it is no more than that.
type path struct {
	SA    ike.SAID
	local netip.Addr
}

// peer is one gateway in the server-cluster of one group.
type peer struct {
	group   *group
	gateway string
	role    step.Role // the peer's, seen from here
	active  bool
	differs []string
	count   Counters

	// Of a sub-server, at its root: what it is to be told.
	has      uint64     // the version that it has
	answered ike.SAID   // the IKE SA under which it asked for that, 0 for none
	pending  *sa.Update // what it is told now, until it has acknowledged that; nil if it has all
	next     *sa.Update // what came meanwhile; nil for nothing
	token    uint64     // of the exchange under way, 0 for none (a sub-server's cluster-init too)
	sa       ike.SAID   // of that exchange
	begun    time.Time
	again    time.Time // when to begin the next, zero while one is under way
}

// group is one group with a server-cluster, now or before the plan in hand.
type group struct {
	name    string
	conf    step.Group
	digest  digest
	peers   []*peer // in configured order
	leaving []*peer // of the configuration before the plan in hand
	version uint64  // sub-server: what it has; root: what was distributed last
	gone    bool
	changed bool // by the plan in hand, in what V8 compares

	init    attempt
	trouble string // why the last cluster-init failed, as the operator was told
}

// question is what a Fetch or an Adopt was asked for.
type question struct {
	peer    *peer
	sa      ike.SAID
	mid     uint32
	kind    kind // request: a root fetches; reply, update: a sub-server adopts
	version uint64
	all     bool // "delete all"
}

// New makes a cluster engine without groups. rand gives nonces; an error of it is a panic.
func New(rand io.Reader, o Options) *Cluster {
	if o.TokenBase == 0 {
		o.TokenBase = defaultTokenBase
	}
	if o.MaxSubServers == 0 {
		o.MaxSubServers = MaxSubServers
	}
	return &Cluster{
		rand: rand, options: o,
		groups: make(map[string]*group), gateways: make(map[string]*gateway),
		tokens: make(map[uint64]*peer), asked: make(map[uint64]question), held: make(map[string]sa.Senders), refused: make(map[string]bool),
	}
}

// Next takes the next output, in order; false when there is none.
func (c *Cluster) Next() (turn.Output, bool) {
	if len(c.out) == 0 {
		return nil, false
	}
	o := c.out[0]
	c.out[0] = nil
	if c.out = c.out[1:]; len(c.out) == 0 {
		c.out = nil
	}
	return o, true
}

func (c *Cluster) emit(o turn.Output) { c.out = append(c.out, o) }

func (c *Cluster) notify(sev turn.Severity, code, text string) {
	c.emit(turn.Notify{Severity: sev, Code: code, Text: text})
}

// complain notifies about a peer's message once in a plan: it comes every few seconds.
func (c *Cluster) complain(code, text string) {
	if k := code + text; !c.refused[k] && len(c.refused) < 1024 {
		c.refused[k] = true
		c.notify(turn.Warning, code, text)
	}
}

func (c *Cluster) number() uint64 {
	c.last++
	return c.options.TokenBase | c.last
}

func (c *Cluster) nonce() []byte {
	b := make([]byte, nonceLength)
	if _, err := io.ReadFull(c.rand, b); err != nil {
		panic("cluster: randomness: " + err.Error())
	}
	return b
}

// sorted lists the groups by name, since what is done to them shows outside.
func (c *Cluster) sorted() []*group {
	return slices.SortedFunc(maps.Values(c.groups), func(a, b *group) int { return cmp.Compare(a.name, b.name) })
}

// all lists a group's peers, those of before the plan in hand last.
func (g *group) all() []*peer { return append(slices.Clone(g.peers), g.leaving...) }

func (g *group) peer(gateway string) *peer {
	for _, p := range g.peers {
		if p.gateway == gateway {
			return p
		}
	}
	return nil
}

// root is a sub-server's root, nil if g is not a sub-server's or names none.
func (g *group) root() *peer {
	if g.gone || g.conf.Role != step.SubServer || len(g.peers) == 0 {
		return nil
	}
	return g.peers[0]
}

func (c *Cluster) byID(id uint32) *group {
	for _, g := range c.sorted() {
		if g.conf.ID == id && !g.gone {
			return g
		}
	}
	return nil
}

// remote is a gateway's address; the zero Addr if it is not known.
func (c *Cluster) remote(name string) netip.Addr {
	if gw := c.gateways[name]; gw != nil {
		return gw.remote
	}
	return netip.Addr{}
}

// way is the newest IKE SA to a gateway, 0 if there is none.
func (c *Cluster) way(name string) ike.SAID {
	if gw := c.gateways[name]; gw != nil && len(gw.up) > 0 {
		return gw.up[len(gw.up)-1].SA
	}
	return 0
}

// HandleUp takes note of an IKE SA, and begins what waited for one. A sub-server whose root opens one asks anew, since a root
// does so after a restart, when it knows of no sub-server.
func (c *Cluster) HandleUp(now time.Time, u ike.Up) {
	gw := c.gateways[u.Gateway]
	if gw == nil {
		return
	}
	gw.up = slices.DeleteFunc(gw.up, func(o path) bool { return o.SA == u.SA })
	gw.up = append(gw.up, path{u.SA, u.Local.Addr()})
	for _, g := range c.sorted() {
		if r := g.root(); r != nil && r.gateway == u.Gateway {
			switch {
			case g.init.state == connecting:
				c.ask(now, g)
			case r.active && !u.Initiator:
				c.start(now, g)
			}
		}
		for _, p := range g.all() {
			if p.gateway == u.Gateway && p.pending != nil && p.token == 0 {
				c.send(now, p)
			}
		}
	}
}

// HandleDown forgets an IKE SA. A sub-server whose last way to an active root is gone asks again: the root may have forgotten
// the group (T11).
func (c *Cluster) HandleDown(now time.Time, d ike.Down) {
	gw := c.gateways[d.Gateway]
	if gw == nil {
		return
	}
	gw.up = slices.DeleteFunc(gw.up, func(o path) bool { return o.SA == d.SA })
	for _, g := range c.sorted() {
		if r := g.root(); r != nil && r.gateway == d.Gateway && r.active && len(gw.up) == 0 {
			c.start(now, g)
		}
	}
}

// HandleDead takes DPD's verdict on a gateway: in every group that names it, that server is inactive (D1, D3).
func (c *Cluster) HandleDead(now time.Time, d ike.Dead) {
	for _, g := range c.sorted() {
		for _, p := range g.all() {
			if p.gateway == d.Gateway {
				c.inactive(p, "dead peer detection")
			}
		}
		if r := g.root(); r != nil && r.gateway == d.Gateway {
			c.start(now, g)
		}
	}
}

// HandleFailed takes what came to nothing: an exchange of ours, or a negotiation.
func (c *Cluster) HandleFailed(now time.Time, f ike.Failed) {
	if f.Token != 0 {
		p := c.tokens[f.Token]
		delete(c.tokens, f.Token)
		if p == nil || p.token != f.Token {
			return
		}
		p.token = 0
		if p.role == step.RootServer {
			p.count.InitTimeout++
			p.group.init.unanswered++
			c.failed(now, p.group, "no answer")
			return
		}
		p.count.UpdateTimeout++
		p.again = later(p.begun.Add(period(p.group)), now)
		return
	}
	for _, g := range c.sorted() {
		r := g.root()
		if r == nil || r.gateway != f.Gateway || g.init.state != connecting {
			continue
		}
		if c.way(f.Gateway) == 0 { // C9
			c.inactive(r, "no IKE SA can be opened")
		}
		r.count.InitAborted++
		c.failed(now, g, "no IKE SA")
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func period(g *group) time.Duration {
	if g.conf.PeerPeriod > 0 {
		return g.conf.PeerPeriod
	}
	return defaultPeriod
}

// HandleMessage takes a message of exchanges 240 and 241, of either side.
func (c *Cluster) HandleMessage(now time.Time, m ike.Message) {
	if m.Exchange != isakmp.ExchangeClusterInit && m.Exchange != isakmp.ExchangeClusterUpdate {
		return
	}
	f, err := parseMessage(m.First, m.Payloads, now)
	clear(m.Payloads) // keys in the clear, and ours
	if err != nil {
		f = &frame{} // of no kind: refused below, as a peer of ours that says what we do not understand
		c.complain("GKSD_CLUSTER_MALFORMED", "gateway "+m.Gateway+": "+err.Error())
	}
	init := m.Exchange == isakmp.ExchangeClusterInit
	switch {
	case init && !m.Initiator && m.Number == 1 && f.kind == request:
		c.handleRequest(now, m, f)
	case init && m.Initiator && m.Number == 2:
		c.handleReply(now, m, f)
	case !init && !m.Initiator && m.Number == 1 && f.kind == update:
		c.handleUpdate(now, m, f)
	case !init && m.Initiator && m.Number == 2:
		c.handleAck(now, m, f)
	default:
		f.update.Zero()
		c.emit(ike.Abort{SA: m.SA, MsgID: m.MsgID})
	}
}

// compare takes note of where a peer's configuration differs from ours (V8), and says so when that changes.
func (c *Cluster) compare(p *peer, f *frame) {
	differs := f.digest.differs(p.group.digest)
	if f.group != p.group.name {
		differs = append([]string{"name"}, differs...)
	}
	if slices.Equal(differs, p.differs) {
		return
	}
	p.differs = differs
	if len(differs) == 0 {
		c.notify(turn.Info, "GKSD_CLUSTER_CONFIGURATION_SAME", "group "+p.group.name+": the configuration at "+p.gateway+" is the same again")
		return
	}
	c.notify(turn.Warning, "GKSD_CLUSTER_CONFIGURATION_DIFFERS", "group "+p.group.name+": the configuration at "+p.gateway+" differs in: "+list(differs))
}

func list(words []string) (s string) {
	for i, w := range words {
		if i > 0 {
			s += ", "
		}
		s += w
	}
	return s
}

// inactive marks a peer. What it was to be told is dropped: its next cluster-init brings everything. A finished datagram goes on
// under its SA (T14), so the exchange is forgotten here and not there.
func (c *Cluster) inactive(p *peer, why string) {
	if p.forget() {
		p.count.UpdateAborted++
	}
	if p.role == step.SubServer {
		delete(c.tokens, p.token)
		p.token, p.again = 0, time.Time{}
	}
	if !p.active {
		return
	}
	p.active = false
	c.notify(turn.Warning, "GKSD_CLUSTER_PEER_INACTIVE", "group "+p.group.name+": "+p.role.String()+" "+p.gateway+" is inactive: "+why)
	if p.role == step.RootServer {
		c.emit(RootActive{Group: p.group.name, Active: false})
	}
}

// forget destroys what a peer was to be told, and reports whether there was anything.
func (p *peer) forget() bool {
	there := p.pending != nil
	for _, u := range []**sa.Update{&p.pending, &p.next} {
		if *u != nil {
			(*u).Zero()
			*u = nil
		}
	}
	return there
}

func (c *Cluster) activate(p *peer) {
	if !p.active {
		p.active = true
		c.notify(turn.Info, "GKSD_CLUSTER_PEER_ACTIVE", "group "+p.group.name+": "+p.role.String()+" "+p.gateway+" is active")
	}
	if p.role == step.RootServer {
		c.emit(RootActive{Group: p.group.name, Active: true})
	}
}

// HandleTimeout does what is due by now.
func (c *Cluster) HandleTimeout(now time.Time) {
	for _, g := range c.sorted() {
		c.tick(now, g)
		for _, p := range g.all() {
			if !p.again.IsZero() && !now.Before(p.again) {
				p.again = time.Time{}
				if p.pending != nil && p.active && p.token == 0 {
					c.send(now, p)
				}
			}
		}
	}
}

// Deadline is when HandleTimeout is due next, false if never.
func (c *Cluster) Deadline() (next time.Time, ok bool) {
	first := func(t time.Time) {
		if !t.IsZero() && (!ok || t.Before(next)) {
			next, ok = t, true
		}
	}
	for _, g := range c.groups {
		first(g.init.due)
		for _, p := range g.all() {
			first(p.again)
		}
	}
	return next, ok
}
