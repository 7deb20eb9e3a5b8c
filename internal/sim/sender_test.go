package sim

import (
	"strings"
	"testing"
	"time"

	"gvpn/member"
	"gvpn/server"
)

// Members of a cluster that come again and again use all sender IDs up, over and over: the group begins anew, on all servers, and
// everybody is well after it. The verifiers look at every number and every packet; a crash of some server comes in between.
func TestSenderIDsUsedUpInCluster(t *testing.T) {
	w := New(77)
	s := &scenario{w: w}
	servers, members := []string{"root", "sub1", "sub2"}, []string{"gm1", "gm2", "gm3", "gm4"}
	for _, n := range append(servers, members...) {
		lines := ""
		if !strings.HasPrefix(n, "gm") {
			lines = counting
		}
		if err := s.example(n, lines); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.nodes["root"].Do(server.Rekey{Group: "GROUP_ID-0001", TEK: true}); err != nil { // counting acts then
		t.Fatal(err)
	}
	w.Run(time.Minute)
	w.Traffic(2*time.Second, false)
	epochs := map[uint64]bool{}
	for i := range 1500 {
		if err := w.nodes[members[i%len(members)]].Do(member.ClearIPsec{}); err != nil {
			t.Fatal(err)
		}
		w.Run(3 * time.Second)
		if i%50 == 25 {
			w.nodes[servers[i/50%len(servers)]].CrashAfter(i / 50 % 8)
		}
		for _, n := range servers {
			w.nodes[n].Restart()
		}
		if st, up := w.nodes["root"].State(); up {
			epochs[st.Server.Groups[0].Senders.Epoch] = true
		}
	}
	if len(epochs) < 3 {
		t.Errorf("%d beginnings, want some more", len(epochs))
	}
	w.Run(recovery)
	w.Traffic(2*time.Second, true)
	w.Run(time.Minute)
	for _, v := range w.Violations {
		t.Error(v)
	}
}
