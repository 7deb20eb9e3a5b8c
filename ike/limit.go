package ike

import (
	"container/list"
	"net/netip"
)

// halfOpen is what peers have begun and not finished, bounded in all and per address. Whoever sent only message 1 may have
// forged its address, so those are dropped first, the oldest first: a flood then pushes out its own, and a real peer needs
// only be faster than the flood fills the table. Whoever sent message 3 has shown that it receives at its address and is
// never pushed out.
type halfOpen struct {
	n        int
	unproven *list.List // of *phase1, by age
	byAddr   map[netip.Addr][]*phase1
}

type halfOpenEntry struct{ place *list.Element }

func newHalfOpen() halfOpen {
	return halfOpen{unproven: list.New(), byAddr: make(map[netip.Addr][]*phase1)}
}

// admit makes room for one more from addr; false if there is none to be had.
func (e *Endpoint) admit(addr netip.Addr) bool {
	h := &e.half
	if l := h.byAddr[addr]; len(l) >= e.o.MaxHalfOpenPerPeer {
		var victim *phase1
		for _, p := range l {
			if p.halfOpen.place != nil {
				victim = p
				break
			}
		}
		if victim == nil {
			return false
		}
		e.tally(tallyEvicted)
		e.discard(victim)
	}
	if h.n >= e.o.MaxHalfOpen {
		oldest := h.unproven.Front()
		if oldest == nil {
			return false
		}
		e.tally(tallyEvicted)
		e.discard(oldest.Value.(*phase1))
	}
	return true
}

func (h *halfOpen) add(p *phase1) {
	h.n++
	p.halfOpen = &halfOpenEntry{place: h.unproven.PushBack(p)}
	h.byAddr[p.remote.Addr()] = append(h.byAddr[p.remote.Addr()], p)
}

// prove notes that p's peer receives at its address.
func (h *halfOpen) prove(p *phase1) {
	if p.halfOpen != nil && p.halfOpen.place != nil {
		h.unproven.Remove(p.halfOpen.place)
		p.halfOpen.place = nil
	}
}

func (h *halfOpen) remove(p *phase1) {
	if p.halfOpen == nil {
		return
	}
	h.prove(p)
	h.n--
	addr := p.remote.Addr()
	l := h.byAddr[addr]
	for i, o := range l {
		if o == p {
			l = append(l[:i:i], l[i+1:]...)
			break
		}
	}
	if h.byAddr[addr] = l; len(l) == 0 {
		delete(h.byAddr, addr)
	}
	p.halfOpen = nil
}
