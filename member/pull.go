package member

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/sa"
	"gvpn/turn"
)

// HandleMessage takes a verified message of a GROUPKEY-PULL that we began: number 2 brings the policy, number 4 the keys
// (RFC 6407 section 3.2).
func (m *Member) HandleMessage(now time.Time, msg ike.Message) {
	for _, v := range m.sorted() {
		if a := v.attempt; a != nil && a.sa == msg.SA && a.token == msg.Token && a.token != 0 {
			m.pull(now, v, msg)
			return
		}
	}
	// The attempt is gone: leave nothing behind that package ike would answer for.
	m.emit(ike.Abort{SA: msg.SA, MsgID: msg.MsgID})
}

func (m *Member) pull(now time.Time, v *vpn, msg ike.Message) {
	a := v.attempt
	switch msg.Number {
	case 2:
		_, p, err := gdoi.ParsePull2(msg.First, msg.Payloads, now, m.speak(v))
		if err != nil {
			m.refuse(now, v, msg, err)
			return
		}
		v.trim(p)
		a.policy = p
		senders := 0
		if counting(p) {
			senders = 1
		}
		m.emit(ike.Reply{SA: msg.SA, MsgID: msg.MsgID, First: gdoi.Pull3First(senders), Payloads: gdoi.AppendPull3(nil, senders)})
	case 4:
		if a.policy == nil {
			m.refuse(now, v, msg, fmt.Errorf("member: keys before the policy"))
			return
		}
		err := gdoi.ParsePull4(msg.First, msg.Payloads, a.policy, m.speak(v))
		clear(msg.Payloads) // keys in the clear, and ours
		if err != nil {
			m.refuse(now, v, msg, err)
			return
		}
		m.emit(ike.Created{SA: msg.SA, TEKs: len(a.policy.TEKs)})
		m.registered(now, v, msg)
	default:
		m.refuse(now, v, msg, fmt.Errorf("member: message %d in a pull of four", msg.Number))
	}
}

// counting reports whether a policy has a TEK that a sender needs an ID for.
func counting(p *gdoi.Policy) bool {
	return slices.ContainsFunc(p.TEKs, func(t sa.TEK) bool { return t.Counts() })
}

// speak is how we speak with the servers of a VPN, in their way. Sets that no server of Junos uses are taken from any: our policy
// is to take what we can do.
func (m *Member) speak(v *vpn) gdoi.Options { return gdoi.Speak(m.gateways[v.config.Gateway].Quirks) }

// refuse ends a pull whose policy or keys we do not take: the phase-1 SA is torn down with a Delete (RFC 6407 section
// 3.3), and the next server is asked.
func (m *Member) refuse(now time.Time, v *vpn, msg ike.Message, err error) {
	a := v.attempt
	v.stats.PullFailed++
	v.countRefusal(err)
	m.emit(ike.Abort{SA: msg.SA, MsgID: msg.MsgID})
	m.emit(ike.Delete{Gateway: a.gateway, Remote: a.server()})
	m.fail(now, v, err.Error())
}

// registered takes over what a complete pull brought.
func (m *Member) registered(now time.Time, v *vpn, msg ike.Message) {
	a := v.attempt
	v.attempt = nil
	v.stats.PullSucceeded++
	again := v.registered
	v.registered, v.downReason, v.backoff = true, "", 0
	v.server, v.local, v.sa = msg.Remote, msg.Local, msg.SA
	v.heard = netip.AddrPort{}
	m.takePulled(now, v, a)
	m.schedule(now, v)
	code, word := "GKMD_REGISTERED", "registered"
	if again {
		code, word = "GKMD_REREGISTERED", "registered again"
	}
	m.notify(turn.Info, code, "vpn %s: group %d: %s with server %s: %s, %d TEKs", v.config.Name, v.config.Group, word, v.server.Addr(), haveKEK(v), len(v.teks))
}

func haveKEK(v *vpn) string {
	if v.kek == nil {
		return "no KEK"
	}
	return "a KEK"
}
