package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// must is a compiled must statement. Its expression is the part of XPath 1.0 (with the functions that YANG adds) that
// can be evaluated in time that follows what it is about: it may read the context node's own subtree, leaves on the way
// up, the entry that a leafref names, and entries that an absolute path looks up by their keys. What else XPath can say is
// refused when the schema is made.
type must struct {
	text, message string
	warning       bool
	test          func(cur Node) bool
	whole         func(cur Node) value // what test is the short form of
	up            int                  // how many levels above its node it reads
	follows       []*Schema            // lists whose entries it reads through a leafref, or looks up
	looked        []*Schema            // those of them that it looks up
	denied        []*Schema            // those of them that it looks up within a not()
}

// compileMusts compiles every must at and below s.
func compileMusts(s *Schema) error {
	for _, m := range s.musts {
		if err := m.compile(s); err != nil {
			return fmt.Errorf("config: must %q of %s: %w", m.text, s.Path(), err)
		}
		if m.message == "" {
			return fmt.Errorf("config: must %q of %s has no error-message", m.text, s.Path())
		}
		for _, list := range m.looked {
			if !slices.Contains(list.watchers, s) {
				list.watchers = append(list.watchers, s)
			}
		}
		for _, list := range m.denied {
			if !slices.Contains(list.deniers, s) {
				list.deniers = append(list.deniers, s)
			}
		}
	}
	for _, c := range s.children {
		if err := compileMusts(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *must) compile(s *Schema) error {
	p := &mustParser{must: m, in: m.text, cur: s}
	if err := p.cut(); err != nil {
		return err
	}
	e, err := p.or()
	if err != nil {
		return err
	}
	if p.tok != "" {
		return fmt.Errorf("%q is left over", p.tok+p.in)
	}
	m.whole, m.test = e.eval, e.truth()
	at := s
	for level := 1; level <= m.up; level++ {
		at = at.parent
		if level > 1 || s.isInner() {
			at.readFromBelow = true
		}
	}
	return nil
}

// holds reports whether the must is true of its context node.
func (m *must) holds(cur Node) bool { return m.test(cur) }

// value is an XPath value: exactly one of the kinds.
type value struct {
	kind  valueKind
	nodes []Node
	text  string
	num   float64
	truth bool
}

type valueKind uint8

const (
	isNodes valueKind = iota
	isText
	isNumeric
	isTruth
)

func truth(b bool) value { return value{kind: isTruth, truth: b} }

// stringValue is the string-value of a node (XPath 1.0 section 5): only leaves have one here.
func stringValue(n Node) string { return n.val }

func (v value) boolean() bool {
	switch v.kind {
	case isNodes:
		return len(v.nodes) > 0
	case isText:
		return v.text != ""
	case isNumeric:
		return v.num != 0 && !math.IsNaN(v.num)
	}
	return v.truth
}

func (v value) string() string {
	switch v.kind {
	case isNodes:
		if len(v.nodes) == 0 {
			return ""
		}
		return stringValue(v.nodes[0])
	case isNumeric:
		return strconv.FormatFloat(v.num, 'f', -1, 64)
	case isTruth:
		return strconv.FormatBool(v.truth)
	}
	return v.text
}

func (v value) number() float64 {
	switch v.kind {
	case isNumeric:
		return v.num
	case isTruth:
		if v.truth {
			return 1
		}
		return 0
	}
	return toNumber(v.string())
}

func toNumber(s string) float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

// compare is XPath 1.0 section 3.4: a comparison with a node-set is true if it is true of any of its nodes.
func compare(op string, a, b value) bool {
	if a.kind == isTruth || b.kind == isTruth {
		if op == "=" || op == "!=" {
			return (a.boolean() == b.boolean()) == (op == "=")
		}
		return ordered(op, a.number(), b.number())
	}
	if a.kind != isNodes && b.kind != isNodes {
		switch {
		case op != "=" && op != "!=" || a.kind == isNumeric || b.kind == isNumeric:
			return ordered(op, a.number(), b.number())
		default:
			return (a.text == b.text) == (op == "=")
		}
	}
	if a.kind == isNodes && b.kind == isNodes && (op == "=" || op == "!=") {
		return compareSets(op, a.nodes, b.nodes)
	}
	for _, x := range single(a) {
		for _, y := range single(b) {
			if compare(op, x, y) {
				return true
			}
		}
	}
	return false
}

func single(v value) []value {
	if v.kind != isNodes {
		return []value{v}
	}
	out := make([]value, len(v.nodes))
	for i, n := range v.nodes {
		out[i] = value{kind: isText, text: stringValue(n)}
	}
	return out
}

// compareSets compares two node-sets in time that follows their sizes' sum.
func compareSets(op string, a, b []Node) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	if op == "!=" {
		first := stringValue(a[0])
		for _, set := range [][]Node{a, b} {
			for _, n := range set {
				if stringValue(n) != first {
					return true
				}
			}
		}
		return false
	}
	seen := make(map[string]bool, len(a))
	for _, n := range a {
		seen[stringValue(n)] = true
	}
	for _, n := range b {
		if seen[stringValue(n)] {
			return true
		}
	}
	return false
}

func ordered(op string, a, b float64) bool {
	switch op {
	case "=":
		return a == b
	case "!=":
		return a != b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	case ">=":
		return a >= b
	}
	return false
}

// expr is a compiled expression. If it is a path, at is the schema node that it leads to, and beyond says that it left
// the context node's ancestors and subtree by a leafref.
//
// holds, walk and literal are quicker ways to what eval gives, for the expressions that have them: most of them are asked for
// their truth alone, and of most entries of a large configuration.
type expr struct {
	eval   func(cur Node) value
	at     *Schema
	beyond bool

	holds   func(cur Node) bool
	walk    *walk // of a path that leads to one node at most
	literal *value
}

// truth returns what gives the expression's boolean value.
func (e expr) truth() func(cur Node) bool {
	switch {
	case e.holds != nil:
		return e.holds
	case e.walk != nil:
		return func(c Node) bool {
			_, ok := e.walk.find(&c)
			return ok
		}
	}
	return func(c Node) bool { return e.eval(c).boolean() }
}

type mustParser struct {
	*must
	in  string // what is not cut into tokens yet
	tok string // the current token, "" at the end
	cur *Schema
	key bool // in the predicate of a lookup: paths begin at current()
	// depth bounds nesting. The texts are our own; a slip should be an error, not a stack overflow.
	depth int
}

var mustToken = regexp.MustCompile(`^(\.\.|!=|<=|>=|[()\[\]/|.=<>+*,-]|'[^']*'|"[^"]*"|[0-9]+(\.[0-9]+)?|[A-Za-z_][A-Za-z0-9_.-]*(:[A-Za-z_][A-Za-z0-9_.-]*)?)`)

func (p *mustParser) cut() error {
	p.in = strings.TrimSpace(p.in)
	if p.in == "" {
		p.tok = ""
		return nil
	}
	p.tok = mustToken.FindString(p.in)
	if p.tok == "" {
		return fmt.Errorf("cannot read %q", p.in)
	}
	p.in = p.in[len(p.tok):]
	return nil
}

func (p *mustParser) want(tok string) error {
	if p.tok != tok {
		return fmt.Errorf("%q where %q is wanted", p.tok+p.in, tok)
	}
	return p.cut()
}

// binary parses operands of next with operators of one precedence between them.
func (p *mustParser) binary(ops []string, next func() (expr, error), build func(op string, a, b expr) expr) (expr, error) {
	a, err := next()
	if err != nil {
		return a, err
	}
	for {
		op := ""
		for _, o := range ops {
			if p.tok == o {
				op = o
			}
		}
		if op == "" {
			return a, nil
		}
		if err := p.cut(); err != nil {
			return a, err
		}
		b, err := next()
		if err != nil {
			return a, err
		}
		a = build(op, a, b)
	}
}

func (p *mustParser) or() (expr, error) {
	if p.depth++; p.depth > 50 {
		return expr{}, errors.New("nested too deep")
	}
	defer func() { p.depth-- }()
	return p.binary([]string{"or"}, p.and, func(_ string, a, b expr) expr {
		x, y := a.truth(), b.truth()
		return expr{
			eval:  func(c Node) value { return truth(a.eval(c).boolean() || b.eval(c).boolean()) },
			holds: func(c Node) bool { return x(c) || y(c) },
		}
	})
}

func (p *mustParser) and() (expr, error) {
	return p.binary([]string{"and"}, p.equality, func(_ string, a, b expr) expr {
		x, y := a.truth(), b.truth()
		return expr{
			eval:  func(c Node) value { return truth(a.eval(c).boolean() && b.eval(c).boolean()) },
			holds: func(c Node) bool { return x(c) && y(c) },
		}
	})
}

func comparing(op string, a, b expr) expr {
	e := expr{eval: func(c Node) value { return truth(compare(op, a.eval(c), b.eval(c))) }}
	if a.walk != nil && !a.walk.many && b.literal != nil {
		e.holds = func(c Node) bool {
			v, ok := a.walk.find(&c)
			return ok && compare(op, value{kind: isText, text: v}, *b.literal)
		}
	}
	return e
}

func (p *mustParser) equality() (expr, error) {
	return p.binary([]string{"=", "!="}, p.relation, comparing)
}

func (p *mustParser) relation() (expr, error) {
	return p.binary([]string{"<", "<=", ">", ">="}, p.sum, comparing)
}

func (p *mustParser) sum() (expr, error) {
	return p.binary([]string{"+", "-"}, p.product, func(op string, a, b expr) expr {
		return expr{eval: func(c Node) value {
			x, y := a.eval(c).number(), b.eval(c).number()
			if op == "-" {
				y = -y
			}
			return value{kind: isNumeric, num: x + y}
		}}
	})
}

func (p *mustParser) product() (expr, error) {
	return p.binary([]string{"*"}, p.operand, func(_ string, a, b expr) expr {
		return expr{eval: func(c Node) value { return value{kind: isNumeric, num: a.eval(c).number() * b.eval(c).number()} }}
	})
}

func (p *mustParser) operand() (expr, error) {
	switch {
	case p.tok == "(":
		if err := p.cut(); err != nil {
			return expr{}, err
		}
		e, err := p.or()
		if err != nil {
			return e, err
		}
		return expr{eval: e.eval, holds: e.truth()}, p.want(")")
	case p.tok != "" && isDigit(p.tok[0]):
		return literal(value{kind: isNumeric, num: toNumber(p.tok)}), p.cut()
	case p.tok != "" && (p.tok[0] == '\'' || p.tok[0] == '"'):
		return literal(value{kind: isText, text: p.tok[1 : len(p.tok)-1]}), p.cut()
	case strings.HasPrefix(strings.TrimSpace(p.in), "(") && p.tok != "deref" && p.tok != "current":
		return p.function()
	}
	return p.location()
}

func literal(v value) expr { return expr{literal: &v, eval: func(Node) value { return v }} }

func (p *mustParser) function() (expr, error) {
	name, looked := p.tok, len(p.looked)
	if err := p.cut(); err != nil {
		return expr{}, err
	}
	var args []expr
	var literal string // the last argument, if it is one
	if err := p.want("("); err != nil {
		return expr{}, err
	}
	for p.tok != ")" {
		if len(args) > 0 {
			if err := p.want(","); err != nil {
				return expr{}, err
			}
		}
		literal = p.tok
		a, err := p.or()
		if err != nil {
			return a, err
		}
		args = append(args, a)
	}
	if err := p.cut(); err != nil {
		return expr{}, err
	}
	f := functions[name]
	if f.build == nil {
		return expr{}, fmt.Errorf("function %s() is not supported", name)
	}
	if name == "not" {
		p.denied = append(p.denied, p.looked[looked:]...)
	}
	if len(args) != f.args {
		return expr{}, fmt.Errorf("function %s() has %d arguments, not %d", name, f.args, len(args))
	}
	eval, err := f.build(args, literal)
	e := expr{eval: eval}
	if name == "not" {
		x := args[0].truth()
		e.holds = func(c Node) bool { return !x(c) }
	}
	return e, err
}

type function struct {
	args  int
	build func(a []expr, literal string) (func(Node) value, error)
}

func plainFunction(f func(c Node, a []expr) value) func([]expr, string) (func(Node) value, error) {
	return func(a []expr, _ string) (func(Node) value, error) {
		return func(c Node) value { return f(c, a) }, nil
	}
}

var functions = map[string]function{
	"true":    {0, plainFunction(func(Node, []expr) value { return truth(true) })},
	"false":   {0, plainFunction(func(Node, []expr) value { return truth(false) })},
	"not":     {1, plainFunction(func(c Node, a []expr) value { return truth(!a[0].eval(c).boolean()) })},
	"boolean": {1, plainFunction(func(c Node, a []expr) value { return truth(a[0].eval(c).boolean()) })},
	"string": {1, plainFunction(func(c Node, a []expr) value {
		return value{kind: isText, text: a[0].eval(c).string()}
	})},
	"number": {1, plainFunction(func(c Node, a []expr) value {
		return value{kind: isNumeric, num: a[0].eval(c).number()}
	})},
	"count": {1, plainFunction(func(c Node, a []expr) value {
		return value{kind: isNumeric, num: float64(len(a[0].eval(c).nodes))}
	})},
	"string-length": {1, plainFunction(func(c Node, a []expr) value {
		return value{kind: isNumeric, num: float64(utf8.RuneCountInString(a[0].eval(c).string()))}
	})},
	"contains": {2, plainFunction(func(c Node, a []expr) value {
		return truth(strings.Contains(a[0].eval(c).string(), a[1].eval(c).string()))
	})},
	"starts-with": {2, plainFunction(func(c Node, a []expr) value {
		return truth(strings.HasPrefix(a[0].eval(c).string(), a[1].eval(c).string()))
	})},
	"concat": {2, plainFunction(func(c Node, a []expr) value {
		return value{kind: isText, text: a[0].eval(c).string() + a[1].eval(c).string()}
	})},
	"substring-before": {2, plainFunction(func(c Node, a []expr) value {
		before, _, found := strings.Cut(a[0].eval(c).string(), a[1].eval(c).string())
		if !found {
			before = ""
		}
		return value{kind: isText, text: before}
	})},
	"substring-after": {2, plainFunction(func(c Node, a []expr) value {
		_, after, _ := strings.Cut(a[0].eval(c).string(), a[1].eval(c).string())
		return value{kind: isText, text: after}
	})},
	// re-match is YANG's (RFC 7950 section 10.2.1): the pattern is anchored at both ends.
	"re-match": {2, func(a []expr, literal string) (func(Node) value, error) {
		if literal == "" || literal[0] != '\'' && literal[0] != '"' {
			return nil, errors.New("re-match() needs a literal pattern")
		}
		re, err := regexp.Compile(`\A(?:` + literal[1:len(literal)-1] + `)\z`)
		if err != nil {
			return nil, err
		}
		return func(c Node) value { return truth(re.MatchString(a[0].eval(c).string())) }, nil
	}},
}

// location parses a path. The steps are checked against the schema, so at run time they cannot miss.
func (p *mustParser) location() (expr, error) {
	if p.key && p.tok != "current" {
		return expr{}, fmt.Errorf("%q in a predicate, where paths begin with current()", p.tok)
	}
	if p.tok == "/" {
		return p.lookup()
	}
	e := expr{at: p.cur, eval: func(c Node) value { return value{nodes: []Node{c}} }, walk: &walk{}}
	height, sideways := 0, false
	for first := true; ; first = false {
		name := p.tok
		if err := p.cut(); err != nil {
			return e, err
		}
		switch {
		case name == ".":
		case name == "..":
			if e.at.parent == nil {
				return e, errors.New("path leaves the configuration")
			}
			if !e.beyond {
				if sideways {
					return e, errors.New("path goes up again")
				}
				height++
				p.up = max(p.up, height)
			}
			e = expr{at: e.at.parent, beyond: e.beyond, eval: stepUp(e.eval), walk: e.walk.goUp()}
		case name == "current" && first:
			if err := errors.Join(p.want("("), p.want(")")); err != nil {
				return e, err
			}
		case name == "deref" && first:
			if err := p.want("("); err != nil {
				return e, err
			}
			arg, err := p.location()
			if err != nil {
				return e, err
			}
			if err := p.want(")"); err != nil {
				return e, err
			}
			if arg.at.Target() == nil {
				return e, fmt.Errorf("deref of %s, which is no leafref", arg.at.Path())
			}
			if arg.beyond || p.up > 1 || p.up == 1 && p.cur.isInner() {
				return e, errors.New("deref only follows a leaf of the node, or beside it, and only once")
			}
			p.follows = append(p.follows, arg.at.Target().parent)
			e = expr{at: arg.at.Target(), beyond: true, eval: stepDeref(arg.eval), walk: arg.walk.follow(p.cur, arg.at)}
		case name == "" || !isNameStart(name[0]):
			return e, fmt.Errorf("%q where a path is wanted (absolute paths and wildcards are not supported)", name+p.tok+p.in)
		default:
			c := e.at.byName[localName(name)]
			if c == nil {
				return e, fmt.Errorf("no %q below %q", name, e.at.Path())
			}
			if c.kind == List && (height > 0 || e.beyond) {
				return e, fmt.Errorf("path reads every entry of %s, which is not below the node (follow a leafref instead)", c.Path())
			}
			sideways = sideways || height > 0
			e = expr{at: c, beyond: e.beyond, eval: stepDown(e.eval, c), walk: e.walk.goDown(c)}
		}
		if p.tok == "[" {
			return e, errors.New("predicates are not supported (follow a leafref instead)")
		}
		if p.tok != "/" {
			return e, nil
		}
		if err := p.cut(); err != nil {
			return e, err
		}
	}
}

// lookup parses an absolute path of which every list has its one key given: /a/b[k = ...]/c[l = ...]. A change of what it
// leads to must be a change of an entry of a list on the way, by which it is followed back to the must.
func (p *mustParser) lookup() (expr, error) {
	if p.cur.isInner() {
		return expr{}, errors.New("only the must of a leaf can look an entry up")
	}
	at := p.cur
	for at.parent != nil {
		at = at.parent
	}
	steps, looked := []func(n, cur Node) Node{}, len(p.looked)
	for first := true; p.tok == "/"; first = false {
		if err := p.cut(); err != nil {
			return expr{}, err
		}
		name := p.tok
		if err := p.cut(); err != nil {
			return expr{}, err
		}
		if first {
			if localName(name) != at.name {
				return expr{}, fmt.Errorf("absolute path begins at %q, not at %s", name, at.name)
			}
			continue
		}
		c := at.byName[localName(name)]
		if c == nil || !c.isInner() {
			return expr{}, fmt.Errorf("no container or list %q below %q", name, at.Path())
		}
		at = c
		if c.kind != List {
			steps = append(steps, func(n, _ Node) Node { return n.Child(c.name) })
			continue
		}
		key, err := p.predicate(c)
		if err != nil {
			return expr{}, err
		}
		steps = append(steps, func(n, cur Node) Node { return n.Entry(c.name, key.eval(cur).string()) })
		p.follows = append(p.follows, c)
		p.looked = append(p.looked, c)
	}
	if at.kind != List && (at.kind != Presence || len(p.looked) == looked) {
		return expr{}, errors.New("absolute path that does not end in a list, or in a presence container below one, is not supported")
	}
	return expr{at: at, beyond: true, eval: func(cur Node) value {
		n := cur
		for n.up != nil {
			n = *n.up
		}
		for _, step := range steps {
			if n = step(n, cur); n.s == nil {
				return value{}
			}
		}
		return value{nodes: []Node{n}}
	}}, nil
}

// predicate parses [k = ...], where k is the one key of list.
func (p *mustParser) predicate(list *Schema) (key expr, err error) {
	if len(list.keys) != 1 {
		return key, fmt.Errorf("lookup in %s, which has not one key", list.Path())
	}
	if p.tok != "[" {
		return key, fmt.Errorf("path reads every entry of %s (look one up by its key instead)", list.Path())
	}
	if err := p.cut(); err != nil {
		return key, err
	}
	if localName(p.tok) != list.keys[0].name {
		return key, fmt.Errorf("lookup in %s by %q, not by its key", list.Path(), p.tok)
	}
	if err := errors.Join(p.cut(), p.want("=")); err != nil {
		return key, err
	}
	inside := p.key
	p.key = true
	key, err = p.sum()
	p.key = inside
	if err != nil {
		return key, err
	}
	return key, p.want("]")
}

func isNameStart(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// walk is a path that leads to one node at most, or to the entries of one list; it is walked without making a Node on the way:
// up from the context node, or to the entry that a leafref names, and then down. A nil walk is any other path.
type walk struct {
	leafref *walk // nil: from the context node
	to      route // of the leafref, from the context node on
	up      int   // from the context node; from the key leaf of the entry that the leafref names it is 1
	down    []*Schema
	many    bool // it ends in a list or leaf-list: only whether there is anything can be told
}

func (p *walk) goUp() *walk {
	if p == nil || len(p.down) > 0 || p.leafref != nil && p.up == 1 {
		return nil
	}
	q := *p
	q.up++
	return &q
}

func (p *walk) goDown(c *Schema) *walk {
	if p == nil || p.many || c.isKey || p.leafref != nil && p.up == 0 {
		return nil
	}
	q := *p
	q.down = append(slices.Clip(p.down), c)
	q.many = c.kind == List || c.kind == LeafList
	return &q
}

// follow is the path on from the leafref that p leads to, from cur on.
func (p *walk) follow(cur, leafref *Schema) *walk {
	if p == nil || p.many {
		return nil
	}
	q := &walk{leafref: p, to: leafref.typ.route}
	q.to.up -= leafref.depth - cur.depth // a leaf below cur, or beside it, has the same nodes above it
	return q
}

// find returns the string-value of the node, and whether it is there, with the rules of stepDown.
func (p *walk) find(cur *Node) (val string, ok bool) {
	var at *node
	if p.leafref == nil {
		for range p.up {
			cur = cur.up
		}
		at, val = cur.n, cur.val
	} else {
		if val, ok = p.leafref.find(cur); !ok {
			return "", false
		}
		sl, ok := p.to.find(cur, val)
		if !ok {
			return "", false
		}
		at = sl.node
	}
	for _, c := range p.down {
		k := at.find(c)
		val = ""
		switch {
		case k != nil:
			at, val = k.node, k.val
		case c.hasDef && c.kind == Leaf:
			val = c.def
		case c.kind == Container:
			at = nil
		default:
			return "", false
		}
	}
	return val, true
}

// route is the way from a leaf to the list that it refers to: up, and then down through containers.
type route struct {
	up   int
	down []*Schema
	list *Schema
}

func routeTo(list, leaf *Schema) route {
	r := route{list: list}
	at := leaf
	for at.depth >= list.depth || !at.above(list) {
		at = at.parent
		r.up++
	}
	for c := list.parent; c != at; c = c.parent {
		r.down = append(r.down, c)
	}
	slices.Reverse(r.down)
	return r
}

// find returns the entry of that key, from n on.
func (r *route) find(n *Node, key string) (slot, bool) {
	for range r.up {
		n = n.up
	}
	at := n.n
	for _, c := range r.down {
		k := at.find(c)
		if k == nil {
			return slot{}, false
		}
		at = k.node
	}
	k := at.find(r.list)
	if k == nil {
		return slot{}, false
	}
	return k.node.list.byName.get(key)
}

func stepUp(from func(Node) value) func(Node) value {
	return func(c Node) value {
		v := from(c)
		for i, n := range v.nodes {
			v.nodes[i] = n.Parent()
		}
		return v
	}
}

// stepDown goes to a child. A leaf that is not set but has a default is there with it, and a container that means
// nothing by itself is always there (RFC 7950 section 6.4.1).
func stepDown(from func(Node) value, s *Schema) func(Node) value {
	return func(c Node) value {
		v := from(c)
		out := v.nodes[:0]
		if s.kind == List || s.kind == LeafList {
			out = nil
		}
		for _, n := range v.nodes {
			out = appendChildren(out, n, s)
		}
		return value{nodes: out}
	}
}

func appendChildren(out []Node, n Node, s *Schema) []Node {
	switch s.kind {
	case List:
		if _, l := n.list(s.name); l != nil {
			for e := range n.entries(s, l) {
				out = append(out, e)
			}
		}
		return out
	case LeafList:
		ll := n.child(s, &n)
		for _, v := range ll.Values() {
			out = append(out, Node{s: s, up: &n, val: v})
		}
		return out
	}
	k := n.child(s, &n)
	switch {
	case k.s != nil:
		out = append(out, k)
	case s.hasDef:
		out = append(out, Node{s: s, up: &n, val: s.def})
	case s.kind == Container:
		out = append(out, Node{s: s, n: &emptyNode, up: &n})
	}
	return out
}

// stepDeref goes from a leafref to its target's key leaf. Of several nodes the first counts (RFC 7950 section 10.3.1).
func stepDeref(from func(Node) value) func(Node) value {
	return func(c Node) value {
		v := from(c)
		if len(v.nodes) == 0 {
			return value{}
		}
		e := v.nodes[0].referred()
		if e.s == nil {
			return value{}
		}
		return value{nodes: []Node{{s: e.s.keys[0], up: &e, val: e.val}}}
	}
}

// referred returns the entry that a leafref names, absent if there is none.
func (n Node) referred() Node {
	target := n.s.typ.target.parent // the list
	return n.ancestorOf(target).entryBelow(target, n.val)
}

// ancestorOf returns the nearest node above n that target is below.
func (n Node) ancestorOf(target *Schema) Node {
	at := &n
	for at.s.depth >= target.depth || !at.s.above(target) {
		at = at.up
	}
	return *at
}

func (s *Schema) above(t *Schema) bool {
	for t != nil && t.depth > s.depth {
		t = t.parent
	}
	return t == s
}

// entryBelow returns an entry of the list target, with only containers between n and it.
func (n Node) entryBelow(target *Schema, key string) Node {
	at := n
	for at.s != target.parent {
		next := target.parent
		for next.parent != at.s {
			next = next.parent
		}
		if at = at.child(next, &at); at.s == nil {
			return Node{}
		}
	}
	k := at.n.find(target)
	if k == nil {
		return Node{}
	}
	return at.entry(target, k.node.list, key)
}
