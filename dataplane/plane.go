package dataplane

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"gvpn/commit/step"
	"gvpn/sa"
	"gvpn/turn"
)

// source is a sender ID and the nonces made with it: each has the ID's bits, and then the count of those before it.
type source struct {
	id   turn.SenderID
	last uint64 // nonce that was used
}

// left is how many nonces are not used yet.
func (s *source) left() uint64 { return 1<<(64-s.id.Bits) - 1 - s.last }

// low is the part of a source, 1 in so many, at which its VPN needs another: at a million packets a second there are four minutes left
// of the shortest, with 32 bits of ID.
const low = 16

// setSenders gives a TEK that counts its part of the nonces.
func (t *tek) setSenders(ids []turn.SenderID) error {
	if t.gcm == nil {
		return nil
	}
	for _, id := range ids {
		if id.Bits < 1 || id.Bits > 32 || uint64(id.Value)>>id.Bits != 0 {
			return fmt.Errorf("dataplane: TEK %#08x: sender ID %d of %d bits", t.sa.SPI, id.Value, id.Bits)
		}
		s := t.vpn.nonces[id]
		if s == nil {
			s = &source{id: id}
			t.vpn.nonces[id] = s
		}
		t.sources = append(t.sources, s)
	}
	return nil
}

// source is what the next nonce is from; nil: there is none.
func (t *tek) source() *source {
	for len(t.sources) > 0 && t.sources[0].left() == 0 {
		t.sources = t.sources[1:]
	}
	if len(t.sources) == 0 {
		return nil
	}
	return t.sources[0]
}

// next takes the next nonce of a TEK that has one, and notes when its VPN has few left.
func (p *Plane) next(t *tek) uint64 {
	s := t.source()
	s.last++
	if left := s.left(); len(t.sources) == 1 && left == 1<<(64-s.id.Bits)/low {
		p.low = append(p.low, t.vpn.name)
	}
	return uint64(s.id.Value)<<(64-s.id.Bits) | s.last
}

// Low names the VPNs that have come to the last part of the nonces of their last sender ID since the last call: they need another one, by
// registering again (RFC 6407 section 3.5).
func (p *Plane) Low() []string {
	l := p.low
	p.low = nil
	return l
}

// exhausted reports whether nothing more can be sent with t: no sequence number is left, or no nonce, or it never had one.
func (t *tek) exhausted() bool { return t.seq == 1<<32-1 || t.gcm != nil && t.source() == nil }

// maxTEKs bounds the TEKs of one VPN: a group's SAs, each with its predecessors.
const maxTEKs = 512

// Plane is one member's data plane. It is not safe for use by several goroutines. Make it with New.
type Plane struct {
	rand  io.Reader
	vpns  []*vpn            // by name
	spis  map[uint32][]*tek // of every VPN; SPIs of two key servers may meet
	stats Stats
	low   []string // VPNs with few nonces left, by name

	id    uint16            // Identification of the next outer header
	pool  [64 * ivLen]byte  // random octets drawn ahead, zeroed when used
	spent int               // octets of pool that are used
	sum   [sha256.Size]byte // where HMACs are put
	nonce [nonceLen]byte    // and nonces
}

// vpn is one member VPN.
type vpn struct {
	name              string
	df                dfBit
	exclude, failOpen []selector
	teks              []*tek // by activation, then by installation: what is sent with stands behind
	stats             Stats

	// nonces has the last nonce of each sender ID that the VPN had, in one count over all TEKs: so none comes twice, whatever is
	// removed and installed again. A member gets one with every registration, so it grows by a few octets an hour.
	nonces map[turn.SenderID]*source
}

type dfBit uint8

const (
	dfClear dfBit = iota // Junos's default
	dfSet
	dfCopy
)

// tek is an installed TEK with its ciphers. AES's expanded keys lie within crypto/aes and cannot be zeroed; they go with the
// garbage.
type tek struct {
	vpn      *vpn
	sa       sa.TEK
	policies []selector
	seq      uint32 // last number sent

	block    cipher.Block
	enc, dec cbc
	mac      hash.Hash

	gcm     cipher.AEAD // nil: CBC
	sources []*source   // of nonces, in the order in which they are used up; none: nothing is sent with this TEK

	stats Stats
}

// cbc is a CBC mode that can start again with another IV.
type cbc interface {
	cipher.BlockMode
	SetIV([]byte)
}

// New makes a Plane without VPNs, which drops every packet. rand gives IVs: an attacker must not be able to foretell them
// (RFC 3602 section 3), so on a real node it is crypto/rand's.
func New(rand io.Reader) *Plane {
	p := &Plane{rand: rand, spis: map[uint32][]*tek{}}
	p.spent = len(p.pool)
	return p
}

func (p *Plane) find(name string) (*vpn, int) {
	i, ok := slices.BinarySearchFunc(p.vpns, name, func(v *vpn, name string) int { return strings.Compare(v.name, name) })
	if !ok {
		return nil, i
	}
	return p.vpns[i], i
}

// SetVPN takes over a VPN's df-bit, exclude and fail-open rules, at once and whole; its TEKs stay. What the rest of the
// configuration says (gateway, group, zones) does not concern packets here.
func (p *Plane) SetVPN(c step.VPN) {
	v, i := p.find(c.Name)
	if v == nil {
		v = &vpn{name: c.Name, nonces: map[turn.SenderID]*source{}}
		p.vpns = slices.Insert(p.vpns, i, v)
	}
	v.df = map[string]dfBit{"set": dfSet, "copy": dfCopy}[c.DFBit]
	v.exclude, v.failOpen = compileRules(c.Exclude), compileRules(c.FailOpen)
}

// RemoveVPN forgets a VPN, its rules and its TEKs.
func (p *Plane) RemoveVPN(name string) {
	v, i := p.find(name)
	if v == nil {
		return
	}
	for len(v.teks) > 0 {
		p.remove(v.teks[0])
	}
	p.vpns = slices.Delete(p.vpns, i, i+1)
}

// InstallTEK adds a TEK to a VPN, or replaces the one with its SPI; with the same keys the sequence numbers go on. The Plane
// keeps a copy of the TEK. Errors name a VPN that is not set, keys of the wrong length, a window that cannot be, a TEK without IPv4 policy, or one too
// many; they are the engine's faults, not a peer's.
func (p *Plane) InstallTEK(i turn.InstallTEK) error {
	v, _ := p.find(i.VPN)
	if v == nil {
		return fmt.Errorf("dataplane: TEK %#08x: no vpn %q", i.TEK.SPI, i.VPN)
	}
	t, err := newTEK(v, i.TEK)
	if err != nil {
		return err
	}
	if err := t.setSenders(i.Senders); err != nil {
		t.sa.Zero()
		return err
	}
	at := slices.IndexFunc(v.teks, func(old *tek) bool { return old.sa.SPI == t.sa.SPI })
	switch {
	case at >= 0:
		if old := v.teks[at]; old.sa.Key.Equal(t.sa.Key) && old.sa.AuthKey.Equal(t.sa.AuthKey) {
			t.seq, t.stats = old.seq, old.stats
		}
		p.remove(v.teks[at])
	case len(v.teks) >= maxTEKs:
		t.sa.Zero()
		return fmt.Errorf("dataplane: TEK %#08x: vpn %q has %d TEKs already", i.TEK.SPI, i.VPN, maxTEKs)
	}
	// Behind all that are active no later: of two that are active from the same moment, the one installed last is newer.
	place := 0
	for place < len(v.teks) && !v.teks[place].sa.Activate.After(t.sa.Activate) {
		place++
	}
	v.teks = slices.Insert(v.teks, place, t)
	p.spis[t.sa.SPI] = append(p.spis[t.sa.SPI], t)
	return nil
}

func newTEK(v *vpn, s sa.TEK) (*tek, error) {
	if s.IEC61850 != nil {
		return nil, fmt.Errorf("dataplane: TEK %#08x is for IEC 61850, not for ESP", s.SPI)
	}
	if key, auth, ok := s.KeyLengths(); !ok || len(s.Key) != key || len(s.AuthKey) != auth {
		return nil, fmt.Errorf("dataplane: TEK %#08x: keys of %d and %d octets for %d bits", s.SPI, len(s.Key), len(s.AuthKey), s.KeyBits)
	}
	if !s.WindowSound() {
		return nil, fmt.Errorf("dataplane: TEK %#08x: anti-replay window %v", s.SPI, s.Window)
	}
	if len(s.Policies) == 0 {
		return nil, fmt.Errorf("dataplane: TEK %#08x: no policy", s.SPI)
	}
	t := &tek{vpn: v, sa: s.Clone()}
	for _, m := range s.Policies {
		if m.Source.IsValid() && !m.Source.Addr().Is4() || m.Destination.IsValid() && !m.Destination.Addr().Is4() {
			return nil, fmt.Errorf("dataplane: TEK %#08x: policy %v to %v is not IPv4", s.SPI, m.Source, m.Destination)
		}
		t.policies = append(t.policies, compilePolicy(m))
	}
	block, err := aes.NewCipher(t.sa.Key[:s.KeyBits/8])
	if err != nil {
		return nil, fmt.Errorf("dataplane: TEK %#08x: AES with a key of %d octets", s.SPI, len(s.Key))
	}
	if s.Cipher == sa.GCM {
		if t.gcm, err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("dataplane: TEK %#08x: %w", s.SPI, err)
		}
		return t, nil
	}
	t.block = block
	t.mac = hmac.New(sha256.New, t.sa.AuthKey)
	var zero [ivLen]byte
	t.enc, _ = cipher.NewCBCEncrypter(block, zero[:]).(cbc)
	t.dec, _ = cipher.NewCBCDecrypter(block, zero[:]).(cbc)
	return t, nil
}

// encrypt and decrypt run CBC over b in place. A mode that can start again is used again; any other is made for each packet.
func (t *tek) encrypt(iv, b []byte) {
	if t.enc == nil {
		cipher.NewCBCEncrypter(t.block, iv).CryptBlocks(b, b)
		return
	}
	t.enc.SetIV(iv)
	t.enc.CryptBlocks(b, b)
}

func (t *tek) decrypt(iv, b []byte) {
	if t.dec == nil {
		cipher.NewCBCDecrypter(t.block, iv).CryptBlocks(b, b)
		return
	}
	t.dec.SetIV(iv)
	t.dec.CryptBlocks(b, b)
}

// RemoveTEK takes a TEK away and zeroes its keys. One that is not there is no fault.
func (p *Plane) RemoveTEK(r turn.RemoveTEK) {
	if v, _ := p.find(r.VPN); v != nil {
		if i := slices.IndexFunc(v.teks, func(t *tek) bool { return t.sa.SPI == r.SPI }); i >= 0 {
			p.remove(v.teks[i])
		}
	}
}

func (p *Plane) remove(t *tek) {
	same := func(u *tek) bool { return u == t }
	t.vpn.teks = slices.DeleteFunc(t.vpn.teks, same)
	if rest := slices.DeleteFunc(p.spis[t.sa.SPI], same); len(rest) > 0 {
		p.spis[t.sa.SPI] = rest
	} else {
		delete(p.spis, t.sa.SPI)
	}
	t.sa.Zero()
}

func (t *tek) live(now time.Time) bool { return now.Before(t.sa.Hard) }

// match is the best answer of the TEK's policies.
func (t *tek) match(p *ipv4) (best match) {
	for i := range t.policies {
		switch t.policies[i].match(p) {
		case yes:
			return yes
		case maybe:
			best = maybe
		}
	}
	return best
}

// count notes a packet of n octets on the wire for the Plane and, where they are known, for its VPN and TEK.
func (p *Plane) count(v Verdict, n int, sent bool, in *vpn, t *tek) {
	p.stats.count(v, n, sent)
	if in != nil {
		in.stats.count(v, n, sent)
	}
	if t != nil {
		t.stats.count(v, n, sent)
	}
}
