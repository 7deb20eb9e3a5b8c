package sim

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"gvpn/config"
	"gvpn/examples"
	"gvpn/server"
)

// TestScale is a day of a root-server, four sub-servers and many members: all register at once, keys are renewed, the root is
// gone for half an hour, which costs nobody a packet (D4), and then until all keys have died. It takes as many members as GVPN_SCALE
// says, as make soak does; else few, and not the quiet hours.
func TestScale(t *testing.T) {
	members, quiet := 24, time.Hour
	if text := os.Getenv("GVPN_SCALE"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("GVPN_SCALE: %v", err)
		}
		members, quiet = n, 10*time.Hour
	}
	w := New(20)
	w.CheapDH = true
	subs := []string{"sub1", "sub2", "sub3", "sub4"}
	for _, name := range append([]string{"root"}, subs...) {
		s := &scenario{w: w}
		if err := s.example(name, ""); err != nil {
			t.Fatal(err)
		}
	}
	started := time.Now()
	lap := func(what string) {
		t.Logf("%8s  %s: %d turns, %d datagrams", time.Since(started).Round(time.Millisecond), what, w.turns, w.sent)
	}
	threshold := fmt.Appendf(nil, "set security group-vpn server group GROUP_ID-0001 member-threshold %d\n", members*3/10)
	if err := w.nodes["root"].Commit(threshold); err != nil { // V9
		t.Fatal(err)
	}
	for i, name := range subs {
		lines := slices.Clone(threshold)
		for m := range members {
			lines = fmt.Appendf(lines, "set security group-vpn server ike gateway M%d ike-policy GMs address %v local-address 127.2.0.%d\n", m, memberAddress(m), i+1)
			lines = fmt.Appendf(lines, "set security group-vpn server group GROUP_ID-0001 ike-gateway M%d\n", m)
		}
		if err := w.nodes[name].Commit(lines); err != nil {
			t.Fatal(err)
		}
	}
	lap("sub-servers configured")
	w.Run(time.Minute)
	text, err := examples.Cluster.ReadFile("cluster/gm1.conf")
	if err != nil {
		t.Fatal(err)
	}
	base, errs := config.Tree{}.LoadCurly(nil, config.Override, "gm1.conf", text)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	for i := range members {
		n := w.Node(fmt.Sprintf("m%05d", i))
		if i%(members/6) == 0 {
			n.LAN = netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16 + byte(i*6/members), 0, 0}), 24)
		}
		lines := fmt.Appendf(nil, "set security group-vpn member ike gateway SubSrv local-address %v\ndelete security group-vpn member ike gateway SubSrv server-address\n", memberAddress(i))
		for j := range subs { // each in an order of its own (V6)
			lines = fmt.Appendf(lines, "set security group-vpn member ike gateway SubSrv server-address 127.2.0.%d\n", (i+j)%len(subs)+1)
		}
		tree, errs := base.LoadSet(nil, n.Name, lines)
		if err := errs.Err(); err != nil {
			t.Fatal(err)
		}
		if err := n.commit(tree); err != nil {
			t.Fatal(err)
		}
	}
	lap("members configured")
	registered := func(want string) {
		t.Helper()
		up := 0
		for _, n := range w.order {
			if st, ok := n.State(); ok && !n.server && len(st.Member.VPNs) == 1 && st.Member.VPNs[0].Up {
				up++
			}
		}
		total := 0
		for _, name := range subs {
			st, _ := w.nodes[name].State()
			total += st.Server.Members
		}
		lap(fmt.Sprintf("%s: %d of %d members up, %d registrations", want, up, members, total))
		if up != members {
			t.Errorf("%s: %d of %d members are up", want, up, members)
		}
	}
	w.Run(10 * time.Minute)
	registered("ten minutes after they all began at once")
	w.Traffic(time.Minute, true)
	w.Run(quiet)
	registered(fmt.Sprintf("after %v", quiet))
	if err := w.nodes["root"].Do(server.Rekey{Group: "GROUP_ID-0001", KEK: true, TEK: true}); err != nil {
		t.Fatal(err)
	}
	w.Run(time.Minute)
	w.nodes["root"].Crash()
	w.Run(30 * time.Minute)
	w.nodes["root"].Restart()
	w.Run(10 * time.Minute)
	registered("after half an hour without the root and ten minutes with it")
	w.nodes["root"].Crash()
	w.Traffic(time.Minute, false)
	for living := true; living; { // C7: at the end of the keys the members go
		w.Run(time.Minute)
		st, _ := w.nodes["sub1"].State()
		living = st.Server.Members > 0
	}
	w.Run(5 * time.Minute)
	lap("without the root until five minutes after the end of the keys")
	w.nodes["root"].Restart()
	w.Run(recovery)
	registered("after its return")
	w.Traffic(time.Minute, true)
	if rest := 24*time.Hour - w.now.Sub(Epoch); quiet > time.Hour {
		w.Run(rest)
	} else {
		w.Run(quiet)
	}
	registered("at the end")
	t.Logf("packets: %d sent, %d arrived", w.traffic.sent, w.traffic.arrived)
	if w.traffic.arrived == 0 {
		t.Error("nothing arrived: there was no traffic to be lost")
	}
	for _, v := range w.Violations {
		t.Error(v)
	}
}

func memberAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}
