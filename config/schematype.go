package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	goyang "github.com/openconfig/goyang/pkg/yang"
)

type base uint8

const (
	baseString base = iota + 1
	baseInt
	baseUint
	baseEnum
	baseBool
	baseUnion
	baseRef
	baseWild    // what members[0] takes, or a pattern of names in angle brackets
	baseRefused // nothing: refused says why
)

// typ is a compiled leaf type.
type typ struct {
	name     string // the typedef's name if there is one
	builtin  string // "uint32"
	base     base
	signed   []span[int64]
	unsigned []span[uint64]
	whole    bool // the range is that of the builtin type
	length   []span[uint64]
	patterns []pattern
	enums    []Enum
	words    map[string]string // enum name to the one string that is stored for it
	members  []*typ
	refused  string
	target   *Schema // of a leafref
	route    route   // to the target's list
}

type span[N int64 | uint64] struct{ min, max N }

type pattern struct {
	text, message string
	re            *regexp.Regexp
	fast          func(string) bool // accepts a subset of what re accepts, quickly
}

// resolved returns the type that values have: a leafref's target's.
func (t *typ) resolved() *typ {
	for t.target != nil {
		t = t.target.typ
	}
	return t
}

func (b *schemaBuilder) leafType(s *Schema, e *goyang.Entry) error {
	var st *goyang.Type
	switch n := e.Node.(type) {
	case *goyang.Leaf:
		st = n.Type
	case *goyang.LeafList:
		st = n.Type
	default:
		return fmt.Errorf("leaf with node %T", n)
	}
	t, err := b.newType(st, e.Type)
	if err != nil {
		return err
	}
	s.typ = t
	if t.base == baseRef {
		b.refs = append(b.refs, refTask{s, e.Type.Path})
	}
	if s.hasDef {
		v, err := t.parse(s.def)
		if err != nil {
			return fmt.Errorf("default %q: %w", s.def, err)
		}
		s.def = v
	}
	return nil
}

func (b *schemaBuilder) newType(st *goyang.Type, yt *goyang.YangType) (*typ, error) {
	t := &typ{name: localName(yt.Name), builtin: goyang.TypeKindToName[yt.Kind]}
	if st != nil {
		t.name = localName(st.Name)
	}
	switch yt.Kind {
	case goyang.Ystring:
		t.base = baseString
		for _, r := range yt.Length {
			lo, hi := r.Min.Value, r.Max.Value
			t.length = append(t.length, span[uint64]{lo, hi})
		}
		return t, b.addPatterns(t, st, yt)
	case goyang.Yint8, goyang.Yint16, goyang.Yint32, goyang.Yint64:
		t.base = baseInt
		for _, r := range yt.Range {
			lo, err := r.Min.Int()
			if err != nil {
				return nil, err
			}
			hi, err := r.Max.Int()
			if err != nil {
				return nil, err
			}
			t.signed = append(t.signed, span[int64]{lo, hi})
		}
	case goyang.Yuint8, goyang.Yuint16, goyang.Yuint32, goyang.Yuint64:
		t.base = baseUint
		for _, r := range yt.Range {
			t.unsigned = append(t.unsigned, span[uint64]{r.Min.Value, r.Max.Value})
		}
		top := map[goyang.TypeKind]uint64{
			goyang.Yuint8: math.MaxUint8, goyang.Yuint16: math.MaxUint16,
			goyang.Yuint32: math.MaxUint32, goyang.Yuint64: math.MaxUint64,
		}[yt.Kind]
		t.whole = len(t.unsigned) == 1 && t.unsigned[0] == span[uint64]{0, top}
	case goyang.Yenum:
		t.base, t.words = baseEnum, map[string]string{}
		desc := enumDescriptions(st)
		for _, v := range yt.Enum.Values() {
			name := yt.Enum.Name(v)
			t.enums = append(t.enums, Enum{name, desc[name]})
			t.words[name] = name
		}
	case goyang.Ybool:
		t.base = baseEnum
		t.enums = []Enum{{Name: "false"}, {Name: "true"}}
		t.words = map[string]string{"false": "false", "true": "true"}
	case goyang.Yunion:
		t.base = baseUnion
		named := unionStatements(st)
		for i, m := range yt.Type {
			var ms *goyang.Type
			if m.Kind == goyang.Yenum && i < len(named) {
				ms = named[i] // for the descriptions of its words
			}
			mt, err := b.newType(ms, m)
			if err != nil {
				return nil, err
			}
			t.members = append(t.members, mt)
		}
		t.mergeEnums()
	case goyang.Yleafref:
		t.base = baseRef
	default:
		return nil, fmt.Errorf("YANG type %s is not supported", yt.Name)
	}
	return t, nil
}

// enumDescriptions finds the enum statements of a type, through its typedefs.
func enumDescriptions(st *goyang.Type) map[string]string {
	desc := map[string]string{}
	for ; st != nil; st = baseOf(st) {
		for _, e := range st.Enum {
			if e.Description != nil {
				desc[e.Name] = e.Description.Name
			}
		}
	}
	return desc
}

// unionStatements finds the type statements of a union, through its typedefs.
func unionStatements(st *goyang.Type) []*goyang.Type {
	for ; st != nil; st = baseOf(st) {
		if len(st.Type) > 0 {
			return st.Type
		}
	}
	return nil
}

// mergeEnums makes a union of enumerations one enumeration: what Junos has, with our own words after it.
func (t *typ) mergeEnums() {
	words := map[string]string{}
	var enums []Enum
	for _, m := range t.members {
		if m.base != baseEnum {
			return
		}
		enums = append(enums, m.enums...)
		maps.Copy(words, m.words)
	}
	t.base, t.members, t.enums, t.words = baseEnum, nil, enums, words
}

func baseOf(st *goyang.Type) *goyang.Type {
	if st.YangType == nil || st.YangType.Base == st {
		return nil
	}
	return st.YangType.Base
}

func (b *schemaBuilder) addPatterns(t *typ, st *goyang.Type, yt *goyang.YangType) error {
	messages := map[string]string{}
	for ; st != nil; st = baseOf(st) {
		for _, p := range st.Pattern {
			if p.ErrorMessage != nil {
				messages[p.Name] = p.ErrorMessage.Name
			}
		}
	}
	for _, text := range yt.Pattern {
		re := b.patterns[text]
		if re == nil {
			var err error
			if re, err = regexp.Compile(`\A(?:` + text + `)\z`); err != nil {
				return fmt.Errorf("pattern %q: %w", text, err)
			}
			b.patterns[text] = re
		}
		p := pattern{text: text, message: messages[text], re: re, fast: fastPattern[text]}
		if strings.HasPrefix(text, dotted+"|") {
			p.fast = isDotted
		}
		t.patterns = append(t.patterns, p)
	}
	return nil
}

const (
	octet     = `([0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])`
	dotted    = `(` + octet + `\.){3}` + octet
	identText = `[0-9A-Za-z][0-9A-Za-z_\-]*`
)

// fastPattern has quick acceptors for the patterns of large configurations, by pattern text; what they do not accept
// goes to the regular expression. A test holds them against it.
var fastPattern = map[string]func(string) bool{
	dotted: isDotted,
	dotted + `/([0-9]|[12][0-9]|3[0-2])`: func(s string) bool {
		addr, bits, ok := strings.Cut(s, "/")
		if !ok || !isDotted(addr) {
			return false
		}
		return len(bits) == 1 && isDigit(bits[0]) ||
			len(bits) == 2 && (bits[0] == '1' || bits[0] == '2') && isDigit(bits[1]) ||
			bits == "30" || bits == "31" || bits == "32"
	},
	identText: isIdent,
	// The names of routing instances: nearly always such, too.
	`[0-9A-Za-z_][0-9A-Za-z_.\-]*`: isIdent,
	// The names of objects are nearly always such as isIdent takes too.
	`[^ \t\n\r]([^\t\n\r]*[^ \t\n\r])?`: isIdent,
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isDotted(s string) bool {
	part, digits, value := 0, 0, 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isDigit(c):
			if digits > 0 && value == 0 {
				return false
			}
			value = value*10 + int(c-'0')
			digits++
			if value > 255 {
				return false
			}
		case c == '.' && digits > 0:
			part, digits, value = part+1, 0, 0
		default:
			return false
		}
	}
	return part == 3 && digits > 0
}

func isIdent(s string) bool {
	if s == "" || s[0] == '-' || s[0] == '_' {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// parse checks a value and returns it in canonical form. The result may share memory with v.
func (t *typ) parse(v string) (string, error) {
	switch t.base {
	case baseString:
		return v, t.checkString(v)
	case baseEnum:
		if w, ok := t.words[v]; ok {
			return w, nil
		}
		return "", &valueError{message: "invalid value '" + printable(v) + "'", expected: enumList(t.enums)}
	case baseUint:
		return t.parseUint(v)
	case baseInt:
		return t.parseInt(v)
	case baseUnion:
		var last error
		for _, m := range t.members {
			c, err := m.parse(v)
			if err == nil {
				return c, nil
			}
			last = err
		}
		return "", last
	case baseWild:
		if isWild(v) {
			return v, checkWild(v)
		}
		return t.members[0].parse(v)
	case baseRefused:
		return "", &valueError{message: t.refused}
	case baseRef:
		if t.target == nil {
			return v, nil // only while the schema is being built
		}
		return t.resolved().parse(v)
	}
	return "", fmt.Errorf("config: type %s has no values", t.name)
}

// valueError is what is wrong with a value.
type valueError struct{ message, expected string }

func (e *valueError) Error() string { return e.message }

func (t *typ) parseUint(v string) (string, error) {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		if isNumber(v) {
			return "", &valueError{message: "Value " + v + " is not within range " + t.rangeText(), expected: "<number> " + t.rangeText()}
		}
		return "", &valueError{message: "invalid numeric value: '" + printable(v) + "'", expected: "<number> " + t.rangeText()}
	}
	for _, r := range t.unsigned {
		if n >= r.min && n <= r.max {
			if len(v) > 1 && v[0] == '0' {
				v = strconv.FormatUint(n, 10)
			}
			return v, nil
		}
	}
	return "", &valueError{message: "Value " + v + " is not within range " + t.rangeText(), expected: "<number> " + t.rangeText()}
}

func (t *typ) parseInt(v string) (string, error) {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return "", &valueError{message: "invalid numeric value: '" + printable(v) + "'", expected: "<number> " + t.rangeText()}
	}
	if err == nil {
		for _, r := range t.signed {
			if n >= r.min && n <= r.max {
				return strconv.FormatInt(n, 10), nil
			}
		}
	}
	return "", &valueError{message: "Value " + v + " is not within range " + t.rangeText(), expected: "<number> " + t.rangeText()}
}

// isNumber reports whether v is digits with an optional sign, however long, but not so long that a message would
// better not repeat it.
func isNumber(v string) bool {
	v = strings.TrimPrefix(v, "-")
	if v == "" || len(v) > 40 {
		return false
	}
	for i := 0; i < len(v); i++ {
		if !isDigit(v[i]) {
			return false
		}
	}
	return true
}

func (t *typ) checkString(v string) error {
	if err := checkText(v); err != nil {
		return err
	}
	if len(t.length) > 0 {
		n, ok := uint64(len(v)), false
		if n > t.length[0].min {
			n = uint64(utf8.RuneCountInString(v))
		}
		for _, r := range t.length {
			ok = ok || n >= r.min && n <= r.max
		}
		if !ok {
			return &valueError{
				message:  fmt.Sprintf("Length %d is not within range %s", n, t.rangeText()),
				expected: "<string> of length " + t.rangeText(),
			}
		}
	}
	if len(v) > maxValue {
		return tooLong(v)
	}
	for _, p := range t.patterns {
		if p.fast != nil && p.fast(v) || p.re.MatchString(v) {
			continue
		}
		m := p.message
		if m == "" {
			m = "invalid value '" + printable(v) + "'"
		}
		return &valueError{message: m, expected: "<" + t.name + ">"}
	}
	return nil
}

// maxValue bounds values whose type does not, and remarks, in octets: three times a certificate with its chain and key.
const maxValue = 1 << 16

func tooLong(v string) error {
	return &valueError{message: fmt.Sprintf("Length %d is not within range (0..%d)", len(v), maxValue), expected: "<string>"}
}

// checkText refuses what a YANG string may not hold (RFC 7950 section 9.4).
func checkText(v string) error {
	for i := 0; i < len(v); {
		c := v[i]
		if c >= 0x20 && c < utf8.RuneSelf || c == '\t' || c == '\n' || c == '\r' {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(v[i:])
		if c < 0x20 || r == utf8.RuneError && n == 1 || r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef {
			return &valueError{message: fmt.Sprintf("character %q is not allowed in a value", v[i:i+n]), expected: "<string>"}
		}
		i += n
	}
	return nil
}

// printable bounds and quotes what a message repeats from the input.
func printable(v string) string {
	const limit = 64
	cut := v
	if len(cut) > limit {
		cut = cut[:limit]
	}
	q := strconv.Quote(cut)
	q = q[1 : len(q)-1]
	q = strings.ReplaceAll(q, `\"`, `"`)
	if len(v) > limit {
		q += "..."
	}
	return q
}

// rangeText returns "(1..32)", "(1..5 | 9)" or "".
func (t *typ) rangeText() string {
	var parts []string
	add := func(lo, hi, top string) {
		switch hi {
		case lo:
			parts = append(parts, lo)
		case top:
			parts = append(parts, lo+"..max")
		default:
			parts = append(parts, lo+".."+hi)
		}
	}
	switch t.base {
	case baseUint:
		for _, r := range t.unsigned {
			add(strconv.FormatUint(r.min, 10), strconv.FormatUint(r.max, 10), "")
		}
	case baseInt:
		for _, r := range t.signed {
			add(strconv.FormatInt(r.min, 10), strconv.FormatInt(r.max, 10), "")
		}
	case baseString:
		for _, r := range t.length {
			add(strconv.FormatUint(r.min, 10), strconv.FormatUint(r.max, 10), strconv.FormatUint(math.MaxUint64, 10))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "(" + strings.Join(parts, " | ") + ")"
}

func enumList(enums []Enum) string {
	names := make([]string, len(enums))
	for i, e := range enums {
		names[i] = e.Name
	}
	return oneOf(names)
}

// oneOf words a list: "a", "a or b", "a, b or c".
func oneOf(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " or " + names[n-1]
	}
}
