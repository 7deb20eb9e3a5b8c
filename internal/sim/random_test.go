package sim

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gvpn/dataplane"
	"gvpn/member"
	"gvpn/server"
)

// TestMain runs few random schedules unless -rapid.checks says otherwise.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "15"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// recovery is how long after the last fault everybody must be well: DPD's verdict, a member's longest wait between two
// rounds of its servers and the rounds themselves, and a member's registration that follows its server's.
const recovery = 10 * time.Minute

// TestRandomSchedules draws faults, crashes, commits and commands at random times. Whatever happens, no verifier finds anything; and
// when the faults are over, every member comes to hold its group's key, and packets pass between all of them.
func TestRandomSchedules(t *testing.T) {
	h := newHeld()
	rapid.Check(t, h.schedule)
	t.Log(h)
}

// soakSchedules is how many random schedules a soak runs, however little time it is given.
const soakSchedules = 2000

// TestSoak does the same until the time that GVPN_SOAK says is over, and for soakSchedules at least.
func TestSoak(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("GVPN_SOAK"))
	if err != nil {
		t.Skip("GVPN_SOAK does not say how long; make soak does")
	}
	h := newHeld()
	for start := time.Now(); (time.Since(start) < limit || h.schedules < soakSchedules) && !t.Failed(); {
		rapid.Check(t, h.schedule)
	}
	t.Log(h)
}

// held counts what schedules held.
type held struct {
	schedules int
	of        map[string]int // by kind: faults, rows of the tables that were committed, notices of what became of keys
}

func newHeld() *held { return &held{of: map[string]int{}} }

func (h *held) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d schedules held", h.schedules)
	for _, kind := range slices.Sorted(maps.Keys(h.of)) {
		fmt.Fprintf(&b, "\n%7d %s", h.of[kind], kind)
	}
	return b.String()
}

// notices are those that say that a schedule came to the end of keys: at servers, on sub-servers the end of C7, and at members.
var notices = []string{"GKSD_HARD_LIFETIME", "GKSD_TEK_CREATED", "GKSD_KEK_CREATED", "GKMD_KEYS_EXPIRED"}

// drawn is a random schedule that is under way.
type drawn struct {
	*rapid.T
	*held
	s       *scenario
	w       *World
	servers []string // who makes the keys first, which is the order of commits (V10)
	names   []string
	changes []change
	skew    int // seconds that clocks may be off, either way
}

func (h *held) schedule(r *rapid.T) {
	w := New(rapid.Uint64().Draw(r, "seed"))
	if name := os.Getenv("GVPN_SIM_LOG"); name != "" { // with -rapid.failfile: every event of a schedule that failed
		f, err := os.Create(name)
		if err != nil {
			r.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		w.Log = f
	}
	d := &drawn{T: r, held: h, s: &scenario{w: w}, w: w}
	d.begin()
	for range rapid.IntRange(1, 12).Draw(r, "steps") {
		d.step(rapid.SampledFrom(steps).Draw(r, "what"))
		w.Run(d.some("ms", 120_000))
	}
	d.recover()
	if len(w.Violations) > 0 {
		d.s.names, d.s.kinds = map[string]string{}, map[string]int{}
		var b strings.Builder
		d.s.show(&b)
		r.Log("at the end:\n" + b.String())
	}
	for _, v := range w.Violations {
		r.Error(v)
	}
	h.schedules++
	for _, code := range notices {
		h.of[code] += w.verify.notices[code]
	}
}

// some draws a time of up to so many milliseconds.
func (d *drawn) some(label string, limit int) time.Duration {
	return time.Duration(rapid.IntRange(0, limit).Draw(d.T, label)) * time.Millisecond
}

func (d *drawn) node() *Node { return d.w.nodes[rapid.SampledFrom(d.names).Draw(d.T, "node")] }

// worlds are those of random schedules: a cluster; a root-server and one sub-server, which may change places; a server that is alone
// and sends its pushes by multicast.
const (
	cluster = iota
	pair
	alone
)

// begin makes the world.
func (d *drawn) begin() {
	kind := rapid.SampledFrom([]int{cluster, cluster, pair, alone}).Draw(d.T, "world")
	lines := map[string]string{} // by server, on top of its example
	switch kind {
	case cluster:
		d.servers, d.changes = []string{"root", "sub1", "sub2"}, slices.Concat(clusterChanges, unicastChanges, changes)
	case pair:
		d.servers, d.changes = []string{"root", "sub1"}, slices.Concat(changes, unicastChanges)
		lines["root"] = onePeer
	case alone:
		d.servers, d.changes = []string{"sub1"}, slices.Concat(changes, multicastChanges)
		lines["sub1"] = "delete security group-vpn server group GROUP_ID-0001 server-cluster\n" + toMulticast
	}
	d.names = append(slices.Clone(d.servers), "gm1", "gm2", "gm3")
	d.skew = 300
	common := ""
	if rapid.IntRange(0, 2).Draw(d.T, "window") == 0 { // then clocks agree to within it
		d.skew = 9
		d.changes = append(d.changes, windowChanges...)
		common = windowChanges[0].root
	}
	counts := rapid.IntRange(0, 2).Draw(d.T, "counting") == 0
	if counts {
		common = counting + "\n" + common
		d.changes = append(d.changes, countingChanges...)
	}
	if life := rapid.SampledFrom([]int{0, 0, 180, 300}).Draw(d.T, "lifetime"); life > 0 { // so that keys come to their end
		common += fmt.Sprintf("\nset security group-vpn server ipsec proposal AES256-SHA256-L3600 lifetime-seconds %d"+
			"\nset security group-vpn server group GROUP_ID-0001 server-member-communication lifetime-seconds %d", life, max(life, 300))
	}
	for _, name := range d.names {
		own := ""
		if slices.Contains(d.servers, name) {
			own = strings.TrimSpace(lines[name] + "\n" + common)
		}
		if err := d.s.example(name, own); err != nil {
			d.Fatal(err)
		}
	}
	d.w.Run(time.Duration(rapid.IntRange(0, 60).Draw(d.T, "quiet")) * time.Second)
	if counts { // which acts at the next rekey only
		d.w.Run(20 * time.Second)
		_ = d.w.nodes[d.servers[0]].Do(server.Rekey{Group: group, TEK: true})
	}
}

// steps are what a schedule is drawn from.
var steps = []string{
	"faults", "cut", "crash", "crash-after", "restart", "rekey", "clear-member", "clear-server", "skew", "heal", "lose", "commit", "commit",
	"roles", "outage", "replay", "wait",
}

func (d *drawn) step(what string) {
	w, r := d.w, d.T
	switch what {
	case "faults":
		w.SetFaults(Faults{
			Loss: float64(rapid.IntRange(0, 40).Draw(r, "loss")), Duplicate: float64(rapid.IntRange(0, 30).Draw(r, "duplicate")),
			Reorder: float64(rapid.IntRange(0, 30).Draw(r, "reorder")), Flip: float64(rapid.IntRange(0, 10).Draw(r, "flip")),
			DelayMin: time.Millisecond, DelayMax: time.Duration(rapid.IntRange(1, 300).Draw(r, "delay")) * time.Millisecond,
		})
		d.of["times of loss, doubling, disorder and damage"]++
	case "cut":
		from, to := d.node().Name, d.node().Name
		w.Cut(from, to)
		if from != to {
			d.of["one-way cuts"]++
		}
	case "crash":
		d.crash(d.node(), -1)
	case "crash-after":
		d.crash(d.node(), rapid.IntRange(0, 30).Draw(r, "outputs"))
	case "restart":
		d.node().Restart()
	case "rekey":
		if n := w.nodes[d.servers[0]]; n.up {
			kek := rapid.Bool().Draw(r, "kek")
			_ = n.Do(server.Rekey{Group: group, KEK: kek, TEK: !kek || rapid.Bool().Draw(r, "tek")})
		}
	case "clear-member":
		_ = d.node().Do(member.ClearGroup{})
	case "clear-server":
		_ = d.node().Do(server.Clear{Now: rapid.Bool().Draw(r, "now")})
	case "skew":
		// A daemon's time runs on evenly, whatever is done to the clock; it takes a new one over when it starts.
		n := d.node()
		d.crash(n, -1)
		n.Skew(time.Duration(rapid.IntRange(-d.skew, d.skew).Draw(r, "skew")) * time.Second)
		n.Restart()
		d.of["skews"]++
	case "heal":
		w.Heal()
	case "lose":
		w.Lose(d.node().Name, d.node().Name, rapid.SampledFrom([]byte{2, 5, 32, 33, 35, 240, 241}).Draw(r, "exchange"), rapid.IntRange(1, 5).Draw(r, "count"))
		d.of["losses of some datagrams of one kind"]++
	case "commit":
		d.commit(rapid.SampledFrom(d.changes).Draw(r, "change"))
	case "roles":
		d.roles()
	case "outage": // long enough for the end of short keys: sub-servers and members are on their own (C6, C7)
		n := w.nodes[d.servers[0]]
		d.crash(n, -1)
		w.Run(time.Duration(rapid.IntRange(1, 10).Draw(r, "minutes")) * time.Minute)
		n.Restart()
		d.of["outages of the root"]++
	case "replay": // after some packets
		w.Traffic(time.Second, false)
		w.Run(2 * time.Second)
		w.Traffic(0, false)
		w.Run(d.some("later", 70_000))
		w.Replay()
	case "wait":
	}
}

// crash ends a node's life now, or after so many more outputs if that is not negative.
func (d *drawn) crash(n *Node, outputs int) {
	if !n.up {
		return
	}
	if outputs >= 0 {
		n.CrashAfter(outputs)
	} else {
		n.Crash()
	}
	if n.Name == d.servers[0] {
		d.of["root kills"]++
	} else {
		d.of["kills of others"]++
	}
}

// recover ends all faults, and holds the world to what it must be some time after.
func (d *drawn) recover() {
	w := d.w
	w.Heal()
	for _, n := range w.order {
		n.cut = -1
		n.Restart()
	}
	d.commitPending()
	w.Traffic(time.Second, false) // a member that was forgotten learns of it by the packets it cannot read
	w.Run(recovery)
	for _, a := range w.order {
		for _, b := range w.order {
			if a != b && a.LAN.IsValid() && b.LAN.IsValid() {
				if why := w.pass(a, b); why != "" {
					w.violate("%s to %s: no packet passes %v after the last fault: %s", a.Name, b.Name, recovery, why)
				}
			}
		}
	}
}

// What is always refused: a packet under another key, or changed on the way. A packet that was taken is taken again, since many
// send under one SA; with an anti-replay window only until that is over.
func TestForgedPackets(t *testing.T) {
	t.Run("no window", func(t *testing.T) { forgedPackets(t, 0) })
	t.Run("window", func(t *testing.T) { forgedPackets(t, 250*time.Millisecond) })
}

func forgedPackets(t *testing.T, window time.Duration) {
	w := New(11)
	s := &scenario{w: w}
	for _, n := range []string{"root", "sub1", "gm1", "gm2"} {
		if err := s.example(n, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.Run(time.Minute)
	if window > 0 {
		for _, n := range []string{"root", "sub1"} {
			if err := w.nodes[n].Commit(fmt.Appendf(nil, "set security group-vpn server group GROUP_ID-0001 anti-replay-time-window %d", window.Milliseconds())); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.nodes["root"].Do(server.Rekey{Group: "GROUP_ID-0001", TEK: true}); err != nil {
			t.Fatal(err)
		}
		w.Run(time.Minute)
	}
	a, b := w.nodes["gm1"], w.nodes["gm2"]
	if !a.protected() || !b.protected() {
		t.Fatal("the members are not registered")
	}
	packet := udp(a.LAN.Addr().Next(), b.LAN.Addr().Next(), "one", false)
	esp, verdict := a.plane.Outbound(a.now(), packet, nil)
	if verdict != dataplane.Encrypted {
		t.Fatal(verdict)
	}
	for i := 20; i < len(esp); i++ {
		c := append([]byte(nil), esp...)
		c[i] ^= 1
		if _, verdict := b.plane.Inbound(b.now(), c, nil); verdict.Passed() {
			t.Errorf("octet %d changed, and the packet is %s", i, verdict)
		}
	}
	if _, verdict := b.plane.Inbound(b.now(), packet, nil); verdict.Passed() {
		t.Errorf("a packet in the clear is %s", verdict)
	}
	for _, c := range []struct {
		after time.Duration
		old   bool
	}{{0, false}, {window, false}, {time.Millisecond, window > 0}, {time.Minute, window > 0}} {
		w.Run(c.after)
		want := dataplane.Decrypted
		if c.old {
			want = dataplane.DropTooOld
		}
		for range 2 {
			if _, verdict := b.plane.Inbound(b.now(), esp, nil); verdict != want {
				t.Errorf("a captured packet is %s after another %v, want %s", verdict, c.after, want)
			}
		}
	}
	stranger := udp(netip.MustParseAddr("192.0.2.77"), b.LAN.Addr().Next(), "one", false)
	if _, verdict := a.plane.Outbound(a.now(), stranger, nil); verdict.Passed() {
		t.Errorf("a packet that no policy knows is %s", verdict)
	}
}
