package gdoi

// Limits of this implementation on what a message may carry. A full Policy of any shape fits one UDP datagram.
const (
	MaxTEKs     = 256 // TEKs in one SA payload
	MaxPolicies = 640 // match-policies, so SAT payloads, over all TEKs
	maxKeyPacks = MaxTEKs + 1
	maxDeletes  = 16 // D payloads in one PUSH
)

// Nonces have 8 to 128 octets (RFC 6407 section 5.8).
const minNonce, maxNonce = 8, 128

// KEK attributes (RFC 6407 section 5.3, RFC 8263 section 2).
const (
	kekManagementAlgorithm = 1
	kekAlgorithm           = 2
	kekKeyLength           = 3 // bits, without the IV
	kekKeyLifetime         = 4 // seconds
	sigHashAlgorithm       = 5
	sigAlgorithm           = 6
	sigKeyLength           = 7 // bits
	kekAckRequested        = 9
)

// Values of KEK attributes (RFC 6407 sections 5.3.2, 5.3.5 and 5.3.6).
const (
	kekAlgAES     = 3 // CBC
	sigHashSHA256 = 3
	sigHashSHA384 = 4
	sigAlgRSA     = 1
)

// Types of acknowledgement (RFC 8263 section 2). The LKH types 2 and 4 need a key hierarchy that is not spoken here.
const (
	AckKEKSHA256 = 1
	AckKEKSHA512 = 3
)

// Group associated policy attributes (RFC 6407 section 5.4), in seconds; the third is a member's, in message 3.
const (
	activationTimeDelay   = 1
	deactivationTimeDelay = 2
	senderIDRequest       = 3
)

// protoESP is the Protocol-ID of a SAT and of a D payload (RFC 6407 section 5.5); AH and IEC 61850 (RFC 8052) are its
// neighbours. protoKEK is that of a D payload for a KEK (section 5.9).
const (
	protoKEK   = 0
	protoESP   = 1
	protoAH    = 2
	proto61850 = 3
)

// IPsec attributes of a SAT (RFC 2407 section 4.5, RFC 6407 section 5.5.1.1 with the numbers of the IANA registry).
const (
	saLifeType            = 1
	saLifeDuration        = 2
	saGroupDescription    = 3 // never sent; ignored (RFC 6407 section 5.5.1)
	saEncapsulationMode   = 4
	saAuthAlgorithm       = 5
	saKeyLength           = 6 // bits
	saKeyRounds           = 7
	saECNTunnel           = 10
	saExtendedSequence    = 11
	saAddressPreservation = 14
	saDirection           = 15
)

// Values of IPsec attributes.
const (
	lifeSeconds        = 1
	lifeKilobytes      = 2
	encapTunnel        = 1
	authHMACSHA256     = 5 // truncated to 128 bits in ESP (RFC 4868)
	preserveBoth       = 4
	directionSymmetric = 3
	espAESCBC          = 12 // transform (RFC 3602)
)

// Key packets of a KD payload and their attributes (RFC 6407 sections 5.6, 5.6.1 and 5.6.2).
const (
	keyTEK = 1
	keyKEK = 2
	keyLKH = 3
	keySID = 4

	tekAlgorithmKey  = 1
	tekIntegrityKey  = 2
	tekSourceAuthKey = 3

	kekAlgorithmKey = 1 // IV, then key
	sigAlgorithmKey = 2 // DER SubjectPublicKeyInfo
)

// integrityKeyLen is the length of an HMAC-SHA-256 key (RFC 4868 section 2.1.1).
const integrityKeyLen = 32

// What an SA lives if its lifetime attribute is absent: RFC 2407 section 4.5 for a TEK; for a KEK, where RFC 6407 is silent,
// the most that Junos can configure.
const (
	defaultTEKLife = 28800
	defaultKEKLife = 86400
)

// protocolUDP is what carries a PUSH (SAK, "Protocol").
const protocolUDP = 17

// minSPI is the least: ESP SPIs below are reserved (RFC 4303 section 2.1), 0 stands for all of a protocol in a D payload.
const minSPI = 256
