package ike

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

var (
	addrA = netip.MustParseAddrPort("198.51.100.1:848")
	addrB = netip.MustParseAddrPort("198.51.100.2:848")
	epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
)

// world is two endpoints, a and b, joined by a network that a test holds in its hands. Work is done at once.
type world struct {
	t     testing.TB
	now   time.Time
	nodes map[netip.AddrPort]*node
	a, b  *node
	// net sees every datagram that is sent and says what arrives, in order; nil means as sent.
	net func(d wire) []wire
	// sent is every datagram sent since the start.
	sent []wire
	wire []wire
}

type wire struct {
	from, to netip.AddrPort
	b        []byte
}

type node struct {
	w    *world
	addr netip.AddrPort
	e    *Endpoint
	log  []turn.Output // what is not Transmit and not Work, since the last take
	hold bool          // keep Work back
	held []turn.Work
}

func gatewayTo(remote netip.AddrPort, change ...func(*step.Gateway)) step.Gateway {
	g := step.Gateway{
		Name: "peer", Side: step.Server, Remote: []netip.Addr{remote.Addr()}, Mode: "main",
		PSK:       sa.Secret("correct-horse-psk"),
		Proposals: []step.Proposal{{Name: "p", Hash: sa.SHA256, DHGroup: 14, KeyBits: 256, Lifetime: 86400 * time.Second}},
	}
	for _, f := range change {
		f(&g)
	}
	return g
}

// onP256 makes Diffie-Hellman cheap, for fuzzing.
func onP256(g *step.Gateway) { g.Proposals[0].DHGroup = 19 }

func withDPD(g *step.Gateway) {
	g.DPD, g.Peer = &step.DPD{Interval: 10 * time.Second, Threshold: 3}, true
}

func newWorld(t testing.TB, change ...func(*step.Gateway)) *world {
	w := &world{t: t, now: epoch, nodes: make(map[netip.AddrPort]*node)}
	w.a = w.add(addrA, 1, Options{WorkBase: 1 << 56}, gatewayTo(addrB, change...))
	w.b = w.add(addrB, 2, Options{WorkBase: 1 << 56}, gatewayTo(addrA, change...))
	return w
}

func (w *world) add(addr netip.AddrPort, seed byte, o Options, g step.Gateway) *node {
	n := &node{w: w, addr: addr, e: New(rand.NewChaCha8([32]byte{seed}), o)}
	n.e.SetGateway(w.now, g)
	w.nodes[addr] = n
	return n
}

// dhCache makes the same computation of many tests once.
var dhCache sync.Map

func carryOut(op turn.Op) (any, error) {
	var key string
	switch op := op.(type) {
	case turn.DHPublic:
		key = fmt.Sprintf("p%d %x", op.Group, []byte(op.Exponent))
	case turn.DHShared:
		key = fmt.Sprintf("s%d %x %x", op.Group, []byte(op.Exponent), op.Peer)
	case turn.DHBoth:
		public, err := carryOut(turn.DHPublic{Group: op.Group, Exponent: op.Exponent})
		if err != nil {
			return nil, err
		}
		shared, err := carryOut(turn.DHShared(op))
		if err != nil {
			return nil, err
		}
		return turn.KeyExchange{Public: public.([]byte), Shared: shared.(sa.Secret)}, nil
	}
	if v, ok := dhCache.Load(key); ok && key != "" {
		if s, is := v.(sa.Secret); is {
			return s.Clone(), nil
		}
		return v, nil
	}
	var v any
	var err error
	switch op := op.(type) {
	case turn.DHPublic:
		v, err = DHPublic(op.Group, op.Exponent)
	case turn.SignHash:
		return Sign(op)
	case turn.DHShared:
		var s sa.Secret
		if s, err = DHShared(op.Group, op.Exponent, op.Peer); err == nil {
			dhCache.Store(key, s.Clone())
			return s, nil
		}
	}
	if err != nil {
		return nil, err
	}
	dhCache.Store(key, v)
	return v, nil
}

func (n *node) work(k turn.Work) {
	v, err := carryOut(k.Op)
	if err != nil {
		v = nil
	}
	n.e.HandleResult(n.w.now, turn.Result{ID: k.ID, Value: v, Err: err})
}

// drain takes a node's outputs.
func (n *node) drain() {
	for {
		o, ok := n.e.Next()
		if !ok {
			return
		}
		switch o := o.(type) {
		case turn.Transmit:
			from := o.Local
			if from.Addr().IsUnspecified() {
				from = netip.AddrPortFrom(n.addr.Addr(), from.Port())
			}
			d := wire{from, o.Remote, o.Datagram}
			n.w.sent = append(n.w.sent, d)
			if n.w.net == nil {
				n.w.wire = append(n.w.wire, d)
			} else {
				n.w.wire = append(n.w.wire, n.w.net(d)...)
			}
		case turn.Work:
			if !n.e.Owns(o.ID) {
				n.w.t.Fatalf("work %x is not this endpoint's", o.ID)
			}
			if n.hold {
				n.held = append(n.held, o)
			} else {
				n.work(o)
			}
		default:
			n.log = append(n.log, o)
		}
	}
}

// settle delivers until nothing moves; time stands still.
func (w *world) settle() {
	for i := 0; ; i++ {
		w.a.drain()
		w.b.drain()
		if len(w.wire) == 0 {
			return
		}
		if i > 10000 {
			w.t.Fatal("the network does not fall silent")
		}
		d := w.wire[0]
		w.wire = w.wire[1:]
		w.deliver(d)
	}
}

func (w *world) deliver(d wire) {
	if n := w.nodes[d.to]; n != nil {
		before := string(d.b)
		n.e.HandleDatagram(w.now, d.to, d.from, d.b)
		if string(d.b) != before {
			w.t.Fatal("HandleDatagram changed its caller's octets")
		}
		n.drain()
	}
}

// run lets time pass, firing what is due.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	w.settle()
	for {
		next := end
		for _, n := range []*node{w.a, w.b} {
			if at, ok := n.e.Deadline(); ok && at.Before(next) {
				next = at
			}
		}
		if next.After(w.now) {
			w.now = next
		}
		fired := false
		for _, n := range []*node{w.a, w.b} {
			if at, ok := n.e.Deadline(); ok && !at.After(w.now) {
				n.e.HandleTimeout(w.now)
				fired = true
			}
		}
		w.settle()
		if !fired && !w.now.Before(end) {
			return
		}
	}
}

// take returns what n said to the engines above and to the operator since the last take.
func (n *node) take() []turn.Output {
	n.drain()
	l := n.log
	n.log = nil
	return l
}

// said is take in words, notifications left out.
func (n *node) said() string {
	var words []string
	for _, o := range n.take() {
		switch o := o.(type) {
		case Up:
			words = append(words, fmt.Sprintf("up %d", o.SA))
		case Down:
			words = append(words, fmt.Sprintf("down %d: %s", o.SA, o.Reason))
		case Dead:
			words = append(words, "dead "+o.Gateway)
		case Failed:
			words = append(words, fmt.Sprintf("failed sa %d token %d: %s", o.SA, o.Token, o.Reason))
		case Message:
			words = append(words, fmt.Sprintf("message %d of %v token %d: %x", o.Number, o.Exchange, o.Token, o.Payloads))
		case turn.Notify:
		default:
			words = append(words, fmt.Sprintf("%T", o))
		}
	}
	return strings.Join(words, "\n")
}

func (n *node) want(words ...string) {
	n.w.t.Helper()
	if got := n.said(); got != strings.Join(words, "\n") {
		n.w.t.Fatalf("%v said\n%s\nwant\n%s", n.addr, got, strings.Join(words, "\n"))
	}
}

func (w *world) wantIdle() {
	w.t.Helper()
	w.settle()
	w.a.want()
	w.b.want()
}

func (w *world) connect() {
	w.a.e.Do(w.now, Connect{Gateway: "peer", Remote: addrB.Addr()})
	w.settle()
}

// another has a open one more SA, as the renewal of one does.
func (w *world) another() {
	w.a.e.initiate(w.now, w.a.last().gw, addrB.Addr())
	w.settle()
}

// up brings an SA up and returns its two halves.
func (w *world) up() (a, b *phase1) {
	w.t.Helper()
	w.connect()
	a, b = w.a.last(), w.b.last()
	if a == nil || b == nil || a.state != up || b.state != up {
		w.t.Fatalf("no SA up:\n%s\n%s", w.a.said(), w.b.said())
	}
	w.a.want(fmt.Sprintf("up %d", a.id))
	w.b.want(fmt.Sprintf("up %d", b.id))
	return a, b
}

func (n *node) last() *phase1 {
	l := n.e.sorted()
	if len(l) == 0 {
		return nil
	}
	return l[len(l)-1]
}

// chainOf is a chain of one NONCE with the given octet and one vendor payload.
func chainOf(o byte, n int) []byte {
	nonce := make([]byte, 16)
	for i := range nonce {
		nonce[i] = o
	}
	b := isakmp.AppendPayload(nil, isakmp.PayloadID, nonce)
	return isakmp.AppendPayload(b, isakmp.NoPayload, make([]byte, n))
}

// pull makes b answer and a go on with a four-message exchange whenever a message comes up.
func (w *world) pull() {
	for _, n := range []*node{w.a, w.b} {
		var rest []turn.Output
		for _, o := range n.take() {
			m, ok := o.(Message)
			if !ok {
				rest = append(rest, o)
				continue
			}
			r := Reply{SA: m.SA, MsgID: m.MsgID}
			switch m.Number {
			case 1:
				r.First, r.Payloads = isakmp.PayloadNONCE, chainOf('r', 40)
			case 2:
			case 3:
				r.First, r.Payloads, r.Last = isakmp.PayloadKD, isakmp.AppendPayload(nil, 0, []byte("keys")), true
			default:
				rest = append(rest, m)
				continue
			}
			n.e.Do(w.now, r)
		}
		n.log = append(rest, n.log...)
	}
	w.settle()
}
