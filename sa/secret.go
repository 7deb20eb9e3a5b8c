package sa

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Secret is key material. It cannot print itself: every fmt verb, slog and JSON give a fixed placeholder.
// A Secret is owned by the value that holds it; Clone before sharing, Zero when the owner is done.
type Secret []byte

const hidden = "[secret]"

// Format implements fmt.Formatter for every verb, so that %x and %#v leak no more than %s does.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// String implements fmt.Stringer.
func (s Secret) String() string { return hidden }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText implements encoding.TextMarshaler, and with it encoding/json and encoding/xml.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Clone returns a copy with storage of its own.
func (s Secret) Clone() Secret {
	if s == nil {
		return nil
	}
	return append(make(Secret, 0, len(s)), s...)
}

// Zero overwrites the secret's octets. Copies made by Clone are not touched.
func (s Secret) Zero() { clear(s) }

// Equal reports in constant time whether s and t hold the same octets; only their lengths may be learnt from its time.
func (s Secret) Equal(t Secret) bool { return subtle.ConstantTimeCompare(s, t) == 1 }
