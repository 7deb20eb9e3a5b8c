package ike

import (
	"slices"
	"time"

	"gvpn/isakmp"
)

// maxNumber bounds the messages of one exchange, maxSeen the message IDs that an SA remembers.
const (
	maxNumber = 16
	maxSeen   = 4096
)

// Whose turn it is in an exchange.
type whose uint8

const (
	theirs whose = iota // we wait for the peer
	local               // the peer waits for our engines
	over                // kept to answer repetitions
)

// exchange is one exchange under an SA.
type exchange struct {
	p      *phase1
	id     uint32
	typ    isakmp.ExchangeType
	ours   bool
	turn   whose
	number int // of the last message, either side's
	*course

	lastIn  fingerprint
	lastOut []byte // our answer to lastIn, or message 1; nil while we owe one
	repeats int    // how often lastIn was answered again
	timer   timer
}

// course is what of an exchange nobody needs any more when it is over.
type course struct {
	token  uint64
	all    int      // messages that it has; 0: not known
	iv     [16]byte // for the next message, either side's: CBC runs through the whole exchange
	ni, nr []byte
	every  time.Duration
	tries  int
	sent   int
}

// maxRepeats bounds how often one message is answered again. Who has overheard it can send it as often as he likes, and message
// 4 of a GROUPKEY-PULL is many times as long as message 3. A peer of ours repeats a message less often.
const maxRepeats = 8

// memory is the message IDs that peers have used under an SA: an old datagram must not open an exchange again. It forgets
// the oldest beyond maxSeen; freshness of what matters rests on the nonces then (RFC 6407 section 7.2).
//
// Most SAs see one exchange, and thousands are looked through in less time than a message is decrypted.
type memory struct {
	ring []uint32
	at   int
}

func (m *memory) has(id uint32) bool { return m != nil && slices.Contains(m.ring, id) }

func (m *memory) add(id uint32) {
	if len(m.ring) < maxSeen {
		m.ring = append(m.ring, id)
		return
	}
	m.ring[m.at] = id
	m.at = (m.at + 1) % maxSeen
}

// forget takes back an ID whose message was not acted on.
func (m *memory) forget(id uint32) {
	if i := slices.Index(m.ring, id); i >= 0 {
		m.ring[i] = 0 // no exchange has it
	}
}

// waiting reports whether an exchange of ours is unanswered or, under an SA whose lifetime is over, any is unfinished.
func (p *phase1) waiting() bool {
	for _, x := range p.order {
		if x.ours && x.turn == theirs || p.lapsed && x.turn != over {
			return true
		}
	}
	return false
}

// running counts one side's unfinished exchanges.
func (p *phase1) running(ours bool) int {
	n := 0
	for _, x := range p.order {
		if x.ours == ours && x.turn != over {
			n++
		}
	}
	return n
}

func (e *Endpoint) newExchange(p *phase1, typ isakmp.ExchangeType, id uint32, ours bool) *exchange {
	x := &exchange{p: p, id: id, typ: typ, ours: ours, number: 1, course: &course{iv: p.suite.exchangeIV(p.iv, id)}}
	x.timer.fire = func(now time.Time) { e.exchangeDue(now, x) }
	p.order = append(p.order, x)
	// What is over is kept only as long as there is room.
	for i := 0; len(p.order) > 4*e.o.MaxExchanges && i < len(p.order); {
		if p.order[i].turn == over {
			e.drop(p.order[i])
			continue
		}
		i++
	}
	return x
}

// drop forgets an exchange.
func (e *Endpoint) drop(x *exchange) {
	e.timers.stop(&x.timer)
	p := x.p
	p.order = without(p.order, x)
	if !x.ours && x.number == 1 {
		// Nothing was answered: if the peer repeats message 1 it may be acted on then (C5).
		p.seen.forget(x.id)
	}
	p.rest()
}

// exchange is the one of a message ID, nil if there is none.
func (p *phase1) exchange(id uint32) *exchange {
	for _, x := range p.order {
		if x.id == id {
			return x
		}
	}
	return nil
}

// rest is told that an exchange, or a message that is none, is done with.
func (p *phase1) rest() {
	if p.running(true)+p.running(false) == 0 {
		p.keys.rest()
	}
}

// settle ends a closing SA that no longer waits for anything.
func (e *Endpoint) settle(p *phase1) {
	if p.state == closing && !p.waiting() {
		e.down(p, "closed")
	}
}

// nonceOf is the body of the chain's NONCE payload, nil if it has none.
func nonceOf(x isakmp.ExchangeType, first isakmp.PayloadType, chain []byte) ([]byte, error) {
	var nonce []byte
	c := isakmp.Payloads(first, chain)
	for p, ok := c.Next(); ok; p, ok = c.Next() {
		if p.Type != isakmp.PayloadNONCE {
			continue
		}
		if nonce != nil {
			return nil, isakmp.Errorf(isakmp.DuplicatePayload, "%v: a second NONCE payload", x)
		}
		if err := isakmp.CheckNonce(p.Body, 8, 128); err != nil {
			return nil, err
		}
		nonce = p.Body
	}
	switch {
	case c.Err() != nil:
		return nil, c.Err()
	case c.Offset() != len(chain):
		return nil, isakmp.Errorf(isakmp.Long, "%v: %d octets after the chain", x, len(chain)-c.Offset())
	case nonce == nil && x == isakmp.ExchangePull:
		return nil, isakmp.Errorf(isakmp.MissingPayload, "%v: no NONCE payload", x)
	}
	return append([]byte(nil), nonce...), nil
}

// takeNonce remembers the nonce of message 1 or 2.
func (x *exchange) takeNonce(number int, first isakmp.PayloadType, chain []byte) error {
	if number > 2 {
		return nil
	}
	n, err := nonceOf(x.typ, first, chain)
	if err != nil {
		return err
	}
	if number == 1 {
		x.ni = n
	} else {
		x.nr = n
	}
	return nil
}

// nonces are those that HASH(number) covers.
func (x *exchange) nonces(number int) [][]byte {
	switch number {
	case 1:
		return nil
	case 2:
		return [][]byte{x.ni}
	}
	return [][]byte{x.ni, x.nr}
}

// handleExchange takes a datagram of exchange 32 or 240..255.
func (e *Endpoint) handleExchange(now time.Time, d datagram) {
	p := e.addressee(d, false)
	if p == nil {
		return
	}
	d.hash = digest(d.b)
	x := p.exchange(d.h.MessageID)
	switch {
	case p.state != up && p.state != closing:
		e.tally(dropState)
	case d.h.Flags&isakmp.FlagEncryption == 0:
		e.tally(dropClear)
	case d.h.Flags != isakmp.FlagEncryption:
		e.tally(dropFlags)
	case d.h.MessageID == 0, x != nil && x.typ != d.h.Exchange:
		e.tally(dropMessageID)
	case x == nil:
		e.opened(now, p, d)
	case d.hash == x.lastIn:
		e.tally(dropRepeated)
		// While we wait for the peer's next message, our own timer repeats; a peer's exchange has no timer.
		if x.lastOut != nil && (x.turn == over || !x.ours) && x.repeats < maxRepeats {
			x.repeats++
			e.send(p, x.lastOut)
		}
	case x.turn != theirs || p.state == closing && !x.ours && !p.lapsed:
		e.tally(dropState)
	default:
		e.continued(now, x, d)
	}
}

// opened takes message 1 of an exchange that the peer begins.
func (e *Endpoint) opened(now time.Time, p *phase1, d datagram) {
	id := d.h.MessageID
	switch {
	case p.state == closing:
		e.tally(dropState)
		return
	case p.seen.has(id):
		e.tally(dropReplayed)
		return
	case p.own.has(id):
		e.tally(dropReflected)
		return
	case p.running(false) >= e.o.MaxExchanges:
		e.tally(dropExchanges)
		return
	}
	first, chain, last, ok := e.open(p, d, p.suite.exchangeIV(p.iv, id))
	if !ok {
		return
	}
	nonce, err := nonceOf(d.h.Exchange, first, chain)
	if err != nil {
		e.refuse(err)
		return
	}
	e.move(p, d)
	p.seen.add(id)
	p.stat.exchangesAnswered++
	x := e.newExchange(p, d.h.Exchange, id, false)
	x.ni = nonce
	e.deliver(now, x, d, last, first, chain)
}

// continued takes a further message of an exchange that waits for the peer.
func (e *Endpoint) continued(now time.Time, x *exchange, d datagram) {
	n := x.number + 1
	if n > maxNumber {
		e.tally(dropState)
		return
	}
	first, chain, last, ok := e.open(x.p, d, x.iv, x.nonces(n)...)
	if !ok {
		return
	}
	if err := x.takeNonce(n, first, chain); err != nil {
		e.refuse(err)
		return
	}
	e.move(x.p, d)
	x.number = n
	e.deliver(now, x, d, last, first, chain)
	e.settle(x.p)
}

func (e *Endpoint) deliver(now time.Time, x *exchange, d datagram, last [16]byte, first isakmp.PayloadType, chain []byte) {
	x.turn, x.iv, x.lastIn, x.lastOut, x.repeats = local, last, d.hash, nil, 0
	token := x.token
	x.p.lastOut = nil // who goes on has what ended the negotiation
	if x.number == x.all {
		e.finish(now, x)
	} else {
		e.timers.arm(&x.timer, now.Add(e.o.ExchangeTimeout))
	}
	p := x.p
	e.emit(Message{
		SA: p.id, Gateway: p.gw.c.Name, Local: p.local, Remote: p.remote, Exchange: x.typ, MsgID: x.id, Token: token,
		Initiator: x.ours, Number: x.number, First: first, Payloads: chain,
	})
}

func (e *Endpoint) begin(now time.Time, c Begin) {
	p := e.sas[c.SA]
	fail := func(reason string) {
		f := Failed{SA: c.SA, Token: c.Token, Reason: reason}
		if p != nil {
			f.Gateway, f.Remote = p.gw.c.Name, p.remote.Addr()
		}
		e.emit(f)
	}
	switch {
	case p == nil || p.state != up:
		fail("the IKE SA is not up")
		return
	case c.Exchange != isakmp.ExchangePull && !c.Exchange.Private():
		fail("no exchange of this type runs under an IKE SA: " + c.Exchange.String())
		return
	case p.running(true) >= e.o.MaxExchanges:
		fail("too many exchanges under the IKE SA")
		return
	}
	nonce, err := nonceOf(c.Exchange, c.First, c.Payloads)
	switch {
	case err != nil:
		fail(err.Error())
		return
	case tooLong(c.Payloads):
		fail("the message does not fit a datagram")
		return
	}
	x := e.newExchange(p, c.Exchange, e.messageID(p), true)
	p.stat.exchangesBegun++
	x.token, x.all, x.ni, x.every, x.tries = c.Token, c.Messages, nonce, c.Every, c.Tries
	if x.every == 0 && (x.tries <= 0 || x.tries > len(e.o.Retransmit)) {
		x.tries = len(e.o.Retransmit)
	}
	if x.tries == 0 {
		x.tries = 1
	}
	e.transmit(now, x, c.First, c.Payloads)
	e.awaitAnswer(now, x)
}

// tooLong reports whether a chain is too long for one datagram with header, HASH and padding.
func tooLong(chain []byte) bool {
	return isakmp.HeaderLen+isakmp.GenericLen+64+len(chain)+16 > isakmp.MaxMessage
}

// transmit sends message x.number, and destroys what may be keys in the clear.
func (e *Endpoint) transmit(now time.Time, x *exchange, first isakmp.PayloadType, chain []byte) {
	x.lastOut, x.iv = x.p.protect(x.typ, x.id, x.iv, first, chain, x.nonces(x.number)...)
	clear(chain)
	e.send(x.p, x.lastOut)
}

// awaitAnswer gives the turn to the peer.
func (e *Endpoint) awaitAnswer(now time.Time, x *exchange) {
	x.turn, x.sent = theirs, 1
	e.timers.arm(&x.timer, now.Add(e.wait(x)))
}

func (e *Endpoint) wait(x *exchange) time.Duration {
	switch {
	case !x.ours:
		return e.o.ExchangeTimeout
	case x.every != 0:
		return x.every
	}
	return e.o.Retransmit[x.sent-1]
}

// exchangeDue is the exchange's timer: time to repeat our message, to give up, or to forget.
func (e *Endpoint) exchangeDue(now time.Time, x *exchange) {
	p := x.p
	if !x.ours || x.turn != theirs {
		e.drop(x)
		return
	}
	if x.tries > 0 && x.sent >= x.tries && (x.every == 0 || p.state != closing) {
		p.suspect = true
		e.failExchange(x, "no answer")
		e.settle(p)
		return
	}
	e.tally(tallyResent)
	e.send(p, x.lastOut)
	x.sent++
	e.timers.arm(&x.timer, now.Add(e.wait(x)))
}

func (e *Endpoint) failExchange(x *exchange, reason string) {
	e.drop(x)
	e.emit(Failed{Gateway: x.p.gw.c.Name, Remote: x.p.remote.Addr(), SA: x.p.id, Token: x.token, Reason: reason})
}

// failExchanges fails what still waits for the peer.
func (e *Endpoint) failExchanges(p *phase1, reason string) {
	for _, x := range append([]*exchange(nil), p.order...) {
		if x.ours && x.turn == theirs {
			e.failExchange(x, "IKE SA: "+reason)
		}
	}
}

func (e *Endpoint) reply(now time.Time, c Reply) {
	var x *exchange
	if p := e.sas[c.SA]; p != nil {
		x = p.exchange(c.MsgID)
	}
	if x == nil || x.turn != local || x.number == maxNumber {
		e.tally(dropReply)
		return
	}
	err := x.takeNonce(x.number+1, c.First, c.Payloads)
	if err == nil && x.number+1 > 2 {
		_, err = isakmp.ChainLen(c.First, c.Payloads)
	}
	if err != nil || tooLong(c.Payloads) {
		// Our own engine's fault, which no peer can cause: the exchange ends here.
		reason := "the message does not fit a datagram"
		if err != nil {
			reason = err.Error()
		}
		if x.ours {
			e.failExchange(x, reason)
		} else {
			e.drop(x)
		}
		return
	}
	x.number++
	e.transmit(now, x, c.First, c.Payloads)
	if !c.Last {
		e.awaitAnswer(now, x)
		return
	}
	e.finish(now, x)
}

// finish keeps an exchange only to know repetitions by, for a while and as long as there is room.
func (e *Endpoint) finish(now time.Time, x *exchange) {
	x.turn, x.course = over, nil
	x.p.rest()
	e.timers.arm(&x.timer, now.Add(e.o.Linger))
	e.settle(x.p)
}

func (e *Endpoint) abort(c Abort) {
	p := e.sas[c.SA]
	if p == nil {
		return
	}
	for _, x := range append([]*exchange(nil), p.order...) {
		if c.MsgID != 0 && x.id == c.MsgID || c.MsgID == 0 && x.ours && x.course != nil && x.token == c.Token {
			e.drop(x)
		}
	}
	e.settle(p)
}
