package sim

import (
	"bytes"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"gvpn/turn"
)

// Epoch is when every world begins.
var Epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// World is a number of nodes and the network between them.
type World struct {
	// Violations is what the verifiers found, in order; the first is where to begin.
	Violations []string
	// Log, if set, gets one line for each event.
	Log io.Writer
	// CheapDH replaces Diffie-Hellman by something of the same form that costs and protects nothing, for worlds of many nodes.
	CheapDH bool

	seed   uint64
	now    time.Time
	rand   *rand.Rand
	events eventQueue
	number uint64

	nodes map[string]*Node
	order []*Node // by name
	due   dueQueue
	down  int // how many nodes are
	at    map[netip.Addr]*Node

	nats    []*natBox
	faults  Faults
	cuts    map[[2]string]bool
	losers  []*loser
	trace   hash.Hash
	turns   uint64
	sent    uint64
	lost    uint64
	traffic traffic
	verify  verifier
}

// New makes an empty world.
func New(seed uint64) *World {
	return &World{
		seed:   seed,
		now:    Epoch,
		rand:   rand.New(rand.NewPCG(seed, 0)),
		nodes:  map[string]*Node{},
		at:     map[netip.Addr]*Node{},
		cuts:   map[[2]string]bool{},
		trace:  sha256.New(),
		verify: newVerifier(),
		faults: Faults{DelayMin: time.Millisecond, DelayMax: 20 * time.Millisecond},
	}
}

// Now returns the world's time.
func (w *World) Now() time.Time { return w.now }

// Trace returns the SHA-256 of all events so far, in hexadecimal.
func (w *World) Trace() string { return hex.EncodeToString(w.trace.Sum(nil)) }

// event is something that happens at a time; events of one time happen in the order in which they were made.
type event struct {
	at     time.Time
	number uint64
	do     func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].number < q[j].number
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *eventQueue) Push(x any) { *q = append(*q, x.(event)) }

// Pop implements heap.Interface.
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

// dueQueue is the nodes that wait for something, by the world's time of their deadline and by name.
type dueQueue []*Node

func (q dueQueue) Len() int { return len(q) }
func (q dueQueue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].Name < q[j].Name
}

func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements heap.Interface.
func (q *dueQueue) Push(x any) {
	n := x.(*Node)
	n.at = len(*q)
	*q = append(*q, n)
}

// Pop implements heap.Interface.
func (q *dueQueue) Pop() any {
	old := *q
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	n.at = -1
	return n
}

// servers lists the nodes that have groups to serve, by name. All are up if the world is calm.
func (w *World) servers() (all []*Node) {
	for _, n := range w.order {
		if n.server {
			all = append(all, n)
		}
	}
	return all
}

// rearm takes note of a node's deadline, after whatever may have moved it.
func (w *World) rearm(n *Node) {
	t, ok := n.deadline()
	n.due = t
	switch {
	case ok && n.at >= 0:
		heap.Fix(&w.due, n.at)
	case ok:
		heap.Push(&w.due, n)
	case n.at >= 0:
		heap.Remove(&w.due, n.at)
	}
}

// after has do happen after d.
func (w *World) after(d time.Duration, do func()) {
	w.number++
	heap.Push(&w.events, event{w.now.Add(d), w.number, do})
}

// note writes one event into the trace. Nothing in it is secret.
func (w *World) note(format string, args ...any) {
	line := fmt.Sprintf("%12.6f %s\n", w.now.Sub(Epoch).Seconds(), fmt.Sprintf(format, args...))
	if name := w.verify.secrets.in([]byte(line)); name != "" {
		w.found(name + " in the trace")
		return
	}
	_, _ = io.WriteString(w.trace, line)
	if w.Log != nil {
		_, _ = io.WriteString(w.Log, line)
	}
}

func (w *World) violate(format string, args ...any) {
	w.note("VIOLATION %s", w.found(fmt.Sprintf(format, args...)))
}

// found adds to the violations.
func (w *World) found(what string) string {
	s := fmt.Sprintf("%s at %.3f s", what, w.now.Sub(Epoch).Seconds())
	if len(w.Violations) < 100 {
		w.Violations = append(w.Violations, s)
	}
	return s
}

// Run lets d pass.
func (w *World) Run(d time.Duration) {
	end := w.now.Add(d)
	for w.step(end) {
	}
	w.now = end
}

// step does the next thing that is due before or at end: an event, a node's timer, or a look at the traffic.
func (w *World) step(end time.Time) bool {
	var due *Node
	next := end.Add(1)
	if len(w.events) > 0 {
		next = w.events[0].at
	}
	if len(w.due) > 0 && w.due[0].due.Before(next) {
		due = w.due[0]
		next = due.due
	}
	if t, ok := w.traffic.next(); ok && t.Before(next) {
		due, next = nil, t
		if t.After(end) {
			return false
		}
		w.advance(t)
		w.lookAtTraffic()
		return true
	}
	if next.After(end) {
		return false
	}
	w.advance(next)
	if due == nil {
		e := heap.Pop(&w.events).(event)
		e.do()
		return true
	}
	due.timeout()
	return true
}

func (w *World) advance(t time.Time) {
	if t.After(w.now) {
		w.now = t
	}
}

// duration draws from min..max.
func (w *World) duration(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.rand.Int64N(int64(high-low)+1))
}

// transmit is the network: what a node sends, delivered or not.
func (w *World) transmit(from *Node, t turn.Transmit) {
	w.sent++
	source, target := w.translate(t.Local, t.Remote)
	if t.Multicast != nil {
		w.note("%s send %d octets to group %s", from.Name, len(t.Datagram), t.Remote)
		for _, n := range w.order {
			if n.listens(t.Remote) {
				w.carry(from, n, source, target, t)
			}
		}
		return
	}
	to := w.at[target.Addr()]
	if to == nil {
		w.note("%s send %d octets to %s: nobody is there", from.Name, len(t.Datagram), t.Remote)
		return
	}
	w.carry(from, to, source, target, t)
}

// carry gives a datagram, or a member's copy of it, its fate.
func (w *World) carry(from, to *Node, source, target netip.AddrPort, t turn.Transmit) {
	sum := sha256.Sum256(t.Datagram)
	w.note("%s send %s to %s %x", from.Name, describe(t.Datagram), to.Name, sum[:8])
	if w.cuts[[2]string{from.Name, to.Name}] || w.loses(from, to, t.Datagram) || w.chance(w.faults.Loss) {
		w.lost++
		w.note("%s lost", from.Name)
		return
	}
	copies := 1
	if w.chance(w.faults.Duplicate) {
		copies = 2
	}
	for range copies {
		b := append([]byte(nil), t.Datagram...)
		if w.chance(w.faults.Flip) && len(b) > 0 {
			i := w.rand.IntN(len(b) * 8)
			b[i/8] ^= 1 << (i % 8)
		}
		delay := w.duration(w.faults.DelayMin, w.faults.DelayMax)
		if w.chance(w.faults.Reorder) {
			delay += w.duration(0, 3*w.faults.DelayMax+100*time.Millisecond)
		}
		w.after(delay, func() { to.receive(from, target, source, b) })
	}
}

// unmarked is a datagram without what stands in front of IKE on port 4500; no cookie begins with four zero octets.
func unmarked(b []byte) []byte {
	return bytes.TrimPrefix(b, make([]byte, 4))
}

func describe(b []byte) string {
	b = unmarked(b)
	if len(b) < 28 {
		return fmt.Sprintf("%d octets", len(b))
	}
	return fmt.Sprintf("exchange %d of %d octets", b[18], len(b))
}
