package effect

import (
	"iter"
	"maps"
	"reflect"
	"slices"

	"gvpn/commit/diff"
	"gvpn/commit/step"
	"gvpn/config"
)

// hit is one row that the changes fall into, with the names that its cell needs.
type hit struct {
	row      int // index in rows
	reading  string
	column   step.Role
	group    string
	gateway  string
	groups   []string // of perGroup
	sa       string
	vpn      string
	newGroup bool
}

// names are the entries that changes touch. The value says that the entry itself was deleted.
type names map[string]bool

func (n names) sorted() []string { return slices.Sorted(maps.Keys(n)) }

// touched are the entries that the changes name, before references are followed.
type touched struct {
	proposals, policies, gateways names // IKE, of the server or of the member

	order []string // the gateways as they were found: nearly sorted, since changes are
}

type classifier struct {
	old, next      *view
	server, member touched
	ipsec          names
	groups, vpns   names // those that changes name, and those that refer to what changes name
	direct         names // of both, those that changes name: "group G", "vpn V"
	quiet          names // groups with a change that has no row of its own

	plan    step.Plan
	pairs   map[string]pair // groups as they were and will be
	deleted names           // those that are gone
	hits    []hit
}

type pair struct{ o, n *step.Group }

func newTouched() touched {
	return touched{proposals: names{}, policies: names{}, gateways: names{}}
}

func classify(old, next config.Tree, changes []diff.Change) *classifier {
	c := &classifier{
		old: newView(old), next: newView(next), server: newTouched(), member: newTouched(),
		ipsec: names{}, groups: names{}, vpns: names{}, direct: names{}, quiet: names{}, deleted: names{}, pairs: map[string]pair{},
	}
	for _, ch := range changes {
		c.collect(ch)
	}
	c.followProposals()
	c.classifyGroups() // before gateways, which ask what groups are gone
	c.classifyGateways()
	c.classifyVPNs()
	slices.SortStableFunc(c.hits, func(a, b hit) int { return a.row - b.row })
	return c
}

// collect notes which entry a change is in.
func (c *classifier) collect(ch diff.Change) {
	p := ch.Path
	switch {
	case ch.Under("security", "group-vpn", "server", "group"):
		c.touch(c.groups, ch, 3)
		c.direct["group "+p[3].Keys[0]] = true
		if familyOf(ch) == "1.15" {
			c.quiet[p[3].Keys[0]] = true
		}
	case ch.Under("security", "group-vpn", "server", "ike"):
		c.touchIKE(&c.server, ch)
	case ch.Under("security", "group-vpn", "member", "ike"):
		c.touchIKE(&c.member, ch)
	case ch.Under("security", "group-vpn", "server", "ipsec", "proposal"):
		c.touch(c.ipsec, ch, 4)
	case ch.Under("security", "group-vpn", "member", "ipsec", "vpn"):
		c.touch(c.vpns, ch, 4)
		c.direct["vpn "+p[4].Keys[0]] = true
	case ch.Under("security", "ipsec-policy", "from-zone"):
		c.touchBound(ch, 3)
	case ch.Under("security", "certificates") && len(ch.Path) > 2 && len(ch.Path[2].Keys) > 0:
		c.touchCertificate(ch.Path[2].Name, ch.Path[2].Keys[0])
	case ch.Under("services", "service-set"):
		c.touchBound(ch, 2)
	case ch.Under("applications", "application"):
		c.touchNaming(p[1].Keys[0])
	}
}

// touchBound notes the VPNs that an entry binds before and after a change of it or in it; its path is depth long.
func (c *classifier) touchBound(ch diff.Change, depth int) {
	for _, n := range []config.Node{ch.Old, ch.New} {
		for range len(ch.Path) - depth {
			n = n.Parent()
		}
		c.touchVPN(n.Get("ipsec-group-vpn"))
	}
}

// touchNaming notes the VPNs with a rule that names an application.
func (c *classifier) touchNaming(application string) {
	for _, v := range []*view{c.old, c.next} {
		for e := range v.member.Child("ipsec").Entries("vpn") {
			for _, kind := range []string{"fail-open", "exclude"} {
				for r := range e.Child(kind).Entries("rule") {
					if r.Get("application") == application {
						c.touchVPN(e.Key()[0])
					}
				}
			}
		}
	}
}

// touchCertificate notes the IKE policies that show or believe a certificate, before or after.
func (c *classifier) touchCertificate(kind, name string) {
	for _, v := range []*view{c.old, c.next} {
		for ike, t := range map[config.Node]*touched{v.serverIKE: &c.server, v.memberIKE: &c.member} {
			for p := range ike.Entries("policy") {
				n := p.Child("certificate")
				if kind == "local" && n.Get("local-certificate") == name || kind == "trust-anchor" && believes(n, name) {
					t.policies[p.Key()[0]] = t.policies[p.Key()[0]]
				}
			}
		}
	}
}

// touchVPN notes a VPN, if there is one of that name, as touched and not deleted.
func (c *classifier) touchVPN(name string) {
	if name != "" && !c.vpns[name] {
		c.vpns[name] = false
	}
}

func (c *classifier) touch(in names, ch diff.Change, at int) {
	name := ch.Path[at].Keys[0]
	in[name] = in[name] || len(ch.Path) == at+1 && ch.Op == diff.Delete
}

func (c *classifier) touchIKE(t *touched, ch diff.Change) {
	if len(ch.Path) == 5 && ch.Op == diff.Move { // the order of these lists means nothing
		return
	}
	switch ch.Path[4].Name {
	case "proposal":
		c.touch(t.proposals, ch, 4)
	case "policy":
		c.touch(t.policies, ch, 4)
	case "gateway":
		t.touch(ch.Path[4].Keys[0], len(ch.Path) == 5 && ch.Op == diff.Delete)
	}
}

// follow follows references in the old configuration: from proposals to the policies that name them, from policies to the gateways
// that do. The value of a gateway then says that something that it needed was deleted.
func (t *touched) follow(ike config.Node) {
	if len(t.proposals)+len(t.policies) == 0 {
		return
	}
	policies := maps.Clone(t.policies)
	if len(t.proposals) > 0 {
		for p := range ike.Entries("policy") {
			for _, name := range p.Child("proposals").Values() {
				if deleted, ok := t.proposals[name]; ok {
					policies[p.Key()[0]] = policies[p.Key()[0]] || deleted
				}
			}
		}
	}
	for g := range ike.Entries("gateway") {
		if deleted, ok := policies[g.Get("ike-policy")]; ok {
			t.touch(g.Key()[0], deleted)
		}
	}
}

func (t *touched) touch(gateway string, deleted bool) {
	before := len(t.gateways)
	if t.gateways[gateway] = t.gateways[gateway] || deleted; len(t.gateways) > before {
		t.order = append(t.order, gateway)
	}
}

// followProposals adds the groups that have an ipsec-sa with a touched proposal.
func (c *classifier) followProposals() {
	if len(c.ipsec) == 0 {
		return
	}
	for _, v := range []*view{c.old, c.next} {
		for g := range v.server.Entries("group") {
			for s := range g.Entries("ipsec-sa") {
				if _, ok := c.ipsec[s.Get("proposal")]; ok {
					c.groups[g.Key()[0]] = c.groups[g.Key()[0]]
				}
			}
		}
	}
}

func (c *classifier) hit(id string, h hit) {
	h.row = rowIndex[id]
	c.hits = append(c.hits, h)
}

// equalGateways compares what is configured of the gateway itself, all but the addresses of the peer.
func equalGateways(a, b *step.Gateway) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	if !x.PSK.Equal(y.PSK) {
		return false
	}
	x.PSK, y.PSK, x.Remote, y.Remote = nil, nil, nil, nil
	x.Peer = y.Peer
	return reflect.DeepEqual(x, y)
}

func sameGateway(a, b *step.Gateway) bool {
	return equalGateways(a, b) && (a == nil || slices.Equal(a.Remote, b.Remote))
}

// classifyGateways finds rows 1.1 and 2.1, and fills in the plan's gateways.
func (c *classifier) classifyGateways() {
	c.server.follow(c.old.serverIKE)
	c.member.follow(c.old.memberIKE)
	server, member := c.server.gateways, c.member.gateways
	all := slices.Concat(c.server.order, c.member.order, c.clusterChanged())
	slices.Sort(all)
	came, were := false, false
	for _, name := range slices.Compact(all) {
		o, n := c.old.gateway(name), c.next.gateway(name)
		same := sameGateway(o, n)
		if !same || o != nil && o.Peer != n.Peer {
			c.plan.Gateways = append(c.plan.Gateways, step.GatewayChange{Old: o, New: n})
		}
		if !same {
			came, were = came || o == nil, were || o != nil
		}
	}
	var peers, before map[string]naming
	if came { // which has no effect for a member's gateway: it acts once a group names it
		peers = c.naming(c.next, server, false)
	}
	if were {
		before = c.naming(c.old, server, true)
	}
	for _, ch := range c.plan.Gateways {
		if ch.Old == nil {
			if len(peers[ch.New.Name].peers) > 0 {
				c.hit("2.1a", hit{column: step.RootServer, gateway: ch.New.Name})
			}
			continue
		}
		if deleted, ok := server[ch.Old.Name]; ok && !sameGateway(ch.Old, ch.New) {
			c.classifyServerGateway(ch, before[ch.Old.Name], deleted || ch.New == nil)
		}
	}
	for _, name := range member.sorted() {
		for _, v := range []*view{c.old, c.next} {
			for e := range v.member.Child("ipsec").Entries("vpn") {
				if e.Get("ike-gateway") == name {
					c.vpns[e.Key()[0]] = c.vpns[e.Key()[0]]
				}
			}
		}
	}
}

// clusterChanged is the gateways that groups took up or let go as peers of a cluster. That is no row of theirs, but DPD follows it (D7).
func (c *classifier) clusterChanged() (names []string) {
	for _, p := range c.pairs {
		for _, g := range []*step.Group{p.o, p.n} {
			if g == nil {
				continue
			}
			for _, name := range g.Peers {
				if c.old.peer(name) != c.next.peer(name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// classifyServerGateway finds the row of one gateway that was there and differs: 1.1 is about gateways of members and those that
// no group names, 2.1 about those of cluster peers.
func (c *classifier) classifyServerGateway(ch step.GatewayChange, by naming, deleted bool) {
	name := ch.Old.Name
	if len(by.peers) > 0 {
		c.hit("2.1b", hit{column: step.RootServer, gateway: name})
	}
	switch {
	case len(by.members) == 0 && (by.gone || len(by.peers) > 0):
		// A peer's, or one of groups that are all gone: their rows 1.3 delete its IKE SAs.
	case deleted:
		c.hit("1.1b", hit{gateway: name, groups: by.members})
	case ch.New != nil:
		c.hit("1.1a", hit{gateway: name})
	}
}

// naming is the groups that name a gateway, as a member's and as a peer's, sorted.
type naming struct {
	members, peers []string
	gone           bool // there was one that is gone after the commit; such are left out
}

// naming returns the groups of a view that name one of the gateways, if members is set as a member's too. It looks at each group
// once, however many gateways there are.
func (c *classifier) naming(v *view, gateways names, members bool) map[string]naming {
	out := map[string]naming{}
	for e := range v.server.Entries("group") {
		if !e.Has("group-id") || len(gateways) == 0 {
			continue
		}
		group := e.Key()[0]
		gone := v == c.old && (c.deleted[group] || !c.next.server.Entry("group", group).Has("group-id"))
		note := func(gateway string, to func(*naming) *[]string) {
			by := out[gateway]
			if gone {
				by.gone = true
			} else {
				l := to(&by)
				*l = append(*l, group)
			}
			out[gateway] = by
		}
		if members {
			for gateway := range gateways.in(e) {
				note(gateway, func(by *naming) *[]string { return &by.members })
			}
		}
		for gateway := range gateways.in(e.Child("server-cluster")) {
			if !members || !e.Entry("ike-gateway", gateway).Exists() {
				note(gateway, func(by *naming) *[]string { return &by.peers })
			}
		}
	}
	for _, by := range out {
		slices.Sort(by.members)
		slices.Sort(by.peers)
	}
	return out
}

// in gives those of the names that the list ike-gateway of n has, in time that follows the shorter of the two.
func (n names) in(at config.Node) iter.Seq[string] {
	return func(yield func(string) bool) {
		if at.Len("ike-gateway") < len(n) {
			for e := range at.Entries("ike-gateway") {
				name := e.Key()[0]
				if _, ok := n[name]; ok && !yield(name) {
					return
				}
			}
			return
		}
		for name := range n {
			if at.Entry("ike-gateway", name).Exists() && !yield(name) {
				return
			}
		}
	}
}

// classifyGroups finds rows 1.2 to 1.15 and 2.2 to 2.6, and fills in the plan's groups.
func (c *classifier) classifyGroups() {
	for _, name := range c.groups.sorted() {
		o, n := c.old.group(name), c.next.group(name)
		c.pairs[name] = pair{o, n}
		if !reflect.DeepEqual(o, n) {
			c.plan.Groups = append(c.plan.Groups, step.GroupChange{Old: o, New: n})
		}
		switch {
		case o == nil && n == nil:
		case n == nil:
			// A deletion of the group swallows its other rows.
			c.deleted[name] = true
			c.hit("1.3", hit{column: o.Role, group: name})
		case o == nil:
			c.hit("1.14", hit{column: n.Role, group: name})
		default:
			c.classifyGroup(o, n)
		}
	}
}

func (c *classifier) classifyGroup(o, n *step.Group) {
	g := groupClassifier{classifier: c, o: o, n: n, before: len(c.hits)}
	remade := g.identity()
	g.members()
	g.proposals()
	// T12: new keys already follow the new configuration. What it says of 1.4 is read for every row that destroys all keys.
	if !remade {
		g.antiReplay()
		g.communication()
		g.sas()
	}
	if o.Role == n.Role { // T12: a change of role swallows the rows of its peers
		g.peers()
	}
	if c.quiet[n.Name] || len(c.hits) == g.before && c.direct["group "+n.Name] {
		g.hit("1.15", hit{})
	}
}

type groupClassifier struct {
	*classifier
	o, n   *step.Group
	before int
}

// hit fills in the group and its role. T12: Table 1 is read for the role after the commit, as row 2.2 is, since the server
// has it when the plan is carried out; 2.3, 2.4b and 2.6 are read for the one before.
func (g *groupClassifier) hit(id string, h hit) {
	h.group = g.n.Name
	h.column = g.n.Role
	if id == "2.3" || id == "2.4b" || id == "2.6" {
		h.column = g.o.Role
	}
	g.classifier.hit(id, h)
}

// identity finds what changes who the group is: its number and the server's role in it. It reports whether that destroys all
// keys.
func (g *groupClassifier) identity() (remade bool) {
	if g.o.ID != g.n.ID {
		g.hit("1.4", hit{})
		remade = true
	}
	switch {
	case g.o.Role == g.n.Role:
	case g.o.Role == step.Standalone:
		g.hit("2.2", hit{})
		remade = remade || g.n.Role == step.SubServer
	case g.n.Role == step.Standalone:
		g.hit("2.6", hit{})
		remade = true
	default:
		g.hit("2.3", hit{})
		remade = remade || g.o.Role == step.RootServer
	}
	return remade
}

func (g *groupClassifier) members() {
	gone, come := compare(g.o.Members, g.n.Members)
	for _, name := range come {
		g.hit("1.5a", hit{gateway: name})
	}
	for _, name := range gone {
		g.hit("1.5b", hit{gateway: name})
	}
}

func (g *groupClassifier) peers() {
	gone, come := compare(g.o.Peers, g.n.Peers)
	for _, name := range come {
		g.hit("2.4a", hit{gateway: name})
	}
	for _, name := range gone {
		g.hit("2.4b", hit{gateway: name})
	}
	if g.o.PeerPeriod != g.n.PeerPeriod {
		g.hit("2.5", hit{})
	}
}

func (g *groupClassifier) antiReplay() {
	switch {
	case g.o.AntiReplayWindow == g.n.AntiReplayWindow:
	case g.n.AntiReplayWindow == 0:
		g.hit("1.6", hit{reading: "T1"}) // deleted: no row of its own
	default:
		g.hit("1.6", hit{})
	}
	switch {
	case g.o.NoAntiReplay == g.n.NoAntiReplay:
	case g.o.NoAntiReplay:
		g.hit("1.7", hit{reading: "T1"})
	default:
		g.hit("1.7", hit{})
	}
}

func (g *groupClassifier) communication() {
	switch o, n := g.o.Communication, g.n.Communication; {
	case reflect.DeepEqual(o, n):
	case o == nil:
		g.hit("1.8", hit{})
	case n == nil:
		g.hit("1.10", hit{})
	default:
		g.hit("1.9", hit{})
	}
}

// proposals finds row 1.2: the ipsec-sas whose proposal is the same one with other values.
func (g *groupClassifier) proposals() {
	for _, s := range g.n.SAs {
		was := find(g.o.SAs, s.Name)
		if was != nil && !sameTransform(*was, s) && g.proposal(g.old, s.Name) == g.proposal(g.next, s.Name) {
			g.hit("1.2", hit{sa: s.Name})
		}
	}
}

func (g *groupClassifier) sas() {
	for _, s := range g.n.SAs {
		switch was := find(g.o.SAs, s.Name); {
		case was == nil:
			g.hit("1.11", hit{sa: s.Name})
		case !sameTraffic(*was, s): // T15: the order of match-policies too
			g.hit("1.12b", hit{sa: s.Name})
		case g.proposal(g.old, s.Name) != g.proposal(g.next, s.Name):
			g.hit("1.12a", hit{sa: s.Name})
		}
	}
	for _, s := range g.o.SAs {
		if find(g.n.SAs, s.Name) == nil {
			g.hit("1.13", hit{sa: s.Name})
		}
	}
}

func (g *groupClassifier) proposal(v *view, name string) string {
	return v.server.Entry("group", g.n.Name).Entry("ipsec-sa", name).Get("proposal")
}

// sameTransform compares what row 1.2 is about: of an iec61850-sa, which has no proposal, all that is not its traffic.
func sameTransform(a, b step.IPsecSA) bool {
	if a.IEC61850 != nil && b.IEC61850 != nil {
		x, y := *a.IEC61850, *b.IEC61850
		if x.Selector = y.Selector; x != y {
			return false
		}
	}
	return a.Cipher == b.Cipher && a.KeyBits == b.KeyBits && a.Lifetime == b.Lifetime
}

// sameTraffic compares what row 1.12b is about.
func sameTraffic(a, b step.IPsecSA) bool {
	if a.IEC61850 == nil || b.IEC61850 == nil {
		return a.IEC61850 == b.IEC61850 && reflect.DeepEqual(a.Policies, b.Policies)
	}
	return a.IEC61850.Selector == b.IEC61850.Selector
}

func find(sas []step.IPsecSA, name string) *step.IPsecSA {
	for i := range sas {
		if sas[i].Name == name {
			return &sas[i]
		}
	}
	return nil
}

// compare returns what is in one of two lists only, sorted. Order is row 1.15 (T15).
func compare(old, next []string) (gone, come []string) {
	in := make(map[string]bool, len(old))
	for _, s := range old {
		in[s] = true
	}
	for _, s := range next {
		if !in[s] {
			come = append(come, s)
		}
		delete(in, s)
	}
	slices.Sort(come)
	return slices.Sorted(maps.Keys(in)), come
}

// classifyVPNs finds the rows of Table 3, and fills in the plan's VPNs.
func (c *classifier) classifyVPNs() {
	for _, name := range c.vpns.sorted() {
		o, n := c.old.vpn(name), c.next.vpn(name)
		if !reflect.DeepEqual(o, n) {
			c.plan.VPNs = append(c.plan.VPNs, step.VPNChange{Old: o, New: n})
		}
		switch {
		case o == nil && n == nil:
		case o == nil:
			c.hit("3.1", hit{vpn: name})
		case n == nil:
			c.hit("3.2", hit{vpn: name})
		default:
			c.classifyVPN(o, n)
		}
	}
}

func (c *classifier) classifyVPN(o, n *step.VPN) {
	before := len(c.hits)
	og, ng := c.old.gateway(o.Gateway), c.next.gateway(n.Gateway)
	switch {
	case o.Gateway != n.Gateway, o.Group != n.Group, o.Selector != n.Selector, o.ExternalInterface != n.ExternalInterface, !equalGateways(og, ng):
		c.hit("3.3", hit{vpn: o.Name, gateway: o.Gateway, newGroup: o.Group != n.Group || o.Selector != n.Selector})
	case !slices.Equal(og.Remote, ng.Remote):
		c.hit("3.4", hit{vpn: o.Name})
	}
	if o.DFBit != n.DFBit || !reflect.DeepEqual(o.FailOpen, n.FailOpen) || !reflect.DeepEqual(o.Exclude, n.Exclude) ||
		!slices.Equal(o.Zones, n.Zones) || o.MatchDirection != n.MatchDirection || o.TunnelMTU != n.TunnelMTU ||
		o.ForwardPolicyMismatch != n.ForwardPolicyMismatch || o.ServiceSet != n.ServiceSet {
		c.hit("3.5", hit{vpn: o.Name})
	}
	if len(c.hits) == before && c.direct["vpn "+o.Name] {
		c.hit("3.6", hit{vpn: o.Name})
	}
}
