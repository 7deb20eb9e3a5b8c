//go:build interop

package interop

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gvpn/config"
	"gvpn/examples"
	"gvpn/yang"
)

// Another implementation reads our modules, and finds the example configurations valid under every constraint in them.
func TestYanglintReadsModulesAndExamples(t *testing.T) {
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
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(file) == ".yang" {
			args = append(args, file)
		}
	}
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
		file := filepath.Join(dir, node.Name()+".xml")
		xml := config.AppendXML(nil, tree.Root(), config.XMLOptions{Namespaces: true})
		if err := os.WriteFile(file, xml, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(yanglint, append(args, file)...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s\n%s", node.Name(), err, out, xml)
		}
	}
}
