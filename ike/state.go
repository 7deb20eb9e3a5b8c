package ike

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"gvpn/commit/step"
	"gvpn/sa"
)

// State is a copy of what an operator may see.
type State struct {
	SAs      []SAState // by ID; negotiations under way included
	HalfOpen int       // of SAs, how many peers began and have not finished
	Gateways []GatewayState
	Counters map[string]uint64 // by kind: what was refused and why, what happened; never nil
}

// Status is how far an SA is.
type Status uint8

// The statuses.
const (
	Negotiating Status = iota
	Established
	Closing
)

// String is Junos's word in the State column.
func (s Status) String() string {
	switch s {
	case Established:
		return "UP"
	case Closing:
		return "CLOSING"
	}
	return "DOWN"
}

// SAState is one phase-1 SA.
type SAState struct {
	ID                               SAID
	Gateway                          string
	InitiatorCookie, ResponderCookie [8]byte
	Initiator                        bool
	Status                           Status
	Local, Remote                    netip.AddrPort
	LocalID, RemoteID                string // as on the wire, for a person; RemoteID is empty before it is verified

	Aggressive bool // the mode; else main

	// The algorithms, zero before they are agreed; AES-CBC throughout.
	Auth    step.AuthMethod
	Hash    sa.Hash
	KeyBits int
	DHGroup int

	Created  time.Time     // when the negotiation began
	Expires  time.Time     // end of the lifetime, of the negotiation or of closing
	Lifetime time.Duration // as agreed

	InOctets, InPackets, OutOctets, OutPackets uint64

	DPDSent, DPDAcked, DPDAnswered uint64 // R-U-THERE sent, their answers, and answers given

	ExchangesBegun, ExchangesAnswered uint64 // finished or not
	ExchangesRunning                  int

	TEKsCreated uint64 // by pulls, see Created
}

// GatewayState is DPD of a gateway towards which it runs (step.Gateway.Probes).
type GatewayState struct {
	Name    string
	Running bool
	Missed  int // probes or negotiations without an answer, in a row
	Dead    bool
	DPDCounters
}

// DPDCounters count what DPD of a gateway did under all of its SAs, also those that are gone, since ClearDPD or since there is the gateway.
type DPDCounters struct {
	Sent        uint64 // R-U-THERE
	SendFailed  uint64 // probes that were due while no IKE SA was up: a negotiation went out in their place (D5)
	Acked       uint64 // R-U-THERE-ACK with a number that was out
	InvalidAcks uint64 // R-U-THERE-ACK with another, or with one that was answered before
}

// State returns a copy.
func (e *Endpoint) State() State {
	s := State{HalfOpen: e.half.n() + e.half.pinned, Counters: e.count.all()}
	for _, p := range e.sorted() {
		s.SAs = append(s.SAs, p.look())
	}
	for _, g := range e.gateways {
		if g.c.Probes() {
			s.Gateways = append(s.Gateways, GatewayState{
				Name: g.c.Name, Running: g.dpd.running, Missed: g.dpd.missed, Dead: g.dpd.dead, DPDCounters: g.dpd.count,
			})
		}
	}
	slices.SortFunc(s.Gateways, func(a, b GatewayState) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// sorted is every SA by ID.
func (e *Endpoint) sorted() []*phase1 {
	all := make([]*phase1, 0, len(e.sas))
	for _, p := range e.sas {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *phase1) int { return int(int64(a.id) - int64(b.id)) })
	return all
}
