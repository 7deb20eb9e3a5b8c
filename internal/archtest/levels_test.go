package archtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// levels says how high each package stands. A package imports only packages of lower levels, so siblings do not meet.
// The engines and everything below them, and engine itself, are the core.
var levels = map[string]int{
	"cmd/gvpnd":        8,
	"cmd/gvpn":         8,
	"internal/interop": 8,
	"internal/soak":    8,

	"internal/node": 7,
	"internal/sim":  7,

	"netconf": 6,
	"gnmi":    6,
	"cli":     6,

	"oper":           5,
	"engine":         5,
	"dataplane/tun":  5,
	"dataplane/xfrm": 5,
	"internal/auth":  5,
	"internal/store": 5,

	"commit":    4,
	"server":    4,
	"cluster":   4,
	"member":    4,
	"dataplane": 4,

	"commit/effect": 3,

	"commit/diff": 2,
	"ike":         2,
	"gdoi":        2,

	"config":      1,
	"isakmp":      1,
	"lkh":         1,
	"turn":        1,
	"commit/step": 1,

	"yang":     0,
	"gen":      0,
	"sa":       0,
	"examples": 0,

	"internal/archtest": 0,
}

// testImports are the imports that only tests make, against the levels, each with its reason.
var testImports = map[string]string{
	"examples -> config": "the examples are held to the schema and the rules that they are written for",
}

// importFaults names the imports of f that break the levels, and counts those that testImports excuses.
func importFaults(f *file, excused map[string]int) (faults []string) {
	own, known := levels[f.dir]
	if !known {
		return []string{fmt.Sprintf("%s: package %q has no level: add it to levels", f.path, f.dir)}
	}
	for _, p := range f.imports() {
		dir, inside := strings.CutPrefix(p, module+"/")
		if !inside || dir == f.dir {
			continue
		}
		level, known := levels[dir]
		switch {
		case !known:
			faults = append(faults, fmt.Sprintf("%s: imports %s, which has no level", f.path, p))
		case level >= own:
			key := f.dir + " -> " + dir
			if f.test && testImports[key] != "" {
				excused[key]++
				continue
			}
			faults = append(faults, fmt.Sprintf("%s: level %d imports %s of level %d", f.path, own, p, level))
		}
	}
	return faults
}

func TestImportLevels(t *testing.T) {
	excused := map[string]int{}
	for _, f := range source(t) {
		for _, fault := range importFaults(f, excused) {
			t.Error(fault)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(testImports)) {
		if excused[key] == 0 {
			t.Errorf("testImports: %q is excused but not imported: take it out", key)
		}
	}
}

func TestImportLevelsBite(t *testing.T) {
	for _, c := range []struct {
		path, imports string
		faults        int
	}{
		{"server/a.go", `"gvpn/gdoi"`, 0},
		{"server/a.go", `"gvpn/cluster"`, 1},
		{"server/a.go", `"gvpn/engine"`, 1},
		{"server/a_test.go", `"gvpn/engine"`, 1},
		{"server/a_test.go", `"gvpn/server"`, 0},
		{"sa/a.go", `"gvpn/turn"; "gvpn/nowhere"`, 2},
		{"nowhere/a.go", `"fmt"`, 1},
	} {
		f, err := parse(c.path, []byte("package x\nimport ("+c.imports+")\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := importFaults(f, map[string]int{}); len(got) != c.faults {
			t.Errorf("%s importing %s: faults %q, want %d", c.path, c.imports, got, c.faults)
		}
	}
}
