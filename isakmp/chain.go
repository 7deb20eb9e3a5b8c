package isakmp

import "encoding/binary"

// Payload is one payload of a chain, a view of the caller's slice.
type Payload struct {
	Type PayloadType
	Body []byte // without the generic header
	Raw  []byte // with it
}

// Chain walks a chain of payloads, each with a generic header (RFC 2408 section 3.2), until a next-payload of 0. What
// follows then is padding and is not looked at: peers pad with zeros, and some with a whole extra block.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	! Next Payload  !   RESERVED    !         Payload Length        !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// Use:
//
//	c := isakmp.Payloads(first, b)
//	for p, ok := c.Next(); ok; p, ok = c.Next() { … }
//	if err := c.Err(); err != nil { … }
type Chain struct {
	next PayloadType
	b    []byte
	off  int
	n    int
	err  *Error
}

// Payloads starts a walk over b, whose first payload has type first.
func Payloads(first PayloadType, b []byte) Chain { return Chain{next: first, b: b} }

// Next returns the next payload, or false at the end of the chain and at the first error.
func (c *Chain) Next() (Payload, bool) {
	if c.err != nil || c.next == NoPayload {
		return Payload{}, false
	}
	if c.n == MaxPayloads {
		return c.fail(Errorf(TooManyPayloads, "chain: more than %d payloads", MaxPayloads))
	}
	rest := c.b[c.off:]
	if len(rest) < GenericLen {
		return c.fail(Errorf(Short, "%v payload: %d octets left, want at least %d", c.next, len(rest), GenericLen))
	}
	if rest[1] != 0 {
		return c.fail(Errorf(Reserved, "%v payload: RESERVED octet %#02x", c.next, rest[1]))
	}
	n := int(binary.BigEndian.Uint16(rest[2:]))
	if n < GenericLen || n > len(rest) {
		return c.fail(Errorf(PayloadLength, "%v payload: length %d with %d octets left", c.next, n, len(rest)))
	}
	p := Payload{Type: c.next, Body: rest[GenericLen:n:n], Raw: rest[:n:n]}
	c.next = PayloadType(rest[0])
	c.off += n
	c.n++
	return p, true
}

func (c *Chain) fail(err *Error) (Payload, bool) {
	c.err = err
	return Payload{}, false
}

// Err is why the walk ended, nil if it ended at the end of the chain.
func (c *Chain) Err() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

// Peek is the type of the next payload, NoPayload at the end.
func (c *Chain) Peek() PayloadType { return c.next }

// Offset is how many octets of the slice the walk has gone through; at the end of the chain, its whole length without
// padding.
func (c *Chain) Offset() int { return c.off }

// ChainLen walks the whole chain and returns its length in octets without padding.
func ChainLen(first PayloadType, b []byte) (int, error) {
	c := Payloads(first, b)
	for _, ok := c.Next(); ok; _, ok = c.Next() {
	}
	return c.Offset(), c.Err()
}

// AppendPayload appends one payload whose successor has type next. The body is at most 65531 octets.
func AppendPayload(dst []byte, next PayloadType, body []byte) []byte {
	dst = append(dst, byte(next), 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(GenericLen+len(body)))
	return append(dst, body...)
}

// OpenPayload appends a generic header with an open length and returns where it stands; the caller appends the body and
// calls ClosePayload with that place.
func OpenPayload(dst []byte, next PayloadType) ([]byte, int) {
	return append(dst, byte(next), 0, 0, 0), len(dst)
}

// ClosePayload sets the length of the payload opened at start to all that has been appended since.
func ClosePayload(dst []byte, start int) []byte {
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start))
	return dst
}
