package examples_test

import (
	"io/fs"
	"strings"
	"testing"

	"gvpn/config"
	"gvpn/examples"
)

// pairs is the one warning that an example draws: the lab's root-server is a single device, so its sub-servers leave DPD at the
// defaults and see it die in 50 s.
const pairs = "[edit security group-vpn server group GROUP_ID-0001 server-cluster] 'ike-gateway RootSrv' warning: " +
	"dead-peer-detection interval x threshold should be over 150 seconds if the root-server is a chassis cluster"

// An example is something to copy from: it loads, it could be committed without any other warning, and what it is printed as
// loads to the same configuration.
func TestExamplesAreConfigurations(t *testing.T) {
	names, err := fs.Glob(examples.Cluster, "cluster/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 9 {
		t.Errorf("%d nodes, want a root-server, four sub-servers and four members", len(names))
	}
	for _, name := range names {
		text, err := examples.Cluster.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tree, errs := config.Tree{}.LoadCurly(nil, config.Merge, name, text)
		if len(errs) > 0 {
			t.Error(errs)
			continue
		}
		want := ""
		if strings.HasPrefix(name, "cluster/sub") {
			want = pairs
		}
		if errs, warnings := tree.Effective().Validate(config.Tree{}); len(errs) > 0 || warnings.Error() != want {
			t.Errorf("%s:\n%v\n%v", name, errs, warnings)
		}
		for spelling, load := range map[string]func() (config.Tree, config.Errors){
			"curly": func() (config.Tree, config.Errors) {
				return config.Tree{}.LoadCurly(nil, config.Merge, name, config.AppendCurly(nil, tree.Root()))
			},
			"set": func() (config.Tree, config.Errors) {
				return config.Tree{}.LoadSet(nil, name, config.AppendSet(nil, tree.Root()))
			},
		} {
			again, errs := load()
			if len(errs) > 0 {
				t.Errorf("%s as %s: %v", name, spelling, errs)
			} else if !config.Equal(tree.Root(), again.Root()) {
				t.Errorf("%s as %s loads to another configuration", name, spelling)
			}
		}
	}
}
