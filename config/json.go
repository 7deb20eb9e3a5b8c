package config

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// LoadJSON merges an RFC 7951 value into t at p: an object for a container or entry (for the whole configuration also
// one with the single member configuration), an array for a list or leaf-list as a whole, a plain value for a leaf or a
// value to add to a leaf-list, [null] for a flag. Member names may do without their module; numbers may be strings. Marks
// are read from "@" members (RFC 7952: inactive, protect and comment, of module gvpn-ext or without module). To put a value in
// the place of what is there, DeletePath first. What t protects stays as it is, with a warning for each value that would change it.
//
// If anything is wrong t comes back unchanged, with an error for every wrong member (at most 100); if src is no JSON,
// with the first error alone. file names the source in errors.
func (t Tree) LoadJSON(p Path, file string, src []byte) (Tree, Errors) {
	steps, err := p.resolve()
	if err != nil {
		return t, asErrors(err)
	}
	l := jsonLoader{e: t.edit(), j: jsonReader{src: src}, file: file}
	l.e.protects(t)
	l.load(steps)
	if l.errs.failed() {
		return t, l.errs.all()
	}
	return l.e.tree(), l.errs.all()
}

// ReplaceJSON is LoadJSON that puts the value in the place of what is at p; it minds no protection.
func (t Tree) ReplaceJSON(p Path, file string, src []byte) (Tree, Errors) {
	steps, err := p.resolve()
	if err != nil {
		return t, asErrors(err)
	}
	l := jsonLoader{e: t.edit(), j: jsonReader{src: src}, file: file}
	l.e.free = true
	l.e.empty(steps)
	l.load(steps)
	if l.errs.failed() {
		return t, l.errs.all()
	}
	return share(t, l.e.tree()), l.errs.all()
}

// jsonReader cuts JSON (RFC 8259) into tokens.
type jsonReader struct {
	src []byte
	at  int
}

type jsonToken struct {
	kind byte // one of {}[]:, or s string, n number, t true, f false, z null, 0 end
	off  int
	text []byte // string, with escapes resolved, or number
}

func (j *jsonReader) next() (jsonToken, *Error) {
	for j.at < len(j.src) && isSpace(j.src[j.at]) {
		j.at++
	}
	tok := jsonToken{off: j.at}
	if j.at >= len(j.src) {
		return tok, nil
	}
	c := j.src[j.at]
	switch {
	case strings.IndexByte("{}[]:,", c) >= 0:
		tok.kind = c
		j.at++
		return tok, nil
	case c == '"':
		tok.kind = 's'
		return j.string(tok)
	case c == '-' || isDigit(c):
		tok.kind = 'n'
		for j.at < len(j.src) && (isDigit(j.src[j.at]) || strings.IndexByte("+-.eE", j.src[j.at]) >= 0) {
			j.at++
		}
		if tok.text = j.src[tok.off:j.at]; !isJSONNumber(tok.text) {
			return tok, malformed("not a number")
		}
		return tok, nil
	}
	for _, w := range []string{"true", "false", "null"} {
		if strings.HasPrefix(string(j.src[j.at:min(len(j.src), j.at+5)]), w) {
			j.at += len(w)
			tok.kind = w[0]
			if w == "null" {
				tok.kind = 'z'
			}
			return tok, nil
		}
	}
	return tok, malformed("not JSON")
}

// isJSONNumber reports whether b is a number as RFC 8259 section 6 has it, however long.
func isJSONNumber(b []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(b) && isDigit(b[n]) {
			n++
		}
		b = b[n:]
		return n > 0
	}
	b = bytes.TrimPrefix(b, []byte("-"))
	if bytes.HasPrefix(b, []byte("0")) {
		b = b[1:]
	} else if !digits() {
		return false
	}
	if bytes.HasPrefix(b, []byte(".")) {
		if b = b[1:]; !digits() {
			return false
		}
	}
	if len(b) > 0 && b[0]|0x20 == 'e' {
		if b = b[1:]; len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(b) == 0
}

func (j *jsonReader) string(tok jsonToken) (jsonToken, *Error) {
	j.at++
	start, plain := j.at, true
	for ; j.at < len(j.src); j.at++ {
		switch c := j.src[j.at]; {
		case c == '"':
			tok.text = j.src[start:j.at]
			j.at++
			if plain {
				return tok, nil
			}
			out, ok := unescapeJSON(tok.text)
			if !ok {
				return tok, malformed("an escape in the string is unknown, or half of a character")
			}
			tok.text = out
			return tok, nil
		case c == '\\':
			plain = false
			j.at++
		case c < 0x20:
			return tok, malformed("control character in a string")
		}
	}
	return tok, malformed("string is not closed")
}

func unescapeJSON(b []byte) ([]byte, bool) {
	out := make([]byte, 0, len(b))
	hex := func(at int) (rune, bool) {
		if at+4 > len(b) {
			return 0, false
		}
		n, err := strconv.ParseUint(string(b[at:at+4]), 16, 16)
		return rune(n), err == nil
	}
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		if i++; i == len(b) {
			return nil, false
		}
		switch b[i] {
		case '"', '\\', '/':
			out = append(out, b[i])
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := hex(i + 1)
			if !ok {
				return nil, false
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if i+2 < len(b) && b[i+1] == '\\' && b[i+2] == 'u' {
					low, ok = hex(i + 3)
				}
				if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
					return nil, false
				}
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, false
		}
	}
	return out, true
}

// skip reads past a value whose first token was just read, without recursion. off is where it is no JSON.
func (j *jsonReader) skip(tok jsonToken) (off int, err *Error) {
	var open []byte // what ends the objects and arrays that are open
	for {
		first := false // the value is an object or array that was just opened
		switch tok.kind {
		case '{', '[':
			first = true
			open = append(open, tok.kind+2) // '{'+2 is '}', '['+2 is ']'
		case 0:
			return tok.off, malformed("end of text in a value")
		case '}', ']', ':', ',':
			return tok.off, malformed("unexpected " + string(tok.kind))
		}
		for {
			if len(open) == 0 {
				return 0, nil
			}
			end := open[len(open)-1]
			if tok, err = j.next(); err != nil {
				return tok.off, err
			}
			if tok.kind == end {
				open, first = open[:len(open)-1], false
				continue
			}
			if !first {
				if tok.kind != ',' {
					return tok.off, malformed("',' or '" + string(end) + "' is missing")
				}
				if tok, err = j.next(); err != nil {
					return tok.off, err
				}
			}
			break
		}
		if open[len(open)-1] == '}' {
			if tok, err = j.value(tok); err != nil {
				return tok.off, err
			}
		}
	}
}

// value reads the colon behind a member's name, and the first token of its value.
func (j *jsonReader) value(name jsonToken) (jsonToken, *Error) {
	if name.kind != 's' {
		return name, malformed("a member's name is missing")
	}
	colon, err := j.next()
	if err != nil {
		return colon, err
	}
	if colon.kind != ':' {
		return colon, malformed("':' is missing")
	}
	return j.next()
}

type jsonLoader struct {
	e      *editor
	j      jsonReader
	file   string
	errs   findings
	broken bool
	lines  lineCounter

	wrapped bool // the member configuration was met
}

func (l *jsonLoader) fail(err *Error, steps []step, off int) {
	if l.errs.add(err) {
		err.place(steps)
		err.locate(l.file, l.j.src, off, l.lines.at(l.j.src, off), &l.errs.last)
	}
}

// stop notes that the text is no JSON.
func (l *jsonLoader) stop(err *Error, steps []step, off int) {
	if !l.broken {
		l.broken = true
		l.fail(err, steps, off)
	}
}

func (l *jsonLoader) next(steps []step) (jsonToken, bool) {
	if l.broken {
		return jsonToken{}, false
	}
	tok, err := l.j.next()
	if err != nil {
		l.stop(err, steps, tok.off)
	}
	return tok, err == nil
}

// skip reads past a value; it reports whether reading can go on.
func (l *jsonLoader) skip(tok jsonToken, steps []step) bool {
	if off, err := l.j.skip(tok); err != nil {
		l.stop(err, steps, off)
	}
	return !l.broken
}

func (l *jsonLoader) load(steps []step) {
	tok, ok := l.next(steps)
	if !ok {
		return
	}
	if len(steps) == 0 {
		l.value(Root(), nil, tok)
	} else {
		last := steps[len(steps)-1]
		up := steps[:len(steps)-1]
		switch {
		case last.s.kind == List && !last.all:
			l.object(last.s, steps, tok, true)
		case last.s.kind == LeafList && !last.all:
			l.fail(&Error{Tag: "invalid-value", Element: last.s.name, Message: "a value of a leaf-list holds nothing"}, up, tok.off)
			return
		default:
			l.value(last.s, up, tok)
		}
	}
	if tok, ok := l.next(steps); ok && tok.kind != 0 {
		l.stop(malformed("text behind the value"), steps, tok.off)
	}
}

// value reads the value of s, which is below steps.
func (l *jsonLoader) value(s *Schema, steps []step, tok jsonToken) {
	defer l.refusals(steps, tok.off)
	switch s.kind {
	case List:
		l.array(s, steps, tok, func(tok jsonToken) { l.entry(s, steps, tok) })
	case LeafList:
		l.array(s, steps, tok, func(tok jsonToken) {
			if v, ok := l.scalar(s, steps, tok); ok {
				l.e.put(append(steps[:len(steps):len(steps)], step{s: s, key: v}))
			}
		})
	case Leaf:
		v, ok := l.scalar(s, steps, tok)
		if !ok {
			return
		}
		if s.isKey {
			if last := steps[len(steps)-1]; splitKeys(last.s, last.key)[indexOf(last.s.keys, s)] != v {
				l.fail(&Error{Tag: "invalid-value", Element: s.name, Message: "the key of an entry cannot be set"}, steps, tok.off)
			}
			return
		}
		l.e.put(append(steps[:len(steps):len(steps)], step{s: s, key: v}))
	case Empty:
		if l.flag(s, steps, tok) {
			l.e.put(append(steps[:len(steps):len(steps)], step{s: s, all: true}))
		}
	default:
		here := steps
		if s.parent != nil {
			here = append(steps[:len(steps):len(steps)], step{s: s})
		}
		l.object(s, here, tok, false)
	}
}

func indexOf(keys []*Schema, k *Schema) int {
	for i := range keys {
		if keys[i] == k {
			return i
		}
	}
	return -1
}

func (l *jsonLoader) wrong(s *Schema, steps []step, tok jsonToken, want string) {
	if tok.kind == 0 {
		l.stop(malformed("end of text: "+s.name+" must be "+want), steps, tok.off)
		return
	}
	l.fail(&Error{
		Tag: "invalid-value", Element: s.name, Message: s.name + " must be " + want, Expected: want, secret: s.secret || s.OnlySecrets(),
	}, steps, tok.off)
	l.skip(tok, steps)
}

// scalar reads a leaf's value. A number must be written as YANG writes it, so 1e3 is none.
func (l *jsonLoader) scalar(s *Schema, steps []step, tok jsonToken) (string, bool) {
	var text []byte
	switch tok.kind {
	case 's':
		text = tok.text
	case 'n':
		if b := s.typ.resolved().base; b != baseInt && b != baseUint && b != baseUnion {
			l.wrong(s, steps, tok, "a string")
			return "", false
		}
		text = tok.text
	case 't', 'f':
		text = []byte(map[byte]string{'t': "true", 'f': "false"}[tok.kind])
	default:
		l.wrong(s, steps, tok, "a plain value")
		return "", false
	}
	v, err := s.parseValue(l.e.text(text))
	if err != nil {
		l.fail(valueFault(s, err), steps, tok.off)
		return "", false
	}
	return v, true
}

// flag reads [null]; null, true and "" are taken for it.
func (l *jsonLoader) flag(s *Schema, steps []step, tok jsonToken) bool {
	switch {
	case tok.kind == 'z' || tok.kind == 't' || tok.kind == 's' && len(tok.text) == 0:
		return true
	case tok.kind == '[':
		look := l.j
		in, inErr := look.next()
		end, endErr := look.next()
		if inErr == nil && endErr == nil && in.kind == 'z' && end.kind == ']' {
			l.j = look
			return true
		}
	}
	l.wrong(s, steps, tok, "[null]")
	return false
}

func (l *jsonLoader) array(s *Schema, steps []step, tok jsonToken, each func(jsonToken)) {
	if tok.kind != '[' {
		l.wrong(s, steps, tok, "an array")
		return
	}
	l.elements(steps, each)
}

// elements reads an array behind its bracket; each must read the whole value.
func (l *jsonLoader) elements(steps []step, each func(first jsonToken)) {
	for first := true; ; first = false {
		tok, ok := l.next(steps)
		if !ok || first && tok.kind == ']' {
			return
		}
		each(tok)
		if tok, ok = l.next(steps); !ok || tok.kind == ']' {
			return
		}
		if tok.kind != ',' {
			l.stop(malformed("',' or ']' is missing"), steps, tok.off)
			return
		}
	}
}

// members reads an object behind its brace; each must read the whole value.
func (l *jsonLoader) members(steps []step, each func(name, val jsonToken)) {
	for first := true; ; first = false {
		name, ok := l.next(steps)
		if !ok || first && name.kind == '}' {
			return
		}
		val, err := l.j.value(name)
		if err != nil {
			l.stop(err, steps, val.off)
			return
		}
		each(name, val)
		comma, ok := l.next(steps)
		if !ok || comma.kind == '}' {
			return
		}
		if comma.kind != ',' {
			l.stop(malformed("',' or '}' is missing"), steps, comma.off)
			return
		}
	}
}

// twice refuses a name that an object has for the second time: RFC 8259 section 4 leaves open which would count.
func (l *jsonLoader) twice(steps []step, name, val jsonToken) {
	l.fail(&Error{Tag: "bad-element", Element: printable(string(name.text)), Message: "the object has a member " + printable(string(name.text)) + " already"}, steps, name.off)
	l.skip(val, steps)
}

// entry reads an object that is a list entry; its keys may stand anywhere in it.
func (l *jsonLoader) entry(s *Schema, steps []step, tok jsonToken) {
	if tok.kind != '{' {
		l.wrong(s, steps, tok, "an array of objects")
		return
	}
	keys := make([]string, len(s.keys))
	have := 0
	look := l.j
	for have < len(keys) {
		name, err := look.next()
		if err != nil || name.kind != 's' {
			break // the same error comes again where the content is read
		}
		if colon, err := look.next(); err != nil || colon.kind != ':' {
			break
		}
		val, err := look.next()
		if err != nil {
			break
		}
		i := indexOf(s.keys, s.byName[jsonName(name.text)])
		if i >= 0 && s.byName[jsonName(name.text)] != nil {
			if val.kind == '{' || val.kind == '[' || val.kind == 'z' {
				l.fail(&Error{Tag: "invalid-value", Element: s.keys[i].name, Message: s.keys[i].name + " must be a plain value", Expected: "a plain value"}, steps, val.off)
				l.skip(tok, steps)
				return
			}
			v, ok := l.scalar(s.keys[i], steps, val)
			if !ok {
				l.skip(tok, steps)
				return
			}
			if keys[i] == "" {
				have++
			}
			keys[i] = v
		} else if _, err := look.skip(val); err != nil {
			break
		}
		if comma, err := look.next(); err != nil || comma.kind != ',' {
			break
		}
	}
	if have < len(keys) {
		for i, k := range keys {
			if k == "" {
				name := s.keys[i].name
				l.fail(&Error{Tag: "missing-element", Element: s.name, Message: "missing key <" + name + "> of " + s.name, Expected: strconv.Quote(name)}, steps, tok.off)
				break
			}
		}
		l.skip(tok, steps)
		return
	}
	here := append(steps[:len(steps):len(steps)], step{s: s, key: joinKeys(keys)})
	l.object(s, here, tok, true)
}

// jsonName takes the module off a member name.
func jsonName(name []byte) string { return localName(string(name)) }

// mark is what an "@" member says.
type mark struct {
	inactive bool
	protect  bool
	remark   string
}

// object reads the members of s, which steps name.
func (l *jsonLoader) object(s *Schema, steps []step, tok jsonToken, made bool) {
	if tok.kind != '{' {
		l.wrong(s, steps, tok, "an object")
		return
	}
	if made || s.kind == Presence {
		l.e.put(steps)
	}
	type late struct {
		steps []step
		mark  mark
	}
	var marks []late                        // set when all members are there
	seen := make([]bool, 2*len(s.children)) // members and marks, by the child's id
	l.members(steps, func(name, val jsonToken) {
		module, local, qualified := strings.Cut(string(name.text), ":")
		if !qualified {
			module, local = "", module
		}
		c := s.byName[local]
		switch {
		case strings.HasPrefix(string(name.text), "@"):
			of := steps
			if member := jsonName(name.text[1:]); member != "" {
				c = s.byName[member]
				if c == nil || c.isInner() {
					l.fail(&Error{Tag: "unknown-element", Element: printable(member), Message: "marks of " + printable(member) + ", which is no leaf here"}, steps, name.off)
					l.skip(val, steps)
					return
				}
				i := len(s.children) + int(c.id)
				if seen[i] {
					l.twice(steps, name, val)
					return
				}
				seen[i] = true
				of = append(steps[:len(steps):len(steps)], step{s: c, all: true})
			}
			marks = append(marks, late{of, l.marks(of, val)})
		case c == nil && s.parent == nil && local == s.name && (module == "" || module == s.module) && !l.wrapped:
			l.wrapped = true
			l.object(s, steps, val, false)
		case c == nil || qualified && module != c.module:
			l.fail(unknown(s, string(name.text)), steps, name.off)
			l.skip(val, steps)
		case seen[c.id]:
			l.twice(steps, name, val)
		default:
			seen[c.id] = true
			l.value(c, steps, val)
		}
	})
	for _, m := range marks {
		if m.mark.inactive {
			l.e.mark(m.steps, inactive, 0)
		}
		if m.mark.remark != "" {
			l.e.remark(m.steps, m.mark.remark)
		}
		if m.mark.protect {
			l.e.mark(m.steps, protected, 0)
		}
	}
	l.refusals(steps, tok.off)
}

// refusals notes what was not done since it is protected.
func (l *jsonLoader) refusals(steps []step, off int) {
	for _, err := range l.e.refusals() {
		l.fail(err, steps, off)
	}
}

// marks reads the value of an "@" member: an object, or for a leaf-list an array of them, in which null stands for a value
// without marks.
func (l *jsonLoader) marks(of []step, tok jsonToken) (m mark) {
	if tok.kind != '[' {
		return l.marksOfOne(of, tok)
	}
	l.elements(of, func(tok jsonToken) {
		if tok.kind == 'z' {
			return
		}
		one := l.marksOfOne(of, tok)
		m.inactive = m.inactive || one.inactive
		m.protect = m.protect || one.protect
		if m.remark == "" {
			m.remark = one.remark
		}
	})
	return m
}

func (l *jsonLoader) marksOfOne(of []step, tok jsonToken) (m mark) {
	bad := func(what, want string, at jsonToken) {
		l.fail(&Error{Tag: "invalid-value", Element: what, Message: what + " must be " + want, Expected: want}, of, at.off)
		l.skip(at, of)
	}
	if tok.kind != '{' {
		bad("marks", "an object", tok)
		return m
	}
	l.members(of, func(name, val jsonToken) {
		switch what := jsonName(name.text); what {
		case "inactive", "protect":
			if val.kind != 't' && val.kind != 'f' {
				bad(what, "true or false", val)
			} else if what == "inactive" {
				m.inactive = val.kind == 't'
			} else {
				m.protect = val.kind == 't'
			}
		case "comment":
			if val.kind != 's' {
				bad(what, "a string", val)
				return
			}
			m.remark = strings.TrimSpace(string(val.text))
			m.remark = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(m.remark, "/*"), "*/"))
			if err := checkRemark(m.remark); err != nil {
				l.fail(&Error{Tag: "invalid-value", Element: what, Message: err.Error()}, of, val.off)
				m.remark = ""
			}
		default:
			// RFC 7952 lets a reader ignore annotations that it does not know; Junos writes several.
			l.skip(val, of)
		}
	})
	return m
}

// AppendJSON appends the value of n as RFC 7951 has it, on one line: an object for the root, a container or an entry
// (an entry's with its keys), an array for a leaf-list, a plain value for a leaf. Marks are "@" members (RFC 7952).
func AppendJSON(dst []byte, n Node) []byte {
	if !n.Exists() {
		return dst
	}
	p := jsonPrinter{dst: dst, qualify: true}
	p.value(n.s, n.n, n.val, "", 0)
	return p.dst
}

// AppendJSONIndent appends siblings (entries of one list, or one node) as Junos shows JSON: over several lines, four blanks for each
// level, names without modules, every value a string, in the member configuration of an object and in what leads to them from there,
// entries with their keys. If there is nothing, nothing is appended.
func AppendJSONIndent(dst []byte, siblings ...Node) []byte {
	if len(siblings) == 0 || !siblings[0].Exists() {
		return dst
	}
	p := jsonPrinter{dst: dst, lines: true}
	p.dst = append(p.dst, '{')
	p.line(1)
	p.dst = append(p.dst, `"configuration" : `...)
	way := siblings[:1:1] // from the top to the first of them
	for n := siblings[0].Parent(); n.Exists(); n = n.Parent() {
		way = append(way, n)
	}
	slices.Reverse(way)
	level := 1
	for i, n := range way[:len(way)-1] {
		p.dst = append(p.dst, '{')
		level++
		first := true
		for j, key := range n.Key() {
			p.member(&first, "", "", n.s.keys[j], level)
			p.scalar(n.s.keys[j], key)
		}
		p.member(&first, "", "", way[i+1].s, level)
		if way[i+1].s.kind == List {
			p.dst = append(p.dst, '[')
			level++
			p.line(level)
		}
	}
	for i, n := range siblings {
		if i > 0 {
			p.dst = append(p.dst, ',')
			p.line(level)
		}
		p.value(n.s, n.n, n.val, "", level)
		p.leafMarks(n.s, n.flags, n.Comment(), "", level)
	}
	for _, n := range slices.Backward(way[1:]) {
		if n.s.kind == List {
			level--
			p.line(level)
			p.dst = append(p.dst, ']')
		}
		level--
		p.line(level)
		p.dst = append(p.dst, '}')
	}
	p.line(0)
	return append(p.dst, "}\n"...)
}

type jsonPrinter struct {
	dst     []byte
	qualify bool
	lines   bool
}

func (p *jsonPrinter) line(level int) {
	if !p.lines {
		return
	}
	p.dst = append(p.dst, '\n')
	for range level {
		p.dst = append(p.dst, "    "...)
	}
}

// member begins a member; module is that of the object it is in.
func (p *jsonPrinter) member(first *bool, at, module string, s *Schema, level int) {
	if !*first {
		p.dst = append(p.dst, ',')
		if p.lines {
			p.dst = append(p.dst, ' ')
		}
	}
	*first = false
	p.line(level)
	p.dst = append(append(p.dst, '"'), at...)
	if s != nil {
		if p.qualify && s.module != module {
			p.dst = append(append(p.dst, s.module...), ':')
		}
		p.dst = append(p.dst, s.name...)
	}
	p.dst = append(p.dst, `":`...)
	if p.lines {
		p.dst = append(p.dst[:len(p.dst)-1], " : "...)
	}
}

func (p *jsonPrinter) marks(f flags, comment string) {
	ext := "gvpn-ext:"
	if !p.qualify {
		ext = ""
	}
	p.dst = append(p.dst, '{')
	sep := ":"
	if p.lines {
		sep = " : "
	}
	begun := false
	for _, m := range []struct {
		flag flags
		name string
	}{{inactive, `inactive"`}, {protected, `protect"`}} {
		if f&m.flag != 0 {
			if begun {
				p.dst = append(p.dst, ',')
			}
			p.dst = append(append(append(append(append(p.dst, '"'), ext...), m.name...), sep...), "true"...)
			begun = true
		}
	}
	if comment != "" {
		if begun {
			p.dst = append(p.dst, ',')
		}
		p.dst = append(append(append(append(p.dst, '"'), ext...), `comment"`...), sep...)
		p.dst = appendJSONString(p.dst, comment)
	}
	p.dst = append(p.dst, '}')
}

// value appends the value of a node; module is that of its parent, "" at the top.
func (p *jsonPrinter) value(s *Schema, n *node, val, module string, level int) {
	switch s.kind {
	case Leaf:
		p.scalar(s, val)
	case Empty:
		p.dst = append(p.dst, "[null]"...)
	case LeafList:
		p.dst = append(p.dst, '[')
		first := true
		n.list.byLabel.all(func(_ uint64, v string) bool {
			if !first {
				p.dst = append(p.dst, ',')
			}
			first = false
			p.line(level + 1)
			p.scalar(s, v)
			return true
		})
		p.line(level)
		p.dst = append(p.dst, ']')
	default:
		if module == "" && !p.qualify {
			module = s.module
		}
		p.object(s, n, val, module, level)
	}
}

func (p *jsonPrinter) scalar(s *Schema, val string) {
	if s.typ != nil && !p.lines {
		// RFC 7951 section 6.1: integers of up to 32 bits are numbers.
		switch t := s.typ.resolved(); {
		case (t.base == baseUint || t.base == baseInt) && !strings.HasSuffix(t.builtin, "64"):
			p.dst = append(p.dst, val...)
			return
		case t.builtin == "boolean":
			p.dst = append(p.dst, val...)
			return
		}
	}
	p.dst = appendJSONString(p.dst, val)
}

// object appends a container or entry. At the top every member is qualified.
func (p *jsonPrinter) object(s *Schema, n *node, val, module string, level int) {
	first := true
	inside := s.module
	if module == "" {
		inside = ""
	}
	p.dst = append(p.dst, '{')
	if n != nil && (n.flags&marks != 0 || n.comment != "") {
		p.member(&first, "@", "", nil, level+1)
		p.marks(n.flags, n.comment)
	}
	if s.kind == List {
		for i, k := range splitKeys(s, val) {
			p.member(&first, "", inside, s.keys[i], level+1)
			p.scalar(s.keys[i], k)
		}
	}
	if n != nil {
		for i := range n.kids {
			k := &n.kids[i]
			c := s.children[k.id]
			p.member(&first, "", inside, c, level+1)
			if c.kind == List {
				p.list(c, k.node.list, level+1)
				continue
			}
			p.value(c, k.node, k.val, s.module, level+1)
			comment := ""
			if k.node != nil {
				comment = k.node.comment
			}
			p.leafMarks(c, k.flags, comment, inside, level+1)
		}
	}
	p.line(level)
	p.dst = append(p.dst, '}')
}

// leafMarks appends the member with the marks of a leaf or leaf-list, if it has any, behind its own.
func (p *jsonPrinter) leafMarks(s *Schema, f flags, comment, module string, level int) {
	if s.isInner() || f&marks == 0 && comment == "" {
		return
	}
	first := false
	p.member(&first, "@", module, s, level)
	if s.kind == LeafList {
		p.dst = append(p.dst, '[')
	}
	p.marks(f, comment)
	if s.kind == LeafList {
		p.dst = append(p.dst, ']')
	}
}

func (p *jsonPrinter) list(s *Schema, l *list, level int) {
	p.dst = append(p.dst, '[')
	first := true
	room := roomFor(l, p.dst)
	l.each(func(key string, sl slot) bool {
		if !first {
			p.dst = append(p.dst, ',')
		}
		first = false
		p.line(level + 1)
		p.object(s, sl.node, key, s.module, level+1)
		p.dst = room.grow(p.dst)
		return true
	})
	p.line(level)
	p.dst = append(p.dst, ']')
}

func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c < 0x20 || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
