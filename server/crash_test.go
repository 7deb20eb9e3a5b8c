package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gvpn/commit/step"
)

// remains is what a restart must bring back: everything but counters.
func remains(st State) string {
	var b strings.Builder
	for _, g := range st.Groups {
		fmt.Fprintf(&b, "%s %d %v v%d\n", g.Name, g.ID, g.Role, g.Version)
		if g.KEK != nil {
			fmt.Fprintf(&b, "kek %x %x seq %d %v %v %v\n", g.KEK.InitiatorCookie, g.KEK.ResponderCookie, g.KEK.Seq, g.KEK.Soft, g.KEK.Hard, g.KEK.Multicast)
		}
		for _, t := range g.TEKs {
			fmt.Fprintf(&b, "tek %s %x %v %v %v %v\n", t.Name, t.SPI, t.Soft, t.Hard, t.Activate, t.Current)
		}
		for _, m := range g.Members {
			fmt.Fprintf(&b, "member %s %v %v %v %v\n", m.Gateway, m.Local, m.Remote, m.Updated, m.Acknowledges)
		}
	}
	return b.String()
}

// TestCrashAnywhere runs a standalone or root server through random days, in which it stops between any two of its outputs and
// starts from what was on disk. The bench fails it for a push number that is used twice, a push or a registration that is seen
// before it is on disk, and here for anything that a restart loses.
func TestCrashAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		role := rapid.SampledFrom([]string{"standalone", "standalone multicast=239.1.1.1%eth0", "root-server peers=P"}).Draw(t, "role")
		conf := parseGroup(b.t, "G members=m1,m2,m3 sas=S,T iec=U:1.2.3/233.252.0.1/2/2/90 role="+role)
		config := map[string]step.Group{"G": conf}
		effects := []step.Effect{{Group: "G", Kind: step.GenerateKEK}, {Group: "G", Kind: step.GenerateTEK}}
		again := []step.Effect{
			{Group: "G", Kind: step.SendDeleteAllToMembers},
			{Group: "G", Kind: step.DeleteKeys},
			{Group: "G", Kind: step.GenerateKEK},
			{Group: "G", Kind: step.GenerateTEK},
		}
		commit := uint64(1)
		if err := b.commit(commit, config, effects); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			crash := rapid.IntRange(0, 2).Draw(t, "crash") == 0
			if crash {
				b.keep = rapid.IntRange(0, 8).Draw(t, "after")
			}
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1:
				b.pull(rapid.SampledFrom([]string{"m1", "m2", "m3"}).Draw(t, "member"), 1, 0)
			case 2:
				_ = b.s.Do(b.now, Rekey{Group: "G", TEK: true, KEK: rapid.Bool().Draw(t, "kek")})
				b.drain()
			case 3, 4:
				b.advance(time.Duration(rapid.IntRange(1, 4000).Draw(t, "seconds")) * time.Second)
			case 5:
				_ = b.s.Do(b.now, Clear{Group: "G", Now: rapid.Bool().Draw(t, "now")})
				b.drain()
			case 6:
				commit++
				if err := b.commit(commit, config, again); err != nil {
					t.Fatal(err)
				}
			}
			before := remains(b.s.State())
			if crash || rapid.Bool().Draw(t, "restart") {
				b.keep = -1
				b.reply = nil
				b.restart()
				if b.s.Applied() < commit { // the node carries out what is missing
					if err := b.commit(commit, config, again); err != nil {
						t.Fatal(err)
					}
				}
				after := b.s.State()
				if !crash && remains(after) != before {
					t.Fatalf("a restart changed\n%sinto\n%s", before, remains(after))
				}
				if g := after.Groups[0]; !g.Ready {
					t.Fatalf("not ready after a restart:\n%s", remains(after))
				}
			}
			b.lines = nil
		}
	})
}

// TestCrashBecomingRoot stops a server at every place of the turn in which it becomes a root-server with a KEK that sub-servers cannot
// take. Once it has started again they get keys that they can: of that commit or, if that was lost, after it is carried out.
func TestCrashBecomingRoot(t *testing.T) {
	for _, alone := range []string{"multicast=239.1.1.1", "lkh", "multicast=239.1.1.1 lkh"} {
		done := false
		for keep := 0; !done; keep++ {
			b := newBench(t)
			commit(t, b, 1, []string{"1.14 G generate-kek", "1.14 G generate-tek"}, parseGroup(t, "G members=m1,m2 sas=S "+alone))
			b.pull("m1", 1, 0)
			b.pull("m2", 1, 0)
			before := b.s.groups["G"].kek.SPI
			root := parseGroup(t, "G role=root-server peers=P members=m1,m2 sas=S")
			effects := []string{"1.9 G at-next-kek-rekey"}
			b.keep = keep
			commit(t, b, 2, effects, root)
			done = b.keep > 0
			b.keep = -1
			b.restart()
			if b.s.Applied() < 2 {
				commit(t, b, 2, effects, root)
			}
			b.update = nil
			b.s.Fetch(b.now, Fetch{Group: "G"})
			b.drain()
			if b.update == nil || b.update.KEK == nil {
				t.Fatalf("%s, %d outputs: sub-servers get no KEK:\n%s", alone, keep, b.said())
			}
			k := b.update.KEK
			if k.SPI == before || k.Multicast != nil || byMember(k.Ack) || b.s.groups["G"].lkh.tree != nil {
				t.Errorf("%s, %d outputs: sub-servers get %+v", alone, keep, k)
			}
			if said := b.said(); !strings.Contains(said, ": KEK1/1 KEK") { // to each, or to all
				t.Errorf("%s, %d outputs: members are not told:\n%s", alone, keep, said)
			}
		}
	}
}
