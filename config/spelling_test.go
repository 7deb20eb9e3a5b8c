package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestSpellings: texts in any spelling, what they make, and what is wrong with them. The tree is kept from case to case
// of a file; "empty" begins anew.
func TestSpellings(t *testing.T) {
	datadriven.Walk(t, "testdata/spelling", func(t *testing.T, path string) {
		var tree Tree
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var at Path
			show := "set"
			action, op := Merge, OpMerge
			for _, a := range d.CmdArgs {
				switch a.Key {
				case "at":
					at = pathOfWords(t, cutWords(t, strings.Join(a.Vals, " ")))
				case "show":
					show = a.Vals[0]
				case "merge":
				case "override":
					action = Override
				case "update":
					action = Update
				case "replace":
					action, op = Replace, OpReplace
				case "none":
					op = OpNone
				default:
					d.Fatalf(t, "unknown argument %s", a.Key)
				}
			}
			var errs Errors
			next := tree
			switch d.Cmd {
			case "empty":
				next = Tree{}
			case "set":
				next, errs = tree.LoadSet(at, "set", []byte(d.Input))
			case "curly":
				next, errs = tree.LoadCurly(at, action, "curly", []byte(d.Input))
			case "xml":
				next, errs = tree.LoadXML(at, op, "xml", []byte(d.Input))
			case "json":
				next, errs = tree.LoadJSON(at, "json", []byte(d.Input))
			case "show":
			case "effective":
				next = tree.Effective()
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			if errs.Err() != nil {
				if !Equal(next.Root(), tree.Root()) {
					d.Fatalf(t, "changed in spite of errors")
				}
				return errs.Error() + "\n"
			}
			var out []byte
			if len(errs) > 0 {
				out = append(out, errs.Error()+"\n"...)
			}
			if d.Cmd != "effective" {
				tree = next
			}
			n := next.Root()
			if d.Cmd == "show" {
				n = n.At(at)
			}
			switch show {
			case "set":
				out = AppendSet(out, n)
			case "relative":
				out = AppendSetOptions(out, n, SetOptions{From: n.Path()})
			case "curly":
				out = AppendCurly(out, n)
			case "statement":
				out = AppendCurlyStatement(out, n, 1)
			case "xml":
				out = AppendXML(out, n, XMLOptions{})
			case "namespaces":
				out = AppendXML(out, n, XMLOptions{Namespaces: true})
			case "json":
				out = append(AppendJSON(out, n), '\n')
			case "junos":
				out = AppendJSONIndent(out, n)
			default:
				d.Fatalf(t, "unknown spelling %s", show)
			}
			if len(out) == 0 {
				return "nothing\n"
			}
			return string(out)
		})
	})
}

func pathOfWords(t *testing.T, words []string) Path {
	r := reader{keep: func(b []byte) string { return string(b) }, del: true}
	if _, _, bad := r.read(Root(), tokens(words)); bad != nil {
		t.Fatal(bad.err)
	}
	return pathOf(r.out)
}

// cutWords cuts a line into words as set text does.
func cutWords(t interface{ Fatal(...any) }, line string) (words []string) {
	l := lexer{src: []byte(line), line: 1, lines: true}
	for {
		tok, err := l.next()
		if err != nil {
			t.Fatal(err)
		}
		if tok.kind == tokEnd {
			return words
		}
		words = append(words, string(l.src[tok.off:l.at]))
		if tok.kind == tokWord {
			words[len(words)-1] = string(tok.text)
		}
	}
}

// TestSharedLines: a line that begins as the one before means what it means by itself, and what is wrong with it is found at the same
// place.
func TestSharedLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := strings.SplitAfter(string(AppendSet(nil, drawTree(t).Root())), "\n")
		for range rapid.IntRange(0, 10).Draw(t, "changes") {
			i := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
			line := strings.TrimSuffix(lines[i], "\n")
			switch rapid.IntRange(0, 6).Draw(t, "change") {
			case 0:
				line = "  " + line
			case 1:
				line = strings.Replace(line, " ", "   ", 3)
			case 2:
				line += " " // and nothing behind
			case 3:
				line += " ## remark"
			case 4:
				line = line[:rapid.IntRange(0, len(line)).Draw(t, "cut")]
			case 5:
				line += " nosuch"
			case 6:
				line = strings.Replace(line, "set ", "delete ", 1)
			}
			lines = slices.Insert(lines, i, line+"\n")
		}
		type fault struct{ at, message, element string }
		describe := func(errs Errors, line int) (out []fault) {
			for _, e := range errs {
				at := max(e.Line, line)
				out = append(out, fault{fmt.Sprint(at, " ", e.Column), e.Message, e.Element})
			}
			return out
		}
		whole, errs := Tree{}.LoadSet(nil, "", []byte(strings.Join(lines, "")))
		var apart Tree
		var found []fault
		wrong := false
		for i, line := range lines {
			next, errs := apart.LoadSet(nil, "", []byte(line))
			apart, wrong = next, wrong || errs.Err() != nil
			found = append(found, describe(errs, i+1)...)
		}
		if diff := cmp.Diff(found, describe(errs, 0), cmp.AllowUnexported(fault{})); diff != "" {
			t.Fatalf("faults line by line and as a whole:\n%s\n%s", diff, strings.Join(lines, ""))
		}
		if !wrong && !Equal(whole.Root(), apart.Root()) {
			t.Fatalf("line by line:\n%s\nas a whole:\n%s", AppendSet(nil, apart.Root()), AppendSet(nil, whole.Root()))
		}
	})
}
