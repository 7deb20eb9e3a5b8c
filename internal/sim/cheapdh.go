package sim

import (
	"encoding/binary"
	"math/bits"

	"gvpn/sa"
	"gvpn/turn"
)

// The prime 2^61-1 and a base: the multiplicative group modulo it stands for group 14's in a world with CheapDH.
const (
	cheapPrime = 1<<61 - 1
	cheapBase  = 37
)

// cheapDH computes what a Diffie-Hellman Work of group 14 asks for, in 64 bits; false for any other.
func cheapDH(op turn.Op) (any, bool) {
	const group14, size = 14, 256
	public := func(exponent sa.Secret) []byte {
		return binary.BigEndian.AppendUint64(make([]byte, size-8), cheapPower(cheapBase, exponent))
	}
	shared := func(exponent sa.Secret, peer []byte) sa.Secret {
		base := binary.BigEndian.Uint64(peer[len(peer)-8:]) % cheapPrime
		return binary.BigEndian.AppendUint64(make([]byte, size-8), cheapPower(base, exponent))
	}
	switch op := op.(type) {
	case turn.DHPublic:
		if op.Group == group14 {
			return public(op.Exponent), true
		}
	case turn.DHShared:
		if op.Group == group14 {
			return shared(op.Exponent, op.Peer), true
		}
	case turn.DHBoth:
		if op.Group == group14 {
			return turn.KeyExchange{Public: public(op.Exponent), Shared: shared(op.Exponent, op.Peer)}, true
		}
	}
	return nil, false
}

// cheapPower is base to the exponent's last 61 bits.
func cheapPower(base uint64, exponent sa.Secret) uint64 {
	e := binary.BigEndian.Uint64(exponent[len(exponent)-8:])%(cheapPrime-3) + 2
	result := uint64(1)
	for ; e > 0; e >>= 1 {
		if e&1 == 1 {
			result = cheapProduct(result, base)
		}
		base = cheapProduct(base, base)
	}
	return result
}

func cheapProduct(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	_, rest := bits.Div64(high, low, cheapPrime)
	return rest
}
