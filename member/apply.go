package member

import (
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/ike"
)

// Apply carries out one effect of Table 3; effects of other tables are not the member's. Package ike's part of a row
// (delete-ike-sa) is an effect of its own.
func (m *Member) Apply(now time.Time, e step.Effect) {
	v := m.vpns[e.VPN]
	if v == nil {
		return
	}
	switch e.Kind {
	case step.Register: // 3.1
		if v.attempt == nil && !v.registered {
			m.register(now, v)
		}
	case step.RegisterAgain: // 3.3: the old TEKs serve until the new ones are in
		m.register(now, v)
	case step.RegisterNewGroup: // 3.3: they are another group's
		m.abandon(v)
		m.dropKeys(now, v)
		v.downReason = "group number changed"
		m.register(now, v)
	case step.RemoveSAs: // 3.2
		m.abandon(v)
		m.dropKeys(now, v)
		v.downReason = "vpn deleted"
		if !m.gatewayShared(v) {
			m.emit(ike.Delete{Gateway: v.config.Gateway})
		}
	case step.AtNextRegister: // 3.4: unless the current server has left the list
		g := m.gateways[v.config.Gateway]
		server := v.server.Addr()
		if v.registered && !slices.Contains(g.Remote, server) {
			m.emit(ike.Delete{Gateway: g.Name, Remote: server})
			m.register(now, v)
		}
	case step.ReloadPolicy: // 3.5: the data plane's, which reads the VPN itself
	}
}

// gatewayShared reports whether another VPN uses the gateway of v.
func (m *Member) gatewayShared(v *vpn) bool {
	for _, o := range m.vpns {
		if o != v && o.config.Gateway == v.config.Gateway {
			return true
		}
	}
	return false
}
