package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"gvpn/internal/node"
)

// wan joins the members' WAN sides: what one member's data plane sends out is handed to the member whose LAN the outer
// destination address is in, as a provider's routing would.
type wan struct {
	mu      sync.Mutex
	members map[string]*site
}

// site is one member with the LAN behind it.
type site struct {
	node *node.Node
	lan  netip.Prefix
}

// errLost is a packet that did not arrive; the text says where it stopped.
type errLost struct{ where string }

func (e errLost) Error() string { return "the packet did not arrive: " + e.where }

// carry sends one IPv4 packet from a host behind a member into the WAN and on to its destination's LAN. It returns the
// octets as they were on the WAN (nil if none left the member) and as they came out on the far LAN.
func (w *wan) carry(from string, packet []byte) (onWire, arrived []byte, err error) {
	w.mu.Lock()
	src := w.members[from]
	w.mu.Unlock()
	onWire, verdict := src.node.Outbound(packet)
	if onWire == nil {
		return nil, nil, errLost{fmt.Sprintf("%s: %v", from, verdict)}
	}
	destination := netip.AddrFrom4([4]byte(onWire[16:20]))
	w.mu.Lock()
	var to string
	var dst *site
	for name, s := range w.members {
		if s.lan.Contains(destination) {
			to, dst = name, s
		}
	}
	w.mu.Unlock()
	if dst == nil {
		return onWire, nil, errLost{"no LAN holds " + destination.String()}
	}
	arrived, verdict = dst.node.Inbound(onWire)
	if arrived == nil {
		return onWire, nil, errLost{fmt.Sprintf("%s: %v", to, verdict)}
	}
	return onWire, arrived, nil
}

// spi returns the SPI of an ESP packet seen on the wire, 0 if it is none.
func spi(onWire []byte) uint32 {
	if len(onWire) < 24 || onWire[9] != 50 {
		return 0
	}
	return binary.BigEndian.Uint32(onWire[20:24])
}

// probe makes a UDP packet from one LAN host to another with a recognisable text in it.
func probe(source, destination netip.Addr, number int) []byte {
	text := fmt.Appendf(nil, "probe %d: this text must never be seen between the sites", number)
	p := make([]byte, 28, 28+len(text))
	p[0], p[8], p[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(p[2:], uint16(28+len(text)))
	copy(p[12:16], source.AsSlice())
	copy(p[16:20], destination.AsSlice())
	binary.BigEndian.PutUint16(p[10:], headerChecksum(p[:20]))
	binary.BigEndian.PutUint16(p[20:], 40000)
	binary.BigEndian.PutUint16(p[22:], 40001)
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(text)))
	return append(p, text...)
}

func headerChecksum(header []byte) uint16 {
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// crossing sends a probe from one member's LAN to another's and checks everything that step b asks of it.
func (w *wan) crossing(from, to string, number int) (onWire []byte, err error) {
	src, dst := w.members[from], w.members[to]
	packet := probe(host(src.lan, 10), host(dst.lan, 20), number)
	onWire, arrived, err := w.carry(from, packet)
	switch text := packet[28:]; {
	case err != nil:
		return onWire, err
	case bytes.Contains(onWire, text):
		return onWire, errors.New("the plaintext was seen on the wire")
	case spi(onWire) == 0:
		return onWire, errors.New("what was on the wire is not ESP")
	case !bytes.Equal(arrived[28:], text):
		return onWire, errors.New("what arrived is not what was sent")
	}
	return onWire, nil
}

// host returns the n-th address of a LAN.
func host(lan netip.Prefix, n byte) netip.Addr {
	a := lan.Addr().As4()
	a[3] = n
	return netip.AddrFrom4(a)
}

// dump renders the head of a packet as an operator would see it in a capture.
func dump(packet []byte, lines int) string {
	var b strings.Builder
	for i := 0; i < len(packet) && i < 16*lines; i += 16 {
		row := packet[i:min(i+16, len(packet))]
		fmt.Fprintf(&b, "    %04x  % -47x  ", i, row)
		for _, c := range row {
			if c < 0x20 || c > 0x7e {
				c = '.'
			}
			b.WriteByte(c)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
