package config

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestBTree holds the tree against a map, with snapshots on the way that must stay as they were.
func TestBTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tree btree[int, int]
		model := map[int]int{}
		type snapshot struct {
			tree  btree[int, int]
			model map[int]int
		}
		var snapshots []snapshot
		o := &owner{}
		keys := rapid.IntRange(0, rapid.SampledFrom([]int{50, 5000}).Draw(t, "span"))
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0: // append in order
				next, _, _ := tree.last()
				for range rapid.IntRange(1, 200).Draw(t, "count") {
					next++
					tree.set(o, next, next)
					model[next] = next
				}
			case 1:
				for range rapid.IntRange(1, 100).Draw(t, "count") {
					k := keys.Draw(t, "key")
					v := len(model)
					tree.set(o, k, v)
					model[k] = v
				}
			case 2:
				for range rapid.IntRange(1, 100).Draw(t, "count") {
					k := keys.Draw(t, "key")
					_, had := model[k]
					if got := tree.del(o, k); got != had {
						t.Fatalf("del %d: %v", k, got)
					}
					delete(model, k)
				}
			case 3: // delete a run
				for _, k := range slices.Sorted(maps.Keys(model)) {
					if k%3 != 0 {
						tree.del(o, k)
						delete(model, k)
					}
				}
			case 4:
				snapshots = append(snapshots, snapshot{tree, maps.Clone(model)})
				o = &owner{}
			}
			checkBTree(t, &tree, model)
		}
		for _, s := range snapshots {
			checkBTree(t, &s.tree, s.model)
			checkDiff(t, s.tree, tree, s.model, model)
			checkDiff(t, tree, s.tree, model, s.model)
		}
	})
}

func checkBTree(t *rapid.T, tree *btree[int, int], model map[int]int) {
	if tree.n != len(model) {
		t.Fatalf("size %d, want %d", tree.n, len(model))
	}
	want := slices.Sorted(maps.Keys(model))
	got := make([]int, 0, len(want))
	tree.all(func(k, v int) bool {
		if model[k] != v {
			t.Fatalf("%d: %d, want %d", k, v, model[k])
		}
		got = append(got, k)
		return true
	})
	if !slices.Equal(got, want) {
		t.Fatal(cmp.Diff(want, got))
	}
	for i, k := range want {
		if v, ok := tree.get(k); !ok || v != model[k] {
			t.Fatalf("get %d: %d %v", k, v, ok)
		}
		above, _, okAbove := tree.above(k)
		below, _, okBelow := tree.below(k)
		if okAbove != (i < len(want)-1) || okAbove && above != want[i+1] || okBelow != (i > 0) || okBelow && below != want[i-1] {
			t.Fatalf("neighbours of %d: %d %v, %d %v", k, below, okBelow, above, okAbove)
		}
		if _, ok := model[k+1]; !ok {
			if next, _, ok := tree.above(k + 1); ok != (i < len(want)-1) || ok && next != want[i+1] {
				t.Fatalf("above absent %d: %d %v", k+1, next, ok)
			}
			if _, ok := tree.get(k + 1); ok {
				t.Fatalf("%d is there", k+1)
			}
		}
	}
	if len(want) > 0 {
		first, _, _ := tree.first()
		last, _, _ := tree.last()
		if first != want[0] || last != want[len(want)-1] {
			t.Fatalf("ends %d %d", first, last)
		}
	}
}

func checkDiff(t *rapid.T, a, b btree[int, int], ma, mb map[int]int) {
	last := -1
	seen := map[int]bool{}
	a.diff(&b, func(k, va, vb int, inA, inB bool) bool {
		if k <= last {
			t.Fatalf("diff goes back from %d to %d", last, k)
		}
		last = k
		seen[k] = true
		wa, okA := ma[k]
		wb, okB := mb[k]
		if inA != okA || inB != okB || inA && va != wa || inB && vb != wb {
			t.Fatalf("diff of %d: %d %v %d %v", k, va, inA, vb, inB)
		}
		return true
	})
	for k, v := range ma {
		if w, ok := mb[k]; (!ok || w != v) && !seen[k] {
			t.Fatalf("diff misses %d", k)
		}
	}
	for k := range mb {
		if _, ok := ma[k]; !ok && !seen[k] {
			t.Fatalf("diff misses %d", k)
		}
	}
}

// TestBTreeDiffCost: what two trees share is not looked at.
func TestBTreeDiffCost(t *testing.T) {
	var a btree[int, int]
	o := &owner{}
	for i := range 100_000 {
		a.set(o, i, i)
	}
	b := a
	p := &owner{}
	for _, k := range []int{5, 50_000, 50_001, 99_999} {
		b.set(p, k, -1)
	}
	b.del(p, 70_000)
	b.set(p, 200_000, 1)
	n := 0
	a.diff(&b, func(int, int, int, bool, bool) bool { n++; return true })
	if n > 8*fanout {
		t.Errorf("looked at %d keys for 6 changes of 100,000", n)
	}
}
