package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// allocated returns how many octets f allocates, garbage included: a bound of what it can ever hold.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostile: a text of any size that is wrong in one way is refused with an exact error, nothing of it is applied, and what its
// reading allocates follows its size. wrong is the first line of the first error, "" if the text is right after all.
func TestHostile(t *testing.T) {
	r := strings.Repeat
	texts := []struct {
		spelling, name string
		text           func(n int) string
		wrong          string
	}{
		{"curly", "braces", func(n int) string { return r("{", n) }, "x:1:1: syntax error, expecting <statement>"},
		{"curly", "named braces", func(n int) string { return r("a {", n) }, "x:1:1: syntax error, expecting <statement>"},
		{"curly", "known braces", func(n int) string { return r("system { login {", n/2) }, "x:1:17: syntax error, expecting <statement>"},
		{"curly", "closing braces", func(n int) string { return r("}", n) }, "x:1:1: syntax error."},
		{"curly", "brackets", func(n int) string { return r("[", n) }, "x:1:1: syntax error, expecting <statement>"},
		{"curly", "semicolons", func(n int) string { return r(";", n) }, ""},
		{"curly", "one word", func(n int) string { return r("a", 8*n) }, "x:1:1: syntax error, expecting <statement>"},
		{"curly", "words", func(n int) string { return r("a ", n) }, "x:1:1: syntax error, expecting <statement>"},
		{"curly", "tags", func(n int) string { return r("inactive: ", n) + "system;" }, ""},
		{"curly", "remarks", func(n int) string { return r("/* aa */", n) }, "x:1:174761: comments of more than 65536 octets before one statement"},
		{"curly", "open remarks", func(n int) string { return r("/* ", n) }, "x:1:1: comment is not closed"},
		{"curly", "quotes", func(n int) string { return r(`"`, n) }, "x:1:1: syntax error, expecting <statement>"},
		{"curly", "open quote", func(n int) string { return `system { host-name "` + r("a\n", n) }, "x:1:20: quoted string is not closed"},
		{"curly", "backslashes", func(n int) string { return `"` + r(`\`, 8*n) }, "x:1:1: quoted string is not closed"},
		{"curly", "zeros", func(n int) string { return r("\x00", n) }, "x:1:1: syntax error, expecting <statement>"},
		{"curly", "no UTF-8", func(n int) string { return "system { host-name " + r("\xff", n) }, `x:1:20: character "\xff" is not allowed in a value`},
		{"curly", "errors on one line", func(n int) string { return r("system { a b; } ", n/8) }, "x:1:10: syntax error, expecting <statement>"},
		{"curly", "errors far behind on one line", func(n int) string {
			return r("system { host-name a; } ", n/8) + r("system { a b; } ", n/8)
		}, "x:1:98314: syntax error, expecting <statement>"},
		{"curly", "an error in every line", func(n int) string { return r("x;\n", n) }, "x:1:1: syntax error, expecting <statement>"},
		{"curly", "a long name", func(n int) string { return "security { group-vpn { server { group " + r("g", 8*n) + ";" }, "x:1:39: Length 262144 is not within range (1..32)"},
		{"curly", "one entry again and again", func(n int) string {
			return "system { login { " + r("user u { class operator; } ", n/8) + "} }"
		}, ""},
		{"curly", "entries", func(n int) string {
			var b strings.Builder
			for i := range n / 8 {
				fmt.Fprintf(&b, "u%d; u%d {} ", i, i)
			}
			return "system { login { user { " + b.String() + "} } }"
		}, "x:1:23: missing argument."},
		{"set", "one line", func(n int) string { return "set " + r("system ", n) }, "x:1:12: syntax error, expecting <statement>"},
		{"set", "one word", func(n int) string { return "set system host-name " + r("a", 8*n) }, "x:1:22: Length 262144 is not within range (1..253)"},
		{"set", "wrong lines", func(n int) string { return r("x\n", n) }, "x:1:1: unknown command."},
		{"set", "values", func(n int) string {
			return "set security group-vpn server ike policy P proposals [ " + r("a ", n) + "]"
		}, ""},
		{"set", "open quotes", func(n int) string { return r("set \"\n", n) }, "x:1:5: quoted string is not closed"},
		{"set", "a long value", func(n int) string {
			return "set security zones security-zone Z description " + r("a", 8*n)
		}, "x:1:48: Length 262144 is not within range (1..900)"},
		{"set", "a long value that no type bounds", func(n int) string {
			return "set security group-vpn server traceoptions file match " + r("a", 8*n)
		}, "x:1:55: Length 262144 is not within range (0..65536)"},
		{"set", "a long remark", func(n int) string {
			return "set system host-name a\nannotate system \"" + r("a", 8*n) + `"`
		}, "x:2:17: Length 262144 is not within range (0..65536)"},
		{"xml", "deep", func(n int) string { return r("<a>", n) }, "x:1:1: syntax error, expecting <configuration>"},
		{"xml", "known and deep", func(n int) string { return "<configuration>" + r("<system>", n) }, "x:1:24: syntax error, expecting <statement>"},
		{"xml", "attributes", func(n int) string { return "<configuration " + r("a='b' ", n) + "/>" }, "x:1:27: attribute a is there twice"},
		{"xml", "namespaces", func(n int) string { return "<configuration " + r("xmlns:a='b' ", n) + "/>" }, "x:1:1228: too many attributes"},
		{"xml", "namespaces in depth", func(n int) string {
			return "<configuration>" + r("<a "+r("xmlns:a='b' ", 90)+">", n/32)
		}, "x:1:16: syntax error, expecting <statement>"},
		{"xml", "references", func(n int) string { return "<configuration>" + r("&amp;", n) + "</configuration>" }, "x:1:16: text where an element is expected"},
		{"xml", "text pieces", func(n int) string {
			return "<configuration><system><host-name>" + r("a<!---->", n) + "</host-name></system></configuration>"
		}, "x:1:35: Length 32768 is not within range (1..253)"},
		{"xml", "open comments", func(n int) string { return r("<!--", n) }, "x:1:1: <!-- is not closed"},
		{"xml", "document types", func(n int) string { return "<!DOCTYPE a [" + r("<!ENTITY a '&b;&b;'>", n) }, "x:1:1: document types are not supported"},
		{"xml", "entries with their key last", func(n int) string {
			return "<configuration><system><login>" + r("<user><class>operator</class><name>a</name></user>", n/32) + "</login></system></configuration>"
		}, ""},
		{"xml", "errors on one line", func(n int) string { return "<configuration>" + r("<a/>", n) + "</configuration>" }, "x:1:16: syntax error, expecting <statement>"},
		{"json", "brackets", func(n int) string { return r("[", n) }, "x:1:1: configuration must be an object"},
		{"json", "braces", func(n int) string { return r(`{"configuration":`, n) }, "x:1:19: syntax error, expecting <statement>"},
		{"json", "known braces", func(n int) string { return r(`{"system":`, n) }, "x:1:12: syntax error, expecting <statement>"},
		{"json", "deep and skipped", func(n int) string { return `{"x":` + r("[", n) }, "x:1:2: syntax error, expecting <statement>"},
		{"json", "long number", func(n int) string { return `{"security":{"group-vpn":{"server":{"x":` + r("9", 8*n) }, "x:1:37: syntax error, expecting <statement>"},
		{"json", "marks", func(n int) string { return `{"@":` + r("[", n) }, "x:1:7: marks must be an object"},
		{"json", "objects of marks", func(n int) string { return `{"@":` + r(`[{"a":1},`, n/8) }, "x:1:15: marks must be an object"},
		{"json", "marks of a leaf-list", func(n int) string {
			return `{"security":{"group-vpn":{"server":{"ike":{"policy":[{"name":"P","@proposals":[` + r("null,", n) + `{"inactive":1}]}]}}}}}`
		}, "x:1:163932: inactive must be true or false"},
		{"json", "a member again and again", func(n int) string { return `{"system":{}` + r(`,"system":{}`, n) + "}" }, "x:1:14: the object has a member system already"},
		{"patch", "open lines", func(n int) string { return "[edit]\n" + r("+ system {\n", n) }, "x:3:3: syntax error, expecting <statement>"},
		{"patch", "changing signs", func(n int) string { return "[edit]\n" + r("+ /*\n- /*\n", n) }, "x:2:3: comment is not closed"},
		{"patch", "lost levels", func(n int) string { return r("[edit nowhere]\n+ a;\n", n) }, "x:1:7: syntax error, expecting <statement>"},
		{"patch", "words", func(n int) string { return "[edit]\n  " + r("a ", n) }, "x:2:3: syntax error, expecting <statement>"},
	}
	load := map[string]func(Tree, []byte) (Tree, Errors){
		"curly": func(t Tree, b []byte) (Tree, Errors) { return t.LoadCurly(nil, Merge, "x", b) },
		"set":   func(t Tree, b []byte) (Tree, Errors) { return t.LoadSet(nil, "x", b) },
		"xml":   func(t Tree, b []byte) (Tree, Errors) { return t.LoadXML(nil, OpMerge, "x", b) },
		"json":  func(t Tree, b []byte) (Tree, Errors) { return t.LoadJSON(nil, "x", b) },
		"patch": func(t Tree, b []byte) (Tree, Errors) { return t.LoadPatch(nil, "x", b) },
	}
	const n = 1 << 15
	tree := mustCurly(t, "system { host-name before; }")
	for _, c := range texts {
		t.Run(c.spelling+" "+c.name, func(t *testing.T) {
			small, large := []byte(c.text(n)), []byte(c.text(4*n))
			var next Tree
			var errs Errors
			one := allocated(func() { next, errs = load[c.spelling](tree, small) })
			wrong, _, _ := strings.Cut(errs.Error(), "\n")
			if wrong != c.wrong {
				t.Errorf("%q\nwant %q", wrong, c.wrong)
			}
			if c.wrong != "" && next != tree {
				t.Error("changed in spite of errors")
			}
			if len(errs) > maxErrors+1 || len(errs.Error()) > 100<<10 {
				t.Errorf("%d errors, %d octets of text", len(errs), len(errs.Error()))
			}
			four := allocated(func() { _, _ = load[c.spelling](tree, large) })
			if four > 6*one+1<<20 {
				t.Errorf("%d octets allocated for %d, %d for %d", one, len(small), four, len(large))
			}
			if bound := uint64(300*len(large) + 4<<20); four > bound {
				t.Errorf("%d octets allocated for %d, at most %d are all right", four, len(large), bound)
			}
		})
	}
}

// TestTooManyWords: the tokens of a statement are held together, so their number is bounded.
func TestTooManyWords(t *testing.T) {
	values := strings.Repeat("a ", 1<<20)
	const policy = "security group-vpn server ike policy P proposals"
	for _, c := range []struct {
		wrong string
		load  func() (Tree, Errors)
	}{
		{
			"x:1:262184: more than 131072 words in one statement",
			func() (Tree, Errors) { return Tree{}.LoadSet(nil, "x", []byte("set "+policy+" [ "+values+"]\n")) },
		},
		{
			"x:1:262204: more than 131072 words in one statement",
			func() (Tree, Errors) {
				return Tree{}.LoadCurly(nil, Merge, "x", []byte("security { group-vpn { server { ike { policy P { proposals [ "+values+"]; } } } } }"))
			},
		},
		{
			"x:2:262151: more than 131072 words in one statement",
			func() (Tree, Errors) { return Tree{}.LoadPatch(nil, "x", []byte("[edit]\n    "+values+"\n")) },
		},
	} {
		var tree Tree
		var errs Errors
		size := allocated(func() { tree, errs = c.load() })
		wrong, _, _ := strings.Cut(errs.Error(), "\n")
		if wrong != c.wrong || len(errs) != 1 || !tree.Empty() {
			t.Errorf("%q, %d errors\nwant %q", wrong, len(errs), c.wrong)
		}
		if size > 64<<20 {
			t.Errorf("%d octets allocated", size)
		}
	}
}

// TestTooManyValues: a leaf-list is bounded in every spelling, whether its values come in one statement or in many.
func TestTooManyValues(t *testing.T) {
	var set, curly, xml, json strings.Builder
	for i := range maxValues + 2 {
		fmt.Fprintf(&set, "set security group-vpn server ike policy P proposals p%d\n", i)
		fmt.Fprintf(&curly, "proposals p%d;\n", i)
		fmt.Fprintf(&xml, "<proposals>p%d</proposals>\n", i)
		fmt.Fprintf(&json, "\"p%d\",\n", i)
	}
	for name, load := range map[string]func() (Tree, Errors){
		"x:65537:1: ": func() (Tree, Errors) { return Tree{}.LoadSet(nil, "x", []byte(set.String())) },
		"x:65538:1: ": func() (Tree, Errors) {
			return Tree{}.LoadCurly(nil, Merge, "x", []byte("security { group-vpn { server { ike { policy P {\n"+curly.String()+"} } } } }"))
		},
		"x:65539:1: ": func() (Tree, Errors) {
			return Tree{}.LoadXML(nil, OpMerge, "x", []byte("<configuration><security><group-vpn><server><ike>\n<policy><name>P</name>\n"+xml.String()+"</policy></ike></server></group-vpn></security></configuration>"))
		},
		"x:2:1: ": func() (Tree, Errors) {
			return Tree{}.LoadJSON(nil, "x", []byte(`{"security":{"group-vpn":{"server":{"ike":{"policy":[{"name":"P","proposals":`+"\n["+json.String()+`"p"]}]}}}}}`))
		},
	} {
		tree, errs := load()
		want := name + "number of elements exceeds limit of 65536\n"
		if !strings.HasPrefix(errs.Error(), want) || !tree.Empty() || errs[0].Path == "" {
			t.Errorf("%.300s\nwant %s", errs.Error(), want)
		}
	}
	tree, errs := Tree{}.LoadSet(nil, "x", []byte(strings.Join(strings.SplitAfter(set.String(), "\n")[:maxValues], "")))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	// All in one statement, which has a bound of its own.
	if back, errs := (Tree{}).LoadCurly(nil, Merge, "x", AppendCurly(nil, tree.Root())); errs.Err() != nil || !Equal(back.Root(), tree.Root()) {
		t.Errorf("curly text does not come back: %.200s", errs.Error())
	}
	if _, err := tree.Set(Path{{Name: "security"}}, []string{"group-vpn", "server", "ike", "policy", "P", "proposals", "more"}); err == nil || err.Error() != "[edit security] 'proposals' number of elements exceeds limit of 65536" {
		t.Error(err)
	}
}

// TestMoreErrors: what is beyond the first hundred is counted, errors apart from warnings, and no number of warnings hides an error.
func TestMoreErrors(t *testing.T) {
	warn := func(n int) string { return strings.Repeat("delete system login user u\n", n) }
	for _, c := range []struct {
		text          string
		listed, count int
		last          string
	}{
		{warn(100), 100, 100, "x:100:1: warning: statement not found"},
		{warn(101), 101, 101, "x:101:1: warning: statement not found"},
		{warn(102), 101, 102, "x:101:1: warning: and 2 more warnings, the first of them here"},
		{warn(100) + "bogus\n", 101, 101, "x:101:1: unknown command."},
		{warn(1000) + "bogus\n", 102, 1001, "x:1001:1: unknown command."},
		{strings.Repeat("bogus\n", 100000), 101, 100000, "x:101:1: and 99900 more errors, the first of them here"},
	} {
		tree, errs := Tree{}.LoadSet(nil, "x", []byte(c.text+"set system host-name applied"))
		last, _, _ := strings.Cut(errs[len(errs)-1].Error(), "\n")
		if len(errs) != c.listed || errs.Count() != c.count || last != c.last {
			t.Errorf("%d listed of %d, the last %q\nwant %d of %d, %q", len(errs), errs.Count(), last, c.listed, c.count, c.last)
		}
		if wrong := strings.Contains(c.text, "bogus"); tree.Empty() != wrong {
			t.Errorf("after %q: empty is %v", c.last, tree.Empty())
		}
	}
	for _, c := range []struct {
		name string
		load func(Tree, []byte) (Tree, Errors)
		text string
	}{
		{"curly", func(t Tree, b []byte) (Tree, Errors) { return t.LoadCurly(nil, Merge, "x", b) }, strings.Repeat("system { delete: login { user u; } }\n", 200) + "bogus;"},
		{"patch", func(t Tree, b []byte) (Tree, Errors) { return t.LoadPatch(nil, "x", b) }, strings.Repeat("[edit system]\n-   host-name h;\n", 200) + "+   bogus;"},
		{"xml", func(t Tree, b []byte) (Tree, Errors) { return t.LoadXML(nil, OpNone, "x", b) }, "<configuration><system>" + strings.Repeat("<services operation='remove'/>", 200) + "<bogus/></system></configuration>"},
		{"json", func(t Tree, b []byte) (Tree, Errors) { return t.LoadJSON(nil, "x", b) }, `{"system":{"services":{"ssh":{"port":7}},"login":{"user":[` + strings.Repeat(`{"name":"u","class":"operator"},`, 200) + `{"name":"v"}]},"bogus":1}}`},
	} {
		tree, errs := Tree{}.LoadSet(nil, "", []byte("set system host-name h\nset system services ssh\nset system login user u class super-user\nprotect system"))
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		next, errs := c.load(tree, []byte(c.text))
		found, _ := errs.Split()
		if len(found) != 1 || !strings.Contains(found[0].Message, "expecting <statement>") || next != tree {
			t.Errorf("%s: %d errors of %d, changed: %v\n%s", c.name, len(found), errs.Count(), next != tree, found)
		}
	}
}

// TestLongTexts: places in long lines are exact, and what is repeated of them is short.
func TestLongTexts(t *testing.T) {
	line := "set system login user u " + strings.Repeat("full-name ä ", 1<<14)
	_, errs := Tree{}.LoadSet(nil, "x", []byte("\n"+line+"\x00 \u202e"))
	got := errs[0].Error()
	if want := fmt.Sprintf("x:2:%d: ", 1+len("set system login user u ")+12<<14); !strings.HasPrefix(got, want) || len(got) > 2000 {
		t.Errorf("%.200s\nwant %s", got, want)
	}
	_, errs = Tree{}.LoadSet(nil, "x", []byte("set system host-name a\u202eb\x01"))
	if strings.ContainsAny(errs[0].Error(), "\u202e\x01") {
		t.Errorf("%q", errs[0].Error())
	}
	e := &Error{Path: "[edit " + strings.Repeat("a", 1<<20) + "]", Element: strings.Repeat("b", 1<<20), Message: strings.Repeat("c", 1<<20)}
	if len(e.Error()) > 3*(BriefText+10) {
		t.Errorf("%d octets of error", len(e.Error()))
	}
	if got := Brief("a\xffb\x00"+strings.Repeat("ä", BriefWord), BriefWord); got != "a?b?"+strings.Repeat("ä", BriefWord-4)+"..." {
		t.Errorf("%q", got)
	}
}

// TestMoreRules: no number of warnings of the rules hides an error, and what is beyond the bound is counted.
func TestMoreRules(t *testing.T) {
	var set strings.Builder
	for i := range maxFound + 10 {
		fmt.Fprintf(&set, "set security zones security-zone Z%d screen x\n", i)
		fmt.Fprintf(&set, "set security group-vpn server ike gateway G%d address 10.0.%d.%d\n", i, i/256, i%256)
	}
	set.WriteString("set security group-vpn server group G ike-gateway NOWHERE\n") // it is not used either: a warning more
	tree, errs := Tree{}.LoadSet(nil, "", []byte(set.String()))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	wrong, warnings := tree.Validate(Tree{})
	if !strings.Contains(wrong.Error(), "Referenced IKE gateway must be defined") {
		t.Errorf("%d errors: %.1000s", wrong.Count(), wrong)
	}
	if len(warnings) != maxFound+1 || warnings.Count() != 2*(maxFound+10)+1 {
		t.Errorf("%d warnings listed of %d", len(warnings), warnings.Count())
	}
	if want := fmt.Sprintf("warning: and %d more warnings, the first of them here", maxFound+21); !strings.HasSuffix(warnings[maxFound].Error(), want) {
		t.Errorf("%s\nwant %s", warnings[maxFound], want)
	}
}
