package sa

import (
	"fmt"
	"io"
)

// fmt asks no Formatter about what lies inside an operand of a wrong verb, and %s, %q or %x of a struct pointer inside a
// struct is such an operand: a Secret behind it would print as numbers. So the values that hold Secrets and travel as
// pointers format themselves, every verb as %v.

// Format implements fmt.Formatter: every verb prints the fields as %v, %+v or %#v do, the secrets hidden.
func (k KEK) Format(f fmt.State, _ rune) {
	type bare KEK
	formatFields(f, bare(k))
}

// Format implements fmt.Formatter: every verb prints the fields as %v, %+v or %#v do, the secrets hidden.
func (t TEK) Format(f fmt.State, _ rune) {
	type bare TEK
	formatFields(f, bare(t))
}

// Format implements fmt.Formatter: every verb prints the fields as %v, %+v or %#v do, the secrets hidden.
func (u Update) Format(f fmt.State, _ rune) {
	type bare Update
	formatFields(f, bare(u))
}

func formatFields(f fmt.State, bare any) {
	switch {
	case f.Flag('#'):
		_, _ = fmt.Fprintf(f, "%#v", bare)
	case f.Flag('+'):
		_, _ = fmt.Fprintf(f, "%+v", bare)
	default:
		_, _ = io.WriteString(f, fmt.Sprint(bare))
	}
}
