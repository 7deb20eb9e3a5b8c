package config

import (
	"errors"
	"hash/fnv"
	"strings"

	"gvpn/sa"
)

// Secret leaves are stored obfuscated, as Junos shows them: "$9$" and letters that anyone can turn back. It is no
// encryption; it keeps a secret from being read over a shoulder or found by searching a log. A leaf's stored text is a
// function of its plain text alone, so that two leaves hold the same secret exactly if their values are equal.

const obfuscated = "$9$"

// The alphabet of $9$, in its four families; a salt of family i is followed by 3-i letters without meaning.
var families = [4]string{"QzF3n6/9CAtpu0O", "B1IREhcSyrleKvMW8LXx", "7N-dVbwsY2g4oaJZGUDj", "iHkq.mPf5T"}

const letters = 65

var (
	alphabet = strings.Join(families[:], "")
	letterAt [256]int8 // 1 + position in alphabet; 0: not in it
	filler   [256]int8 // letters to skip after this salt
	weights  = [7][]int{{1, 4, 32}, {1, 16, 32}, {1, 8, 32}, {1, 64}, {1, 32}, {1, 4, 16, 128}, {1, 32, 64}}
)

func init() {
	for i := range alphabet {
		letterAt[alphabet[i]] = int8(i + 1)
	}
	for f, family := range families {
		for i := range family {
			filler[family[i]] = int8(3 - f)
		}
	}
}

// Obfuscate returns plain in Junos's $9$ form. The salt is taken from the text, so equal texts give equal forms.
func Obfuscate(plain []byte) string {
	h := fnv.New64a()
	_, _ = h.Write(plain)
	seed := h.Sum64()
	draw := func() byte {
		c := alphabet[seed%letters]
		seed = seed/letters ^ seed<<17
		return c
	}
	out := make([]byte, 0, len(obfuscated)+4+3*len(plain))
	out = append(out, obfuscated...)
	salt := draw()
	out = append(out, salt)
	for range filler[salt] {
		out = append(out, draw())
	}
	prev := int(letterAt[salt]) - 1
	for i, c := range plain {
		row, rest := weights[i%len(weights)], int(c)
		var digits [4]int
		for j := len(row) - 1; j >= 0; j-- {
			digits[j], rest = rest/row[j], rest%row[j]
		}
		for _, d := range digits[:len(row)] {
			prev = (prev + d + 1) % letters
			out = append(out, alphabet[prev])
		}
	}
	return string(out)
}

var errObfuscated = errors.New("config: not a valid $9$ string")

// Reveal returns the plain text of a $9$ string.
func Reveal(s string) (sa.Secret, error) {
	rest, ok := strings.CutPrefix(s, obfuscated)
	if !ok || rest == "" || letterAt[rest[0]] == 0 {
		return nil, errObfuscated
	}
	prev := int(letterAt[rest[0]]) - 1
	skip := 1 + int(filler[rest[0]])
	if len(rest) < skip {
		return nil, errObfuscated
	}
	rest = rest[skip:]
	out := make(sa.Secret, 0, len(rest)/2)
	for i := 0; rest != ""; i++ {
		row := weights[i%len(weights)]
		if len(rest) < len(row) {
			out.Zero()
			return nil, errObfuscated
		}
		sum := 0
		for j, w := range row {
			at := int(letterAt[rest[j]]) - 1
			d := (at-prev+letters)%letters - 1
			if at < 0 || d < 0 {
				out.Zero()
				return nil, errObfuscated
			}
			sum += d * w
			prev = at
		}
		out = append(out, byte(sum))
		rest = rest[len(row):]
	}
	return out, nil
}

// Secret returns the plain text of a secret leaf, nil if the node is absent or no secret leaf. The caller owns it. A
// hexadecimal key is its digits.
func (n Node) Secret() sa.Secret {
	if n.s == nil || !n.s.secret {
		return nil
	}
	plain, err := Reveal(n.val)
	if err != nil {
		return nil // values are stored by parseValue only
	}
	return plain
}

// parseValue checks a value for the leaf or leaf-list and returns it as it is stored: canonical, and obfuscated if the
// leaf is secret. The result may share memory with v.
func (s *Schema) parseValue(v string) (string, error) {
	if !s.secret {
		c, err := s.typ.parse(v)
		if why := s.unsupported[v]; err != nil && why != "" {
			return "", &valueError{message: why}
		}
		return c, err
	}
	plain, message := sa.Secret(v), "a character in it is not allowed in a value"
	if strings.HasPrefix(v, obfuscated) {
		var err error
		message = "invalid $9$ string"
		if plain, err = Reveal(v); err != nil {
			return "", &valueError{message: message, expected: "a secret, plain or as $9$ string"}
		}
	}
	defer plain.Zero()
	if checkText(string(plain)) != nil { // its own message would repeat a part of the secret
		return "", &valueError{message: message, expected: "a secret, plain or as $9$ string"}
	}
	if _, err := s.typ.parse(string(plain)); err != nil {
		var ve *valueError
		if errors.As(err, &ve) && strings.Contains(ve.message, "'") {
			err = &valueError{message: "invalid value", expected: ve.expected} // the message would repeat the secret
		}
		return "", err
	}
	return Obfuscate(plain), nil
}
