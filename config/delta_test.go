package config

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// elements are the steps of everything that is in a tree: containers, entries, leaves, and leaf-lists value by value.
func elements(s *Schema, n *node, at []step) [][]step {
	var out [][]step
	for i := range n.kids {
		k := &n.kids[i]
		c := s.children[k.id]
		add := func(st step, below *node) {
			here := append(at[:len(at):len(at)], st)
			out = append(out, here)
			if below != nil && c.isInner() {
				out = append(out, elements(c, below, here)...)
			}
		}
		switch c.kind {
		case List, LeafList:
			k.node.list.byLabel.all(func(_ uint64, key string) bool {
				sl, _ := k.node.list.byName.get(key)
				add(step{s: c, key: key}, sl.node)
				return true
			})
		default:
			add(step{s: c, key: k.val, all: c.kind == Empty}, k.node)
		}
	}
	return out
}

// drawEdit changes something at random, whatever is protected.
func drawEdit(t *rapid.T, tree Tree) Tree {
	e := tree.edit()
	e.free = true
	all := elements(Root(), e.root, nil)
	if len(all) == 0 {
		return drawTree(t)
	}
	here := rapid.SampledFrom(all).Draw(t, "element")
	last := here[len(here)-1]
	whole := append(here[:len(here)-1:len(here)-1], step{s: last.s, key: last.key, all: !last.s.isInner()})
	other := func() []step {
		return append(here[:len(here)-1:len(here)-1], step{s: last.s, key: drawKey(t, last.s)})
	}
	sibling := func() string {
		var same []string
		for _, o := range all {
			if len(o) == len(here) && o[len(o)-1].s == last.s {
				same = append(same, o[len(o)-1].key)
			}
		}
		return rapid.SampledFrom(same).Draw(t, "sibling")
	}
	listed := last.s.kind == List || last.s.kind == LeafList
	switch op := rapid.IntRange(0, 9).Draw(t, "edit"); {
	case op == 0:
		e.remove(here)
	case op == 1:
		e.mark(whole, rapid.SampledFrom([]flags{inactive, protected}).Draw(t, "mark"), 0)
	case op == 2:
		e.mark(whole, 0, rapid.SampledFrom([]flags{inactive, protected}).Draw(t, "mark"))
	case op == 3:
		e.remark(whole, rapid.SampledFrom([]string{"", "another", "a \"remark\""}).Draw(t, "remark"))
	case op == 4 && listed:
		_ = e.rename(here, other()[len(here)-1].key) // there may be one of that name
	case op == 5 && listed:
		_ = e.copy(here, other())
	case op <= 7 && listed:
		e.move(here, rapid.SampledFrom([]place{beforeOther, afterOther}).Draw(t, "place"), sibling())
	case last.s.kind == Leaf:
		e.put(append(here[:len(here)-1:len(here)-1], step{s: last.s, key: drawValue(t, last.s)}))
	case last.s.isInner():
		budget := 5
		drawNode(t, e, last.s, here, &budget)
	default:
		e.put(other())
	}
	return e.tree()
}

func checkDelta(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, old, next Tree,
) []byte {
	t.Helper()
	delta := AppendDelta(nil, old, next)
	made, errs := old.LoadSet(nil, "delta", delta)
	if len(errs) > 0 || !Equal(made.Root(), next.Root()) {
		t.Fatalf("%v\n-- old\n%s-- delta\n%s-- made\n%s-- want\n%s", errs, AppendSet(nil, old.Root()), delta, AppendSet(nil, made.Root()), AppendSet(nil, next.Root()))
	}
	return delta
}

// TestDelta: the delta of any two trees, near or far, applied to the one is the other.
func TestDelta(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := drawTree(t)
		next := old
		if rapid.IntRange(0, 9).Draw(t, "far") == 0 {
			next = drawTree(t)
		}
		for range rapid.IntRange(0, 8).Draw(t, "edits") {
			next = drawEdit(t, next)
		}
		checkDelta(t, old, next)
		checkDelta(t, next, old)
	})
}

// TestDeltaOrder: the same for one list that is shuffled, cut, renamed and added to at random.
func TestDeltaOrder(t *testing.T) {
	zone := Root().Child("security").Child("zones").Child("security-zone")
	at := []step{{s: zone.parent.parent}, {s: zone.parent}}
	names := rapid.SampledFrom(strings.Split("abcdefghij", ""))
	rapid.Check(t, func(t *rapid.T) {
		edit := func(tree Tree, n int) Tree {
			e := tree.edit()
			for range n {
				one := append(at[:2:2], step{s: zone, key: names.Draw(t, "one")})
				other := names.Draw(t, "other")
				switch rapid.IntRange(0, 5).Draw(t, "edit") {
				case 0:
					e.remove(one)
				case 1:
					_ = e.rename(one, other)
				case 2, 3:
					e.move(one, rapid.SampledFrom([]place{atFirst, atLast, beforeOther, afterOther}).Draw(t, "place"), other)
				default:
					e.put(append(one, step{s: zone.Child("tcp-rst"), all: true}))
				}
			}
			return e.tree()
		}
		old := edit(Tree{}, rapid.IntRange(0, 20).Draw(t, "first"))
		next := edit(old, rapid.IntRange(0, 20).Draw(t, "then"))
		checkDelta(t, old, next)
		checkDelta(t, next, old)
	})
}

// TestDeltaIsSmall: among 10,000 entries a move, a new name, and what comes between others, takes a line or two.
func TestDeltaIsSmall(t *testing.T) {
	old := load(t, loadText(10_000))
	ike := "security group-vpn server ike "
	for _, c := range []struct{ edit, want string }{
		{"insert " + ike + "gateway GM-005000 before gateway GM-000001", "insert " + ike + "gateway GM-005000 after gateway GM-000000\n"},
		{"insert " + ike + "gateway GM-005000 before gateway GM-000000", ""},
		{"insert " + ike + "gateway GM-005000 after gateway GM-009999", "insert " + ike + "gateway GM-005000 after gateway GM-009999\n"},
		{"rename " + ike + "gateway GM-005000 to gateway X", ""}, // its leaves are nothing to know it by again
		{"rename security group-vpn server group G to group H", "rename security group-vpn server group G to group H\n"},
		{
			"rename security group-vpn server group G to group H\ndelete security group-vpn server group H ike-gateway GM-000007",
			"rename security group-vpn server group G to group H\ndelete security group-vpn server group H ike-gateway GM-000007\n",
		},
		{"annotate " + ike + "gateway GM-005000 \"a b\"", "annotate " + ike + "gateway GM-005000 \"a b\"\n"},
		{"copy " + ike + "gateway GM-005000 to gateway X\ninsert " + ike + "gateway X after gateway GM-005000", ""},
		{"protect " + ike + "gateway GM-005000\ninsert " + ike + "gateway GM-000003 after gateway GM-000004", ""},
		{"delete " + ike + "gateway GM-005000\nset " + ike + "gateway GM-005000 ike-policy P", ""},
	} {
		next, errs := old.LoadSet(nil, "edit", []byte(c.edit))
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		delta := checkDelta(t, old, next)
		if c.want != "" && string(delta) != c.want || bytes.Count(delta, []byte("\n")) > 8 {
			t.Errorf("%s\ngives\n%s", c.edit, delta)
		}
	}
}

func BenchmarkDelta(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		old := load(b, loadText(n))
		for name, edit := range map[string]string{
			"set":  "set security group-vpn server ike gateway GM-000500 address 192.0.2.9",
			"move": fmt.Sprintf("insert security group-vpn server ike gateway GM-%06d before gateway GM-000000", n/2),
		} {
			next, errs := old.LoadSet(nil, "edit", []byte(edit))
			if len(errs) > 0 {
				b.Fatal(errs)
			}
			b.Run(name, func(b *testing.B) {
				octets := 0
				for b.Loop() {
					octets = len(AppendDelta(nil, old, next))
				}
				b.ReportMetric(float64(octets), "octets")
			})
		}
	})
}
