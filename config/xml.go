package config

import (
	"bytes"
	"slices"
	"strings"
)

// Operation is what an element of an edit-config says to do (RFC 6241 section 7.2). As the default operation of a load
// only Merge, Replace and None have a meaning.
type Operation uint8

// The operations.
const (
	OpMerge Operation = iota
	OpReplace
	OpNone
	OpCreate
	OpDelete
	OpRemove
)

// ParseOperation returns the operation with that name in RFC 6241.
func ParseOperation(name string) (Operation, bool) {
	switch name {
	case "merge":
		return OpMerge, true
	case "replace":
		return OpReplace, true
	case "none":
		return OpNone, true
	case "create":
		return OpCreate, true
	case "delete":
		return OpDelete, true
	case "remove":
		return OpRemove, true
	}
	return 0, false
}

// Namespaces that are met in edits beside those of the modules.
const (
	nsNetconf  = "urn:ietf:params:xml:ns:netconf:base:1.0"
	nsYang     = "urn:ietf:params:xml:ns:yang:1"
	nsJuniper  = "http://xml.juniper.net/"
	nsJuniperY = "http://yang.juniper.net/"
)

// NamespaceJunos is that of Junos's own attributes and elements in XML, of whatever release.
const NamespaceJunos = "http://xml.juniper.net/junos/*/junos"

// LoadXML carries out the content of an edit-config, or of a Junos load-configuration: the element configuration, alone or
// in an rpc-reply, if base is empty, else children of what base names. op is the default operation. Elements are known by their local names in
// the namespace of their module, in Junos's, or in none; prefixes may have been declared outside of src. The attributes
// operation, insert, key and value of NETCONF and YANG are obeyed, and Junos's inactive, active, protect, unprotect,
// delete, replace, insert and name. What t protects stays as it is, with a warning for each element that would change it; the
// default operation OpReplace minds no protection.
//
// If anything is wrong t comes back unchanged, with an error for every wrong element (at most 100); if src is no XML,
// with the first error alone. file names the source in errors.
func (t Tree) LoadXML(base Path, op Operation, file string, src []byte) (Tree, Errors) {
	steps, s, err := base.resolveLevel()
	if err != nil {
		return t, asErrors(err)
	}
	l := xmlLoader{e: t.edit(), x: xmlReader{src: src}, file: file}
	if op == OpReplace {
		l.e.free = true
		l.e.empty(steps)
	} else {
		l.e.protects(t)
	}
	if len(steps) == 0 {
		l.top(op)
	} else {
		l.content(s, steps, op)
		if l.broken == nil {
			// content ends at an end tag or at the end of the text; here only the latter is right.
			if ev, err := l.x.next(); err != nil || ev.kind != xmlEOF {
				l.fatal(malformed("end tag does not fit"), steps, ev.off)
			}
		}
	}
	if l.errs.failed() {
		return t, l.errs.all()
	}
	out := l.e.tree()
	if op == OpReplace {
		out = share(t, out)
	}
	return out, l.errs.all()
}

type xmlLoader struct {
	e      *editor
	x      xmlReader
	file   string
	errs   findings
	broken *Error // the text is no XML from here on
	lines  lineCounter
}

// lineCounter finds line numbers of ascending offsets without counting twice.
type lineCounter struct{ off, line int }

func (c *lineCounter) at(src []byte, off int) int {
	off = min(off, len(src))
	if off < c.off || c.line == 0 {
		*c = lineCounter{0, 1}
	}
	c.line += bytes.Count(src[c.off:off], []byte("\n"))
	c.off = off
	return c.line
}

func (l *xmlLoader) fail(err *Error, steps []step, off int) {
	if l.errs.add(err) {
		err.place(steps)
		err.locate(l.file, l.x.src, off, l.lines.at(l.x.src, off), &l.errs.last)
	}
}

func (l *xmlLoader) fatal(err *Error, steps []step, off int) {
	l.broken = err
	l.fail(err, steps, off)
}

// top reads the elements configuration.
func (l *xmlLoader) top(op Operation) {
	for {
		ev, err := l.x.next()
		if err != nil {
			l.fatal(err, nil, max(ev.off, l.x.at))
			return
		}
		switch ev.kind {
		case xmlEOF:
			return
		case xmlText:
			if !blank(ev.text) {
				l.fatal(malformed("text outside of an element"), nil, ev.off)
				return
			}
		case xmlStart:
			if ev.name == "rpc-reply" && !ev.empty && len(l.x.open) == 1 {
				continue // what Junos shows as XML stands in one
			}
			if ev.name == "cli" && len(l.x.open) == 2 {
				if err := l.x.skip(ev); err != nil {
					l.fatal(err, nil, l.x.at)
					return
				}
				continue
			}
			if ev.name != Root().name {
				l.fail(&Error{Tag: "unknown-element", Element: printable(ev.name), Message: "syntax error, expecting <configuration>", Expected: "<configuration>"}, nil, ev.off)
				if err := l.x.skip(ev); err != nil {
					l.fatal(err, nil, l.x.at)
					return
				}
				continue
			}
			l.element(Root(), nil, ev, op, "")
			if l.broken != nil {
				return
			}
		}
	}
}

func blank(b []byte) bool {
	for _, c := range b {
		if !isSpace(c) {
			return false
		}
	}
	return true
}

// instructions are what the attributes of an element say.
type instructions struct {
	op                 Operation
	set                bool // op was given
	inactive, active   bool
	protect, unprotect bool
	insert             string
	key, value, name   string
}

func (l *xmlLoader) attributes(ev xmlEvent, steps []step) (in instructions, ok bool) {
	ok = true
	bad := func(a xmlAttr, tag, message string) {
		l.fail(&Error{Tag: tag, Element: a.name, Message: message}, steps, a.off)
		ok = false
	}
	for _, a := range ev.attrs {
		uri, declared := l.x.uri(a.prefix)
		foreign := a.prefix != "" && declared && uri != nsNetconf && uri != nsYang
		switch {
		case foreign || a.prefix == "xml" || a.prefix == "junos":
			// Junos's own attributes (junos:changed and the like) say nothing about what to do.
		case a.name == "operation":
			op, known := ParseOperation(a.value)
			if !known || op == OpNone {
				bad(a, "bad-attribute", "unknown operation '"+printable(a.value)+"'")
				continue
			}
			in.op, in.set = op, true
		case a.name == "insert":
			in.insert = a.value
		case a.name == "key" && a.prefix != "":
			in.key = a.value
		case a.name == "value" && a.prefix != "":
			in.value = a.value
		case a.name == "name" && a.prefix == "":
			in.name = a.value
		case a.name == "inactive" && a.prefix == "":
			in.inactive = true
		case a.name == "active" && a.prefix == "":
			in.active = true
		case a.name == "protect" && a.prefix == "":
			in.protect = true
		case a.name == "unprotect" && a.prefix == "":
			in.unprotect = true
		case a.name == "delete" && a.prefix == "":
			in.op, in.set = OpRemove, true
		case a.name == "replace" && a.prefix == "":
			in.op, in.set = OpReplace, true
		default:
			bad(a, "unknown-attribute", "attribute "+printable(a.name)+" is not supported")
		}
	}
	return in, ok
}

// known reports whether an element may stand for the schema node s as far as namespaces go.
func (l *xmlLoader) known(s *Schema, prefix string) bool {
	uri, declared := l.x.uri(prefix)
	return !declared || uri == "" || uri == s.namespace || uri == nsNetconf ||
		strings.HasPrefix(uri, nsJuniper) || strings.HasPrefix(uri, nsJuniperY)
}

// element reads one element whose start tag was just read; steps name its parent.
func (l *xmlLoader) element(s *Schema, steps []step, ev xmlEvent, op Operation, remark string) {
	in, ok := l.attributes(ev, steps)
	if ok && !l.known(s, ev.prefix) {
		l.fail(&Error{Tag: "unknown-namespace", Element: s.name, Message: "element " + s.name + " is in an unknown namespace", Expected: s.namespace}, steps, ev.off)
		ok = false
	}
	if !ok {
		if err := l.x.skip(ev); err != nil {
			l.fatal(err, steps, l.x.at)
		}
		return
	}
	if in.set {
		op = in.op
	}
	if !s.isInner() {
		l.leaf(s, steps, ev, op, in, remark)
		return
	}
	here := steps
	if s.parent != nil {
		st := step{s: s}
		if s.kind == List {
			key, ok := l.keys(s, steps, ev)
			if !ok {
				if err := l.x.skip(ev); err != nil && l.broken == nil {
					l.fatal(err, steps, l.x.at)
				}
				return
			}
			st.key = key
		}
		here = append(steps[:len(steps):len(steps)], st)
	}
	if !l.begin(here, op, in, ev.off) {
		if err := l.x.skip(ev); err != nil {
			l.fatal(err, steps, l.x.at)
		}
		return
	}
	inner := op
	if op == OpReplace || op == OpCreate {
		inner = OpMerge
	}
	if ev.empty {
		l.x.close()
	} else {
		l.content(s, here, inner)
	}
	l.finish(here, in, remark, op, ev.off)
}

// begin does what the operation says about the node as a whole, and reports whether its content is to be read.
func (l *xmlLoader) begin(here []step, op Operation, in instructions, off int) bool {
	if in.unprotect && len(here) > 0 {
		l.e.mark(marked(here), 0, protected)
	}
	defer func() { l.refusals(here, off) }()
	_, there := l.e.get(here)
	if len(here) == 0 {
		there = true
	}
	last := func() *Error {
		p := pathOf(here)
		e := &Error{At: p, Path: p.Edit()}
		if len(p) > 0 {
			e.At = p[:len(p)-1]
			e.Path, e.Element = e.At.Edit(), p[len(p)-1].Name
		}
		return e
	}
	switch op {
	case OpDelete:
		if !there {
			e := last()
			e.Tag, e.Message = "data-missing", "statement not found"
			l.fail(e, nil, off)
		} else {
			l.e.remove(here)
		}
		return false
	case OpRemove:
		l.e.remove(here)
		return false
	case OpCreate:
		if there && (len(here) == 0 || here[len(here)-1].s.kind != Container) {
			e := last()
			e.Tag, e.Message = "data-exists", "statement already exists"
			l.fail(e, nil, off)
			return false
		}
	case OpReplace:
		if there {
			l.e.empty(here)
		}
	case OpNone:
		// A container without meaning of its own may be absent; what is done in it says whether it had to be there.
		if !there && here[len(here)-1].s.kind != Container && !in.inactive && !in.active && !in.protect && !in.unprotect {
			e := last()
			e.Tag, e.Message = "data-missing", "statement not found"
			l.fail(e, nil, off)
			return false
		}
		return true
	}
	if len(here) > 0 {
		l.e.put(here)
	}
	return true
}

// finish places and marks a node after its content was read.
func (l *xmlLoader) finish(here []step, in instructions, remark string, op Operation, off int) {
	if in.insert != "" {
		l.insert(here, in, off)
	}
	switch {
	case in.inactive:
		l.e.mark(here, inactive, 0)
	case in.active:
		l.e.mark(here, 0, inactive)
	}
	if remark != "" && op != OpNone {
		l.e.remark(here, remark)
	}
	if in.protect {
		l.e.mark(here, protected, 0)
	}
	l.refusals(here, off)
}

// refusals notes what was not done since it is protected.
func (l *xmlLoader) refusals(here []step, off int) {
	for _, err := range l.e.refusals() {
		l.fail(err, here, off)
	}
}

func (l *xmlLoader) insert(here []step, in instructions, off int) {
	bad := func(message string) {
		l.fail(&Error{Tag: "bad-attribute", Element: "insert", Message: message}, here, off)
	}
	if len(here) == 0 || here[len(here)-1].s.kind != List && here[len(here)-1].s.kind != LeafList {
		bad("only an entry of a list can be inserted")
		return
	}
	s := here[len(here)-1].s
	var where place
	switch in.insert {
	case "first":
		where = atFirst
	case "last":
		where = atLast
	case "before":
		where = beforeOther
	case "after":
		where = afterOther
	default:
		bad("insert must be first, last, before or after")
		return
	}
	other := ""
	if where == beforeOther || where == afterOther {
		var ok bool
		if other, ok = siblingKey(s, in); !ok {
			bad("insert " + in.insert + " needs the " + map[bool]string{true: "keys", false: "value"}[s.kind == List] + " of another entry")
			return
		}
	}
	if !l.e.move(here, where, other) {
		l.fail(&Error{Tag: "bad-attribute", Element: "insert", Message: "the entry to insert " + in.insert + " is not there"}, here, off)
	}
}

// siblingKey reads the entry that insert is about: YANG's key="[name='x']" or value="x", Junos's name="x".
func siblingKey(s *Schema, in instructions) (string, bool) {
	if s.kind == LeafList {
		if in.value == "" {
			in.value = in.name
		}
		v, err := s.parseValue(in.value)
		return v, err == nil
	}
	keys := make([]string, len(s.keys))
	if in.key == "" && len(keys) == 1 && in.name != "" {
		in.key = "[" + s.keys[0].name + "=\"" + in.name + "\"]"
	}
	n := 0
	for rest := strings.TrimSpace(in.key); rest != ""; rest = strings.TrimSpace(rest) {
		name, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "=")
		after = strings.TrimSpace(after)
		if !ok || rest[0] != '[' || after == "" || after[0] != '\'' && after[0] != '"' {
			return "", false
		}
		val, tail, ok := strings.Cut(after[1:], after[:1])
		if !ok {
			return "", false
		}
		tail = strings.TrimSpace(tail)
		if !strings.HasPrefix(tail, "]") {
			return "", false
		}
		rest = tail[1:]
		i := slices.IndexFunc(s.keys, func(k *Schema) bool { return k.name == localName(strings.TrimSpace(name)) })
		if i < 0 {
			return "", false
		}
		v, err := s.keys[i].parseValue(val)
		if err != nil {
			return "", false
		}
		keys[i] = v
		n++
	}
	return joinKeys(keys), n == len(keys)
}

// keys looks ahead for the key elements of an entry, which usually come first.
func (l *xmlLoader) keys(s *Schema, steps []step, ev xmlEvent) (string, bool) {
	keys := make([]string, len(s.keys))
	have := 0
	if !ev.empty {
		look := l.x
		look.open = slices.Clone(l.x.open)
		look.ns = slices.Clone(l.x.ns)
		depth := len(look.open)
		for have < len(keys) && len(look.open) >= depth {
			in, err := look.next()
			if err != nil {
				break // the same error comes again where the content is read
			}
			if in.kind != xmlStart {
				continue
			}
			i := slices.IndexFunc(s.keys, func(k *Schema) bool { return k.name == in.name })
			if i < 0 {
				if look.skip(in) != nil {
					break
				}
				continue
			}
			text, off, err := look.text(in)
			if err != nil {
				break
			}
			v, verr := l.parse(s.keys[i], text)
			if verr != nil {
				e := valueFault(s.keys[i], verr)
				l.fail(e, steps, off)
				return "", false
			}
			if keys[i] == "" {
				have++
			}
			keys[i] = v
		}
	}
	if have < len(keys) {
		i := slices.Index(keys, "")
		l.fail(&Error{Tag: "missing-element", Element: s.name, Message: "missing key <" + s.keys[i].name + "> of " + s.name, Expected: "<" + s.keys[i].name + ">"}, steps, ev.off)
		return "", false
	}
	return joinKeys(keys), true
}

// text reads the text of an element up to its end tag.
func (x *xmlReader) text(ev xmlEvent) ([]byte, int, *Error) {
	if ev.empty {
		x.close()
		return nil, ev.off, nil
	}
	var out []byte
	off, pieces := x.at, 0
	for {
		in, err := x.next()
		if err != nil {
			return nil, max(in.off, x.at), err
		}
		switch in.kind {
		case xmlText:
			switch pieces++; pieces {
			case 1:
				out = in.text
			case 2: // a comment stood between: from here on it is a copy
				out = slices.Concat(out, in.text)
			default:
				out = append(out, in.text...)
			}
		case xmlEnd:
			return out, off, nil
		case xmlStart:
			return nil, in.off, malformed("element " + printable(in.name) + " in a value")
		}
	}
}

// parse reads a value; blanks around it are taken for layout if it is none with them.
func (l *xmlLoader) parse(s *Schema, text []byte) (string, error) {
	v, err := s.parseValue(l.e.text(text))
	if err != nil {
		if trimmed := strings.TrimSpace(string(text)); len(trimmed) != len(text) {
			if v, err := s.parseValue(l.e.text([]byte(trimmed))); err == nil {
				return v, nil
			}
		}
	}
	return v, err
}

func (l *xmlLoader) leaf(s *Schema, steps []step, ev xmlEvent, op Operation, in instructions, remark string) {
	text, off, err := l.x.text(ev)
	if err != nil {
		if len(l.x.open) > 0 && err.Tag == "malformed-message" && strings.HasPrefix(err.Message, "element ") {
			// A child element in a leaf: well-formed, so go on behind the leaf.
			l.fail(err, steps, off)
			for depth := len(l.x.open) - 1; len(l.x.open) >= depth; {
				in, err := l.x.next()
				if err != nil {
					l.fatal(err, steps, l.x.at)
					return
				}
				if in.kind == xmlStart && in.empty {
					l.x.close()
				}
			}
			return
		}
		l.fatal(err, steps, off)
		return
	}
	st := step{s: s}
	switch {
	case s.isKey:
		return // read by keys already
	case s.kind == Empty:
		st.all = true
		if !blank(text) {
			l.fail(&Error{Tag: "invalid-value", Element: s.name, Message: s.name + " has no value"}, steps, off)
			return
		}
	case s.kind == Leaf && (op == OpDelete || op == OpRemove):
		st.all = true
	case s.kind == LeafList && (op == OpDelete || op == OpRemove) && len(text) == 0:
		st.all = true
	default:
		v, verr := l.parse(s, text)
		if verr != nil {
			l.fail(valueFault(s, verr), steps, off)
			return
		}
		st.key = v
	}
	here := append(steps[:len(steps):len(steps)], st)
	whole := slices.Clone(here)
	if s.kind == Leaf {
		whole[len(whole)-1].all = true
	}
	switch op {
	case OpNone:
		if in.unprotect {
			l.e.mark(marked(here), 0, protected)
		}
		if in.inactive || in.active || in.protect {
			l.finish(marked(here), in, "", op, ev.off)
		}
		return
	case OpDelete, OpRemove, OpCreate:
		if !l.begin(whole, op, in, ev.off) {
			return
		}
	default:
		if in.unprotect {
			l.e.mark(marked(here), 0, protected)
		}
	}
	l.e.put(here)
	if in.insert != "" {
		l.insert(here, in, ev.off)
		in.insert = ""
	}
	l.finish(marked(here), in, remark, op, ev.off)
}

// marked returns the steps of what carries marks: a leaf or leaf-list as a whole.
func marked(here []step) []step {
	if last := here[len(here)-1]; !last.s.isInner() {
		here = slices.Clone(here)
		here[len(here)-1] = step{s: last.s, all: true}
	}
	return here
}

// content reads the children of s, which steps name, up to its end tag or the end of the text.
func (l *xmlLoader) content(s *Schema, steps []step, op Operation) {
	remark := ""
	var seen []*Schema // children that may be there once
	for l.broken == nil {
		ev, err := l.x.next()
		if err != nil {
			l.fatal(err, steps, max(ev.off, l.x.at))
			return
		}
		switch ev.kind {
		case xmlEnd, xmlEOF:
			return
		case xmlText:
			if !blank(ev.text) {
				l.fail(&Error{
					Tag: "bad-element", Element: s.name, Message: "text where an element is expected", Expected: new(reader).expect(s),
					secret: s.OnlySecrets(),
				}, steps, ev.off)
			}
		case xmlStart:
			c := s.byName[ev.name]
			if uri, _ := l.x.uri(ev.prefix); ev.name == "comment" && (ev.prefix == "junos" || strings.HasSuffix(uri, "/junos")) {
				remark = l.comment(steps, ev)
				continue
			}
			if c == nil {
				l.fail(unknown(s, ev.name), steps, ev.off)
				if err := l.x.skip(ev); err != nil {
					l.fatal(err, steps, l.x.at)
				}
				continue
			}
			if once := c.kind == Leaf || len(c.cases) > 0; once && !slices.ContainsFunc(ev.attrs, tellsOperation) {
				if l.rivals(c, seen, steps, ev) {
					if err := l.x.skip(ev); err != nil {
						l.fatal(err, steps, l.x.at)
					}
					continue
				}
				if !slices.Contains(seen, c) {
					seen = append(seen, c)
				}
			}
			l.element(c, steps, ev, op, remark)
			remark = ""
		}
	}
}

// rivals refuses a leaf that was there already, and a child in another case of a choice than one that was there: "If data for more
// than one case branch of a choice is present, the server MUST reply with a "bad-element"" (RFC 7950 section 8.3.1). One that names
// its operation may make room for another.
func (l *xmlLoader) rivals(c *Schema, seen []*Schema, steps []step, ev xmlEvent) bool {
	for _, other := range seen {
		message := ""
		switch {
		case other == c && c.kind == Leaf:
			message = c.name + " is there twice"
		case rivals(other, c):
			message = c.name + " and " + other.name + " exclude each other"
		default:
			continue
		}
		l.fail(&Error{Tag: "bad-element", Element: c.name, Message: message}, steps, ev.off)
		return true
	}
	return false
}

// tellsOperation reports whether an attribute may say what is to be done with its element.
func tellsOperation(a xmlAttr) bool {
	return a.name == "operation" || a.name == "delete" || a.name == "replace"
}

// comment reads Junos's element for a remark.
func (l *xmlLoader) comment(steps []step, ev xmlEvent) string {
	text, off, err := l.x.text(ev)
	if err != nil {
		l.fatal(err, steps, off)
		return ""
	}
	s := strings.TrimSpace(string(text))
	s = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(s, "/*"), "*/"))
	if err := checkRemark(s); err != nil {
		l.fail(&Error{Tag: "invalid-value", Element: "comment", Message: err.Error()}, steps, off)
		return ""
	}
	return s
}

// XMLOptions says how XML looks.
type XMLOptions struct {
	Level      int    // how far the outermost element is indented, in steps of four blanks
	Compact    bool   // no line breaks and no indentation
	Namespaces bool   // declare the modules' namespaces; without, elements are in whatever namespace is in scope
	Attributes string // put into the outermost start tag, with a blank before it: ` xmlns="..."`
	Secrets    Secrets
}

// Secrets says how secret leaves are shown.
type Secrets uint8

// Obfuscated shows them as $9$ strings; Omitted leaves them out.
const (
	Obfuscated Secrets = iota
	Omitted
)

// AppendXML appends n as an element: configuration for the root, an entry with its keys first, a leaf-list as an element
// for each value. Inactive and protected nodes carry Junos's attributes, remarks are Junos's elements.
func AppendXML(dst []byte, n Node, o XMLOptions) []byte {
	if !n.Exists() {
		return dst
	}
	p := xmlPrinter{dst: dst, o: o}
	p.node(n.s, n.n, n.val, n.flags, o.Level, "")
	return p.dst
}

type xmlPrinter struct {
	dst   []byte
	o     XMLOptions
	begun bool
}

func (p *xmlPrinter) indent(level int) {
	if p.o.Compact {
		return
	}
	for range level {
		p.dst = append(p.dst, "    "...)
	}
}

func (p *xmlPrinter) newline() {
	if !p.o.Compact {
		p.dst = append(p.dst, '\n')
	}
}

// open appends a start tag without its end; ns is the namespace in scope.
func (p *xmlPrinter) open(s *Schema, f flags, ns string) {
	p.dst = append(append(p.dst, '<'), s.name...)
	if p.o.Namespaces && ns != s.namespace {
		p.dst = append(append(append(p.dst, ` xmlns="`...), s.namespace...), '"')
	}
	if !p.begun {
		p.begun = true
		p.dst = append(p.dst, p.o.Attributes...)
	}
	if f&inactive != 0 {
		p.dst = append(p.dst, ` inactive="inactive"`...)
	}
	if f&protected != 0 {
		p.dst = append(p.dst, ` protect="protect"`...)
	}
}

func (p *xmlPrinter) shut(s *Schema) {
	p.dst = append(append(append(p.dst, "</"...), s.name...), '>')
	p.newline()
}

func (p *xmlPrinter) value(s *Schema, val string, f flags, level int, ns string) {
	p.indent(level)
	p.open(s, f, ns)
	if s.kind == Empty {
		p.dst = append(p.dst, "/>"...)
		p.newline()
		return
	}
	p.dst = append(p.dst, '>')
	p.dst = appendXMLText(p.dst, val)
	p.shut(s)
}

func (p *xmlPrinter) node(s *Schema, n *node, val string, f flags, level int, ns string) {
	if s.secret && p.o.Secrets == Omitted {
		return
	}
	if n != nil && n.comment != "" && p.begun {
		p.indent(level)
		p.dst = append(append(append(p.dst, `<junos:comment xmlns:junos="`...), NamespaceJunos...), `">/* `...)
		p.dst = append(appendXMLText(p.dst, n.comment), ` */</junos:comment>`...)
		p.newline()
	}
	switch s.kind {
	case Leaf, Empty:
		p.value(s, val, f, level, ns)
		return
	case LeafList:
		n.list.byLabel.all(func(_ uint64, v string) bool {
			p.value(s, v, f, level, ns)
			return true
		})
		return
	}
	if n != nil {
		f = n.flags
	}
	p.indent(level)
	p.open(s, f, ns)
	if s.kind != List && (n == nil || len(n.kids) == 0) {
		p.dst = append(p.dst, "/>"...)
		p.newline()
		return
	}
	p.dst = append(p.dst, '>')
	p.newline()
	if s.kind == List {
		for i, k := range splitKeys(s, val) {
			p.value(s.keys[i], k, 0, level+1, s.namespace)
		}
	}
	if n != nil {
		p.kids(s, n, level+1)
	}
	p.indent(level)
	p.shut(s)
}

func (p *xmlPrinter) kids(s *Schema, n *node, level int) {
	for i := range n.kids {
		k := &n.kids[i]
		c := s.children[k.id]
		if c.kind != List {
			p.node(c, k.node, k.val, k.flags, level, s.namespace)
			continue
		}
		l := k.node.list
		room := roomFor(l, p.dst)
		l.each(func(key string, sl slot) bool {
			p.node(c, sl.node, key, 0, level, s.namespace)
			p.dst = room.grow(p.dst)
			return true
		})
	}
}

func appendXMLText(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '<':
			dst = append(dst, "&lt;"...)
		case '>':
			dst = append(dst, "&gt;"...)
		case '&':
			dst = append(dst, "&amp;"...)
		case '\r':
			dst = append(dst, "&#13;"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
