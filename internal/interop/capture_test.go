//go:build interop

package interop

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"
)

// datagram is one UDP datagram as it went over the network.
type datagram struct {
	at       time.Time
	from, to netip.AddrPort
	payload  []byte
}

// writeCapture writes datagrams as a classic pcap file of raw IPv4 packets (LINKTYPE_RAW, 101).
func writeCapture(t *testing.T, path string, datagrams []datagram) {
	t.Helper()
	var out bytes.Buffer
	le := binary.LittleEndian
	head := make([]byte, 24)
	le.PutUint32(head[0:], 0xa1b2c3d4)
	le.PutUint16(head[4:], 2)
	le.PutUint16(head[6:], 4)
	le.PutUint32(head[16:], 1<<18)
	le.PutUint32(head[20:], 101)
	out.Write(head)
	for _, d := range datagrams {
		packet := ipv4(t, d)
		record := make([]byte, 16)
		le.PutUint32(record[0:], uint32(d.at.Unix()))
		le.PutUint32(record[4:], uint32(d.at.Nanosecond()/1000))
		le.PutUint32(record[8:], uint32(len(packet)))
		le.PutUint32(record[12:], uint32(len(packet)))
		out.Write(record)
		out.Write(packet)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// readPcap reads the UDP datagrams of a classic pcap file of Ethernet frames (LINKTYPE_ETHERNET, 1), as dumpcap -P writes it.
func readPcap(t *testing.T, path string) (datagrams []datagram) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	le, be := binary.LittleEndian, binary.BigEndian
	if len(b) < 24 || le.Uint32(b) != 0xa1b2c3d4 || le.Uint32(b[20:]) != 1 {
		t.Fatalf("%s: not a pcap file of Ethernet frames: % x", path, b[:min(24, len(b))])
	}
	for b = b[24:]; len(b) >= 16; {
		at := time.Unix(int64(le.Uint32(b)), int64(le.Uint32(b[4:]))*1000)
		n := int(le.Uint32(b[8:]))
		frame := b[16:min(16+n, len(b))]
		b = b[min(16+n, len(b)):]
		if len(frame) < 14+20+8 || be.Uint16(frame[12:]) != 0x0800 || frame[14+9] != 17 {
			continue
		}
		p := frame[14 : be.Uint16(frame[16:])+14]
		u := p[int(p[0]&15)*4:]
		address := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(p[at:])) }
		datagrams = append(datagrams, datagram{
			at, netip.AddrPortFrom(address(12), be.Uint16(u)), netip.AddrPortFrom(address(16), be.Uint16(u[2:])), u[8:be.Uint16(u[4:])],
		})
	}
	return datagrams
}

// ipv4 puts an IPv4 header (RFC 791 section 3.1) and a UDP header (RFC 768) without checksum before the payload.
func ipv4(t *testing.T, d datagram) []byte {
	t.Helper()
	if !d.from.Addr().Is4() || !d.to.Addr().Is4() {
		t.Fatalf("datagram from %v to %v is not IPv4", d.from, d.to)
	}
	be := binary.BigEndian
	p := make([]byte, 28, 28+len(d.payload))
	p[0], p[8], p[9] = 0x45, 64, 17
	be.PutUint16(p[2:], uint16(28+len(d.payload)))
	from, to := d.from.Addr().As4(), d.to.Addr().As4()
	copy(p[12:], from[:])
	copy(p[16:], to[:])
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(be.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	be.PutUint16(p[10:], ^uint16(sum))
	be.PutUint16(p[20:], d.from.Port())
	be.PutUint16(p[22:], d.to.Port())
	be.PutUint16(p[24:], uint16(8+len(d.payload)))
	return append(p, d.payload...)
}
