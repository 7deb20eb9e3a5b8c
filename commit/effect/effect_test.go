package effect

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"

	"gvpn/commit/diff"
	"gvpn/commit/step"
	"gvpn/config"
)

var write = flag.Bool("write", false, "write TABLES.md anew")

// TestTablesPage holds TABLES.md to the tables. go generate writes it.
func TestTablesPage(t *testing.T) {
	want := AppendTables(nil)
	if *write {
		if err := os.WriteFile("TABLES.md", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("TABLES.md")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("TABLES.md is not what table.go says (%v): go generate ./commit/effect", err)
	}
}

// bases are the configurations that the cases start from, made for every role of the groups in it. Gateways M1 and M2 are
// members', P1 and P2 cluster peers', and G2 is another group, which shares M1 and P1.
func base(t testing.TB, role string) config.Tree {
	t.Helper()
	if role == "member" {
		return load(t, config.Tree{}, memberBase)
	}
	text := serverBase
	if role != "standalone" {
		text += serverCluster(role, "G1") + serverCluster(role, "G2")
	}
	return load(t, config.Tree{}, text)
}

const memberBase = `
set security zones security-zone LAN
set security zones security-zone WAN
set security zones security-zone DMZ
set security group-vpn member ike proposal P dh-group group14
set security group-vpn member ike proposal P authentication-algorithm sha-256
set security group-vpn member ike proposal P encryption-algorithm aes-256-cbc
set security group-vpn member ike proposal Q dh-group group14
set security group-vpn member ike policy K proposals P
set security group-vpn member ike policy K pre-shared-key ascii-text secret
set security group-vpn member ike gateway S ike-policy K
set security group-vpn member ike gateway S server-address 127.0.0.1
set security group-vpn member ike gateway S server-address 127.0.0.2
set security group-vpn member ike gateway T ike-policy K
set security group-vpn member ike gateway T server-address 127.0.0.3
set security group-vpn member ipsec vpn V1 ike-gateway S
set security group-vpn member ipsec vpn V1 group 1
set security group-vpn member ipsec vpn V2 ike-gateway S
set security group-vpn member ipsec vpn V2 group 2
set security ipsec-policy from-zone LAN to-zone WAN ipsec-group-vpn V1
`

const serverBase = `
set security group-vpn server ike proposal IP dh-group group14
set security group-vpn server ike proposal IP authentication-algorithm sha-256
set security group-vpn server ike proposal IP encryption-algorithm aes-256-cbc
set security group-vpn server ike proposal IQ dh-group group14
set security group-vpn server ike policy GMs proposals IP
set security group-vpn server ike policy GMs pre-shared-key ascii-text members
set security group-vpn server ike policy Peers proposals IP
set security group-vpn server ike policy Peers pre-shared-key ascii-text peers
set security group-vpn server ike gateway M1 ike-policy GMs
set security group-vpn server ike gateway M1 address 127.3.0.1
set security group-vpn server ike gateway M2 ike-policy GMs
set security group-vpn server ike gateway M2 address 127.3.0.2
set security group-vpn server ike gateway P1 ike-policy Peers
set security group-vpn server ike gateway P1 address 127.2.0.1
set security group-vpn server ike gateway P1 dead-peer-detection always-send
set security group-vpn server ike gateway P2 ike-policy Peers
set security group-vpn server ike gateway P2 address 127.2.0.2
set security group-vpn server ike gateway P2 dead-peer-detection always-send
set security group-vpn server ipsec proposal TP encryption-algorithm aes-256-cbc
set security group-vpn server ipsec proposal TP lifetime-seconds 3600
set security group-vpn server ipsec proposal TQ lifetime-seconds 7200
` + serverGroup

const serverGroup = `
set security group-vpn server group G1 group-id 1
set security group-vpn server group G1 server-member-communication encryption-algorithm aes-256-cbc
set security group-vpn server group G1 ipsec-sa A proposal TP
set security group-vpn server group G1 ipsec-sa A match-policy 1 source 10.0.0.0/8
set security group-vpn server group G1 ipsec-sa A match-policy 1 destination 10.0.0.0/8
set security group-vpn server group G1 ipsec-sa A match-policy 2 source 172.16.0.0/12
set security group-vpn server group G2 group-id 2
`

func serverCluster(role, group string) string {
	return fmt.Sprintf(`
set security group-vpn server group %[1]s server-cluster server-role %[2]s
set security group-vpn server group %[1]s server-cluster ike-gateway P1
`, group, role)
}

func load(t testing.TB, tree config.Tree, text string) config.Tree {
	t.Helper()
	tree, errs := tree.LoadSet(nil, "test", []byte(text))
	if len(errs) > 0 { // a warning says that a delete deletes nothing
		t.Fatal(errs)
	}
	return tree
}

func expand(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		verb, rest, _ := strings.Cut(line, " ")
		word, _, _ := strings.Cut(rest, " ")
		switch word {
		case "server", "member":
			rest = "security group-vpn " + rest
		case "group":
			rest = "security group-vpn server " + rest
		case "vpn":
			rest = "security group-vpn member ipsec " + rest
		case "from-zone":
			rest = "security ipsec-policy " + rest
		}
		out.WriteString(verb + " " + rest)
	}
	return out.String()
}

func plan(t testing.TB, old, next config.Tree) *step.Plan {
	t.Helper()
	old, next = old.Effective(), next.Effective()
	for _, tree := range []config.Tree{old, next} {
		if errs, _ := tree.Validate(config.Tree{}); len(errs) > 0 {
			t.Fatalf("invalid configuration: %v", errs)
		}
	}
	p, err := Plan(old, next, diff.Diff(old, next))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPlans runs the cases of every cell of the tables, in testdata/cells/ROW/COLUMN.txt; `go test -rewrite` writes the plans anew.
// In them G1 has no members on a root-server, so that the cell stands alone; with members see T7. At least one case of a file must be
// of its cell.
func TestPlans(t *testing.T) {
	for _, c := range Cells() {
		t.Run(c.Row+"/"+c.Column, func(t *testing.T) {
			if got := runPlans(t, filepath.Join("testdata", "cells", c.Row, c.Column+".txt")); !got[c] {
				t.Error("none of the cases is of the cell")
			}
		})
	}
	files, err := filepath.Glob("testdata/cells/*/*")
	if err != nil || len(files) != len(Cells()) {
		t.Errorf("%d files of cells (%v), and %d cells", len(files), err, len(Cells()))
	}
}

// TestReadings runs the cases of the readings of change-effects.md, where a plan shows them. T5, T11 and T14 say how an engine carries
// an effect out; here they show in the order of effects.
func TestReadings(t *testing.T) {
	datadriven.Walk(t, "testdata/readings", func(t *testing.T, path string) { runPlans(t, path) })
}

// TestTogether runs the cases of several rows in one commit.
func TestTogether(t *testing.T) { runPlans(t, "testdata/together.txt") }

// runPlans runs a file of cases, and returns the cells that they are of. The commands:
//
//	before role=standalone|root-server|sub-server|member
//	lines that make the configuration before the commit from the base of that role
//
//	after [of=ROW]
//	lines that make the configuration after it; the output is the plan
//
// Each after begins from the configuration before. of says which cell the case is about.
func runPlans(t *testing.T, path string) map[Cell]bool {
	t.Helper()
	covered := map[Cell]bool{}
	var before config.Tree
	var role string
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "before":
			d.ScanArgs(t, "role", &role)
			before = load(t, base(t, role), expand(d.Input))
			return ""
		case "after":
			var of string
			d.MaybeScanArgs(t, "of", &of)
			p := plan(t, before, load(t, before, expand(d.Input)))
			if of != "" {
				checkCell(t, d, p, of, role)
				covered[Cell{of, role}] = true
			}
			return string(AppendText(nil, p, nil))
		}
		d.Fatalf(t, "unknown command %q", d.Cmd)
		return ""
	})
	return covered
}

// checkCell wants the row of that name in the plan, and its effects to be what the cell says, in order.
func checkCell(t *testing.T, d *datadriven.TestData, p *step.Plan, of, role string) {
	t.Helper()
	column := map[string]step.Role{"root-server": step.RootServer, "sub-server": step.SubServer}[role]
	var want, got []string
	for _, do := range rows[rowIndex[of]].cells[column] {
		if len(want) == 0 || want[len(want)-1] != string(do.kind) {
			want = append(want, string(do.kind))
		}
	}
	quiet := false
	for _, e := range p.Effects {
		if e.Row == of && !(len(got) > 0 && got[len(got)-1] == string(e.Kind)) {
			got = append(got, string(e.Kind))
		}
	}
	for _, e := range p.Quiet {
		quiet = quiet || e.Row == of
	}
	if strings.Join(got, " ") != strings.Join(want, " ") || len(want) == 0 && !quiet {
		t.Errorf("%s: row %s in role %s: effects %q (quiet: %v), the cell has %q", d.Pos, of, role, got, quiet, want)
	}
}

// Every effect of the tables, and no other, has its meaning on the page, once.
func TestMeanings(t *testing.T) {
	used, told := map[step.Kind]bool{step.RegisterNewGroup: true}, map[step.Kind]bool{} // which 3.3 becomes
	for _, r := range rows {
		for _, c := range r.cells {
			for _, d := range c {
				used[d.kind] = true
			}
		}
	}
	for _, m := range meanings {
		if told[m.kind] || m.text == "" {
			t.Errorf("%s: %q, told twice: %v", m.kind, m.text, told[m.kind])
		}
		told[m.kind] = true
	}
	if diff := cmp.Diff(used, told); diff != "" {
		t.Errorf("in the tables and on the page (-tables +page):\n%s", diff)
	}
}
