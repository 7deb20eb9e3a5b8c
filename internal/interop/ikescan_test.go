//go:build interop

package interop

import (
	"os/exec"
	"strings"
	"testing"
)

// What ike-scan sends to a group's server, and whether it is answered: with a handshake, with a notification, or not at all. What is
// counted is what gvpnd's counters must say of each that is not answered.
var probes = []struct {
	what, args      string
	answer, counted string
}{
	{"a suite that is configured, DOI 2", "", "Main Mode Handshake", ""},
	{"the same, DOI 1, situation 1", "--doi=1 --situation=1", "Main Mode Handshake", ""},
	{"one that is not: 3DES, SHA-1, group 2", "--trans=5,2,1,2", "Notify message 14 (NO-PROPOSAL-CHOSEN)", "no-proposal"},
	{"DOI 3", "--doi=3", "", "unsupported-doi"},
	{"situation 2", "--situation=2", "", "unsupported-doi"},
	{"aggressive mode", "--aggressive --id=nobody", "", "aggressive"},
	{"exchange 1 (Base)", "--exchange=1", "", "exchange"},
	{"exchange 32 (GROUPKEY-PULL) under no SA", "--exchange=32 --rcookie=0102030405060708", "", "cookies"},
	{"exchange 33 (GROUPKEY-PUSH) under no KEK", "--exchange=33 --rcookie=0102030405060708", "", ""},
	{"main mode with a responder's cookie of nobody's", "--rcookie=0102030405060708", "", "cookies"},
	{"main mode with a message ID", "--headermsgid=7", "", "message-id"},
	{"the flag for encryption", "--hdrflags=1", "", "flags"},
	{"the flag for commit", "--hdrflags=2", "", "flags"},
	{"a reserved flag", "--hdrflags=128", "", "flags"},
	{"version 2.0", "--headerver=32", "", "version"},
	{"a header whose length is one too long", "--headerlen=+1", "", "length"},
	{"a header whose length is one too short", "--headerlen=-1", "", "length"},
	{"a header whose length is 4 GiB less one", "--headerlen=4294967295", "", "length"},
	{"no payload at all", "--nextpayload=0", "", ""},
	{"octets that must be zero and are not", "--mbz=255", "", ""},
	{"an SPI of 8 octets in the proposal", "--spisize=8", "Main Mode Handshake", ""},
	{"protocol 2 (AH) in the proposal", "--protocol=2", "Notify message 14 (NO-PROPOSAL-CHOSEN)", "no-proposal"},
	{"transform ID 2", "--transid=2", "Notify message 14 (NO-PROPOSAL-CHOSEN)", "no-proposal"},
	{"IKEv2", "--ikev2", "", "version"},
}

func TestIKEScan(t *testing.T) {
	scan := need(t, "ike-scan", "ike-scan")
	left, right := connected(t)
	d := startDaemon(t, right, serverConfig)
	for _, p := range probes {
		args := []string{scan, "--multiline", "--retry=1", "--timeout=300", "--sport=12500", "--dport=848"}
		if !strings.Contains(p.args, "--doi") {
			args = append(args, "--doi=2", "--situation=0")
		}
		if !strings.Contains(p.args, "--trans=") && !strings.Contains(p.args, "--ikev2") {
			args = append(args, "--trans=(1=7,14=256,2=4,3=1,4=14,11=1,12=86400)")
		}
		command := left.in(t, append(append(args, strings.Fields(p.args)...), right.address)...)
		before := d.shell("show security group-vpn datagrams")
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: ike-scan: %v\n%s", p.what, err, out)
		}
		t.Logf("%s\n%s\n%s\n%s", p.what, out, before, d.shell("show security group-vpn datagrams"))
	}
}
