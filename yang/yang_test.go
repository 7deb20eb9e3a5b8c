package yang_test

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	goyang "github.com/openconfig/goyang/pkg/yang"

	"gvpn/yang"
)

// Each file holds the module that it is named for, in YANG 1.1, with a namespace and a prefix of its own and a dated
// revision, and the modules fit together.
func TestModules(t *testing.T) {
	names, err := fs.Glob(yang.FS, "*.yang")
	if err != nil || len(names) == 0 {
		t.Fatalf("modules: %v, %v", names, err)
	}
	modules := goyang.NewModules()
	for _, name := range names {
		text, err := yang.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := modules.Parse(string(text), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, err := range modules.Process() {
		t.Error(err)
	}
	unique := map[string]string{}
	for _, name := range names {
		m := modules.Modules[strings.TrimSuffix(name, ".yang")]
		if m == nil {
			t.Errorf("%s: does not hold the module of that name", name)
			continue
		}
		if m.YangVersion.Name != "1.1" {
			t.Errorf("%s: yang-version %s, want 1.1 (RFC 7950 section 7.1.2)", name, m.YangVersion.Name)
		}
		for _, is := range []string{"namespace " + m.Namespace.Name, "prefix " + m.Prefix.Name} {
			if other := unique[is]; other != "" {
				t.Errorf("%s: %s is %s's", name, is, other)
			}
			unique[is] = name
		}
		if _, err := time.Parse(time.DateOnly, m.Current()); err != nil {
			t.Errorf("%s: revision %q: %v", name, m.Current(), err)
		}
	}
}
