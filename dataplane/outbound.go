package dataplane

import (
	"encoding/binary"
	"io"
	"slices"
	"time"
)

// ESP with AES-CBC and HMAC-SHA-256-128 (RFC 4303 section 2, RFC 3602, RFC 4868), or AES-GCM, behind an outer IPv4 header.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|               Security Parameters Index (SPI)                 |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                      Sequence Number                          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                    IV (16 octets)                             |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                    Payload Data (variable)                    ~
//	+               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|               |     Padding (0-255 bytes)                     |
//	+-+-+-+-+-+-+-+-+               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                               |  Pad Length   | Next Header   |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~         Integrity Check Value-ICV   (16 octets)               ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
const (
	espLen   = 8 // SPI and sequence number
	ivLen    = 16
	blockLen = 16
	icvLen   = 16

	maxPacket = 65535
)

// With AES-GCM (RFC 4106) the IV has 8 octets, padding goes to 4 octets only (RFC 4303 section 2.4), and the ICV covers SPI and
// sequence number as well. The nonce is the key's salt and the IV; and the IV is the sender ID in its upper bits and a count in
// the others (RFC 6054 section 4), so that no two senders under one key ever have the same.
const (
	gcmIVLen = 8
	saltLen  = 4
	nonceLen = saltLen + gcmIVLen
	alignLen = 4
)

// ivLen is the length of the IV on the wire, alignLen what ciphertext is a multiple of.
func (t *tek) ivLen() int {
	if t.gcm != nil {
		return gcmIVLen
	}
	return ivLen
}

func (t *tek) alignLen() int {
	if t.gcm != nil {
		return alignLen
	}
	return blockLen
}

// Outbound takes a packet from the LAN. If it passes, it is appended to dst as it goes to the WAN; else dst comes back as it
// was. packet is one IPv4 packet (octets behind its total length are ignored); dst must not overlap it. With room in dst
// nothing is allocated.
func (p *Plane) Outbound(now time.Time, packet, dst []byte) ([]byte, Verdict) {
	ip, v := parseIPv4(packet)
	if v != NoVerdict {
		p.count(v, 0, true, nil, nil)
		return dst, v
	}
	packet = packet[:ip.length]
	doubt, exhausted := false, false
	for _, in := range p.vpns {
		// What an earlier VPN would protect, were it whole or had its TEK a number left, no later one lets out.
		if !doubt && !exhausted && anyOf(in.exclude, &ip) {
			p.count(Excluded, ip.length, true, in, nil)
			return append(dst, packet...), Excluded
		}
		t, m := in.sender(now, &ip)
		if t != nil {
			return p.encapsulate(now, t, &ip, packet, dst)
		}
		doubt = doubt || m == maybe
		exhausted = exhausted || m == yes
	}
	switch {
	case exhausted:
		v = DropExhausted
	case doubt:
		v = DropFragment
	default:
		v = DropFailClose
		for _, in := range p.vpns {
			if anyOf(in.failOpen, &ip) {
				p.count(FailOpen, ip.length, true, in, nil)
				return append(dst, packet...), FailOpen
			}
		}
	}
	p.count(v, ip.length, true, nil, nil)
	return dst, v
}

// sender is the TEK to send a packet with: the one that became active last, or else the one that will be active first. Without
// one, the answer tells whether a TEK has the packet but no sequence number left (yes), or a policy with ports may have this
// fragment (maybe).
func (in *vpn) sender(now time.Time, ip *ipv4) (waiting *tek, m match) {
	for i := len(in.teks) - 1; i >= 0; i-- {
		t := in.teks[i]
		if !t.live(now) {
			continue
		}
		switch t.match(ip) {
		case maybe:
			m = max(m, maybe)
		case yes:
			switch {
			case t.exhausted():
				m = yes
			case !t.sa.Activate.After(now):
				return t, yes
			default:
				waiting = t // those behind wait longer
			}
		}
	}
	return waiting, m
}

// encapsulate appends packet under t. The outer header has the original's addresses, TOS with ECN (RFC 4301 section
// 5.1.2.1) and TTL; its DF bit is the VPN's choice.
func (p *Plane) encapsulate(now time.Time, t *tek, ip *ipv4, packet, dst []byte) ([]byte, Verdict) {
	align, ivLen, stampLen := t.alignLen(), t.ivLen(), t.stampLen()
	n := stampLen + len(packet)
	pad := (align - (n+2)%align) % align
	sealed := n + pad + 2
	total := headerLen + espLen + ivLen + sealed + icvLen
	if total > maxPacket {
		p.count(DropTooBig, total, true, t.vpn, t)
		return dst, DropTooBig
	}
	start := len(dst)
	out := slices.Grow(dst, total)[:start+total]
	b := out[start:]
	esp := b[headerLen:]
	iv := esp[espLen : espLen+ivLen]
	if t.gcm != nil {
		binary.BigEndian.PutUint64(iv, p.next(t)) // before anything of it can be seen: no nonce is used twice
	} else if !p.random(iv) {
		p.count(DropNoRandom, total, true, t.vpn, t)
		return dst, DropNoRandom
	}
	t.seq++ // before anything of it can be seen: no number is used twice
	binary.BigEndian.PutUint32(esp, t.sa.SPI)
	binary.BigEndian.PutUint32(esp[4:], t.seq)
	body := esp[espLen+ivLen : len(esp)-icvLen]
	next := t.stamp(now, body, protoIPIP)
	copy(body[stampLen:], packet)
	for i := range pad {
		body[n+i] = byte(i + 1) // "1, 2, 3, …" (RFC 4303 section 2.4)
	}
	body[n+pad], body[n+pad+1] = byte(pad), next
	if t.gcm != nil {
		t.gcm.Seal(body[:0], p.gcmNonce(t, iv), body, esp[:espLen])
	} else {
		t.encrypt(iv, body)
		t.mac.Reset()
		t.mac.Write(esp[:len(esp)-icvLen])
		copy(esp[len(esp)-icvLen:], t.mac.Sum(p.sum[:0]))
	}

	b[0], b[1] = 0x45, ip.tos
	binary.BigEndian.PutUint16(b[2:], uint16(total))
	binary.BigEndian.PutUint16(b[4:], p.id)
	p.id++
	df := uint16(0)
	if t.vpn.df == dfSet || t.vpn.df == dfCopy && ip.flags&flagDF != 0 {
		df = flagDF
	}
	binary.BigEndian.PutUint16(b[6:], df)
	b[8], b[9], b[10], b[11] = ip.ttl, protoESP, 0, 0
	binary.BigEndian.PutUint32(b[12:], ip.src)
	binary.BigEndian.PutUint32(b[16:], ip.dst)
	binary.BigEndian.PutUint16(b[10:], checksum(b[:headerLen]))
	p.count(Encrypted, total, true, t.vpn, t)
	return out, Encrypted
}

// gcmNonce puts a nonce together, valid until the next one.
func (p *Plane) gcmNonce(t *tek, iv []byte) []byte {
	copy(p.nonce[:], t.sa.Key[t.sa.KeyBits/8:])
	copy(p.nonce[saltLen:], iv)
	return p.nonce[:]
}

// random fills iv with octets that were never used before.
func (p *Plane) random(iv []byte) bool {
	if p.spent+len(iv) > len(p.pool) {
		if _, err := io.ReadFull(p.rand, p.pool[:]); err != nil {
			p.spent = len(p.pool)
			return false
		}
		p.spent = 0
	}
	used := p.pool[p.spent : p.spent+len(iv)]
	copy(iv, used)
	clear(used)
	p.spent += len(iv)
	return true
}
