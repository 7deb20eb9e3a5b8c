package archtest

import (
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var attackRow = regexp.MustCompile("(?m)^\\| .* \\| `(TestAttack\\w+)` \\| (.*) \\|$")

// attackFaults holds the rows of docs/attacks.md against the tests, by name the packages that have them: a row is for the tests whose
// names begin as it says, the longest such row.
func attackFaults(page string, tests map[string][]string) (faults []string) {
	want, got := map[string]string{}, map[string]map[string]bool{}
	for _, m := range attackRow.FindAllStringSubmatch(page, -1) {
		if want[m[1]] != "" {
			faults = append(faults, m[1]+" has two rows")
		}
		want[m[1]], got[m[1]] = m[2], map[string]bool{}
	}
	for name, dirs := range tests {
		row := ""
		for prefix := range want {
			if strings.HasPrefix(name, prefix) && len(prefix) > len(row) {
				row = prefix
			}
		}
		if row == "" {
			faults = append(faults, name+" has no row")
			continue
		}
		for _, dir := range dirs {
			got[row][dir] = true
		}
	}
	for row, dirs := range got {
		if in := strings.Join(slices.Sorted(maps.Keys(dirs)), " "); in != want[row] {
			faults = append(faults, row+" is in packages "+in+", the row says "+want[row])
		}
	}
	slices.Sort(faults)
	return faults
}

func TestAttacksHaveRows(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "attacks.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]string{}
	for _, f := range source(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && strings.HasPrefix(fn.Name.Name, "TestAttack") && f.dir != "internal/archtest" {
				tests[fn.Name.Name] = append(tests[fn.Name.Name], f.dir)
			}
		}
	}
	for _, fault := range attackFaults(string(page), tests) {
		t.Errorf("docs/attacks.md: %s", fault)
	}
}

func TestAttackRowsBite(t *testing.T) {
	page := "| a | `TestAttackA` | gdoi ike |\n| ab | `TestAttackAB` | ike |\n| c | `TestAttackC` | ike |\n| c | `TestAttackC` | ike |\n"
	got := attackFaults(page, map[string][]string{
		"TestAttackA": {"ike"}, "TestAttackAx": {"gdoi"}, "TestAttackABx": {"ike"}, "TestAttackC": {"sa"}, "TestAttackD": {"ike"},
	})
	want := []string{"TestAttackC has two rows", "TestAttackC is in packages sa, the row says ike", "TestAttackD has no row"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
