package node

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gvpn/commit/step"
	"gvpn/engine"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/member"
	"gvpn/sa"
	"gvpn/server"
	"gvpn/turn"
)

// These benchmarks run a key server in a process of its own, this test binary again, so that its processor time and memory are told
// apart from those of who asks it.

const benchPort = 10851

const benchServer = "127.84.9.1"

const benchPeer = "127.84.9.2" // a cluster peer

// benchMembers are the members that the server knows in the first two benchmarks, the last in a network of its own.
const benchMembers = 2001

func benchMember(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 84, 10 + byte(i/250), byte(i%250 + 1)}), benchPort)
}

// TestMain makes a process that is told to a key server for benchmarks.
func TestMain(m *testing.M) {
	dir := os.Getenv("GVPN_BENCH_SERVER")
	if dir == "" {
		os.Exit(m.Run())
	}
	var text strings.Builder
	text.WriteString(strings.ReplaceAll(serverText, "group14", os.Getenv("GVPN_BENCH_GROUP")))
	text.WriteString("delete security group-vpn server group G ike-gateway M\ndelete security group-vpn server ike gateway M\n")
	members, err := strconv.Atoi(os.Getenv("GVPN_BENCH_MEMBERS"))
	if err != nil {
		panic(err)
	}
	for i := range members {
		fmt.Fprintf(&text, "set security group-vpn server ike gateway M%d ike-policy K\n", i)
		fmt.Fprintf(&text, "set security group-vpn server ike gateway M%d address %s\n", i, benchMember(i).Addr())
		fmt.Fprintf(&text, "set security group-vpn server ike gateway M%d local-address %s\n", i, benchServer)
		fmt.Fprintf(&text, "set security group-vpn server group G ike-gateway M%d\n", i)
	}
	if os.Getenv("GVPN_BENCH_PEER") != "" {
		text.WriteString(strings.ReplaceAll(strings.ReplaceAll(peerText, "PEER", benchPeer), "SERVER", benchServer))
	}
	CollectLess() // as gvpnd does
	n, err := Open(Options{Dir: dir, File: "bench.conf", Config: []byte(text.String()), Port: benchPort})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for look := time.NewTicker(time.Millisecond); ; <-look.C {
		if g := n.Engine().Server.Groups; g[0].Ready {
			break
		}
	}
	fmt.Println("ready")
	for orders := bufio.NewReader(os.Stdin); ; {
		order, err := orders.ReadByte()
		switch {
		case err != nil: // the benchmark ends
			_ = n.Close()
			return
		case order == 'r':
			n.call(func(now time.Time) { err = n.engine.Do(now, server.Rekey{Group: "G", TEK: true}) })
		case order == 'k': // that of acknowledgements
			record, err := n.store.Load("server/group/G/sas")
			if err != nil {
				panic(err)
			}
			sas, err := sa.ParseUpdate(groupSAs(record["server/group/G/sas"]), time.Unix(0, 0))
			if err != nil {
				panic(err)
			}
			fmt.Printf("%x\n", []byte(gdoi.AckKey(sas.KEK, nil, gdoi.Options{})))
		case order == 'f':
			debug.FreeOSMemory()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Println(m.HeapAlloc)
		case order == 'a':
			st := n.Engine().Server.Groups[0].Statistics
			fmt.Println(st.PushSent, st.PushRetransmitted, st.PushAcknowledged)
		}
		if err != nil {
			fmt.Println(err)
		}
	}
}

// groupSAs is the first field of a group's record (package server): version 1 | length 4 | SAs.
func groupSAs(record []byte) []byte {
	return record[5:][:binary.BigEndian.Uint32(record[1:])]
}

// peerText makes the server a sub-server of another one's group besides.
const peerText = `
set security group-vpn server ike gateway R ike-policy K
set security group-vpn server ike gateway R address PEER
set security group-vpn server ike gateway R local-address SERVER
set security group-vpn server ike gateway R dead-peer-detection always-send
set security group-vpn server group H group-id 8
set security group-vpn server group H server-cluster server-role sub-server
set security group-vpn server group H server-cluster ike-gateway R
set security group-vpn server group H server-member-communication communication-type unicast
set security group-vpn server group H server-member-communication encryption-algorithm aes-256-cbc
set security group-vpn server group H server-member-communication sig-hash-algorithm sha-256
set security group-vpn server group H ipsec-sa S proposal I
set security group-vpn server group H ipsec-sa S match-policy 1 source 10.0.0.0/8
set security group-vpn server group H ipsec-sa S match-policy 1 destination 10.0.0.0/8
`

// served is the key server's process.
type served struct {
	b   *testing.B
	pid int
	in  io.Writer
	out *bufio.Reader
}

// ask gives an order and returns the answer to it.
func (s served) ask(order string) string {
	s.order(order)
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.b.Fatalf("order %q: %v", order, err)
	}
	return strings.TrimSpace(line)
}

func (s served) order(order string) {
	if _, err := io.WriteString(s.in, order); err != nil {
		s.b.Fatal(err)
	}
}

func serve(b *testing.B, group string, members int, peer bool) served {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GVPN_BENCH_SERVER="+b.TempDir(), "GVPN_BENCH_GROUP="+group, fmt.Sprint("GVPN_BENCH_MEMBERS=", members))
	if peer {
		cmd.Env = append(cmd.Env, "GVPN_BENCH_PEER=yes")
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		b.Fatalf("the server says %q, %v", line, err)
	}
	return served{b, cmd.Process.Pid, in, lines}
}

// processor is the server's processor time, all threads and the kernel's on their behalf.
func (s served) processor() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^s.pid<<3|2), &ts); err != nil { // the clock of another process: clock_getcpuclockid(3)
		s.b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// settled has the server give back what memory it does not need, and returns how many octets of its heap are in use.
func (s served) settled() int64 {
	n, err := strconv.ParseInt(s.ask("f"), 10, 64)
	if err != nil {
		s.b.Fatal(err)
	}
	return n
}

// resident is the server's memory in octets.
func (s served) resident() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.pid))
	if err != nil {
		s.b.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		s.b.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// client is one member's engine behind a socket of its own.
type client struct {
	b    *testing.B
	e    *engine.Engine
	conn *net.UDPConn
}

func newClient(b *testing.B, i, group int) *client {
	at := benchMember(i)
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		b.Fatal(err)
	}
	return &client{b, newMember(at.Addr(), group), conn}
}

// newMember makes a member's engine, which is to register.
func newMember(at netip.Addr, group int) *engine.Engine {
	e := engine.New(rand.Reader, engine.Options{IKE: ike.Options{Port: benchPort}})
	e.Apply(time.Now(), &step.Plan{
		MemberLimit: 10,
		Commit:      1,
		Gateways: []step.GatewayChange{{New: &step.Gateway{
			Name: "KS", Side: step.Member, Local: at, Remote: []netip.Addr{netip.MustParseAddr(benchServer)}, Mode: "main",
			PSK:       sa.Secret("a key that is long enough"),
			Proposals: []step.Proposal{{Name: "P", Hash: sa.SHA256, DHGroup: group, KeyBits: 256, Lifetime: time.Hour}},
		}}},
		VPNs:    []step.VPNChange{{New: &step.VPN{Name: "V", Gateway: "KS", Group: 7, DFBit: "clear"}}},
		Effects: []step.Effect{{Row: "3.1", Kind: step.Register, VPN: "V"}},
	})
	return e
}

// run drives the engine until it is as wanted.
func (c *client) run(done func() bool) {
	buf := make([]byte, maxDatagram)
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			c.b.Fatalf("not registered: %+v", c.e.State().Member.VPNs)
		}
		c.e.HandleTimeout(time.Now())
		for o, ok := c.e.Next(); ok; o, ok = c.e.Next() {
			switch o := o.(type) {
			case turn.Transmit:
				if _, err := c.conn.WriteToUDPAddrPort(o.Datagram, o.Remote); err != nil {
					c.b.Fatal(err)
				}
			case turn.Work:
				v, err := compute(o.Op)
				c.e.HandleResult(time.Now(), turn.Result{ID: o.ID, Value: v, Err: err})
			}
		}
		if done() {
			return
		}
		wait := time.Second
		if at, ok := c.e.Deadline(); ok {
			wait = min(wait, time.Until(at))
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(max(wait, time.Millisecond)))
		n, from, err := c.conn.ReadFromUDPAddrPort(buf)
		if err == nil {
			local := c.conn.LocalAddr().(*net.UDPAddr).AddrPort()
			c.e.HandleDatagram(time.Now(), local, from, bytes.Clone(buf[:n]))
		}
	}
}

func (c *client) registered() bool { return c.e.State().Member.VPNs[0].Up }

// BenchmarkRegistration is a member's registration, main mode and GROUPKEY-PULL, through real sockets, with all that the daemon
// does beside, 32 members at once. server-ns/op is the server's processor time.
func BenchmarkRegistration(b *testing.B) {
	for _, group := range []int{14, 19} {
		b.Run(fmt.Sprintf("group%d", group), func(b *testing.B) {
			s := serve(b, fmt.Sprintf("group%d", group), benchMembers, false)
			var next atomic.Int64
			before := s.processor()
			b.SetParallelism(16) // members at once, for each processor
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					c := newClient(b, int(next.Add(1))%(benchMembers-1), group)
					c.run(c.registered)
					_ = c.conn.Close()
				}
			})
			b.ReportMetric(float64((s.processor()-before).Nanoseconds())/float64(b.N), "server-ns/op")
		})
	}
}

// BenchmarkFlood sends a key server first messages from forged addresses, as fast as it can up to 100,000 a second, while a member
// that has its SA pulls its keys again and again. pull-ms is the median time that a pull took, pull-max-ms the longest; grown-MB is
// how much memory the server has taken meanwhile.
func BenchmarkFlood(b *testing.B) {
	s := serve(b, "group14", benchMembers, false)
	c := newClient(b, benchMembers-1, 14)
	c.run(c.registered)
	var forged []*net.UDPConn
	for i := range 100 {
		conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(benchMember(i)), net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(benchServer), benchPort)))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		forged = append(forged, conn)
	}
	msg := isakmp.AppendHeader(nil, isakmp.Header{Next: isakmp.PayloadSA, Exchange: isakmp.ExchangeMain})
	attrs := []byte{0x80, 1, 0, 7, 0x80, 14, 1, 0, 0x80, 2, 0, 4, 0x80, 4, 0, 14, 0x80, 3, 0, 1}
	offer := isakmp.SA{DOI: isakmp.DOIGDOI, Proposals: []isakmp.Proposal{{
		Number: 1, Protocol: isakmp.ProtocolISAKMP, Transforms: []isakmp.Transform{{Number: 1, ID: isakmp.KeyIKE, Attrs: attrs}},
	}}}
	msg = isakmp.AppendPayload(msg, isakmp.NoPayload, offer.Append(nil))
	isakmp.SetLength(msg)
	full, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan int)
	go func() {
		const each = 100 // in a millisecond
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		began := time.Now()
		for n := 0; ; {
			for n < each*int(time.Since(began)/time.Millisecond) {
				binary.BigEndian.PutUint64(msg, uint64(n)|1<<63)
				_, _ = forged[n%len(forged)].Write(msg)
				if n++; n == 100_000 {
					close(full)
				}
			}
			select {
			case <-stop:
				stopped <- n
				return
			case <-tick.C:
			}
		}
	}()
	flooding := time.Now()
	<-full // the table is, and every buffer on the way
	before, cpu, began := s.resident(), s.processor(), time.Now()
	var took []time.Duration
	for b.Loop() {
		pulls := c.e.State().Member.VPNs[0].Stats.PullSucceeded
		at := time.Now()
		if err := c.e.Do(at, member.ClearIPsec{}); err != nil {
			b.Fatal(err)
		}
		c.run(func() bool { return c.e.State().Member.VPNs[0].Stats.PullSucceeded > pulls })
		took = append(took, time.Since(at))
	}
	seconds := time.Since(began).Seconds()
	b.ReportMetric(float64(s.resident()-before)/1e6, "grown-MB")
	b.ReportMetric((s.processor()-cpu).Seconds()/seconds, "server-processors")
	close(stop)
	sent := <-stopped
	slices.Sort(took)
	b.ReportMetric(float64(sent)/time.Since(flooding).Seconds(), "sent/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "pull-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "pull-max-ms")
}
