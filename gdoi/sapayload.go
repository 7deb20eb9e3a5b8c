package gdoi

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"gvpn/isakmp"
	"gvpn/sa"
)

// The SA payload in GDOI's form (RFC 6407 section 5.2). The attribute payloads SAK, GAP and SAT lie inside its length, in
// this order, with generic headers of their own.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! Next Payload  !   RESERVED    !         Payload Length        !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!                              DOI                              !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!                           Situation                           !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! SA Attribute Next Payload     !          RESERVED2            !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!

// appendSA appends a whole SA payload. p has passed Check.
func appendSA(dst []byte, next isakmp.PayloadType, p *Policy, now time.Time, o Options) []byte {
	dst, at := isakmp.OpenPayload(dst, next)
	dst = binary.BigEndian.AppendUint32(dst, isakmp.DOIGDOI)
	dst = binary.BigEndian.AppendUint32(dst, isakmp.SituationGDOI)

	gap := p.ActivationDelay > 0 || p.DeactivationDelay > 0 || sizeWindows(p) > 0
	afterGAP, afterSAK := isakmp.NoPayload, isakmp.PayloadGAP
	if len(p.TEKs) > 0 {
		afterGAP = isakmp.PayloadSAT
	}
	if !gap {
		afterSAK = afterGAP
	}
	first := isakmp.PayloadSAK
	if p.KEK == nil {
		first = afterSAK
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(first))
	dst = append(dst, 0, 0)
	if p.KEK != nil {
		dst = appendSAK(dst, afterSAK, p, now, o)
	}
	if gap {
		dst = appendGAP(dst, afterGAP, p)
	}
	for i := range p.TEKs {
		t, last := &p.TEKs[i], i == len(p.TEKs)-1
		for j, m := range t.Policies {
			dst = appendSAT(dst, satUnless(last && j == len(t.Policies)-1), t, m, now, o)
		}
		if t.IEC61850 != nil {
			dst = append61850(dst, satUnless(last), t, now, p.ActivationDelay > 0)
		}
	}
	return isakmp.ClosePayload(dst, at)
}

func satUnless(last bool) isakmp.PayloadType {
	if last {
		return isakmp.NoPayload
	}
	return isakmp.PayloadSAT
}

// parseSA reads the body of an SA payload: policy without keys. pull says that it came in a GROUPKEY-PULL.
func parseSA(body []byte, now time.Time, pull bool, o Options) (*Policy, error) {
	c := isakmp.NewCursor("SA payload", body)
	doi, situation := c.Uint32(), c.Uint32()
	first, reserved := c.Uint16(), c.Uint16()
	rest := c.Rest()
	switch {
	case c.Err() != nil:
		return nil, form("SA", c.Err())
	case doi != isakmp.DOIGDOI:
		return nil, refuse(ErrUnsupported, "SA payload: DOI %d, want %d", doi, isakmp.DOIGDOI)
	case situation != isakmp.SituationGDOI:
		return nil, refuse(ErrUnsupported, "SA payload: situation %d, want %d", situation, isakmp.SituationGDOI)
	case first == 0 || first > 255:
		return nil, refuse(ErrForm, "SA payload: attribute next payload %d", first)
	case reserved != 0:
		return nil, refuse(ErrForm, "SA payload: RESERVED2 %#04x", reserved)
	}
	p := new(Policy)
	w := windows{}
	var last isakmp.PayloadType // for the order SAK, GAP, SAT
	err := attributePayloads(isakmp.PayloadType(first), rest, func(pl isakmp.Payload) error {
		var err error
		switch {
		case pl.Type == isakmp.PayloadSAK && last == isakmp.NoPayload:
			err = parseSAK(pl.Body, p, now, pull, o)
		case pl.Type == isakmp.PayloadGAP && (last == isakmp.NoPayload || last == isakmp.PayloadSAK):
			err = parseGAP(pl.Body, p, w)
		case pl.Type == isakmp.PayloadSAT:
			err = parseSAT(pl.Body, p, now, o)
		default:
			err = refuse(ErrForm, "SA payload: %v payload after %v", pl.Type, last)
		}
		last = pl.Type
		return err
	})
	if err == nil && p.KEK == nil && len(p.TEKs) == 0 {
		// "where either one SAK or SAT payload MUST be present" (section 5.2.1)
		err = refuse(ErrForm, "SA payload: neither SAK nor SAT")
	}
	if err == nil {
		err = w.give(p.TEKs)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// attributePayloads walks the chain that fills b exactly. A chain of isakmp's is bounded below what a group may need, so
// the walk goes on with another from where one has stopped.
func attributePayloads(first isakmp.PayloadType, b []byte, each func(isakmp.Payload) error) error {
	for n := 0; first != isakmp.NoPayload; {
		chain := isakmp.Payloads(first, b)
		for range isakmp.MaxPayloads {
			pl, ok := chain.Next()
			if !ok {
				break
			}
			if n++; n > MaxPolicies+2 {
				return refuse(ErrForm, "SA payload: more than %d attribute payloads", MaxPolicies+2)
			}
			if err := each(pl); err != nil {
				return err
			}
		}
		if err := chain.Err(); err != nil {
			return form("SA payload", err)
		}
		first, b = chain.Peek(), b[chain.Offset():]
	}
	if len(b) != 0 {
		return refuse(ErrForm, "SA payload: %d octets left over", len(b))
	}
	return nil
}

// SA KEK (RFC 6407 section 5.3). The text describes an octet "DST ID Prot" that the figure does not have; the figure holds.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! Next Payload  !   RESERVED    !         Payload Length        !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!    Protocol   !  SRC ID Type  !         SRC ID Port           !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!SRC ID Data Len!          SRC Identification Data              ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! DST ID Type   !         DST ID Port           !DST ID Data Len!
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!                    DST Identification Data                    ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	~                        SPI (16 octets)                        ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!                           RESERVED2                           !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	~                        KEK Attributes                         ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//
// In a GROUPKEY-PULL the attribute for LKH "MUST NOT be included"; there Updates are none.
func appendSAK(dst []byte, next isakmp.PayloadType, p *Policy, now time.Time, o Options) []byte {
	k := p.KEK
	dst, at := isakmp.OpenPayload(dst, next)
	dst = append(dst, protocolUDP)
	dst = appendAddress(dst, p.PushFrom, o)
	var to netip.AddrPort
	if k.Multicast != nil {
		to = k.Multicast.Group
	}
	dst = appendAddress(dst, to, o)
	dst = append(dst, k.SPI[:]...)
	dst = append(dst, 0, 0, 0, 0)
	if o.SAKReserved6 {
		dst = append(dst, 0, 0)
	}
	if p.Updates != nil {
		dst = isakmp.AppendAttrBasic(dst, kekManagementAlgorithm, managementLKH)
	}
	dst = isakmp.AppendAttrBasic(dst, kekAlgorithm, kekAlgAES)
	dst = isakmp.AppendAttrBasic(dst, kekKeyLength, uint16(k.KeyBits))
	if life := remaining(k.Hard, now); o.ShortKEKLifetime {
		dst = isakmp.AppendAttrBasic(dst, kekKeyLifetime, uint16(min(life, 65535)))
	} else {
		dst = isakmp.AppendAttrUint32(dst, kekKeyLifetime, life)
	}
	dst = isakmp.AppendAttrBasic(dst, sigHashAlgorithm, numberOf(sigHashes, k.SigHash))
	dst = isakmp.AppendAttrBasic(dst, sigAlgorithm, numberOf(sigAlgs, k.SigAlg))
	dst = isakmp.AppendAttrBasic(dst, sigKeyLength, uint16(keyBits(k)))
	if k.Ack != 0 {
		dst = isakmp.AppendAttrBasic(dst, kekAckRequested, k.Ack)
	}
	return isakmp.ClosePayload(dst, at)
}

// appendIdentity appends the head of an identity: type, port, length of what follows.
func (o Options) appendIdentity(dst []byte, typ isakmp.IDType, port uint16, n byte) []byte {
	dst = append(dst, byte(typ))
	dst = binary.BigEndian.AppendUint16(dst, port)
	if o.WideIDLen {
		dst = append(dst, 0)
	}
	return append(dst, n)
}

// appendAddress appends an identity of type IPV4_ADDR: type, port, length, data.
func appendAddress(dst []byte, a netip.AddrPort, o Options) []byte {
	dst = o.appendIdentity(dst, isakmp.IDIPv4, a.Port(), 4)
	addr := a.Addr()
	if !addr.IsValid() {
		addr = netip.IPv4Unspecified()
	}
	b := addr.As4()
	return append(dst, b[:]...)
}

// identity is one of the two of a SAK or a SAT.
type identity struct {
	typ  isakmp.IDType
	port uint16
	data []byte
}

// wide says that identities have lengths of two octets, as one make of peer writes them; the figures say one.
type wide bool

func (w wide) identity(c *isakmp.Cursor) identity {
	id := identity{typ: isakmp.IDType(c.Uint8()), port: c.Uint16()}
	n := 0
	if w {
		n = int(c.Uint16())
	} else {
		n = int(c.Uint8())
	}
	id.data = c.Bytes(n)
	if c.Err() == nil && !id.sound() {
		c.Fail(isakmp.Malformed, "identity of type %d with %d octets", id.typ, n)
	}
	return id
}

// sound reports whether the data has a length that its type can have. No octets, or three zeros, stand for any source
// (section 5.5.1: "Set to 3 octets or zero").
func (id identity) sound() bool {
	n := len(id.data)
	if n == 0 || n == 3 && [3]byte(id.data) == [3]byte{} {
		return true
	}
	switch id.typ {
	case isakmp.IDIPv4:
		return n == 4
	case isakmp.IDIPv4Subnet, isakmp.IDIPv4Range:
		return n == 8
	case isakmp.IDIPv6:
		return n == 16
	case isakmp.IDIPv6Subnet, isakmp.IDIPv6Range:
		return n == 32
	}
	return false
}

// sakLayout is where things may lie in a SAK of the field: wide lengths, and two more zero octets after RESERVED2.
type sakLayout struct {
	wide  wide
	extra int
}

type sakFields struct {
	protocol uint8
	src, dst identity
	spi      [16]byte
	attrs    []isakmp.Attr
}

func (l sakLayout) parse(body []byte) (s sakFields, err error) {
	c := isakmp.NewCursor("SAK payload", body)
	s.protocol = c.Uint8()
	s.src, s.dst = l.wide.identity(c), l.wide.identity(c)
	copy(s.spi[:], c.Bytes(16))
	for _, o := range c.Bytes(4 + l.extra) {
		if o != 0 {
			c.Fail(isakmp.Reserved, "RESERVED2 is not zero")
		}
	}
	rest := c.Rest()
	if err := c.Err(); err != nil {
		return s, err
	}
	if s.attrs, err = isakmp.ParseAttrs(rest); err != nil {
		return s, err
	}
	for _, a := range s.attrs {
		if a.Type == 0 {
			return s, isakmp.Errorf(isakmp.Malformed, "SAK payload: attribute of type 0, which is reserved")
		}
	}
	return s, nil
}

func parseSAK(body []byte, p *Policy, now time.Time, pull bool, o Options) error {
	var s sakFields
	var first error
	// What the Options say is tried first, then what there may be without them.
	w, e := wide(o.WideIDLen), 0
	if o.SAKReserved6 {
		e = 2
	}
	for _, l := range [...]sakLayout{{w, e}, {w, 2 - e}, {!w, e}, {!w, 2 - e}} {
		got, err := l.parse(body)
		if err == nil {
			s, first = got, nil
			break
		}
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return form("SAK", first)
	}
	if s.protocol != protocolUDP && s.protocol != 0 {
		return refuse(ErrUnsupported, "SAK payload: PUSH over IP protocol %d", s.protocol)
	}
	if s.spi == [16]byte{} {
		return refuse(ErrForm, "SAK payload: SPI zero")
	}
	a, err := readAttrs("SAK payload", s.attrs)
	if err != nil {
		return err
	}
	if m, ok := a.take(kekManagementAlgorithm); ok && !pull && m != managementLKH {
		// "MUST NOT be included in a GROUPKEY-PULL message, and MUST be ignored if present" (section 5.3)
		return refuse(ErrUnsupported, "SAK payload: KEK management algorithm %d", m)
	}
	k := &sa.KEK{SPI: s.spi, Created: now}
	if v, ok := a.take(kekAlgorithm); !ok || v != kekAlgAES {
		return a.bad(ok, "KEK_ALGORITHM", v)
	}
	if v, ok := a.take(kekKeyLength); !ok || !aesBits(int(v)) {
		return a.bad(ok, "KEK_KEY_LENGTH", v)
	} else {
		k.KeyBits = int(v)
	}
	life, ok := a.take(kekKeyLifetime)
	if !ok {
		life = defaultKEKLife
	}
	if k.Hard, err = lifetime("SAK payload", life, now); err != nil {
		return err
	}
	if err := parseSigAlgorithm(&a, k); err != nil {
		return err
	}
	if v, ok := a.take(kekAckRequested); ok && v <= 0xffff && ackHash(uint16(v)) != nil {
		// A member that cannot answer with the type asked for goes on without (RFC 8263 section 4).
		k.Ack = uint16(v)
	}
	if err := a.rest(); err != nil {
		return err
	}
	if to := s.dst.addrPort(); isGroup(to) {
		k.Multicast = &sa.Multicast{Group: to}
	}
	p.KEK, p.PushFrom = k, s.src.addrPort()
	return nil
}

// parseSigAlgorithm reads how PUSHes are signed. A curve implies the hash, "and SIG_HASH_ALGORITHM is OPTIONAL" (section
// 5.3.5); one that contradicts is refused.
func parseSigAlgorithm(a *attrs, k *sa.KEK) error {
	v, ok := a.take(sigAlgorithm)
	alg, known := sigAlgs[v]
	if !ok || !known {
		return a.bad(ok, "SIG_ALGORITHM", v)
	}
	k.SigAlg, k.SigHash = alg, alg.Hash()
	if v, ok := a.take(sigHashAlgorithm); ok || k.SigHash == 0 {
		if k.SigHash, known = sigHashes[v]; !ok || !known {
			return a.bad(ok, "SIG_HASH_ALGORITHM", v)
		}
	}
	if err := checkSigHash(k.SigAlg, k.SigHash); err != nil {
		return err
	}
	v, ok = a.take(sigKeyLength)
	if c := curveOf(alg); ok && (c == nil && (v < isakmp.MinRSABits || v > isakmp.MaxRSABits) || c != nil && v != uint64(c.Params().BitSize)) {
		return a.bad(ok, "SIG_KEY_LENGTH", v)
	}
	return nil
}

// addrPort is the address if the identity is one, else the zero AddrPort; so is 0.0.0.0 with port 0.
func (id identity) addrPort() netip.AddrPort {
	if id.typ != isakmp.IDIPv4 || len(id.data) != 4 {
		return netip.AddrPort{}
	}
	a := netip.AddrPortFrom(netip.AddrFrom4([4]byte(id.data)), id.port)
	if a.Addr().IsUnspecified() && a.Port() == 0 {
		return netip.AddrPort{}
	}
	return a
}

func lifetime(what string, seconds uint64, now time.Time) (time.Time, error) {
	if seconds == 0 || seconds > 1<<32-1 {
		return time.Time{}, refuse(ErrForm, "%s: lifetime of %d s", what, seconds)
	}
	return now.Add(time.Duration(seconds) * time.Second), nil
}

// Group associated policy (RFC 6407 section 5.4).
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! Next Payload  !   RESERVED    !        Payload Length         !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!               Group Associated Policy Attributes              ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
func appendGAP(dst []byte, next isakmp.PayloadType, p *Policy) []byte {
	dst, at := isakmp.OpenPayload(dst, next)
	for _, a := range []struct {
		typ   uint16
		delay time.Duration
	}{{activationTimeDelay, p.ActivationDelay}, {deactivationTimeDelay, p.DeactivationDelay}} {
		if a.delay > 0 {
			dst = isakmp.AppendAttrBasic(dst, a.typ, uint16(a.delay/time.Second))
		}
	}
	dst = appendWindows(dst, p)
	return isakmp.ClosePayload(dst, at)
}

// parseGAP puts the windows, whose TEKs follow, into w.
func parseGAP(body []byte, p *Policy, w windows) error {
	list, err := isakmp.ParseAttrs(body)
	if err != nil {
		return form("GAP", err)
	}
	if list, err = w.take(list); err != nil {
		return err
	}
	a, err := readAttrs("GAP payload", list)
	if err != nil {
		return err
	}
	for _, d := range []struct {
		typ uint16
		to  *time.Duration
	}{{activationTimeDelay, &p.ActivationDelay}, {deactivationTimeDelay, &p.DeactivationDelay}} {
		if v, ok := a.take(d.typ); ok {
			if v > 65535 {
				return refuse(ErrForm, "GAP payload: delay of %d s", v)
			}
			*d.to = time.Duration(v) * time.Second
		}
	}
	return a.rest()
}

// SA TEK for ESP (RFC 6407 sections 5.5 and 5.5.1), one for each match-policy, all of a TEK with the same SPI. As in SAK,
// there is no octet "DST ID Prot".
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! Next Payload  !   RESERVED    !         Payload Length        !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! Protocol-ID   !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!    Protocol   !  SRC ID Type  !         SRC ID Port           !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!SRC ID Data Len!          SRC Identification Data              ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! DST ID Type   !         DST ID Port           !DST ID Data Len!
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! DST Identification Data                                       ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! Transform ID  !                        SPI                    !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!      SPI      !       RFC 2407 SA Attributes                  ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//
// AES-GCM authenticates by itself and has no Authentication Algorithm; its key length is without the salt (RFC 4106 section
// 8.4).
func appendSAT(dst []byte, next isakmp.PayloadType, t *sa.TEK, m sa.Policy, now time.Time, o Options) []byte {
	dst, at := isakmp.OpenPayload(dst, next)
	dst = append(dst, protoESP, m.Protocol)
	dst = appendSubnet(dst, m.Source, m.SourcePort, o)
	dst = appendSubnet(dst, m.Destination, m.DestinationPort, o)
	transform := byte(espAESCBC)
	if t.Cipher == sa.GCM {
		transform = espGCM16
	}
	dst = append(dst, transform)
	dst = binary.BigEndian.AppendUint32(dst, t.SPI)
	dst = isakmp.AppendAttrBasic(dst, saLifeType, lifeSeconds)
	dst = isakmp.AppendAttrUint32(dst, saLifeDuration, remaining(t.Hard, now))
	dst = isakmp.AppendAttrBasic(dst, saEncapsulationMode, encapTunnel)
	if t.Cipher == sa.CBC {
		dst = isakmp.AppendAttrBasic(dst, saAuthAlgorithm, authHMACSHA256)
	}
	dst = isakmp.AppendAttrBasic(dst, saKeyLength, uint16(t.KeyBits))
	return isakmp.ClosePayload(dst, at)
}

// appendSubnet appends an identity of type IPV4_ADDR_SUBNET: type, port, length, address, mask.
func appendSubnet(dst []byte, p netip.Prefix, port uint16, o Options) []byte {
	dst = o.appendIdentity(dst, isakmp.IDIPv4Subnet, port, 8)
	if !p.IsValid() {
		return append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	a := p.Masked().Addr().As4()
	dst = append(dst, a[:]...)
	dst = binary.BigEndian.AppendUint32(dst, ^uint32(0)<<(32-p.Bits()))
	if o.SwappedAddresses {
		swapped(dst[len(dst)-8:])
	}
	return dst
}

// swapped turns the octets of every IPv4 address in b around.
func swapped(b []byte) {
	for at := 0; at+4 <= len(b); at += 4 {
		slices.Reverse(b[at : at+4])
	}
}

// prefix is the identity as a prefix: an address, a subnet, a range that is one, or any.
func (id identity) prefix(o Options) (netip.Prefix, error) {
	if len(id.data) == 0 || len(id.data) == 3 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
	}
	if o.SwappedAddresses {
		id.data = slices.Clone(id.data)
		swapped(id.data)
	}
	var low, span uint32 // span: a one for every host bit
	switch id.typ {
	case isakmp.IDIPv4:
		low = binary.BigEndian.Uint32(id.data)
	case isakmp.IDIPv4Subnet:
		low, span = binary.BigEndian.Uint32(id.data), ^binary.BigEndian.Uint32(id.data[4:])
	case isakmp.IDIPv4Range:
		low = binary.BigEndian.Uint32(id.data)
		span = low ^ binary.BigEndian.Uint32(id.data[4:])
		if low&span != 0 {
			return netip.Prefix{}, refuse(ErrUnsupported, "SAT payload: address range that is no prefix")
		}
	default:
		return netip.Prefix{}, refuse(ErrUnsupported, "SAT payload: identity of type %d", id.typ)
	}
	if span&(span+1) != 0 {
		return netip.Prefix{}, refuse(ErrUnsupported, "SAT payload: addresses that are no prefix")
	}
	bits := 32
	for s := span; s != 0; s >>= 1 {
		bits--
	}
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], low)
	return netip.PrefixFrom(netip.AddrFrom4(a), bits).Masked(), nil
}

type satFields struct {
	protocol  uint8
	src, dst  identity
	transform uint8
	spi       uint32
	attrs     []isakmp.Attr
}

func (w wide) parseSAT(body []byte) (s satFields, err error) {
	c := isakmp.NewCursor("SAT payload", body)
	s.protocol = c.Uint8()
	s.src, s.dst = w.identity(c), w.identity(c)
	s.transform = c.Uint8()
	s.spi = c.Uint32()
	rest := c.Rest()
	if err := c.Err(); err != nil {
		return s, err
	}
	s.attrs, err = isakmp.ParseAttrs(rest)
	return s, err
}

// parseSAT adds a TEK to p, or a match-policy to the TEK with the same SPI.
func parseSAT(body []byte, p *Policy, now time.Time, o Options) error {
	c := isakmp.NewCursor("SAT payload", body)
	protocolID, rest := c.Uint8(), c.Rest()
	if c.Err() != nil {
		return form("SAT", c.Err())
	}
	switch protocolID {
	case protoESP:
	case protoAH:
		return refuse(ErrUnsupported, "SAT payload: protocol AH")
	case proto61850:
		if !o.IEC61850 {
			return refuse(ErrUnsupported, "SAT payload: protocol IEC 61850")
		}
		return parse61850(rest, p, now)
	default:
		return refuse(ErrUnsupported, "SAT payload: protocol %d", protocolID)
	}
	w := wide(o.WideIDLen)
	s, err := w.parseSAT(rest)
	if err != nil {
		var again error
		if s, again = (!w).parseSAT(rest); again != nil {
			return form("SAT", err)
		}
	}
	t := sa.TEK{SPI: s.spi, Created: now}
	if s.spi < minSPI {
		return refuse(ErrForm, "SAT payload: SPI %#08x is reserved", s.spi)
	}
	switch {
	case s.transform == espAESCBC:
	case s.transform == espGCM16 && o.GCM:
		t.Cipher = sa.GCM
	case espNames[s.transform] != "":
		return refuse(ErrUnsupported, "SAT payload: ESP with %s", espNames[s.transform])
	default:
		return refuse(ErrUnsupported, "SAT payload: ESP transform %d", s.transform)
	}
	m := sa.Policy{SourcePort: s.src.port, DestinationPort: s.dst.port, Protocol: s.protocol}
	if m.Source, err = s.src.prefix(o); err != nil {
		return err
	}
	if m.Destination, err = s.dst.prefix(o); err != nil {
		return err
	}
	if err := parseESP(s.attrs, &t, now); err != nil {
		return err
	}
	for i := range p.TEKs {
		old := &p.TEKs[i]
		if old.SPI != t.SPI {
			continue
		}
		if old.IEC61850 != nil || old.Cipher != t.Cipher || old.KeyBits != t.KeyBits || !old.Hard.Equal(t.Hard) {
			return refuse(ErrForm, "SAT payload: TEK %#08x with two protocols, ciphers, key lengths or lifetimes", t.SPI)
		}
		if len(old.Policies) == sa.MaxPolicies {
			return refuse(ErrForm, "SAT payload: TEK %#08x with more than %d match-policies", t.SPI, sa.MaxPolicies)
		}
		old.Policies = append(old.Policies, m)
		return nil
	}
	t.Policies = []sa.Policy{m}
	return p.add(t)
}

// add takes over a TEK that has been read.
func (p *Policy) add(t sa.TEK) error {
	if len(p.TEKs) == MaxTEKs {
		return refuse(ErrForm, "SAT payload: more than %d TEKs", MaxTEKs)
	}
	p.TEKs = append(p.TEKs, t)
	return nil
}

// parseESP reads the attributes of RFC 2407 section 4.5. A life type holds for the duration that follows it.
func parseESP(list []isakmp.Attr, t *sa.TEK, now time.Time) error {
	life := uint64(0)
	pairs := list[:0] // what is no lifetime, in the same memory
	for i := 0; i < len(list); i++ {
		at := list[i]
		if at.Type != saLifeType {
			if at.Type == saLifeDuration {
				return refuse(ErrForm, "SAT payload: life duration without its type")
			}
			pairs = append(pairs, at)
			continue
		}
		typ, ok := at.Uint()
		if i++; !ok || i == len(list) || list[i].Type != saLifeDuration {
			return refuse(ErrForm, "SAT payload: life type without its duration")
		}
		v, ok := list[i].Uint()
		switch {
		case !ok:
			return refuse(ErrForm, "SAT payload: life duration of %d octets", len(list[i].Value))
		case typ == lifeKilobytes:
			return refuse(ErrUnsupported, "SAT payload: lifetime in kilobytes")
		case typ != lifeSeconds:
			return refuse(ErrUnsupported, "SAT payload: life type %d", typ)
		case life != 0:
			return refuse(ErrForm, "SAT payload: two lifetimes")
		}
		if _, err := lifetime("SAT payload", v, now); err != nil {
			return err
		}
		life = v
	}
	if life == 0 {
		life = defaultTEKLife
	}
	var err error
	if t.Hard, err = lifetime("SAT payload", life, now); err != nil {
		return err
	}
	a, err := readAttrs("SAT payload", pairs)
	if err != nil {
		return err
	}
	if v, ok := a.take(saEncapsulationMode); !ok || v != encapTunnel {
		return a.bad(ok, "encapsulation mode", v)
	}
	v, ok := a.take(saAuthAlgorithm)
	if t.Cipher == sa.CBC && (!ok || v != authHMACSHA256) {
		return a.bad(ok, "authentication algorithm", v)
	}
	if t.Cipher == sa.GCM && ok {
		return refuse(ErrUnsupported, "SAT payload: AES-GCM-16 with authentication algorithm %d", v)
	}
	if v, ok := a.take(saKeyLength); !ok || !aesBits(int(v)) {
		return a.bad(ok, "key length", v)
	} else {
		t.KeyBits = int(v)
	}
	if v, ok := a.take(saAddressPreservation); ok && v != preserveBoth {
		return a.bad(ok, "address preservation", v)
	}
	if v, ok := a.take(saDirection); ok && v != directionSymmetric {
		return a.bad(ok, "direction", v)
	}
	if v, ok := a.take(saExtendedSequence); ok && v != 0 {
		return a.bad(ok, "extended sequence number", v)
	}
	a.take(saGroupDescription) // "is ignored by a GDOI implementation if received" (RFC 6407 section 5.5.1)
	a.take(saKeyRounds)        // AES has no choice of rounds
	a.take(saECNTunnel)        // package dataplane follows RFC 4301 section 5.1.2.1 either way
	return a.rest()
}

// attrs are the attributes of one payload, each at most once, taken out one by one: what is left at the end is what this
// program does not understand.
type attrs struct {
	what  string
	list  []isakmp.Attr
	taken uint64 // a bit for each of the list, which has isakmp.MaxAttrs at most
}

// readAttrs reads attributes that are numbers, all of a SAK, GAP or SAT are. Basic ones in the long form are let pass.
func readAttrs(what string, list []isakmp.Attr) (attrs, error) {
	for i, at := range list {
		for _, old := range list[:i] {
			if old.Type == at.Type {
				return attrs{}, refuse(ErrForm, "%s: attribute %d twice", what, at.Type)
			}
		}
		if _, ok := at.Uint(); !ok {
			return attrs{}, refuse(ErrForm, "%s: attribute %d of %d octets", what, at.Type, len(at.Value))
		}
	}
	return attrs{what: what, list: list}, nil
}

func (a *attrs) take(typ uint16) (uint64, bool) {
	for i := range a.list {
		if a.list[i].Type == typ {
			a.taken |= 1 << i
			return a.list[i].Uint()
		}
	}
	return 0, false
}

// bad is the error for an attribute that is missing, or has a value that is not spoken here.
func (a *attrs) bad(present bool, name string, v uint64) error {
	if !present {
		return refuse(ErrForm, "%s: no %s", a.what, name)
	}
	return refuse(ErrUnsupported, "%s: %s %d", a.what, name, v)
}

// rest refuses what has not been taken: "A GDOI implementation MUST abort if it encounters an attribute or capability that
// it does not understand" (sections 5.3.2 and 5.4).
func (a *attrs) rest() error {
	for i, at := range a.list {
		if a.taken&(1<<i) == 0 {
			return refuse(ErrUnsupported, "%s: attribute %d", a.what, at.Type)
		}
	}
	return nil
}
