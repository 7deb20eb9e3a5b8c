package main

import (
	"bufio"
	"fmt"
	"io"

	"gvpn/config"
)

// printSchema writes one line per node of the schema, in schema order: path, kind, type and default, separated by tabs. The path has
// neither keys nor choices; what a node has none of is empty. Told once and not wherever they may stand: what a group may hold,
// apply-groups, and apply-groups-except.
func printSchema(out io.Writer) error {
	w := bufio.NewWriter(out)
	var walk func(s *config.Schema, path string)
	walk = func(s *config.Schema, path string) {
		path += "/" + s.Name()
		kind := s.Kind().String()
		switch s.Kind() {
		case config.Presence:
			kind = "presence"
		case config.Empty:
			kind = "empty"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", path, kind, s.Builtin(), s.Default())
		for _, c := range s.Children() {
			if s == config.Root() || !c.Everywhere() && (!s.Template() || c.IsKey()) {
				walk(c, path)
			}
		}
	}
	walk(config.Root(), "")
	return w.Flush() // has the error of any write before
}
