package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// token is one token of set or curly text.
type token struct {
	text   []byte // of a word, without quotes and escapes; of a remark, without delimiters
	off    int    // octet offset in the text
	line   int
	kind   tokenKind
	quoted bool
}

type tokenKind uint8

const (
	tokEnd   tokenKind = iota // end of text, or of the line in set text
	tokWord                   // a word
	tokOpen                   // {
	tokClose                  // }
	tokSemi                   // ;
	tokFrom                   // [
	tokTo                     // ]
	tokRemark
)

// maxWords bounds the words of one statement, line or command: each takes thirty times the memory of its one letter in the text. No
// statement that means something has so many: they are enough for a leaf-list of maxValues.
const maxWords = 1 << 17

func tooManyWords() *Error {
	return &Error{Tag: "too-big", Message: fmt.Sprintf("more than %d words in one statement", maxWords)}
}

// lexer cuts set or curly text into tokens. It looks at every octet once.
type lexer struct {
	src   []byte
	at    int
	line  int
	lines bool // set text: a token does not go over the end of its line, and the line's end is a token
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// next returns the next token. The error's offset is the token's.
func (l *lexer) next() (token, *Error) {
	for l.at < len(l.src) {
		c := l.src[l.at]
		switch {
		case c == '\n':
			if l.lines {
				return token{off: l.at, line: l.line}, nil
			}
			l.line++
			l.at++
		case c == ' ' || c == '\t' || c == '\r':
			l.at++
		case c == '#' && (!l.lines || bytes.HasPrefix(l.src[l.at:], []byte("##"))):
			l.skipLine()
		case c == '/' && !l.lines && bytes.HasPrefix(l.src[l.at:], []byte("/*")):
			return l.remark()
		default:
			return l.token(c)
		}
	}
	return token{off: l.at, line: l.line}, nil
}

// skipLine moves to the end of the line.
func (l *lexer) skipLine() {
	if i := bytes.IndexByte(l.src[l.at:], '\n'); i >= 0 {
		l.at += i
	} else {
		l.at = len(l.src)
	}
}

func (l *lexer) remark() (token, *Error) {
	t := token{kind: tokRemark, off: l.at, line: l.line}
	end := bytes.Index(l.src[l.at+2:], []byte("*/"))
	if end < 0 {
		l.at = len(l.src)
		return t, &Error{Tag: "malformed-message", Message: "comment is not closed", Expected: "*/"}
	}
	t.text = bytes.TrimSpace(l.src[l.at+2 : l.at+2+end])
	l.line += bytes.Count(l.src[l.at:l.at+end], []byte("\n"))
	l.at += end + 4
	return t, nil
}

func (l *lexer) token(c byte) (token, *Error) {
	t := token{off: l.at, line: l.line}
	l.at++
	switch c {
	case '{':
		t.kind = tokOpen
	case '}':
		t.kind = tokClose
	case ';':
		t.kind = tokSemi
	case '[':
		t.kind = tokFrom
	case ']':
		t.kind = tokTo
	case '"':
		return l.quoted(t)
	default:
		t.kind = tokWord
		pattern := c == '<' // of names in a group: <[a-c]*>, or as Junos prints that, <"[a-c]*">
		for l.at < len(l.src) {
			c := l.src[l.at]
			if isSpace(c) || c == '{' || c == '}' || c == ';' || !pattern && (c == '[' || c == ']' || c == '"') {
				break
			}
			pattern = pattern && c != '>'
			l.at++
		}
		t.text = l.src[t.off:l.at]
		if c == '<' {
			t.text = bytes.ReplaceAll(t.text, []byte{'"'}, nil)
		}
	}
	return t, nil
}

func (l *lexer) quoted(t token) (token, *Error) {
	t.kind, t.quoted = tokWord, true
	start, escaped := l.at, false
	for ; l.at < len(l.src); l.at++ {
		switch l.src[l.at] {
		case '"':
			t.text = l.src[start:l.at]
			l.at++
			if escaped {
				t.text = unescape(t.text)
			}
			return t, nil
		case '\\':
			escaped = true
			if l.at+1 < len(l.src) && l.src[l.at+1] != '\n' {
				l.at++
			}
		case '\n':
			if l.lines {
				return t, unclosed()
			}
			l.line++
		}
	}
	return t, unclosed()
}

func unclosed() *Error {
	return &Error{Tag: "malformed-message", Message: "quoted string is not closed", Expected: `"`}
}

// unescape undoes the escapes that quote makes; a backslash before any other character stands for itself.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '\\' && i+1 < len(b) {
			switch b[i+1] {
			case '"', '\\':
				i++
				c = b[i]
			case 'n':
				i++
				c = '\n'
			case 't':
				i++
				c = '\t'
			case 'r':
				i++
				c = '\r'
			}
		}
		out = append(out, c)
	}
	return out
}

// appendWord appends a value as set and curly text have it: quoted if it holds anything but letters, digits and the
// signs that no reader of configuration text takes for something else.
func appendWord(dst []byte, v string) []byte {
	plain := v != "" && v[len(v)-1] != ':'
	for i := 0; i < len(v) && plain; i++ {
		c := v[i]
		plain = isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte("._-:@+=,%~<>", c) >= 0 ||
			c == '/' && (i+1 == len(v) || v[i+1] != '*') || c == '*' && (i == 0 || v[i-1] != '/')
	}
	if plain {
		return append(dst, v...)
	}
	dst = append(dst, '"')
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// room makes room for the text of a long list once, from what its first entries have taken: growing step by step would copy the text
// of a large configuration again and again.
type room struct{ entries, start, done int }

// sample is how many entries tell how long the others are.
const sample = 64

func roomFor(l *list, dst []byte) room { return room{entries: l.byName.n, start: len(dst)} }

// grow is called after each entry.
func (r *room) grow(dst []byte) []byte {
	if r.done++; r.done != sample || r.entries < 4*sample {
		return dst
	}
	left := (len(dst) - r.start) / sample * (r.entries - sample)
	return slices.Grow(dst, left+left/16)
}

// Quote returns a value as set and curly text have it, with quotes only if it needs them.
func Quote(v string) string { return string(appendWord(nil, v)) }

// tokens makes tokens of words that were cut elsewhere. Offsets are those of the words joined by single blanks. A bracket
// keeps its text, since it may be a value: where one is expected that is no list.
func tokens(words []string) []token {
	out := make([]token, len(words))
	off := 0
	for i, w := range words {
		out[i] = token{text: []byte(w), off: off, line: 1, kind: tokWord}
		switch w {
		case "[":
			out[i].kind = tokFrom
		case "]":
			out[i].kind = tokTo
		}
		off += len(w) + 1
	}
	return out
}

// reader turns tokens into steps.
type reader struct {
	keep   func([]byte) string // makes a string of a value; equal values may share one
	del    bool                // words of a delete, deactivate and the like: values may be left out
	brace  bool                // an opening brace follows the words
	group  *Schema             // the words ended in the name of this list, and the brace holds its entries
	out    []step
	levels []level // that the words read last went through
}

// level is a place among words, before a statement of the container or entry that the steps so far name.
type level struct{ off, steps int }

// fault is what is wrong with a word: the index of the word, and the error.
type fault struct {
	word int
	err  *Error
}

func (f *fault) at(i int, tag, element, message, expected string) *fault {
	f.word, f.err = i, &Error{Tag: tag, Element: element, Message: message, Expected: expected}
	return f
}

// read appends to r.out the steps that the words mean from s on, and returns where they end: the innermost container
// or entry, and whether the words ended at it rather than at a leaf in it.
func (r *reader) read(s *Schema, words []token) (end *Schema, open bool, bad *fault) {
	open = true
	for i := 0; i < len(words); {
		w := words[i]
		if w.kind != tokWord {
			return s, open, new(fault).at(i, "malformed-message", "", "syntax error, expecting <statement>", r.expect(s))
		}
		c := s.byWord[string(w.text)]
		if c != nil && c.isKey || w.quoted && s.bare != nil {
			c = nil
		}
		if c == nil {
			if s.bare == nil || !w.quoted && s.Unsupported(string(w.text)) != "" {
				err := unknown(s, string(w.text))
				if err.secret = s.OnlySecrets(); err.secret {
					err.Element = ""
				}
				return s, open, &fault{i, err}
			}
			c = s.bare
		} else {
			i++
		}
		var n int
		n, bad = r.statement(c, words[i:], i)
		if bad != nil {
			return s, open, bad
		}
		i += n
		if open = c.isInner(); open {
			s = c
			if i < len(words) {
				r.levels = append(r.levels, level{words[i].off, len(r.out)})
			}
		} else if r.del && i < len(words) {
			return s, open, new(fault).at(i, "unknown-element", printable(string(words[i].text)), "syntax error.", "end of line")
		}
	}
	return s, open, nil
}

// statement reads what follows the name of c and returns how many words it took.
func (r *reader) statement(c *Schema, words []token, at int) (int, *fault) {
	switch c.kind {
	case List:
		return r.entry(c, words, at)
	case Leaf:
		if len(words) == 0 {
			if r.del {
				r.out = append(r.out, step{s: c, all: true})
				return 0, nil
			}
			return 0, missing(c, at)
		}
		v, bad := r.value(c, words[0], at)
		if bad != nil {
			return 0, bad
		}
		r.out = append(r.out, step{s: c, key: v})
		return 1, nil
	case LeafList:
		return r.values(c, words, at)
	}
	r.out = append(r.out, step{s: c, all: c.kind == Empty})
	return 0, nil
}

func missing(c *Schema, at int) *fault {
	return new(fault).at(at, "missing-element", c.name, "missing argument.", c.placeholder())
}

func (r *reader) entry(c *Schema, words []token, at int) (int, *fault) {
	if r.group = nil; c.grouped && r.brace && len(words) == 0 {
		r.group = c
		return 0, nil
	}
	n := 0
	var first string
	var keys []string
	for i, k := range c.keys {
		if !k.noKeyword {
			if n == len(words) {
				return 0, missing(k, at+n)
			}
			if words[n].kind != tokWord || string(words[n].text) != k.word {
				return 0, new(fault).at(at+n, "unknown-element", printable(string(words[n].text)), "syntax error, expecting <"+k.word+">", k.word)
			}
			n++
		}
		if n == len(words) {
			return 0, missing(k, at+n)
		}
		v, bad := r.value(k, words[n], at+n)
		if bad != nil {
			return 0, bad
		}
		n++
		if i == 0 {
			first = v
		} else {
			keys = append(keys, v)
		}
	}
	if len(keys) > 0 {
		first = joinKeys(append([]string{first}, keys...))
	}
	r.out = append(r.out, step{s: c, key: first})
	return n, nil
}

func (r *reader) value(c *Schema, w token, at int) (string, *fault) {
	if w.kind != tokWord && w.text == nil {
		return "", missing(c, at)
	}
	v, err := c.parseValue(r.keep(w.text))
	if err != nil {
		e := valueFault(c, err)
		return "", &fault{at, e}
	}
	return v, nil
}

// valueFault words what parseValue found.
func valueFault(c *Schema, err error) *Error {
	e := &Error{Tag: "invalid-value", Element: c.name, Message: err.Error(), secret: c.secret}
	var ve *valueError
	if errors.As(err, &ve) {
		e.Expected = ve.expected
	}
	return e
}

func (r *reader) values(c *Schema, words []token, at int) (int, *fault) {
	if len(words) == 0 {
		if r.del {
			r.out = append(r.out, step{s: c, all: true})
			return 0, nil
		}
		return 0, missing(c, at)
	}
	if words[0].kind != tokFrom {
		v, bad := r.value(c, words[0], at)
		if bad != nil {
			return 0, bad
		}
		r.out = append(r.out, step{s: c, key: v})
		return 1, nil
	}
	for i := 1; i < len(words); i++ {
		if words[i].kind == tokTo {
			if i == 1 {
				return 0, missing(c, at+i)
			}
			return i + 1, nil
		}
		v, bad := r.value(c, words[i], at+i)
		if bad != nil {
			return 0, bad
		}
		r.out = append(r.out, step{s: c, key: v})
	}
	return 0, new(fault).at(at+len(words), "malformed-message", c.name, "missing ]", "]")
}

// placeholder names what a leaf's value looks like.
func (s *Schema) placeholder() string {
	if s.isInner() {
		if s.kind == List {
			return s.keys[0].placeholder()
		}
		return "<statement>"
	}
	if s.typ == nil {
		return s.name
	}
	if t := s.typ.resolved(); t.base == baseEnum {
		return enumList(t.enums)
	}
	if r := s.Range(); r != "" {
		return "<" + s.name + "> " + r
	}
	return "<" + s.name + ">"
}

// expect lists what can stand in s.
func (r *reader) expect(s *Schema) string { return expectations()[s] }

// appendEntry appends an entry's name, if its list is typed by name, and keys.
func appendEntry(dst []byte, s *Schema, key string) []byte {
	if !s.noKeyword {
		dst = append(append(dst, s.word...), ' ')
	}
	return appendKeys(dst, s, key)
}

// appendKeys appends an entry's keys.
func appendKeys(dst []byte, s *Schema, key string) []byte {
	if len(s.keys) == 1 {
		if !s.keys[0].noKeyword {
			dst = append(append(dst, s.keys[0].word...), ' ')
		}
		return appendWord(dst, key)
	}
	for i, k := range splitKeys(s, key) {
		if i > 0 {
			dst = append(dst, ' ')
		}
		if !s.keys[i].noKeyword {
			dst = append(append(dst, s.keys[i].word...), ' ')
		}
		dst = appendWord(dst, k)
	}
	return dst
}

// appendLeaf appends a leaf's name and value. A value that is typed without name gets it all the same if it would be
// read as something else.
func appendLeaf(dst []byte, s *Schema, val string) []byte {
	if s.kind == Empty {
		return append(dst, s.name...)
	}
	if !s.noKeyword || s.parent.byName[val] != nil {
		dst = append(append(dst, s.name...), ' ')
	}
	return appendWord(dst, val)
}
