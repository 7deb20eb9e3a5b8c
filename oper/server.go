package oper

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"gvpn/sa"
	"gvpn/server"
)

// ServerStatistics is `show security group-vpn server statistics`.
type ServerStatistics []GroupStatistics

// GroupStatistics are one group's counters.
type GroupStatistics struct {
	Name  string      `xml:"group-vpn-group-name"`
	ID    uint32      `xml:"group-vpn-group-id"`
	Stats ServerStats `xml:"server-stats"`
}

// ServerStats holds the counters, in two elements as the schema has it.
type ServerStats struct {
	Counters GroupCounters `xml:"group-vpn-stats"`
}

// GroupCounters are the counters of a group's pulls and pushes.
type GroupCounters struct {
	PullSucceeded       uint64 `xml:"group-vpn-pull-succeeded"`
	PullFailed          uint64 `xml:"group-vpn-pull-failed"`
	PullExceedThreshold uint64 `xml:"group-vpn-pull-exceed-member-threshold"`
	PushSent            uint64 `xml:"group-vpn-push-sent"`
	PushAcknowledged    uint64 `xml:"group-vpn-push-acknowledged"`
	PushUnacknowledged  uint64 `xml:"group-vpn-push-unacknowledged"`
	PullRefused         uint64 `xml:"group-vpn-pull-refused"` // ours: a member that comes again later may be served
}

func serverStatistics(s *State, a Args) (Reply, error) {
	groups, err := s.groups(a)
	reply := ServerStatistics{}
	for _, g := range groups {
		c := g.Statistics
		reply = append(reply, GroupStatistics{Name: g.Name, ID: g.ID, Stats: ServerStats{GroupCounters{
			c.PullSucceeded, c.PullFailed, c.PullExceedThreshold, c.PushSent, c.PushAcknowledged, c.PushUnacknowledged, c.PullRefused,
		}}})
	}
	return reply, err
}

// Root implements Reply.
func (ServerStatistics) Root() string { return "security-group-vpn-server-stats" }

// AppendText implements Reply.
func (r ServerStatistics) AppendText(dst []byte) []byte {
	for i, g := range r {
		c := g.Stats.Counters
		dst = addf(between(dst, i), labelGroup, g.Name, g.ID)
		dst = append(dst, labelStats...)
		dst = addf(dst, labelStat, "Pull Succeeded", c.PullSucceeded)
		dst = addf(dst, labelStat, "Pull Failed", c.PullFailed)
		dst = addf(dst, labelStat, "Pull Exceed Member Threshold", c.PullExceedThreshold)
		dst = addf(dst, labelStat, "Push Sent", c.PushSent)
		dst = addf(dst, labelStat, "Push Acknowledged", c.PushAcknowledged)
		dst = addf(dst, labelStat, "Push Unacknowledged", c.PushUnacknowledged)
		dst = addf(dst, labelStat, "Pull Refused", c.PullRefused) // ours
	}
	return dst
}

// RegisteredMembers is `show security group-vpn server registered-members [detail]`: this server's own (rule M5).
type RegisteredMembers []GroupMembers

// GroupMembers are one group's registered members.
type GroupMembers struct {
	Name    string             `xml:"group-vpn-group-name"`
	ID      uint32             `xml:"group-vpn-group-id"`
	Total   int                `xml:"total-registered-members"`
	Members []RegisteredMember `xml:"registered-member"`

	detail bool
}

// RegisteredMember is one member.
type RegisteredMember struct {
	Gateway string `xml:"member-gateway"`
	Address string `xml:"member-ip"`
	Update  string `xml:"last-update"`
	Vsys    string `xml:"member-vsys"`
	// Acknowledges is an element of our own, in detail: "Yes" if the member has acknowledged a push, "No" if it has let one pass and
	// acknowledged none since, so that pushes are sent to it without waiting (RFC 8263 section 6), "Not yet" if neither.
	Acknowledges string          `xml:"acknowledges-pushes,omitempty"`
	Stats        *MemberCounters `xml:"registered-member-stats"` // detail
}

// MemberCounters are the counters of one registered member.
type MemberCounters struct {
	Pulls              uint64 `xml:"pull-succeeded"`
	PushSent           uint64 `xml:"push-sent"`
	PushAcknowledged   uint64 `xml:"push-acknowledged"`
	PushUnacknowledged uint64 `xml:"push-unacknowledged"`
}

func registeredMembers(s *State, a Args) (Reply, error) {
	groups, err := s.groups(a)
	reply := RegisteredMembers{}
	for _, g := range groups {
		out := GroupMembers{Name: g.Name, ID: g.ID, detail: a.Detail}
		for _, m := range g.Members {
			if a.Peer.IsValid() && m.Remote.Addr() != a.Peer {
				continue
			}
			one := RegisteredMember{Gateway: m.Gateway, Address: m.Remote.Addr().String(), Update: s.clock(m.Updated), Vsys: rootSystem}
			if a.Detail {
				one.Acknowledges = acknowledges(m)
				one.Stats = &MemberCounters{m.Pulls, m.PushSent, m.PushAcknowledged, m.PushUnacknowledged}
			}
			out.Members = append(out.Members, one)
		}
		out.Total = len(out.Members)
		reply = append(reply, out)
	}
	return reply, err
}

func acknowledges(m server.MemberState) string {
	switch {
	case m.Silent:
		return "No"
	case m.Acknowledges:
		return "Yes"
	}
	return "Not yet"
}

// Root implements Reply.
func (RegisteredMembers) Root() string { return "security-group-vpn-server-registered-members" }

// AppendText implements Reply.
func (r RegisteredMembers) AppendText(dst []byte) []byte {
	for i, g := range r {
		dst = addf(between(dst, i), labelGroup, g.Name, g.ID)
		dst = addf(dst, labelMembers, g.Total)
		if !g.detail {
			var rows [][]string
			for _, m := range g.Members {
				rows = append(rows, []string{m.Gateway, m.Address, m.Update, m.Vsys})
			}
			dst = table(dst, "  ", []string{"Member Gateway", "Member IP", "Last Update", "Vsys"}, rows)
			continue
		}
		for _, m := range g.Members {
			dst = addf(append(dst, '\n'), labelMember, m.Gateway, m.Address, m.Vsys)
			dst = addf(dst, labelLastUpdate, m.Update)
			dst = addf(dst, labelAcknowledges, m.Acknowledges)
			dst = append(dst, labelMemberStats...)
			dst = addf(dst, labelMemberStat, "Pull Succeeded", m.Stats.Pulls)
			dst = addf(dst, labelMemberStat, "Push Sent", m.Stats.PushSent)
			dst = addf(dst, labelMemberStat, "Push Acknowledged", m.Stats.PushAcknowledged)
			dst = addf(dst, labelMemberStat, "Push Unacknowledged", m.Stats.PushUnacknowledged)
		}
	}
	return dst
}

// ServerIPsec is `show security group-vpn server ipsec security-associations [detail]`.
type ServerIPsec []GroupSAs

// GroupSAs are one group's TEKs.
type GroupSAs struct {
	Name  string  `xml:"group-vpn-group-name"`
	ID    uint32  `xml:"group-vpn-group-id"`
	Total int     `xml:"total-ipsec-sas"`
	SAs   []TEKSA `xml:"ipsec-security-association"`

	detail bool
}

// TEKSA is one TEK at the server.
type TEKSA struct {
	Name       string          `xml:"ipsec-sa-name"`
	Algorithm  string          `xml:"sa-algorithm"` // "ESP:aes-256/sha256", "IEC61850:aes-128-cbc/hmac-sha-256-128"
	SPI        string          `xml:"sa-spi"`
	Lifetime   int64           `xml:"sa-hard-lifetime"`                      // seconds left
	Protocol   string          `xml:"sa-protocol,omitempty"`                 // detail, as what follows
	HMAC       string          `xml:"sa-hmac-algorithm,omitempty"`           //
	Encryption string          `xml:"sa-esp-encryption-algorithm,omitempty"` //
	AntiReplay string          `xml:"sa-anti-replay-service,omitempty"`      // of one for ESP
	State      string          `xml:"sa-state,omitempty"`                    // "Activated", "Not activated" or "Replaced"
	Rekey      *int64          `xml:"sa-soft-lifetime"`                      // seconds until it is replaced
	Object     *ObjectSelector `xml:"sa-object"`                             // of one for IEC 61850
	Policies   []MatchPolicy   `xml:"match-policy"`
}

// MatchPolicy is one match-policy. Zero prefixes, ports and protocol stand for any.
type MatchPolicy struct {
	Name            string `xml:"name,omitempty"`
	Source          string `xml:"source"`
	Destination     string `xml:"destination"`
	SourcePort      uint16 `xml:"source-port"`
	DestinationPort uint16 `xml:"destination-port"`
	Protocol        uint8  `xml:"protocol"`
}

func matchPolicies(all []sa.Policy) []MatchPolicy {
	var out []MatchPolicy
	for _, p := range all {
		out = append(out, MatchPolicy{p.Name, p.Source.String(), p.Destination.String(), p.SourcePort, p.DestinationPort, p.Protocol})
	}
	return out
}

func serverIPsec(s *State, a Args) (Reply, error) {
	groups, err := s.groups(a)
	reply := ServerIPsec{}
	for _, g := range groups {
		out := GroupSAs{Name: g.Name, ID: g.ID, Total: len(g.TEKs), detail: a.Detail}
		for _, t := range g.TEKs {
			out.SAs = append(out.SAs, tekSA(s, a, t))
		}
		reply = append(reply, out)
	}
	return reply, err
}

func tekSA(s *State, a Args, t server.TEKState) TEKSA {
	protocol, cipher, auth := algorithms(t.IEC61850, t.Cipher, t.KeyBits)
	out := TEKSA{Name: t.Name, Algorithm: protocol + ":" + cipher + "/" + auth, SPI: fmt.Sprintf("%08x", t.SPI), Lifetime: s.remaining(t.Hard)}
	if a.Detail {
		rekey := s.remaining(t.Soft)
		out.Protocol, out.HMAC, out.Encryption, out.Policies, out.Object = protocol, auth, cipher, matchPolicies(t.Policies), selects(t.IEC61850)
		if t.IEC61850 == nil {
			out.AntiReplay = antiReplay(t.Window)
		}
		if out.State = s.inUse(t.Activate); t.Current {
			out.Rekey = &rekey
		} else {
			out.State = "Replaced"
		}
	}
	return out
}

// Root implements Reply.
func (ServerIPsec) Root() string { return "security-group-vpn-server-security-information" }

// AppendText implements Reply.
func (r ServerIPsec) AppendText(dst []byte) []byte {
	for i, g := range r {
		dst = addf(between(dst, i), labelGroup, g.Name, g.ID)
		dst = addf(dst, labelTotalSAs, g.Total)
		if !g.detail {
			var rows [][]string
			for _, t := range g.SAs {
				rows = append(rows, []string{t.Name, t.Algorithm, t.SPI, fmt.Sprint(t.Lifetime)})
			}
			dst = table(dst, "", []string{"IPsec SA", "Algorithm", "SPI", "Lifetime"}, rows)
			continue
		}
		for _, t := range g.SAs {
			dst = addf(dst, labelSA, t.Name)
			dst = addf(dst, labelSAProtocol, t.Protocol, t.HMAC, t.Encryption)
			dst = addf(dst, labelSASPI, t.SPI)
			if t.AntiReplay != "" {
				dst = addf(dst, labelAntiReplay, t.AntiReplay)
			}
			dst = addf(append(dst, "    "...), labelExpires, t.Lifetime, t.State)
			if t.Rekey != nil {
				dst = addf(append(dst, "    "...), labelRekey, *t.Rekey)
			}
			dst = t.Object.appendText(dst)
			for _, p := range t.Policies {
				dst = addf(dst, labelMatchPolicy, p.Name)
				dst = addf(dst, labelMatchSource, p.Source, p.SourcePort)
				dst = addf(dst, labelMatchDest, p.Destination, p.DestinationPort)
				dst = addf(dst, labelMatchProtocol, p.Protocol)
			}
		}
	}
	return dst
}

// ServerKEK is `show security group-vpn server kek security-associations [detail]`.
type ServerKEK struct {
	SAs    []KEKSA    `xml:"gvpn-server-kek-security-associations"`       // brief
	Blocks []KEKBlock `xml:"gvpn-server-kek-security-associations-block"` // detail
}

// KEKSA is one group's KEK. Index is the group's place in the list of all.
type KEKSA struct {
	Index     uint64 `xml:"security-association-index"`
	Life      int64  `xml:"life-remaining"` // seconds
	Initiator string `xml:"initiator-cookie"`
	Responder string `xml:"responder-cookie"`
	GroupID   uint32 `xml:"group-id"`
}

// KEKBlock is a KEK in detail.
type KEKBlock struct {
	Group        KEKGroup        `xml:"kek-sa-group-info"`
	Index        uint64          `xml:"security-association-index"`
	Name         string          `xml:"group-name"`
	GroupID      uint32          `xml:"group-id"`
	Initiator    string          `xml:"initiator-cookie"`
	Responder    string          `xml:"responder-cookie"`
	Method       string          `xml:"kek-sa-authentication-method"`
	Lifetime     int64           `xml:"lifetime-remaining"`
	Activation   int64           `xml:"act-time-remaining"` // 0: a KEK is in use from the push or pull that brings it
	Rekey        int64           `xml:"rekey-time-remaining"`
	Algorithms   KEKAlgorithms   `xml:"kek-sa-algorithms"`
	Traffic      KEKTraffic      `xml:"kek-sa-traffic-statistics"`
	Misc         KEKMisc         `xml:"kek-sa-misc"`
	Server       KEKServer       `xml:"kek-sa-server-info"`
	Negotiations KEKNegotiations `xml:"kek-sa-negotiations"`
}

// The parts of a KEKBlock.
type (
	KEKGroup struct {
		Window          int64  `xml:"kek-sa-group-replay-window"`    // milliseconds, as configured now; 0: none
		ActivationDelay int64  `xml:"kek-sa-group-activation-delay"` // seconds
		Communication   string `xml:"kek-sa-group-multicast-group"`  // the schema's name for it; "Unicast", or "Multicast" and the group
	}
	KEKAlgorithms struct {
		SigHash    string `xml:"kek-sa-authentication-algorithm"`
		Encryption string `xml:"kek-sa-encryption-algorithm"`
	}
	// KEKTraffic is of the group's pushes, repeated ones too, and of their acknowledgements.
	KEKTraffic struct {
		InBytes    uint64 `xml:"kek-sa-input-bytes"`
		OutBytes   uint64 `xml:"kek-sa-output-bytes"`
		InPackets  uint64 `xml:"kek-sa-input-packets"`
		OutPackets uint64 `xml:"kek-sa-output-packets"`
	}
	KEKMisc struct {
		Sequence uint32 `xml:"kek-sa-sequence-number"`
	}
	KEKServer struct {
		Period  int64 `xml:"kek-sa-server-retrans-period"` // seconds
		Retries int   `xml:"kek-sa-server-retrans-number"`
	}
	KEKNegotiations struct {
		Pending int `xml:"kek-sa-num-of-negotiations"`
	}
)

func serverKEK(s *State, a Args) (Reply, error) {
	var reply ServerKEK
	if _, err := s.groups(a); err != nil {
		return nil, err
	}
	for i, g := range s.Server.Groups {
		index := uint64(i + 1)
		if g.KEK == nil || a.Group != "" && g.Name != a.Group || a.GroupID != 0 && g.ID != a.GroupID || a.Index != 0 && a.Index != index {
			continue
		}
		k := g.KEK
		initiator, responder := cookie(k.InitiatorCookie[:]), cookie(k.ResponderCookie[:])
		if !a.Detail {
			reply.SAs = append(reply.SAs, KEKSA{index, s.remaining(k.Hard), initiator, responder, g.ID})
			continue
		}
		reply.Blocks = append(reply.Blocks, KEKBlock{
			Group: KEKGroup{g.Window.Milliseconds(), int64(g.ActivationDelay / time.Second), communication(k.Multicast)},
			Index: index, Name: g.Name, GroupID: g.ID, Initiator: initiator, Responder: responder, Method: strings.ToUpper(k.SigAlg.String()),
			Lifetime: s.remaining(k.Hard), Rekey: s.remaining(k.Soft),
			Algorithms:   KEKAlgorithms{plainHash(k.SigHash.String()), encryptionCBC(k.KeyBits)},
			Traffic:      KEKTraffic{k.InBytes, k.Bytes, k.InPackets, k.Packets},
			Misc:         KEKMisc{k.Seq},
			Server:       KEKServer{int64(k.Period / time.Second), k.Retries},
			Negotiations: KEKNegotiations{g.PushesPending},
		})
	}
	return reply, nil
}

// communication says where pushes go to.
func communication(group netip.AddrPort) string {
	if !group.IsValid() {
		return "Unicast"
	}
	return "Multicast " + group.Addr().String()
}

// Root implements Reply.
func (ServerKEK) Root() string { return "security-group-vpn-server-kek-sa" }

// AppendText implements Reply.
func (r ServerKEK) AppendText(dst []byte) []byte {
	for i, b := range r.Blocks {
		dst = addf(between(dst, i), labelKEKServer, b.Index, b.Name, b.GroupID)
		dst = addf(dst, "  "+labelCookies, b.Initiator, b.Responder)
		dst = addf(dst, "  "+labelKEKMethod, b.Method)
		dst = addf(dst, "  "+labelExpires, b.Lifetime, activated)
		dst = addf(dst, "  "+labelRekey, b.Rekey)
		dst = addf(dst, "  "+labelKEKAlgo, b.Algorithms.SigHash, b.Algorithms.Encryption)
		dst = append(dst, "  "+labelTraffic...)
		dst = addf(dst, labelTrafficLine, "Input bytes", b.Traffic.InBytes)
		dst = addf(dst, labelTrafficLine, "Output bytes", b.Traffic.OutBytes)
		dst = addf(dst, labelTrafficLine, "Input packets", b.Traffic.InPackets)
		dst = addf(dst, labelTrafficLine, "Output packets", b.Traffic.OutPackets)
		dst = addf(dst, "  "+labelSMC, b.Group.Communication)
		dst = addf(dst, "  "+labelRetransmit, b.Server.Period, b.Server.Retries)
		dst = addf(dst, "  "+labelSequence, b.Misc.Sequence)
		dst = addf(dst, "  "+labelPushes, b.Negotiations.Pending)
	}
	if len(r.Blocks) > 0 {
		return dst
	}
	var rows [][]string
	for _, k := range r.SAs {
		rows = append(rows, []string{fmt.Sprint(k.Index), fmt.Sprint(k.Life), k.Initiator, k.Responder, fmt.Sprint(k.GroupID)})
	}
	return table(dst, "", []string{"Index", "Life:sec", "Initiator cookie", "Responder cookie", "GroupId"}, rows)
}
