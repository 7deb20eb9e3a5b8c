package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gvpn/config"
	"gvpn/internal/auth"
	"gvpn/oper"
)

// The grammar is written as recursive descent over words, once: the same functions parse a line that is to be run and find the
// completions of one that is being typed. In the second case the last word is partial; the function that would consume it
// offers what may stand there instead, and stops the parse.

// row is one keyword that may stand at a place, or a placeholder for a value.
type row struct {
	name string
	help string
	// marker says what comes below, as Junos does: '>' a hierarchy, '+' several values, ' ' a leaf or a command.
	marker byte
	// value rows are offered but not matched by keyword: "<name>", or a name that is in the configuration already.
	value bool
	// argument is what a keyword of an operational command stands for.
	argument oper.Argument
	// refused is why gvpn does not have the keyword, which Junos has: it is not offered, and refused with that.
	refused string
}

// syntaxError is an error at a place in the line.
type syntaxError struct {
	at   int    // octet of the line
	text string // Junos's words, without the full stop
	word string // the offending word; empty at the end of the line
	rows []row  // "'x' is ambiguous": what it may stand for

	secret bool // the word may be a secret
}

func (e *syntaxError) Error() string {
	if e.word == "" {
		return config.Brief(e.text, config.BriefText)
	}
	return config.Brief(e.text, config.BriefText) + ": " + config.Brief(e.word, config.BriefWord)
}

// errOffered ends a parse for completion: the candidates are in the parser.
var errOffered = fmt.Errorf("completions offered")

// Words for what was expected where.
const (
	expectCommand   = "syntax error, expecting <command>"
	expectStatement = "syntax error, expecting <statement> or <identifier>"
	missingArgument = "missing argument"
	notExpected     = "syntax error"
)

// parser walks the words of one line.
type parser struct {
	shell  *Shell
	tokens []token
	next   int
	length int // octets of the line: where an error about a missing word points

	offered []row
	prefix  string // of the partial word
	enter   bool   // the line may also end at the partial word

	until []row // verbEntry: the words that end the place
}

// newParser returns a parser for a line that is to be run; with complete, for one that is typed as far as its end.
func newParser(s *Shell, line string, complete bool) (*parser, error) {
	tokens, err := lex(line)
	p := &parser{shell: s, tokens: tokens, length: len(line)}
	if !complete {
		return p, err
	}
	if n := len(tokens); n > 0 && tokens[n-1].end == len(line) && tokens[n-1].text != "|" && !strings.HasSuffix(line, " ") {
		p.tokens[n-1].partial = true
	} else {
		p.tokens = append(p.tokens, token{partial: true, start: len(line), end: len(line)})
	}
	p.prefix = p.tokens[len(p.tokens)-1].text
	return p, nil
}

// peek returns the next word; ok is false at the end of the command, which is the end of the line or a pipe.
func (p *parser) peek() (t token, ok bool) {
	if p.next >= len(p.tokens) {
		return token{}, false
	}
	t = p.tokens[p.next]
	return t, t.quoted || t.text != "|" || t.partial
}

// offer adds to the completions if the next word is the partial one, and reports whether it is.
func (p *parser) offer(rows ...row) bool {
	t, ok := p.peek()
	if !ok || !t.partial {
		return false
	}
	for _, r := range rows {
		if r.refused == "" && (!t.quoted || r.value) {
			p.offered = append(p.offered, r)
		}
	}
	return true
}

// mayEnd notes that the command is complete before the next word.
func (p *parser) mayEnd() {
	if t, ok := p.peek(); ok && t.partial && t.text == "" && !t.quoted {
		p.enter = true
	}
}

// atEnd reports that no word of the command is left.
func (p *parser) atEnd() bool {
	_, ok := p.peek()
	return !ok
}

// end takes the end of the command; a further word is an error.
func (p *parser) end() error {
	p.mayEnd()
	t, ok := p.peek()
	if !ok {
		return nil
	}
	if t.partial {
		return errOffered
	}
	return &syntaxError{at: t.start, text: notExpected, word: t.text}
}

// keyword takes one of the rows, spelt out or as an abbreviation that fits no other row, and returns its index.
// expect is the error's text where none fits.
func (p *parser) keyword(expect string, rows ...row) (int, error) {
	if p.offer(rows...) {
		return 0, errOffered
	}
	t, ok := p.peek()
	if !ok {
		return 0, &syntaxError{at: p.endOfCommand(), text: expect}
	}
	i, err := match(t, rows)
	if err != nil {
		return 0, err
	}
	if i < 0 {
		return 0, &syntaxError{at: t.start, text: expect, word: t.text}
	}
	if r := rows[i]; r.refused != "" {
		return 0, p.fail(t, "%s is not supported: %s", r.name, r.refused)
	}
	p.next++
	return i, nil
}

// endOfCommand is where an error about a word that is missing points: behind the command's last word.
func (p *parser) endOfCommand() int {
	if p.next < len(p.tokens) {
		return p.tokens[p.next].start
	}
	return p.length
}

// match finds the row that a word names: -1 if none, an error if several.
func match(t token, rows []row) (int, error) {
	if t.quoted {
		return -1, nil
	}
	found := -1
	var several []row
	for i, r := range rows {
		if r.value {
			continue
		}
		if r.name == t.text {
			return i, nil
		}
		if strings.HasPrefix(r.name, t.text) {
			found = i
			several = append(several, r)
		}
	}
	if len(several) > 1 {
		return -1, &syntaxError{at: t.start, text: fmt.Sprintf("'%s' is ambiguous", t.text), word: "", rows: several}
	}
	return found, nil
}

// value takes any word. The rows are what completion offers for it: a placeholder, names that exist.
func (p *parser) value(rows ...row) (token, error) {
	for i := range rows {
		rows[i].value = true
	}
	if p.offer(rows...) {
		return token{}, errOffered
	}
	t, ok := p.peek()
	if !ok {
		return token{}, &syntaxError{at: p.endOfCommand(), text: missingArgument}
	}
	p.next++
	return t, nil
}

// fail makes an error about the word before the next one: a value that was taken and found wrong.
func (p *parser) fail(t token, format string, args ...any) error {
	return &syntaxError{at: t.start, text: fmt.Sprintf(format, args...)}
}

// command is one word of the command tree: with sub commands, or with a parse of its own.
type command struct {
	name  string
	help  string
	needs auth.Permission // 0: whatever its parent needs
	sub   []*command
	// parse reads the command's arguments up to its end. A command may have both: then a word that is no sub command is an
	// argument.
	parse func(*parser) (action, error)
	// available says whether the command exists in this session; nil: yes.
	available func(*Shell) bool
}

// action is a parsed command: what to run, who may, and in which forms its output can be had.
type action struct {
	needs auth.Permission
	forms []form // for `| display`; text is always possible
	run   func(*run) error
	// compares: `| compare` may follow; effects: `| display effects` may; inherits: `| display inheritance` may.
	compares, effects, inherits bool
}

// parseCommand walks the command tree and then the pipes.
func (p *parser) parseCommand(commands []*command, unknown string) (action, pipeline, error) {
	a, err := p.descend(commands, unknown, 0)
	if err != nil {
		return a, pipeline{}, err
	}
	pipes, err := p.pipes(a)
	return a, pipes, err
}

func (p *parser) descend(commands []*command, expect string, needs auth.Permission) (action, error) {
	commands = slices.DeleteFunc(slices.Clone(commands), func(c *command) bool {
		return c.available != nil && !c.available(p.shell)
	})
	rows := make([]row, len(commands))
	for i, c := range commands {
		rows[i] = row{name: c.name, help: c.help, marker: ' '}
		if len(c.sub) > 0 {
			rows[i].marker = '>'
		}
	}
	i, err := p.keyword(expect, rows...)
	if err != nil {
		return action{}, err
	}
	c := commands[i]
	needs = cmp.Or(c.needs, needs)
	var a action
	if len(c.sub) > 0 && (c.parse == nil || p.startsSub(c)) {
		a, err = p.descend(c.sub, expectCommand, needs)
	} else {
		a, err = c.parse(p)
	}
	a.needs = cmp.Or(a.needs, needs)
	return a, err
}

// startsSub reports that the next word is a sub command of c, which has arguments too. For completion it offers the sub commands,
// and the arguments are offered after them.
func (p *parser) startsSub(c *command) bool {
	rows := make([]row, len(c.sub))
	for i, s := range c.sub {
		rows[i] = row{name: s.name, help: s.help, marker: '>'}
	}
	if p.offer(rows...) {
		return false
	}
	t, ok := p.peek()
	if !ok {
		return false
	}
	i, err := match(t, rows)
	return err != nil || i >= 0
}

// noArguments makes the parse function of a command without arguments.
func noArguments(a action) func(*parser) (action, error) {
	return func(p *parser) (action, error) { return a, p.end() }
}
