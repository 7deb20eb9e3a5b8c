package node

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gvpn/ike"
	"gvpn/sa"
	"gvpn/turn"
)

// The kernel gives each of an address's three sockets its own: the second what has no responder's cookie yet, the third the rest of
// what comes from cluster peers, the first all else, be it too short to say.
func TestDatagramsApart(t *testing.T) {
	type got struct {
		text string
		from source
	}
	arrived := make(chan got, 1)
	s := &sockets{
		port: testPort + 2, log: slog.New(slog.DiscardHandler), conns: map[netip.AddrPort]trio{}, failed: map[netip.AddrPort]string{},
		receive: func(d datagram, from source) { arrived <- got{string(d.octets), from} },
	}
	at := netip.MustParseAddr(onLoopback("127.84.8.1"))
	s.bind(time.Now(), s.at([]netip.Addr{at}))
	defer s.close()
	member := listenAt(t, onLoopback("127.84.8.2"), testPort+2)
	peer := listenAt(t, onLoopback("127.84.8.3"), testPort+2)
	cookie := "12345678"
	ike848 := []got{
		{cookie + "\x00\x00\x00\x00\x00\x00\x00\x00and more", fromStranger},
		{cookie + "\x00\x00\x00\x00\x00\x00\x00\x00", fromStranger},
		{cookie + "\x00\x00\x00\x00\x00\x00\x00\x01and more", fromMember},
		{cookie + "\x01\x00\x00\x00\x00\x00\x00\x00and more", fromMember},
		{cookie + "\x00\x00\x00\x00\x00\x00\x00", fromMember},
		{"\xff", fromMember},
		{"", fromMember},
	}
	ike4500 := []got{ // behind a marker
		{"\x00\x00\x00\x00" + cookie + "\x00\x00\x00\x00\x00\x00\x00\x00and more", fromStranger},
		{"\x00\x00\x00\x00" + cookie + "\x00\x00\x00\x00\x00\x00\x00\x01and more", fromMember},
		{"\xff", fromMember},
	}
	try := func(conn *net.UDPConn, port uint16, all []got) {
		t.Helper()
		for _, want := range all {
			if _, err := conn.WriteToUDPAddrPort([]byte(want.text), netip.AddrPortFrom(at, port)); err != nil {
				t.Fatal(err)
			}
			select {
			case g := <-arrived:
				if g != want {
					t.Errorf("port %d: %q: came from %d, want %d", port, g.text, g.from, want.from)
				}
			case <-time.After(patience):
				t.Fatalf("port %d: %q did not come", port, want.text)
			}
		}
	}
	// preferred is what becomes of the same from a cluster peer.
	preferred := func(all []got, min int) (out []got) {
		for _, g := range all {
			if g.from == fromMember && len(g.text) >= min {
				g.from = fromPeer
			}
			out = append(out, g)
		}
		return out
	}
	for range 2 { // once with nobody preferred, once after that has been taken back
		try(member, testPort+2, ike848)
		try(peer, testPort+2, ike848)
		try(peer, ike.NATPort, ike4500)
		others := map[netip.Addr]bool{}
		for i := range maxPreferred - 1 { // below the peer's own: as many as there may be
			others[netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})] = true
		}
		others[netip.MustParseAddr(onLoopback("127.84.8.3"))] = true
		s.prefer(others)
		try(member, testPort+2, ike848)
		try(peer, testPort+2, preferred(ike848, 16))
		try(member, ike.NATPort, ike4500)
		try(peer, ike.NATPort, preferred(ike4500, 20))
		s.prefer(nil)
	}
	// Two nodes never share a port, though a node's sockets do.
	if p, err := listen(netip.AddrPortFrom(at, testPort+2), nil); err == nil {
		t.Error("bound a second time", p.close())
	}
}

// A node with a key log says so loudly, and writes a line for each SA; one without writes no key anywhere.
func TestKeyLog(t *testing.T) {
	var keys, log bytes.Buffer
	n, err := Open(Options{Dir: t.TempDir(), Port: testPort, Log: slog.New(slog.NewTextHandler(&log, nil)), KeyLog: &keys})
	if err != nil {
		t.Fatal(err)
	}
	closeNode(t, n)
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "KEY LOG") {
		t.Errorf("the log says nothing of the keys:\n%s", log.String())
	}
	key := sa.Secret(bytes.Repeat([]byte{0xab}, 32))
	if err := writeKey(&keys, turn.KeyLog{InitiatorCookie: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, Key: key}); err != nil {
		t.Fatal(err)
	}
	// tshark's table of IKEv1 keys: the cookie, a comma, the key.
	if want := "0102030405060708," + strings.Repeat("ab", 32) + "\n"; keys.String() != want {
		t.Errorf("%q, want %q", keys.String(), want)
	}
	if !key.Equal(make(sa.Secret, 32)) {
		t.Error("the key is still there")
	}
	if strings.Contains(log.String(), hex.EncodeToString(bytes.Repeat([]byte{0xab}, 4))) {
		t.Error("the key is in the log")
	}
}
