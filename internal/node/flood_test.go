package node

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gvpn/ike"
	"gvpn/sa"
	"gvpn/turn"
)

// The kernel gives each of an address's two sockets its own: the second what has no responder's cookie yet, the first all else, be
// it too short to say.
func TestFirstMessagesApart(t *testing.T) {
	type got struct {
		text  string
		first bool
	}
	arrived := make(chan got, 1)
	s := &sockets{
		port: testPort + 2, log: slog.New(slog.DiscardHandler), conns: map[netip.AddrPort]pair{}, failed: map[netip.AddrPort]string{},
		receive: func(d datagram, first bool) { arrived <- got{string(d.octets), first} },
	}
	at := netip.MustParseAddr(onLoopback("127.84.8.1"))
	s.bind(time.Now(), s.at([]netip.Addr{at}))
	defer s.close()
	conn := listenAt(t, onLoopback("127.84.8.2"), testPort+2)
	cookie := "12345678"
	for _, want := range []got{
		{cookie + "\x00\x00\x00\x00\x00\x00\x00\x00and more", true},
		{cookie + "\x00\x00\x00\x00\x00\x00\x00\x00", true},
		{cookie + "\x00\x00\x00\x00\x00\x00\x00\x01and more", false},
		{cookie + "\x01\x00\x00\x00\x00\x00\x00\x00and more", false},
		{cookie + "\x00\x00\x00\x00\x00\x00\x00", false},
		{"\xff", false},
		{"", false},
	} {
		if _, err := conn.WriteToUDPAddrPort([]byte(want.text), netip.AddrPortFrom(at, testPort+2)); err != nil {
			t.Fatal(err)
		}
		select {
		case g := <-arrived:
			if g != want {
				t.Errorf("%q: came as first: %v", g.text, g.first)
			}
		case <-time.After(patience):
			t.Fatalf("%q did not come", want.text)
		}
	}
	// On port 4500 it is behind a marker.
	for _, want := range []got{
		{"\x00\x00\x00\x00" + cookie + "\x00\x00\x00\x00\x00\x00\x00\x00and more", true},
		{"\x00\x00\x00\x00" + cookie + "\x00\x00\x00\x00\x00\x00\x00\x01and more", false},
		{"\xff", false},
	} {
		if _, err := conn.WriteToUDPAddrPort([]byte(want.text), netip.AddrPortFrom(at, ike.NATPort)); err != nil {
			t.Fatal(err)
		}
		select {
		case g := <-arrived:
			if g != want {
				t.Errorf("port 4500: %q: came as first: %v", g.text, g.first)
			}
		case <-time.After(patience):
			t.Fatalf("port 4500: %q did not come", want.text)
		}
	}
	// Two nodes never share a port, though a node's sockets do.
	if p, err := listen(netip.AddrPortFrom(at, testPort+2)); err == nil {
		t.Error("bound a second time", p.close())
	}
}

// A submit waits while too much waits already, and no longer than the writer takes anything.
func TestWriterHoldsBack(t *testing.T) {
	release, sent := make(chan struct{}), 0
	w := &writer{
		send: func(batch []turn.Transmit) { <-release; sent += len(batch) },
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	stop := make(chan struct{})
	go w.run(stop)
	batch := []turn.Output{turn.Transmit{}}
	submitted := make(chan struct{})
	go func() {
		for range 3*maxWaiting - 1 {
			w.submit(batch)
		}
		w.submit(batch)
		close(submitted)
	}()
	select {
	case <-submitted:
		t.Error("nothing held it back")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	<-submitted
	close(stop)
	<-w.done
	if sent != 3*maxWaiting {
		t.Errorf("%d sent", sent)
	}
	w.submit(batch) // of nobody's interest any more
	if len(w.waiting) != 0 {
		t.Error("what nobody will send is kept")
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
