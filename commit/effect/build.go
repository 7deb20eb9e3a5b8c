package effect

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"gvpn/commit/step"
	"gvpn/config"
	"gvpn/sa"
)

// What a proposal or server-member-communication uses where its statement is absent and Junos documents no default. These
// are ours: the strongest that every member can do.
const (
	defaultHash     = sa.SHA256
	defaultDHGroup  = 14
	defaultKeyBits  = 256
	defaultLifetime = 3600 * time.Second // of an IPsec proposal
	defaultTTL      = 64                 // RFC 1122's advice by way of IANA, and what our unicast has; a host's own for multicast is 1
)

// view reads one configuration.
type view struct {
	system, server, member, bindings, services, applications, certificates config.Node

	serverIKE, memberIKE config.Node

	policies map[policyKey]*policy // resolved, by side and name: gateways share what is in them
	peers    map[string]bool       // gateways under a server-cluster; nil until asked for

	zones map[string][]step.ZonePair // by VPN; nil until asked for
	sets  map[string]step.ServiceSet // likewise
	errs  config.Errors
}

func newView(t config.Tree) *view {
	root := t.Root()
	security := root.Child("security")
	groupVPN := security.Child("group-vpn")
	server, member := groupVPN.Child("server"), groupVPN.Child("member")
	return &view{
		serverIKE: server.Child("ike"), memberIKE: member.Child("ike"),
		system: root.Child("system"), server: server, member: member,
		bindings: security.Child("ipsec-policy"), services: root.Child("services"), applications: root.Child("applications"),
		certificates: security.Child("certificates"),
	}
}

func (v *view) hostName() string { return v.system.Get("host-name") }

func (v *view) memberLimit() int { return int(v.server.Uint("member-limit")) }

// gateway returns the gateway of that name, with its policy and proposals resolved; nil if it is not there or is not used
// for want of an ike-policy or an address. A server and a member never stand in one configuration (V13).
func (v *view) gateway(name string) *step.Gateway {
	if g := v.serverIKE.Entry("gateway", name); g.Exists() {
		return v.serverGateway(g)
	}
	if g := v.memberIKE.Entry("gateway", name); g.Exists() {
		return v.memberGateway(g)
	}
	return nil
}

func (v *view) serverGateway(n config.Node) *step.Gateway {
	g := &step.Gateway{Name: n.Key()[0], Side: step.Server}
	if !v.resolve(g, n, v.serverIKE) {
		return nil
	}
	dynamic := n.Child("dynamic")
	switch {
	case dynamic.Has("hostname"):
		g.Dynamic = step.Identity{Kind: step.Hostname, Value: dynamic.Get("hostname")}
	case dynamic.Has("inet"):
		g.Dynamic = step.Identity{Kind: step.Inet, Value: dynamic.Get("inet")}
	case dynamic.Has("distinguished-name"):
		g.Dynamic = step.Identity{Kind: step.DistinguishedName, Value: dynamic.Get("distinguished-name")}
	case dynamic.Has("user-at-hostname"):
		g.Dynamic = step.Identity{Kind: step.UserAtHostname, Value: dynamic.Get("user-at-hostname")}
	case n.Has("address"):
		g.Remote = []netip.Addr{v.addr(n, n.Get("address"))}
	default:
		return nil
	}
	if d := n.Child("dead-peer-detection"); d.Exists() {
		g.DPD = &step.DPD{Interval: seconds(d, "interval"), Threshold: int(d.Uint("threshold"))}
	}
	g.Peer = v.peer(g.Name)
	return g
}

// peer reports whether a group that is served has the gateway under its server-cluster. It looks at all groups once.
func (v *view) peer(gateway string) bool {
	if v.peers == nil {
		v.peers = map[string]bool{}
		for e := range v.server.Entries("group") {
			if !e.Has("group-id") {
				continue
			}
			for _, name := range clusterPeers(e) {
				v.peers[name] = true
			}
		}
	}
	return v.peers[gateway]
}

// clusterPeers is the gateways under the server-cluster of a group, in order.
func clusterPeers(group config.Node) (names []string) {
	cluster := group.Child("server-cluster")
	if !cluster.Has("server-role") {
		return nil
	}
	for e := range cluster.Entries("ike-gateway") {
		names = append(names, e.Key()[0])
	}
	return names
}

func (v *view) memberGateway(n config.Node) *step.Gateway {
	g := &step.Gateway{Name: n.Key()[0], Side: step.Member}
	if !v.resolve(g, n, v.memberIKE) {
		return nil
	}
	for _, a := range n.Child("server-address").Values() {
		g.Remote = append(g.Remote, v.addr(n, a))
	}
	if len(g.Remote) == 0 {
		return nil
	}
	return g
}

type policyKey struct {
	side step.Side
	name string
}

// policy is an IKE policy with its proposals resolved.
type policy struct {
	mode      string
	psk       sa.Secret
	cert      *step.Certificate
	anchors   []step.TrustAnchor
	proposals []step.Proposal
}

// resolve fills in what both kinds of gateways have. It reports whether the gateway has a policy.
func (v *view) resolve(g *step.Gateway, n, ike config.Node) bool {
	p := v.policy(g.Side, ike, n.Get("ike-policy"))
	if p == nil {
		return false
	}
	g.Mode, g.PSK, g.Cert, g.Anchors, g.Proposals = p.mode, p.psk, p.cert, p.anchors, p.proposals
	if a := n.Get("local-address"); a != "" {
		g.Local = v.addr(n, a)
	}
	g.LocalID, g.RemoteID = identity(n.Child("local-identity")), identity(n.Child("remote-identity"))
	g.Instance = n.Get("routing-instance")
	g.Quirks = quirks(n)
	return true
}

// policy returns the policy of that name, nil if it is not there.
func (v *view) policy(side step.Side, ike config.Node, name string) *policy {
	key := policyKey{side, name}
	if p, ok := v.policies[key]; ok {
		return p
	}
	var p *policy
	if n := ike.Entry("policy", name); n.Exists() {
		p = &policy{mode: n.Get("mode"), psk: preSharedKey(n.Child("pre-shared-key"))}
		p.cert, p.anchors = v.credentials(n.Child("certificate"))
		for _, name := range n.Child("proposals").Values() {
			e := ike.Entry("proposal", name)
			if !e.Exists() {
				continue // V4 is validation's
			}
			p.proposals = append(p.proposals, step.Proposal{
				Name: name, Auth: authMethod(e), Hash: hash(e, "authentication-algorithm"), DHGroup: dhGroup(e), KeyBits: keyBits(e),
				Lifetime: seconds(e, "lifetime-seconds"),
			})
		}
	}
	if v.policies == nil {
		v.policies = map[policyKey]*policy{}
	}
	v.policies[key] = p
	return p
}

// credentials returns the certificate of a policy with its key, and the issuers that it believes, each once by name; nothing with a
// pre-shared key.
func (v *view) credentials(n config.Node) (*step.Certificate, []step.TrustAnchor) {
	local := v.certificates.Entry("local", n.Get("local-certificate"))
	if !local.Exists() {
		return nil, nil
	}
	var anchors []step.TrustAnchor
	for a := range v.certificates.Entries("trust-anchor") {
		if believes(n, a.Key()[0]) {
			anchors = append(anchors, step.TrustAnchor{Name: a.Key()[0], PEM: a.Get("certificate")})
		}
	}
	slices.SortFunc(anchors, func(a, b step.TrustAnchor) int { return strings.Compare(a.Name, b.Name) })
	return &step.Certificate{Name: local.Key()[0], PEM: local.Child("certificate").Secret()}, anchors
}

// believes reports whether the certificate part of a policy takes certificates of an issuer.
func believes(n config.Node, anchor string) bool {
	return n.Child("trusted-ca").Has("use-all") || slices.Contains(n.Child("trust-anchor").Values(), anchor)
}

// group returns the group of that name with the proposals of its SAs resolved; nil if it is not there or is not served for
// want of a group-id.
func (v *view) group(name string) *step.Group {
	n := v.server.Entry("group", name)
	if !n.Has("group-id") {
		return nil
	}
	g := &step.Group{
		Name: name, ID: uint32(n.Uint("group-id")),
		MemberThreshold:   uint32(n.Uint("member-threshold")),
		ActivationDelay:   seconds(n, "activation-time-delay"),
		DeactivationDelay: seconds(n, "deactivation-time-delay"),
		SenderIDBits:      int(n.Uint("sender-id-bits")),
		AntiReplayWindow:  time.Duration(n.Uint("anti-replay-time-window")) * time.Millisecond,
		NoAntiReplay:      n.Has("no-anti-replay"),
		Selector:          v.selector(n.Child("object-identity")),
	}
	for e := range n.Entries("ike-gateway") {
		g.Members = append(g.Members, e.Key()[0])
	}
	if cluster := n.Child("server-cluster"); cluster.Has("server-role") {
		g.Role = step.RootServer
		if cluster.Get("server-role") == step.SubServer.String() {
			g.Role = step.SubServer
		}
		g.PeerPeriod, g.Peers = seconds(cluster, "retransmission-period"), clusterPeers(n)
	}
	if c := n.Child("server-member-communication"); c.Exists() {
		g.Communication = communication(c)
	}
	for e := range n.Entries("ipsec-sa") {
		if s, ok := v.ipsecSA(e); ok {
			g.SAs = append(g.SAs, s)
		}
	}
	for e := range n.Entries("iec61850-sa") {
		if s, ok := v.iec61850SA(e); ok {
			g.SAs = append(g.SAs, s)
		}
	}
	return g
}

func communication(n config.Node) *step.Communication {
	c := &step.Communication{
		KeyBits: keyBits(n), SigHash: hash(n, "sig-hash-algorithm"), Lifetime: seconds(n, "lifetime-seconds"),
		Retransmission: seconds(n, "retransmission-period"), Retries: int(n.Uint("number-of-retransmission")),
		Certificate: n.Get("certificate"), Hierarchy: n.Has("key-hierarchy"),
	}
	switch n.Get("signature-algorithm") {
	case "ecdsa-256":
		c.SigAlg = sa.ECDSA256
	case "ecdsa-384":
		c.SigAlg = sa.ECDSA384
	}
	if h := c.SigAlg.Hash(); h != 0 {
		c.SigHash = h
	}
	switch n.Get("acknowledgements") {
	case "none":
		c.NoAck = true
	case "sha-512":
		c.AckHash = sa.SHA512
	}
	if n.Get("communication-type") == "multicast" {
		c.Group, _ = netip.ParseAddr(n.Get("multicast-group"))
		c.Interface, c.TTL = n.Get("multicast-outgoing-interface"), defaultTTL
		if n.Has("multicast-ttl") {
			c.TTL = uint8(n.Uint("multicast-ttl"))
		}
	}
	return c
}

// ipsecSA reports false for one that is not used for want of a proposal or a match-policy.
func (v *view) ipsecSA(n config.Node) (step.IPsecSA, bool) {
	p := v.server.Child("ipsec").Entry("proposal", n.Get("proposal"))
	if !p.Exists() || n.Len("match-policy") == 0 {
		return step.IPsecSA{}, false
	}
	s := step.IPsecSA{Name: n.Key()[0], Cipher: espCipher(p), KeyBits: keyBits(p), Lifetime: seconds(p, "lifetime-seconds")}
	if s.Lifetime == 0 {
		s.Lifetime = defaultLifetime
	}
	for m := range n.Entries("match-policy") {
		s.Policies = append(s.Policies, sa.Policy{
			Name: m.Key()[0], Source: v.prefix(m, "source"), Destination: v.prefix(m, "destination"),
			SourcePort: uint16(m.Uint("source-port")), DestinationPort: uint16(m.Uint("destination-port")),
			Protocol: uint8(m.Uint("protocol")),
		})
	}
	return s, true
}

// iec61850SA reports false for one that is not used for want of an object identifier or an authentication-algorithm.
func (v *view) iec61850SA(n config.Node) (step.IPsecSA, bool) {
	if !n.Has("object-identifier") || !n.Has("authentication-algorithm") {
		return step.IPsecSA{}, false
	}
	x := &sa.IEC61850{
		Selector: v.selector(n), Assurance: uint8(n.Uint("key-delivery-assurance")), HasAssurance: n.Has("key-delivery-assurance"),
	}
	for x.Auth = sa.AuthNone; x.Auth < sa.AuthGMAC256 && x.Auth.String() != n.Get("authentication-algorithm"); x.Auth++ {
	}
	for x.Enc = sa.EncNone; x.Enc < sa.EncGCM256 && x.Enc.String() != n.Get("encryption-algorithm"); x.Enc++ {
	}
	return step.IPsecSA{Name: n.Key()[0], Lifetime: seconds(n, "lifetime-seconds"), IEC61850: x}, true
}

// selector reads an object identifier and what goes with it; zero if there is none.
func (v *view) selector(n config.Node) sa.Selector {
	if !n.Has("object-identifier") {
		return sa.Selector{}
	}
	s, err := sa.NewSelector(n.Get("object-identifier"), n.Get("payload"))
	if err != nil { // the schema's patterns leave DER that is none, and numbers of no end
		p := n.Path()
		v.errs = append(v.errs, &config.Error{At: p, Path: p.Edit(), Element: "payload", Tag: "invalid-value", Message: "Must be an IPv4 multicast address, or one element of DER as hexadecimal digits"})
	}
	return s
}

// vpn returns the member VPN of that name; nil if it is not there or is not used, for want of a group or of a gateway that
// is used.
func (v *view) vpn(name string) *step.VPN {
	n := v.member.Child("ipsec").Entry("vpn", name)
	if !n.Has("group") || v.gateway(n.Get("ike-gateway")) == nil {
		return nil
	}
	p := &step.VPN{
		Name: name, Gateway: n.Get("ike-gateway"), Group: uint32(n.Uint("group")), Selector: v.selector(n.Child("object-identity")),
		ExternalInterface: n.Get("group-vpn-external-interface"), RecoveryProbe: n.Has("recovery-probe"),
		DFBit: n.Get("df-bit"), FailOpen: v.rules(n.Child("fail-open")), Exclude: v.rules(n.Child("exclude")),
	}
	if v.zones == nil {
		v.zones = map[string][]step.ZonePair{}
		for e := range v.bindings.Entries("from-zone") {
			vpn, key := e.Get("ipsec-group-vpn"), e.Key()
			v.zones[vpn] = append(v.zones[vpn], step.ZonePair{From: key[0], To: key[1]})
		}
	}
	p.Zones = v.zones[name]
	p.MatchDirection, p.ForwardPolicyMismatch = n.Get("match-direction"), n.Has("forward-policy-mismatch")
	if n.Has("tunnel-mtu") {
		p.TunnelMTU = int(n.Uint("tunnel-mtu"))
	}
	if v.sets == nil {
		v.sets = map[string]step.ServiceSet{}
		for e := range v.services.Entries("service-set") {
			v.sets[e.Get("ipsec-group-vpn")] = step.ServiceSet{Name: e.Key()[0], Interface: e.Child("interface-service").Get("service-interface")}
		}
	}
	p.ServiceSet = v.sets[name]
	return p
}

// matching are the statements of an application that say which packets it is, beside protocol and ports.
var matching = []string{"term", "icmp-type", "icmp-code", "icmp6-type", "icmp6-code", "rpc-program-number", "uuid"}

func (v *view) rules(n config.Node) (out []step.Rule) {
	for e := range n.Entries("rule") {
		r := step.Rule{Name: e.Key()[0], Application: e.Get("application")}
		if a := e.Child("source-address"); a.Has("address") {
			r.Source = v.prefix(a, "address")
		}
		if a := e.Child("destination-address"); a.Has("address") {
			r.Destination = v.prefix(a, "address")
		}
		if a := v.applications.Entry("application", r.Application); a.Exists() {
			r.Defined = &step.Application{
				Protocol: a.Get("protocol"), SourcePort: a.Get("source-port"), DestinationPort: a.Get("destination-port"),
			}
			for c := range a.Children() {
				if slices.Contains(matching, c.Schema().Name()) {
					r.Defined.Other = c.Schema().Name()
					break
				}
			}
		}
		out = append(out, r)
	}
	return out
}

func preSharedKey(n config.Node) sa.Secret {
	if k := n.Child("ascii-text"); k.Exists() {
		return k.Secret()
	}
	digits := n.Child("hexadecimal").Secret()
	even := make(sa.Secret, len(digits)+len(digits)%2)
	copy(even, digits)
	if len(digits)%2 != 0 { // an odd digit is the upper half of a last octet
		even[len(digits)] = '0'
	}
	defer digits.Zero()
	defer even.Zero()
	key := make(sa.Secret, len(even)/2)
	if _, err := hex.Decode(key, even); err != nil {
		return nil // digits are the schema's pattern
	}
	return key
}

func identity(n config.Node) step.Identity {
	for _, i := range []struct {
		kind       step.IdentityKind
		name, leaf string
	}{
		{step.Inet, "inet", "identity-ipv4"},
		{step.Hostname, "hostname", "identity-hostname"},
		{step.UserAtHostname, "user-at-hostname", "identity-user"},
	} {
		if v := n.Child(i.name).Get(i.leaf); v != "" {
			return step.Identity{Kind: i.kind, Value: v}
		}
	}
	if n.Has("distinguished-name") {
		return step.Identity{Kind: step.DistinguishedName, Value: n.Get("distinguished-name")}
	}
	return step.Identity{}
}

func seconds(n config.Node, leaf string) time.Duration {
	return time.Duration(n.Uint(leaf)) * time.Second
}

func hash(n config.Node, leaf string) sa.Hash {
	switch n.Get(leaf) {
	case "sha-256":
		return sa.SHA256
	case "sha-384":
		return sa.SHA384
	case "sha-512":
		return sa.SHA512
	}
	return defaultHash
}

func authMethod(n config.Node) step.AuthMethod {
	for m := range step.ECDSASignatures384 + 1 {
		if n.Get("authentication-method") == m.String() {
			return m
		}
	}
	return step.PreSharedKeys
}

func dhGroup(n config.Node) int {
	if g, err := strconv.Atoi(strings.TrimPrefix(n.Get("dh-group"), "group")); err == nil {
		return g
	}
	return defaultDHGroup
}

func keyBits(n config.Node) int {
	switch n.Get("encryption-algorithm") {
	case "aes-128-cbc", "aes-128-gcm":
		return 128
	case "aes-192-cbc", "aes-192-gcm":
		return 192
	case "aes-256-cbc", "aes-256-gcm":
		return 256
	}
	return defaultKeyBits
}

func espCipher(n config.Node) sa.Cipher {
	if strings.HasSuffix(n.Get("encryption-algorithm"), "-gcm") {
		return sa.GCM
	}
	return sa.CBC
}

func (v *view) addr(at config.Node, s string) netip.Addr {
	a, err := netip.ParseAddr(s)
	if err != nil {
		v.unreadable(at, "address", s)
	}
	return a
}

// prefix returns 0.0.0.0/0, any, if the leaf is absent.
func (v *view) prefix(n config.Node, leaf string) netip.Prefix {
	s := n.Get(leaf)
	if s == "" {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		v.unreadable(n, "prefix", s)
	}
	return p.Masked()
}

func (v *view) unreadable(at config.Node, what, s string) {
	p := at.Path()
	v.errs = append(v.errs, &config.Error{At: p, Path: p.Edit(), Element: s, Tag: "invalid-value", Message: "cannot be read as " + what})
}

// quirks reads what a peer speaks otherwise.
func quirks(n config.Node) (q step.Quirks) {
	c := n.Child("compatibility")
	for leaf, set := range map[string]*bool{
		"host-order-group":          &q.HostOrderGroup,
		"sak-reserved-6":            &q.SAKReserved6,
		"short-kek-lifetime":        &q.ShortKEKLifetime,
		"swapped-addresses":         &q.SwappedAddresses,
		"raw-signature":             &q.RawSignature,
		"host-order-sender-id":      &q.HostOrderSID,
		"padded-length":             &q.PaddedLength,
		"wide-identity-length":      &q.WideIDLen,
		"short-acknowledgement-key": &q.AckShortL,
	} {
		*set = c.Has(leaf)
	}
	return q
}
