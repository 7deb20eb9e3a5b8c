package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"gvpn/internal/auth"
)

// The control characters that end a line in their own way.
const (
	ctrlC = 0x03
	ctrlD = 0x04
)

// errInterrupted is what a read returns after Ctrl-C.
var errInterrupted = errors.New("interrupted")

// errGone is what a read returns when the other end of the terminal is closed. It is not io.EOF, which stands for Ctrl-D.
var errGone = errors.New("the terminal is gone")

// terminal reads lines with editing, history and completion, and writes above the line that is being typed.
type terminal struct {
	*term.Terminal
	shell   *Shell
	keys    *keyReader
	out     io.Writer
	size    *auth.Terminal
	history history
	plain   bool // no completion: the line is no command

	mu sync.Mutex // guards the pointer Terminal against tell, which another goroutine calls
}

func newTerminal(s *Shell) *terminal {
	t := &terminal{shell: s, keys: &keyReader{r: s.cfg.In}, out: s.cfg.Out, size: s.cfg.Terminal}
	t.keys.resize = t.resize
	t.renew()
	return t
}

// renew makes the line editor anew. After Ctrl-C and Ctrl-D x/term's Terminal returns io.EOF for ever, since it takes both for
// the end; the history is ours and stays.
func (t *terminal) renew() {
	next := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{t.keys, t.out}, "")
	next.History = &t.history
	next.AutoCompleteCallback = t.key
	t.mu.Lock()
	t.Terminal = next
	t.mu.Unlock()
}

// tell writes a line above the one that is being typed. It may be called from any goroutine.
func (t *terminal) tell(text string) {
	t.mu.Lock()
	now := t.Terminal
	t.mu.Unlock()
	_, _ = fmt.Fprintf(now, "\n%s\n", text)
}

// read reads one line. Its error is errInterrupted after Ctrl-C, io.EOF after Ctrl-D on an empty line, and errGone.
func (t *terminal) read(prompt string) (string, error) {
	t.resize()
	t.SetPrompt(prompt)
	t.keys.control = 0
	line, err := t.ReadLine()
	switch {
	case errors.Is(err, term.ErrPasteIndicator):
		return line, nil
	case err == nil:
		return line, nil
	case t.keys.err != nil:
		return "", errGone
	}
	control := t.keys.control
	_, _ = io.WriteString(t.out, "\r\n")
	t.renew()
	if control == ctrlC {
		return "", errInterrupted
	}
	return "", io.EOF
}

func (t *terminal) resize() {
	w, h := t.size.Size()
	_ = t.SetSize(w, h) // its error is always nil
}

// command reads a command line.
func (t *terminal) command(prompt string) (string, error) {
	t.plain, t.history.off = false, false
	return t.read(prompt)
}

// ask reads an answer, or a line of a text: neither completed nor remembered.
func (t *terminal) ask(prompt string) (string, error) {
	t.plain, t.history.off = true, true
	defer func() { t.plain, t.history.off = false, false }()
	return t.read(prompt)
}

// keyReader cuts what is typed so that Ctrl-C and Ctrl-D come alone in a Read, and remembers which it was.
type keyReader struct {
	r       io.Reader
	rest    []byte
	buf     [256]byte
	err     error // of r: the terminal is gone
	control byte
	// resize takes over a new size of the window. It is called here because Terminal lets go of its lock while it reads.
	resize func()
}

func (k *keyReader) Read(p []byte) (int, error) {
	if len(k.rest) == 0 {
		if k.err != nil {
			return 0, k.err
		}
		n, err := k.r.Read(k.buf[:])
		k.rest, k.err = k.buf[:n], err
		k.resize()
		if n == 0 {
			return 0, err
		}
	}
	n := bytes.IndexAny(k.rest, string([]byte{ctrlC, ctrlD}))
	switch {
	case n < 0:
		n = len(k.rest)
	case n == 0:
		k.control, n = k.rest[0], 1
	}
	n = copy(p, k.rest[:n])
	k.rest = k.rest[n:]
	return n, nil
}

// historySize is how many lines are remembered.
const historySize = 500

// history is the lines that were typed, without empty and repeated ones.
type history struct {
	lines []string // the newest last
	off   bool
}

func (h *history) Add(line string) {
	if h.off || strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	if len(h.lines) > historySize {
		h.lines = append([]string(nil), h.lines[len(h.lines)-historySize:]...)
	}
}

func (h *history) Len() int { return len(h.lines) }

func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }

// key is called for each key before it is inserted. Space completes an abbreviated keyword, Tab names and values too, and ?
// lists what may stand at the cursor.
func (t *terminal) key(line string, pos int, key rune) (string, int, bool) {
	if t.plain || key != ' ' && key != '\t' && key != '?' || key == ' ' && t.shell.plainSpace {
		return "", 0, false
	}
	before := line[:pos]
	if _, err := lex(before); err != nil && key != '\t' {
		return "", 0, false // within quotes
	}
	if key == '?' {
		t.list(before)
		return line, pos, true
	}
	p, err := t.shell.complete(before)
	if err != nil {
		return line, pos, key == '\t'
	}
	if key == ' ' && (p.prefix == "" || t.quotedPartial(p)) {
		return "", 0, false
	}
	done, unique := p.extend(key == '\t')
	if len(done) <= len(p.prefix) && !unique {
		if key == '\t' || len(p.keywords()) > 1 && !p.exact() {
			t.list(before)
			return line, pos, true
		}
		return "", 0, false
	}
	if len(done) > len(p.prefix) {
		before = before[:p.tokens[len(p.tokens)-1].start] + done
	}
	if unique {
		before += " "
	}
	return before + line[pos:], len(before), true
}

func (t *terminal) quotedPartial(p *parser) bool { return p.tokens[len(p.tokens)-1].quoted }

// list writes what may stand at the end of a line, above it.
func (t *terminal) list(line string) {
	_, prompt := t.shell.prompt()
	_, _ = fmt.Fprintf(t, "%s%s?\n", prompt, line)
	if err := t.shell.explain(line); err != nil {
		t.shell.report(line, err)
	}
}

// keywords are the candidates that an abbreviation may stand for.
func (p *parser) keywords() []row {
	var rows []row
	for _, r := range p.candidates() {
		if !r.value {
			rows = append(rows, r)
		}
	}
	return rows
}

// exact reports that what is typed is a keyword as it stands, though others begin with it.
func (p *parser) exact() bool {
	for _, r := range p.keywords() {
		if r.name == p.prefix {
			return true
		}
	}
	return false
}

// extend returns the longest beginning that the candidates share, and whether there is only one. Names from the configuration
// count only for Tab.
func (p *parser) extend(names bool) (string, bool) {
	var words []string
	for _, r := range p.candidates() {
		if !r.isPlaceholder() && (names || !r.value) {
			words = append(words, r.name)
		}
	}
	if len(words) == 0 || !names && len(words) != 1 {
		return p.prefix, false
	}
	common := words[0]
	for _, w := range words[1:] {
		n := 0
		for n < len(common) && n < len(w) && common[n] == w[n] {
			n++
		}
		common = common[:n]
	}
	return common, len(words) == 1
}

// Interactive runs the session on its terminal until it exits or the terminal goes away, and returns the exit status of the
// last command.
func (s *Shell) Interactive(ctx context.Context) int {
	if s.term == nil {
		return s.Script(ctx)
	}
	defer s.leave()
	s.term.SetBracketedPasteMode(true)
	defer func() { s.term.SetBracketedPasteMode(false) }()
	status := 0
	var at Backend // whose news this terminal gets
	stop := func() {}
	defer func() { stop() }()
	for !s.done && ctx.Err() == nil {
		if s.backend != at {
			stop()
			at, stop = s.backend, s.backend.Editors().Listen(s.term.tell)
		}
		banner, prompt := s.prompt()
		_, _ = io.WriteString(s.term, banner)
		line, err := s.term.command(prompt)
		switch {
		case errors.Is(err, errInterrupted):
			continue
		case errors.Is(err, io.EOF):
			line = "exit"
		case err != nil:
			return status
		}
		if status = 0; s.one(ctx, strings.TrimSpace(line)) != nil {
			status = 1
		}
	}
	return status
}

// OnTerminal runs a session on the process's own terminal, for a program that is the node itself. Without a terminal at in it reads
// commands from there.
func OnTerminal(ctx context.Context, b Backend, id auth.Identity, in, out *os.File) int {
	c := Config{Backend: b, Identity: id, In: in, Out: out, Err: os.Stderr, Files: LocalFiles{}}
	if !term.IsTerminal(int(in.Fd())) {
		return New(c).Script(ctx)
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%sterminal: %v\n", errorPrefix, err)
		return 1
	}
	defer func() { _ = term.Restore(int(in.Fd()), old) }()
	w, h, _ := term.GetSize(int(out.Fd())) // 0, 0 stands for the standard size
	c.Terminal = auth.NewTerminal(w, h)
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, unix.SIGWINCH)
	defer func() { signal.Stop(changes); close(changes) }()
	go func() { // ends with OnTerminal
		for range changes {
			if w, h, err := term.GetSize(int(out.Fd())); err == nil {
				c.Terminal.Resize(w, h)
			}
		}
	}()
	return New(c).Interactive(ctx)
}

// LocalFiles are the files of this process.
type LocalFiles struct{}

// Open implements Files.
func (LocalFiles) Open(name string) (io.ReadCloser, error) { return os.Open(name) }
