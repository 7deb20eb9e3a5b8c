package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// ruleBases are the valid configurations that cases of rules change.
func ruleBases(t *testing.T) map[string]Tree {
	t.Helper()
	bases := map[string]Tree{}
	checkRules(t, bases, "testdata/bases.txt")
	return bases
}

// checkRules runs a file of cases, each a change of a base, and adds its bases. A case is held against the rules as a whole and as a
// change of the base, and both must give the same. It counts what was accepted without a word, and what was not.
func checkRules(t *testing.T, bases map[string]Tree, path string) (accepted, refused int) {
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		if len(d.CmdArgs) != 1 {
			d.Fatalf(t, "want: %s NAME", d.Cmd)
		}
		name := d.CmdArgs[0].Key
		base := bases[name]
		if (d.Cmd == "check") == base.Empty() {
			d.Fatalf(t, "base %s is not there, or twice", name)
		}
		tree, errs := base.LoadSet(nil, d.Cmd, []byte(d.Input))
		if errs.Err() != nil {
			refused++
			line, _, _ := strings.Cut(errs.Error(), "\n")
			return line + "\n"
		}
		if d.Cmd == "base" {
			bases[name] = tree
			return describe(tree.Validate(Tree{}))
		}
		whole := describe(tree.Effective().Validate(Tree{}))
		change := describe(tree.Effective().Validate(base.Effective()))
		if whole != change {
			return "as a whole:\n" + whole + "as a change:\n" + change
		}
		if whole == valid {
			accepted++
		} else {
			refused++
		}
		return whole
	})
	return accepted, refused
}

// TestRules has a file for each of the rules V1 to V13 of the Group VPN specification, others, and one for what has no number.
func TestRules(t *testing.T) {
	bases := ruleBases(t)
	checkRules(t, bases, "testdata/rules.txt")
	// What only two servers together can break: a commit on one of them accepts it, and its file says where it shows.
	elsewhere := []string{"V8", "V9", "V10"}
	for _, rule := range []string{"V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8", "V9", "V10", "V11", "V12", "V13", "P4", "room"} {
		t.Run(rule, func(t *testing.T) {
			accepted, refused := checkRules(t, bases, "testdata/rules/"+rule+".txt")
			if accepted == 0 || (refused == 0) != slices.Contains(elsewhere, rule) {
				t.Errorf("%d cases accepted, %d refused or warned about", accepted, refused)
			}
		})
	}
}

const valid = "valid\n"

func describe(errs, warnings Errors) string {
	var lines []string
	for _, e := range append(slices.Clone(errs), warnings...) {
		lines = append(lines, e.Error())
	}
	if lines == nil {
		return valid
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// checkShortForms holds the short form of every must, in which most are told, against the evaluation of the whole expression.
func checkShortForms(t *rapid.T, n Node) {
	for _, m := range n.s.musts {
		if short, whole := m.holds(n), m.whole(n).boolean(); short != whole {
			t.Fatalf("must %q of %s: %v, as a whole %v", m.text, n.Path(), short, whole)
		}
	}
	if !n.s.isInner() {
		return
	}
	for _, k := range n.s.keys {
		checkShortForms(t, n.child(k, &n))
	}
	for c := range n.Children() {
		if c.s.kind != LeafList {
			checkShortForms(t, c)
		}
	}
}

// TestShortForms: they are right about any tree, not only about one that could be committed.
func TestShortForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkShortForms(t, drawTree(t).Root()) })
}

// TestValidateChange: what a change breaks is found by looking at the change alone.
func TestValidateChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A pool of few names, so that references hit and miss.
		names := []string{"A", "B", "C"}
		name := func() string { return rapid.SampledFrom(names).Draw(t, "name") }
		line := func() string {
			server := "security group-vpn server "
			switch rapid.IntRange(0, 24).Draw(t, "line") {
			case 0:
				return server + "ike proposal " + name() + " dh-group " + rapid.SampledFrom([]string{"group14", "group24"}).Draw(t, "group")
			case 1:
				return server + "ike policy " + name() + " proposals " + name()
			case 2:
				return server + "ike policy " + name() + " pre-shared-key ascii-text x"
			case 3:
				return server + "ike gateway " + name() + " ike-policy " + name()
			case 4:
				return server + "ike gateway " + name() + " address 10.0.0.1"
			case 5:
				return server + "ike gateway " + name() + " dynamic hostname x"
			case 6:
				return server + "ike gateway " + name() + " dead-peer-detection always-send"
			case 7:
				return server + "ike policy " + name() + " mode " + rapid.SampledFrom([]string{"main", "aggressive"}).Draw(t, "mode")
			case 8:
				return server + "group " + name() + " ike-gateway " + name()
			case 9:
				return server + "group " + name() + " server-cluster ike-gateway " + name()
			case 10:
				return server + "group " + name() + " server-cluster server-role " + rapid.SampledFrom([]string{"root-server", "sub-server"}).Draw(t, "role")
			case 11:
				return server + "group " + name() + " group-id " + rapid.SampledFrom([]string{"1", "2"}).Draw(t, "id")
			case 12:
				return server + "group " + name() + " ipsec-sa " + name() + " proposal " + name()
			case 13:
				return server + "ipsec proposal " + name()
			case 14:
				return server + "ike gateway " + name() + " routing-instance " + name()
			case 15:
				return "routing-instances " + name()
			case 16:
				return "interfaces " + name() + " unit " + rapid.SampledFrom([]string{"0", "1"}).Draw(t, "unit")
			case 17:
				return "security zones security-zone " + name() + " interfaces " + name() + rapid.SampledFrom([]string{".0", ".1"}).Draw(t, "unit")
			case 18:
				return "applications application " + name() + " protocol udp"
			case 19:
				return "applications application-set " + name() + " application " + name()
			case 20:
				return "security group-vpn member ike gateway " + name() + " local-address 10.0.0.9"
			case 21:
				return "security ike gateway " + name()
			case 22:
				return "security group-vpn member ipsec vpn " + name() + " group-vpn-external-interface " + name() + rapid.SampledFrom([]string{".0", ".1"}).Draw(t, "unit")
			case 23:
				return "interfaces " + name() + " unit " + rapid.SampledFrom([]string{"0", "1"}).Draw(t, "unit") + " family bridge"
			default:
				return server + "ike gateway " + name() + " remote-identity hostname y"
			}
		}
		edit := func(tree Tree, n int) Tree {
			for range n {
				words := strings.Fields(line())
				var next Tree
				var err error
				switch rapid.IntRange(0, 3).Draw(t, "verb") {
				case 0:
					cut := rapid.IntRange(min(2, len(words)), len(words)).Draw(t, "cut")
					next, err = tree.Delete(nil, words[:cut])
				case 1:
					next, err = tree.Deactivate(nil, words)
				default:
					next, err = tree.Set(nil, words)
				}
				if err == nil {
					tree = next
				}
			}
			return tree
		}
		base := edit(Tree{}, rapid.IntRange(0, 40).Draw(t, "first")).Effective()
		// Delete what is wrong until the base is valid.
		for {
			errs, _ := base.Validate(Tree{})
			if len(errs) == 0 {
				break
			}
			next, err := base.DeletePath(errs[0].At)
			if err != nil {
				t.Fatalf("%v: %v", errs[0], err)
			}
			base = next
		}
		changed := edit(base, rapid.IntRange(1, 5).Draw(t, "then")).Effective()
		checkShortForms(t, changed.Root())
		whole, _ := changed.Validate(Tree{})
		change, _ := changed.Validate(base)
		if a, b := describe(whole, nil), describe(change, nil); a != b {
			t.Fatalf("as a whole:\n%sas a change:\n%sbase:\n%schanged:\n%s", a, b, AppendSet(nil, base.Root()), AppendSet(nil, changed.Root()))
		}
	})
}
