package config

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Error is what is wrong with a configuration or with a text that should become one.
type Error struct {
	Path    string // where, as Junos shows it: [edit security group-vpn]; the level that holds Element
	At      Path   // the same place, for machines
	Element string // the statement in question: a name, for an entry with its keys
	Tag     string // the error-tag of RFC 6241 appendix A
	Message string // in Junos's words where it has words

	// Where in a text, if it came from one. Line and Column count from 1, a column is a character. Source is the line,
	// or the part of a long one around the place; Caret is the place's column in Source.
	File         string
	Line, Column int
	Source       string
	Caret        int

	Expected string // what would have been right there, or ""
	Warning  bool   // the configuration is accepted all the same
	More     int    // not 0: it stands for so many errors, or warnings, the first of which is at its place

	secret bool // what is wrong is a secret, which must not be repeated
	unsure bool // what is wrong is a word that no model has: behind it, to the end of the line, nobody can say what is secret
}

// Error returns one line with place and message and, if the error came from a text, the source line, a line with a
// caret below what is wrong, and what was expected.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" || e.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	} else if e.Path != "" {
		b.WriteString(Brief(e.Path, BriefText) + " ")
		if e.Element != "" {
			b.WriteString("'" + Brief(e.Element, BriefText) + "' ")
		}
	}
	if e.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(Brief(e.Message, BriefText))
	if e.Line > 0 {
		b.WriteByte('\n')
		b.WriteString(e.Source)
		b.WriteByte('\n')
		for i, c := range e.Source {
			if utf8.RuneCountInString(e.Source[:i]) >= e.Caret-1 {
				break
			}
			if c == '\t' {
				b.WriteByte('\t')
			} else {
				b.WriteByte(' ')
			}
		}
		b.WriteByte('^')
	}
	if e.Expected != "" {
		b.WriteString("\nexpected: " + e.Expected)
	}
	return b.String()
}

// unknown is the error of a word or name in s that is no statement there.
func unknown(s *Schema, name string) *Error {
	if why := s.Unsupported(name); why != "" {
		return &Error{Tag: "operation-not-supported", Element: name, Message: why, unsure: true}
	}
	return &Error{
		Tag: "unknown-element", Element: printable(name), Message: "syntax error, expecting <statement>",
		Expected: new(reader).expect(s), unsure: true,
	}
}

// Errors is a list of errors and warnings.
type Errors []*Error

// Err returns nil if the list holds no error (warnings are none), else an error that words all of them.
func (e Errors) Err() error {
	for _, x := range e {
		if !x.Warning {
			return e
		}
	}
	return nil
}

// Split returns the errors and the warnings.
func (e Errors) Split() (errs, warnings Errors) {
	for _, x := range e {
		if x.Warning {
			warnings = append(warnings, x)
		} else {
			errs = append(errs, x)
		}
	}
	return errs, warnings
}

// Error returns every error's text, a line or a few each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// How many characters of what came from outside a message to a person repeats: of a word, and of a text with a few of them.
const (
	BriefWord = 100
	BriefText = 400
)

// Brief returns a text on one line, without what cannot be printed, and cut with an ellipsis behind most characters.
func Brief(text string, most int) string {
	n := 0
	for i := range text {
		if n == most {
			text = text[:i] + "..."
			break
		}
		n++
	}
	return strings.Map(visible, text)
}

// visible puts a question mark in the place of what could not be seen, or would turn a line around.
func visible(r rune) rune {
	if !unicode.IsPrint(r) || r == utf8.RuneError {
		return '?'
	}
	return r
}

// Count returns how many errors and warnings there are, those included that are only counted.
func (e Errors) Count() int {
	n := 0
	for _, x := range e {
		n += max(x.More, 1)
	}
	return n
}

// maxErrors is how many errors one text gives, and how many warnings. The rest of the text is still read; what is found there is
// counted.
const maxErrors = 100

// findings collects what is wrong with one text. Errors and warnings are counted apart, so that no number of warnings hides an
// error.
type findings struct {
	most   int // of each that list has in full; 0: maxErrors
	list   Errors
	counts [2]int    // of errors, of warnings
	more   [2]*Error // the last of each in list, which stands for all that are not
	last   spot
}

// add takes an error in, and reports whether it is to be said where it is.
func (f *findings) add(e *Error) bool {
	kind := 0
	if e.Warning {
		kind = 1
	}
	f.counts[kind]++
	most := cmp.Or(f.most, maxErrors)
	switch n := f.counts[kind]; {
	case n <= most:
	case n == most+1:
		f.more[kind] = e
	default:
		f.more[kind].More = n - most
		return false
	}
	f.list = append(f.list, e)
	return true
}

// place says at which level of the configuration the error is, unless it says so itself.
func (e *Error) place(steps []step) {
	if e.Path == "" {
		e.At = pathOf(steps)
		e.Path = e.At.Edit()
	}
}

// failed reports whether there is an error among them.
func (f *findings) failed() bool { return f.counts[0] > 0 }

// all returns the list.
func (f *findings) all() Errors {
	for kind, what := range []string{"errors", "warnings"} {
		if e := f.more[kind]; e != nil && e.More > 0 {
			e.Element, e.Expected, e.Message = "", "", fmt.Sprintf("and %d more %s, the first of them here", e.More, what)
		}
	}
	return f.list
}

// spot is where the last error was found: one behind it in the same line is found from there.
type spot struct {
	off    int  // where
	begin  int  // of the line
	column int  // of off, in characters from 0; an octet that is no UTF-8 is a character
	unsure bool // an error before off in the line was, or was about a secret
}

func (s *spot) move(src []byte, off int) {
	if off < s.off || bytes.IndexByte(src[s.off:off], '\n') >= 0 {
		begin := bytes.LastIndexByte(src[:off], '\n') + 1
		*s = spot{off: begin, begin: begin}
	}
	s.column += utf8.RuneCount(src[s.off:off])
	s.off = off
}

// maxSource is the most characters of a source line that an error repeats.
const maxSource = 160

// locate fills in where in src the error is; off is the octet offset of what is wrong, from a place that was found before. Of the
// line it repeats what ends in the word that is wrong: what follows was not read yet, and may be a secret. Where the words are right
// and what they mean is not, it repeats all of them.
func (e *Error) locate(file string, src []byte, off, line int, from *spot) {
	off = min(off, len(src))
	from.move(src, off)
	e.File, e.Line, e.Column = file, line, from.column+1
	begin := from.begin
	start := max(begin, off-4*maxSource)
	length := wordLength
	if slices.Contains([]string{"data-missing", "data-exists", "access-denied", "operation-failed"}, e.Tag) {
		length = wordsLength
	}
	before, after := excerpt(string(src[start:min(len(src), off+4*maxSource)]), off-start, length)
	if e.secret {
		after = strings.Repeat("*", utf8.RuneCountInString(after))
	}
	switch {
	case start != begin || secretBefore(src[:start]): // what is not looked at may hold the name of the secret that the rest begins with
		before, after = "", "..."
	case from.unsure:
		before = "... "
	}
	from.unsure = from.unsure || e.unsure || e.secret
	head, shown := []rune(before), []rune(before+after)
	if cut := len(head) - maxSource/2; cut > 0 {
		head, shown = head[cut:], shown[cut:]
	}
	if most := len(head) + maxSource/2; len(shown) > most {
		shown = shown[:most]
	}
	e.Caret = len(head) + 1
	e.Source = strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return visible(r)
	}, string(shown))
}

// Excerpt is what an error about the word at an octet of a line may repeat of the line: as far as the end of the word, with
// secrets masked, character by character, and an ellipsis for what it leaves out.
func Excerpt(line string, at int) string {
	before, after := excerpt(line, at, wordLength)
	return before + after
}

func excerpt(text string, at int, length func(string) int) (before, after string) {
	at = min(at, len(text))
	end := at + length(text[at:])
	rest, _, _ := strings.Cut(text[end:], "\n")
	shown := []rune(maskSecrets(text[:end]))
	n := utf8.RuneCountInString(text[:at])
	before, after = string(shown[:n]), string(shown[n:])
	if strings.Trim(rest, " \t\r;{}[]/>") != "" {
		return before, strings.TrimRight(after, " \t") + " ..."
	}
	return before, after + strings.TrimRight(rest, " \t\r")
}

// wordLength is how many octets of a text in any of the spellings its first word has: up to a blank or to what ends a word there, or
// a whole quoted string.
func wordLength(text string) int {
	const blank, ends = " \t\r\n", " \t\r\n;{}[]<>"
	if text == "" || strings.IndexByte(blank, text[0]) >= 0 {
		return 0
	}
	if text[0] != '"' {
		if i := strings.IndexAny(text[1:], ends); i >= 0 {
			return i + 1
		}
		return len(text)
	}
	for i := 1; i < len(text) && text[i] != '\n'; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 1 // no closing quote: nobody can say where it ends
}

// wordsLength is how many octets of a text its first words have, up to what ends a statement or opens a level.
func wordsLength(text string) int {
	for end := 0; ; {
		if n := wordLength(text[end:]); n > 0 && (end == 0 || strings.IndexByte(";{}<>,", text[end]) < 0) {
			end += n
		} else if end < len(text) && (text[end] == ' ' || text[end] == '\t') {
			end++
		} else {
			return end
		}
	}
}

// expectations has the list for every container and list: a text that is nothing but errors asks for one with each.
var expectations = sync.OnceValue(func() map[*Schema]string {
	all := map[*Schema]string{}
	var walk func(s *Schema)
	walk = func(s *Schema) {
		var names []string
		for _, c := range s.children {
			switch {
			case c.isKey, c.everywhere: // what may stand everywhere need not be told everywhere
			case c == s.bare:
				names = append(names, c.placeholder())
			default:
				names = append(names, c.word)
			}
			walk(c)
		}
		slices.Sort(names)
		all[s] = oneOf(names)
	}
	walk(Root())
	return all
})

// secretNames are the names of secret leaves; what follows one of them in a text is not repeated in an error.
var secretNames = sync.OnceValue(func() []string {
	var names []string
	var walk func(s *Schema)
	walk = func(s *Schema) {
		if s.secret && !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
		for _, c := range s.children {
			walk(c)
		}
	}
	walk(Root())
	return names
})

// pemMark begins a secret that is typed without a name.
const pemMark = "-----BEGIN"

// crypted are the beginnings of what can be told for a secret or for a password's hash wherever it stands.
var crypted = []string{pemMark, obfuscated, "$1$", "$5$", "$6$", "$8$"}

// maskSecrets puts asterisks in the place of everything behind the name of a secret leaf, or behind a word that may
// stand for one, character by character. In a text that is wrong nobody can say where the secret ends.
func maskSecrets(line string) string {
	first := len(line)
	for at, end := 0, 0; at < len(line); at = end + 1 {
		if end = strings.IndexAny(line[at:], " \t\r\n"); end < 0 {
			break // nothing behind the last word
		}
		end += at
		for _, name := range secretNames() {
			if word := line[at:end]; len(word) >= 2 && strings.HasPrefix(name, word) {
				first = min(first, end)
			}
		}
	}
	for _, name := range secretNames() {
		if i := strings.Index(line, name); i >= 0 {
			first = min(first, i+len(name))
		}
	}
	for _, mark := range crypted {
		if i := strings.Index(line, mark); i >= 0 {
			first = min(first, i)
		}
	}
	return line[:first] + strings.Repeat("*", utf8.RuneCountInString(line[first:]))
}

// secretBefore reports whether what stands before a line ends in the name of a secret leaf, or in PEM text.
func secretBefore(b []byte) bool {
	const look = 1 << 16
	b = b[max(0, len(b)-look):]
	if i := bytes.LastIndex(b, []byte(pemMark)); i >= 0 && !bytes.Contains(b[i:], []byte("-----END")) {
		return true
	}
	b = bytes.TrimRight(b, " \t\r\n\">:=[{")
	for _, name := range secretNames() {
		if bytes.HasSuffix(b, []byte(name)) {
			return true
		}
	}
	return false
}
