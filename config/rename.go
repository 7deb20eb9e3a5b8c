package config

import (
	"slices"
	"strings"
)

// between are the words that may stand between the two entries of an edit.
var between = map[string][]string{"rename": {"to"}, "copy": {"to"}, "insert": {"before", "after"}}

// Rename gives the entry of a list, or the value of a leaf-list, that the words name from base on another name; it keeps its place.
// to is its name and new keys as they stand in its parent: {"group", "B"}. An error's Caret counts in words, "to" and to, joined by
// single blanks. That there is no such entry is an error, unlike in Delete: nothing would be as it was asked for.
func (t Tree) Rename(base Path, words, to []string) (Tree, error) {
	return t.pair(base, "rename", words, "to", to)
}

// Copy makes another entry like the one that the words name, with all that is in it, marks too, behind all others; otherwise it is
// like Rename.
func (t Tree) Copy(base Path, words, to []string) (Tree, error) {
	return t.pair(base, "copy", words, "to", to)
}

// InsertBefore and InsertAfter give the entry or leaf-list value that the words name from base on its place next to another of the
// same list, whose name and keys sibling has.
func (t Tree) InsertBefore(base Path, words, sibling []string) (Tree, error) {
	return t.pair(base, "insert", words, "before", sibling)
}

// InsertAfter is InsertBefore for the place behind the sibling.
func (t Tree) InsertAfter(base Path, words, sibling []string) (Tree, error) {
	return t.pair(base, "insert", words, "after", sibling)
}

// pair carries out an edit of two entries of one list, the second of which is named as it stands in the parent of the first.
func (t Tree) pair(base Path, verb string, words []string, between string, second []string) (Tree, error) {
	from, err := base.resolve()
	if err != nil {
		return t, err
	}
	e := t.edit()
	all := slices.Concat(words, []string{between}, second)
	if len(from) > 0 && !from[len(from)-1].s.isInner() {
		cur := from[len(from)-1].s
		return t, &Error{At: base.Clone(), Path: base.Edit(), Tag: "invalid-value", Element: cur.name, Message: "nothing is below " + cur.name}
	}
	steps, other, bad := e.readPair(from, tokens(all), len(words))
	if bad != nil {
		return t, bad.inWords(base, all)
	}
	if err := e.carryOut(verb, between, steps, other); err != nil {
		return t, err
	}
	if refused := e.refusal(); refused != nil {
		return t, refused
	}
	if verb == "copy" {
		if err := e.tooMany(other); err != nil {
			return t, err
		}
	}
	return e.tree(), nil
}

// readPair reads two entries, or values of a leaf-list, from a place on; words[at] stands between them.
func (e *editor) readPair(from []step, words []token, at int) (steps, other []step, bad *fault) {
	cur := Root()
	if len(from) > 0 {
		cur = from[len(from)-1].s
	}
	r := reader{keep: e.text, del: true, out: slices.Clip(from)}
	if _, _, bad := r.read(cur, words[:at]); bad != nil {
		return nil, nil, bad
	}
	steps = r.out
	last := len(steps) - 1
	if at == 0 || !named(steps[last]) || slices.ContainsFunc(steps[:last], func(st step) bool { return !st.s.isInner() }) {
		return nil, nil, new(fault).at(at, "missing-element", "", "syntax error, expecting <identifier>", "")
	}
	s := steps[last].s
	r = reader{keep: e.text, del: true}
	if _, _, bad := r.read(s.parent, words[at+1:]); bad != nil {
		bad.word += at + 1
		return nil, nil, bad
	}
	if len(r.out) != 1 || r.out[0].s != s || !named(r.out[0]) {
		return nil, nil, new(fault).at(at+1, "bad-element", "", "syntax error, expecting <"+s.name+">", s.name)
	}
	return steps, append(slices.Clone(steps[:last]), r.out[0]), nil
}

// pairOfWords carries out rename, copy or insert of a line. The word between may be a name, too: it is the last that makes sense.
func (e *editor) pairOfWords(from []step, verb string, words []token) *fault {
	var first *fault
	for at := len(words) - 2; at >= 0; at-- {
		if words[at].quoted || words[at].kind != tokWord || !slices.Contains(between[verb], string(words[at].text)) {
			continue
		}
		steps, other, bad := e.readPair(from, words, at)
		if bad == nil {
			if err := e.carryOut(verb, string(words[at].text), steps, other); err != nil {
				return &fault{-1, err}
			}
			return nil
		}
		if first == nil {
			first = bad
		}
	}
	if first == nil {
		first = new(fault).at(len(words), "missing-element", "", "syntax error.", strings.Join(between[verb], " or ")+" and another identifier")
	}
	return first
}

// carryOut does the edit of two entries.
func (e *editor) carryOut(verb, between string, steps, other []step) *Error {
	switch verb {
	case "rename":
		return e.rename(steps, other[len(other)-1].key)
	case "copy":
		return e.copy(steps, other)
	}
	for _, s := range [][]step{steps, other} {
		if _, ok := e.get(s); !ok {
			return absent(s)
		}
	}
	where := afterOther
	if between == "before" {
		where = beforeOther
	}
	e.move(steps, where, other[len(other)-1].key)
	return nil
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

func (e *editor) rename(steps []step, key string) *Error {
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
func (e *editor) copy(steps, other []step) *Error {
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
