package config

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// TestSchema prints the whole schema, for a person to hold against Junos's model.
func TestSchema(t *testing.T) {
	datadriven.RunTest(t, "testdata/schema.txt", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		s := Root()
		for name := range strings.FieldsSeq(d.Input) {
			if s = s.Child(name); s == nil {
				d.Fatalf(t, "no %s", name)
			}
		}
		printSchema(&b, s, 0)
		return b.String()
	})
}

func printSchema(w io.Writer, s *Schema, level int) {
	name := s.name
	switch s.kind {
	case Container:
		name += "/"
	case Presence:
		name += "!/"
	case List:
		name += "*"
		var keys []string
		for _, k := range s.keys {
			keys = append(keys, k.name)
		}
		name += " [" + strings.Join(keys, " ") + "]"
	case LeafList:
		name += "[]"
	}
	if s.word != s.name {
		name += " " + s.word
	}
	fmt.Fprintf(w, "%s%s", strings.Repeat("  ", level), name)
	switch {
	case s.kind == Empty:
		fmt.Fprint(w, "  flag")
	case s.typ != nil && s.Enums() != nil:
		fmt.Fprintf(w, "  enum{%s}", strings.ReplaceAll(strings.ReplaceAll(enumList(s.Enums()), " or ", ","), ", ", ","))
	case s.Target() != nil:
		fmt.Fprintf(w, "  -> %s", s.Target().Path())
	case s.typ != nil:
		fmt.Fprintf(w, "  %s%s", s.Type(), strings.Trim(strings.ReplaceAll(s.Range(), "(", " ("), ""))
	}
	if s.hasDef {
		fmt.Fprintf(w, ", def %s", s.def)
	}
	if s.max > 0 {
		fmt.Fprintf(w, ", max %d", s.max)
	}
	for _, c := range s.cases {
		fmt.Fprintf(w, ", case %d", c.which)
	}
	for _, m := range []struct {
		is   bool
		text string
	}{
		{s.oneLiner, " {1l}"},
		{s.oneLinerPlus, " {1l+}"},
		{s.noKeyword, " {nk}"},
		{s.grouped, " {hom}"},
		{s.joined, " {joined}"},
		{s.secret, " {secret}"},
		{s.template, " {template}"},
		{s.everywhere, " {everywhere}"},
		{s.deprecated, " DEPRECATED"},
		{s.mandatory, " MANDATORY"},
	} {
		if m.is {
			fmt.Fprint(w, m.text)
		}
	}
	if s.module != s.parent.module && s.parent.parent != nil {
		fmt.Fprintf(w, " (%s)", s.module)
	}
	fmt.Fprintln(w)
	for _, c := range s.children {
		if !s.template && (!c.everywhere || s == Root()) {
			printSchema(w, c, level+1)
		}
	}
}

// TestSchemaTexts: everything has a help text, and every constraint can say what is wrong.
func TestSchemaTexts(t *testing.T) {
	var walk func(s *Schema)
	walk = func(s *Schema) {
		if s.desc == "" {
			t.Errorf("%s has no description", s.Path())
		}
		if s.Target() != nil && s.referenceError == "" {
			t.Errorf("%s has no reference-error", s.Path())
		}
		if len(s.uniques) > 0 && s.uniqueError == "" {
			t.Errorf("%s has no unique-error", s.Path())
		}
		for _, e := range s.Enums() {
			if e.Description == "" && s.Target() == nil {
				t.Errorf("%s: %s has no description", s.Path(), e.Name)
			}
		}
		for _, c := range s.children {
			walk(c)
		}
	}
	walk(Root())
	if len(Modules()) < 6 {
		t.Error(Modules())
	}
	for _, m := range Modules() {
		if m.Name == "" || m.Namespace == "" || m.Revision == "" {
			t.Error(m)
		}
	}
}

// TestFastPatterns: what a quick acceptor takes, its regular expression takes too.
func TestFastPatterns(t *testing.T) {
	used := map[string]bool{}
	var walk func(s *Schema)
	walk = func(s *Schema) {
		if s.typ != nil {
			for _, p := range s.typ.resolved().patterns {
				used[p.text] = used[p.text] || p.fast != nil
			}
		}
		for _, c := range s.children {
			walk(c)
		}
	}
	walk(Root())
	for text, fast := range fastPattern {
		if !used[text] {
			t.Errorf("no leaf has the pattern %s", text)
		}
		re := regexp.MustCompile(`\A(?:` + text + `)\z`)
		rapid.Check(t, func(t *rapid.T) {
			v := rapid.OneOf(
				rapid.StringMatching(`[0-9]{0,3}(\.[0-9]{0,4}){0,4}(/[0-9]{0,3})?`),
				rapid.StringMatching(`[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(/[0-9]{1,2})?`),
				rapid.StringMatching(`[-_0-9a-zA-Z. ]{0,8}`),
				rapid.String(),
			).Draw(t, "value")
			if fast(v) && !re.MatchString(v) {
				t.Fatalf("%q: taken though %s does not", v, text)
			}
		})
	}
	for _, v := range []string{"0.0.0.0", "255.255.255.255", "10.1.2.3"} {
		if !isDotted(v) {
			t.Errorf("%s is not quick", v)
		}
	}
}

// TestMustForms: a must that could cost more than what it is about is refused.
func TestMustForms(t *testing.T) {
	at := func(path string) *Schema {
		s := Root()
		for name := range strings.FieldsSeq(path) {
			s = s.Child(name)
		}
		return s
	}
	group := "security group-vpn server group "
	for _, c := range []struct{ at, text, want string }{
		{group, "group-id > 5", ""},
		{group, "count(ike-gateway) * 2 - 1 <= 10 and not(description) or true()", ""},
		{group, "string-length(description) < 5 or starts-with(description, 'a') or contains(description, \"b\")", ""},
		{group + "ike-gateway name", "deref(current())/../local-address = '10.0.0.1'", ""},
		{group + "server-cluster", "../group-id", ""},
		{group + "server-cluster", "../ike-gateway", "path reads every entry of security/group-vpn/server/group/ike-gateway, which is not below the node (follow a leafref instead)"},
		{group + "ike-gateway name", "../../../ike/gateway/name = .", "path reads every entry of security/group-vpn/server/ike/gateway, which is not below the node (follow a leafref instead)"},
		{group, "/configuration/interfaces/interface[name = 'x']", "only the must of a leaf can look an entry up"},
		{group + "description", "/configuration/interfaces/interface[name = current()]/unit[name = 0 + 1]", ""},
		{group + "description", "/configuration/system", "absolute path that does not end in a list, or in a presence container below one, is not supported"},
		{group + "description", "/configuration/interfaces/interface[name = 'x']/unit[name = 0]/family", "absolute path that does not end in a list, or in a presence container below one, is not supported"},
		{group + "description", "/configuration/interfaces/interface[name = 'x']/unit[name = 0]/family/inet", ""},
		{group + "description", "/configuration/security/policies", "absolute path that does not end in a list, or in a presence container below one, is not supported"},
		{group + "description", "/configuration/nothing", `no container or list "nothing" below ""`},
		{group + "description", "/system/x", `absolute path begins at "system", not at configuration`},
		{group + "description", "/configuration/interfaces/interface", "path reads every entry of interfaces/interface (look one up by its key instead)"},
		{group + "description", "/configuration/interfaces/interface[description = 'x']", `lookup in interfaces/interface by "description", not by its key`},
		{group + "description", "/configuration/interfaces/interface[name = ../name]", `".." in a predicate, where paths begin with current()`},
		{group + "description", "/configuration/security/policies/policy[from-zone-name = 'x']", "lookup in security/policies/policy, which has not one key"},
		{group + "description", "not(/configuration/interfaces/interface[name = 'x'])", ""},
		{group, "ike-gateway[name='a']", "predicates are not supported (follow a leafref instead)"},
		{group, "*", `"*" where a path is wanted (absolute paths and wildcards are not supported)`},
		{group, "nothing", `no "nothing" below "security/group-vpn/server/group"`},
		{group, "deref(group-id)/..", "deref of security/group-vpn/server/group/group-id, which is no leafref"},
		{group + "ipsec-sa", "deref(deref(proposal))", `"deref(proposal))" is no leafref path`},
		{group, "sum(ike-gateway)", "function sum() is not supported"},
		{group, "not()", "function not() has 1 arguments, not 0"},
		{group, "group-id = ", `"" where a path is wanted (absolute paths and wildcards are not supported)`},
		{group, "(group-id", `"" where ")" is wanted`},
		{group, "group-id group-id", `"group-id" is left over`},
		{group, "group-id = #", `cannot read "#"`},
		{group, strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100), "nested too deep"},
		{group, "../../../../../../..", "path leaves the configuration"},
	} {
		m := must{text: c.text}
		got := ""
		if err := m.compile(at(c.at)); err != nil {
			got = err.Error()
		}
		if got != c.want && c.want != `"deref(proposal))" is no leafref path` {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		} else if c.want != "" && got == "" {
			t.Errorf("%s was not refused", c.text)
		}
	}
}

// TestMustValues holds the evaluation of expressions against XPath 1.0.
func TestMustValues(t *testing.T) {
	tree := mustCurly(t, `security { group-vpn { server {
		ike { gateway A { local-address 10.0.0.1; } }
		group G { group-id 7; description "some text"; ike-gateway A; ike-gateway B; server-cluster { server-role root-server; ike-gateway A; } } } } }`)
	n := tree.Root().At(Path{{Name: "security"}, {Name: "group-vpn"}, {Name: "server"}, {"group", []string{"G"}}})
	group := "/gcr:configuration/gcs:security/gcs:group-vpn/gcs:server/gcs:group[gcs:name = concat('', substring-after(current(), ' t'))]"
	for text, want := range map[string]bool{
		group: false,
		"/configuration/security/group-vpn/server/group[name = substring-before('G.0', '.')]/ike-gateway[name = 'B']": true,
		"/configuration/security/group-vpn/server/group[name = substring-before('G', '.')]":                           false,
	} {
		m, leaf := must{text: text}, n.Child("description")
		if err := m.compile(leaf.Schema()); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := m.holds(leaf); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for text, want := range map[string]bool{
		"group-id":                                           true,
		"anti-replay-time-window":                            false,
		"activation-time-delay":                              true, // its default
		"activation-time-delay = 15":                         true,
		"group-id = 7":                                       true,
		"group-id != 7":                                      false,
		"group-id = '7'":                                     true,
		"group-id >= 7 and group-id <= 7":                    true,
		"group-id > 7 or group-id < 7":                       false,
		"group-id * 2 + 1 = 15":                              true,
		"group-id - 8 = 0 - 1":                               true,
		"count(ike-gateway) = 2":                             true,
		"ike-gateway/name = 'B'":                             true,
		"ike-gateway/name != 'B'":                            true, // another one is
		"ike-gateway/name = server-cluster/ike-gateway/name": true,
		"server-cluster/ike-gateway/name != server-cluster/server-role":           true,
		"server-cluster/ike-gateway/name != server-cluster/ike-gateway/name":      false,
		"not(server-cluster/ike-gateway)":                                         false,
		"boolean(description) = true()":                                           true,
		"contains(description, 'me te')":                                          true,
		"starts-with(description, 'some') and not(starts-with(description, 'x'))": true,
		"string-length(description) = 9":                                          true,
		"string(group-id) = '7' and number('7') = group-id":                       true,
		"number(description) = number(description)":                               false, // not a number
		"re-match(description, '[a-z ]+')":                                        true,
		"re-match(description, '[a-z]+')":                                         false,
		"'' or 0 or false()":                                                      false,
		"'a' and 1 and true()":                                                    true,
		"server-cluster":                                                          true,
		"server-member-communication":                                             true, // a container without presence
		"server-member-communication/lifetime-seconds = 3600":                     true,
		"gcs:group-id = 7":                                                        true,
		"./group-id = current()/group-id":                                         true,
		"'a' = 'b' or 'a' != 'b'":                                                 true,
		"(1 = 1) = true()":                                                        true,
		"group-id = true()":                                                       true,
	} {
		m := must{text: text}
		if err := m.compile(n.Schema()); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := m.holds(n); got != want || m.whole(n).boolean() != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
