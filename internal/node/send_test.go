package node

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"gvpn/turn"
)

// Datagrams leave in order, many in one call; one that the kernel refuses is counted and holds up none of the others.
func TestSendMany(t *testing.T) {
	port := testPort
	s := &sockets{
		port: port, log: slog.New(slog.DiscardHandler), conns: map[netip.AddrPort]trio{}, failed: map[netip.AddrPort]string{},
		receive: func(datagram, source) {},
	}
	locals := []netip.Addr{netip.MustParseAddr(onLoopback("127.84.8.1")), netip.MustParseAddr(onLoopback("127.84.8.3"))}
	s.bind(time.Now(), []netip.AddrPort{netip.AddrPortFrom(locals[0], port), netip.AddrPortFrom(locals[1], port)})
	defer s.close()
	conn := listenAt(t, onLoopback("127.84.8.2"), port)
	_ = conn.SetReadBuffer(receiveBuffer)
	to := netip.AddrPortFrom(netip.MustParseAddr(onLoopback("127.84.8.2")), port)
	var batch []turn.Transmit
	var want []string
	for i := range burst + 44 {
		o := turn.Transmit{Local: netip.AddrPortFrom(locals[i/100%2], port), Remote: to, Datagram: fmt.Append(nil, i)}
		switch i {
		case 7, burst - 1, burst: // longer than UDP allows
			o.Datagram = make([]byte, 1<<16)
		case 8:
			o.Remote = netip.MustParseAddrPort("[2001:db8::1]:848")
		case 9: // no socket has it
			o.Local = netip.MustParseAddrPort("127.84.8.7:848")
		case burst + 43:
			o.Datagram = nil // the last of all has nothing in it
			fallthrough
		default:
			want = append(want, fmt.Sprintf("%v %s", o.Local, o.Datagram))
		}
		batch = append(batch, o)
	}
	lost := uint64(len(batch) - len(want))
	s.send(batch)
	if n := s.lost.Load(); n != lost {
		t.Errorf("%d counted as lost, want %d", n, lost)
	}
	buf := make([]byte, 100)
	for i, w := range want {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatalf("after %d datagrams: %v", i, err)
		}
		if got := fmt.Sprintf("%v %s", from, buf[:n]); got != w {
			t.Fatalf("datagram %d: %q, want %q", i, got, w)
		}
	}
	s.close()
	s.send(batch[:3])
	if n := s.lost.Load(); n != lost+3 {
		t.Errorf("without a socket %d are counted as lost, want %d", n, lost+3)
	}
}
