package effect

import (
	"bytes"
	"slices"
	"strings"

	"gvpn/commit/step"
)

// AppendText appends the plan as an operator reads it: a table of group or VPN, row, what changed and the effects in the order
// in which they come, then the rows that do nothing at once. "-" stands for effects on gateways, which belong to no one group.
// reach says whom an effect touches now; nil leaves that column out.
func AppendText(dst []byte, p *step.Plan, reach func(step.Effect) string) []byte {
	if len(p.Effects)+len(p.Quiet) == 0 {
		return append(dst, "no effect on keys and members\n"...)
	}
	lines := [][5]string{{"group", "row", "change", "effect", "touches now"}}
	if reach == nil {
		lines[0][4] = ""
		reach = func(step.Effect) string { return "" }
	}
	var last step.Effect
	for i, e := range slices.Concat(p.Effects, p.Quiet) {
		name, row, change := e.Group, e.Row, because(e.Row)
		switch {
		case e.VPN != "":
			name = "vpn " + e.VPN
		case name == "":
			name = "-"
		}
		if i > 0 && i != len(p.Effects) && e.Group == last.Group && e.VPN == last.VPN {
			name = ""
			if e.Row == last.Row && e.Kind != "" {
				row, change = "", ""
			}
		}
		touched := ""
		if e.Kind != "" {
			touched = reach(e)
		}
		lines = append(lines, [5]string{name, row, change, effectText(e), touched})
		last = e
	}
	var width [4]int
	for _, l := range lines {
		for c := range width {
			width[c] = max(width[c], len(l[c]))
		}
	}
	for _, l := range lines {
		var line []byte
		for c, w := range width {
			line = append(line, l[c]...)
			line = append(line, strings.Repeat(" ", w-len(l[c])+2)...)
		}
		dst = append(append(dst, bytes.TrimRight(append(line, l[4]...), " ")...), '\n')
	}
	return dst
}

func effectText(e step.Effect) string {
	arg := e.Gateway
	if arg == "" {
		arg = e.SA
	}
	if arg != "" {
		arg = "(" + arg + ")"
	}
	if e.Kind == "" {
		return strings.TrimSpace("nothing at once " + arg)
	}
	return string(e.Kind) + arg
}

// tables are the three tables: a row's number begins with its table's, and its cells with the first of the columns.
var tables = []struct {
	digit   byte
	title   string
	columns []string
	first   int
}{
	{'1', "Table 1: any group server", []string{"standalone", "root-server", "sub-server"}, 0},
	{'2', "Table 2: the server cluster itself", []string{"root-server", "sub-server"}, 1},
	{'3', "Table 3: the member", []string{"member"}, 0},
}

// Cell is the place of one cell of the tables: its row's number, and the name of its column.
type Cell struct{ Row, Column string }

// Cells returns the places of all cells, table by table and row by row, for tests that hold their cases to the tables.
func Cells() (all []Cell) {
	for _, t := range tables {
		for _, r := range rows {
			if r.ID[0] != t.digit {
				continue
			}
			for _, c := range t.columns {
				all = append(all, Cell{Row: r.ID, Column: c})
			}
		}
	}
	return all
}

// AppendTables appends the three tables as a page in Markdown: TABLES.md is made of it.
func AppendTables(dst []byte) []byte {
	dst = append(dst, `# What a configuration change does at once

Generated from table.go; do not edit. [O]: the row is ours, the others are in Juniper's page "Group VPNv2 Server Clusters". What
readings add to a row is below them. generate, rekey and send of a TEK or KEK are left out if none is configured.

`...)
	for _, t := range tables {
		dst = append(append(append(dst, "## "...), t.title...), "\n\n| row | change | "...)
		dst = append(append(dst, strings.Join(t.columns, " | ")...), " |\n| --- | --- |"...)
		dst = append(append(dst, strings.Repeat(" --- |", len(t.columns))...), '\n')
		for _, r := range rows {
			if r.ID[0] != t.digit {
				continue
			}
			change := r.Change
			if r.Ours {
				change += " [O]"
			}
			dst = append(append(append(append(dst, "| "...), r.ID...), " | "...), change...)
			for i := range t.columns {
				dst = append(append(dst, " | "...), r.cells[t.first+i].text()...)
			}
			dst = append(dst, " |\n"...)
		}
		dst = append(dst, '\n')
	}
	dst = append(dst, `## The effects

| effect | what it does |
| --- | --- |
`...)
	for _, m := range meanings {
		dst = append(append(append(append(dst, "| "...), m.kind...), " | "...), m.text...)
		dst = append(dst, " |\n"...)
	}
	dst = append(dst, '\n')
	dst = append(dst, `## Readings that add effects

They stand in a plan under their own number, beside the cell's.

| reading | when |
| --- | --- |
`...)
	for _, id := range []string{"T7", "T8", "T12", "T13", "T16"} {
		dst = append(append(append(append(dst, "| "...), id...), " | "...), readings[id]...)
		dst = append(dst, " |\n"...)
	}
	dst = append(dst, '\n')
	dst = append(dst, `## Where a change of each statement goes

A statement belongs to the longest place that it is at or below. "-": no row, for the reason given.

| place below security | added | changed | deleted | note |
| --- | --- | --- | --- | --- |
`...)
	for _, f := range families {
		for _, s := range []string{f.path, f.add, f.modify, f.delete, f.why} {
			dst = append(append(dst, "| "...), s...)
			dst = append(dst, ' ')
		}
		dst = append(dst, "|\n"...)
	}
	return dst
}

func (c cell) text() string {
	if len(c) == 0 {
		return "nothing"
	}
	words := make([]string, len(c))
	for i, d := range c {
		words[i] = string(d.kind) + d.arg.word()
	}
	return strings.Join(words, "; ")
}
