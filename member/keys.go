package member

import (
	"slices"
	"time"

	"gvpn/gdoi"
	"gvpn/lkh"
	"gvpn/sa"
	"gvpn/turn"
)

// takePulled makes the group's state, as a pull tells it whole, the VPN's: what is not in it is gone at the server. What
// was pushed while the pull was under way is newer and wins; a pull whose SEQ is behind ours is as old as that, and then
// only adds (RFC 6407 section 3.3).
func (m *Member) takePulled(now time.Time, v *vpn, a *attempt) {
	p := a.policy
	m.takeSender(v, p)
	stale := a.pushedKEK
	other := stale && (p.KEK == nil || v.kek == nil || p.KEK.SPI != v.kek.SPI)
	switch {
	case a.pushedKEK:
		p.KEK.Zero()
		p.LKH.Zero()
	case v.kek != nil && p.KEK != nil && v.kek.SPI == p.KEK.SPI && v.kek.Key.Equal(p.KEK.Key):
		stale = p.KEK.Seq < v.kek.Seq
		v.kek.Seq = max(v.kek.Seq, p.KEK.Seq)
		v.kek.Ack, v.kek.Multicast = p.KEK.Ack, p.KEK.Multicast
		m.hear(v, v.kek)
		p.KEK.Zero()
		v.setHierarchy(p.LKH)
	default:
		m.setKEK(now, v, p.KEK, p.LKH)
	}
	p.TEKs = slices.DeleteFunc(p.TEKs, func(t sa.TEK) bool {
		gone := slices.Contains(a.deleted, t.SPI) || !t.Hard.IsZero() && !now.Before(t.Hard) // since the policy came
		if gone {
			t.Zero()
		}
		return gone
	})
	if !stale {
		for _, t := range slices.Clone(v.teks) {
			if slices.ContainsFunc(p.TEKs, func(u sa.TEK) bool { return u.SPI == t.SPI }) {
				if t.disowned { // by a server that was not in step: others live by it still
					t.replaced, t.disowned, t.removeAt = false, false, time.Time{}
				}
				continue
			}
			if t.disowned {
				continue
			}
			if slices.ContainsFunc(p.TEKs, func(u sa.TEK) bool { return overlap(&t.TEK, &u) }) {
				// Its deactivation is over at the server, so nobody waits for us: we have missed a push.
				t.replaced, t.disowned = true, true
				if at := now.Add(max(p.DeactivationDelay, p.ActivationDelay)); t.removeAt.IsZero() || at.Before(t.removeAt) {
					t.removeAt = at
				}
			} else {
				m.removeTEK(now, v, t.SPI)
			}
		}
	}
	for i := range p.TEKs {
		t := p.TEKs[i]
		m.shorten(now, v, &t)
		if slices.Contains(v.retired, t.SPI) && v.succeeded(&t, p.TEKs[i+1:]) {
			t.Zero()
			continue
		}
		at := slices.IndexFunc(v.teks, func(u *tek) bool {
			later := func(l sa.TEK) bool { return l.SPI == u.SPI }
			return overlap(&u.TEK, &t) && (slices.Contains(a.pushed, u.SPI) || slices.ContainsFunc(p.TEKs[i+1:], later))
		})
		if _, held := v.find(t.SPI); held == nil && at >= 0 {
			m.installOlder(now, v, at, t, p)
			continue
		}
		m.install(now, v, t, p)
	}
	if other {
		// The KEK that we hold may be from before the group began anew, and its TEKs must not be sent with under this number: the
		// next one that counts has us come again.
		v.senders = nil
	}
}

// give hands a TEK to the data plane, which is for ESP.
func (m *Member) give(v *vpn, t *tek) {
	if t.IEC61850 != nil {
		return
	}
	i := turn.InstallTEK{VPN: v.config.Name, TEK: t.TEK.Clone()}
	if t.Counts() {
		i.Senders = t.senders
	}
	m.emit(i)
}

// takeSender takes over our new sender ID: "By distributing new SID values, the key server ensures that each time a conforming
// group member installs a Data-Security SA it will use a unique set of counter-based mode nonces" (RFC 6407 section 3.5). TEKs
// that we hold already are sent with under it too, but none that the server does not list: the group may have begun anew since,
// and with the TEKs of before somebody else had this number. Of several the data plane uses one after the other.
func (m *Member) takeSender(v *vpn, p *gdoi.Policy) {
	ids := p.SenderIDs
	if ids == nil {
		if !counting(p) {
			v.senders = nil // the next TEK that counts may be of a group that has begun anew
		} else if len(v.senders) == 0 {
			m.notify(turn.Warning, "GKMD_NO_SENDER_ID", "vpn %s: group %d: server %s gave no sender ID: nothing is sent under its AES-GCM keys", v.config.Name, v.config.Group, v.server.Addr())
		}
		return
	}
	v.senders = nil // the data plane has the old ones
	for _, value := range ids.Values {
		v.senders = append(v.senders, turn.SenderID{Value: value, Bits: ids.Bits})
	}
	for _, t := range v.teks {
		if t.Counts() && slices.ContainsFunc(p.TEKs, func(u sa.TEK) bool { return u.SPI == t.SPI }) {
			t.senders = v.senders
			m.give(v, t)
		}
	}
}

// shorten takes over an earlier end of a TEK that we hold: the server has replaced it meanwhile. Lifetimes come in whole
// seconds, so less than two is no difference.
func (m *Member) shorten(now time.Time, v *vpn, t *sa.TEK) {
	_, held := v.find(t.SPI)
	if held == nil || !held.Key.Equal(t.Key) || t.Hard.IsZero() || !held.Hard.IsZero() && held.Hard.Sub(t.Hard) < 2*time.Second {
		return
	}
	held.Hard = t.Hard
	held.Soft = m.soft(now, held.Hard, m.leastLead(v))
	m.give(v, held)
}

// succeeded reports whether a TEK that was removed here has a successor, among those that we hold or that the pull lists
// after it. If not, the server lives by it still, and so must we.
func (v *vpn) succeeded(t *sa.TEK, later []sa.TEK) bool {
	return slices.ContainsFunc(v.teks, func(u *tek) bool { return overlap(&u.TEK, t) }) ||
		slices.ContainsFunc(later, func(u sa.TEK) bool { return overlap(&u, t) })
}

// installOlder gives the data plane a TEK that is older than the one at place at, which came before it: to receive with from
// those who still send with it.
func (m *Member) installOlder(now time.Time, v *vpn, at int, t sa.TEK, p *gdoi.Policy) {
	if len(v.teks) >= maxTEKs {
		v.stats.ExceedKeys++
		t.Zero()
		return
	}
	t.Soft = m.soft(now, t.Hard, m.leastLead(v))
	if t.IEC61850 == nil || t.Activate.IsZero() { // without an SA_ATD
		t.Activate = now
		if newer := v.teks[at].Activate.Add(-time.Millisecond); newer.Before(now) {
			t.Activate = newer
		}
	}
	old := &tek{TEK: t, senders: v.senders}
	v.replace(now, old, &v.teks[at].TEK, p)
	v.teks = slices.Insert(v.teks, at, old)
	m.give(v, old)
}

// install gives the data plane a TEK, which it takes over. If an older TEK serves the same traffic, members that are slower
// than we still send and receive with that one: so the new one is sent with after ACTIVATION_TIME_DELAY, and the old one
// goes after DEACTIVATION_TIME_DELAY (RFC 6407 section 5.4.1), which is taken as no less than the former. Without a
// DEACTIVATION_TIME_DELAY the old one stays until its hard lifetime.
//
// In a group without a KEK nobody is told of a new TEK: each member finds it when it registers again before the old one ends,
// all within the same small part of its lifetime. So the old one stays until then, and the new one is sent with after half of
// what is left of it.
//
// TEKs of one message are taken in its order: our servers list older ones before newer ones.
func (m *Member) install(now time.Time, v *vpn, t sa.TEK, p *gdoi.Policy) {
	if _, held := v.find(t.SPI); held != nil {
		if held.Key.Equal(t.Key) && held.AuthKey.Equal(t.AuthKey) {
			t.Zero()
			return
		}
		m.removeTEK(now, v, t.SPI)
	}
	if len(v.teks) >= maxTEKs {
		v.stats.ExceedKeys++
		t.Zero()
		return
	}
	told := t.Activate // SA_ATD: for IEC 61850, where it is not received with before, and so the same for all members
	t.Activate = now
	same := 0
	for _, old := range v.teks {
		if !overlap(&old.TEK, &t) {
			continue
		}
		same++
		if !old.usable(now) || old.disowned {
			continue
		}
		delay := p.ActivationDelay
		if v.kek == nil && t.IEC61850 == nil {
			delay = max(delay, old.end().Sub(now)/2)
		}
		if at := now.Add(delay); at.After(t.Activate) {
			t.Activate = at
		}
	}
	if !told.IsZero() {
		t.Activate = told
	}
	t.Soft = m.soft(now, t.Hard, m.leastLead(v))
	fresh := &tek{TEK: t, senders: v.senders}
	v.teks = append(v.teks, fresh)
	for i, old := range v.teks {
		// Only when newer ones are for all of its traffic: two ipsec-sas may have a policy in common.
		if !old.replaced && overlap(&old.TEK, &t) && covered(&old.TEK, v.teks[i+1:]...) {
			v.replace(now, old, &t, p)
		}
	}
	m.give(v, fresh)
	if same >= maxKeysPerTraffic {
		v.stats.ExceedKeys++
		oldest := slices.IndexFunc(v.teks, func(old *tek) bool { return overlap(&old.TEK, &t) })
		m.removeTEK(now, v, v.teks[oldest].SPI)
	}
}

// replace notes that newer TEKs do the work of t, not before by is active.
func (v *vpn) replace(now time.Time, t *tek, by *sa.TEK, p *gdoi.Policy) {
	t.replaced = true
	if p.DeactivationDelay > 0 && v.kek != nil {
		t.removeAt = now.Add(max(p.DeactivationDelay, p.ActivationDelay, by.Activate.Sub(now)))
	}
}

// usable reports whether packets are sent with t now.
func (t *tek) usable(now time.Time) bool { return !now.Before(t.Activate) && !t.over(now) }

// removeTEK takes a TEK away, everywhere. A TEK that waited for its activation behind it becomes active at once, if no other
// serves the traffic meanwhile.
func (m *Member) removeTEK(now time.Time, v *vpn, spi uint32) {
	i, t := v.find(spi)
	if t == nil {
		return
	}
	v.teks = slices.Delete(v.teks, i, i+1)
	v.retire(spi)
	t.Zero()
	if t.IEC61850 != nil {
		return // one that waits behind it waits on: nobody else uses it sooner
	}
	m.emit(turn.RemoveTEK{VPN: v.config.Name, SPI: spi})
	for _, next := range v.teks {
		if !next.Activate.After(now) {
			continue
		}
		if slices.ContainsFunc(t.Policies, func(p sa.Policy) bool {
			serves := func(u *tek) bool { return u.usable(now) && u.covers(p) }
			return next.covers(p) && !slices.ContainsFunc(v.teks, serves)
		}) {
			next.Activate = now
			m.give(v, next)
		}
	}
}

// setHierarchy replaces our keys of the hierarchy, nil is none; a part of a push that we waited for is not needed any more.
func (v *vpn) setHierarchy(keys *lkh.Keys) {
	v.lkh.Zero()
	v.lkh, v.partAt = keys, time.Time{}
}

// setKEK replaces the KEK, and the hierarchy that it is the root of; nil is none. Pushes under the old one are acknowledged for
// a while yet.
func (m *Member) setKEK(now time.Time, v *vpn, k *sa.KEK, keys *lkh.Keys) {
	v.setHierarchy(keys)
	v.oldKEK.Zero()
	v.oldKEK, v.oldKEKEnd = nil, time.Time{}
	if v.kek != nil && k != nil {
		v.oldKEK, v.oldKEKEnd = v.kek, now.Add(oldKEKLinger)
		if v.kek.Hard.Before(v.oldKEKEnd) {
			v.oldKEKEnd = v.kek.Hard
		}
	} else {
		v.kek.Zero()
	}
	if v.kek != nil && v.kek.Multicast != nil {
		v.oldGroup, v.oldGroupEnd = v.kek.Multicast.Group, now.Add(oldKEKLinger)
	}
	v.kek = k
	m.hear(v, k)
	if k != nil {
		k.Soft = m.soft(now, k.Hard, m.options.LeadMin)
	}
}

// dropTEKs removes every TEK of the VPN that pick chooses; nil is all.
func (m *Member) dropTEKs(now time.Time, v *vpn, pick func(*sa.TEK) bool) {
	for _, t := range slices.Backward(slices.Clone(v.teks)) {
		if pick == nil || pick(&t.TEK) {
			m.removeTEK(now, v, t.SPI)
		}
	}
}

// dropKeys removes every key of the VPN; it is then not registered.
func (m *Member) dropKeys(now time.Time, v *vpn) {
	m.dropTEKs(now, v, nil)
	m.setKEK(now, v, nil, nil)
	v.retired = nil
	v.senders = nil // the server may give it to another, for the keys to come
	v.registered, v.sa, v.registerAt, v.asked = false, 0, time.Time{}, time.Time{}
}

// leastLead is how long before the end of a TEK the VPN registers again at least.
func (m *Member) leastLead(v *vpn) time.Duration {
	if v.kek == nil {
		return m.options.LeadUntold
	}
	return m.options.LeadMin
}

// soft is when a member registers again for a key that dies at hard, if no push has replaced it by then; never for one that does not.
func (m *Member) soft(now, hard time.Time, least time.Duration) time.Time {
	if hard.IsZero() {
		return hard
	}
	left := hard.Sub(now)
	lead := left / 100 * 7 // in this order: a server may give 2^32-1 s, and seven times that is no Duration
	// A seventh of it at random, so that members do not all come at once, nor do those of short keys: least is what is left of that.
	lead = max(lead, least/6*7)
	return hard.Add(-min(lead-m.jitter(lead/7), left/2))
}

// schedule sets the next registration by the keys that are held: the earliest soft lifetime of those that are not replaced.
// A soft lifetime that has passed without bringing a new key is tried again after half of what is left. A VPN with a KEK and no
// TEK waits for a push, but not for ever: the server may have forgotten us.
func (m *Member) schedule(now time.Time, v *vpn) {
	next := time.Time{}
	see := func(soft *time.Time, hard time.Time) {
		if !soft.After(now) {
			*soft = now.Add(max(hard.Sub(now)/2, m.options.BackoffMin))
			if soft.After(hard) {
				*soft = hard
			}
		}
		if next.IsZero() || soft.Before(next) {
			next = *soft
		}
	}
	if v.kek != nil {
		see(&v.kek.Soft, v.kek.Hard)
	}
	for _, t := range v.teks {
		if !t.replaced && !t.Hard.IsZero() {
			see(&t.Soft, t.Hard)
		}
	}
	if len(v.teks) > 0 {
		v.bareWait = 0
	} else {
		v.bareWait = min(max(2*v.bareWait, bareMin), bareMax)
		if at := now.Add(v.bareWait + m.jitter(v.bareWait/4)); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, at := range []time.Time{v.asked, v.partAt} {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	v.registerAt = next
}
