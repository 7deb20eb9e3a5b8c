package archtest

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// made reports whether the file at path is written by go generate: Go files that say so, and the tables page.
func made(p string, src []byte) bool {
	if p == "commit/effect/TABLES.md" {
		return true
	}
	if !strings.HasSuffix(p, ".go") {
		return false
	}
	f, err := parse(p, src)
	return err == nil && generated(f)
}

// TestGeneratedIsRegenerated runs go generate on a copy of the module in which every generated file has been spoilt, and
// wants the same bytes back, everywhere.
func TestGeneratedIsRegenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the generators")
	}
	copyRoot := t.TempDir()
	originals := map[string][]byte{}
	var spoilt []string
	walkModule(t, root, func(p string, src []byte) {
		originals[p] = src
		if made(p, src) {
			spoilt = append(spoilt, p)
			src = slices.Concat(src, []byte("\n// spoilt\n"))
		}
		to := filepath.Join(copyRoot, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, src, 0o644); err != nil {
			t.Fatal(err)
		}
	})
	if len(spoilt) == 0 {
		t.Skip("the tree holds no generated file yet")
	}
	cmd := exec.Command("go", "generate", "./...")
	cmd.Dir = copyRoot
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go generate: %v\n%s", err, out)
	}
	seen := 0
	walkModule(t, copyRoot, func(p string, src []byte) {
		seen++
		switch want, existed := originals[p]; {
		case !existed:
			t.Errorf("%s: made by go generate, but not checked in", p)
		case bytes.Equal(src, want):
		case slices.Contains(spoilt, p) && bytes.Equal(src, slices.Concat(want, []byte("\n// spoilt\n"))):
			t.Errorf("%s: no go:generate line makes it", p)
		default:
			t.Errorf("%s: differs from what go generate makes: run make generate", p)
		}
	})
	if seen < len(originals) {
		t.Errorf("go generate removed files: %d of %d are left", seen, len(originals))
	}
}

// walkModule hands each file of the module at dir to see, with its slash-separated path. Build results are left out.
func walkModule(t *testing.T, dir string, see func(p string, src []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			base := path.Base(rel)
			if rel != "." && (strings.HasPrefix(base, ".") || base == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || strings.HasSuffix(rel, ".test") || strings.HasSuffix(rel, ".out") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		see(rel, src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
