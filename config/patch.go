package config

import (
	"bytes"
	"slices"
	"strings"
)

// LoadPatch carries out differences in the form of Junos's `show | compare`, from base on: banners name a level, below them stand
// statements with a sign in the first column. Those with - go (a container or an entry with all that is in it, a leaf or leaf-list
// with the values that are given), those with + come. An entry that comes, or that ! moves, goes before the entry that follows it
// without a sign, else behind all others. With ! a statement is also marked: inactive:, active:, protect:, unprotect:. A remark on
// lines of its own belongs to the statement that follows without a sign.
//
// If anything is wrong, and be it that something is not there that should be, t comes back unchanged, with an error for every wrong
// line (at most 100). What is protected stays as it is, with a warning, unless the patch takes the mark away first.
func (t Tree) LoadPatch(base Path, file string, src []byte) (Tree, Errors) {
	steps, s, err := base.resolveLevel()
	if err != nil {
		return t, asErrors(err)
	}
	e := t.edit()
	e.protects(t)
	p := patcher{e: e, base: steps, level: steps, s: s, file: file, src: src, masked: slices.Clone(src)}
	p.c = curly{e: e, r: reader{keep: e.text}, file: file, patch: &p}
	p.lines()
	p.end()
	if p.c.errs.failed() {
		return t, p.c.errs.all()
	}
	return e.tree(), p.c.errs.all()
}

type patcher struct {
	e      *editor
	c      curly
	file   string
	src    []byte
	masked []byte // src with blanks in the place of signs, so that offsets are the same

	base, level []step
	s           *Schema // of the level
	lost        bool    // the last banner names no level: what is below it is not read
	sign        byte    // of the lines that are being read
	chain       []step  // entries of one list whose place is not known yet
	remark      *string // what the next statement without a sign gets
}

// lines goes through the text; lines with the same sign + or - are read together.
func (p *patcher) lines() {
	line := 0
	for at := 0; at < len(p.src); {
		line++
		end := lineEnd(p.src, at)
		text := bytes.TrimRight(p.src[at:end], "\r\n")
		switch {
		case len(bytes.TrimSpace(text)) == 0:
		case bytes.HasPrefix(text, []byte("[edit")):
			p.banner(at, end, line)
		case p.lost:
		case text[0] == '+' || text[0] == '-':
			first := line
			sign := text[0]
			from := at
			for {
				p.masked[at] = ' '
				if end == len(p.src) || p.src[end] != sign {
					break
				}
				at = end
				end = lineEnd(p.src, at)
				line++
			}
			p.sign = sign
			p.c.lex = lexer{src: p.masked[:end], at: from, line: first}
			p.c.has = false
			p.c.block(p.s, p.level, nil, false)
		case text[0] == '!':
			p.masked[at] = ' '
			p.context(at, end, line, true)
		case text[0] == ' ' || text[0] == '\t':
			p.context(at, end, line, false)
		default:
			p.fail(&Error{Tag: "malformed-message", Message: "syntax error.", Expected: "[edit], or a line that begins with +, -, ! or a blank"}, at, line)
		}
		at = end
	}
}

// lineEnd is where the next line begins.
func lineEnd(src []byte, at int) int {
	if i := bytes.IndexByte(src[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(src)
}

func (p *patcher) fail(err *Error, off, line int) {
	src := p.c.lex.src
	p.c.lex.src = p.src
	p.c.fail(err, p.level, off, line)
	p.c.lex.src = src
}

// words reads the tokens of a line up to a brace or a semicolon.
func (p *patcher) words(at, end, line int) (words []token, ok bool) {
	l := lexer{src: p.masked[:end], at: at, line: line}
	for {
		tok, err := l.next()
		if err != nil {
			p.fail(err, tok.off, tok.line)
			return nil, false
		}
		switch tok.kind {
		case tokWord, tokFrom, tokTo:
			if len(words) > maxWords {
				p.fail(tooManyWords(), tok.off, tok.line)
				return nil, false
			}
			words = append(words, tok)
			continue
		case tokRemark:
			continue
		}
		return words, true
	}
}

func (p *patcher) banner(at, end, line int) {
	p.end()
	p.lost = true
	words, ok := p.words(at, end, line)
	if !ok {
		return
	}
	n := len(words)
	if n < 3 || words[0].kind != tokFrom || string(words[1].text) != "edit" || words[n-1].kind != tokTo {
		p.fail(&Error{Tag: "malformed-message", Message: "syntax error.", Expected: "[edit level]"}, at, line)
		return
	}
	s := Root()
	if len(p.base) > 0 {
		s = p.base[len(p.base)-1].s
	}
	p.c.r.del, p.c.r.out = true, slices.Clone(p.base)
	s, open, bad := p.c.r.read(s, words[2:n-1])
	if bad == nil && !open {
		bad = new(fault).at(n-3, "malformed-message", "", "syntax error.", "a level")
	}
	if bad != nil {
		w := words[min(bad.word+2, n-1)]
		p.fail(bad.err, w.off, w.line)
		return
	}
	p.s, p.level, p.lost = s, p.c.r.out, false
}

// context reads a line with ! or without a sign: the first words of a statement that is there.
func (p *patcher) context(at, end, line int, changes bool) {
	words, ok := p.words(at, end, line)
	if !ok || len(words) == 0 {
		return
	}
	first := words[0]
	var tag tags
	for len(words) > 0 && tag.read(words[0]) {
		words = words[1:]
	}
	p.c.r.del, p.c.r.out = true, slices.Clone(p.level)
	_, _, bad := p.c.r.read(p.s, words)
	if bad == nil && len(words) == 0 {
		bad = new(fault).at(0, "malformed-message", "", "syntax error, expecting <statement>", p.c.r.expect(p.s))
	}
	if bad != nil {
		w := first
		if bad.word < len(words) {
			w = words[bad.word]
		}
		p.fail(bad.err, w.off, w.line)
		return
	}
	head := whole(p.c.r.out[:len(p.level)+1])
	if _, there := p.e.get(head); !there {
		p.missing(head, first)
		return
	}
	here := head[len(p.level)]
	marked := tag.inactive || tag.active || tag.protect || tag.unprotect
	switch {
	case changes && !marked:
		p.placed(here)
	case changes: // it may stand between entries whose place is still to come
		p.marks(head, tag)
	case p.remark != nil:
		p.e.remark(head, *p.remark)
		p.remark = nil
	case len(p.chain) > 0 && p.chain[0].s == here.s:
		for _, st := range p.chain {
			p.e.move(append(slices.Clip(p.level), st), beforeOther, here.key)
		}
		p.chain = nil
	}
	for _, err := range p.e.refusals() {
		p.fail(err, first.off, first.line)
	}
}

func (p *patcher) marks(head []step, tag tags) {
	if tag.unprotect {
		p.e.mark(head, 0, protected)
	}
	if tag.inactive {
		p.e.mark(head, inactive, 0)
	}
	if tag.active {
		p.e.mark(head, 0, inactive)
	}
	if tag.protect {
		p.e.mark(head, protected, 0)
	}
}

// missing is the error about a statement that the patch takes to be there.
func (p *patcher) missing(steps []step, at token) {
	p.fail(absent(steps), at.off, at.line)
}

// placed notes an entry that came or moves.
func (p *patcher) placed(st step) {
	if st.s.kind != List {
		return
	}
	if len(p.chain) > 0 && p.chain[0].s != st.s {
		p.place()
	}
	p.chain = append(p.chain, st)
}

// place puts the entries whose place nothing has told behind all others.
func (p *patcher) place() {
	for _, st := range p.chain {
		p.e.move(append(slices.Clip(p.level), st), atLast, "")
	}
	p.chain = nil
}

// end ends a level. Until then it stayed even if it was empty, for its marks.
func (p *patcher) end() {
	p.place()
	p.remark = nil
	p.e.hold = false
	if n := len(p.level); n > 0 && p.level[n-1].s.kind == Container {
		if node, ok := p.e.get(p.level); ok && len(node.kids) == 0 {
			p.e.remove(p.level)
		}
	}
	p.e.hold = true
	for _, err := range p.e.refusals() {
		p.fail(err, 0, 1)
	}
}

// statement carries out one statement of lines with + or -; head are the steps up to the statement itself, out all of its words.
func (p *patcher) statement(head, out []step, block bool, first token) {
	st := head[len(head)-1]
	if p.sign == '+' {
		p.placed(st)
		return
	}
	switch {
	case st.s.isInner():
		if !p.e.remove(slices.Clone(head)) {
			p.missing(head, first)
		}
	default:
		level := head[:len(head)-1]
		for _, v := range out[len(level):] {
			one := append(slices.Clip(level), v)
			if !p.e.remove(one) {
				p.missing(one, first)
			}
		}
	}
	if block {
		p.c.skip(token{kind: tokOpen})
	}
}

// trailing takes a remark that no statement with the same sign follows.
func (p *patcher) trailing(remarks []string) {
	if len(remarks) == 0 {
		return
	}
	text := ""
	if p.sign == '+' {
		text = strings.Join(remarks, "\n")
	}
	p.remark = &text
}

// unshift undoes what the sign did to the further lines of a remark.
func (p *patcher) unshift(remark string) string {
	return strings.ReplaceAll(remark, "\n    ", "\n")
}
