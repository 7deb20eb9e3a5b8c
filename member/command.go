package member

import (
	"time"

	"gvpn/ike"
)

// Command is an operator's or the data plane's wish: ClearGroup, ClearIPsec, ClearStatistics, Recover or SendersLow.
type Command interface{ isMemberCommand() }

// ClearGroup drops the keys of one VPN, by name or by group number, or of all if neither is given, together with the phase-1
// SAs of its gateway, and registers again from the first server on (M7).
type ClearGroup struct {
	VPN     string
	GroupID uint32
}

// ClearIPsec drops the TEKs of one VPN, by name or group number, or of all, and pulls again; the KEK stays.
type ClearIPsec struct {
	VPN     string
	GroupID uint32
}

// ClearStatistics sets the counters of one VPN, by name or group number, or of all to zero.
type ClearStatistics struct {
	VPN     string
	GroupID uint32
}

// Recover is the recovery probe: the data plane has seen a packet with an unknown SPI, or sends without receiving, in one VPN
// or, if it cannot tell which, in any of them. A VPN with recovery-probe then pulls; the next probe is taken after 10, 20, 40, 80,
// 160, 320 s at the earliest, whether or not the pull went well, since anybody can send packets with an unknown SPI.
type Recover struct{ VPN string }

// SendersLow says that one VPN has few nonces left under its last sender ID. Another pull brings another: see takeSender.
type SendersLow struct{ VPN string }

func (ClearGroup) isMemberCommand()      {}
func (ClearIPsec) isMemberCommand()      {}
func (ClearStatistics) isMemberCommand() {}
func (Recover) isMemberCommand()         {}
func (SendersLow) isMemberCommand()      {}

// The waits of the recovery probe.
const (
	probeMin = 10 * time.Second
	probeMax = 320 * time.Second
)

// Do carries out a command.
func (m *Member) Do(now time.Time, c Command) {
	switch c := c.(type) {
	case ClearGroup:
		for _, v := range m.chosen(c.VPN, c.GroupID) {
			m.abandon(v)
			m.dropKeys(now, v)
			v.backoff = 0
			v.downReason = "cleared"
			m.emit(ike.Delete{Gateway: v.config.Gateway})
			m.register(now, v)
		}
	case ClearIPsec:
		for _, v := range m.chosen(c.VPN, c.GroupID) {
			m.abandon(v)
			m.dropTEKs(now, v, nil)
			v.retired = nil // what was cleared by hand may come back
			v.backoff = 0
			m.register(now, v)
		}
	case ClearStatistics:
		for _, v := range m.chosen(c.VPN, c.GroupID) {
			v.stats = Stats{}
		}
	case SendersLow:
		for _, v := range m.chosen(c.VPN, 0) {
			if v.config.Name == c.VPN && v.registered {
				m.soon(now, v)
			}
		}
	case Recover:
		for _, v := range m.chosen(c.VPN, 0) {
			m.probe(now, v)
		}
	}
}

// probe pulls because the data plane has reason to doubt its keys, if the configuration and the time since the last probe
// allow it.
func (m *Member) probe(now time.Time, v *vpn) {
	if !v.config.RecoveryProbe || !v.registered || v.attempt != nil || now.Before(v.probeAt) {
		return
	}
	if now.Sub(v.probeAt) > probeMax { // it has been well for long
		v.probeWait = 0
	}
	v.probeWait = min(max(2*v.probeWait, probeMin), probeMax)
	v.probeAt = now.Add(v.probeWait)
	m.register(now, v)
}

func (m *Member) chosen(name string, group uint32) (vpns []*vpn) {
	for _, v := range m.sorted() {
		if (name == "" || v.config.Name == name) && (group == 0 || v.config.Group == group) {
			vpns = append(vpns, v)
		}
	}
	return vpns
}
