package gdoi

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"net/netip"

	"gvpn/isakmp"
	"gvpn/sa"
)

// ackLabel is "encoded as a null-terminated ASCII string" (RFC 8263 section 3.2).
const ackLabel = "GROUPKEY-PUSH ACK\x00"

// ackHash is the hash of the prf of an acknowledgement type, nil for one that is not spoken here.
func ackHash(typ uint16) func() hash.Hash {
	switch typ {
	case AckKEKSHA256, AckLKHSHA256:
		return sha256.New
	case AckKEKSHA512, AckLKHSHA512:
		return sha512.New
	}
	return nil
}

// keyHash is the same by the length of the key, which is the hash's own.
func keyHash(key sa.Secret) func() hash.Hash {
	switch len(key) {
	case sha256.Size:
		return sha256.New
	case sha512.Size:
		return sha512.New
	}
	return nil
}

// AckKey derives the key of the acknowledgements to PUSHes under kek (RFC 8263 section 3.2): 32 octets for the SHA-256 types,
// 64 for the SHA-512 ones, nil if kek.Ack asks for none. That of the KEK types every member of the group can derive; that of
// the LKH types is from leaf, the first key of the member's download array without its IV (lkh.Keys.Leaf), and nil without it.
//
//	ack_key = prf(base_key, "GROUPKEY-PUSH ACK" | SPI | L)
//
// The text says of L both that it counts the bits of the derived key and that it is 512 for HMAC-SHA-256, the prf's block.
// The number given is used: 512, and 1024 for HMAC-SHA-512. With o.AckShortL it is 256 and 512.
func AckKey(kek *sa.KEK, leaf sa.Secret, o Options) sa.Secret {
	newHash, base := ackHash(kek.Ack), kek.Key
	if kek.Ack == AckLKHSHA256 || kek.Ack == AckLKHSHA512 {
		base = leaf
	}
	if newHash == nil || len(base) == 0 {
		return nil
	}
	bits := newHash().BlockSize() * 8
	if o.AckShortL {
		bits = newHash().Size() * 8
	}
	m := hmac.New(newHash, base)
	m.Write([]byte(ackLabel))
	m.Write(kek.SPI[:])
	m.Write(binary.BigEndian.AppendUint16(nil, uint16(bits)))
	return m.Sum(nil)
}

// Ack is a GROUPKEY-PUSH acknowledgement (RFC 8263 section 3), not yet verified.
type Ack struct {
	SPI [16]byte // the KEK's
	Seq uint32   // the PUSH's

	// Member is the address that the member last registered from, or Selector the object identifier that it is known by
	// (ID_OID, RFC 8052): one of the two is set.
	Member   netip.Addr
	Selector sa.Selector

	hash, covered []byte
}

// AppendAck appends a whole acknowledgement datagram, not encrypted. ackKey is AckKey's.
func AppendAck(dst []byte, a Ack, ackKey sa.Secret) []byte {
	newHash := keyHash(ackKey)
	if newHash == nil {
		panic(refuse(ErrKeys, "ACK: key of %d octets", len(ackKey)))
	}
	var id isakmp.ID
	switch {
	case a.Selector != sa.Selector{}:
		if !a.Selector.Sound() {
			panic(refuse(ErrForm, "ACK: OID or its payload are not DER"))
		}
		id.Type, id.Data = isakmp.IDOID, appendSelector(nil, a.Selector)
	case a.Member.Is4():
		id.Type, id.Data = isakmp.IDIPv4, a.Member.AsSlice()
	case a.Member.Is6():
		id.Type, id.Data = isakmp.IDIPv6, a.Member.AsSlice()
	default:
		panic(refuse(ErrForm, "ACK: nobody's"))
	}
	start := len(dst)
	dst = isakmp.AppendHeader(dst, isakmp.Header{
		InitiatorCookie: [8]byte(a.SPI[:8]), ResponderCookie: [8]byte(a.SPI[8:]),
		Next: isakmp.PayloadHASH, Exchange: isakmp.ExchangePushAck,
	})
	covered := appendSEQ(nil, isakmp.PayloadID, a.Seq)
	covered = isakmp.AppendPayload(covered, isakmp.NoPayload, id.Append(nil))
	m := hmac.New(newHash, ackKey)
	m.Write(covered)
	dst = isakmp.AppendPayload(dst, isakmp.PayloadSEQ, m.Sum(nil))
	dst = append(dst, covered...)
	isakmp.SetLength(dst[start:])
	return dst
}

// ParseAck reads an acknowledgement: header as it must be, then exactly HASH, SEQ and ID. The Ack owns its memory. Whose it
// is, is known only after Verify; with the key of a KEK type any member of the group could have made it (section 7).
func ParseAck(datagram []byte) (Ack, error) {
	h, err := isakmp.ParseHeader(datagram)
	switch {
	case err != nil:
		return Ack{}, form("ACK", err)
	case h.Exchange != isakmp.ExchangePushAck:
		return Ack{}, refuse(ErrForm, "ACK: exchange %d, want %d", h.Exchange, isakmp.ExchangePushAck)
	case h.Flags != 0 || h.MessageID != 0:
		return Ack{}, refuse(ErrForm, "ACK: flags %#02x, message ID %#08x, want zeros", h.Flags, h.MessageID)
	}
	rest := datagram[isakmp.HeaderLen:]
	bodies, err := payloads("ACK", h.Next, rest, isakmp.PayloadHASH, isakmp.PayloadSEQ, isakmp.PayloadID)
	if err != nil {
		return Ack{}, err
	}
	a := Ack{SPI: cookies(h)}
	if a.Seq, err = parseSEQ(bodies[1]); err != nil {
		return Ack{}, err
	}
	id, err := isakmp.ParseID(bodies[2])
	switch {
	case err != nil:
		return Ack{}, form("ACK", err)
	case id.Protocol != 0 || id.Port != 0:
		return Ack{}, refuse(ErrForm, "ACK: protocol %d and port %d in ID, want zeros", id.Protocol, id.Port)
	case id.Type == isakmp.IDOID:
		if a.Selector, err = parseOID(id.Data); err != nil {
			return Ack{}, err
		}
	case id.Type != isakmp.IDIPv4 && id.Type != isakmp.IDIPv6:
		return Ack{}, refuse(ErrUnsupported, "ACK: identity of type %d", id.Type)
	default:
		a.Member, _ = netip.AddrFromSlice(id.Data) // ParseID has checked the length
	}
	covered := rest[isakmp.GenericLen+len(bodies[0]):]
	if n, _ := isakmp.ChainLen(isakmp.PayloadSEQ, covered); n != len(covered) {
		return Ack{}, refuse(ErrForm, "ACK: %d octets left over", len(covered)-n)
	}
	a.hash = append([]byte(nil), bodies[0]...)
	a.covered = append([]byte(nil), covered...)
	return a, nil
}

// Verify reports whether the acknowledgement was made with ackKey.
func (a Ack) Verify(ackKey sa.Secret) bool {
	newHash := keyHash(ackKey)
	if newHash == nil {
		return false
	}
	m := hmac.New(newHash, ackKey)
	m.Write(a.covered)
	return hmac.Equal(m.Sum(nil), a.hash)
}
