package sim

import (
	"flag"
	"fmt"
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

// TestMain runs few random schedules unless -rapid.checks says otherwise, as make soak does.
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

// TestRandomSchedules draws faults, crashes and commands at random times. Whatever happens, no verifier finds anything; and
// when the faults are over, every member comes to hold its group's key, and packets pass between all of them.
func TestRandomSchedules(t *testing.T) { rapid.Check(t, schedule) }

// TestSoak does the same for as long as GVPN_SOAK says.
func TestSoak(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("GVPN_SOAK"))
	if err != nil {
		t.Skip("GVPN_SOAK does not say how long; make soak does")
	}
	rounds := 0
	for start := time.Now(); time.Since(start) < limit && !t.Failed(); rounds++ {
		rapid.Check(t, schedule)
	}
	t.Logf("%d rounds", rounds)
}

// changes are what commits of a random schedule do to the group.
var changes = []string{
	"set security group-vpn server group GROUP_ID-0001 ipsec-sa MORE proposal AES256-SHA256-L3600\n" +
		"set security group-vpn server group GROUP_ID-0001 ipsec-sa MORE match-policy 1 source 10.0.0.0/8 destination 10.0.0.0/8 protocol 17",
	"delete security group-vpn server group GROUP_ID-0001 ipsec-sa MORE",
	"set security group-vpn server group GROUP_ID-0001 ipsec-sa GROUP_ID-0001 match-policy 2 source 192.168.0.0/16 destination 192.168.0.0/16 protocol 0",
	"delete security group-vpn server group GROUP_ID-0001 ipsec-sa GROUP_ID-0001 match-policy 2",
	"set security group-vpn server group GROUP_ID-0001 iec61850-sa GOOSE object-identifier 1.2.840.10070.61850.8.1.2 authentication-algorithm hmac-sha-256",
	"set security group-vpn server group GROUP_ID-0001 iec61850-sa GOOSE payload 233.252.0.1 lifetime-seconds 300",
	"delete security group-vpn server group GROUP_ID-0001 iec61850-sa GOOSE",
	"set security group-vpn server group GROUP_ID-0001 server-member-communication lifetime-seconds 600",
	"set security group-vpn server group GROUP_ID-0001 activation-time-delay 20",
	"set security group-vpn server group GROUP_ID-0001 member-threshold 100",
	"set security group-vpn server group GROUP_ID-0001 no-anti-replay",
	"delete security group-vpn server group GROUP_ID-0001 no-anti-replay",
	"delete security group-vpn server group GROUP_ID-0001 server-member-communication",
	"set security group-vpn server group GROUP_ID-0001 server-member-communication communication-type unicast encryption-algorithm aes-256-cbc sig-hash-algorithm sha-256",
}

// windows are some that clocks which are 18 s apart have.
var windows = []string{
	"set security group-vpn server group GROUP_ID-0001 anti-replay-time-window 20000",
	"set security group-vpn server group GROUP_ID-0001 anti-replay-time-window 60000",
}

// counting makes nonces count, and sender IDs few.
const counting = "delete security group-vpn server ipsec proposal AES256-SHA256-L3600 authentication-algorithm\n" +
	"set security group-vpn server ipsec proposal AES256-SHA256-L3600 encryption-algorithm aes-256-gcm\n" +
	"set security group-vpn server group GROUP_ID-0001 sender-id-bits 8\n"

// countingChanges are more of them for such a group.
var countingChanges = []string{
	"set security group-vpn server ipsec proposal AES256-SHA256-L3600 encryption-algorithm aes-256-cbc\n" +
		"set security group-vpn server ipsec proposal AES256-SHA256-L3600 authentication-algorithm hmac-sha-256-128",
	counting,
	"set security group-vpn server group GROUP_ID-0001 sender-id-bits 12",
	"set security group-vpn server group GROUP_ID-0001 iec61850-sa GOOSE object-identifier 1.2.840.10070.61850.8.1.2 authentication-algorithm aes-128-gmac\n" +
		"set security group-vpn server group GROUP_ID-0001 iec61850-sa GOOSE payload 233.252.0.1 lifetime-seconds 300",
}

// toMulticast makes a server of the example one that is alone and sends its pushes by multicast, toUnicast one that does not. Both
// bring server-member-communication back after its deletion; toUnicast sets the multicast-group that it deletes, so that there is one.
const (
	toMulticast = "set security group-vpn server group GROUP_ID-0001 server-member-communication communication-type multicast multicast-group 239.1.1.1 encryption-algorithm aes-256-cbc sig-hash-algorithm sha-256"
	toUnicast   = "set security group-vpn server group GROUP_ID-0001 server-member-communication communication-type unicast multicast-group 239.1.1.1 encryption-algorithm aes-256-cbc sig-hash-algorithm sha-256\n" +
		"delete security group-vpn server group GROUP_ID-0001 server-member-communication multicast-group"
)

// commitPending commits what has not been committed on the nodes that are up. A deletion of what is not there is no fault.
func (s *scenario) commitPending(r *rapid.T, servers []string) {
	for _, name := range servers {
		n := s.w.nodes[name]
		for n.up && len(n.pending) > 0 {
			if err := n.Commit([]byte(n.pending[0])); err != nil && n.up && !strings.Contains(err.Error(), "not found") {
				r.Errorf("%s: commit: %v", name, err)
			}
			n.pending = n.pending[1:]
		}
	}
}

func schedule(r *rapid.T) {
	w := New(rapid.Uint64().Draw(r, "seed"))
	if name := os.Getenv("GVPN_SIM_LOG"); name != "" { // with -rapid.failfile: every event of a schedule that failed
		f, err := os.Create(name)
		if err != nil {
			r.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		w.Log = f
	}
	s := &scenario{w: w}
	servers, changes := []string{"root", "sub1", "sub2"}, changes
	alone := ""
	if rapid.IntRange(0, 3).Draw(r, "multicast") == 0 {
		servers, changes = []string{"sub1"}, append(slices.Clone(changes[:len(changes)-1]), toUnicast, toMulticast)
		alone = "delete security group-vpn server group GROUP_ID-0001 server-cluster\n" + toMulticast
	}
	names := append(slices.Clone(servers), "gm1", "gm2", "gm3")
	extra, skew := "", 300
	if rapid.IntRange(0, 2).Draw(r, "window") == 0 { // then clocks agree to within it
		extra, skew = windows[0], 9
		changes = append(slices.Clone(changes), windows...)
	}
	counts := rapid.IntRange(0, 2).Draw(r, "counting") == 0
	if counts {
		extra = counting + extra
		changes = append(slices.Clone(changes), countingChanges...)
	}
	for _, n := range names {
		lines := ""
		if slices.Contains(servers, n) {
			lines = extra
		}
		if err := s.example(n, lines); err != nil {
			r.Fatal(err)
		}
	}
	if alone != "" {
		if err := w.nodes["sub1"].Commit([]byte(alone)); err != nil {
			r.Fatal(err)
		}
	}
	w.Run(time.Duration(rapid.IntRange(0, 60).Draw(r, "quiet")) * time.Second)
	if counts { // which acts at the next rekey only
		w.Run(20 * time.Second)
		_ = w.nodes[servers[0]].Do(server.Rekey{Group: "GROUP_ID-0001", TEK: true})
	}
	node := func() *Node { return w.nodes[rapid.SampledFrom(names).Draw(r, "node")] }
	// What takes up to an hour to be due comes by command here.
	group := "GROUP_ID-0001"
	for range rapid.IntRange(1, 12).Draw(r, "steps") {
		switch rapid.SampledFrom([]string{"faults", "cut", "crash", "crash-after", "restart", "rekey", "clear-member", "clear-server", "skew", "heal", "lose", "commit", "replay", "wait"}).Draw(r, "what") {
		case "faults":
			w.SetFaults(Faults{
				Loss: float64(rapid.IntRange(0, 40).Draw(r, "loss")), Duplicate: float64(rapid.IntRange(0, 30).Draw(r, "duplicate")),
				Reorder: float64(rapid.IntRange(0, 30).Draw(r, "reorder")), Flip: float64(rapid.IntRange(0, 10).Draw(r, "flip")),
				DelayMin: time.Millisecond, DelayMax: time.Duration(rapid.IntRange(1, 300).Draw(r, "delay")) * time.Millisecond,
			})
		case "cut":
			w.Cut(node().Name, node().Name)
		case "crash":
			node().Crash()
		case "crash-after":
			node().CrashAfter(rapid.IntRange(0, 30).Draw(r, "outputs"))
		case "restart":
			node().Restart()
		case "rekey":
			if n := w.nodes[servers[0]]; n.up {
				kek := rapid.Bool().Draw(r, "kek")
				_ = n.Do(server.Rekey{Group: group, KEK: kek, TEK: !kek || rapid.Bool().Draw(r, "tek")})
			}
		case "clear-member":
			_ = node().Do(member.ClearGroup{})
		case "clear-server":
			_ = node().Do(server.Clear{Now: rapid.Bool().Draw(r, "now")})
		case "skew":
			// A daemon's time runs on evenly, whatever is done to the clock; it takes a new one over when it starts.
			n := node()
			n.Crash()
			n.Skew(time.Duration(rapid.IntRange(-skew, skew).Draw(r, "skew")) * time.Second)
			n.Restart()
		case "heal":
			w.Heal()
		case "lose":
			w.Lose(node().Name, node().Name, rapid.SampledFrom([]byte{2, 5, 32, 33, 35, 240, 241}).Draw(r, "exchange"), rapid.IntRange(1, 5).Draw(r, "count"))
		case "commit": // the same on every server, the root first (V10); a node that is down misses it until it is up
			w.Disorder()
			lines := rapid.SampledFrom(changes).Draw(r, "lines")
			for _, n := range servers {
				w.nodes[n].pending = append(w.nodes[n].pending, lines)
			}
			s.commitPending(r, servers)
		case "replay": // after some packets
			w.Traffic(time.Second, false)
			w.Run(2 * time.Second)
			w.Traffic(0, false)
			w.Run(time.Duration(rapid.IntRange(0, 70_000).Draw(r, "later")) * time.Millisecond)
			w.Replay()
		case "wait":
		}
		w.Run(time.Duration(rapid.IntRange(0, 120_000).Draw(r, "ms")) * time.Millisecond)
	}
	w.Heal()
	for _, n := range w.order {
		n.cut = -1
		n.Restart()
	}
	s.commitPending(r, servers)
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
	if len(w.Violations) > 0 {
		s.names, s.kinds = map[string]string{}, map[string]int{}
		var b strings.Builder
		s.show(&b)
		r.Log("at the end:\n" + b.String())
	}
	for _, v := range w.Violations {
		r.Error(v)
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
	packet := udp(a.LAN.Addr().Next(), b.LAN.Addr().Next(), "one")
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
	stranger := udp(netip.MustParseAddr("192.0.2.77"), b.LAN.Addr().Next(), "one")
	if _, verdict := a.plane.Outbound(a.now(), stranger, nil); verdict.Passed() {
		t.Errorf("a packet that no policy knows is %s", verdict)
	}
}
