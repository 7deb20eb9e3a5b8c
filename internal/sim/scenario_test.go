package sim

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gvpn/commit/step"
	"gvpn/dataplane"
	"gvpn/examples"
	"gvpn/ike"
	"gvpn/member"
	"gvpn/sa"
	"gvpn/server"
)

// TestScenarios runs testdata/*.txt; those whose world says "twice" run twice, and the same seed must give the same trace.
// Rewrite what is expected with -rewrite, and read the difference.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios (%v)", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) { runScenario(t, path) })
	}
}

func runScenario(t *testing.T, path string) {
	t.Helper()
	s, again, twice := &scenario{}, &scenario{}, false
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		out := s.step(t, d)
		if d.Cmd == "world" {
			twice = d.HasArg("twice")
		}
		if !twice {
			return out
		}
		if second := again.step(t, d); second != out {
			t.Errorf("%s: a second run says:\n%s", d.Pos, second)
		}
		if s.w.Trace() != again.w.Trace() {
			t.Fatalf("%s: the same seed gave another trace", d.Pos)
		}
		return out
	})
	for _, v := range s.w.Violations {
		t.Error(v)
	}
}

// scenario is one world and the names that its keys are given, in order of appearance.
type scenario struct {
	w     *World
	names map[string]string
	kinds map[string]int
}

func arg(d *datadriven.TestData, key, otherwise string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return a.Vals[0]
		}
	}
	return otherwise
}

func number(t testing.TB, d *datadriven.TestData, key string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(arg(d, key, "0"), 64)
	if err != nil {
		t.Fatalf("%s: %v", d.Pos, err)
	}
	return x
}

func duration(t testing.TB, d *datadriven.TestData, key, otherwise string) time.Duration {
	t.Helper()
	x, err := time.ParseDuration(arg(d, key, otherwise))
	if err != nil {
		t.Fatalf("%s: %v", d.Pos, err)
	}
	return x
}

func (s *scenario) step(t testing.TB, d *datadriven.TestData) string {
	t.Helper()
	if d.Cmd == "world" {
		s.w = New(uint64(number(t, d, "seed")))
		s.names, s.kinds = map[string]string{}, map[string]int{}
		return "ok\n"
	}
	w, found := s.w, len(s.w.Violations)
	var b strings.Builder
	name := ""
	if len(d.CmdArgs) > 0 && len(d.CmdArgs[0].Vals) == 0 {
		name = d.CmdArgs[0].Key
	}
	node := func() *Node {
		n := w.nodes[name]
		if n == nil {
			t.Fatalf("%s: no node %q", d.Pos, name)
		}
		return n
	}
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	switch d.Cmd {
	case "example": // NODE…: each with its configuration from examples/cluster
		for _, a := range d.CmdArgs {
			fail(s.example(a.Key, d.Input))
		}
	case "commit":
		fail(node().Commit([]byte(d.Input)))
	case "run":
		w.Run(duration(t, d, "for", "0s"))
	case "faults":
		w.SetFaults(Faults{
			Loss: number(t, d, "loss"), Duplicate: number(t, d, "duplicate"), Reorder: number(t, d, "reorder"), Flip: number(t, d, "flip"),
			DelayMin: duration(t, d, "delay-min", "1ms"), DelayMax: duration(t, d, "delay-max", "20ms"),
		})
	case "cut":
		w.Cut(arg(d, "from", ""), arg(d, "to", ""))
		if d.HasArg("both") {
			w.Cut(arg(d, "to", ""), arg(d, "from", ""))
		}
	case "lose":
		w.Lose(arg(d, "from", ""), arg(d, "to", ""), byte(number(t, d, "exchange")), int(number(t, d, "count")))
	case "nat": // OUTER INNER…; without any: what there is forgets
		var addrs []netip.Addr
		for _, a := range d.CmdArgs {
			addrs = append(addrs, netip.MustParseAddr(a.Key))
		}
		if len(addrs) == 0 {
			w.ForgetNAT()
		} else {
			w.NAT(addrs[0], addrs[1:]...)
		}
	case "heal":
		w.Heal()
	case "crash":
		if d.HasArg("after") {
			node().CrashAfter(int(number(t, d, "after")))
		} else {
			node().Crash()
		}
	case "restart":
		node().Restart()
	case "wipe": // a node that is down loses what its engines had on disk
		clear(node().records)
	case "skew":
		node().Skew(duration(t, d, "by", "0s"))
	case "traffic":
		w.Traffic(duration(t, d, "every", "1s"), d.HasArg("must"))
	case "replay": // what was captured last
		for _, way := range w.Replay() {
			fmt.Fprintln(&b, way)
		}
	case "disorder": // a sub-server is changed before its root, or alone
		w.Disorder()
	case "removed":
		w.Remove(name)
	case "clear-member":
		fail(node().Do(member.ClearGroup{}))
	case "clear-tek":
		fail(node().Do(member.ClearIPsec{}))
	case "rekey":
		fail(node().Do(server.Rekey{Group: arg(d, "group", "GROUP_ID-0001"), KEK: d.HasArg("kek"), TEK: d.HasArg("tek")}))
	case "clear-server":
		fail(node().Do(server.Clear{Group: arg(d, "group", ""), Now: d.HasArg("now")}))
	case "clear-ike":
		fail(node().Do(ike.Delete{Gateway: arg(d, "gateway", "")}))
	case "probe": // NODE; a destination a line: what becomes of a packet from its LAN
		s.probe(t, &b, node(), d.Input)
	case "show":
		s.show(&b)
	default:
		t.Fatalf("%s: no command %q", d.Pos, d.Cmd)
	}
	s.packets(&b)
	for _, v := range w.Violations[found:] {
		fmt.Fprintf(&b, "VIOLATION %s\n", v)
	}
	if b.Len() == 0 {
		return "ok\n"
	}
	return b.String()
}

// packets says what became of the traffic since it was asked last.
func (s *scenario) packets(b *strings.Builder) {
	if t := &s.w.traffic; t.sent > 0 {
		fmt.Fprintf(b, "packets: %d sent, %d arrived\n", t.sent, t.arrived)
		t.sent, t.arrived = 0, 0
	}
}

// probe says what a node's data plane does with a packet from its LAN to each of some destinations; of what it encrypts, whether the
// outer header (RFC 791) has DF as well: that of the packet is set.
func (s *scenario) probe(t testing.TB, b *strings.Builder, n *Node, destinations string) {
	t.Helper()
	for _, text := range strings.Fields(destinations) {
		to, err := netip.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		packet := udp(n.LAN.Addr().Next(), to, "probe", true)
		out, verdict := n.plane.Outbound(n.now(), packet, nil)
		fmt.Fprintf(b, "%s to %s: %s", n.Name, to, verdict)
		if verdict == dataplane.Encrypted {
			fmt.Fprintf(b, ", df %d", out[6]>>6&1)
		}
		fmt.Fprintln(b)
	}
}

// example adds a node with its configuration from examples/cluster, and the input's set lines on top.
func (s *scenario) example(name, lines string) error {
	text, err := examples.Cluster.ReadFile("cluster/" + name + ".conf")
	if err != nil {
		return err
	}
	n := s.w.Node(name)
	if gm, ok := strings.CutPrefix(name, "gm"); ok {
		i, err := strconv.Atoi(gm)
		if err != nil {
			return err
		}
		n.LAN = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(100 + i), 0}), 24)
	}
	if err := n.Load(name+".conf", text); err != nil {
		return err
	}
	if lines != "" {
		return n.Commit([]byte(lines))
	}
	return nil
}

// label gives a key a short name, so that what is shown does not hang on randomness.
func (s *scenario) label(kind, key string) string {
	if s.names[key] == "" {
		s.kinds[kind]++
		s.names[key] = kind + strconv.Itoa(s.kinds[kind])
	}
	return s.names[key]
}

// tek labels a TEK: T1 for ESP under AES-256-CBC, T1:128 or T1:gcm-256 under another cipher, T1~100ms with an anti-replay window, I1
// for IEC 61850.
func (s *scenario) tek(spi uint32, x *sa.IEC61850, cipher sa.Cipher, bits int, window time.Duration) string {
	key := fmt.Sprintf("%08x", spi)
	if x != nil {
		return s.label("I", key)
	}
	label := s.label("T", key)
	if cipher == sa.GCM {
		label += ":gcm-" + strconv.Itoa(bits)
	} else {
		label += size(bits)
	}
	if window != 0 {
		label += "~" + window.String()
	}
	return label
}

// kek labels a KEK: K1/5 for one of 256 bits and the number of its last push, K1:128/5 for one of 128.
func (s *scenario) kek(spi []byte, bits int, seq uint32) string {
	return s.label("K", hex.EncodeToString(spi)) + size(bits) + "/" + strconv.FormatUint(uint64(seq), 10)
}

// size is said of keys that are not of the 256 bits of the example.
func size(bits int) string {
	if bits == 256 {
		return ""
	}
	return ":" + strconv.Itoa(bits)
}

func (s *scenario) show(b *strings.Builder) {
	for _, n := range s.w.order {
		st, up := n.State()
		if !up {
			fmt.Fprintf(b, "%s: down\n", n.Name)
			continue
		}
		for _, g := range st.Server.Groups {
			fmt.Fprintf(b, "%s: %s %s", n.Name, g.Name, g.Role)
			if g.KEK != nil {
				spi := slices.Concat(g.KEK.InitiatorCookie[:], g.KEK.ResponderCookie[:])
				fmt.Fprintf(b, " %s", s.kek(spi, g.KEK.KeyBits, g.KEK.Seq))
			}
			for _, t := range g.TEKs {
				fmt.Fprintf(b, " %s", s.tek(t.SPI, t.IEC61850, t.Cipher, t.KeyBits, t.Window))
			}
			if r := g.Senders; r.Epoch != 0 {
				fmt.Fprintf(b, " ids=%d..%d", r.First, int(r.End())-1)
			}
			for _, c := range st.Cluster.Groups {
				for _, p := range c.Peers {
					if c.Name == g.Name {
						fmt.Fprintf(b, " %s=%s", p.Gateway, active(p.Active))
					}
				}
			}
			if g.Role == step.SubServer && !g.Ready {
				fmt.Fprintf(b, " not-ready")
			}
			var members []string
			for _, m := range g.Members {
				members = append(members, m.Gateway)
			}
			if len(members) > 0 {
				fmt.Fprintf(b, " members=%s", strings.Join(members, ","))
			}
			fmt.Fprintln(b)
		}
		for _, v := range st.Member.VPNs {
			fmt.Fprintf(b, "%s: %s", n.Name, v.Name)
			if v.Up {
				fmt.Fprintf(b, " up server=%s", s.w.at[v.Server.Addr()].Name)
			} else {
				fmt.Fprintf(b, " down (%s)", v.DownReason)
			}
			if v.Phase != member.Idle {
				fmt.Fprintf(b, " %s", v.Phase)
			}
			if v.KEK != nil {
				fmt.Fprintf(b, " %s", s.kek(v.KEK.SPI[:], v.KEK.KeyBits, v.KEK.Seq))
			}
			for _, t := range v.TEKs {
				fmt.Fprintf(b, " %s", s.tek(t.SPI, t.IEC61850, t.Cipher, t.KeyBits, t.Window))
			}
			fmt.Fprintln(b)
		}
		if d := n.plane.State(n.now()).Stats.D3P; d != (dataplane.D3PStats{}) {
			fmt.Fprintf(b, "%s: d3p %s\n", n.Name, strings.Trim(fmt.Sprintf("%+v", d), "{}"))
		}
	}
}

func active(b bool) string {
	if b {
		return "active"
	}
	return "inactive"
}

// The order of w.order is the order of names, and both exist once.
func TestNodesAreInOrder(t *testing.T) {
	w := New(1)
	for _, n := range []string{"c", "a", "b"} {
		w.Node(n)
	}
	var names []string
	for _, n := range w.order {
		names = append(names, n.Name)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(names, want) {
		t.Errorf("order %q, want %q", names, want)
	}
}
