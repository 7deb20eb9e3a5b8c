package isakmp

import (
	"errors"
	"fmt"
)

// Kind is why a message was refused; its String names a counter.
type Kind uint8

// The kinds of refusal that this package can give.
const (
	Short              Kind = iota + 1 // fewer octets than the fixed part needs
	Long                               // octets left over inside something of known length
	LengthMismatch                     // the header's Length is not the datagram's (RFC 2408 section 5.1)
	Version                            // not version 1.0
	PayloadLength                      // a payload's, proposal's, transform's or attribute's length does not fit its parent
	Reserved                           // a RESERVED octet is not zero (RFC 2408 section 5.3)
	TooManyPayloads                    // more than MaxPayloads in one chain
	TooMany                            // proposals, transforms, attributes or SPIs over their limit
	UnexpectedPayload                  // a payload that may not stand here
	DuplicatePayload                   // a payload that may stand here once stands here twice
	MissingPayload                     // a payload that must stand here does not
	Malformed                          // a field with a value that the figure does not allow
	UnsupportedDOI                     // not a DOI of the caller's set
	UnsupportedVariant                 // well formed, but of a kind that is not implemented
)

var kindNames = [...]string{
	Short: "short", Long: "long", LengthMismatch: "length-mismatch", Version: "version", PayloadLength: "payload-length",
	Reserved: "reserved-not-zero", TooManyPayloads: "too-many-payloads", TooMany: "too-many", UnexpectedPayload: "unexpected-payload",
	DuplicatePayload: "duplicate-payload", MissingPayload: "missing-payload", Malformed: "malformed", UnsupportedDOI: "unsupported-doi",
	UnsupportedVariant: "unsupported-variant",
}

// String is the counter's name, "payload-length" like.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// Error says what was refused and why. Text holds numbers and our own words only, nothing quoted from the wire.
type Error struct {
	Kind Kind
	Text string // "KE payload: length 3, want at least 4"
}

// Error implements error.
func (e *Error) Error() string { return "isakmp: " + e.Text }

// Errorf makes an *Error.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...)}
}

// KindOf returns the Kind of an error of this package, or Malformed for any other.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Malformed
}
