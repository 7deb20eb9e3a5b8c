package netconf

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"gvpn/config"
)

// Limits of one message, ours. Configuration inside edit-config is not counted: it is handed on as text.
const (
	maxDepth    = 64
	maxElements = 4096
	maxTag      = 16 << 10 // octets of the names and values in one start tag; the reply repeats those of <rpc>
)

// baseNamespace is NETCONF's own (RFC 6241 section 3.1).
const baseNamespace = "urn:ietf:params:xml:ns:netconf:base:1.0"

// element is one element of a message. Names are local names: operations are told apart by them alone, whatever
// namespace a client puts them in.
type element struct {
	name     string
	attrs    []xml.Attr // as written: Name.Space is the prefix; declarations of namespaces included
	children []*element
	text     string // the character data, without the blanks around it
	// config is set if the element is the <config> of an operation: the one element in it as a document of its own, with
	// every namespace declaration that is in force there; <configuration/> if there is none. children is empty then.
	config []byte
}

// child returns the first child of that name, nil if there is none. A nil element has no child.
func (e *element) child(name string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// attr returns the value of the attribute with that local name.
func (e *element) attr(name string) (string, bool) {
	for _, a := range e.attrs {
		if a.Name.Local == name && !isDeclaration(a) {
			return a.Value, true
		}
	}
	return "", false
}

func isDeclaration(a xml.Attr) bool {
	return a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns"
}

// parser builds the element tree of one message.
type parser struct {
	src      []byte
	dec      *xml.Decoder
	start    int64 // where the last token begins in src
	depth    int
	elements int
	scope    []xml.Attr // namespace declarations in force, innermost last
}

// parseMessage reads one message: a single element, well-formed, without document type or entities of its own.
func parseMessage(src []byte) (*element, error) {
	p := &parser{src: src, dec: xml.NewDecoder(bytes.NewReader(src))}
	var root *element
	for {
		token, err := p.token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if root != nil {
				return nil, fmt.Errorf("netconf: a second element <%s> in one message", config.Brief(token.Name.Local, config.BriefWord))
			}
			if root, err = p.element(token, ""); err != nil {
				return nil, err
			}
		case xml.CharData:
			if len(bytes.TrimSpace(token)) > 0 {
				return nil, errors.New("netconf: text outside the message's element")
			}
		case xml.EndElement:
			return nil, fmt.Errorf("netconf: </%s> without its start", config.Brief(token.Name.Local, config.BriefWord))
		}
	}
	if root == nil {
		return nil, errors.New("netconf: a message without an element")
	}
	return root, nil
}

// token returns the next token that is not a comment or the XML declaration.
func (p *parser) token() (xml.Token, error) {
	for {
		p.start = p.dec.InputOffset()
		token, err := p.dec.RawToken()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.Comment:
		case xml.ProcInst:
			if token.Target != "xml" {
				return nil, fmt.Errorf("netconf: processing instruction %q", config.Brief(token.Target, config.BriefWord))
			}
		case xml.Directive:
			return nil, errors.New("netconf: document type declarations are not allowed")
		default:
			return token, nil
		}
	}
}

// element reads the element that start opens, to its end. parent is the name of the element around it.
func (p *parser) element(start xml.StartElement, parent string) (*element, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("netconf: elements nested deeper than %d", maxDepth)
	}
	if p.elements++; p.elements > maxElements {
		return nil, fmt.Errorf("netconf: more than %d elements in a message", maxElements)
	}
	outer := len(p.scope)
	for _, a := range start.Attr {
		if isDeclaration(a) {
			p.scope = append(p.scope, a)
		}
	}
	defer func() { p.depth--; p.scope = p.scope[:outer] }()

	if err := tagFits(start); err != nil {
		return nil, err
	}
	e := &element{name: start.Name.Local, attrs: start.Copy().Attr}
	if e.name == "config" && (parent == "edit-config" || parent == "source") {
		return e, p.configuration(e, start)
	}
	var text strings.Builder
	for {
		token, err := p.token()
		switch token := token.(type) {
		case nil:
			return nil, unexpected(err)
		case xml.CharData:
			text.Write(token)
		case xml.StartElement:
			c, err := p.element(token, e.name)
			if err != nil {
				return nil, err
			}
			e.children = append(e.children, c)
		case xml.EndElement:
			if token.Name != start.Name {
				return nil, fmt.Errorf("netconf: <%s> is ended by </%s>", config.Brief(start.Name.Local, config.BriefWord), config.Brief(token.Name.Local, config.BriefWord))
			}
			e.text = strings.TrimSpace(text.String())
			return e, nil
		}
	}
}

// tagFits refuses a start tag that is too long to be kept and repeated.
func tagFits(start xml.StartElement) error {
	size := len(start.Name.Space) + len(start.Name.Local)
	for _, a := range start.Attr {
		size += len(a.Name.Space) + len(a.Name.Local) + len(a.Value)
	}
	if size > maxTag {
		return fmt.Errorf("netconf: the start tag of <%s> has %d octets, at most %d are taken", config.Brief(start.Name.Local, config.BriefWord), size, maxTag)
	}
	return nil
}

// configuration takes the one element in <config> as text: it is checked to be well-formed and no deeper than allowed, and
// parsed only once, by package config.
func (p *parser) configuration(e *element, start xml.StartElement) error {
	open := []xml.Name{start.Name}
	var inner xml.StartElement
	var from int64
	for {
		token, err := p.token()
		switch token := token.(type) {
		case nil:
			return unexpected(err)
		case xml.CharData:
			if len(open) == 1 && len(bytes.TrimSpace(token)) > 0 {
				return errors.New("netconf: text in <config>")
			}
		case xml.StartElement:
			if open = append(open, token.Name); p.depth+len(open) > maxDepth {
				return fmt.Errorf("netconf: elements nested deeper than %d", maxDepth)
			}
			if len(open) == 2 {
				if from != 0 {
					return fmt.Errorf("netconf: a second element <%s> in <config>", config.Brief(token.Name.Local, config.BriefWord))
				}
				if err := tagFits(token); err != nil {
					return err
				}
				inner, from = token.Copy(), p.dec.InputOffset()
			}
		case xml.EndElement:
			last := open[len(open)-1]
			if token.Name != last {
				return fmt.Errorf("netconf: <%s> is ended by </%s>", config.Brief(last.Local, config.BriefWord), config.Brief(token.Name.Local, config.BriefWord))
			}
			switch open = open[:len(open)-1]; len(open) {
			case 1:
				e.config = p.document(inner, p.src[from:p.start])
			case 0:
				if e.config == nil {
					e.config = []byte("<configuration/>")
				}
				return nil
			}
		}
	}
}

// document puts the start tag, with every namespace declaration that is in force there, and the end tag around content.
func (p *parser) document(start xml.StartElement, content []byte) []byte {
	inForce := map[string]string{}
	for _, a := range p.scope {
		inForce[prefixed(a.Name)] = a.Value
	}
	for _, a := range start.Attr {
		delete(inForce, prefixed(a.Name))
	}
	out := append([]byte{'<'}, prefixed(start.Name)...)
	for _, name := range slices.Sorted(maps.Keys(inForce)) {
		out = appendAttr(out, name, inForce[name])
	}
	for _, a := range start.Attr {
		out = appendAttr(out, prefixed(a.Name), a.Value)
	}
	out = append(out, '>')
	out = append(out, content...)
	out = append(out, '<', '/')
	out = append(out, prefixed(start.Name)...)
	return append(out, '>')
}

// unexpected makes the end of a message within an element an error that says so.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("netconf: the message ends within an element")
	}
	return err
}

func prefixed(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

func appendAttr(dst []byte, name, value string) []byte {
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, '=', '"')
	dst = appendText(dst, value)
	return append(dst, '"')
}

// appendText appends s with markup escaped; what XML cannot hold becomes U+FFFD.
func appendText(dst []byte, s string) []byte {
	buf := bytes.NewBuffer(dst)
	_ = xml.EscapeText(buf, []byte(s)) // a Buffer does not fail
	return buf.Bytes()
}

// appendLeaf appends <name>text</name>.
func appendLeaf(dst []byte, name, text string) []byte {
	dst = append(dst, '<')
	dst = append(dst, name...)
	dst = append(dst, '>')
	dst = appendText(dst, text)
	dst = append(dst, '<', '/')
	dst = append(dst, name...)
	return append(dst, '>')
}
