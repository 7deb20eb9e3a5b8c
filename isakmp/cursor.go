package isakmp

import "encoding/binary"

// Cursor reads fields off a slice. The first read beyond the end sets an error and every later read gives zeros, so a
// decoder reads a whole figure and asks Err or End once.
type Cursor struct {
	what string
	b    []byte
	err  *Error
}

// NewCursor starts at the beginning of b; what names it in errors ("SAK payload").
func NewCursor(what string, b []byte) *Cursor { return &Cursor{what: what, b: b} }

func (c *Cursor) take(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || n > len(c.b) {
		c.err = Errorf(Short, "%s: %d octets left, want %d more", c.what, len(c.b), n)
		return nil
	}
	p := c.b[:n:n]
	c.b = c.b[n:]
	return p
}

// Uint8 reads one octet.
func (c *Cursor) Uint8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

// Uint16 reads two octets, most significant first.
func (c *Cursor) Uint16() uint16 {
	if p := c.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

// Uint32 reads four octets, most significant first.
func (c *Cursor) Uint32() uint32 {
	if p := c.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// Bytes reads n octets as a view; nil after an error.
func (c *Cursor) Bytes(n int) []byte { return c.take(n) }

// Rest reads all that is left, as a view.
func (c *Cursor) Rest() []byte { return c.take(len(c.b)) }

// Len is how many octets are left.
func (c *Cursor) Len() int { return len(c.b) }

// Fail sets the error, unless there is one.
func (c *Cursor) Fail(k Kind, format string, args ...any) {
	if c.err == nil {
		c.err = Errorf(k, c.what+": "+format, args...)
	}
}

// Err is the first error, or nil.
func (c *Cursor) Err() error {
	if c.err == nil {
		return nil
	}
	return c.err
}

// End is Err, or an error of kind Long if octets are left.
func (c *Cursor) End() error {
	if c.err == nil && len(c.b) != 0 {
		c.err = Errorf(Long, "%s: %d octets left over", c.what, len(c.b))
	}
	return c.Err()
}
