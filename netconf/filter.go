package netconf

import (
	"bytes"
	"iter"
	"slices"
	"strings"

	"gvpn/config"
)

// appendFiltered appends what the subtree filter selects of the configuration (RFC 6241 section 6). Elements are told
// apart by local name, in whatever namespace; an empty filter selects nothing.
func (p printer) appendFiltered(dst []byte, root config.Node, filter *element) []byte {
	var named []*element
	for _, f := range filter.children {
		if f.name == root.Name() {
			named = append(named, f)
		}
	}
	out, _ := p.appendSelected(dst, root, named, 1, "")
	return out
}

// printer writes parts of a configuration as its reader may see them.
type printer struct{ secrets config.Secrets }

// appendWhole appends n with all that is below it. Namespaces are declared where they begin; around is the one in force
// around n.
func (p printer) appendWhole(dst []byte, n config.Node, level int, around string) []byte {
	start := len(dst)
	dst = config.AppendXML(dst, n, config.XMLOptions{Level: level, Namespaces: true, Secrets: p.secrets})
	if !n.Exists() || n.Schema().Namespace() != around {
		return dst
	}
	// Package config writes a fragment that stands for itself. A leaf-list is several elements.
	tag := "<" + n.Name()
	return append(dst[:start], bytes.ReplaceAll(dst[start:], []byte(tag+` xmlns="`+around+`"`), []byte(tag))...)
}

// appendSelected appends the part of n that filters, which all name n, select, and reports whether they select anything.
// around is the namespace in force around n.
func (p printer) appendSelected(dst []byte, n config.Node, filters []*element, level int, around string) ([]byte, bool) {
	var deeper []*element
	shown := map[string]bool{} // leaves to show because a content match node names them
	for _, f := range filters {
		if !attributesMatch(n, f) {
			continue
		}
		if len(f.children) == 0 {
			if f.text == "" || p.holds(n, f.text) {
				return p.appendWhole(dst, n, level, around), true // a selection node
			}
			continue
		}
		contents, rest := split(f)
		if slices.ContainsFunc(contents, func(c *element) bool { return !p.holds(n.Child(c.name), c.text) }) {
			continue
		}
		if len(rest) == 0 {
			return p.appendWhole(dst, n, level, around), true // content match nodes alone select their whole level
		}
		for _, c := range contents {
			shown[c.name] = true
		}
		deeper = append(deeper, rest...)
	}
	if len(deeper) == 0 {
		return dst, false
	}
	start, inside := len(dst), n.Schema().Namespace()
	dst = appendStart(dst, n, level, around)
	found := len(shown) > 0
	for _, s := range n.Schema().Keys() {
		dst = p.appendWhole(dst, n.Child(s.Name()), level+1, inside) // keys say which entry it is
	}
	for _, s := range n.Schema().Children() {
		if s.IsKey() {
			if slices.ContainsFunc(deeper, func(f *element) bool { return f.name == s.Name() }) {
				found = true
			}
			continue
		}
		var named []*element
		for _, f := range deeper {
			if f.name == s.Name() {
				named = append(named, f)
			}
		}
		switch {
		case shown[s.Name()]:
			dst = p.appendWhole(dst, n.Child(s.Name()), level+1, inside)
		case len(named) == 0:
		case s.Kind() == config.List:
			for e := range entries(n, s, named) {
				var selected bool
				dst, selected = p.appendSelected(dst, e, named, level+1, inside)
				found = found || selected
			}
		default:
			if c := n.Child(s.Name()); c.Exists() {
				var selected bool
				dst, selected = p.appendSelected(dst, c, named, level+1, inside)
				found = found || selected
			}
		}
	}
	if !found {
		return dst[:start], false
	}
	dst = appendIndent(dst, level)
	dst = append(dst, "</"...)
	dst = append(dst, n.Name()...)
	return append(dst, ">\n"...), true
}

// appendStart appends the start tag of a container or entry, as package config writes it.
func appendStart(dst []byte, n config.Node, level int, around string) []byte {
	dst = append(appendIndent(dst, level), '<')
	dst = append(dst, n.Name()...)
	if ns := n.Schema().Namespace(); ns != around {
		dst = appendAttr(dst, "xmlns", ns)
	}
	if n.Inactive() {
		dst = appendAttr(dst, "inactive", "inactive")
	}
	if n.Protected() {
		dst = appendAttr(dst, "protect", "protect")
	}
	return append(dst, ">\n"...)
}

func appendIndent(dst []byte, level int) []byte {
	return append(dst, strings.Repeat("    ", level)...)
}

// entries returns the entries of a list that any of the filters can select: if all of them name the whole key, those
// alone, found by name and not by a walk.
func entries(n config.Node, s *config.Schema, filters []*element) iter.Seq[config.Node] {
	var found []config.Node
	for _, f := range filters {
		contents, _ := split(f)
		var key []string
		for _, k := range s.Keys() {
			if i := slices.IndexFunc(contents, func(c *element) bool { return c.name == k.Name() }); i >= 0 {
				key = append(key, contents[i].text)
			}
		}
		if len(key) != len(s.Keys()) {
			return n.Entries(s.Name())
		}
		e := n.Entry(s.Name(), key...)
		if e.Exists() && !slices.ContainsFunc(found, func(o config.Node) bool { return slices.Equal(o.Key(), key) }) {
			found = append(found, e)
		}
	}
	return slices.Values(found)
}

// split parts a filter's children into content match nodes, leaves with a value, and the others.
func split(f *element) (contents, rest []*element) {
	for _, c := range f.children {
		if len(c.children) == 0 && c.text != "" {
			contents = append(contents, c)
		} else {
			rest = append(rest, c)
		}
	}
	return contents, rest
}

// holds reports whether a leaf has the value, or a leaf-list has it among its values. Who may not see secrets may not
// guess them either.
func (p printer) holds(n config.Node, value string) bool {
	if n.Exists() && n.Schema().Secret() && p.secrets == config.Omitted {
		return false
	}
	return slices.Contains(n.Values(), value)
}

// attributesMatch reports whether n has the attributes that the filter asks for (RFC 6241 section 6.2.2). The
// attributes that configuration can have are inactive and protect.
func attributesMatch(n config.Node, f *element) bool {
	for _, a := range f.attrs {
		if isDeclaration(a) {
			continue
		}
		has := a.Name.Local == "inactive" && n.Inactive() || a.Name.Local == "protect" && n.Protected()
		if !has || a.Value != a.Name.Local {
			return false
		}
	}
	return true
}
