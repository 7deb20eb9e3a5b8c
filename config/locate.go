package config

// Locate gives a place in the text src of file to those of the errors that have none: what a rule found out about a whole
// configuration (a reference, a number that must be unique) stands somewhere in the text that brought it. set says which
// form the text has. An error about something that the text does not name points at the innermost statement around it. Only
// the first 100 are looked for.
func (e Errors) Locate(file string, src []byte, set bool) {
	var lost []*sought
	for _, err := range e {
		if err.Line > 0 || err.Path == "" || len(lost) == maxErrors {
			continue
		}
		words := wordsOf(err.At.String())
		lost = append(lost, &sought{err: err, words: append(words, wordsOf(err.Element)...)})
	}
	if len(lost) == 0 {
		return
	}
	look := func(stack [][]token, words []token) {
		for _, s := range lost {
			s.look(stack, words)
		}
	}
	if set {
		setStatements(src, look)
	} else {
		curlyStatements(src, look)
	}
	var last spot
	for _, s := range lost {
		if s.matched > 0 {
			s.err.locate(file, src, s.best.off, s.best.line, &last)
		}
	}
}

// sought is an error, the words of the statement that it is about, and the best match so far: the more words the better,
// and the first of equals.
type sought struct {
	err     *Error
	words   []string
	matched int
	best    token
}

// look compares a statement, as the words of the levels around it and its own.
func (s *sought) look(stack [][]token, words []token) {
	n := 0
	var last token
	match := func(words []token) bool {
		for _, w := range words {
			if n == len(s.words) || string(w.text) != s.words[n] {
				return false
			}
			n, last = n+1, w
		}
		return true
	}
	for _, level := range stack {
		if !match(level) {
			return // the level itself has been looked at
		}
	}
	match(words)
	if n > s.matched {
		s.matched, s.best = n, last
	}
}

func wordsOf(text string) (words []string) {
	l := lexer{src: []byte(text), line: 1}
	for {
		t, err := l.next()
		if err != nil || t.kind == tokEnd {
			return words
		}
		if t.kind == tokWord {
			words = append(words, string(t.text))
		}
	}
}

// setStatements calls look for every line of set text, without its verb.
func setStatements(src []byte, look func(stack [][]token, words []token)) {
	l := lexer{src: src, line: 1, lines: true}
	var words []token
	for {
		t, err := l.next()
		switch {
		case err != nil:
			return // a text that was loaded has none
		case t.kind == tokWord:
			words = append(words, t)
		case t.kind == tokEnd:
			if len(words) > 1 {
				look(nil, words[1:])
			}
			words = words[:0]
			if l.at == len(src) {
				return
			}
			l.at++ // the line's end
			l.line++
		}
	}
}

// curlyStatements calls look for every statement of curly text, on its way down: for one with a block, before what is in it;
// for each value in brackets.
func curlyStatements(src []byte, look func(stack [][]token, words []token)) {
	l := lexer{src: src, line: 1}
	var stack [][]token
	var words []token
	list := -1 // how many words are before the bracket that is open
	for {
		t, err := l.next()
		if err != nil || t.kind == tokEnd {
			return
		}
		switch t.kind {
		case tokWord:
			if len(words) == 0 && new(tags).read(t) {
				continue
			}
			words = append(words, t)
			if list >= 0 {
				look(stack, words)
				words = words[:list]
			}
		case tokFrom:
			list = len(words)
		case tokTo:
			list = -1
		case tokOpen:
			look(stack, words)
			stack, words, list = append(stack, words), nil, -1
		case tokClose:
			if len(stack) > 0 {
				stack = stack[:len(stack)-1]
			}
			words, list = nil, -1
		case tokSemi:
			look(stack, words)
			words, list = nil, -1
		}
	}
}
