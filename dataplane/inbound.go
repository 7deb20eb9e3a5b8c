package dataplane

import (
	"crypto/subtle"
	"encoding/binary"
	"slices"
	"time"
)

// Inbound takes a packet from the WAN. If it passes, it is appended to dst as it goes to the LAN; else dst comes back as it
// was. packet is one IPv4 packet, put together again if it came in fragments; dst must not overlap it. With room in dst
// nothing is allocated.
func (p *Plane) Inbound(now time.Time, packet, dst []byte) ([]byte, Verdict) {
	ip, v := parseIPv4(packet)
	if v != NoVerdict {
		p.count(v, 0, false, nil, nil)
		return dst, v
	}
	packet = packet[:ip.length]
	if ip.protocol != protoESP {
		return p.clearInbound(now, &ip, packet, dst)
	}
	if ip.fragment() {
		p.count(DropFragment, ip.length, false, nil, nil)
		return dst, DropFragment
	}
	esp := packet[ip.header:]
	if len(esp) < espLen {
		p.count(DropShort, ip.length, false, nil, nil)
		return dst, DropShort
	}
	teks := p.spis[binary.BigEndian.Uint32(esp)]
	if len(teks) == 0 {
		// ESP of others, between hosts behind the members, may be excluded like any traffic.
		back := ip.reversed()
		for _, in := range p.vpns {
			if anyOf(in.exclude, &back) {
				p.count(Excluded, ip.length, false, in, nil)
				return append(dst, packet...), Excluded
			}
		}
		p.count(DropSPI, ip.length, false, nil, nil)
		return dst, DropSPI
	}
	// Two VPNs may have TEKs with one SPI, from two servers: the keys tell.
	var last *tek
	for _, t := range teks {
		last = t
		var out []byte
		if out, v = p.decapsulate(now, t, &ip, esp, dst); v == Decrypted {
			p.count(v, ip.length, false, t.vpn, t)
			return out, v
		}
		if v != DropAuth && v != DropExpired {
			break
		}
	}
	p.count(v, ip.length, false, last.vpn, last)
	return dst, v
}

// decapsulate checks and opens what is in esp: integrity before anything else is done with it, then decryption, padding, time
// stamp, and that the packet inside is what its outer header and the TEK's policy say.
func (p *Plane) decapsulate(now time.Time, t *tek, outer *ipv4, esp, dst []byte) ([]byte, Verdict) {
	ivLen, align := t.ivLen(), t.alignLen()
	sealed := len(esp) - espLen - ivLen - icvLen
	switch {
	case !t.live(now):
		return dst, DropExpired
	case sealed < align || sealed%align != 0:
		return dst, DropShort
	}
	start := len(dst)
	iv, body := esp[espLen:espLen+ivLen], esp[espLen+ivLen:]
	out := append(slices.Grow(dst, len(body)), body...)
	b := out[start : start+sealed]
	if t.gcm != nil {
		if _, err := t.gcm.Open(b[:0], p.gcmNonce(t, iv), out[start:], esp[:espLen]); err != nil {
			return dst, DropAuth
		}
	} else {
		t.mac.Reset()
		t.mac.Write(esp[:len(esp)-icvLen])
		if subtle.ConstantTimeCompare(t.mac.Sum(p.sum[:0])[:icvLen], body[sealed:]) != 1 {
			return dst, DropAuth
		}
		t.decrypt(iv, b)
	}

	pad, next := int(b[sealed-2]), b[sealed-1]
	if pad+2 > sealed {
		return dst, DropTrailer
	}
	b = b[:sealed-2]
	for i, o := range b[len(b)-pad:] {
		if o != byte(i+1) {
			return dst, DropTrailer
		}
	}
	b, next, v := t.stamped(now, b[:len(b)-pad], next)
	if v != NoVerdict {
		return dst, v
	}
	switch next {
	case protoIPIP:
	case protoNone:
		return dst, DropDummy
	case protoIPv6:
		return dst, DropIPv6
	default:
		return dst, DropTrailer
	}
	// Octets behind the packet's total length hide its size (RFC 4303 section 2.7).
	inner, v := parseIPv4(b)
	if v != NoVerdict {
		return dst, DropInner
	}
	// Addresses are preserved: an outer header that says otherwise has been changed on its way, which no ICV covers.
	if inner.src != outer.src || inner.dst != outer.dst || t.match(&inner) != yes {
		return dst, DropSelector
	}
	// "CE outside, ECT inside": congestion on the way is told to the receiver (RFC 4301 section 5.1.2.1).
	if ecn := inner.tos & 3; outer.tos&3 == 3 && (ecn == 1 || ecn == 2) {
		b[1] |= 3
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], checksum(b[:inner.header]))
	}
	copy(out[start:], b[:inner.length]) // over the time stamp, if there was one
	return out[:start+inner.length], Decrypted
}

// clearInbound judges a packet that came in the clear: exclude, then what group SAs are for, then fail-open, then fail-close.
// Rules say what leaves the LAN, so they are held against the packet's answer. A fail-open rule lets a packet in also where
// an SA is for it: its sender may have none at the moment, which is what fail-open is for.
func (p *Plane) clearInbound(now time.Time, ip *ipv4, packet, dst []byte) ([]byte, Verdict) {
	back := ip.reversed()
	v := DropFailClose
	var by *vpn
	for _, in := range p.vpns {
		if anyOf(in.exclude, &back) {
			p.count(Excluded, ip.length, false, in, nil)
			return append(dst, packet...), Excluded
		}
		for _, t := range in.teks {
			if v == DropFailClose && t.live(now) && t.match(ip) != no {
				v, by = DropClear, in
			}
		}
	}
	for _, in := range p.vpns {
		if anyOf(in.failOpen, &back) {
			p.count(FailOpen, ip.length, false, in, nil)
			return append(dst, packet...), FailOpen
		}
	}
	p.count(v, ip.length, false, by, nil)
	return dst, v
}
