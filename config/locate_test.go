package config

import (
	"strings"
	"testing"
)

// What a rule found out about a whole configuration is shown where it stands in the text.
func TestLocate(t *testing.T) {
	for _, test := range []struct {
		name, src string
		set       bool
		want      []string // a line each: place and caret's text
	}{
		{
			name: "a reference in an entry",
			src:  "security {\n    group-vpn {\n        server {\n            group G {\n                group-id 1;\n                ike-gateway NOPE;\n            }\n        }\n    }\n}\n",
			want: []string{"f:6:29 NOPE;"},
		},
		{
			name: "two entries that must differ",
			src:  "security { group-vpn { server {\n group G { group-id 1; }\n inactive: group X { group-id 1; }\n group H { group-id 1; }\n} } }",
			want: []string{"f:4:8 H ..."},
		},
		{
			name: "a leaf-list, behind a brace in quotes",
			src:  "security { group-vpn { server { ike {\n proposal P { authentication-method pre-shared-keys; dh-group group14; authentication-algorithm sha-256; encryption-algorithm aes-256-cbc; }\n policy Q {\n pre-shared-key ascii-text \"a } b\";\n proposals [ P R ]; }\n} } } }",
			want: []string{"f:5:2 proposals [ P R ]; }"},
		},
		{
			name: "set text",
			src:  "# a remark\n\nset system host-name a\nset security group-vpn server group G group-id 1\nset security group-vpn server group G ike-gateway NOPE\n",
			set:  true,
			want: []string{"f:5:51 NOPE"},
		},
		{
			name: "what is missing is missing in the statement around it",
			src:  "security {\n group-vpn {\n server {\n ike {\n policy Q {\n mode main; }\n} } } }",
			want: []string{"f:5:9 Q {", "f:5:9 Q {"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			load := func() (Tree, Errors) { return Tree{}.LoadCurly(nil, Override, "f", []byte(test.src)) }
			if test.set {
				load = func() (Tree, Errors) { return Tree{}.LoadSet(nil, "f", []byte(test.src)) }
			}
			tree, errs := load()
			if errs.Err() != nil {
				t.Fatal(errs)
			}
			errs, _ = tree.Effective().Validate(Tree{})
			errs.Locate("f", []byte(test.src), test.set)
			var got []string
			for _, e := range errs {
				place, _, _ := strings.Cut(e.Error(), ": ")
				if e.Line > 0 {
					place += " " + string([]rune(e.Source)[e.Caret-1:])
				}
				got = append(got, place)
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("errors at\n%s\nwant\n%s\nerrors:\n%v", strings.Join(got, "\n"), strings.Join(test.want, "\n"), errs)
			}
		})
	}
}

// Whatever the text is, looking for a place in it ends, and finds one inside.
func FuzzLocate(f *testing.F) {
	f.Add("system { host-name a; } security { group-vpn { server { group G { ike-gateway [ A B ]; } } } }", false)
	f.Add("\"\"0[}00", false)
	f.Add("set security group-vpn server group G ike-gateway \"A\n} ] ; /* x", true)
	f.Fuzz(func(t *testing.T, src string, set bool) {
		at := Path{{Name: "security"}, {Name: "group-vpn"}, {Name: "server"}, {Name: "group", Keys: []string{"G"}}}
		errs := Errors{{At: at, Path: at.Edit(), Element: "ike-gateway B", Message: "m"}}
		errs.Locate("f", []byte(src), set)
		if e := errs[0]; e.Line > strings.Count(src, "\n")+1 {
			t.Errorf("line %d of %q", e.Line, src)
		}
		_ = errs.Error()
	})
}
