package sim

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gvpn/commit/effect"
	"gvpn/commit/step"
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

// columns are the worlds that the cells of a column of the tables begin in, and the node that the change is committed on.
var columns = map[string]struct {
	of    string
	nodes [][2]string // name, set lines on top of its example
}{
	"standalone":  {"root", [][2]string{{"root", standalone}, {"gm1", ofStandalone}, {"gm2", ofStandalone}}},
	"root-server": {"root", [][2]string{{"root", ""}, {"sub1", ""}, {"sub2", ""}, {"gm1", ""}, {"gm2", ""}}},
	"sub-server":  {"sub1", [][2]string{{"root", ""}, {"sub1", ""}, {"gm1", ""}}},
	"member":      {"gm1", [][2]string{{"root", ""}, {"sub1", ""}, {"sub2", ""}, {"gm1", ""}}},
}

// TestCells runs testdata/cells: every cell of Tables 1 to 3 in a world of its own, with what is there before the commit, its plan, the
// datagrams that follow, and what is there after.
func TestCells(t *testing.T) {
	datadriven.Walk(t, "testdata/cells", func(t *testing.T, path string) {
		s := &scenario{}
		var at string
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "before": // COLUMN: a world where all is well, and what is committed there first, "NODE: LINE" each
				at = s.before(t, d)
				return s.holdings()
			case "commit": // row=ROW [on=NODE] [for=TIME]: what the case is about
				on := s.w.nodes[arg(d, "on", at)]
				return s.cell(t, d, on)
			}
			return s.step(t, d)
		})
	})
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
	err := n.Commit([]byte(d.Input))
	if err != nil {
		return err.Error() + "\n"
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

// holdings is show, and the phase-1 SAs of each node.
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
	}
	return b.String()
}

// TestEveryCell holds the cases of TestCells to the tables: none of their cells is without one.
func TestEveryCell(t *testing.T) {
	page, err := os.ReadFile("../../commit/effect/TABLES.md")
	if err != nil {
		t.Fatal(err)
	}
	columns := map[byte][]string{'1': {"standalone", "root-server", "sub-server"}, '2': {"root-server", "sub-server"}, '3': {"member"}}
	cells := 0
	for _, m := range regexp.MustCompile(`(?m)^\| (([123])\.\d+[ab]?) \|`).FindAllStringSubmatch(string(page), -1) {
		table, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		for _, column := range columns[m[2][0]] {
			cells++
			name := fmt.Sprintf("testdata/cells/table%d-%s", table, column)
			cases, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`(?m)^commit row=` + regexp.QuoteMeta(m[1]) + `( |$)`).Match(cases) {
				t.Errorf("%s has no case of row %s", name, m[1])
			}
		}
	}
	if want := 3*18 + 2*8 + 6; cells < want {
		t.Errorf("%d cells in TABLES.md, want at least %d", cells, want)
	}
}
