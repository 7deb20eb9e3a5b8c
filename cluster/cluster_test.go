package cluster

import (
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// giveUp is when package ike gives up a negotiation, or an exchange that is left to its own schedule.
const giveUp = 5500 * time.Millisecond

// bench is a cluster of engines with an IKE between them that loses what it is told to lose, and a server engine at each that
// has only versions: what a TEK is does not matter here. Node X is gateway X at the others.
type bench struct {
	t     rapid.TB
	now   time.Time
	nodes map[string]*node
	lines []string

	queue   []func()
	timers  []timer
	lose    map[string]int       // "A B": messages from A to B to lose; < 0: all
	cut     map[string]bool      // "A B": no IKE SA between them
	history map[uint64][]uint32  // the root's TEKs by version; nil: not kept
	delay   func() time.Duration // nil: none
	last    uint64
}

type timer struct {
	at time.Time
	do func()
}

type node struct {
	b      *bench
	name   string
	c      *Cluster
	config map[string]step.Group

	sas       map[string]ike.SAID  // to a node, the newest
	ends      map[ike.SAID]end     // where an SA leads
	exchanges map[uint64]*exchange // by message ID, at both ends
	has       map[string]uint64    // the version that the server engine has, by group
	teks      map[string][]uint32  // and the TEKs
	refuses   bool                 // to install
	empty     bool                 // has no keys to give
	active    map[string]bool      // root, as told
	fetch     Fetch                // the last one
}

type end struct {
	node *node
	sa   ike.SAID
}

type exchange struct {
	token    uint64
	typ      isakmp.ExchangeType
	from     *node
	sa       ike.SAID // the initiator's
	answered bool
	dropped  bool
}

func newBench(t rapid.TB) *bench {
	return &bench{t: t, now: start, nodes: make(map[string]*node), lose: make(map[string]int), cut: make(map[string]bool)}
}

func (b *bench) node(name string) *node {
	n := b.nodes[name]
	if n == nil {
		n = &node{b: b, name: name, has: make(map[string]uint64), teks: make(map[string][]uint32)}
		b.nodes[name] = n
		n.boot()
	}
	return n
}

func (n *node) boot() {
	n.b.last++
	n.c = New(mathrand.NewChaCha8([32]byte{byte(n.b.last)}), Options{})
	n.sas, n.ends, n.exchanges = make(map[string]ike.SAID), make(map[ike.SAID]end), make(map[uint64]*exchange)
	n.active = make(map[string]bool)
}

func (b *bench) say(format string, args ...any) {
	b.lines = append(b.lines, "+"+b.now.Sub(start).String()+" "+fmt.Sprintf(format, args...))
}

func (b *bench) said() string {
	defer func() { b.lines = nil }()
	if len(b.lines) == 0 {
		return "nothing\n"
	}
	return strings.Join(b.lines, "\n") + "\n"
}

// settle carries out what the engines want until they want nothing.
func (b *bench) settle() {
	for range 10000 {
		busy := false
		for _, name := range b.names() {
			n := b.nodes[name]
			for o, ok := n.c.Next(); ok; o, ok = n.c.Next() {
				busy = true
				n.do(o)
			}
		}
		if len(b.queue) > 0 {
			do := b.queue[0]
			b.queue = b.queue[1:]
			do()
			busy = true
		}
		if !busy {
			return
		}
	}
	b.t.Fatal("the engines never rest")
}

func (b *bench) names() (names []string) {
	for n := range b.nodes {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (n *node) do(o turn.Output) {
	b := n.b
	switch o := o.(type) {
	case ike.Connect:
		n.connect(o)
	case ike.Begin:
		n.begin(o)
	case ike.Reply:
		n.reply(o)
	case ike.Abort:
		if x := n.exchanges[uint64(o.MsgID)]; x != nil && x.from != n {
			delete(n.exchanges, uint64(o.MsgID))
		}
		for _, x := range n.exchanges {
			if x.from == n && o.Token != 0 && x.token == o.Token {
				x.dropped = true
			}
		}
	case ike.Delete:
		b.say("%s deletes its IKE SAs to %s", n.name, o.Gateway)
		b.down(n, b.node(o.Gateway), "deleted")
	case ike.ClearDPD:
		b.say("%s clears DPD of %s", n.name, o.Gateway)
	case Fetch:
		n.fetch = o
		f := Fetched{Group: o.Group, Exchange: o.Exchange}
		if n.empty {
			f.Err = errors.New("no keys")
		} else {
			f.Update = n.update(o.Group, n.has[o.Group])
			f.Update.Full = true
			for _, spi := range n.teks[o.Group] {
				f.Update.TEKs = append(f.Update.TEKs, tek(spi, b.now))
			}
		}
		n.c.Fetched(b.now, f)
	case Adopt:
		a := Adopted{Group: o.Group, Exchange: o.Exchange}
		if n.refuses {
			a.Err = errors.New("cannot install")
		} else {
			n.install(&o.Update)
		}
		b.say("%s adopts %s: %v", n.name, describe(&o.Update), a.Err)
		n.c.Adopted(b.now, a)
	case RootActive:
		if n.active[o.Group] != o.Active {
			b.say("%s root of %s active: %v", n.name, o.Group, o.Active)
		}
		n.active[o.Group] = o.Active
	case turn.Notify:
		if o.Severity > turn.Info {
			b.say("%s %s %s", n.name, o.Code, o.Text)
		}
		if strings.Contains(o.Text, "sesame") {
			b.t.Errorf("a key in %q", o.Text)
		}
	default:
		b.t.Fatalf("output %T", o)
	}
}

func (n *node) update(group string, version uint64) sa.Update {
	return sa.Update{Group: group, GroupID: n.config[group].ID, Version: version}
}

func tek(spi uint32, now time.Time) sa.TEK {
	key := append(sa.Secret("sesame"), make([]byte, 26)...)
	return sa.TEK{Name: "S", SPI: spi, KeyBits: 256, Key: key, AuthKey: key.Clone(), Created: now, Soft: now.Add(time.Hour), Hard: now.Add(2 * time.Hour)}
}

// install is what package server does with an Update, as far as versions and TEKs go.
func (n *node) install(u *sa.Update) {
	if !u.Full && u.Version <= n.has[u.Group] {
		return // done before its cluster engine was started anew
	}
	n.has[u.Group] = u.Version
	var teks []uint32
	if !u.Full && !u.DeleteAll {
		for _, spi := range n.teks[u.Group] {
			if !slices.Contains(u.DeleteTEKs, spi) {
				teks = append(teks, spi)
			}
		}
	}
	for _, t := range u.TEKs {
		if !slices.Contains(teks, t.SPI) {
			teks = append(teks, t.SPI)
		}
	}
	n.teks[u.Group] = teks
	n.b.checkHistory(n, u)
}

// checkHistory holds what a sub-server has at a version against what its root had then.
func (b *bench) checkHistory(n *node, u *sa.Update) {
	if b.history == nil {
		return
	}
	have := slices.Clone(n.teks[u.Group])
	slices.Sort(have)
	if n.config[u.Group].Role == step.RootServer {
		b.history[u.Version] = have
	} else if want := b.history[u.Version]; !slices.Equal(have, want) {
		b.t.Errorf("%s has %v at version %d, its root had %v", n.name, have, u.Version, want)
	}
}

// change is a root's change of a group: distributed with the next version.
func (n *node) change(u sa.Update) {
	n.install(&u)
	n.c.Distribute(n.b.now, Distribute{Group: u.Group, Update: u})
}

func describe(u *sa.Update) string {
	words := []string{"v" + strconv.FormatUint(u.Version, 10)}
	for _, f := range []struct {
		set  bool
		word string
	}{{u.Full, "full"}, {u.DeleteAll, "delete-all"}, {u.DeleteMembers, "delete-members"}, {u.DeleteKEK, "delete-kek"}} {
		if f.set {
			words = append(words, f.word)
		}
	}
	for _, spi := range u.DeleteTEKs {
		words = append(words, fmt.Sprintf("-%d", spi))
	}
	for _, t := range u.TEKs {
		words = append(words, fmt.Sprintf("+%d", t.SPI))
	}
	return strings.Join(words, " ")
}

func (n *node) connect(o ike.Connect) {
	b := n.b
	if id := n.sas[o.Gateway]; n.whole(id) && !b.cut[n.name+" "+o.Gateway] {
		b.queue = append(b.queue, func() { n.c.HandleUp(b.now, ike.Up{SA: id, Gateway: o.Gateway}) })
		return
	}
	b.say("%s connects to %s", n.name, o.Gateway)
	if b.cut[n.name+" "+o.Gateway] {
		b.timers = append(b.timers, timer{b.now.Add(giveUp), func() {
			n.c.HandleFailed(b.now, ike.Failed{Gateway: o.Gateway, Reason: "no answer"})
		}})
		return
	}
	b.up(n, b.node(o.Gateway))
}

// whole reports whether an SA is known at both of its ends.
func (n *node) whole(id ike.SAID) bool {
	e, ok := n.ends[id]
	if ok {
		_, ok = e.node.ends[e.sa]
	}
	return ok
}

// drop takes an SA from one node, which is told as package ike tells it.
func (n *node) drop(id ike.SAID, peer, why string) {
	delete(n.ends, id)
	if n.sas[peer] == id {
		delete(n.sas, peer)
	}
	var mids []uint64
	for mid, x := range n.exchanges {
		if x.from == n && x.sa == id && !x.answered && !x.dropped {
			mids = append(mids, mid)
		}
	}
	slices.Sort(mids)
	for _, mid := range mids {
		x := n.exchanges[mid]
		x.dropped = true
		n.c.HandleFailed(n.b.now, ike.Failed{SA: id, Token: x.token, Reason: why})
	}
	n.c.HandleDown(n.b.now, ike.Down{SA: id, Gateway: peer, Reason: why})
}

func (b *bench) up(x, y *node) {
	b.last += 2
	xs, ys := ike.SAID(b.last), ike.SAID(b.last+1)
	x.ends[xs], y.ends[ys] = end{y, ys}, end{x, xs}
	x.sas[y.name], y.sas[x.name] = xs, ys
	for _, u := range []struct {
		n    *node
		sa   ike.SAID
		peer string
	}{{x, xs, y.name}, {y, ys, x.name}} {
		b.queue = append(b.queue, func() {
			u.n.c.HandleUp(b.now, ike.Up{SA: u.sa, Gateway: u.peer, Local: netip.MustParseAddrPort("192.0.2.1:848")})
		})
	}
}

// down takes every SA between two nodes away, at both.
func (b *bench) down(x, y *node, why string) {
	for _, p := range [][2]*node{{x, y}, {y, x}} {
		n, peer := p[0], p[1]
		var ids []ike.SAID
		for id, e := range n.ends {
			if e.node == peer {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		for _, id := range ids {
			n.drop(id, peer.name, why)
		}
	}
}

// dead is DPD's verdict of n on peer.
func (b *bench) dead(n, peer *node) {
	var ids []ike.SAID
	for id, e := range n.ends {
		if e.node == peer {
			ids = append(ids, id)
		}
	}
	if gw := n.c.gateways[peer.name]; gw != nil {
		for _, u := range gw.up {
			if !slices.Contains(ids, u.SA) {
				ids = append(ids, u.SA)
			}
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		n.drop(id, peer.name, "dead")
	}
	n.c.HandleDead(b.now, ike.Dead{Gateway: peer.name})
}

// restart gives a node a new engine; its peers find out in their own time.
func (b *bench) restart(n *node) {
	n.boot()
	config := n.config
	n.config = nil
	if err := n.commit(config, nil); err != nil {
		b.t.Fatal(err)
	}
}

func (n *node) begin(o ike.Begin) {
	b := n.b
	to, ok := n.ends[o.SA]
	if !ok {
		b.queue = append(b.queue, func() { n.c.HandleFailed(b.now, ike.Failed{SA: o.SA, Token: o.Token, Reason: "no such SA"}) })
		return
	}
	b.last++
	mid := b.last
	x := &exchange{token: o.Token, typ: o.Exchange, from: n, sa: o.SA}
	n.exchanges[mid] = x
	wait := giveUp
	if o.Every != 0 {
		wait = o.Every * time.Duration(o.Tries)
	}
	b.timers = append(b.timers, timer{b.now.Add(wait), func() {
		if !x.answered && !x.dropped && n.exchanges[mid] == x {
			delete(n.exchanges, mid)
			n.c.HandleFailed(b.now, ike.Failed{SA: o.SA, Token: o.Token, Reason: "no answer"})
		}
	}})
	b.carry(n, to.node, o.Payloads, func(p []byte) {
		if _, ok := to.node.ends[to.sa]; !ok {
			return
		}
		to.node.exchanges[mid] = x
		to.node.c.HandleMessage(b.now, ike.Message{
			SA: to.sa, Gateway: n.name, Exchange: o.Exchange, MsgID: uint32(mid), Number: 1, First: o.First, Payloads: p,
		})
	})
}

func (n *node) reply(o ike.Reply) {
	b := n.b
	x := n.exchanges[uint64(o.MsgID)]
	if !o.Last {
		b.t.Errorf("%s waits for an answer to %+v", n.name, o)
	}
	if _, ok := n.ends[o.SA]; x == nil || !ok {
		return // the SA went meanwhile
	}
	b.carry(n, x.from, o.Payloads, func(p []byte) {
		if x.dropped || x.answered || x.from.exchanges[uint64(o.MsgID)] != x {
			return
		}
		x.answered = true
		x.from.c.HandleMessage(b.now, ike.Message{
			SA: x.sa, Gateway: n.name, Exchange: x.typ, MsgID: o.MsgID, Token: x.token, Initiator: true, Number: 2, First: o.First, Payloads: p,
		})
	})
}

// carry takes a message from one node to another, or loses it.
func (b *bench) carry(from, to *node, payloads []byte, deliver func([]byte)) {
	f, err := parseMessage(isakmp.PayloadNONCE, payloads, b.now)
	if err != nil {
		b.t.Fatalf("%s sends what nobody can read: %v", from.name, err)
	}
	word := map[kind]string{request: "request", reply: "reply", refusal: "refusal: " + f.code.String(), update: "update", ack: "ack"}[f.kind]
	what := fmt.Sprintf("%s > %s: %s", from.name, to.name, word)
	switch {
	case f.kind.hasUpdate():
		what += " " + describe(&f.update)
		if f.kind == update {
			what += fmt.Sprintf(" on v%d", f.base)
		}
	case f.kind != refusal:
		what += fmt.Sprintf(" v%d", f.version)
	}
	k := from.name + " " + to.name
	if b.lose[k] != 0 || b.cut[k] {
		if b.lose[k] > 0 {
			b.lose[k]--
		}
		b.say("%s (lost)", what)
		return
	}
	b.say("%s", what)
	p := slices.Clone(payloads)
	if b.delay != nil {
		if d := b.delay(); d > 0 {
			b.timers = append(b.timers, timer{b.now.Add(d), func() { deliver(p) }})
			return
		}
	}
	b.queue = append(b.queue, func() { deliver(p) })
}

func (b *bench) advance(d time.Duration) {
	end := b.now.Add(d)
	for range 100000 {
		next := end.Add(time.Nanosecond)
		for _, t := range b.timers {
			if t.at.Before(next) {
				next = t.at
			}
		}
		for _, n := range b.nodes {
			if t, ok := n.c.Deadline(); ok && t.Before(next) {
				next = t
			}
		}
		if next.After(end) {
			b.now = end
			return
		}
		if next.After(b.now) {
			b.now = next
		}
		var rest, fire []timer
		for _, t := range b.timers {
			if t.at.After(b.now) {
				rest = append(rest, t)
			} else {
				fire = append(fire, t)
			}
		}
		b.timers = rest
		for _, t := range fire {
			t.do()
		}
		for _, name := range b.names() {
			b.nodes[name].c.HandleTimeout(b.now)
		}
		b.settle()
	}
	b.t.Fatal("time does not pass")
}

func (n *node) commit(next map[string]step.Group, effects []step.Effect) error {
	p := &step.Plan{}
	var names []string
	gateways := make(map[string]bool)
	for _, m := range []map[string]step.Group{n.config, next} {
		for name, g := range m {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
			for _, peer := range g.Peers {
				gateways[peer] = true
			}
		}
	}
	slices.Sort(names)
	for name := range gateways {
		p.Gateways = append(p.Gateways, step.GatewayChange{New: &step.Gateway{Name: name, Remote: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, name[0]})}}})
	}
	for _, name := range names {
		var c step.GroupChange
		if g, ok := n.config[name]; ok {
			c.Old = &g
		}
		if g, ok := next[name]; ok {
			c.New = &g
		}
		p.Groups = append(p.Groups, c)
	}
	if err := n.c.Prepare(p); err != nil {
		return err
	}
	n.config = next
	n.c.Configure(n.b.now, p)
	n.b.settle()
	for _, e := range effects {
		switch e.Kind {
		case step.SendDeleteAllToSubServers: // package server's part
			u := n.update(e.Group, n.has[e.Group]+1)
			u.DeleteAll = true
			n.change(u)
		case step.DeletePeerIKESAs: // package ike's part
			for name := range gateways {
				if e.Gateway == "" || e.Gateway == name {
					n.b.down(n, n.b.node(name), "deleted")
				}
			}
		default:
			n.c.Apply(n.b.now, e)
		}
		n.b.settle()
	}
	n.c.Forget(n.b.now, p)
	n.b.settle()
	return nil
}

func parseGroup(t rapid.TB, line string) step.Group {
	f := strings.Fields(line)
	g := step.Group{Name: f[0], ID: 1, PeerPeriod: 10 * time.Second, ActivationDelay: 15 * time.Second}
	for _, w := range f[1:] {
		k, v, _ := strings.Cut(w, "=")
		n, _ := strconv.Atoi(v)
		switch k {
		case "id":
			g.ID = uint32(n)
		case "role":
			g.Role = map[string]step.Role{"standalone": step.Standalone, "root": step.RootServer, "sub": step.SubServer}[v]
		case "peers":
			g.Peers = strings.Split(v, ",")
		case "threshold":
			g.MemberThreshold = uint32(n)
		case "period":
			g.PeerPeriod = time.Duration(n) * time.Second
		case "kek":
			g.Communication = &step.Communication{KeyBits: n}
		case "sas":
			for i := range n {
				g.SAs = append(g.SAs, step.IPsecSA{Name: fmt.Sprintf("S%d", i), KeyBits: 256, Policies: make([]sa.Policy, 10)})
			}
		default:
			t.Fatalf("group %q: %q", line, w)
		}
	}
	return g
}

// What a sub-server's records have of sender IDs is in its cluster-init, also when they were known before its group; and it asks at
// once when they are low, not twice at a time.
func TestSenderIDs(t *testing.T) {
	b := newBench(t)
	one := func(line string) map[string]step.Group { return map[string]step.Group{"G": parseGroup(t, line)} }
	r, u := b.node("R"), b.node("U")
	first := sa.Senders{Epoch: 7, Bits: 8, First: 16, Count: 9}
	u.c.SenderIDs(b.now, SenderIDs{Group: "G", Has: first})
	for n, line := range map[*node]string{r: "G role=root peers=U", u: "G role=sub peers=R"} {
		if err := n.commit(one(line), nil); err != nil {
			t.Fatal(err)
		}
	}
	b.advance(initRetry)
	if want := (Fetch{Group: "G", Peer: "U", Has: first, Exchange: r.fetch.Exchange}); r.fetch != want {
		t.Fatalf("the root is asked %+v, want %+v", r.fetch, want)
	}
	low := first
	low.First, low.Count = 24, 1
	u.c.SenderIDs(b.now, SenderIDs{Group: "G", Has: low})
	b.settle()
	if r.fetch.Has != first {
		t.Error("it asks though it need not")
	}
	sent := u.c.groups["G"].root().count.InitSent
	for range 3 {
		u.c.SenderIDs(b.now, SenderIDs{Group: "G", Has: low, Low: true})
	}
	b.settle()
	if got := u.c.groups["G"].root().count.InitSent - sent; r.fetch.Has != low || got != 1 {
		t.Errorf("it says %+v in %d cluster-inits", r.fetch.Has, got)
	}
	if err := u.commit(nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := u.commit(one("G role=sub peers=R"), nil); err != nil {
		t.Fatal(err)
	}
	b.advance(initRetry)
	if r.fetch.Has != (sa.Senders{}) {
		t.Errorf("a group that was deleted is remembered: %+v", r.fetch.Has)
	}
}

// TestConversations runs the texts in testdata/conversation. A part that is about rows of the tables is a subtest of their name.
// `go test -rewrite` writes them anew.
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata/conversation", func(t *testing.T, path string) {
		b := newBench(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			b.t = t
			return b.run(t, d)
		})
	})
}

// A root that was committed under a higher limit starts with its sub-servers, and warns of what its next commit will meet (V1).
func TestTooManyPeers(t *testing.T) {
	for peers, want := range map[string]string{
		"A,B,C,D": "",
		"A,B,C,D,E": "GKSD_CLUSTER_TOO_MANY_PEERS group G: 5 sub-servers, and a root-server has at most 4: commits that change the group " +
			"are refused until gvpnd is given -max-sub-servers again or sub-servers are deleted\n",
	} {
		g := parseGroup(t, "G role=root peers="+peers)
		p := &step.Plan{Groups: []step.GroupChange{{New: &g}}}
		c := New(mathrand.NewChaCha8([32]byte{}), Options{})
		if err := c.Prepare(p); (err != nil) != (want != "") {
			t.Errorf("%s: %v", peers, err)
		}
		c.Configure(start, p)
		c.Forget(start, p)
		got := ""
		for o, ok := c.Next(); ok; o, ok = c.Next() {
			if n, ok := o.(turn.Notify); ok {
				got += n.Code + " " + n.Text + "\n"
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", peers, got, want)
		}
	}
}

func (b *bench) run(t *testing.T, d *datadriven.TestData) string {
	arg := func(i int) string { return d.CmdArgs[i].String() }
	switch d.Cmd {
	case "commit": // node; group lines, then effects that begin with "!"
		next := make(map[string]step.Group)
		var effects []step.Effect
		for line := range strings.Lines(d.Input) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "!") {
				f := strings.Fields(line[1:])
				e := step.Effect{Group: f[0], Kind: step.Kind(f[1])}
				if len(f) > 2 {
					e.Gateway = f[2]
				}
				effects = append(effects, e)
			} else if line != "" {
				g := parseGroup(t, line)
				next[g.Name] = g
			}
		}
		if err := b.node(arg(0)).commit(next, effects); err != nil {
			return "prepare: " + err.Error() + "\n"
		}
	case "change": // node group +tek -tek delete-all
		n := b.node(arg(0))
		u := n.update(arg(1), n.has[arg(1)]+1)
		for _, a := range d.CmdArgs[2:] {
			switch w := a.String(); {
			case w == "delete-all":
				u.DeleteAll = true
			default:
				spi, err := strconv.Atoi(w[1:])
				if err != nil {
					t.Fatal(err)
				}
				if w[0] == '-' {
					u.DeleteTEKs = append(u.DeleteTEKs, uint32(spi))
				} else {
					u.TEKs = append(u.TEKs, tek(uint32(spi), b.now))
				}
			}
		}
		n.change(u)
		b.settle()
	case "lose": // from to count
		n, err := strconv.Atoi(arg(2))
		if err != nil {
			t.Fatal(err)
		}
		b.lose[arg(0)+" "+arg(1)] = n
	case "cut", "heal":
		b.cut[arg(0)+" "+arg(1)], b.cut[arg(1)+" "+arg(0)] = d.Cmd == "cut", d.Cmd == "cut"
	case "dead": // node gateway: DPD's verdict
		b.dead(b.node(arg(0)), b.node(arg(1)))
		b.settle()
	case "down":
		b.down(b.node(arg(0)), b.node(arg(1)), "expired")
		b.settle()
	case "refuse", "accept":
		b.node(arg(0)).refuses = d.Cmd == "refuse"
	case "empty", "full":
		b.node(arg(0)).empty = d.Cmd == "empty"
	case "soft":
		b.node(arg(0)).c.SoftExpired(b.now, arg(1))
		b.settle()
	case "hard":
		b.node(arg(0)).c.HardExpired(b.now, arg(1))
		b.settle()
	case "clear":
		if err := b.node(arg(0)).c.Do(b.now, Clear{}); err != nil {
			t.Fatal(err)
		}
		b.settle()
	case "clear-statistics":
		if err := b.node(arg(0)).c.Do(b.now, ClearStatistics{Group: arg(1)}); err != nil {
			return err.Error() + "\n"
		}
		b.settle()
	case "restart":
		b.restart(b.node(arg(0)))
	case "advance":
		x, err := time.ParseDuration(arg(0))
		if err != nil {
			t.Fatal(err)
		}
		b.advance(x)
	case "state":
		return b.node(arg(0)).state()
	default:
		t.Fatalf("unknown command %q", d.Cmd)
	}
	return b.said()
}

func (n *node) state() string {
	var out strings.Builder
	for _, g := range n.c.State().Groups {
		fmt.Fprintf(&out, "%s id %d %v v%d\n", g.Name, g.ID, g.Role, g.Version)
		for _, p := range g.Peers {
			fmt.Fprintf(&out, "  %s %v %v active %v", p.Gateway, p.Remote, p.Role, p.Active)
			if len(p.Differs) > 0 {
				fmt.Fprintf(&out, " differs %v", p.Differs)
			}
			out.WriteString("\n   " + counted(p.Counters) + "\n")
		}
	}
	if out.Len() == 0 {
		return "empty\n"
	}
	return out.String()
}

// counted names the counters that are not zero.
func counted(c Counters) (words string) {
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if n := v.Field(i).Uint(); n != 0 {
			words += fmt.Sprintf(" %s:%d", v.Type().Field(i).Name, n)
		}
	}
	if words == "" {
		return " nothing counted"
	}
	return words
}
