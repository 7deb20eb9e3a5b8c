package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Action says how a loaded text becomes part of a configuration.
type Action uint8

// Merge adds to what is there. Override puts the text in the place of everything. Replace is Merge, but a statement that
// is tagged replace: puts itself in the place of what was there (under the other actions the tag has no effect). Update
// has Override's result, and shares with the old tree everything that did not change, as Override does too.
const (
	Merge Action = iota
	Override
	Replace
	Update
)

// String returns Junos's word.
func (a Action) String() string {
	switch a {
	case Merge:
		return "merge"
	case Override:
		return "override"
	case Replace:
		return "replace"
	case Update:
		return "update"
	}
	return "unknown action"
}

// checkRemark refuses a remark that could not be shown.
func checkRemark(text string) error {
	if strings.Contains(text, "*/") {
		return &valueError{message: "a comment must not contain */"}
	}
	if len(text) > maxValue {
		return tooLong(text)
	}
	return checkText(text)
}

// LoadCurly reads configuration text with braces, from base on. Remarks of the form /* */ belong to the statement that
// follows, those that begin with # are skipped; inactive:, active:, protect:, unprotect:, replace: and delete: stand before a statement.
// What t protects stays as it is, with a warning for each statement that would change it; Override and Update mind no protection. If
// anything is wrong t comes back unchanged, with an error for every wrong statement (at most 100). file names the source
// in errors.
func (t Tree) LoadCurly(base Path, action Action, file string, src []byte) (Tree, Errors) {
	steps, s, err := base.resolveLevel()
	if err != nil {
		return t, asErrors(err)
	}
	src = bytes.TrimPrefix(src, byteOrderMark)
	e := t.edit()
	if action == Override || action == Update {
		e.free = true
		e.remove(steps)
	} else {
		e.protects(t)
	}
	c := curly{e: e, lex: lexer{src: src, line: 1}, r: reader{keep: e.text}, file: file, action: action}
	c.block(s, append(make([]step, 0, 32), steps...), nil, false)
	if c.errs.failed() {
		return t, c.errs.all()
	}
	out := e.tree()
	if action == Override || action == Update {
		out = share(t, out)
	}
	return out, c.errs.all()
}

type curly struct {
	e       *editor
	lex     lexer
	r       reader
	file    string
	action  Action
	errs    findings
	words   []token
	pending token // a token that was read ahead
	has     bool

	patch *patcher // not nil: the statements are those of a patch
}

func (c *curly) token() (token, *Error) {
	if c.has {
		c.has = false
		return c.pending, nil
	}
	return c.lex.next()
}

func (c *curly) fail(err *Error, steps []step, off, line int) {
	if c.errs.add(err) {
		err.place(steps)
		err.locate(c.file, c.lex.src, off, line, &c.errs.last)
	}
}

// block reads statements of s, which steps name, up to the closing brace or the end of the text. Its depth is that of
// the schema, since a brace is followed only behind a container, an entry, or the name of a list whose entries share it;
// that is group then.
func (c *curly) block(s *Schema, steps []step, group *Schema, braced bool) {
	var remarks []string // that stand before the next statement
	total := 0           // octets of remarks
	for {
		t, err := c.token()
		if err != nil {
			c.fail(err, steps, t.off, t.line)
			if c.lex.at >= len(c.lex.src) {
				return
			}
			continue
		}
		switch t.kind {
		case tokEnd:
			if braced {
				c.fail(&Error{Tag: "malformed-message", Message: "missing }", Expected: "}"}, steps, t.off, t.line)
			} else if c.patch != nil {
				c.patch.trailing(remarks)
			}
			return
		case tokClose:
			if braced {
				return
			}
			c.fail(&Error{Tag: "malformed-message", Message: "syntax error.", Expected: "<statement>"}, steps, t.off, t.line)
		case tokRemark:
			text := string(t.text)
			if c.patch != nil {
				text = c.patch.unshift(text)
			}
			if err := checkRemark(text); err != nil {
				c.fail(&Error{Tag: "invalid-value", Message: err.Error()}, steps, t.off, t.line)
				continue
			}
			if text == "" {
				continue
			}
			if total += len(text) + 1; total > maxValue {
				c.fail(&Error{Tag: "too-big", Message: fmt.Sprintf("comments of more than %d octets before one statement", maxValue)}, steps, t.off, t.line)
				remarks, total = nil, 0
				continue
			}
			remarks = append(remarks, text)
		case tokSemi: // an empty statement
		default:
			c.pending, c.has = t, true
			c.statement(s, steps, group, strings.Join(remarks, "\n"))
			remarks, total = nil, 0
		}
	}
}

// tags are the words with a colon that may stand before a statement.
type tags struct{ inactive, active, protect, unprotect, replace, delete bool }

func (t *tags) read(w token) bool {
	if w.kind != tokWord || w.quoted || len(w.text) == 0 || w.text[len(w.text)-1] != ':' {
		return false
	}
	switch string(w.text) {
	case "inactive:":
		t.inactive = true
	case "active:":
		t.active = true
	case "protect:":
		t.protect = true
	case "unprotect:":
		t.unprotect = true
	case "replace:":
		t.replace = true
	case "delete:":
		t.delete = true
	default:
		return false
	}
	return true
}

// statement reads one statement: tags, words, and a semicolon or a block. In a group it lacks the name of its list.
func (c *curly) statement(s *Schema, steps []step, group *Schema, remark string) {
	var tag tags
	words := c.words[:0]
	var end token
	for {
		t, err := c.token()
		if err != nil {
			c.fail(err, steps, t.off, t.line)
			c.skip(t)
			return
		}
		if len(words) == 0 && tag.read(t) {
			continue
		}
		if len(words) > maxWords {
			c.fail(tooManyWords(), steps, t.off, t.line)
			c.skip(t)
			return
		}
		if t.kind == tokRemark {
			continue // in the middle of a statement: nothing that it could be shown before
		}
		if t.kind == tokWord || t.kind == tokFrom || t.kind == tokTo {
			if group != nil && len(words) == 0 {
				words = append(words, token{text: []byte(group.word), off: t.off, line: t.line, kind: tokWord})
			}
			words = append(words, t)
			continue
		}
		end = t
		break
	}
	c.words = words
	c.r.del = tag.delete || end.kind != tokSemi && end.kind != tokOpen
	c.r.brace, c.r.group = group == nil && end.kind == tokOpen, nil
	c.r.out = steps // what is behind them is of statements that are done
	if c.patch != nil {
		c.r.out = slices.Clone(steps) // a patch keeps them
	}
	in, open, bad := c.r.read(s, words)
	if bad == nil && len(words) == 0 {
		bad = new(fault).at(0, "malformed-message", "", "syntax error, expecting <statement>", c.r.expect(s))
	}
	if bad == nil && end.kind == tokOpen && !open {
		bad = new(fault).at(len(words), "malformed-message", "", "syntax error, expecting ';'", ";")
	}
	if bad == nil && end.kind != tokSemi && end.kind != tokOpen {
		bad = new(fault).at(len(words), "malformed-message", "", "missing ;", "; or {")
	}
	if bad != nil {
		off, line := end.off, end.line
		if bad.word < len(words) {
			off, line = words[bad.word].off, words[bad.word].line
		} else if n := len(words); n > 0 && end.kind != tokOpen {
			// What is missing is missing behind the last word, not where the next token happens to be.
			off, line = c.behind(words[n-1])
		}
		c.fail(bad.err, steps, off, line)
		c.skip(end)
		return
	}
	out := c.r.out
	if list := c.r.group; list != nil {
		c.entries(tag, out, list)
		return
	}
	c.carryOut(tag, out, len(steps), remark, in, end.kind == tokOpen)
}

// entries reads a block of entries of list.
func (c *curly) entries(tag tags, steps []step, list *Schema) {
	whole := append(slices.Clone(steps), step{s: list, all: true})
	switch {
	case tag.inactive || tag.active:
		c.fail(&Error{Tag: "invalid-value", Element: list.name, Message: "a tag can stand before each entry, not before all"}, steps, c.words[0].off, c.words[0].line)
		c.skip(token{kind: tokOpen})
		return
	case tag.delete:
		if !c.e.remove(whole) {
			c.fail(notFound(whole), whole, c.words[0].off, c.words[0].line)
		}
		c.skip(token{kind: tokOpen})
		return
	case tag.replace && c.action == Replace:
		c.e.remove(whole)
	}
	c.block(list.parent, steps, list, true)
}

// behind returns the place just after a word.
func (c *curly) behind(w token) (off, line int) {
	l := lexer{src: c.lex.src, at: w.off, line: w.line}
	_, _ = l.next()
	return l.at, l.line
}

// carryOut applies a statement whose steps are out; those up to base are the block's.
func (c *curly) carryOut(tag tags, out []step, base int, remark string, in *Schema, block bool) {
	head := out[:base+1]
	var first token
	if len(c.words) > 0 {
		first = c.words[0]
	}
	defer func() {
		for _, err := range c.e.refusals() {
			c.fail(err, head, first.off, first.line)
		}
	}()
	if c.patch != nil && base == len(c.patch.level) {
		if c.patch.sign == '-' {
			c.patch.statement(head, out, block, first)
			return
		}
		defer c.patch.statement(head, out, block, first)
	}
	if tag.unprotect {
		c.e.mark(whole(head), 0, protected)
	}
	if tag.delete {
		gone := slices.Clone(out)
		if !c.e.remove(gone) {
			c.fail(notFound(gone), gone, first.off, first.line)
		}
		if block {
			c.skip(token{kind: tokOpen})
		}
		return
	}
	if tag.replace && c.action == Replace {
		c.e.empty(whole(head))
	}
	c.e.put(out)
	if block {
		c.block(in, out, nil, true)
	}
	if tag == (tags{}) && remark == "" {
		return
	}
	h := whole(head)
	switch {
	case tag.inactive:
		c.e.mark(h, inactive, 0)
	case tag.active:
		c.e.mark(h, 0, inactive)
	}
	if remark != "" {
		c.e.remark(h, remark)
	}
	if tag.protect {
		c.e.mark(h, protected, 0)
	}
}

// whole returns the steps of what carries marks: a leaf or leaf-list whatever its values.
func whole(head []step) []step {
	last := len(head) - 1
	if k := head[last].s.kind; k == LeafList || k == Leaf {
		head = slices.Clone(head)
		head[last] = step{s: head[last].s, all: true}
	}
	return head
}

// skip reads to the end of a statement that began with, or went wrong at, t: past the semicolon, or past the block. It
// counts braces and does not recurse.
func (c *curly) skip(t token) {
	depth := 0
	for {
		switch t.kind {
		case tokEnd:
			if c.lex.at >= len(c.lex.src) {
				return
			}
		case tokOpen:
			depth++
		case tokClose:
			if depth--; depth < 0 {
				c.pending, c.has = t, true // it closes the block that the statement stood in
				return
			}
			if depth == 0 {
				return
			}
		case tokSemi:
			if depth == 0 {
				return
			}
		}
		for {
			var err *Error
			if t, err = c.lex.next(); err == nil {
				break
			}
			if c.lex.at >= len(c.lex.src) {
				return
			}
		}
		if t.kind == tokEnd {
			return
		}
	}
}

// AppendCurly appends what is in n with braces, as Junos's show does at that level; for a leaf, its statement.
func AppendCurly(dst []byte, n Node) []byte {
	if !n.Exists() {
		return dst
	}
	return AppendCurlyOptions(dst, n, CurlyOptions{Statement: !n.s.isInner()})
}

// AppendCurlyStatement appends n as the statement that it is in its parent, with its name and marks, indented by level
// times four blanks.
func AppendCurlyStatement(dst []byte, n Node, level int) []byte {
	return AppendCurlyOptions(dst, n, CurlyOptions{Statement: true, Level: level})
}

// CurlyOptions says how text with braces looks.
type CurlyOptions struct {
	Statement bool // n as the statement that it is in its parent, not what is in it
	Level     int  // indentation, in steps of four blanks
	Origins   Origins
}

// AppendCurlyOptions is AppendCurly, or AppendCurlyStatement, with remarks about what was inherited.
func AppendCurlyOptions(dst []byte, n Node, o CurlyOptions) []byte {
	p := curlyPrinter{dst: dst, origins: o.Origins}
	switch {
	case !n.Exists():
	case o.Statement:
		p.inheritedNode(n, o.Level)
		p.node(n.s, n.n, n.val, n.flags, o.Level)
	case n.n != nil:
		p.kids(n.s, n.n, o.Level)
	}
	return p.dst
}

type curlyPrinter struct {
	dst    []byte
	within string // the container whose name goes before that of the next statement, on one line

	origins Origins
}

func (p *curlyPrinter) indent(level int) {
	for range level {
		p.dst = append(p.dst, "    "...)
	}
}

func (p *curlyPrinter) remark(text string, level int) {
	p.indent(level)
	p.dst = append(append(append(p.dst, "/* "...), text...), " */\n"...)
}

func (p *curlyPrinter) kids(s *Schema, n *node, level int) {
	for i := range n.kids {
		k := &n.kids[i]
		c := s.children[k.id]
		if c.kind != List {
			if p.origins.groups != nil {
				p.inheritedKid(n, c, k, level)
			}
			p.node(c, k.node, k.val, k.flags, level)
			continue
		}
		at := level
		if c.grouped {
			p.indent(level)
			p.dst = append(append(p.dst, c.word...), " {\n"...)
			at++
		}
		l := k.node.list
		room := roomFor(l, p.dst)
		l.each(func(key string, sl slot) bool {
			p.inheritedEntry(c, k.node, key, at)
			p.statement(c, sl.node, key, 0, at, c.grouped)
			p.dst = room.grow(p.dst)
			return true
		})
		if c.grouped {
			p.indent(level)
			p.dst = append(p.dst, "}\n"...)
		}
	}
}

const secretMark = " ## SECRET-DATA"

func (p *curlyPrinter) node(s *Schema, n *node, val string, f flags, level int) {
	if s.joined && len(n.kids) > 0 && n.flags&(inactive|protected) == 0 && n.comment == "" && allInner(s, n) {
		for i := range n.kids {
			k := &n.kids[i]
			p.within = s.word
			p.node(s.children[k.id], k.node, k.val, k.flags, level)
		}
		return
	}
	p.statement(s, n, val, f, level, false)
}

// allInner reports whether all that is in n are containers without marks, which would read as marks of n.
func allInner(s *Schema, n *node) bool {
	for i := range n.kids {
		k := &n.kids[i]
		if !s.children[k.id].isContainer() || k.node.comment != "" || k.node.flags&(inactive|protected) != 0 {
			return false
		}
	}
	return true
}

// statement appends a statement; an entry that is one of a group lacks the name of its list.
func (p *curlyPrinter) statement(s *Schema, n *node, val string, f flags, level int, grouped bool) {
	if n != nil {
		if s.isInner() {
			f = n.flags
		}
		if n.comment != "" {
			p.remark(n.comment, level)
		}
	}
	p.indent(level)
	if f&inactive != 0 {
		p.dst = append(p.dst, "inactive: "...)
	}
	if f&protected != 0 {
		p.dst = append(p.dst, "protect: "...)
	}
	if !s.isInner() {
		secret := p.leaf(s, n, val)
		p.end(secret)
		return
	}
	switch {
	case s.kind == List && grouped:
		p.dst = appendKeys(p.dst, s, val)
	case s.kind == List:
		p.dst = appendEntry(p.dst, s, val)
	default:
		if p.within != "" {
			p.dst = append(append(p.dst, p.within...), ' ')
			p.within = ""
		}
		p.dst = append(p.dst, s.word...)
	}
	switch {
	case n == nil || len(n.kids) == 0:
		p.dst = append(p.dst, ";\n"...)
	case oneLine(s, n):
		p.end(p.inline(s, n))
	default:
		p.dst = append(p.dst, " {\n"...)
		p.kids(s, n, level+1)
		p.indent(level)
		p.dst = append(p.dst, "}\n"...)
	}
}

func (p *curlyPrinter) end(secret bool) {
	p.dst = append(p.dst, ';')
	if secret {
		p.dst = append(p.dst, secretMark...)
	}
	p.dst = append(p.dst, '\n')
}

// leaf appends a leaf, flag or leaf-list and reports whether it is a secret.
func (p *curlyPrinter) leaf(s *Schema, n *node, val string) bool {
	if s.kind != LeafList {
		if s.secret {
			if !s.noKeyword {
				p.dst = append(append(p.dst, s.name...), ' ')
			}
			p.dst = appendQuoted(p.dst, val)
			return true
		}
		p.dst = appendLeaf(p.dst, s, val)
		return false
	}
	p.dst = append(append(p.dst, s.name...), ' ')
	if n.list.byName.n == 1 {
		_, v, _ := n.list.byLabel.first()
		p.dst = appendWord(p.dst, v)
		return false
	}
	p.dst = append(p.dst, '[')
	n.list.byLabel.all(func(_ uint64, v string) bool {
		p.dst = appendWord(append(p.dst, ' '), v)
		return true
	})
	p.dst = append(p.dst, " ]"...)
	return false
}

// inline appends what is in n on the line begun, each part with a blank before it.
func (p *curlyPrinter) inline(s *Schema, n *node) (secret bool) {
	for i := range n.kids {
		k := &n.kids[i]
		c := s.children[k.id]
		p.dst = append(p.dst, ' ')
		if !c.isInner() {
			secret = p.leaf(c, k.node, k.val) || secret
			continue
		}
		p.dst = append(p.dst, c.name...)
		secret = p.inline(c, k.node) || secret
	}
	return secret
}

// oneLine reports whether n is shown on one line: its hints say so, and what is in it can be told apart there.
func oneLine(s *Schema, n *node) bool {
	return (s.oneLiner || s.oneLinerPlus && len(n.kids) == 1) && inlinable(s, n)
}

func inlinable(s *Schema, n *node) bool {
	for i := range n.kids {
		k := &n.kids[i]
		c := s.children[k.id]
		switch {
		case k.flags&marks != 0 || c.kind == List:
			return false
		case c.isInner():
			// Words go on in the innermost container, so nothing can follow one; and an empty one says nothing.
			if i != len(n.kids)-1 || k.node.flags&marks != 0 || k.node.comment != "" || !inlinable(c, k.node) {
				return false
			}
		case k.node != nil && k.node.comment != "":
			return false
		}
	}
	return true
}
