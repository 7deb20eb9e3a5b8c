package config

import (
	"regexp"
	"strings"
)

// ReplacePattern puts with in the place of what re matches in the names of entries and in the values of leaves and leaf-lists below
// base; not in secrets, and not in remarks. In with \1 to \9 stand for what the groups of re matched and \0 for the whole. It changes
// the first upto names and values that match, in the order in which they are shown, or all if upto is 0, and returns how many.
//
// If a name or value could not stand in its new form t comes back unchanged, with an error for each. What is protected stays as it
// is, with a warning.
func (t Tree) ReplacePattern(base Path, re *regexp.Regexp, with string, upto int) (Tree, int, Errors) {
	steps, err := base.resolve()
	if err != nil {
		return t, 0, asErrors(err)
	}
	e := t.edit()
	n, ok := e.get(steps)
	if !ok || n == nil {
		return t, 0, nil
	}
	s := Root()
	if len(steps) > 0 {
		s = steps[len(steps)-1].s
	}
	if !s.isInner() {
		return t, 0, Errors{{At: base.Clone(), Path: base.Edit(), Tag: "invalid-value", Element: s.name, Message: "nothing is below " + s.name}}
	}
	r := rewriter{e: e, re: re, with: template(with), left: upto, at: steps}
	if upto == 0 {
		r.left = -1
	}
	if i := protectedAt(e.root, steps); i >= 0 {
		if r.matches(s, n) {
			e.refuse(steps, i, "modified")
		}
		return t, 0, e.refusals()
	}
	made := r.node(s, n)
	if r.errs.failed() {
		return t, 0, r.errs.all()
	}
	switch {
	case made == n:
	case len(steps) == 0:
		e.root = made
	default:
		e.change(steps, 0, func(_ *kid, n *node) { *n = *made })
	}
	return e.tree(), r.done, append(r.errs.all(), e.refusals()...)
}

// template makes of a replacement what package regexp takes.
func template(with string) string {
	var b strings.Builder
	for i := 0; i < len(with); i++ {
		switch c := with[i]; {
		case c == '$':
			b.WriteString("$$")
		case c == '\\' && i+1 < len(with) && isDigit(with[i+1]):
			i++
			b.WriteString("${" + with[i:i+1] + "}")
		case c == '\\' && i+1 < len(with) && with[i+1] == '\\':
			i++
			b.WriteByte('\\')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// rewriter makes changed copies of nodes; what does not change it shares.
type rewriter struct {
	e       *editor
	re      *regexp.Regexp
	with    string
	left    int // how many may still be changed; negative: any number
	done    int
	through bool // only counting: protection does not matter, and nothing is wrong
	at      []step
	errs    findings
}

// matches reports whether there is anything to change in n.
func (r *rewriter) matches(s *Schema, n *node) bool {
	look := rewriter{e: r.e, re: r.re, with: r.with, left: 1, through: true}
	look.node(s, n)
	return look.done > 0
}

// value returns the new form of a value and whether it is another.
func (r *rewriter) value(s *Schema, v string) (string, bool) {
	if r.left == 0 || s.secret || !r.re.MatchString(v) {
		return v, false
	}
	text := r.re.ReplaceAllString(v, r.with)
	if text == v {
		return v, false
	}
	r.left--
	r.done++
	if r.through {
		return v, false
	}
	made, err := s.parseValue(text)
	if err != nil {
		r.wrong(valueFault(s, err))
		return v, false
	}
	return r.e.keep(made), true
}

func (r *rewriter) wrong(err *Error) {
	if r.errs.add(err) {
		err.At = pathOf(r.at)
		err.Path = err.At.Edit()
	}
}

// holds handles what is protected: it reports true if st, which f are the flags of, must stay as it is.
func (r *rewriter) holds(st step, f flags, matches func() bool) bool {
	if f&protected == 0 || r.through {
		return false
	}
	if matches() {
		here := append(r.at[:len(r.at):len(r.at)], st)
		r.e.refuse(here, len(r.at), "modified")
	}
	return true
}

func (r *rewriter) node(s *Schema, n *node) *node {
	if n == nil || r.left == 0 {
		return n
	}
	var out *node
	for i := range n.kids {
		k := n.kids[i]
		c := s.children[k.id]
		switch c.kind {
		case Empty:
			continue
		case Leaf:
			if r.holds(step{s: c, all: true}, k.flags, func() bool { return !c.secret && r.re.ReplaceAllString(k.val, r.with) != k.val }) {
				continue
			}
			v, ok := r.value(c, k.val)
			if !ok {
				continue
			}
			k.val = v
		case List, LeafList:
			if r.holds(step{s: c, all: true}, k.flags, func() bool {
				look := rewriter{e: r.e, re: r.re, with: r.with, left: 1, through: true}
				look.list(c, k.node.list)
				return look.done > 0
			}) {
				continue
			}
			l := r.list(c, k.node.list)
			if l == k.node.list {
				continue
			}
			k.node = &node{owner: r.e.o, list: l, comment: k.node.comment, flags: k.node.flags}
		default:
			if k.node != nil && r.holds(step{s: c}, k.node.flags, func() bool { return r.matches(c, k.node) }) {
				continue
			}
			m := r.below(step{s: c}, k.node)
			if m == k.node {
				continue
			}
			k.node = m
		}
		if out == nil {
			out = &node{owner: r.e.o, kids: append([]kid(nil), n.kids...), comment: n.comment, flags: n.flags}
		}
		out.kids[i] = k
	}
	if out == nil {
		return n
	}
	return out
}

func (r *rewriter) below(st step, n *node) *node {
	r.at = append(r.at, st)
	n = r.node(st.s, n)
	r.at = r.at[:len(r.at)-1]
	return n
}

// list rewrites the names of entries, or the values of a leaf-list, and what is in them. They keep their places.
func (r *rewriter) list(s *Schema, l *list) *list {
	type change struct {
		from, to string
		slot     slot
	}
	var changes []change
	l.byLabel.all(func(label uint64, key string) bool {
		sl, _ := l.byName.get(key)
		if sl.node != nil && r.holds(step{s: s, key: key}, sl.node.flags, func() bool {
			look := rewriter{e: r.e, re: r.re, with: r.with, left: 1, through: true}
			look.key(s, key)
			return look.done > 0 || r.matches(s, sl.node)
		}) {
			return true
		}
		to := r.key(s, key)
		if s.kind == List {
			sl.node = r.below(step{s: s, key: key}, sl.node)
		}
		if was, _ := l.byName.get(key); to != key || sl.node != was.node {
			changes = append(changes, change{key, to, slot{label, sl.node}})
		}
		return r.left != 0
	})
	if len(changes) == 0 {
		return l
	}
	made := *l
	made.owner = r.e.o
	for _, c := range changes {
		if c.from != c.to {
			made.byName.del(r.e.o, c.from)
		}
	}
	for _, c := range changes {
		if c.from != c.to {
			if _, ok := made.byName.get(c.to); ok {
				err := exists(append(r.at[:len(r.at):len(r.at)], step{s: s, key: c.to}))
				r.wrong(err)
				continue
			}
			made.byLabel.set(r.e.o, c.slot.label, c.to)
		}
		made.byName.set(r.e.o, c.to, c.slot)
	}
	return &made
}

// key rewrites the name of an entry, each of its keys apart, or a value of a leaf-list.
func (r *rewriter) key(s *Schema, key string) string {
	if s.kind == LeafList {
		v, _ := r.value(s, key)
		return v
	}
	keys := splitKeys(s, key)
	changed := false
	for i, k := range keys {
		v, ok := r.value(s.keys[i], k)
		if ok && !changed {
			keys = append([]string(nil), keys...)
		}
		if ok {
			keys[i], changed = v, true
		}
	}
	if !changed {
		return key
	}
	return r.e.keep(joinKeys(keys))
}

// Matching returns the paths of what is directly at p and has a name that re matches: for a list or leaf-list as a whole its entries
// by their keys or its values, else leaves and containers by their names, and entries by name and keys.
func (t Tree) Matching(p Path, re *regexp.Regexp) []Path {
	var out []Path
	s, n := Root(), t.Root()
	for i, e := range p {
		if s = s.Child(e.Name); s == nil {
			return nil
		}
		last := i == len(p)-1 && len(e.Keys) == 0
		switch {
		case last && s.kind == List:
			for entry := range n.Entries(e.Name) {
				if re.MatchString(strings.Join(entry.Key(), " ")) {
					out = append(out, entry.Path())
				}
			}
			return out
		case last && s.kind == LeafList:
			for _, v := range n.Child(e.Name).Values() {
				if re.MatchString(v) {
					out = append(out, append(n.Path(), Elem{Name: e.Name, Keys: []string{v}}))
				}
			}
			return out
		case len(e.Keys) > 0:
			n = n.Entry(e.Name, e.Keys...)
		default:
			n = n.Child(e.Name)
		}
	}
	for c := range n.Children() {
		if re.MatchString(c.element()) {
			out = append(out, c.Path())
		}
	}
	return out
}

// DeletePaths is DeletePath for several places in one edit. What is not there, or is protected, is a warning.
func (t Tree) DeletePaths(paths []Path) (Tree, Errors) {
	e := t.edit()
	var errs findings
	for _, p := range paths {
		steps, err := p.resolve()
		if err != nil {
			return t, asErrors(err)
		}
		if !e.remove(steps) {
			errs.add(notFound(steps))
		}
		for _, refused := range e.refusals() {
			errs.add(refused)
		}
	}
	return e.tree(), errs.all()
}
