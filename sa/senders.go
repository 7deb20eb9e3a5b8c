package sa

import (
	"encoding/binary"
	"fmt"
)

// Senders is a range of sender IDs: numbers that tell those apart who send under TEKs that count (RFC 6407 section 3.5).
type Senders struct {
	// Epoch names the numbers of one run, which begins at 0 with new keys: drawn at random, so that no two runs have the same,
	// whatever server began them. 0: there are no numbers.
	Epoch uint64
	Bits  int // the length of each, 1 to MaxSenderBits
	// First to First+Count-1 are in the range; with Count 0 none is.
	First, Count uint32
}

// MaxSenderBits is the longest sender ID that a configuration can ask for; what they leave of a nonce counts packets.
const MaxSenderBits = 16

// SendersLen is how many octets the binary form has: epoch 8 | bits 1 | first 4 | count 4, all big endian.
const SendersLen = 17

// End is the number after the last one of the range. No two ranges of an Epoch that are given away have the same.
func (s Senders) End() uint32 { return s.First + s.Count }

// Sound reports whether s is a range, or the zero Senders.
func (s Senders) Sound() bool {
	if s.Epoch == 0 {
		return s == Senders{}
	}
	return s.Bits >= 1 && s.Bits <= MaxSenderBits && s.First <= 1<<s.Bits && s.Count <= 1<<s.Bits-s.First
}

// AppendSenders appends the binary form of a range, or of the zero Senders.
func AppendSenders(dst []byte, s Senders) []byte {
	dst = append(binary.BigEndian.AppendUint64(dst, s.Epoch), byte(s.Bits))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, s.First), s.Count)
}

// ParseSenders reads what AppendSenders wrote, SendersLen octets. The error wraps ErrUpdate.
func ParseSenders(b []byte) (Senders, error) {
	if len(b) != SendersLen {
		return Senders{}, fmt.Errorf("%w: sender IDs of %d octets, want %d", ErrUpdate, len(b), SendersLen)
	}
	s := Senders{
		Epoch: binary.BigEndian.Uint64(b), Bits: int(b[8]),
		First: binary.BigEndian.Uint32(b[9:]), Count: binary.BigEndian.Uint32(b[13:]),
	}
	if !s.Sound() {
		return Senders{}, fmt.Errorf("%w: sender IDs %d to %d of %d bits", ErrUpdate, s.First, s.End(), s.Bits)
	}
	return s, nil
}
