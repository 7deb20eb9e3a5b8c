package config

import (
	"bytes"
	"strings"
)

// Set returns t with what the words of a set line say, from base on: Set(nil, {"system", "host-name", "a"}). Nothing
// but types is checked, and how many values or entries there may be; see Validate for the rest. An error's Caret counts in
// the words joined by single blanks.
func (t Tree) Set(base Path, words []string) (Tree, error) {
	e := t.edit()
	if err := e.line(base, "set", words); err != nil {
		return t, err
	}
	return e.tree(), nil
}

// Delete returns t without what the words name, from base on. Without words it deletes what is at base. If there is no
// such thing the error is a warning, "statement not found".
func (t Tree) Delete(base Path, words []string) (Tree, error) {
	e := t.edit()
	if err := e.line(base, "delete", words); err != nil {
		return t, err
	}
	return e.tree(), nil
}

// Deactivate marks what the words name as inactive, Activate takes the mark away. If there is no such thing the error
// is a warning.
func (t Tree) Deactivate(base Path, words []string) (Tree, error) {
	e := t.edit()
	if err := e.line(base, "deactivate", words); err != nil {
		return t, err
	}
	return e.tree(), nil
}

// Activate is the inverse of Deactivate.
func (t Tree) Activate(base Path, words []string) (Tree, error) {
	e := t.edit()
	if err := e.line(base, "activate", words); err != nil {
		return t, err
	}
	return e.tree(), nil
}

// Annotate puts a remark before what the words name; an empty text takes it away.
func (t Tree) Annotate(base Path, words []string, text string) (Tree, error) {
	e := t.edit()
	if err := e.line(base, "annotate", append(words[:len(words):len(words)], text)); err != nil {
		return t, err
	}
	return e.tree(), nil
}

// SetValue returns t with the leaf at p set, the flag set, the value added to the leaf-list (value "" if p names it), or
// the container or entry made.
func (t Tree) SetValue(p Path, value string) (Tree, error) {
	steps, err := p.resolve()
	if err != nil {
		return t, err
	}
	if len(steps) == 0 {
		return t, &Error{Path: "[edit]", Tag: "invalid-value", Message: "the whole configuration has no value"}
	}
	last := &steps[len(steps)-1]
	fail := func(message string) error {
		up := p[:len(p)-1]
		return &Error{At: up.Clone(), Path: up.Edit(), Element: last.s.name, Tag: "invalid-value", Message: message}
	}
	switch {
	case last.s.isKey:
		return t, fail("the key of an entry cannot be set")
	case last.s.kind == List && last.all:
		return t, fail("missing argument.")
	case last.s.kind == Leaf, last.s.kind == LeafList && last.all:
		if last.key, err = last.s.parseValue(value); err != nil {
			return t, fail(err.Error())
		}
		last.all = false
	}
	e := t.edit()
	e.put(steps)
	if refused := e.refusal(); refused != nil {
		refused.place(steps[:len(steps)-1])
		return t, refused
	}
	if err := e.tooMany(steps); err != nil {
		return t, err
	}
	return e.tree(), nil
}

// Protect marks what the words name as protected: it, and what is below it, cannot be changed until Unprotect takes the mark away.
// What would change it gives a warning instead. If there is no such thing the error is a warning.
func (t Tree) Protect(base Path, words []string) (Tree, error) {
	e := t.edit()
	if err := e.line(base, "protect", words); err != nil {
		return t, err
	}
	return e.tree(), nil
}

// Unprotect is the inverse of Protect.
func (t Tree) Unprotect(base Path, words []string) (Tree, error) {
	e := t.edit()
	if err := e.line(base, "unprotect", words); err != nil {
		return t, err
	}
	return e.tree(), nil
}

// DeletePath returns t without what is at p: a container, an entry, a leaf, a value of a leaf-list, or a list or
// leaf-list as a whole. If there is no such thing the error is a warning.
func (t Tree) DeletePath(p Path) (Tree, error) {
	steps, err := p.resolve()
	if err != nil {
		return t, err
	}
	e := t.edit()
	if !e.remove(steps) {
		return t, notFound(steps)
	}
	if refused := e.refusal(); refused != nil {
		return t, refused
	}
	return e.tree(), nil
}

// notFound is the warning about something to delete, or to mark, that is not there.
func notFound(steps []step) *Error {
	p := pathOf(steps)
	e := &Error{Tag: "data-missing", Message: "statement not found", Warning: true}
	if len(p) > 0 {
		e.At = p[:len(p)-1]
		e.Element = p[len(p)-1].Name
	}
	e.Path = e.At.Edit()
	return e
}

// line carries out one set, delete, activate, deactivate or annotate that came as words.
func (e *editor) line(base Path, verb string, words []string) error {
	steps, err := base.resolve()
	if err != nil {
		return err
	}
	toks := tokens(words)
	from := len(steps)
	r := reader{out: steps}
	bad := e.command(&r, verb, toks)
	steps = r.out
	if bad == nil {
		if refused := e.refusal(); refused != nil {
			refused.place(steps[:from])
			return refused
		}
		if verb == "set" {
			return e.tooMany(steps[from:], steps[:from]...)
		}
		return nil
	}
	return bad.inWords(base, words)
}

// inWords makes the error of a fault in words, which were read from base on.
func (bad *fault) inWords(base Path, words []string) *Error {
	toks := tokens(words)
	bad.err.At, bad.err.Path = base.Clone(), base.Edit()
	if bad.word >= 0 {
		src := strings.Join(words, " ")
		off := len(src) + 1
		if bad.word < len(toks) {
			off = toks[bad.word].off
		} else {
			src += " "
		}
		bad.err.locate("", []byte(src), off, 1, new(spot))
		bad.err.Line, bad.err.File = 0, ""
	}
	return bad.err
}

// command carries out one line from the place that r.out names, and leaves there the steps of what it changed. A fault with word -1
// is about the line as a whole.
func (e *editor) command(r *reader, verb string, words []token) *fault {
	cur, steps := Root(), r.out
	if len(steps) > 0 {
		cur = steps[len(steps)-1].s
	}
	if !cur.isInner() || len(steps) > 0 && steps[len(steps)-1].all && cur.kind == List {
		return &fault{-1, &Error{Tag: "invalid-value", Element: cur.name, Message: "nothing can be set below " + cur.name}}
	}
	if between[verb] != nil {
		return e.pairOfWords(steps, verb, words)
	}
	var text string
	if verb == "annotate" {
		if len(words) < 1 {
			return &fault{-1, &Error{Tag: "missing-element", Message: "missing argument.", Expected: "<comment>"}}
		}
		text = string(words[len(words)-1].text)
		if err := checkRemark(text); err != nil {
			return &fault{len(words) - 1, &Error{Tag: "invalid-value", Message: err.Error()}}
		}
		words = words[:len(words)-1]
	}
	r.keep, r.del = e.text, verb != "set"
	_, _, bad := r.read(cur, words)
	if bad != nil {
		return bad
	}
	steps = r.out
	if len(words) == 0 && verb != "delete" {
		return missing(cur, 0)
	}
	if verb != "set" && verb != "delete" {
		if last := steps[len(steps)-1]; last.s.kind == LeafList && !last.all {
			return new(fault).at(len(words)-1, "invalid-value", last.s.name, "syntax error.", "end of line: marks and remarks are of "+last.s.name+" as a whole")
		}
	}
	switch verb {
	case "set":
		e.put(steps)
		return nil
	case "delete":
		if e.remove(steps) {
			return nil
		}
	case "activate":
		if e.mark(steps, 0, inactive) {
			return nil
		}
	case "deactivate":
		if e.mark(steps, inactive, 0) {
			return nil
		}
	case "protect":
		if e.mark(steps, protected, 0) {
			return nil
		}
	case "unprotect":
		if e.mark(steps, 0, protected) {
			return nil
		}
	case "annotate":
		if e.remark(steps, text) {
			return nil
		}
	}
	return &fault{-1, notFound(steps)}
}

// tooMany checks the limits of the lists and leaf-lists on the way of steps, which follow base.
func (e *editor) tooMany(steps []step, base ...step) error {
	at := append([]step(nil), base...)
	for _, st := range steps {
		if st.s.max > 0 {
			if n, _ := e.get(append(at, step{s: st.s, all: true})); n != nil && n.list.byName.n > st.s.max {
				p := pathOf(at)
				return limitError(p, st.s)
			}
		}
		if st.s.isInner() {
			at = append(at, st)
		}
	}
	return nil
}

// command words of set text.
func isCommand(w []byte) bool {
	switch string(w) {
	case "set", "delete", "activate", "deactivate", "annotate", "protect", "unprotect", "rename", "copy", "insert":
		return true
	}
	return false
}

// byteOrderMark is what some editors put before the first statement of a file in UTF-8.
var byteOrderMark = []byte("\ufeff")

// LoadSet carries out lines of set, delete, activate, deactivate, annotate, protect, unprotect, rename, copy and insert, from base
// on. A line that what is protected at that point forbids is a warning and changes nothing. Lines that are empty or
// begin with # are skipped. If any line is wrong t comes back unchanged, with an error for every wrong line (at most
// 100); a statement that is not there to delete is a warning. file names the source in errors.
func (t Tree) LoadSet(base Path, file string, src []byte) (Tree, Errors) {
	steps, err := base.resolve()
	if err != nil {
		return t, asErrors(err)
	}
	src = bytes.TrimPrefix(src, byteOrderMark)
	e := t.edit()
	var errs findings
	l := lexer{src: src, line: 1, lines: true}
	var words []token
	r := reader{out: make([]step, 0, 32)}
	var last []byte // the line before, if it was a set that is carried out
	var verb token  // its first word; offsets are in the line
	for l.at < len(src) {
		words = words[:0]
		var bad *fault
		start := l.at
		// What it has in common with this one need not be read again: most lines of a large text differ in their last words alone.
		known := r.shared(last, src[start:])
		if known == 0 {
			r.out, r.levels = append(r.out[:0], steps...), r.levels[:0]
		} else {
			from := r.levels[known-1]
			r.out, r.levels = r.out[:from.steps], r.levels[:known]
			words = append(words, token{text: verb.text, off: start + verb.off, line: l.line, kind: tokWord})
			l.at += from.off
		}
		last = nil
		for {
			tok, lexErr := l.next()
			if lexErr != nil {
				l.skipLine()
				bad = &fault{len(words), lexErr}
				words = append(words, tok)
				break
			}
			if len(words) == 0 && tok.kind == tokWord && !tok.quoted && tok.text[0] == '#' {
				l.skipLine()
				continue
			}
			if tok.kind == tokEnd {
				break
			}
			if len(words) > maxWords {
				l.skipLine()
				bad = &fault{len(words), tooManyWords()}
				words = append(words, tok)
				break
			}
			words = append(words, tok)
		}
		end := l.at
		if bad == nil && len(words) > 0 {
			if words[0].kind != tokWord || words[0].quoted || !isCommand(words[0].text) {
				bad = new(fault).at(0, "unknown-element", printable(string(words[0].text)), "unknown command.", "activate, annotate, copy, deactivate, delete, insert, protect, rename, set or unprotect")
			} else {
				if bad = e.command(&r, string(words[0].text), words[1:]); bad != nil {
					bad.word++
				} else if refused := e.refusal(); refused != nil {
					bad = &fault{0, refused}
				} else if string(words[0].text) == "set" {
					last, verb = src[start:end], words[0]
					verb.off -= start
					for i := range r.levels[known:] {
						r.levels[known+i].off -= start
					}
				}
			}
		}
		if bad != nil && errs.add(bad.err) {
			off := end
			for off > start && isSpace(src[off-1]) {
				off--
			}
			if bad.word < len(words) {
				off = words[bad.word].off
			}
			if bad.err.Path == "" {
				bad.err.At, bad.err.Path = base.Clone(), base.Edit()
			}
			bad.err.locate(file, src, off, l.line, &errs.last)
		}
		if l.at < len(src) {
			l.at++ // the newline
			l.line++
		}
	}
	if errs.failed() {
		return t, errs.all()
	}
	return e.tree(), errs.all()
}

// shared returns how many levels of the line that was read last hold for the one that text begins with, because it begins with the
// same octets and has a word there, too.
func (r *reader) shared(last, text []byte) int {
	if len(last) == 0 {
		return 0
	}
	for i := len(r.levels); i > 0; i-- {
		off := r.levels[i-1].off
		if off < len(text) && !isSpace(text[off]) && text[off] != '#' && bytes.Equal(last[:off], text[:off]) {
			return i
		}
	}
	return 0
}

func asErrors(err error) Errors {
	if e, ok := err.(*Error); ok { //nolint:errorlint // resolve returns nothing else
		return Errors{e}
	}
	return Errors{{Tag: "operation-failed", Message: err.Error()}}
}

// AppendSet appends set lines that make what is at n and below, with full paths; deactivate, annotate and protect
// lines follow what they concern.
func AppendSet(dst []byte, n Node) []byte { return AppendSetOptions(dst, n, SetOptions{}) }

// SetOptions says how set lines look.
type SetOptions struct {
	From     Path // paths are from here on, where n is or what it is below of
	Explicit bool // a line of its own for a presence container and an entry that hold something, too
}

// AppendSetOptions is AppendSet with options.
func AppendSetOptions(dst []byte, n Node, o SetOptions) []byte {
	if !n.Exists() {
		return dst
	}
	p := setPrinter{dst: dst, explicit: o.Explicit}
	path := n.Path()
	if len(o.From) < len(path) {
		// The last element is n itself, which writes itself.
		p.path = path[:len(path)-1].appendWords(p.path)
		p.path = append(p.path[len(path[:len(o.From)].appendWords(nil)):], ' ')
		if p.path[0] == ' ' {
			p.path = p.path[1:]
		}
		p.node(n.s, n.n, n.val, n.flags)
		return p.dst
	}
	if n.s.isInner() {
		p.kids(n.s, n.n)
	} else {
		p.node(n.s, n.n, n.val, n.flags)
	}
	return p.dst
}

type setPrinter struct {
	dst  []byte
	path []byte // words so far, with a blank behind

	explicit bool
}

func (p *setPrinter) line(verb string) {
	p.dst = append(append(append(p.dst, verb...), ' '), bytes.TrimSuffix(p.path, []byte{' '})...)
	p.dst = append(p.dst, '\n')
}

func (p *setPrinter) annotate(text string) {
	p.dst = append(append(p.dst, "annotate "...), p.path...)
	p.dst = append(appendQuoted(p.dst, text), '\n')
}

// appendQuoted appends v in quotes whether it needs them or not.
func appendQuoted(dst []byte, v string) []byte {
	at := len(dst)
	dst = appendWord(dst, v)
	if dst[at] != '"' {
		dst = append(dst[:at], '"')
		dst = append(append(dst, v...), '"')
	}
	return dst
}

func (p *setPrinter) kids(s *Schema, n *node) {
	for i := range n.kids {
		p.kid(s.children[n.kids[i].id], &n.kids[i])
	}
}

func (p *setPrinter) kid(c *Schema, k *kid) {
	if c.kind != List {
		p.node(c, k.node, k.val, k.flags)
		return
	}
	l := k.node.list
	room := roomFor(l, p.dst)
	l.each(func(key string, sl slot) bool {
		p.node(c, sl.node, key, 0)
		p.dst = room.grow(p.dst)
		return true
	})
}

func (p *setPrinter) node(s *Schema, n *node, val string, f flags) {
	mark := len(p.path)
	switch s.kind {
	case Leaf, Empty:
		p.path = appendLeaf(p.path, s, val)
		p.line("set")
		p.path = append(append(p.path[:mark], s.name...), ' ')
	case LeafList:
		p.path = append(append(p.path, s.name...), ' ')
		at := len(p.path)
		n.list.byLabel.all(func(_ uint64, v string) bool {
			p.path = appendWord(p.path[:at], v)
			p.line("set")
			return true
		})
		p.path = p.path[:at]
	default:
		if s.kind == List {
			p.path = appendEntry(p.path, s, val)
		} else {
			p.path = append(p.path, s.name...)
		}
		p.path = append(p.path, ' ')
		holds := n != nil && len(n.kids) > 0
		if !holds || p.explicit && s.kind != Container {
			p.line("set")
		}
		if holds {
			p.kids(s, n)
		}
		if n != nil {
			f |= n.flags
		}
	}
	if f&inactive != 0 {
		p.line("deactivate")
	}
	if n != nil && n.comment != "" {
		p.annotate(n.comment)
	}
	if f&protected != 0 {
		p.line("protect") // the last: it forbids the others
	}
	p.path = p.path[:mark]
}
