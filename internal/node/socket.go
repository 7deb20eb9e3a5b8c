package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gvpn/turn"
)

// maxDatagram is the most a UDP datagram over IPv4 can hold, so that an overlong message is seen whole and counted, not
// cut to something that parses.
const maxDatagram = 65507

// receiveBuffer is what the kernel is asked to hold for the loop: the registrations of a few thousand members at once.
const receiveBuffer = 4 << 20

// rebindEvery is how long at most a socket that could not be bound waits for its next try: each engine timeout before that
// is a try too.
const rebindEvery = 5 * time.Second

type datagram struct {
	local, remote netip.AddrPort
	octets        []byte
}

// sockets are the node's UDP sockets: one for each local-address of a gateway, or one on the wildcard address if some
// gateway has none. It is used by the loop (bind) and the writer (send).
type sockets struct {
	port    uint16
	log     *slog.Logger
	receive func(datagram)

	mu     sync.Mutex
	conns  map[netip.Addr]*net.UDPConn // the unspecified address: wildcard
	want   []netip.Addr
	failed map[netip.Addr]string // what could not be bound, and why
	wg     sync.WaitGroup
}

// wanted returns the addresses to bind for gateways with these local addresses, each once (invalid: any).
func wanted(locals []netip.Addr) []netip.Addr {
	if slices.ContainsFunc(locals, func(a netip.Addr) bool { return !a.IsValid() }) {
		return []netip.Addr{netip.IPv4Unspecified()}
	}
	slices.SortFunc(locals, netip.Addr.Compare)
	return locals
}

// bind makes the open sockets those of want. What cannot be bound is logged once for each new reason; rebind tries it again.
func (s *sockets) bind(want []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want = want
	for addr, conn := range s.conns {
		if !slices.Contains(want, addr) {
			_ = conn.Close()
			delete(s.conns, addr)
		}
	}
	for addr := range s.failed {
		if !slices.Contains(want, addr) {
			delete(s.failed, addr)
		}
	}
	for _, addr := range want {
		if s.conns[addr] != nil {
			continue
		}
		conn, err := listen(netip.AddrPortFrom(addr, s.port))
		if err != nil {
			if s.failed[addr] != err.Error() {
				s.failed[addr] = err.Error()
				s.log.Error("cannot listen for GDOI; will try again", "error", err.Error(), "every", rebindEvery)
			}
			continue
		}
		if s.failed[addr] != "" {
			delete(s.failed, addr)
			s.log.Info("listening for GDOI after all", "address", addr, "port", s.port)
		}
		s.conns[addr] = conn
		s.wg.Go(func() { s.read(conn, addr) })
	}
}

// unbound reports whether something that should be bound is not.
func (s *sockets) unbound() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.failed) > 0
}

func (s *sockets) rebind() {
	s.mu.Lock()
	want := s.want
	s.mu.Unlock()
	s.bind(want)
}

func (s *sockets) close() {
	s.mu.Lock()
	for addr, conn := range s.conns {
		_ = conn.Close()
		delete(s.conns, addr)
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// listen opens a UDP socket; on the wildcard address it asks the kernel for each datagram's destination.
func listen(at netip.AddrPort) (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("node: listen on UDP %s: %w", at, err)
	}
	_ = conn.SetReadBuffer(receiveBuffer) // less is no fault, only less patient with a burst
	if at.Addr().IsUnspecified() {
		raw, err := conn.SyscallConn()
		if err == nil {
			var set error
			err = raw.Control(func(fd uintptr) {
				set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			})
			err = errors.Join(err, set)
		}
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("node: ask for destination addresses on UDP %s: %w", at, err)
		}
	}
	return conn, nil
}

func (s *sockets) read(conn *net.UDPConn, bound netip.Addr) {
	buf := make([]byte, maxDatagram+1)
	oob := make([]byte, 128)
	for {
		size, oobSize, _, remote, err := conn.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// An ICMP error of an earlier datagram, or a passing lack of buffers: the socket goes on.
			continue
		}
		local := bound
		if bound.IsUnspecified() {
			if local = destination(oob[:oobSize]); !local.IsValid() {
				continue
			}
		}
		s.receive(datagram{
			local:  netip.AddrPortFrom(local, s.port),
			remote: netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()),
			octets: slices.Clone(buf[:size]),
		})
	}
}

// destination finds the datagram's destination address in the control messages of IP_PKTINFO.
func destination(oob []byte) netip.Addr {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for i := range messages {
		h := messages[i].Header
		// struct in_pktinfo: interface index 4, local address 4, header destination 4.
		if h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(messages[i].Data) >= 12 {
			return netip.AddrFrom4([4]byte(messages[i].Data[8:12]))
		}
	}
	return netip.Addr{}
}

// send transmits from the socket of the datagram's local address. A datagram that the kernel refuses is lost, as the
// network may lose any: the engines retransmit.
func (s *sockets) send(t turn.Transmit) {
	s.mu.Lock()
	conn := s.conns[t.Local.Addr()]
	wildcard := conn == nil
	if wildcard {
		conn = s.conns[netip.IPv4Unspecified()]
	}
	s.mu.Unlock()
	if conn == nil {
		return
	}
	var oob []byte
	if wildcard && t.Local.Addr().Is4() && !t.Local.Addr().IsUnspecified() {
		oob = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: t.Local.Addr().As4()})
	}
	if _, _, err := conn.WriteMsgUDPAddrPort(t.Datagram, oob, t.Remote); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug("datagram not sent", "to", t.Remote, "error", err.Error())
	}
}
