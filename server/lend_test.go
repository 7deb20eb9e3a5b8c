package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gvpn/commit/step"
	"gvpn/sa"
)

// lenders is a cluster of servers without the engine between them: what one says reaches the other late, or never, and once.
type lenders struct {
	t       *rapid.T
	benches map[string]*bench
	roots   []string
	way     map[string][]sa.Update // replies of a root that are on their way to a sub-server
	commits uint64
}

const lendersGroup = "G members=m1,m2,m3 sas=S,T:10.0.0.0/8 gcm sender-bits=8 peers=P role="

func newLenders(t *rapid.T) *lenders {
	l := &lenders{t: t, benches: make(map[string]*bench), roots: []string{"R"}, way: make(map[string][]sa.Update)}
	sids := make(map[string]bool)
	for i, name := range []string{"R", "U", "V"} {
		b := newBench(t)
		b.seed, b.sids = uint64(80*i), sids // their dice differ, and no number is given twice by all of them together
		b.deaf = true                       // package cluster refuses what is out of order, so that push numbers do not come again
		b.fresh()
		l.benches[name] = b
		if name == "R" {
			l.commit(name, "root-server", step.GenerateKEK, step.GenerateTEK)
		} else {
			l.commit(name, "sub-server")
		}
	}
	return l
}

func (l *lenders) commit(name, role string, effects ...step.Kind) {
	l.commits++
	var all []step.Effect
	for _, k := range effects {
		all = append(all, step.Effect{Group: "G", Kind: k})
	}
	if err := l.benches[name].commit(l.commits, map[string]step.Group{"G": parseGroup(l.t, lendersGroup+role)}, all); err != nil {
		l.t.Fatal(err)
	}
	l.reach(name)
}

func (l *lenders) isRoot(name string) bool { return slices.Contains(l.roots, name) }

func (l *lenders) any(what string, names []string) string {
	return rapid.SampledFrom(slices.Sorted(slices.Values(names))).Draw(l.t, what)
}

func (l *lenders) subs() (names []string) {
	for n := range maps.Keys(l.benches) {
		if !l.isRoot(n) {
			names = append(names, n)
		}
	}
	return names
}

// reach has what a root distributed reach each sub-server, or the reply to its next cluster-init in place of all of it.
func (l *lenders) reach(root string) {
	changes := l.benches[root].changes
	l.benches[root].changes = nil
	for _, name := range slices.Sorted(slices.Values(l.subs())) {
		if len(changes) > 0 && rapid.Bool().Draw(l.t, "cut") {
			l.ask(name, root)
			continue
		}
		for _, u := range changes {
			l.adopt(name, u.Clone())
		}
	}
}

// ask is a cluster-init, whose reply is on its way then.
func (l *lenders) ask(sub, root string) {
	b := l.benches[root]
	b.update = nil
	b.s.Fetch(b.now, Fetch{Group: "G", Peer: sub, Has: l.benches[sub].ids})
	b.drain()
	if b.keep < 0 && b.update != nil {
		l.way[sub] = append(l.way[sub], b.update.Clone())
	}
}

func (l *lenders) adopt(sub string, u sa.Update) {
	b := l.benches[sub]
	b.s.RootActive(b.now, "G", true)
	b.s.Adopt(b.now, Adopt{Group: "G", Update: u})
	b.drain()
}

func (l *lenders) restart(name string) {
	b := l.benches[name]
	b.keep, b.reply, b.ids, b.changes = -1, nil, sa.Senders{}, nil
	b.restart()
	b.s.RootActive(b.now, "G", true)
}

// No sender ID is given twice under one key by any servers of a cluster: whatever is lost, late or overtaken between them, whoever
// crashes in the middle of a turn or loses its disk, is cleared, or becomes the root, with the old one beside it or not.
func TestAttackGCMNonceReuseCluster(t *testing.T) {
	given := 0
	rapid.Check(t, func(t *rapid.T) {
		l := newLenders(t)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			name := l.any("server", []string{"R", "U", "V"})
			b := l.benches[name]
			switch rapid.SampledFrom([]string{"pull", "pull", "pull", "pull", "ask", "ask", "arrive", "arrive", "arrive", "rekey", "clear", "crash", "crash", "wipe", "time", "promote"}).Draw(t, "step") {
			case "pull":
				b.ask = rapid.IntRange(0, 10).Draw(t, "for")
				if strings.Contains(b.pull(l.any("member", []string{"m1", "m2", "m3"}), 1, 0), "sender [") {
					given++
				}
				l.reach(name)
			case "ask":
				if !l.isRoot(name) {
					root := l.any("root", l.roots)
					l.ask(name, root)
					l.reach(root)
				}
			case "arrive": // in any order, once
				if way := l.way[name]; !l.isRoot(name) && len(way) > 0 {
					at := rapid.IntRange(0, len(way)-1).Draw(t, "which")
					u := way[at]
					l.way[name] = slices.Delete(way, at, at+1)
					l.adopt(name, u)
				}
			case "rekey":
				if l.isRoot(name) {
					_ = b.s.Do(b.now, Rekey{Group: "G", TEK: true, KEK: rapid.Bool().Draw(t, "kek")})
					b.drain()
					l.reach(name)
				}
			case "clear":
				_ = b.s.Do(b.now, Clear{Group: "G"})
				b.drain()
				l.reach(name)
			case "crash":
				b.keep = rapid.IntRange(0, 4).Draw(t, "keep")
				if sub := l.any("sub", l.subs()); l.isRoot(name) && rapid.Bool().Draw(t, "lends") {
					l.ask(sub, name)
				} else if way := l.way[name]; len(way) > 0 && rapid.Bool().Draw(t, "adopts") {
					l.way[name] = way[1:]
					l.adopt(name, way[0])
				} else {
					b.pull("m1", 1, 0)
				}
				l.restart(name)
			case "wipe":
				maps.DeleteFunc(b.disk, func(key string, _ []byte) bool { return key != commitKey })
				l.restart(name)
			case "time":
				for _, b := range l.benches {
					b.advance(time.Duration(rapid.IntRange(1, 600).Draw(t, "seconds")) * time.Second)
				}
				for _, r := range slices.Clone(l.roots) {
					l.reach(r)
				}
			case "promote":
				if l.isRoot(name) || len(l.subs()) == 1 {
					continue
				}
				old := slices.Clone(l.roots)
				l.roots = append(l.roots, name)
				l.way[name] = nil // it is not its root's any more
				l.commit(name, "root-server", step.RekeyTEK, step.RekeyKEK, step.SendTEKToSubServers, step.SendKEKToSubServers, step.SendTEKToMembers, step.SendKEKToMembers)
				if rapid.Bool().Draw(t, "in its place") {
					for _, r := range old {
						l.roots = slices.DeleteFunc(l.roots, func(n string) bool { return n == r })
						l.commit(r, "sub-server", step.SendDeleteAllToSubServers, step.DeleteKeys)
					}
				}
			}
			for _, b := range l.benches {
				b.lines = nil
			}
			if err := l.overlap(); err != "" {
				t.Fatal(err)
			}
		}
	})
	if given == 0 {
		t.Error("no sender ID was ever given")
	}
}

// Sub-servers that use up all that there is make the group begin anew, but not round and round.
func TestLendUsedUp(t *testing.T) {
	b := newBench(t)
	if err := b.commit(1, map[string]step.Group{"G": parseGroup(t, lendersGroup+"root-server")}, []step.Effect{
		{Group: "G", Kind: step.GenerateKEK}, {Group: "G", Kind: step.GenerateTEK},
	}); err != nil {
		t.Fatal(err)
	}
	has := sa.Senders{}
	lend := func() bool {
		b.s.Fetch(b.now, Fetch{Group: "G", Peer: "U", Has: has})
		b.drain()
		got := b.update.Senders
		if got.Count == 0 {
			return false
		}
		has, has.First, has.Count = got, got.End(), 0
		return true
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 2 * blocksOfRun}, {senderResetPause / 2, 0}, {senderResetPause / 2, blocksOfRun}, {0, 0}} {
		b.now = b.now.Add(c.after)
		got := 0
		for got <= c.want && lend() {
			got++
		}
		if got != c.want {
			t.Errorf("%d blocks after another %v, want %d", got, c.after, c.want)
		}
	}
}

// A sub-server that starts without its records again and again does not use up what the others need.
func TestLendLost(t *testing.T) {
	b := newBench(t)
	group := strings.Replace(lendersGroup, "sender-bits=8", "", 1) + "root-server"
	if err := b.commit(1, map[string]step.Group{"G": parseGroup(t, group)}, []step.Effect{
		{Group: "G", Kind: step.GenerateKEK}, {Group: "G", Kind: step.GenerateTEK},
	}); err != nil {
		t.Fatal(err)
	}
	for hour, want := range []int{7, 1, 1} {
		blocks := 0
		for range 60 * 60 / 5 {
			b.s.Fetch(b.now, Fetch{Group: "G", Peer: "U"})
			b.drain()
			if b.update.Senders.Count > 0 {
				blocks++
			}
			b.now = b.now.Add(5 * time.Second)
		}
		if blocks != want {
			t.Errorf("%d blocks in hour %d, want %d", blocks, hour, want)
		}
	}
}

// overlap names two servers that have a sender ID of one epoch both, to give it.
func (l *lenders) overlap() string {
	has := func(n string) sa.Senders { return l.benches[n].s.groups["G"].senders.recorded() }
	for n := range l.benches {
		for m := range l.benches {
			if a, b := has(n), has(m); n < m && a.Epoch == b.Epoch && a.First < b.End() && b.First < a.End() {
				return fmt.Sprintf("%s has %s, %s has %s", n, numbers(a), m, numbers(b))
			}
		}
	}
	return ""
}
