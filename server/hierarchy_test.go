package server

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"gvpn/commit/step"
	"gvpn/gdoi"
	"gvpn/lkh"
	"gvpn/sa"
	"gvpn/turn"
)

// Excluding one member of 10,000 costs one push with O(log n) keys, and as many pieces of a record.
func TestExcludeOneOfThousands(t *testing.T) {
	const members = 10000
	b := gcmBench(t, "G members=m1 sas=S lkh")
	g := b.s.groups["G"]
	held := make(map[string]*lkh.Keys, members)
	// The tree grows on the way: everybody follows.
	for i := range members {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 848)
		m := &member{group: g, gateway: fmt.Sprintf("g%d", i), local: us, remote: at, since: b.now, silent: true}
		for !b.s.seat(b.now, g, m) {
			followAll(t, b, held)
		}
		b.s.enlist(g, m)
		b.s.members[m] = true
		held[at.String()] = g.way(m)
	}
	b.s.dirty[g] = true
	b.s.end()
	followAll(t, b, held)

	gone := g.members[placeOf("g77", us, netip.MustParseAddrPort("10.0.0.77:848"))]
	out := held[gone.remote.String()]
	delete(held, gone.remote.String())
	p := &step.Plan{MemberLimit: 5, Commit: 2, Groups: []step.GroupChange{{Old: &g.conf, New: &g.conf}}}
	b.s.Configure(b.now, p)
	b.s.Apply(b.now, step.Effect{Row: "1.5b", Group: "G", Gateway: "g77", Kind: step.DeleteRegisteredMembers})
	old := g.kek.Clone()
	b.s.Forget(b.now, p)

	octets, records := 0, 0
	pushes := map[string]bool{}
	for {
		o, ok := b.s.Next()
		if !ok {
			break
		}
		switch o := o.(type) {
		case turn.Work:
			b.answer(o)
		case turn.Persist:
			if strings.Contains(o.Key, treeInfix) {
				octets += len(o.Value)
				records++
			}
		case turn.Transmit:
			if spi, _ := gdoi.PushSPI(o.Datagram); spi != old.SPI {
				continue // the TEK, under the new KEK
			}
			if o.Remote == gone.remote {
				t.Fatal("who is shut out is told")
			}
			if !pushes[string(o.Datagram)] {
				pushes[string(o.Datagram)] = true
				t.Logf("one push of %d octets", len(o.Datagram))
				if len(o.Datagram) > 8000 {
					t.Errorf("push of %d octets", len(o.Datagram))
				}
			}
		}
	}
	if len(pushes) != 1 {
		t.Fatalf("%d pushes, want 1", len(pushes))
	}
	t.Logf("%d pieces of the tree's record, %d octets", records, octets)
	if records > 20 || octets > 20000 {
		t.Errorf("%d pieces of the tree's record, %d octets", records, octets)
	}
	for datagram := range pushes {
		n := 0
		for at, keys := range held {
			if n++; n > 500 && at != "10.0.0.76:848" && at != "10.0.0.78:848" {
				continue
			}
			p, err := gdoi.OpenPush(old, keys, []byte(datagram), b.now, gdoi.Options{})
			if err != nil || p.Excluded || p.Policy.KEK.SPI != g.kek.SPI || !p.Policy.KEK.Key.Equal(g.kek.Key) || len(p.Policy.TEKs) != 0 {
				t.Fatalf("%s: %+v, %v", at, p, err)
			}
		}
		if p, err := gdoi.OpenPush(old, out, []byte(datagram), b.now, gdoi.Options{}); err != nil || !p.Excluded {
			t.Errorf("who is shut out reads %+v, %v", p, err)
		}
	}
}

// followAll gives every member what the server has sent since, as it would take it.
func followAll(t *testing.T, b *bench, held map[string]*lkh.Keys) {
	t.Helper()
	b.s.end()
	seen := map[string]*gdoi.Push{}
	for {
		b.learn()
		o, ok := b.s.Next()
		if !ok {
			return
		}
		switch o := o.(type) {
		case turn.Work:
			b.answer(o)
		case turn.Transmit:
			spi, _ := gdoi.PushSPI(o.Datagram)
			k := b.keks[string(spi[:])].Clone()
			k.Seq = 0
			p, err := gdoi.OpenPush(k, held[o.Remote.String()], o.Datagram, b.now, gdoi.Options{})
			if err != nil || p.Excluded {
				t.Fatalf("%v: %+v, %v", o.Remote, p, err)
			}
			if p.Policy.LKH != nil {
				held[o.Remote.String()] = p.Policy.LKH
			}
			seen[string(o.Datagram)] = p
		}
	}
}

// A tree whose pieces do not fit together any more, or not to the KEK, is given up with the KEK: somebody may have been waiting to be shut
// out, and what told the others a new KEK under this one would tell it too. The group begins anew, and says so.
func TestHierarchyLost(t *testing.T) {
	for name, spoil := range map[string]func(disk, early map[string][]byte){
		"no head":      func(d, _ map[string][]byte) { delete(d, "server/group/G/lkh/head") },
		"a piece gone": func(d, _ map[string][]byte) { delete(d, "server/group/G/lkh/part/0") },
		"a piece cut":  func(d, _ map[string][]byte) { d["server/group/G/lkh/part/0"] = d["server/group/G/lkh/part/0"][:20] },
		"nothing there": func(d, _ map[string][]byte) {
			for k := range d {
				if strings.Contains(k, treeInfix) {
					delete(d, k)
				}
			}
		},
		"of the KEK before": func(d, early map[string][]byte) {
			for k := range d {
				if strings.Contains(k, treeInfix) {
					d[k] = early[k]
				}
			}
		},
	} {
		b := gcmBench(t, "G members=m1,m2 sas=S lkh")
		b.pull("m1", 1, 0)
		b.pull("m2", 1, 0)
		early := maps.Clone(b.disk)
		if err := b.s.Do(b.now, Rekey{Group: "G", KEK: true}); err != nil {
			t.Fatal(err)
		}
		b.drain()
		b.ack("m1", "KEK1/1", nil)
		b.ack("m2", "KEK1/1", nil)
		// m2 is taken for gone, and is to be shut out with the next KEK.
		g := b.s.groups["G"]
		gone := g.members[placeOf("m2", us, memberAddr(t, "m2"))]
		b.s.unseat(g, gone, false)
		b.s.strike(g, gone)
		delete(b.disk, gone.key())
		before, tek := g.kek.SPI, g.teks[0].SPI
		b.said()
		spoil(b.disk, early)
		b.restart()
		g = b.s.groups["G"]
		said := b.said()
		if g.kek.SPI == before || g.lkh.tree == nil || len(g.members) != 0 || g.teks[len(g.teks)-1].SPI == tek {
			t.Errorf("%s: KEK %x, tree %v, %d members", name, g.kek.SPI, g.lkh.tree, len(g.members))
		}
		if strings.Count(said, "GKSD_HIERARCHY_LOST") != 1 || strings.Count(said, "push to m1: KEK2/1 delete-all") != 1 || strings.Contains(said, "m2") {
			t.Errorf("%s: said\n%s", name, said)
		}
		got := b.pull("m1", 1, 0)
		if want := "KEK3 seq 0 life 1h0m0s, TEK2 life 30m0s, 7 keys of the hierarchy"; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		// And again, with nothing spoiled: the new one is whole on disk.
		after := g.kek.SPI
		b.restart()
		if g = b.s.groups["G"]; g.kek.SPI != after || g.lkh.tree.Members() != 1 || strings.Contains(b.said(), "HIERARCHY_LOST") {
			t.Errorf("%s: the second restart loses it", name)
		}
	}
}

// A KEK whose signature key is not there yet is made, and members are told, when it is; nothing turns round and round meanwhile.
func TestKEKWaitsForSignatureKey(t *testing.T) {
	b := gcmBench(t, "G members=m1 sas=S kek=600")
	b.pull("m1", 1, 0)
	b.hold = true
	conf := parseGroup(t, "G members=m1 sas=S kek=600 sig=ecdsa-256")
	if err := b.commit(2, map[string]step.Group{"G": conf}, nil); err != nil {
		t.Fatal(err)
	}
	g := b.s.groups["G"]
	b.now = g.kek.Soft
	b.s.HandleTimeout(b.now)
	b.drain()
	if at, ok := b.s.Deadline(); !ok || !at.After(b.now) {
		t.Fatalf("deadline %v, now %v", at, b.now)
	}
	b.hold = false
	held := b.held
	b.held = nil
	for _, w := range held {
		b.answer(w)
		b.drain()
	}
	if g.kek.SigAlg != sa.ECDSA256 || g.old != nil {
		t.Errorf("KEK signed with %v, old %v", g.kek.SigAlg, g.old != nil)
	}
	if said := b.said(); !strings.Contains(said, "push to m1: KEK1/1 KEK2") {
		t.Errorf("said %q", said)
	}
}

// No key of the tree is in what an operator sees or in a log.
func TestAttackKeyHygieneHierarchy(t *testing.T) {
	b := gcmBench(t, "G members=m1 sas=S lkh")
	b.pull("m1", 1, 0)
	text := fmt.Sprintf("%v %+v", b.s.State(), b.s.groups["G"].lkh.tree)
	for _, k := range b.s.groups["G"].lkh.tree.Path(b.s.groups["G"].sorted()[0].leaf) {
		if bytes.Contains([]byte(text), k.Data[16:24]) || strings.Contains(text, fmt.Sprintf("%x", []byte(k.Data[16:24]))) {
			t.Error("a key is shown")
		}
	}
}
