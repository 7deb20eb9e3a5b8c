package ike

import (
	"bytes"
	"crypto/ecdh"
	"crypto/elliptic"
	"fmt"
)

// ecp is a group of the points of a curve over a prime field (RFC 5903). A public value is x | y, each as long as the prime,
// and a shared secret is the x of the point alone (sections 7 and 9 of RFC 5903).
type ecp struct {
	name  string
	curve ecdh.Curve
	size  int // octets of a coordinate, and of an exponent
	order []byte
}

func newECP(name string, curve ecdh.Curve, params *elliptic.CurveParams) *ecp {
	c := &ecp{name: name, curve: curve, size: (params.BitSize + 7) / 8}
	c.order = params.N.FillBytes(make([]byte, c.size))
	return c
}

func (c *ecp) exponentLen() int { return c.size }

// fit makes an exponent of random octets and reports whether it is in 1..order-1. What lies above the order's highest bit is cut
// off, so at least every second draw fits.
func (c *ecp) fit(exponent []byte) bool {
	top := c.order[0]
	for shift := 1; shift < 8; shift *= 2 {
		top |= top >> shift
	}
	exponent[0] &= top
	return !zero(exponent) && bytes.Compare(exponent, c.order) < 0
}

func (c *ecp) private(exponent []byte) (*ecdh.PrivateKey, error) {
	k, err := c.curve.NewPrivateKey(exponent)
	if err != nil {
		return nil, fmt.Errorf("ike: %s: exponent: %w", c.name, err)
	}
	return k, nil
}

func (c *ecp) public(exponent []byte) ([]byte, error) {
	k, err := c.private(exponent)
	if err != nil {
		return nil, err
	}
	return k.PublicKey().Bytes()[1:], nil
}

func (c *ecp) shared(exponent, peer []byte) ([]byte, error) {
	_, s, err := c.both(exponent, peer)
	return s, err
}

// both makes crypto/ecdh's private key once, which computes the public one each time.
func (c *ecp) both(exponent, peer []byte) (public, shared []byte, err error) {
	k, err := c.private(exponent)
	if err != nil {
		return nil, nil, err
	}
	point, err := c.point(peer)
	if err != nil {
		return nil, nil, err
	}
	s, err := k.ECDH(point)
	if err != nil {
		return nil, nil, fmt.Errorf("ike: %s: %w", c.name, err)
	}
	return k.PublicKey().Bytes()[1:], s, nil
}

func (c *ecp) check(value []byte) error {
	_, err := c.point(value)
	return err
}

// point reads x | y and checks that both are under the prime and the point is on the curve: on another curve the answer would
// give away parts of the exponent. The point at infinity has no such form, and the order is prime, so that is all of RFC 2409's
// and SP 800-56A's checks.
func (c *ecp) point(value []byte) (*ecdh.PublicKey, error) {
	if len(value) != 2*c.size {
		return nil, fmt.Errorf("ike: %s: public value of %d octets, want %d", c.name, len(value), 2*c.size)
	}
	k, err := c.curve.NewPublicKey(append([]byte{4}, value...)) // SEC 1's octet for an uncompressed point
	if err != nil {
		return nil, fmt.Errorf("ike: %s: public value is not a point of the curve", c.name)
	}
	return k, nil
}
