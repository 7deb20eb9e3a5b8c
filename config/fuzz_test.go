package config

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// read is what every fuzz target checks: no panic; an error changes nothing and names a place in the text; what was read
// is written and read back as the same.
func fuzzRead(t *testing.T, sp spelling, src []byte) {
	tree, errs := sp.read(Tree{}, src)
	if errs.Err() != nil {
		if !tree.Empty() {
			t.Fatal("changed in spite of errors")
		}
		for _, e := range errs {
			if e.Message == "" || e.Line < 1 || e.Column < 1 || !utf8.ValidString(e.Error()) {
				t.Fatalf("error without place or message: %+v", e)
			}
		}
		return
	}
	for _, to := range spellings {
		text := to.write(nil, tree.Root())
		back, errs := to.read(Tree{}, text)
		if errs.Err() != nil || !Equal(tree.Root(), back.Root()) {
			t.Fatalf("%q\nread as\n%s\nwritten as %s\n%s\n%v", src, AppendSet(nil, tree.Root()), to.name, text, errs)
		}
	}
	found, _ := tree.Effective().Validate(Tree{})
	for _, e := range found {
		if e.Message == "" || e.Path == "" {
			t.Fatalf("error without place or message: %+v", e)
		}
	}
}

func seeds(f *testing.F, write func([]byte, Node) []byte) {
	tree, errs := Tree{}.LoadCurly(nil, Merge, "", []byte(`/* c */ system { host-name a; login { user u { class operator; } } }
protect: security { zones { security-zone A; } group-vpn { server { traceoptions { file filename size; flag all; }
ike { policy P { proposals [ a b ]; pre-shared-key ascii-text "x"; } inactive: gateway G { dead-peer-detection always-send; local-identity inet 10.0.0.1; } }
group "G 1" { group-id 1; ike-gateway G; } } } ipsec-policy { from-zone A to-zone A; } }`))
	if errs.Err() != nil {
		f.Fatal(errs)
	}
	f.Add(write(nil, tree.Root()))
	f.Add([]byte(""))
}

func FuzzLoadSet(f *testing.F) {
	seeds(f, spellings[0].write)
	f.Add([]byte("set system host-name a\ndelete system\nannotate security \"x\"\nset security group-vpn server ike policy P proposals [ a b"))
	f.Add([]byte("set routing-instances a\nrename routing-instances a to to\ncopy routing-instances to to b\ninsert routing-instances b before to"))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzRead(t, spellings[0], b) })
}

func FuzzLoadCurly(f *testing.F) {
	seeds(f, spellings[1].write)
	f.Add([]byte("delete: system; replace: security { } /* a */ # b\n}{;"))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzRead(t, spellings[1], b) })
}

func FuzzLoadXML(f *testing.F) {
	seeds(f, spellings[2].write)
	f.Add([]byte(`<configuration a:operation='delete'><![CDATA[x]]><!-- c --><?p?>&#65;</configuration>`))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzRead(t, spellings[2], b) })
}

func FuzzLoadJSON(f *testing.F) {
	seeds(f, spellings[4].write)
	f.Add([]byte(`{"configuration":{"@":{"inactive":true},"system":{"host-name":"\ud83d\ude00"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) { fuzzRead(t, spellings[4], b) })
}

// FuzzLoadPatch: an error changes nothing and names a place in the text; what is protected stays.
func FuzzLoadPatch(f *testing.F) {
	f.Add([]byte("[edit system]\n-   host-name a;\n+   host-name b;\n[edit system login]\n+   user x {\n+       class operator;\n+   }\n    user v { ... }\n!   user u { ... }\n!   inactive: user v;\n"))
	f.Add([]byte("[edit]\n-   system {\n-       host-name a;\n-   }\n-   /* old */\n+   /* new\n+   er */\n    security { ... }\n!   unprotect: security { ... }\n"))
	f.Add([]byte("+   system {\n+   }}\n-   /*\n[edit x\n? \"\n+"))
	tree, errs := Tree{}.LoadSet(nil, "", []byte("set system host-name a\nset system login user u class operator\nset system login user v\nset system services netconf ssh\nset security group-vpn server ike policy P proposals [ a b ]\nprotect system services\nprotect security"))
	if errs.Err() != nil {
		f.Fatal(errs)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		next, errs := tree.LoadPatch(nil, "patch", b)
		if errs.Err() != nil {
			if !Equal(tree.Root(), next.Root()) {
				t.Fatal("changed in spite of errors")
			}
			for _, e := range errs {
				if e.Message == "" || e.Line < 1 || e.Column < 1 || !utf8.ValidString(e.Error()) {
					t.Fatalf("error without place or message: %+v", e)
				}
			}
			return
		}
		if !strings.Contains(string(b), "unprotect:") && !Equal(tree.Root().Child("system").Child("services"), next.Root().Child("system").Child("services")) {
			t.Fatalf("%q changed what is protected:\n%s", b, AppendSet(nil, next.Root()))
		}
		fuzzRead(t, spellings[0], AppendSet(nil, next.Root()))
	})
}

func FuzzReplacePattern(f *testing.F) {
	f.Add("^10\\.", "11.", 0)
	f.Add("(a|b)*", "\\1$1", 2)
	tree, errs := Tree{}.LoadSet(nil, "", []byte("set system host-name ab\nset system login user a class operator\nset system login user b\nset security ipsec-policy from-zone a to-zone b\nset security group-vpn server ike policy P proposals [ a b 10.1 ]\nset security group-vpn server ike gateway G address 10.0.0.1"))
	if errs.Err() != nil {
		f.Fatal(errs)
	}
	f.Fuzz(func(t *testing.T, pattern, with string, upto int) {
		re, err := regexp.CompilePOSIX(pattern)
		if err != nil || upto < 0 {
			return
		}
		next, n, errs := tree.ReplacePattern(nil, re, with, upto)
		if errs.Err() != nil || n == 0 {
			if !Equal(tree.Root(), next.Root()) {
				t.Fatalf("%d changes, errors %v, and another tree", n, errs)
			}
			return
		}
		if upto > 0 && n > upto {
			t.Fatalf("%d changes, at most %d were asked for", n, upto)
		}
		fuzzRead(t, spellings[0], AppendSet(nil, next.Root()))
	})
}

func FuzzReveal(f *testing.F) {
	f.Add("$9$LbHX-wg4Z")
	f.Fuzz(func(t *testing.T, s string) {
		plain, err := Reveal(s)
		if err != nil {
			return
		}
		again, err := Reveal(Obfuscate(plain))
		if err != nil || !again.Equal(plain) {
			t.Fatalf("%q: came back different: %v", s, err)
		}
	})
}

// TestErrorsKeepSecrets: whatever is wrong with a text, its errors do not repeat a secret of it.
func TestErrorsKeepSecrets(t *testing.T) {
	const secret = "Zq7Zq7Zq7"
	texts := map[string]string{
		"set":   "set security group-vpn server ike policy P pre-shared-key ascii-text \"a \\\"" + secret + " b\" \nset security group-vpn server ike policy P mode main pre-shared-key hexadecimal " + secret + "\n",
		"curly": "security { group-vpn { server { ike { policy P { mode main; pre-shared-key ascii-text \"a \\\"" + secret + " b\"; } policy Q { pre-shared-key hexadecimal " + secret + "; } } } } certificates { local C { \"-----BEGIN X-----" + secret + "\"; } } }",
		"xml":   "<configuration><security><group-vpn><server><ike><policy><name>P</name><pre-shared-key><ascii-text>a " + secret + " b</ascii-text></pre-shared-key></policy><policy><name>Q</name><pre-shared-key><hexadecimal>" + secret + "</hexadecimal></pre-shared-key></policy></ike></server></group-vpn></security></configuration>",
		"json":  `{"security":{"group-vpn":{"server":{"ike":{"policy":[{"name":"P","pre-shared-key":{"ascii-text":"a \"` + secret + ` b"}},{"name":"Q","pre-shared-key":{"hexadecimal":"` + secret + `"}}]}}}}}`,
	}
	rapid.Check(t, func(t *rapid.T) {
		sp := spellings[rapid.SampledFrom([]int{0, 1, 2, 4}).Draw(t, "spelling")]
		text := texts[sp.name]
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		for _, name := range append(secretNames(), secret, pemMark, `\"`) {
			for from := 0; from < len(text); {
				i := strings.Index(text[from:], name)
				if i < 0 {
					break
				}
				if i += from; at >= i && at <= i+len(name) {
					t.Skip("the name of the secret must stay")
				}
				from = i + len(name)
			}
		}
		junk := rapid.SampledFrom([]string{"", "x", " ", ";", "}", "{", `"`, "<", ">", "\\", "&", ",", "\x01"}).Draw(t, "junk")
		text = text[:at] + junk + text[at+rapid.IntRange(0, 1).Draw(t, "cut"):]
		_, errs := sp.read(Tree{}, []byte(text))
		if strings.Contains(errs.Error(), "Zq7Zq7") {
			t.Fatalf("%s\n%s", text, errs)
		}
	})
}

// TestErrorsKeepMistypedSecrets: behind a word that no model has, and where its name was left out, a secret is not repeated either; not
// in the error about the word, and not in one that follows on the same line.
func TestErrorsKeepMistypedSecrets(t *testing.T) {
	const policy = "security group-vpn server ike policy P "
	curly := func(in string) string {
		return "security { group-vpn { server { ike { policy P { mode nosuch; " + in + " mode nosuch; } } } } }"
	}
	xml := func(in string) string {
		return "<configuration><security><group-vpn><server><ike><policy><name>P</name>" + in + "<mode>nosuch</mode></policy></ike></server></group-vpn></security></configuration>"
	}
	json := func(in string) string {
		return `{"security":{"group-vpn":{"server":{"ike":{"policy":[{"name":"P",` + in + `,"mode":"nosuch"}]}}}}}`
	}
	for _, c := range []struct{ spelling, text string }{
		{"set", "set " + policy + "presharedkey ascii-text %"},
		{"set", "set " + policy + "presharedkey %"},
		{"set", "set " + policy + "pre-shared-key ascitext %"},
		{"set", "set " + policy + "pre-shared-key %"},
		{"set", "set " + policy + "mode nosuch presharedkey %"},
		{"set", "sett " + policy + "presharedkey %"},
		{"set", "delete " + policy + "presharedkey %"},
		{"set", "replace pattern x with %"},
		{"curly", curly("presharedkey %;")},
		{"curly", curly("presharedkey { ascitext %; }")},
		{"curly", curly("pre-shared-key %;")},
		{"curly", curly("pre-shared-key { %; }")},
		{"curly", curly(`pre-shared-key { ascitext "a %"; }`)},
		{"xml", xml("<presharedkey>%</presharedkey>")},
		{"xml", xml("<presharedkey><ascii-text>%</ascii-text></presharedkey>")},
		{"xml", xml("<pre-shared-key>%</pre-shared-key>")},
		{"xml", xml("<pre-shared-key><asciitext>%</asciitext></pre-shared-key>")},
		{"json", json(`"presharedkey":"%"`)},
		{"json", json(`"presharedkey":{"ascii-text":"%"}`)},
		{"json", json(`"pre-shared-key":"%"`)},
		{"json", json(`"pre-shared-key":["%"]`)},
		{"json", json(`"pre-shared-key":{"asciitext":"%"}`)},
	} {
		const secret = "Zq7Zq7Zq7"
		text := strings.ReplaceAll(c.text, "%", secret)
		for _, sp := range spellings {
			if sp.name != c.spelling {
				continue
			}
			_, errs := sp.read(Tree{}, []byte(text))
			if errs.Err() == nil {
				t.Errorf("%s: no error", text)
			}
			for _, e := range errs {
				if strings.Contains(e.Error()+e.Element+e.Path, secret) {
					t.Errorf("%s\n%s (%s)", text, e, e.Element)
				}
			}
		}
	}
}

// FuzzWords: whatever words an edit gets, at whatever level, it gives a configuration that can be written and read back, or an error
// without octets that could not be shown, and then the tree as it was.
func FuzzWords(f *testing.F) {
	for _, line := range []string{
		"set system host-name b", "delete system login", "deactivate system", "activate system", "protect system", "unprotect security",
		`annotate system login "a remark"`, "rename system login user u to user w", "copy system login user u to user w",
		"insert system login user v before user u", "insert security group-vpn server ike policy P proposals b after proposals a",
		"value system host-name x", "path system login user u", "matching system login user .", "set security group-vpn server ike policy P proposals [ c d",
		`set "" [ ] { } ;`,
	} {
		f.Add(line, "")
	}
	f.Add("set host-name c", "system")
	f.Add("rename gateway G to gateway H", "security group-vpn server ike")
	tree, errs := Tree{}.LoadSet(nil, "", []byte("set system host-name a\nset system login user u class operator\nset system login user v\nset system services netconf ssh\nset security group-vpn server ike policy P proposals [ a b ]\nset security group-vpn server ike gateway G address 10.0.0.1\nprotect system services\ndeactivate security"))
	if errs.Err() != nil {
		f.Fatal(errs)
	}
	cut := func(line string) (words []string) {
		l := lexer{src: []byte(line), line: 1, lines: true}
		for {
			tok, err := l.next()
			if err != nil || tok.kind == tokEnd {
				return words
			}
			word := string(l.src[tok.off:l.at])
			if tok.kind == tokWord {
				word = string(tok.text)
			}
			words = append(words, word)
		}
	}
	f.Fuzz(func(t *testing.T, line, level string) {
		words := cut(line)
		if len(words) == 0 {
			return
		}
		verb, words := words[0], words[1:]
		var base Path
		r := reader{keep: func(b []byte) string { return string(b) }, del: true}
		if _, _, bad := r.read(Root(), tokens(cut(level))); bad == nil {
			base = pathOf(r.out)
		}
		var path Path // as a program may name one: a name and keys in turn
		for i := 0; i < len(words); i += 2 {
			path = append(path, Elem{Name: words[i], Keys: words[i+1 : min(i+2, len(words))]})
		}
		two := func(edit func(base Path, words, other []string) (Tree, error)) (Tree, error) {
			n := len(words) / 2
			return edit(base, words[:n], words[n:])
		}
		next, err := tree, error(nil)
		switch last := len(words) - 1; verb {
		case "set":
			next, err = tree.Set(base, words)
		case "delete":
			next, err = tree.Delete(base, words)
		case "activate":
			next, err = tree.Activate(base, words)
		case "deactivate":
			next, err = tree.Deactivate(base, words)
		case "protect":
			next, err = tree.Protect(base, words)
		case "unprotect":
			next, err = tree.Unprotect(base, words)
		case "annotate":
			if last >= 0 {
				next, err = tree.Annotate(base, words[:last], words[last])
			}
		case "rename":
			next, err = two(tree.Rename)
		case "copy":
			next, err = two(tree.Copy)
		case "insert":
			next, err = two(tree.InsertBefore)
		case "append":
			next, err = two(tree.InsertAfter)
		case "value":
			next, err = tree.SetValue(append(base, path...), line)
		case "path":
			next, err = tree.DeletePath(append(base, path...))
		case "matching":
			if re, bad := regexp.CompilePOSIX(line); bad == nil {
				var errs Errors
				next, errs = tree.DeletePaths(tree.Matching(base, re))
				err = errs.Err()
			}
		}
		if err != nil {
			if next != tree && verb != "path" {
				t.Fatalf("%v, and another tree", err)
			}
			if !utf8.ValidString(err.Error()) || strings.ContainsRune(err.Error(), 0) {
				t.Fatalf("%q", err.Error())
			}
			return
		}
		fuzzRead(t, spellings[0], AppendSet(nil, next.Root()))
	})
}
