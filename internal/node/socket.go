package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// receiveBuffer is what the kernel is asked to hold for the loop: the registrations of a few thousand members at once.
const receiveBuffer = 4 << 20

// rebindEvery is how long what could not listen waits for its next try.
const rebindEvery = 5 * time.Second

type datagram struct {
	local, remote netip.AddrPort
	octets        []byte
}

// sockets are the node's UDP sockets: two pairs for each local-address of a gateway, on GDOI's port and on the one for peers behind
// NATs, or two on the wildcard address if some gateway has none. It is used by the loop (bind) and the writer (send).
type sockets struct {
	port    uint16
	log     *slog.Logger
	receive func(d datagram, first bool) // first: it begins a phase 1

	mu     sync.Mutex
	conns  map[netip.AddrPort]pair // the unspecified address: wildcard
	want   []netip.AddrPort
	groups memberships
	failed map[netip.AddrPort]string // what could not be bound, and why
	tried  time.Time                 // when bind last tried all of it
	wg     sync.WaitGroup

	out  sender
	lost atomic.Uint64 // datagrams that could not be sent
}

// pair are the two sockets of an address. Both have the same port, and the kernel puts what begins a phase 1 into the second's
// buffer: however much of that strangers send, it pushes out nothing of those who have an SA.
type pair struct{ main, first *net.UDPConn }

func (p pair) close() error { return errors.Join(p.main.Close(), p.first.Close()) }

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
		if s.conns[at].main != nil {
			continue
		}
		if at.Addr().IsUnspecified() {
			s.groups.leave()
		}
		conns, err := listen(at)
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
		s.wg.Go(func() { s.read(conns.main, at, false) })
		s.wg.Go(func() { s.read(conns.first, at, true) })
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

// byCookie says for which socket of a pair a datagram is: for the second if its responder's cookie, octets 8 to 15 (RFC 2408 section
// 3.1), is zero. On port 4500 a marker of four octets is in front. What is shorter ends the program, which means the first.
func byCookie(port uint16) []unix.SockFilter {
	at := uint32(8)
	if port == ike.NATPort {
		at = 12
	}
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 3, K: 0},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at + 4},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}

// listen opens the two UDP sockets of an address; on the wildcard address it asks the kernel for each datagram's destination.
func listen(at netip.AddrPort) (pair, error) {
	// Sockets that share a port share it with whoever else does so: first see that nobody has it.
	alone, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err == nil {
		err = alone.Close()
	}
	if err != nil {
		return pair{}, fmt.Errorf("node: listen on UDP %s: %w", at, err)
	}
	main, err := listenShared(at)
	if err != nil {
		return pair{}, err
	}
	first, err := listenShared(at)
	if err != nil {
		return pair{}, errors.Join(err, main.Close())
	}
	filter := byCookie(at.Port())
	err = control(first, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
			&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
	p := pair{main, first}
	if err != nil {
		return pair{}, errors.Join(fmt.Errorf("node: part the datagrams of UDP %s: %w", at, err), p.close())
	}
	return p, nil
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
	_ = udp.SetReadBuffer(receiveBuffer) // less is no fault, only less patient with a burst
	return udp, nil
}

func (s *sockets) read(conn *net.UDPConn, bound netip.AddrPort, first bool) {
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
		}, first)
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
