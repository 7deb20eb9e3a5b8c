//go:build interop

package interop

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gvpn/ike"
)

var record = flag.Bool("record", false, "write the transcripts under testdata anew")

// live is our IKE on real sockets in a namespace, with real time, and a transcript of what happens. It is here, beside gvpnd, because
// its randomness can be given, and because it can be asked for one thing at a time.
type live struct {
	*transcript
	t       *testing.T
	began   time.Time
	sockets map[uint16]*net.UDPConn
	arrived chan arrival
}

type arrival struct {
	from, to netip.AddrPort
	payload  []byte
}

// goLive opens our side as head says (transcript), on its port and on 4500.
func goLive(t *testing.T, ns namespace, head string) *live {
	t.Helper()
	tr, err := open(head)
	if err != nil {
		t.Fatal(err)
	}
	l := &live{t: t, transcript: tr, began: time.Now(), sockets: map[uint16]*net.UDPConn{}, arrived: make(chan arrival, 64)}
	var port uint16
	for line := range strings.Lines(head) {
		_, _ = fmt.Sscanf(line, "port %d", &port)
	}
	for _, port := range []uint16{port, ike.NATPort} {
		at := netip.AddrPortFrom(tr.gateway.Local, port)
		conn := ns.listen(t, at.String())
		l.sockets[port] = conn
		go func() {
			for {
				buf := make([]byte, 65536)
				n, from, err := conn.ReadFromUDPAddrPort(buf)
				if err != nil {
					return // closed by the test's end
				}
				l.arrived <- arrival{netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), at, buf[:n]}
			}
		}()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("our side, %s", tr.text.String())
		}
	})
	return l
}

// close frees our side's sockets.
func (l *live) close() {
	for _, conn := range l.sockets {
		_ = conn.Close()
	}
}

// do is one turn of our side at the present time.
func (l *live) do(event ...string) {
	l.t.Helper()
	if err := l.turn(time.Since(l.began).Truncate(time.Microsecond), event...); err != nil {
		l.t.Fatal(err)
	}
	for _, out := range l.sent {
		b := out.Datagram
		if out.Local.Port() == ike.NATPort {
			b = slices.Concat(make([]byte, 4), b)
		}
		if _, err := l.sockets[out.Local.Port()].WriteToUDPAddrPort(b, out.Remote); err != nil {
			l.t.Fatal(err)
		}
	}
	l.sent = nil
}

// until moves datagrams and time until done reports true.
func (l *live) until(within time.Duration, what string, done func() bool) {
	l.t.Helper()
	end := time.Now().Add(within)
	for !done() {
		if time.Now().After(end) {
			l.t.Fatalf("after %v: still not %s", within, what)
		}
		wait := 20 * time.Millisecond // done may look at something else than our side
		deadline, ok := l.endpoint.Deadline()
		if ok {
			wait = min(wait, deadline.Sub(dawn)-time.Since(l.began)+time.Microsecond)
		}
		select {
		case a := <-l.arrived:
			if a.to.Port() == ike.NATPort {
				if !bytes.HasPrefix(a.payload, make([]byte, 4)) {
					continue // a keepalive
				}
				a.payload = a.payload[4:]
			}
			l.do("in", a.from.String(), a.to.String(), fmt.Sprintf("%x", a.payload))
		case <-time.After(wait):
			if ok && !deadline.After(dawn.Add(time.Since(l.began).Truncate(time.Microsecond))) {
				l.do("timeout")
			}
		}
	}
}

// during moves datagrams and time while f runs, which must not end the test.
func (l *live) during(within time.Duration, f func() (string, error)) (string, error) {
	l.t.Helper()
	type result struct {
		out string
		err error
	}
	ended := make(chan result, 1)
	go func() {
		out, err := f()
		ended <- result{out, err}
	}()
	var r *result
	l.until(within, "back from a command", func() bool {
		select {
		case got := <-ended:
			r = &got
		default:
		}
		return r != nil
	})
	return r.out, r.err
}

// says waits until our side has said something n times in all.
func (l *live) says(within time.Duration, what string, n int) {
	l.t.Helper()
	l.until(within, fmt.Sprintf("%d times %q", n, what), func() bool { return l.count(what) >= n })
}

// count is how often our side has said what begins so.
func (l *live) count(what string) (n int) {
	for _, s := range l.said {
		if strings.HasPrefix(s, what) {
			n++
		}
	}
	return n
}

// keep writes the transcript to testdata if that is asked for, and in any case plays it: what was recorded must go again the way it
// went.
func (l *live) keep(name string) {
	l.t.Helper()
	text := l.text.String()
	tr, err := play(text)
	if err != nil {
		l.t.Fatal(err)
	}
	if got := tr.text.String(); got != text {
		l.t.Errorf("the session does not go again as it went:\n%s\nbut\n%s", text, got)
	}
	if *record {
		if err := os.WriteFile(filepath.Join("testdata", name+".txt"), []byte(text), 0o644); err != nil {
			l.t.Fatal(err)
		}
	}
}
