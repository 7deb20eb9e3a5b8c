package cli

import (
	"slices"
	"strings"

	"gvpn/config"
)

// verb says what a path of the configuration is for, and with it how much of it must be there.
type verb uint8

const (
	verbSet    verb = iota // a leaf needs its value; further statements of the same level may follow
	verbDelete             // values may be left out; also activate and deactivate
	verbShow               // as delete; a list may also be named without its keys
	verbEdit               // ends at a container or an entry
	verbEntry              // ends at an entry, or at a value of a leaf-list, before one of parser.until
)

// statement is a parsed path.
type statement struct {
	words []string    // spelt out, for config.Tree.Set and its like
	typed []token     // what each word was typed as, for the place of an error
	path  config.Path // what the words name, without a leaf's value
}

// configured reads words that name a place of the configuration, or set something there, from base on. Keywords may be abbreviated;
// they come back spelt out.
func (p *parser) configured(base config.Path, v verb) (statement, error) {
	w := walk{parser: p, verb: v, schema: schemaAt(base), node: p.shell.tree().Root().At(base)}
	w.path = base.Clone()
	p.splitBrackets()
	for {
		if v == verbEntry {
			if w.ends() {
				return w.statement, nil
			}
		} else if v != verbSet || len(w.words) > 0 {
			p.mayEnd()
		}
		if p.atEnd() {
			break
		}
		if w.leaf && v != verbSet {
			return w.statement, p.end() // nothing can follow a leaf
		}
		if err := w.step(); err != nil {
			return w.statement, err
		}
	}
	if v == verbEntry || len(w.words) == 0 && (v == verbSet || v == verbEdit) {
		return w.statement, &syntaxError{at: p.endOfCommand(), text: missingArgument}
	}
	return w.statement, nil
}

// ends reports whether the place is an entry or a value and one of the words that end it is next.
func (w *walk) ends() bool {
	if len(w.path) == 0 || len(w.words) < 2 {
		return false
	}
	if last := w.path[len(w.path)-1]; len(last.Keys) == 0 && (!w.leaf || schemaAt(w.path).Kind() != config.LeafList) {
		return false
	}
	if w.offer(w.until...) {
		return false
	}
	t, ok := w.peek()
	return ok && !t.quoted && slices.ContainsFunc(w.until, func(r row) bool { return r.name == t.text })
}

// splitBrackets makes words of their own of the brackets that stick to others: `[a b]`. Words behind a pipe stay as they are.
func (p *parser) splitBrackets() {
	var out []token
	for i, t := range p.tokens {
		if i < p.next || t.quoted || t.partial {
			out = append(out, t)
			continue
		}
		if t.text == "|" {
			out = append(out, p.tokens[i:]...)
			break
		}
		if strings.HasPrefix(t.text, "[") && len(t.text) > 1 {
			out = append(out, token{text: "[", start: t.start, end: t.start + 1})
			t.text, t.start = t.text[1:], t.start+1
		}
		if strings.HasSuffix(t.text, "]") && len(t.text) > 1 {
			end := token{text: "]", start: t.end - 1, end: t.end}
			t.text, t.end = t.text[:len(t.text)-1], t.end-1
			out = append(out, t, end)
			continue
		}
		out = append(out, t)
	}
	p.tokens = out
}

// schemaAt is the schema node that a path names.
func schemaAt(path config.Path) *config.Schema {
	s := config.Root()
	for _, e := range path {
		if s != nil {
			s = s.Child(e.Name)
		}
	}
	return s
}

// walk is where a statement's words have led so far.
type walk struct {
	*parser
	verb   verb
	schema *config.Schema // a container or list
	node   config.Node    // what is there, perhaps absent
	leaf   bool           // the last word belonged to a leaf

	statement
}

func (w *walk) take(t token, spelt string) {
	w.words = append(w.words, spelt)
	w.typed = append(w.typed, t)
}

// step reads one statement: a container, an entry with its keys, or a leaf with its value.
func (w *walk) step() error {
	var rows []row
	var bare *config.Schema
	for _, c := range w.schema.Children() {
		switch {
		case c.IsKey():
		case w.verb == verbEdit && (c.Kind() == config.Leaf || c.Kind() == config.LeafList || c.Kind() == config.Empty):
		case c.NoKeyword() && c.Kind() == config.Leaf:
			bare = c
			rows = append(rows, placeholder(c))
		case c.NoKeyword():
			bare = c
			rows = append(rows, w.entryNames(c, nil, 0)...)
			rows = append(rows, valueRows(w.shell, c.Keys()[0])...)
		default:
			rows = append(rows, schemaRow(c))
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
	if w.offer(rows...) {
		return errOffered
	}
	t, _ := w.peek()
	if why := w.schema.Unsupported(t.text); why != "" && !t.quoted {
		return &syntaxError{at: t.start, text: why}
	}
	i, err := match(t, rows)
	if err != nil {
		return err
	}
	var c *config.Schema
	switch {
	case i >= 0:
		if c = w.byWord(rows[i].name); c != nil {
			w.next++
			w.take(t, c.Word())
		} else {
			c = bare // an entry whose key is a word of an enumeration
		}
	case bare != nil:
		c = bare
	default:
		return &syntaxError{at: t.start, text: expectStatement, word: t.text, secret: w.schema.OnlySecrets()}
	}
	w.leaf = false
	switch c.Kind() {
	case config.List:
		return w.entry(c)
	case config.Leaf, config.LeafList:
		return w.value(c)
	case config.Empty:
		w.leaf = true
		w.path = append(w.path, config.Elem{Name: c.Name()})
		return nil
	}
	w.schema, w.node = c, w.node.Child(c.Name())
	w.path = append(w.path, config.Elem{Name: c.Name()})
	return nil
}

// byWord returns the statement that is typed with that word here, or nil.
func (w *walk) byWord(word string) *config.Schema {
	for _, c := range w.schema.Children() {
		if c.Word() == word && !c.IsKey() && !c.NoKeyword() {
			return c
		}
	}
	return nil
}

// entry reads the keys of a list entry.
func (w *walk) entry(c *config.Schema) error {
	if w.verb == verbShow {
		w.mayEnd()
		if w.atEnd() {
			w.path = append(w.path, config.Elem{Name: c.Name()})
			return nil
		}
	}
	var keys []string
	for i, k := range c.Keys() {
		if !k.NoKeyword() {
			t, _ := w.peek()
			if _, err := w.keyword("syntax error, expecting <"+k.Word()+">", schemaRow(k)); err != nil {
				return err
			}
			w.take(t, k.Word())
		}
		rows := append(w.entryNames(c, keys, i), valueRows(w.shell, k)...)
		v, t, err := w.word(k, rows)
		if err != nil {
			return err
		}
		w.take(t, v)
		keys = append(keys, v)
	}
	w.schema, w.node = c, w.node.Entry(c.Name(), keys...)
	w.path = append(w.path, config.Elem{Name: c.Name(), Keys: keys})
	return nil
}

// maxOffered is how many names from the configuration a completion lists.
const maxOffered = 100

// entryNames are the values of key i of the entries that are there and agree with the keys before it.
func (w *walk) entryNames(c *config.Schema, before []string, i int) []row {
	var rows []row
	for e := range w.node.Entries(c.Name()) {
		keys := e.Key()
		if !slices.Equal(keys[:i], before) || !strings.HasPrefix(keys[i], w.partial()) {
			continue
		}
		r := row{name: config.Quote(keys[i]), value: true, marker: ' '}
		if !slices.Contains(rows, r) {
			rows = append(rows, r)
		}
		if len(rows) == maxOffered {
			break
		}
	}
	return rows
}

// partial is the partial word if it is the next one.
func (p *parser) partial() string {
	if t, ok := p.peek(); ok && t.partial {
		return t.text
	}
	return ""
}

// value reads a leaf's value, or a leaf-list's one or more in brackets. Where it may be left out it may be the end.
func (w *walk) value(c *config.Schema) error {
	w.leaf = true
	w.path = append(w.path, config.Elem{Name: c.Name()})
	if w.verb != verbSet {
		w.mayEnd()
		if w.atEnd() {
			return nil
		}
	}
	rows := valueRows(w.shell, c)
	if c.Kind() == config.LeafList {
		rows = append(rows, row{name: "[", help: "Open a set of values", marker: ' '})
		if t, ok := w.peek(); ok && t.text == "[" && !t.quoted && !t.partial {
			return w.set(c)
		}
	}
	v, t, err := w.word(c, rows)
	if err != nil {
		return err
	}
	w.take(t, v)
	if w.verb == verbSet {
		w.path = w.path[:len(w.path)-1] // the next statement is the leaf's sibling
	}
	return nil
}

// set reads `[ a b c ]`.
func (w *walk) set(c *config.Schema) error {
	for {
		t, ok := w.peek()
		if !ok {
			return &syntaxError{at: w.endOfCommand(), text: "syntax error, expecting ']'"}
		}
		rows := valueRows(w.shell, c)
		if t.partial {
			rows = append(rows, row{name: "]", help: "Close the set of values", marker: ' '})
		}
		if !t.quoted && !t.partial && (t.text == "[" || t.text == "]") {
			w.next++
			w.take(t, t.text)
			if t.text == "]" {
				w.path = w.path[:len(w.path)-1]
				return nil
			}
			continue
		}
		v, t, err := w.word(c, rows)
		if err != nil {
			return err
		}
		w.take(t, v)
	}
}

// word takes one value. The words of an enumeration may be abbreviated as keywords are.
func (w *walk) word(c *config.Schema, rows []row) (string, token, error) {
	t, err := w.parser.value(rows...)
	if err != nil {
		return "", t, err
	}
	if c.Unsupported(t.text) != "" { // refused as itself with its reason, not taken for an abbreviation: group2 begins group20
		return t.text, t, nil
	}
	var words []row
	for _, e := range c.Enums() {
		words = append(words, row{name: e.Name})
	}
	i, err := match(t, words)
	if err != nil {
		return "", t, err
	}
	if i >= 0 {
		return words[i].name, t, nil
	}
	return t.text, t, nil
}

func schemaRow(c *config.Schema) row {
	r := row{name: c.Word(), help: help(c), marker: ' '}
	switch c.Kind() {
	case config.Container, config.Presence, config.List:
		r.marker = '>'
	case config.LeafList:
		r.marker = '+'
	}
	return r
}

func placeholder(c *config.Schema) row {
	return row{name: "<" + c.Name() + ">", help: help(c), marker: ' ', value: true}
}

func help(c *config.Schema) string {
	text, _, _ := strings.Cut(strings.Join(strings.Fields(c.Description()), " "), ". ")
	text = strings.TrimSuffix(text, ".")
	if r := c.Range(); r != "" {
		text += " " + r
	}
	return text
}

// valueRows are what completion offers for a leaf's value: the words of an enumeration, the names that a reference may mean, and
// else a placeholder.
func valueRows(s *Shell, c *config.Schema) []row {
	var rows []row
	for _, e := range c.Enums() {
		rows = append(rows, row{name: e.Name, help: e.Description, marker: ' '})
	}
	for _, v := range c.Suggested() {
		rows = append(rows, row{name: v, marker: ' '})
	}
	target := c.Target()
	if groups := config.Root().Child("groups"); c.Everywhere() {
		target = groups.Keys()[0]
	}
	if target != nil && target.Parent() != nil {
		for _, name := range entriesOf(s.tree().Root(), target) {
			rows = append(rows, row{name: config.Quote(name), marker: ' '})
		}
	}
	if len(c.Enums()) == 0 {
		rows = append(rows, placeholder(c))
	}
	return rows
}

// entriesOf are the values of a key leaf in the whole configuration, as far as they are offered.
func entriesOf(n config.Node, key *config.Schema) []string {
	var down []*config.Schema
	for s := key.Parent(); s != nil && s.Parent() != nil; s = s.Parent() {
		down = append(down, s)
	}
	slices.Reverse(down)
	var names []string
	var visit func(n config.Node, rest []*config.Schema)
	visit = func(n config.Node, rest []*config.Schema) {
		switch {
		case len(names) >= maxOffered:
		case len(rest) == 0:
			names = append(names, n.Child(key.Name()).Value())
		case rest[0].Kind() == config.List:
			for e := range n.Entries(rest[0].Name()) {
				visit(e, rest[1:])
			}
		default:
			visit(n.Child(rest[0].Name()), rest[1:])
		}
	}
	if len(down) > 0 {
		visit(n, down)
	}
	return names
}
