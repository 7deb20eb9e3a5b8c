package dataplane

import (
	"encoding/binary"
	"math"
	"time"
)

// Time-based anti-replay, Junos's D3P: under a TEK with a window every packet says when it was sent, within what ESP encrypts and
// authenticates, and a receiver takes it only while its own clock is within the window of that, before or after. The header
// stands between the IV and the packet; ESP's Next Header is a number for experiments (RFC 3692), and the header has the real
// one. The layout is ours, since the draft's (draft-weis-delay-detection) is not at hand: everything that knows it is in this file,
// but for the counters, which have Junos's names.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|   Type (1)    |  Next Header  |    Length (12), header's      |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|          Milliseconds since 1970-01-01T00:00:00 UTC           |
//	|                          (64 bits)                            |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// It is a check of time and nothing else: a packet that is sent again within the window of its time stamp is taken again, since no
// receiver keeps what it has seen of all senders.
const (
	protoStamped = 253 // "Use for experimentation and testing"

	stampLen  = 12
	stampType = 1
)

// stampLen is how many octets go before each packet.
func (t *tek) stampLen() int {
	if t.sa.Window == 0 {
		return 0
	}
	return stampLen
}

// stamp writes the header of a packet with next at the beginning of b, if t wants one, and gives what ESP is to call it. UnixMilli is
// the clock of the day, which NTP sets, while lifetimes go by one that runs on evenly.
func (t *tek) stamp(now time.Time, b []byte, next uint8) uint8 {
	if t.sa.Window == 0 {
		return next
	}
	b[0], b[1] = stampType, next
	binary.BigEndian.PutUint16(b[2:], stampLen)
	binary.BigEndian.PutUint64(b[4:], uint64(now.UnixMilli()))
	return protoStamped
}

// stamped judges the time stamp of what ESP called next, and gives the packet behind it with its own next header. A dummy packet is
// dropped by its name with and without one.
func (t *tek) stamped(now time.Time, b []byte, next uint8) ([]byte, uint8, Verdict) {
	if next != protoStamped {
		if t.sa.Window != 0 && next != protoNone {
			return b, next, DropNoTimestamp
		}
		return b, next, NoVerdict
	}
	switch {
	case t.sa.Window == 0:
		return b, next, DropUnexpectedTimestamp
	case len(b) < stampLen:
		return b, next, DropTimestampLength
	case b[0] != stampType:
		return b, next, DropTimestampType
	case binary.BigEndian.Uint16(b[2:]) != stampLen:
		return b, next, DropTimestampLength
	}
	switch next = b[1]; next {
	case protoIPIP, protoIPv6, protoNone:
	default:
		return b, next, DropTimestampNext
	}
	sent, clock, window := binary.BigEndian.Uint64(b[4:]), now.UnixMilli(), t.sa.Window.Milliseconds()
	switch {
	case sent > math.MaxInt64 || int64(sent) > clock+window:
		return b, next, DropTooNew
	case int64(sent) < clock-window:
		return b, next, DropTooOld
	}
	return b[stampLen:], next, NoVerdict
}
