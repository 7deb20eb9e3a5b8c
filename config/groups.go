package config

import "strings"

// Configuration groups: `groups G { ... }` holds a part of a configuration, and where `apply-groups G` stands, what G has for
// that place is inherited. Effective carries it out. In the tree a group is an entry of a list whose children are those
// of the root once more, without constraints.

// fillTemplate gives the list of groups the children of the root. They have the ids of the root's, so that nodes mean the
// same in a group and outside.
func (s *Schema) fillTemplate() {
	for _, c := range s.children {
		if c.template {
			s.groups = c
		}
	}
	if s.groups == nil {
		return
	}
	g, key := s.groups, s.groups.keys[0]
	g.children = nil
	for _, c := range s.children {
		g.addTemplate(c)
	}
	key.id = uint16(len(g.children))
	g.children = append(g.children, key)
	g.byName[key.name], g.byWord[key.word] = key, key
	g.lists, g.unsupported = true, s.unsupported
}

// addTemplate adds to s, a node of a group, what c is outside.
func (s *Schema) addTemplate(c *Schema) {
	t := *c
	t.parent, t.depth = s, s.depth+1
	t.musts, t.uniques, t.checked, t.referrers, t.watchers, t.deniers, t.readFromBelow = nil, nil, nil, nil, nil, nil, false
	t.min, t.max, t.mandatory, t.def, t.hasDef = 0, 0, false, "", false
	t.children, t.keys, t.bare, t.apply, t.except = nil, nil, nil, nil, nil
	t.byName, t.byWord = map[string]*Schema{}, map[string]*Schema{}
	refused := t.name + " inside a group is not supported"
	switch {
	case t.everywhere:
		t.desc, t.typ = refused, c.typ.refuse(refused)
	case t.template:
		t.template, t.desc = false, refused
		name := *c.keys[0]
		name.parent, name.typ = &t, name.typ.refuse(refused)
		t.children, t.keys = []*Schema{&name}, []*Schema{&name}
		t.byName[name.name], t.byWord[name.word] = &name, &name
	default:
		for _, d := range c.children {
			t.addTemplate(d)
		}
		for _, k := range c.keys {
			k := t.byName[k.name]
			k.typ = &typ{name: k.typ.name, builtin: k.typ.builtin, base: baseWild, members: []*typ{k.typ}, enums: k.typ.resolved().enums}
			t.keys = append(t.keys, k)
		}
		if c.bare != nil {
			t.bare = t.byName[c.bare.name]
		}
	}
	s.children = append(s.children, &t)
	s.byName[t.name], s.byWord[t.word] = &t, &t
}

// refuse returns a type without values.
func (t *typ) refuse(why string) *typ {
	return &typ{name: t.name, builtin: t.builtin, base: baseRefused, refused: why}
}

// isWild reports whether a key in a group is a pattern.
func isWild(v string) bool { return len(v) > 2 && v[0] == '<' && v[len(v)-1] == '>' }

// checkWild refuses a pattern that means nothing.
func checkWild(v string) error {
	if err := checkText(v); err != nil {
		return err
	}
	for p := strings.TrimPrefix(v[1:len(v)-1], "!"); p != ""; {
		_, rest, ok := wildcard(p)
		if !ok {
			return &valueError{message: "invalid pattern '" + printable(v) + "': [ is not closed", expected: "<pattern>, of *, ?, [a-c], [!a-c] and characters"}
		}
		p = rest
	}
	return nil
}

// wildcard is one element of a pattern: it returns what it takes, the rest of the pattern, and false if it is not closed.
// An element with star takes any number of characters.
func wildcard(p string) (el element, rest string, ok bool) {
	switch p[0] {
	case '*':
		return element{star: true}, p[1:], true
	case '?':
		return element{not: true}, p[1:], true
	case '[':
		end := strings.IndexByte(p[1:], ']')
		if end < 1 {
			return el, "", false
		}
		set := p[1 : end+1]
		el.not = set[0] == '!' && len(set) > 1
		if el.not {
			set = set[1:]
		}
		for i := 0; i < len(set); i++ {
			if i+2 < len(set) && set[i+1] == '-' {
				el.spans = append(el.spans, span[uint64]{uint64(set[i]), uint64(set[i+2])})
				i += 2
			} else {
				el.spans = append(el.spans, span[uint64]{uint64(set[i]), uint64(set[i])})
			}
		}
		return el, p[end+2:], true
	}
	return element{spans: []span[uint64]{{uint64(p[0]), uint64(p[0])}}}, p[1:], true
}

// element takes one octet, in one of the spans or, with not, in none of them.
type element struct {
	star, not bool
	spans     []span[uint64]
}

func (e element) takes(c byte) bool {
	in := false
	for _, s := range e.spans {
		in = in || s.min <= uint64(c) && uint64(c) <= s.max
	}
	return in != e.not
}

// wild is a compiled pattern of names: of all keys of an entry, one each. A key without angle brackets is taken by itself
// only.
type wild struct{ keys []wildKey }

type wildKey struct {
	exact    string
	pattern  bool
	not      bool // <!...>: takes what the pattern does not
	elements []element
}

func newWild(keys []string) wild {
	var w wild
	for _, k := range keys {
		if !isWild(k) {
			w.keys = append(w.keys, wildKey{exact: k})
			continue
		}
		p, not := strings.CutPrefix(k[1:len(k)-1], "!")
		wk := wildKey{pattern: true, not: not}
		for p != "" {
			el, rest, ok := wildcard(p)
			if !ok {
				break // checkWild lets none pass
			}
			wk.elements, p = append(wk.elements, el), rest
		}
		w.keys = append(w.keys, wk)
	}
	return w
}

func (w wild) takes(keys []string) bool {
	for i, k := range w.keys {
		if !k.pattern && k.exact != keys[i] || k.pattern && matches(k.elements, keys[i]) == k.not {
			return false
		}
	}
	return true
}

// matches reports whether the elements take all of v. It goes back to the last star only, so its cost is bounded by the
// product of both lengths.
func matches(els []element, v string) bool {
	i, j := 0, 0
	star, from := -1, 0
	for j < len(v) {
		switch {
		case i < len(els) && els[i].star:
			star, from = i, j
			i++
		case i < len(els) && els[i].takes(v[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(els) && els[i].star {
		i++
	}
	return i == len(els)
}
