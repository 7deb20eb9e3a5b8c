package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/sa"
	"gvpn/turn"
)

const (
	// maxPerName is how many TEKs of one ipsec-sa live side by side: members take up to four for the same traffic.
	maxPerName = 3
	// maxOver is how many TEKs a sub-server remembers that have reached their end.
	maxOver = 64
)

// margin is how long before the hard lifetime the successor is made: see doc.go.
func margin(lifetime, room time.Duration) time.Duration {
	return min(max(lifetime/10, room), lifetime/2)
}

// untold is how long before its end the successor of a TEK that nobody is told of is made at least: members come for it up to 49 s
// before, even where keys live for minutes (package member).
const untold = time.Minute

// tekRoom is room for a TEK.
func (g *group) tekRoom() time.Duration {
	d := g.room() + g.conf.ActivationDelay
	if g.conf.Communication == nil {
		d = max(d, untold)
	}
	return d
}

// room is how long it may take until every member has a push, and on a root every sub-server before that. A member gets its pushes
// one after the other, so that before the one for a TEK it may have that for a KEK to acknowledge, or the other way round.
func (g *group) room() time.Duration {
	period, retries := defaultPeriod, defaultRetries
	if c := g.conf.Communication; c != nil {
		period, retries = c.Retransmission, c.Retries
	}
	d := 2 * (time.Duration(retries)*period + max(period, minAckWait))
	if g.conf.Role == step.RootServer {
		d += 2 * g.conf.PeerPeriod
	}
	return d
}

// lateSoft is when a sub-server asks for the successor: after its root should have sent it (C6).
func lateSoft(soft, hard time.Time) time.Time { return soft.Add(hard.Sub(soft) / 4) }

// current is the index of the current TEK of an ipsec-sa, -1 if it has none.
func (g *group) current(name string) int {
	for i := len(g.teks) - 1; i >= 0; i-- {
		if g.teks[i].Name == name {
			return i
		}
	}
	return -1
}

// isCurrent reports whether no newer TEK of the same name follows g.teks[i].
func (g *group) isCurrent(i int) bool { return g.current(g.teks[i].Name) == i }

// configured returns the configuration of an ipsec-sa, nil if there is none of that name.
func (g *group) configured(name string) *step.IPsecSA {
	for i := range g.conf.SAs {
		if g.conf.SAs[i].Name == name {
			return &g.conf.SAs[i]
		}
	}
	return nil
}

// carrier is the KEK that the members hold, under which a push reaches them; nil if they hold none.
func (g *group) carrier() *sa.KEK {
	if g.old != nil {
		return g.old
	}
	return g.kek
}

// needKey sees to it that g has a signature key, or gets one. It reports whether it is there.
func (s *Server) needKey(g *group) bool {
	switch {
	case len(g.sig.Private) > 0 && g.sigAlg == g.conf.Communication.SigAlg:
		return true
	case g.kek != nil && len(g.kek.SigPrivate) > 0 && g.kek.SigAlg == g.conf.Communication.SigAlg: // a sub-server that becomes the root goes on with the cluster's
		g.setSignatureKey(g.kek.SigAlg, turn.KeyPair{Public: bytes.Clone(g.kek.SigPublic), Private: g.kek.SigPrivate.Clone()})
		s.dirty[g] = true
		return true
	case g.sigWork == 0 || g.sigAsked != g.conf.Communication.SigAlg:
		g.sigRetry = time.Time{}
		g.sigAsked = g.conf.Communication.SigAlg
		op := turn.Op(turn.RSAKey{Bits: sigKeyBits})
		if g.sigAsked != sa.RSA {
			op = turn.ECDSAKey{Alg: g.sigAsked}
		}
		g.sigWork = s.ask(job{group: g}, op) // an answer to an earlier one finds nobody
	}
	return false
}

// setSignatureKey takes over a key to sign with, in place of one that is destroyed.
func (g *group) setSignatureKey(alg sa.SigAlg, pair turn.KeyPair) {
	g.sig.Private.Zero()
	g.sig, g.sigAlg = pair, alg
}

// keyMade takes over a group's signature key, and makes the KEK that waited for it.
func (s *Server) keyMade(now time.Time, g *group, r turn.Result) {
	g.sigWork = 0
	pair, ok := r.Value.(turn.KeyPair)
	switch {
	case r.Err != nil || !ok:
		g.sigRetry = now.Add(workRetry)
		s.notify(turn.Error, "GKSD_SIGNATURE_KEY_FAILED", fmt.Sprintf("group %s: no signature key could be made: %v", g.name, r.Err))
		return
	case g.forgotten || g.conf.Role == step.SubServer || g.conf.Communication == nil:
		pair.Private.Zero()
		return
	}
	g.setSignatureKey(g.sigAsked, pair)
	s.dirty[g] = true
	if g.want {
		subs := g.wantSubs
		g.want, g.wantSubs = false, false
		s.makeKEK(now, g)
		s.sendKEK(now, g, subs)
	}
}

// catchUp is the push number under a new KEK that a root leaves free. A sub-server that gets the KEK together with TEKs which
// the root numbered under the one before pushes those TEKs under the new one, with this number; so they number alike after it.
const catchUp = 1

// makeKEK gives g a new KEK of its current configuration. Members are not told yet: until sendKEK the old one carries the
// pushes. Without a signature key it is made when that is there.
func (s *Server) makeKEK(now time.Time, g *group) {
	c := g.conf.Communication
	if c == nil || g.conf.Role == step.SubServer {
		return
	}
	if !s.needKey(g) {
		g.want = true
		return
	}
	iv, key := s.rootKEK(g, c)
	k := &sa.KEK{
		SPI: s.kekSPI(), KeyBits: c.KeyBits, IV: iv, Key: key,
		SigAlg: c.SigAlg, SigHash: c.SigHash, SigPublic: bytes.Clone(g.sig.Public), SigPrivate: g.sig.Private.Clone(),
		Ack:       ackType(c), // whatever the signature's hash: every member can do HMAC-SHA-256
		Multicast: s.multicast(c),
		Created:   now, Hard: now.Add(c.Lifetime),
	}
	k.Soft = k.Hard.Add(-margin(c.Lifetime, g.room()))
	if g.conf.Role == step.RootServer {
		k.Seq = catchUp
	}
	s.setKEK(now, g, k)
	g.period, g.retries = c.Retransmission, c.Retries
	s.notify(turn.Info, "GKSD_KEK_CREATED", fmt.Sprintf("group %s: new KEK, lifetime %v", g.name, c.Lifetime))
}

// ackType is the acknowledgement that a configuration asks members for (RFC 8263 section 2).
func ackType(c *step.Communication) uint16 {
	switch {
	case c.NoAck:
		return 0
	case c.Hierarchy && c.AckHash == sa.SHA512:
		return gdoi.AckLKHSHA512
	case c.Hierarchy: // "prefer LKH types": no other member can make them (RFC 8263 section 7)
		return gdoi.AckLKHSHA256
	case c.AckHash == sa.SHA512:
		return gdoi.AckKEKSHA512
	}
	return gdoi.AckKEKSHA256
}

// setKEK replaces the KEK. What members hold stays as the carrier; one that they never heard of is destroyed.
func (s *Server) setKEK(now time.Time, g *group, k *sa.KEK) {
	if g.carrier() == nil {
		g.endReplaced(now)
	}
	if g.old == nil {
		g.old = g.kek
	} else {
		g.kek.Zero()
	}
	g.kek = k
	g.stamp++
	s.dirty[g] = true
}

// kekSPI draws a KEK SPI: no octet zero (old peers compare it as a C string), and not in use.
func (s *Server) kekSPI() (spi [16]byte) {
	for {
		for i := range spi {
			for spi[i] = 0; spi[i] == 0; {
				spi[i] = s.draw(1)[0]
			}
		}
		if !slices.ContainsFunc(s.sorted(), func(g *group) bool { return g.kek != nil && g.kek.SPI == spi }) {
			return spi
		}
	}
}

// tekSPI draws a TEK SPI that no group uses; 1..255 are reserved (RFC 4303 section 2.1) and 0 means all (RFC 6407 section 5.9).
func (s *Server) tekSPI() uint32 {
	for {
		spi := binary.BigEndian.Uint32(s.draw(4))
		if spi < minTEKSPI {
			continue
		}
		if !slices.ContainsFunc(s.sorted(), func(g *group) bool { return g.has(spi) }) {
			return spi
		}
	}
}

func (g *group) has(spi uint32) bool {
	return slices.ContainsFunc(g.teks, func(t sa.TEK) bool { return t.SPI == spi })
}

// blankTEK is what the configuration of an ipsec-sa or iec61850-sa says of its TEKs.
func blankTEK(x *step.IPsecSA) sa.TEK {
	return sa.TEK{Name: x.Name, Cipher: x.Cipher, KeyBits: x.KeyBits, Policies: x.Policies, IEC61850: x.IEC61850}
}

// windowOf is the anti-replay window of TEKs that are made now (rows 1.6 and 1.7); those that there are keep theirs.
func windowOf(g *step.Group, x *step.IPsecSA) time.Duration {
	if x.IEC61850 != nil {
		return 0
	}
	return g.Window()
}

// makeTEK gives an ipsec-sa a new TEK of its current configuration.
func (s *Server) makeTEK(now time.Time, g *group, x *step.IPsecSA) {
	t := blankTEK(x)
	key, auth, _ := t.KeyLengths() // check has asked
	t.SPI, t.Key, t.AuthKey, t.Window = s.tekSPI(), s.draw(key), s.draw(auth), windowOf(&g.conf, x)
	t.Policies, t.Created, t.Hard, t.Activate = slices.Clone(x.Policies), now, now.Add(x.Lifetime), now
	t.Soft = t.Hard.Add(-margin(x.Lifetime, g.tekRoom()))
	if at := g.current(x.Name); at >= 0 {
		t.Activate = g.activation(now, &g.teks[at])
	}
	if t.Counts() {
		s.beginSenders(g)
	}
	s.addTEK(now, g, t)
	s.notify(turn.Info, "GKSD_TEK_CREATED", fmt.Sprintf("group %s: new TEK for %s %s, SPI %#08x, lifetime %v", g.name, x.Statement(), x.Name, t.SPI, x.Lifetime))
}

// activation is when a TEK that is made now in place of old is used. One for IEC 61850 is not even received with before (RFC 8052
// section 2.2.4.1): so it is in use a little before the end of old, however long the delay, and where no push brings it not
// sooner either: then all members have come for it, each before the end of old by its own clock.
func (g *group) activation(now time.Time, old *sa.TEK) time.Time {
	at := now.Add(g.conf.ActivationDelay)
	if old.IEC61850 == nil {
		return at
	}
	late := old.Hard.Add(-min(g.conf.ActivationDelay, old.Hard.Sub(old.Created)/20))
	if g.conf.Communication == nil || late.Before(at) {
		at = late
	}
	if at.Before(now) {
		return now
	}
	return at
}

// addTEK makes t the current TEK of its name. Older ones end at their deactivation, the deactivation delay from now; but in
// a group without a KEK nobody can be told, and they live on until members have come for the new one, or a KEK comes: see endReplaced.
func (s *Server) addTEK(now time.Time, g *group, t sa.TEK) {
	end := now.Add(g.deactivationDelay())
	older := 0
	for i := len(g.teks) - 1; i >= 0; i-- {
		o := &g.teks[i]
		if o.Name != t.Name {
			continue
		}
		if older++; older >= maxPerName {
			o.Zero()
			g.teks = slices.Delete(g.teks, i, i+1)
			continue
		}
		if o.Hard.After(end) && g.carrier() != nil {
			o.Hard = end
		}
	}
	g.teks = append(g.teks, t)
	g.stamp++
	s.dirty[g] = true
}

// endReplaced ends what addTEK left alive, now that the group gets a KEK: members to whom a pull gives that and older TEKs drop
// those after the deactivation delay, though not before the newest is active. One that comes later must not get them any more: it
// would send with what the others do not have.
func (g *group) endReplaced(now time.Time) {
	for i := range g.teks {
		if g.isCurrent(i) {
			continue
		}
		t, end := &g.teks[i], now.Add(g.deactivationDelay())
		if newest := g.teks[g.current(t.Name)].Activate; newest.After(end) { // for IEC 61850 it waits for the end of the one before
			end = newest
		}
		if t.Hard.After(end) {
			t.Hard = end
		}
	}
}

// doomed names a TEK that is gone, or is to go, as members must be told: each protocol deletes its own.
type doomed struct {
	spi      uint32
	iec61850 bool
}

func doom(t *sa.TEK) doomed { return doomed{t.SPI, t.IEC61850 != nil} }

// deletion is what members are told of TEKs that are gone, and of the KEK if that is.
func deletion(kek bool, teks []doomed) gdoi.Push {
	p := gdoi.Push{DeleteKEK: kek}
	for _, t := range teks {
		if t.iec61850 {
			p.Delete61850 = append(p.Delete61850, t.spi)
		} else {
			p.DeleteTEKs = append(p.DeleteTEKs, t.spi)
		}
	}
	return p
}

// has61850 reports whether members have, or are about to have, TEKs for IEC 61850: "delete all" names that protocol too then. To
// others it is not named, since they may not know it.
func (g *group) has61850() bool {
	conf := func(x step.IPsecSA) bool { return x.IEC61850 != nil }
	return slices.ContainsFunc(g.teks, func(t sa.TEK) bool { return t.IEC61850 != nil }) ||
		slices.ContainsFunc(g.conf.SAs, conf) || slices.ContainsFunc(g.before.SAs, conf)
}

// dropTEKs destroys the TEKs that pick chooses.
func (s *Server) dropTEKs(g *group, pick func(i int) bool) {
	var gone []int
	for i := range g.teks {
		if pick(i) {
			gone = append(gone, i)
		}
	}
	for _, i := range slices.Backward(gone) {
		g.teks[i].Zero()
		g.teks = slices.Delete(g.teks, i, i+1)
	}
	if len(gone) > 0 {
		g.stamp++
		s.dirty[g] = true
	}
}

// dropKEK destroys the KEK, and the one before it if members still hold that.
func (s *Server) dropKEK(g *group) {
	if g.kek == nil && g.old == nil && !g.want {
		return
	}
	s.dropTree(g)
	g.kek.Zero()
	g.old.Zero()
	g.kek, g.old, g.want, g.wantSubs = nil, nil, false, false
	g.stamp++
	s.dirty[g] = true
}

// deleteKeys destroys every key of the group, its signature key too. What pushes under way need is theirs (T11, T14).
func (s *Server) deleteKeys(now time.Time, g *group) {
	s.keepNumber(now, g)
	g.owed = nil
	if g.conf.Role != step.SubServer { // whose root says when a run is over
		g.senders = senderIDs{reset: g.senders.reset} // they are for keys that nobody gets any more
	}
	s.dropKEK(g)
	for i := range g.teks {
		g.deleted[g.teks[i].Name] = append(g.deleted[g.teks[i].Name], doom(&g.teks[i]))
	}
	s.dropTEKs(g, func(int) bool { return true })
	s.dropSignatureKey(g)
}

// fill makes what g should have and has not: after a restart.
func (s *Server) fill(now time.Time, g *group) {
	if g.conf.Role == step.SubServer {
		return
	}
	if g.conf.Communication != nil && g.kek == nil && !g.want {
		s.makeKEK(now, g)
	}
	for i := range g.conf.SAs {
		if x := &g.conf.SAs[i]; g.current(x.Name) < 0 {
			s.makeTEK(now, g, x)
		}
	}
}

// tick does what the lifetimes of g's keys ask for.
func (s *Server) tick(now time.Time, g *group) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if due(g.sigRetry) {
		g.sigRetry = time.Time{}
		s.needKey(g)
	}
	dead := s.expire(now, g)
	if g.conf.Role == step.SubServer {
		switch {
		case dead: // C7
			s.unregister(g, func(*member) bool { return true })
			g.rootActive, g.nextAsk = false, now.Add(askPeriod) // the cluster engine asks from here on
			s.notify(turn.Warning, "GKSD_HARD_LIFETIME", fmt.Sprintf("group %s: an SA reached its hard lifetime without a successor: members deleted", g.name))
			s.emit(HardExpired{Group: g.name})
		case g.asks() && due(g.askTime()): // C6
			g.nextAsk = now.Add(askPeriod)
			s.emit(SoftExpired{Group: g.name})
		}
		return
	}
	// One that waits for its signature key is not asked for again.
	kek := g.conf.Communication != nil && !g.want && (g.kek == nil && dead || g.kek != nil && due(g.kek.Soft))
	var names []string
	for i := range g.conf.SAs {
		x := &g.conf.SAs[i]
		if c := g.current(x.Name); c < 0 && dead || c >= 0 && due(g.teks[c].Soft) {
			names = append(names, x.Name)
		}
	}
	s.rekey(now, g, kek, names)
}

// askPeriod is how long a sub-server waits before it asks for the same successor again.
const askPeriod = 30 * time.Second

// rekey replaces the KEK and the TEKs of the named ipsec-sas, and tells everybody. New TEKs travel under the new KEK, in a
// push of their own (RFC 6407 section 7.4.1).
func (s *Server) rekey(now time.Time, g *group, kek bool, names []string) {
	if kek {
		s.makeKEK(now, g)
		s.sendKEK(now, g, true)
	}
	for _, name := range names {
		if x := g.configured(name); x != nil {
			s.makeTEK(now, g, x)
		}
	}
	if len(names) > 0 {
		s.sendTEKs(now, g, true, func(name string) bool { return slices.Contains(names, name) })
	}
}

// expire destroys what is dead. It reports whether a key died that had no successor; on a standalone or root server the
// members of a KEK that died cannot be told anything any more, so they go.
func (s *Server) expire(now time.Time, g *group) (dead bool) {
	if g.kek != nil && !now.Before(g.kek.Hard) {
		s.dropKEK(g)
		dead = true
		if g.conf.Role != step.SubServer {
			s.unregister(g, func(*member) bool { return true })
			s.notify(turn.Warning, "GKSD_HARD_LIFETIME", fmt.Sprintf("group %s: the KEK reached its hard lifetime: members deleted", g.name))
		}
	}
	ended := false
	s.dropTEKs(g, func(i int) bool {
		if now.Before(g.teks[i].Hard) {
			return false
		}
		dead = dead || g.isCurrent(i)
		ended = true
		if g.conf.Role == step.SubServer {
			g.over = append(g.over[max(0, len(g.over)-maxOver+1):], g.teks[i].SPI)
		}
		return true
	})
	if ended && g.kek == nil && g.conf.Communication == nil {
		s.age(g)
	}
	return dead
}

// age forgets the members of a group without pushes that have none of its living TEKs: such a one has not come for them.
func (s *Server) age(g *group) {
	before := len(g.members)
	s.unregister(g, func(m *member) bool {
		return !slices.ContainsFunc(g.teks, func(t sa.TEK) bool { return !m.updated.Before(t.Created) })
	})
	if n := before - len(g.members); n > 0 {
		s.notify(turn.Notice, "GKSD_MEMBERS_AGED", fmt.Sprintf("group %s: %d members did not come for new keys and are removed", g.name, n))
	}
}

// asks reports whether a sub-server has a key that will need a successor.
func (g *group) asks() bool { return g.kek != nil || len(g.teks) > 0 }

// askTime is when a sub-server asks its root next.
func (g *group) askTime() (first time.Time) {
	take := func(soft, hard time.Time) {
		if t := lateSoft(soft, hard); first.IsZero() || t.Before(first) {
			first = t
		}
	}
	if g.kek != nil {
		take(g.kek.Soft, g.kek.Hard)
	}
	for i := range g.teks {
		if g.isCurrent(i) {
			take(g.teks[i].Soft, g.teks[i].Hard)
		}
	}
	if first.Before(g.nextAsk) {
		first = g.nextAsk
	}
	return first
}

// deadline is when tick is due next, the zero time for never.
func (g *group) deadline() (first time.Time) {
	take := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	take(g.sigRetry)
	sub := g.conf.Role == step.SubServer
	if sub && g.asks() {
		take(g.askTime())
	}
	if g.kek != nil {
		take(g.kek.Hard)
		if !sub && g.conf.Communication != nil && !g.want {
			take(g.kek.Soft)
		}
	}
	for i := range g.teks {
		take(g.teks[i].Hard)
		if !sub && g.isCurrent(i) && g.configured(g.teks[i].Name) != nil {
			take(g.teks[i].Soft)
		}
	}
	return first
}

func (s *Server) dropSignatureKey(g *group) {
	g.sig.Private.Zero()
	g.sig = turn.KeyPair{}
	g.sigWork = 0 // a key that comes in now belongs to what was deleted
	g.sigRetry = time.Time{}
	s.dirty[g] = true
}
