package gdoi

import (
	"encoding/binary"

	"gvpn/isakmp"
	"gvpn/sa"
)

// The Key Download payload (RFC 6407 section 5.6) and its key packets.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! Next Payload  !   RESERVED    !         Payload Length        !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! Number of Key Packets         !            RESERVED2          !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                         Key Packets                           ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!   KD Type     !   RESERVED    !            KD Length          !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!    SPI Size   !                   SPI (variable)              ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                    Key Packet Attributes                      ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

// appendKD appends a whole KD payload: the TEKs' key packets, then the KEK's. p has passed Check.
func appendKD(dst []byte, next isakmp.PayloadType, p *Policy) []byte {
	dst, at := isakmp.OpenPayload(dst, next)
	n := len(p.TEKs)
	if p.KEK != nil {
		n++
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	dst = append(dst, 0, 0)
	for i := range p.TEKs {
		t := &p.TEKs[i]
		dst = appendKeyPacket(dst, keyTEK, binary.BigEndian.AppendUint32(nil, t.SPI), func(dst []byte) []byte {
			dst = isakmp.AppendAttr(dst, tekAlgorithmKey, t.Key)
			return isakmp.AppendAttr(dst, tekIntegrityKey, t.AuthKey)
		})
	}
	if k := p.KEK; k != nil {
		dst = appendKeyPacket(dst, keyKEK, k.SPI[:], func(dst []byte) []byte {
			// The IV is part of KEK_ALGORITHM_KEY, before the key (section 5.6.2.1).
			dst = binary.BigEndian.AppendUint16(dst, kekAlgorithmKey)
			dst = binary.BigEndian.AppendUint16(dst, uint16(len(k.IV)+len(k.Key)))
			dst = append(append(dst, k.IV[:]...), k.Key...)
			return isakmp.AppendAttr(dst, sigAlgorithmKey, k.SigPublic)
		})
	}
	return isakmp.ClosePayload(dst, at)
}

func appendKeyPacket(dst []byte, typ byte, spi []byte, attributes func([]byte) []byte) []byte {
	at := len(dst)
	dst = append(dst, typ, 0, 0, 0, byte(len(spi)))
	dst = attributes(append(dst, spi...))
	binary.BigEndian.PutUint16(dst[at+2:], uint16(len(dst)-at))
	return dst
}

// keyPacket is one key packet, its octets views of the message.
type keyPacket struct {
	typ   uint8
	spi   []byte
	attrs []isakmp.Attr
}

func parseKeyPackets(body []byte) ([]keyPacket, error) {
	c := isakmp.NewCursor("KD payload", body)
	count, reserved := int(c.Uint16()), c.Uint16()
	switch {
	case c.Err() != nil:
		return nil, form("KD", c.Err())
	case reserved != 0:
		return nil, refuse(ErrForm, "KD payload: RESERVED2 %#04x", reserved)
	case count > maxKeyPacks:
		return nil, refuse(ErrForm, "KD payload: %d key packets, at most %d", count, maxKeyPacks)
	}
	var packets []keyPacket
	for range count {
		head := c.Bytes(4)
		if c.Err() != nil {
			break
		}
		length := int(binary.BigEndian.Uint16(head[2:]))
		if head[1] != 0 || length < 5 {
			return nil, refuse(ErrForm, "KD payload: key packet of length %d, RESERVED %#02x", length, head[1])
		}
		in := isakmp.NewCursor("KD payload: key packet", c.Bytes(length-4))
		if c.Err() != nil {
			break
		}
		k := keyPacket{typ: head[0], spi: in.Bytes(int(in.Uint8()))}
		rest := in.Rest()
		if in.Err() != nil {
			return nil, form("KD", in.Err())
		}
		var err error
		if k.attrs, err = isakmp.ParseAttrs(rest); err != nil {
			return nil, form("KD payload: key packet", err)
		}
		packets = append(packets, k)
	}
	if err := c.End(); err != nil {
		return nil, form("KD", err)
	}
	return packets, nil
}

// keys are what a KD payload brings for a Policy, before they are put in.
type keys struct {
	tek []struct{ key, auth []byte } // as Policy.TEKs
	kek struct {
		ivKey, public []byte
	}
}

// parseKD reads the body of a KD payload and holds it strictly against p: every SA has its keys, of its lengths, and no key
// is left over. inherit is the signature key in force, used if a new KEK comes without one; nil if there is none. The keys
// are put into p, which owns them, only if all is well.
func parseKD(body []byte, p *Policy, inherit []byte) error {
	packets, err := parseKeyPackets(body)
	if err != nil {
		return err
	}
	var got keys
	got.tek = make([]struct{ key, auth []byte }, len(p.TEKs))
	index := make(map[uint32]int, len(p.TEKs))
	for i, t := range p.TEKs {
		index[t.SPI] = i
	}
	for _, k := range packets {
		var err error
		switch k.typ {
		case keyTEK:
			err = got.addTEK(k, p, index)
		case keyKEK:
			err = got.addKEK(k, p.KEK)
		case keyLKH:
			err = refuse(ErrUnsupported, "KD payload: LKH key packet")
		case keySID:
			err = refuse(ErrUnsupported, "KD payload: SID key packet")
		default:
			err = refuse(ErrUnsupported, "KD payload: key packet of type %d", k.typ)
		}
		if err != nil {
			return err
		}
	}
	for i, k := range got.tek {
		if k.key == nil {
			return refuse(ErrKeys, "KD payload: no keys for TEK %#08x", p.TEKs[i].SPI)
		}
	}
	if k := p.KEK; k != nil {
		if got.kek.ivKey == nil {
			return refuse(ErrKeys, "KD payload: no key for the KEK")
		}
		if got.kek.public == nil {
			got.kek.public = inherit
		}
		if got.kek.public == nil {
			return refuse(ErrKeys, "KD payload: no signature key for the KEK")
		}
		if _, err := parsePublic(got.kek.public); err != nil {
			return err
		}
		copy(k.IV[:], got.kek.ivKey)
		k.Key = sa.Secret(got.kek.ivKey[16:]).Clone()
		k.SigPublic = append([]byte(nil), got.kek.public...)
	}
	for i, k := range got.tek {
		p.TEKs[i].Key, p.TEKs[i].AuthKey = sa.Secret(k.key).Clone(), sa.Secret(k.auth).Clone()
	}
	return nil
}

func (g *keys) addTEK(k keyPacket, p *Policy, index map[uint32]int) error {
	if len(k.spi) != 4 {
		return refuse(ErrForm, "KD payload: TEK SPI of %d octets, want 4", len(k.spi))
	}
	spi := binary.BigEndian.Uint32(k.spi)
	i, ok := index[spi]
	switch {
	case !ok:
		return refuse(ErrKeys, "KD payload: keys for TEK %#08x, which the SA payload does not have", spi)
	case g.tek[i].key != nil:
		return refuse(ErrForm, "KD payload: two key packets for TEK %#08x", spi)
	}
	key, auth, err := twoKeys("TEK", k.attrs, tekAlgorithmKey, tekIntegrityKey)
	if err != nil {
		return err
	}
	if want := p.TEKs[i].KeyBits / 8; len(key) != want || len(auth) != integrityKeyLen {
		return refuse(ErrKeys, "KD payload: TEK %#08x: key lengths %d and %d, want %d and %d", spi, len(key), len(auth), want, integrityKeyLen)
	}
	g.tek[i].key, g.tek[i].auth = key, auth
	return nil
}

func (g *keys) addKEK(k keyPacket, kek *sa.KEK) error {
	switch {
	case kek == nil:
		return refuse(ErrKeys, "KD payload: a KEK, which the SA payload does not have")
	case len(k.spi) != len(kek.SPI):
		return refuse(ErrForm, "KD payload: KEK SPI of %d octets, want %d", len(k.spi), len(kek.SPI))
	case [16]byte(k.spi) != kek.SPI:
		return refuse(ErrKeys, "KD payload: KEK SPI is not the SA payload's")
	case g.kek.ivKey != nil:
		return refuse(ErrForm, "KD payload: two key packets for the KEK")
	}
	ivKey, public, err := twoKeys("KEK", k.attrs, kekAlgorithmKey, sigAlgorithmKey)
	if err != nil {
		return err
	}
	if want := 16 + kek.KeyBits/8; len(ivKey) != want {
		return refuse(ErrKeys, "KD payload: KEK: IV and key of %d octets, want %d", len(ivKey), want)
	}
	g.kek.ivKey, g.kek.public = ivKey, public
	return nil
}

// twoKeys finds the values of two attributes; nil for one that is absent. The first must be there.
func twoKeys(what string, list []isakmp.Attr, first, second uint16) (a, b []byte, err error) {
	for _, at := range list {
		var to *[]byte
		switch at.Type {
		case first:
			to = &a
		case second:
			to = &b
		default:
			return nil, nil, refuse(ErrUnsupported, "KD payload: %s key packet: attribute %d", what, at.Type)
		}
		switch {
		case *to != nil:
			return nil, nil, refuse(ErrForm, "KD payload: %s key packet: attribute %d twice", what, at.Type)
		case len(at.Value) == 0:
			return nil, nil, refuse(ErrKeys, "KD payload: %s key packet: attribute %d is empty", what, at.Type)
		}
		*to = at.Value
	}
	if a == nil {
		return nil, nil, refuse(ErrKeys, "KD payload: %s key packet without its key", what)
	}
	return a, b, nil
}
