package sim

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"gvpn/dataplane"
	"gvpn/member"
)

// traffic is packets between the members' networks, through their data planes. Between the planes nothing is lost: what does
// not arrive was refused by one of them.
type traffic struct {
	every   time.Duration // 0: none
	at      time.Time
	must    bool // each packet must arrive
	nodes   []*Node
	sent    uint64
	arrived uint64
	broken  map[[2]string]bool // the last packet was lost
}

func (t *traffic) next() (time.Time, bool) { return t.at, t.every > 0 }

// Traffic has every member with a LAN send a packet to every other one, every so often; 0 stops it. With must, a packet
// between two members that are registered with keys must arrive: a planned rekey loses none.
func (w *World) Traffic(every time.Duration, must bool) {
	w.traffic.every, w.traffic.must, w.traffic.at = every, must, w.now.Add(every)
	w.traffic.broken = map[[2]string]bool{}
	w.traffic.nodes = nil
	for _, n := range w.order {
		if n.LAN.IsValid() {
			w.traffic.nodes = append(w.traffic.nodes, n)
		}
	}
}

func (w *World) lookAtTraffic() {
	t := &w.traffic
	t.at = w.now.Add(t.every)
	for _, a := range t.nodes {
		for _, b := range t.nodes {
			if a != b && a.up && b.up {
				t.sent++
				way := [2]string{a.Name, b.Name}
				why := w.pass(a, b)
				if why == "" {
					t.arrived++
				} else {
					w.note("%s to %s: packet not delivered: %s", a.Name, b.Name, why)
					if t.must && !t.broken[way] && a.protected() && b.protected() {
						w.violate("%s to %s: a packet is lost: %s", a.Name, b.Name, why)
					}
				}
				t.broken[way] = why != ""
			}
		}
	}
}

// protected reports whether every VPN of the node is up and has a TEK.
func (n *Node) protected() bool {
	vpns := n.engine.State().Member.VPNs
	for _, v := range vpns {
		if !v.Up || len(v.TEKs) == 0 {
			return false
		}
	}
	return len(vpns) > 0
}

// pass sends one packet from a's LAN to b's; it returns why it did not arrive.
func (w *World) pass(a, b *Node) string {
	packet := udp(a.LAN.Addr().Next(), b.LAN.Addr().Next(), "from "+a.Name, false)
	esp, verdict := a.plane.Outbound(a.now(), packet, nil)
	for _, name := range a.plane.Low() { // as a node does
		_ = a.engine.Do(a.now(), member.SendersLow{VPN: name})
		a.drain()
	}
	if verdict != dataplane.Encrypted {
		return "outbound: " + verdict.String()
	}
	w.verify.nonce(a, esp)
	w.verify.captured[[2]string{a.Name, b.Name}] = captured{esp, a.now()}
	if bytes.Contains(esp, []byte("from "+a.Name)) {
		w.violate("%s: a packet leaves in the clear", a.Name)
	}
	clear, verdict := b.plane.Inbound(b.now(), esp, nil)
	if verdict != dataplane.Decrypted {
		if verdict == dataplane.DropSPI {
			// As a node does: a packet with an unknown SPI may be under a key that we have missed.
			_ = b.engine.Do(b.now(), member.Recover{})
			b.drain()
		}
		return "inbound: " + verdict.String()
	}
	if !bytes.Equal(clear, packet) {
		return "another packet came out"
	}
	return ""
}

// udp builds an IPv4 packet (RFC 791, RFC 768) with text as its payload; df is its Don't Fragment.
func udp(from, to netip.Addr, text string, df bool) []byte {
	b := make([]byte, 28, 28+len(text))
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(text)))
	if df {
		b[6] = 0x40
	}
	b[8], b[9] = 64, 17
	copy(b[12:16], from.AsSlice())
	copy(b[16:20], to.AsSlice())
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(b[20:], 4000)
	binary.BigEndian.PutUint16(b[22:], 4000)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(text)))
	return append(b, text...)
}
