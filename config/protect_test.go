package config

import (
	"testing"

	"pgregory.net/rapid"
)

// TestProtectedStays: whatever is loaded into a tree or deleted from it, what is protected in it stays as it was.
func TestProtectedStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree(t)
		other := drawOpenTree(t)
		var paths, held []Path
		collect(tree.Root(), &paths)
		for _, p := range paths {
			if tree.Root().At(p).Protected() {
				held = append(held, p)
			}
		}
		check := func(what string, next Tree) {
			for _, p := range held {
				if was, is := tree.Root().At(p), next.Root().At(p); !Equal(was, is) {
					t.Fatalf("%s: %s was\n%s\nis\n%s", what, p, AppendCurlyStatement(nil, was, 0), AppendCurlyStatement(nil, is, 0))
				}
			}
		}
		for _, sp := range spellings {
			if sp.name == "xml compact" { // it puts itself in the place of everything
				continue
			}
			next, errs := sp.read(tree, sp.write(nil, other.Root()))
			if errs.Err() != nil {
				t.Fatalf("%s: %v", sp.name, errs)
			}
			check(sp.name, next)
		}
		next := tree
		for i := len(paths) - 1; i >= 0; i-- { // from the top down
			if n, err := next.DeletePath(paths[i]); err == nil {
				next = n
			}
		}
		check("deletion of everything", next)
		all, err := tree.Delete(nil, nil)
		if err != nil || !Equal(all.Root(), next.Root()) {
			t.Fatalf("deleted at once:\n%s\none by one:\n%s\n%v", AppendSet(nil, all.Root()), AppendSet(nil, next.Root()), err)
		}
		if len(held) == 0 && !all.Empty() {
			t.Fatalf("kept\n%s", AppendSet(nil, all.Root()))
		}
	})
}
