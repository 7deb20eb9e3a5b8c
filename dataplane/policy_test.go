package dataplane

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gvpn/commit/step"
	"gvpn/sa"
	"gvpn/turn"
)

// TestPolicy runs testdata/policy: one Plane per file. Commands:
//
//	vpn NAME [df=copy]         with lines "exclude|fail-open SOURCE DESTINATION [APPLICATION]"
//	tek NAME SPI [hard=60s] [activate=10s]   with lines "SOURCE DESTINATION [PROTOCOL [SPORT DPORT]]"
//	remove-tek NAME SPI, remove-vpn NAME
//	out, in, esp [now=30s]     with lines "SOURCE DESTINATION [PROTOCOL [SPORT DPORT]] [fragment|first]"
//
// out gives packets from the LAN, in gives them from the WAN in the clear, esp lets another member with the same TEKs send
// them. "*" is any.
func TestPolicy(t *testing.T) {
	datadriven.Walk(t, "testdata/policy", func(t *testing.T, path string) {
		p, peer := New(&counter{}), New(&counter{})
		peer.SetVPN(step.VPN{Name: "peer"})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var arg []string
			for _, a := range d.CmdArgs {
				if len(a.Vals) == 0 {
					arg = append(arg, a.Key)
				}
			}
			moment := func(key string, otherwise time.Duration) time.Time {
				if d.HasArg(key) {
					var s string
					d.ScanArgs(t, key, &s)
					v, err := time.ParseDuration(s)
					if err != nil {
						d.Fatalf(t, "%v", err)
					}
					otherwise = v
				}
				return start.Add(otherwise)
			}
			var lines [][]string
			for _, l := range strings.Split(strings.TrimSpace(d.Input), "\n") {
				if f := strings.Fields(l); len(f) > 0 {
					lines = append(lines, f)
				}
			}
			switch d.Cmd {
			case "vpn":
				v := step.VPN{Name: arg[0]}
				for _, f := range lines {
					r := step.Rule{Name: fmt.Sprint("r", len(v.Exclude)+len(v.FailOpen)), Source: prefix(f[1]), Destination: prefix(f[2])}
					if len(f) > 3 {
						r.Application = f[3]
					}
					if protocol, port, configured := strings.Cut(r.Application, "/"); configured {
						r.Defined = &step.Application{Protocol: protocol, DestinationPort: port}
					}
					if f[0] == "exclude" {
						v.Exclude = append(v.Exclude, r)
					} else {
						v.FailOpen = append(v.FailOpen, r)
					}
				}
				p.SetVPN(v)
				if err := CheckVPN(v); err != nil {
					return err.Error()
				}
			case "tek":
				spi := number(arg[1])
				k := sa.TEK{
					SPI: uint32(spi), KeyBits: 128, Key: octets(spi, 16), AuthKey: octets(spi, 32),
					Created: start, Hard: moment("hard", time.Hour), Activate: moment("activate", 0),
				}
				for _, f := range lines {
					ip := packetOf(f)
					k.Policies = append(k.Policies, sa.Policy{
						Source: prefix(f[0]), Destination: prefix(f[1]), Protocol: ip.protocol, SourcePort: ip.sport, DestinationPort: ip.dport,
					})
				}
				if err := p.InstallTEK(turn.InstallTEK{VPN: arg[0], TEK: k}); err != nil {
					return err.Error()
				}
				if err := peer.InstallTEK(turn.InstallTEK{VPN: "peer", TEK: k}); err != nil {
					return err.Error()
				}
			case "remove-tek":
				p.RemoveTEK(turn.RemoveTEK{VPN: arg[0], SPI: uint32(number(arg[1]))})
			case "remove-vpn":
				p.RemoveVPN(arg[0])
			case "out", "in", "esp":
				now := moment("now", 0)
				var b strings.Builder
				for _, f := range lines {
					ip := packetOf(f)
					ip.src, ip.dst = f[0], f[1]
					packet := ip.build()
					var got []byte
					var v Verdict
					switch d.Cmd {
					case "out":
						got, v = p.Outbound(now, packet, nil)
						if v == Encrypted {
							v = 0
							fmt.Fprintf(&b, "%s: encrypted with %x\n", strings.Join(f, " "), got[headerLen+2:headerLen+4])
						}
					case "in":
						got, v = p.Inbound(now, packet, nil)
					case "esp":
						wire, u := peer.Outbound(now, packet, nil)
						if u != Encrypted {
							d.Fatalf(t, "%v: the other member: %v", f, u)
						}
						if got, v = p.Inbound(now, wire, nil); v == Decrypted && !bytes.Equal(got, packet) {
							d.Fatalf(t, "%v: got %x, want %x", f, got, packet)
						}
					}
					if v == Excluded || v == FailOpen {
						if !bytes.Equal(got, packet) {
							d.Fatalf(t, "%v: got %x, want %x", f, got, packet)
						}
					}
					if v != 0 {
						fmt.Fprintf(&b, "%s: %v\n", strings.Join(f, " "), v)
					}
				}
				return b.String()
			case "stats":
				s := p.State(start)
				var b strings.Builder
				fmt.Fprintf(&b, "all: %s\n", brief(s.Stats))
				for _, v := range s.VPNs {
					fmt.Fprintf(&b, "%s: %s\n", v.Name, brief(v.Stats))
				}
				return b.String()
			default:
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			return "ok\n"
		})
	})
}

func brief(s Stats) string {
	return fmt.Sprintf("encrypted=%d decrypted=%d excluded=%d fail-open=%d/%d fail-close=%d mismatch=%d invalid-spi=%d discards=%d",
		s.ESPEncryptedPackets, s.ESPDecryptedPackets, s.ExcludePackets, s.FailOpenPacketsSent, s.FailOpenPacketsReceived,
		s.FailCloseDrops, s.PolicyMismatchReceived, s.InvalidSPI, s.Discards)
}

func number(s string) int {
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		panic(err)
	}
	return int(n)
}

func prefix(s string) netip.Prefix {
	if s == "*" {
		return netip.Prefix{}
	}
	return netip.MustParsePrefix(s)
}

// packetOf reads the fields from the third on.
func packetOf(f []string) (p packet) {
	p.payload = 8
	for len(f) > 2 {
		switch last := f[len(f)-1]; last {
		case "fragment":
			p.flags = 100
		case "first":
			p.flags = flagMF
		default:
			if len(f) >= 5 {
				p.sport, p.dport = uint16(number(f[3])), uint16(number(f[4]))
			}
			names := map[string]uint8{"udp": protoUDP, "tcp": protoTCP, "icmp": protoICMP, "esp": protoESP, "*": 0}
			n, ok := names[f[2]]
			if !ok {
				n = uint8(number(f[2]))
			}
			p.protocol = n
			return p
		}
		f = f[:len(f)-1]
	}
	return p
}

func TestCheckVPN(t *testing.T) {
	rule := func(a step.Application) step.VPN {
		return step.VPN{Name: "v", Exclude: []step.Rule{{Name: "r", Application: "a", Defined: &a}}}
	}
	for _, a := range []step.Application{{Protocol: "udp", DestinationPort: "4500"}, {Protocol: "89"}, {}} {
		if err := CheckVPN(rule(a)); err != nil {
			t.Error(err)
		}
	}
	ok := step.VPN{Name: "v", DFBit: "copy", Exclude: []step.Rule{{Name: "r", Application: "junos-bgp"}}, FailOpen: []step.Rule{{Name: "f", Application: "any"}}}
	if err := CheckVPN(ok); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		bad  step.VPN
		want string
	}{
		{step.VPN{Name: "v", DFBit: "maybe"}, `vpn v: df-bit: "maybe" is not`},
		{step.VPN{Name: "v", Exclude: []step.Rule{{Name: "r", Application: "my-app"}}}, `vpn v: exclude rule r application: "my-app" is not supported; these are: any, junos-bgp, `},
		{rule(step.Application{Protocol: "mpls"}), `vpn v: exclude rule r application: "a": protocol "mpls" is not supported by name`},
		{rule(step.Application{Protocol: "tcp", SourcePort: "80"}), `"a": source-port is not supported`},
		{rule(step.Application{Other: "term"}), `"a": term is not supported, protocol and destination-port are`},
		{rule(step.Application{Protocol: "tcp", DestinationPort: "80-90"}), `"a": destination-port "80-90" is not supported`},
		{step.VPN{Name: "v", ServiceSet: step.ServiceSet{Name: "S"}}, "vpn v: binding by service-set S is not supported"},
		{step.VPN{Name: "v", MatchDirection: "input"}, "vpn v: match-direction: not supported"},
		{step.VPN{Name: "v", TunnelMTU: 1500}, "vpn v: tunnel-mtu: not supported"},
		{step.VPN{Name: "v", ForwardPolicyMismatch: true}, "vpn v: forward-policy-mismatch: not supported"},
		{step.VPN{Name: "v", FailOpen: []step.Rule{{Name: "r", Source: netip.MustParsePrefix("2001:db8::/32")}}}, `vpn v: fail-open rule r: prefix 2001:db8::/32 is not IPv4`},
	} {
		err := CheckVPN(c.bad)
		var refused *step.Refusal // a commit finds the statement by it
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &refused) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	seen := map[string]bool{}
	for v := NoVerdict; v <= verdicts; v++ {
		if s := v.String(); s == "" || seen[s] {
			t.Errorf("verdict %d is called %q", v, s)
		} else {
			seen[s] = true
		}
		if want := v == Encrypted || v == Decrypted || v == Excluded || v == FailOpen; v.Passed() != want {
			t.Errorf("%v: passed %v", v, v.Passed())
		}
	}
}

func TestNet(t *testing.T) {
	tek := testTEK(0x100)
	a, b, c := newPlane(tek), newPlane(tek), newPlane()
	n := NewNet()
	for _, err := range []error{
		n.Attach("a", a, netip.MustParsePrefix("10.1.0.0/16")),
		n.Attach("b", b, netip.MustParsePrefix("10.2.0.0/16")),
		n.Attach("c", c, netip.MustParsePrefix("10.2.3.0/24")),
		n.Attach("c", c, netip.MustParsePrefix("10.2.4.0/24")), // again, with another LAN
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Attach("d", c, netip.MustParsePrefix("10.2.0.0/16")); err == nil {
		t.Error("two sites with one LAN")
	}
	if err := n.Attach("d", c, netip.MustParsePrefix("::/0")); err == nil {
		t.Error("an IPv6 LAN")
	}
	for _, x := range []struct {
		src, dst, want string
		delivered      bool
	}{
		{"10.1.0.1", "10.2.0.1", "a encrypted, b decrypted", true},
		{"10.1.0.1", "10.2.3.1", "a encrypted, b decrypted", true},
		{"10.1.0.1", "10.2.4.1", "a encrypted, c invalid-spi", false},
		{"10.1.0.1", "10.1.9.9", "a stays in the LAN", true},
		{"10.1.0.1", "10.9.0.1", "a encrypted, no route", false},
		{"10.1.0.1", "192.0.2.1", "a fail-close", false},
		{"192.0.2.1", "10.1.0.1", " none", false},
	} {
		packet := packet{src: x.src, dst: x.dst, payload: 40}.build()
		d := n.Send(start, packet)
		if d.String() != x.want || d.Delivered() != x.delivered {
			t.Errorf("%s to %s: %v, delivered %v", x.src, x.dst, d, d.Delivered())
		}
		if d.Delivered() && !bytes.Equal(d.Packet, packet) {
			t.Errorf("%s to %s: delivered %x", x.src, x.dst, d.Packet)
		}
		if bytes.Contains(d.Wire, packet[20:]) {
			t.Errorf("%s to %s: the wire shows the packet", x.src, x.dst)
		}
	}
	if d := n.Inject(start, hello.build()); d.Delivered() || d.String() != "b clear-packet" {
		t.Errorf("a clear packet from nowhere: %v", d)
	}
	if d := n.Inject(start, []byte{0x45}); d.Delivered() || d.To != "" {
		t.Errorf("no packet: %v", d)
	}
}

// The counters start again, the sequence numbers do not.
func TestClearStats(t *testing.T) {
	p := newPlane(testTEK(0x100))
	if _, v := p.Outbound(start, hello.build(), nil); v != Encrypted {
		t.Fatal(v)
	}
	p.ClearStats()
	s := p.State(start)
	if s.Stats != (Stats{}) || s.VPNs[0].Stats != (Stats{}) || s.VPNs[0].TEKs[0].Stats != (Stats{}) {
		t.Errorf("counters left: %+v", s)
	}
	if got := s.VPNs[0].TEKs[0].Sequence; got != 1 {
		t.Errorf("sequence number %d, want 1", got)
	}
}
