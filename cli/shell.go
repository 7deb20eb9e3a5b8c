package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gvpn/commit"
	"gvpn/config"
	"gvpn/internal/auth"
)

// Shell is one session. It is used by one goroutine.
type Shell struct {
	cfg     Config
	backend Backend
	out     io.Writer
	lines   *lineReader // of a session without terminal; made when it is first needed
	term    *terminal   // nil without terminal
	editing *editing    // nil in operational mode
	done    bool        // exit from operational mode

	plainSpace bool // space completes nothing
}

// editing is configuration mode.
type editing struct {
	path    config.Path
	back    []config.Path // where `exit` returns to: the places at which `edit` was issued
	entry   *editor
	private *commit.Candidate // of `configure private`, else nil
	owner   string            // of the database's lock, in `configure exclusive`
	found   config.Tree       // the shared candidate on entry
}

// run is one command on its way: what it writes to, and how.
type run struct {
	*Shell
	ctx  context.Context
	w    io.Writer // through the pipes
	pipe pipeline
}

func (r *run) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(r.w, format, args...)
	return err
}

func (r *run) write(b []byte) error {
	_, err := r.w.Write(b)
	return err
}

// New returns a session in operational mode.
func New(c Config) *Shell {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Err == nil {
		c.Err = c.Out
	}
	if c.In == nil {
		c.In = strings.NewReader("")
	}
	s := &Shell{cfg: c, backend: c.Backend, out: c.Out}
	if c.Terminal != nil {
		s.term = newTerminal(s)
		s.out = s.term
	}
	return s
}

// errFailed ends a command whose messages are written already.
var errFailed = errors.New("failed")

// Exec runs commands that are separated by semicolons or line ends, and stops at the first that fails. It returns the exit
// status: 0 only if all succeeded.
func (s *Shell) Exec(ctx context.Context, commands string) int {
	defer s.leave()
	defer s.warnLeft()
	for _, line := range splitCommands(commands) {
		if s.done {
			break
		}
		if err := s.one(ctx, line); err != nil {
			return 1
		}
	}
	return 0
}

// Script runs commands line by line from the input, with the rule of Exec.
func (s *Shell) Script(ctx context.Context) int {
	defer s.leave()
	defer s.warnLeft()
	for !s.done {
		line, err := s.input().line()
		if err != nil && !errors.Is(err, io.EOF) {
			s.report("", err)
			return 1 // the line may lack its end, and mean something else than was meant
		}
		for _, command := range splitCommands(line) {
			if s.done {
				break
			}
			if s.one(ctx, command) != nil {
				return 1
			}
		}
		if err != nil {
			return 0
		}
	}
	return 0
}

// warnLeft says that commands leave `configure` with changes of the shared candidate uncommitted, unless they are those of before or
// wait for `commit at`.
func (s *Shell) warnLeft() {
	left := false
	_ = s.backend.Manage(func(db *commit.DB) error { // a node that is closing has said so
		left = s.editing != nil && s.editing.kind() == "" && s.editing.found != db.Candidate().Tree() && db.Candidate().Changed() && db.Scheduled() == nil
		return nil
	})
	if left {
		fmt.Fprintln(s.cfg.Err, "warning: uncommitted changes are left in the shared candidate")
	}
}

// one runs one line and reports its error.
func (s *Shell) one(ctx context.Context, line string) error {
	err := ctx.Err()
	if err == nil {
		err = s.execute(ctx, line)
	}
	if err != nil {
		s.report(line, err)
	}
	return err
}

// grammar returns the commands of the mode that the session is in.
func (s *Shell) grammar() (commands []*command, unknown string) {
	if s.editing != nil {
		return configurationCommands(), "unknown command"
	}
	return operationalCommands(), "unknown command"
}

// execute parses a line and runs it.
func (s *Shell) execute(ctx context.Context, line string) error {
	if at, ok := question(line); ok {
		return s.explain(line[:at])
	}
	p, err := newParser(s, line, false)
	if err != nil {
		return err
	}
	if len(p.tokens) == 0 {
		return nil
	}
	commands, unknown := s.grammar()
	a, pipe, err := p.parseCommand(commands, unknown)
	if err != nil {
		return err
	}
	return s.perform(ctx, a, pipe, p.tokens[0].text)
}

// perform runs a parsed command if the user may.
func (s *Shell) perform(ctx context.Context, a action, pipe pipeline, name string) error {
	if a.needs != 0 && !s.cfg.Identity.May(a.needs) {
		return fmt.Errorf("permission denied: %s", name)
	}
	w, end := pipe.open(s.out)
	r := &run{Shell: s, ctx: ctx, w: w, pipe: pipe}
	err := a.run(r)
	if endErr := end(); err == nil {
		err = endErr
	}
	if s.editing != nil {
		s.backend.Editors().touch(s.editing.entry, s.editing.path, s.cfg.Now())
	}
	return err
}

// leave takes the session from the list of editors, and frees its lock or its private copy, however it ends.
func (s *Shell) leave() {
	if s.editing != nil {
		s.release()
		s.backend.Editors().leave(s.editing.entry)
		s.editing = nil
	}
}

// tree is the configuration that names are taken from: the candidate in configuration mode, else what runs.
func (s *Shell) tree() config.Tree {
	var t config.Tree
	_ = s.backend.Manage(func(db *commit.DB) error { // a node that is closing offers no names
		if s.editing != nil {
			t = s.candidate(db).Tree()
		} else {
			t = db.Running()
		}
		return nil
	})
	return t
}

// here is the level that the session edits.
func (s *Shell) here() config.Path {
	if s.editing == nil {
		return nil
	}
	return s.editing.path
}

// prompt is what stands before what is typed: in configuration mode an empty line and the banner come before it.
func (s *Shell) prompt() (banner, prompt string) {
	host := defaultHostName
	_ = s.backend.Manage(func(db *commit.DB) error { // a node that is closing has no name
		host = hostName(db)
		return nil
	})
	at := s.cfg.Identity.User + "@" + host
	if s.editing == nil {
		return "", at + "> "
	}
	return "\n" + s.pending() + s.editing.path.Edit() + "\n", at + "# "
}

// errorf words an error of a session without terminal.
const errorPrefix = "error: "

// report writes what is wrong with a command.
func (s *Shell) report(line string, err error) {
	if errors.Is(err, errFailed) {
		return
	}
	w := s.cfg.Err
	if s.term != nil {
		w = s.term
	}
	var wrong *syntaxError
	if !errors.As(err, &wrong) {
		fmt.Fprintf(w, "%s%s\n", errorPrefix, wordError(err))
		return
	}
	column := utf8.RuneCountInString(line[:min(wrong.at, len(line))])
	if s.term != nil {
		_, prompt := s.prompt()
		fmt.Fprintf(w, "%s^\n%s.\n", strings.Repeat(" ", utf8.RuneCountInString(prompt)+column), strings.TrimSuffix(config.Brief(wrong.text, config.BriefText), "."))
	} else {
		// Who reads this is often a log, and the line may hold a key that is not the log's.
		shown := config.Excerpt(line, wrong.at)
		if wrong.secret {
			shown = string([]rune(shown)[:column]) + "..."
		}
		if wrong.word != "" && !strings.Contains(shown, wrong.word) {
			wrong = &syntaxError{at: wrong.at, text: wrong.text, rows: wrong.rows}
		}
		shown, column = around(shown, column)
		fmt.Fprintf(w, "%s%s\n%s\n%s^\n", errorPrefix, wrong.Error(), shown, strings.Repeat(" ", column))
	}
	if len(wrong.rows) > 0 {
		writeRows(w, wrong.rows, false)
	}
}

// around cuts a long line to what is near a column, and returns where the column is then.
func around(line string, column int) (string, int) {
	const near = 100 // characters on either side
	line = strings.ReplaceAll(line, "\t", " ")
	runes := []rune(line)
	before, after := "", ""
	if end := column + near; end < len(runes) {
		runes, after = runes[:end], "..."
	}
	if cut := column - near; cut > 0 {
		runes, before, column = runes[cut:], "...", near+len("...")
	}
	return before + config.Brief(string(runes), len(runes)) + after, column
}

// wordError is an error's text without the names of our packages, which say nothing to an operator.
func wordError(err error) string {
	text := err.Error()
	for _, p := range []string{"commit: ", "config: ", "node: ", "engine: ", "server: ", "cluster: ", "member: ", "ike: ", "auth: ", "store: "} {
		text = strings.TrimPrefix(text, p)
	}
	return text
}

// configErrors writes errors and warnings of a configuration as Junos does: place, element, message.
func configErrors(w io.Writer, errs config.Errors) {
	for _, e := range errs {
		if e.Line > 0 {
			fmt.Fprintln(w, e.Error())
			continue
		}
		warning := ""
		if e.Warning {
			warning = "warning: "
		}
		fmt.Fprintln(w, config.Brief(e.Path, config.BriefText))
		if e.Element != "" {
			fmt.Fprintf(w, "  '%s'\n", config.Brief(e.Element, config.BriefText))
		}
		fmt.Fprintf(w, "    %s%s\n", warning, config.Brief(e.Message, config.BriefText))
		if e.Expected != "" {
			fmt.Fprintf(w, "    expected: %s\n", e.Expected)
		}
	}
}

// question finds an unquoted ? that stands alone at the end of a line: a wish for help.
func question(line string) (at int, ok bool) {
	tokens, err := lex(line)
	if err != nil || len(tokens) == 0 {
		return 0, false
	}
	last := tokens[len(tokens)-1]
	return last.start, last.text == "?" && !last.quoted
}

// explain writes what may follow a line.
func (s *Shell) explain(line string) error {
	p, err := s.complete(line)
	if err != nil {
		return err
	}
	rows := p.candidates()
	if len(rows) == 0 && !p.enter {
		return &syntaxError{at: len(line), text: "No valid completions"}
	}
	writeRows(s.out, rows, p.enter)
	return nil
}

// complete parses a line that is typed as far as its end. Without an error the candidates are in the parser.
func (s *Shell) complete(line string) (*parser, error) {
	p, err := newParser(s, line, true)
	var wrong *syntaxError
	if err != nil && !errors.As(err, &wrong) {
		return nil, err
	}
	commands, unknown := s.grammar()
	_, _, err = p.parseCommand(commands, unknown)
	if err != nil && !errors.Is(err, errOffered) {
		return nil, err
	}
	return p, nil
}

// candidates are what was offered and agrees with what is typed.
func (p *parser) candidates() []row {
	var rows []row
	for _, r := range p.offered {
		if strings.HasPrefix(r.name, p.prefix) || r.isPlaceholder() {
			rows = append(rows, r)
		}
	}
	// Placeholders first and keywords by name; names from the configuration keep their order.
	slices.SortStableFunc(rows, func(a, b row) int {
		if d := a.rank() - b.rank(); d != 0 || a.value {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	return rows
}

func (r row) rank() int {
	switch {
	case r.isPlaceholder():
		return 0
	case r.value:
		return 1
	}
	return 2
}

// isPlaceholder reports that the row stands for a value and is not itself one.
func (r row) isPlaceholder() bool { return r.value && strings.HasPrefix(r.name, "<") }

// nameColumn is how wide the names of completions are.
const nameColumn = 21

// writeRows writes completions in Junos's form. enter says that the line may end here.
func writeRows(w io.Writer, rows []row, enter bool) {
	var b strings.Builder
	line := func(marker byte, name, help string) {
		text := fmt.Sprintf("%c %-*s%s", marker, nameColumn, name, help)
		if len(name) >= nameColumn {
			text = fmt.Sprintf("%c %s  %s", marker, name, help)
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	b.WriteString("Possible completions:\n")
	if enter {
		line(' ', "<[Enter]>", "Execute this command")
	}
	for _, r := range rows {
		marker := r.marker
		if marker == 0 {
			marker = ' '
		}
		line(marker, r.name, r.help)
	}
	if enter {
		line(' ', "|", "Pipe through a command")
	}
	_, _ = io.WriteString(w, b.String())
}

// input reads lines of a session without terminal.
func (s *Shell) input() *lineReader {
	if s.lines == nil {
		s.lines = &lineReader{r: bufio.NewReader(s.cfg.In)}
	}
	return s.lines
}

// lineReader reads lines of bounded length.
type lineReader struct{ r *bufio.Reader }

// maxLine is the longest line that is read, in octets.
const maxLine = 1 << 18

// line reads a line without its end. The last line may lack one; it comes with io.EOF, as does the end.
func (l *lineReader) line() (string, error) {
	var b []byte
	for {
		part, err := l.r.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case len(b) > maxLine:
			return "", fmt.Errorf("line longer than %d octets", maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
		default:
			return strings.TrimRight(string(b), "\r\n"), err
		}
	}
}

// ask puts a question that is answered yes or no. Without a terminal nobody is asked, and the answer is quiet.
func (s *Shell) ask(question string, standard, quiet bool) bool {
	if s.term == nil {
		return quiet
	}
	word := map[bool]string{true: "yes", false: "no"}
	for {
		answer, err := s.term.ask(question + " [yes,no] (" + word[standard] + ") ")
		if err != nil {
			return false
		}
		answer = strings.ToLower(strings.TrimSpace(answer))
		switch {
		case answer == "":
			return standard
		case strings.HasPrefix("yes", answer):
			return true
		case strings.HasPrefix("no", answer):
			return false
		}
	}
}

// join makes one list of command lists, sorted by name.
func join(lists ...[]*command) []*command {
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, func(a, b *command) int { return strings.Compare(a.name, b.name) })
	return all
}

// Handler returns the shell of an SSH server: with a terminal it is interactive, with a command it runs that, and else it
// reads commands line by line.
func Handler(b Backend) auth.Handler {
	return func(ctx context.Context, session *auth.Session) int {
		s := New(Config{
			Backend: b, Identity: session.Identity, In: session, Out: session, Err: session.Stderr,
			Terminal: session.Terminal, Files: session,
		})
		switch {
		case session.Exec:
			return s.Exec(ctx, session.Command)
		case session.Terminal != nil:
			return s.Interactive(ctx)
		}
		return s.Script(ctx)
	}
}
