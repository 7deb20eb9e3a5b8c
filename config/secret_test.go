package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gvpn/sa"
)

// Strings that a Junos device made.
func TestReveal(t *testing.T) {
	for text, want := range map[string]string{
		"$9$LbHX-wg4Z":                      "lc",
		"$9$iqPQ/CuEclFnclKMN-HqmfFn9ApBRh": "juniper123",
	} {
		got, err := Reveal(text)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q %v", text, string(got), err)
		}
	}
	for _, bad := range []string{"", "$9$", "$8$x", "$9$!", "$9$L", "$9$LbHX-wg4", "$9$LbHX-wg4ZZZ", "$9$LbH!-wg4Z", "plain"} {
		if got, err := Reveal(bad); err == nil {
			t.Errorf("%q: %q", bad, string(got))
		}
	}
}

func TestObfuscate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plain")
		text := Obfuscate(plain)
		got, err := Reveal(text)
		if err != nil || string(got) != string(plain) {
			t.Fatalf("%s: %v", text, err)
		}
		if text != Obfuscate(plain) {
			t.Fatal("not the same each time")
		}
	})
}

// TestSecretLeaf: a secret is taken plain and obfuscated with any salt, is one value then, and shows plain nowhere.
func TestSecretLeaf(t *testing.T) {
	const line = "set security group-vpn server ike policy P pre-shared-key ascii-text "
	plain, errs := Tree{}.LoadSet(nil, "", []byte(line+"juniper123"))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	salted, errs := Tree{}.LoadSet(nil, "", []byte(line+`"$9$iqPQ/CuEclFnclKMN-HqmfFn9ApBRh"`))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	if !Equal(plain.Root(), salted.Root()) {
		t.Error("the same secret makes two trees")
	}
	n := plain.Root().At(pathOfWords(t, strings.Fields("security group-vpn server ike policy P pre-shared-key ascii-text")))
	s := n.Secret()
	if string(s) != "juniper123" {
		t.Errorf("secret is %q", string(s))
	}
	for _, sp := range spellings {
		if text := string(sp.write(nil, plain.Root())); strings.Contains(text, "juniper") || !strings.Contains(text, "$9$") {
			t.Error(text)
		}
	}
	if text := fmt.Sprint(s, n.Value(), n.Values()); strings.Contains(text, "juniper") {
		t.Error(text)
	}
	if text := string(AppendXML(nil, plain.Root(), XMLOptions{Secrets: Omitted})); strings.Contains(text, "ascii-text") {
		t.Error(text)
	}
	_, errs = Tree{}.LoadSet(nil, "", []byte(line+strings.Repeat("a", 256)))
	if errs.Err() == nil || !strings.Contains(errs.Error(), "Length 256 is not within range (1..255)") {
		t.Error(errs)
	}
	if _, errs := (Tree{}).LoadSet(nil, "", []byte(line+strings.Repeat("a", 255))); errs.Err() != nil {
		t.Error(errs)
	}
}

// A secret that cannot be a value is refused without a part of it in the message.
func TestBadSecretIsNotRepeated(t *testing.T) {
	words := func(v string) []string {
		return []string{"security", "group-vpn", "server", "ike", "policy", "P", "pre-shared-key", "ascii-text", v}
	}
	for name, v := range map[string]string{
		"$9$ of an octet that is no text": Obfuscate(sa.Secret("ab\xbccd")),
		"control character":               "Zq\x01Zq",
		"no $9$":                          "$9$!!",
	} {
		_, err := Tree{}.Set(nil, words(v))
		var wrong *Error
		if !errors.As(err, &wrong) {
			t.Errorf("%s: %v, want an *Error", name, err)
			continue
		}
		for _, part := range []string{"\xbc", `\xbc`, "Zq", `\x01`, v} {
			if strings.Contains(wrong.Message+wrong.Element+wrong.Path, part) {
				t.Errorf("%s: %q repeats %q", name, wrong.Message, part)
			}
		}
	}
}
