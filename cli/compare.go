package cli

import (
	"bytes"
	"slices"
	"strings"

	"gvpn/config"
)

// appendCompare appends the differences between two configurations below path in the form of Junos's `show | compare`
// (junos-facts.md section 5.5): for each level a banner, then lines with - and +, and with ! where only the order, the
// activation or the protection of a statement changed; a statement that only moved is shown without its marks. A new entry that does not come last, and a moved one, is shown between its neighbours.
// Nothing is appended if nothing differs.
func appendCompare(dst []byte, old, next config.Tree, path config.Path) []byte {
	c := comparison{dst: dst}
	a, b := old.Root().At(path), next.Root().At(path)
	switch s := schemaAt(path); {
	case s.Kind() == config.List && len(path[len(path)-1].Keys) == 0:
		up := path[:len(path)-1]
		c.at = up
		for _, d := range c.list(s, old.Root().At(up), next.Root().At(up)) {
			c.level(d.schema, d.a, d.b, d.path)
		}
	case a.Exists() && b.Exists() && isInner(a):
		c.level(s, a, b, path)
	case len(path) > 0:
		c.at = path[:len(path)-1]
		c.statement(a, b)
	}
	return c.dst
}

type comparison struct {
	dst  []byte
	at   config.Path // of the last banner
	open bool        // a banner was written
}

// deeper is a level to be compared after the lines of the one above it.
type deeper struct {
	schema *config.Schema
	a, b   config.Node
	path   config.Path
}

// level compares the content of two containers or entries that are both there.
func (c *comparison) level(s *config.Schema, a, b config.Node, path config.Path) {
	if config.Same(a, b) {
		return
	}
	c.open = false
	c.at = path
	var inner []deeper
	for _, child := range s.Children() {
		switch {
		case child.IsKey():
		case child.Kind() == config.List:
			inner = append(inner, c.list(child, a, b)...)
		default:
			x, y := a.Child(child.Name()), b.Child(child.Name())
			if c.statement(x, y) && (child.Kind() == config.Container || child.Kind() == config.Presence) {
				inner = append(inner, deeper{child, x, y, below(path, config.Elem{Name: child.Name()})})
			}
		}
	}
	for _, d := range inner {
		c.level(d.schema, d.a, d.b, d.path)
	}
}

// below returns the path one level down, without touching what other paths share.
func below(path config.Path, e config.Elem) config.Path {
	return append(slices.Clip(path), e)
}

// statement writes the difference of a statement itself, and reports whether it is there on both sides.
func (c *comparison) statement(a, b config.Node) bool {
	switch {
	case !a.Exists() && !b.Exists():
		return false
	case !a.Exists() || !b.Exists():
		c.block('-', a)
		c.block('+', b)
		return false
	}
	if !slices.Equal(a.Values(), b.Values()) {
		c.block('-', a)
		c.block('+', b)
		return true
	}
	if a.Comment() != b.Comment() {
		c.comment('-', a.Comment())
		c.comment('+', b.Comment())
		c.line(' ', brief(b))
	}
	if a.Inactive() != b.Inactive() || a.Protected() != b.Protected() {
		text := brief(b) // with "inactive: " and "protect: " if it is that now
		if a.Inactive() && !b.Inactive() {
			text = "active: " + text
		}
		if a.Protected() && !b.Protected() {
			text = "unprotect: " + text
		}
		c.line('!', text)
	}
	return true
}

// list writes the entries that came, went and moved, in the order of the list, and returns those that are on both sides.
func (c *comparison) list(s *config.Schema, a, b config.Node) []deeper {
	const sep = "\x00" // in no value
	changed := map[string]config.Change{}
	gone := false
	for e := range config.DiffEntries(a, b, s.Name()) {
		n := e.New
		if !n.Exists() {
			n, gone = e.Old, true
		}
		changed[strings.Join(n.Key(), sep)] = e
	}
	moved := map[string]bool{}
	for _, n := range config.Moved(a, b, s.Name()) {
		moved[strings.Join(n.Key(), sep)] = true
	}
	if len(changed)+len(moved) == 0 {
		return nil
	}
	if gone {
		for n := range a.Entries(s.Name()) {
			if e, ok := changed[strings.Join(n.Key(), sep)]; ok && !e.New.Exists() {
				c.block('-', n)
			}
		}
	}
	var inner []deeper
	entries := slices.Collect(b.Entries(s.Name()))
	shown := -1 // the last entry that stands in the text
	neighbour := func(i int) {
		if i > shown && i >= 0 && i < len(entries) {
			c.line(' ', brief(entries[i]))
			shown = i
		}
	}
	// placed says whether entry i is one that is shown in its place anyway.
	placed := func(i int) bool {
		if i < 0 || i >= len(entries) {
			return false
		}
		key := strings.Join(entries[i].Key(), sep)
		e, ok := changed[key]
		return moved[key] || ok && !e.Old.Exists()
	}
	for i, n := range entries {
		key := strings.Join(n.Key(), sep)
		e, ok := changed[key]
		added := ok && !e.Old.Exists()
		if added || moved[key] {
			last := true // nothing but new entries follows
			for j := i + 1; j < len(entries) && last; j++ {
				last = placed(j) && !moved[strings.Join(entries[j].Key(), sep)]
			}
			context := moved[key] || !last
			if context && !placed(i-1) {
				neighbour(i - 1)
			}
			if added {
				c.block('+', n)
			} else {
				c.line('!', unmarked(n))
			}
			shown = i
			if context && !placed(i+1) {
				neighbour(i + 1)
			}
		}
		if ok && !added && e.New.Exists() && c.statement(e.Old, e.New) {
			inner = append(inner, deeper{s, e.Old, e.New, below(c.at, config.Elem{Name: s.Name(), Keys: n.Key()})})
		}
	}
	return inner
}

func (c *comparison) banner(path config.Path) {
	c.dst = append(append(c.dst, path.Edit()...), '\n')
	c.open = true
}

// line writes one line under the banner of the level, and the banner before the first.
func (c *comparison) line(sign byte, text string) {
	if !c.open {
		c.banner(c.at)
	}
	c.dst = append(append(append(c.dst, sign), "   "...), text...)
	c.dst = append(c.dst, '\n')
}

// block writes a whole statement.
func (c *comparison) block(sign byte, n config.Node) {
	if !n.Exists() {
		return
	}
	text := bytes.TrimSuffix(config.AppendCurlyStatement(nil, n, 0), []byte("\n"))
	for l := range bytes.SplitSeq(text, []byte("\n")) {
		c.line(sign, string(l))
	}
}

func (c *comparison) comment(sign byte, text string) {
	if text != "" {
		for l := range strings.SplitSeq("/* "+text+" */", "\n") {
			c.line(sign, l)
		}
	}
}

// unmarked is brief without what says that the statement is inactive or protected.
func unmarked(n config.Node) string {
	text := strings.TrimPrefix(brief(n), "inactive: ")
	return strings.TrimPrefix(text, "protect: ")
}

// brief is a statement on one line, what is in it left out.
func brief(n config.Node) string {
	first, more, _ := bytes.Cut(config.AppendCurlyStatement(nil, n, 0), []byte("\n"))
	if bytes.HasPrefix(first, []byte("/*")) { // a remark stands on lines of its own
		for !bytes.HasSuffix(first, []byte("*/")) {
			first, more, _ = bytes.Cut(more, []byte("\n"))
		}
		first, _, _ = bytes.Cut(more, []byte("\n"))
	}
	if head, ok := strings.CutSuffix(string(first), "{"); ok {
		return head + "{ ... }"
	}
	return string(first)
}
