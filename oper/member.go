package oper

import (
	"fmt"
	"net/netip"
	"slices"

	"gvpn/commit/step"
	"gvpn/member"
	"gvpn/sa"
)

// MemberKEK is `show security group-vpn member kek security-associations [detail]`. Its root is the one that SRX declares
// for it, with the elements of MX below.
type MemberKEK struct {
	SAs    []MemberKEKSA    `xml:"kek-security-associations"`       // brief
	Blocks []MemberKEKBlock `xml:"kek-security-associations-block"` // detail
}

// MemberKEKSA is one VPN's KEK. Index is the VPN's place in the list of all.
type MemberKEKSA struct {
	Index     uint64 `xml:"security-association-index"`
	Server    string `xml:"server-address"`
	Life      int64  `xml:"life-remaining"` // seconds
	Initiator string `xml:"initiator-cookie"`
	Responder string `xml:"responder-cookie"`
	GroupID   uint32 `xml:"group-id"`
}

// MemberKEKBlock is a KEK in detail.
type MemberKEKBlock struct {
	Index      uint64        `xml:"security-association-index"`
	GroupID    uint32        `xml:"group-id"`
	VPN        string        `xml:"group-vpn-name"`
	Local      string        `xml:"local-address"`
	Server     string        `xml:"server-address"`
	Initiator  string        `xml:"initiator-cookie"`
	Responder  string        `xml:"responder-cookie"`
	Lifetime   int64         `xml:"lifetime-remaining"` // seconds
	Sequence   uint32        `xml:"push-sequence-number"`
	Multicast  string        `xml:"kek-sa-group-multicast-group,omitempty"` // "Multicast" and the group
	Algorithms KEKAlgorithms `xml:"kek-sa-algorithms"`
	Stats      KEKStatistics `xml:"gvpn-kek-security-association-statistics"`
}

// KEKStatistics are the schema's list of texts.
type KEKStatistics struct {
	Lines []string `xml:"kek-security-association-statistics"`
}

func memberKEK(s *State, a Args) (Reply, error) {
	var reply MemberKEK
	vpns, places, err := s.vpns(a)
	for i, v := range vpns {
		index := uint64(places[i] + 1)
		k := v.KEK
		if k == nil || a.Index != 0 && a.Index != index || a.Peer.IsValid() && v.Server.Addr() != a.Peer {
			continue
		}
		initiator, responder := cookie(k.SPI[:8]), cookie(k.SPI[8:]) // RFC 6407 section 5.3: the SPI is the cookie pair
		if !a.Detail {
			reply.SAs = append(reply.SAs, MemberKEKSA{index, v.Server.Addr().String(), s.remaining(k.Hard), initiator, responder, v.Group})
			continue
		}
		var multicast string
		if k.Multicast.IsValid() {
			multicast = communication(k.Multicast)
		}
		reply.Blocks = append(reply.Blocks, MemberKEKBlock{
			Multicast: multicast,
			Index:     index, GroupID: v.Group, VPN: v.Name, Local: v.Local.Addr().String(), Server: v.Server.Addr().String(),
			Initiator: initiator, Responder: responder, Lifetime: s.remaining(k.Hard), Sequence: k.Seq,
			Algorithms: KEKAlgorithms{plainHash(k.SigHash.String()), encryptionCBC(k.KeyBits)},
			Stats: KEKStatistics{[]string{
				fmt.Sprintf("Push received: %d", v.Stats.PushSucceeded), fmt.Sprintf("Delete received: %d", v.Stats.DeleteReceived),
			}},
		})
	}
	return reply, err
}

// Root implements Reply.
func (MemberKEK) Root() string { return "ike-security-associations-information" }

// AppendText implements Reply.
func (r MemberKEK) AppendText(dst []byte) []byte {
	for i, b := range r.Blocks {
		dst = addf(between(dst, i), labelKEKMember, b.Index, b.GroupID)
		dst = addf(dst, "  Group VPN Name: %s\n", b.VPN)
		dst = addf(dst, "  Local Gateway: %s, GDOI Server: %s\n", b.Local, b.Server)
		dst = addf(dst, "  "+labelCookies, b.Initiator, b.Responder)
		dst = addf(dst, "  "+labelExpires, b.Lifetime, activated)
		dst = addf(dst, "  "+labelSequence, b.Sequence)
		if b.Multicast != "" {
			dst = addf(dst, "  "+labelSMC, b.Multicast)
		}
		dst = addf(dst, "  "+labelKEKAlgo, b.Algorithms.SigHash, b.Algorithms.Encryption)
		dst = append(dst, "  Stats:\n"...)
		for _, l := range b.Stats.Lines {
			dst = append(append(append(dst, "    "...), l...), '\n')
		}
	}
	if len(r.Blocks) > 0 {
		return dst
	}
	var rows [][]string
	for _, k := range r.SAs {
		rows = append(rows, []string{fmt.Sprint(k.Index), k.Server, fmt.Sprint(k.Life), k.Initiator, k.Responder, fmt.Sprint(k.GroupID)})
	}
	return table(dst, "", []string{"Index", "Server Address", "Life:sec", "Initiator cookie", "Responder cookie", "GroupId"}, rows)
}

// MemberIPsec is `show security group-vpn member ipsec security-associations [detail]`.
type MemberIPsec struct {
	Tunnels int           `xml:"total-active-tunnels"`
	Total   int           `xml:"total-ipsec-sas"`
	Blocks  []MemberBlock `xml:"ipsec-gvpn-security-associations-block"`

	detail bool
}

// MemberBlock is one VPN's SAs.
type MemberBlock struct {
	Stats         *MemberStats   `xml:"ipsec-gvpn-sa-stats"` // detail, as all that is a pointer or may be empty
	SAs           []MemberSA     `xml:"ipsec-security-associations"`
	Policies      []TunnelPolicy `xml:"sa-child-tunnel-id-policy"`
	VirtualSystem string         `xml:"sa-virtual-system"`
	VPN           string         `xml:"sa-vpn-name"`
	Local         string         `xml:"sa-local-gateway,omitempty"`
	Server        string         `xml:"sa-remote-gateway,omitempty"`
	GroupID       uint32         `xml:"sa-gvpn-groupid"`
	VRF           string         `xml:"sa-gvpn-vrf-name,omitempty"`
	RecoveryProbe int            `xml:"sa-recovery-probe,omitempty"` // 1: on
	DFBit         *DFBit         `xml:"sa-df-bit-policy-name"`
	Flags         *SAFlags       `xml:"ipsec-gvpn-sa-flags"`
}

// The parts of a MemberBlock.
type (
	MemberStats struct {
		Lines []string `xml:"ipsec-sa-stats"`
	}
	DFBit struct {
		Value string `xml:"sa-df-bit"`
	}
	SAFlags struct {
		RekeyNeeded string `xml:"sa-rekey-needed"` // "yes" or "no"
	}
	TunnelPolicy struct {
		Tunnel int         `xml:"sa-tunnel-id"`
		Policy ChildPolicy `xml:"sa-child-policy-list"`
	}
	ChildPolicy struct {
		Source      string `xml:"sa-policy-source-prefix"`
		Destination string `xml:"sa-policy-dest-prefix"`
	}
)

// MemberSA is one TEK at the member. It serves both directions.
type MemberSA struct {
	Direction    string          `xml:"sa-direction"`
	Tunnel       int             `xml:"sa-tunnel-index"`
	Server       string          `xml:"sa-gvpn-server"`
	Port         uint16          `xml:"sa-port"`
	Protocol     string          `xml:"sa-protocol"`
	Encryption   string          `xml:"sa-esp-encryption-algorithm"`
	HMAC         string          `xml:"sa-hmac-algorithm"`
	SPI          string          `xml:"sa-spi"`
	HardLifetime *int64          `xml:"sa-hard-lifetime"` // seconds left; absent if it has no lifetime, as one for IEC 61850 may
	Lifesize     string          `xml:"sa-lifesize-remaining"`
	GroupID      uint32          `xml:"sa-gvpn-groupid"`
	System       string          `xml:"sa-virtual-system"`
	Installation string          `xml:"sa-installation-state,omitempty"` // detail, as what follows
	Mode         string          `xml:"sa-mode,omitempty"`
	Type         string          `xml:"sa-type,omitempty"`
	State        string          `xml:"sa-state,omitempty"`
	SoftLifetime *int64          `xml:"sa-soft-lifetime"`
	Activation   *int64          `xml:"sa-activate-lifetime"` // seconds until it is sent with
	AntiReplay   string          `xml:"sa-anti-replay-service,omitempty"`
	Object       *ObjectSelector `xml:"sa-object"` // of one for IEC 61850
}

func memberIPsec(s *State, a Args) (Reply, error) {
	reply := MemberIPsec{detail: a.Detail}
	vpns, places, err := s.vpns(a)
	for i, v := range vpns {
		tunnel := firstTunnel + places[i]
		if len(v.TEKs) == 0 || a.Index != 0 && a.Index != uint64(tunnel) {
			continue
		}
		reply.Tunnels++
		reply.Total += len(v.TEKs)
		b := MemberBlock{VirtualSystem: rootSystem, VPN: v.Name, GroupID: v.Group}
		for _, t := range v.TEKs {
			b.SAs = append(b.SAs, memberSA(s, a, v, t, tunnel))
		}
		if a.Detail {
			memberDetail(&b, v, tunnel)
		}
		reply.Blocks = append(reply.Blocks, b)
	}
	return reply, err
}

func memberSA(s *State, a Args, v member.VPN, t member.TEK, tunnel int) MemberSA {
	out := MemberSA{
		Direction: "bi-directional", Tunnel: tunnel, Server: v.Server.Addr().String(), Port: v.Server.Port(),
		SPI: fmt.Sprintf("%08x", t.SPI), Lifesize: "Unlimited", GroupID: v.Group, System: rootSystem,
	}
	out.Protocol, out.Encryption, out.HMAC = algorithms(t.IEC61850, t.Cipher, t.KeyBits)
	lasts := !t.Hard.IsZero()
	if hard := s.remaining(t.Hard); lasts {
		out.HardLifetime = &hard
	}
	if !a.Detail {
		return out
	}
	if soft := s.remaining(t.Soft); lasts {
		out.SoftLifetime = &soft
	}
	activation := s.remaining(t.Activate)
	if out.Activation, out.Type, out.State = &activation, "Group VPN", s.inUse(t.Activate); t.Replaced {
		out.State = "Replaced"
	}
	if t.IEC61850 != nil { // the data plane is for ESP
		out.Installation, out.Object = "not installed", selects(t.IEC61850)
	} else {
		out.Installation, out.Mode, out.AntiReplay = "installed", "Tunnel", antiReplay(t.Window)
	}
	return out
}

func memberDetail(b *MemberBlock, v member.VPN, tunnel int) {
	st := v.Stats
	b.Stats = new(MemberStats)
	for _, l := range []struct {
		label string
		n     uint64
	}{
		{"Pull Succeeded", st.PullSucceeded},
		{"Pull Failed", st.PullFailed},
		{"Pull Timeout", st.PullTimeout},
		{"Pull Aborted", st.PullAborted},
		{"Push Succeeded", st.PushSucceeded},
		{"Push Failed", st.PushFailed},
		{"Server Failover", st.ServerFailover},
		{"Delete Received", st.DeleteReceived},
		{"Exceed Maximum Keys(4)", st.ExceedKeys},
		{"Exceed Maximum Policies(10)", st.ExceedPolicies},
		{"Unsupported Algo", st.UnsupportedAlgorithm},
	} {
		b.Stats.Lines = append(b.Stats.Lines, fmt.Sprintf("%-27s : %d", l.label, l.n))
	}
	for _, p := range currentPolicies(v) {
		b.Policies = append(b.Policies, TunnelPolicy{tunnel, ChildPolicy{
			subnetID(p.Source, p.SourcePort, p.Protocol), subnetID(p.Destination, p.DestinationPort, p.Protocol),
		}})
	}
	b.Local, b.Server, b.VRF = v.Local.Addr().String(), v.Server.Addr().String(), "default"
	if v.RecoveryProbe {
		b.RecoveryProbe = 1
	}
	b.DFBit, b.Flags = &DFBit{v.DFBit}, &SAFlags{"no"}
	if v.RekeyNeeded {
		b.Flags.RekeyNeeded = "yes"
	}
}

// currentPolicies are the policies of the TEKs that no newer one has replaced.
func currentPolicies(v member.VPN) (out []sa.Policy) {
	for _, t := range v.TEKs {
		if !t.Replaced {
			out = append(out, t.Policies...)
		}
	}
	return out
}

// subnetID writes one side of a policy in the form of an IKE identity, 0 and 0.0.0.0/0 for any.
func subnetID(p netip.Prefix, port uint16, protocol uint8) string {
	proto, at := "any", "0"
	if protocol != 0 {
		proto = fmt.Sprint(protocol)
	}
	if port != 0 {
		at = fmt.Sprint(port)
	}
	return fmt.Sprintf("ipv4_subnet(%s:%s,[0..7]=%s)", proto, at, p)
}

// Root implements Reply.
func (MemberIPsec) Root() string { return "ipsec-security-associations-information" }

// AppendText implements Reply.
func (r MemberIPsec) AppendText(dst []byte) []byte {
	if r.detail && len(r.Blocks) > 0 {
		for i, b := range r.Blocks {
			dst = b.appendDetail(between(dst, i))
		}
		return dst
	}
	dst = addf(dst, labelTunnels, r.Tunnels)
	var rows [][]string
	for _, b := range r.Blocks {
		for _, t := range b.SAs {
			life := "unlim"
			if t.HardLifetime != nil {
				life = fmt.Sprint(*t.HardLifetime)
			}
			rows = append(rows, []string{
				fmt.Sprintf("<>%d", t.Tunnel), t.Server, fmt.Sprint(t.Port), t.Protocol + ":" + t.Encryption + "/" + t.HMAC, t.SPI,
				life + "/ unlim", fmt.Sprint(t.GroupID), t.System,
			})
		}
	}
	return table(dst, "  ", []string{"ID", "Server", "Port", "Algorithm", "SPI", "Life:sec/kb", "GId", "lsys"}, rows)
}

func (b MemberBlock) appendDetail(dst []byte) []byte {
	probe := "Disabled"
	if b.RecoveryProbe == 1 {
		probe = "Enabled"
	}
	dst = addf(dst, "  Virtual-system: %s Group VPN Name: %s\n", b.VirtualSystem, b.VPN)
	dst = addf(dst, "  Local Gateway: %s, GDOI Server: %s\n", b.Local, b.Server)
	dst = addf(dst, "  Group Id: %d\n", b.GroupID)
	dst = addf(dst, "  Routing Instance: %s\n", b.VRF)
	dst = addf(dst, "  Recovery Probe: %s\n", probe)
	dst = addf(dst, "  DF-bit: %s\n", b.DFBit.Value)
	dst = append(dst, "  Stats:\n"...)
	for _, l := range b.Stats.Lines {
		dst = append(append(append(dst, "    "...), l...), '\n')
	}
	dst = addf(dst, "  Flags:\n    Rekey Needed: %s\n", b.Flags.RekeyNeeded)
	dst = append(dst, "\n  List of policies received from server:\n"...)
	for _, p := range b.Policies {
		dst = addf(dst, "  Tunnel-id: %d\n    Source IP: %s\n    Destination IP: %s\n", p.Tunnel, p.Policy.Source, p.Policy.Destination)
	}
	for _, t := range b.SAs {
		dst = addf(dst, "\n    Direction: %s, SPI: %s\n", t.Direction, t.SPI)
		dst = addf(dst, "    Protocol: %s, Authentication: %s, Encryption: %s\n", t.Protocol, t.HMAC, t.Encryption)
		dst = t.Object.appendText(dst)
		if t.HardLifetime != nil {
			dst = addf(dst, "    Hard lifetime: Expires in %d seconds, %s\n", *t.HardLifetime, t.State)
		} else {
			dst = addf(dst, "    Hard lifetime: Never expires, %s\n", t.State)
		}
		if *t.Activation > 0 {
			dst = addf(dst, "    Activation: In %d seconds\n", *t.Activation)
		}
		dst = addf(dst, "    Lifesize Remaining: %s\n", t.Lifesize)
		if t.SoftLifetime != nil {
			dst = addf(dst, "    Soft lifetime: Expires in %d seconds\n", *t.SoftLifetime)
		}
		if t.Object != nil {
			dst = addf(dst, "    Type: %s, State: %s\n", t.Type, t.Installation)
			continue
		}
		dst = addf(dst, "    Mode: %s, Type: %s, State: %s\n", t.Mode, t.Type, t.Installation)
		dst = addf(dst, labelAntiReplay, t.AntiReplay)
	}
	return dst
}

// InactiveTunnels is `show security group-vpn member ipsec inactive-tunnels`: the VPNs without keys, and why.
type InactiveTunnels struct {
	Total  int             `xml:"total-inactive-tunnels"`
	Blocks []InactiveBlock `xml:"ipsec-gvpn-inactive-tunnel-info-block"`
}

// InactiveBlock is one VPN without keys.
type InactiveBlock struct {
	Server  string `xml:"sa-gvpn-server,omitempty"` // the one that is asked now
	GroupID uint32 `xml:"sa-gvpn-groupid"`
	System  string `xml:"sa-virtual-system"`
	Reason  string `xml:"sa-down-reason"`
	VPN     string `xml:"sa-vpn-name"`
	Phase   string `xml:"registration-state"` // ours: "idle", "connecting", "pulling", "waiting"
	Retry   *int64 `xml:"next-registration"`  // ours: seconds until it
}

func inactiveTunnels(s *State, a Args) (Reply, error) {
	var reply InactiveTunnels
	vpns, _, err := s.vpns(a)
	for _, v := range vpns {
		if v.Up {
			continue
		}
		b := InactiveBlock{GroupID: v.Group, System: rootSystem, Reason: v.DownReason, VPN: v.Name, Phase: string(v.Phase)}
		if v.Asking.IsValid() {
			b.Server = v.Asking.String()
		}
		if !v.RegisterAt.IsZero() {
			left := s.remaining(v.RegisterAt)
			b.Retry = &left
		}
		reply.Blocks = append(reply.Blocks, b)
	}
	reply.Total = len(reply.Blocks)
	return reply, err
}

// Root implements Reply.
func (InactiveTunnels) Root() string { return "ipsec-unestablished-tunnel-information" }

// AppendText implements Reply.
func (r InactiveTunnels) AppendText(dst []byte) []byte {
	dst = addf(dst, "  Total inactive tunnels: %d\n", r.Total)
	var rows [][]string
	for _, b := range r.Blocks {
		retry := "-"
		if b.Retry != nil {
			retry = fmt.Sprint(*b.Retry)
		}
		server := b.Server
		if server == "" {
			server = "-"
		}
		rows = append(rows, []string{b.VPN, fmt.Sprint(b.GroupID), server, b.Phase, retry, b.Reason})
	}
	if len(rows) == 0 {
		return dst
	}
	return table(dst, "  ", []string{"Group VPN", "GId", "Server", "State", "Retry:sec", "Tunnel Down Reason"}, rows)
}

// MemberPolicy is `show security group-vpn member policy`: one element a policy, in the order in which policies are tried.
type MemberPolicy []PolicyEntry

// PolicyEntry is one policy of one VPN between two zones.
type PolicyEntry struct {
	VPN         string   `xml:"sa-vpn-name"`
	GroupID     uint32   `xml:"sa-gvpn-groupid"`
	Tunnel      int      `xml:"sa-tunnel-id"`
	Type        string   `xml:"gvpn-policy-type"` // "Exclude", "Secure", "Fail-open" or "Fail-close"
	Source      string   `xml:"sa-policy-source-prefix"`
	Destination string   `xml:"sa-policy-dest-prefix"`
	Zones       ZonePair `xml:"ipsec-gvpn-sa-zone-pair"`
}

// ZonePair is where a policy applies.
type ZonePair struct {
	From string `xml:"from-zone"`
	To   string `xml:"to-zone"`
}

func memberPolicy(s *State, a Args) (Reply, error) {
	vpns, places, err := s.vpns(a)
	reply := MemberPolicy{}
	for i, v := range vpns {
		at := slices.IndexFunc(s.VPNs, func(c step.VPN) bool { return c.Name == v.Name })
		if at < 0 {
			continue
		}
		for _, z := range s.VPNs[at].Zones {
			add := func(tunnel int, kind string, p sa.Policy) {
				reply = append(reply, PolicyEntry{
					v.Name, v.Group, tunnel, kind, selector(p.Source, p.SourcePort, p.Protocol), selector(p.Destination, p.DestinationPort, p.Protocol),
					ZonePair{z.From, z.To},
				})
			}
			for _, r := range s.VPNs[at].Exclude {
				add(firstTunnel+places[i], policyExclude, sa.Policy{Source: r.Source, Destination: r.Destination})
			}
			for _, p := range currentPolicies(v) {
				add(firstTunnel+places[i], policySecure, p)
			}
			for _, r := range s.VPNs[at].FailOpen {
				add(firstTunnel+places[i], policyFailOpen, sa.Policy{Source: r.Source, Destination: r.Destination})
			}
			add(failCloseTunnel, policyFailClose, sa.Policy{})
		}
	}
	return reply, err
}

// selector writes one side of a policy as ranges. An invalid prefix stands for any.
func selector(p netip.Prefix, port uint16, protocol uint8) string {
	if !p.IsValid() {
		p = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	low, high := port, port
	if port == 0 {
		high = 65535
	}
	return fmt.Sprintf("IP <%s - %s>, Port <%d - %d>, Protocol <%d>", p.Masked().Addr(), last(p), low, high, protocol)
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b) // 4 or 16 octets, as they came
	return a
}

// Root implements Reply.
func (MemberPolicy) Root() string { return "gvpn-policy-information" }

// AppendText implements Reply.
func (r MemberPolicy) AppendText(dst []byte) []byte {
	for i, p := range r {
		if i == 0 || r[i-1].VPN != p.VPN || r[i-1].Zones != p.Zones {
			dst = between(dst, i)
			dst = addf(dst, "Group VPN Name: %s, Group Id: %d\n", p.VPN, p.GroupID)
			dst = addf(dst, "From-zone: %s, To-zone: %s\n", p.Zones.From, p.Zones.To)
		}
		dst = addf(dst, "  Tunnel-id: %d, Policy type: %s\n", p.Tunnel, p.Type)
		dst = addf(dst, "    Source      : %s\n", p.Source)
		dst = addf(dst, "    Destination : %s\n", p.Destination)
	}
	return dst
}

// IPsecStatistics is `show security group-vpn member ipsec statistics`. AH is not spoken, so it has no counters.
type IPsecStatistics struct {
	ESP       ESPStatistics   `xml:"esp-statistics"`
	Errors    ErrorStatistics `xml:"error-statistics"`
	D3P       D3PStats        `xml:"d3p-statistics"`
	Exclude   ExcludeStats    `xml:"exclude-statistics"`
	FailOpen  FailOpenStats   `xml:"failopen-statistics"`
	FailClose FailCloseStats  `xml:"failclose-statistics"`
}

// The parts of IPsecStatistics.
type (
	ESPStatistics struct {
		EncryptedBytes   uint64 `xml:"esp-encrypted-bytes"`
		DecryptedBytes   uint64 `xml:"esp-decrypted-bytes"`
		EncryptedPackets uint64 `xml:"esp-encrypted-packets"`
		DecryptedPackets uint64 `xml:"esp-decrypted-packets"`
	}
	ErrorStatistics struct {
		Replay         uint64 `xml:"replay-errors"`
		Authentication uint64 `xml:"esp-authentication-failures"`
		Decryption     uint64 `xml:"esp-decryption-failures"`
		Headers        uint64 `xml:"bad-headers"`
		Trailers       uint64 `xml:"bad-trailers"`
		SPI            uint64 `xml:"invalid-spi-errors"`
		TSCheck        uint64 `xml:"ts-check-fail-errors"`
		MTU            uint64 `xml:"exceeds-tunnel-mtu"`
		Discarded      uint64 `xml:"discard-errors"`
	}
	// D3PStats is also how a data plane's counts of time-based anti-replay come here.
	D3PStats struct {
		TooOld           uint64 `xml:"d3p-too-old-pkts"`
		TooNew           uint64 `xml:"d3p-too-new-pkts"`
		NoTimestamp      uint64 `xml:"d3p-no-timestamp-pkts"`
		Unexpected       uint64 `xml:"d3p-unexpected-pkts"`
		TypeErrors       uint64 `xml:"d3p-type-err-pkts"`
		LengthErrors     uint64 `xml:"d3p-len-err-pkts"`
		NextHeaderErrors uint64 `xml:"d3p-next-hdr-err-pkts"`
	}
	ExcludeStats struct {
		Created uint64 `xml:"exclude-created-sess"`
	}
	FailOpenStats struct {
		Created uint64 `xml:"failopen-created-sess"`
	}
	FailCloseStats struct {
		Dropped uint64 `xml:"failclose-dropped-pkts"`
	}
)

func ipsecStatistics(s *State, _ Args) (Reply, error) {
	t := s.Traffic
	return IPsecStatistics{
		ESP:       ESPStatistics{t.EncryptedBytes, t.DecryptedBytes, t.EncryptedPackets, t.DecryptedPackets},
		Errors:    ErrorStatistics{t.ReplayErrors, t.AuthenticationFailures, t.DecryptionFailures, t.BadHeaders, t.BadTrailers, t.InvalidSPI, t.TSCheckFailures, t.ExceedsTunnelMTU, t.Discarded},
		D3P:       t.D3P,
		Exclude:   ExcludeStats{t.ExcludeSessions},
		FailOpen:  FailOpenStats{t.FailOpenSessions},
		FailClose: FailCloseStats{t.FailCloseDropped},
	}, nil
}

// Root implements Reply.
func (IPsecStatistics) Root() string { return "usp-ipsec-total-statistics-information" }

// AppendText implements Reply.
func (r IPsecStatistics) AppendText(dst []byte) []byte {
	section := func(title string, lines ...any) {
		dst = append(append(dst, title...), ":\n"...)
		for i := 0; i < len(lines); i += 2 {
			dst = addf(dst, "  %-28s %20d\n", lines[i].(string)+":", lines[i+1])
		}
	}
	section("ESP Statistics",
		"Encrypted bytes", r.ESP.EncryptedBytes, "Decrypted bytes", r.ESP.DecryptedBytes,
		"Encrypted packets", r.ESP.EncryptedPackets, "Decrypted packets", r.ESP.DecryptedPackets)
	section("Errors",
		"Replay errors", r.Errors.Replay, "ESP authentication failures", r.Errors.Authentication,
		"ESP decryption failures", r.Errors.Decryption, "Bad headers", r.Errors.Headers, "Bad trailers", r.Errors.Trailers,
		"Invalid SPI", r.Errors.SPI, "TS check fail", r.Errors.TSCheck, "Exceeds tunnel MTU", r.Errors.MTU, "Discarded", r.Errors.Discarded)
	section("D3P Statistics",
		"Too old packets", r.D3P.TooOld, "Too new packets", r.D3P.TooNew, "No timestamp packets", r.D3P.NoTimestamp,
		"Unexpected packets", r.D3P.Unexpected, "Type errors", r.D3P.TypeErrors, "Length errors", r.D3P.LengthErrors,
		"Next header errors", r.D3P.NextHeaderErrors)
	section("Exclude Statistics", "Created sessions", r.Exclude.Created)
	section("Fail-Open Statistics", "Created sessions", r.FailOpen.Created)
	section("Fail-Close Statistics", "Dropped packets", r.FailClose.Dropped)
	return dst
}
