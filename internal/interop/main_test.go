//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tableFile holds what was tried, a row each, between two lines that say so.
const (
	tableFile  = "../../docs/interop.md"
	tableBegin = "<!-- written by: make record -->\n"
	tableEnd   = "<!-- to here -->\n"
)

var rows struct {
	sync.Mutex
	tried []string
}

// tried notes what a test has tried with a peer, and what was seen. A row that docs/interop.md lacks fails the test.
func tried(t *testing.T, peer, what, seen string) {
	t.Helper()
	if t.Failed() {
		return
	}
	row := fmt.Sprintf("| %s | %s | %s | `%s` |\n", peer, what, seen, t.Name())
	rows.Lock()
	rows.tried = append(rows.tried, row)
	rows.Unlock()
	if *record {
		return
	}
	text, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), row) {
		t.Errorf("%s lacks a row (make record):\n%s", filepath.Base(tableFile), row)
	}
}

// writeTable puts the rows of this run into docs/interop.md; those of tests that did not run stay.
func writeTable() error {
	text, err := os.ReadFile(tableFile)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), tableBegin)
	old, after, end := strings.Cut(rest, tableEnd)
	if !found || !end {
		return fmt.Errorf("%s has no table", tableFile)
	}
	const head = "\n| peer | what | seen | test |\n| --- | --- | --- | --- |\n"
	all := slices.Clone(rows.tried)
	for line := range strings.Lines(strings.TrimPrefix(old, head)) {
		name := line[strings.LastIndex(line, "| `")+1:]
		if strings.HasPrefix(line, "|") && !slices.ContainsFunc(rows.tried, func(row string) bool { return strings.HasSuffix(row, name) }) {
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return os.WriteFile(tableFile, []byte(before+tableBegin+head+strings.Join(all, "")+"\n"+tableEnd+after), 0o644)
}

func TestMain(m *testing.M) {
	code := m.Run()
	var err error
	if *record {
		err = writeTable()
	}
	for _, err := range []error{err, os.RemoveAll(unpacked.dir)} {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
