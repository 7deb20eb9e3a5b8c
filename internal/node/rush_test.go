package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
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

// rushing is how many members are registered with one server, all of which come at once.
const rushing = 20_000

// under is how many of them are registering at a time: more than the server computes for at once, and few enough that the one thread that
// speaks for all of them answers before the server has given its place to another.
const under = 256

// equal is a cluster peer of the server: the root of a group that the server is a sub-server in. It probes the server and gives
// it new keys again and again, in a thread of its own, which goes before those of the members as if it had a machine of its own.
type equal struct {
	b    *testing.B
	e    *engine.Engine
	fd   int
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	probes  []time.Duration // from R-U-THERE to its answer
	updates []time.Duration // from a cluster-update to its acknowledgement
	up      bool            // the server has keys of the group
	open    int             // probes that are not answered
}

// take returns what was measured since the last time.
func (p *equal) take() (probes, updates []time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	probes, updates = p.probes, p.updates
	p.probes, p.updates = nil, nil
	return probes, updates
}

func (p *equal) look() (up bool, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.up, p.open
}

func newEqual(b *testing.B) *equal {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		b.Fatal(err)
	}
	// The members' socket has the port on the wildcard address.
	for _, o := range []struct{ level, name int }{{unix.SOL_SOCKET, unix.SO_REUSEPORT}, {unix.SOL_SOCKET, unix.SO_TIMESTAMPNS}} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, 1); err != nil {
			b.Fatal(err)
		}
	}
	at := netip.MustParseAddr(benchPeer)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: at.As4(), Port: benchPort}); err != nil {
		b.Fatal(err)
	}
	e := engine.New(rand.Reader, engine.Options{IKE: ike.Options{Port: benchPort}})
	prefix := netip.MustParsePrefix("10.0.0.0/8")
	e.Apply(time.Now(), &step.Plan{
		MemberLimit: 10,
		Commit:      1,
		Gateways: []step.GatewayChange{{New: &step.Gateway{
			Name: "S", Side: step.Server, Local: at, Remote: []netip.Addr{netip.MustParseAddr(benchServer)}, Mode: "main",
			PSK:       sa.Secret("a key that is long enough"),
			Proposals: []step.Proposal{{Name: "P", Hash: sa.SHA256, DHGroup: 14, KeyBits: 256, Lifetime: time.Hour}},
			DPD:       &step.DPD{Interval: 20 * time.Millisecond, Threshold: 1 << 30},
			Peer:      true,
		}}},
		Groups: []step.GroupChange{{New: &step.Group{
			Name: "H", ID: 8, Role: step.RootServer, Peers: []string{"S"}, PeerPeriod: 10 * time.Second, ActivationDelay: 15 * time.Second,
			Communication: &step.Communication{KeyBits: 256, SigHash: sa.SHA256, Lifetime: time.Hour, Retransmission: 10 * time.Second, Retries: 2},
			SAs:           []step.IPsecSA{{Name: "S", KeyBits: 256, Lifetime: time.Hour, Policies: []sa.Policy{{Name: "1", Source: prefix, Destination: prefix}}}},
		}}},
		Effects: []step.Effect{{Row: "1.14", Kind: step.GenerateKEK, Group: "H"}, {Row: "1.14", Kind: step.GenerateTEK, Group: "H"}},
	})
	p := &equal{b: b, e: e, fd: fd, stop: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	b.Cleanup(func() {
		close(p.stop)
		<-p.done
		_ = unix.Close(fd)
	})
	return p
}

func (p *equal) run() {
	runtime.LockOSThread() // and never given back: it ends with its priority
	defer close(p.done)
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)
	const every = 200 * time.Millisecond // a cluster-update, if the one before is acknowledged
	var asked []time.Time                // probes that are out
	var sent, acked uint64               // probes
	var update, again time.Time          // when the one that is out was sent, zero if none; when to send the next
	buf, oob := make([]byte, maxDatagram), make([]byte, 256)
	// drain sends what the engine says, and notes what it was.
	drain := func() {
		for o, ok := p.e.Next(); ok; o, ok = p.e.Next() {
			switch o := o.(type) {
			case turn.Transmit:
				now := time.Now()
				if isakmp.ExchangeType(o.Datagram[18]) == isakmp.ExchangeClusterUpdate && update.IsZero() {
					update = now
				}
				if err := unix.Sendto(p.fd, o.Datagram, 0, &unix.SockaddrInet4{Addr: o.Remote.Addr().As4(), Port: int(o.Remote.Port())}); err != nil {
					panic(err)
				}
			case turn.Work:
				v, err := compute(o.Op)
				p.e.HandleResult(time.Now(), turn.Result{ID: o.ID, Value: v, Err: err})
			}
		}
	}
	// count finds probes and answers by the engine's own counters.
	count := func(at time.Time) {
		var s, a uint64
		for _, x := range p.e.State().IKE.SAs {
			s, a = s+x.DPDSent, a+x.DPDAcked
		}
		for ; sent < s; sent++ {
			asked = append(asked, at)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for ; acked < a; acked++ {
			p.probes = append(p.probes, at.Sub(asked[0]))
			asked = asked[1:]
		}
		p.open = len(asked)
	}
	local := netip.AddrPortFrom(netip.MustParseAddr(benchPeer), benchPort)
	for {
		select {
		case <-p.stop:
			return
		default:
		}
		now := time.Now()
		p.e.HandleTimeout(now)
		count(now)
		if up, _ := p.look(); up && update.IsZero() && now.After(again) {
			again = now.Add(every)
			if err := p.e.Do(now, server.Rekey{Group: "H", KEK: true}); err != nil {
				panic(err)
			}
		}
		drain()
		n, oobLen, _, from, err := unix.Recvmsg(p.fd, buf, oob, 0)
		if err != nil {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, 1)
			continue
		}
		at := stamp(oob[:oobLen])
		remote := from.(*unix.SockaddrInet4)
		p.e.HandleDatagram(at, local, netip.AddrPortFrom(netip.AddrFrom4(remote.Addr), uint16(remote.Port)), slices.Clone(buf[:n]))
		count(at)
		switch x := isakmp.ExchangeType(buf[18]); {
		case x == isakmp.ExchangeClusterInit:
			p.mu.Lock()
			p.up = true
			p.mu.Unlock()
		case x == isakmp.ExchangeClusterUpdate && !update.IsZero():
			p.mu.Lock()
			p.updates = append(p.updates, at.Sub(update))
			p.mu.Unlock()
			update = time.Time{}
		}
		drain()
	}
}

// light answers a member's two exponentiations with a short exponent: the members are many, and are not what is measured. The server
// computes with what it is given as with any number.
func light(op turn.Op) (any, error) {
	x := sa.Secret{1, 0, 1}
	switch o := op.(type) {
	case turn.DHPublic:
		return lightPublic(o.Group)
	case turn.DHShared:
		return ike.DHShared(o.Group, x, o.Peer)
	}
	return compute(op)
}

var lightPublic = func() func(int) (any, error) {
	var values sync.Map
	return func(group int) (any, error) {
		if v, ok := values.Load(group); ok {
			return v, nil
		}
		v, err := ike.DHPublic(group, sa.Secret{1, 0, 1})
		values.Store(group, v)
		return v, err
	}
}()

// exponentiations measures two exponentiations alone, again and again, in the same conditions as the server's, until it is stopped.
// It returns their median.
func exponentiations(b *testing.B) (stop func() time.Duration) {
	quit, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		x := make(sa.Secret, 32)
		peer, err := ike.DHPublic(14, sa.Secret(new(big.Int).Lsh(big.NewInt(3), 250).Bytes()))
		var all []time.Duration
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for err == nil {
			_, _ = rand.Read(x)
			began := thread()
			_, err = ike.DHPublic(14, x)
			if err == nil {
				_, err = ike.DHShared(14, x, peer)
			}
			all = append(all, thread()-began)
			select {
			case <-tick.C:
			case <-quit:
				slices.Sort(all)
				result <- all[len(all)/2]
				return
			}
		}
		b.Error(err)
		<-quit
		result <- 0
	}()
	return func() time.Duration { close(quit); return <-result }
}

// fsyncs measures writing 4 KB and waiting for the disk, until it is stopped. It returns how long each took.
func fsyncs(b *testing.B) (stop func() []time.Duration) {
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	quit, result := make(chan struct{}), make(chan []time.Duration)
	go func() {
		defer f.Close()
		page := make([]byte, 4096)
		var all []time.Duration
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			began := time.Now()
			_, err := f.WriteAt(page, 0)
			if err = errors.Join(err, f.Sync()); err != nil {
				b.Error(err)
			}
			all = append(all, time.Since(began))
			select {
			case <-tick.C:
			case <-quit:
				result <- all
				return
			}
		}
	}()
	return func() []time.Duration { close(quit); return <-result }
}

// thread is this thread's processor time.
func thread() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkRush is a server with 20,000 registered members and a cluster peer. All members lose what they had and register again,
// group 14; then there is a new TEK, which all acknowledge at once; then all register again, and all begin at the same moment.
//
// ratio is the server's processor time for a registration by that of two exponentiations, bare-us, measured beside; registered-s is
// how long all of it takes, and storm-s how long where nobody waits for anybody, with what has to be begun anew. acked-ms is from the
// operator's command until the server has taken the last acknowledgement: one member verifies, and the others' answers are made from
// its. B/member is resident memory for each registered member with its IKE SA, heap-B/member what of it Go's heap has in use. probe
// and update are from a cluster peer's R-U-THERE or cluster-update to the answer, in milliseconds, in each of the three; no datagram
// leaves before the records before it are on disk, so that fsync, 4 KB written to the same disk meanwhile, is in all of them.
func BenchmarkRush(b *testing.B) {
	s := serve(b, "group14", rushing, true)
	c := newCrowd(b)
	c.compute = light
	p := newEqual(b)
	for up, _ := p.look(); !up; up, _ = p.look() {
		<-c.look.C
	}
	heap, before := s.settled(), s.resident()
	c.register(rushing, 14, under)
	heap, before = s.settled()-heap, s.resident()-before
	p.take()

	phases := [...]string{"register", "push", "storm"}
	var probes, updates [len(phases)][]time.Duration
	var ratios []float64
	var bare, registered, acked, spent, storms, disk []time.Duration
	for b.Loop() {
		stop := exponentiations(b)
		syncs := fsyncs(b)
		cpu, began := s.processor(), time.Now()
		c.register(rushing, 14, under)
		registered = append(registered, time.Since(began))
		each := (s.processor() - cpu) / rushing
		two := stop()
		bare = append(bare, two)
		ratios = append(ratios, float64(each)/float64(two))
		note := func(phase int) {
			x, y := p.take()
			probes[phase], updates[phase] = append(probes[phase], x...), append(updates[phase], y...)
		}
		note(0)

		key, err := hex.DecodeString(s.ask("k"))
		if err != nil {
			b.Fatal(err)
		}
		cpu, began = s.processor(), time.Now()
		s.order("r")
		acked = append(acked, c.acknowledge(rushing, key).Sub(began))
		spent = append(spent, s.processor()-cpu)
		note(1)
		began = time.Now()
		c.register(rushing, 14, rushing)
		storms = append(storms, time.Since(began))
		note(2)
		disk = append(disk, syncs()...)
		if _, open := p.look(); open > 5 {
			b.Errorf("%d probes are not answered", open)
		}
	}
	b.ReportMetric(0, "ns/op") // a round means nothing
	b.ReportMetric(float64(heap)/rushing, "heap-B/member")
	b.ReportMetric(float64(before)/rushing, "B/member")
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	slices.Sort(bare)
	b.ReportMetric(float64(bare[len(bare)/2].Microseconds()), "bare-us")
	b.ReportMetric(median(registered).Seconds(), "registered-s")
	b.ReportMetric(median(storms).Seconds(), "storm-s")
	report(b, acked, 50, "acked-ms")
	report(b, spent, 50, "server-ms")
	report(b, disk, 99, "fsync-p99-ms")
	report(b, disk, 100, "fsync-max-ms")
	for i, phase := range phases {
		report(b, probes[i], 99, "probe-"+phase+"-p99-ms")
		report(b, probes[i], 100, "probe-"+phase+"-max-ms")
		report(b, updates[i], 99, "update-"+phase+"-p99-ms")
		report(b, updates[i], 100, "update-"+phase+"-max-ms")
	}
	if got, want := s.ask("a"), fmt.Sprint(len(acked)*rushing, 0, len(acked)*rushing); got != want {
		b.Errorf("sent, sent again, acknowledged: %s, want %s", got, want)
	}
}

func median(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// acknowledge takes a push to each of n members and acknowledges all, the first by its member, which verifies it, the others with this
// key and what the first said. It returns when the server has taken all.
func (c *crowd) acknowledge(n int, key sa.Secret) time.Time {
	var first gdoi.Ack
	for left := n; left > 0; {
		a, ok := c.receive(5 * time.Second)
		if !ok {
			c.b.Fatalf("%d of %d pushes came", n-left, n)
		}
		if isakmp.ExchangeType(a.octets[18]) != isakmp.ExchangePush {
			c.handle(a)
			continue
		}
		left--
		if first.Seq == 0 {
			e := c.members[a.local.Addr()]
			e.HandleDatagram(time.Now(), a.local, a.remote, a.octets)
			for o, ok := e.Next(); ok; o, ok = e.Next() {
				if t, ok := o.(turn.Transmit); ok {
					var err error
					if first, err = gdoi.ParseAck(t.Datagram); err != nil || !first.Verify(key) {
						c.b.Fatalf("the first acknowledgement: %v", err)
					}
				}
			}
		}
		c.send(a.local.Addr(), a.remote, gdoi.AppendAck(nil, gdoi.Ack{SPI: first.SPI, Seq: first.Seq, Member: a.local.Addr()}, key))
	}
	// What the server answers next it has read after all the acknowledgements.
	asks := benchMember(0).Addr()
	if err := c.members[asks].Do(time.Now(), member.ClearIPsec{}); err != nil {
		c.b.Fatal(err)
	}
	c.drain(asks)
	for up := c.up; c.up == up; {
		a, ok := c.receive(5 * time.Second)
		if !ok {
			c.b.Fatal("no answer")
		}
		c.handle(a)
	}
	return time.Now()
}
