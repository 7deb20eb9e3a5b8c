package member

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"slices"
	"time"

	"gvpn/gdoi"
	"gvpn/sa"
	"gvpn/turn"
)

// HandleDatagram takes a datagram of exchange 33. The order is that of RFC 6407 section 4.4, with the cache of section
// 7.3.4 in front: known datagram, SPI, decryption and form, SEQ, SIG, and only then anything changes. What fails is
// counted and never answered.
func (m *Member) HandleDatagram(now time.Time, local, remote netip.AddrPort, b []byte) {
	sum := sha256.Sum256(b)
	if s := m.seen.find(sum); s != nil {
		// A server repeats a push whose acknowledgement it has not seen: the same octets, so the same answer, and
		// nothing is done twice.
		m.strays.PushRepeated++
		if s.n <= maxAnswers {
			m.acknowledge(now, local, remote, s)
		}
		return
	}
	spi, ok := gdoi.PushSPI(b)
	if !ok {
		m.strays.PushMalformed++
		return
	}
	v, kek := m.byKEK(now, spi)
	if v == nil {
		m.strays.PushUnknownSPI++
		return
	}
	// Under the old KEK too: the other parts of the change that brought the new one.
	p, err := gdoi.OpenPush(kek, v.lkh, b, now, m.speak(v))
	if errors.Is(err, gdoi.ErrReplay) && m.told(now, v, kek, remote, b) {
		m.strays.PushRepeated++
		m.acknowledge(now, local, remote, m.seen.add(seenPush{sum: sum, ack: m.ackOf(v, kek, kek.Seq), local: v.local, server: v.server}))
		return
	}
	if err != nil {
		v.stats.PushFailed++
		v.countRefusal(err)
		return
	}
	previous := kek.Seq
	kek.Seq = p.Seq
	obeyed := kek == v.kek
	ack := m.ackOf(v, kek, p.Seq)
	if !obeyed {
		// The pull that brought the current KEK told everything that a push under the old one could.
		p.Policy.Zero()
		m.strays.PushOldKEK++
	} else if p.Policy != nil {
		v.trim(p.Policy)
	}
	v.stats.PushSucceeded++
	s := m.seen.add(seenPush{sum: sum, ack: ack, local: v.local, server: v.server})
	v.heard = remote
	if obeyed {
		// The first push under a KEK that was pushed has number 1 or, in a cluster, 2.
		m.obey(now, v, p, p.Seq-previous > 1 && p.Seq != 2)
	}
	m.acknowledge(now, local, remote, s)
}

// told reports whether a push is of the server that we are registered with and has the number of the last one, which came from
// another. The servers of a cluster number alike, and one that we were registered with before goes on until we do not answer it:
// what it said first is no news any more, but our own server must not take us for gone. Others get no answer.
func (m *Member) told(now time.Time, v *vpn, kek *sa.KEK, from netip.AddrPort, b []byte) bool {
	if kek.Seq == 0 || from != v.server || !v.heard.IsValid() || v.heard == from || v.lkh != nil { // in a cluster there is no key hierarchy
		return false
	}
	before := *kek
	before.Seq--
	p, err := gdoi.OpenPush(&before, nil, b, now, m.speak(v))
	if err != nil {
		return false
	}
	p.Policy.Zero()
	return p.Seq == kek.Seq
}

// byKEK finds the VPN whose KEK, or whose KEK before that, has this SPI.
func (m *Member) byKEK(now time.Time, spi [16]byte) (*vpn, *sa.KEK) {
	for _, v := range m.sorted() {
		switch {
		case v.kek != nil && v.kek.SPI == spi && now.Before(v.kek.Hard):
			return v, v.kek
		case v.oldKEK != nil && v.oldKEK.SPI == spi && now.Before(v.oldKEKEnd):
			return v, v.oldKEK
		}
	}
	return nil, nil
}

// deleteTEKs removes the TEKs of one protocol that a push deletes, by SPI or, with SPI 0, all of them.
func (m *Member) deleteTEKs(now time.Time, v *vpn, spis []uint32, iec61850 bool) {
	a, of := v.attempt, func(t *sa.TEK) bool { return (t.IEC61850 != nil) == iec61850 }
	for _, spi := range spis {
		if spi == 0 {
			if a != nil && a.policy != nil {
				for i := range a.policy.TEKs {
					if t := &a.policy.TEKs[i]; of(t) {
						a.deleted = append(a.deleted, t.SPI)
					}
				}
			}
			m.dropTEKs(now, v, of)
			continue
		}
		if a != nil && len(a.deleted) < gdoi.MaxTEKs {
			a.deleted = append(a.deleted, spi)
		}
		if _, t := v.find(spi); t != nil && of(&t.TEK) {
			m.removeTEK(now, v, spi)
		}
	}
}

// obey does what a verified push says: deletions first, then what is new. gap says that a push before it never came.
func (m *Member) obey(now time.Time, v *vpn, p *gdoi.Push, gap bool) {
	a := v.attempt
	if p.DeleteAll || p.DeleteKEK || len(p.DeleteTEKs)+len(p.Delete61850) > 0 {
		v.stats.DeleteReceived++
	}
	switch {
	case p.DeleteAll:
		m.notify(turn.Notice, "GKMD_DELETE_RECEIVED", "vpn %s: group %d: server %s deleted every SA", v.config.Name, v.config.Group, v.server.Addr())
		m.abandon(v)
		m.dropKeys(now, v)
		v.downReason = "all SAs deleted by the server"
	default:
		m.deleteTEKs(now, v, p.DeleteTEKs, false)
		m.deleteTEKs(now, v, p.Delete61850, true)
	}
	if p.DeleteKEK {
		m.setKEK(now, v, nil, nil)
		if a != nil {
			a.pushedKEK = true
		}
	}
	switch {
	case p.Excluded:
		// No key of ours opens the new KEK: our part of it is in another push (RFC 6407 section 4), or we are shut out.
		if v.partAt.IsZero() {
			v.partAt = now.Add(partWait + m.jitter(partWait))
		}
		m.notify(turn.Notice, "GKMD_KEK_NOT_OURS", "vpn %s: group %d: push %d from server %s brings a KEK that our keys do not open", v.config.Name, v.config.Group, p.Seq, v.server.Addr())
	case p.Policy != nil:
		if k := p.Policy.KEK; k != nil {
			switch {
			case v.kek != nil && v.kek.SPI == k.SPI:
				k.Zero() // repeated beside a new TEK, as old servers do
			default:
				m.setKEK(now, v, k, p.Policy.LKH)
				if a = v.attempt; a != nil {
					a.pushedKEK = true
				}
			}
		}
		for i := range p.Policy.TEKs {
			if a = v.attempt; a != nil && len(a.pushed) < gdoi.MaxTEKs {
				a.pushed = append(a.pushed, p.Policy.TEKs[i].SPI)
			}
			m.install(now, v, p.Policy.TEKs[i], p.Policy)
		}
		v.registered, v.downReason, v.backoff = true, "", 0
		m.notify(turn.Info, "GKMD_REKEY_RECEIVED", "vpn %s: group %d: push %d from server %s: %s, %d TEKs", v.config.Name, v.config.Group, p.Seq, v.server.Addr(), haveKEK(v), len(v.teks))
	}
	if v.attempt == nil {
		m.schedule(now, v)
	}
	if slices.ContainsFunc(v.teks, func(t *tek) bool { return t.Counts() && !t.disowned && len(t.senders) == 0 }) {
		m.soon(now, v) // a push never brings a sender ID (RFC 6407 section 5.6.4.4), and schedule looks at lifetimes only
	}
	if gap || v.kek == nil && len(v.teks) == 0 {
		// "Start over" (RFC 6407 section 5.9), or a push that we can never take any more since its number has passed: a
		// new pull puts it right (M7).
		if v.kek == nil && len(v.teks) == 0 {
			v.registered = false
		}
		m.soon(now, v)
	}
}
