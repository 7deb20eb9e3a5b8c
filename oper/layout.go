package oper

import (
	"fmt"
	"strings"
	"time"
)

// The labels and column widths of the text layouts. junos-facts.md section 2.3 has the order of fields verified for most of
// them; the labels themselves are known from memory, and the widths are ours.
const (
	labelGroup = "Group: %s, Group Id: %d\n"

	labelClusterRole   = "Role: %s, Version Number: %d\n"
	labelPeerGateway   = "Peer gateway: %s\n"
	labelPeerAddresses = "  Peer IP: %s, Local IP: %s, VR: %s\n"
	labelPeerRole      = "  Role: %s, Status: %s\n"
	labelDiffers       = "Configuration of %s differs in: %s\n" // ours (rule V8)
	labelPeerCounter   = "  %-34s%d\n"

	labelStats = "Stats:\n"
	labelStat  = "    %-28s: %d\n"

	labelMembers      = "  Total number of registered members: %d\n"
	labelMember       = "  Member gateway: %s, Member IP: %s, Vsys: %s\n"
	labelLastUpdate   = "    Last Update: %s\n"
	labelAcknowledges = "    Acknowledges pushes: %s\n" // ours
	labelMemberStats  = "    Stats:\n"
	labelMemberStat   = "        %-24s: %d\n"

	labelTotalSAs      = "Total IPsec SAs: %d\n"
	labelSA            = "  IPsec SA: %s\n"
	labelSAProtocol    = "    Protocol: %s, Authentication: %s, Encryption: %s\n"
	labelSASPI         = "    SPI: %s\n"
	labelAntiReplay    = "    Anti-replay service: %s\n"
	labelExpires       = "Lifetime: Expires in %d seconds, %s\n"
	labelRekey         = "Rekey in %d seconds\n"
	labelObject        = "    Object identifier: %s\n" // ours, as the two below
	labelPayload       = "    Payload: %s\n"
	labelAssurance     = "    Key delivery assurance: %d%%\n"
	labelMatchPolicy   = "    Match policy: %s\n"
	labelMatchSource   = "      Source: %s, Port: %d\n"
	labelMatchDest     = "      Destination: %s, Port: %d\n"
	labelMatchProtocol = "      Protocol: %d\n"

	labelKEKServer   = "Index: %d, Group Name: %s, Group Id: %d\n"
	labelKEKMember   = "Index: %d, Group Id: %d\n"
	labelCookies     = "Initiator cookie: %s, Responder cookie: %s\n"
	labelKEKMethod   = "Authentication method: %s\n"
	labelKEKAlgo     = "Algorithms:\n    Sig-hash              : %s\n    Encryption            : %s\n"
	labelTraffic     = "Traffic statistics:\n"
	labelTrafficLine = "    %-22s: %d\n"
	labelSMC         = "Server Member Communication: %s\n"
	labelRetransmit  = "Retransmission Period: %d, Number of Retransmissions: %d\n"
	labelSequence    = "Group Key Push sequence number: %d\n"
	labelPushes      = "PUSH negotiations in progress: %d\n"

	labelDatagrams = "%-8s%-40s%12d\n" // ours

	labelTunnels = "  Total active tunnels: %d\n"
)

// The kinds of policy of a member, in the order in which they are tried.
const (
	policyExclude   = "Exclude"
	policySecure    = "Secure"
	policyFailOpen  = "Fail-open"
	policyFailClose = "Fail-close"
)

// rootSystem is the name of the only virtual system.
const rootSystem = "root"

// activated and notYet say whether an SA is in use.
const (
	activated = "Activated"
	notYet    = "Not activated"
)

// addf appends formatted text.
func addf(dst []byte, format string, args ...any) []byte { return fmt.Appendf(dst, format, args...) }

// table appends rows in columns that are as wide as their title or their widest cell, two blanks apart; the last column has no
// padding. indent stands before each row.
func table(dst []byte, indent string, titles []string, rows [][]string) []byte {
	widths := make([]int, len(titles))
	for i, t := range titles {
		widths[i] = len(t)
	}
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	for _, r := range append([][]string{titles}, rows...) {
		line := indent
		for i, c := range r {
			line += c + strings.Repeat(" ", widths[i]-len([]rune(c))+2)
		}
		dst = append(append(dst, strings.TrimRight(line, " ")...), '\n')
	}
	return dst
}

// clock writes a point in time.
func (s *State) clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.In(s.Now.Location()).Format("2006-01-02 15:04:05 MST")
}

// inUse words whether now is at or after the time from which something is used.
func (s *State) inUse(from time.Time) string {
	if s.Now.Before(from) {
		return notYet
	}
	return activated
}

// between puts a blank line between the blocks of a reply.
func between(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, '\n')
	}
	return dst
}
