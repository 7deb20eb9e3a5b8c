package ike

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"net/netip"
	"time"

	"gvpn/isakmp"
)

// maxSAi is the longest SAi_b that a responder keeps before message 3. It must keep it, since HASH_I and HASH_R cover SAi_b and
// no later message repeats it: phase 1 cannot do without state as IKEv2's cookies can. libreswan's list, where no other is
// configured, has 18 transforms in 640 octets; strongSwan takes 76, and 36 more for each proposal that is configured.
const maxSAi = 1024

// secretLife is how long at most a responder's cookies are made with one secret.
const secretLife = 2 * time.Minute

// keptSlots is how many slots an empty table keeps for the next who comes.
const keptSlots = 256

// halfOpen is what peers have begun and not finished.
//
// Whoever sent only message 1 may have forged its address. All that is kept of those is a slot of a table that holds up to
// MaxHalfOpen. The responder's cookie says which slot, and authenticates it:
//
//	slot + 1 (2) | use (1) | HMAC-SHA-256(secret, slot + 1 | use | initiator's cookie | addresses and ports), cut to 5 octets
//
// When the table is full the oldest slot is used again; but an address that holds its share of slots or more loses its own
// oldest, and so does a network that holds its: a flood pushes out itself, whether it comes from one address, from one network or
// from everywhere, and a real peer in the middle of it needs only be faster than the flood fills the table.
//
// Whoever sent message 3 has shown that it receives at its address: it is pinned, with an SA of its own outside the table, and
// never pushed out. Since it costs two exponentiations, there are no more of those than can be computed for while their peers wait,
// and each address and each network is given a few only. Whoever finds no room comes again with its message 3, and its slot waits for
// it: when all members of a group find their server again at the same moment, many are served without beginning anew.
type halfOpen struct {
	slots  []*slot
	free   []uint16
	index  map[start]uint16
	queues [3]map[netip.Prefix]queue // everybody, by network, by address; of slots by age
	timer  timer                     // of the oldest slot

	pinned     int
	delay      time.Duration        // from the last message 3 whose answer could be computed until it was
	aggressive int                  // of pinned
	pinnedBy   map[netip.Prefix]int // addresses and networks

	made             time.Time // when secret was
	secret, previous hash.Hash // HMACs; nil before the first message 1
}

// slot is one message 1 that was answered.
type slot struct {
	used   bool
	use    uint8 // how often the slot was used, modulo 256; no number comes twice under one secret
	cookie [8]byte
	start  start
	gw     *gateway
	began  time.Time
	hash   fingerprint // of message 1
	suite  suite
	life   time.Duration
	doi    uint32
	dpd    bool
	natt   bool
	sai    []byte  // up to maxSAi octets; the room stays for the next use
	stat   tallies // the octets and packets only
	links  [3]link
}

// link is a place in a queue: slots plus one, 0 at the ends.
type link struct{ prev, next uint16 }

type queue struct {
	first, last uint16 // slots plus one
	n           int
}

// open makes the table, once somebody is answered.
func (h *halfOpen) open() {
	if h.index != nil {
		return
	}
	h.empty()
	h.pinnedBy = make(map[netip.Prefix]int)
}

// empty gives back the memory of a table without used slots. The next cookie needs another secret, since the uses begin anew.
func (h *halfOpen) empty() {
	h.slots, h.free, h.made = nil, nil, time.Time{}
	h.index = make(map[start]uint16)
	for i := range h.queues {
		h.queues[i] = make(map[netip.Prefix]queue)
	}
}

// n is how many slots are in use.
func (h *halfOpen) n() int { return len(h.slots) - len(h.free) }

// queueKeys says in which queues an address stands.
func queueKeys(a netip.Addr) (keys [3]netip.Prefix) {
	bits := 24
	if a.Is6() {
		bits = 56 // what a site is given
	}
	keys[1], _ = a.Prefix(bits)
	keys[2] = netip.PrefixFrom(a, a.BitLen())
	return keys
}

func (h *halfOpen) push(i uint16) {
	s := h.slots[i]
	for k, key := range queueKeys(s.start.remote.Addr()) {
		q := h.queues[k][key]
		s.links[k] = link{prev: q.last}
		if q.last != 0 {
			h.slots[q.last-1].links[k].next = i + 1
		} else {
			q.first = i + 1
		}
		q.last = i + 1
		q.n++
		h.queues[k][key] = q
	}
}

// release empties a slot.
func (h *halfOpen) release(i uint16) {
	s := h.slots[i]
	for k, key := range queueKeys(s.start.remote.Addr()) {
		q := h.queues[k][key]
		l := s.links[k]
		if l.prev != 0 {
			h.slots[l.prev-1].links[k].next = l.next
		} else {
			q.first = l.next
		}
		if l.next != 0 {
			h.slots[l.next-1].links[k].prev = l.prev
		} else {
			q.last = l.prev
		}
		if q.n--; q.n == 0 {
			delete(h.queues[k], key)
		} else {
			h.queues[k][key] = q
		}
	}
	delete(h.index, s.start)
	s.used, s.gw = false, nil
	if h.free = append(h.free, i); h.n() == 0 && len(h.slots) > keptSlots {
		h.empty()
	}
}

// victim is the slot to be used again for a newcomer from an address; the table is full.
func (h *halfOpen) victim(a netip.Addr) uint16 {
	keys := queueKeys(a)
	for k := 2; k > 0; k-- {
		if q := h.queues[k][keys[k]]; q.n*len(h.queues[k]) >= h.n() {
			return q.first - 1
		}
	}
	return h.queues[0][keys[0]].first - 1
}

// takeSlot gives a slot for a message 1. What the slot holds is the caller's to fill in, but for its cookie.
func (e *Endpoint) takeSlot(now time.Time, at start) *slot {
	h := &e.half
	h.open()
	switch {
	case len(h.free) > 0:
	case len(h.slots) < e.o.MaxHalfOpen:
		h.free = append(h.free, uint16(len(h.slots)))
		h.slots = append(h.slots, &slot{})
	default:
		e.tally(tallyEvicted)
		h.release(h.victim(at.remote.Addr()))
	}
	i := h.free[len(h.free)-1]
	h.free = h.free[:len(h.free)-1]
	s := h.slots[i]
	s.used, s.start, s.began, s.stat = true, at, now, tallies{}
	if s.use++; s.use == 0 || h.secret == nil || now.Sub(h.made) >= secretLife {
		h.previous, h.secret, h.made = h.secret, hmac.New(sha256.New, e.draw(32)), now
	}
	binary.BigEndian.PutUint16(s.cookie[:], i+1)
	s.cookie[2] = s.use
	s.cookie = sign(h.secret, s.cookie, at)
	h.index[at] = i
	h.push(i)
	if h.timer.pos == 0 {
		e.timers.arm(&h.timer, now.Add(e.o.HalfOpenTimeout))
	}
	return s
}

// sign puts the code into a cookie.
func sign(mac hash.Hash, cookie [8]byte, at start) [8]byte {
	var b [3 + 8 + 2*18]byte
	copy(b[:], cookie[:3])
	copy(b[3:], at.cookie[:])
	for i, a := range [2]netip.AddrPort{at.local, at.remote} {
		addr := a.Addr().As16()
		copy(b[11+18*i:], addr[:])
		binary.BigEndian.PutUint16(b[27+18*i:], a.Port())
	}
	mac.Reset()
	mac.Write(b[:])
	var sum [sha256.Size]byte
	copy(cookie[3:], mac.Sum(sum[:0]))
	return cookie
}

// slotOf is the slot that a message 3 belongs to, nil if there is none.
func (h *halfOpen) slotOf(header isakmp.Header) *slot {
	i := int(binary.BigEndian.Uint16(header.ResponderCookie[:])) - 1
	if i < 0 || i >= len(h.slots) {
		return nil
	}
	s := h.slots[i]
	if !s.used || s.start.cookie != header.InitiatorCookie || subtle.ConstantTimeCompare(s.cookie[:], header.ResponderCookie[:]) != 1 {
		return nil
	}
	return s
}

// late reports whether a datagram bears a cookie that we gave to its sender lately: then its slot was used again meanwhile.
func (h *halfOpen) late(d datagram) bool {
	if i := int(binary.BigEndian.Uint16(d.h.ResponderCookie[:])); i == 0 || i > len(h.slots) {
		return false
	}
	at := start{d.h.InitiatorCookie, d.local, d.remote}
	for _, mac := range []hash.Hash{h.secret, h.previous} {
		if mac == nil {
			continue
		}
		if want := sign(mac, d.h.ResponderCookie, at); subtle.ConstantTimeCompare(want[:], d.h.ResponderCookie[:]) == 1 {
			return true
		}
	}
	return false
}

// expireSlots forgets the slots whose peers took too long.
func (e *Endpoint) expireSlots(now time.Time) {
	h := &e.half
	for h.n() > 0 {
		first := h.queues[0][netip.Prefix{}].first - 1
		if end := h.slots[first].began.Add(e.o.HalfOpenTimeout); end.After(now) {
			e.timers.arm(&h.timer, end)
			return
		}
		e.tally(tallyExpired)
		h.release(first)
	}
}

// forgetSlots empties the slots of a gateway that changes.
func (h *halfOpen) forgetSlots(g *gateway) {
	for _, a := range g.c.Remote {
		for at := h.queues[2][queueKeys(a)[2]].first; at != 0; {
			i := at - 1
			if at = h.slots[i].links[2].next; h.slots[i].gw == g {
				h.release(i)
			}
		}
	}
}

// A peer gives up after some seconds; we do so after 5.5. With more than a few computations under way nothing is begun that would come
// as late as the last one came: it would be for nothing, and those behind it would be late too.
const (
	maxDelay = 2 * time.Second
	fewWorks = 64
)

// roomToPin reports whether one more from an address may go past message 3.
func (e *Endpoint) roomToPin(a netip.Addr) bool {
	h, keys := &e.half, queueKeys(a)
	inTime := h.delay < maxDelay || len(e.work) < fewWorks
	return inTime && h.pinned < e.o.MaxPinned && h.pinnedBy[keys[2]] < e.o.MaxPinnedPerPeer && h.pinnedBy[keys[1]] < max(e.o.MaxPinned/4, 1)
}

// pin makes an SA of a slot whose peer has shown that it receives at its address.
func (e *Endpoint) pin(now time.Time, s *slot) *phase1 {
	h := &e.half
	p := e.newSA(now, s.gw, false, s.start.local, s.start.remote)
	p.start, p.ck = s.start, cookies{s.start.cookie, s.cookie}
	p.sai = bytes.Clone(s.sai)
	p.suite, p.life, p.peerDPD, p.nat.both, p.doi, p.stat = s.suite, s.life, s.dpd, s.natt, s.doi, s.stat
	p.created, p.asked = s.began, now
	e.timers.arm(&p.timeout, s.began.Add(e.o.HalfOpenTimeout))
	e.byCookie[p.ck] = p
	e.byStart[p.start] = p
	h.release(h.index[s.start])
	e.pinDown(p)
	return p
}

// pinDown counts a negotiation of a peer's that has an SA of its own.
func (e *Endpoint) pinDown(p *phase1) {
	h := &e.half
	h.open()
	p.pinned = true
	h.pinned++
	if p.aggressive {
		h.aggressive++
	}
	keys := queueKeys(p.remote.Addr())
	for _, key := range keys[1:] {
		h.pinnedBy[key]++
	}
}

// unpin notes that p is finished, or failed.
func (h *halfOpen) unpin(p *phase1) {
	if !p.pinned {
		return
	}
	p.pinned = false
	h.pinned--
	if p.aggressive {
		h.aggressive--
	}
	keys := queueKeys(p.remote.Addr())
	for _, key := range keys[1:] {
		if h.pinnedBy[key]--; h.pinnedBy[key] == 0 {
			delete(h.pinnedBy, key)
		}
	}
}
