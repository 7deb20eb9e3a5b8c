package ike

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"filippo.io/bigmod"
)

// RFC 3526 sections 3 to 5.
const (
	prime14 = `FFFFFFFF FFFFFFFF C90FDAA2 2168C234 C4C6628B 80DC1CD1 29024E08 8A67CC74 020BBEA6 3B139B22 514A0879 8E3404DD
EF9519B3 CD3A431B 302B0A6D F25F1437 4FE1356D 6D51C245 E485B576 625E7EC6 F44C42E9 A637ED6B 0BFF5CB6 F406B7ED
EE386BFB 5A899FA5 AE9F2411 7C4B1FE6 49286651 ECE45B3D C2007CB8 A163BF05 98DA4836 1C55D39A 69163FA8 FD24CF5F
83655D23 DCA3AD96 1C62F356 208552BB 9ED52907 7096966D 670C354E 4ABC9804 F1746C08 CA18217C 32905E46 2E36CE3B
E39E772C 180E8603 9B2783A2 EC07A28F B5C55DF0 6F4C52C9 DE2BCBF6 95581718 3995497C EA956AE5 15D22618 98FA0510
15728E5A 8AACAA68 FFFFFFFF FFFFFFFF`
	prime15 = `FFFFFFFF FFFFFFFF C90FDAA2 2168C234 C4C6628B 80DC1CD1 29024E08 8A67CC74 020BBEA6 3B139B22 514A0879 8E3404DD
EF9519B3 CD3A431B 302B0A6D F25F1437 4FE1356D 6D51C245 E485B576 625E7EC6 F44C42E9 A637ED6B 0BFF5CB6 F406B7ED
EE386BFB 5A899FA5 AE9F2411 7C4B1FE6 49286651 ECE45B3D C2007CB8 A163BF05 98DA4836 1C55D39A 69163FA8 FD24CF5F
83655D23 DCA3AD96 1C62F356 208552BB 9ED52907 7096966D 670C354E 4ABC9804 F1746C08 CA18217C 32905E46 2E36CE3B
E39E772C 180E8603 9B2783A2 EC07A28F B5C55DF0 6F4C52C9 DE2BCBF6 95581718 3995497C EA956AE5 15D22618 98FA0510
15728E5A 8AAAC42D AD33170D 04507A33 A85521AB DF1CBA64 ECFB8504 58DBEF0A 8AEA7157 5D060C7D B3970F85 A6E1E4C7
ABF5AE8C DB0933D7 1E8C94E0 4A25619D CEE3D226 1AD2EE6B F12FFA06 D98A0864 D8760273 3EC86A64 521F2B18 177B200C
BBE11757 7A615D6C 770988C0 BAD946E2 08E24FA0 74E5AB31 43DB5BFC E0FD108E 4B82D120 A93AD2CA FFFFFFFF FFFFFFFF`
	prime16 = `FFFFFFFF FFFFFFFF C90FDAA2 2168C234 C4C6628B 80DC1CD1 29024E08 8A67CC74 020BBEA6 3B139B22 514A0879 8E3404DD
EF9519B3 CD3A431B 302B0A6D F25F1437 4FE1356D 6D51C245 E485B576 625E7EC6 F44C42E9 A637ED6B 0BFF5CB6 F406B7ED
EE386BFB 5A899FA5 AE9F2411 7C4B1FE6 49286651 ECE45B3D C2007CB8 A163BF05 98DA4836 1C55D39A 69163FA8 FD24CF5F
83655D23 DCA3AD96 1C62F356 208552BB 9ED52907 7096966D 670C354E 4ABC9804 F1746C08 CA18217C 32905E46 2E36CE3B
E39E772C 180E8603 9B2783A2 EC07A28F B5C55DF0 6F4C52C9 DE2BCBF6 95581718 3995497C EA956AE5 15D22618 98FA0510
15728E5A 8AAAC42D AD33170D 04507A33 A85521AB DF1CBA64 ECFB8504 58DBEF0A 8AEA7157 5D060C7D B3970F85 A6E1E4C7
ABF5AE8C DB0933D7 1E8C94E0 4A25619D CEE3D226 1AD2EE6B F12FFA06 D98A0864 D8760273 3EC86A64 521F2B18 177B200C
BBE11757 7A615D6C 770988C0 BAD946E2 08E24FA0 74E5AB31 43DB5BFC E0FD108E 4B82D120 A9210801 1A723C12 A787E6D7
88719A10 BDBA5B26 99C32718 6AF4E23C 1A946834 B6150BDA 2583E9CA 2AD44CE8 DBBBC2DB 04DE8EF9 2E8EFC14 1FBECAA6
287C5947 4E6BC05D 99B2964F A090C3A2 233BA186 515BE7ED 1F612970 CEE2D7AF B81BDD76 2170481C D0069127 D5B05AA9
93B4EA98 8D8FDDC1 86FFB7DC 90A6C08F 4DF435C9 34063199 FFFFFFFF FFFFFFFF`
)

// RFC 5114 section 2.3.
const (
	prime24 = `87A8E61D B4B6663C FFBBD19C 65195999 8CEEF608 660DD0F2 5D2CEED4 435E3B00 E00DF8F1 D61957D4 FAF7DF45 61B2AA30
16C3D911 34096FAA 3BF4296D 830E9A7C 209E0C64 97517ABD 5A8A9D30 6BCF67ED 91F9E672 5B4758C0 22E0B1EF 4275BF7B
6C5BFC11 D45F9088 B941F54E B1E59BB8 BC39A0BF 12307F5C 4FDB70C5 81B23F76 B63ACAE1 CAA6B790 2D525267 35488A0E
F13C6D9A 51BFA4AB 3AD83477 96524D8E F6A167B5 A41825D9 67E144E5 14056425 1CCACB83 E6B486F6 B3CA3F79 71506026
C0B857F6 89962856 DED4010A BD0BE621 C3A3960A 54E710C3 75F26375 D7014103 A4B54330 C198AF12 6116D227 6E11715F
693877FA D7EF09CA DB094AE9 1E1A1597`
	gen24 = `3FB32C9B 73134D0B 2E775066 60EDBD48 4CA7B18F 21EF2054 07F4793A 1A0BA125 10DBC150 77BE463F FF4FED4A AC0BB555
BE3A6C1B 0C6B47B1 BC3773BF 7E8C6F62 901228F8 C28CBB18 A55AE313 41000A65 0196F931 C77A57F2 DDF463E5 E9EC144B
777DE62A AAB8A862 8AC376D2 82D6ED38 64E67982 428EBC83 1D14348F 6F2F9193 B5045AF2 767164E1 DFC967C1 FB3F2E55
A4BD1BFF E83B9C80 D052B985 D182EA0A DB2A3B73 13D3FE14 C8484B1E 052588B9 B7D2BBD2 DF016199 ECD06E15 57CD0915
B3353BBB 64E0EC37 7FD02837 0DF92B52 C7891428 CDC67EB6 184B523D 1DB246C3 2F630784 90F00EF8 D647D148 D4795451
5E2327CF EF98C582 664B4C0F 6CC41659`
	order24 = `8CF83642 A709A097 B4479976 40129DA2 99B1A47D 1EB3750B A308B0FE 64F5FBD3`
)

// modp is a group of the numbers under a prime.
type modp struct {
	name     string
	size     int // octets of a public value
	exponent int // octets of a secret exponent
	p        []byte
	m        *bigmod.Modulus
	g        []byte // size octets
	order    []byte // of the subgroup that g makes, where it is not (p-1)/2; nil otherwise
}

func newMODP(name string, exponent int, p, g, order string) *modp {
	m := &modp{name: name, exponent: exponent, p: octets(p)}
	m.size = len(m.p)
	short := octets(g)
	m.g = append(make([]byte, m.size-len(short), m.size), short...)
	var err error
	if m.m, err = bigmod.NewModulus(m.p); err != nil {
		panic("ike: " + name + ": " + err.Error())
	}
	if order != "" {
		m.order = octets(order)
	}
	return m
}

func octets(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic("ike: group constant: " + err.Error())
	}
	return b
}

func (m *modp) exponentLen() int { return m.exponent }

// fit accepts every exponent but zero: each is far below the order.
func (m *modp) fit(exponent []byte) bool { return !zero(exponent) }

func (m *modp) public(exponent []byte) ([]byte, error) { return m.exp(m.g, exponent) }

func (m *modp) both(exponent, peer []byte) (public, shared []byte, err error) {
	if shared, err = m.shared(exponent, peer); err != nil {
		return nil, nil, err
	}
	public, err = m.public(exponent)
	return public, shared, err
}

// shared also checks that the value lies in the subgroup of group 24, without which a peer could learn parts of the exponent from
// small subgroups (RFC 5114 section 4).
func (m *modp) shared(exponent, peer []byte) ([]byte, error) {
	if err := m.check(peer); err != nil {
		return nil, err
	}
	if m.order != nil {
		one, err := m.exp(peer, m.order)
		if err != nil {
			return nil, err
		}
		if one[m.size-1] != 1 || !zero(one[:m.size-1]) {
			return nil, fmt.Errorf("ike: %s: public value is not in the subgroup", m.name)
		}
	}
	return m.exp(peer, exponent)
}

// check wants a value exactly as long as the prime and in 2..p-2. 0, 1 and p-1 would make the shared secret one that
// everybody knows; anything from p on is no element at all.
func (m *modp) check(value []byte) error {
	if len(value) != m.size {
		return fmt.Errorf("ike: %s: public value of %d octets, want %d", m.name, len(value), m.size)
	}
	last := m.size - 1
	if zero(value[:last]) && value[last] < 2 {
		return fmt.Errorf("ike: %s: public value %d", m.name, value[last])
	}
	// p is odd: p-1 differs from it in the last octet only.
	if c := bytes.Compare(value[:last], m.p[:last]); c > 0 || c == 0 && value[last] >= m.p[last]-1 {
		return fmt.Errorf("ike: %s: public value is not under p-1", m.name)
	}
	return nil
}

func (m *modp) exp(base, exponent []byte) ([]byte, error) {
	x, err := bigmod.NewNat().SetBytes(base, m.m)
	if err != nil {
		return nil, fmt.Errorf("ike: %s: %w", m.name, err)
	}
	y := bigmod.NewNat().Exp(x, exponent, m.m)
	b := y.Bytes(m.m)
	y.Sub(y, m.m) // it may be a shared secret: the garbage is to hold zeros
	return b, nil
}

func zero(b []byte) bool {
	for _, o := range b {
		if o != 0 {
			return false
		}
	}
	return true
}
