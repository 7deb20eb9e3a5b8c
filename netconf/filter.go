package netconf

import (
	"iter"
	"slices"

	"gvpn/config"
)

// appendFiltered appends what the subtree filter selects of the configuration (RFC 6241 section 6). Elements are told
// apart by local name, in whatever namespace; an empty filter selects nothing.
func appendFiltered(dst []byte, root config.Node, filter *element) []byte {
	var named []*element
	for _, f := range filter.children {
		if f.name == root.Name() {
			named = append(named, f)
		}
	}
	out, _ := appendSelected(dst, root, named)
	return out
}

// appendSelected appends the part of n that filters, which all name n, select, and reports whether they select anything.
func appendSelected(dst []byte, n config.Node, filters []*element) ([]byte, bool) {
	var deeper []*element
	shown := map[string]bool{} // leaves to show because a content match node names them
	for _, f := range filters {
		if !attributesMatch(n, f) {
			continue
		}
		if len(f.children) == 0 {
			if f.text == "" || holds(n, f.text) {
				return config.AppendXML(dst, n, config.XMLOptions{}), true // a selection node
			}
			continue
		}
		contents, rest := split(f)
		if slices.ContainsFunc(contents, func(c *element) bool { return !holds(n.Child(c.name), c.text) }) {
			continue
		}
		if len(rest) == 0 {
			return config.AppendXML(dst, n, config.XMLOptions{}), true // content match nodes alone select their whole level
		}
		for _, c := range contents {
			shown[c.name] = true
		}
		deeper = append(deeper, rest...)
	}
	if len(deeper) == 0 {
		return dst, false
	}
	start := len(dst)
	dst = config.AppendXMLStart(dst, n)
	any := len(shown) > 0
	for _, s := range n.Schema().Keys() {
		dst = config.AppendXML(dst, n.Child(s.Name()), config.XMLOptions{}) // keys say which entry it is
	}
	for _, s := range n.Schema().Children() {
		if s.IsKey() {
			if slices.ContainsFunc(deeper, func(f *element) bool { return f.name == s.Name() }) {
				any = true
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
			dst = config.AppendXML(dst, n.Child(s.Name()), config.XMLOptions{})
		case len(named) == 0:
		case s.Kind() == config.List:
			for e := range entries(n, s, named) {
				var selected bool
				dst, selected = appendSelected(dst, e, named)
				any = any || selected
			}
		default:
			if c := n.Child(s.Name()); c.Exists() {
				var selected bool
				dst, selected = appendSelected(dst, c, named)
				any = any || selected
			}
		}
	}
	if !any {
		return dst[:start], false
	}
	return config.AppendXMLEnd(dst, n), true
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

// holds reports whether a leaf has the value, or a leaf-list has it among its values.
func holds(n config.Node, value string) bool {
	return n.Exists() && slices.Contains(n.Values(), value)
}

// attributesMatch reports whether n has the attributes that the filter asks for (RFC 6241 section 6.2.2). The one
// attribute that configuration can have is inactive.
func attributesMatch(n config.Node, f *element) bool {
	for _, a := range f.attrs {
		if isDeclaration(a) {
			continue
		}
		if a.Name.Local != "inactive" || a.Value != "inactive" || !n.Inactive() {
			return false
		}
	}
	return true
}
