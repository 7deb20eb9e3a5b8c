package isakmp

import "fmt"

// Limits of this implementation, on what a peer may make us walk through.
const (
	MaxPayloads   = 64  // payloads in one chain
	MaxProposals  = 8   // proposals in one SA; phase 1 has one (RFC 2409 section 5)
	MaxTransforms = 64  // transforms in one proposal
	MaxAttrs      = 64  // data attributes in one place
	MaxSPIs       = 256 // SPIs in one Delete payload
	MaxMessage    = 65507
)

// HeaderLen is the length of the ISAKMP header (RFC 2408 section 3.1), GenericLen that of a generic payload header
// (section 3.2).
const (
	HeaderLen  = 28
	GenericLen = 4
)

// Version10 is major version 1, minor version 0 (RFC 2408 section 3.1).
const Version10 = 0x10

// PayloadType is the number of a payload (RFC 2408 section 3.1, RFC 6407 section 8.2).
type PayloadType uint8

// Payload types.
const (
	NoPayload    PayloadType = 0
	PayloadSA    PayloadType = 1
	PayloadP     PayloadType = 2
	PayloadT     PayloadType = 3
	PayloadKE    PayloadType = 4
	PayloadID    PayloadType = 5
	PayloadCERT  PayloadType = 6
	PayloadCR    PayloadType = 7
	PayloadHASH  PayloadType = 8
	PayloadSIG   PayloadType = 9
	PayloadNONCE PayloadType = 10
	PayloadN     PayloadType = 11
	PayloadD     PayloadType = 12
	PayloadVID   PayloadType = 13

	PayloadSAK PayloadType = 15 // SA KEK, RFC 6407 section 5.3
	PayloadSAT PayloadType = 16 // SA TEK, RFC 6407 section 5.5
	PayloadKD  PayloadType = 17 // Key Download, RFC 6407 section 5.6
	PayloadSEQ PayloadType = 18 // Sequence Number, RFC 6407 section 5.7
	PayloadGAP PayloadType = 22 // Group Associated Policy, RFC 6407 section 5.4

	PayloadNATD  PayloadType = 20 // RFC 3947 section 3.2
	PayloadNATOA PayloadType = 21 // RFC 3947 section 5.2

	PayloadPrivateMin PayloadType = 128 // 128..255 are for private use (RFC 2408 section 3.1)
)

var payloadNames = map[PayloadType]string{
	NoPayload: "none", PayloadSA: "SA", PayloadP: "P", PayloadT: "T", PayloadKE: "KE", PayloadID: "ID", PayloadCERT: "CERT",
	PayloadCR: "CR", PayloadHASH: "HASH", PayloadSIG: "SIG", PayloadNONCE: "NONCE", PayloadN: "N", PayloadD: "D", PayloadVID: "VID",
	PayloadSAK: "SAK", PayloadSAT: "SAT", PayloadKD: "KD", PayloadSEQ: "SEQ", PayloadGAP: "GAP", PayloadNATD: "NAT-D", PayloadNATOA: "NAT-OA",
}

// String is the payload's name in the RFCs.
func (t PayloadType) String() string {
	if s, ok := payloadNames[t]; ok {
		return s
	}
	return fmt.Sprintf("payload-%d", uint8(t))
}

// ExchangeType is the number of an exchange (RFC 2408 section 3.1, RFC 2409 section 5.7, RFC 6407 section 8.1).
type ExchangeType uint8

// Exchange types.
const (
	ExchangeMain          ExchangeType = 2 // Identity Protection
	ExchangeAggressive    ExchangeType = 4
	ExchangeInformational ExchangeType = 5
	ExchangePull          ExchangeType = 32 // GROUPKEY-PULL, RFC 6407 section 3
	ExchangePush          ExchangeType = 33 // GROUPKEY-PUSH, RFC 6407 section 4
	ExchangePushAck       ExchangeType = 35 // GROUPKEY-PUSH-ACK, RFC 8263 section 8

	// 240..255 are for private use (RFC 2408 section 3.1). A server cluster uses the first two between its own servers;
	// what they mean is package cluster's.
	ExchangePrivateMin    ExchangeType = 240
	ExchangeClusterInit   ExchangeType = 240
	ExchangeClusterUpdate ExchangeType = 241
)

// Private reports whether x is in the range for private use.
func (x ExchangeType) Private() bool { return x >= ExchangePrivateMin }

// String is the exchange's name.
func (x ExchangeType) String() string {
	switch x {
	case ExchangeMain:
		return "main-mode"
	case ExchangeAggressive:
		return "aggressive-mode"
	case ExchangeInformational:
		return "informational"
	case ExchangePull:
		return "groupkey-pull"
	case ExchangePush:
		return "groupkey-push"
	case ExchangePushAck:
		return "groupkey-push-ack"
	}
	return fmt.Sprintf("exchange-%d", uint8(x))
}

// Flags are the header's flag bits (RFC 2408 section 3.1).
type Flags uint8

// Flag bits.
const (
	FlagEncryption Flags = 1
	FlagCommit     Flags = 2
	FlagAuthOnly   Flags = 4
)

// Domains of interpretation (RFC 2408 section 2.1, RFC 2407, RFC 6407 section 2.1).
const (
	DOIISAKMP uint32 = 0
	DOIIPsec  uint32 = 1
	DOIGDOI   uint32 = 2
)

// Situations: RFC 2407 section 4.2.1 for the IPsec DOI, RFC 6407 section 5.2 for GDOI.
const (
	SituationIdentityOnly uint32 = 1 // DOI 1
	SituationGDOI         uint32 = 0 // DOI 2
)

// ProtocolISAKMP is the protocol of phase 1 in proposals, notifications and deletes (RFC 2407 section 4.4.1); KeyIKE is
// its only transform (section 4.4.2).
const (
	ProtocolISAKMP uint8 = 1
	KeyIKE         uint8 = 1
)

// IDType is the kind of an identity (RFC 2407 section 4.6.2.1).
type IDType uint8

// Identity types.
const (
	IDIPv4       IDType = 1
	IDFQDN       IDType = 2
	IDUserFQDN   IDType = 3
	IDIPv4Subnet IDType = 4
	IDIPv6       IDType = 5
	IDIPv6Subnet IDType = 6
	IDIPv4Range  IDType = 7
	IDIPv6Range  IDType = 8
	IDDERDN      IDType = 9
	IDDERGN      IDType = 10
	IDKeyID      IDType = 11
	IDOID        IDType = 13 // in GDOI, RFC 8052 section 2.1
)

// NotifyType is the number of a notification (RFC 2408 section 3.14.1, RFC 2407 section 4.6.3, RFC 3706 section 5.4). It
// is a wire code of the peer's or for the peer, and no error of ours.
type NotifyType uint16

// Notify message types that are sent or told apart here.
const (
	InvalidPayloadType   NotifyType = 1
	DOINotSupported      NotifyType = 2
	NoProposalChosen     NotifyType = 14
	BadProposalSyntax    NotifyType = 15
	PayloadMalformed     NotifyType = 16
	InvalidKeyInfo       NotifyType = 17
	InvalidIDInfo        NotifyType = 18
	InvalidHash          NotifyType = 23
	AuthenticationFailed NotifyType = 24
	UnsupportedExchange  NotifyType = 29
	InitialContact       NotifyType = 24578
	RUThere              NotifyType = 36136
	RUThereAck           NotifyType = 36137
)

// String names the types above and numbers the others.
func (t NotifyType) String() string {
	switch t {
	case InvalidPayloadType:
		return "INVALID-PAYLOAD-TYPE"
	case DOINotSupported:
		return "DOI-NOT-SUPPORTED"
	case NoProposalChosen:
		return "NO-PROPOSAL-CHOSEN"
	case BadProposalSyntax:
		return "BAD-PROPOSAL-SYNTAX"
	case PayloadMalformed:
		return "PAYLOAD-MALFORMED"
	case InvalidKeyInfo:
		return "INVALID-KEY-INFORMATION"
	case InvalidIDInfo:
		return "INVALID-ID-INFORMATION"
	case InvalidHash:
		return "INVALID-HASH-INFORMATION"
	case AuthenticationFailed:
		return "AUTHENTICATION-FAILED"
	case UnsupportedExchange:
		return "UNSUPPORTED-EXCHANGE-TYPE"
	case InitialContact:
		return "INITIAL-CONTACT"
	case RUThere:
		return "R-U-THERE"
	case RUThereAck:
		return "R-U-THERE-ACK"
	}
	return fmt.Sprintf("notify-%d", uint16(t))
}

// VendorNATT is the vendor ID of NAT traversal (RFC 3947 section 3.1): the MD5 of "RFC 3947".
var VendorNATT = [16]byte{0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5c, 0x57, 0x28, 0xf2, 0x0e, 0x95, 0x45, 0x2f}

// VendorDPD is the vendor ID of dead peer detection, version 1.0 (RFC 3706 section 5.1).
var VendorDPD = [16]byte{0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9, 0x6b, 0x86, 0x96, 0xfc, 0x77, 0x57, 0x01, 0x00}
