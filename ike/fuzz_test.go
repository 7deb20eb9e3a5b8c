package ike

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"gvpn/isakmp"
	"gvpn/turn"
)

// FuzzHandleDatagram throws octets at an endpoint at every stage of a conversation: with its cookies put in, so that they
// reach the state, and its length, so that they reach the parsers.
func FuzzHandleDatagram(f *testing.F) {
	w := newWorld(f, withDPD, onP256)
	w.conversation()
	sealed := make(map[[16]byte]bool) // by the first block of the body
	for _, d := range w.sent[4:] {
		sealed[[16]byte(d.b[isakmp.HeaderLen:])] = true
	}
	for i, d := range w.sent {
		for stage := range uint8(11) {
			f.Add(stage, d.b, true)
		}
		f.Add(uint8(i), bytes.Repeat(d.b, 3), false)
	}
	f.Fuzz(func(t *testing.T, stage uint8, b []byte, fix bool) {
		w := newWorld(t, withDPD, onP256)
		n := 0
		w.net = func(d wire) []wire {
			if n++; n > int(stage%11) {
				return nil
			}
			return []wire{d}
		}
		w.connect()
		if a := w.a.last(); a.state == up {
			w.begin(a.id, 7)
			w.pull()
			w.pull()
			w.pull()
		}
		w.a.take()
		w.b.take()
		w.net = nil
		for _, to := range []*node{w.a, w.b} {
			msg := bytes.Clone(b)
			if p := to.last(); fix && p != nil && len(msg) >= isakmp.HeaderLen {
				copy(msg, p.ck.i[:])
				copy(msg[8:], p.ck.r[:])
				msg[17] = isakmp.Version10
				isakmp.SetLength(msg)
			}
			from := addrA
			if to == w.a {
				from = addrB
			}
			to.e.HandleDatagram(w.now, to.addr, from, msg)
			for o, ok := to.e.Next(); ok; o, ok = to.e.Next() {
				switch o := o.(type) {
				case turn.Transmit:
					if o.Remote != from || len(o.Datagram) > isakmp.MaxMessage {
						t.Fatalf("%d octets to %v", len(o.Datagram), o.Remote)
					}
				case Message, Up, Dead:
					// Only octets that an endpoint itself sealed can do this, and those are seeds.
					if !sealed[[16]byte(msg[isakmp.HeaderLen:])] {
						t.Fatalf("%T from octets that nobody sealed", o)
					}
				}
			}
		}
		w.a.e.HandleTimeout(w.now.Add(time.Hour))
		w.b.e.HandleTimeout(w.now.Add(time.Hour))
	})
}

// FuzzAuthenticated seals what it gets under a good SA: what a key holder gone bad can send.
func FuzzAuthenticated(f *testing.F) {
	f.Add(uint8(isakmp.ExchangeInformational), uint8(isakmp.PayloadD), isakmp.AppendPayload(nil, 0, isakmp.Delete{DOI: 1, Protocol: 1, SPISize: 16, SPIs: [][]byte{make([]byte, 16)}}.Append(nil)))
	f.Add(uint8(isakmp.ExchangeInformational), uint8(isakmp.PayloadN), isakmp.AppendPayload(nil, 0, isakmp.Notify{DOI: 1, Protocol: 1, Type: isakmp.RUThere, SPI: make([]byte, 16), Data: make([]byte, 4)}.Append(nil)))
	f.Add(uint8(isakmp.ExchangePull), uint8(isakmp.PayloadNONCE), chainOf('i', 9))
	f.Add(uint8(isakmp.ExchangeClusterUpdate), uint8(0), []byte{})
	w := newWorld(f)
	a, _ := w.up()
	f.Fuzz(func(t *testing.T, x, first uint8, chain []byte) {
		if len(chain) > 60000 {
			return
		}
		if a.state != up || w.b.last() == nil || w.b.last().state != up {
			w = newWorld(t)
			a, _ = w.up()
		}
		w.t = t
		id := w.a.e.messageID(a)
		a.seen.add(id)
		msg, _ := a.protect(isakmp.ExchangeType(x), id, a.suite.exchangeIV(a.iv, id), isakmp.PayloadType(first), chain)
		w.deliver(wire{addrA, addrB, msg})
		for _, o := range w.b.take() {
			if m, ok := o.(Message); ok {
				if n, err := isakmp.ChainLen(m.First, m.Payloads); err != nil || n != len(m.Payloads) || !bytes.HasPrefix(chain, m.Payloads) {
					t.Fatalf("%x for %x", m.Payloads, chain)
				}
				w.b.e.Do(w.now, Abort{SA: m.SA, MsgID: m.MsgID})
			}
		}
		w.settle()
		w.a.take()
	})
}

// FuzzOffer reads any attributes: never panics, and what is accepted is in the set that Supports allows or is no suite of
// ours, and reads the same when written again.
func FuzzOffer(f *testing.F) {
	f.Add(offer{suite: suite{hash: 1, bits: 256, group: 14}, life: time.Hour}.attrs())
	f.Fuzz(func(t *testing.T, attrs []byte) {
		o, ok := readOffer(isakmp.Transform{ID: isakmp.KeyIKE, Attrs: attrs})
		if !ok {
			return
		}
		if o.life <= 0 || o.life > MaxLifetime {
			t.Fatalf("life %v", o.life)
		}
		if again, ok := readOffer(isakmp.Transform{ID: isakmp.KeyIKE, Attrs: o.attrs()}); !ok || again != o {
			t.Fatalf("%s", fmt.Sprint(o, again))
		}
	})
}

// FuzzCheckPublic: what passes is 256 octets, at least 2 and under p-1.
func FuzzCheckPublic(f *testing.F) {
	f.Add(groups[14].(*modp).p, true)
	f.Add(groups[24].(*modp).p, false)
	f.Fuzz(func(t *testing.T, v []byte, old bool) {
		group := 24
		if old {
			group = 14
		}
		if CheckPublic(group, v) == nil && (len(v) != 256 || bytes.Compare(v, groups[group].(*modp).p) >= 0) {
			t.Fatalf("%x", v)
		}
	})
}
