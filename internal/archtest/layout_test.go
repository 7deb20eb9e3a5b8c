package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"path"
	"slices"
	"strings"
	"testing"
)

// vague are the file names that say nothing about what is in the file.
var vague = []string{"util", "utils", "type", "types", "helper", "helpers", "common", "misc", "base"}

// untested are the packages that have no test of their own, each with its reason.
var untested = map[string]string{
	"turn": "holds declarations only: there is no statement in it to be wrong",
}

// fuzzed are the packages that read what others wrote: each has at least one fuzz target.
var fuzzed = []string{"isakmp", "ike", "gdoi", "cluster", "config", "netconf", "gnmi"}

// sleepers are the test files that may sleep in real time, each with its reason. Tests in fake time (testing/synctest)
// need no excuse.
var sleepers = map[string]string{
	"internal/node/node_test.go": "polls real sockets within a deadline, where nothing else tells it that a datagram has come through",
	"internal/interop":           "waits for other daemons, which no fake clock reaches",
	"internal/soak":              "kills a real daemon, and waits until the next one answers",
}

func TestFormatting(t *testing.T) {
	for _, f := range source(t) {
		want, err := format.Source(f.src)
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
		} else if !bytes.Equal(want, f.src) {
			t.Errorf("%s: not formatted: gofmt -w", f.path)
		}
	}
}

func TestFileNames(t *testing.T) {
	for _, f := range source(t) {
		stem := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.path), ".go"), "_test")
		if slices.Contains(vague, stem) {
			t.Errorf("%s: a file is named for its concern", f.path)
		}
	}
}

func TestEveryPackageHasDoc(t *testing.T) {
	dirs, byDir := packages(source(t))
	for _, dir := range dirs {
		i := slices.IndexFunc(byDir[dir], func(f *file) bool { return path.Base(f.path) == "doc.go" })
		if i < 0 {
			t.Errorf("%s: no doc.go", dir)
			continue
		}
		doc := byDir[dir][i].ast.Doc.Text()
		name := byDir[dir][i].ast.Name.Name
		first := "Package " + name + " "
		if name == "main" {
			first = "Command " + path.Base(dir) + " "
			if !strings.HasPrefix(doc, first) { // "Gvpnd runs…" is Go's other custom
				base := path.Base(dir)
				first = strings.ToUpper(base[:1]) + base[1:] + " "
			}
		}
		if !strings.HasPrefix(doc, first) {
			t.Errorf("%s/doc.go: its comment does not begin with %q", dir, first)
		}
		for _, f := range byDir[dir] {
			if f.ast.Doc != nil && path.Base(f.path) != "doc.go" && !generated(f) {
				t.Errorf("%s: the package comment belongs in doc.go", f.path)
			}
		}
	}
}

// generated reports whether f says that a program made it.
func generated(f *file) bool { return ast.IsGenerated(f.ast) }

func TestEveryPackageHasTests(t *testing.T) {
	dirs, byDir := packages(source(t))
	for _, dir := range dirs {
		tests := 0
		for _, f := range byDir[dir] {
			if f.test {
				tests += len(functions(f, "Test")) + len(functions(f, "Fuzz")) + len(functions(f, "Example"))
			}
		}
		switch reason := untested[dir]; {
		case tests == 0 && reason == "":
			t.Errorf("%s: no test", dir)
		case tests > 0 && reason != "":
			t.Errorf("untested: %s has tests now: take it out", dir)
		}
	}
}

// functions lists f's top-level functions whose name begins with prefix, TestMain aside.
func functions(f *file, prefix string) (names []string) {
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, prefix) && fn.Name.Name != "TestMain" {
			names = append(names, fn.Name.Name)
		}
	}
	return names
}

func TestReadersAreFuzzed(t *testing.T) {
	_, byDir := packages(source(t))
	for _, dir := range fuzzed {
		if byDir[dir] != nil && !slices.ContainsFunc(byDir[dir], func(f *file) bool { return len(functions(f, "Fuzz")) > 0 }) {
			t.Errorf("%s: reads what others wrote, and has no fuzz target", dir)
		}
	}
}

// manners names what f does that is bad form in a test: a sleep in real time, or a skip that does not say why.
func manners(f *file) (faults []string) {
	fake := f.name("testing/synctest") != ""
	ast.Inspect(f.ast, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		at := f.fset.Position(call.Pos())
		x, _ := sel.X.(*ast.Ident)
		switch {
		case x != nil && x.Name == f.name("time") && sel.Sel.Name == "Sleep" && !fake && sleepers[f.path] == "" && sleepers[f.dir] == "":
			faults = append(faults, fmt.Sprintf("%s: a test waits for what happens, it does not sleep", at))
		case sel.Sel.Name == "SkipNow" || sel.Sel.Name == "Skip" && len(call.Args) == 0:
			faults = append(faults, fmt.Sprintf("%s: a skip says why", at))
		}
		return true
	})
	return faults
}

func TestManners(t *testing.T) {
	for _, f := range source(t) {
		if !f.test {
			continue
		}
		for _, fault := range manners(f) {
			t.Error(fault)
		}
	}
}

func TestMannersBite(t *testing.T) {
	for src, want := range map[string]int{
		`package x; import "time"; func f() { time.Sleep(1) }`:                                1,
		`package x; import ("time"; "testing/synctest"); func f() { time.Sleep(1) }`:          0,
		`package x; import "testing"; func TestF(t *testing.T) { t.Skip("no tshark here") }`:  0,
		`package x; import "testing"; func TestF(t *testing.T) { t.SkipNow(); t.Skip() }`:     2,
		`package x; import ("time"; "testing"); func TestF(t *testing.T) { time.Sleep(1e9) }`: 1,
	} {
		f, err := parse("server/x_test.go", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		if got := manners(f); len(got) != want {
			t.Errorf("%s: faults %q, want %d", src, got, want)
		}
	}
}
