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
	n   int    // how often it was answered again
}

func (s *seen) find(sum [sha256.Size]byte) *seenPush {
	for i := range s.entries {
		if s.entries[i].sum == sum {
			return &s.entries[i]
		}
	}
	return nil
}

func (s *seen) add(sum [sha256.Size]byte, ack []byte) {
	if len(s.entries) == maxSeen {
		s.entries = slices.Delete(s.entries, 0, 1)
	}
	s.entries = append(s.entries, seenPush{sum: sum, ack: ack})
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

// acknowledge answers a push from where it came to, to where it came from (RFC 8263 section 3).
func (m *Member) acknowledge(now time.Time, local, remote netip.AddrPort, ack []byte) {
	if ack == nil {
		return
	}
	t := turn.Transmit{Local: local, Remote: remote, Datagram: slices.Clone(ack)}
	if m.options.AckJitter == 0 {
		m.emit(t)
		return
	}
	d := delayedAck{now.Add(m.jitter(m.options.AckJitter)), t}
	i, _ := slices.BinarySearchFunc(m.acks, d, func(a, b delayedAck) int {
		if a.at.After(b.at) {
			return 1
		}
		return -1 // equal ones keep their order
	})
	m.acks = slices.Insert(m.acks, i, d)
}
