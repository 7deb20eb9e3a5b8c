package sa

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
)

// Auth is an authentication algorithm of RFC 8052 section 2.2.2, with the numbers of section 4. The example in appendix A
// counts from zero and contradicts the registry.
type Auth uint16

// The authentication algorithms.
const (
	AuthNone          Auth = 1
	AuthHMACSHA256128 Auth = 2
	AuthHMACSHA256    Auth = 3
	AuthGMAC128       Auth = 4
	AuthGMAC256       Auth = 5
)

// String returns the configuration's word.
func (a Auth) String() string {
	switch a {
	case AuthNone:
		return "none"
	case AuthHMACSHA256128:
		return "hmac-sha-256-128"
	case AuthHMACSHA256:
		return "hmac-sha-256"
	case AuthGMAC128:
		return "aes-128-gmac"
	case AuthGMAC256:
		return "aes-256-gmac"
	}
	return "unknown-authentication"
}

// Enc is a confidentiality algorithm of RFC 8052 section 2.2.3, with the numbers of section 4.
type Enc uint16

// The confidentiality algorithms.
const (
	EncNone   Enc = 1
	EncCBC128 Enc = 2
	EncCBC256 Enc = 3
	EncGCM128 Enc = 4
	EncGCM256 Enc = 5
)

// String returns the configuration's word.
func (e Enc) String() string {
	switch e {
	case EncNone:
		return "none"
	case EncCBC128:
		return "aes-128-cbc"
	case EncCBC256:
		return "aes-256-cbc"
	case EncGCM128:
		return "aes-128-gcm"
	case EncGCM256:
		return "aes-256-gcm"
	}
	return "unknown-encryption"
}

// The longest OID and payload that a message has room for (RFC 8052 section 2.1). The second is ours: payloads hold an address.
const (
	MaxOID        = 255
	MaxOIDPayload = 1024
)

// Selector names traffic of IEC 61850, or a group that carries it (RFC 8052 sections 2.1 and 2.2.1): an object identifier and
// what it needs beside, both as DER octets with their tags. Payload may be empty.
type Selector struct{ OID, Payload string }

// Sound reports whether the OID is one DER object identifier and the payload, which is as long as a message has room for,
// one DER element or none.
func (s Selector) Sound() bool {
	return len(s.OID) <= MaxOID && len(s.Payload) <= MaxOIDPayload && s.OID != "" && s.OID[0] == tagOID && oneElement(s.OID) &&
		(s.Payload == "" || oneElement(s.Payload))
}

// The DER tags of an object identifier and of octets.
const (
	tagOID    = 0x06
	tagOctets = 0x04
)

// NewSelector makes a Selector of an object identifier in dotted form and of what goes with it: "" is nothing, an IPv4
// multicast address is an OCTET STRING of its four octets, anything else is DER as hexadecimal digits. That an address looks so is ours: RFC 8052
// appendix A leaves it to IEC 62351-6, and whoever wants another form writes that in digits.
func NewSelector(oid, payload string) (s Selector, err error) {
	id, err := x509.ParseOID(oid)
	if err != nil {
		return s, fmt.Errorf("sa: object identifier %q: want numbers parted by dots, such as 1.2.840.10070", oid)
	}
	der, err := id.MarshalBinary()
	if err != nil || len(der) > 127 { // what a length of one octet can say
		return s, fmt.Errorf("sa: object identifier %q is longer than 127 octets", oid)
	}
	s.OID = string(append([]byte{tagOID, byte(len(der))}, der...))
	if a, err := netip.ParseAddr(payload); err == nil && a.Is4() && a.IsMulticast() {
		s.Payload = string(append([]byte{tagOctets, 4}, a.AsSlice()...))
		return s, nil
	}
	octets, err := hex.DecodeString(payload)
	if s.Payload = string(octets); err != nil || !s.Sound() {
		return Selector{}, fmt.Errorf("sa: payload %q is neither an IPv4 multicast address nor one element of DER, of up to %d octets, as hexadecimal digits", payload, MaxOIDPayload)
	}
	return s, nil
}

// Text writes a Selector as NewSelector reads it; the OID in hexadecimal digits if it is none that has a dotted form.
func (s Selector) Text() (oid, payload string) {
	var id x509.OID
	oid, payload = hex.EncodeToString([]byte(s.OID)), hex.EncodeToString([]byte(s.Payload))
	if len(s.OID) > 2 && s.OID[0] == tagOID && int(s.OID[1]) == len(s.OID)-2 && id.UnmarshalBinary([]byte(s.OID[2:])) == nil {
		oid = id.String()
	}
	if len(s.Payload) == 6 && s.Payload[0] == tagOctets && s.Payload[1] == 4 {
		if a := netip.AddrFrom4([4]byte([]byte(s.Payload[2:]))); a.IsMulticast() {
			payload = a.String()
		}
	}
	return oid, payload
}

// String is for messages: the object identifier, and its payload behind a blank.
func (s Selector) String() string {
	oid, payload := s.Text()
	if payload != "" {
		oid += " " + payload
	}
	return oid
}

// oneElement reports whether s is a DER element, tag and length and as many octets as that says, at least one. Tags of more
// than one octet are not looked into further.
func oneElement(s string) bool {
	at := 1
	if len(s) > 0 && s[0]&0x1f == 0x1f {
		for at < len(s) && s[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if at >= len(s) {
		return false
	}
	n := int(s[at])
	at++
	if n > 0x82 || n == 0x80 {
		return false // of no length, or longer than MaxOIDPayload
	}
	if n > 0x80 {
		size := n & 0x7f
		if at+size > len(s) || s[at] == 0 {
			return false
		}
		n = 0
		for range size {
			n = n<<8 | int(s[at])
			at++
		}
		if n < 0x80 || size == 2 && n < 0x100 {
			return false // DER has the shortest form only
		}
	}
	return n > 0 && at+n == len(s)
}

// IEC61850 is the policy of a TEK for GOOSE or sampled values (RFC 8052 section 2.2).
type IEC61850 struct {
	Selector Selector
	Auth     Auth
	Enc      Enc
	// Assurance is SA_KDA: the percentage of subscribers that have had the key, if HasAssurance.
	Assurance    uint8
	HasAssurance bool
}

// keyLengths follows section 2.3. A cipher that does not authenticate needs an algorithm that does (section 2.2.3: "MUST NOT
// be used with the NONE authentication algorithm"), and one that does "is used with a NONE".
func (x *IEC61850) keyLengths() (key, auth int, ok bool) {
	switch x.Auth {
	case AuthNone:
	case AuthHMACSHA256128, AuthHMACSHA256:
		auth = authKeyLen
	case AuthGMAC128:
		auth = 16 + saltLen
	case AuthGMAC256:
		auth = 32 + saltLen
	default:
		return 0, 0, false
	}
	switch x.Enc {
	case EncNone:
		return 0, auth, true
	case EncCBC128:
		return 16, auth, x.Auth != AuthNone
	case EncCBC256:
		return 32, auth, x.Auth != AuthNone
	case EncGCM128:
		return 16 + saltLen, auth, x.Auth == AuthNone
	case EncGCM256:
		return 32 + saltLen, auth, x.Auth == AuthNone
	}
	return 0, 0, false
}
