package sa

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// What an Update may hold at most. They are ours; the configuration stays far below them (Junos: 10 match-policies, names of
// 32 characters), and a parser that knows them cannot be made to build more than it should.
const (
	MaxTEKs     = 256  // TEKs, and SPIs to delete
	MaxPolicies = 64   // match-policies of one TEK
	MaxName     = 255  // octets of a name
	MaxPublic   = 2048 // octets of a SubjectPublicKeyInfo
	MaxPrivate  = 8192 // octets of a PKCS #8 key
)

// updateVersion is the first octet of the binary form. A form that is not compatible gets another number.
const updateVersion = 2

// Flags of the binary form.
const (
	flagKEK = 1 << iota
	flagFull
	flagDeleteAll
	flagDeleteMembers
	flagDeleteKEK
	flagMulticast // the KEK's pushes go to a group
	flagSenders
	flagsKnown = 1<<iota - 1
)

// Kinds of TEK in the binary form: ESP ciphers as they are numbered, those numbers plus kindTimed where a Window follows, and IEC
// 61850. A program that knows no windows refuses the timed ones, and reads all others as before.
const (
	kindTimed    = 64
	kindIEC61850 = 255
)

// noAssurance stands for an IEC61850 without HasAssurance; a percentage is at most 100.
const noAssurance = 255

// noTime stands for the zero time.Time; other times are at most maxMillis from the reference, some 278 years.
const (
	noTime    = -1 << 63
	maxMillis = 1 << 43
)

// ErrUpdate is wrapped by every error of ParseUpdate and Check.
var ErrUpdate = errors.New("sa: update")

// Check reports the first part of u that the binary form cannot carry: more than the caps allow, a key whose length is not
// KeyBits, a window that cannot be, a name that is not printable ASCII, a prefix that is not IPv4. An engine checks what it makes from its configuration before it commits to it.
func (u *Update) Check() error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%w of group %q: %s", ErrUpdate, u.Group, fmt.Sprintf(format, args...))
	}
	if !name(u.Group) {
		return fmt.Errorf("%w: group name of %d octets, want at most %d of printable ASCII", ErrUpdate, len(u.Group), MaxName)
	}
	if u.ActivationDelay < 0 || u.ActivationDelay.Milliseconds() > 1<<32-1 {
		return fault("activation delay %v", u.ActivationDelay)
	}
	if len(u.TEKs) > MaxTEKs || len(u.DeleteTEKs) > MaxTEKs {
		return fault("%d TEKs and %d SPIs to delete, at most %d each", len(u.TEKs), len(u.DeleteTEKs), MaxTEKs)
	}
	if !u.Senders.Sound() {
		return fault("sender IDs %+v", u.Senders)
	}
	if k := u.KEK; k != nil {
		switch {
		case !keyBits(k.KeyBits) || len(k.Key) != k.KeyBits/8:
			return fault("KEK key of %d octets for %d bits", len(k.Key), k.KeyBits)
		case k.SigAlg >= sigAlgs:
			return fault("KEK signature algorithm %d", k.SigAlg)
		case len(k.SigPublic) > MaxPublic || len(k.SigPrivate) > MaxPrivate:
			return fault("KEK signature keys of %d and %d octets", len(k.SigPublic), len(k.SigPrivate))
		case k.Multicast != nil && !k.Multicast.codable():
			return fault("KEK for multicast group %v on interface %q", k.Multicast.Group, k.Multicast.Interface)
		}
	}
	for i := range u.TEKs {
		t := &u.TEKs[i]
		key, auth, ok := t.KeyLengths()
		switch {
		case !name(t.Name):
			return fault("TEK %d: name %q", i, t.Name)
		case !ok || len(t.Key) != key || len(t.AuthKey) != auth:
			return fault("TEK %d: keys of %d and %d octets for %d bits", i, len(t.Key), len(t.AuthKey), t.KeyBits)
		case t.IEC61850 != nil && (!t.IEC61850.codable() || t.Cipher != 0 || t.KeyBits != 0):
			return fault("TEK %d: its policy for IEC 61850", i)
		case !t.WindowSound():
			return fault("TEK %d: anti-replay window %v", i, t.Window)
		case len(t.Policies) > MaxPolicies:
			return fault("TEK %d: %d match-policies, at most %d", i, len(t.Policies), MaxPolicies)
		}
		for j, p := range t.Policies {
			if !name(p.Name) || !codable(p.Source) || !codable(p.Destination) {
				return fault("TEK %d, match-policy %d: name %q, %v to %v", i, j, p.Name, p.Source, p.Destination)
			}
		}
	}
	return nil
}

func (m *Multicast) codable() bool {
	return m.Group.Addr().Is4() && m.Group.Addr().IsMulticast() && name(m.Interface)
}

// codable reports whether x has one spelling in the binary form.
func (x *IEC61850) codable() bool {
	return x.Selector.Sound() && x.Assurance <= 100 && (x.HasAssurance || x.Assurance == 0)
}

func keyBits(n int) bool { return n == 128 || n == 192 || n == 256 }

// name reports whether s can be a name: at most MaxName octets of printable ASCII.
func name(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= MaxName
}

// codable reports whether p is an IPv4 prefix, or the zero Prefix.
func codable(p netip.Prefix) bool { return p == netip.Prefix{} || p.IsValid() && p.Addr().Is4() }

// AppendUpdate appends u's binary form to dst. Times are carried in whole milliseconds relative to ref: between servers ref is
// each side's now, so that their clocks need not agree; on disk it is the Unix epoch. It panics on an Update that Check
// refuses. The result holds secrets.
//
//	Update:  version 1 (=2) | flags 1 | group ID 4 | update version 8 | activation delay 4 (ms) | group name |
//	         [sender IDs] | [KEK] | TEK count 2 | TEKs | delete count 2 | SPIs 4 each
//	flags:   1 a KEK follows, 2 full, 4 delete all, 8 delete members, 16 delete KEK, 32 the KEK ends with multicast, 64 sender IDs
//	sender IDs: see AppendSenders
//	name:    length 1 | octets
//	KEK:     SPI 16 | key bits 2 | IV 16 | key | signature 1 | hash 1 | public length 2 | SPKI | private length 2 | PKCS #8 |
//	         sequence 4 | ack type 2 | created 8 | soft 8 | hard 8 | [multicast]
//	multicast: group 4 | port 2 | TTL 1 | interface, a name
//	TEK:     name | SPI 4 | kind 1 | key bits 2 [| window 4 (ms)] or IEC 61850 | key | authentication key | policy count 1 | policies |
//	         created 8 | soft 8 | hard 8 | activate 8
//	kind:    0 AES-CBC, 1 AES-GCM, either plus 64 if a window follows, 255 IEC 61850; it says with what follows how long the
//	         keys are
//	IEC 61850: OID length 1 | OID | payload length 2 | payload | authentication 2 | encryption 2 | assurance 1 (255: none)
//	policy:  name | source 4 | bits 1 | destination 4 | bits 1 | source port 2 | destination port 2 | protocol 1
//	time:    signed milliseconds from ref, or the smallest number for the zero time
//
// All numbers are big endian. A prefix of 255 bits (address 0) is the zero Prefix.
func AppendUpdate(dst []byte, u *Update, ref time.Time) []byte {
	if err := u.Check(); err != nil {
		panic(err)
	}
	be := binary.BigEndian
	flags := flag(u.KEK != nil, flagKEK) | flag(u.Full, flagFull) | flag(u.DeleteAll, flagDeleteAll) |
		flag(u.DeleteMembers, flagDeleteMembers) | flag(u.DeleteKEK, flagDeleteKEK) |
		flag(u.KEK != nil && u.KEK.Multicast != nil, flagMulticast) | flag(u.Senders.Epoch != 0, flagSenders)
	dst = append(dst, updateVersion, flags)
	dst = be.AppendUint32(dst, u.GroupID)
	dst = be.AppendUint64(dst, u.Version)
	dst = be.AppendUint32(dst, uint32(u.ActivationDelay.Milliseconds()))
	dst = appendName(dst, u.Group)
	if u.Senders.Epoch != 0 {
		dst = AppendSenders(dst, u.Senders)
	}
	if k := u.KEK; k != nil {
		dst = append(dst, k.SPI[:]...)
		dst = be.AppendUint16(dst, uint16(k.KeyBits))
		dst = append(dst, k.IV[:]...)
		dst = append(dst, k.Key...)
		dst = append(dst, byte(k.SigAlg), byte(k.SigHash))
		dst = append(be.AppendUint16(dst, uint16(len(k.SigPublic))), k.SigPublic...)
		dst = append(be.AppendUint16(dst, uint16(len(k.SigPrivate))), k.SigPrivate...)
		dst = be.AppendUint32(dst, k.Seq)
		dst = be.AppendUint16(dst, k.Ack)
		dst = appendTimes(dst, ref, k.Created, k.Soft, k.Hard)
		if m := k.Multicast; m != nil {
			dst = append(dst, m.Group.Addr().AsSlice()...)
			dst = append(be.AppendUint16(dst, m.Group.Port()), m.TTL)
			dst = appendName(dst, m.Interface)
		}
	}
	dst = be.AppendUint16(dst, uint16(len(u.TEKs)))
	for i := range u.TEKs {
		t := &u.TEKs[i]
		dst = appendName(dst, t.Name)
		dst = be.AppendUint32(dst, t.SPI)
		if x := t.IEC61850; x != nil {
			dst = appendIEC61850(append(dst, kindIEC61850), x)
		} else {
			kind := byte(t.Cipher) | flag(t.Window != 0, kindTimed)
			dst = be.AppendUint16(append(dst, kind), uint16(t.KeyBits))
			if t.Window != 0 {
				dst = be.AppendUint32(dst, uint32(t.Window.Milliseconds()))
			}
		}
		dst = append(dst, t.Key...)
		dst = append(dst, t.AuthKey...)
		dst = append(dst, byte(len(t.Policies)))
		for _, p := range t.Policies {
			dst = appendName(dst, p.Name)
			dst = appendPrefix(dst, p.Source)
			dst = appendPrefix(dst, p.Destination)
			dst = be.AppendUint16(dst, p.SourcePort)
			dst = be.AppendUint16(dst, p.DestinationPort)
			dst = append(dst, p.Protocol)
		}
		dst = appendTimes(dst, ref, t.Created, t.Soft, t.Hard, t.Activate)
	}
	dst = be.AppendUint16(dst, uint16(len(u.DeleteTEKs)))
	for _, spi := range u.DeleteTEKs {
		dst = be.AppendUint32(dst, spi)
	}
	return dst
}

func appendIEC61850(dst []byte, x *IEC61850) []byte {
	be := binary.BigEndian
	dst = append(append(dst, byte(len(x.Selector.OID))), x.Selector.OID...)
	dst = append(be.AppendUint16(dst, uint16(len(x.Selector.Payload))), x.Selector.Payload...)
	dst = be.AppendUint16(dst, uint16(x.Auth))
	dst = be.AppendUint16(dst, uint16(x.Enc))
	if !x.HasAssurance {
		return append(dst, noAssurance)
	}
	return append(dst, x.Assurance)
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

func appendName(dst []byte, s string) []byte { return append(append(dst, byte(len(s))), s...) }

func appendPrefix(dst []byte, p netip.Prefix) []byte {
	if p == (netip.Prefix{}) {
		return append(dst, 0, 0, 0, 0, 255)
	}
	a := p.Addr().As4()
	return append(append(dst, a[:]...), byte(p.Bits()))
}

func appendTimes(dst []byte, ref time.Time, times ...time.Time) []byte {
	for _, t := range times {
		ms := int64(noTime)
		if !t.IsZero() {
			d := t.Sub(ref) // saturates at some 292 years
			ms = d.Milliseconds()
			if d < 0 && d%time.Millisecond != 0 {
				ms-- // down, not towards ref: no lifetime grows by travelling
			}
			ms = min(max(ms, -maxMillis), maxMillis)
		}
		dst = binary.BigEndian.AppendUint64(dst, uint64(ms))
	}
	return dst
}

// ParseUpdate reads what AppendUpdate wrote; ref is the reader's now, or the Unix epoch for a record from disk. The Update owns
// its memory. Any octet too few or too many, an unknown version or flag, a number over its cap, a name that is not printable
// ASCII and a key length that is not one of AES's is an error that wraps ErrUpdate.
func ParseUpdate(b []byte, ref time.Time) (u Update, err error) {
	c := cursor{b: b}
	if v := c.uint8("version"); c.err == nil && v != updateVersion {
		return Update{}, fmt.Errorf("%w: version %d, this program knows %d", ErrUpdate, v, updateVersion)
	}
	flags := c.uint8("flags")
	if c.err == nil && flags&^flagsKnown != 0 {
		c.fail("flags %#02x unknown", flags&^flagsKnown)
	}
	if c.err == nil && flags&flagMulticast != 0 && flags&flagKEK == 0 {
		c.fail("multicast without a KEK")
	}
	u.Full, u.DeleteAll = flags&flagFull != 0, flags&flagDeleteAll != 0
	u.DeleteMembers, u.DeleteKEK = flags&flagDeleteMembers != 0, flags&flagDeleteKEK != 0
	u.GroupID = c.uint32("group ID")
	u.Version = c.uint64("update version")
	u.ActivationDelay = time.Duration(c.uint32("activation delay")) * time.Millisecond
	u.Group = c.name("group name")
	if c.err == nil && flags&flagSenders != 0 {
		u.Senders = c.senders()
	}
	if c.err == nil && flags&flagKEK != 0 {
		u.KEK = c.kek(ref, flags&flagMulticast != 0)
	}
	for range c.count("TEKs", MaxTEKs) {
		if c.err != nil {
			break
		}
		u.TEKs = append(u.TEKs, c.tek(ref))
	}
	for range c.count("SPIs to delete", MaxTEKs) {
		if c.err != nil {
			break
		}
		u.DeleteTEKs = append(u.DeleteTEKs, c.uint32("SPI to delete"))
	}
	if c.err == nil && len(c.b) != 0 {
		c.fail("%d octets too many", len(c.b))
	}
	if c.err != nil {
		u.Zero()
		return Update{}, c.err
	}
	return u, nil
}

// Zero destroys the key material that u carries.
func (u *Update) Zero() {
	u.KEK.Zero()
	for i := range u.TEKs {
		u.TEKs[i].Zero()
	}
}

// cursor reads an Update from b; after the first error every read gives zeros, so that one check at the end is enough.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrUpdate, fmt.Sprintf(format, args...))
	}
}

// take gives the next n octets, valid as long as the input.
func (c *cursor) take(n int, what string) []byte {
	if c.err == nil && len(c.b) < n {
		c.fail("%s: %d octets left, want %d", what, len(c.b), n)
	}
	if c.err != nil {
		return nil
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) uint8(what string) (n uint8) {
	if v := c.take(1, what); v != nil {
		n = v[0]
	}
	return n
}

func (c *cursor) uint16(what string) (n uint16) {
	if v := c.take(2, what); v != nil {
		n = binary.BigEndian.Uint16(v)
	}
	return n
}

func (c *cursor) uint32(what string) (n uint32) {
	if v := c.take(4, what); v != nil {
		n = binary.BigEndian.Uint32(v)
	}
	return n
}

func (c *cursor) uint64(what string) (n uint64) {
	if v := c.take(8, what); v != nil {
		n = binary.BigEndian.Uint64(v)
	}
	return n
}

func (c *cursor) count(what string, most int) int {
	n := int(c.uint16(what))
	if n > most {
		c.fail("%d %s, at most %d", n, what, most)
	}
	if c.err != nil {
		return 0
	}
	return n
}

// octets reads n octets into memory of their own; nil if n is 0.
func (c *cursor) octets(n int, what string) []byte {
	return append([]byte(nil), c.take(n, what)...)
}

func (c *cursor) name(what string) string {
	s := string(c.take(int(c.uint8(what)), what))
	if !name(s) {
		c.fail("%s %q is not printable ASCII", what, s)
		return ""
	}
	return s
}

func (c *cursor) time(ref time.Time, what string) time.Time {
	ms := int64(c.uint64(what))
	switch {
	case c.err != nil || ms == noTime:
		return time.Time{}
	case ms < -maxMillis || ms > maxMillis:
		c.fail("%s: %d ms from the reference", what, ms)
		return time.Time{}
	}
	return ref.Add(time.Duration(ms) * time.Millisecond)
}

func (c *cursor) senders() (s Senders) {
	b := c.take(SendersLen, "sender IDs")
	if c.err == nil {
		s, c.err = ParseSenders(b)
	}
	if c.err == nil && s.Epoch == 0 {
		c.fail("sender IDs of no epoch")
	}
	return s
}

// keyBits reads an AES key length in bits.
func (c *cursor) keyBits(what string) int {
	n := int(c.uint16(what))
	if c.err == nil && !keyBits(n) {
		c.fail("%s: AES key of %d bits", what, n)
	}
	if c.err != nil {
		return 0
	}
	return n
}

func (c *cursor) prefix(what string) netip.Prefix {
	b := c.take(5, what)
	if b == nil {
		return netip.Prefix{}
	}
	addr := [4]byte(b)
	switch bits := b[4]; {
	case bits == 255 && addr == [4]byte{}:
		return netip.Prefix{}
	case bits <= 32:
		return netip.PrefixFrom(netip.AddrFrom4(addr), int(bits))
	default:
		c.fail("%s: prefix of %d bits", what, bits)
		return netip.Prefix{}
	}
}

func (c *cursor) kek(ref time.Time, multicast bool) *KEK {
	k := new(KEK)
	copy(k.SPI[:], c.take(16, "KEK SPI"))
	k.KeyBits = c.keyBits("KEK key bits")
	copy(k.IV[:], c.take(16, "KEK IV"))
	k.Key = c.octets(k.KeyBits/8, "KEK key")
	if k.SigAlg = SigAlg(c.uint8("KEK signature")); k.SigAlg >= sigAlgs {
		c.fail("KEK signature algorithm %d", k.SigAlg)
	}
	k.SigHash = Hash(c.uint8("KEK hash"))
	k.SigPublic = c.octets(c.capped("KEK public key", MaxPublic), "KEK public key")
	k.SigPrivate = c.octets(c.capped("KEK private key", MaxPrivate), "KEK private key")
	k.Seq = c.uint32("KEK sequence")
	k.Ack = c.uint16("KEK ack type")
	k.Created, k.Soft, k.Hard = c.time(ref, "KEK created"), c.time(ref, "KEK soft"), c.time(ref, "KEK hard")
	if !multicast {
		return k
	}
	m := new(Multicast)
	if b := c.take(4, "multicast group"); b != nil {
		m.Group = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), c.uint16("multicast port"))
	}
	m.TTL, m.Interface = c.uint8("TTL"), c.name("interface")
	if !m.codable() {
		c.fail("%v is no multicast group", m.Group)
	}
	k.Multicast = m
	return k
}

func (c *cursor) iec61850() *IEC61850 {
	x := new(IEC61850)
	x.Selector.OID = string(c.take(int(c.uint8("OID")), "OID"))
	x.Selector.Payload = string(c.take(c.capped("OID payload", MaxOIDPayload), "OID payload"))
	x.Auth, x.Enc = Auth(c.uint16("authentication algorithm")), Enc(c.uint16("encryption algorithm"))
	if n := c.uint8("assurance"); n != noAssurance {
		x.Assurance, x.HasAssurance = n, true
	}
	if !x.codable() {
		c.fail("policy for IEC 61850: OID of %d octets, payload of %d, assurance %d", len(x.Selector.OID), len(x.Selector.Payload), x.Assurance)
	}
	return x
}

// capped reads a two-octet length of at most most octets.
func (c *cursor) capped(what string, most int) int {
	n := int(c.uint16(what))
	if n > most {
		c.fail("%s of %d octets, at most %d", what, n, most)
		return 0
	}
	return n
}

func (c *cursor) tek(ref time.Time) (t TEK) {
	t.Name = c.name("TEK name")
	t.SPI = c.uint32("TEK SPI")
	switch kind := c.uint8("TEK kind"); {
	case kind == kindIEC61850:
		t.IEC61850 = c.iec61850()
	case kind&^kindTimed >= uint8(ciphers):
		c.fail("TEK of kind %d", kind)
	default:
		t.Cipher, t.KeyBits = Cipher(kind&^kindTimed), c.keyBits("TEK key bits")
		if kind&kindTimed != 0 {
			t.Window = time.Duration(c.uint32("TEK window")) * time.Millisecond
			if c.err == nil && (t.Window == 0 || !t.WindowSound()) {
				c.fail("TEK window of %v", t.Window)
			}
		}
	}
	key, auth, ok := t.KeyLengths()
	if !ok {
		c.fail("TEK: algorithms that are not known together")
	}
	t.Key = c.octets(key, "TEK key")
	t.AuthKey = c.octets(auth, "TEK authentication key")
	n := int(c.uint8("match-policies"))
	if n > MaxPolicies {
		c.fail("%d match-policies, at most %d", n, MaxPolicies)
	}
	for range n {
		if c.err != nil {
			break
		}
		t.Policies = append(t.Policies, Policy{
			Name:            c.name("match-policy name"),
			Source:          c.prefix("match-policy source"),
			Destination:     c.prefix("match-policy destination"),
			SourcePort:      c.uint16("match-policy source port"),
			DestinationPort: c.uint16("match-policy destination port"),
			Protocol:        c.uint8("match-policy protocol"),
		})
	}
	t.Created, t.Soft = c.time(ref, "TEK created"), c.time(ref, "TEK soft")
	t.Hard, t.Activate = c.time(ref, "TEK hard"), c.time(ref, "TEK activate")
	return t
}
