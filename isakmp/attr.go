package isakmp

import "encoding/binary"

// Attr is one data attribute (RFC 2408 section 3.3). Value is a view: two octets in the short form.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!A!       Attribute Type        !    AF=0  Attribute Length     !
//	!F!                             !    AF=1  Attribute Value      !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	.                   AF=0  Attribute Value                       .
//	.                   AF=1  Not Transmitted                       .
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Attr struct {
	Type  uint16 // without the format bit
	Basic bool   // the short form (TV)
	Value []byte
}

// Uint is the value as a number; false for one of no octets or of more than 8. A basic attribute sent in the long form
// and a short value of a variable one both read as what they mean (RFC 2407 section 4.5).
func (a Attr) Uint() (uint64, bool) {
	if len(a.Value) == 0 || len(a.Value) > 8 {
		return 0, false
	}
	var v uint64
	for _, o := range a.Value {
		v = v<<8 | uint64(o)
	}
	return v, true
}

// ParseAttrs reads attributes until the end of b; values are views of b. The kinds of error are Short, PayloadLength and
// TooMany (over MaxAttrs).
func ParseAttrs(b []byte) ([]Attr, error) {
	if len(b) == 0 {
		return nil, nil
	}
	attrs := make([]Attr, 0, min(len(b)/4, 8)) // most payloads have no more
	for len(b) > 0 {
		if len(attrs) == MaxAttrs {
			return nil, Errorf(TooMany, "attributes: more than %d", MaxAttrs)
		}
		a, rest, err := NextAttr(b)
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
		b = rest
	}
	return attrs, nil
}

// NextAttr reads the first attribute of b, a view, and returns what follows it. The kinds of error are Short and
// PayloadLength.
func NextAttr(b []byte) (a Attr, rest []byte, err error) {
	if len(b) < 4 {
		return Attr{}, nil, Errorf(Short, "attribute: %d octets left, want at least 4", len(b))
	}
	t := binary.BigEndian.Uint16(b)
	if t&0x8000 != 0 {
		return Attr{Type: t &^ 0x8000, Basic: true, Value: b[2:4:4]}, b[4:], nil
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b)-4 {
		return Attr{}, nil, Errorf(PayloadLength, "attribute %d: length %d with %d octets left", t, n, len(b)-4)
	}
	return Attr{Type: t, Value: b[4 : 4+n : 4+n]}, b[4+n:], nil
}

// AppendAttr appends an attribute in the long form (TLV); typ is under 0x8000.
func AppendAttr(dst []byte, typ uint16, value []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, typ&^0x8000)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

// AppendAttrBasic appends an attribute in the short form (TV).
func AppendAttrBasic(dst []byte, typ, value uint16) []byte {
	dst = binary.BigEndian.AppendUint16(dst, typ|0x8000)
	return binary.BigEndian.AppendUint16(dst, value)
}

// AppendAttrUint32 appends a number as an attribute of four octets in the long form.
func AppendAttrUint32(dst []byte, typ uint16, value uint32) []byte {
	return AppendAttr(dst, typ, binary.BigEndian.AppendUint32(nil, value))
}
