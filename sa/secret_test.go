package sa

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// The octets spell a word, so that a leak shows in every spelling: text, hex, base64, decimal, Go syntax.
var word = Secret("hunter2!")

var spellings = []string{"hunter2", "68756e74", "68756E74", "aHVudGVy", "104 117", "0x68, 0x75", "1101000 1110101"}

func leaks(t *testing.T, how, out string) {
	t.Helper()
	for _, s := range spellings {
		if strings.Contains(out, s) {
			t.Errorf("%s gives the secret away: %s", how, out)
			return
		}
	}
}

func TestAttackKeyHygiene(t *testing.T) {
	kek := KEK{Key: word, SigPrivate: word}
	tek := TEK{Key: word, AuthKey: word}
	type nest struct {
		Keys    []Secret
		ByName  map[string]Secret
		Pointer *Secret
		KEK     *KEK
		Any     any
	}
	deep := nest{[]Secret{word}, map[string]Secret{"k": word}, &word, &kek, word}
	values := map[string]any{
		"Secret": word, "*Secret": &word, "[]Secret": []Secret{word}, "KEK": kek, "*KEK": &kek, "TEK": tek,
		"Update": Update{KEK: &kek, TEKs: []TEK{tek}}, "nested": deep, "*nested": &deep,
	}
	for name, v := range values {
		for _, verb := range []string{
			"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c", "%U", "%08x", "%.3s", "%t", "%z",
		} {
			// The odd verbs are the point. %p of a struct that is no pointer is the one that no Formatter can stop; vet does.
			leaks(t, name+" with "+verb, fmt.Sprintf(verb, v))
		}
		leaks(t, name+" with Sprint", fmt.Sprint(v))
		leaks(t, name+" with Errorf", fmt.Errorf("gvpn: %v", v).Error())
		if b, err := json.Marshal(v); err == nil {
			leaks(t, name+" as JSON", string(b))
		} else {
			t.Errorf("%s as JSON: %v", name, err)
		}
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var buf bytes.Buffer
			slog.New(handler(&buf)).Info("m", "value", v, slog.Any("any", v), slog.Group("g", "value", v))
			leaks(t, name+" in slog", buf.String())
			if buf.Len() == 0 {
				t.Error("slog wrote nothing")
			}
		}
	}
	type element struct{ Key Secret }
	b, err := xml.Marshal(element{word})
	if err != nil {
		t.Fatal(err)
	}
	leaks(t, "XML", string(b))
	if got := fmt.Sprintf("%x", word); got != hidden {
		t.Errorf("%%x gives %q, want %q", got, hidden)
	}
}

func TestSecretCloneEqualZero(t *testing.T) {
	a := Secret{1, 2, 3}
	b := a.Clone()
	if !a.Equal(b) || a.Equal(Secret{1, 2, 4}) || a.Equal(a[:2]) {
		t.Error("Equal is wrong")
	}
	a.Zero()
	if !a.Equal(Secret{0, 0, 0}) || !b.Equal(Secret{1, 2, 3}) {
		t.Errorf("after Zero of one: lengths %d and %d, clone changed: %v", len(a), len(b), !b.Equal(Secret{1, 2, 3}))
	}
	if Secret(nil).Clone() != nil {
		t.Error("a nil Secret's clone is not nil")
	}
}

func TestCloneIsDeep(t *testing.T) {
	u := *sample()
	c := u.Clone()
	u.Zero()
	u.KEK.SigPublic[0], u.TEKs[0].Policies[0].Protocol, u.DeleteTEKs[0] = 0, 0, 0
	want := AppendUpdate(nil, sample(), ref)
	if got := AppendUpdate(nil, &c, ref); !bytes.Equal(got, want) {
		t.Errorf("the clone changed with the original:\n got %x\nwant %x", got, want)
	}
}

func TestSameTraffic(t *testing.T) {
	p := sample().TEKs[0].Policies[0]
	q := p
	q.Name = "another"
	if !p.SameTraffic(q) {
		t.Error("a name made a difference")
	}
	q.Protocol = 17
	if p.SameTraffic(q) {
		t.Error("a protocol made none")
	}
}
