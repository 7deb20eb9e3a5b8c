package node

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"gvpn/turn"
)

// burst is how many datagrams the kernel is handed in one call: many enough that the call itself costs nothing any more.
const burst = 256

// header is struct mmsghdr of sendmmsg(2).
type header struct {
	unix.Msghdr
	_ uint32 // octets sent, of no interest: a datagram leaves whole or not
}

// sender is what a sendmmsg call reads, made once. It belongs to the sender.
type sender struct {
	headers [burst]header
	parts   [burst]unix.Iovec
	remotes [burst]unix.RawSockaddrInet4
}

var errNotIPv4 = errors.New("no IPv4 address")

// send transmits in order, each from the socket of its local address, as many at once as have the same one. A datagram that the
// kernel refuses is counted and lost, as the network may lose any: the engines send again.
func (s *sockets) send(batch []turn.Transmit) {
	for len(batch) > 0 {
		n := 1
		for n < min(len(batch), burst) && batch[n].Local == batch[0].Local {
			n++
		}
		s.sendFrom(batch[0].Local, batch[:n])
		batch = batch[n:]
	}
}

// lose takes note of datagrams that did not leave.
func (s *sockets) lose(batch []turn.Transmit, err error) {
	s.lost.Add(uint64(len(batch)))
	if !errors.Is(err, net.ErrClosed) {
		s.log.Debug("datagrams not sent", "number", len(batch), "to", batch[0].Remote, "error", err.Error())
	}
}

// sendFrom sends up to burst datagrams that have this local address.
func (s *sockets) sendFrom(local netip.AddrPort, batch []turn.Transmit) {
	s.mu.Lock()
	conn := s.conns[local][fromMember]
	wildcard := conn == nil
	if wildcard {
		conn = s.conns[netip.AddrPortFrom(netip.IPv4Unspecified(), local.Port())][fromMember]
	}
	s.mu.Unlock()
	if conn == nil {
		s.lose(batch, net.ErrClosed)
		return
	}
	var source []byte
	if wildcard && local.Addr().Is4() && !local.Addr().IsUnspecified() {
		source = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: local.Addr().As4()})
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		s.lose(batch, err)
		return
	}
	for i := range batch {
		if !batch[i].Remote.Addr().Unmap().Is4() {
			s.sendFrom(local, batch[:i])
			s.lose(batch[i:i+1], errNotIPv4)
			s.sendFrom(local, batch[i+1:])
			return
		}
		control := source
		if m := batch[i].Multicast; m != nil {
			if control, err = multicastControl(local, m); err != nil {
				s.sendFrom(local, batch[:i])
				s.log.Warn("no rekey message leaves by multicast", "group", m.Group, "error", err.Error())
				s.lose(batch[i:i+1], err)
				s.sendFrom(local, batch[i+1:])
				return
			}
		}
		s.out.fill(i, &batch[i], control)
	}
	sent := 0
	err = raw.Write(func(fd uintptr) bool {
		for sent < len(batch) {
			n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&s.out.headers[sent])), uintptr(len(batch)-sent), 0, 0, 0)
			switch errno {
			case 0:
				sent += int(n)
			case unix.EINTR:
			case unix.EAGAIN: // the socket's buffer is full: wait until there is room
				return false
			default: // it is the first that the kernel refuses
				s.lose(batch[sent:sent+1], errno)
				sent++
			}
		}
		return true
	})
	if sent < len(batch) && err != nil {
		s.lose(batch[sent:], err)
	}
	clear(s.out.parts[:len(batch)]) // the datagrams are nobody's any more
}

// fill makes place i a datagram's; source, if any, says which address it leaves from.
func (o *sender) fill(i int, t *turn.Transmit, source []byte) {
	to := &o.remotes[i]
	to.Family, to.Addr = unix.AF_INET, t.Remote.Addr().Unmap().As4()
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&to.Port))[:], t.Remote.Port())
	o.parts[i] = unix.Iovec{Base: unsafe.SliceData(t.Datagram)}
	o.parts[i].SetLen(len(t.Datagram))
	h := &o.headers[i].Msghdr
	*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(to)), Namelen: unix.SizeofSockaddrInet4, Iov: &o.parts[i]}
	h.SetIovlen(1)
	if len(source) > 0 {
		h.Control = unsafe.SliceData(source)
		h.SetControllen(len(source))
	}
}
