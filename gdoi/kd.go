package gdoi

import (
	"encoding/binary"

	"gvpn/isakmp"
	"gvpn/lkh"
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

// appendKD appends a whole KD payload: the TEKs' key packets, the KEK's or that of the hierarchy above it, the sender IDs. p has
// passed Check. The buffer does not move if it has room for sizeKD octets.
func appendKD(dst []byte, next isakmp.PayloadType, p *Policy, o Options) []byte {
	dst, at := isakmp.OpenPayload(dst, next)
	n := len(p.TEKs)
	if p.KEK != nil {
		n++
	}
	if p.SenderIDs != nil {
		n++
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	dst = append(dst, 0, 0)
	for i := range p.TEKs {
		t := &p.TEKs[i]
		var packet int
		dst, packet = openKeyPacket(dst, keyTEK, 4)
		dst = binary.BigEndian.AppendUint32(dst, t.SPI)
		if len(t.Key) > 0 {
			dst = isakmp.AppendAttr(dst, tekAlgorithmKey, t.Key)
		}
		if len(t.AuthKey) > 0 {
			dst = isakmp.AppendAttr(dst, tekIntegrityKey, t.AuthKey)
		}
		closeKeyPacket(dst, packet)
	}
	if k := p.KEK; k != nil {
		typ, signer := uint8(keyKEK), uint16(sigAlgorithmKey)
		if p.LKH != nil || p.Updates != nil {
			typ, signer = keyLKH, lkhSigAlgorithmKey
		}
		var packet int
		dst, packet = openKeyPacket(dst, typ, len(k.SPI))
		dst = append(dst, k.SPI[:]...)
		switch {
		case p.LKH != nil:
			dst = appendDownload(dst, p.LKH)
		case p.Updates != nil:
			for _, u := range p.Updates {
				dst = appendUpdateArray(dst, u)
			}
		default:
			// The IV is part of KEK_ALGORITHM_KEY, before the key (section 5.6.2.1).
			dst = binary.BigEndian.AppendUint16(dst, kekAlgorithmKey)
			dst = binary.BigEndian.AppendUint16(dst, uint16(len(k.IV)+len(k.Key)))
			dst = append(append(dst, k.IV[:]...), k.Key...)
		}
		dst = isakmp.AppendAttr(dst, signer, k.SigPublic)
		closeKeyPacket(dst, packet)
	}
	if s := p.SenderIDs; s != nil {
		dst = appendSenderIDs(dst, s, o)
	}
	return isakmp.ClosePayload(dst, at)
}

// openKeyPacket appends the head of a key packet up to its SPI, which the caller appends, and returns where it stands.
func openKeyPacket(dst []byte, typ uint8, spiLen int) ([]byte, int) {
	return append(dst, typ, 0, 0, 0, byte(spiLen)), len(dst)
}

func closeKeyPacket(dst []byte, at int) {
	binary.BigEndian.PutUint16(dst[at+2:], uint16(len(dst)-at))
}

// appendSenderIDs appends the key packet of section 5.6.4. The text does not say how long a SID_VALUE is: four octets, as the
// reference implementation has it, here with the most significant first.
func appendSenderIDs(dst []byte, s *SenderIDs, o Options) []byte {
	dst, packet := openKeyPacket(dst, keySID, 0)
	dst = isakmp.AppendAttrBasic(dst, numberOfSIDBits, uint16(s.Bits))
	for _, v := range s.Values {
		dst = isakmp.AppendAttr(dst, sidValue, o.senderID(v))
	}
	closeKeyPacket(dst, packet)
	return dst
}

func (o Options) senderID(v uint32) []byte {
	if o.HostOrderSID {
		return binary.LittleEndian.AppendUint32(nil, v)
	}
	return binary.BigEndian.AppendUint32(nil, v)
}

func parseSenderIDs(list []isakmp.Attr, o Options) (*SenderIDs, error) {
	s := new(SenderIDs)
	for _, a := range list {
		v, ok := a.Uint()
		if ok && o.HostOrderSID && a.Type == sidValue && len(a.Value) == 4 {
			v = uint64(binary.LittleEndian.Uint32(a.Value))
		}
		switch {
		case a.Type != numberOfSIDBits && a.Type != sidValue:
			return nil, refuse(ErrUnsupported, "KD payload: SID key packet: attribute %d", a.Type)
		case !ok || v > 1<<32-1:
			return nil, refuse(ErrForm, "KD payload: SID key packet: attribute %d of %d octets", a.Type, len(a.Value))
		case a.Type == sidValue:
			s.Values = append(s.Values, uint32(v))
		case s.Bits != 0:
			return nil, refuse(ErrForm, "KD payload: SID key packet: attribute %d twice", a.Type)
		default:
			s.Bits = int(v)
		}
	}
	if err := checkSenderIDs(s); err != nil {
		return nil, err
	}
	return s, nil
}

// keyPacket is one key packet, its octets views of the message.
type keyPacket struct {
	typ   uint8
	spi   []byte
	attrs []byte
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
		k.attrs = in.Rest()
		if in.Err() != nil {
			return nil, form("KD", in.Err())
		}
		packets = append(packets, k)
	}
	if err := c.End(); err != nil {
		return nil, form("KD", err)
	}
	return packets, nil
}

// kdReader reads a KD payload against the Policy of the SA payload that it goes with. What it finds are views of the message
// until put puts copies into the Policy.
type kdReader struct {
	p    *Policy
	pull bool      // a GROUPKEY-PULL: for one member
	held *lkh.Keys // what the member holds of the hierarchy in force; nil: nothing
	o    Options

	tek       []tekKeys // as Policy.TEKs
	ivKey     []byte    // KEK_ALGORITHM_KEY
	public    []byte    // SIG_ALGORITHM_KEY
	lkh       *lkh.Keys // of a download array, or after the updates
	updates   []lkh.Update
	hierarchy bool // an LKH key packet has been seen
	sids      *SenderIDs
}

type tekKeys struct {
	key, auth []byte
	seen      bool
}

// parseKD reads the body of a KD payload and holds it strictly against r.p: every SA has its keys, of its lengths, and no key
// is left over. inherit is the signature key in force, used if a new KEK comes without one; nil if there is none. The keys
// are put into the Policy, which owns them, only if all is well. excluded says that the new KEK is in updates of a hierarchy
// of which none is for this member; then the Policy has no KEK.
func (r *kdReader) parseKD(body, inherit []byte) (excluded bool, err error) {
	packets, err := parseKeyPackets(body)
	if err != nil {
		return false, err
	}
	p := r.p
	r.tek = make([]tekKeys, len(p.TEKs))
	defer func() {
		if err != nil {
			r.lkh.Zero()
		}
	}()
	for _, k := range packets {
		switch k.typ {
		case keyTEK:
			err = r.addTEK(k)
		case keyKEK:
			err = r.addKEK(k)
		case keyLKH:
			err = r.addLKH(k)
		case keySID:
			err = r.addSID(k)
		default:
			err = refuse(ErrUnsupported, "KD payload: key packet of type %d", k.typ)
		}
		if err != nil {
			return false, err
		}
	}
	for i, k := range r.tek {
		if key, auth, _ := p.TEKs[i].KeyLengths(); !k.seen && key+auth > 0 {
			return false, refuse(ErrKeys, "KD payload: no keys for TEK %#08x", p.TEKs[i].SPI)
		}
	}
	if p.KEK != nil {
		if excluded, err = r.root(); err != nil {
			return false, err
		}
		if !excluded {
			if err := r.signer(inherit); err != nil {
				return false, err
			}
		}
	}
	r.put(excluded)
	return excluded, nil
}

// root finds the KEK: alone, or as the last key of a hierarchy.
func (r *kdReader) root() (excluded bool, err error) {
	if len(r.updates) > 0 {
		if r.held == nil {
			return true, nil
		}
		next, ok, err := r.held.Apply(r.updates)
		switch {
		case err != nil:
			return false, &refusal{kind: ErrKeys, text: "KD payload", cause: err}
		case !ok:
			return true, nil
		}
		r.lkh = next
	}
	if r.lkh != nil {
		root := r.lkh.Root().Data
		if r.ivKey != nil && !root.Equal(r.ivKey) {
			return false, refuse(ErrKeys, "KD payload: the KEK is not the last key of the hierarchy")
		}
		r.ivKey = root
	}
	if r.ivKey == nil {
		return false, refuse(ErrKeys, "KD payload: no key for the KEK")
	}
	return false, nil
}

func (r *kdReader) signer(inherit []byte) error {
	if r.public == nil {
		r.public = inherit
	}
	if r.public == nil {
		return refuse(ErrKeys, "KD payload: no signature key for the KEK")
	}
	_, err := parsePublic(r.public, r.p.KEK.SigAlg)
	return err
}

// put copies into the Policy what has been found.
func (r *kdReader) put(excluded bool) {
	p := r.p
	if k := p.KEK; k != nil && !excluded {
		copy(k.IV[:], r.ivKey)
		k.Key = sa.Secret(r.ivKey[len(k.IV):]).Clone()
		k.SigPublic = append([]byte(nil), r.public...)
		p.LKH = r.lkh
		if p.LKH == nil && (k.Ack == AckLKHSHA256 || k.Ack == AckLKHSHA512) {
			// "If a GM cannot respond with the requested type of Acknowledgement, it continues" (RFC 8263 section 4).
			k.Ack = 0
		}
	}
	if excluded {
		p.KEK = nil
	}
	for i, k := range r.tek {
		p.TEKs[i].Key, p.TEKs[i].AuthKey = sa.Secret(k.key).Clone(), sa.Secret(k.auth).Clone()
	}
	p.SenderIDs = r.sids
}

func (r *kdReader) addTEK(k keyPacket) error {
	if len(k.spi) != 4 {
		return refuse(ErrForm, "KD payload: TEK SPI of %d octets, want 4", len(k.spi))
	}
	spi := binary.BigEndian.Uint32(k.spi)
	i := 0
	for i < len(r.p.TEKs) && r.p.TEKs[i].SPI != spi {
		i++
	}
	switch {
	case i == len(r.p.TEKs):
		return refuse(ErrKeys, "KD payload: keys for TEK %#08x, which the SA payload does not have", spi)
	case r.tek[i].seen:
		return refuse(ErrForm, "KD payload: two key packets for TEK %#08x", spi)
	}
	key, auth, err := twoKeys("TEK", k.attrs, tekAlgorithmKey, tekIntegrityKey)
	if err != nil {
		return err
	}
	if wantKey, wantAuth, _ := r.p.TEKs[i].KeyLengths(); len(key) != wantKey || len(auth) != wantAuth {
		return refuse(ErrKeys, "KD payload: TEK %#08x: key lengths %d and %d, want %d and %d", spi, len(key), len(auth), wantKey, wantAuth)
	}
	r.tek[i] = tekKeys{key, auth, true}
	return nil
}

// kekSPI checks the SPI of a key packet for the KEK, or for the hierarchy above it.
func (r *kdReader) kekSPI(k keyPacket) error {
	switch kek := r.p.KEK; {
	case kek == nil:
		return refuse(ErrKeys, "KD payload: a KEK, which the SA payload does not have")
	case len(k.spi) != len(kek.SPI):
		return refuse(ErrForm, "KD payload: KEK SPI of %d octets, want %d", len(k.spi), len(kek.SPI))
	case [16]byte(k.spi) != kek.SPI:
		return refuse(ErrKeys, "KD payload: KEK SPI is not the SA payload's")
	}
	return nil
}

func (r *kdReader) addKEK(k keyPacket) error {
	if err := r.kekSPI(k); err != nil {
		return err
	}
	if r.ivKey != nil {
		return refuse(ErrForm, "KD payload: two key packets for the KEK")
	}
	ivKey, public, err := twoKeys("KEK", k.attrs, kekAlgorithmKey, sigAlgorithmKey)
	if err != nil {
		return err
	}
	if want := 16 + r.p.KEK.KeyBits/8; len(ivKey) != want {
		return refuse(ErrKeys, "KD payload: KEK: IV and key of %d octets, want %d", len(ivKey), want)
	}
	r.ivKey = ivKey
	return r.setPublic(public)
}

func (r *kdReader) setPublic(public []byte) error {
	if public == nil {
		return nil
	}
	if r.public != nil {
		return refuse(ErrForm, "KD payload: two signature keys")
	}
	r.public = public
	return nil
}

// addLKH reads the key packet of a hierarchy, of which there is one at most. A download array is for one member, so that it
// stands in a PULL; update arrays are for all, and stand in a PUSH.
func (r *kdReader) addLKH(k keyPacket) error {
	if err := r.kekSPI(k); err != nil {
		return err
	}
	if r.hierarchy {
		return refuse(ErrForm, "KD payload: two key packets for LKH")
	}
	r.hierarchy = true
	bits := r.p.KEK.KeyBits
	// Arrays can be more than attributes are elsewhere; each has more than lkhUpdateHead octets of the message.
	for b := k.attrs; len(b) > 0; {
		a, rest, err := isakmp.NextAttr(b)
		if err != nil {
			return form("KD payload: LKH key packet", err)
		}
		b = rest
		switch {
		case a.Type == lkhDownloadArray && r.pull:
			if r.lkh != nil {
				return refuse(ErrForm, "KD payload: LKH_DOWNLOAD_ARRAY twice")
			}
			if r.lkh, err = parseDownload(a.Value, bits); err != nil {
				return err
			}
		case a.Type == lkhUpdateArray && !r.pull:
			u, err := parseUpdate(a.Value, bits)
			if err != nil {
				return err
			}
			r.updates = append(r.updates, u)
		case a.Type == lkhDownloadArray:
			// "MUST NOT be included in a GROUPKEY-PUSH message KD payload if the GROUPKEY-PUSH is sent to more than the group
			// member" (section 5.6.3.1), and who else it is sent to cannot be known.
			return refuse(ErrUnsupported, "KD payload: LKH_DOWNLOAD_ARRAY in a PUSH")
		case a.Type == lkhUpdateArray:
			return refuse(ErrUnsupported, "KD payload: LKH_UPDATE_ARRAY in a PULL")
		case a.Type == lkhSigAlgorithmKey:
			if len(a.Value) == 0 {
				return refuse(ErrKeys, "KD payload: LKH key packet: attribute %d is empty", a.Type)
			}
			if err := r.setPublic(a.Value); err != nil {
				return err
			}
		default:
			return refuse(ErrUnsupported, "KD payload: LKH key packet: attribute %d", a.Type)
		}
	}
	if r.lkh == nil && len(r.updates) == 0 {
		return refuse(ErrKeys, "KD payload: LKH key packet without an array")
	}
	if len(r.updates) > 0 && r.held != nil && r.held.Bits() != bits {
		return refuse(ErrKeys, "KD payload: LKH of %d bits, ours has %d", bits, r.held.Bits())
	}
	return nil
}

// addSID reads sender IDs: "The GCKS MUST NOT send the SID Download Type KD payload as part of a GROUPKEY-PUSH message"
// (section 5.6.4.4).
func (r *kdReader) addSID(k keyPacket) error {
	switch {
	case !r.pull:
		return refuse(ErrForm, "KD payload: sender IDs in a PUSH")
	case len(k.spi) != 0:
		return refuse(ErrForm, "KD payload: SID key packet with an SPI of %d octets", len(k.spi))
	case r.sids != nil:
		return refuse(ErrForm, "KD payload: two key packets of sender IDs")
	}
	list, err := isakmp.ParseAttrs(k.attrs)
	if err != nil {
		return form("KD payload: SID key packet", err)
	}
	r.sids, err = parseSenderIDs(list, r.o)
	return err
}

// twoKeys finds the values of two attributes; nil for one that is absent.
func twoKeys(what string, attrs []byte, first, second uint16) (a, b []byte, err error) {
	for len(attrs) > 0 {
		at, rest, err := isakmp.NextAttr(attrs)
		if err != nil {
			return nil, nil, form("KD payload: "+what+" key packet", err)
		}
		attrs = rest
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
	return a, b, nil
}
