package sim

import (
	"net/netip"
	"time"
)

// Faults is what the network does to every datagram. Probabilities are in percent.
type Faults struct {
	Loss, Duplicate, Reorder, Flip float64
	DelayMin, DelayMax             time.Duration
}

// SetFaults changes the network's behaviour from now on. It tells the verifiers that the world is disturbed as long as
// anything but delay is set.
func (w *World) SetFaults(f Faults) {
	w.faults = f
	w.note("faults %+v", f)
	w.verify.disturb(w)
}

// Cut stops datagrams from one node to another, in this direction only.
func (w *World) Cut(from, to string) {
	w.cuts[[2]string{from, to}] = true
	w.note("cut %s to %s", from, to)
	w.verify.disturb(w)
}

// Heal ends all cuts, faults and planned losses; delay stays.
func (w *World) Heal() {
	clear(w.cuts)
	w.losers = nil
	w.faults.Loss, w.faults.Duplicate, w.faults.Reorder, w.faults.Flip = 0, 0, 0, 0
	w.note("heal")
	w.verify.disturb(w)
}

// calm reports whether nothing disturbs the network.
func (w *World) calm() bool {
	f := w.faults
	return w.down == 0 && len(w.cuts) == 0 && len(w.losers) == 0 && f.Loss+f.Duplicate+f.Reorder+f.Flip == 0
}

// loser loses the next datagrams of one exchange type between two nodes; empty names are any node.
type loser struct {
	from, to string
	exchange byte
	left     int
}

// Lose has the next count datagrams of an exchange type lost; empty names are any node.
func (w *World) Lose(from, to string, exchange byte, count int) {
	w.losers = append(w.losers, &loser{from, to, exchange, count})
	w.verify.disturb(w)
}

func (w *World) loses(from, to *Node, b []byte) bool {
	b = unmarked(b)
	for i, l := range w.losers {
		if (l.from == "" || l.from == from.Name) && (l.to == "" || l.to == to.Name) && len(b) > 18 && b[18] == l.exchange {
			if l.left--; l.left == 0 {
				w.losers = append(w.losers[:i:i], w.losers[i+1:]...)
				w.verify.disturb(w)
			}
			return true
		}
	}
	return false
}

func (w *World) chance(percent float64) bool {
	return percent > 0 && w.rand.Float64()*100 < percent
}

// natBox is a NAT in front of some nodes: to everybody else each of their addresses and ports is a port of its own of one outer
// address.
type natBox struct {
	outer netip.Addr
	inner map[netip.Addr]bool
	last  uint16
	out   map[netip.AddrPort]uint16
	in    map[uint16]netip.AddrPort
}

// NAT puts addresses behind a NAT with an outer address.
func (w *World) NAT(outer netip.Addr, inner ...netip.Addr) {
	b := &natBox{outer: outer, inner: map[netip.Addr]bool{}, last: 20000}
	for _, a := range inner {
		b.inner[a] = true
	}
	b.forget()
	w.nats = append(w.nats, b)
	w.note("nat %s before %v", outer, inner)
}

// ForgetNAT lets every NAT forget whom its ports are of, as one does that is restarted.
func (w *World) ForgetNAT() {
	for _, b := range w.nats {
		b.forget()
	}
	w.note("nat forgets")
	w.verify.disturb(w)
}

func (b *natBox) forget() {
	b.out, b.in = map[netip.AddrPort]uint16{}, map[uint16]netip.AddrPort{}
}

// translate is what the network makes of a datagram's source and target. A target that no NAT knows is nobody's.
func (w *World) translate(source, target netip.AddrPort) (netip.AddrPort, netip.AddrPort) {
	for _, b := range w.nats {
		if b.inner[source.Addr()] {
			if b.out[source] == 0 {
				b.last++
				b.out[source], b.in[b.last] = b.last, source
			}
			source = netip.AddrPortFrom(b.outer, b.out[source])
		} else if target.Addr() == b.outer {
			target = b.in[target.Port()]
		}
	}
	return source, target
}
