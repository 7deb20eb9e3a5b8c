package engine

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/sa"
	"gvpn/turn"
)

// processor is this thread's processor time: on a machine that has more to do, it says more than the time that passes.
func processor(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkRegistration is what a member's registration costs the server: main mode with a pre-shared key and GROUPKEY-PULL,
// everything but sockets and disk. server-ns/op is its processor time, bare-ns/op that of the two exponentiations alone in the same
// run, ratio one by the other.
func BenchmarkRegistration(b *testing.B) {
	for _, dh := range []int{14, 19} {
		b.Run(fmt.Sprintf("group%d", dh), func(b *testing.B) {
			l := newLAN(b)
			srv := l.add(rootAddr, 1)
			plan := &step.Plan{MemberLimit: 100000, Commit: 1, Effects: []step.Effect{
				{Row: "1.14", Kind: step.GenerateKEK, Group: "G"}, {Row: "1.14", Kind: step.GenerateTEK, Group: "G"},
			}}
			with := func(g *step.Gateway) step.GatewayChange {
				g.Proposals[0].DHGroup = dh
				return step.GatewayChange{New: g}
			}
			var names []string
			for i := range 200 {
				name := fmt.Sprintf("GM%03d", i)
				names = append(names, name)
				plan.Gateways = append(plan.Gateways, with(peer(name, step.Server, rootAddr, fmt.Sprintf("192.0.3.%d", i+1), false)))
			}
			plan.Groups = []step.GroupChange{{New: group(step.Standalone, names, nil)}}
			srv.Apply(l.now, plan)
			l.settle()

			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var spent, bare time.Duration
			n := 0
			for b.Loop() {
				addr := netip.AddrFrom4([4]byte{192, 0, 3, byte(n%200 + 1)})
				gm := New(&stream{n: uint64(n + 10)}, Options{})
				p := memberPlan(1)
				p.Gateways[0] = with(peer("G", step.Member, addr.String(), rootAddr, false))
				p.VPNs[0].New.Group = 7
				gm.Apply(l.now, p)
				var peerValue []byte
				for busy := true; busy; {
					busy = false
					var toServer []turn.Transmit
					for o, ok := gm.Next(); ok; o, ok = gm.Next() {
						switch o := o.(type) {
						case turn.Transmit:
							toServer = append(toServer, o)
						case turn.Work:
							v, err := l.work(o.Op)
							if err != nil {
								b.Fatal(err)
							}
							gm.HandleResult(l.now, turn.Result{ID: o.ID, Value: v})
						}
						busy = true
					}
					var toMember []turn.Transmit
					began := processor(b)
					for _, d := range toServer {
						srv.HandleDatagram(l.now, d.Remote, d.Local, d.Datagram)
					}
					for o, ok := srv.Next(); ok; o, ok = srv.Next() {
						switch o := o.(type) {
						case turn.Transmit:
							toMember = append(toMember, o)
						case turn.Work:
							v, err := l.work(o.Op)
							if err != nil {
								b.Fatal(err)
							}
							if op, ok := o.Op.(turn.DHBoth); ok {
								peerValue = op.Peer
							}
							srv.HandleResult(l.now, turn.Result{ID: o.ID, Value: v})
						}
						busy = true
					}
					spent += processor(b) - began
					for _, d := range toMember {
						if d.Remote.Addr() == addr {
							gm.HandleDatagram(l.now, d.Remote, d.Local, d.Datagram)
						}
					}
				}
				if !gm.State().Member.VPNs[0].Up {
					b.Fatalf("registration %d failed: %v", n, srv.State().IKE.Counters)
				}
				x := sa.Secret(bytes.Repeat([]byte{byte(n)&0x7f | 1}, 32))
				began := processor(b)
				if _, err := ike.DHPublic(dh, x); err != nil {
					b.Fatal(err)
				}
				if _, err := ike.DHShared(dh, x, peerValue); err != nil {
					b.Fatal(err)
				}
				bare += processor(b) - began
				n++
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(n), "server-ns/op")
			b.ReportMetric(float64(bare.Nanoseconds())/float64(n), "bare-ns/op")
			b.ReportMetric(float64(spent)/float64(bare), "ratio")
		})
	}
}
