package gdoi

import (
	"gvpn/isakmp"
	"gvpn/sa"
)

// Limits of this implementation on what a message may carry. A full Policy of any shape fits one UDP datagram.
const (
	MaxTEKs     = 256         // TEKs in one SA payload
	MaxPolicies = 640         // match-policies, so SAT payloads, over all TEKs
	maxKeyPacks = MaxTEKs + 3 // and one each of KEK, LKH and SID
	maxDeletes  = 16          // D payloads in one PUSH

	MaxSenderIDs  = 60 // sender IDs for one member
	maxSenderBits = 32

	// maxPolicySize is what the SA and KD payloads of a Policy may have; the rest of a datagram is for headers, deletions, the
	// signature and padding.
	maxPolicySize = isakmp.MaxMessage - 4096
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
	managementLKH = 1
	kekAlgAES     = 3 // CBC
)

// sigHashes and sigAlgs are SIG_HASH_ALGORITHM and SIG_ALGORITHM of what is spoken here.
var (
	sigHashes = map[uint64]sa.Hash{3: sa.SHA256, 4: sa.SHA384, 5: sa.SHA512}
	sigAlgs   = map[uint64]sa.SigAlg{1: sa.RSA, 4: sa.ECDSA256, 5: sa.ECDSA384}
)

// numberOf is a value's number in one of the two.
func numberOf[T comparable](table map[uint64]T, v T) uint16 {
	for n, w := range table {
		if w == v {
			return uint16(n)
		}
	}
	panic(refuse(ErrUnsupported, "no number for %v", v)) // Check has been passed
}

// Types of acknowledgement (RFC 8263 section 2). Those of the KEK can be made by every member of the group, those of LKH by
// the member alone whose key it is.
const (
	AckKEKSHA256 = 1
	AckLKHSHA256 = 2
	AckKEKSHA512 = 3
	AckLKHSHA512 = 4
)

// Group associated policy attributes (RFC 6407 section 5.4), in seconds; the third is a member's, in message 3.
const (
	activationTimeDelay   = 1
	deactivationTimeDelay = 2
	senderIDRequest       = 3
)

// protoESP and proto61850 (RFC 8052) are the Protocol-IDs of a SAT and of a D payload (RFC 6407 section 5.5); AH is their
// neighbour. protoKEK is that of a D payload for a KEK (section 5.9).
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
)

// ESP transforms: AES-CBC (RFC 3602), and AES-GCM with an ICV of 16 octets (RFC 4106).
const (
	espAESCBC = 12
	espGCM16  = 20
)

// espNames are the transforms that a refusal can name.
var espNames = map[uint8]string{
	2: "DES", 3: "3DES", 11: "NULL", 13: "AES-CTR", 14: "AES-CCM-8", 15: "AES-CCM-12", 16: "AES-CCM-16", 18: "AES-GCM-8",
	19: "AES-GCM-12", espGCM16: "AES-GCM-16", 23: "NULL with AES-GMAC",
}

// Attributes of a SAT for IEC 61850 (RFC 8052 section 4).
const (
	sa61850ATD = 1 // seconds
	sa61850KDA = 2 // per cent
)

// Key packets of a KD payload and their attributes (RFC 6407 sections 5.6.1 to 5.6.4).
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

	lkhDownloadArray   = 1
	lkhUpdateArray     = 2
	lkhSigAlgorithmKey = 3 // as sigAlgorithmKey

	numberOfSIDBits = 1
	sidValue        = 2
)

// lkhVersion is the only one of the LKH arrays (RFC 6407 section 5.6.3).
const lkhVersion = 1

// What an SA lives if its lifetime attribute is absent: RFC 2407 section 4.5 for a TEK; for a KEK, where RFC 6407 is silent,
// the most that Junos can configure.
const (
	defaultTEKLife = 28800
	defaultKEKLife = 86400
)

// protocolUDP is what carries a PUSH (SAK, "Protocol").
const protocolUDP = 17

// minSPI is the least: ESP SPIs below are reserved (RFC 4303 section 2.1), 0 stands for all of a protocol in a D payload. Those
// of IEC 61850 are key identifiers, and begin with 1 (RFC 8052 section 2.2.5).
const minSPI = 256
