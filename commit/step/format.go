package step

import "fmt"

// Format implements fmt.Formatter: every verb prints as %v or %+v does, the pre-shared key hidden. Without it, %s of a Plan
// would print the key as numbers: fmt asks no Formatter behind a pointer that the verb does not fit.
func (g Gateway) Format(f fmt.State, _ rune) {
	type bare Gateway
	if f.Flag('+') {
		_, _ = fmt.Fprintf(f, "%+v", bare(g))
		return
	}
	_, _ = fmt.Fprint(f, bare(g))
}
