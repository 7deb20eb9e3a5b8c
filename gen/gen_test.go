package gen

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRegenerated runs the lines of doc.go on a copy and holds the result against what is checked in.
func TestRegenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the generator")
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "gvpn.go")
	n := 0
	for line := range strings.Lines(string(doc)) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "//go:generate ")
		if !ok {
			continue
		}
		n++
		words := splitQuoted(strings.ReplaceAll(command, "gvpn.go", out))
		b, err := exec.Command(words[0], words[1:]...).CombinedOutput() //nolint:gosec // our own lines
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, b)
		}
	}
	if n == 0 {
		t.Fatal("doc.go has no go:generate line")
	}
	want, err := os.ReadFile("gvpn.go")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("gvpn.go is not what go generate makes of the modules: run make generate")
	}
}

// splitQuoted cuts a go:generate line as go generate does: at blanks outside of Go strings.
func splitQuoted(line string) []string {
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if q, err := strconv.QuotedPrefix(line); err == nil {
			w, _ := strconv.Unquote(q)
			words, line = append(words, w), line[len(q):]
			continue
		}
		w, rest, _ := strings.Cut(line, " ")
		words, line = append(words, w), rest
	}
	return words
}
