package step

import (
	"net/netip"
	"time"

	"gvpn/sa"
)

// Role is what a server is in one group (rule P2).
type Role uint8

// The roles. Standalone is a group without server-cluster.
const (
	Standalone Role = iota
	RootServer
	SubServer
)

// String returns Junos's word.
func (r Role) String() string {
	switch r {
	case RootServer:
		return "root-server"
	case SubServer:
		return "sub-server"
	}
	return "standalone"
}

// Side tells a key server's gateway from a group member's.
type Side uint8

// The sides.
const (
	Server Side = iota
	Member
)

// IdentityKind is the kind of an IKE identity.
type IdentityKind uint8

// The identity kinds of local-identity, remote-identity and dynamic. None means the gateway's address.
const (
	None IdentityKind = iota
	Inet
	Hostname
	UserAtHostname
	DistinguishedName
)

// Identity is an IKE identity as configured.
type Identity struct {
	Kind  IdentityKind
	Value string // an address in text form for Inet; a name in the form of RFC 2253, or "" for our certificate's, for DistinguishedName
}

// AuthMethod is an authentication-method of phase 1.
type AuthMethod uint8

// The authentication methods.
const (
	PreSharedKeys AuthMethod = iota
	RSASignatures
	ECDSASignatures256 // P-256 with SHA-256 (RFC 4754)
	ECDSASignatures384 // P-384 with SHA-384
)

// String returns the configuration's word.
func (m AuthMethod) String() string {
	switch m {
	case RSASignatures:
		return "rsa-signatures"
	case ECDSASignatures256:
		return "ecdsa-signatures-256"
	case ECDSASignatures384:
		return "ecdsa-signatures-384"
	}
	return "pre-shared-keys"
}

// Certificate is one that we show, with its private key (security certificates local).
type Certificate struct {
	Name string
	PEM  sa.Secret // certificate, then those of its issuers if any, and the private key, as PEM text
}

// TrustAnchor is a certificate whose issues are believed (security certificates trust-anchor).
type TrustAnchor struct{ Name, PEM string }

// Proposal is an IKE phase-1 proposal.
type Proposal struct {
	Name     string
	Auth     AuthMethod
	Hash     sa.Hash
	DHGroup  int           // 14 to 16, 19 to 21 or 24
	KeyBits  int           // AES-CBC: 128, 192 or 256
	Lifetime time.Duration // a member's lifetime-seconds; 0 on a server, which takes the peer's
}

// DPD is dead-peer-detection always-send of a gateway between servers (rules D1 to D7).
type DPD struct {
	Interval  time.Duration // 10..60 s
	Threshold int           // 1..5
}

// Quirks are in which points a gateway's peer speaks otherwise than RFC 6407 does; package gdoi's Options say what each means.
type Quirks struct {
	HostOrderGroup   bool
	SAKReserved6     bool
	ShortKEKLifetime bool
	SwappedAddresses bool
	RawSignature     bool
	HostOrderSID     bool
	PaddedLength     bool
	WideIDLen        bool
	AckShortL        bool
}

// Gateway is an IKE gateway with its policy and proposals resolved.
type Gateway struct {
	Name      string
	Side      Side
	Local     netip.Addr   // invalid: any
	Remote    []netip.Addr // a server's gateway: one (none if dynamic); a member's: its servers in order, up to 4
	Dynamic   Identity     // Kind None unless the gateway is dynamic
	Mode      string       // "main" or "aggressive"
	PSK       sa.Secret
	Cert      *Certificate  // nil: pre-shared keys
	Anchors   []TrustAnchor // who may have issued the peer's certificate, by name
	Proposals []Proposal    // in order of preference, 1..4
	DPD       *DPD          // as configured; Probes says whether it runs
	Peer      bool          // under the server-cluster of some group
	LocalID   Identity
	RemoteID  Identity
	Quirks    Quirks
	Instance  string // routing-instance
}

// Probes reports whether dead peer detection runs towards the gateway: towards peers of a server-cluster and no others (D6, D7).
func (g *Gateway) Probes() bool { return g.DPD != nil && g.Peer }

// Communication is a group's server-member-communication.
type Communication struct {
	KeyBits        int // KEK AES-CBC key length: 128, 192 or 256
	SigAlg         sa.SigAlg
	SigHash        sa.Hash
	AckHash        sa.Hash       // of acknowledgements: SHA512, or SHA256 if it is anything else
	NoAck          bool          // members are not asked for acknowledgements
	Hierarchy      bool          // a logical key hierarchy, with the KEK as its root
	Lifetime       time.Duration // 300..86400 s
	Retransmission time.Duration // 2..60 s
	Retries        int           // 0..60
	Certificate    string
	// Group is where rekey messages go to by multicast; invalid: to each member by unicast. They leave by Interface, the system's
	// name ("": the one that has the server's address), and so many routers hand them on as TTL says.
	Group     netip.Addr
	Interface string
	TTL       uint8
}

// IPsecSA is an ipsec-sa of a group with its proposal resolved, or an iec61850-sa. Their names differ.
type IPsecSA struct {
	Name     string
	Cipher   sa.Cipher
	KeyBits  int           // 128, 192 or 256
	Lifetime time.Duration // 180..86400 s; of an iec61850-sa up to 604800 s
	Policies []sa.Policy   // in order, 1..10

	IEC61850 *sa.IEC61850 // of an iec61850-sa, which has no cipher, key length or policies; nil: an ipsec-sa
}

// Statement is what the configuration calls it.
func (x *IPsecSA) Statement() string {
	if x.IEC61850 != nil {
		return "iec61850-sa"
	}
	return "ipsec-sa"
}

// Group is one group of a key server.
type Group struct {
	Name            string
	ID              uint32
	Selector        sa.Selector // object-identity: what members may ask for instead of ID; zero: nothing
	Role            Role
	Members         []string // gateways of members (group ike-gateway), in order
	Peers           []string // gateways of cluster peers (server-cluster ike-gateway), in order
	PeerPeriod      time.Duration
	MemberThreshold uint32        // 0: no threshold
	ActivationDelay time.Duration // 10..900 s
	// DeactivationDelay is how long a replaced TEK is received with, 10..3600 s; 0: twice ActivationDelay.
	DeactivationDelay time.Duration
	SenderIDBits      int           // 8, 12 or 16: the length of sender IDs, for ciphers that count
	AntiReplayWindow  time.Duration // as configured; 0: none. Window says which one acts.
	NoAntiReplay      bool
	Communication     *Communication
	SAs               []IPsecSA
}

// Window is how far the time stamp of a packet may be off; 0: packets have none. no-anti-replay wins, so that a group can do
// without what a configuration group brings it.
func (g *Group) Window() time.Duration {
	if g.NoAntiReplay {
		return 0
	}
	return g.AntiReplayWindow
}

// Rule is a fail-open or exclude rule; an invalid prefix means any.
type Rule struct {
	Name                string
	Source, Destination netip.Prefix
	Application         string       // by name; "" and "any": every one
	Defined             *Application // what the configuration says of it; nil for what Junos predefines
}

// Application is an application of the hierarchy applications, its values as they are written.
type Application struct {
	Protocol                    string // a name or a number; "": any
	SourcePort, DestinationPort string // a number, a range or a name; "": any
	Other                       string // a statement beside those that says which packets it is: term, icmp-type, ...; "": none
}

// ZonePair binds a VPN to traffic from one zone to another (security ipsec-policy).
type ZonePair struct{ From, To string }

// ServiceSet binds a VPN to traffic of the interfaces that name the service set (services service-set, on an MX). Interface
// is the one that the service is on.
type ServiceSet struct{ Name, Interface string }

// VPN is one member VPN (security group-vpn member ipsec vpn).
type VPN struct {
	Name              string
	Gateway           string
	Group             uint32
	Selector          sa.Selector // object-identity: what the group is asked for by instead of its number; zero: that
	ExternalInterface string
	RecoveryProbe     bool
	DFBit             string // "clear", "set" or "copy"
	FailOpen, Exclude []Rule
	Zones             []ZonePair

	// What only an MX has.
	MatchDirection        string // "input", "output" or ""
	TunnelMTU             int    // octets, 256..9192; 0 if it is not configured
	ForwardPolicyMismatch bool
	ServiceSet            ServiceSet // no name: none
}
