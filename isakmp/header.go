package isakmp

import "encoding/binary"

// Header is the ISAKMP header (RFC 2408 section 3.1).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!                          Initiator                            !
//	!                            Cookie                             !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!                          Responder                            !
//	!                            Cookie                             !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!  Next Payload ! MjVer ! MnVer ! Exchange Type !     Flags     !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!                          Message ID                           !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!                            Length                             !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Header struct {
	InitiatorCookie, ResponderCookie [8]byte

	Next      PayloadType // the first payload
	Exchange  ExchangeType
	Flags     Flags
	MessageID uint32
	Length    uint32 // of the whole message, padding included; AppendHeader writes it as given
}

// ParseHeader reads the header of a whole datagram. The kinds of error are Short, Version and LengthMismatch: a Length
// other than the datagram's own is refused in both directions, as RFC 2408 section 5.1 demands.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, Errorf(Short, "header: %d octets, want at least %d", len(b), HeaderLen)
	}
	if b[17] != Version10 {
		return Header{}, Errorf(Version, "header: version %#02x, want %#02x", b[17], Version10)
	}
	h := Header{
		InitiatorCookie: [8]byte(b[0:8]),
		ResponderCookie: [8]byte(b[8:16]),
		Next:            PayloadType(b[16]),
		Exchange:        ExchangeType(b[18]),
		Flags:           Flags(b[19]),
		MessageID:       binary.BigEndian.Uint32(b[20:]),
		Length:          binary.BigEndian.Uint32(b[24:]),
	}
	if uint64(h.Length) != uint64(len(b)) {
		return Header{}, Errorf(LengthMismatch, "header: length %d in a datagram of %d octets", h.Length, len(b))
	}
	return h, nil
}

// AppendHeader appends the 28 octets of h.
func AppendHeader(dst []byte, h Header) []byte {
	dst = append(dst, h.InitiatorCookie[:]...)
	dst = append(dst, h.ResponderCookie[:]...)
	dst = append(dst, byte(h.Next), Version10, byte(h.Exchange), byte(h.Flags))
	dst = binary.BigEndian.AppendUint32(dst, h.MessageID)
	return binary.BigEndian.AppendUint32(dst, h.Length)
}

// SetLength writes len(msg) into the Length of the header that msg begins with; msg holds at least a header.
func SetLength(msg []byte) { binary.BigEndian.PutUint32(msg[24:28], uint32(len(msg))) }
