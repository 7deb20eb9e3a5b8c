package config

// share returns a tree equal to made that uses old's nodes wherever nothing differs, so that comparing the two later
// costs no more than their difference.
func share(old, made Tree) Tree {
	if old.root == nil || made.root == nil {
		return made
	}
	sh := sharer{o: &owner{}}
	return Tree{sh.node(Root(), old.root, made.root)}
}

type sharer struct{ o *owner }

// node returns old if it equals made, else made with what it can share. made was just loaded and nobody else has it.
func (sh sharer) node(s *Schema, old, made *node) *node {
	if old == made || old == nil || made == nil {
		return made
	}
	if old.comment == made.comment && old.flags&marks == made.flags&marks && len(old.kids) == len(made.kids) {
		if equalNodes(s, old, made) {
			return old
		}
	}
	out := &node{owner: sh.o, kids: append([]kid(nil), made.kids...), comment: made.comment, flags: made.flags}
	for i := range out.kids {
		k := &out.kids[i]
		j, ok := old.index(k.id)
		if !ok || k.node == nil {
			continue
		}
		c := s.children[k.id]
		was := old.kids[j].node
		switch {
		case was == nil:
		case c.kind == List || c.kind == LeafList:
			k.node = sh.list(c, was, k.node)
		case c.isInner():
			k.node = sh.node(c, was, k.node)
		}
	}
	return out
}

// list rebuilds made as an edit of old: its pages stay where entries are the same.
func (sh sharer) list(s *Schema, old, made *node) *node {
	if equalLists(s, old.list, made.list) && old.comment == made.comment {
		return old
	}
	l := *old.list
	l.owner = sh.o
	var gone []string
	l.byName.all(func(key string, _ slot) bool {
		if _, ok := made.list.byName.get(key); !ok {
			gone = append(gone, key)
		}
		return true
	})
	for _, key := range gone {
		sl, _ := l.byName.get(key)
		l.byName.del(sh.o, key)
		l.byLabel.del(sh.o, sl.label)
	}
	keep := sameOrder(&l, made.list)
	made.list.byLabel.all(func(_ uint64, key string) bool {
		now, _ := made.list.byName.get(key)
		was, ok := l.byName.get(key)
		if ok && keep {
			n := now.node
			if s.kind == List {
				n = sh.node(s, was.node, now.node)
			}
			if n != was.node {
				l.byName.set(sh.o, key, slot{was.label, n})
			}
			return true
		}
		if ok {
			l.byLabel.del(sh.o, was.label)
			if s.kind == List {
				now.node = sh.node(s, was.node, now.node)
			}
		}
		now.label = l.appendLabel(sh.o, key)
		l.byName.set(sh.o, key, now)
		return true
	})
	return &node{owner: sh.o, list: &l, comment: made.comment, flags: made.flags}
}

// sameOrder reports whether the entries of a, all of them in b, come first in b and in the same order.
func sameOrder(a, b *list) bool {
	ca, cb := newCursor(a.byLabel.root), newCursor(b.byLabel.root)
	for {
		for ca.page() != nil {
			ca.open()
		}
		for cb.page() != nil {
			cb.open()
		}
		_, x, ok := ca.item()
		if !ok {
			return true
		}
		_, y, ok := cb.item()
		if !ok || x != y {
			return false
		}
		ca.skip()
		cb.skip()
	}
}
