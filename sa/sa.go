package sa

import (
	"net/netip"
	"time"
)

// Hash names a hash function of the configuration: the prf of a phase-1 SA, or the hash under a PUSH signature.
type Hash uint8

// The hashes that Junos's Group VPNv2 configuration can name.
const (
	SHA256 Hash = iota + 1
	SHA384
)

// String returns Junos's word for the hash.
func (h Hash) String() string {
	switch h {
	case SHA256:
		return "sha-256"
	case SHA384:
		return "sha-384"
	}
	return "unknown-hash"
}

// KEK is the group's key encryption key with its policy: what RFC 6407 calls the Rekey SA.
type KEK struct {
	SPI     [16]byte // the two cookies of a PUSH header; no octet is zero (old peers compare it as a C string)
	KeyBits int      // AES-CBC key length: 128, 192 or 256
	IV      [16]byte // static: every PUSH under this KEK starts from it (RFC 6407 section 5.6.2.1)
	Key     Secret   // KeyBits/8 octets

	SigHash    Hash
	SigPublic  []byte // DER SubjectPublicKeyInfo of the RSA key that signs PUSHes
	SigPrivate Secret // PKCS #8 DER; empty at a member

	// Seq is the number of the last PUSH sent (server) or accepted (member) under this KEK; 0 before the first.
	Seq uint32
	// Ack is the KEK_ACK_REQUESTED type of RFC 8263 section 2, 0 for none.
	Ack uint16

	Created, Soft, Hard time.Time // made; to be replaced; dead
}

// Clone returns a deep copy.
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

// TEK is one traffic encryption key with its policy: ESP in tunnel mode with address preservation, AES-CBC and
// HMAC-SHA-256-128. Name is the ipsec-sa's at a server and empty at a member.
type TEK struct {
	Name    string
	SPI     uint32
	KeyBits int    // AES-CBC key length: 128, 192 or 256
	Key     Secret // KeyBits/8 octets
	AuthKey Secret // 32 octets (RFC 4868)

	Policies []Policy // the match-policies in configured order, 1..10

	Created, Soft, Hard time.Time // made; to be replaced; dead
	// Activate is when a member starts to send with this TEK if it has an older one for the same traffic; it receives
	// with it from the start (RFC 6407 section 5.4, ACTIVATION_TIME_DELAY).
	Activate time.Time
}

// Clone returns a deep copy.
func (t TEK) Clone() TEK {
	t.Key, t.AuthKey = t.Key.Clone(), t.AuthKey.Clone()
	t.Policies = append([]Policy(nil), t.Policies...)
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
