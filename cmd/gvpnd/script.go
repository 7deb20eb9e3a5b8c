package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/internal/node"
	"gvpn/oper"
)

// script plays the lab without an operator: each step shows what an operator would do and see, and fails if what it
// shows is not so.
type script struct {
	lab    *lab
	out    io.Writer
	number int // of the next probe
}

// patience is how long a step waits for what it expects. The longest honest waits are the activation-time-delay of 10 s and
// a failover: main mode to a silent server is given up after 5.5 s.
const patience = 20 * time.Second

// look is how often a waiting step looks.
const look = 5 * time.Millisecond

const (
	group   = "GROUP_ID-0001"
	members = 4
	subs    = 4
)

func (s *script) run(ctx context.Context) error {
	started := time.Now()
	steps := []struct {
		title string
		hold  func(context.Context) error
	}{
		{"a. every member registers with the first server of its own list; the servers see each other", s.register},
		{"b. a packet crosses from LAN to LAN through ESP", s.cross},
		{"c. a match-policy changes: the plan, the commits, the new TEK", s.changePolicy},
		{"d. rekey on the root, while packets flow", s.rekey},
		{"e. sub-server 1 fails: its member goes to the next server of its list", s.failover},
		{"e, and every command: show all there is, and clear it", s.operate},
		{"f. the group is deleted: no keys, no packets, nothing in the clear", s.deleteGroup},
	}
	fmt.Fprintf(s.out, "gvpn lab: a root-server, four sub-servers, four members; UDP port %d on 127.1.0.1, 127.2.0.1-4, 127.3.0.1-4\n", s.lab.port)
	for _, step := range steps {
		fmt.Fprintf(s.out, "\n=== [%4.1f s] %s\n", time.Since(started).Seconds(), step.title)
		if err := step.hold(ctx); err != nil {
			fmt.Fprintf(s.out, "=== FAILED: %v\n", err)
			return fmt.Errorf("step %.1s of the lab: %w", step.title, err)
		}
	}
	fmt.Fprintf(s.out, "\nall of a to f held, in %.1f s\n", time.Since(started).Seconds())
	return nil
}

// show runs one operational command on a node and prints it as a terminal would.
func (s *script) show(ctx context.Context, name, command string) error {
	return s.play(ctx, name, command)
}

// configure runs configuration commands on a node; nothing is committed unless they say so.
func (s *script) configure(ctx context.Context, name string, commands ...string) error {
	return s.play(ctx, name, append([]string{"configure"}, commands...)...)
}

// play is a session on one node: each command is printed as it is read, its output below it.
func (s *script) play(ctx context.Context, name string, commands ...string) error {
	fmt.Fprintln(s.out)
	out := &indented{out: s.out}
	in := &typist{host: name, commands: commands, out: s.out}
	if status := s.lab.nodes[name].Shell(operator, in, out).Script(ctx); status != 0 {
		return fmt.Errorf("%s: %q failed with exit status %d", name, in.last, status)
	}
	return nil
}

// typist is an input that shows each command behind its prompt when it is read.
type typist struct {
	host     string
	commands []string
	out      io.Writer
	last     string
}

// Read gives one command at a time, so that a command is shown only when the one before it is done.
func (t *typist) Read(p []byte) (int, error) {
	if len(t.commands) == 0 {
		return 0, io.EOF
	}
	prompt := "> "
	if t.last != "" {
		prompt = "# "
	}
	t.last, t.commands = t.commands[0], t.commands[1:]
	if len(t.last)+1 > len(p) {
		return 0, fmt.Errorf("command of %d octets is too long for one read", len(t.last))
	}
	fmt.Fprintf(t.out, "%s@%s%s%s\n", operator.User, t.host, prompt, t.last)
	return copy(p, t.last+"\n"), nil
}

// indented sets output off from the commands.
type indented struct {
	out    io.Writer
	inLine bool
}

func (w *indented) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if !w.inLine {
			line = append([]byte("  "), line...)
		}
		w.inLine = line[len(line)-1] != '\n'
		if _, err := w.out.Write(line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// until waits for a condition that says why it does not hold yet.
func until(ctx context.Context, holds func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v still not so: %w", patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
	}
}

// firstServer is the first server-address of each member's configuration.
var firstServer = map[string]netip.Addr{
	"gm1": netip.MustParseAddr("127.2.0.1"),
	"gm2": netip.MustParseAddr("127.2.0.2"),
	"gm3": netip.MustParseAddr("127.2.0.3"),
	"gm4": netip.MustParseAddr("127.2.0.4"),
}

// registered checks that a member is up with a server and holds one KEK and at least one TEK.
func (s *script) registered(name string, server netip.Addr) error {
	vpns := s.lab.nodes[name].Engine().Member.VPNs
	switch {
	case len(vpns) != 1:
		return fmt.Errorf("%s has %d VPNs, want 1", name, len(vpns))
	case !vpns[0].Up:
		return fmt.Errorf("%s is down: %s", name, vpns[0].DownReason)
	case vpns[0].Server.Addr() != server:
		return fmt.Errorf("%s is registered with %s, want %s", name, vpns[0].Server.Addr(), server)
	case vpns[0].KEK == nil || len(vpns[0].TEKs) == 0:
		return fmt.Errorf("%s has no KEK or no TEK", name)
	}
	return nil
}

// peersActive checks that a server sees as many active cluster peers of the other role as it should.
func (s *script) peersActive(name string, want int, role step.Role) error {
	groups := s.lab.nodes[name].Engine().Cluster.Groups
	if len(groups) != 1 {
		return fmt.Errorf("%s has %d cluster groups, want 1", name, len(groups))
	}
	active := 0
	for _, p := range groups[0].Peers {
		if p.Active && p.Role == role {
			active++
		}
	}
	if active != want {
		return fmt.Errorf("%s sees %d active peers, want %d", name, active, want)
	}
	return nil
}

func (s *script) register(ctx context.Context) error {
	err := until(ctx, func() error {
		for name, server := range firstServer {
			if err := s.registered(name, server); err != nil {
				return err
			}
		}
		for i := range subs {
			if err := s.peersActive(fmt.Sprintf("sub%d", i+1), 1, step.RootServer); err != nil {
				return err
			}
		}
		return s.peersActive("root", subs, step.SubServer)
	})
	if err != nil {
		return err
	}
	return errors.Join(
		s.show(ctx, "root", "show security group-vpn server server-cluster"),
		s.show(ctx, "root", "show security group-vpn server kek security-associations"),
		s.show(ctx, "sub1", "show security group-vpn server server-cluster"),
		s.show(ctx, "sub1", "show security group-vpn server registered-members"),
		s.show(ctx, "gm1", "show security group-vpn member ipsec security-associations"),
		s.show(ctx, "gm1", "show security group-vpn member policy"),
	)
}

func (s *script) cross(context.Context) error {
	s.number++
	onWire, err := s.lab.wan.crossing("gm1", "gm2", s.number)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n  172.16.101.10 behind gm1 -> 172.16.102.20 behind gm2: arrived; between the sites it was ESP, SPI 0x%08x:\n%s",
		spi(onWire), dump(onWire, 3))
	return s.allCross()
}

// allCross sends a probe between every ordered pair of members.
func (s *script) allCross() error {
	pairs := 0
	for from := range labLANs {
		for to := range labLANs {
			if from == to {
				continue
			}
			s.number++
			if _, err := s.lab.wan.crossing(from, to, s.number); err != nil {
				return fmt.Errorf("from %s to %s: %w", from, to, err)
			}
			pairs++
		}
	}
	fmt.Fprintf(s.out, "  packets pass between all %d pairs of LANs\n", pairs)
	return nil
}

// teks returns the SPIs that a node holds for the group, ascending.
func teks(n *node.Node) []uint32 {
	st := n.Engine()
	var spis []uint32
	for _, g := range st.Server.Groups {
		for _, t := range g.TEKs {
			spis = append(spis, t.SPI)
		}
	}
	for _, v := range st.Member.VPNs {
		for _, t := range v.TEKs {
			spis = append(spis, t.SPI)
		}
	}
	slices.Sort(spis)
	return spis
}

// agree checks that every running node but those excepted holds exactly the same TEKs as the root, and none of the old.
func (s *script) agree(old []uint32) error {
	want := teks(s.lab.nodes["root"])
	if len(want) == 0 {
		return errors.New("the root holds no TEK")
	}
	for _, name := range s.lab.Nodes() {
		got := teks(s.lab.nodes[name])
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s holds the TEKs %s, the root %s", name, spis(got), spis(want))
		}
		for _, spi := range old {
			if slices.Contains(got, spi) {
				return fmt.Errorf("%s still holds the old TEK 0x%08x", name, spi)
			}
		}
	}
	return nil
}

func spis(s []uint32) string {
	texts := make([]string, len(s))
	for i, spi := range s {
		texts[i] = fmt.Sprintf("0x%08x", spi)
	}
	return "[" + strings.Join(texts, " ") + "]"
}

func (s *script) changePolicy(ctx context.Context) error {
	old := teks(s.lab.nodes["root"])
	at := "security group-vpn server group " + group + " ipsec-sa " + group + " match-policy 1"
	change := []string{"set " + at + " source 172.16.0.0/16", "set " + at + " destination 172.16.0.0/16"}
	if err := s.configure(ctx, "root", append(slices.Clone(change), "show | compare", "commit check | display effects", "commit")...); err != nil {
		return err
	}
	for i := range subs {
		if err := s.configure(ctx, fmt.Sprintf("sub%d", i+1), append(slices.Clone(change), "commit")...); err != nil {
			return err
		}
	}
	if err := until(ctx, func() error { return s.agree(old) }); err != nil {
		return err
	}
	if err := errors.Join(
		s.show(ctx, "root", "show security group-vpn server ipsec security-associations detail"),
		s.show(ctx, "gm2", "show security group-vpn member policy"),
	); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n  every server and member holds %s; the old %s is gone everywhere\n", spis(teks(s.lab.nodes["root"])), spis(old))
	return s.allCross()
}

// rekey makes a new TEK and then a new KEK while a stream of packets crosses; it lasts until the members send with the
// new TEK and the old one is no longer used, so that both ends of the overlap are in the stream.
func (s *script) rekey(ctx context.Context) error {
	before := teks(s.lab.nodes["root"])
	kek := s.keks()
	stream := s.startStream("gm1", "gm2")
	defer func() { _, _, _ = stream.stop() }()
	if err := s.show(ctx, "root", "request security group-vpn server rekey group "+group); err != nil {
		return err
	}
	err := until(ctx, func() error {
		if err := s.renewed(kek); err != nil {
			return err
		}
		for _, name := range s.lab.Nodes() {
			if !slices.ContainsFunc(teks(s.lab.nodes[name]), func(spi uint32) bool { return !slices.Contains(before, spi) }) {
				return fmt.Errorf("%s has no new TEK", name)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, "\n  all servers and members hold the new KEK and the new TEK; members go on sending with the old TEK for the activation-time-delay")
	if err := until(ctx, func() error {
		if used := stream.last(); slices.Contains(before, used) {
			return fmt.Errorf("packets still travel under the old TEK 0x%08x", used)
		}
		return nil
	}); err != nil {
		return err
	}
	sent, used, lost := stream.stop()
	if lost != nil {
		return fmt.Errorf("a packet was lost in the rekey: %w", lost)
	}
	fmt.Fprintf(s.out, "  %d packets sent throughout, none lost, under the TEKs %s in turn\n", sent, spis(used))
	return errors.Join(
		s.show(ctx, "sub2", "show security group-vpn server statistics"),
		s.show(ctx, "gm1", "show security group-vpn member kek security-associations"),
		s.show(ctx, "gm1", "show security group-vpn member ipsec security-associations"),
	)
}

// keks returns the KEK's SPI at each running node, in the order of Nodes.
func (s *script) keks() [][16]byte {
	var keks [][16]byte
	for _, name := range s.lab.Nodes() {
		st := s.lab.nodes[name].Engine()
		var k [16]byte
		for _, g := range st.Server.Groups {
			if g.KEK != nil {
				copy(k[:8], g.KEK.InitiatorCookie[:])
				copy(k[8:], g.KEK.ResponderCookie[:])
			}
		}
		for _, v := range st.Member.VPNs {
			if v.KEK != nil {
				k = v.KEK.SPI
			}
		}
		keks = append(keks, k)
	}
	return keks
}

// stream is a flow of probes, one every few milliseconds.
type stream struct {
	quit chan struct{}
	done chan struct{}
	once sync.Once

	mu   sync.Mutex
	sent int
	lost error
	used []uint32 // SPIs in the order of their first use
}

func (s *script) startStream(from, to string) *stream {
	st := &stream{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(st.done)
		for n := 1_000_000; ; n++ {
			onWire, err := s.lab.wan.crossing(from, to, n)
			st.mu.Lock()
			st.sent++
			if err != nil && st.lost == nil {
				st.lost = fmt.Errorf("probe %d: %w", st.sent, err)
			}
			if id := spi(onWire); id != 0 && !slices.Contains(st.used, id) {
				st.used = append(st.used, id)
			}
			st.mu.Unlock()
			select {
			case <-st.quit:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return st
}

// last returns the SPI that came into use last, 0 before the first packet.
func (st *stream) last() uint32 {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.used) == 0 {
		return 0
	}
	return st.used[len(st.used)-1]
}

func (st *stream) stop() (sent int, used []uint32, lost error) {
	st.once.Do(func() { close(st.quit) })
	<-st.done
	return st.sent, st.used, st.lost
}

func (s *script) failover(ctx context.Context) error {
	if err := s.lab.stop("sub1"); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "\n  sub1 is switched off")
	if err := s.show(ctx, "gm1", "clear security group-vpn member group"); err != nil {
		return err
	}
	next := netip.MustParseAddr("127.2.0.2")
	if err := until(ctx, func() error { return s.registered("gm1", next) }); err != nil {
		return err
	}
	return errors.Join(
		s.show(ctx, "gm1", "show security group-vpn member kek security-associations"),
		s.show(ctx, "sub2", "show security group-vpn server registered-members"),
		s.allCross(),
	)
}

// operate runs every operational command of the Group VPN: each show, then each clear, with what it changes. Sub-server 1 is off.
func (s *script) operate(ctx context.Context) error {
	for _, c := range oper.Commands() {
		where := ""
		switch {
		case strings.HasPrefix(c.Words, "show security group-vpn server"):
			where = "sub2"
		case strings.HasPrefix(c.Words, "show security group-vpn"):
			where = "gm2"
		default:
			continue
		}
		words := c.Words
		if slices.Contains(c.Args, oper.Level) {
			words += " detail"
		}
		if slices.Contains(c.Args, oper.Group) {
			words += " group " + group
		}
		if err := s.show(ctx, where, words); err != nil {
			return err
		}
	}
	clears := s.clears()
	for _, c := range oper.Commands() {
		if !strings.HasPrefix(c.Words, "clear security group-vpn") {
			continue
		}
		if len(clears[c.Words]) == 0 {
			return fmt.Errorf("nothing says how to see what %q does", c.Words)
		}
		for _, t := range clears[c.Words] {
			if err := s.try(ctx, c.Words+t.args, t); err != nil {
				return err
			}
		}
	}
	return s.allCross()
}

// trial is how one command is tried: on which node, with which arguments, and what is looked at. look is called before it, and fails
// as long as there is nothing to change; what it returns compares with that afterwards.
type trial struct {
	node, args string
	look       func() (changed func() error, err error)
}

func (s *script) try(ctx context.Context, command string, t trial) error {
	var changed func() error
	err := until(ctx, func() (err error) {
		changed, err = t.look()
		return err
	})
	if err != nil {
		return fmt.Errorf("before %q on %s: %w", command, t.node, err)
	}
	if err := s.show(ctx, t.node, command); err != nil {
		return err
	}
	return until(ctx, changed)
}

// clears has the trials of every clear command.
func (s *script) clears() map[string][]trial {
	nodes := s.lab.nodes
	server := []trial{{"root", " group " + group, s.renewal}, {"root", " group " + group + " now", s.renewal}}
	return map[string][]trial{
		"clear security group-vpn member group":                       {{"gm2", "", s.pull("gm2")}},
		"clear security group-vpn member ike security-associations":   {{"gm2", "", s.endOfSAs("gm2")}},
		"clear security group-vpn member ipsec security-associations": {{"gm2", "", s.pull("gm2")}},
		"clear security group-vpn member ipsec security-associations statistics": {{"gm2", "", reset("gm2's pulls", func() uint64 {
			return nodes["gm2"].Engine().Member.VPNs[0].Stats.PullSucceeded
		})}},
		"clear security group-vpn member ipsec statistics": {{"gm2", "", reset("gm2's packets", func() uint64 {
			st, err := nodes["gm2"].State()
			if err != nil {
				return 0
			}
			return st.Traffic.EncryptedPackets
		})}},
		"clear security group-vpn server":                server,
		"clear security group-vpn server server-cluster": {{"root", "", s.reunion}},
		"clear security group-vpn server server-cluster statistics": {{"root", "", reset("what root exchanged with its peers", func() (n uint64) {
			for _, p := range nodes["root"].Engine().Cluster.Groups[0].Peers {
				n += p.Counters.InitReceived + p.Counters.UpdateSent
			}
			return n
		})}},
		"clear security group-vpn server statistics": {{"sub2", "", reset("sub2's pulls", func() uint64 {
			return nodes["sub2"].Engine().Server.Groups[0].Statistics.PullSucceeded
		})}},
	}
}

// reset sees that a counter that counts something is set to zero.
func reset(what string, count func() uint64) func() (func() error, error) {
	return func() (func() error, error) {
		if count() == 0 {
			return nil, fmt.Errorf("%s: nothing is counted", what)
		}
		return func() error {
			if n := count(); n != 0 {
				return fmt.Errorf("%s: %d are still counted", what, n)
			}
			return nil
		}, nil
	}
}

// pull sees that a member pulls from its server once more.
func (s *script) pull(name string) func() (func() error, error) {
	return func() (func() error, error) {
		before := s.lab.nodes[name].Engine().Member.VPNs[0].Stats.PullSucceeded
		return func() error {
			if n := s.lab.nodes[name].Engine().Member.VPNs[0].Stats.PullSucceeded; n <= before {
				return fmt.Errorf("%s has not pulled since", name)
			}
			return s.registered(name, firstServer[name])
		}, s.registered(name, firstServer[name])
	}
}

// endOfSAs sees that the IKE SAs that a node has are gone.
func (s *script) endOfSAs(name string) func() (func() error, error) {
	return func() (func() error, error) {
		before := map[ike.SAID]bool{}
		for _, x := range s.lab.nodes[name].Engine().IKE.SAs {
			before[x.ID] = true
		}
		if len(before) == 0 {
			return nil, fmt.Errorf("%s has no IKE SA", name)
		}
		return func() error {
			for _, x := range s.lab.nodes[name].Engine().IKE.SAs {
				if before[x.ID] {
					return fmt.Errorf("%s still has IKE SA %d", name, x.ID)
				}
			}
			return nil
		}, nil
	}
}

// reunion sees that the root's sub-servers ask it once more.
func (s *script) reunion() (func() error, error) {
	asked := func() (n uint64) {
		for _, p := range s.lab.nodes["root"].Engine().Cluster.Groups[0].Peers {
			n += p.Counters.InitReceived
		}
		return n
	}
	before := asked()
	return func() error {
		if n := asked() - before; n < subs-1 {
			return fmt.Errorf("%d sub-servers have asked the root since, want %d", n, subs-1)
		}
		return s.peersActive("root", subs-1, step.SubServer)
	}, nil
}

// renewal sees that every server and member gets other keys.
func (s *script) renewal() (func() error, error) {
	before := s.keks()
	return func() error {
		if err := s.renewed(before); err != nil {
			return err
		}
		fmt.Fprintln(s.out, "\n  every server and member has keys made since")
		return nil
	}, nil
}

// renewed checks that every running node has another KEK than it had.
func (s *script) renewed(before [][16]byte) error {
	for i, k := range s.keks() {
		if k == before[i] || k == ([16]byte{}) {
			return fmt.Errorf("%s has no new KEK", s.lab.Nodes()[i])
		}
	}
	return nil
}

func (s *script) deleteGroup(ctx context.Context) error {
	if err := s.configure(ctx, "root", "delete security group-vpn server group "+group, "commit check | display effects", "commit"); err != nil {
		return err
	}
	err := until(ctx, func() error {
		for _, name := range s.lab.Nodes() {
			if held := teks(s.lab.nodes[name]); len(held) > 0 {
				return fmt.Errorf("%s still holds %s", name, spis(held))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.show(ctx, "gm1", "show security group-vpn member ipsec security-associations"); err != nil {
		return err
	}
	blocked := 0
	for from := range labLANs {
		for to := range labLANs {
			if from == to {
				continue
			}
			s.number++
			onWire, err := s.lab.wan.crossing(from, to, s.number)
			if err == nil {
				return fmt.Errorf("a packet from %s still arrives at %s", from, to)
			}
			if onWire != nil {
				return fmt.Errorf("%s put a packet for %s on the wire without a key", from, to)
			}
			blocked++
		}
	}
	fmt.Fprintf(s.out, "\n  no server and no member holds a key; all %d probes were stopped before the wire\n", blocked)
	return nil
}
