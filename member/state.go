package member

import (
	"net/netip"
	"slices"
	"time"

	"gvpn/sa"
	"gvpn/turn"
)

// Stats are the counters of one VPN, in the words of Junos's detail output.
type Stats struct {
	PullSucceeded, PullFailed, PullTimeout, PullAborted uint64
	PushSucceeded, PushFailed                           uint64
	ServerFailover, DeleteReceived                      uint64
	ExceedKeys                                          uint64 // more than 4 keys for the same traffic
	ExceedPolicies                                      uint64 // more than 10 policies in one TEK
	UnsupportedAlgorithm                                uint64
}

// Strays count pushes that belong to no VPN, or that were not news.
type Strays struct {
	PushMalformed, PushUnknownSPI uint64
	PushRepeated                  uint64 // acknowledged again
	PushOldKEK                    uint64 // acknowledged, not obeyed
}

// Phase is where a VPN's registration stands.
type Phase string

// The phases.
const (
	Idle       Phase = "idle"       // nothing under way; RegisterAt says when
	Connecting Phase = "connecting" // phase 1 with Asking
	Pulling    Phase = "pulling"    // GROUPKEY-PULL with Asking
	Waiting    Phase = "waiting"    // every server failed; RegisterAt says when
)

// State is a copy of what a member knows, without keys.
type State struct {
	VPNs   []VPN // sorted by name
	Strays Strays
}

// VPN is the state of one VPN.
type VPN struct {
	Name          string
	Group         uint32
	Gateway       string
	RecoveryProbe bool
	DFBit         string

	Up          bool   // registered, with keys
	DownReason  string // empty if Up
	Phase       Phase
	Asking      netip.Addr // the server asked now; invalid if none
	RegisterAt  time.Time  // the next registration; zero: none set
	RekeyNeeded bool       // registered, and on the way to new keys

	Senders       []turn.SenderID // of the last pull
	Server, Local netip.AddrPort  // of the last successful registration
	KEK           *KEK            // nil: none
	TEKs          []TEK           // oldest first
	Stats         Stats
}

// KEK is a KEK without its keys.
type KEK struct {
	SPI                 [16]byte
	KeyBits             int
	SigHash             sa.Hash
	Seq                 uint32 // of the last push accepted
	Ack                 uint16
	Multicast           netip.AddrPort // where pushes come to; invalid: to us
	Hierarchy           int            // keys that we hold of a key hierarchy, itself among them; 0: none
	Created, Soft, Hard time.Time
}

// TEK is a TEK without its keys.
type TEK struct {
	SPI                           uint32
	Cipher                        sa.Cipher
	KeyBits                       int
	Policies                      []sa.Policy
	IEC61850                      *sa.IEC61850  // of a TEK for GOOSE or sampled values; nil: for ESP
	Window                        time.Duration // of time-based anti-replay; 0: none
	Created, Activate, Soft, Hard time.Time     // Hard is zero if it has no lifetime, as one for IEC 61850 may
	Replaced                      bool          // a newer TEK is for the same traffic
	RemoveAt                      time.Time     // zero: at Hard
}

// State returns a copy.
func (m *Member) State() State {
	s := State{Strays: m.strays}
	for _, v := range m.sorted() {
		s.VPNs = append(s.VPNs, v.state())
	}
	return s
}

func (v *vpn) state() VPN {
	o := VPN{
		Name: v.config.Name, Group: v.config.Group, Gateway: v.config.Gateway,
		RecoveryProbe: v.config.RecoveryProbe, DFBit: v.config.DFBit,
		Up: v.registered, DownReason: v.downReason, RegisterAt: v.registerAt,
		Senders: slices.Clone(v.senders), Server: v.server, Local: v.local, Stats: v.stats,
	}
	switch a := v.attempt; {
	case a != nil && a.sa == 0:
		o.Phase, o.Asking = Connecting, a.server()
	case a != nil:
		o.Phase, o.Asking = Pulling, a.server()
	case v.backoff > 0:
		o.Phase = Waiting
	default:
		o.Phase = Idle
	}
	o.RekeyNeeded = v.registered && o.Phase != Idle
	if k := v.kek; k != nil {
		o.KEK = &KEK{SPI: k.SPI, KeyBits: k.KeyBits, SigHash: k.SigHash, Seq: k.Seq, Ack: k.Ack, Created: k.Created, Soft: k.Soft, Hard: k.Hard}
		if k.Multicast != nil {
			o.KEK.Multicast = k.Multicast.Group
		}
		if v.lkh != nil {
			o.KEK.Hierarchy = v.lkh.Len()
		}
	}
	for _, t := range v.teks {
		o.TEKs = append(o.TEKs, TEK{
			SPI: t.SPI, Cipher: t.Cipher, KeyBits: t.KeyBits, Policies: slices.Clone(t.Policies), IEC61850: t.IEC61850, Window: t.Window,
			Created: t.Created, Activate: t.Activate, Soft: t.Soft, Hard: t.Hard,
			Replaced: t.replaced, RemoveAt: t.removeAt,
		})
	}
	return o
}
