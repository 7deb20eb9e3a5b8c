package cluster

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/sa"
)

// TestFaults lets a cluster of three live through lost and late messages, cuts, restarts and verdicts of DPD. What a sub-server
// installs is always what its root had at that version; and once the network is whole again all have the same, soon.
func TestFaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		b.history = map[uint64][]uint32{0: nil}
		one := func(line string) map[string]step.Group {
			return map[string]step.Group{"G": parseGroup(t, line)}
		}
		check := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		check(b.node("R").commit(one("G role=root peers=U,V"), nil))
		check(b.node("U").commit(one("G role=sub peers=R"), nil))
		check(b.node("V").commit(one("G role=sub peers=R"), nil))
		late := rapid.SliceOfN(rapid.IntRange(0, 9000), 1, 20).Draw(t, "delays")
		n := 0
		b.delay = func() time.Duration {
			n++
			return time.Duration(late[n%len(late)]) * time.Millisecond
		}
		spi := uint32(300)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			sub := rapid.SampledFrom([]string{"U", "V"}).Draw(t, "sub")
			r, u := b.nodes["R"], b.nodes[sub]
			switch rapid.IntRange(0, 10).Draw(t, "step") {
			case 0, 1, 2:
				up := r.update("G", r.has["G"]+1)
				have := r.teks["G"]
				switch k := rapid.IntRange(0, 9).Draw(t, "change"); {
				case k == 0:
					up.DeleteAll = true
				case k < 4 && len(have) > 0:
					up.DeleteTEKs = []uint32{have[k%len(have)]}
				default:
					spi++
					up.TEKs = []sa.TEK{tek(spi, b.now)}
				}
				r.change(up)
			case 3:
				k := rapid.SampledFrom([]string{"R " + sub, sub + " R"}).Draw(t, "way")
				b.lose[k] = rapid.IntRange(0, 4).Draw(t, "lost")
			case 4:
				cut := rapid.Bool().Draw(t, "cut")
				b.cut["R "+sub], b.cut[sub+" R"] = cut, cut
			case 5:
				b.dead(r, u)
			case 6:
				b.dead(u, r)
			case 7:
				b.restart(rapid.SampledFrom([]*node{r, u}).Draw(t, "node"))
			case 8:
				u.c.SoftExpired(b.now, "G")
			case 9:
				b.down(r, u, "expired")
			}
			b.settle()
			b.advance(time.Duration(rapid.IntRange(0, 15).Draw(t, "seconds")) * time.Second)
		}
		b.delay = nil
		clear(b.lose)
		clear(b.cut)
		for _, name := range b.names() { // DPD finds out what leads nowhere
			x := b.nodes[name]
			for _, peer := range b.names() {
				if x.leadsNowhere(peer) {
					b.dead(x, b.nodes[peer])
				}
			}
		}
		b.settle()
		b.advance(90 * time.Second)
		r := b.nodes["R"]
		for _, name := range []string{"U", "V"} {
			u := b.nodes[name]
			got, want := slices.Sorted(slices.Values(u.teks["G"])), slices.Sorted(slices.Values(r.teks["G"]))
			if u.has["G"] != r.has["G"] || !slices.Equal(got, want) {
				t.Errorf("%s has version %d %v, its root %d %v\n%s%s", name, u.has["G"], got, r.has["G"], want, u.state(), b.said())
			}
			if !u.active["G"] {
				t.Errorf("%s takes its root for inactive\n%s%s", name, u.state(), b.said())
			}
		}
		for _, p := range r.c.groups["G"].peers {
			if p.pending != nil || !p.active {
				t.Errorf("the root has not done with %s\n%s%s", p.gateway, r.state(), b.said())
			}
		}
		if len(r.c.asked)+len(r.c.tokens) > 0 {
			t.Errorf("the root waits for what will not come: %v %v", r.c.asked, r.c.tokens)
		}
	})
}

// leadsNowhere reports whether the engine has an IKE SA to peer that peer does not have.
func (n *node) leadsNowhere(peer string) bool {
	gw := n.c.gateways[peer]
	return gw != nil && slices.ContainsFunc(gw.up, func(u path) bool { return !n.whole(u.SA) })
}

func TestMerge(t *testing.T) {
	now := start
	u := func(words ...string) sa.Update {
		u := sa.Update{Group: "G", Version: 1}
		for _, w := range words {
			switch {
			case w == "all":
				u.DeleteAll = true
			case w == "members":
				u.DeleteMembers = true
			case w == "-kek":
				u.DeleteKEK = true
			case strings.HasPrefix(w, "kek"):
				u.KEK = &sa.KEK{SPI: [16]byte{w[3]}}
			default:
				n, err := strconv.Atoi(w[1:])
				if err != nil {
					t.Fatal(err)
				}
				if w[0] == '-' {
					u.DeleteTEKs = append(u.DeleteTEKs, uint32(n))
				} else {
					u.TEKs = append(u.TEKs, tek(uint32(n), now))
				}
			}
		}
		return u
	}
	for _, c := range []struct{ a, b, want sa.Update }{
		{u("+1"), u("+2"), u("+1", "+2")},
		{u("+1"), u("-1"), u("-1")},
		{u("-1"), u("+2", "-3"), u("-3", "-1", "+2")},
		{u("kekA", "+1"), u("kekB"), u("kekB", "+1")},
		{u("kekA"), u("-kek"), u("-kek")},
		{u("-kek"), u("kekB"), u("-kek", "kekB")},
		{u("kekA"), u("+1"), u("kekA", "+1")},
		{u("+1", "kekA", "members"), u("all"), u("all", "members")},
		{u("all", "members"), u("kekB", "+1"), u("all", "members", "kekB", "+1")},
	} {
		got := merge(c.a, c.b)
		if g, w := describe(&got), describe(&c.want); g != w || (got.KEK == nil) != (c.want.KEK == nil) || got.KEK != nil && got.KEK.SPI != c.want.KEK.SPI {
			t.Errorf("merge: %s %v, want %s %v", g, got.KEK, w, c.want.KEK)
		}
	}
}

// A root counts a push number under its KEK with each version; a sub-server that gets several versions at once counts alike.
func TestMergeKeepsPushNumbers(t *testing.T) {
	kek := func(spi byte, seq uint32) *sa.KEK { return &sa.KEK{SPI: [16]byte{spi}, Seq: seq} }
	for _, c := range []struct {
		a, b sa.Update
		want uint32
	}{
		{sa.Update{Version: 5, KEK: kek('A', 1)}, sa.Update{Version: 6, TEKs: []sa.TEK{tek(1, start)}}, 2},
		{sa.Update{Version: 5, Full: true, KEK: kek('A', 7)}, sa.Update{Version: 8, DeleteTEKs: []uint32{1}}, 10},
		{sa.Update{Version: 5, TEKs: []sa.TEK{tek(1, start)}}, sa.Update{Version: 6, KEK: kek('B', 1)}, 1},
		{sa.Update{Version: 5, KEK: kek('A', 9)}, sa.Update{Version: 6, KEK: kek('B', 1)}, 1},
	} {
		if got := merge(c.a, c.b); got.KEK.Seq != c.want {
			t.Errorf("version %d with version %d: push number %d, want %d", c.a.Version, c.b.Version, got.KEK.Seq, c.want)
		}
	}
}

// hear has a root and a sub-server hear one message, in the middle of exchanges of their own.
func hear(t *testing.T, way uint8, payloads []byte) {
	for _, role := range []string{"root", "sub"} {
		c := New(strings.NewReader(strings.Repeat("x", 1000)), Options{})
		g := parseGroup(t, "G role="+role+" peers=P")
		c.Configure(start, &step.Plan{
			Gateways: []step.GatewayChange{{New: &step.Gateway{Name: "P"}}}, Groups: []step.GroupChange{{New: &g}},
		})
		c.HandleUp(start, ike.Up{SA: 1, Gateway: "P"})
		c.Forget(start, &step.Plan{})
		if role == "root" {
			c.groups["G"].peers[0].active = true
			c.Distribute(start, Distribute{Group: "G", Update: sa.Update{Group: "G", GroupID: 1, Version: 1}})
		}
		m := ike.Message{SA: 1, Gateway: "P", MsgID: 5, Number: 1, Exchange: isakmp.ExchangeClusterInit, First: isakmp.PayloadNONCE, Payloads: slices.Clone(payloads)}
		if way&1 != 0 {
			m.Exchange = isakmp.ExchangeClusterUpdate
		}
		if way&2 != 0 {
			m.Number, m.Initiator = 2, true
			for o, ok := c.Next(); ok; o, ok = c.Next() {
				if b, ok := o.(ike.Begin); ok {
					m.Token = b.Token
				}
			}
		}
		if way&4 != 0 {
			m.Gateway = "Q"
		}
		c.HandleMessage(start, m)
		for o, ok := c.Next(); ok; o, ok = c.Next() {
			switch o := o.(type) {
			case Fetch:
				c.Fetched(start, Fetched{Group: o.Group, Exchange: o.Exchange, Update: sa.Update{Group: o.Group, GroupID: 1, Version: 1, Full: true}})
			case Adopt:
				if role == "root" {
					t.Error("a root adopts")
				}
				c.Adopted(start, Adopted{Group: o.Group, Exchange: o.Exchange})
			}
		}
		if way&4 != 0 && role == "sub" && c.groups["G"].peers[0].active {
			t.Error("a stranger made the root active")
		}
	}
}

// An acknowledgement of something else than what was sent is none: it counts as a failure, and the cluster-update comes again when
// its period is over (C5).
func TestWrongAcknowledgement(t *testing.T) {
	c := New(strings.NewReader(strings.Repeat("x", 1000)), Options{})
	g := parseGroup(t, "G role=root peers=P")
	c.Configure(start, &step.Plan{Gateways: []step.GatewayChange{{New: &step.Gateway{Name: "P"}}}, Groups: []step.GroupChange{{New: &g}}})
	c.HandleUp(start, ike.Up{SA: 1, Gateway: "P"})
	c.groups["G"].peers[0].active = true
	c.Distribute(start, Distribute{Group: "G", Update: sa.Update{Group: "G", GroupID: 1, Version: 2}})
	begun := func() (token uint64) {
		for o, ok := c.Next(); ok; o, ok = c.Next() {
			if b, ok := o.(ike.Begin); ok {
				token = b.Token
			}
		}
		return token
	}
	chain, err := appendMessage(nil, make([]byte, nonceLength), &frame{kind: ack, groupID: 1, version: 1, group: "G"}, start)
	if err != nil {
		t.Fatal(err)
	}
	c.HandleMessage(start, ike.Message{
		SA: 1, Gateway: "P", MsgID: 5, Number: 2, Initiator: true, Token: begun(), Exchange: isakmp.ExchangeClusterUpdate, First: isakmp.PayloadNONCE, Payloads: chain,
	})
	if got := c.State().Groups[0].Peers[0].Counters; got != (Counters{UpdateSent: 1, UpdateFailed: 1, UpdatePending: 1}) {
		t.Errorf("counted %+v", got)
	}
	if at, ok := c.Deadline(); !ok || !at.Equal(start.Add(g.PeerPeriod)) {
		t.Errorf("due at %v", at)
	}
	c.HandleTimeout(start.Add(g.PeerPeriod))
	if begun() == 0 {
		t.Error("it does not come again")
	}
}

// P3, V1: as many sub-servers as the constant says, or a lab's option. A sub-server's one root is no matter of it.
func TestMaxSubServers(t *testing.T) {
	peers := func(n int) string { return "G role=root peers=" + strings.TrimSuffix(strings.Repeat("P,", n), ",") }
	for _, c := range []struct {
		option, peers int
		good          bool
	}{{0, MaxSubServers, true}, {0, MaxSubServers + 1, false}, {5, 5, true}, {5, 6, false}, {1, 2, false}} {
		g := parseGroup(t, peers(c.peers))
		err := New(nil, Options{MaxSubServers: c.option}).Prepare(&step.Plan{Groups: []step.GroupChange{{New: &g}}})
		if (err == nil) != c.good {
			t.Errorf("%d sub-servers, option %d: %v", c.peers, c.option, err)
		}
	}
}
