package ike

import (
	"io"
	"net/netip"
	"time"

	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// Port is where a GCKS listens (RFC 6407 section 2.2).
const Port = 848

// Options sets an endpoint's limits; the zero value of a field means its default.
type Options struct {
	// Port is ours and the peers' (848): where main mode is sent to. A responder answers to whatever port it saw.
	Port uint16
	// DOI is what the phase 1s that we begin bear: 2 (RFC 6407 section 2.1), or 1 with an IKE daemon that is no GDOI one.
	DOI uint32
	// WorkBase is added to the IDs of Work, so that engines side by side do not collide; its low 56 bits are zero.
	WorkBase uint64

	// Retransmit are the waits after each sending of a message that must be answered. The default 0.5, 1, 2, 2 s sends at
	// 0, 0.5, 1.5 and 3.5 s and gives up at 5.5 s.
	Retransmit []time.Duration
	// HalfOpenTimeout is how long a negotiation may take in all (30 s).
	HalfOpenTimeout time.Duration
	// ExchangeTimeout is how long an exchange waits for our own engines, or for the peer to go on with an exchange
	// that it began (60 s).
	ExchangeTimeout time.Duration
	// Linger is how long a finished exchange can still answer repeated messages (30 s).
	Linger time.Duration
	// ClosingTimeout is the longest that a closing SA waits for answers (60 s).
	ClosingTimeout time.Duration

	MaxHalfOpen      int // negotiations that peers began, before message 3 (16384, which take 8 to 25 MB; at most 65535)
	MaxPinned        int // those past message 3 (8192)
	MaxPinnedPerPeer int // of those, one address's (8)
	MaxSAsPerPeer    int // SAs with one address of a gateway; the oldest goes (8)
	MaxExchanges     int // unfinished exchanges of each side under one SA (64)

	// KeyLog makes every SA disclose its cipher key by turn.KeyLog.
	KeyLog bool
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	limit := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	if o.Port == 0 {
		o.Port = Port
	}
	if o.DOI == 0 {
		o.DOI = isakmp.DOIGDOI
	}
	if len(o.Retransmit) == 0 {
		o.Retransmit = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 2 * time.Second}
	}
	set(&o.HalfOpenTimeout, 30*time.Second)
	set(&o.ExchangeTimeout, 60*time.Second)
	set(&o.Linger, 30*time.Second)
	set(&o.ClosingTimeout, 60*time.Second)
	limit(&o.MaxHalfOpen, 16384)
	o.MaxHalfOpen = min(o.MaxHalfOpen, 0xffff)
	limit(&o.MaxPinned, 8192)
	limit(&o.MaxPinnedPerPeer, 8)
	limit(&o.MaxSAsPerPeer, 8)
	limit(&o.MaxExchanges, 64)
	return o
}

// maxEarly is the largest datagram looked at from a peer that is not authenticated.
const maxEarly = 4096

// Endpoint is one node's IKE. It is owned by one goroutine.
type Endpoint struct {
	rand io.Reader
	o    Options

	gateways map[string]*gateway
	byRemote map[netip.Addr][]*gateway // sorted by name
	dynamic  dynamics
	vault    vault
	decoys   sa.Secret // what keys for unknown identities are made of; nil before the first

	lastID   SAID
	sas      map[SAID]*phase1
	byCookie map[cookies]*phase1 // an initiator that awaits message 2 stands under a zero responder cookie
	byStart  map[start]*phase1   // negotiations that peers began and that are past message 3
	begun    map[[8]byte]*phase1 // what has become of them, by the initiator's cookie; the last, if several have one
	ours     map[[8]byte]bool    // initiator cookies of our own
	half     halfOpen

	lastWork uint64
	work     map[uint64]*phase1

	timers timers
	out    []turn.Output
	count  counters

	// What strangers can cause, of all together.
	refusals rate // NO-PROPOSAL-CHOSEN sent
	notices  rate // lines for the operator's log
}

// cookies are the two cookies of a phase-1 SA.
type cookies struct{ i, r [8]byte }

// start is what a repeated message 1 is recognised by.
type start struct {
	cookie        [8]byte
	local, remote netip.AddrPort
}

// New makes an endpoint. rand gives cookies, nonces, exponents and message IDs; an error of it is a panic, since no
// endpoint can go on without randomness.
func New(rand io.Reader, o Options) *Endpoint {
	e := &Endpoint{
		rand:     rand,
		o:        o.withDefaults(),
		gateways: make(map[string]*gateway),
		byRemote: make(map[netip.Addr][]*gateway),
		sas:      make(map[SAID]*phase1),
		byCookie: make(map[cookies]*phase1),
		byStart:  make(map[start]*phase1),
		begun:    make(map[[8]byte]*phase1),
		ours:     make(map[[8]byte]bool),
		work:     make(map[uint64]*phase1),
		count:    make(counters),
		refusals: rate{burst: 100, span: time.Second},
		notices:  rate{burst: 60, span: time.Minute},
	}
	e.half.timer.fire = e.expireSlots
	return e
}

// HandleDatagram takes one UDP datagram that came to local from remote. It keeps nothing of b. Exchanges 33 and 35 are not
// for an Endpoint; the caller routes them by the header's exchange type.
func (e *Endpoint) HandleDatagram(now time.Time, local, remote netip.AddrPort, b []byte) {
	local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	h, err := isakmp.ParseHeader(b)
	if err != nil {
		e.refuse(err)
		return
	}
	d := datagram{local: local, remote: remote, h: h, b: b}
	switch {
	case h.Exchange == isakmp.ExchangeMain || h.Exchange == isakmp.ExchangeAggressive:
		e.handlePhase1(now, d)
	case h.Exchange == isakmp.ExchangeInformational:
		e.handleInformational(now, d)
	case h.Exchange == isakmp.ExchangePull || h.Exchange.Private():
		e.handleExchange(now, d)
	default:
		e.tally(dropExchange)
	}
}

// datagram is one received datagram with its header read. b is the caller's.
type datagram struct {
	local, remote netip.AddrPort
	h             isakmp.Header
	b             []byte
	hash          fingerprint // of b, once it is known to be anybody's business
}

// HandleTimeout does what is due by now.
func (e *Endpoint) HandleTimeout(now time.Time) { e.timers.run(now) }

// Deadline is when HandleTimeout is due next, false if never.
func (e *Endpoint) Deadline() (time.Time, bool) { return e.timers.next() }

// Next takes the next output, in order; false when there is none.
func (e *Endpoint) Next() (turn.Output, bool) {
	if len(e.out) == 0 {
		return nil, false
	}
	o := e.out[0]
	e.out[0] = nil
	if e.out = e.out[1:]; len(e.out) == 0 {
		e.out = nil
	}
	return o, true
}

// Do carries out a command. What it refers to may be gone by now: Connect and Begin then answer with Failed, the others
// do nothing.
func (e *Endpoint) Do(now time.Time, c Command) {
	switch c := c.(type) {
	case Connect:
		e.connect(now, c)
	case Begin:
		e.begin(now, c)
	case Reply:
		e.reply(now, c)
	case Abort:
		e.abort(c)
	case Delete:
		e.delete(now, c)
	case ClearDPD:
		if g := e.gateways[c.Gateway]; g != nil {
			g.dpd.count = DPDCounters{}
		}
	case Created:
		if p := e.sas[c.SA]; p != nil {
			p.stat.teksCreated += uint32(c.TEKs)
		}
	}
}

// Owns reports whether a Work or Result with this ID is this endpoint's.
func (e *Endpoint) Owns(workID uint64) bool { return workID>>56 == e.o.WorkBase>>56 }

func (e *Endpoint) emit(o turn.Output) { e.out = append(e.out, o) }

// draw fills a fresh slice with randomness.
func (e *Endpoint) draw(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(e.rand, b); err != nil {
		panic("ike: randomness: " + err.Error())
	}
	return b
}

// cookie draws a cookie. Its first four octets are never all zero: on port 4500 four zero octets in front say that what
// follows is IKE (RFC 3948 section 2.2), and an all-zero cookie means "none yet".
func (e *Endpoint) cookie() [8]byte {
	for {
		c := [8]byte(e.draw(8))
		if [4]byte(c[:4]) != [4]byte{} {
			return c
		}
	}
}
