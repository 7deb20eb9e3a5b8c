package member

import (
	"net/netip"
	"slices"
	"time"

	"gvpn/turn"
)

// Deadline returns when HandleTimeout is due; false if it never is as things stand.
func (m *Member) Deadline() (time.Time, bool) {
	var next time.Time
	see := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, v := range m.vpns {
		if v.attempt != nil {
			see(v.attempt.guard)
		} else {
			see(v.registerAt)
		}
		if v.kek != nil {
			see(v.kek.Hard)
		}
		if v.oldKEK != nil {
			see(v.oldKEKEnd)
		}
		if v.oldGroup.IsValid() {
			see(v.oldGroupEnd)
		}
		for _, t := range v.teks {
			see(t.end())
		}
	}
	if len(m.acks) > 0 {
		see(m.acks[0].at)
	}
	return next, !next.IsZero()
}

// HandleTimeout does what is due at now.
func (m *Member) HandleTimeout(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	for len(m.acks) > 0 && due(m.acks[0].at) {
		m.emit(m.acks[0].out)
		m.acks = slices.Delete(m.acks, 0, 1)
	}
	for _, v := range m.sorted() {
		m.expire(now, v)
		switch a := v.attempt; {
		case a != nil && due(a.guard):
			v.stats.PullTimeout++
			m.fail(now, v, "no end of the registration in time")
		case a == nil && due(v.registerAt):
			m.register(now, v)
		}
	}
}

// expire removes keys whose time is over. A VPN left without any is down and registers at once: nothing protects its
// traffic any more.
func (m *Member) expire(now time.Time, v *vpn) {
	lost := false
	for _, t := range slices.Clone(v.teks) {
		if !t.over(now) {
			continue
		}
		lost = lost || !t.replaced
		m.removeTEK(now, v, t.SPI)
	}
	if v.oldKEK != nil && !now.Before(v.oldKEKEnd) {
		v.oldKEK.Zero()
		v.oldKEK = nil
	}
	if !now.Before(v.oldGroupEnd) {
		v.oldGroup = netip.AddrPort{}
	}
	if v.kek != nil && !now.Before(v.kek.Hard) {
		m.setKEK(now, v, nil, nil)
		lost = true
	}
	if !lost {
		return
	}
	if v.registered && v.kek == nil && len(v.teks) == 0 {
		v.registered, v.downReason = false, "keys expired"
		m.notify(turn.Error, "GKMD_KEYS_EXPIRED", "vpn %s: group %d: the last key expired, and no server gave a new one", v.config.Name, v.config.Group)
	}
	if v.attempt == nil && v.backoff == 0 {
		v.registerAt = now
	}
}
