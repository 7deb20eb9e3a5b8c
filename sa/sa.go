package sa

import (
	"net/netip"
	"slices"
	"time"
)

// Hash names a hash function of the configuration: the prf of a phase-1 SA, or the hash under a PUSH signature.
type Hash uint8

// The hashes. Junos's Group VPNv2 configuration can name the first two.
const (
	SHA256 Hash = iota + 1
	SHA384
	SHA512
)

// String returns the configuration's word for the hash.
func (h Hash) String() string {
	switch h {
	case SHA256:
		return "sha-256"
	case SHA384:
		return "sha-384"
	case SHA512:
		return "sha-512"
	}
	return "unknown-hash"
}

// SigAlg names the signature algorithm of PUSHes (RFC 6407 section 5.3.6). The zero value is Junos's one.
type SigAlg uint8

// The signature algorithms. An ECDSA one implies its hash: SHA-256 with P-256, SHA-384 with P-384 (RFC 4754).
const (
	RSA SigAlg = iota
	ECDSA256
	ECDSA384
	sigAlgs // how many there are
)

// String names the algorithm.
func (a SigAlg) String() string {
	switch a {
	case RSA:
		return "rsa"
	case ECDSA256:
		return "ecdsa-256"
	case ECDSA384:
		return "ecdsa-384"
	}
	return "unknown-signature"
}

// Hash is the hash that the algorithm implies, 0 if it goes with any.
func (a SigAlg) Hash() Hash {
	switch a {
	case ECDSA256:
		return SHA256
	case ECDSA384:
		return SHA384
	}
	return 0
}

// KEK is the group's key encryption key with its policy: what RFC 6407 calls the Rekey SA.
type KEK struct {
	SPI     [16]byte // the two cookies of a PUSH header; no octet is zero (old peers compare it as a C string)
	KeyBits int      // AES-CBC key length: 128, 192 or 256
	IV      [16]byte // static: every PUSH under this KEK starts from it (RFC 6407 section 5.6.2.1)
	Key     Secret   // KeyBits/8 octets

	SigAlg     SigAlg
	SigHash    Hash   // as SigAlg implies, if it does
	SigPublic  []byte // DER SubjectPublicKeyInfo of the key that signs PUSHes
	SigPrivate Secret // PKCS #8 DER; empty at a member

	// Seq is the number of the last PUSH sent (server) or accepted (member) under this KEK; 0 before the first.
	Seq uint32
	// Ack is the KEK_ACK_REQUESTED type of RFC 8263 section 2, 0 for none.
	Ack uint16
	// Multicast is where PUSHes under this KEK go to, by one datagram for all members; nil: to each member at its own address.
	Multicast *Multicast

	Created, Soft, Hard time.Time // made; to be replaced; dead
}

// Multicast is the way of PUSHes to all members at once (RFC 6407 section 3.4). Nobody writes to it: copies of a KEK share it. A
// member knows the Group alone.
type Multicast struct {
	Group     netip.AddrPort // IPv4
	TTL       uint8          // how many routers may hand it on; 0: the system's default, which is none
	Interface string         // where it leaves, by the system's name; "": where the server's address is
}

// Clone returns a deep copy, but for what nobody writes to.
func (k *KEK) Clone() *KEK {
	if k == nil {
		return nil
	}
	c := *k
	c.Key, c.SigPrivate = k.Key.Clone(), k.SigPrivate.Clone()
	c.SigPublic = append([]byte(nil), k.SigPublic...)
	return &c
}

// Zero destroys the key material.
func (k *KEK) Zero() {
	if k != nil {
		k.Key.Zero()
		k.SigPrivate.Zero()
		clear(k.IV[:])
	}
}

// Cipher names what a TEK for ESP protects packets with. The zero value is Junos's one.
type Cipher uint8

// The ciphers.
const (
	CBC     Cipher = iota // AES-CBC (RFC 3602) with HMAC-SHA-256-128 (RFC 4868)
	GCM                   // AES-GCM with an ICV of 16 octets (RFC 4106); it counts, so that a sender needs an ID of its own
	ciphers               // how many there are
)

// String names the cipher.
func (c Cipher) String() string {
	switch c {
	case CBC:
		return "aes-cbc"
	case GCM:
		return "aes-gcm"
	}
	return "unknown-cipher"
}

// TEK is one traffic encryption key with its policy: ESP in tunnel mode with address preservation, or, with IEC61850, that of
// RFC 8052. Name is the ipsec-sa's at a server and empty at a member.
type TEK struct {
	Name    string
	SPI     uint32
	Cipher  Cipher // for ESP
	KeyBits int    // AES key length: 128, 192 or 256; 0 with IEC61850, where the algorithms say it
	Key     Secret // the cipher's key, for one that counts followed by its salt of 4 octets; KeyLengths says how long
	AuthKey Secret // the authentication key, if there is one

	// IEC61850 is set in a TEK for GOOSE or sampled values (RFC 8052), and only there.
	IEC61850 *IEC61850

	Policies []Policy // for ESP the match-policies in configured order, 1..10

	// Window is, for ESP with time-based anti-replay, how far a packet's time stamp may be from the receiver's clock, before or
	// after: 1 ms to MaxWindow in whole milliseconds. 0: packets have none. It is the TEK's from its making on.
	Window time.Duration

	Created, Soft, Hard time.Time // made; to be replaced; dead. An IEC 61850 TEK without a lifetime has a zero Hard.
	// Activate is when a member starts to send with this TEK if it has an older one for the same traffic; it receives
	// with it from the start (RFC 6407 section 5.4, ACTIVATION_TIME_DELAY). An IEC 61850 TEK is neither sent nor received
	// with before (RFC 8052 section 2.2.4.1, SA_ATD).
	Activate time.Time
}

// saltLen is the length of the salt after a key of GCM or GMAC (RFC 4106 section 8.1, RFC 8052 section 2.3), authKeyLen that
// of an HMAC-SHA-256 key (RFC 4868 section 2.1.1, RFC 8052 section 2.3).
const (
	saltLen    = 4
	authKeyLen = 32
)

// MaxWindow is the longest Window: Junos's anti-replay-time-window goes to 60000.
const MaxWindow = 60000 * time.Millisecond

// WindowSound reports whether the TEK can have its Window. An IEC 61850 TEK can have none.
func (t *TEK) WindowSound() bool {
	return t.Window == 0 || t.IEC61850 == nil && t.Window > 0 && t.Window <= MaxWindow && t.Window%time.Millisecond == 0
}

// KeyLengths says how many octets Key and AuthKey have, 0 for one that the TEK does not need. It is false for algorithms that
// are not known or do not go together.
func (t *TEK) KeyLengths() (key, auth int, ok bool) {
	switch {
	case t.IEC61850 != nil:
		return t.IEC61850.keyLengths()
	case !keyBits(t.KeyBits):
		return 0, 0, false
	case t.Cipher == CBC:
		return t.KeyBits / 8, authKeyLen, true
	case t.Cipher == GCM:
		return t.KeyBits/8 + saltLen, 0, true
	}
	return 0, 0, false
}

// Counts reports whether the cipher's nonces count, so that no two senders may share one (RFC 6407 section 3.5).
func (t *TEK) Counts() bool {
	if x := t.IEC61850; x != nil {
		return x.Enc == EncGCM128 || x.Enc == EncGCM256 || x.Auth == AuthGMAC128 || x.Auth == AuthGMAC256
	}
	return t.Cipher == GCM
}

// SameTraffic reports whether t and u select the same packets by all that they have, names aside.
func (t *TEK) SameTraffic(u *TEK) bool {
	if t.IEC61850 != nil || u.IEC61850 != nil {
		return t.IEC61850 != nil && u.IEC61850 != nil && t.IEC61850.Selector == u.IEC61850.Selector
	}
	return slices.EqualFunc(t.Policies, u.Policies, Policy.SameTraffic)
}

// Algorithms names what a TEK protects traffic with: its cipher, and what authenticates beside it.
func (t *TEK) Algorithms() string {
	if x := t.IEC61850; x != nil {
		return x.Enc.String() + " and " + x.Auth.String()
	}
	return t.Cipher.String()
}

// Clone returns a deep copy.
func (t TEK) Clone() TEK {
	t.Key, t.AuthKey = t.Key.Clone(), t.AuthKey.Clone()
	t.Policies = append([]Policy(nil), t.Policies...)
	if t.IEC61850 != nil {
		x := *t.IEC61850
		t.IEC61850 = &x
	}
	return t
}

// Zero destroys the key material.
func (t *TEK) Zero() {
	t.Key.Zero()
	t.AuthKey.Zero()
}

// Policy is one match-policy: which packets a TEK is for. Zero prefixes of length 0, zero ports and protocol 0 mean any.
type Policy struct {
	Name                        string // at a server; empty at a member
	Source, Destination         netip.Prefix
	SourcePort, DestinationPort uint16
	Protocol                    uint8
}

// SameTraffic reports whether p and q select the same packets, names aside.
func (p Policy) SameTraffic(q Policy) bool {
	p.Name, q.Name = "", ""
	return p == q
}

// Update is a group's SAs on their way from a root-server to its sub-servers, or to disk. What is named for deletion is
// deleted before what is carried is installed.
type Update struct {
	Group   string
	GroupID uint32
	// Version counts the root's changes of this group's SAs; a sub-server ignores an Update that is not newer.
	Version uint64

	KEK  *KEK // nil: no change (or, in a full Update, no KEK)
	TEKs []TEK
	// ActivationDelay is handed on to members with new TEKs.
	ActivationDelay time.Duration
	// Senders says of which Epoch the keys are, if sender IDs go with them. In a full Update for a sub-server its range is one
	// that the root gives to nobody else; on disk it is what the server has not given.
	Senders Senders

	Full          bool     // carries everything the group has: what is not in it is gone (cluster-init, C2)
	DeleteAll     bool     // every SA of the group (C8)
	DeleteMembers bool     // every registered member of the group (C8)
	DeleteKEK     bool     // the current KEK
	DeleteTEKs    []uint32 // SPIs
}

// Clone returns a deep copy.
func (u Update) Clone() Update {
	u.KEK = u.KEK.Clone()
	teks := make([]TEK, len(u.TEKs))
	for i, t := range u.TEKs {
		teks[i] = t.Clone()
	}
	u.TEKs = teks
	u.DeleteTEKs = append([]uint32(nil), u.DeleteTEKs...)
	return u
}
