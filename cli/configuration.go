package cli

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gvpn/commit"
	"gvpn/commit/effect"
	"gvpn/commit/step"
	"gvpn/config"
	"gvpn/internal/auth"
)

// maxRollback is the oldest configuration that rollback reaches.
const maxRollback = commit.HistorySize - 1

// configurationCommands is the grammar of configuration mode.
func configurationCommands() []*command {
	edit := func(name, help string, f func(t config.Tree, base config.Path, words []string) (config.Tree, error)) *command {
		v := verbDelete
		if name == "set" {
			v = verbSet
		}
		return &command{name: name, help: help, needs: auth.Configure, parse: func(p *parser) (action, error) { return parseEdit(p, v, f) }}
	}
	return join([]*command{
		edit("activate", "Remove the inactive tag from a statement", config.Tree.Activate),
		{name: "commit", help: "Commit current set of changes", needs: auth.Configure, parse: parseCommit},
		edit("deactivate", "Add the inactive tag to a statement", config.Tree.Deactivate),
		{name: "delete", help: "Delete a data element", needs: auth.Configure, parse: parseDelete},
		{name: "edit", help: "Edit a sub-element", parse: parseGo},
		{name: "exit", help: "Exit from this level", parse: parseExit},
		{name: "help", help: "Show what may be entered", parse: noArguments(action{run: helpCommand})},
		{name: "load", help: "Load configuration from ASCII file", needs: auth.Configure, parse: parseLoad},
		{name: "quit", help: "Quit from this level", parse: parseExit},
		{name: "rollback", help: "Roll back to previous committed configuration", needs: auth.Configure, parse: parseRollback},
		{name: "run", help: "Run an operational-mode command", parse: parseRun},
		edit("set", "Set a parameter", config.Tree.Set),
		{name: "show", help: "Show a parameter", parse: parseShow},
		{name: "status", help: "Show users currently editing configuration", parse: noArguments(action{run: status})},
		{name: "top", help: "Exit to top level of configuration", parse: parseTop},
		{name: "up", help: "Exit one level of configuration", parse: parseUp},
		{name: "update", help: "Update private database", needs: auth.Configure, available: (*Shell).isPrivate, parse: noArguments(action{run: updatePrivate})},
	}, editingCommands())
}

func parseExit(p *parser) (action, error) {
	p.mayEnd()
	all := false
	if !p.atEnd() {
		if _, err := p.keyword(notExpected, row{name: "configuration-mode", help: "Exit from configuration mode"}); err != nil {
			return action{}, err
		}
		all = true
	}
	return action{run: func(r *run) error {
		if n := len(r.editing.back); n > 0 && !all {
			r.editing.path, r.editing.back = r.editing.back[n-1], r.editing.back[:n-1]
			return nil
		}
		return quit(r)
	}}, p.end()
}

// parseEdit reads set and its like, whose words go to a function of config.Tree.
func parseEdit(p *parser, v verb, f func(config.Tree, config.Path, []string) (config.Tree, error)) (action, error) {
	st, err := p.configured(p.shell.here(), v)
	if err != nil {
		return action{}, err
	}
	if len(st.words) == 0 {
		return action{}, &syntaxError{at: p.endOfCommand(), text: missingArgument}
	}
	return action{run: func(r *run) error { return change(r, st, f) }}, nil
}

// change edits the candidate.
func change(r *run, st statement, f func(config.Tree, config.Path, []string) (config.Tree, error)) error {
	var warning *config.Error
	err := r.backend.Manage(func(db *commit.DB) error {
		c := r.candidate(db)
		t, err := f(c.Tree(), r.here(), st.words)
		if errors.As(err, &warning) && warning.Warning {
			return nil
		}
		if err == nil {
			err = r.update(db, t)
		}
		return err
	})
	if err != nil {
		return st.place(err)
	}
	if warning != nil {
		return r.printf("warning: %s\n", warning.Message)
	}
	return nil
}

// place turns an error about the words of a statement into one about the line that was typed.
func (st statement) place(err error) error {
	var e *config.Error
	if !errors.As(err, &e) || e.Caret == 0 || len(st.typed) == 0 {
		return err
	}
	at, column := st.typed[len(st.typed)-1].end, 1
	for i, w := range st.words {
		column += len([]rune(w)) + 1
		if e.Caret < column {
			at = st.typed[i].start
			break
		}
	}
	return &syntaxError{at: at, text: strings.TrimSuffix(e.Message, ".")}
}

func parseDelete(p *parser) (action, error) {
	st, err := p.configured(p.shell.here(), verbDelete)
	if err != nil {
		return action{}, err
	}
	return action{run: func(r *run) error {
		if len(st.words) > 0 {
			return change(r, st, config.Tree.Delete)
		}
		if len(r.here()) == 0 && r.term != nil {
			if err := r.printf("This will delete the entire configuration\n"); err != nil {
				return err
			}
		}
		if r.term == nil {
			return errors.New("delete of a whole level needs a terminal to ask at; name what to delete")
		}
		if !r.ask("Delete everything under this level?", false, false) {
			return nil
		}
		return change(r, st, config.Tree.Delete)
	}}, nil
}

func parseGo(p *parser) (action, error) {
	st, err := p.configured(p.shell.here(), verbEdit)
	return action{run: func(r *run) error {
		r.editing.back = append(r.editing.back, r.editing.path)
		r.editing.path = st.path
		return nil
	}}, err
}

func parseUp(p *parser) (action, error) {
	n := 1
	p.mayEnd()
	if !p.atEnd() {
		var err error
		if n, err = p.number("Number of levels", 1, 100); err != nil {
			return action{}, err
		}
	}
	return action{run: func(r *run) error {
		r.editing.path = r.editing.path[:max(len(r.editing.path)-n, 0)]
		r.editing.back = slices.DeleteFunc(r.editing.back, func(b config.Path) bool { return len(b) >= len(r.editing.path) })
		return nil
	}}, p.end()
}

// parseTop reads top, and top with a command that is run there while the session stays where it is.
func parseTop(p *parser) (action, error) {
	p.mayEnd()
	if p.atEnd() {
		return action{run: func(r *run) error {
			r.editing.path, r.editing.back = nil, nil
			return nil
		}}, nil
	}
	e := p.shell.editing
	path := e.path
	e.path = nil // the words that follow are read from the top
	a, err := p.descend(slices.DeleteFunc(slices.Clone(configurationCommands()), func(c *command) bool {
		return !slices.Contains([]string{
			"activate", "annotate", "copy", "deactivate", "delete", "edit", "insert", "protect", "rename", "replace", "save", "set", "show",
			"unprotect", "wildcard",
		}, c.name)
	}), expectCommand, 0)
	e.path = path
	if err != nil {
		return a, err
	}
	do := a.run
	a.run = func(r *run) error {
		path := r.editing.path
		r.editing.path = nil
		err := do(r)
		if n := len(r.editing.back); r.editing.path == nil {
			r.editing.path = path
		} else if n > 0 { // `top edit`: exit returns to where it was issued
			r.editing.back[n-1] = path
		}
		return err
	}
	return a, nil
}

func parseShow(p *parser) (action, error) {
	st, err := p.configured(p.shell.here(), verbShow)
	return action{
		forms: []form{formSet, formXML, formJSON}, compares: true, effects: true, inherits: true,
		run: func(r *run) error {
			if r.pipe.compare {
				return compare(r, st)
			}
			var t config.Tree
			var last stamp
			err := r.backend.Manage(func(db *commit.DB) error {
				c := r.candidate(db)
				t = c.Tree()
				if at, changed := c.Edited(); changed {
					last = stamp{changed: true, at: at}
				} else {
					last = lastCommit(db.History())
				}
				return nil
			})
			if err != nil {
				return err
			}
			return show(r, t, r.here(), st, last)
		},
	}, err
}

// stamp says since when a configuration is what it is; the zero stamp, that nobody knows.
type stamp struct {
	changed bool // by an edit, not by a commit
	at      time.Time
	user    string // of the commit
}

func lastCommit(history []commit.Revision) stamp {
	if len(history) == 0 {
		return stamp{}
	}
	return stamp{at: history[0].Time, user: history[0].User}
}

// text is the first line of a configuration that is shown from the top.
func (s stamp) text() string {
	switch {
	case s.at.IsZero():
		return ""
	case s.changed:
		return fmt.Sprintf("## Last changed: %s\n", date(s.at))
	}
	return fmt.Sprintf("## Last commit: %s by %s\n", date(s.at), s.user)
}

// attributes are those of the element configuration.
func (s stamp) attributes() string {
	if s.at.IsZero() {
		return ""
	}
	verb, by := "changed", ""
	if !s.changed {
		var user strings.Builder
		_ = xml.EscapeText(&user, []byte(s.user)) // a strings.Builder does not fail
		verb, by = "commit", fmt.Sprintf(` junos:commit-user="%s"`, &user)
	}
	return fmt.Sprintf(` junos:%s-seconds="%d" junos:%s-localtime="%s"%s`, verb, s.at.Unix(), verb, date(s.at), by)
}

// annotate puts into JSON of a configuration, after the brace that opens it, what attributes are in XML.
func (s stamp) annotate(text []byte) []byte {
	const top = "\"configuration\" : {\n"
	i := bytes.Index(text, []byte(top))
	if s.at.IsZero() || i < 0 {
		return text
	}
	verb, by := "changed", ""
	if !s.changed {
		verb, by = "commit", fmt.Sprintf(",\n            \"junos:commit-user\" : %q", s.user)
	}
	note := fmt.Sprintf("        \"@\" : {\n            \"junos:%s-seconds\" : \"%d\",\n            \"junos:%s-localtime\" : %q%s\n        },\n",
		verb, s.at.Unix(), verb, date(s.at), by)
	return slices.Insert(text, i+len(top), []byte(note)...)
}

// show writes what a statement names, in the form that was asked for. What is at base and below is shown without base, but for XML
// and JSON, which have the whole way from the top.
func show(r *run, t config.Tree, base config.Path, st statement, last stamp) error {
	var origins config.Origins
	if r.pipe.inherited {
		t, origins = t.Inherited()
		origins.Brief = r.pipe.brief
		if r.pipe.silent {
			origins = config.Origins{}
		}
	}
	path := st.path
	if len(path) == 0 {
		path = base
	}
	nodes := []config.Node{t.Root().At(path)}
	s := schemaAt(path)
	list := s.Kind() == config.List && len(path[len(path)-1].Keys) == 0
	if list {
		nodes = slices.Collect(t.Root().At(path[:len(path)-1]).Entries(s.Name()))
	}
	nodes = slices.DeleteFunc(nodes, func(n config.Node) bool { return !n.Exists() })
	switch r.pipe.form {
	case formXML:
		out := inReplyOf(` xmlns:junos="`+config.NamespaceJunos+`"`, func(dst []byte) []byte { return appendXML(dst, nodes) })
		const top = "<configuration"
		i := bytes.Index(out, []byte(top)) + len(top)
		for _, part := range [][]byte{out[:i], []byte(last.attributes()), out[i:]} {
			if err := r.write(part); err != nil {
				return err
			}
		}
		return nil
	case formJSON:
		return r.write(last.annotate(config.AppendJSONIndent(nil, nodes...)))
	}
	var out []byte
	if len(path) == 0 && r.pipe.form == formText {
		out = append(out, last.text()...)
	}
	for _, n := range nodes {
		if r.pipe.form != formSet {
			out = config.AppendCurlyOptions(out, n, config.CurlyOptions{Statement: list || !isInner(n), Origins: origins})
			continue
		}
		o := config.SetOptions{Explicit: r.pipe.explicit}
		if r.pipe.relative {
			o.From = base
		}
		out = config.AppendSetOptions(out, n, o)
	}
	return r.write(out)
}

// appendXML appends siblings within the elements that lead to them from the top, entries with their keys; nothing but the top
// element if there are none.
func appendXML(dst []byte, nodes []config.Node) []byte {
	if len(nodes) == 0 {
		return append(dst, "    <configuration/>\n"...)
	}
	var above []config.Node // from the top
	for n := nodes[0].Parent(); n.Exists(); n = n.Parent() {
		above = append(above, n)
	}
	slices.Reverse(above)
	line := func(level int, format string, args ...any) {
		dst = append(dst, strings.Repeat("    ", level)...)
		dst = append(fmt.Appendf(dst, format, args...), '\n')
	}
	for i, n := range above {
		line(i+1, "<%s>", n.Name())
		for j, key := range n.Key() {
			var text strings.Builder
			_ = xml.EscapeText(&text, []byte(key)) // a strings.Builder does not fail
			name := n.Schema().Keys()[j].Name()
			line(i+2, "<%s>%s</%s>", name, text.String(), name)
		}
	}
	for _, n := range nodes {
		dst = config.AppendXML(dst, n, config.XMLOptions{Level: len(above) + 1})
	}
	for i, n := range slices.Backward(above) {
		line(i+1, "</%s>", n.Name())
	}
	return dst
}

func isInner(n config.Node) bool {
	k := n.Schema().Kind()
	return k == config.Container || k == config.Presence || k == config.List
}

// compare writes the differences between a prior configuration and the candidate, or what they would do.
func compare(r *run, st statement) error {
	if r.pipe.effects {
		return checkEffects(r)
	}
	var old, next config.Tree
	err := r.backend.Manage(func(db *commit.DB) (err error) {
		next = r.candidate(db).Tree()
		old, err = db.Rollback(r.pipe.against)
		return err
	})
	if err != nil {
		return err
	}
	path := st.path
	if len(path) == 0 {
		path = r.here()
	}
	return r.write(appendCompare(nil, old, next, path))
}

// checkEffects writes what a commit of the candidate would do. As the plan of a wrong configuration means nothing, the candidate is
// checked first.
func checkEffects(r *run) error {
	if r.pipe.against != 0 {
		return errors.New("effects are those of a commit to the running configuration; leave 'rollback' out")
	}
	var result commit.Result
	err := r.backend.Manage(func(db *commit.DB) (err error) {
		result, err = db.CheckCandidate(r.candidate(db))
		return err
	})
	if err := r.checked(result, err); err != nil {
		return err
	}
	return effects(r, result.Plan)
}

// checked writes what a check or a commit found, and returns its error in Junos's words.
func (r *run) checked(result commit.Result, err error) error {
	configErrors(r.w, result.Warnings)
	var conflict *commit.ConflictError
	if errors.As(err, &conflict) {
		configErrors(r.w, conflict.Conflicts)
		return errors.New("private edits conflict with later commits; they now stand over those, and the next commit makes them count")
	}
	var wrong config.Errors
	if !errors.As(err, &wrong) {
		return err
	}
	configErrors(r.w, wrong)
	return errors.New("configuration check-out failed" + missingMandatory(wrong))
}

// effects writes what a plan does to keys and members, and how many of them it would touch at this moment.
func effects(r *run, plan *step.Plan) error {
	state, err := r.backend.State()
	if err != nil {
		return err
	}
	return r.printf("%s", effect.AppendText(nil, plan, func(e step.Effect) string { return state.Reach(e).String() }))
}

// parseRun reads an operational command.
func parseRun(p *parser) (action, error) {
	commands := slices.DeleteFunc(slices.Clone(operationalCommands()), func(c *command) bool {
		return slices.Contains([]string{"configure", "exit", "quit", "help"}, c.name)
	})
	commands = slices.Clone(commands)
	for i, c := range commands {
		if c.name == "request" { // moving to another node's shell would leave this one's candidate behind
			without := *c
			without.sub = slices.DeleteFunc(slices.Clone(c.sub), func(c *command) bool { return c.name == "lab" })
			commands[i] = &without
		}
	}
	return p.descend(commands, expectCommand, 0)
}

func status(r *run) error {
	r.backend.Editors().write(r.w, nil, r.cfg.Now())
	return nil
}

// actions are the kinds of load.
var loadRows = []row{
	{name: "factory-default", refused: "there is no factory configuration; 'delete' what is there"},
	{name: "merge", help: "Merge contents with existing configuration"},
	{name: "override", help: "Override existing configuration"},
	{name: "patch", help: "Load patch file into configuration"},
	{name: "replace", help: "Replace configuration data"},
	{name: "set", help: "Execute set of commands on existing configuration"},
	{name: "update", help: "Update existing configuration"},
}

var loadActions = map[string]config.Action{"merge": config.Merge, "override": config.Override, "replace": config.Replace, "update": config.Update}

func parseLoad(p *parser) (action, error) {
	i, err := p.keyword(expectCommand, loadRows...)
	if err != nil {
		return action{}, err
	}
	kind := loadRows[i].name
	file, err := p.value(row{name: "<filename>", help: "Filename (of this client)", marker: ' '}, row{name: "terminal", help: "Use login terminal", marker: ' '})
	if err != nil {
		return action{}, err
	}
	name := file.text
	if strings.HasPrefix("terminal", name) && len(name) >= 4 && !file.quoted {
		name = "terminal"
	}
	relative, json, err := p.parseLoadOptions(kind)
	return action{run: func(r *run) error { return load(r, source{kind: kind, name: name, json: json}, relative) }}, err
}

// load reads a text into the candidate: whole, or not at all.
func load(r *run, s source, relative bool) error {
	var err error
	s.text, err = r.readText(s.name)
	if errors.Is(err, errInterrupted) {
		return r.printf("load cancelled\n")
	}
	if err != nil {
		return err
	}
	var base config.Path
	if relative {
		base = r.here()
	}
	warnings, err := replaced(r, "load", func(t config.Tree) (config.Tree, config.Errors) { return s.into(t, base) })
	if err != nil {
		return err
	}
	configErrors(r.w, warnings)
	return r.printf("load complete\n")
}

// missingMandatory is what Junos adds where a statement that must be there is not.
func missingMandatory(errs config.Errors) string {
	for _, e := range errs {
		if strings.Contains(strings.ToLower(e.Message), "missing mandatory") {
			return ": (missing mandatory statements)"
		}
	}
	return ""
}
