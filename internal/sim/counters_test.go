package sim

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"gvpn/ike"
	"gvpn/oper"
	"gvpn/server"
)

// clusterCounters is what `show security group-vpn server server-cluster detail` says at a node of its peer, by name.
func clusterCounters(t *testing.T, n *Node, gateway string) map[string]uint64 {
	t.Helper()
	st := operState(n)
	r, err := operCommand("show security group-vpn server server-cluster").Reply(&st, oper.Args{Detail: true, PeerGateway: gateway})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]uint64{}
	v := reflect.ValueOf(*r.(oper.ServerCluster)[0].Peers[0].Stats)
	for i := range v.NumField() {
		out[v.Type().Field(i).Name] = v.Field(i).Uint()
	}
	return out
}

func operState(n *Node) oper.State {
	e, _ := n.State()
	return oper.State{Now: n.now(), IKE: e.IKE, Server: e.Server, Cluster: e.Cluster, Groups: n.engine.Groups()}
}

func operCommand(words string) oper.Command {
	for _, c := range oper.Commands() {
		if c.Words == words {
			return c
		}
	}
	panic("no command " + words)
}

// neverCounted are the counters that cannot move, by role: package cluster says why none of them does.
var neverCounted = map[string][]string{
	"root": {
		"InitSend", "InitAbort", "InitTimeout", // a sub-server's
		"InitFail",   // no keys, or too many: here are some
		"UpdateRecv", // a sub-server's
		"UpdateFail", // an acknowledgement of something else, which no sub-server of ours sends (TestWrongAcknowledgement)
		"UpdateMax",
	},
	"sub1": {"InitRecv", "UpdateSend", "UpdateAbort", "UpdateTimeout", "UpdatePending", "UpdateMax"}, // a root's
}

// Every counter of a peer moves, at the root-server and at a sub-server, and clearing the statistics brings all of them back to zero.
func TestClusterCounters(t *testing.T) {
	const group = "GROUP_ID-0001"
	s := &scenario{w: New(1)}
	w := s.w
	w.Disorder()
	for _, name := range []string{"root", "sub1"} {
		if err := s.example(name, ""); err != nil {
			t.Fatal(err)
		}
	}
	root, sub := w.nodes["root"], w.nodes["sub1"]
	peers := map[string]string{"root": "SubSrv01", "sub1": "RootSrv"}
	most := map[string]map[string]uint64{"root": {}, "sub1": {}}
	run := func(d time.Duration) {
		t.Helper()
		w.Run(d)
		for name, gateway := range peers {
			for c, n := range clusterCounters(t, w.nodes[name], gateway) {
				most[name][c] = max(most[name][c], n)
			}
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	commit := func(lines string) {
		t.Helper()
		do(sub.Commit([]byte(strings.ReplaceAll(lines, "group G", "group "+group))))
	}
	rekey := func() { t.Helper(); do(root.Do(server.Rekey{Group: group, KEK: true, TEK: true})) }
	cut := func() { w.Cut("root", "sub1"); w.Cut("sub1", "root") }
	run(40 * time.Second)

	// Acknowledgements of probes come twice.
	w.SetFaults(Faults{Duplicate: 100, DelayMin: time.Millisecond, DelayMax: 20 * time.Millisecond})
	run(20 * time.Second)
	w.Heal()

	// A cluster-update is lost.
	w.Lose("root", "sub1", 241, 1)
	rekey()
	run(time.Second)
	run(15 * time.Second)

	// The sub-server's configuration is another one, which has it ask: what it gets is not what it would make.
	commit("set security group-vpn server ipsec proposal AES256-SHA256-L3600 encryption-algorithm aes-128-cbc\n" +
		"set security group-vpn server group G ipsec-sa " + group + " match-policy 1 protocol 6\n" +
		"set security group-vpn server group G server-member-communication sig-hash-algorithm sha-384\n")
	run(6 * time.Second)
	rekey()
	run(5 * time.Second)
	commit("delete security group-vpn server group G server-member-communication")
	run(6 * time.Second)
	rekey()
	run(5 * time.Second)

	// It asks, and an answer that was lost is repeated behind a newer cluster-update.
	commit("set security group-vpn server group G member-threshold 3")
	w.Lose("root", "sub1", 240, 1)
	run(5*time.Second + 100*time.Millisecond)
	rekey()
	run(5 * time.Second)

	// All answers are lost, so that it asks again; what they said does not come in any other way.
	commit("set security group-vpn server group G member-threshold 4")
	run(4 * time.Second)
	w.Lose("root", "sub1", 240, 4)
	w.Lose("root", "sub1", 241, 2)
	rekey()
	run(15 * time.Second)
	w.Heal()
	run(15 * time.Second)

	// Each end in turn loses its IKE SA, and gets no other while a probe is due.
	for _, n := range []*Node{root, sub} {
		do(n.Do(ike.Delete{Gateway: peers[n.Name]}))
		w.Run(25 * time.Millisecond)
		cut()
		run(12 * time.Second)
		w.Heal()
		run(30 * time.Second)
	}

	// The network is cut with a cluster-update outstanding, and DPD finds the sub-server dead.
	cut()
	rekey()
	run(2 * time.Minute)
	w.Heal()
	run(time.Minute)

	// A sub-server that starts anew cannot ask at first, and knows nothing that a cluster-update could build on.
	sub.Crash()
	sub.Restart()
	w.Lose("sub1", "root", 240, 20)
	w.Run(3 * time.Second)
	rekey()
	run(10 * time.Second)
	w.Heal()
	run(time.Minute)

	for name := range peers {
		var silent []string
		for c, n := range most[name] {
			never := strings.Contains(" "+strings.Join(neverCounted[name], " ")+" ", " "+c+" ")
			if n == 0 && !never {
				silent = append(silent, c)
			}
			if n != 0 && never {
				t.Errorf("%s: %s moved: it is not one that never does", name, c)
			}
		}
		if len(silent) > 0 {
			t.Errorf("%s: nothing moved %v", name, silent)
		}
	}

	clear := operCommand("clear security group-vpn server server-cluster statistics")
	for name, gateway := range peers {
		n := w.nodes[name]
		st := operState(n)
		commands, err := clear.Do(&st, oper.Args{Group: group})
		do(err)
		for _, c := range commands {
			do(n.Do(c))
		}
		for c, count := range clusterCounters(t, n, gateway) {
			if count != 0 {
				t.Errorf("%s: %s is %d after the statistics were cleared", name, c, count)
			}
		}
	}
	if len(w.Violations) > 0 {
		t.Error(fmt.Sprint(w.Violations))
	}
}
