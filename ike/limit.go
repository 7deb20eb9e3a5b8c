package ike

import (
	"container/list"
	"net/netip"
	"slices"
)

// halfOpen is what peers have begun and not finished, bounded in all. Whoever sent only message 1 may have forged its address,
// so those are dropped when the table is full, the oldest first, and of an address that holds its share or more its own: a flood
// pushes out itself, whether it comes from many addresses or from one, and a real peer at the flooded address needs only be
// faster than the flood fills the table. Whoever sent message 3 has shown that it receives at its address, and is never pushed
// out; since it costs us two exponentiations, each address is given a few such only.
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
	if h.n < e.o.MaxHalfOpen {
		return true
	}
	oldest := h.unproven.Front()
	if oldest == nil {
		return false
	}
	victim := oldest.Value.(*phase1)
	if l := h.byAddr[addr]; len(l)*len(h.byAddr) >= h.n {
		if i := slices.IndexFunc(l, func(p *phase1) bool { return p.halfOpen.place != nil }); i >= 0 {
			victim = l[i]
		}
	}
	e.tally(tallyEvicted)
	e.discard(victim)
	return true
}

// proven is how many negotiations an address has that are past message 3.
func (h *halfOpen) proven(addr netip.Addr) (n int) {
	for _, p := range h.byAddr[addr] {
		if p.halfOpen.place == nil {
			n++
		}
	}
	return n
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
	if i := slices.Index(l, p); i >= 0 {
		l = slices.Delete(l, i, i+1)
	}
	if h.byAddr[addr] = l; len(l) == 0 {
		delete(h.byAddr, addr)
	}
	p.halfOpen = nil
}
