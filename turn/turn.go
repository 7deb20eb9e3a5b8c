package turn

import (
	"cmp"
	"net/netip"

	"gvpn/sa"
)

// Output is one of the types of this package, or of an engine's messages to its siblings, which package engine routes
// and no shell ever sees.
type Output interface{ IsOutput() }

// Transmit sends one UDP datagram. Nobody writes to Datagram any more: a push to many members is in many Transmits, and in
// memory once.
type Transmit struct {
	Local, Remote netip.AddrPort
	Datagram      []byte
	Multicast     *sa.Multicast // how it leaves if Remote is a multicast group, else nil
}

// Listen says to which multicast groups the node listens from now on: these and no others. What they bring is handed in with the
// group as its local address.
type Listen struct{ Groups []Membership } // sorted, each once

// Membership is a multicast group on the interface that has the address Local.
type Membership struct {
	Group netip.AddrPort
	Local netip.Addr
}

// Compare orders memberships.
func (m Membership) Compare(o Membership) int {
	return cmp.Or(m.Group.Compare(o.Group), m.Local.Compare(o.Local))
}

// Persist writes Value under Key, or deletes Key if Value is nil. Keys are printable ASCII, "server/group/NAME" like;
// values hold secrets and are sealed by the store.
type Persist struct {
	Key   string
	Value []byte
}

// Work asks for an expensive computation; its result comes back through HandleResult with the same ID.
type Work struct {
	ID uint64
	Op Op
}

// Result answers a Work. Exactly one of Value (the type that the Op documents) and Err is set.
type Result struct {
	ID    uint64
	Value any
	Err   error
}

// Op is one of DHPublic, DHShared, DHBoth, RSAKey, RSASign, ECDSAKey, ECDSASign and SignHash.
type Op interface{ IsOp() }

// DHPublic computes g^Exponent; the result is []byte, left-padded to the group's size.
type DHPublic struct {
	Group    int // its number in IKE; package ike's DHPublic lists them
	Exponent sa.Secret
}

// DHShared computes Peer^Exponent; the result is sa.Secret, left-padded to the group's size. Peer has been checked to be
// in 2..p-2, or a point of the curve.
type DHShared struct {
	Group    int
	Exponent sa.Secret
	Peer     []byte
}

// DHBoth computes g^Exponent and Peer^Exponent, for one who has the peer's value already; the result is KeyExchange. Curves make
// both with less than each alone.
type DHBoth DHShared

// KeyExchange is the result of DHBoth.
type KeyExchange struct {
	Public []byte    // as DHPublic's
	Shared sa.Secret // as DHShared's
}

// RSAKey makes a signature key; the result is KeyPair.
type RSAKey struct{ Bits int }

// KeyPair is the result of RSAKey and ECDSAKey.
type KeyPair struct {
	Public  []byte    // DER SubjectPublicKeyInfo
	Private sa.Secret // PKCS #8 DER
}

// RSASign makes a PKCS #1 v1.5 signature with DigestInfo (RFC 6407 section 5.3.6.1) over Message; the result is []byte.
type RSASign struct {
	Private sa.Secret // PKCS #8 DER
	Hash    sa.Hash
	Message []byte // hashed by the worker
	Raw     bool   // the hash alone, without DigestInfo, as phase 1 has it (RFC 2409 section 5.1)
}

// ECDSAKey makes a signature key on the curve that the algorithm names; the result is KeyPair.
type ECDSAKey struct{ Alg sa.SigAlg }

// ECDSASign makes an ECDSA signature over Message, hashed with what the key's curve implies; the result is []byte, r and s
// each as long as the curve's order (RFC 4754 section 7).
type ECDSASign struct {
	Private sa.Secret // PKCS #8 DER
	Message []byte    // hashed by the worker
}

// SignHash signs a hash of phase 1 with an RSA or ECDSA key, as it is; the result is []byte (ike.Sign).
type SignHash struct {
	Private sa.Secret // PKCS #8 DER
	Digest  []byte
}

// InstallTEK gives the data plane a TEK of a member VPN, or replaces the one with the same SPI. It is received with at
// once and sent with from TEK.Activate on; one that Counts only under a sender ID, of which the first that has a nonce left is used.
type InstallTEK struct {
	VPN     string
	TEK     sa.TEK
	Senders []SenderID // nobody writes to it any more
}

// SenderID is a number that no other sender of the group has, and that is given to none again while a key lives: the Bits upper
// bits of every nonce (RFC 6407 section 3.5, RFC 6054).
type SenderID struct {
	Value uint32
	Bits  int // 1 to 32
}

// RemoveTEK takes a TEK from the data plane; its keys are zeroed there.
type RemoveTEK struct {
	VPN string
	SPI uint32
}

// Severity orders Notify for an operator's log.
type Severity uint8

// The severities, syslog's words.
const (
	Info Severity = iota
	Notice
	Warning
	Error
)

// Notify tells the operator's log what happened. Code is a stable upper-case name ("GKSD_MEMBER_REGISTERED"); Text is one
// line for a person, with nothing from the wire unquoted and no secret.
type Notify struct {
	Severity Severity
	Code     string
	Text     string
}

// KeyLog discloses the cipher key of a phase-1 SA to who has asked for it by ike.Options.KeyLog, to read recorded traffic with.
// Nothing else may ever write a key. The key is owned by the receiver, which clears it.
type KeyLog struct {
	InitiatorCookie [8]byte
	Key             sa.Secret
}

func (Transmit) IsOutput()   {}
func (Listen) IsOutput()     {}
func (KeyLog) IsOutput()     {}
func (Persist) IsOutput()    {}
func (Work) IsOutput()       {}
func (InstallTEK) IsOutput() {}
func (RemoveTEK) IsOutput()  {}
func (Notify) IsOutput()     {}

func (DHPublic) IsOp()  {}
func (DHShared) IsOp()  {}
func (DHBoth) IsOp()    {}
func (RSAKey) IsOp()    {}
func (RSASign) IsOp()   {}
func (ECDSAKey) IsOp()  {}
func (ECDSASign) IsOp() {}
func (SignHash) IsOp()  {}
