package isakmp

import "encoding/binary"

// SA is the body of a Security Association payload in the form of phase 1 (RFC 2408 section 3.4, RFC 2407 section 4.6.1).
// The form that GDOI's phase 2 gives it is package gdoi's.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!              Domain of Interpretation  (DOI)                  !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!                           Situation                           !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                      Proposal payloads                        ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type SA struct {
	DOI, Situation uint32
	Proposals      []Proposal // 1..MaxProposals
}

// Proposal is a Proposal payload (RFC 2408 section 3.5).
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	! Next Payload  !   RESERVED    !         Payload Length        !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!  Proposal #   !  Protocol-Id  !    SPI Size   !# of Transforms!
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                        SPI (variable)                         ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Proposal struct {
	Number, Protocol uint8
	SPI              []byte
	Transforms       []Transform // 1..MaxTransforms
}

// Transform is a Transform payload (RFC 2408 section 3.6).
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	! Next Payload  !   RESERVED    !         Payload Length        !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!  Transform #  !  Transform-Id !           RESERVED2           !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                        SA Attributes                          ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Transform struct {
	Number, ID uint8
	Attrs      []byte // the attributes as they stand on the wire, checked to parse; ParseAttrs reads them
}

// ParseSA reads a body; SPIs and attributes are views. Every nested length and count is exact, and inside an SA only
// Proposal payloads chain, inside a proposal only Transform payloads.
func ParseSA(b []byte) (SA, error) {
	c := NewCursor("SA payload", b)
	sa := SA{DOI: c.Uint32(), Situation: c.Uint32()}
	if err := c.Err(); err != nil {
		return SA{}, err
	}
	err := nested(PayloadP, c.Rest(), MaxProposals, func(body []byte) error {
		p, err := parseProposal(body)
		sa.Proposals = append(sa.Proposals, p)
		return err
	})
	if err != nil {
		return SA{}, err
	}
	return sa, nil
}

func parseProposal(b []byte) (Proposal, error) {
	c := NewCursor("P payload", b)
	p := Proposal{Number: c.Uint8(), Protocol: c.Uint8()}
	size, count := int(c.Uint8()), int(c.Uint8())
	p.SPI = c.Bytes(size)
	if err := c.Err(); err != nil {
		return Proposal{}, err
	}
	if count > MaxTransforms {
		return Proposal{}, Errorf(TooMany, "P payload: %d transforms, limit %d", count, MaxTransforms)
	}
	p.Transforms = make([]Transform, 0, min(count, c.Len()/8)) // a transform has 8 octets at least
	err := nested(PayloadT, c.Rest(), MaxTransforms, func(body []byte) error {
		t, err := parseTransform(body)
		p.Transforms = append(p.Transforms, t)
		return err
	})
	if err != nil {
		return Proposal{}, err
	}
	if count != len(p.Transforms) {
		return Proposal{}, Errorf(Malformed, "P payload: %d transforms announced, %d there", count, len(p.Transforms))
	}
	return p, nil
}

func parseTransform(b []byte) (Transform, error) {
	c := NewCursor("T payload", b)
	t := Transform{Number: c.Uint8(), ID: c.Uint8()}
	if r := c.Uint16(); r != 0 {
		c.Fail(Reserved, "RESERVED2 %#04x", r)
	}
	t.Attrs = c.Rest()
	if err := c.Err(); err != nil {
		return Transform{}, err
	}
	n := 0
	for rest := t.Attrs; len(rest) > 0; n++ {
		if n == MaxAttrs {
			return Transform{}, Errorf(TooMany, "T payload: more than %d attributes", MaxAttrs)
		}
		var err error
		if _, rest, err = NextAttr(rest); err != nil {
			return Transform{}, err
		}
	}
	return t, nil
}

// nested walks payloads of one type that fill b exactly, one at least.
func nested(typ PayloadType, b []byte, limit int, each func(body []byte) error) error {
	c := Payloads(typ, b)
	n := 0
	for p, ok := c.Next(); ok; p, ok = c.Next() {
		if p.Type != typ {
			return Errorf(UnexpectedPayload, "%v payload where only %v may stand", p.Type, typ)
		}
		if n++; n > limit {
			return Errorf(TooMany, "%v payloads: more than %d", typ, limit)
		}
		if err := each(p.Body); err != nil {
			return err
		}
	}
	if err := c.Err(); err != nil {
		return err
	}
	if c.Offset() != len(b) {
		return Errorf(Long, "%v payloads: %d octets left over", typ, len(b)-c.Offset())
	}
	return nil
}

// Append appends the body.
func (sa SA) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, sa.DOI)
	dst = binary.BigEndian.AppendUint32(dst, sa.Situation)
	for i, p := range sa.Proposals {
		next := PayloadP
		if i == len(sa.Proposals)-1 {
			next = NoPayload
		}
		var at int
		dst, at = OpenPayload(dst, next)
		dst = append(dst, p.Number, p.Protocol, byte(len(p.SPI)), byte(len(p.Transforms)))
		dst = append(dst, p.SPI...)
		for j, t := range p.Transforms {
			next := PayloadT
			if j == len(p.Transforms)-1 {
				next = NoPayload
			}
			var at int
			dst, at = OpenPayload(dst, next)
			dst = append(dst, t.Number, t.ID, 0, 0)
			dst = append(dst, t.Attrs...)
			dst = ClosePayload(dst, at)
		}
		dst = ClosePayload(dst, at)
	}
	return dst
}
