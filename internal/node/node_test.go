package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "github.com/openconfig/gnmi/proto/gnmi"
	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"gvpn/commit"
	"gvpn/config"
	"gvpn/dataplane"
	"gvpn/ike"
	"gvpn/internal/auth"
)

// These tests use real sockets on loopback addresses of their own, and wait for what real time brings.

const patience = 20 * time.Second

func until(t *testing.T, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not so: %v", patience, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// serverText is a standalone key server with one group.
var serverText = onLoopback(`
set system host-name ks
set security group-vpn server ike proposal P authentication-method pre-shared-keys
set security group-vpn server ike proposal P authentication-algorithm sha-256
set security group-vpn server ike proposal P dh-group group14
set security group-vpn server ike proposal P encryption-algorithm aes-256-cbc
set security group-vpn server ike policy K proposals P
set security group-vpn server ike policy K pre-shared-key ascii-text "a key that is long enough"
set security group-vpn server ike gateway M ike-policy K
set security group-vpn server ike gateway M address 127.84.8.2
set security group-vpn server ike gateway M local-address 127.84.8.1
set security group-vpn server ipsec proposal I authentication-algorithm hmac-sha-256-128
set security group-vpn server ipsec proposal I encryption-algorithm aes-256-cbc
set security group-vpn server group G group-id 7
set security group-vpn server group G ike-gateway M
set security group-vpn server group G server-member-communication communication-type unicast
set security group-vpn server group G server-member-communication encryption-algorithm aes-256-cbc
set security group-vpn server group G server-member-communication sig-hash-algorithm sha-256
set security group-vpn server group G ipsec-sa S proposal I
set security group-vpn server group G ipsec-sa S match-policy 1 source 10.0.0.0/8
set security group-vpn server group G ipsec-sa S match-policy 1 destination 10.0.0.0/8
`)

// onLoopback puts addresses of this process's own in the place of 127.84.8.0/24, so that two runs of the tests on a machine do not
// meet, on port 4500 neither.
func onLoopback(text string) string {
	return strings.ReplaceAll(text, "127.84.8.", fmt.Sprintf("127.%d.%d.", 128+os.Getpid()>>8&63, os.Getpid()&255))
}

// testPort is free on every address.
var testPort = freeUDP()

func unbound(n *Node) bool {
	_, some := n.sockets.deadline()
	return some
}

func freeUDP() uint16 {
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

func open(t *testing.T, dir, text string) *Node {
	t.Helper()
	n, err := Open(Options{Dir: dir, File: "test.conf", Config: []byte(text), Port: testPort, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func closeNode(t *testing.T, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// run runs commands on a node as an operator without a terminal.
func run(t *testing.T, n *Node, commands string) string {
	t.Helper()
	var out strings.Builder
	if status := n.Shell(auth.Identity{User: "test", Class: auth.SuperUser}, nil, &out).Exec(t.Context(), commands); status != 0 {
		t.Fatalf("%s: exit status %d:\n%s", commands, status, out.String())
	}
	return out.String()
}

// keys waits for the group's KEK and TEK and returns their SPIs.
func keys(t *testing.T, n *Node) string {
	t.Helper()
	var spis string
	until(t, func() error {
		g := n.Engine().Server.Groups
		if len(g) != 1 || !g[0].Ready || g[0].KEK == nil || len(g[0].TEKs) != 1 {
			return errors.New("the group has no KEK and TEK")
		}
		spis = fmt.Sprintf("KEK %x%x, TEK %08x", g[0].KEK.InitiatorCookie, g[0].KEK.ResponderCookie, g[0].TEKs[0].SPI)
		return nil
	})
	return spis
}

func TestRestartKeepsConfigurationAndKeys(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, serverText)
	before, text := keys(t, n), run(t, n, "show configuration | display set")
	closeNode(t, n)
	// The file is not read again: the directory is the truth.
	n = open(t, dir, "this is no configuration")
	defer closeNode(t, n)
	if after := keys(t, n); after != before {
		t.Errorf("keys before the restart: %s; after: %s", before, after)
	}
	if diff := cmp.Diff(text, run(t, n, "show configuration | display set")); diff != "" {
		t.Errorf("configuration after the restart (-before +after):\n%s", diff)
	}
}

// `show configuration | display set` prints a configuration that loads back to the same tree.
func TestDisplaySetLoadsBack(t *testing.T) {
	n := open(t, t.TempDir(), serverText)
	defer closeNode(t, n)
	printed := run(t, n, "show configuration | display set")
	back, errs := config.Tree{}.LoadSet(nil, "printed", []byte(printed))
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	st := n.db.Running()
	if !config.Equal(back.Root(), st.Root()) {
		t.Errorf("what was printed does not load back to what runs:\n%s", printed)
	}
	if strings.Contains(printed, "long enough") {
		t.Error("a pre-shared key is shown in the clear")
	}
}

func TestBadConfigurationFileStartsNothing(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"syntax":          {"system {\n    host-nam ks;\n}\n", "test.conf:2:5:"},
		"range":           {"set security group-vpn server group G group-id 0\n", "test.conf:1:"},
		"reference":       {"set security group-vpn server group G ipsec-sa S proposal nowhere\n", "test.conf:1:50:"},
		"unsupported":     {serverText + "set security group-vpn server group G server-member-communication certificate c\n", "test.conf:22:"},
		"byte order mark": {"\ufeffset system host-name a b\n", "test.conf:1:"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := Open(Options{Dir: dir, File: "test.conf", Config: []byte(test.text), Port: testPort})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
			n := open(t, dir, serverText) // nothing was recorded
			defer closeNode(t, n)
			if got := n.db.Number(); got != 1 {
				t.Errorf("after a refused file and a good one the running commit is %d, want 1", got)
			}
		})
	}
}

func TestEmptyConfigurationIsValid(t *testing.T) {
	n := open(t, t.TempDir(), "")
	defer closeNode(t, n)
	if unbound(n) || len(n.sockets.conns) != 0 {
		t.Error("a node without gateways listens")
	}
	if text := run(t, n, "configure; set system host-name a; commit and-quit; show configuration | display set"); !strings.Contains(text, "set system host-name a\n") {
		t.Errorf("committed to an empty node, it shows:\n%s", text)
	}
}

func TestUnsupportedIsRefusedByName(t *testing.T) {
	n := open(t, t.TempDir(), serverText)
	defer closeNode(t, n)
	before := keys(t, n)
	for statement, want := range map[string]string{
		"set security group-vpn server ike gateway M routing-instance red":                "routing-instance",
		"set security group-vpn server group G server-member-communication certificate c": "certificate",
	} {
		var out strings.Builder
		sh := n.Shell(auth.Identity{User: "test", Class: auth.SuperUser}, nil, &out)
		if status := sh.Exec(t.Context(), "configure; "+statement+"; commit"); status == 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit status %d, output %q, want a refusal that names %q", statement, status, out.String(), want)
		}
		run(t, n, "configure; rollback 0")
	}
	if after := keys(t, n); after != before {
		t.Errorf("refused commits changed the keys from %s to %s", before, after)
	}
}

// stray datagrams are counted, get no answer, and the node goes on.
func TestAttackGarbageDatagrams(t *testing.T) {
	n := open(t, t.TempDir(), serverText)
	defer closeNode(t, n)
	keys(t, n)
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(onLoopback("127.84.8.2")), Port: int(testPort)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	header := func(exchange byte, length int, body ...byte) []byte {
		d := make([]byte, 28, 28+len(body))
		d[0], d[16], d[17], d[18] = 1, 8, 0x10, exchange
		d[26], d[27] = byte(length>>8), byte(length)
		return append(d, body...)
	}
	chain := func(payloads int) []byte {
		d := header(2, 28+4*payloads)
		d[16] = 13
		for range payloads {
			d = append(d, 13, 0, 0, 4)
		}
		return d
	}
	garbage := map[string][]byte{
		"one octet":        {0},
		"no header":        bytes.Repeat([]byte{0xff}, 27),
		"length short":     header(2, 27),
		"length long":      header(2, 4000),
		"unknown exchange": header(99, 28),
		"zero payload":     header(2, 32, 0, 0, 0, 0),
		"overlong payload": header(2, 32, 0, 0, 0xff, 0xff),
		"many payloads":    chain(16000),
		"push":             header(33, 28),
		"ack":              header(35, 28),
		"informational":    header(5, 28),
		"huge":             bytes.Repeat([]byte{7}, 65507),
	}
	until(t, func() error { // again and again: the kernel drops what its buffer does not hold
		for name, d := range garbage {
			if _, err := conn.WriteToUDPAddrPort(d, netip.MustParseAddrPort(fmt.Sprintf(onLoopback("127.84.8.1:%d"), testPort))); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if r := n.Engine().Refused; r.Short < 20 || r.Length < 20 || r.Exchange < 20 {
			return fmt.Errorf("refused datagrams: %+v", r)
		}
		return nil
	})
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65536)
	for {
		size, _, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if size > 32 { // the shortest that could have been asked with is a header and one payload
			t.Errorf("garbage was answered with %d octets", size)
		}
	}
	if held := n.Engine().IKE.HalfOpen; held != 0 {
		t.Errorf("garbage left %d half-open negotiations", held)
	}
}

// A commit moves the sockets: to another address, to the wildcard when a gateway has none, and away with the last gateway.
func TestSocketsFollowTheConfiguration(t *testing.T) {
	n := open(t, t.TempDir(), serverText)
	defer closeNode(t, n)
	bound := func() (addrs []string) {
		for a := range n.sockets.conns {
			if a.Port() == testPort {
				addrs = append(addrs, a.Addr().String())
			}
		}
		// Port 4500 goes with it; but this test does not need it, and another program may have it.
		for _, a := range n.sockets.want {
			if a.Port() == ike.NATPort {
				addrs = append(addrs, a.String())
			}
		}
		return addrs
	}
	for _, step := range []struct{ commands, want string }{
		{"", "[127.84.8.1 127.84.8.1:4500]"},
		{"set security group-vpn server ike gateway M local-address 127.84.8.3", "[127.84.8.3 127.84.8.3:4500]"},
		{"delete security group-vpn server ike gateway M local-address", "[0.0.0.0 0.0.0.0:4500]"},
		{"delete security group-vpn", "[]"},
	} {
		if step.commands != "" {
			run(t, n, "configure; "+onLoopback(step.commands)+"; commit")
		}
		if got, want := fmt.Sprint(bound()), onLoopback(step.want); got != want {
			t.Errorf("after %q the sockets are %s, want %s", step.commands, got, want)
		}
	}
}

// An address that somebody else has is tried again until it is free; the commit holds meanwhile.
func TestSocketIsBoundWhenItIsFree(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(onLoopback("127.84.8.1")), Port: int(testPort)})
	if err != nil {
		t.Fatal(err)
	}
	n := open(t, t.TempDir(), serverText)
	defer closeNode(t, n)
	if !unbound(n) {
		t.Error("the node listens on an address that is taken")
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	first := n.sockets.tried
	n.call(func(time.Time) { n.sockets.retry(first.Add(rebindEvery - 1)) })
	if !unbound(n) {
		t.Error("the node tried again before the time for it")
	}
	n.call(func(time.Time) { n.sockets.retry(first.Add(rebindEvery)) })
	if unbound(n) {
		t.Error("the address is free, and the node does not listen on it")
	}
}

func TestWildcardSocketKnowsWhereADatagramWasSent(t *testing.T) {
	got := make(chan datagram, 1)
	port := freeUDP()
	s := &sockets{port: port, log: slog.New(slog.DiscardHandler), conns: map[netip.AddrPort]trio{}, failed: map[netip.AddrPort]string{}, receive: func(d datagram, _ source) { got <- d }}
	s.bind(time.Now(), s.at(wanted([]netip.Addr{netip.MustParseAddr(onLoopback("127.84.8.1")), {}}))[:1]) // port 4500 of every address is not this test's to take
	defer s.close()
	conn, err := net.Dial("udp4", fmt.Sprintf(onLoopback("127.84.8.9:%d"), port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if d := <-got; d.local.Addr() != netip.MustParseAddr(onLoopback("127.84.8.9")) || string(d.octets) != "x" {
		t.Errorf("a datagram to 127.84.8.9 came in at %v with %q", d.local, d.octets)
	}
}

// Close leaves no goroutine behind, whatever was open.
func TestCloseEndsEveryGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	n := open(t, t.TempDir(), serverText)
	keys(t, n)
	client, err := auth.Dial(context.Background(), filepath.Join(n.dir, ControlSocket), nil)
	if err != nil {
		t.Fatal(err)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Shell(); err != nil { // waits for commands
		t.Fatal(err)
	}
	closeNode(t, n)
	_ = client.Close()
	until(t, func() error {
		if now := runtime.NumGoroutine(); now > before {
			stacks := make([]byte, 1<<16)
			return fmt.Errorf("%d goroutines before, %d after:\n%s", before, now, stacks[:runtime.Stack(stacks, true)])
		}
		return nil
	})
	if err := n.Manage(nil); !errors.Is(err, errClosing) {
		t.Errorf("a closed node answers management with %v", err)
	}
}

func TestControlSocket(t *testing.T) {
	n := open(t, t.TempDir(), serverText)
	defer closeNode(t, n)
	client, err := auth.Dial(t.Context(), filepath.Join(n.dir, ControlSocket), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for commands, want := range map[string]int{
		`show configuration | display set`:          0,
		`show nonsense; show configuration`:         1,
		`configure; set system host-name x; commit`: 0,
	} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		err = session.Run(commands)
		var exit *ssh.ExitError
		switch {
		case err == nil && want == 0:
		case errors.As(err, &exit) && exit.ExitStatus() == want:
		default:
			t.Errorf("%s: %v, want exit status %d", commands, err, want)
		}
	}
	if name := n.db.Running().Root().Child("system").Get("host-name"); name != "x" {
		t.Errorf("host-name is %q after a commit over the control socket", name)
	}
}

// SSH, NETCONF and gNMI are closed until configured, then open to the users of `system login`, and closed again.
func TestServicesFollowTheConfiguration(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	cert, pemText := selfSigned(t, "ops", public, private)
	netconfAt, gnmiAt, sshAt := freePort(t), freePort(t), freePort(t)
	n := open(t, t.TempDir(), "")
	defer closeNode(t, n)
	run(t, n, fmt.Sprintf(`configure;
		set system login user ops class super-user authentication ssh-ed25519 "%s";
		set system services ssh port %d listen-address 127.0.0.1;
		set system services netconf ssh port %d listen-address 127.0.0.1;
		set security certificates local web certificate "%s";
		set system services extension-service request-response grpc ssl port %d local-certificate web listen-address 127.0.0.1;
		commit`, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPublic))), sshAt, netconfAt, strings.ReplaceAll(pemText, "\n", `\n`), gnmiAt))

	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	begin := func(port int) (*ssh.Session, func()) {
		t.Helper()
		conn, err := ssh.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &ssh.ClientConfig{
			User: "ops", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: patience,
		})
		if err != nil {
			t.Fatal(err)
		}
		session, err := conn.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		return session, func() { _ = conn.Close() }
	}
	command, end := begin(sshAt)
	defer end()
	if shown, err := command.Output("show configuration system services ssh"); err != nil || !strings.Contains(string(shown), fmt.Sprintf("port %d;", sshAt)) {
		t.Errorf("SSH shows %q, error %v", shown, err)
	}
	session, done := begin(netconfAt)
	defer done()
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestSubsystem("netconf"); err != nil {
		t.Fatal(err)
	}
	hello := make([]byte, 6)
	if _, err := io.ReadFull(out, hello); err != nil || !bytes.HasPrefix(hello, []byte("<")) {
		t.Errorf("NETCONF's hello begins with %q, error %v", hello, err)
	}

	client, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", gnmiAt), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true,
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer, err := pb.NewGNMIClient(client).Capabilities(ctx, &pb.CapabilityRequest{})
	if err != nil || len(answer.GetSupportedModels()) == 0 {
		t.Errorf("gNMI Capabilities: %v, error %v", answer, err)
	}

	// Keys and certificate are read again when a commit has touched them, and not for any other.
	servedNow := func() *tls.Certificate {
		c, err := n.services.certificate()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	keys, served := n.services.currentKeys(), servedNow()
	other, otherPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, otherText := selfSigned(t, "other", other, otherPrivate)
	for _, c := range []struct {
		commands    string
		keys, certs bool // are others
	}{
		{"set system host-name another", false, false},
		{"set system login user second class read-only", true, false},
		{`set security certificates local web certificate "` + strings.ReplaceAll(otherText, "\n", `\n`) + `"`, false, true},
		{"set security group-vpn server group G group-id 7", false, false},
		{"delete system login user second", true, false},
	} {
		run(t, n, "configure; "+c.commands+"; commit")
		if got := n.services.currentKeys() != keys; got != c.keys {
			t.Errorf("after %.40q: keys read again %v", c.commands, got)
		}
		if got := servedNow() != served; got != c.certs {
			t.Errorf("after %.40q: certificate read again %v", c.commands, got)
		}
		keys, served = n.services.currentKeys(), servedNow()
	}

	// To all addresses, and back to one, on the same port: open at once.
	for _, commands := range []string{"delete system services netconf ssh listen-address", "set system services netconf ssh listen-address 127.0.0.1"} {
		run(t, n, "configure; "+commands+"; commit")
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", netconfAt))
		if err != nil {
			t.Fatalf("after %q: %v", commands, err)
		}
		_ = c.Close()
	}

	run(t, n, "configure; delete system services; commit")
	for _, port := range []int{sshAt, netconfAt, gnmiAt} {
		until(t, func() error {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				_ = c.Close()
				return fmt.Errorf("port %d is still open", port)
			}
			return nil
		})
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func selfSigned(t *testing.T, name string, public ed25519.PublicKey, private ed25519.PrivateKey) (tls.Certificate, string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, text
}

var memberText = onLoopback(`
set security group-vpn member ike proposal P authentication-method pre-shared-keys
set security group-vpn member ike proposal P authentication-algorithm sha-256
set security group-vpn member ike proposal P dh-group group14
set security group-vpn member ike proposal P encryption-algorithm aes-256-cbc
set security group-vpn member ike policy K proposals P
set security group-vpn member ike policy K pre-shared-key ascii-text "a key that is long enough"
set security group-vpn member ike gateway S ike-policy K
set security group-vpn member ike gateway S server-address 127.84.8.1
set security group-vpn member ike gateway S local-address 127.84.8.2
set security group-vpn member ipsec vpn V ike-gateway S
set security group-vpn member ipsec vpn V group 7
set security group-vpn member ipsec vpn V recovery-probe
`)

// ESP that no TEK is for makes a member with recovery-probe pull anew; a second such packet, at once, does not.
func TestRecoveryProbe(t *testing.T) {
	server := open(t, t.TempDir(), serverText)
	defer closeNode(t, server)
	keys(t, server)
	n := open(t, t.TempDir(), memberText)
	defer closeNode(t, n)
	pulls := func(want uint64) func() error {
		return func() error {
			if v := n.Engine().Member.VPNs; len(v) != 1 || !v[0].Up || v[0].Stats.PullSucceeded != want {
				return fmt.Errorf("want a VPN that is up after %d pulls, have %+v", want, v)
			}
			return nil
		}
	}
	until(t, pulls(1))
	stray := make([]byte, 20+8+16+16+16)
	stray[0], stray[3], stray[8], stray[9] = 0x45, byte(len(stray)), 64, 50
	copy(stray[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2, 0xde, 0xad, 0xbe, 0xef})
	for i := 0; i < 20; i += 2 { // the header's checksum, one word at a time (RFC 1071)
		sum := uint32(stray[10])<<8 | uint32(stray[11])
		if i != 10 {
			sum += uint32(stray[i])<<8 | uint32(stray[i+1])
		}
		sum = sum&0xffff + sum>>16
		stray[10], stray[11] = byte(sum>>8), byte(sum)
	}
	stray[10], stray[11] = ^stray[10], ^stray[11]
	for range 2 {
		if arrived, verdict := n.Inbound(stray); arrived != nil || verdict != dataplane.DropSPI {
			t.Fatalf("ESP with an unknown SPI: %v", verdict)
		}
	}
	until(t, pulls(2))
	if _, verdict := n.Inbound(stray); verdict != dataplane.DropSPI {
		t.Fatalf("ESP with an unknown SPI: %v", verdict)
	}
	if err := pulls(2)(); err != nil {
		t.Error(err)
	}
}

func listenAt(t *testing.T, addr string, port uint16) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// What a show costs the loop follows what there is to show, not how many gateways are configured.
func TestStateOfManyGateways(t *testing.T) {
	n := open(t, t.TempDir(), serverText)
	defer closeNode(t, n)
	allocated := func() uint64 { // the least of several, since the node's other goroutines allocate meanwhile
		least := uint64(math.MaxUint64)
		for range 20 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := n.State(); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			least = min(least, after.TotalAlloc-before.TotalAlloc)
		}
		return least
	}
	few := allocated()
	const gateways = 5000
	var b strings.Builder
	for i := range gateways {
		fmt.Fprintf(&b, "set security group-vpn server ike gateway G%d ike-policy K address 127.85.%d.%d local-address %s\n", i, i/250, i%250, onLoopback("127.84.8.1"))
	}
	var errs config.Errors
	err := n.Manage(func(db *commit.DB) error {
		var tree config.Tree
		if tree, errs = db.Running().LoadSet(nil, "", []byte(b.String())); errs.Err() != nil {
			return errs
		}
		db.Candidate().Update(tree)
		_, err := db.Commit(commit.Options{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if many := allocated(); many > few+8*gateways {
		t.Errorf("a copy of the state takes %d octets with one gateway, %d with %d", few, many, gateways)
	}
}
