//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// suite is one way to protect phase 1: how we call it, and how charon does.
type suite struct{ ours, charons string }

// suites are all that we and strongSwan can do: every group with every key length and every hash.
func suites() (all []suite) {
	groups := []struct {
		number int
		charon string
	}{{14, "modp2048"}, {15, "modp3072"}, {16, "modp4096"}, {19, "ecp256"}, {20, "ecp384"}, {21, "ecp521"}, {24, "modp2048s256"}}
	for _, g := range groups {
		for _, bits := range []int{128, 192, 256} {
			for _, hash := range []int{256, 384, 512} {
				all = append(all, suite{fmt.Sprintf("proposal %d %d SHA-%d 1h0m0s\n", g.number, bits, hash), fmt.Sprintf("aes%d-sha%d-%s", bits, hash, g.charon)})
			}
		}
	}
	return all
}

// head of a transcript with strongSwan, on the given port of ours.
func head(port int, lines ...string) string {
	return fmt.Sprintf("# strongSwan 5.9.8 at 192.0.2.1, we at 192.0.2.2.\nseed 1\nport %d\ngateway 192.0.2.2 192.0.2.1 between-charon-and-gvpnd\n%s",
		port, strings.Join(lines, ""))
}

const usual = "proposal 14 256 SHA-256 1h0m0s\n"

// connections are several connections of charon's, each with a proposal, by name.
func connections(proposals map[string]string, changes ...string) string {
	text := connection(append([]string{"    dpd_delay = 1s\n", ""}, changes...)...)
	_, rest, _ := strings.Cut(text, "    p1 {")
	one, secrets, _ := strings.Cut(rest, "}\nsecrets")
	var all strings.Builder
	for name, proposal := range proposals {
		all.WriteString("    " + name + " {" + strings.Replace(one, "aes256-sha256-modp2048", proposal, 1))
	}
	return "connections {\n" + all.String() + "}\nsecrets" + secrets
}

// Every suite that both speak, charon beginning, on port 848 and on port 500.
func TestStrongSwanSuitesInitiator(t *testing.T) {
	for _, port := range []int{848, 500} {
		t.Run(fmt.Sprint(port), func(t *testing.T) {
			left, right := connected(t)
			proposals := map[string]string{}
			var ours []string
			for i, s := range suites() {
				proposals[fmt.Sprintf("s%d", i)] = s.charons
				ours = append(ours, s.ours)
			}
			changes := []string{"remote_port = 848", fmt.Sprintf("remote_port = %d", port)}
			c := startCharonWith(t, left, connections(proposals, changes...), nil)
			l := goLive(t, right, head(port, ours...))
			for i, s := range suites() {
				name := fmt.Sprintf("s%d", i)
				if out, err := l.during(20*time.Second, func() (string, error) { return c.command("--initiate", "--ike", name) }); err != nil {
					t.Fatalf("%s: swanctl --initiate: %v\n%s", s.charons, err, out)
				}
				l.says(time.Second, "up", i+1)
				if out, err := l.during(20*time.Second, func() (string, error) { return c.command("--terminate", "--ike", name) }); err != nil {
					t.Fatalf("%s: swanctl --terminate: %v\n%s", s.charons, err, out)
				}
				l.says(time.Second, "down: deleted by the peer", i+1)
			}
			tried(t, strongswanPeer, fmt.Sprintf("it begins, port 500 to %d, in every suite: groups 14, 15, 16, 19, 20, 21, 24; AES-128, 192, 256; SHA-256, 384, 512; its delete", port),
				fmt.Sprintf("%d SAs up and gone", len(suites())))
		})
	}
}

// Every suite that both speak, we beginning.
func TestStrongSwanSuitesResponder(t *testing.T) {
	left, right := connected(t)
	var offers []string
	for _, s := range suites() {
		offers = append(offers, s.charons)
	}
	c := startCharonWith(t, left, connections(map[string]string{"all": strings.Join(offers, ",")}, "    remote_port = 848\n", ""), nil)
	for i, s := range suites() {
		t.Run(s.charons, func(t *testing.T) {
			l := goLive(t, right, head(500, s.ours))
			l.do("connect")
			l.says(10*time.Second, "up", 1)
			l.do("delete")
			l.says(time.Second, "down: deleted", 1)
			l.until(time.Second, "an end of charon's SA", func() bool { return strings.Count(c.log(), "received DELETE for IKE_SA") > i })
			l.close()
		})
	}
	tried(t, strongswanPeer, "we begin, port 500 to 500, in every suite; our delete", fmt.Sprintf("%d SAs up and gone", len(suites())))
}
