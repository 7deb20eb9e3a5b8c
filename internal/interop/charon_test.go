//go:build interop

package interop

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"
)

const strongswanPeer = "strongSwan 5.9.8"

// charon begins, on 848 or floating to 4500: both sides probe, charon deletes.
func TestStrongSwanInitiator(t *testing.T) {
	for name, changes := range map[string][]string{
		"plain": nil, "natt": {"    keyingtries", "    encap = yes\n    keyingtries"}, "ecp256": {"aes256-sha256-modp2048", "aes128-sha384-ecp256"},
	} {
		t.Run(name, func(t *testing.T) {
			left, right := connected(t)
			c := startCharonWith(t, left, connection(changes...), nil)
			l := goLive(t, right, head(848, "dpd 1s 3\n", usual, "proposal 19 128 SHA-384 1h0m0s\n"))
			if out, err := l.during(10*time.Second, func() (string, error) { return c.command("--initiate", "--ike", "p1") }); err != nil {
				t.Fatalf("swanctl --initiate: %v\n%s", err, out)
			}
			l.says(time.Second, "up", 1)
			l.until(15*time.Second, "probes both ways", func() bool {
				s := l.endpoint.State().SAs[0]
				// charon asks only if it has not heard from us for a second.
				return s.DPDAcked >= 2 && (s.DPDAnswered >= 1 || name != "plain")
			})
			if out, err := l.during(10*time.Second, func() (string, error) { return c.command("--terminate", "--ike", "p1") }); err != nil {
				t.Fatalf("swanctl --terminate: %v\n%s", err, out)
			}
			l.says(time.Second, "down: deleted by the peer", 1)
			l.keep("strongswan-initiator-" + name)
			what := map[string]string{
				"plain": "main mode, AES-256, SHA-256, group 14, to port 848", "natt": "the same with `encap = yes`: to 848, then 4500 to 4500",
				"ecp256": "main mode, AES-128, SHA-384, group 19, to port 848",
			}[name]
			tried(t, strongswanPeer, "it begins: "+what+"; probes; its delete", "SA up; probes answered; SA gone on both sides")
		})
	}
}

// We begin; we delete.
func TestStrongSwanResponderSession(t *testing.T) {
	left, right := connected(t)
	c := startCharonWith(t, left, connection("    remote_port = 848\n", ""), nil)
	l := goLive(t, right, head(500, "dpd 2s 3\n", usual))
	l.do("connect")
	l.says(10*time.Second, "up", 1)
	l.until(15*time.Second, "probes both ways", func() bool {
		s := l.endpoint.State().SAs[0]
		return s.DPDAcked >= 1 && s.DPDAnswered >= 1
	})
	l.do("delete")
	l.says(time.Second, "down: deleted", 1)
	eventually(t, 5*time.Second, "an end of charon's SA", func() bool { return !strings.Contains(c.sas(), "ESTABLISHED") })
	l.keep("strongswan-responder")
	tried(t, strongswanPeer, "we begin: main mode with DOI 2, port 500 to 500; probes both ways; our delete", "SA up; probes answered; SA gone on both sides")
}

// charon authenticates again: a new SA beside the old one, which lives until the end of its lifetime.
func TestStrongSwanReauthentication(t *testing.T) {
	left, right := connected(t)
	c := startCharonWith(t, left, connection("    keyingtries", "    reauth_time = 2s\n    rand_time = 0s\n    over_time = 2s\n    keyingtries", "    dpd_delay = 1s\n", ""), nil)
	l := goLive(t, right, head(848, usual))
	if out, err := l.during(10*time.Second, func() (string, error) { return c.command("--initiate", "--ike", "p1") }); err != nil {
		t.Fatalf("swanctl --initiate: %v\n%s", err, out)
	}
	l.says(15*time.Second, "up", 2)
	l.says(15*time.Second, "down: ", 1)
	l.keep("strongswan-reauthentication")
	tried(t, strongswanPeer, "it begins again before an SA's lifetime ends (`reauth_time`)", "a new SA; the old one goes at its end, whoever deletes it first")
}

// We begin anew before an SA of ours that is watched ends.
func TestStrongSwanRenewal(t *testing.T) {
	left, right := connected(t)
	startCharonWith(t, left, connection("    remote_port = 848\n", "", "    dpd_delay = 1s\n", ""), nil)
	l := goLive(t, right, head(500, "dpd 1s 3\n", "proposal 14 256 SHA-256 4s\n"))
	l.do("connect")
	l.says(15*time.Second, "up", 2)
	l.says(15*time.Second, "down: lifetime expired", 1)
	if l.count("failed") != 0 || l.count("dead") != 0 {
		t.Errorf("our side said %q", l.said)
	}
	l.keep("strongswan-renewal")
	tried(t, strongswanPeer, "we begin again at nine tenths of an SA's lifetime, where dead peer detection is configured", "a new SA; the old one expires")
}

// A peer that goes away without a word is found dead; one that has it configured finds us dead.
func TestStrongSwanDead(t *testing.T) {
	left, right := connected(t)
	c := startCharonWith(t, left, connection("dpd_timeout = 20s", "dpd_timeout = 3s"), nil)
	l := goLive(t, right, head(848, "dpd 1s 2\n", usual))
	if out, err := l.during(10*time.Second, func() (string, error) { return c.command("--initiate", "--ike", "p1") }); err != nil {
		t.Fatalf("swanctl --initiate: %v\n%s", err, out)
	}
	l.says(time.Second, "up", 1)
	must(t, need(t, "ip", "iproute2"), "-n", left.name, "link", "set", "veth0", "down")
	l.says(10*time.Second, "dead", 1)
	eventually(t, 20*time.Second, "found dead by charon", func() bool { return strings.Contains(c.log(), "DPD check timed out") })
	tried(t, strongswanPeer, "the wire is cut", "each finds the other dead (RFC 3706)")
}

// With different keys nothing comes up, whoever begins.
func TestStrongSwanOtherKey(t *testing.T) {
	left, right := connected(t)
	c := startCharonWith(t, left, connection("between-charon-and-gvpnd", "some-other-pre-shared-key"), nil)
	l := goLive(t, right, strings.Replace(head(848, usual), "between-charon-and-gvpnd", "quite-another-key", 1))
	out, err := l.during(15*time.Second, func() (string, error) { return c.command("--initiate", "--ike", "p1", "--timeout", "8") })
	if err == nil || l.count("up") != 0 {
		t.Errorf("swanctl --initiate: %v\n%s\nour side: %q", err, out, l.said)
	}
	tried(t, strongswanPeer, "it begins with another pre-shared key", "no SA; message 5 is not answered, and logged")
	l.says(10*time.Second, "log IKE_AUTHENTICATION_FAILED", 1)

	l.close()
	l = goLive(t, right, strings.Replace(head(500, usual), "between-charon-and-gvpnd", "quite-another-key", 1))
	l.do("connect")
	l.says(10*time.Second, "failed: no answer to message 5", 1)
	tried(t, strongswanPeer, "we begin with another pre-shared key", "no SA; `no answer to message 5: do pre-shared key and identities agree?`")
}

// Without a common proposal the responder says so, whoever begins.
func TestStrongSwanNoProposal(t *testing.T) {
	left, right := connected(t)
	c := startCharonWith(t, left, connection("aes256-sha256-modp2048", "aes192-sha512-modp3072"), nil)
	l := goLive(t, right, head(848, usual))
	out, err := l.during(15*time.Second, func() (string, error) { return c.command("--initiate", "--ike", "p1", "--timeout", "8") })
	if err == nil || !strings.Contains(out, "received NO_PROPOSAL_CHOSEN error notify") {
		t.Errorf("swanctl --initiate: %v\n%s", err, out)
	}
	tried(t, strongswanPeer, "it begins, no common proposal", "we answer NO-PROPOSAL-CHOSEN (14), it gives up at once")
	l.close()
	l = goLive(t, right, head(500, usual))
	l.do("connect")
	l.says(10*time.Second, "failed: no answer to message 1; the peer said, unauthenticated: NO-PROPOSAL-CHOSEN", 1)
	tried(t, strongswanPeer, "we begin, no common proposal", "it answers NO-PROPOSAL-CHOSEN (14), which is not authenticated: we try 4 times, then say so")
}

// Where charon's configuration names no proposal, it offers the first of what it has in each kind, curve25519 for a group:
// IKE's registry has it, Junos and we do not.
func TestStrongSwanDefaultProposals(t *testing.T) {
	for name, change := range map[string]string{"alone": "", "beside": "    proposals = aes256-sha256-modp2048,default\n"} {
		t.Run(name, func(t *testing.T) {
			left, right := connected(t)
			c := startCharonWith(t, left, connection("    proposals = aes256-sha256-modp2048\n", change, "    dpd_delay = 1s\n", ""), nil)
			l := goLive(t, right, head(848, usual))
			out, err := l.during(15*time.Second, func() (string, error) { return c.command("--initiate", "--ike", "p1", "--timeout", "8") })
			what, seen := "", ""
			if name == "alone" {
				what, seen = "without `proposals`", "it offers 2 transforms, both of group 31 (curve25519): NO-PROPOSAL-CHOSEN"
				if err == nil || !strings.Contains(out, "received NO_PROPOSAL_CHOSEN error notify") {
					t.Errorf("swanctl --initiate: %v\n%s", err, out)
				}
			} else {
				what, seen = "with `proposals = aes256-sha256-modp2048,default`", "it offers 3 transforms; SA up"
				if err != nil {
					t.Errorf("swanctl --initiate: %v\n%s", err, out)
				}
			}
			message1, err := hex.DecodeString(strings.Fields(l.text.String()[strings.Index(l.text.String(), " in "):])[3])
			if err != nil {
				t.Fatal(err)
			}
			seen += fmt.Sprintf("; its SAi_b has %d octets", binary.BigEndian.Uint16(message1[30:])-4)
			tried(t, strongswanPeer, "it begins "+what, seen)
		})
	}
}

// charon refuses our aggressive mode where it is not configured for it.
func TestStrongSwanRefusesAggressive(t *testing.T) {
	left, right := connected(t)
	c := startCharonWith(t, left, connection("    remote_port = 848\n", "", "    dpd_delay = 1s\n", ""), nil)
	l := goLive(t, right, head(500, "mode aggressive\n", usual))
	l.do("connect")
	l.says(10*time.Second, "failed: no answer to message 1; the peer said, unauthenticated: AUTHENTICATION-FAILED", 1)
	if !strings.Contains(c.log(), "Aggressive Mode PSK disabled for security reasons") {
		t.Error("charon does not say why")
	}
	tried(t, strongswanPeer, "we begin in aggressive mode, which it has not configured", "it answers AUTHENTICATION-FAILED (24); we try 4 times, then say so")
}
