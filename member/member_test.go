package member

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// registered makes a conversation whose VPN V has a KEK and a TEK.
func registered(t testing.TB) *conversation {
	t.Helper()
	c := newConversation(t, Options{})
	p := &step.Plan{
		Gateways: []step.GatewayChange{{New: &step.Gateway{Name: "G", Side: step.Member, Remote: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}}},
		VPNs:     []step.VPNChange{{New: &step.VPN{Name: "V", Gateway: "G", Group: 7}}},
	}
	c.m.Configure(c.now, p)
	c.m.Apply(c.now, step.Effect{Kind: step.Register, VPN: "V"})
	c.pull(&gdoi.Policy{KEK: c.kek("K1").Clone(), TEKs: []sa.TEK{c.tek("T1/3600/A")}})
	if !c.m.State().VPNs[0].Up {
		t.Fatal("not registered")
	}
	return c
}

// pull brings p by a whole pull; outputs go away.
func (c *conversation) pull(p *gdoi.Policy) {
	var b strings.Builder
	c.remote = netip.MustParseAddrPort("10.0.0.1:848")
	c.m.HandleUp(c.now, ike.Up{SA: 1, Gateway: "G", Local: c.local, Remote: c.remote, Initiator: true})
	c.drain(&b)
	c.policy = p
	msg := c.message()
	msg.Number, msg.First, msg.Payloads = 2, 10, gdoi.AppendPull2(nil, make([]byte, 32), p, c.now, gdoi.Options{})
	c.m.HandleMessage(c.now, msg)
	msg.Number, msg.First, msg.Payloads = 4, gdoi.Pull4First(p), gdoi.AppendPull4(nil, p, gdoi.Options{})
	c.m.HandleMessage(c.now, msg)
	c.drain(&b)
}

// A server that its own members trust may still be hostile: however many TEKs it sends, a member holds so many and no more.
func TestTEKsAreBounded(t *testing.T) {
	for _, word := range []string{"X%d-%d/3600/%c", "X%d-%d/0/%c/iec/4294967295"} {
		c := registered(t)
		for i := range uint32(10) {
			p := &gdoi.Push{Seq: i + 1, Policy: &gdoi.Policy{}}
			for j := range 20 {
				p.Policy.TEKs = append(p.Policy.TEKs, c.tek(fmt.Sprintf(word, i, j, 'A'+i*20+uint32(j))))
			}
			c.m.HandleDatagram(c.now, c.local, c.remote, c.seal("K1", p))
		}
		s := c.m.State().VPNs[0]
		if len(s.TEKs) != maxTEKs || s.Stats.PushSucceeded != 10 {
			t.Errorf("%s: %d TEKs after %d pushes, want %d after 10", word, len(s.TEKs), s.Stats.PushSucceeded, maxTEKs)
		}
		if s.Stats.ExceedKeys == 0 {
			t.Errorf("%s: ExceedKeys is 0", word)
		}
	}
}

// Without randomness a member cannot make a nonce; it fails as with any other failure and waits.
func TestNoRandomness(t *testing.T) {
	c := newConversation(t, Options{})
	c.m.rand = noRandomness{}
	var b strings.Builder
	c.m.Configure(c.now, c.plan("gateway G 10.0.0.1\nvpn V G 7"))
	c.m.Apply(c.now, step.Effect{Kind: step.Register, VPN: "V"})
	c.m.HandleUp(c.now, ike.Up{SA: 1, Gateway: "G", Local: c.local, Remote: netip.MustParseAddrPort("10.0.0.1:848"), Initiator: true})
	c.drain(&b)
	if s := c.m.State().VPNs[0]; s.Phase != Waiting || !strings.Contains(s.DownReason, "dry") {
		t.Errorf("state %+v, want waiting with the reason", s)
	}
}

// Every acknowledgement that was due has left in order of its due time.
func TestAckJitterKeepsOrder(t *testing.T) {
	c := registered(t)
	c.m.options.AckJitter = 5 * time.Second
	c.m.rand = &counter{}
	for i := range uint32(20) {
		c.m.HandleDatagram(c.now, c.local, c.remote, c.seal("K1", &gdoi.Push{Seq: i + 1, DeleteTEKs: []uint32{0x1000 + i}}))
	}
	for i := 1; i < len(c.m.acks); i++ {
		if c.m.acks[i].at.Before(c.m.acks[i-1].at) {
			t.Fatal("acknowledgements out of order")
		}
	}
	if len(c.m.acks) != 20 || c.m.acks[0].at.Equal(c.m.acks[19].at) {
		t.Fatalf("%d acknowledgements wait, want 20 at several times", len(c.m.acks))
	}
	var b strings.Builder
	c.advance(&b, 5*time.Second)
	if n := strings.Count(b.String(), "good=true"); n != 20 {
		t.Errorf("%d acknowledgements, want 20:\n%s", n, b.String())
	}
}

// Amplification, reflection: whoever has heard a push can repeat it, from whatever address. It is acknowledged as often as a server
// would repeat it, each time with less than what came, and what waits to be sent is bounded.
func TestAttackAmplificationByPush(t *testing.T) {
	for _, jitter := range []time.Duration{0, 5 * time.Second} {
		c := registered(t)
		c.m.options.AckJitter = jitter
		push := c.seal("K1", &gdoi.Push{Seq: 1, DeleteTEKs: []uint32{0x1000}})
		answers := 0
		for i := range 5000 {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 848)
			c.m.HandleDatagram(c.now, c.local, from, push)
			if n := len(c.m.acks); n > maxAnswers+1 {
				t.Fatalf("%d acknowledgements wait", n)
			}
		}
		c.now = c.now.Add(jitter)
		c.m.HandleTimeout(c.now)
		for o, ok := c.m.Next(); ok; o, ok = c.m.Next() {
			if a, is := o.(turn.Transmit); is {
				if answers++; len(a.Datagram) >= len(push) {
					t.Errorf("%d octets for %d", len(a.Datagram), len(push))
				}
			}
		}
		if answers != maxAnswers+1 || c.m.strays.PushRepeated != 4999 {
			t.Errorf("jitter %v: %d answers, %+v", jitter, answers, c.m.strays)
		}
	}
}

// counter is a randomness that is not random.
type counter struct{ n byte }

func (c *counter) Read(b []byte) (int, error) {
	for i := range b {
		c.n += 97
		b[i] = c.n
	}
	return len(b), nil
}

// The data plane, told by InstallTEK and RemoveTEK alone, holds what State shows; no key outlives its lifetime; the deadline
// never stands in the past; and each traffic that has had a TEK keeps one that may be sent with, as long as any of its TEKs
// lives and nothing was deleted.
func TestKeysFollowOutputs(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := registered(t)
		plane := map[uint32]sa.TEK{spiOf("T1"): {SPI: spiOf("T1"), Hard: start.Add(3600 * time.Second), Activate: start, Policies: []sa.Policy{traffics('A')}}}
		seq, n := uint32(0), 0
		drain := func() {
			for o, ok := c.m.Next(); ok; o, ok = c.m.Next() {
				switch o := o.(type) {
				case turn.InstallTEK:
					plane[o.TEK.SPI] = o.TEK
				case turn.RemoveTEK:
					if _, ok := plane[o.SPI]; !ok {
						r.Fatalf("RemoveTEK of %08x, which was never installed", o.SPI)
					}
					delete(plane, o.SPI)
				case ike.Begin:
					c.token, c.sa = o.Token, o.SA
				}
			}
		}
		names := func() []string {
			n++
			return []string{fmt.Sprintf("N%d/%d/%s", n, rapid.IntRange(1, 4000).Draw(r, "life"), rapid.SampledFrom([]string{"A", "B", "AB"}).Draw(r, "traffic"))}
		}
		policy := func() *gdoi.Policy {
			p := &gdoi.Policy{
				ActivationDelay:   time.Duration(rapid.IntRange(0, 100).Draw(r, "atd")) * time.Second,
				DeactivationDelay: time.Duration(rapid.IntRange(0, 200).Draw(r, "dtd")) * time.Second,
			}
			for _, w := range names() {
				p.TEKs = append(p.TEKs, c.tek(w))
			}
			return p
		}
		deleted := false
		had := map[netip.Prefix]bool{traffics('A').Source: true}
		r.Repeat(map[string]func(*rapid.T){
			"push": func(*rapid.T) {
				seq++
				c.m.obey(c.now, c.m.vpns["V"], &gdoi.Push{Seq: seq, Policy: policy()}, false)
			},
			"delete": func(*rapid.T) {
				for spi := range plane {
					seq++
					deleted = true
					c.m.obey(c.now, c.m.vpns["V"], &gdoi.Push{Seq: seq, DeleteTEKs: []uint32{spi}}, false)
					break
				}
			},
			"kek": func(*rapid.T) {
				seq++
				next := fmt.Sprintf("K%d", len(c.keks)+1)
				k := c.kek(next)
				k.Hard = c.now.Add(7200 * time.Second)
				c.m.obey(c.now, c.m.vpns["V"], &gdoi.Push{Seq: seq, Policy: &gdoi.Policy{KEK: k.Clone()}}, false)
			},
			"wait": func(*rapid.T) {
				end := c.now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(r, "seconds")) * time.Second)
				for next, ok := c.m.Deadline(); ok && !next.After(end); next, ok = c.m.Deadline() {
					if next.Before(c.now) {
						r.Fatalf("deadline %s is before now, %s", c.since(next), c.since(c.now))
					}
					c.now = next
					c.m.HandleTimeout(c.now)
					drain()
					if again, ok := c.m.Deadline(); ok && !again.After(next) {
						r.Fatalf("deadline %s stays after HandleTimeout", c.since(next))
					}
				}
				c.now = end
			},
			"": func(*rapid.T) {
				drain()
				s := c.m.State().VPNs[0]
				if len(s.TEKs) != len(plane) {
					r.Fatalf("State has %d TEKs, the data plane %d", len(s.TEKs), len(plane))
				}
				sendable := map[netip.Prefix]bool{}
				for _, u := range s.TEKs {
					p, ok := plane[u.SPI]
					switch {
					case !ok:
						r.Fatalf("%s is in State and not in the data plane", c.name(u.SPI))
					case !p.Activate.Equal(u.Activate) || !p.Hard.Equal(u.Hard):
						r.Fatalf("%s: State and data plane have different times", c.name(u.SPI))
					case !c.now.Before(u.Hard):
						r.Fatalf("%s is held past its hard lifetime", c.name(u.SPI))
					}
					for _, q := range u.Policies {
						sendable[q.Source] = sendable[q.Source] || !u.Activate.After(c.now)
					}
				}
				for source := range had {
					if _, ok := sendable[source]; !ok {
						delete(had, source)
					}
				}
				for source, ok := range sendable {
					if ok {
						had[source] = true
					} else if had[source] && !deleted {
						r.Fatalf("%s has TEKs and none to send with any more:\n%+v", source, s.TEKs)
					}
				}
			},
		})
	})
}

// "The value is a 4-octet number defining a valid time period in seconds" (RFC 6407 section 5.3.4): the largest is no reason to
// fall over or to come back early. Seven times the second lifetime is just under 2^64 ns.
func TestLongLifetimes(t *testing.T) {
	m := New(&counter{}, Options{})
	for _, left := range []time.Duration{(1<<32 - 1) * time.Second, 2635249153238 * time.Millisecond, time.Hour} {
		early := start.Add(left).Sub(m.soft(start, start.Add(left), m.options.LeadMin))
		if early < left/20 || early > left/10 {
			t.Errorf("lifetime %v: again %v before its end, want 6 to 7 %%", left, early)
		}
	}
	if d := m.jitter(-time.Hour); d != 0 {
		t.Errorf("jitter of less than nothing is %v", d)
	}
}

// Keys are in the data plane and with the VPN, and nowhere else.
func TestAttackKeyHygiene(t *testing.T) {
	c := registered(t)
	c.m.Do(c.now, ClearIPsec{})
	var b strings.Builder
	c.drain(&b)
	c.m.HandleUp(c.now, ike.Up{SA: 1, Gateway: "G", Local: c.local, Remote: c.remote, Initiator: true})
	c.drain(&b)
	p := &gdoi.Policy{KEK: c.kek("K1").Clone(), TEKs: []sa.TEK{c.tek("T2/3600/A")}}
	msg := c.message()
	msg.Number, msg.First, msg.Payloads = 2, 10, gdoi.AppendPull2(nil, make([]byte, 32), p, c.now, gdoi.Options{})
	c.m.HandleMessage(c.now, msg)
	msg.Number, msg.First, msg.Payloads = 4, gdoi.Pull4First(p), gdoi.AppendPull4(nil, p, gdoi.Options{})
	c.m.HandleMessage(c.now, msg)
	if s := c.m.State().VPNs[0]; len(s.TEKs) != 1 {
		t.Fatalf("%d TEKs, want 1", len(s.TEKs))
	}
	for _, o := range msg.Payloads {
		if o != 0 {
			t.Fatal("message 4 is still in the clear")
		}
	}
}

// Attribute abuse from an authenticated peer: a key server gone bad sends each octet of its messages otherwise. The member takes what fits
// together, or fails by name and drops the phase-1 SA; it never holds a TEK without its keys, nor more than its limits.
func TestAttackAttributeAbuse(t *testing.T) {
	policy := func(c *conversation) *gdoi.Policy {
		return &gdoi.Policy{KEK: c.kek("K1"), TEKs: []sa.TEK{c.tek("T1/3600/AB"), c.tek("T2/3600/C")}, ActivationDelay: 10 * time.Second}
	}
	one := newConversation(t, Options{})
	p := policy(one)
	sizes := []int{
		len(gdoi.AppendPull2(nil, make([]byte, 32), p, start, gdoi.Options{})),
		len(gdoi.AppendPull4(nil, p, gdoi.Options{})),
	}
	failed, took := 0, 0
	for message, size := range sizes {
		for at := range size {
			c := newConversation(t, Options{})
			c.keks["K1"] = one.keks["K1"]
			var said strings.Builder
			plan := c.plan("gateway G 10.0.0.1\nvpn V G 7\neffect register V")
			c.m.Configure(c.now, plan)
			c.m.Apply(c.now, plan.Effects[0])
			c.remote = netip.MustParseAddrPort("10.0.0.1:848")
			c.m.HandleUp(c.now, ike.Up{SA: 1, Gateway: "G", Local: c.local, Remote: c.remote, Initiator: true})
			c.drain(&said)
			p := policy(c)
			bad := func(n int, b []byte) []byte {
				if n == message {
					b[at] ^= []byte{1, 0x80, 0xff}[at%3]
				}
				return b
			}
			m := c.message()
			m.Number, m.First, m.Payloads = 2, isakmp.PayloadNONCE, bad(0, gdoi.AppendPull2(nil, bytes.Repeat([]byte{1}, 32), p, c.now, gdoi.Options{}))
			c.m.HandleMessage(c.now, m)
			m.Number, m.First, m.Payloads = 4, gdoi.Pull4First(p), bad(1, gdoi.AppendPull4(nil, p, gdoi.Options{}))
			c.m.HandleMessage(c.now, m)
			registered, refused := false, false
			for {
				o, ok := c.m.Next()
				if !ok {
					break
				}
				switch o := o.(type) {
				case turn.InstallTEK:
					if key, auth, ok := o.TEK.KeyLengths(); !ok || len(o.TEK.Key) != key || len(o.TEK.AuthKey) != auth || len(o.TEK.Policies) == 0 {
						t.Errorf("message %d, octet %d: a TEK without its keys is installed", 2*message+2, at)
					}
				case turn.Notify:
					registered = registered || o.Code == "GKMD_REGISTERED"
					refused = refused || o.Code == "GKMD_REGISTRATION_FAILED"
				}
			}
			if registered == refused {
				t.Errorf("message %d, octet %d: registered %v, failed %v", 2*message+2, at, registered, refused)
			}
			if registered {
				took++
			} else {
				failed++
				if n := len(c.m.State().VPNs[0].TEKs); n != 0 {
					t.Errorf("message %d, octet %d: failed with %d TEKs", 2*message+2, at, n)
				}
			}
		}
	}
	if failed < 150 || took < 100 { // keys and lifetimes may be anything
		t.Errorf("%d failed, %d were taken", failed, took)
	}
}

// Whoever has heard a push by multicast can send it to all members at once, from whatever address. Nobody but the server is answered,
// once in a while, and as often as the server itself may repeat it.
func TestAttackMulticastRepeated(t *testing.T) {
	c := registered(t)
	group := netip.MustParseAddrPort("239.1.1.1:848")
	push := c.seal("K1", &gdoi.Push{Seq: 1, DeleteTEKs: []uint32{0x1000}})
	answers := map[string]int{}
	for i := range 200 {
		for j := range 100 {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i), byte(j)}), 848)
			c.m.HandleDatagram(c.now, group, from, push)
		}
		c.now = c.now.Add(repeatAfter)
		c.m.HandleTimeout(c.now)
		for o, ok := c.m.Next(); ok; o, ok = c.m.Next() {
			if a, is := o.(turn.Transmit); is {
				answers[fmt.Sprintf("%v to %v", a.Local, a.Remote)]++
			}
		}
		if i == 9 && answers["192.0.2.1:848 to 10.0.0.1:848"] != 10 {
			t.Errorf("after ten seconds: %v", answers)
		}
	}
	if len(answers) != 1 || answers["192.0.2.1:848 to 10.0.0.1:848"] != maxAnswers+1 {
		t.Errorf("answers %v", answers)
	}
}

// However many VPNs there are, and whatever their servers say, the node opens a bounded number of sockets.
func TestAttackMulticastGroups(t *testing.T) {
	c := newConversation(t, Options{})
	for i := range maxGroups + 6 {
		v := newVPN()
		v.local = c.local
		v.kek = &sa.KEK{Multicast: &sa.Multicast{Group: netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 1, 1, byte(i)}), 848)}}
		c.m.vpns[fmt.Sprint(i)] = v
	}
	o, _ := c.m.Next()
	l, ok := o.(turn.Listen)
	if !ok || len(l.Groups) != maxGroups || !slices.IsSortedFunc(l.Groups, turn.Membership.Compare) {
		t.Errorf("%v", o)
	}
	if o, ok := c.m.Next(); ok {
		t.Errorf("said again: %v", o)
	}
	l.Groups[0] = turn.Membership{} // the receiver's
	clear(c.m.vpns)
	if o, _ := c.m.Next(); len(o.(turn.Listen).Groups) != 0 {
		t.Errorf("%v", o)
	}
}
