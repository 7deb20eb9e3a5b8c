package dataplane

import "time"

// State is a copy of what a Plane has, for an operator.
type State struct {
	Stats Stats      // of all packets
	VPNs  []VPNState // by name
}

// VPNState is one VPN.
type VPNState struct {
	Name  string
	Stats Stats // of packets that are known to be the VPN's
	TEKs  []TEKState
}

// TEKState is one TEK, in the order of activation.
type TEKState struct {
	SPI                     uint32
	KeyBits                 int
	Policies                int
	Window                  time.Duration // of time-based anti-replay; 0: none
	Created, Activate, Hard time.Time
	Live                    bool
	Sequence                uint32 // last number sent
	Exhausted               bool   // nothing more can be sent with it: the member needs another TEK, or a sender ID
	Stats                   Stats
}

// State returns a copy of the Plane's state at now.
func (p *Plane) State(now time.Time) State {
	s := State{Stats: p.stats}
	for _, v := range p.vpns {
		vs := VPNState{Name: v.name, Stats: v.stats}
		for _, t := range v.teks {
			vs.TEKs = append(vs.TEKs, TEKState{
				SPI: t.sa.SPI, KeyBits: t.sa.KeyBits, Policies: len(t.policies), Window: t.sa.Window,
				Created: t.sa.Created, Activate: t.sa.Activate, Hard: t.sa.Hard,
				Live: t.live(now), Sequence: t.seq, Exhausted: t.exhausted(), Stats: t.stats,
			})
		}
		s.VPNs = append(s.VPNs, vs)
	}
	return s
}

// ClearStats sets every counter to zero; sequence numbers and keys stay.
func (p *Plane) ClearStats() {
	p.stats = Stats{}
	for _, v := range p.vpns {
		v.stats = Stats{}
		for _, t := range v.teks {
			t.stats = Stats{}
		}
	}
}
