package config

import (
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	goyang "github.com/openconfig/goyang/pkg/yang"

	"gvpn/yang"
)

// Kind is the kind of a schema node.
type Kind uint8

// The kinds. A Presence container means something while empty; a Container is there only while something is in it.
// An Empty is a leaf without value, a flag.
const (
	Container Kind = iota + 1
	Presence
	List
	Leaf
	LeafList
	Empty
)

// String returns a word for the kind.
func (k Kind) String() string {
	switch k {
	case Container:
		return "container"
	case Presence:
		return "presence container"
	case List:
		return "list"
	case Leaf:
		return "leaf"
	case LeafList:
		return "leaf-list"
	case Empty:
		return "flag"
	}
	return "unknown kind"
}

// Schema is one node of the schema. Schema nodes are made once, never change, and are compared by identity.
type Schema struct {
	name, word, module, namespace, desc string

	kind     Kind
	parent   *Schema
	id       uint16 // position among the parent's children
	depth    int    // 0 for configuration
	children []*Schema
	byName   map[string]*Schema
	byWord   map[string]*Schema
	keys     []*Schema
	isKey    bool
	cases    []caseRef // the choices that this node is a case of, outermost first

	typ    *typ
	def    string
	hasDef bool

	oneLiner, oneLinerPlus, noKeyword, grouped, joined, secret, deprecated, mandatory bool

	// referrers are the leaves that refer to entries of this list, watchers the nodes with a must that looks entries of it
	// up by their keys, deniers those of them whose must may want that there is none; readFromBelow says that a must
	// further down than at a leaf of this node reads leaves of this node, so that a change of them concerns all that is
	// below.
	referrers     []*Schema
	watchers      []*Schema
	deniers       []*Schema
	readFromBelow bool

	checked []*Schema // the children that validation has to look at

	suggested   []string          // values that completion offers
	unsupported map[string]string // statements that Junos has here and gvpn has not, to what is said about them

	bare *Schema // the child leaf or list that is typed without keyword, if any

	// template: the list holds configuration groups. everywhere: the leaf-list is apply-groups or apply-groups-except;
	// apply and except are those of a container or list, groups is the root's.
	template, everywhere  bool
	apply, except, groups *Schema
	lists                 bool // there is a list at or below the node

	min, max                                   int // max 0: no limit
	musts                                      []*must
	uniques                                    [][]*Schema // each: leaves of the entry
	uniqueError, referenceError, mandatoryText string
}

// caseRef names a case of a choice; ids are unique below one data node.
type caseRef struct{ choice, which int }

// Name returns the node's name.
func (s *Schema) Name() string { return s.name }

// Word returns what the node is called in set and curly text: its name, but for a few lists and keys.
func (s *Schema) Word() string { return s.word }

// Module returns the name of the YANG module that defines the node.
func (s *Schema) Module() string { return s.module }

// Namespace returns the XML namespace of that module.
func (s *Schema) Namespace() string { return s.namespace }

// Kind returns the node's kind.
func (s *Schema) Kind() Kind { return s.kind }

// Parent returns the node above, nil for configuration. Choices and cases are no nodes.
func (s *Schema) Parent() *Schema { return s.parent }

// Children returns the child nodes in schema order, keys of a list among them. The caller must not change the slice.
func (s *Schema) Children() []*Schema { return s.children }

// Child returns the child of that name, or nil.
func (s *Schema) Child(name string) *Schema { return s.byName[name] }

// Keys returns the key leaves of a list in key order.
func (s *Schema) Keys() []*Schema { return s.keys }

// IsKey reports whether the node is a key leaf of its list.
func (s *Schema) IsKey() bool { return s.isKey }

// Type returns the name of a leaf's YANG type ("uint32", "ipv4addr"), or "".
func (s *Schema) Type() string {
	if s.typ == nil {
		return ""
	}
	return s.typ.name
}

// Builtin returns the YANG built-in type that a leaf's type derives from ("string", "leafref"; "empty" of a flag), or "".
func (s *Schema) Builtin() string {
	switch {
	case s.kind == Empty:
		return "empty"
	case s.typ == nil:
		return ""
	}
	return s.typ.builtin
}

// Range returns the range of a number, or the length of a string, as "(180..86400)", or "".
func (s *Schema) Range() string {
	if s.typ == nil {
		return ""
	}
	return s.typ.resolved().rangeText()
}

// Enum is one word of an enumeration.
type Enum struct{ Name, Description string }

// Enums returns the words of an enumeration in the order of the model, or nil.
func (s *Schema) Enums() []Enum {
	if s.typ == nil {
		return nil
	}
	return s.typ.resolved().enums
}

// Suggested returns values that are worth offering for a leaf that takes others too.
func (s *Schema) Suggested() []string { return s.suggested }

// Target returns the key leaf that a leafref points at, or nil.
func (s *Schema) Target() *Schema {
	if s.typ == nil {
		return nil
	}
	return s.typ.target
}

// Unsupported returns what is said about a statement that Junos has in this node and gvpn has not, or "".
func (s *Schema) Unsupported(name string) string {
	if name == "apply-macro" && s.isInner() { // it stands everywhere, as apply-groups
		return "apply-macro is not supported by gvpn: it runs no commit scripts"
	}
	return s.unsupported[name]
}

// Default returns the default value, or "".
func (s *Schema) Default() string { return s.def }

// Description returns a short help text.
func (s *Schema) Description() string { return s.desc }

// NoKeyword reports whether the leaf is typed and shown as its value alone, or the list's entries as their keys alone.
func (s *Schema) NoKeyword() bool { return s.noKeyword }

// Secret reports whether the leaf is shown obfuscated.
func (s *Schema) Secret() bool { return s.secret }

// OnlySecrets reports whether all that a container holds is secret: a word in it that no model has may be one, without its name.
func (s *Schema) OnlySecrets() bool {
	some := false
	for _, c := range s.children {
		if !c.secret && !c.everywhere {
			return false
		}
		some = some || c.secret
	}
	return some
}

// Template reports whether the list holds configuration groups: its children are those of the root once more.
func (s *Schema) Template() bool { return s.template }

// Everywhere reports whether the leaf-list is one that may stand in every container and list entry: apply-groups and
// apply-groups-except.
func (s *Schema) Everywhere() bool { return s.everywhere }

// Path returns the names from below configuration down to s, separated by slashes.
func (s *Schema) Path() string {
	if s.parent == nil || s.parent.parent == nil {
		if s.parent == nil {
			return ""
		}
		return s.name
	}
	return s.parent.Path() + "/" + s.name
}

func (s *Schema) isContainer() bool { return s.kind == Container || s.kind == Presence }
func (s *Schema) isInner() bool     { return s.kind == Container || s.kind == Presence || s.kind == List }

var loaded = sync.OnceValues(loadSchema)

// Root returns the schema of the whole configuration: the container configuration.
func Root() *Schema {
	root, err := loaded()
	if err != nil {
		panic(err) // the modules are part of the program; a test loads them
	}
	return root
}

// Module is one YANG module of the schema.
type Module struct{ Name, Namespace, Revision, Organization string }

// Modules returns the modules that the schema is made of, sorted by name.
func Modules() []Module {
	names, err := fs.Glob(yang.FS, "*.yang")
	if err != nil {
		panic(err)
	}
	ms := goyang.NewModules()
	var out []Module
	for _, name := range names {
		text, err := yang.FS.ReadFile(name)
		if err != nil {
			panic(err)
		}
		if err := ms.Parse(string(text), name); err != nil {
			panic(err)
		}
		m := ms.Modules[strings.TrimSuffix(name, ".yang")]
		out = append(out, Module{Name: m.Name, Namespace: m.Namespace.Name, Revision: m.Current(), Organization: m.Organization.Name})
	}
	slices.SortFunc(out, func(a, b Module) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// augmentOrder is the order in which hierarchies of different modules are shown, as Junos has it.
var augmentOrder = []string{
	"gvpn-conf-root", "gvpn-conf-system", "gvpn-conf-services", "gvpn-conf-security", "gvpn-conf-interfaces",
	"gvpn-conf-policy-options", "gvpn-conf-firewall", "gvpn-conf-routing-instances", "gvpn-conf-applications", "gvpn-extensions",
	"gvpn-extensions-group",
}

type schemaBuilder struct {
	modules  *goyang.Modules
	choices  int
	refs     []refTask
	patterns map[string]*regexp.Regexp // by text: leaves of one type share them

	everywhere []*Schema // what is in every container and list below the root
}

type refTask struct {
	leaf *Schema
	path string
}

func loadSchema() (*Schema, error) {
	names, err := fs.Glob(yang.FS, "*.yang")
	if err != nil {
		return nil, fmt.Errorf("config: list of YANG modules: %w", err)
	}
	ms := goyang.NewModules()
	for _, name := range names {
		text, err := yang.FS.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("config: YANG module %s: %w", name, err)
		}
		if err := ms.Parse(string(text), name); err != nil {
			return nil, fmt.Errorf("config: YANG module %s: %w", name, err)
		}
	}
	if errs := ms.Process(); len(errs) > 0 {
		return nil, fmt.Errorf("config: YANG modules: %w", errs[0])
	}
	conf := goyang.ToEntry(ms.Modules["gvpn-conf-root"]).Dir["configuration"]
	b := &schemaBuilder{modules: ms, patterns: map[string]*regexp.Regexp{}}
	root, err := b.node(conf, nil, 0, nil)
	if err != nil {
		return nil, err
	}
	for _, r := range b.refs {
		if err := r.resolve(); err != nil {
			return nil, err
		}
	}
	if err := compileMusts(root); err != nil {
		return nil, err
	}
	findChecked(root)
	root.fillTemplate()
	return root, nil
}

// node makes the schema node of e and everything below it.
func (b *schemaBuilder) node(e *goyang.Entry, parent *Schema, id int, cases []caseRef) (*Schema, error) {
	s := &Schema{name: e.Name, word: e.Name, desc: e.Description, parent: parent, id: uint16(id), cases: cases}
	if parent != nil {
		s.depth = parent.depth + 1
	}
	s.namespace = e.Namespace().Name
	m, err := b.modules.FindModuleByNamespace(s.namespace)
	if err != nil {
		return nil, fmt.Errorf("config: module of %s: %w", e.Path(), err)
	}
	s.module = m.Name
	var keys []string
	switch {
	case e.IsList():
		s.kind, keys = List, strings.Fields(e.Key)
	case e.IsLeafList():
		s.kind = LeafList
	case e.IsLeaf():
		s.kind = Leaf
		if e.Type.Kind == goyang.Yempty {
			s.kind = Empty
		}
	default:
		s.kind = Container
	}
	if err := s.statements(e); err != nil {
		return nil, fmt.Errorf("config: schema of %s: %w", e.Path(), err)
	}
	if s.kind == Leaf || s.kind == LeafList {
		if err := b.leafType(s, e); err != nil {
			return nil, fmt.Errorf("config: type of %s: %w", e.Path(), err)
		}
		return s, nil
	}
	if s.kind == Empty {
		return s, nil
	}
	s.lists = s.kind == List
	if parent != nil && !s.oneLiner {
		for _, a := range b.everywhere {
			c := *a
			c.parent, c.id, c.depth = s, uint16(len(s.children)), s.depth+1
			s.children = append(s.children, &c)
		}
	}
	if err := b.children(e, s, nil); err != nil {
		return nil, err
	}
	s.byName = make(map[string]*Schema, len(s.children))
	s.byWord = make(map[string]*Schema, len(s.children))
	for _, c := range s.children {
		s.byName[c.name] = c
		s.byWord[c.word] = c
		s.lists = s.lists || c.lists
		if s.unsupported[c.word] != "" {
			return nil, fmt.Errorf("config: schema of %s: %s is unsupported and is there", e.Path(), c.word)
		}
	}
	s.apply, s.except = s.byName["apply-groups"], s.byName["apply-groups-except"]
	for _, k := range keys {
		c := s.byName[k]
		if c == nil || c.kind != Leaf {
			return nil, fmt.Errorf("config: key %q of list %s is no leaf", k, e.Path())
		}
		c.isKey = true
		s.keys = append(s.keys, c)
	}
	for _, c := range s.children {
		if c.noKeyword && !c.isKey {
			s.bare = c
		}
	}
	return s, s.resolveUniques(e)
}

// children appends the data nodes of e to s; choices and cases are looked through.
func (b *schemaBuilder) children(e *goyang.Entry, s *Schema, cases []caseRef) error {
	for _, name := range b.order(e) {
		c := e.Dir[name]
		if !c.IsChoice() {
			child, err := b.node(c, s, len(s.children), cases)
			if err != nil {
				return err
			}
			s.children = append(s.children, child)
			if child.everywhere {
				b.everywhere = append(b.everywhere, child)
			}
			continue
		}
		b.choices++
		choice := b.choices
		for i, which := range b.order(c) {
			in := append(slices.Clone(cases), caseRef{choice, i})
			kase := c.Dir[which]
			if err := b.children(kase, s, in); err != nil {
				return err
			}
		}
	}
	return nil
}

// order returns the names of e's children as the module texts have them; what other modules add comes last.
func (b *schemaBuilder) order(e *goyang.Entry) []string {
	var names []string
	seen := map[string]bool{}
	var walk func(n goyang.Node, st *goyang.Statement)
	walk = func(n goyang.Node, st *goyang.Statement) {
		for _, sub := range st.SubStatements() {
			switch sub.Keyword {
			case "container", "list", "leaf", "leaf-list", "choice", "case":
				if e.Dir[sub.Argument] != nil && !seen[sub.Argument] {
					seen[sub.Argument] = true
					names = append(names, sub.Argument)
				}
			case "uses":
				if g := goyang.FindGrouping(n, sub.Argument, map[string]bool{}); g != nil {
					walk(g, g.Statement())
				}
			}
		}
	}
	if e.Node != nil {
		walk(e.Node, e.Node.Statement())
	}
	var added []string
	for name := range e.Dir {
		if !seen[name] {
			added = append(added, name)
		}
	}
	rank := func(name string) int {
		m, err := b.modules.FindModuleByNamespace(e.Dir[name].Namespace().Name)
		if err != nil {
			return math.MaxInt
		}
		return slices.Index(augmentOrder, m.Name)
	}
	slices.SortFunc(added, func(x, y string) int {
		if d := rank(x) - rank(y); d != 0 {
			return d
		}
		return strings.Compare(x, y)
	})
	return append(names, added...)
}

// statements reads from the module text what goyang's entry does not keep.
func (s *Schema) statements(e *goyang.Entry) error {
	for _, st := range e.Node.Statement().SubStatements() {
		_, word, isExt := strings.Cut(st.Keyword, ":")
		if !isExt {
			word = st.Keyword
		}
		switch word {
		case "presence":
			s.kind = Presence
		case "must":
			m := &must{text: st.Argument}
			for _, sub := range st.SubStatements() {
				switch {
				case sub.Keyword == "error-message":
					m.message = sub.Argument
				case strings.HasSuffix(sub.Keyword, ":warning"):
					m.warning = true
				}
			}
			s.musts = append(s.musts, m)
		case "max-elements", "min-elements":
			n, err := strconv.Atoi(st.Argument)
			if err != nil {
				return fmt.Errorf("%s %q: %w", word, st.Argument, err)
			}
			if word[1] == 'a' {
				s.max = n
			} else {
				s.min = n
			}
		case "mandatory":
			s.mandatory = st.Argument == "true"
		case "default":
			s.def, s.hasDef = st.Argument, true
		case "status":
			s.deprecated = st.Argument != "current"
		case "oneliner":
			s.oneLiner = true
		case "oneliner-plus":
			s.oneLinerPlus = true
		case "nokeyword":
			s.noKeyword = true
		case "word":
			s.word = st.Argument
		case "template":
			s.template = true
		case "everywhere":
			s.everywhere = true
		case "suggest":
			s.suggested = append(s.suggested, st.Argument)
		case "unsupported":
			if err := s.addUnsupported(st); err != nil {
				return err
			}
		case "grouped":
			s.grouped = true
		case "joined":
			s.joined = true
		case "secret":
			s.secret = true
		case "reference-error":
			s.referenceError = st.Argument
		case "unique-error":
			s.uniqueError = st.Argument
		case "mandatory-error":
			s.mandatoryText = st.Argument
		case "when", "if-feature":
			return fmt.Errorf("%s is not supported", word)
		}
	}
	return nil
}

// addUnsupported reads an unsupported statement: names, and in an error-message why.
func (s *Schema) addUnsupported(st *goyang.Statement) error {
	why := ""
	for _, sub := range st.SubStatements() {
		if sub.Keyword == "error-message" {
			why = ": " + sub.Argument
		}
	}
	if s.unsupported == nil {
		s.unsupported = map[string]string{}
	}
	for name := range strings.FieldsSeq(st.Argument) {
		if s.unsupported[name] != "" {
			return fmt.Errorf("%s is unsupported twice", name)
		}
		s.unsupported[name] = name + " is not supported by gvpn" + why
	}
	return nil
}

func (s *Schema) resolveUniques(e *goyang.Entry) error {
	for _, st := range e.Node.Statement().SubStatements() {
		if st.Keyword != "unique" {
			continue
		}
		var leaves []*Schema
		for _, name := range strings.Fields(st.Argument) {
			c := s.byName[name]
			if c == nil || c.kind != Leaf {
				return fmt.Errorf("config: unique %q of %s: only leaves of the entry itself are supported", name, e.Path())
			}
			leaves = append(leaves, c)
		}
		s.uniques = append(s.uniques, leaves)
	}
	return nil
}

// resolve finds the target of a leafref: a key leaf, named by an absolute or relative path without predicates.
func (r refTask) resolve() error {
	at, path := r.leaf, r.path
	if strings.HasPrefix(path, "/") {
		for at.parent != nil {
			at = at.parent
		}
		first, rest, _ := strings.Cut(path[1:], "/")
		if localName(first) != at.name {
			return fmt.Errorf("config: leafref path %q of %s: does not begin at %s", path, r.leaf.Path(), at.name)
		}
		path = rest
	}
	for name := range strings.SplitSeq(path, "/") {
		if name == ".." {
			at = at.parent
		} else {
			at = at.byName[localName(name)]
		}
		if at == nil {
			return fmt.Errorf("config: leafref path %q of %s: nothing at %q", r.path, r.leaf.Path(), name)
		}
	}
	if !at.isKey || len(at.parent.keys) != 1 {
		return fmt.Errorf("config: leafref path %q of %s: only the single key of a list is supported as target", r.path, r.leaf.Path())
	}
	up := at.parent
	for up = up.parent; !up.above(r.leaf); up = up.parent {
		if up.kind == List {
			return fmt.Errorf("config: leafref path %q of %s: goes down through list %s", r.path, r.leaf.Path(), up.Path())
		}
	}
	r.leaf.typ.target, r.leaf.typ.route = at, routeTo(at.parent, r.leaf)
	at.parent.referrers = append(at.parent.referrers, r.leaf)
	return nil
}

func localName(name string) string {
	if _, after, ok := strings.Cut(name, ":"); ok {
		return after
	}
	return name
}
