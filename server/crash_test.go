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
)

// remains is what a restart must bring back: everything but counters.
func remains(b *bench) string {
	var out strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	for _, g := range b.s.State().Groups {
		say("%s %d %v v%d", g.Name, g.ID, g.Role, g.Version)
		if g.KEK != nil {
			say("kek %x %x seq %d %v %v %v", g.KEK.InitiatorCookie, g.KEK.ResponderCookie, g.KEK.Seq, g.KEK.Soft, g.KEK.Hard, g.KEK.Multicast)
		}
		for _, t := range g.TEKs {
			say("tek %s %x %v %v %v %v", t.Name, t.SPI, t.Soft, t.Hard, t.Activate, t.Current)
		}
		for _, m := range g.Members {
			say("member %s %v %v %v %v %v", m.Gateway, m.Local, m.Remote, m.Updated, m.Acknowledges, m.Silent)
		}
		say("%d pushes under way", g.PushesPending)
		own := b.s.groups[g.Name]
		for _, d := range own.owed {
			say("owed %x %v", d.spi, d.iec61850)
		}
		say("sender IDs %d of %d bits, begun anew %v", own.senders.written, own.senders.bits, own.senders.reset.UTC())
	}
	for _, spi := range slices.SortedFunc(maps.Keys(b.s.spent), func(x, y kekSPI) int { return slices.Compare(x[:], y[:]) }) {
		if old := b.s.spent[spi]; b.now.Before(old.hard) { // of others nothing is kept
			say("spent %x %d %v", spi, old.seq, old.hard)
		}
	}
	return out.String()
}

// days are random days of a server, in which it stops between any two of its outputs and starts from what was on disk.
type days struct {
	*bench
	t       *rapid.T
	number  uint64 // the last commit
	conf    step.Group
	effects []step.Effect
	cut     bool // the step in hand is not carried out to its end
	root    *crashRoot
}

// carryOut gives the server the last commit.
func (d *days) carryOut() {
	if err := d.bench.commit(d.number, map[string]step.Group{"G": d.conf}, d.effects); err != nil {
		d.t.Fatal(err)
	}
}

func (d *days) commit(conf string, effects ...step.Effect) {
	d.number++
	d.conf, d.effects = parseGroup(d.bench.t, conf), effects
	d.carryOut()
}

func (d *days) pull() {
	d.s.RootActive(d.now, "G", true) // as a cluster engine says once it has asked
	d.bench.pull(rapid.SampledFrom([]string{"m1", "m2", "m3"}).Draw(d.t, "member"), 1, 0)
}

// acknowledge has every member acknowledge every push so far, so that the next ones go out.
func (d *days) acknowledge() {
	for _, id := range slices.Sorted(maps.Keys(d.seqs)) {
		for _, name := range []string{"m1", "m2", "m3"} {
			d.ack(name, id, nil)
		}
	}
}

func (d *days) order(c Command) {
	_ = d.s.Do(d.now, c)
	d.drain()
}

func (d *days) sleep(most int) {
	d.advance(time.Duration(rapid.IntRange(1, most).Draw(d.t, "seconds")) * time.Second)
}

// run makes steps, of which each may end with a crash.
func (d *days) run(steps map[string]func()) {
	names := slices.Sorted(maps.Keys(steps))
	for range rapid.IntRange(1, 30).Draw(d.t, "steps") {
		d.cut = rapid.IntRange(0, 2).Draw(d.t, "crash") == 0
		if d.cut {
			d.keep = rapid.IntRange(0, 8).Draw(d.t, "after")
		}
		known := d.known()
		name := rapid.SampledFrom(names).Draw(d.t, "step")
		steps[name]()
		before := remains(d.bench)
		if d.cut || rapid.Bool().Draw(d.t, "restart") {
			d.restart()
			if after := remains(d.bench); !d.cut && after != before {
				d.t.Fatalf("a restart changed\n%sinto\n%s", before, after)
			}
		}
		if g := d.s.State().Groups[0]; d.root == nil && !g.Ready {
			d.t.Fatalf("not ready:\n%s", remains(d.bench))
		}
		if strings.HasPrefix(name, "1.") || strings.HasPrefix(name, "2.") {
			d.checkKnown(name, known)
		}
		d.lines = nil
	}
}

func (d *days) restart() {
	d.keep, d.reply = -1, nil
	d.bench.restart()
	if d.s.Applied() < d.number { // the node carries out what is missing
		d.carryOut()
	}
}

// known are the TEKs that members may have and that the server could still tell them to delete.
func (d *days) known() map[uint32]bool {
	g := d.s.groups["G"]
	known := make(map[uint32]bool)
	for _, t := range g.teks {
		known[t.SPI] = true
	}
	for _, o := range g.owed {
		known[o.spi] = true
	}
	return known
}

// checkKnown fails if a commit has made a sub-server, which tells members nothing on its own account, forget a TEK.
func (d *days) checkKnown(row string, before map[uint32]bool) {
	if d.root == nil {
		return
	}
	after := d.known()
	for spi := range before {
		if !after[spi] {
			d.t.Fatalf("row %s: members will never be told to delete the TEK %#x:\n%s", row, spi, remains(d.bench))
		}
	}
}

// TestCrashAnywhere runs a standalone or root server through random days. The bench fails it for a push number that is used twice,
// a push or a registration that is seen before it is on disk, and run for anything that a restart loses.
func TestCrashAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &days{bench: newBench(t), t: t}
		role := rapid.SampledFrom([]string{
			"standalone", "standalone multicast=239.1.1.1%eth0", "standalone gcm sender-bits=8", "root-server peers=P",
		}).Draw(t, "role")
		conf := "G members=m1,m2,m3 sas=S,T role=" + role + " iec=U:1.2.3/233.252.0.1/2/2/90"
		d.ask = 8
		d.commit(conf, step.Effect{Group: "G", Kind: step.GenerateKEK}, step.Effect{Group: "G", Kind: step.GenerateTEK})
		d.run(map[string]func(){
			"pull":       d.pull,
			"pull again": d.pull,
			"rekey":      func() { d.order(Rekey{Group: "G", TEK: true, KEK: rapid.Bool().Draw(t, "kek")}) },
			"sleep":      func() { d.sleep(4000) },
			"sleep on":   func() { d.sleep(4000) },
			"ack":        d.acknowledge,
			"clear":      func() { d.order(Clear{Group: "G", Now: rapid.Bool().Draw(t, "now")}) },
			"1.3": func() {
				d.commit(
					conf, step.Effect{Group: "G", Kind: step.SendDeleteAllToMembers}, step.Effect{Group: "G", Kind: step.DeleteKeys},
					step.Effect{Group: "G", Kind: step.GenerateKEK}, step.Effect{Group: "G", Kind: step.GenerateTEK},
				)
			},
		})
	})
}

// crashRoot is a root as a sub-server sees it.
type crashRoot struct {
	version  uint64
	kek, tek int // of which number they are
	seq      int // of the last push under the KEK
	net      int // the match-policy of T
	begun    time.Time
	lost     bool // an Update; the next one is full
}

// maxCrashKEK is shorter than the lifetime of parseUpdate's keys, so that a KEK does not come again after its end.
const maxCrashKEK = 50 * time.Minute

// next makes the next Update of a kind, "" for one that is full.
func (r *crashRoot) next(now time.Time, kind string) string {
	if r.kek == 0 || now.Sub(r.begun) >= maxCrashKEK {
		kind = ""
		r.version, r.kek, r.tek, r.seq, r.begun = r.version+1, r.kek+1, r.tek+1, 1, now
	}
	t := func() string { return fmt.Sprintf("T%d:10.%d.0.0/16", r.tek, r.net) }
	if kind == "" || r.lost {
		return fmt.Sprintf("v%d full kek=K%d seq=%d tek=S%d,%s", r.version, r.kek, r.seq, r.tek, t())
	}
	r.version, r.seq = r.version+1, r.seq+1
	old := r.tek
	switch kind {
	case "policy": // row 1.12b
		r.net, r.tek = r.net+1, r.tek+1
		return fmt.Sprintf("v%d delete-tek=T%d tek=%s", r.version, old, t())
	case "kek":
		r.kek, r.seq, r.begun = r.kek+1, 1, now
		return fmt.Sprintf("v%d kek=K%d seq=1", r.version, r.kek)
	case "all":
		r.kek, r.tek, r.seq, r.lost, r.begun = r.kek+1, r.tek+1, 1, true, now // cluster-init follows
		return fmt.Sprintf("v%d delete-all delete-members", r.version)
	}
	r.tek++
	return fmt.Sprintf("v%d tek=S%d,%s", r.version, r.tek, t())
}

// adopt has the root say something, again if a crash came between and it got no acknowledgement.
func (d *days) adopt(kind string) {
	update := d.root.next(d.now, kind)
	full := strings.Contains(update, " full ")
	if !full && rapid.IntRange(0, 4).Draw(d.t, "lost") == 0 {
		d.root.lost = true
		return
	}
	tell := func() {
		d.s.Adopt(d.now, Adopt{Group: "G", Update: d.parseUpdate(update), Exchange: 9})
		d.drain()
	}
	tell()
	if d.cut {
		d.restart()
		tell()
	}
	d.root.lost = d.root.lost && !full
}

// TestSubCrashAnywhere is TestCrashAnywhere for a sub-server, which commits before its root, after it, or by itself.
func TestSubCrashAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &days{bench: newBench(t), t: t, root: new(crashRoot)}
		sas, peers, kek := "S,T:10.0.0.0/16", 1, "3600"
		commit := func(effects ...step.Kind) {
			var all []step.Effect
			for _, kind := range effects {
				all = append(all, step.Effect{Group: "G", Kind: kind, SA: map[bool]string{true: "T"}[kind == step.DeleteTEK && len(effects) == 1]})
			}
			d.commit(fmt.Sprintf("G role=sub-server members=m1,m2,m3 sas=%s kek=%s peers=R%d", sas, kek, peers), all...)
		}
		commit(step.StartClusterInit)
		d.adopt("")
		d.pull()
		d.run(map[string]func(){
			"pull 1":       d.pull,
			"pull 2":       d.pull,
			"pull 3":       d.pull,
			"sleep":        func() { d.sleep(1200) },
			"ack 1":        d.acknowledge,
			"ack 2":        d.acknowledge,
			"clear":        func() { d.order(Clear{Group: "G", Now: rapid.Bool().Draw(t, "now")}) },
			"adopt full":   func() { d.adopt("") },
			"adopt again":  func() { d.adopt("") },
			"adopt TEKs":   func() { d.adopt("tek") },
			"adopt KEK":    func() { d.adopt("kek") },
			"adopt policy": func() { d.adopt("policy") },
			"adopt all":    func() { d.adopt("all") },
			"1.8 or 1.10": func() {
				if kek == "none" {
					kek = "3600"
					commit(step.DeleteRegisteredMembers)
				} else {
					kek = "none"
					commit(step.DeleteKEK)
				}
			},
			"1.11 or 1.13": func() {
				if sas == "S" {
					sas = "S,T:10.0.0.0/16"
					commit()
				} else {
					sas = "S"
					commit(step.DeleteTEK)
				}
			},
			"1.12b": func() {
				sas = fmt.Sprintf("S,T:10.%d.0.0/16", d.root.net+rapid.IntRange(0, 1).Draw(t, "ahead"))
				commit(step.DeleteTEK)
			},
			"2.4b": func() {
				peers++
				commit(step.DeleteKEK, step.DeleteTEK, step.StartClusterInit)
			},
		})
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

// crashAt runs a commit that stops after so many outputs, and starts again; it reports whether the commit has more outputs than that.
func crashAt(t *testing.T, b *bench, keep int, number uint64, effects []string, groups ...step.Group) (more bool) {
	b.keep = keep
	commit(t, b, number, effects, groups...)
	more = b.keep == 0
	b.keep, b.lines = -1, nil
	b.restart()
	if b.s.Applied() < number {
		commit(t, b, number, effects, groups...)
	}
	return more
}

// TestCrashKeepsNumber: a sub-server that loses its KEK by its own commit and gets it back goes on with its push numbers, wherever in
// the turn it stopped. The bench fails it for a number that is used twice.
func TestCrashKeepsNumber(t *testing.T) {
	for keep, more := 0, true; more; keep++ {
		b := newBench(t)
		adopt := func(update string) {
			b.s.Adopt(b.now, Adopt{Group: "G", Update: b.parseUpdate(update)})
			b.drain()
			b.s.RootActive(b.now, "G", true)
		}
		commit(t, b, 1, []string{"1.14 G start-cluster-init"}, parseGroup(t, "G role=sub-server members=m1 sas=S,T peers=R"))
		adopt("v1 full kek=K1 seq=1 tek=S1,T1")
		b.pull("m1", 1, 0)
		adopt("v2 tek=S2")
		b.ack("m1", "KEK1/2", nil)
		b.lines = nil
		conf := parseGroup(t, "G role=sub-server members=m1 sas=S peers=R kek=none")
		more = crashAt(t, b, keep, 2, []string{"1.10 G delete-kek", "1.13 G delete-tek sa=T"}, conf)
		adopt("v2 full kek=K1 seq=2 tek=S1,S2,T1")
		if said := b.said(); !strings.Contains(said, "push to m1: KEK1/3 TEK") {
			t.Errorf("%d outputs:\n%s", keep, said)
		}
	}
}

// TestCrashDeletesGroup: members of a group that is deleted are told again until they acknowledge it, wherever in the turn the server
// stopped.
func TestCrashDeletesGroup(t *testing.T) {
	for keep, more := 0, true; more; keep++ {
		b := newBench(t)
		commit(t, b, 1, []string{"1.14 G generate-kek", "1.14 G generate-tek"}, parseGroup(t, "G members=m1 sas=S"))
		b.pull("m1", 1, 0)
		more = crashAt(t, b, keep, 2, []string{"1.3 G send-delete-all-to-members", "1.3 G delete-keys", "1.3 G delete-registered-members"})
		if said := b.said(); !strings.Contains(said, "push to m1: KEK1/1 delete-all") {
			t.Errorf("%d outputs:\n%s", keep, said)
		}
	}
}

// What the last commit made and what is over by the time that the server starts again is made anew, also where the plans of a start are
// two: package engine had not noted the commit.
func TestStartMakesWhatIsOver(t *testing.T) {
	b := newBench(t)
	commit(t, b, 1, []string{"1.14 G generate-kek", "1.14 G generate-tek"}, parseGroup(t, "G sas=S"))
	commit(t, b, 2, []string{"1.11 G generate-tek sa=T"}, parseGroup(t, "G sas=S,T"))
	b.now = b.now.Add(48 * time.Hour)
	b.past[2] = b.past[1]
	b.restart()
	commit(t, b, 2, []string{"1.11 G generate-tek sa=T"}, parseGroup(t, "G sas=S,T"))
	st := b.s.State().Groups[0]
	if !st.Ready || len(st.TEKs) != 2 {
		t.Errorf("ready %v, %d TEKs", st.Ready, len(st.TEKs))
	}
}
