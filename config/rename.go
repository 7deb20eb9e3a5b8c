package config

import "slices"

// Rename gives the entry of a list, or the value of a leaf-list, that the words name from base on another name; it keeps its place.
// to is its name and new keys as they stand in its parent: {"group", "B"}. An error's Caret counts in words, "to" and to, joined by
// single blanks. That there is no such entry is an error, unlike in Delete: nothing would be as it was asked for.
func (t Tree) Rename(base Path, words, to []string) (Tree, error) {
	return t.pair(base, words, "to", to, func(e *editor, steps, other []step) error {
		return e.rename(steps, other[len(other)-1].key)
	})
}

// Copy makes another entry like the one that the words name, with all that is in it, marks too, behind all others; otherwise it is
// like Rename.
func (t Tree) Copy(base Path, words, to []string) (Tree, error) {
	return t.pair(base, words, "to", to, func(e *editor, steps, other []step) error {
		if err := e.copy(steps, other); err != nil {
			return err
		}
		return e.tooMany(other)
	})
}

// InsertBefore and InsertAfter give the entry or leaf-list value that the words name from base on its place next to another of the
// same list, whose name and keys sibling has.
func (t Tree) InsertBefore(base Path, words, sibling []string) (Tree, error) {
	return t.insert(base, words, "before", beforeOther, sibling)
}

// InsertAfter is InsertBefore for the place behind the sibling.
func (t Tree) InsertAfter(base Path, words, sibling []string) (Tree, error) {
	return t.insert(base, words, "after", afterOther, sibling)
}

func (t Tree) insert(base Path, words []string, conjunction string, where place, sibling []string) (Tree, error) {
	return t.pair(base, words, conjunction, sibling, func(e *editor, steps, other []step) error {
		for _, s := range [][]step{steps, other} {
			if _, ok := e.get(s); !ok {
				return absent(s)
			}
		}
		e.move(steps, where, other[len(other)-1].key)
		return nil
	})
}

// pair carries out an edit of two entries of one list, the second of which is named as it stands in the parent of the first.
func (t Tree) pair(base Path, words []string, conjunction string, second []string, do func(e *editor, steps, other []step) error) (Tree, error) {
	from, err := base.resolve()
	if err != nil {
		return t, err
	}
	e := t.edit()
	all := slices.Concat(words, []string{conjunction}, second)
	toks := tokens(all)
	cur := Root()
	if len(from) > 0 {
		cur = from[len(from)-1].s
	}
	if !cur.isInner() {
		return t, &Error{At: base.Clone(), Path: base.Edit(), Tag: "invalid-value", Element: cur.name, Message: "nothing is below " + cur.name}
	}
	r := reader{keep: e.text, del: true, out: from}
	if _, _, bad := r.read(cur, toks[:len(words)]); bad != nil {
		return t, bad.inWords(base, all)
	}
	steps := r.out
	last := len(steps) - 1
	if len(words) == 0 || !named(steps[last]) || slices.ContainsFunc(steps[:last], func(st step) bool { return !st.s.isInner() }) {
		return t, new(fault).at(len(words), "missing-element", "", "syntax error, expecting <identifier>", "").inWords(base, all)
	}
	s := steps[last].s
	r = reader{keep: e.text, del: true}
	if _, _, bad := r.read(s.parent, toks[len(words)+1:]); bad != nil {
		bad.word += len(words) + 1
		return t, bad.inWords(base, all)
	}
	if len(r.out) != 1 || r.out[0].s != s || !named(r.out[0]) {
		return t, new(fault).at(len(words)+1, "bad-element", "", "syntax error, expecting <"+s.name+">", s.name).inWords(base, all)
	}
	other := append(slices.Clone(steps[:last]), r.out[0])
	if err := do(e, steps, other); err != nil {
		return t, err
	}
	if refused := e.refusal(); refused != nil {
		return t, refused
	}
	return e.tree(), nil
}

// named reports whether a step names an entry or a value of a leaf-list.
func named(st step) bool { return (st.s.kind == List || st.s.kind == LeafList) && !st.all }

// exists is the error about an entry or value that is there already, absent about one that is not there.
func exists(steps []step) *Error { return about(steps, "data-exists", "statement already exists") }

func absent(steps []step) *Error { return about(steps, "data-missing", "statement not found") }

func about(steps []step, tag, message string) *Error {
	last := steps[len(steps)-1]
	at := pathOf(steps[:len(steps)-1])
	name := last.element()
	if last.s.kind == LeafList && !last.all {
		name += " " + Quote(last.key)
	}
	return &Error{At: at, Path: at.Edit(), Element: name, Tag: tag, Message: message}
}

func (e *editor) rename(steps []step, key string) error {
	last := len(steps) - 1
	other := append(slices.Clone(steps[:last]), step{s: steps[last].s, key: key})
	if _, ok := e.get(steps); !ok {
		return absent(steps)
	}
	if key == steps[last].key {
		return nil
	}
	if _, ok := e.get(other); ok {
		return exists(other)
	}
	if e.guards() && e.refuses(steps, "renamed") {
		return nil
	}
	e.stack = e.stack[:0]
	n := e.root
	for _, st := range steps[:last] {
		n = e.enter(n, st)
	}
	k := n.find(steps[last].s)
	k.node = e.own(k.node)
	l := e.ownList(k.node)
	sl, _ := l.byName.get(steps[last].key)
	key = e.keep(key)
	l.byName.del(e.o, steps[last].key)
	l.byName.set(e.o, key, sl)
	l.byLabel.set(e.o, sl.label, key)
	return nil
}

// copy makes other what steps are. Both have the same parent, so the flags on the way are set already.
func (e *editor) copy(steps, other []step) error {
	n, ok := e.get(steps)
	if !ok {
		return absent(steps)
	}
	if _, ok := e.get(other); ok {
		return exists(other)
	}
	if e.guards() && e.refuses(other, "copied") {
		return nil
	}
	e.put(other)
	last := other[len(other)-1]
	if last.s.kind == LeafList || n == nil {
		return nil
	}
	e.change(other, 0, func(_ *kid, m *node) {
		*m = *n
		m.owner = e.o
		m.kids = slices.Clone(n.kids)
	})
	return nil
}
