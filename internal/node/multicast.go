package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gvpn/sa"
	"gvpn/turn"
)

// memberships are the multicast groups that the node listens to, with a socket each: bound to the group, so that it hears nothing
// else. Guarded by the mutex of sockets.
type memberships struct {
	want   []turn.Membership
	conns  map[turn.Membership]*net.UDPConn
	failed map[turn.Membership]string // what could not be joined, and why
}

// leave closes every socket; join opens them again. A wildcard socket cannot be had while there is one on its port.
func (g *memberships) leave() {
	for m, conn := range g.conns {
		_ = conn.Close()
		delete(g.conns, m)
	}
}

// listen makes the groups that the node listens to those of want.
func (s *sockets) listen(now time.Time, want []turn.Membership) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups.want, s.tried = want, now
	s.join()
}

// join joins what is wanted and leaves what is not. What cannot be joined is logged once for each new reason; retry tries it again.
func (s *sockets) join() {
	g := &s.groups
	for m, conn := range g.conns {
		if !slices.Contains(g.want, m) {
			_ = conn.Close()
			delete(g.conns, m)
		}
	}
	failed := g.failed
	g.failed = map[turn.Membership]string{}
	for _, m := range g.want {
		if g.conns[m] != nil {
			continue
		}
		conn, err := joinGroup(m)
		if err != nil {
			g.failed[m] = err.Error()
			if failed[m] != err.Error() {
				s.log.Error("cannot listen to rekey messages by multicast; will try again", "error", err.Error(), "every", rebindEvery)
			}
			continue
		}
		if failed[m] != "" {
			s.log.Info("listening to rekey messages by multicast after all", "group", m.Group, "address", m.Local)
		}
		if g.conns == nil {
			g.conns = map[turn.Membership]*net.UDPConn{}
		}
		g.conns[m] = conn
		s.wg.Go(func() { s.read(conn, m.Group, fromMember) })
	}
}

// joinGroup opens a socket for a group, on the interface that has the local address.
func joinGroup(m turn.Membership) (*net.UDPConn, error) {
	fail := func(err error) error {
		return fmt.Errorf("node: join multicast group %s on the interface with address %s: %w", m.Group, m.Local, err)
	}
	if !m.Local.Is4() || !m.Group.Addr().Is4() {
		return nil, fail(errNotIPv4)
	}
	conn, err := openGroup(m)
	if err != nil {
		return nil, fail(err)
	}
	_ = conn.SetReadBuffer(receiveBuffer)
	return conn, nil
}

// openGroup is joinGroup without words. Package net would not bind to a group: it takes the wildcard address in its place.
func openGroup(m turn.Membership) (*net.UDPConn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "multicast")
	defer file.Close() // FilePacketConn has its own
	option := func(level, name, value int) error { return unix.SetsockoptInt(fd, level, name, value) }
	err = errors.Join(
		option(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),     // with other nodes of the host, each of which gets every datagram,
		option(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),     // and beside a wildcard socket
		option(unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0), // not from interfaces that others have joined it on
		unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
			&unix.IPMreqn{Multiaddr: m.Group.Addr().As4(), Address: m.Local.As4()}),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(m.Group.Port()), Addr: m.Group.Addr().As4()}),
	)
	if err != nil {
		return nil, err
	}
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// multicastControl are the control messages of a datagram to a group: its source and interface, and its TTL.
func multicastControl(local netip.AddrPort, m *sa.Multicast) ([]byte, error) {
	var info unix.Inet4Pktinfo
	if m.Interface != "" {
		i, err := net.InterfaceByName(m.Interface)
		if err != nil {
			return nil, fmt.Errorf("node: interface %s: %w", m.Interface, err)
		}
		info.Ifindex = int32(i.Index)
	}
	if local.Addr().Is4() {
		info.Spec_dst = local.Addr().As4() // without an interface, the one that has this address
	}
	b := unix.PktInfo4(&info)
	if m.TTL == 0 {
		return b, nil
	}
	at := len(b)
	b = append(b, make([]byte, unix.CmsgSpace(4))...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[at]))
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_TTL
	h.SetLen(unix.CmsgLen(4))
	*(*int32)(unsafe.Pointer(&b[at+unix.CmsgLen(0)])) = int32(m.TTL)
	return b, nil
}
