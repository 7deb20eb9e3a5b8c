package oper

import (
	"fmt"
	"slices"

	"gvpn/commit/step"
	"gvpn/ike"
)

// IKE is `show security group-vpn server|member ike security-associations [detail]`: the phase-1 SAs.
type IKE struct {
	SAs    []IKESA    `xml:"ike-security-associations"`       // brief
	Blocks []IKEBlock `xml:"ike-security-associations-block"` // detail

	root string
}

// IKESA is one phase-1 SA in brief.
type IKESA struct {
	Index     uint64 `xml:"ike-sa-index"`
	State     string `xml:"ike-sa-state"` // "UP", "DOWN" while negotiating, "CLOSING"
	Initiator string `xml:"ike-sa-initiator-cookie"`
	Responder string `xml:"ike-sa-responder-cookie"`
	Mode      string `xml:"ike-sa-exchange-type"`
	Remote    string `xml:"ike-sa-remote-address"`
}

// IKEBlock is one phase-1 SA in detail.
type IKEBlock struct {
	SA      IKEDetail `xml:"ike-security-associations"`
	Remote  string    `xml:"ike-sa-remote-address"`
	Index   uint64    `xml:"ike-sa-index"`
	Gateway string    `xml:"ike-gw-name"`
}

// IKEDetail is what a block says of its SA.
type IKEDetail struct {
	Algorithms    *IKEAlgorithms `xml:"ike-sa-algorithms"` // absent before they are agreed
	Traffic       IKETraffic     `xml:"ike-sa-traffic-statistics"`
	Misc          IKEMisc        `xml:"ike-sa-misc"`
	Payloads      IKEPayloads    `xml:"ike-sa-payload-statistics"`
	PeerID        string         `xml:"ike-ike-id,omitempty"`
	Role          string         `xml:"ike-sa-role"`
	State         string         `xml:"ike-sa-state"`
	Initiator     string         `xml:"ike-sa-initiator-cookie"`
	Responder     string         `xml:"ike-sa-responder-cookie"`
	Mode          string         `xml:"ike-sa-exchange-type"`
	Method        string         `xml:"ike-sa-authentication-method"`
	LocalAddress  string         `xml:"ike-sa-local-address"`
	LocalPort     uint16         `xml:"ike-sa-local-port"`
	RemoteAddress string         `xml:"ike-sa-remote-address"`
	RemotePort    uint16         `xml:"ike-sa-remote-port"`
	Lifetime      int64          `xml:"ike-sa-lifetime"` // seconds left
}

// The parts of an IKEDetail.
type (
	IKEAlgorithms struct {
		Authentication string `xml:"ike-sa-authentication-algorithm"`
		Encryption     string `xml:"ike-sa-encryption-algorithm"`
		PRF            string `xml:"ike-sa-prf-algorithm"`
		Group          string `xml:"ike-sa-dhgroup"`
	}
	IKETraffic struct {
		InBytes    uint64 `xml:"ike-sa-input-bytes"`
		OutBytes   uint64 `xml:"ike-sa-output-bytes"`
		InPackets  uint64 `xml:"ike-sa-input-packets"`
		OutPackets uint64 `xml:"ike-sa-output-packets"`
	}
	// Created counts the TEKs that pulls under the SA brought. Deleted is 0: a push deletes a TEK, or its lifetime does, and neither is
	// under the SA.
	IKEMisc struct {
		Created      uint64 `xml:"ike-sa-num-ipsec-sas-created"`
		Deleted      uint64 `xml:"ike-sa-num-ipsec-sas-deleted"`
		Negotiations int    `xml:"ike-sa-num-phase2-negotiations"`
	}
	IKEPayloads struct {
		ProbesSent   uint64 `xml:"ike-sa-r-u-there-payloads-sent"`
		AcksReceived uint64 `xml:"ike-sa-r-u-there-ack-payloads-received"`
		AcksSent     uint64 `xml:"ike-sa-r-u-there-ack-payloads-sent"`
	}
)

// ikeMode is Junos's word for the mode of an SA.
func ikeMode(sa ike.SAState) string {
	if sa.Aggressive {
		return "Aggressive"
	}
	return "Main"
}

// ikeMethod is the authentication method as Junos writes it; the words for ECDSA are ours.
func ikeMethod(sa ike.SAState) string {
	switch sa.Auth {
	case step.RSASignatures:
		return "RSA-signatures"
	case step.ECDSASignatures256:
		return "ECDSA-signatures-256"
	case step.ECDSASignatures384:
		return "ECDSA-signatures-384"
	}
	return "Pre-shared-keys"
}

func serverIKE(s *State, a Args) (Reply, error) {
	chosen, err := s.groups(a)
	if err != nil {
		return nil, err
	}
	gateways := map[string]bool{}
	for _, g := range chosen {
		for _, c := range s.Groups {
			if c.Name == g.Name {
				for _, name := range slices.Concat(c.Members, c.Peers) {
					gateways[name] = true
				}
			}
		}
	}
	all := a.Group == "" && a.GroupID == 0
	return ikeReply(s, a, "security-group-vpn-server-ike-security-associations-information", func(sa ike.SAState) bool {
		return all || gateways[sa.Gateway]
	}), nil
}

func memberIKE(s *State, a Args) (Reply, error) {
	return ikeReply(s, a, "ike-security-associations-information", func(ike.SAState) bool { return true }), nil
}

func ikeReply(s *State, a Args, root string, want func(ike.SAState) bool) IKE {
	reply := IKE{root: root}
	for _, sa := range s.IKE.SAs {
		if !want(sa) || a.Peer.IsValid() && sa.Remote.Addr() != a.Peer || a.Index != 0 && uint64(sa.ID) != a.Index {
			continue
		}
		brief := IKESA{
			Index: uint64(sa.ID), State: sa.Status.String(), Mode: ikeMode(sa), Remote: sa.Remote.Addr().String(),
			Initiator: cookie(sa.InitiatorCookie[:]), Responder: cookie(sa.ResponderCookie[:]),
		}
		if !a.Detail {
			reply.SAs = append(reply.SAs, brief)
			continue
		}
		d := IKEDetail{
			Traffic:  IKETraffic{sa.InOctets, sa.OutOctets, sa.InPackets, sa.OutPackets},
			Misc:     IKEMisc{Created: sa.TEKsCreated, Negotiations: sa.ExchangesRunning},
			Payloads: IKEPayloads{sa.DPDSent, sa.DPDAcked, sa.DPDAnswered},
			PeerID:   sa.RemoteID, Role: "Responder", State: brief.State, Initiator: brief.Initiator, Responder: brief.Responder,
			Mode: ikeMode(sa), Method: ikeMethod(sa),
			LocalAddress: sa.Local.Addr().String(), LocalPort: sa.Local.Port(),
			RemoteAddress: sa.Remote.Addr().String(), RemotePort: sa.Remote.Port(),
			Lifetime: s.remaining(sa.Expires),
		}
		if sa.Initiator {
			d.Role = "Initiator"
		}
		if sa.KeyBits != 0 {
			hash := plainHash(sa.Hash.String())
			d.Algorithms = &IKEAlgorithms{"hmac-" + hash, encryptionCBC(sa.KeyBits), "hmac-" + hash, fmt.Sprintf("DH-group-%d", sa.DHGroup)}
		}
		reply.Blocks = append(reply.Blocks, IKEBlock{SA: d, Remote: brief.Remote, Index: brief.Index, Gateway: sa.Gateway})
	}
	return reply
}

// Root implements Reply.
func (r IKE) Root() string { return r.root }

// AppendText implements Reply.
func (r IKE) AppendText(dst []byte) []byte {
	for i, b := range r.Blocks {
		d := b.SA
		dst = addf(between(dst, i), "IKE peer %s, Index %d, Gateway Name: %s\n", b.Remote, b.Index, b.Gateway)
		dst = addf(dst, "  Role: %s, State: %s\n", d.Role, d.State)
		dst = addf(dst, "  "+labelCookies, d.Initiator, d.Responder)
		dst = addf(dst, "  Exchange type: %s, Authentication method: %s\n", d.Mode, d.Method)
		dst = addf(dst, "  Local: %s:%d, Remote: %s:%d\n", d.LocalAddress, d.LocalPort, d.RemoteAddress, d.RemotePort)
		dst = addf(dst, "  Lifetime: Expires in %d seconds\n", d.Lifetime)
		if d.PeerID != "" {
			dst = addf(dst, "  Peer ike-id: %s\n", d.PeerID)
		}
		if al := d.Algorithms; al != nil {
			dst = addf(dst, "  Algorithms:\n")
			dst = addf(dst, "    Authentication        : %s\n", al.Authentication)
			dst = addf(dst, "    Encryption            : %s\n", al.Encryption)
			dst = addf(dst, "    Pseudo random function: %s\n", al.PRF)
			dst = addf(dst, "    Diffie-Hellman group  : %s\n", al.Group)
		}
		dst = append(dst, "  "+labelTraffic...)
		dst = addf(dst, labelTrafficLine, "Input bytes", d.Traffic.InBytes)
		dst = addf(dst, labelTrafficLine, "Output bytes", d.Traffic.OutBytes)
		dst = addf(dst, labelTrafficLine, "Input packets", d.Traffic.InPackets)
		dst = addf(dst, labelTrafficLine, "Output packets", d.Traffic.OutPackets)
		dst = addf(dst, "  IPSec security associations: %d created, %d deleted\n", d.Misc.Created, d.Misc.Deleted)
		dst = addf(dst, "  Dead peer detection: %d sent, %d acknowledged, %d answered\n", d.Payloads.ProbesSent, d.Payloads.AcksReceived, d.Payloads.AcksSent)
		dst = addf(dst, "  Phase 2 negotiations in progress: %d\n", d.Misc.Negotiations)
	}
	if len(r.Blocks) > 0 {
		return dst
	}
	// These widths are Junos's own.
	dst = append(dst, "Index   State  Initiator cookie  Responder cookie  Mode           Remote Address\n"...)
	for _, sa := range r.SAs {
		dst = addf(dst, "%-7d %-6s %-17s %-17s %-14s %s\n", sa.Index, sa.State, sa.Initiator, sa.Responder, sa.Mode, sa.Remote)
	}
	return dst
}
