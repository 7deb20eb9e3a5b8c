package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// TestEffective: `effective` prints what a configuration means, `inherit` shows where it came from.
func TestEffective(t *testing.T) {
	datadriven.Walk(t, "testdata/effective", func(t *testing.T, path string) {
		var tree Tree
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "load":
				tree = Tree{}
			case "edit":
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			next, errs := tree.LoadSet(nil, "set", []byte(d.Input))
			if errs.Err() != nil {
				return errs.Error()
			}
			before, _ := Effective{}.Next(tree)
			tree = next
			made, errs := before.Next(tree)
			var out strings.Builder
			if len(errs) > 0 {
				out.WriteString(errs.Error() + "\n")
			}
			if d.HasArg("inherit") {
				made, origins := tree.Inherited()
				out.Write(AppendCurlyOptions(nil, made.Root(), CurlyOptions{Origins: origins}))
			} else {
				out.Write(AppendSet(nil, made.Tree().Root()))
			}
			return out.String()
		})
	})
}

// TestEffectiveFollows: made from any other one, the effective configuration is what it is when made from nothing, it has neither
// groups nor inactive parts, and the written tree stays as it was.
func TestEffectiveFollows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree(t)
		e, _ := Effective{}.Next(tree)
		for range rapid.IntRange(1, 6).Draw(t, "edits") {
			var lines []string
			for line := range strings.Lines(string(AppendSet(nil, drawTree(t).Root()))) {
				if rapid.SampledFrom([]bool{true, true, false}).Draw(t, "keep") {
					lines = append(lines, line)
				}
			}
			for line := range strings.Lines(string(AppendSet(nil, tree.Root()))) {
				verb := rapid.SampledFrom([]string{"", "", "", "delete ", "deactivate ", "activate "}).Draw(t, "verb")
				if rest, ok := strings.CutPrefix(line, "set "); ok && verb != "" {
					lines = append(lines, verb+rest)
				}
			}
			for _, line := range lines {
				if next, errs := tree.LoadSet(nil, "", []byte(line)); errs.Err() == nil { // values of leaf-lists have no marks
					tree = next
				}
			}
			written := string(AppendSet(nil, tree.Root()))
			var errs Errors
			e, errs = e.Next(tree)
			fresh, freshErrs := Effective{}.Next(tree)
			if !Equal(e.Tree().Root(), fresh.Tree().Root()) {
				t.Fatalf("of\n%s\nfollowing\n%s\nfresh\n%s", written, AppendSet(nil, e.Tree().Root()), AppendSet(nil, fresh.Tree().Root()))
			}
			for _, err := range errs { // what was reported before, and did not change, is not reported again
				found := false
				for _, other := range freshErrs {
					found = found || other.Error() == err.Error()
				}
				if !found {
					t.Fatalf("%v is not among %v", err, freshErrs)
				}
			}
			text := string(AppendSet(nil, fresh.Tree().Root()))
			for line := range strings.Lines(text) {
				if strings.Contains(line, " apply-groups") || strings.HasPrefix(line, "set groups ") || strings.HasPrefix(line, "deactivate ") {
					t.Fatalf("%q is in what is in force of\n%s", line, written)
				}
			}
			back, loadErrs := Tree{}.LoadSet(nil, "", []byte(text))
			if loadErrs.Err() != nil || !Equal(back.Root(), fresh.Tree().Root()) {
				t.Fatalf("does not load: %v\n%s", loadErrs, text)
			}
			if string(AppendSet(nil, tree.Root())) != written {
				t.Fatal("the written tree changed")
			}
		}
	})
}

// drawGroupLine draws a line that edits one of a few groups, gateways and policies, or where the groups are applied.
func drawGroupLine(t *rapid.T) string {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	verb := pick("verb", "set", "set", "set", "set", "delete", "deactivate", "activate")
	in := pick("in", "", "", "groups G1 ", "groups G1 ", "groups G2 ", "apply")
	if in == "apply" {
		at := pick("at", "", "security ", "security group-vpn server ", "security group-vpn server ike ", "security group-vpn server ike gateway A ", "security group-vpn server ike gateway B ")
		what := pick("what", "apply-groups", "apply-groups", "apply-groups-except")
		if verb == "deactivate" || verb == "activate" {
			return verb + " " + at + what
		}
		return verb + " " + at + what + " " + pick("group", "G1", "G2", "G3")
	}
	name := pick("name", "A", "B", "C")
	if in != "" {
		name = pick("pattern", "A", "D", "<*>", "<[AB]>", "<!A>")
	}
	values := ""
	if verb == "set" || verb == "delete" { // a single value has no marks
		values = " " + pick("proposal", "P", "Q", "R")
	}
	return verb + " " + in + pick("statement",
		"security group-vpn server ike gateway "+name,
		"security group-vpn server ike gateway "+name+" address 10.0.0."+pick("host", "1", "2"),
		"security group-vpn server ike gateway "+name+" dead-peer-detection interval "+pick("interval", "10", "20"),
		"security group-vpn server ike policy "+name+" proposals"+values,
		"security group-vpn server ike policy "+name+" pre-shared-key "+pick("kind", "ascii-text", "hexadecimal")+" ff",
		"security policies from-zone "+name+" to-zone A policy "+name+" then deny",
		"system host-name h"+pick("host", "1", "2"))
}

// TestGroupsFollow is TestEffectiveFollows where groups and what they are applied to meet often; what they brought is counted the
// same, too.
func TestGroupsFollow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tree Tree
		var e Effective
		for range rapid.IntRange(1, 60).Draw(t, "lines") {
			next, errs := tree.LoadSet(nil, "", []byte(drawGroupLine(t)))
			if errs.Err() != nil {
				t.Fatal(errs)
			}
			tree = next
			if rapid.SampledFrom([]bool{true, true, false}).Draw(t, "more") {
				continue
			}
			e, _ = e.Next(tree)
			if fresh := tree.Effective(); !Equal(e.Tree().Root(), fresh.Root()) {
				t.Fatalf("of\n%s\nfollowing\n%s\nfresh\n%s", AppendSet(nil, tree.Root()), AppendSet(nil, e.Tree().Root()), AppendSet(nil, fresh.Root()))
			}
			if a, b := e.Tree().Root().n.inherited, tree.Effective().Root().n.inherited; a != b {
				t.Fatalf("following %d inherited, anew %d, of\n%s", a, b, AppendSet(nil, tree.Root()))
			}
		}
	})
}

// TestInheritedBound: a small text cannot bring more than there is room for, and what was in force stays.
func TestInheritedBound(t *testing.T) {
	var text []byte
	for i := range 40 {
		text = fmt.Appendf(text, "set groups g security group-vpn server group <*> ike-gateway GM-%d\nset security group-vpn server group G-%d group-id 1\n", i, i)
	}
	tree := load(t, text)
	was, errs := Effective{}.Next(tree)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	tree, errs = tree.LoadSet(nil, "", []byte("set apply-groups g"))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	now, errs := was.next(tree, 1000)
	if len(errs) != 1 || errs[0].Message != "groups bring more than 1000 statements into the configuration" || !Equal(now.Tree().Root(), was.Tree().Root()) {
		t.Errorf("%v", errs)
	}
}
