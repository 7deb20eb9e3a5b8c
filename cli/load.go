package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"gvpn/config"
)

// source is a text to load.
type source struct {
	kind string // merge, override, replace, set, update or patch
	name string // of the file
	text []byte
	json bool
}

// into makes the text part of a configuration, from base on. Text in braces, XML, which begins with <, and JSON can be merged, and
// can take the place of what is at base.
func (s source) into(t config.Tree, base config.Path) (config.Tree, config.Errors) {
	s.text = bytes.TrimPrefix(s.text, []byte("\ufeff"))
	instead := s.kind == "override" || s.kind == "update"
	switch {
	case s.kind == "set":
		return t.LoadSet(base, s.name, s.text)
	case s.kind == "patch":
		return t.LoadPatch(base, s.name, s.text)
	case s.json && instead:
		return t.ReplaceJSON(base, s.name, s.text)
	case s.json:
		return t.LoadJSON(base, s.name, s.text)
	case bytes.HasPrefix(bytes.TrimSpace(s.text), []byte("<")):
		op := config.OpMerge
		if instead {
			op = config.OpReplace
		}
		return t.LoadXML(base, op, s.name, s.text)
	}
	return t.LoadCurly(base, loadActions[s.kind], s.name, s.text)
}

// parseLoadOptions reads what follows the file of a load.
func (p *parser) parseLoadOptions(kind string) (relative, json bool, err error) {
	left := []row{{name: "relative", help: "Load from this level"}}
	if kind != "set" && kind != "patch" {
		left = append([]row{{name: "json", help: "The text is JSON"}}, left...)
	}
	for {
		p.mayEnd()
		if p.atEnd() || len(left) == 0 {
			return relative, json, p.end()
		}
		i, err := p.keyword(notExpected, left...)
		if err != nil {
			return relative, json, err
		}
		if left[i].name == "json" {
			json = true
		} else {
			relative = true
		}
		left = append(left[:i:i], left[i+1:]...)
	}
}

// Create implements Files. A configuration holds secrets, so the file is for its owner alone.
func (LocalFiles) Create(name string) (io.WriteCloser, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func parseSave(p *parser) (action, error) {
	file, err := p.value(row{name: "<filename>", help: "Filename (of this client)", marker: ' '})
	if err != nil {
		return action{}, err
	}
	return action{run: func(r *run) error { return save(r, file.text) }}, p.end()
}

// save writes what is at this level to a file of the client.
func save(r *run, name string) error {
	text := config.AppendCurly(nil, r.tree().Root().At(r.here()))
	if err := writeFile(r.cfg.Files, name, text); err != nil {
		return err
	}
	return r.printf("Wrote %d lines of configuration to '%s'\n", bytes.Count(text, []byte{'\n'}), name)
}

// writeFile makes a file of the client, or puts the text in the place of what is in it.
func writeFile(files Files, name string, text []byte) error {
	if files == nil {
		return fmt.Errorf("%s: this session has no files; use 'show' and keep its output", name)
	}
	f, err := files.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
