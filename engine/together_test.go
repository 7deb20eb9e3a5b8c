package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/ike"
	"gvpn/isakmp"
	"gvpn/member"
	"gvpn/sa"
	"gvpn/server"
	"gvpn/turn"
)

// lan is engines on a network that loses nothing and takes no time.
type lan struct {
	t     testing.TB
	now   time.Time
	nodes map[netip.Addr]*Engine
	order []netip.Addr
	key   turn.KeyPair
	teks  map[netip.Addr][]uint32
	seen  []turn.Transmit // what was sent
	// nat translates who a datagram is from and to; nil: nobody does.
	nat func(from, to netip.AddrPort, b []byte) (netip.AddrPort, netip.AddrPort)
}

func newLAN(t testing.TB) *lan {
	b, err := os.ReadFile("testdata/rsa2048.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.(*rsa.PrivateKey).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &lan{
		t: t, now: start, nodes: map[netip.Addr]*Engine{}, teks: map[netip.Addr][]uint32{},
		key: turn.KeyPair{Public: public, Private: block.Bytes},
	}
}

func (l *lan) add(addr string, seed uint64) *Engine {
	a := netip.MustParseAddr(addr)
	l.nodes[a] = New(&stream{n: seed}, Options{})
	l.order = append(l.order, a)
	return l.nodes[a]
}

func (l *lan) work(op turn.Op) (any, error) {
	switch op := op.(type) {
	case turn.DHPublic:
		return ike.DHPublic(op.Group, op.Exponent)
	case turn.DHShared:
		return ike.DHShared(op.Group, op.Exponent, op.Peer)
	case turn.DHBoth:
		return ike.DHBoth(op.Group, op.Exponent, op.Peer)
	case turn.RSASign, turn.ECDSASign:
		return gdoi.Sign(op)
	case turn.SignHash:
		return ike.Sign(op)
	case turn.RSAKey: // making one takes seconds
		return turn.KeyPair{Public: l.key.Public, Private: l.key.Private.Clone()}, nil
	case turn.ECDSAKey:
		curve := map[sa.SigAlg]elliptic.Curve{sa.ECDSA256: elliptic.P256(), sa.ECDSA384: elliptic.P384()}[op.Alg]
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			return nil, err
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		return turn.KeyPair{Public: public, Private: private}, err
	}
	return nil, fmt.Errorf("no way to compute %T", op)
}

// settle carries out what the engines say until they say nothing.
func (l *lan) settle() {
	for quiet := false; !quiet; {
		quiet = true
		for _, a := range l.order {
			e := l.nodes[a]
			for o, ok := e.Next(); ok; o, ok = e.Next() {
				quiet = false
				switch o := o.(type) {
				case turn.Transmit:
					l.seen = append(l.seen, o)
					from, to := o.Local, o.Remote
					if l.nat != nil {
						from, to = l.nat(from, to, o.Datagram)
					}
					if n := l.nodes[to.Addr()]; n != nil {
						n.HandleDatagram(l.now, to, from, o.Datagram)
					}
				case turn.Work:
					v, err := l.work(o.Op)
					if err != nil {
						l.t.Fatal(err)
					}
					e.HandleResult(l.now, turn.Result{ID: o.ID, Value: v})
				case turn.InstallTEK:
					l.teks[a] = append(l.teks[a], o.TEK.SPI)
				case turn.RemoveTEK:
					l.teks[a] = slices.DeleteFunc(l.teks[a], func(spi uint32) bool { return spi == o.SPI })
				}
			}
		}
	}
}

// pass lets time pass, stopping at every deadline.
func (l *lan) pass(d time.Duration) {
	end := l.now.Add(d)
	for range 10_000 {
		next := end
		for _, a := range l.order {
			if t, ok := l.nodes[a].Deadline(); ok && t.Before(next) {
				next = t
			}
		}
		if next.After(l.now) {
			l.now = next
		}
		for _, a := range l.order {
			if t, ok := l.nodes[a].Deadline(); ok && !t.After(l.now) {
				l.nodes[a].HandleTimeout(l.now)
			}
		}
		l.settle()
		if !l.now.Before(end) {
			return
		}
	}
	l.t.Fatal("time stands still")
}

const (
	rootAddr   = "192.0.2.1"
	subAddr    = "192.0.2.2"
	memberAddr = "192.0.2.3"
)

func peer(name string, side step.Side, local, remote string, dpd bool) *step.Gateway {
	g := gateway(name, side, remote)
	g.Local = netip.MustParseAddr(local)
	if dpd {
		g.DPD, g.Peer = &step.DPD{Interval: 10 * time.Second, Threshold: 5}, true
	}
	return g
}

func group(role step.Role, members, peers []string) *step.Group {
	return &step.Group{
		Name: "G", ID: 7, Role: role, Members: members, Peers: peers, PeerPeriod: 10 * time.Second, ActivationDelay: 10 * time.Second,
		Communication: &step.Communication{KeyBits: 256, SigHash: sa.SHA256, Lifetime: 2 * time.Hour, Retransmission: 10 * time.Second, Retries: 2},
		SAs: []step.IPsecSA{{Name: "S", KeyBits: 256, Lifetime: time.Hour, Policies: []sa.Policy{{
			Name: "1", Source: netip.MustParsePrefix("10.0.0.0/8"), Destination: netip.MustParsePrefix("10.0.0.0/8"),
		}}}},
	}
}

// inCluster is a root, a sub-server and a member, all well.
func inCluster(t *testing.T, change ...func(*step.Communication)) (l *lan, root, sub, gm *Engine) {
	t.Helper()
	group := func(role step.Role, members, peers []string) *step.Group {
		g := group(role, members, peers)
		for _, f := range change {
			f(g.Communication)
		}
		return g
	}
	l = newLAN(t)
	root, sub, gm = l.add(rootAddr, 1), l.add(subAddr, 2), l.add(memberAddr, 3)
	apply := func(e *Engine, p *step.Plan) {
		if err := e.Prepare(p); err != nil {
			t.Fatal(err)
		}
		e.Apply(l.now, p)
	}
	apply(root, &step.Plan{
		MemberLimit: 10,
		Commit:      1,
		Gateways:    []step.GatewayChange{{New: peer("SUB", step.Server, rootAddr, subAddr, true)}},
		Groups:      []step.GroupChange{{New: group(step.RootServer, nil, []string{"SUB"})}},
		Effects: []step.Effect{
			{Row: "1.14", Kind: step.GenerateKEK, Group: "G"},
			{Row: "1.14", Kind: step.GenerateTEK, Group: "G"},
			{Row: "1.14", Kind: step.SendKEKToSubServers, Group: "G"},
			{Row: "1.14", Kind: step.SendTEKToSubServers, Group: "G"},
		},
	})
	l.settle()
	apply(sub, &step.Plan{
		MemberLimit: 10,
		Commit:      1,
		Gateways: []step.GatewayChange{
			{New: peer("GM", step.Server, subAddr, memberAddr, false)}, {New: peer("ROOT", step.Server, subAddr, rootAddr, true)},
		},
		Groups:  []step.GroupChange{{New: group(step.SubServer, []string{"GM"}, []string{"ROOT"})}},
		Effects: []step.Effect{{Row: "1.14", Kind: step.StartClusterInit, Group: "G"}},
	})
	l.pass(time.Second)
	p := memberPlan(1)
	p.Gateways[0].New = peer("G", step.Member, memberAddr, subAddr, false)
	p.VPNs[0].New.Group = 7
	apply(gm, p)
	l.pass(10 * time.Second)
	if s := gm.State().Member.VPNs[0]; !s.Up || len(s.TEKs) != 1 || s.Server.Addr().String() != subAddr {
		t.Fatalf("the member is not registered: %+v", s)
	}
	return l, root, sub, gm
}

// A rekey at the root goes through every engine: server → cluster → ike, over the network, ike → cluster → server, and as a push
// to the member, whose acknowledgement goes back.
func TestRekeyThroughAllEngines(t *testing.T) {
	for _, alg := range []sa.SigAlg{sa.RSA, sa.ECDSA256, sa.ECDSA384} {
		t.Run(alg.String(), func(t *testing.T) { rekeyThroughAllEngines(t, alg) })
	}
}

func rekeyThroughAllEngines(t *testing.T, alg sa.SigAlg) {
	l, root, sub, gm := inCluster(t, func(c *step.Communication) {
		if c.SigAlg = alg; alg != sa.RSA {
			c.SigHash = alg.Hash()
		}
	})
	if err := root.Do(l.now, server.Rekey{Group: "G", KEK: true, TEK: true}); err != nil {
		t.Fatal(err)
	}
	l.pass(time.Second)
	want := root.State().Server.Groups[0]
	got := sub.State().Server.Groups[0]
	if want.KEK.InitiatorCookie != got.KEK.InitiatorCookie || len(got.TEKs) != 2 || got.TEKs[1].SPI != want.TEKs[1].SPI {
		t.Errorf("the sub-server has %+v %+v, the root %+v %+v", got.KEK, got.TEKs, want.KEK, want.TEKs)
	}
	if s := got.Statistics; s.PushSent != 2 || s.PushAcknowledged != 2 {
		t.Errorf("pushes: %+v", s)
	}
	v := gm.State().Member.VPNs[0]
	if len(v.TEKs) != 2 || v.TEKs[1].SPI != want.TEKs[1].SPI || v.Stats.PushSucceeded != 2 || [8]byte(v.KEK.SPI[:8]) != want.KEK.InitiatorCookie {
		t.Errorf("the member has %+v %+v", v.KEK, v.TEKs)
	}
	l.pass(time.Minute)
	if !slices.Equal(l.teks[netip.MustParseAddr(memberAddr)], []uint32{want.TEKs[1].SPI}) {
		t.Errorf("the data plane has %08x, want the new TEK alone", l.teks[netip.MustParseAddr(memberAddr)])
	}
}

// State confusion: each datagram of a root-server, a sub-server and a member comes to the wrong one of them, from the right address and
// from its own, and back to who has sent it. There is no answer and nothing moves.
func TestAttackStateConfusion(t *testing.T) {
	l, root, sub, _ := inCluster(t)
	if err := root.Do(l.now, server.Rekey{Group: "G", KEK: true, TEK: true}); err != nil {
		t.Fatal(err)
	}
	l.pass(30 * time.Second)
	sub.HandleTimeout(l.now)
	state := func(e *Engine) State {
		s := e.State()
		s.IKE, s.Refused = ike.State{}, Refused{} // the counters
		s.Server.Counters, s.Member.Strays = server.Counters{}, member.Strays{}
		return s
	}
	l.settle()
	sent := slices.Clone(l.seen)
	kinds := map[byte]bool{}
	for _, o := range sent {
		kinds[o.Datagram[18]] = true
		if [8]byte(o.Datagram[8:]) == [8]byte{} {
			continue // message 1 of main mode is for whoever gets it
		}
		for _, to := range l.order {
			if to == o.Remote.Addr() {
				continue
			}
			e := l.nodes[to]
			before := state(e)
			for _, from := range []netip.AddrPort{o.Local, o.Remote, netip.AddrPortFrom(to, 848), netip.MustParseAddrPort("203.0.113.9:848")} {
				e.HandleDatagram(l.now, netip.AddrPortFrom(to, 848), from, o.Datagram)
				for out, ok := e.Next(); ok; out, ok = e.Next() {
					if _, is := out.(turn.Notify); !is {
						t.Errorf("exchange %d of %v to %v, from %v at %v: %T", o.Datagram[18], o.Local, o.Remote, from, to, out)
					}
				}
			}
			if after := state(e); !reflect.DeepEqual(after, before) {
				t.Errorf("exchange %d of %v to %v at %v: state moved\n%+v\nwas\n%+v", o.Datagram[18], o.Local, o.Remote, to, after, before)
			}
		}
	}
	for _, x := range []byte{2, 5, 32, 33, 35, 240, 241} {
		if !kinds[x] {
			t.Errorf("no datagram of exchange %d was there", x)
		}
	}
}

func established(e *Engine, gateway string) (n int) {
	for _, s := range e.State().IKE.SAs {
		if s.Gateway == gateway && s.Status == ike.Established {
			n++
		}
	}
	return n
}

// The IKE effects reach the SAs of the group as it was before the commit, and only those.
func TestIKEEffects(t *testing.T) {
	for _, c := range []struct {
		name       string
		effect     step.Effect
		change     step.GroupChange
		root, left int // SAs to the root and to the member
	}{
		{"of the group's members", step.Effect{Kind: step.DeleteMemberIKESAs, Group: "G"}, step.GroupChange{}, 1, 0},
		{"of its peers", step.Effect{Kind: step.DeletePeerIKESAs, Group: "G"}, step.GroupChange{}, 0, 1},
		{"of one peer", step.Effect{Kind: step.DeletePeerIKESAs, Group: "G", Gateway: "ROOT"}, step.GroupChange{}, 0, 1},
		{"of a gateway", step.Effect{Kind: step.DeleteIKESA, Gateway: "GM"}, step.GroupChange{}, 1, 0},
		{
			"of members that the commit takes out",
			step.Effect{Kind: step.DeleteMemberIKESAs, Group: "G"},
			step.GroupChange{Old: group(step.SubServer, []string{"GM"}, []string{"ROOT"}), New: group(step.SubServer, nil, []string{"ROOT"})},
			1, 0,
		},
		{
			"of peers of a group that goes",
			step.Effect{Kind: step.DeletePeerIKESAs, Group: "G"},
			step.GroupChange{Old: group(step.SubServer, []string{"GM"}, []string{"ROOT"})},
			0, 1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, _, sub, _ := inCluster(t)
			if established(sub, "ROOT") != 1 || established(sub, "GM") != 1 {
				t.Fatalf("SAs: %+v", sub.State().IKE.SAs)
			}
			p := &step.Plan{MemberLimit: 10, Commit: 2, Effects: []step.Effect{c.effect}}
			if c.change != (step.GroupChange{}) {
				p.Groups = []step.GroupChange{c.change}
			}
			sub.Apply(l.now, p)
			if root, left := established(sub, "ROOT"), established(sub, "GM"); root != c.root || left != c.left {
				t.Errorf("%d SAs to the root and %d to the member are left, want %d and %d", root, left, c.root, c.left)
			}
		})
	}
}

// M7: the operator clears the member; it comes back by itself.
func TestClearGroupComesBack(t *testing.T) {
	l, _, _, gm := inCluster(t)
	before := gm.State().Member.VPNs[0].TEKs[0].SPI
	if err := gm.Do(l.now, member.ClearGroup{VPN: "V"}); err != nil {
		t.Fatal(err)
	}
	l.settle()
	l.pass(time.Second)
	if v := gm.State().Member.VPNs[0]; !v.Up || len(v.TEKs) != 1 || v.TEKs[0].SPI != before {
		t.Errorf("after the clear: %+v", v)
	}
}

// A member may pull under one IKE SA as often as it is told to, and so may a cluster be told of keys.
func TestManyExchangesUnderOneSA(t *testing.T) {
	l, root, sub, gm := inCluster(t)
	for i := range 150 {
		if err := gm.Do(l.now, member.ClearIPsec{}); err != nil {
			t.Fatal(err)
		}
		if err := root.Do(l.now, server.Rekey{Group: "G", TEK: true}); err != nil {
			t.Fatal(err)
		}
		l.settle()
		l.pass(10 * time.Millisecond)
		if v := gm.State().Member.VPNs[0]; !v.Up || v.Stats.PullSucceeded != uint64(i+2) {
			t.Fatalf("pull %d: %+v", i+1, v.Stats)
		}
	}
	if got, want := sub.State().Server.Groups[0].Version, root.State().Server.Groups[0].Version; got != want {
		t.Errorf("the sub-server has version %d, the root %d", got, want)
	}
	for _, e := range []*Engine{root, sub, gm} {
		if s := e.State().IKE.SAs; len(s) > 2 {
			t.Errorf("%d IKE SAs", len(s))
		}
	}
}

// A key for GOOSE that the root makes comes by the sub-server's push, and then by a pull that asks for the group by its
// object-identity (RFC 8052). The data plane hears nothing of it.
func TestGooseThroughAllEngines(t *testing.T) {
	l, root, sub, gm := inCluster(t)
	goose, err := sa.NewSelector("1.2.840.10070.61850.8.1.2", "233.252.0.1")
	if err != nil {
		t.Fatal(err)
	}
	added := func(g *step.Group) *step.Group {
		g.Selector = goose
		g.SAs = append(g.SAs, step.IPsecSA{
			Name: "GOOSE", Lifetime: time.Hour, IEC61850: &sa.IEC61850{Selector: goose, Auth: sa.AuthHMACSHA256128, Enc: sa.EncCBC128, Assurance: 90, HasAssurance: true},
		})
		return g
	}
	apply := func(e *Engine, p *step.Plan) {
		if err := e.Prepare(p); err != nil {
			t.Fatal(err)
		}
		e.Apply(l.now, p)
		l.pass(2 * time.Second)
	}
	apply(root, &step.Plan{
		Commit:  2,
		Groups:  []step.GroupChange{{Old: group(step.RootServer, nil, []string{"SUB"}), New: added(group(step.RootServer, nil, []string{"SUB"}))}},
		Effects: []step.Effect{{Row: "1.11", Kind: step.GenerateTEK, Group: "G", SA: "GOOSE"}, {Row: "1.11", Kind: step.SendTEKToSubServers, Group: "G", SA: "GOOSE"}},
	})
	apply(sub, &step.Plan{
		Commit: 2,
		Groups: []step.GroupChange{{Old: group(step.SubServer, []string{"GM"}, []string{"ROOT"}), New: added(group(step.SubServer, []string{"GM"}, []string{"ROOT"}))}},
	})
	look := func(when string, want ...int) {
		t.Helper()
		made, v := root.State().Server.Groups[0].TEKs, gm.State().Member.VPNs[0]
		for _, held := range v.TEKs {
			at := slices.IndexFunc(made, func(t server.TEKState) bool { return t.SPI == held.SPI })
			if at < 0 || !slices.Contains(want, at) || !reflect.DeepEqual(held.IEC61850, made[at].IEC61850) {
				t.Errorf("%s: the member has %+v, the root made %+v", when, held, made)
			} else if late := held.Activate.Sub(made[at].Activate); made[at].Activate.After(l.now) && (late < 0 || late > 2*time.Second) {
				t.Errorf("%s: the member is active %v after the root", when, late)
			}
		}
		if !v.Up || len(v.TEKs) != len(want) {
			t.Errorf("%s: the member has %d TEKs, want %d", when, len(v.TEKs), len(want))
		}
		if plane := l.teks[netip.MustParseAddr(memberAddr)]; len(plane) != len(want)/2 {
			t.Errorf("%s: %d TEKs in the data plane", when, len(plane))
		}
	}
	look("pushed", 0, 1)

	v := gm.Configured().VPNs[0]
	asking := v
	asking.Selector = goose
	apply(gm, &step.Plan{
		Commit: 2, VPNs: []step.VPNChange{{Old: &v, New: &asking}}, Effects: []step.Effect{{Row: "3.3", Kind: step.RegisterNewGroup, VPN: v.Name}},
	})
	l.pass(10 * time.Second)
	look("pulled", 0, 1)
	if s := gm.State().Member.VPNs[0].Stats; s.PullSucceeded != 2 {
		t.Errorf("%+v", s)
	}
	if err := root.Do(l.now, server.Rekey{Group: "G", TEK: true}); err != nil {
		t.Fatal(err)
	}
	l.pass(2 * time.Second)
	look("rekeyed", 0, 1, 2, 3)
	l.pass(time.Minute)
	look("replaced", 0, 1)
}

// C5, row 2.5: a cluster-update that is not acknowledged goes out again every retransmission-period, and at no other time; a period
// that a commit changes acts from the next on.
func TestC5RetransmissionPeriod(t *testing.T) {
	for _, period := range []time.Duration{2 * time.Second, 5 * time.Second, 0, 60 * time.Second} {
		l, root, sub, _ := inCluster(t)
		old := group(step.RootServer, nil, []string{"SUB"})
		changed := group(step.RootServer, nil, []string{"SUB"})
		changed.PeerPeriod = period
		root.Apply(l.now, &step.Plan{MemberLimit: 10, Commit: 2, Groups: []step.GroupChange{{Old: old, New: changed}}})
		if period == 0 { // a plan that has none
			period = 10 * time.Second
		}
		deaf, began := true, l.now
		var sent []time.Duration
		l.nat = func(from, to netip.AddrPort, b []byte) (netip.AddrPort, netip.AddrPort) {
			if b[18] == byte(isakmp.ExchangeClusterUpdate) && to.Addr().String() == subAddr {
				sent = append(sent, l.now.Sub(began))
				if deaf {
					to = netip.MustParseAddrPort("203.0.113.9:848")
				}
			}
			return from, to
		}
		if err := root.Do(l.now, server.Rekey{Group: "G", TEK: true}); err != nil {
			t.Fatal(err)
		}
		l.settle()
		l.pass(3*period + time.Second)
		deaf = false
		l.pass(2 * period)
		if want := []time.Duration{0, period, 2 * period, 3 * period, 4 * period}; !slices.Equal(sent, want) {
			t.Errorf("period %v: sent after %v, want %v", period, sent, want)
		}
		want, got := root.State().Server.Groups[0], sub.State().Server.Groups[0]
		if got.Version != want.Version || got.TEKs[len(got.TEKs)-1].SPI != want.TEKs[len(want.TEKs)-1].SPI {
			t.Errorf("period %v: the sub-server has version %d, the root %d", period, got.Version, want.Version)
		}
	}
}
