package ike

import (
	"bytes"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"testing"

	"gvpn/sa"
)

// The examples of RFC 5114 appendix A.3 and RFC 5903 section 8, in both directions.
func TestGroupVectors(t *testing.T) {
	src, err := os.ReadFile("testdata/groups.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Group                int
		I, GI, R, GR, Shared string
	}
	if err := json.Unmarshal(src, &vectors); err != nil {
		t.Fatal(err)
	}
	bin := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) == 0 {
			t.Fatal(s, err)
		}
		return b
	}
	if len(vectors) != 4 {
		t.Errorf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		for _, side := range [][3]string{{v.I, v.GI, v.GR}, {v.R, v.GR, v.GI}} {
			public, err := DHPublic(v.Group, bin(side[0]))
			if err != nil {
				t.Fatal(err)
			}
			wantOctets(t, "public value", public, bin(side[1]))
			shared, err := DHShared(v.Group, bin(side[0]), bin(side[2]))
			if err != nil {
				t.Fatal(err)
			}
			wantOctets(t, "shared secret", shared, bin(v.Shared))
		}
	}
}

// The primes are those of RFC 3526's formulas, 2^n - 2^(n-64) - 1 + 2^64 * ([2^(n-130) pi] + offset), and both p and (p-1)/2 are
// prime.
func TestPrimes(t *testing.T) {
	for group, c := range map[int]struct {
		n      uint
		offset int64
	}{14: {2048, 124476}, 15: {3072, 1690314}, 16: {4096, 240904}} {
		power := func(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }
		p := new(big.Int).Sub(power(c.n), power(c.n-64))
		p.Sub(p, big.NewInt(1))
		middle := new(big.Int).Add(pi(c.n-130), big.NewInt(c.offset))
		p.Add(p, middle.Lsh(middle, 64))
		if m := groups[group].(*modp); !bytes.Equal(m.p, p.Bytes()) {
			t.Errorf("group %d: the prime is not RFC 3526's", group)
		}
		if !p.ProbablyPrime(0) || !new(big.Int).Rsh(p, 1).ProbablyPrime(0) {
			t.Errorf("group %d: not a safe prime", group)
		}
	}
}

// pi is [2^bits pi], by Machin's formula.
func pi(bits uint) *big.Int {
	const guard = 64
	unity := new(big.Int).Lsh(big.NewInt(1), bits+guard)
	arctan := func(x int64) *big.Int { // of 1/x
		term := new(big.Int).Quo(unity, big.NewInt(x))
		sum := new(big.Int).Set(term)
		for n := int64(3); term.Sign() != 0; n += 2 {
			term.Quo(term, big.NewInt(-x*x))
			sum.Add(sum, new(big.Int).Quo(term, big.NewInt(n)))
		}
		return sum
	}
	four := big.NewInt(4)
	sum := new(big.Int).Mul(arctan(5), four)
	sum.Sub(sum, arctan(239))
	return sum.Rsh(sum.Mul(sum, four), guard)
}

// Both ends agree, the value has its documented size, and big.Int's arithmetic says the same: modular exponentiation for the
// primes, chord and tangent for the curves.
func TestGroupsIndependently(t *testing.T) {
	curves := map[int]*elliptic.CurveParams{19: elliptic.P256().Params(), 20: elliptic.P384().Params(), 21: elliptic.P521().Params()}
	sizes := map[int]int{14: 256, 15: 384, 16: 512, 19: 64, 20: 96, 21: 132, 24: 256}
	for n, g := range groups {
		draw := func() sa.Secret {
			for {
				x := make(sa.Secret, g.exponentLen())
				if _, err := (zeroless{}).Read(x); err != nil {
					t.Fatal(err)
				}
				if g.fit(x) {
					return x
				}
			}
		}
		x, y := draw(), draw()
		gx, err := DHPublic(n, x)
		if err != nil || len(gx) != sizes[n] {
			t.Fatalf("group %d: %d octets, %v", n, len(gx), err)
		}
		gy, _ := DHPublic(n, y)
		one, err := DHShared(n, x, gy)
		if err != nil {
			t.Fatal(err)
		}
		other, _ := DHShared(n, y, gx)
		if !one.Equal(other) {
			t.Errorf("group %d: the two ends do not agree", n)
		}
		made, err := DHBoth(n, x, gy)
		if err != nil || !bytes.Equal(made.Public, gx) || !made.Shared.Equal(one) {
			t.Errorf("group %d: both at once are other than one by one, %v", n, err)
		}
		if _, err := DHBoth(n, x, gy[1:]); err == nil {
			t.Errorf("group %d: takes a value that is too short", n)
		}
		integer := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
		if m, ok := g.(*modp); ok {
			want := new(big.Int).Exp(integer(m.g), integer(x), integer(m.p))
			wantOctets(t, "g^x", gx, want.FillBytes(make([]byte, m.size)))
			want.Exp(integer(gy), integer(x), integer(m.p))
			wantOctets(t, "g^xy", one, want.FillBytes(make([]byte, m.size)))
			continue
		}
		c := curves[n]
		size := (c.BitSize + 7) / 8
		px, py := multiple(c, c.Gx, c.Gy, integer(x))
		wantOctets(t, "x of xG", gx[:size], px.FillBytes(make([]byte, size)))
		wantOctets(t, "y of xG", gx[size:], py.FillBytes(make([]byte, size)))
		px, _ = multiple(c, integer(gy[:size]), integer(gy[size:]), integer(x))
		wantOctets(t, "x of xyG", one, px.FillBytes(make([]byte, size)))
	}
}

// multiple is k times a point of a curve with a = -3, by school's formulas.
func multiple(c *elliptic.CurveParams, x, y, k *big.Int) (rx, ry *big.Int) {
	mod := func(v *big.Int) *big.Int { return v.Mod(v, c.P) }
	slope := func(over, under *big.Int) *big.Int {
		return mod(over.Mul(over, new(big.Int).ModInverse(mod(under), c.P)))
	}
	add := func(x1, y1, x2, y2 *big.Int) (*big.Int, *big.Int) {
		var m *big.Int
		if x1.Cmp(x2) == 0 { // twice the same: k is under the order, so never a point and its opposite
			m = new(big.Int).Mul(x1, x1)
			m.Sub(m.Mul(m, big.NewInt(3)), big.NewInt(3))
			m = slope(m, new(big.Int).Lsh(y1, 1))
		} else {
			m = slope(new(big.Int).Sub(y2, y1), new(big.Int).Sub(x2, x1))
		}
		x3 := new(big.Int).Mul(m, m)
		mod(x3.Sub(x3.Sub(x3, x1), x2))
		y3 := new(big.Int).Sub(x1, x3)
		mod(y3.Sub(y3.Mul(y3, m), y1))
		return x3, y3
	}
	for i := k.BitLen() - 1; i >= 0; i-- {
		if rx != nil {
			rx, ry = add(rx, ry, rx, ry)
		}
		if k.Bit(i) == 1 {
			if rx == nil {
				rx, ry = x, y
			} else {
				rx, ry = add(rx, ry, x, y)
			}
		}
	}
	return rx, ry
}

// Exponents at the edges of a curve's order.
func TestExponentFits(t *testing.T) {
	for _, n := range []int{19, 20, 21} {
		c := groups[n].(*ecp)
		edge := func(d int64) sa.Secret {
			v := new(big.Int).SetBytes(c.order)
			return v.Add(v, big.NewInt(d)).FillBytes(make([]byte, c.size))
		}
		for _, bad := range []sa.Secret{make(sa.Secret, c.size), edge(0), edge(1)} {
			if c.fit(bad) {
				t.Errorf("group %d: an exponent out of range fits", n)
			}
			if _, err := DHPublic(n, bad); err == nil {
				t.Errorf("group %d: an exponent out of range is used", n)
			}
		}
		if !c.fit(edge(-1)) {
			t.Errorf("group %d: order-1 does not fit", n)
		}
		if x := bytes.Repeat([]byte{0xfe}, c.size); n == 21 && (!c.fit(x) || x[0] != 0) {
			t.Errorf("group 21: the excess bits of %x stay", x[:2])
		}
	}
	if groups[14].fit(make([]byte, 32)) {
		t.Error("the exponent 0 fits")
	}
}
