package archtest

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestDependenciesAreDefended holds go.mod's direct requirements against deps.txt: every one has a line that says what it
// is for, and no line is left over.
func TestDependenciesAreDefended(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json", root+"/go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace []struct{ Old struct{ Path string } }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Replace {
		t.Errorf("go.mod: %s is replaced: a fork needs the lead's word", r.Old.Path)
	}
	text, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	defended := map[string]bool{}
	last := ""
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		path, reason, _ := strings.Cut(line, " ")
		if len(strings.TrimSpace(reason)) < 20 {
			t.Errorf("deps.txt: %s: a defence is a sentence", path)
		}
		if path <= last {
			t.Errorf("deps.txt: %s: lines are sorted and single", path)
		}
		last = path
		defended[path] = true
	}
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		if !defended[r.Path] {
			t.Errorf("go.mod requires %s, and deps.txt has no word for it", r.Path)
		}
		delete(defended, r.Path)
	}
	for path := range defended {
		t.Errorf("deps.txt defends %s, which go.mod does not require directly", path)
	}
}
