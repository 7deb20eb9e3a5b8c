package archtest

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// inCore reports whether dir is part of the pure core: no I/O, clock, dice, goroutine or lock of its own.
func inCore(dir string) bool {
	level, known := levels[dir]
	return known && level <= 4 && dir != "internal/archtest" || dir == "engine"
}

// coreExcuses are the files of the core that need what the core may not have: "file: what" to the reason.
var coreExcuses = map[string]string{
	"config/schema.go: sync": "the schema is parsed once for the process (OnceValue): it is a constant that is too large to write down",
	"config/errors.go: sync": "the names of secret statements and what may stand where, functions of the schema alone, found once",
	"config/bind.go: sync":   "a cache of struct layouts, a function of types alone: what it returns never depends on who asked before",
}

// bannedImports are what no file of the core imports; a trailing slash means everything below.
var bannedImports = []string{
	"net", "net/", "os", "os/", "syscall", "sync", "sync/", "crypto/rand", "math/rand", "math/rand/", "unsafe",
	"golang.org/x/sys/", "golang.org/x/net/", "go.etcd.io/", "google.golang.org/grpc",
}

// bannedCalls are the functions that no file of the core names, by import path: a clock that is not the caller's.
var bannedCalls = map[string][]string{
	"time": {"Now", "After", "AfterFunc", "Sleep", "NewTimer", "NewTicker", "Tick", "Since", "Until"},
}

// coreFaults names what f does that the core may not: what is the short name that an excuse is given by.
func coreFaults(f *file) (faults []fault) {
	for _, p := range f.imports() {
		if p == "net/netip" {
			continue
		}
		for _, banned := range bannedImports {
			if p == banned || strings.HasSuffix(banned, "/") && strings.HasPrefix(p, banned) {
				faults = append(faults, fault{p, fmt.Sprintf("%s: the core may not import %s", f.path, p)})
				break
			}
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			faults = append(faults, fault{"go", fmt.Sprintf("%s: the core starts no goroutine", f.fset.Position(n.Pos()))})
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			for path, names := range bannedCalls {
				if x.Name == f.name(path) && slices.Contains(names, n.Sel.Name) {
					faults = append(faults, fault{path + "." + n.Sel.Name, fmt.Sprintf("%s: the core may not use %s.%s: take now as an argument", f.fset.Position(n.Pos()), path, n.Sel.Name)})
				}
			}
		}
		return true
	})
	return faults
}

type fault struct{ what, text string }

func TestCoreRules(t *testing.T) {
	used := map[string]bool{}
	for _, f := range source(t) {
		// Tests of the core read testdata and may use the clock; what they drive is held to the rules.
		if f.test || !inCore(f.dir) {
			continue
		}
		for _, fault := range coreFaults(f) {
			key := f.path + ": " + fault.what
			if coreExcuses[key] != "" {
				used[key] = true
				continue
			}
			t.Error(fault.text)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(coreExcuses)) {
		if !used[key] {
			t.Errorf("coreExcuses: %q is no longer needed: take it out", key)
		}
	}
}

func TestCoreRulesBite(t *testing.T) {
	for _, c := range []struct {
		src  string
		want []string
	}{
		{`package x; import "net/netip"; var a netip.Addr`, nil},
		{`package x; import ("net"; "net/http"; "os"; "sync/atomic"; "crypto/rand")`, []string{"net", "net/http", "os", "sync/atomic", "crypto/rand"}},
		{`package x; import "time"; func f() time.Time { return time.Now() }`, []string{"time.Now"}},
		{`package x; import clock "time"; var f = clock.Sleep`, []string{"time.Sleep"}},
		{`package x; import "time"; func f(now time.Time) time.Time { return now.Add(time.Second) }`, nil},
		{`package x; func f() { go f() }`, []string{"go"}},
	} {
		f, err := parse("server/x.go", []byte(c.src))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, fault := range coreFaults(f) {
			got = append(got, fault.what)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: faults %q, want %q", c.src, got, c.want)
		}
	}
	if !inCore("engine") || !inCore("commit") || inCore("oper") || inCore("internal/archtest") {
		t.Error("inCore is wrong about the core's edge")
	}
}
