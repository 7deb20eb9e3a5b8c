package config

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// xmlReader is a pull parser for XML 1.0 without document types. It looks at every octet a bounded number of times,
// keeps one entry for each open element, and refuses what it does not understand.
type xmlReader struct {
	src  []byte
	at   int
	open [][]byte // names of open elements, as written
	ns   []nsBinding
}

type nsBinding struct {
	prefix, uri string
	depth       int // of the element that has it
}

type xmlEvent struct {
	kind   xmlKind
	off    int    // of the markup, or of the text
	prefix string // of a start tag
	name   string // local name of a start tag
	attrs  []xmlAttr
	text   []byte // of a text, with references resolved
	empty  bool   // of a start tag: <a/>; the end tag follows as an event all the same
}

type xmlAttr struct {
	prefix, name string
	value        string
	off          int
}

type xmlKind uint8

const (
	xmlEnd  xmlKind = iota + 1 // an end tag
	xmlText                    // character data
	xmlStart
	xmlEOF
)

// maxXMLDepth bounds open elements. The schema is far less deep; what is deeper is skipped as unknown up to here.
const maxXMLDepth = 1000

func malformed(message string) *Error { return &Error{Tag: "malformed-message", Message: message} }

// next returns the next event. After an empty-element tag it returns the end tag that XML says is meant.
func (x *xmlReader) next() (xmlEvent, *Error) {
	for {
		ev := xmlEvent{off: x.at}
		if x.at >= len(x.src) {
			if len(x.open) > 0 {
				return ev, malformed("element " + printable(string(x.open[len(x.open)-1])) + " is not closed")
			}
			ev.kind = xmlEOF
			return ev, nil
		}
		if x.src[x.at] != '<' {
			return x.chars()
		}
		rest := x.src[x.at:]
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			if err := x.skipTo("<!--", "-->"); err != nil {
				return ev, err
			}
		case bytes.HasPrefix(rest, []byte("<?")):
			if err := x.skipTo("<?", "?>"); err != nil {
				return ev, err
			}
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			return x.chars()
		case bytes.HasPrefix(rest, []byte("<!")):
			return ev, malformed("document types are not supported")
		case bytes.HasPrefix(rest, []byte("</")):
			return x.endTag()
		default:
			return x.startTag()
		}
	}
}

func (x *xmlReader) skipTo(start, end string) *Error {
	i := bytes.Index(x.src[x.at+len(start):], []byte(end))
	if i < 0 {
		err := malformed(start + " is not closed")
		return err
	}
	x.at += len(start) + i + len(end)
	return nil
}

// chars reads character data and CDATA sections up to the next other markup.
func (x *xmlReader) chars() (xmlEvent, *Error) {
	ev := xmlEvent{kind: xmlText, off: x.at}
	copied := false
	add := func(b []byte) {
		if !copied && len(ev.text) == 0 {
			ev.text = b
			return
		}
		if !copied {
			ev.text = append(make([]byte, 0, 2*len(ev.text)+len(b)), ev.text...)
			copied = true
		}
		ev.text = append(ev.text, b...)
	}
	for x.at < len(x.src) {
		rest := x.src[x.at:]
		switch {
		case rest[0] == '&':
			r, n := charRef(rest)
			if n == 0 {
				return ev, malformed("unknown character reference")
			}
			x.at += n
			add(utf8.AppendRune(nil, r))
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			i := bytes.Index(rest, []byte("]]>"))
			if i < 0 {
				return ev, malformed("<![CDATA[ is not closed")
			}
			x.at += i + 3
			add(normalizeCR(rest[9:i]))
		case bytes.HasPrefix(rest, []byte("<!--")):
			if err := x.skipTo("<!--", "-->"); err != nil {
				return ev, err
			}
		case rest[0] == '<':
			return ev, nil
		default:
			i := bytes.IndexAny(rest, "<&")
			if i < 0 {
				i = len(rest)
			}
			x.at += i
			add(normalizeCR(rest[:i]))
		}
	}
	return ev, nil
}

// normalizeCR is XML 1.0 section 2.11.
func normalizeCR(b []byte) []byte {
	if bytes.IndexByte(b, '\r') < 0 {
		return b
	}
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(b, []byte("\r"), []byte("\n"))
}

var xmlEntities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "apos": '\'', "quot": '"'}

// charRef reads a reference at the start of b and returns its character and length, 0 if it is none.
func charRef(b []byte) (rune, int) {
	const longest = 12
	end := bytes.IndexByte(b[:min(len(b), longest)], ';')
	if end < 2 {
		return 0, 0
	}
	name := string(b[1:end])
	if name[0] != '#' {
		return xmlEntities[name], entityLen(name, end)
	}
	digits, radix := name[1:], 10
	if strings.HasPrefix(digits, "x") {
		digits, radix = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, radix, 32)
	if err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) || n == 0 {
		return 0, 0
	}
	return rune(n), end + 1
}

func entityLen(name string, end int) int {
	if xmlEntities[name] == 0 {
		return 0
	}
	return end + 1
}

func isXMLName(b []byte) bool {
	if len(b) == 0 || isDigit(b[0]) || b[0] == '-' || b[0] == '.' {
		return false
	}
	for _, c := range b {
		if c < utf8.RuneSelf && !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '_' && c != '-' && c != '.' && c != ':' {
			return false
		}
	}
	return true
}

func (x *xmlReader) name() []byte {
	start := x.at
	for x.at < len(x.src) {
		c := x.src[x.at]
		if isSpace(c) || c == '>' || c == '/' || c == '=' || c == '<' || c == '"' || c == '\'' {
			break
		}
		x.at++
	}
	return x.src[start:x.at]
}

func (x *xmlReader) space() {
	for x.at < len(x.src) && isSpace(x.src[x.at]) {
		x.at++
	}
}

func (x *xmlReader) startTag() (xmlEvent, *Error) {
	ev := xmlEvent{kind: xmlStart, off: x.at}
	x.at++
	name := x.name()
	if !isXMLName(name) {
		return ev, malformed("a tag has no proper name")
	}
	if len(x.open) >= maxXMLDepth {
		return ev, &Error{Tag: "too-big", Message: "elements are nested too deep"}
	}
	ev.prefix, ev.name = splitPrefix(string(name))
	for n := 0; ; n++ {
		x.space()
		if n > maxXMLAttrs {
			return ev, &Error{Tag: "too-big", Message: "too many attributes"}
		}
		if x.at >= len(x.src) {
			return ev, malformed("tag " + printable(string(name)) + " is not closed")
		}
		switch x.src[x.at] {
		case '>':
			x.at++
			x.open = append(x.open, name)
			return ev, nil
		case '/':
			if !bytes.HasPrefix(x.src[x.at:], []byte("/>")) {
				return ev, malformed("'/' in a tag")
			}
			x.at += 2
			x.open = append(x.open, name)
			ev.empty = true
			return ev, nil
		}
		if err := x.attr(&ev); err != nil {
			return ev, err
		}
	}
}

// maxXMLAttrs bounds the attributes of one tag, maxXMLNamespaces the declarations of namespaces that are in force at one place:
// every prefix is looked up among them.
const (
	maxXMLAttrs      = 100
	maxXMLNamespaces = 200
)

func (x *xmlReader) attr(ev *xmlEvent) *Error {
	a := xmlAttr{off: x.at}
	name := x.name()
	if !isXMLName(name) {
		return malformed("an attribute has no proper name")
	}
	x.space()
	if x.at >= len(x.src) || x.src[x.at] != '=' {
		return malformed("attribute " + printable(string(name)) + " has no value")
	}
	x.at++
	x.space()
	if x.at >= len(x.src) || x.src[x.at] != '"' && x.src[x.at] != '\'' {
		return malformed("attribute " + printable(string(name)) + " has no quoted value")
	}
	quote := x.src[x.at]
	x.at++
	end := bytes.IndexByte(x.src[x.at:], quote)
	if end < 0 {
		return malformed("attribute " + printable(string(name)) + " is not closed")
	}
	raw := x.src[x.at : x.at+end]
	if bytes.IndexByte(raw, '<') >= 0 {
		return malformed("'<' in an attribute")
	}
	x.at += end + 1
	var b strings.Builder
	for len(raw) > 0 {
		if raw[0] == '&' {
			r, n := charRef(raw)
			if n == 0 {
				return malformed("unknown character reference")
			}
			b.WriteRune(r)
			raw = raw[n:]
			continue
		}
		i := bytes.IndexByte(raw, '&')
		if i < 0 {
			i = len(raw)
		}
		b.Write(raw[:i])
		raw = raw[i:]
	}
	a.value = b.String()
	a.prefix, a.name = splitPrefix(string(name))
	switch {
	case a.prefix == "" && a.name == "xmlns":
		x.ns = append(x.ns, nsBinding{"", a.value, len(x.open)})
	case a.prefix == "xmlns":
		x.ns = append(x.ns, nsBinding{a.name, a.value, len(x.open)})
	default:
		for _, other := range ev.attrs {
			if other.prefix == a.prefix && other.name == a.name {
				return malformed("attribute " + printable(string(name)) + " is there twice")
			}
		}
		ev.attrs = append(ev.attrs, a)
	}
	if len(x.ns) > maxXMLNamespaces {
		return &Error{Tag: "too-big", Message: "too many declarations of namespaces are in force"}
	}
	return nil
}

func splitPrefix(name string) (prefix, local string) {
	if p, l, ok := strings.Cut(name, ":"); ok {
		return p, l
	}
	return "", name
}

func (x *xmlReader) endTag() (xmlEvent, *Error) {
	ev := xmlEvent{kind: xmlEnd, off: x.at}
	x.at += 2
	name := x.name()
	x.space()
	if x.at >= len(x.src) || x.src[x.at] != '>' {
		return ev, malformed("end tag is not closed")
	}
	x.at++
	if len(x.open) == 0 || !bytes.Equal(x.open[len(x.open)-1], name) {
		return ev, malformed("end tag " + printable(string(name)) + " does not fit")
	}
	x.close()
	return ev, nil
}

// close ends the innermost element; after an empty-element tag the caller does it.
func (x *xmlReader) close() {
	x.open = x.open[:len(x.open)-1]
	for len(x.ns) > 0 && x.ns[len(x.ns)-1].depth >= len(x.open) {
		x.ns = x.ns[:len(x.ns)-1]
	}
}

// uri returns the namespace of a prefix, and whether it is declared in the text.
func (x *xmlReader) uri(prefix string) (string, bool) {
	for i := len(x.ns) - 1; i >= 0; i-- {
		if x.ns[i].prefix == prefix {
			return x.ns[i].uri, true
		}
	}
	return "", false
}

// skip reads past the element whose start tag ev was just read.
func (x *xmlReader) skip(ev xmlEvent) *Error {
	if ev.empty {
		x.close()
		return nil
	}
	for depth := len(x.open); len(x.open) >= depth; {
		in, err := x.next()
		if err != nil {
			return err
		}
		if in.kind == xmlStart && in.empty {
			x.close()
		}
	}
	return nil
}
