package member

import (
	"net/netip"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/lkh"
	"gvpn/sa"
	"gvpn/turn"
)

type said = ike.SAID

// vpn is one member VPN: its keys, and how it gets new ones.
type vpn struct {
	config step.VPN

	kek       *sa.KEK
	lkh       *lkh.Keys // our keys of the hierarchy that kek is the root of; nil: none
	partAt    time.Time // when to pull for a KEK of which no part of a push was ours; zero: not waiting for another part
	oldKEK    *sa.KEK   // replaced; its pushes are acknowledged, not obeyed, until oldKEKEnd
	oldKEKEnd time.Time
	// oldGroup is where pushes came to before kek, or the lack of one: it is listened to until oldGroupEnd, since a server that has
	// not seen an acknowledgement repeats the push that changed this.
	oldGroup    netip.AddrPort
	oldGroupEnd time.Time
	teks        []*tek          // oldest first
	senders     []turn.SenderID // of the last pull
	retired     []uint32        // SPIs that were replaced or deleted: a late pull does not bring them back

	// The registration that gave the keys.
	registered    bool
	server, local netip.AddrPort
	sa            said
	heard         netip.AddrPort // where the last push came from; invalid: none since then

	attempt    *attempt
	registerAt time.Time     // when to register (again); zero: no time set
	asked      time.Time     // the part of it that soon asked for, which no key that comes meanwhile puts off
	backoff    time.Duration // the last wait; 0 after a success
	downReason string
	bareWait   time.Duration // without a TEK: the last wait for one

	probeWait time.Duration // recovery probe: the last wait
	probeAt   time.Time     // no probe before

	stats Stats
}

// tek is a TEK that the data plane has, or one of IEC 61850, which is kept here only: there is nothing yet to hand it to.
type tek struct {
	sa.TEK
	// replaced says that a newer TEK is for the same traffic; removeAt, if set, is when this one goes before its hard
	// lifetime; disowned, that the server lists it no more.
	replaced bool
	removeAt time.Time
	disowned bool
	senders  []turn.SenderID // that it is sent with
}

// end is when t goes, the zero time for one of IEC 61850 that has no lifetime.
func (t *tek) end() time.Time {
	if !t.removeAt.IsZero() && (t.Hard.IsZero() || t.removeAt.Before(t.Hard)) {
		return t.removeAt
	}
	return t.Hard
}

// over reports whether t's time is over.
func (t *tek) over(now time.Time) bool { return !t.end().IsZero() && !now.Before(t.end()) }

func newVPN() *vpn { return &vpn{downReason: "not registered yet"} }

// name is how the VPN's group is asked for.
func (v *vpn) name() gdoi.GroupName {
	if v.config.Selector != (sa.Selector{}) {
		return gdoi.GroupName{Selector: v.config.Selector}
	}
	return gdoi.GroupName{ID: v.config.Group}
}

func (v *vpn) find(spi uint32) (int, *tek) {
	for i, t := range v.teks {
		if t.SPI == spi {
			return i, t
		}
	}
	return -1, nil
}

// retire notes that spi is not to come back by a pull that was under way.
func (v *vpn) retire(spi uint32) {
	if len(v.retired) == maxRetired {
		v.retired = append(v.retired[:0], v.retired[1:]...)
	}
	v.retired = append(v.retired, spi)
}

// covered reports whether every policy of t is also one of newer's.
func covered(t *sa.TEK, newer ...*tek) bool {
	if t.IEC61850 != nil {
		return slices.ContainsFunc(newer, func(u *tek) bool { return overlap(t, &u.TEK) })
	}
	for _, p := range t.Policies {
		if !slices.ContainsFunc(newer, func(u *tek) bool { return u.covers(p) }) {
			return false
		}
	}
	return true
}

// covers reports whether t is for the traffic of p.
func (t *tek) covers(p sa.Policy) bool {
	return slices.ContainsFunc(t.Policies, p.SameTraffic)
}

// overlap reports whether t and u are for the same traffic, in at least one policy.
func overlap(t, u *sa.TEK) bool {
	if t.IEC61850 != nil || u.IEC61850 != nil {
		return t.SameTraffic(u)
	}
	for _, p := range t.Policies {
		for _, q := range u.Policies {
			if p.SameTraffic(q) {
				return true
			}
		}
	}
	return false
}
