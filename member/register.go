package member

import (
	"net/netip"
	"slices"
	"time"

	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/turn"
)

// attempt is one registration under way: the servers in configured order (M1, V6), and the one that is being asked.
type attempt struct {
	gateway string
	servers []netip.Addr
	at      int
	guard   time.Time // when the server asked now has had its time

	sa     said // 0 while connecting
	reused bool // the phase-1 SA was there before: the server may have forgotten it
	again  bool // the same server is asked a second time, after a reused SA
	token  uint64
	policy *gdoi.Policy // of message 2
	kekSPI [16]byte     // the KEK that we had when the attempt began

	// What was pushed while the pull was under way is newer than what the pull brings.
	pushedKEK bool
	deleted   []uint32
	pushed    []uint32
}

func (a *attempt) server() netip.Addr { return a.servers[a.at] }

// register begins a registration with the first server of the VPN's gateway (M1), in place of one that is under way.
func (m *Member) register(now time.Time, v *vpn) {
	m.abandon(v)
	v.registerAt, v.asked, v.partAt = time.Time{}, time.Time{}, time.Time{}
	g, ok := m.gateways[v.config.Gateway]
	if !ok || len(g.Remote) == 0 {
		v.downReason = "no such ike-gateway"
		return
	}
	v.attempt = &attempt{gateway: g.Name, servers: slices.Clone(g.Remote)}
	if v.kek != nil {
		v.attempt.kekSPI = v.kek.SPI
	}
	m.connect(now, v)
}

// connect asks for a phase-1 SA with the attempt's server; Up or Failed answers.
func (m *Member) connect(now time.Time, v *vpn) {
	a := v.attempt
	a.clear()
	a.sa, a.token = 0, 0
	a.guard = now.Add(m.options.Guard)
	m.emit(ike.Connect{Gateway: a.gateway, Remote: a.server()})
}

// abandon forgets the registration under way, if any.
func (m *Member) abandon(v *vpn) {
	if v.attempt == nil {
		return
	}
	if a := v.attempt; a.sa != 0 {
		v.stats.PullAborted++
		m.emit(ike.Abort{SA: a.sa, Token: a.token})
	}
	v.attempt.clear()
	v.attempt = nil
}

// clear destroys keys that message 4 brought and that nobody took over.
func (a *attempt) clear() {
	a.policy.Zero()
	a.policy = nil
}

// HandleUp takes a phase-1 SA that is up, and pulls for every VPN that waits for it.
func (m *Member) HandleUp(now time.Time, up ike.Up) {
	_, known := m.phase1[up.SA]
	if _, server := m.gateways[up.Gateway]; server && !known { // else it is a member's, of whom a key server has very many
		m.phase1[up.SA] = now
	}
	for _, v := range m.sorted() {
		a := v.attempt
		if a == nil || a.sa != 0 || a.gateway != up.Gateway || a.server() != up.Remote.Addr() {
			continue
		}
		ni, err := m.draw(nonceLength)
		if err != nil {
			m.fail(now, v, err.Error())
			continue
		}
		m.token++
		a.sa, a.token, a.reused = up.SA, m.token, known
		m.emit(ike.Begin{
			SA: up.SA, Exchange: isakmp.ExchangePull, Messages: 4, Token: a.token,
			First: isakmp.PayloadNONCE, Payloads: gdoi.AppendPull1(nil, ni, v.name(), m.speak(v)),
		})
	}
}

// HandleFailed takes the news that a phase 1 or a pull got no usable answer.
func (m *Member) HandleFailed(now time.Time, f ike.Failed) {
	for _, v := range m.sorted() {
		a := v.attempt
		switch {
		case a == nil:
		case f.Token != 0 && f.Token == a.token && f.SA == a.sa:
			v.stats.PullTimeout++
			m.stale(now, v, "no answer to the pull: "+f.Reason)
		case f.Token == 0 && a.sa == 0 && f.Gateway == a.gateway && f.Remote == a.server() && f.Reason == ike.DeletedByUs:
			m.restart(now, v)
		case f.Token == 0 && a.sa == 0 && f.Gateway == a.gateway && f.Remote == a.server():
			m.fail(now, v, "phase 1: "+f.Reason)
		}
	}
}

// HandleDown takes the end of a phase-1 SA. If its end was the server's wish and the SA was the one that we registered
// under, our registration is gone too (T7), and we register again. At the end of its lifetime either side deletes it, and
// that says nothing.
func (m *Member) HandleDown(now time.Time, d ike.Down) {
	wish := d.Reason == ike.DeletedByPeer
	if life := m.lifetime(d.Gateway); life > 0 && now.Sub(m.phase1[d.SA]) > life-endOfLife {
		wish = false
	}
	delete(m.phase1, d.SA)
	for _, v := range m.sorted() {
		if a := v.attempt; a != nil && a.sa == d.SA {
			v.stats.PullAborted++
			if d.Reason == ike.DeletedByUs {
				m.restart(now, v)
			} else {
				m.stale(now, v, "phase-1 SA down: "+d.Reason)
			}
		}
		if v.registered && v.sa == d.SA {
			v.sa = 0
			if wish {
				m.soon(now, v)
			}
		}
	}
}

// endOfLife is how near to the end of a phase-1 SA's lifetime a Delete is only that end: clocks drift a little in a day.
const endOfLife = 30 * time.Second

// lifetime is the shortest phase-1 lifetime that a gateway proposes; 0 if it is not there.
func (m *Member) lifetime(gateway string) (life time.Duration) {
	for _, p := range m.gateways[gateway].Proposals {
		if life == 0 || p.Lifetime < life {
			life = p.Lifetime
		}
	}
	return life
}

// stale ends a pull that failed on its phase-1 SA. A server that has restarted does not know an SA from before, and
// answers nothing under it: so the same server is asked once more, under a new one, since package ike takes an SA with an
// unanswered exchange for dead. (A server at its member-threshold does not answer either (M3); it is then asked twice.)
func (m *Member) stale(now time.Time, v *vpn, reason string) {
	a := v.attempt
	if a.reused && !a.again {
		a.again = true
		m.connect(now, v)
		return
	}
	m.fail(now, v, reason)
}

// fail goes on to the next server, and after the last one waits.
func (m *Member) fail(now time.Time, v *vpn, reason string) {
	a := v.attempt
	m.notify(turn.Warning, "GKMD_REGISTRATION_FAILED", "vpn %s: group %d: server %s: %s", v.config.Name, v.config.Group, a.server(), reason)
	if !v.registered {
		v.downReason = reason
	}
	a.clear()
	if a.at+1 < len(a.servers) {
		a.at++
		a.again, a.reused = false, false
		v.stats.ServerFailover++
		m.notify(turn.Notice, "GKMD_SERVER_FAILOVER", "vpn %s: group %d: next server %s", v.config.Name, v.config.Group, a.server())
		m.connect(now, v)
		return
	}
	v.attempt = nil
	v.backoff = min(max(2*v.backoff, m.options.BackoffMin), m.options.BackoffMax)
	v.registerAt = now.Add(v.backoff + m.jitter(v.backoff/4))
}

// restart registers anew a moment from now, where what the attempt stood on was deleted here: the server has done nothing
// wrong, so that no other one is asked for it.
func (m *Member) restart(now time.Time, v *vpn) {
	v.attempt.clear()
	v.attempt = nil
	m.soon(now, v)
}

// soon brings the next registration forward to a moment from now, unless one is under way. Until that has begun nothing puts
// it off: pushes that come in order after one that was lost do not bring what that one said.
func (m *Member) soon(now time.Time, v *vpn) {
	if v.attempt != nil {
		return
	}
	at := now.Add(m.options.Again + m.jitter(4*m.options.Again))
	if v.asked.IsZero() || at.Before(v.asked) {
		v.asked = at
	}
	if v.registerAt.IsZero() || v.asked.Before(v.registerAt) {
		v.registerAt = v.asked
	}
}
