package config

import "slices"

// Effective returns the configuration without its inactive parts: what validation, diff and the engines read. Where
// nothing is inactive it shares everything with t, so that two effective trees differ no more than their originals.
func (t Tree) Effective() Tree {
	if t.root == nil || t.root.flags&below == 0 {
		return t
	}
	n := (&pruner{o: &owner{}}).node(Root(), t.root)
	if len(n.kids) == 0 {
		return Tree{}
	}
	return Tree{n}
}

type pruner struct{ o *owner }

// node returns n without what is inactive below it.
func (p *pruner) node(s *Schema, n *node) *node {
	if n == nil || n.flags&below == 0 {
		return n
	}
	out := &node{owner: p.o, comment: n.comment, flags: n.flags &^ below, kids: make([]kid, 0, len(n.kids))}
	for _, k := range n.kids {
		c := s.children[k.id]
		switch {
		case k.flags&inactive != 0:
			continue
		case c.kind == List:
			k.node = p.list(c, k.node)
			if k.node.list.byName.n == 0 {
				continue
			}
		case c.isInner():
			if k.node.flags&inactive != 0 {
				continue
			}
			k.node = p.node(c, k.node)
			if c.kind == Container && len(k.node.kids) == 0 {
				continue
			}
		}
		out.kids = append(out.kids, k)
	}
	out.kids = slices.Clip(out.kids)
	return out
}

func (p *pruner) list(s *Schema, holder *node) *node {
	l := *holder.list
	l.owner = p.o
	changed := false
	holder.list.byName.all(func(key string, sl slot) bool {
		switch {
		case sl.node == nil || sl.node.flags&(inactive|below) == 0:
		case sl.node.flags&inactive != 0:
			l.byName.del(p.o, key)
			l.byLabel.del(p.o, sl.label)
			changed = true
		default:
			sl.node = p.node(s, sl.node)
			l.byName.set(p.o, key, sl)
			changed = true
		}
		return true
	})
	if !changed {
		return holder
	}
	return &node{owner: p.o, list: &l, comment: holder.comment, flags: holder.flags}
}
