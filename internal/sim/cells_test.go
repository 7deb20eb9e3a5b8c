package sim

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gvpn/commit/effect"
	"gvpn/commit/step"
	"gvpn/dataplane"
	"gvpn/ike"
)

// standalone makes of the example's root-server one that serves gm1 and gm2 itself.
const standalone = `
delete security group-vpn server group GROUP_ID-0001 server-cluster
delete security group-vpn server ike gateway SubSrv01
delete security group-vpn server ike gateway SubSrv02
delete security group-vpn server ike gateway SubSrv03
delete security group-vpn server ike gateway SubSrv04
set security group-vpn server ike gateway GM-0001 ike-policy SubSrv address 127.3.0.1 local-address 127.1.0.1
set security group-vpn server ike gateway GM-0002 ike-policy SubSrv address 127.3.0.2 local-address 127.1.0.1
set security group-vpn server group GROUP_ID-0001 ike-gateway GM-0001
set security group-vpn server group GROUP_ID-0001 ike-gateway GM-0002
`

// ofStandalone makes of an example's member one of that server.
const ofStandalone = `
set security group-vpn member ike policy SubSrv pre-shared-key ascii-text lab-only-between-servers
delete security group-vpn member ike gateway SubSrv server-address
set security group-vpn member ike gateway SubSrv server-address 127.1.0.1
`

// withMember gives the example's root-server a member of its own, gm3.
const withMember = `
set security group-vpn server ike policy GMs proposals PSK-SHA256-DH14-AES256 pre-shared-key ascii-text lab-only-members
set security group-vpn server ike gateway GM-0003 ike-policy GMs address 127.3.0.3 local-address 127.1.0.1
set security group-vpn server group GROUP_ID-0001 ike-gateway GM-0003
`

// ofRoot makes of an example's member one of that server.
const ofRoot = `
delete security group-vpn member ike gateway SubSrv server-address
set security group-vpn member ike gateway SubSrv server-address 127.1.0.1
`

// columns are the worlds that the cells of a column of the tables begin in, and the node that the change is committed on: a server
// with two members; a root-server, two sub-servers and a member of each of the three; a root-server, a sub-server, which alone is
// changed, and its member; a member, another one, and their servers.
var columns = map[string]struct {
	of    string
	nodes [][2]string // name, set lines on top of its example
}{
	"standalone":  {"root", [][2]string{{"root", standalone}, {"gm1", ofStandalone}, {"gm2", ofStandalone}}},
	"root-server": {"root", [][2]string{{"root", withMember}, {"sub1", ""}, {"sub2", ""}, {"gm1", ""}, {"gm2", ""}, {"gm3", ofRoot}}},
	"sub-server":  {"sub1", [][2]string{{"root", ""}, {"sub1", ""}, {"gm1", ""}}},
	"member":      {"gm1", [][2]string{{"root", ""}, {"sub1", ""}, {"sub2", ""}, {"gm1", ""}, {"gm2", ""}}},
}

// TestCells runs every cell of Tables 1 to 3 in worlds of its own, testdata/cells/ROW/COLUMN.txt, with what is there before the commit, its
// plan, the datagrams that follow, and what is there after. At least one commit of a file must be of its cell's row. Rewrite what is expected
// with -rewrite, and read the difference.
func TestCells(t *testing.T) {
	for _, c := range effect.Cells() {
		t.Run(c.Row+"/"+c.Column, func(t *testing.T) {
			if rows := runCells(t, filepath.Join("testdata", "cells", c.Row, c.Column+".txt")); !rows[c.Row] {
				t.Errorf("none of the commits is of row %s", c.Row)
			}
		})
	}
	files, err := filepath.Glob("testdata/cells/*/*")
	if err != nil || len(files) != len(effect.Cells()) {
		t.Errorf("%d files of cells (%v), and %d cells", len(files), err, len(effect.Cells()))
	}
}

// TestReadings does the same for readings of the tables (T numbers of commit/effect) that show only where something is there to be
// told, or is lost on the way.
func TestReadings(t *testing.T) {
	datadriven.Walk(t, "testdata/readings", func(t *testing.T, path string) { runCells(t, path) })
}

// runCells runs a file of cells, and returns the rows that its commits were found to be of.
func runCells(t *testing.T, path string) map[string]bool {
	t.Helper()
	s, rows := &scenario{}, map[string]bool{}
	var at string
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "before": // COLUMN: a world where all is well, and what is committed there first, "NODE: LINE" each
			at = s.before(t, d)
			return s.holdings()
		case "commit": // row=ROW [on=NODE] [for=TIME]: what the case is about
			rows[arg(d, "row", "")] = true
			return s.cell(t, d, s.w.nodes[arg(d, "on", at)])
		}
		return s.step(t, d)
	})
	return rows
}

func (s *scenario) before(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	if len(d.CmdArgs) == 0 {
		t.Fatalf("%s: no column", d.Pos)
	}
	column, ok := columns[d.CmdArgs[0].Key]
	if !ok {
		t.Fatalf("%s: no column %q", d.Pos, d.CmdArgs[0].Key)
	}
	s.w = New(1)
	s.names, s.kinds = map[string]string{}, map[string]int{}
	for _, n := range column.nodes {
		if err := s.example(n[0], n[1]); err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
	}
	s.w.Run(time.Minute)
	lines := map[string]string{}
	var order []string
	for line := range strings.Lines(d.Input) {
		node, set, found := strings.Cut(line, ": ")
		if !found || s.w.nodes[node] == nil {
			t.Fatalf("%s: want NODE: LINE, not %q", d.Pos, line)
		}
		if lines[node] == "" {
			order = append(order, node)
		}
		lines[node] += set
	}
	for _, node := range order {
		if err := s.w.nodes[node].Commit([]byte(lines[node])); err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
		s.w.Run(2 * time.Minute)
	}
	return column.of
}

// cell commits, lets some time pass, and says what was planned, what was sent and what is there now.
func (s *scenario) cell(t *testing.T, d *datadriven.TestData, n *Node) string {
	t.Helper()
	var b strings.Builder
	row, found := arg(d, "row", ""), len(s.w.Violations)
	var events bytes.Buffer
	s.w.Log = &events
	if err := n.Commit([]byte(d.Input)); err != nil {
		t.Fatalf("%s: %v", d.Pos, err)
	}
	s.w.Run(duration(t, d, "for", "9s"))
	s.w.Log = nil
	if row != "" && !slices.ContainsFunc(slices.Concat(n.planned.Effects, n.planned.Quiet), func(e step.Effect) bool { return e.Row == row }) {
		t.Errorf("%s: the commit is none of row %s", d.Pos, row)
	}
	b.Write(effect.AppendText(nil, n.planned, nil))
	sent := datagrams(events.String())
	for _, way := range slices.Sorted(maps.Keys(sent)) {
		fmt.Fprintf(&b, "sent: %s", way)
		for i, kind := range slices.Sorted(maps.Keys(sent[way])) {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, " %d %s", sent[way][kind], kind)
		}
		b.WriteByte('\n')
	}
	s.packets(&b)
	b.WriteString(s.holdings())
	for _, v := range s.w.Violations[found:] {
		t.Errorf("%s: %s", d.Pos, v)
	}
	return b.String()
}

var sending = regexp.MustCompile(`(?m)^ *\S+ (\S+) send exchange (\d+) of \d+ octets to (\S+)`)

var kinds = map[string]string{
	"2": "main mode", "4": "aggressive mode", "5": "informational", "32": "pull", "33": "push", "35": "acknowledgement",
	"240": "cluster-init", "241": "cluster-update",
}

// datagrams counts what events say was sent, by way and kind.
func datagrams(events string) map[string]map[string]int {
	sent := map[string]map[string]int{}
	for _, m := range sending.FindAllStringSubmatch(events, -1) {
		way, kind := m[1]+" > "+m[3], kinds[m[2]]
		if kind == "" {
			kind = "exchange " + m[2]
		}
		if sent[way] == nil {
			sent[way] = map[string]int{}
		}
		sent[way][kind]++
	}
	return sent
}

// holdings is show, and the phase-1 SAs of each node, and what its data plane did with packets if there were any.
func (s *scenario) holdings() string {
	var b strings.Builder
	s.show(&b)
	for _, n := range s.w.order {
		st, up := n.State()
		if !up {
			continue
		}
		of := map[string]int{}
		for _, x := range st.IKE.SAs {
			if x.Status == ike.Established {
				of[x.Gateway]++
			}
		}
		fmt.Fprintf(&b, "%s: ike", n.Name)
		for _, g := range slices.Sorted(maps.Keys(of)) {
			fmt.Fprintf(&b, " %s", g)
			if of[g] > 1 {
				fmt.Fprintf(&b, "*%d", of[g])
			}
		}
		b.WriteByte('\n')
		if p := n.plane.State(n.now()).Stats; p != (dataplane.Stats{}) {
			fmt.Fprintf(&b, "%s: plane %d encrypted, %d decrypted, %d in the clear, %d dropped\n", n.Name,
				p.ESPEncryptedPackets, p.ESPDecryptedPackets, p.ExcludePackets+p.FailOpenPacketsSent+p.FailOpenPacketsReceived, p.FailCloseDrops)
		}
	}
	return b.String()
}
