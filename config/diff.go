package config

import (
	"iter"
	"slices"
)

// Same reports whether a and b are the same place with the same content, told by shared structure alone: true is
// certain, false means that they may differ. It costs nothing.
func Same(a, b Node) bool {
	if a.s != b.s || a.val != b.val || a.flags&marks != b.flags&marks {
		return false
	}
	return a.n == b.n
}

// Equal reports whether a and b are of the same schema node and hold the same: keys, values, order, marks and remarks.
func Equal(a, b Node) bool {
	if a.s != b.s || a.val != b.val || a.Inactive() != b.Inactive() || a.Protected() != b.Protected() || a.Comment() != b.Comment() {
		return false
	}
	if a.s == nil {
		return true
	}
	if a.s.kind == LeafList {
		return equalLists(a.s, a.n.list, b.n.list)
	}
	return equalNodes(a.s, a.n, b.n)
}

// equalNodes compares containers or entries; nil is an empty one.
func equalNodes(s *Schema, a, b *node) bool {
	if a == b {
		return true
	}
	if a == nil {
		a = &emptyNode
	}
	if b == nil {
		b = &emptyNode
	}
	if len(a.kids) != len(b.kids) || a.comment != b.comment || a.flags&marks != b.flags&marks {
		return false
	}
	for i := range a.kids {
		x, y := &a.kids[i], &b.kids[i]
		if x.id != y.id || x.val != y.val || x.flags&marks != y.flags&marks {
			return false
		}
		c := s.children[x.id]
		switch c.kind {
		case List, LeafList:
			if x.node.comment != y.node.comment || !equalLists(c, x.node.list, y.node.list) {
				return false
			}
		default:
			if !equalNodes(c, x.node, y.node) {
				return false
			}
		}
	}
	return true
}

func equalLists(s *Schema, a, b *list) bool {
	if a == b {
		return true
	}
	if a.byName.n != b.byName.n {
		return false
	}
	same := true
	a.byName.diff(&b.byName, func(_ string, x, y slot, inA, inB bool) bool {
		same = inA && inB && (s.kind == LeafList || equalNodes(s, x.node, y.node))
		return same
	})
	return same && (a.byLabel.root == b.byLabel.root || sameOrder(a, b))
}

// Change is a pair of entries that one name has in two trees; one of them is absent if the entry came or went.
type Change struct{ Old, New Node }

// DiffEntries returns the entries of a list that may differ between two nodes of the same schema node, in the order of
// their names. What both trees share is not looked at, so the cost follows the difference.
func DiffEntries(a, b Node, name string) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		c, la := a.list(name)
		cb, lb := b.list(name)
		if c == nil {
			c = cb
		}
		if c == nil || la == lb {
			return
		}
		var none list
		if la == nil {
			la = &none
		}
		if lb == nil {
			lb = &none
		}
		la.byName.diff(&lb.byName, func(key string, x, y slot, inA, inB bool) bool {
			var ch Change
			if inA {
				ch.Old = Node{s: c, n: x.node, up: &a, val: key}
			}
			if inB {
				ch.New = Node{s: c, n: y.node, up: &b, val: key}
			}
			if inA && inB && x.node == y.node {
				return true // only its label differs
			}
			return yield(ch)
		})
	}
}

// Moved returns the entries of a list, as they are in b, that stand elsewhere among the entries that a has too: the
// fewest that could have been moved to make a's order b's. Its cost follows the difference unless something did move.
func Moved(a, b Node, name string) []Node {
	c, la := a.list(name)
	_, lb := b.list(name)
	if la == nil || lb == nil {
		return nil
	}
	var out []Node
	for _, key := range movedKeys(la, lb) {
		out = append(out, b.entry(c, lb, key))
	}
	return out
}

func movedKeys(a, b *list) []string {
	if !relabelled(a, b) {
		return nil
	}
	// The entries that both have, in b's order, each with its place in a's; the longest ascending run stays.
	rank := make(map[string]int, a.byName.n)
	a.byLabel.all(func(_ uint64, key string) bool {
		rank[key] = len(rank)
		return true
	})
	var keys []string
	var at []int
	b.byLabel.all(func(_ uint64, key string) bool {
		if r, ok := rank[key]; ok {
			keys, at = append(keys, key), append(at, r)
		}
		return true
	})
	stays := longestAscending(at)
	var out []string
	for i, key := range keys {
		if !stays[i] {
			out = append(out, key)
		}
	}
	return out
}

// relabelled reports whether an entry that both lists have has not the same label in both; only then can any have moved.
func relabelled(a, b *list) bool {
	found := false
	a.byLabel.diff(&b.byLabel, func(_ uint64, x, y string, inA, inB bool) bool {
		if inA && inB && x == y {
			return true
		}
		if inA {
			_, found = b.byName.get(x)
		}
		if inB && !found {
			_, found = a.byName.get(y)
		}
		return !found
	})
	return found
}

// longestAscending marks the members of a longest ascending subsequence.
func longestAscending(v []int) []bool {
	prev := make([]int, len(v))
	var tails []int // tails[n]: index of the smallest last member of an ascending run of length n+1
	for i, x := range v {
		n, _ := slices.BinarySearchFunc(tails, x, func(j, x int) int { return v[j] - x })
		prev[i] = -1
		if n > 0 {
			prev[i] = tails[n-1]
		}
		if n == len(tails) {
			tails = append(tails, i)
		} else {
			tails[n] = i
		}
	}
	in := make([]bool, len(v))
	if len(tails) > 0 {
		for i := tails[len(tails)-1]; i >= 0; i = prev[i] {
			in[i] = true
		}
	}
	return in
}
