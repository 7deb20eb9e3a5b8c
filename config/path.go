package config

import (
	"fmt"
	"strings"
)

// Path names a node by the data nodes from below configuration down to it; choices and cases are not named.
type Path []Elem

// Elem is one step of a Path. Keys are the values of a list entry's keys in key order, or the one value of a leaf-list;
// none for every other node, and for a list or leaf-list as a whole.
type Elem struct {
	Name string
	Keys []string
}

// String returns the path as Junos words it: security group-vpn server group G group-id.
func (p Path) String() string { return string(p.appendWords(nil)) }

// Edit returns the path as Junos shows a place of the configuration: [edit security group-vpn].
func (p Path) Edit() string {
	if len(p) == 0 {
		return "[edit]"
	}
	return "[edit " + p.String() + "]"
}

// Clone returns a copy that shares no slices.
func (p Path) Clone() Path {
	out := make(Path, len(p))
	for i, e := range p {
		out[i] = Elem{e.Name, append([]string(nil), e.Keys...)}
	}
	return out
}

func (p Path) appendWords(dst []byte) []byte {
	s := Root()
	for i, e := range p {
		if i > 0 {
			dst = append(dst, ' ')
		}
		if s != nil {
			s = s.Child(e.Name)
		}
		bare := false
		switch {
		case s == nil:
			dst = append(dst, e.Name...)
		case s.kind == List && s.noKeyword && len(e.Keys) > 0:
			bare = true
		default:
			dst = append(dst, s.word...)
		}
		for j, k := range e.Keys {
			if s != nil && s.kind == List && j < len(s.keys) && !s.keys[j].noKeyword {
				dst = append(append(dst, ' '), s.keys[j].word...)
			}
			if !bare || j > 0 {
				dst = append(dst, ' ')
			}
			dst = appendWord(dst, k)
		}
	}
	return dst
}

// step is one step of a resolved path, or one thing to set: a container, an entry with its key, a leaf with its value,
// one value of a leaf-list, a flag.
type step struct {
	s   *Schema
	key string // entry: its keys, joined; leaf and leaf-list: the value, canonical
	all bool   // a list or leaf-list as a whole; a leaf whatever its value
}

// keySep joins the keys of an entry with more than one; no value can hold it.
const keySep = "\x00"

func joinKeys(keys []string) string { return strings.Join(keys, keySep) }

func splitKeys(s *Schema, key string) []string {
	if len(s.keys) == 1 {
		return []string{key}
	}
	return strings.Split(key, keySep)
}

// resolve turns a path into steps, checking names and key values.
func (p Path) resolve() ([]step, error) {
	out := make([]step, 0, len(p))
	s := Root()
	for i, e := range p {
		at := p[:i]
		var c *Schema
		if s.isInner() {
			c = s.byName[e.Name]
		}
		if c == nil || c.isKey && i < len(p)-1 {
			err := &Error{Tag: "unknown-element", Element: printable(e.Name), Message: "syntax error, expecting <statement>: " + printable(e.Name)}
			if s.Unsupported(e.Name) != "" {
				err = unknown(s, e.Name)
			}
			err.At, err.Path = at.Clone(), at.Edit()
			return nil, err
		}
		st := step{s: c}
		bad := func(tag, message string) error {
			return &Error{At: at.Clone(), Path: at.Edit(), Tag: tag, Element: e.Name, Message: message}
		}
		switch c.kind {
		case List:
			if len(e.Keys) == 0 {
				st.all = true
				break
			}
			if len(e.Keys) != len(c.keys) {
				return nil, bad("missing-element", fmt.Sprintf("list %s has %d keys, not %d", c.name, len(c.keys), len(e.Keys)))
			}
			keys := make([]string, len(e.Keys))
			for j, k := range e.Keys {
				v, err := c.keys[j].parseValue(k)
				if err != nil {
					return nil, bad("invalid-value", err.Error())
				}
				keys[j] = v
			}
			st.key = joinKeys(keys)
		case LeafList:
			switch len(e.Keys) {
			case 0:
				st.all = true
			case 1:
				v, err := c.parseValue(e.Keys[0])
				if err != nil {
					return nil, bad("invalid-value", err.Error())
				}
				st.key = v
			default:
				return nil, bad("invalid-value", "leaf-list "+c.name+" with more than one value")
			}
		case Leaf, Empty:
			st.all = true
			if len(e.Keys) > 0 {
				return nil, bad("unknown-element", c.name+" is a leaf and has no keys")
			}
		default:
			if len(e.Keys) > 0 {
				return nil, bad("unknown-element", c.name+" is a container and has no keys")
			}
		}
		if st.all && i < len(p)-1 {
			return nil, bad("missing-element", "nothing can follow "+c.name+" here")
		}
		out = append(out, st)
		s = c
	}
	return out, nil
}

// resolveLevel is resolve for a path under which a text is loaded: to a container, one entry of a list, or the top.
func (p Path) resolveLevel() ([]step, *Schema, error) {
	steps, err := p.resolve()
	if err != nil {
		return nil, nil, err
	}
	if len(steps) == 0 {
		return steps, Root(), nil
	}
	last := steps[len(steps)-1]
	if !last.s.isInner() || last.s.kind == List && last.all {
		return nil, nil, &Error{At: p.Clone(), Path: p.Edit(), Tag: "invalid-value", Message: "nothing can be loaded below " + last.s.name}
	}
	return steps, last.s, nil
}

// pathOf is the inverse of resolve.
func pathOf(steps []step) Path {
	p := make(Path, 0, len(steps))
	for _, st := range steps {
		e := Elem{Name: st.s.name}
		switch {
		case st.all:
		case st.s.kind == List:
			e.Keys = splitKeys(st.s, st.key)
		case st.s.kind == LeafList:
			e.Keys = []string{st.key}
		}
		p = append(p, e)
	}
	return p
}
