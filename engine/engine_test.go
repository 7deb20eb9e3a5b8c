package engine

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gvpn/commit/step"
	"gvpn/ike"
	"gvpn/member"
	"gvpn/sa"
	"gvpn/server"
	"gvpn/turn"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// stream is a randomness that is the same every time.
type stream struct{ n uint64 }

func (s *stream) Read(b []byte) (int, error) {
	for i := range b {
		s.n = s.n*6364136223846793005 + 1442695040888963407
		b[i] = byte(s.n >> 56)
	}
	return len(b), nil
}

func outputs(e *Engine) (all []turn.Output) {
	for o, ok := e.Next(); ok; o, ok = e.Next() {
		all = append(all, o)
	}
	return all
}

func datagram(n int, exchange byte) []byte {
	b := make([]byte, n)
	if n >= 28 {
		b[16], b[17], b[18] = 8, 0x10, exchange
		binary.BigEndian.PutUint32(b[24:], uint32(n))
	}
	return b
}

// Datagrams that no engine was given are counted by kind, and nothing is answered.
func TestAttackStateConfusionRefused(t *testing.T) {
	local, remote := netip.MustParseAddrPort("192.0.2.1:848"), netip.MustParseAddrPort("192.0.2.2:848")
	lying := datagram(60, 2)
	lying[27]++
	version := datagram(60, 2)
	version[17] = 0x20
	for _, c := range []struct {
		name     string
		datagram []byte
		want     Refused
	}{
		{"nothing", nil, Refused{Short: 1}},
		{"keepalive", []byte{0xff}, Refused{Short: 1}},
		{"cut header", datagram(27, 2), Refused{Short: 1}},
		{"longer than UDP", datagram(65508, 2), Refused{Long: 1}},
		{"length lies", lying, Refused{Length: 1}},
		{"IKEv2", version, Refused{Version: 1}},
		{"exchange 0", datagram(60, 0), Refused{Exchange: 1}},
		{"exchange 34, known unregistered use", datagram(60, 34), Refused{Exchange: 1}},
		{"G-IKEv2's exchange 39", datagram(60, 39), Refused{Exchange: 1}},
		{"exchange 239, the last before private use", datagram(60, 239), Refused{Exchange: 1}},
		{"main mode of nobody", datagram(60, 2), Refused{}},
		{"aggressive mode", datagram(60, 4), Refused{}},
		{"informational of no SA", datagram(60, 5), Refused{}},
		{"pull of no SA", datagram(60, 32), Refused{}},
		{"push of no SA", datagram(60, 33), Refused{}},
		{"acknowledgement of nothing", datagram(60, 35), Refused{}},
		{"cluster exchange of no SA", datagram(60, 240), Refused{}},
		{"private exchange of no SA", datagram(60, 255), Refused{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := New(&stream{}, Options{})
			e.HandleDatagram(start, local, remote, c.datagram)
			if diff := cmp.Diff(c.want, e.State().Refused); diff != "" {
				t.Errorf("refused (-want +got):\n%s", diff)
			}
			for _, o := range outputs(e) {
				if _, ok := o.(turn.Transmit); ok {
					t.Error("it was answered")
				}
			}
		})
	}
}

// On port 4500 four zero octets say that IKE follows; keepalives are counted, and ESP in UDP is nobody's.
func TestPort4500(t *testing.T) {
	local, remote := netip.MustParseAddrPort("192.0.2.1:4500"), netip.MustParseAddrPort("192.0.2.2:40000")
	for _, c := range []struct {
		name     string
		datagram []byte
		want     Refused
	}{
		{"nothing", nil, Refused{NotIKE: 1}},
		{"keepalive", []byte{0xff}, Refused{Keepalives: 1}},
		{"no keepalive", []byte{0xfe}, Refused{NotIKE: 1}},
		{"half a marker", make([]byte, 2), Refused{NotIKE: 1}},
		{"marker alone", make([]byte, 4), Refused{Short: 1}},
		{"ESP", append([]byte{1, 2, 3, 4}, datagram(60, 2)...), Refused{NotIKE: 1}},
		{"IKE without marker", append([]byte{9}, datagram(59, 2)...), Refused{NotIKE: 1}},
		{"IKE", append(make([]byte, 4), datagram(60, 2)...), Refused{}},
		{"unknown exchange", append(make([]byte, 4), datagram(60, 0)...), Refused{Exchange: 1}},
	} {
		e := New(&stream{}, Options{})
		e.HandleDatagram(start, local, remote, c.datagram)
		if diff := cmp.Diff(c.want, e.State().Refused); diff != "" {
			t.Errorf("%s: refused (-want +got):\n%s", c.name, diff)
		}
	}
}

// What is sent to a multicast group reaches all members at once. Only a GROUPKEY-PUSH is for all: whoever could begin a phase 1 there
// would have all of them compute and answer.
func TestAttackMulticastOfOtherThings(t *testing.T) {
	local, remote := netip.MustParseAddrPort("239.1.1.1:848"), netip.MustParseAddrPort("203.0.113.9:848")
	for exchange := range 256 {
		e := New(&stream{}, Options{})
		e.HandleDatagram(start, local, remote, datagram(60, byte(exchange)))
		want, strays := Refused{Multicast: 1}, member.Strays{}
		if exchange == 33 {
			want, strays = Refused{}, member.Strays{PushMalformed: 1}
		}
		st := e.State()
		if st.Refused != want || st.Member.Strays != strays || len(outputs(e)) > 0 {
			t.Errorf("exchange %d: refused %+v, strays %+v", exchange, st.Refused, st.Member.Strays)
		}
	}
}

func gateway(name string, side step.Side, remote ...string) *step.Gateway {
	g := &step.Gateway{
		Name: name, Side: side, Local: netip.MustParseAddr("192.0.2.1"), Mode: "main", PSK: sa.Secret("secret of a test"),
		Proposals: []step.Proposal{{Name: "P", Hash: sa.SHA256, DHGroup: 14, KeyBits: 256}},
	}
	if side == step.Member {
		g.Proposals[0].Lifetime = time.Hour
	}
	for _, r := range remote {
		g.Remote = append(g.Remote, netip.MustParseAddr(r))
	}
	return g
}

func memberPlan(commit uint64) *step.Plan {
	return &step.Plan{
		MemberLimit: 10,
		Commit:      commit, HostName: "gm1",
		Gateways: []step.GatewayChange{{New: gateway("G", step.Member, "192.0.2.2")}},
		VPNs:     []step.VPNChange{{New: &step.VPN{Name: "V", Gateway: "G", Group: 1, DFBit: "clear"}}},
		Effects:  []step.Effect{{Row: "3.1", Kind: step.Register, VPN: "V"}},
	}
}

// The number of a commit is persisted after all that it did, so an interrupted commit is done again; and after a restart the
// plan from the empty configuration, with a number that was applied, lets members register.
func TestAppliedIsPersistedLast(t *testing.T) {
	e := New(&stream{}, Options{})
	p := memberPlan(7)
	if err := e.Prepare(p); err != nil {
		t.Fatal(err)
	}
	e.Apply(start, p)
	all := outputs(e)
	last, ok := all[len(all)-1].(turn.Persist)
	if !ok || last.Key != "engine/commit" || string(last.Value) != "7" || e.Applied() != 7 {
		t.Fatalf("last output %#v, applied %d", all[len(all)-1], e.Applied())
	}
	records := map[string][]byte{}
	for _, o := range all {
		if p, ok := o.(turn.Persist); ok {
			records[p.Key] = p.Value
		}
	}

	again := New(&stream{n: 1}, Options{})
	if err := again.Restore(start, records); err != nil {
		t.Fatal(err)
	}
	if again.Applied() != 7 {
		t.Fatalf("applied %d after the restart", again.Applied())
	}
	again.Apply(start, memberPlan(7))
	if slices.ContainsFunc(outputs(again), func(o turn.Output) bool { p, ok := o.(turn.Persist); return ok && p.Key == "engine/commit" }) {
		t.Error("the number is written again")
	}
	if s := again.State().Member.VPNs[0]; s.Phase != member.Connecting {
		t.Errorf("the member is %s, want connecting", s.Phase)
	}
	if diff := cmp.Diff(e.Configured(), again.Configured(), plain); diff != "" {
		t.Errorf("configured (-before +after):\n%s", diff)
	}
}

func TestRestoreNamesBadRecords(t *testing.T) {
	e := New(&stream{}, Options{})
	err := e.Restore(start, map[string][]byte{"engine/commit": []byte("seven"), "server/group/G/sas": {0xff}})
	if err == nil || !strings.Contains(err.Error(), "engine/commit") || !strings.Contains(err.Error(), "server/group/G/sas") {
		t.Fatalf("error %v, want both records named", err)
	}
	if e.Applied() != 0 {
		t.Errorf("applied %d", e.Applied())
	}
}

func TestPrepareAsksEveryEngine(t *testing.T) {
	e := New(&stream{}, Options{})
	dynamic := gateway("D", step.Server)
	dynamic.Dynamic = step.Identity{Kind: step.Hostname, Value: "gm.example"}
	for name, p := range map[string]*step.Plan{
		"dynamic gateway":         {Gateways: []step.GatewayChange{{New: dynamic}}},
		"member without a server": {Gateways: []step.GatewayChange{{New: gateway("G", step.Member)}}},
	} {
		before := e.Configured()
		if err := e.Prepare(p); err == nil {
			t.Errorf("%s: no error", name)
		}
		if diff := cmp.Diff(before, e.Configured(), plain); diff != "" || len(outputs(e)) > 0 {
			t.Errorf("%s: Prepare acted: %s", name, diff)
		}
	}
	// What goes need not be supported.
	if err := e.Prepare(&step.Plan{Gateways: []step.GatewayChange{{Old: dynamic}}}); err != nil {
		t.Error(err)
	}
}

func TestDo(t *testing.T) {
	e := New(&stream{}, Options{})
	e.Apply(start, memberPlan(1))
	outputs(e)
	for _, c := range []any{member.ClearGroup{}, member.ClearIPsec{}, member.ClearStatistics{}, member.Recover{VPN: "V"}, ike.Delete{Gateway: "G"}, server.Clear{}} {
		if err := e.Do(start, c); err != nil {
			t.Errorf("%T: %v", c, err)
		}
	}
	if err := e.Do(start, "reboot"); err == nil || !strings.Contains(err.Error(), "string is no command") {
		t.Errorf("error %v", err)
	}
	if err := e.Do(start, server.Rekey{Group: "NONE", TEK: true}); err == nil {
		t.Error("rekey of a group that is not there: no error")
	}
}

// A result that belongs to no engine, or to an earlier life, changes nothing.
func TestStrangeResults(t *testing.T) {
	e := New(&stream{}, Options{})
	for _, id := range []uint64{0, 1, ikeBase + 5, serverBase + 5, clusterBase, 9 << 56} {
		e.HandleResult(start, turn.Result{ID: id, Value: []byte{1}})
	}
	if all := outputs(e); len(all) > 0 {
		t.Errorf("outputs %v", all)
	}
}

// What a commit deletes is gone, and the configuration is what a fresh engine would hold.
func TestForget(t *testing.T) {
	e := New(&stream{}, Options{})
	e.Apply(start, memberPlan(1))
	p := memberPlan(2)
	gone := &step.Plan{
		MemberLimit: 10,
		Commit:      2, HostName: "gm1",
		Gateways: []step.GatewayChange{{Old: p.Gateways[0].New}},
		VPNs:     []step.VPNChange{{Old: p.VPNs[0].New}},
		Effects:  []step.Effect{{Row: "3.2", Kind: step.RemoveSAs, VPN: "V"}},
	}
	e.Apply(start, gone)
	if diff := cmp.Diff(Configured{HostName: "gm1", MemberLimit: 10, Gateways: []step.Gateway{}, Groups: []step.Group{}, VPNs: []step.VPN{}}, e.Configured(), plain); diff != "" {
		t.Errorf("configured (-want +got):\n%s", diff)
	}
	outputs(e)
	if d, ok := e.Deadline(); ok {
		for range 100 {
			e.HandleTimeout(d)
			outputs(e)
			if d, ok = e.Deadline(); !ok {
				break
			}
		}
	}
	if s := e.State(); len(s.Member.VPNs) != 0 || len(s.IKE.SAs) != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

var plain = cmp.Options{
	cmp.Comparer(sa.Secret.Equal),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

// What pulls bring is counted at both ends, by the IKE SA that they are under.
func TestPullCounts(t *testing.T) {
	l, _, sub, gm := inCluster(t)
	if err := gm.Do(l.now, member.ClearIPsec{}); err != nil {
		t.Fatal(err)
	}
	l.settle()
	l.pass(time.Second)
	for _, c := range []struct {
		of      string
		e       *Engine
		gateway string
		want    uint64
	}{{"sub-server", sub, "GM", 2}, {"sub-server", sub, "ROOT", 0}, {"member", gm, "G", 2}} {
		for _, s := range c.e.State().IKE.SAs {
			if s.Gateway == c.gateway && s.TEKsCreated != c.want {
				t.Errorf("%s, gateway %s: %d TEKs, want %d", c.of, c.gateway, s.TEKsCreated, c.want)
			}
		}
	}
}
