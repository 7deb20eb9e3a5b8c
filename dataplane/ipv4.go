package dataplane

import "encoding/binary"

// Protocol numbers that are told apart here (IANA).
const (
	protoICMP    = 1
	protoIPIP    = 4
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoIPv6    = 41
	protoESP     = 50
	protoNone    = 59
	protoSCTP    = 132
	protoUDPLite = 136
)

const (
	headerLen = 20 // of an IPv4 header without options
	flagDF    = 0x4000
	flagMF    = 0x2000
	offsetMax = 0x1fff
)

// ipv4 is what is read of a packet (RFC 791 section 3.1).
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Version|  IHL  |Type of Service|          Total Length         |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|         Identification        |Flags|      Fragment Offset    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  Time to Live |    Protocol   |         Header Checksum       |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                       Source Address                          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                    Destination Address                        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type ipv4 struct {
	header, length int // octets: the header with options, the whole packet
	tos, ttl       uint8
	protocol       uint8
	flags          uint16 // flags and offset as they stand
	src, dst       uint32
	ports          portsKnown
	sport, dport   uint16
}

// portsKnown says what can be said of a packet's ports.
type portsKnown uint8

const (
	portsNone   portsKnown = iota // the protocol has none
	portsThere                    // sport and dport are set
	portsHidden                   // a fragment that does not carry them
)

func (p *ipv4) fragment() bool { return p.flags&(flagMF|offsetMax) != 0 }

// parseIPv4 reads the header of b. The verdict is NoVerdict, DropMalformed or DropIPv6. Octets after the total length are not
// the packet's.
func parseIPv4(b []byte) (p ipv4, v Verdict) {
	if len(b) > 0 && b[0]>>4 == 6 {
		return p, DropIPv6
	}
	if len(b) < headerLen || b[0]>>4 != 4 {
		return p, DropMalformed
	}
	p.header = int(b[0]&15) * 4
	p.length = int(binary.BigEndian.Uint16(b[2:]))
	if p.header < headerLen || p.length < p.header || p.length > len(b) || checksum(b[:p.header]) != 0 {
		return p, DropMalformed
	}
	p.tos, p.ttl, p.protocol = b[1], b[8], b[9]
	p.flags = binary.BigEndian.Uint16(b[6:])
	p.src, p.dst = binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:])
	switch p.protocol {
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite:
		rest := b[p.header:p.length]
		switch {
		case p.flags&offsetMax == 0 && len(rest) >= 4:
			p.ports = portsThere
			p.sport, p.dport = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
		case p.fragment():
			p.ports = portsHidden
		}
	}
	return p, NoVerdict
}

// reversed is the packet as an answer to it would be.
func (p ipv4) reversed() ipv4 {
	p.src, p.dst, p.sport, p.dport = p.dst, p.src, p.dport, p.sport
	return p
}

// checksum is the Internet checksum of b, which has an even length; 0 over a header that carries a right one.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum + sum>>16)
}
