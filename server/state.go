package server

import (
	"net/netip"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/sa"
)

// State is a copy of what an operator may see. Times are absolute; there is no key in it.
type State struct {
	Groups   []GroupState // by name
	Members  int          // of all groups
	Counters Counters
}

// GroupState is one group.
type GroupState struct {
	Name            string
	ID              uint32
	Role            step.Role
	Version         uint64 // of its SAs: a root counts its changes, a sub-server has its root's
	Ready           bool   // has the keys that a member must be given
	RootActive      bool   // sub-server only (D4)
	KEK             *KEKState
	TEKs            []TEKState    // by configured order of ipsec-sas, older before newer
	Members         []MemberState // by gateway, then address
	Statistics      Statistics
	Mismatch        Mismatch
	PushesPending   int // not done for every member
	ActivationDelay time.Duration
	// DeactivationDelay is how long a replaced TEK lives.
	DeactivationDelay time.Duration
	// Window is that of time-based anti-replay for the next TEKs for ESP; 0: none.
	Window  time.Duration
	Senders sa.Senders // sender IDs that this server has not given; the zero value: none go with the keys
}

// KEKState is a KEK without its keys.
type KEKState struct {
	InitiatorCookie, ResponderCookie [8]byte // the SPI
	KeyBits                          int
	SigAlg                           sa.SigAlg
	SigHash                          sa.Hash
	Seq                              uint32         // of the last push under it
	Ack                              uint16         // RFC 8263's type of acknowledgement, 0 for none
	Multicast                        netip.AddrPort // where pushes go to; invalid: to each member
	Hierarchy                        int            // members in the key hierarchy, those to be taken out with them; -1: there is none
	Created, Soft, Hard              time.Time
	Period                           time.Duration // retransmission-period and number-of-retransmission of its pushes
	Retries                          int
	Bytes, Packets                   uint64 // pushes sent for the group, repeated ones too
	InBytes, InPackets               uint64 // their acknowledgements
}

// TEKState is a TEK without its keys.
type TEKState struct {
	Name                          string
	SPI                           uint32
	Cipher                        sa.Cipher
	KeyBits                       int
	Policies                      []sa.Policy
	IEC61850                      *sa.IEC61850  // of a TEK for GOOSE or sampled values; nil: for ESP
	Window                        time.Duration // of time-based anti-replay; 0: none
	Created, Soft, Hard, Activate time.Time
	Current                       bool // false: replaced, and lives until its deactivation
}

// MemberState is a registered member.
type MemberState struct {
	Gateway                                               string
	Local, Remote                                         netip.AddrPort
	Registered, Updated                                   time.Time
	Pulls, PushSent, PushAcknowledged, PushUnacknowledged uint64
	Acknowledges                                          bool // has acknowledged a push
	// Silent: it has let a push pass that it should have acknowledged, and has acknowledged none since. It stays, and is not waited
	// for (RFC 8263 section 6).
	Silent bool
}

// Statistics are a group's counters: those of `show security group-vpn server statistics`, and two of ours at the end. A push
// counts once for each member.
type Statistics struct {
	PullSucceeded, PullFailed, PullExceedThreshold uint64
	PushSent, PushAcknowledged, PushUnacknowledged uint64
	PushRetransmitted                              uint64
	PullRefused                                    uint64 // keys not there yet, root inactive, or too many at once
}

// Mismatch counts where a root's SAs were not what the sub-server's own configuration says (V8, T13).
type Mismatch struct{ Policy, Proposal, KEK, Communication uint64 }

// Counters are the server's own.
type Counters struct {
	PullUnknownGroup, PullMalformed         uint64
	QuickMode                               uint64 // which has the exchange number of a pull (RFC 2409 section 5.5)
	AckMalformed, AckUnexpected, AckInvalid uint64
}

// State returns a copy.
func (s *Server) State() State {
	st := State{Members: s.total(), Counters: s.counters}
	for _, g := range s.sorted() {
		st.Groups = append(st.Groups, g.state())
	}
	return st
}

func (g *group) state() GroupState {
	st := GroupState{
		Name: g.name, ID: g.conf.ID, Role: g.conf.Role, Version: g.version, Ready: g.ready(), RootActive: g.rootActive,
		Statistics: g.stats, Mismatch: g.mismatch, PushesPending: len(g.box.pushes), ActivationDelay: g.activationDelay(), DeactivationDelay: g.deactivationDelay(),
		Window:  g.conf.Window(),
		Senders: g.senders.recorded(),
	}
	if k := g.kek; k != nil {
		st.KEK = &KEKState{
			InitiatorCookie: [8]byte(k.SPI[:8]), ResponderCookie: [8]byte(k.SPI[8:]),
			KeyBits: k.KeyBits, SigAlg: k.SigAlg, SigHash: k.SigHash, Seq: k.Seq, Ack: k.Ack,
			Created: k.Created, Soft: k.Soft, Hard: k.Hard, Period: g.period, Retries: g.retries,
			Bytes: g.sentBytes, Packets: g.sentPackets, InBytes: g.ackBytes, InPackets: g.ackPackets, Hierarchy: -1,
		}
		if k.Multicast != nil {
			st.KEK.Multicast = k.Multicast.Group
		}
		if g.lkh.tree != nil {
			st.KEK.Hierarchy = g.lkh.tree.Members()
		}
	}
	for _, i := range g.inOrder() {
		t := &g.teks[i]
		st.TEKs = append(st.TEKs, TEKState{
			Name: t.Name, SPI: t.SPI, Cipher: t.Cipher, KeyBits: t.KeyBits, Policies: slices.Clone(t.Policies), IEC61850: t.IEC61850, Window: t.Window,
			Created: t.Created, Soft: t.Soft, Hard: t.Hard, Activate: t.Activate, Current: g.isCurrent(i),
		})
	}
	for _, m := range g.sorted() {
		st.Members = append(st.Members, MemberState{
			Gateway: m.gateway, Local: m.local, Remote: m.remote, Registered: m.since, Updated: m.updated,
			Pulls: m.pulls, PushSent: m.sent, PushAcknowledged: m.acked, PushUnacknowledged: m.unacked, Acknowledges: m.acknowledges, Silent: m.silent,
		})
	}
	return st
}
