package sim

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A secret is found in each of its forms, wherever it stands, as long as it is not too old.
func TestSecretsAreFound(t *testing.T) {
	s := newSecrets()
	key := []byte("sixteen octets !")
	s.add("a key", key)
	for _, text := range []string{string(key), "x" + hex.EncodeToString(key), "ab" + base64.RawStdEncoding.EncodeToString(key[:15]) + "c"} {
		if got := s.in([]byte(text)); got != "a key" {
			t.Errorf("in %q: %q", text, got)
		}
	}
	for _, text := range []string{"", "s", string(key[:15]), strings.ToUpper(string(key))} {
		if got := s.in([]byte(text)); got != "" {
			t.Errorf("in %q: %q", text, got)
		}
	}
	for i := range maxSecrets {
		s.add("another", fmt.Appendf(nil, "%016d", i))
	}
	if got := s.in(key); got != "" || len(s.names) != maxSecrets || len(s.list) != maxSecrets {
		t.Errorf("%d forms are kept, the oldest is %q", len(s.names), got)
	}
}

// The verifier looks where secrets must not be: a name that is everywhere is declared one.
func TestVerifierSeesSecrets(t *testing.T) {
	for _, c := range []struct {
		secret, where string
		do            func(*World)
	}{
		{"GROUP_ID-0001", "a notification", func(w *World) { w.Run(time.Minute) }},
		{"GROUP_ID-0001", "the trace", func(w *World) { w.Run(time.Minute) }},
		{"GROUP_ID-0001", "show security group-vpn server kek security-associations", func(w *World) { w.Run(askEvery + time.Minute) }},
		{"no such group", "an error", func(w *World) { w.Run(askEvery + time.Minute) }},
		{"group-id 5000000000", "an error", func(w *World) {
			if w.nodes["root"].Commit([]byte("set security group-vpn server group GROUP_ID-0001 group-id 5000000000")) == nil {
				t.Error("the commit was not refused")
			}
		}},
	} {
		w := New(1)
		s := &scenario{w: w}
		for _, n := range []string{"root", "sub1", "gm1"} {
			if err := s.example(n, ""); err != nil {
				t.Fatal(err)
			}
		}
		w.verify.secrets.add("a name", []byte(c.secret))
		c.do(w)
		if !slices.ContainsFunc(w.Violations, func(v string) bool { return strings.Contains(v, "a name in "+c.where) }) {
			t.Errorf("%q was not seen in %s, but %q", c.secret, c.where, w.Violations)
		}
	}
}
