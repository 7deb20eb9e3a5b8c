//go:build interop

package interop

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// What ike-scan sends to a group's server, what comes back (nothing: silence), and which counter says so.
var probes = []struct{ what, args, answer, counted string }{
	{"a suite that is configured, DOI 2", "", "Main Mode Handshake", "ike negotiations-answered"},
	{"the same, DOI 1, situation 1", "--doi=1 --situation=1", "Main Mode Handshake", "ike negotiations-answered"},
	{"3DES, SHA-1, group 2", "--trans=5,2,1,2", "NO-PROPOSAL-CHOSEN", "ike no-proposal-chosen"},
	{"ike-scan's own list of 8 weak transforms", "--doi=1 --situation=1 default", "NO-PROPOSAL-CHOSEN", "ike no-proposal-chosen"},
	{"protocol 2 in the proposal", "--protocol=2", "NO-PROPOSAL-CHOSEN", "ike no-proposal-chosen"},
	{"an SPI of 8 octets in the proposal", "--spisize=8", "Main Mode Handshake", "ike negotiations-answered"},
	{"DOI 3", "--doi=3", "", "ike malformed-unsupported-doi"},
	{"situation 2", "--situation=2", "", "ike malformed-unsupported-doi"},
	{"aggressive mode", "--aggressive --id=nobody", "", "ike aggressive-mode"},
	{"exchange 1", "--exchange=1", "", "engine unknown-exchange"},
	{"exchange 32 (GROUPKEY-PULL) under no SA", "--exchange=32 --rcookie=0102030405060708", "", "ike unknown-cookies"},
	{"exchange 33 (GROUPKEY-PUSH) under no KEK", "--exchange=33 --rcookie=0102030405060708", "", "member push-malformed"},
	{"exchange 35 (acknowledgement) of nothing", "--exchange=35 --rcookie=0102030405060708", "", "server ack-malformed"},
	{"main mode with a responder's cookie of nobody's", "--rcookie=0102030405060708", "", "ike unknown-cookies"},
	{"main mode with a message ID", "--hdrmsgid=7", "", "ike wrong-message-id"},
	{"the flag for encryption", "--hdrflags=1", "", "ike wrong-flags"},
	{"the flag for commit", "--hdrflags=2", "", "ike wrong-flags"},
	{"a reserved flag", "--hdrflags=128", "", "ike wrong-flags"},
	{"version 3.0", "--headerver=48", "", "engine wrong-version"},
	{"IKEv2", "--ikev2", "", "engine wrong-version"},
	{"a header that says 300 octets", "--headerlen=300", "", "engine wrong-length"},
	{"a header that says 28 octets", "--headerlen=28", "", "engine wrong-length"},
	{"a header that says 4 GiB less one", "--headerlen=4294967295", "", "engine wrong-length"},
	{"the SA called a vendor ID", "--nextpayload=13", "", "ike malformed-unexpected-payload"},
	{"the SA called a payload of type 99", "--nextpayload=99", "", "ike malformed-unexpected-payload"},
	{"octets of 255 that must be zero", "--mbz=255", "", "ike malformed-reserved-not-zero"},
}

// TestIKEScan probes a group's server.
func TestIKEScan(t *testing.T) {
	scan := wish(t, "ike-scan", "ike-scan")
	left, right := connected(t)
	d := startDaemon(t, right, serverConfig)
	counted := func() map[string]int {
		all := map[string]int{}
		for line := range strings.Lines(d.shell("show security group-vpn datagrams")) {
			if w := strings.Fields(line); len(w) == 3 {
				all[w[0]+" "+w[1]], _ = strconv.Atoi(w[2])
			}
		}
		return all
	}
	before := counted()
	for _, p := range probes {
		args := []string{scan, "--retry=1", "--timeout=200", "--sport=12500", "--dport=848"}
		sent, ownList := strings.CutSuffix(p.args, " default")
		if !strings.Contains(sent, "--doi") {
			args = append(args, "--doi=2")
		}
		if !strings.Contains(sent, "--situation") {
			args = append(args, "--situation=0")
		}
		if !ownList && !strings.Contains(sent, "--trans=") && !strings.Contains(sent, "--ikev2") {
			args = append(args, "--trans=(1=7,14=256,2=4,3=1,4=14,11=1,12=86400)")
		}
		command := left.in(t, append(append(args, strings.Fields(sent)...), right.address)...)
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: ike-scan: %v\n%s", p.what, err, out)
		}
		silent := !strings.Contains(string(out), right.address+"\t")
		if silent != (p.answer == "") || !strings.Contains(string(out), p.answer) {
			t.Errorf("%s: want %q, ike-scan says\n%s", p.what, p.answer, out)
		}
		after := counted()
		if after[p.counted] != before[p.counted]+1 {
			t.Errorf("%s: %s did not go up by one:\n%v\n%v", p.what, p.counted, before, after)
		}
		before = after
		answer := p.answer
		if silent {
			answer = "silence"
		}
		tried(t, "ike-scan 1.9.5", "`"+sent+"`: "+p.what, answer+", counted as "+p.counted)
	}
}
