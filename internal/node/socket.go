package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gvpn/ike"
)

// maxDatagram is the most a UDP datagram over IPv4 can hold, so that an overlong message is seen whole and counted, not
// cut to something that parses.
const maxDatagram = 65507

// receiveBuffer is what the kernel is asked to hold for the loop, in octets, of which it makes twice as much: what 20,000 members say at
// once when a push came to all of them, of which each takes it some 800.
const receiveBuffer = 8 << 20

// rebindEvery is how long what could not listen waits for its next try.
const rebindEvery = 5 * time.Second

type datagram struct {
	local, remote netip.AddrPort
	octets        []byte
}

// sockets are the node's UDP sockets: two trios for each local-address of a gateway, on GDOI's port and on the one for peers behind
// NATs, or two on the wildcard address if some gateway has none. It is used by the loop (bind, prefer) and the sender (send).
type sockets struct {
	port    uint16
	log     *slog.Logger
	receive func(d datagram, from source)

	mu     sync.Mutex
	conns  map[netip.AddrPort]trio // the unspecified address: wildcard
	peers  []netip.Addr            // whose datagrams have a socket of their own, sorted
	want   []netip.AddrPort
	groups memberships
	failed map[netip.AddrPort]string // what could not be bound, and why
	tried  time.Time                 // when bind last tried all of it
	wg     sync.WaitGroup

	out  sender
	lost atomic.Uint64 // datagrams that could not be sent
}

// source says from which socket of its address a datagram came: by its own word, since anybody can send from any address.
type source int

// The sources, in the order in which an address's sockets are bound.
const (
	fromMember   source = iota // all that is none of the others
	fromStranger               // it begins a phase 1
	fromPeer                   // it comes from a cluster peer's address, and does not begin a phase 1
	sources
)

// trio are the sockets of an address, by source. All have the same port, and the kernel puts what begins a phase 1 into the second's
// buffer and what comes from cluster peers into the third's: however much of the first strangers send, it pushes out nothing of those
// who have an SA, and however many members speak at once, no cluster peer waits behind them.
type trio [sources]*net.UDPConn

func (t trio) close() error {
	var errs []error
	for _, conn := range t {
		if conn != nil {
			errs = append(errs, conn.Close())
		}
	}
	return errors.Join(errs...)
}

// wanted returns the addresses to bind for gateways with these local addresses, each once (invalid: any).
func wanted(locals []netip.Addr) []netip.Addr {
	if slices.ContainsFunc(locals, func(a netip.Addr) bool { return !a.IsValid() }) {
		return []netip.Addr{netip.IPv4Unspecified()}
	}
	slices.SortFunc(locals, netip.Addr.Compare)
	return locals
}

// at returns what to bind for these addresses.
func (s *sockets) at(addrs []netip.Addr) []netip.AddrPort {
	out := make([]netip.AddrPort, 0, 2*len(addrs))
	for _, a := range addrs {
		out = append(out, netip.AddrPortFrom(a, s.port), netip.AddrPortFrom(a, ike.NATPort))
	}
	return out
}

// bind makes the open sockets those of want. What cannot be bound is logged once for each new reason; retry tries it again.
func (s *sockets) bind(now time.Time, want []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want, s.tried = want, now
	defer s.join() // behind the others: see leave
	for at, conns := range s.conns {
		if !slices.Contains(want, at) {
			_ = conns.close()
			delete(s.conns, at)
		}
	}
	for at := range s.failed {
		if !slices.Contains(want, at) {
			delete(s.failed, at)
		}
	}
	for _, at := range want {
		if s.conns[at][fromMember] != nil {
			continue
		}
		if at.Addr().IsUnspecified() {
			s.groups.leave()
		}
		conns, err := listen(at, s.peers)
		if err != nil {
			if s.failed[at] != err.Error() {
				s.failed[at] = err.Error()
				s.log.Error("cannot listen for GDOI; will try again", "error", err.Error(), "every", rebindEvery)
			}
			continue
		}
		if s.failed[at] != "" {
			delete(s.failed, at)
			s.log.Info("listening for GDOI after all", "address", at.Addr(), "port", at.Port())
		}
		s.conns[at] = conns
		for from, conn := range conns {
			s.wg.Go(func() { s.read(conn, at, source(from)) })
		}
	}
}

// deadline is when retry tries again, if there is anything to try.
func (s *sockets) deadline() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tried.Add(rebindEvery), len(s.failed)+len(s.groups.failed) > 0
}

// retry binds what could not be bound, if it is time.
func (s *sockets) retry(now time.Time) {
	if at, unbound := s.deadline(); unbound && !now.Before(at) {
		s.bind(now, s.want)
	}
}

func (s *sockets) close() {
	s.mu.Lock()
	for at, conns := range s.conns {
		_ = conns.close()
		delete(s.conns, at)
	}
	s.groups.leave()
	s.mu.Unlock()
	s.wg.Wait()
}

// maxPreferred is how many cluster peers have the third socket: what the kernel's programs have room for where net.core.optmem_max is
// 20 KB, as it was on Linux before 6.8; more than 500 are refused there. The datagrams of more than these wait with the members'.
const maxPreferred = 400

// prefer gives these addresses the third socket.
func (s *sockets) prefer(peers preferred) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = slices.SortedFunc(maps.Keys(peers), netip.Addr.Compare)
	for at, conns := range s.conns {
		if err := conns.part(at.Port(), s.peers); err != nil {
			s.log.Error("cluster peers have no precedence", "error", err.Error())
		}
	}
}

// bySource says for which socket of a trio a datagram is: for the second if its responder's cookie, octets 8 to 15 (RFC 2408 section
// 3.1), is zero, else for the third if it comes from one of these addresses. On port 4500 a marker of four octets is in front. What is
// shorter ends the program, which means the first.
func bySource(port uint16, peers []netip.Addr) []unix.SockFilter {
	at := uint32(8)
	if port == ike.NATPort {
		at = 12
	}
	const ipHeader = 0xfff00000 // SKF_NET_OFF: from here on places count from the beginning of the IP header
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 3, K: 0},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at + 4},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: uint32(fromStranger)},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: ipHeader + 12}, // source address
	}
	for _, a := range peers[:min(len(peers), maxPreferred)] {
		if !a.Is4() {
			continue
		}
		b := a.As4()
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: binary.BigEndian.Uint32(b[:])},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(fromPeer)})
	}
	return append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(fromMember)})
}

// part makes the kernel part the datagrams of the trio's address.
func (t trio) part(port uint16, peers []netip.Addr) error {
	program := bySource(port, peers)
	err := control(t[fromMember], func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	if err != nil {
		return fmt.Errorf("node: part the datagrams of UDP %s: %w", t[fromMember].LocalAddr(), err)
	}
	return nil
}

// listen opens the UDP sockets of an address; on the wildcard address it asks the kernel for each datagram's destination.
func listen(at netip.AddrPort, peers []netip.Addr) (t trio, err error) {
	// Sockets that share a port share it with whoever else does so: first see that nobody has it.
	alone, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err == nil {
		err = alone.Close()
	}
	if err != nil {
		return t, fmt.Errorf("node: listen on UDP %s: %w", at, err)
	}
	for i := range t {
		if t[i], err = listenShared(at); err != nil {
			return trio{}, errors.Join(err, t.close())
		}
	}
	if err := t.part(at.Port(), peers); err != nil {
		return trio{}, errors.Join(err, t.close())
	}
	return t, nil
}

func control(conn syscall.Conn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach the socket: %w", err)
	}
	var done error
	if err := raw.Control(func(fd uintptr) { done = f(int(fd)) }); err != nil {
		return fmt.Errorf("reach the socket: %w", err)
	}
	return done
}

// listenShared opens a socket that shares its port.
func listenShared(at netip.AddrPort) (*net.UDPConn, error) {
	options := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var set error
		err := raw.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			if at.Addr().IsUnspecified() {
				set = errors.Join(set, unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
					unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)) // what others on the host have joined is not ours
			}
		})
		return errors.Join(err, set)
	}}
	conn, err := options.ListenPacket(context.Background(), "udp4", at.String())
	if err != nil {
		return nil, fmt.Errorf("node: listen on UDP %s: %w", at, err)
	}
	udp := conn.(*net.UDPConn)
	// Less is no fault, only less patient with a burst. Who may bind port 848 may mostly have more than net.core.rmem_max too.
	if control(udp, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) }) != nil {
		_ = udp.SetReadBuffer(receiveBuffer)
	}
	return udp, nil
}

func (s *sockets) read(conn *net.UDPConn, bound netip.AddrPort, from source) {
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
		local := bound.Addr()
		if local.IsUnspecified() {
			if local = destination(oob[:oobSize]); !local.IsValid() {
				continue
			}
		}
		s.receive(datagram{
			local:  netip.AddrPortFrom(local, bound.Port()),
			remote: netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()),
			octets: slices.Clone(buf[:size]),
		}, from)
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
