package diff

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"gvpn/config"
)

func load(t *testing.T, tree config.Tree, text string) config.Tree {
	t.Helper()
	tree, errs := tree.LoadSet(nil, "test", []byte(text))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return tree
}

// TestDiff runs the cases in testdata. The commands: before (lines that make a configuration from nothing), after (lines that
// make another from it; the output is what differs, and of a leaf that is not secret how).
func TestDiff(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var before config.Tree
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "before":
				before = load(t, config.Tree{}, d.Input)
				return ""
			case "after":
				changes := Diff(before.Effective(), load(t, before, d.Input).Effective())
				var out strings.Builder
				for _, c := range changes {
					fmt.Fprintf(&out, "%s%s\n", c, values(c))
					if c.Old.Exists() != (c.Op != Add) || c.New.Exists() != (c.Op != Delete) {
						t.Errorf("%s: old %v, new %v", c, c.Old.Exists(), c.New.Exists())
					}
				}
				if len(changes) == 0 {
					return "no change\n"
				}
				return out.String()
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

func values(c Change) string {
	word := func(n config.Node) string {
		if !n.Exists() {
			return "nothing"
		}
		return strings.Join(n.Values(), " ")
	}
	n := c.New
	if !n.Exists() {
		n = c.Old
	}
	if k := n.Schema().Kind(); k != config.Leaf && k != config.LeafList || n.Schema().Secret() {
		return ""
	}
	return ": " + word(c.Old) + " to " + word(c.New)
}

// TestProperties: nothing differs from itself, not even from a copy that shares nothing; what is reported differs; and a
// difference in effect is reported.
func TestProperties(t *testing.T) {
	lines := []string{
		"set system host-name a", "set system host-name b", "delete system", "set security zones security-zone X",
		"set security zones security-zone Y", "set security zones security-zone Y description d", "delete security zones security-zone X",
		"deactivate security zones", "activate security zones", "protect security zones", "unprotect security zones", "annotate security zones \"remark\"",
		"set security group-vpn server ike policy P proposals A", "set security group-vpn server ike policy P proposals B",
		"delete security group-vpn server ike policy P proposals A", "delete security group-vpn server ike policy P",
		"set security group-vpn server ike gateway G dead-peer-detection", "set security group-vpn server ike gateway G dead-peer-detection interval 20",
		"delete security group-vpn server ike gateway G dead-peer-detection", "deactivate security group-vpn server ike gateway G",
		"set security group-vpn member ipsec vpn V recovery-probe", "delete security group-vpn member ipsec vpn V",
	}
	rapid.Check(t, func(t *rapid.T) {
		var trees [2]config.Tree
		var tree config.Tree
		for i := range trees {
			for range rapid.IntRange(0, 15).Draw(t, "n") {
				if next, errs := tree.LoadSet(nil, "edit", []byte(rapid.SampledFrom(lines).Draw(t, "line"))); errs.Err() == nil {
					tree = next
				}
			}
			trees[i] = tree
		}
		old, next := trees[0].Effective(), trees[1].Effective()
		unshared, errs := config.Tree{}.LoadSet(nil, "copy", config.AppendSet(nil, next.Root()))
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		for _, c := range [][2]config.Tree{{next, next}, {next, unshared}, {unshared, next}} {
			if got := Diff(c[0], c[1]); got != nil {
				t.Fatalf("from itself: %s", Text(got))
			}
		}
		got := Diff(old, next)
		if text := Text(Diff(old, unshared)); text != Text(got) {
			t.Fatalf("%s\nfrom a copy:\n%s", Text(got), text)
		}
		seen := map[string]bool{}
		for _, c := range got {
			if a, b := old.Root().At(c.Path), next.Root().At(c.Path); a.Exists() != c.Old.Exists() || b.Exists() != c.New.Exists() {
				t.Fatalf("%s: there before: %v, after: %v", c, a.Exists(), b.Exists())
			}
			if c.Op == Modify && config.Equal(c.Old, c.New) {
				t.Fatalf("%s: the same", c)
			}
			if seen[c.String()] {
				t.Fatalf("%s twice", c)
			}
			seen[c.String()] = true
		}
		bare := func(t config.Tree) string { // without remarks and protection, which are no configuration
			var out []string
			for line := range strings.Lines(string(config.AppendSet(nil, t.Root()))) {
				if !strings.HasPrefix(line, "annotate") && !strings.HasPrefix(line, "protect") {
					out = append(out, line)
				}
			}
			return strings.Join(out, "")
		}
		if (len(got) == 0) != (bare(old) == bare(next)) {
			t.Fatalf("%s\nfrom\n%sto\n%s", Text(got), bare(old), bare(next))
		}
	})
}
