package config

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawTree draws any tree that the schema allows, constraints between nodes aside: marks, remarks, quoting troubles and
// all.
func drawTree(t *rapid.T) Tree {
	e := Tree{}.edit()
	e.free = true // marks are drawn before what comes after them
	budget := rapid.SampledFrom([]int{3, 10, 30, 100}).Draw(t, "size")
	drawNode(t, e, Root(), nil, &budget)
	return e.tree()
}

func drawNode(t *rapid.T, e *editor, s *Schema, steps []step, budget *int) {
	for _, c := range s.children {
		if c.isKey || isRefused(c) || *budget <= 0 || !rapid.Bool().Draw(t, "there") && !rapid.Bool().Draw(t, "or there") {
			continue
		}
		if (c.everywhere || c.template) && !rapid.SampledFrom([]bool{false, false, false, true}).Draw(t, "groups") {
			continue
		}
		switch c.kind {
		case List, LeafList:
			n := rapid.IntRange(1, 4).Draw(t, "entries")
			for range n {
				*budget--
				st := step{s: c, key: drawKey(t, c)}
				here := append(steps[:len(steps):len(steps)], st)
				e.put(here)
				if c.kind == List {
					drawNode(t, e, c, here, budget)
					drawMarks(t, e, here)
				}
				where := rapid.SampledFrom([]place{atLast, atLast, atFirst}).Draw(t, "place")
				e.move(here, where, "")
			}
			if c.kind == LeafList {
				drawMarks(t, e, append(steps[:len(steps):len(steps)], step{s: c, all: true}))
			}
		case Leaf:
			*budget--
			e.put(append(steps[:len(steps):len(steps)], step{s: c, key: drawValue(t, c)}))
			drawMarks(t, e, append(steps[:len(steps):len(steps)], step{s: c, all: true}))
		default:
			*budget--
			here := append(steps[:len(steps):len(steps)], step{s: c, all: c.kind == Empty})
			e.put(here)
			if c.isInner() {
				drawNode(t, e, c, here, budget)
			}
			drawMarks(t, e, here)
		}
	}
}

var markOdds = []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}

func drawMarks(t *rapid.T, e *editor, here []step) {
	switch rapid.SampledFrom(markOdds).Draw(t, "mark") {
	case 1:
		e.mark(here, inactive, 0)
	case 3:
		e.mark(here, protected, 0)
	case 4:
		e.mark(here, inactive|protected, 0)
	case 2:
		e.remark(here, rapid.SampledFrom([]string{"a remark", "with \"quotes\"", "two\nlines", "<&> # ;{}[] \\", "*"}).Draw(t, "remark"))
	}
}

func drawKey(t *rapid.T, s *Schema) string {
	if s.kind == LeafList {
		return drawValue(t, s)
	}
	keys := make([]string, len(s.keys))
	for i, k := range s.keys {
		keys[i] = drawValue(t, k)
	}
	return joinKeys(keys)
}

var strangeValues = []string{
	"a", "B-1", "a_b", "10.0.0.1", "10.1.2.0/24", "::1", "two words", `say "hi"`, `back\slash`, `\n`, "tab\there", "new\nline", "cr\rhere",
	"semi;colon", "{", "}", "[", "]", "[ a b ]", "#hash", "## SECRET-DATA", "/* no */", "*/", "inactive:", "delete:", "size", "filename",
	"match", "name", "address", "certificate", "ümlaut", "日本", "<a>&amp;</a>", "]]>", "$9$", "a:b", "'", "it's", "-", "_", "*", "<*>", "=", ",", " lead", "trail ", "",
	"ssh-rsa AAAA me@host", "ecdsa-sha2-nistp256 AAAA==", "ssh-ed25519 AAAA", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n",
	"deadbeef", "DEADBEEF00", "ge-0/0/1.0", "7-9", "$6$salt$hash", "2001:db8::/32", "main.example.net", "u@example.net", "never", "192.0.2.0/255.255.0.255",
	"1.2.840.10070.61850.8.1.2", "2.999", "233.252.0.1",
}

// isRefused reports whether the node is only there to be refused.
func isRefused(s *Schema) bool {
	return s.typ != nil && s.typ.base == baseRefused || s.kind == List && s.keys[0].typ.base == baseRefused
}

// drawValue draws a value that the leaf takes.
func drawValue(t *rapid.T, s *Schema) string {
	switch {
	case s.everywhere || s.isKey && s.parent.template:
		return rapid.SampledFrom([]string{"G1", "G2", "G 3"}).Draw(t, "group")
	case s.typ.base == baseWild:
		if rapid.Bool().Draw(t, "wild") {
			return rapid.SampledFrom([]string{"<*>", "<[a-z]*>", "<!a>", "<?>", "<1*>"}).Draw(t, "pattern")
		}
		plain := *s
		plain.typ = s.typ.members[0]
		return drawValue(t, &plain)
	}
	if ty := s.typ.resolved(); ty.base == baseEnum {
		return rapid.SampledFrom(ty.enums).Draw(t, "enum").Name
	} else if ty.base == baseUint {
		r := ty.unsigned[0]
		v, err := s.parseValue(uitoa(rapid.Uint64Range(r.min, r.max).Draw(t, "number")))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var fit []string
	for _, v := range strangeValues {
		if _, err := s.parseValue(v); err == nil {
			fit = append(fit, v)
		}
	}
	if len(fit) == 0 {
		t.Fatalf("no sample value for %s of type %s", s.Path(), s.typ.name)
	}
	v := rapid.SampledFrom(fit).Draw(t, "value")
	if s.noKeyword && s.isKey || s.secret {
		if more := v + rapid.StringMatching(`[a-z0-9]{0,4}`).Draw(t, "more"); more != v {
			if c, err := s.parseValue(more); err == nil {
				return c
			}
		}
	}
	c, err := s.parseValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func uitoa(n uint64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return uitoa(n/10) + string(rune('0'+n%10))
}

// spelling is one way to write a tree and to read it back.
type spelling struct {
	name  string
	write func([]byte, Node) []byte
	read  func(Tree, []byte) (Tree, Errors)
}

var spellings = []spelling{
	{"set", AppendSet, func(t Tree, b []byte) (Tree, Errors) { return t.LoadSet(nil, "set", b) }},
	{"curly", AppendCurly, func(t Tree, b []byte) (Tree, Errors) { return t.LoadCurly(nil, Merge, "curly", b) }},
	{
		"xml", func(b []byte, n Node) []byte { return AppendXML(b, n, XMLOptions{Namespaces: true}) },
		func(t Tree, b []byte) (Tree, Errors) { return t.LoadXML(nil, OpMerge, "xml", b) },
	},
	{
		"xml compact", func(b []byte, n Node) []byte { return AppendXML(b, n, XMLOptions{Compact: true}) },
		func(t Tree, b []byte) (Tree, Errors) { return t.LoadXML(nil, OpReplace, "xml", b) },
	},
	{"json", AppendJSON, func(t Tree, b []byte) (Tree, Errors) { return t.LoadJSON(nil, "json", b) }},
	{"json of junos", func(dst []byte, n Node) []byte { return AppendJSONIndent(dst, n) }, func(t Tree, b []byte) (Tree, Errors) { return t.LoadJSON(nil, "json", b) }},
	{
		"set explicit", func(b []byte, n Node) []byte { return AppendSetOptions(b, n, SetOptions{Explicit: true}) },
		func(t Tree, b []byte) (Tree, Errors) { return t.LoadSet(nil, "set", b) },
	},
}

// TestRoundTrip: what any spelling writes, it reads back as the same tree; so all spellings mean the same.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree(t)
		for _, sp := range spellings {
			text := sp.write(nil, tree.Root())
			back, errs := sp.read(Tree{}, text)
			if errs.Err() != nil {
				t.Fatalf("%s: %v\n%s", sp.name, errs, text)
			}
			if !Equal(tree.Root(), back.Root()) {
				t.Fatalf("%s: came back as\n%s\nwas\n%s\ntext\n%s", sp.name, AppendSet(nil, back.Root()), AppendSet(nil, tree.Root()), text)
			}
			if again := sp.write(nil, back.Root()); string(again) != string(text) {
				t.Fatalf("%s: printed again as\n%s\nwas\n%s", sp.name, again, text)
			}
			// Reading it once more changes nothing.
			twice, errs := sp.read(back, text)
			if errs.Err() != nil || !Equal(back.Root(), twice.Root()) {
				t.Fatalf("%s: merged with itself: %v", sp.name, errs)
			}
		}
	})
}

// drawOpenTree is drawTree without anything protected.
func drawOpenTree(t *rapid.T) Tree {
	var open []byte
	for line := range strings.Lines(string(AppendSet(nil, drawTree(t).Root()))) {
		if !strings.HasPrefix(line, "protect ") {
			open = append(open, line...)
		}
	}
	tree, errs := Tree{}.LoadSet(nil, "open", open)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return tree
}
