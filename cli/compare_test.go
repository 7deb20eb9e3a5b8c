package cli

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gvpn/config"
)

// show | compare is empty exactly if nothing differs, whatever the edit: values, entries, order, activation, remarks. Its lines have a
// sign and a banner above them.
func TestCompareShowsEveryDifference(t *testing.T) {
	edits := []string{
		"set system host-name a", "set system host-name b", "delete system host-name", "deactivate system host-name", "activate system host-name",
		"set system login user x class operator", "set system login user y class read-only", "delete system login user x", "delete system login user y", "delete system login",
		"deactivate system login user x", "deactivate system login", "activate system login user x", "annotate system login user x \"remark\"", "annotate system \"another\"",
		"set system login user x authentication ssh-ed25519 \"ssh-ed25519 AAAA\"", "set system services netconf ssh", "set system services netconf ssh port 831", "delete system services",
		"set security group-vpn member ike policy P proposals a", "set security group-vpn member ike policy P proposals b", "delete security group-vpn member ike policy P proposals a",
		"set security group-vpn member ike policy Q proposals c", "delete security group-vpn member ike policy P", "delete security",
	}
	rapid.Check(t, func(t *rapid.T) {
		apply := func(tree config.Tree, name string) config.Tree {
			lines := rapid.SliceOfN(rapid.SampledFrom(edits), 0, 12).Draw(t, name)
			tree, errs := tree.LoadSet(nil, name, []byte(strings.Join(lines, "\n")))
			if errs.Err() != nil {
				t.Fatal(errs)
			}
			return tree
		}
		old := apply(config.Tree{}, "old")
		next := apply(old, "next")
		text := string(appendCompare(nil, old, next, nil))
		if same := config.Equal(old.Root(), next.Root()); same != (text == "") {
			t.Fatalf("same %v, and compare says:\n%s\nold:\n%snew:\n%s", same, text, config.AppendSet(nil, old.Root()), config.AppendSet(nil, next.Root()))
		}
		for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			banner := strings.HasPrefix(line, "[edit")
			if text != "" && (i == 0) != banner && (i == 0 || !banner && !strings.ContainsAny(line[:1], "+-! ")) {
				t.Fatalf("line %d %q of:\n%s", i+1, line, text)
			}
		}
	})
}
