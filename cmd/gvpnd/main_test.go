package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gvpn/examples"
	"gvpn/internal/auth"
)

// TestLab plays the lab's script as `make run </dev/null` does: real sockets, real time, and every check of the script.
func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 16 s of real time")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var out bytes.Buffer
	if err := runLab(t.Context(), null, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	shown := out.String()
	for _, want := range []string{
		"=== [ 0.0 s] a. ", "] b. ", "] c. ", "] d. ", "] e. ", "] f. ", "all of a to f held",
		"generate-tek(GROUP_ID-0001)", // the plan of c, before the commit
		"none lost",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the script does not show %q:\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "lab-only") {
		t.Error("the script shows a pre-shared key")
	}
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "no state directory"},
		{[]string{"-d", "x", "y"}, `unexpected argument "y"`},
		{[]string{"-d", "x", "-max-sub-servers", "0"}, "-max-sub-servers 0: a root-server has at least one"},
		{[]string{"lab", "x"}, "lab takes no arguments"},
		{[]string{"schema", "x"}, "schema takes no arguments"},
		{[]string{"-d", t.TempDir(), "-f", "/nowhere/at/all.conf"}, "/nowhere/at/all.conf"},
	} {
		if err := run(t.Context(), test.args, nil, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("gvpnd %q: error %v, want one with %q", test.args, err, test.want)
		}
	}
	var help strings.Builder
	if err := run(t.Context(), []string{"-h"}, nil, io.Discard, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "gvpnd lab") {
		t.Errorf("gvpnd -h: %v, %q", err, help.String())
	}
}

// A line per node, with neither keys nor choices in its path; the types are YANG's.
func TestSchema(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"schema"}, nil, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{}
	paths := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		lines[line] = true
		cols := strings.Split(line, "\t")
		if len(cols) != 4 {
			t.Fatalf("%q: %d columns", line, len(cols))
		}
		if paths[cols[0]] {
			t.Errorf("%s is there twice", cols[0])
		}
		paths[cols[0]] = true
		if up := cols[0][:strings.LastIndexByte(cols[0], '/')]; up != "" && !paths[up] {
			t.Errorf("%s: nothing above it", cols[0])
		}
		switch cols[1] {
		case "container", "presence", "list", "empty":
			if cols[2] != "" && cols[1] != "empty" || cols[3] != "" {
				t.Errorf("%q: a type or a default", line)
			}
		case "leaf", "leaf-list":
			if cols[2] == "" {
				t.Errorf("%q: no type", line)
			}
		default:
			t.Errorf("%q: unknown kind", line)
		}
	}
	for _, want := range []string{
		"/configuration\tcontainer\t\t",
		"/configuration/security/group-vpn/server/ike/gateway\tlist\t\t",
		"/configuration/security/group-vpn/server/ike/gateway/address\tleaf\tstring\t",
		"/configuration/security/group-vpn/server/ike/gateway/ike-policy\tleaf\tleafref\t",
		"/configuration/security/group-vpn/server/ike/gateway/dead-peer-detection\tpresence\t\t",
		"/configuration/security/group-vpn/server/ike/gateway/dead-peer-detection/interval\tleaf\tuint32\t10",
		"/configuration/security/group-vpn/member/ike/gateway/server-address\tleaf-list\tstring\t",
		"/configuration/security/group-vpn/member/ipsec/vpn/recovery-probe\tempty\tempty\t",
		"/configuration/security/group-vpn/member/ipsec/vpn/df-bit\tleaf\tenumeration\tclear",
		"/configuration/interfaces/interface/unit/family/inet/service/input/service-set/service-filter\tleaf\tleafref\t",
	} {
		if !lines[want] {
			t.Errorf("no line %q", want)
		}
	}
}

// A daemon runs from a file until it is told to end, answers on its control socket meanwhile, and then ends well.
func TestDaemon(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "node.conf")
	if err := os.WriteFile(file, []byte("system {\n    host-name alone;\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	state := filepath.Join(dir, "state")
	go func() { ended <- run(ctx, []string{"-f", file, "-d", state}, nil, io.Discard, t.Output()) }()
	err := until(ctx, func() error {
		client, err := auth.Dial(ctx, filepath.Join(state, "gvpnd.sock"), nil)
		if err != nil {
			return err
		}
		defer client.Close()
		session, err := client.NewSession()
		if err != nil {
			return err
		}
		out, err := session.Output("show configuration")
		if err == nil && !strings.Contains(string(out), "host-name alone;") {
			err = fmt.Errorf("the daemon shows %q", out)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
}

// A key log is the owner's alone to read.
func TestKeyLogFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	f, err := openKeyLog(name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	_ = f.Close()
	if err := os.Chmod(name, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := openKeyLog(name); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("a file that others can read is taken: %v", err)
	}
}

// Every node of the lab has a configuration, and nothing else is in the way of it.
func TestExamplesAreTheLabs(t *testing.T) {
	files, err := examples.Cluster.ReadDir("cluster")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(labNodes) {
		t.Errorf("%d example configurations, %d nodes", len(files), len(labNodes))
	}
	for i, name := range labNodes {
		text, err := examples.Cluster.ReadFile("cluster/" + name + ".conf")
		if err != nil || !bytes.Contains(text, []byte("local-address "+labAddresses[i]+";")) {
			t.Errorf("%s does not listen on %s, error %v", name, labAddresses[i], err)
		}
	}
}

// A lab beside something that has one of its addresses takes its other port; with both taken it says which address.
func TestLabPort(t *testing.T) {
	occupy := func(port int) *net.UDPConn {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 3, 0, 4), Port: port})
		if err != nil {
			t.Skipf("port %d is not ours to take: %v", port, err)
		}
		return conn
	}
	first := occupy(gdoiPort)
	if port, err := freePort(); err != nil || port != labPort {
		t.Errorf("with 848 taken: port %d, error %v; want %d", port, err, labPort)
	}
	second := occupy(labPort)
	if port, err := freePort(); err == nil || !strings.Contains(err.Error(), "127.3.0.4:848") {
		t.Errorf("with both taken: port %d, error %v; want one that names 127.3.0.4:848", port, err)
	}
	_ = first.Close()
	if port, err := freePort(); err != nil || port != gdoiPort {
		t.Errorf("with %d taken: port %d, error %v; want 848", labPort, port, err)
	}
	_ = second.Close()
}

// RFC 791 section 3.1: a header with its checksum in place sums up to zero.
func TestProbeIsAnIPPacket(t *testing.T) {
	p := probe(netip.MustParseAddr("172.16.101.10"), netip.MustParseAddr("172.16.102.20"), 1)
	if sum := headerChecksum(p[:20]); sum != 0 {
		t.Errorf("the header sums up to %#04x", sum)
	}
	if total := int(p[2])<<8 | int(p[3]); total != len(p) {
		t.Errorf("total length %d of a packet of %d octets", total, len(p))
	}
	if spi(p) != 0 {
		t.Error("a UDP packet is taken for ESP")
	}
}
