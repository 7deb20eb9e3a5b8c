package config

// Project returns the part of t that the paths name: each with everything below it and the containers and entries
// above it. What is not there is left out. The result shares the parts with t, and has the order of t.
func (t Tree) Project(paths []Path) (Tree, error) {
	e := Tree{}.edit()
	var lists [][]step // lists and leaf-lists in the result whose order is to be that of t
	for _, p := range paths {
		steps, err := p.resolve()
		if err != nil {
			return Tree{}, err
		}
		if len(steps) == 0 {
			return t, nil
		}
		if t.root == nil {
			continue
		}
		if _, ok := lookup(t.root, steps); ok {
			lists = e.graft(t.root, steps, lists)
		}
	}
	for _, at := range lists {
		e.reorder(t.root, at)
	}
	return e.tree(), nil
}

// graft copies into the edit what steps name in from, where it is, and returns the lists that it put entries in.
func (e *editor) graft(from *node, steps []step, lists [][]step) [][]step {
	n := e.root
	for i, st := range steps {
		k := from.find(st.s)
		last := i == len(steps)-1
		switch {
		case last && (st.all || st.s.isContainer() || st.s.kind == Leaf || st.s.kind == Empty):
			to := e.kid(n, st.s)
			*to = *k
			return lists
		case st.s.kind == List || st.s.kind == LeafList:
			lists = append(lists, append(append([]step(nil), steps[:i]...), step{s: st.s, all: true}))
			sl, _ := k.node.list.byName.get(st.key)
			e.touch(n, st)
			if last {
				to := e.ownList(e.kid(n, st.s).node)
				now, _ := to.byName.get(st.key)
				now.node = sl.node
				to.byName.set(e.o, st.key, now)
				return lists
			}
			from = sl.node
		default:
			from = k.node
		}
		n = e.enter(n, st)
		n.flags |= from.flags
		n.comment = from.comment
	}
	return lists
}

// reorder gives the list at a place of the edit the order that its entries have in from.
func (e *editor) reorder(from *node, at []step) {
	holder, ok := e.get(at)
	if !ok || holder.list.owner != e.o {
		return // taken over as a whole
	}
	src, _ := lookup(from, at)
	l := holder.list
	if l.byName.n < 2 {
		return
	}
	type item struct {
		label uint64
		key   string
	}
	items := make([]item, 0, l.byName.n)
	sorted := btree[uint64, string]{}
	l.byName.all(func(key string, _ slot) bool {
		sl, _ := src.list.byName.get(key)
		items = append(items, item{sl.label, key})
		sorted.set(e.o, sl.label, key)
		return true
	})
	for _, it := range items {
		sl, _ := l.byName.get(it.key)
		sl.label = it.label
		l.byName.set(e.o, it.key, sl)
	}
	l.byLabel = sorted
}
