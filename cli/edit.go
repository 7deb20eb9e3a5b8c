package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gvpn/commit"
	"gvpn/config"
	"gvpn/internal/auth"
)

// editingCommands are the commands of configuration mode that change the candidate, beside set, delete and load.
func editingCommands() []*command {
	edit := func(name, help string, f editFunc) *command {
		return &command{name: name, help: help, needs: auth.Configure, parse: func(p *parser) (action, error) { return parseEdit(p, verbDelete, f) }}
	}
	to := []row{{name: "to", help: "New identifier"}}
	return []*command{
		{name: "annotate", help: "Annotate the statement with a comment", needs: auth.Configure, parse: parseAnnotate},
		{name: "copy", help: "Copy a statement", needs: auth.Configure, parse: pair(to, config.Tree.Copy)},
		{name: "insert", help: "Insert a new ordered data element", needs: auth.Configure, parse: pair(
			[]row{{name: "after", help: "Insert after specified data element"}, {name: "before", help: "Insert before specified data element"}},
			config.Tree.InsertAfter, config.Tree.InsertBefore,
		)},
		edit("protect", "Protect the statement", config.Tree.Protect),
		{name: "rename", help: "Rename a statement", needs: auth.Configure, parse: pair(to, config.Tree.Rename)},
		{name: "replace", help: "Replace character string in configuration", needs: auth.Configure, sub: []*command{
			{name: "pattern", help: "Pattern to replace", parse: parseReplace},
		}},
		{name: "save", help: "Save configuration to ASCII file", parse: parseSave},
		edit("unprotect", "Unprotect the statement", config.Tree.Unprotect),
		{name: "wildcard", help: "Wildcard operations", needs: auth.Configure, sub: []*command{
			{name: "delete", help: "Delete statements that match a pattern", parse: parseWildcardDelete},
		}},
	}
}

type editFunc = func(t config.Tree, base config.Path, words []string) (config.Tree, error)

// pair makes the parse of a command about two entries of one list: `rename a x to a y`. There is one function for each of the
// words that may stand between them.
func pair(between []row, edits ...func(t config.Tree, base config.Path, words, other []string) (config.Tree, error)) func(*parser) (action, error) {
	return func(p *parser) (action, error) {
		p.until = between
		st, err := p.configured(p.shell.here(), verbEntry)
		p.until = nil
		if err != nil {
			return action{}, err
		}
		word, _ := p.peek()
		i, err := p.keyword("syntax error, expecting "+wordsOf(between), between...)
		if err != nil {
			return action{}, err
		}
		parent := st.path[:len(st.path)-1]
		w := walk{parser: p, verb: verbDelete, schema: schemaAt(parent), node: p.shell.tree().Root().At(parent)}
		s := w.schema.Child(st.path[len(parent)].Name)
		name, _ := p.peek()
		if _, err := p.keyword("syntax error, expecting <"+s.Name()+">", schemaRow(s)); err != nil {
			return action{}, err
		}
		w.take(name, s.Name())
		if s.Kind() == config.List {
			err = w.entry(s)
		} else {
			err = w.value(s)
		}
		if err == nil && len(w.words) < 2 {
			err = &syntaxError{at: p.endOfCommand(), text: missingArgument}
		}
		if err == nil {
			err = p.end()
		}
		if err != nil {
			return action{}, err
		}
		line := statement{
			words: slices.Concat(st.words, []string{between[i].name}, w.words),
			typed: slices.Concat(st.typed, []token{word}, w.typed),
		}
		return action{run: func(r *run) error {
			return change(r, line, func(t config.Tree, base config.Path, _ []string) (config.Tree, error) {
				return edits[i](t, base, st.words, w.words)
			})
		}}, nil
	}
}

func wordsOf(rows []row) string {
	var names []string
	for _, r := range rows {
		names = append(names, "'"+r.name+"'")
	}
	return strings.Join(names, " or ")
}

// beforeLast reads a place of the configuration and then the last word of the command, which last describes.
func (p *parser) beforeLast(v verb, last row) (st statement, word token, err error) {
	end := p.next
	for end < len(p.tokens) && (p.tokens[end].text != "|" || p.tokens[end].quoted) {
		end++
	}
	if end == p.next {
		return st, word, &syntaxError{at: p.endOfCommand(), text: missingArgument}
	}
	if p.tokens[end-1].partial {
		if end > p.next+1 || v == verbShow {
			last.value = true
			p.offered = append(p.offered, last)
		}
		st, err = p.configured(p.shell.here(), v)
		p.enter = false
		if err == nil {
			err = errOffered
		}
		return st, word, err
	}
	all := p.tokens
	word = all[end-1]
	p.tokens = slices.Clone(all[:end-1])
	st, err = p.configured(p.shell.here(), v)
	p.tokens, p.next = all, end
	return st, word, err
}

func parseAnnotate(p *parser) (action, error) {
	st, text, err := p.beforeLast(verbDelete, row{name: "<comment>", help: "Comment; \"\" removes it", marker: ' '})
	if err == nil && len(st.words) == 0 {
		err = &syntaxError{at: p.endOfCommand(), text: missingArgument}
	}
	if err != nil {
		return action{}, err
	}
	return action{run: func(r *run) error {
		return change(r, statement{words: append(slices.Clip(st.words), text.text), typed: append(slices.Clip(st.typed), text)},
			func(t config.Tree, base config.Path, _ []string) (config.Tree, error) {
				return t.Annotate(base, st.words, text.text)
			})
	}}, nil
}

// parseReplace reads what follows `replace pattern`.
func parseReplace(p *parser) (action, error) {
	pattern, err := p.value(row{name: "<pattern>", help: "Regular expression: what to replace"})
	if err != nil {
		return action{}, err
	}
	re, err := p.expression(pattern)
	if err != nil {
		return action{}, err
	}
	if _, err := p.keyword("syntax error, expecting 'with'", row{name: "with", help: "Replace pattern with this string"}); err != nil {
		return action{}, err
	}
	with, err := p.value(row{name: "<replacement>", help: "New text; \\1 to \\9 are what the groups of the pattern match"})
	if err != nil {
		return action{}, err
	}
	upto := 0
	p.mayEnd()
	if !p.atEnd() {
		if _, err := p.keyword(notExpected, row{name: "upto", help: "Number of occurrences to replace"}); err != nil {
			return action{}, err
		}
		if upto, err = p.number("Number of occurrences to replace", 1, 1_000_000_000); err != nil {
			return action{}, err
		}
	}
	return action{run: func(r *run) error {
		return edited(r, "replace", func(t config.Tree) (config.Tree, config.Errors) {
			t, _, errs := t.ReplacePattern(r.here(), re, with.text, upto)
			return t, errs
		})
	}}, p.end()
}

// replaced makes the candidate what f makes of it, whole, or not at all: then it shows all that is wrong.
func replaced(r *run, what string, f func(config.Tree) (config.Tree, config.Errors)) (warnings config.Errors, err error) {
	var errs config.Errors
	err = r.backend.Manage(func(db *commit.DB) error {
		var t config.Tree
		if t, errs = f(r.candidate(db).Tree()); errs.Err() != nil {
			return nil
		}
		return r.update(db, t)
	})
	if err != nil {
		return nil, err
	}
	wrong, warnings := errs.Split()
	if len(wrong) > 0 {
		configErrors(r.w, wrong)
		return nil, fmt.Errorf("%s failed (%d errors), nothing was changed", what, wrong.Count())
	}
	return warnings, nil
}

// edited is replaced for an edit in one line: its warnings have no place in a text.
func edited(r *run, what string, f func(config.Tree) (config.Tree, config.Errors)) error {
	warnings, err := replaced(r, what, f)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		if err := r.printf("warning: %s\n", w.Message); err != nil {
			return err
		}
	}
	return nil
}

// parseWildcardDelete reads what follows `wildcard delete`: a level or a list, and a pattern of names.
func parseWildcardDelete(p *parser) (action, error) {
	st, pattern, err := p.beforeLast(verbShow, row{name: "<pattern>", help: "Regular expression: names of what to delete", marker: ' '})
	if err != nil {
		return action{}, err
	}
	re, err := p.expression(pattern)
	if err != nil {
		return action{}, err
	}
	path := st.path
	return action{run: func(r *run) error { return wildcardDelete(r, path, re) }}, nil
}

// wildcardDelete deletes what matches. With a terminal it asks first; without, it says what it did.
func wildcardDelete(r *run, path config.Path, re *regexp.Regexp) error {
	found := r.tree().Matching(path, re)
	for _, p := range found {
		last := p[len(p)-1]
		name := last.Name
		if len(last.Keys) > 0 {
			name = strings.Join(last.Keys, " ")
		}
		if err := r.printf("  matched: %s\n", name); err != nil {
			return err
		}
	}
	if len(found) == 0 {
		return r.printf("warning: statement not found\n")
	}
	objects := fmt.Sprintf("%d objects", len(found))
	if len(found) == 1 {
		objects = "1 object"
	}
	if r.term != nil && !r.ask("Delete "+objects+"?", false, false) {
		return nil
	}
	kept := 0
	err := edited(r, "delete", func(t config.Tree) (config.Tree, config.Errors) {
		t, errs := t.DeletePaths(found)
		kept = errs.Count()
		return t, errs
	})
	if err != nil || r.term != nil {
		return err
	}
	return r.printf("%d of %s deleted\n", len(found)-kept, objects)
}
