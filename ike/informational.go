package ike

import (
	"bytes"
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
	"slices"
	"time"

	"gvpn/isakmp"
	"gvpn/turn"
)

// handleInformational takes a datagram of exchange 5. Under an SA it is encrypted and carries HASH(1) = prf(SKEYID_a, M-ID |
// N/D) (RFC 2409 section 5.7); what is in clear, or does not verify, changes nothing. During phase 1 a notification in
// clear is read for the operator's sake only.
func (e *Endpoint) handleInformational(now time.Time, d datagram) {
	p := e.addressee(d, true)
	if p == nil {
		return
	}
	switch {
	case d.h.Flags&isakmp.FlagEncryption == 0:
		e.tally(dropClear)
		p.takeHint(d)
	case p.state != up && p.state != closing:
		e.tally(dropState)
	case d.h.Flags != isakmp.FlagEncryption:
		e.tally(dropFlags)
	case d.h.MessageID == 0:
		e.tally(dropMessageID)
	case p.own.has(d.h.MessageID):
		e.tally(dropReflected)
	default:
		if first, chain, _, ok := e.open(p, d, p.suite.exchangeIV(p.iv, d.h.MessageID)); ok {
			e.informed(now, p, d, first, chain)
		}
		p.rest()
	}
}

// takeHint remembers what an unauthenticated notification says of our negotiation, for the text of Failed.
func (p *phase1) takeHint(d datagram) {
	if !p.initiator || !p.negotiating() || len(d.b) > maxEarly || d.h.Next != isakmp.PayloadN {
		return
	}
	c := isakmp.Payloads(d.h.Next, d.b[isakmp.HeaderLen:])
	if payload, ok := c.Next(); ok {
		if n, err := isakmp.ParseNotify(payload.Body); err == nil {
			p.hint = n.Type.String()
		}
	}
}

// informed acts on a verified Informational message. All of it is read before anything of it is done: one payload may
// delete the SA that the next one speaks of.
func (e *Endpoint) informed(now time.Time, p *phase1, d datagram, first isakmp.PayloadType, chain []byte) {
	var notes []isakmp.Notify
	var doomed []*phase1
	c := isakmp.Payloads(first, chain)
	for payload, ok := c.Next(); ok; payload, ok = c.Next() {
		switch payload.Type {
		case isakmp.PayloadN:
			n, err := isakmp.ParseNotify(payload.Body)
			if err != nil {
				e.refuse(err)
				return
			}
			notes = append(notes, n)
		case isakmp.PayloadD:
			del, err := isakmp.ParseDelete(payload.Body)
			if err != nil {
				e.refuse(err)
				return
			}
			doomed = append(doomed, e.named(p, del)...)
		default:
			e.refuse(isakmp.Errorf(isakmp.UnexpectedPayload, "informational: %v payload", payload.Type))
			return
		}
	}
	if p.state == up {
		for _, n := range notes {
			e.notified(now, p, d, n)
		}
	}
	for _, o := range doomed {
		if o.state == up || o.state == closing {
			e.tally(tallyDeleted)
			e.gone(o, DeletedByPeer)
		}
	}
}

// named is the SAs that a Delete names: ISAKMP SAs by their cookies (RFC 2408 section 3.15), of the same peer only.
func (e *Endpoint) named(p *phase1, d isakmp.Delete) []*phase1 {
	if d.Protocol != isakmp.ProtocolISAKMP || d.SPISize != 16 {
		return nil
	}
	var named []*phase1
	for _, spi := range d.SPIs {
		o := e.byCookie[cookies{[8]byte(spi[:8]), [8]byte(spi[8:])}]
		if o != nil && o.gw == p.gw && o.remote.Addr() == p.remote.Addr() {
			named = append(named, o)
		}
	}
	return named
}

func (p *phase1) spi() []byte { return append(p.ck.i[:len(p.ck.i):len(p.ck.i)], p.ck.r[:]...) }

// notified acts on one verified notification. Any but those of DPD is only told to the operator.
func (e *Endpoint) notified(now time.Time, p *phase1, d datagram, n isakmp.Notify) {
	switch n.Type {
	case isakmp.RUThere, isakmp.RUThereAck:
		// RFC 3706 section 6.1: both sides check the cookies.
		if len(n.Data) != 4 || !bytes.Equal(n.SPI, p.spi()) {
			e.tally(dropSequence)
			return
		}
		seq := binary.BigEndian.Uint32(n.Data)
		if n.Type == isakmp.RUThere {
			e.answerProbe(p, d, seq)
		} else {
			e.probeAnswered(p, d, seq)
		}
	case isakmp.InitialContact:
		e.firstContact(p, &n)
	default:
		e.notice(now, p.gw, turn.Notice, "IKE_NOTIFICATION", "gateway %s, %v: the peer sent %v", p.gw.c.Name, p.remote, n.Type)
	}
}

// inform sends an Informational message of one payload under an SA.
func (e *Endpoint) inform(p *phase1, typ isakmp.PayloadType, body []byte) {
	id := e.messageID(p)
	msg, _ := p.protect(isakmp.ExchangeInformational, id, p.suite.exchangeIV(p.iv, id), typ, isakmp.AppendPayload(nil, isakmp.NoPayload, body))
	e.send(p, msg)
	p.rest()
}

// sendDelete tells the peer that an SA goes, under the DOI that it was made under (RFC 2408 section 3.15).
func (e *Endpoint) sendDelete(p *phase1) {
	d := isakmp.Delete{DOI: p.doi, Protocol: isakmp.ProtocolISAKMP, SPISize: 16, SPIs: [][]byte{p.spi()}}
	e.inform(p, isakmp.PayloadD, d.Append(nil))
}

// sendNotify sends a message of DPD, whose DOI is IPsec's (RFC 3706 section 5.3).
func (e *Endpoint) sendNotify(p *phase1, t isakmp.NotifyType, seq uint32) {
	n := isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolISAKMP, Type: t, SPI: p.spi(), Data: uint32s(seq)}
	e.inform(p, isakmp.PayloadN, n.Append(nil))
}

// messageID draws one that this SA has not seen: it must be unique among all of an SA's exchanges, or two of them would
// start from one IV (RFC 2409 section 5.7).
func (e *Endpoint) messageID(p *phase1) uint32 {
	for {
		id := binary.BigEndian.Uint32(e.draw(4))
		if id != 0 && p.exchange(id) == nil && !p.seen.has(id) && !p.own.has(id) {
			if p.own == nil {
				p.own = &memory{}
			}
			p.own.add(id)
			return id
		}
	}
}

// protect builds a datagram under an SA: HDR*, HASH(n), chain. nonces are Ni_b and Nr_b as far as HASH(n) covers them.
func (p *phase1) protect(x isakmp.ExchangeType, id uint32, iv [16]byte, first isakmp.PayloadType, chain []byte, nonces ...[]byte) ([]byte, [16]byte) {
	msg := p.header(isakmp.PayloadHASH, x, isakmp.FlagEncryption, id)
	hash := p.hash(x, id, chain, nonces)
	// Room for all of it: what append leaves behind when it moves would stay in the clear.
	msg = slices.Grow(msg, isakmp.GenericLen+len(hash)+len(chain)+aes.BlockSize)
	msg = isakmp.AppendPayload(msg, first, hash)
	return p.keys.seal(append(msg, chain...), iv)
}

// hash is HASH(n) = prf(SKEYID_a, M-ID | Ni_b | Nr_b | what follows HASH) (RFC 6407 section 3.2, RFC 2409 section 5.7). That
// leaves out the header's exchange type, so somebody on the way could make one exchange look like another. In the private
// exchanges, where the rule is ours to make, the exchange type stands after M-ID as one octet.
func (p *phase1) hash(x isakmp.ExchangeType, id uint32, chain []byte, nonces [][]byte) []byte {
	head := uint32s(id)
	if x.Private() {
		head = append(head, byte(x))
	}
	var n [2][]byte
	copy(n[:], nonces)
	return again(p.keys.tools().mac, head, n[0], n[1], chain)
}

// open decrypts and verifies a datagram under an SA and returns the chain that follows HASH, without padding, in storage
// of its own, and the last cipher block. It counts what is wrong.
func (e *Endpoint) open(p *phase1, d datagram, iv [16]byte, nonces ...[]byte) (isakmp.PayloadType, []byte, [16]byte, bool) {
	var none [16]byte
	plain, last, ok := p.keys.open(d.b, iv)
	if !ok {
		e.tally(dropBlocks)
		return 0, nil, none, false
	}
	if d.h.Next != isakmp.PayloadHASH {
		e.refuse(isakmp.Errorf(isakmp.UnexpectedPayload, "%v: %v payload first, want HASH", d.h.Exchange, d.h.Next))
		return 0, nil, none, false
	}
	c := isakmp.Payloads(d.h.Next, plain)
	hash, _ := c.Next()
	at, first := c.Offset(), c.Peek()
	for _, ok := c.Next(); ok; _, ok = c.Next() {
	}
	if err := c.Err(); err != nil {
		e.refuse(err)
		return 0, nil, none, false
	}
	chain := plain[at:c.Offset():c.Offset()]
	if subtle.ConstantTimeCompare(hash.Body, p.hash(d.h.Exchange, d.h.MessageID, chain, nonces)) != 1 {
		e.tally(dropHash)
		return 0, nil, none, false
	}
	p.suspect = false
	if p.unheard {
		p.unheard, p.lastOut = false, nil
		e.timers.stop(p.retry)
	}
	return first, chain, last, true
}
