package dataplane

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gvpn/commit/step"
	"gvpn/sa"
)

// selector is a match-policy or a rule in the form that packets are held against.
type selector struct {
	src, srcMask, dst, dstMask uint32
	sport, dport               uint16 // 0: any
	protocol                   uint8  // 0: any
	server                     uint16 // an application's port, at either end; 0: any
	never                      bool
}

// match is whether a selector has a packet. Maybe is the answer for a fragment without ports, if only they are in doubt.
type match uint8

const (
	no match = iota
	maybe
	yes
)

func (s *selector) match(p *ipv4) match {
	switch {
	case s.never, p.src&s.srcMask != s.src, p.dst&s.dstMask != s.dst, s.protocol != 0 && s.protocol != p.protocol:
		return no
	case s.sport == 0 && s.dport == 0 && s.server == 0:
		return yes
	case p.ports == portsHidden:
		return maybe
	case p.ports == portsThere && (s.sport == 0 || s.sport == p.sport) && (s.dport == 0 || s.dport == p.dport) &&
		(s.server == 0 || s.server == p.sport || s.server == p.dport):
		return yes
	}
	return no
}

// setPrefix compiles a prefix; one that is not valid is any.
func setPrefix(addr, mask *uint32, p netip.Prefix) {
	*addr, *mask = 0, 0
	if p.IsValid() && p.Addr().Is4() {
		a := p.Addr().As4()
		*mask = uint32(uint64(0xffffffff) << (32 - p.Bits()))
		*addr = binary.BigEndian.Uint32(a[:]) & *mask
	}
}

func compilePolicy(m sa.Policy) selector {
	s := selector{sport: m.SourcePort, dport: m.DestinationPort, protocol: m.Protocol}
	setPrefix(&s.src, &s.srcMask, m.Source)
	setPrefix(&s.dst, &s.dstMask, m.Destination)
	return s
}

// compileRules compiles fail-open or exclude rules. A rule whose application is not known matches nothing, so its packets are
// protected or dropped; CheckVPN has refused it at commit. No sessions are kept, so an application is known by its server's
// port at either end of a packet: what a client sends and what it is answered, from whichever side it was opened.
func compileRules(rules []step.Rule) []selector {
	list := make([]selector, len(rules))
	for i, r := range rules {
		s := &list[i]
		app, err := applicationOf(r)
		known := err == nil
		s.protocol, s.server, s.never = app.protocol, app.port, !known
		setPrefix(&s.src, &s.srcMask, r.Source)
		setPrefix(&s.dst, &s.dstMask, r.Destination)
	}
	return list
}

// anyOf reports whether one of the rules surely has the packet.
func anyOf(rules []selector, p *ipv4) bool {
	for i := range rules {
		if rules[i].match(p) == yes {
			return true
		}
	}
	return false
}

// application is what a rule can name: a protocol and the port that its servers listen on, 0 for any.
type application struct {
	protocol uint8
	port     uint16
}

// protocols are the names that the protocol of a configured application may have beside a number.
var protocols = map[string]uint8{
	"": 0, "icmp": protoICMP, "igmp": 2, "ipip": 4, "tcp": protoTCP, "egp": 8, "udp": protoUDP, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51,
	"ospf": 89, "pim": 103, "vrrp": 112, "sctp": 132,
}

// applicationOf finds out what a rule's application is. The error says what cannot be carried out.
func applicationOf(r step.Rule) (application, error) {
	if r.Defined == nil {
		app, known := applications[r.Application]
		if !known {
			names := slices.Sorted(maps.Keys(applications))[1:]
			return app, fmt.Errorf("%q is not supported; these are: %s, and those under [edit applications]", r.Application, strings.Join(names, ", "))
		}
		return app, nil
	}
	var app application
	var known bool
	if r.Defined.Other != "" {
		return app, fmt.Errorf("%q: %s is not supported, protocol and destination-port are", r.Application, r.Defined.Other)
	}
	if app.protocol, known = protocols[r.Defined.Protocol]; !known {
		n, err := strconv.ParseUint(r.Defined.Protocol, 10, 8)
		if err != nil {
			return app, fmt.Errorf("%q: protocol %q is not supported by name; give its number", r.Application, r.Defined.Protocol)
		}
		app.protocol = uint8(n)
	}
	if r.Defined.SourcePort != "" {
		return app, fmt.Errorf("%q: source-port is not supported, destination-port is", r.Application)
	}
	if p := r.Defined.DestinationPort; p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return app, fmt.Errorf("%q: destination-port %q is not supported, one number (1..65535) is", r.Application, p)
		}
		app.port = uint16(n)
	}
	return app, nil
}

// applications are those of Junos's predefined applications that a protocol and a port can say.
var applications = map[string]application{
	"": {}, "any": {},
	"junos-icmp-all": {protoICMP, 0}, "junos-gre": {47, 0}, "junos-ospf": {89, 0},
	"junos-ftp": {protoTCP, 21}, "junos-ssh": {protoTCP, 22}, "junos-telnet": {protoTCP, 23}, "junos-smtp": {protoTCP, 25},
	"junos-dns-tcp": {protoTCP, 53}, "junos-http": {protoTCP, 80}, "junos-pop3": {protoTCP, 110}, "junos-imap": {protoTCP, 143},
	"junos-bgp": {protoTCP, 179}, "junos-ldap": {protoTCP, 389}, "junos-https": {protoTCP, 443},
	"junos-dns-udp": {protoUDP, 53}, "junos-tftp": {protoUDP, 69}, "junos-ntp": {protoUDP, 123}, "junos-ike": {protoUDP, 500},
	"junos-syslog": {protoUDP, 514}, "junos-rip": {protoUDP, 520}, "junos-radius": {protoUDP, 1812}, "junos-radacct": {protoUDP, 1813},
}

// CheckVPN reports the first part of v that a Plane cannot carry out: an application that it does not know, a prefix that is
// not IPv4, a df-bit that is not one of the three, and what binds and shapes traffic on an MX. It is for Prepare; SetVPN
// takes what it is given.
func CheckVPN(v step.VPN) error {
	switch v.DFBit {
	case "", "clear", "set", "copy":
	default:
		return &step.Refusal{VPN: v.Name, Statement: []string{"df-bit"}, Reason: fmt.Sprintf("%q is not clear, set or copy", v.DFBit)}
	}
	for _, mx := range []struct {
		has       bool
		statement []string
		reason    string
	}{
		{v.ServiceSet.Name != "", nil, "binding by service-set " + v.ServiceSet.Name + " is not supported: bind it under [edit security ipsec-policy]"},
		{v.MatchDirection != "", []string{"match-direction"}, "not supported: the zones of [edit security ipsec-policy] say the direction"},
		{v.TunnelMTU != 0, []string{"tunnel-mtu"}, "not supported: packets are never fragmented before encryption"},
		{v.ForwardPolicyMismatch, []string{"forward-policy-mismatch"}, "not supported: exclude rules say what passes in clear"},
	} {
		if mx.has {
			return &step.Refusal{VPN: v.Name, Statement: mx.statement, Reason: mx.reason}
		}
	}
	for _, kind := range []struct {
		name  string
		rules []step.Rule
	}{{"exclude", v.Exclude}, {"fail-open", v.FailOpen}} {
		for _, r := range kind.rules {
			if _, err := applicationOf(r); err != nil {
				return &step.Refusal{VPN: v.Name, Statement: []string{kind.name, "rule", r.Name, "application"}, Reason: err.Error()}
			}
			for _, p := range []netip.Prefix{r.Source, r.Destination} {
				if p.IsValid() && !p.Addr().Is4() {
					return &step.Refusal{VPN: v.Name, Statement: []string{kind.name, "rule", r.Name}, Reason: fmt.Sprintf("prefix %v is not IPv4", p)}
				}
			}
		}
	}
	return nil
}
