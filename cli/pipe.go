package cli

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// form is how an output is written.
type form uint8

// The forms. Text is curly for a configuration and Junos's tables for an operational reply.
const (
	formText form = iota
	formSet
	formXML
	formJSON
)

var formNames = []string{formText: "text", formSet: "set", formXML: "xml", formJSON: "json"}

// pipeline is what follows a command's first `|`.
type pipeline struct {
	form    form
	compare bool
	// against is the rollback number that compare compares with; 0: the running configuration.
	against int
	effects bool
	// explicit and relative say how set lines look.
	explicit, relative bool
	// inherited: what groups bring is written out; then brief and silent say how that is told.
	inherited, brief, silent bool

	filters []func(io.Writer) io.WriteCloser // in the order in which they are typed
}

// defaultLast is how many lines `| last` keeps without a number. Ours; Junos takes the screen's length.
const defaultLast = 10

var pipeRows = []row{
	{name: "append", refused: "a file of the client is written anew; use 'save'"},
	{name: "compare", help: "Compare configuration changes with prior version"},
	{name: "count", help: "Count occurrences"},
	{name: "display", help: "Show additional kinds of information"},
	{name: "except", help: "Show only text that does not match a pattern"},
	{name: "find", help: "Search for first occurrence of pattern"},
	{name: "hold", help: "Hold text without exiting the --More-- prompt"},
	{name: "last", help: "Display end of output only"},
	{name: "match", help: "Show only text that matches a pattern"},
	{name: "no-more", help: "Don't paginate output"},
	{name: "save", help: "Save output text to file"},
	{name: "suppress-zeros", refused: "every row is shown"},
	{name: "tee", help: "Write to standard output and file"},
	{name: "trim", help: "Trim specified number of columns from start of line"},
}

// pipes parses the pipes after a command. Which kinds of display there are, and whether compare is one, depends on the command.
func (p *parser) pipes(a action) (pipeline, error) {
	var out pipeline
	for p.next < len(p.tokens) {
		p.next++ // the |
		rows := slices.DeleteFunc(slices.Clone(pipeRows), func(r row) bool {
			return r.name == "compare" && !a.compares || r.name == "display" && !slices.ContainsFunc(p.displays(a, out), func(d row) bool { return d.refused == "" })
		})
		i, err := p.keyword(expectCommand, rows...)
		if err != nil {
			return out, err
		}
		switch rows[i].name {
		case "compare":
			err = p.compare(&out)
		case "display":
			err = p.display(a, &out)
		case "count":
			out.filters = append(out.filters, count)
		case "no-more", "hold": // there is no pager
		case "trim":
			err = p.trim(&out)
		case "last":
			err = p.last(&out)
		case "save", "tee":
			err = p.save(&out, rows[i].name == "tee")
		default:
			err = p.pattern(rows[i].name, &out)
		}
		if err == nil {
			err = p.end()
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (p *parser) displays(a action, so pipeline) []row {
	var rows []row
	if a.effects && (so.compare || !a.compares) {
		rows = append(rows, row{name: "effects", help: "What a commit of this would do to keys and members"})
	}
	if so.compare {
		return rows
	}
	if a.inherits && !so.inherited && so.form == formText {
		rows = append(rows, row{name: "inheritance", help: "Show inherited configuration data and source group"})
	}
	help := []string{formSet: "Show 'set' commands that create configuration", formXML: "Show output as XML tags", formJSON: "Show output in JSON format"}
	for _, f := range a.forms {
		rows = append(rows, row{name: formNames[f], help: help[f]})
	}
	for _, name := range []string{"changed", "detail", "mark-changed", "max-depth", "max-version", "omit", "rfc5952"} {
		rows = append(rows, row{name: name, refused: "there are inheritance, set, xml and json, and effects of a pending change"})
	}
	return rows
}

func (p *parser) display(a action, out *pipeline) error {
	rows := p.displays(a, *out)
	i, err := p.keyword(expectCommand, rows...)
	if err != nil {
		return err
	}
	if rows[i].name == "effects" {
		out.effects = true
		return nil
	}
	if rows[i].name == "inheritance" {
		return p.inheritance(out)
	}
	out.form = form(slices.Index(formNames, rows[i].name))
	if out.form != formSet {
		return nil
	}
	left := []row{{name: "explicit", help: "Also lines for what holds something"}, {name: "relative", help: "Leave out the way to this level"}}
	for len(left) > 0 {
		p.mayEnd()
		if p.atEnd() {
			break
		}
		i, err := p.keyword(notExpected, left...)
		if err != nil {
			return err
		}
		out.explicit = out.explicit || left[i].name == "explicit"
		out.relative = out.relative || left[i].name == "relative"
		left = slices.Delete(left, i, i+1)
	}
	return nil
}

func (p *parser) inheritance(out *pipeline) error {
	out.inherited = true
	p.mayEnd()
	if p.atEnd() {
		return nil
	}
	rows := []row{{name: "brief", help: "One comment for each inherited statement"}, {name: "no-comments", help: "Don't show the source group"}}
	i, err := p.keyword(notExpected, rows...)
	if err != nil {
		return err
	}
	out.brief, out.silent = rows[i].name == "brief", rows[i].name == "no-comments"
	return nil
}

func (p *parser) compare(out *pipeline) error {
	out.compare = true
	p.mayEnd()
	if p.atEnd() {
		return nil
	}
	if _, err := p.keyword(notExpected, row{name: "rollback", help: "Compare with a prior configuration"}); err != nil {
		return err
	}
	n, err := p.number("Number of the prior configuration", 0, maxRollback)
	out.against = n
	return err
}

func (p *parser) last(out *pipeline) error {
	n := defaultLast
	p.mayEnd()
	if !p.atEnd() {
		var err error
		if n, err = p.number("Number of lines from end", 1, 1_000_000); err != nil {
			return err
		}
	}
	out.filters = append(out.filters, func(w io.Writer) io.WriteCloser { return &lastLines{w: w, n: n} })
	return nil
}

// save parses save, and tee, which shows what it saves.
func (p *parser) save(out *pipeline, tee bool) error {
	t, err := p.value(row{name: "<filename>", help: "Filename (of this client)"})
	out.filters = append(out.filters, func(w io.Writer) io.WriteCloser {
		return &saver{w: w, files: p.shell.cfg.Files, name: t.text, tee: tee}
	})
	return err
}

func (p *parser) trim(out *pipeline) error {
	n, err := p.number("Number of columns to trim", 0, 1_000_000)
	out.filters = append(out.filters, func(w io.Writer) io.WriteCloser {
		return &lines{w: w, trim: n, keep: func([]byte) bool { return true }}
	})
	return err
}

// number takes a decimal number in low..high.
func (p *parser) number(help string, low, high int) (int, error) {
	t, err := p.value(row{name: "<number>", help: fmt.Sprintf("%s (%d..%d)", help, low, high)})
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(t.text)
	switch {
	case err != nil:
		return 0, p.fail(t, "invalid numeric value: '%s'", t.text)
	case n < low || n > high:
		return 0, p.fail(t, "Value %d is not within range (%d..%d)", n, low, high)
	}
	return n, nil
}

// pattern parses match, except and find. The patterns are POSIX extended expressions and ignore case: that they do is our
// choice where the sources disagree.
func (p *parser) pattern(name string, out *pipeline) error {
	t, err := p.value(row{name: "<pattern>", help: "Pattern to match"})
	if err != nil {
		return err
	}
	if _, err = p.expression(t); err != nil {
		return err
	}
	re, err := regexp.Compile("(?i:" + t.text + ")")
	if err != nil {
		return p.fail(t, "invalid pattern: '%s'", t.text)
	}
	out.filters = append(out.filters, func(w io.Writer) io.WriteCloser {
		switch name {
		case "match":
			return &lines{w: w, keep: re.Match}
		case "except":
			return &lines{w: w, keep: func(l []byte) bool { return !re.Match(l) }}
		}
		f := &find{}
		f.lines = lines{w: w, keep: func(l []byte) bool {
			f.found = f.found || re.Match(l)
			return f.found
		}}
		return f
	})
	return nil
}

// maxPattern is the longest pattern, in octets: what a pattern costs at every character of a text grows with its length.
const maxPattern = 255

// expression compiles the pattern that t is.
func (p *parser) expression(t token) (*regexp.Regexp, error) {
	if len(t.text) > maxPattern {
		return nil, p.fail(t, "pattern of %d octets; at most %d are taken", len(t.text), maxPattern)
	}
	re, err := regexp.CompilePOSIX(t.text)
	if err != nil {
		return nil, p.fail(t, "invalid pattern: '%s'", t.text)
	}
	return re, nil
}

// open puts the filters in front of w and returns the writer for the command, and what ends it: the filters are flushed
// from the first to the last, since some speak only at the end.
func (p pipeline) open(w io.Writer) (io.Writer, func() error) {
	var stages []io.WriteCloser
	for _, filter := range slices.Backward(p.filters) {
		stage := filter(w)
		stages = append(stages, stage)
		w = stage
	}
	return w, func() error {
		for _, stage := range slices.Backward(stages) {
			if err := stage.Close(); err != nil {
				return err
			}
		}
		return nil
	}
}

// lines cuts what is written into lines and passes on those that keep wants.
type lines struct {
	w    io.Writer
	keep func(line []byte) bool // line is without its end
	trim int                    // characters that are cut off its start
	rest []byte                 // the start of a line whose end has not come
}

func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.rest = append(l.rest, b...)
			return n, nil
		}
		if err := l.line(append(l.rest, b[:i]...)); err != nil {
			return 0, err
		}
		l.rest, b = l.rest[:0], b[i+1:]
	}
}

func (l *lines) line(line []byte) error {
	if !l.keep(line) {
		return nil
	}
	for range min(l.trim, len(line)) {
		_, n := utf8.DecodeRune(line)
		line = line[n:]
	}
	if _, err := l.w.Write(line); err != nil {
		return err
	}
	_, err := io.WriteString(l.w, "\n")
	return err
}

func (l *lines) Close() error {
	if len(l.rest) == 0 {
		return nil
	}
	rest := l.rest
	l.rest = nil
	return l.line(rest)
}

// find passes on everything from the first line that matches.
type find struct {
	lines
	found bool
}

func (f *find) Close() error {
	if err := f.lines.Close(); err != nil || f.found {
		return err
	}
	_, err := io.WriteString(f.w, "\nPattern not found\n")
	return err
}

// count passes on only how many lines there were.
func count(w io.Writer) io.WriteCloser {
	c := &counter{}
	c.lines = lines{w: w, keep: func([]byte) bool { c.n++; return false }}
	return c
}

type counter struct {
	lines
	n int
}

func (c *counter) Close() error {
	if err := c.lines.Close(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.w, "Count: %d lines\n", c.n)
	return err
}

// lastLines passes on the last n lines.
type lastLines struct {
	w   io.Writer
	n   int
	buf bytes.Buffer
}

func (l *lastLines) Write(b []byte) (int, error) { return l.buf.Write(b) }

func (l *lastLines) Close() error {
	all := l.buf.Bytes()
	end := bytes.TrimSuffix(all, []byte("\n"))
	at := len(end)
	for range l.n {
		if at = bytes.LastIndexByte(end[:max(at, 0)], '\n'); at < 0 {
			break
		}
	}
	if len(all) == 0 {
		return nil
	}
	_, err := l.w.Write(append(end[at+1:len(end):len(end)], '\n'))
	return err
}

// saver writes everything to a file of the client, and with tee passes it on too.
type saver struct {
	w     io.Writer
	files Files
	name  string
	tee   bool
	buf   bytes.Buffer
}

func (s *saver) Write(b []byte) (int, error) { return s.buf.Write(b) }

func (s *saver) Close() error {
	text := s.buf.Bytes()
	if s.tee {
		if _, err := s.w.Write(text); err != nil {
			return err
		}
	}
	err := writeFile(s.files, s.name, text)
	if err == nil && !s.tee {
		_, err = fmt.Fprintf(s.w, "Wrote %d lines of output to '%s'\n", bytes.Count(text, []byte{'\n'}), s.name)
	}
	return err
}
