package cli

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is one word of a command line. A quoted word is never a keyword, a pipe or `?`.
type token struct {
	text       string // without quotes and escapes
	quoted     bool
	partial    bool // completion only: the word that the cursor is in, perhaps empty
	start, end int  // octets of the line, quotes included
}

// lex splits a line into words. Blanks separate them; double quotes hold a word together, and within them a backslash
// makes the escapes of configuration text (\" \\ \n \t \r); an unquoted | is a word of its own. A # at the start of the line, and ## where
// a word could start, begin a comment that reaches to the end of the line, as in set text. A quote that is not closed is an error
// at its place, and the word up to the end is still returned.
func lex(line string) ([]token, error) {
	var tokens []token
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRuneInString(line[i:])
		switch {
		case unicode.IsSpace(r):
			i += size
		case comment(line[i:], len(tokens) == 0):
			return tokens, nil
		case r == '|':
			tokens = append(tokens, token{text: "|", start: i, end: i + 1})
			i++
		default:
			t, closed := word(line, i)
			tokens = append(tokens, t)
			if !closed {
				return tokens, &syntaxError{at: t.start, text: "unterminated string", word: t.text}
			}
			i = t.end
		}
	}
	return tokens, nil
}

// comment reports that a comment begins at text, which is where a word could start.
func comment(text string, first bool) bool {
	return strings.HasPrefix(text, "##") || first && strings.HasPrefix(text, "#")
}

// escapes are what may follow a backslash in quotes, and what it stands for. Before anything else a backslash is itself.
var escapes = map[byte]byte{'"': '"', '\\': '\\', 'n': '\n', 't': '\t', 'r': '\r'}

// escape returns what the two octets at the start of text stand for, if they are an escape.
func escape(text string) (c byte, ok bool) {
	if len(text) < 2 || text[0] != '\\' {
		return 0, false
	}
	c, ok = escapes[text[1]]
	return c, ok
}

// word reads the word that starts at octet i, and reports false if a quote in it is not closed. As in Junos, a quote may also stand
// inside a word, and what it encloses belongs to that word.
func word(line string, i int) (t token, closed bool) {
	t = token{start: i}
	var b strings.Builder
	inQuote := false
	for i < len(line) {
		r, size := utf8.DecodeRuneInString(line[i:])
		switch {
		case r == '"':
			inQuote = !inQuote
			t.quoted = true
		case inQuote && r == '\\':
			c, ok := escape(line[i:])
			if ok {
				size = 2
			} else {
				c = '\\'
			}
			b.WriteByte(c)
		case !inQuote && (unicode.IsSpace(r) || r == '|'):
			t.text, t.end = b.String(), i
			return t, true
		default:
			b.WriteString(line[i : i+size]) // not WriteRune: an octet that is no UTF-8 stays what it is
		}
		i += size
	}
	t.text, t.end = b.String(), i
	return t, !inQuote
}

// splitCommands splits the text of `gvpn -c` into its commands: at semicolons and line ends outside quotes. Empty commands
// are dropped; a comment reaches to the end of its line, semicolons and all.
func splitCommands(text string) []string {
	var commands []string
	start, inQuote, inComment, wordStart, first := 0, false, false, true, true
	cut := func(end int) {
		if c := strings.TrimSpace(text[start:end]); c != "" {
			commands = append(commands, c)
		}
		start, wordStart, first = end+1, true, true
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		_, escaped := escape(text[i:])
		switch {
		case inQuote && escaped:
			i++
		case c == '\n' && !inQuote:
			cut(i)
			inComment = false
		case inComment:
		case c == '"':
			inQuote, wordStart, first = !inQuote, false, false
		case inQuote:
		case c == ';':
			cut(i)
		case wordStart && comment(text[i:], first):
			inComment = true
		default:
			r, size := utf8.DecodeRuneInString(text[i:])
			i += size - 1
			wordStart = unicode.IsSpace(r) || r == '|'
			first = first && wordStart && r != '|'
		}
	}
	cut(len(text))
	return commands
}
