package member

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"time"

	"gvpn/gdoi"
	"gvpn/sa"
	"gvpn/turn"
)

// seen remembers the last accepted pushes by hash, each with its acknowledgement.
type seen struct {
	entries []seenPush // oldest first, maxSeen at most
}

type seenPush struct {
	sum [sha256.Size]byte
	ack []byte // nil: none was asked for
	n   int    // how often it was answered

	// Of the VPN's registration, for what came by multicast; and when that was acknowledged last.
	local, server netip.AddrPort
	acked         time.Time
}

func (s *seen) find(sum [sha256.Size]byte) *seenPush {
	for i := range s.entries {
		if s.entries[i].sum == sum {
			return &s.entries[i]
		}
	}
	return nil
}

// add remembers a push; the result is valid until the next one is added.
func (s *seen) add(p seenPush) *seenPush {
	if len(s.entries) == maxSeen {
		s.entries = slices.Delete(s.entries, 0, 1)
	}
	s.entries = append(s.entries, p)
	return &s.entries[len(s.entries)-1]
}

// ackOf makes the acknowledgement of push seq under kek, nil if the KEK does not ask for one. It names the address that we
// used in the last pull (RFC 8263 section 3.4).
func (m *Member) ackOf(v *vpn, kek *sa.KEK, seq uint32) []byte {
	var leaf sa.Secret
	if v.lkh != nil {
		leaf = v.lkh.Leaf()
	}
	key := gdoi.AckKey(kek, leaf, m.speak(v))
	if key == nil || !v.local.Addr().IsValid() {
		return nil
	}
	defer key.Zero()
	return gdoi.AppendAck(nil, gdoi.Ack{SPI: kek.SPI, Seq: seq, Member: v.local.Addr()}, key)
}

type delayedAck struct {
	at  time.Time
	out turn.Transmit
}

// acknowledge answers a push from where it came to, to where it came from (RFC 8263 section 3). One that came by multicast is answered
// from the address that we registered with, to the server that we registered with: a copy of it with a victim's address as its source
// would have all members answer there.
func (m *Member) acknowledge(now time.Time, local, remote netip.AddrPort, s *seenPush) {
	if s.ack == nil {
		return
	}
	longest := m.options.AckJitter
	if local.Addr().IsMulticast() {
		if !s.acked.IsZero() && now.Sub(s.acked) < repeatAfter {
			return
		}
		s.acked = now
		local, remote, longest = s.local, s.server, max(longest, spread)
	}
	s.n++
	t := turn.Transmit{Local: local, Remote: remote, Datagram: slices.Clone(s.ack)}
	if longest == 0 {
		m.emit(t)
		return
	}
	d := delayedAck{now.Add(m.jitter(longest)), t}
	i, _ := slices.BinarySearchFunc(m.acks, d, func(a, b delayedAck) int {
		if a.at.After(b.at) {
			return 1
		}
		return -1 // equal ones keep their order
	})
	m.acks = slices.Insert(m.acks, i, d)
}
