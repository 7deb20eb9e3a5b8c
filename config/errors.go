package config

import (
	"fmt"
	"strings"
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
}

// Error returns one line with place and message and, if the error came from a text, the source line, a line with a
// caret below what is wrong, and what was expected.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" || e.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	} else if e.Path != "" {
		b.WriteString(e.Path + " ")
		if e.Element != "" {
			b.WriteString("'" + e.Element + "' ")
		}
	}
	if e.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(e.Message)
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

// maxErrors bounds how many errors one text gives; the rest of the text is still read, but not reported on.
const maxErrors = 100

// maxSource is the most characters of a source line that an error repeats.
const maxSource = 160

// locate fills in where in src the error is; off is the octet offset of what is wrong.
func (e *Error) locate(file string, src []byte, off int, line int) {
	off = min(off, len(src))
	start := off
	for start > 0 && src[start-1] != '\n' && off-start < 4*maxSource {
		start--
	}
	whole := start == 0 || src[start-1] == '\n'
	end := off
	for end < len(src) && src[end] != '\n' && end-off < maxSource {
		end++
	}
	before := []rune(strings.ToValidUTF8(string(src[start:off]), "?"))
	e.File, e.Line, e.Column = file, line, len(before)+1
	if !whole {
		n := start
		for n > 0 && src[n-1] != '\n' {
			n--
		}
		e.Column += utf8.RuneCount(src[n:start])
	}
	if len(before) > maxSource/2 {
		before = before[len(before)-maxSource/2:]
	}
	e.Caret = len(before) + 1
	after := []rune(strings.ToValidUTF8(string(src[off:end]), "?"))
	if len(after) > maxSource/2 {
		after = after[:maxSource/2]
	}
	e.Source = strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f) {
			return '?'
		}
		return r
	}, string(before)+string(after))
}
