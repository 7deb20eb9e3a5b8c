package ike

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// BenchmarkModexp is the floor under main mode: one exponentiation in group 14 with 256 bits of exponent. A responder needs
// two.
func BenchmarkModexp(b *testing.B) {
	x := sa.Secret(make([]byte, 32))
	rand.NewChaCha8([32]byte{}).Read(x)
	for b.Loop() {
		if _, err := DHPublic(14, x); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkModexpGroup24Shared(b *testing.B) {
	x := sa.Secret(make([]byte, 32))
	rand.NewChaCha8([32]byte{}).Read(x)
	peer, _ := DHPublic(24, x)
	for b.Loop() {
		if _, err := DHShared(24, x, peer); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMainModeResponder is a whole main mode at the responder, its two exponentiations included; the initiator's share
// is made outside of the clock.
func BenchmarkMainModeResponder(b *testing.B) {
	w := newWorld(b)
	respond := func(d wire) []byte {
		w.b.e.HandleDatagram(w.now, addrB, addrA, d.b)
		var answer []byte
		for o, ok := w.b.e.Next(); ok; o, ok = w.b.e.Next() {
			switch o := o.(type) {
			case turn.Transmit:
				answer = o.Datagram
			case turn.Work:
				var r turn.Result
				switch op := o.Op.(type) {
				case turn.DHBoth:
					r.Value, r.Err = DHBoth(op.Group, op.Exponent, op.Peer)
				}
				r.ID = o.ID
				w.b.e.HandleResult(w.now, r)
			}
		}
		return answer
	}
	ask := func(msg []byte) wire {
		w.a.e.HandleDatagram(w.now, addrA, addrB, msg)
		w.a.drain()
		d := w.wire[len(w.wire)-1]
		w.wire = nil
		return d
	}
	for b.Loop() {
		b.StopTimer()
		if p := w.a.last(); p != nil {
			w.a.e.discard(p)
		}
		w.a.e.Do(w.now, Connect{Gateway: "peer", Remote: addrB.Addr()})
		w.a.drain()
		msg := w.wire[0]
		w.wire, w.sent = nil, nil
		w.b.e.out, w.a.log = nil, nil
		b.StartTimer()
		m2 := respond(msg)
		b.StopTimer()
		m3 := ask(m2)
		b.StartTimer()
		m4 := respond(m3)
		b.StopTimer()
		m5 := ask(m4)
		b.StartTimer()
		if respond(m5) == nil {
			b.Fatal("no message 6")
		}
	}
}

// BenchmarkFlood is one message 1 of a forged cookie, with everything that it makes an endpoint keep.
func BenchmarkFlood(b *testing.B) {
	w := newWorld(b)
	w.net = func(wire) []wire { return nil }
	w.connect()
	msg := w.sent[0].b
	w.b.e.rand = zeroless{}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		msg[0], msg[1], msg[2], msg[3] = byte(i)|1, byte(i>>8), byte(i>>16), byte(i>>24)
		w.b.e.HandleDatagram(w.now, addrB, addrA, msg)
		for _, ok := w.b.e.Next(); ok; _, ok = w.b.e.Next() {
		}
	}
}

// BenchmarkExchangeMessage is one datagram of an exchange, opened and verified, without an answer.
func BenchmarkExchangeMessage(b *testing.B) {
	w := newWorld(b)
	a, p := w.up()
	id := w.a.e.messageID(a)
	msg, _ := a.protect(isakmp.ExchangePull, id, a.suite.exchangeIV(a.iv, id), isakmp.PayloadNONCE, chainOf('i', 500))
	h, err := isakmp.ParseHeader(msg)
	if err != nil {
		b.Fatal(err)
	}
	d := datagram{local: addrB, remote: addrA, h: h, b: msg}
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		if _, _, _, ok := w.b.e.open(p, d, p.suite.exchangeIV(p.iv, id)); !ok {
			b.Fatal("does not verify")
		}
	}
}

// BenchmarkGroups is what a responder computes in each group: its own public value and the shared secret.
func BenchmarkGroups(b *testing.B) {
	for _, n := range slices.Sorted(maps.Keys(groups)) {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x := make(sa.Secret, groups[n].exponentLen())
			for draw := true; draw; draw = !groups[n].fit(x) {
				rand.NewChaCha8([32]byte{byte(n)}).Read(x)
			}
			peer, err := DHPublic(n, x)
			if err != nil {
				b.Fatal(err)
			}
			defer reportCPU(b)()
			for b.Loop() {
				if _, err := DHPublic(n, x); err != nil {
					b.Fatal(err)
				}
				if _, err := DHShared(n, x, peer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// reportCPU begins to count the process's processor time; what it returns reports it for each operation. On a machine that has
// more to do, that says more than the time that passes.
func reportCPU(b *testing.B) func() {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Nanoseconds())/float64(b.N), "cpu-ns/op") }
}
