package node

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gvpn/sa"
	"gvpn/server"
	"gvpn/turn"
)

// groupText puts a group of this process's own in the place of 239.84.8.N; two runs of the tests have two ports besides.
func groupText(text string) string {
	return strings.ReplaceAll(onLoopback(text), "239.84.8.", fmt.Sprintf("239.%d.%d.", 128+os.Getpid()>>8&63, os.Getpid()&255))
}

func group(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(groupText(fmt.Sprintf("239.84.8.%d", n))), testPort)
}

// multicastServer is serverText with two more members and pushes by multicast.
func multicastServer() string {
	text := strings.Replace(serverText, "communication-type unicast", groupText("communication-type multicast multicast-group 239.84.8.1 multicast-outgoing-interface lo multicast-ttl 3"), 1)
	for _, n := range []int{4, 5} {
		text += onLoopback(strings.NewReplacer("NAME", fmt.Sprintf("M%d", n), "ADDR", fmt.Sprintf("127.84.8.%d", n)).Replace(`
set security group-vpn server ike gateway NAME ike-policy K
set security group-vpn server ike gateway NAME address ADDR
set security group-vpn server ike gateway NAME local-address 127.84.8.1
set security group-vpn server group G ike-gateway NAME
`))
	}
	return text
}

// memberOf is a member of that server's group, with its local address unless that is "".
func memberOf(local string) string {
	text := `
set system host-name gm
set interfaces ge-0/0/0 unit 0 family inet address 192.0.2.1/24
set security zones security-zone LAN
set security zones security-zone WAN interfaces ge-0/0/0.0
set security group-vpn member ike proposal P authentication-method pre-shared-keys
set security group-vpn member ike proposal P authentication-algorithm sha-256
set security group-vpn member ike proposal P dh-group group14
set security group-vpn member ike proposal P encryption-algorithm aes-256-cbc
set security group-vpn member ike policy K proposals P
set security group-vpn member ike policy K pre-shared-key ascii-text "a key that is long enough"
set security group-vpn member ike gateway S ike-policy K
set security group-vpn member ike gateway S server-address 127.84.8.1
set security group-vpn member ipsec vpn V ike-gateway S
set security group-vpn member ipsec vpn V group 7
set security group-vpn member ipsec vpn V group-vpn-external-interface ge-0/0/0.0
set security ipsec-policy from-zone LAN to-zone WAN ipsec-group-vpn V
`
	if local != "" {
		text += "set security group-vpn member ike gateway S local-address " + local + "\n"
	}
	return onLoopback(text)
}

func upWith(t *testing.T, n *Node, kek string, packets uint64) {
	t.Helper()
	until(t, func() error {
		v := n.Engine().Member.VPNs[0]
		if !v.Up || v.KEK == nil || len(v.TEKs) == 0 || fmt.Sprintf("%x", v.KEK.SPI) != kek || v.Stats.PushSucceeded != packets {
			return fmt.Errorf("VPN %+v, KEK %+v, want %s after %d pushes", v, v.KEK, kek, packets)
		}
		return nil
	})
}

// A server and three members on loopback: two datagrams bring a new KEK and a new TEK to all of them, and each acknowledges both
// from its own address.
func TestMulticast(t *testing.T) {
	ks := open(t, t.TempDir(), multicastServer())
	defer closeNode(t, ks)
	kek := func() string {
		k := ks.Engine().Server.Groups[0].KEK
		return fmt.Sprintf("%x%x", k.InitiatorCookie, k.ResponderCookie)
	}
	keys(t, ks)
	var members []*Node
	for _, n := range []int{2, 4, 5} {
		m := open(t, t.TempDir(), memberOf(fmt.Sprintf("127.84.8.%d", n)))
		defer closeNode(t, m)
		members = append(members, m)
	}
	for _, m := range members {
		upWith(t, m, kek(), 0)
		if k := m.Engine().Member.VPNs[0].KEK; k.Multicast != group(1) {
			t.Errorf("pushes come to %v, want %v", k.Multicast, group(1))
		}
	}
	if err := ks.Do(server.Rekey{Group: "G", KEK: true, TEK: true}); err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		upWith(t, m, kek(), 2)
	}
	until(t, func() error {
		if st := ks.Engine().Server.Groups[0]; st.PushesPending > 0 || st.Statistics.PushAcknowledged != 6 || st.KEK.Packets != 2 {
			return fmt.Errorf("%+v after %d datagrams, %d pushes pending", st.Statistics, st.KEK.Packets, st.PushesPending)
		}
		return nil
	})
	if lost := ks.sockets.lost.Load(); lost != 0 {
		t.Errorf("%d datagrams did not leave", lost)
	}
	// Anybody can send to the group: what it is not meant for has no effect, and no answer.
	stranger := listenAt(t, onLoopback("127.84.8.9"), testPort)
	push, phase1 := make([]byte, 60), make([]byte, 60)
	for i, b := range [][]byte{push, phase1} {
		copy(b, "strangerstranger")
		b[16], b[17], b[18], b[19], b[27] = 18, 0x10, 33, 1, 60
		if i == 1 {
			b[16], b[18], b[19] = 1, 2, 0
		}
	}
	until(t, func() error {
		for _, b := range [][]byte{push, phase1} {
			if _, err := stranger.WriteToUDPAddrPort(b, group(1)); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range members {
			if st := m.Engine(); st.Refused.Multicast == 0 || st.Member.Strays.PushUnknownSPI == 0 {
				return fmt.Errorf("strays %+v, refused %+v", st.Member.Strays, st.Refused)
			}
		}
		return nil
	})
	_ = stranger.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, from, err := stranger.ReadFromUDPAddrPort(make([]byte, 100)); err == nil {
		t.Errorf("%v answered with %d octets", from, n)
	}
	// Without a VPN nobody listens any more.
	run(t, members[0], "configure; delete security ipsec-policy; delete security group-vpn member ipsec; commit")
	if n := len(members[0].sockets.groups.conns); n != 0 {
		t.Errorf("%d groups are listened to without a VPN", n)
	}
}

// A member without a local address listens on the wildcard address too. That socket hears none of the group's datagrams, and neither
// stands in the way of the other.
func TestMulticastBesideWildcard(t *testing.T) {
	port := testPort
	received := make(chan datagram, 16)
	s := &sockets{
		port: port, log: slog.New(slog.NewTextHandler(t.Output(), nil)), conns: map[netip.AddrPort]trio{}, failed: map[netip.AddrPort]string{},
		receive: func(d datagram, _ source) { received <- d },
	}
	defer s.close()
	local := netip.MustParseAddr(onLoopback("127.84.8.7"))
	anywhere := []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), port)}
	ours := []turn.Membership{{Group: group(2), Local: local}}
	sender := listenAt(t, onLoopback("127.84.8.8"), 0)
	arrives := func(when string) {
		t.Helper()
		if _, err := sender.WriteToUDPAddrPort([]byte(when), group(2)); err != nil {
			t.Fatal(err)
		}
		if _, err := sender.WriteToUDPAddrPort([]byte("unicast"), netip.AddrPortFrom(local, port)); err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for deadline := time.After(patience); len(got) < 2; {
			select {
			case d := <-received:
				got[fmt.Sprintf("%s to %v", d.octets, d.local)]++
			case <-deadline:
				t.Fatalf("%s: only %v arrived", when, got)
			}
		}
		if got[fmt.Sprintf("%s to %v", when, group(2))] != 1 || got[fmt.Sprintf("unicast to %v:%d", local, port)] != 1 || len(received) > 0 {
			t.Errorf("%s: %v arrived, and %d more", when, got, len(received))
		}
	}
	s.bind(time.Now(), anywhere)
	s.listen(time.Now(), ours)
	arrives("the wildcard socket first")
	s.bind(time.Now(), nil)
	if len(s.groups.conns) != 1 {
		t.Error("a commit that moves sockets left the group")
	}
	s.bind(time.Now(), anywhere)
	arrives("the group first")
	s.listen(time.Now(), nil)
	if n := len(s.groups.conns); n != 0 {
		t.Errorf("%d groups after all were left", n)
	}
}

// What cannot be joined is tried again, as what cannot be bound is.
func TestMulticastIsJoinedWhenItCanBe(t *testing.T) {
	s := &sockets{port: testPort, log: slog.New(slog.NewTextHandler(t.Output(), nil)), receive: func(datagram, source) {}}
	defer s.close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(testPort), Addr: group(3).Addr().As4()}) // and shares it with nobody
	}
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.listen(now, []turn.Membership{{Group: group(3), Local: netip.MustParseAddr(onLoopback("127.84.8.7"))}})
	if at, failed := s.deadline(); !failed || at.Before(now.Add(rebindEvery)) {
		t.Errorf("next try at %v, failed %t", at, failed)
	}
	_ = unix.Close(fd)
	s.retry(now.Add(rebindEvery))
	if _, failed := s.deadline(); failed || len(s.groups.conns) != 1 {
		t.Errorf("not joined: %v", s.groups.failed)
	}
	// An address that no interface has.
	s.listen(now, []turn.Membership{{Group: group(3), Local: netip.MustParseAddr("192.0.2.199")}})
	if _, failed := s.deadline(); !failed || len(s.groups.conns) != 0 {
		t.Error("joined on an interface that is not there")
	}
}

// A multicast leaves from its address, with its TTL, by the interface that is named or that has the address; the others of a batch
// are not touched by it.
func TestSendMulticast(t *testing.T) {
	s := &sockets{
		port: testPort, log: slog.New(slog.DiscardHandler), conns: map[netip.AddrPort]trio{}, failed: map[netip.AddrPort]string{},
		receive: func(datagram, source) {},
	}
	defer s.close()
	from := netip.AddrPortFrom(netip.MustParseAddr(onLoopback("127.84.8.1")), testPort)
	wild := netip.AddrPortFrom(netip.MustParseAddr(onLoopback("127.84.8.3")), testPort) // from the wildcard socket
	there := netip.AddrPortFrom(group(4).Addr(), freeUDP())                             // not on the wildcard socket's port
	heard, err := joinGroup(turn.Membership{Group: there, Local: netip.MustParseAddr(onLoopback("127.84.8.7"))})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	if err := control(heard, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTTL, 1) }); err != nil {
		t.Fatal(err)
	}
	next := func() string {
		t.Helper()
		buf, oob := make([]byte, 100), make([]byte, 100)
		_ = heard.SetReadDeadline(time.Now().Add(patience))
		n, oobn, _, from, err := heard.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(messages) != 1 || messages[0].Header.Type != unix.IP_TTL {
			t.Fatalf("control messages %+v, %v", messages, err)
		}
		return fmt.Sprintf("%s from %v with TTL %d", buf[:n], from, messages[0].Data[0])
	}
	way := func(ttl uint8, name string) *sa.Multicast {
		return &sa.Multicast{Group: there, TTL: ttl, Interface: name}
	}
	to := func(local netip.AddrPort, w *sa.Multicast, text string) turn.Transmit {
		return turn.Transmit{Local: local, Remote: there, Datagram: []byte(text), Multicast: w}
	}
	s.bind(time.Now(), []netip.AddrPort{from})
	s.send([]turn.Transmit{
		to(from, way(7, ""), "one"), to(from, way(255, "lo"), "two"), to(from, way(9, "no-such-thing"), "lost"), to(from, way(8, ""), "three"),
	})
	if lost := s.lost.Load(); lost != 1 {
		t.Errorf("%d datagrams were lost, want the one without an interface", lost)
	}
	s.bind(time.Now(), []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), testPort)})
	s.send([]turn.Transmit{to(wild, way(6, ""), "four"), to(wild, way(0, "lo"), "five")})
	for _, want := range []string{
		fmt.Sprintf("one from %v with TTL 7", from), fmt.Sprintf("two from %v with TTL 255", from), fmt.Sprintf("three from %v with TTL 8", from),
		fmt.Sprintf("four from %v with TTL 6", wild), fmt.Sprintf("five from %v with TTL 1", wild),
	} {
		if got := next(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
