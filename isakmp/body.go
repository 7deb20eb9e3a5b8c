package isakmp

import "encoding/binary"

// ID is the body of an Identification payload (RFC 2407 section 4.6.2). GDOI keeps its form with protocol and port zero
// (RFC 6407 section 5.1).
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!   ID Type     !  Protocol ID  !             Port              !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                     Identification Data                       ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type ID struct {
	Type     IDType
	Protocol uint8
	Port     uint16
	Data     []byte
}

// ParseID reads a body; Data is a view. An address must have its 4 or 16 octets; other kinds may have any length but 0.
func ParseID(b []byte) (ID, error) {
	c := NewCursor("ID payload", b)
	id := ID{Type: IDType(c.Uint8()), Protocol: c.Uint8(), Port: c.Uint16(), Data: c.Rest()}
	n := len(id.Data)
	switch {
	case c.Err() != nil:
	case n == 0, id.Type == IDIPv4 && n != 4, id.Type == IDIPv6 && n != 16:
		c.Fail(PayloadLength, "type %d with %d octets of data", id.Type, n)
	}
	return id, c.Err()
}

// Append appends the body.
func (id ID) Append(dst []byte) []byte {
	dst = append(dst, byte(id.Type), id.Protocol)
	dst = binary.BigEndian.AppendUint16(dst, id.Port)
	return append(dst, id.Data...)
}

// Notify is the body of a Notification payload (RFC 2408 section 3.14).
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!              Domain of Interpretation  (DOI)                  !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!  Protocol-ID  !   SPI Size    !      Notify Message Type      !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                Security Parameter Index (SPI)                 ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                       Notification Data                       ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Notify struct {
	DOI       uint32
	Protocol  uint8
	Type      NotifyType
	SPI, Data []byte
}

// ParseNotify reads a body; SPI and Data are views.
func ParseNotify(b []byte) (Notify, error) {
	c := NewCursor("N payload", b)
	n := Notify{DOI: c.Uint32(), Protocol: c.Uint8()}
	size := int(c.Uint8())
	n.Type = NotifyType(c.Uint16())
	n.SPI = c.Bytes(size)
	n.Data = c.Rest()
	return n, c.Err()
}

// Append appends the body; SPI is at most 255 octets.
func (n Notify) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, n.DOI)
	dst = append(dst, n.Protocol, byte(len(n.SPI)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(n.Type))
	dst = append(dst, n.SPI...)
	return append(dst, n.Data...)
}

// Delete is the body of a Delete payload (RFC 2408 section 3.15): SPIs of one protocol and one size.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!              Domain of Interpretation  (DOI)                  !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!  Protocol-Id  !   SPI Size    !           # of SPIs           !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~               Security Parameter Index(es) (SPI)              ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Delete struct {
	DOI      uint32
	Protocol uint8
	SPISize  int      // octets of each SPI, 1..255
	SPIs     [][]byte // 1..MaxSPIs
}

// ParseDelete reads a body; the SPIs are views. The count must be exact.
func ParseDelete(b []byte) (Delete, error) {
	c := NewCursor("D payload", b)
	d := Delete{DOI: c.Uint32(), Protocol: c.Uint8(), SPISize: int(c.Uint8())}
	n := int(c.Uint16())
	switch {
	case c.Err() != nil:
	case n == 0 || d.SPISize == 0:
		c.Fail(Malformed, "%d SPIs of %d octets", n, d.SPISize)
	case n > MaxSPIs:
		c.Fail(TooMany, "%d SPIs, limit %d", n, MaxSPIs)
	case n*d.SPISize != c.Len():
		c.Fail(PayloadLength, "%d SPIs of %d octets in %d", n, d.SPISize, c.Len())
	}
	for c.Err() == nil && c.Len() > 0 {
		d.SPIs = append(d.SPIs, c.Bytes(d.SPISize))
	}
	return d, c.End()
}

// Append appends the body; every SPI has SPISize octets.
func (d Delete) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, d.DOI)
	dst = append(dst, d.Protocol, byte(d.SPISize))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(d.SPIs)))
	for _, spi := range d.SPIs {
		dst = append(dst, spi...)
	}
	return dst
}

// CheckNonce reports whether a NONCE body has a length within least..most octets: 8..256 in IKE (RFC 2409 section 5),
// 8..128 in GDOI (RFC 6407 section 5.8).
func CheckNonce(b []byte, least, most int) error {
	if len(b) < least || len(b) > most {
		return Errorf(PayloadLength, "NONCE payload: %d octets, want %d to %d", len(b), least, most)
	}
	return nil
}
