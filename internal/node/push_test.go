package node

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gvpn/engine"
	"gvpn/isakmp"
	"gvpn/member"
	"gvpn/turn"
)

// crowd is many members behind one socket of the wildcard address, which shares the server's port with the server's own: on
// another one, members would be behind a NAT. Nobody waits for it, neither in a call nor in the runtime's
// poller: waking somebody would be part of what a datagram costs its sender.
type crowd struct {
	b       *testing.B
	fd      int
	members map[netip.Addr]*engine.Engine
	keyed   map[netip.Addr]bool // that have been given keys
	up      int                 // how many TEKs they were given
	compute func(turn.Op) (any, error)
	look    *time.Ticker // how often, while nothing is there
	buf     []byte
	oob     []byte
}

// arrival is a datagram for a member.
type arrival struct {
	datagram
	at time.Time // as the kernel has it, which on the loopback interface is when it was sent
}

func newCrowd(b *testing.B) *crowd {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Close(fd) })
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}, {unix.IPPROTO_IP, unix.IP_PKTINFO, 1}, {unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1}, {unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256 << 20},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			b.Skipf("a socket with room for all members (needs root): %v", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: benchPort}); err != nil {
		b.Fatal(err)
	}
	return &crowd{b: b, fd: fd, look: time.NewTicker(time.Millisecond), compute: compute, members: map[netip.Addr]*engine.Engine{}, keyed: map[netip.Addr]bool{}, buf: make([]byte, maxDatagram), oob: make([]byte, 256)}
}

// drain carries out what a member's engine says.
func (c *crowd) drain(at netip.Addr) {
	e := c.members[at]
	for o, ok := e.Next(); ok; o, ok = e.Next() {
		switch o := o.(type) {
		case turn.Transmit:
			c.send(at, o.Remote, o.Datagram)
		case turn.Work:
			v, err := c.compute(o.Op)
			e.HandleResult(time.Now(), turn.Result{ID: o.ID, Value: v, Err: err})
		case turn.InstallTEK:
			c.up++
			c.keyed[at] = true
		}
	}
}

func (c *crowd) send(from netip.Addr, remote netip.AddrPort, octets []byte) {
	oob := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.As4()})
	to := unix.SockaddrInet4{Port: int(remote.Port()), Addr: remote.Addr().As4()}
	if err := unix.Sendmsg(c.fd, octets, oob, &to, 0); err != nil {
		c.b.Fatal(err)
	}
}

// receive waits for a datagram; false if none came in time.
func (c *crowd) receive(patience time.Duration) (arrival, bool) {
	n, oobLen, _, from, err := unix.Recvmsg(c.fd, c.buf, c.oob, 0)
	for deadline := time.Now().Add(patience); err != nil; n, oobLen, _, from, err = unix.Recvmsg(c.fd, c.buf, c.oob, 0) {
		if time.Now().After(deadline) {
			return arrival{}, false
		}
		<-c.look.C
	}
	remote := from.(*unix.SockaddrInet4)
	a := arrival{datagram: datagram{
		local:  netip.AddrPortFrom(destination(c.oob[:oobLen]), benchPort),
		remote: netip.AddrPortFrom(netip.AddrFrom4(remote.Addr), uint16(remote.Port)), octets: slices.Clone(c.buf[:n]),
	}}
	a.at = stamp(c.oob[:oobLen])
	return a, true
}

// stamp is when the kernel took a datagram, by its control messages.
func stamp(oob []byte) (at time.Time) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		panic(err)
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS {
			at = time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return at
}

// handle gives a datagram to the member that it is for.
func (c *crowd) handle(a arrival) {
	c.members[a.local.Addr()].HandleDatagram(time.Now(), a.local, a.remote, a.octets)
	c.drain(a.local.Addr())
}

// register makes n members, the next when nothing is there to be read and no more than so many are under way, and returns when all
// of them have keys.
func (c *crowd) register(n, group, window int) {
	clear(c.members)
	clear(c.keyed)
	waiting := map[netip.Addr]bool{} // those without keys
	sweep := time.NewTicker(100 * time.Millisecond)
	defer sweep.Stop()
	for deadline := time.Now().Add(3 * time.Minute); len(c.keyed) < n; {
		if time.Now().After(deadline) {
			c.b.Fatalf("only %d of %d members are registered", len(c.keyed), n)
		}
		more := len(c.members) < n && len(c.members) < len(c.keyed)+window
		patience := 10 * time.Millisecond
		if more {
			patience = 0
		}
		if a, ok := c.receive(patience); ok {
			c.handle(a)
		} else if more {
			at := benchMember(len(c.members)).Addr()
			c.members[at], waiting[at] = newMember(at, group), true
			c.drain(at)
		}
		select {
		case now := <-sweep.C:
			for at := range waiting {
				if c.keyed[at] {
					delete(waiting, at)
				} else if due, ok := c.members[at].Deadline(); ok && !now.Before(due) {
					c.members[at].HandleTimeout(now)
					c.drain(at)
				}
			}
		default:
		}
	}
}

// pushes takes n pushes without doing anything about them, and returns them and when the last of them was sent.
func (c *crowd) pushes(n int) (all []arrival, last time.Time) {
	for len(all) < n {
		a, ok := c.receive(time.Second)
		if !ok {
			c.b.Fatalf("%d of %d pushes came", len(all), n)
		}
		if isakmp.ExchangeType(a.octets[18]) == isakmp.ExchangePush {
			all = append(all, a)
			last = a.at
		}
	}
	return all, last
}

// bare sends the same datagrams from a socket like the server's, by sendmmsg and nothing else, and returns how long it took.
func (c *crowd) bare(all []arrival) time.Duration {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(benchServer), benchPort+2)))
	if err != nil {
		c.b.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		c.b.Fatal(err)
	}
	var calls []*sender
	for i := range all {
		if i%burst == 0 {
			calls = append(calls, &sender{})
		}
		calls[len(calls)-1].fill(i%burst, &turn.Transmit{Remote: netip.AddrPortFrom(all[i].local.Addr(), benchPort), Datagram: all[0].octets}, nil)
	}
	start := make(chan time.Time, 1)
	failed := make(chan error, 1)
	go func() {
		start <- time.Now()
		failed <- raw.Write(func(fd uintptr) bool {
			left := len(all)
			for _, s := range calls {
				for at := 0; at < min(left, burst); {
					n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&s.headers[at])), uintptr(min(left, burst)-at), 0, 0, 0)
					if errno != 0 {
						panic(errno)
					}
					at += int(n)
				}
				left -= burst
			}
			return true
		})
	}()
	began := <-start
	_, last := c.pushes(len(all))
	if err := <-failed; err != nil {
		c.b.Fatal(err)
	}
	return last.Sub(began)
}

// BenchmarkPush is a new TEK for 10,000 registered members on loopback. push-ms is from the operator's command to the last of the
// 10,000 datagrams, keys, signature and record on disk with it; bare-ms is a loop of sendmmsg with the same datagrams to the same
// socket in the same run, and ratio the bare time by ours. acked-ms is from the command until the server has taken the
// acknowledgement of every member, all of which begin to verify after the last datagram, on one processor. server-ms is
// the server's processor time for it all.
func BenchmarkPush(b *testing.B) {
	const n = 10_000
	s := serve(b, "group19", n, false)
	c := newCrowd(b)
	c.register(n, 19, 32)
	first := benchMember(0).Addr()
	var push, bare, acked, spent []time.Duration
	for b.Loop() {
		cpu, began := s.processor(), time.Now()
		s.order("r")
		all, last := c.pushes(n)
		push = append(push, last.Sub(began))
		for _, a := range all {
			c.handle(a)
		}
		// What the server answers next it has read after all the acknowledgements.
		if err := c.members[first].Do(time.Now(), member.ClearIPsec{}); err != nil {
			b.Fatal(err)
		}
		c.drain(first)
		for up := c.up; c.up == up; {
			a, ok := c.receive(time.Second)
			if !ok {
				b.Fatal("no answer")
			}
			c.handle(a)
		}
		acked = append(acked, time.Since(began))
		spent = append(spent, s.processor()-cpu)
		bare = append(bare, c.bare(all))
	}
	b.ReportMetric(0, "ns/op") // a round means nothing
	report(b, push, 50, "push-ms")
	report(b, bare, 50, "bare-ms")
	report(b, acked, 50, "acked-ms")
	report(b, spent, 50, "server-ms")
	var ratios []float64
	for i := range push {
		ratios = append(ratios, bare[i].Seconds()/push[i].Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	rounds := len(push)
	if got, want := s.ask("a"), fmt.Sprint(rounds*n, 0, rounds*n); got != want {
		b.Errorf("sent, sent again, acknowledged: %s, want %s", got, want)
	}
}
