package ike

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"fmt"
	"maps"
	"slices"

	"gvpn/sa"
	"gvpn/turn"
)

// dhGroup is a Diffie-Hellman group. No method's time depends on more of a secret than its length.
type dhGroup interface {
	exponentLen() int
	// fit says whether random octets will do as an exponent; it may cut bits off them.
	fit(exponent []byte) bool
	public(exponent []byte) ([]byte, error)
	shared(exponent, peer []byte) ([]byte, error) // checks peer itself
	both(exponent, peer []byte) (public, shared []byte, err error)
	check(value []byte) error
}

// Exponents of group 14 have 256 bits, those of groups 15 and 16 have 320: RFC 3526 section 8 wants at least 220, 260 and 300
// for as much strength as the prime has by its lower estimate, and each bit more costs time. The subgroup of group 24 has 256
// bits, and no exponent need be longer.
var groups = map[int]dhGroup{
	14: newMODP("group14", 32, prime14, "02", ""),
	15: newMODP("group15", 40, prime15, "02", ""),
	16: newMODP("group16", 40, prime16, "02", ""),
	19: newECP("group19", ecdh.P256(), elliptic.P256().Params()),
	20: newECP("group20", ecdh.P384(), elliptic.P384().Params()),
	21: newECP("group21", ecdh.P521(), elliptic.P521().Params()),
	24: newMODP("group24", 32, prime24, gen24, order24),
}

func groupOf(n int) (dhGroup, error) {
	if g, ok := groups[n]; ok {
		return g, nil
	}
	return nil, fmt.Errorf("ike: dh-group %d is not supported (%v are)", n, slices.Sorted(maps.Keys(groups)))
}

// DHPublic computes g^exponent. It is what carries out turn.DHPublic. The groups, octets of a public value, and what DHPublic
// and DHShared together cost a responder (BenchmarkGroups), as a multiple of what they cost in group 14, 0.7 ms:
//
//	14  256    1     MODP of 2048 bits (RFC 3526)
//	15  384    7     MODP of 3072 bits
//	16  512   13     MODP of 4096 bits
//	19   64    0.1   NIST P-256 (RFC 5903); x | y
//	20   96    0.8   NIST P-384
//	21  132    2.3   NIST P-521
//	24  256    1.5   MODP of 2048 bits, subgroup of 256 (RFC 5114)
//
// In groups 15 and 16 arithmetic whose time says nothing of the exponent takes more than twice as long as math/big's would: use 19
// or 20 instead where the peer can.
//
// The exponent is 32 octets in groups 14 and 24, 40 in 15 and 16, and 32, 48 and 66 in 19 to 21, where it is in 1..order-1.
func DHPublic(group int, exponent sa.Secret) ([]byte, error) {
	g, err := groupOf(group)
	if err != nil {
		return nil, err
	}
	return g.public(exponent)
}

// DHShared computes peer^exponent; what it gives has the size of a public value, or half of it (x alone) in groups 19 to 21. It
// is what carries out turn.DHShared. The peer's value is checked as CheckPublic does and, in group 24, to lie in the subgroup.
func DHShared(group int, exponent sa.Secret, peer []byte) (sa.Secret, error) {
	g, err := groupOf(group)
	if err != nil {
		return nil, err
	}
	return g.shared(exponent, peer)
}

// DHBoth computes what DHPublic and DHShared do. It is what carries out turn.DHBoth.
func DHBoth(group int, exponent sa.Secret, peer []byte) (turn.KeyExchange, error) {
	g, err := groupOf(group)
	if err != nil {
		return turn.KeyExchange{}, err
	}
	public, shared, err := g.both(exponent, peer)
	return turn.KeyExchange{Public: public, Shared: shared}, err
}

// CheckPublic reports whether a public value may be raised to a secret power: of the group's exact size and in 2..p-2, or a
// point of the curve.
func CheckPublic(group int, value []byte) error {
	g, err := groupOf(group)
	if err != nil {
		return err
	}
	return g.check(value)
}
