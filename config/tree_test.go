package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gvpn/gen"
)

func mustCurly(t testing.TB, text string) Tree {
	t.Helper()
	tree, errs := Tree{}.LoadCurly(nil, Merge, "test", []byte(text))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	return tree
}

const someServer = `security { group-vpn { server {
	ike { gateway A { ike-policy P; dead-peer-detection { always-send; interval 20; } } gateway B; gateway C { inactive: address 10.0.0.1; } }
	group G { group-id 7; /* why */ server-member-communication sig-hash-algorithm sha-384; ike-gateway X; ike-gateway Y; }
} } }
system { host-name h; services { netconf { ssh; } } }`

func TestNode(t *testing.T) {
	root := mustCurly(t, someServer).Root()
	server := root.Child("security").Child("group-vpn").Child("server")
	ike := server.Child("ike")
	a := ike.Entry("gateway", "A")
	c := ike.Entry("gateway", "C")
	g := server.Entry("group", "G")
	absent := ike.Entry("gateway", "Z")
	got := []any{
		a.Exists(), a.Name(), a.Key(), a.Path().String(), a.Inactive(), a.Child("name").Value(), a.Get("ike-policy"),
		a.Child("dead-peer-detection").Uint("interval"), a.Child("dead-peer-detection").Uint("threshold"),
		a.Child("dead-peer-detection").Child("always-send").Exists(), a.Child("dead-peer-detection").Has("always-send"),
		c.Child("address").Inactive(), c.Child("address").Value(), g.Child("server-member-communication").Comment(),
		g.Len("ike-gateway"), ike.Len("gateway"), ike.Len("policy"), ike.Child("gateway").Exists(),
		ike.At(Path{{"gateway", []string{"A"}}, {Name: "ike-policy"}}).Value(), root.At(g.Path()).Key(),
		g.Parent().Name(), root.Parent().Exists(), root.Path().Edit(), g.Path().Edit(),
		absent.Exists(), absent.Name(), absent.Value(), absent.Child("x").Exists(), absent.Path().String(), absent.Get("mode"), absent.Len("x"),
		absent.Values(), absent.Secret(), absent.Entry("a", "b").Exists(), slices.Collect(absent.Children()), absent.Schema() == nil, Node{}.Inactive(), Node{}.Comment(),
	}
	want := []any{
		true, "gateway",
		[]string{"A"},
		"security group-vpn server ike gateway A", false, "A", "P",
		uint64(20), uint64(5), true, true, true, "10.0.0.1", "why",
		2, 3, 0, false, "P",
		[]string{"G"},
		"server", false, "[edit]", "[edit security group-vpn server group G]",
		false, "", "", false, "", "", 0,
		[]string(nil), nil, false, []Node(nil), true, false, "",
	}
	for i := range want {
		if fmt.Sprint(got[i]) != fmt.Sprint(want[i]) && !(want[i] == nil && fmt.Sprint(got[i]) == "[secret]") {
			t.Errorf("%d: %v, want %v", i, got[i], want[i])
		}
	}
	var children []string
	for n := range g.Children() {
		children = append(children, n.element())
	}
	if d := cmp.Diff([]string{"group-id", "ike-gateway X", "ike-gateway Y", "server-member-communication"}, children); d != "" {
		t.Error(d)
	}
}

// TestImmutable: an edit, whether it succeeds or not, leaves the tree that it began with as it was.
func TestImmutable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type kept struct {
			tree Tree
			text string
		}
		tree := drawOpenTree(t)
		all := []kept{{tree, string(AppendSet(nil, tree.Root()))}}
		for range rapid.IntRange(1, 8).Draw(t, "edits") {
			other := drawOpenTree(t)
			sp := spellings[rapid.IntRange(0, len(spellings)-1).Draw(t, "spelling")]
			var next Tree
			switch rapid.IntRange(0, 4).Draw(t, "edit") {
			case 0:
				next, _ = tree.LoadCurly(nil, Override, "", AppendCurly(nil, other.Root()))
				if !Equal(next.Root(), other.Root()) {
					t.Fatal("override did not override")
				}
			case 1:
				var paths []Path
				collect(other.Root(), &paths)
				next = tree
				for _, p := range paths {
					if n, err := next.DeletePath(p); err == nil {
						next = n
					}
				}
				for _, p := range paths {
					if next.Root().At(p).Exists() && !next.Root().At(p).s.isContainer() {
						t.Fatalf("%s was deleted", p)
					}
				}
			default:
				var errs Errors
				next, errs = tree.LoadSet(nil, "", AppendSet(nil, other.Root()))
				_ = sp
				if errs.Err() != nil {
					t.Fatal(errs)
				}
			}
			tree = next
			all = append(all, kept{tree, string(AppendSet(nil, tree.Root()))})
		}
		for i, k := range all {
			if got := string(AppendSet(nil, k.tree.Root())); got != k.text {
				t.Fatalf("tree %d changed to\n%s\nwas\n%s", i, got, k.text)
			}
		}
	})
}

// collect gathers paths of everything below n, deepest first.
func collect(n Node, out *[]Path) {
	for c := range n.Children() {
		collect(c, out)
		p := c.Path()
		*out = append(*out, p)
	}
}

// TestPaths: every node of a tree is found by its path, and set words and Path words mean the same.
func TestPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := drawOpenTree(t)
		var paths []Path
		collect(tree.Root(), &paths)
		for _, p := range paths {
			n := tree.Root().At(p)
			if !n.Exists() || n.Path().String() != p.String() {
				t.Fatalf("%s: found %s", p, n.Path())
			}
			words := cutWords(t, p.String())
			without, err := tree.Delete(nil, words)
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
			other, err := tree.DeletePath(p)
			if err != nil || !Equal(without.Root(), other.Root()) {
				t.Fatalf("%s: %v", p, err)
			}
		}
	})
}

// TestDiffEntries holds the differences and moves that are found against those that a plain comparison finds.
func TestDiffEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := Path{{Name: "security"}, {Name: "zones"}}
		at := func(name string) Path { return append(base.Clone(), Elem{"security-zone", []string{name}}) }
		name := func() string { return fmt.Sprintf("z%d", rapid.IntRange(0, 60).Draw(t, "zone")) }
		edit := func(tree Tree, n int) Tree {
			for range n {
				var next Tree
				var err error
				switch rapid.IntRange(0, 4).Draw(t, "edit") {
				case 0:
					next, err = tree.DeletePath(at(name()))
				case 1:
					next, err = tree.SetValue(append(at(name()), Elem{Name: "description"}), name())
				case 2:
					next, err = moved(tree, at(name()), rapid.Bool().Draw(t, "before"), name())
				default:
					next, err = tree.SetValue(at(name()), "")
				}
				if err == nil {
					tree = next
				}
			}
			return tree
		}
		a := edit(Tree{}, rapid.IntRange(0, 150).Draw(t, "first"))
		b := edit(a, rapid.IntRange(0, 12).Draw(t, "then"))
		za, zb := a.Root().At(base), b.Root().At(base)
		found := map[string]bool{}
		for ch := range DiffEntries(za, zb, "security-zone") {
			n := ch.New
			if !n.Exists() {
				n = ch.Old
			}
			found[n.Key()[0]] = true
			if ch.Old.Exists() != za.Entry("security-zone", n.Key()...).Exists() || ch.New.Exists() != zb.Entry("security-zone", n.Key()...).Exists() {
				t.Fatalf("%s: %v", n.Path(), ch)
			}
		}
		names := func(n Node) (out []string) {
			for e := range n.Entries("security-zone") {
				out = append(out, e.Key()[0])
			}
			return out
		}
		was, is := names(za), names(zb)
		for _, k := range append(slices.Clone(was), is...) {
			x, y := za.Entry("security-zone", k), zb.Entry("security-zone", k)
			if !Equal(x, y) && !found[k] {
				t.Fatalf("%s differs and was not found", k)
			}
		}
		// Without the moved ones, the order of what both have is the same; and with none moved it was the same before.
		moved := map[string]bool{}
		for _, n := range Moved(za, zb, "security-zone") {
			moved[n.Key()[0]] = true
		}
		both := func(names []string, drop bool) (out []string) {
			for _, k := range names {
				if slices.Contains(was, k) && slices.Contains(is, k) && !(drop && moved[k]) {
					out = append(out, k)
				}
			}
			return out
		}
		if !slices.Equal(both(was, true), both(is, true)) {
			t.Fatalf("was %v\nis  %v\nmoved %v", was, is, moved)
		}
		if same := slices.Equal(both(was, false), both(is, false)); same != (len(moved) == 0) {
			t.Fatalf("was %v\nis  %v\nmoved %v", was, is, moved)
		}
		if Same(za, zb) && !Equal(za, zb) {
			t.Fatal("same but not equal")
		}
	})
}

// moved puts the entry at a path next to one of its siblings.
func moved(t Tree, at Path, before bool, sibling string) (Tree, error) {
	last := at[len(at)-1]
	words, other := []string{last.Name, last.Keys[0]}, []string{last.Name, sibling}
	if before {
		return t.InsertBefore(at[:len(at)-1], words, other)
	}
	return t.InsertAfter(at[:len(at)-1], words, other)
}

// TestInsertOften: many inserts at one place keep the order right though the labels between run out again and again.
func TestInsertOften(t *testing.T) {
	tree := mustCurly(t, "security { zones { security-zone first; security-zone last; } }")
	at := func(name string) Path {
		return Path{{Name: "security"}, {Name: "zones"}, {"security-zone", []string{name}}}
	}
	want := []string{"first", "last"}
	for i := range 500 {
		name := fmt.Sprint("z", i)
		var err error
		if tree, err = tree.SetValue(at(name), ""); err != nil {
			t.Fatal(err)
		}
		before := i%3 != 0
		sibling := "last"
		if !before {
			sibling = "first"
		}
		if tree, err = moved(tree, at(name), before, sibling); err != nil {
			t.Fatal(err)
		}
		j := slices.Index(want, sibling)
		if !before {
			j++
		}
		want = slices.Insert(want, j, name)
	}
	var got []string
	for e := range tree.Root().At(Path{{Name: "security"}, {Name: "zones"}}).Entries("security-zone") {
		got = append(got, e.Key()[0])
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestSharing: an override with nearly the same text shares what did not change.
func TestSharing(t *testing.T) {
	text := AppendCurly(nil, load(t, loadText(500)).Root())
	a, errs := Tree{}.LoadCurly(nil, Merge, "", text)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	b, errs := a.LoadCurly(nil, Override, "", text)
	if errs.Err() != nil || !Same(a.Root(), b.Root()) {
		t.Error("the same text does not give the same tree", errs)
	}
	changed := strings.Replace(string(text), "address 10.0.1.3;", "address 10.9.9.9;", 1)
	c, errs := a.LoadCurly(nil, Update, "", []byte(changed))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	at := Path{{Name: "security"}, {Name: "group-vpn"}, {Name: "server"}, {Name: "ike"}}
	var found []string
	for ch := range DiffEntries(a.Root().At(at), c.Root().At(at), "gateway") {
		found = append(found, ch.New.element())
	}
	if d := cmp.Diff([]string{"gateway GM-000259"}, found); d != "" {
		t.Error(d)
	}
}

func TestSetValue(t *testing.T) {
	proposals := Path{{Name: "security"}, {Name: "group-vpn"}, {Name: "server"}, {Name: "ike"}, {"policy", []string{"P"}}, {Name: "proposals"}}
	tree, err := Tree{}.SetValue(proposals, "a")
	if err != nil {
		t.Fatal(err)
	}
	one := proposals.Clone()
	one[5].Keys = []string{"b"}
	if tree, err = tree.SetValue(one, ""); err != nil {
		t.Fatal(err)
	}
	if got := tree.Root().At(proposals).Values(); !slices.Equal(got, []string{"a", "b"}) {
		t.Error(got)
	}
	for _, bad := range []struct {
		path  Path
		value string
		want  string
	}{
		{nil, "", "[edit] the whole configuration has no value"},
		{Path{{Name: "sistem"}}, "", "[edit] 'sistem' syntax error, expecting <statement>: sistem"},
		{Path{{Name: "chassis"}}, "", "[edit] 'chassis' chassis is not supported by gvpn"},
		{Path{{Name: "system"}, {Name: "host-name"}}, "-", "[edit system] 'host-name' Must be a host name: letters, digits, dots, dashes and underscores"},
		{Path{{Name: "system"}, {"host-name", []string{"x"}}}, "a", "[edit system] 'host-name' host-name is a leaf and has no keys"},
		{Path{{"system", []string{"x"}}}, "a", "[edit] 'system' system is a container and has no keys"},
		{Path{{Name: "security"}, {Name: "zones"}, {Name: "security-zone"}}, "", "[edit security zones] 'security-zone' missing argument."},
		{Path{{Name: "security"}, {Name: "zones"}, {"security-zone", []string{"a", "b"}}}, "", "[edit security zones] 'security-zone' list security-zone has 1 keys, not 2"},
		{Path{{Name: "security"}, {Name: "zones"}, {"security-zone", []string{"a"}}, {Name: "name"}}, "b", "[edit security zones security-zone a] 'name' the key of an entry cannot be set"},
		{Path{{Name: "security"}, {Name: "zones"}, {Name: "security-zone"}, {Name: "description"}}, "b", "[edit security zones] 'security-zone' nothing can follow security-zone here"},
	} {
		got, err := tree.SetValue(bad.path, bad.value)
		if err == nil || strings.Split(err.Error(), "\n")[0] != bad.want || !Same(got.Root(), tree.Root()) {
			t.Errorf("%v: %v", bad.path, err)
		}
	}
	limit := Path{{Name: "security"}, {Name: "group-vpn"}, {Name: "member"}, {Name: "ike"}, {"gateway", []string{"P"}}, {Name: "server-address"}}
	for i := range 5 {
		tree, err = tree.SetValue(limit, fmt.Sprint("10.0.0.", i))
	}
	if err == nil || err.Error() != "[edit security group-vpn member ike gateway P] 'server-address' number of elements exceeds limit of 4" {
		t.Error(err)
	}
}

// TestBind: every node of any tree is in the generated structs.
func TestBind(t *testing.T) {
	var c gen.GvpnConfRoot_Configuration
	if err := Bind(mustCurly(t, someServer).Root(), &c); err != nil {
		t.Fatal(err)
	}
	g := c.Security.GroupVpn.Server.Group.Get("G")
	if *g.GroupId != 7 || fmt.Sprint(g.ServerMemberCommunication.SigHashAlgorithm) != "sha-384" || g.IkeGateway.Keys()[1] != "Y" {
		t.Error(g)
	}
	for word, is := range map[string]bool{"dh-group group24": true, "dh-group group21": false} {
		tree, errs := Tree{}.LoadSet(nil, "test", []byte("set security group-vpn member ike proposal P "+word))
		if errs != nil {
			t.Fatal(errs)
		}
		if err := Bind(tree.Root(), &c); err != nil {
			t.Fatal(err)
		}
		p := c.Security.GroupVpn.Member.Ike.Proposal.Get("P")
		if _, junos := p.DhGroup.(gen.E_GvpnConfSecurity_MemberDhGroup_Enum); junos != is || !strings.HasSuffix(word, fmt.Sprint(p.DhGroup)) {
			t.Errorf("%s: %T %v", word, p.DhGroup, p.DhGroup)
		}
	}
	if err := Bind(mustCurly(t, someServer).Root(), &c); err != nil {
		t.Fatal(err)
	}
	dpd := c.Security.GroupVpn.Server.Ike.Gateway.Get("A").DeadPeerDetection
	if !dpd.AlwaysSend || *dpd.Interval != 20 || dpd.Threshold != nil || c.System.Services.Netconf.Ssh == nil {
		t.Error(dpd)
	}
	if err := Bind(Node{}, &c); err == nil {
		t.Error("bound an absent node")
	}
	if err := Bind(mustCurly(t, someServer).Root().Child("system"), &c); err == nil {
		t.Error("bound system to configuration")
	}
	if err := Bind(Tree{}.Root(), c); err == nil {
		t.Error("bound a struct that is no pointer")
	}
	if err := Bind(Tree{}.Root(), &struct{}{}); err == nil {
		t.Error("bound a struct of somebody else")
	}
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree(t)
		var c gen.GvpnConfRoot_Configuration
		if err := Bind(tree.Root(), &c); err != nil {
			t.Fatalf("%v\n%s", err, AppendSet(nil, tree.Root()))
		}
	})
}

// TestLeafLimit: set itself refuses one value too many, as Junos does.
func TestLeafLimit(t *testing.T) {
	words := strings.Fields("security group-vpn member ike gateway G server-address [ 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 ]")
	tree, err := Tree{}.Set(nil, words)
	if err == nil || !strings.Contains(err.Error(), "number of elements exceeds limit of 4") || !tree.Empty() {
		t.Error(tree, err)
	}
}

// TestEffectiveShares: without inactive parts the effective tree is the tree.
func TestEffectiveShares(t *testing.T) {
	tree := load(t, loadText(200))
	if !Same(tree.Root(), tree.Effective().Root()) {
		t.Error("copied without need")
	}
	off, err := tree.Deactivate(nil, strings.Fields("security group-vpn server ike gateway GM-000100"))
	if err != nil {
		t.Fatal(err)
	}
	at := Path{{Name: "security"}, {Name: "group-vpn"}, {Name: "server"}, {Name: "ike"}}
	n := 0
	for ch := range DiffEntries(tree.Root().At(at), off.Effective().Root().At(at), "gateway") {
		n++
		if ch.New.Exists() || ch.Old.Key()[0] != "GM-000100" {
			t.Error(ch.Old.Path())
		}
	}
	if n != 1 {
		t.Errorf("%d entries differ", n)
	}
}
