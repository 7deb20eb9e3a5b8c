//go:build interop

package interop

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/cockroachdb/datadriven"

	"gvpn/config"
	"gvpn/examples"
	"gvpn/yang"
)

// lint makes a function that holds a configuration against our modules as yanglint understands them. It returns what
// yanglint says, and its verdict.
func lint(t *testing.T) func(name string, tree config.Tree) (string, error) {
	t.Helper()
	yanglint := need(t, "yanglint", "libyang-tools")
	dir := t.TempDir()
	modules, err := yang.FS.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-p", dir, "-t", "config"}
	for _, m := range modules {
		text, err := yang.FS.ReadFile(m.Name())
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, m.Name())
		text = warning.ReplaceAll(text, nil) // to yanglint what breaks one of these is wrong
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(file) == ".yang" {
			args = append(args, file)
		}
	}
	return func(name string, tree config.Tree) (string, error) {
		file := filepath.Join(dir, name+".xml")
		xml := config.AppendXML(nil, tree.Root(), config.XMLOptions{Namespaces: true})
		xml = hexadecimal.ReplaceAll(xml, []byte("<hexadecimal>00<")) // obfuscated, it has not the form of one
		if err := os.WriteFile(file, xml, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(yanglint, append(args, file)...).CombinedOutput()
		return string(out), err
	}
}

// warning is a must that only warns.
var warning = regexp.MustCompile(`must "[^{}]*\{[^{}]*gx:warning;[^{}]*\}`)

var hexadecimal = regexp.MustCompile(`<hexadecimal>[^<]*<`)

// Another implementation reads our modules, and finds the example configurations valid under every constraint in them.
func TestYanglintReadsModulesAndExamples(t *testing.T) {
	check := lint(t)
	nodes, err := examples.Cluster.ReadDir("cluster")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		text, err := examples.Cluster.ReadFile("cluster/" + node.Name())
		if err != nil {
			t.Fatal(err)
		}
		// The remark at the head is an element of Junos's own namespace, which no module has.
		_, text, _ = bytes.Cut(text, []byte("*/"))
		tree, errs := config.Tree{}.LoadCurly(nil, config.Override, node.Name(), text)
		if err := errs.Err(); err != nil {
			t.Fatal(err)
		}
		if out, err := check(node.Name(), tree); err != nil {
			t.Errorf("%s: %v\n%s", node.Name(), err, out)
		}
	}
}

// Another implementation has the same verdict on every case of our rules: what we find valid it finds valid, and what we refuse
// it refuses. Cases with warnings are ours alone, since it knows musts only, and cases that no text can be read from.
func TestYanglintAgreesOnRules(t *testing.T) {
	check := lint(t)
	bases := map[string]config.Tree{}
	verdicts := map[bool]int{}
	datadriven.RunTest(t, "../../config/testdata/rules.txt", func(t *testing.T, d *datadriven.TestData) string {
		name := d.CmdArgs[0].Key
		tree, errs := bases[name].LoadSet(nil, d.Cmd, []byte(d.Input))
		if errs.Err() != nil {
			return d.Expected
		}
		if d.Cmd == "base" {
			bases[name] = tree
		}
		tree = tree.Effective()
		errs, warnings := tree.Validate(config.Tree{})
		if len(warnings) > 0 {
			return d.Expected
		}
		out, err := check("case", tree)
		if valid := len(errs) == 0; valid != (err == nil) {
			t.Errorf("%s: we say %v; yanglint says %v\n%s", d.Pos, errs, err, out)
		} else {
			verdicts[valid]++
		}
		return d.Expected
	})
	if verdicts[true] < 10 || verdicts[false] < 30 {
		t.Errorf("too few cases: %v", verdicts)
	}
}
