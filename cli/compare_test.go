package cli

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gvpn/config"
)

// What show | compare shows is a patch: loaded into the one configuration it gives the other.
func TestCompareIsAPatch(t *testing.T) {
	var edits []string
	for _, path := range []string{
		"system host-name", "system login", "system login user x", "system login user y", "system login user z", "system services", "security",
		"security group-vpn member ike policy P proposals", "security group-vpn member ike gateway A", "security group-vpn member ike gateway B",
	} {
		for _, verb := range []string{"delete", "activate", "deactivate", "protect", "unprotect"} {
			edits = append(edits, verb+" "+path)
		}
		edits = append(edits, "annotate "+path+" \"two\\nlines\"", "annotate "+path+" \"one\"", "annotate "+path+" \"\"")
	}
	edits = append(edits, "set system host-name a", "set system host-name b", "set system services netconf ssh port 831", "set system services netconf ssh")
	users := []string{"v", "w", "x", "y", "z"}
	for _, name := range users {
		for range 4 { // or there is seldom more than one
			edits = append(edits, "set system login user "+name)
		}
		edits = append(edits, "set system login user "+name+" class operator", "set system login user "+name+" class read-only", "delete system login user "+name)
	}
	for _, name := range []string{"A", "B", "C", "D"} {
		edits = append(edits, "set security group-vpn member ike policy P proposals "+name, "set security group-vpn member ike gateway "+name+" server-address 10.0.0.1",
			"delete security group-vpn member ike policy P proposals "+name)
	}
	rapid.Check(t, func(t *rapid.T) {
		apply := func(tree config.Tree, name string, protect bool) config.Tree {
			for range rapid.IntRange(1, 6).Draw(t, name) {
				for _, line := range rapid.SliceOfN(rapid.SampledFrom(edits), 2, 8).Draw(t, "lines") {
					if !protect && strings.HasPrefix(line, "protect") {
						continue
					}
					var errs config.Errors
					if tree, errs = tree.LoadSet(nil, name, []byte(line)); errs.Err() != nil {
						t.Fatal(errs)
					}
				}
				one, other := rapid.SampledFrom(users).Draw(t, "one"), rapid.SampledFrom(users).Draw(t, "other")
				if moved, err := tree.InsertBefore(nil, []string{"system", "login", "user", one}, []string{"user", other}); err == nil {
					tree = moved
				}
			}
			return tree
		}
		old := apply(config.Tree{}, "old", false)
		next := apply(old, "next", true)
		text := appendCompare(nil, old, next, nil)
		got, errs := old.LoadPatch(nil, "patch", text)
		if len(errs) > 0 || !config.Equal(got.Root(), next.Root()) {
			t.Fatalf("%v\npatch:\n%s\nold:\n%sgives:\n%swant:\n%s", errs, text, config.AppendSet(nil, old.Root()), config.AppendSet(nil, got.Root()), config.AppendSet(nil, next.Root()))
		}
	})
}

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
