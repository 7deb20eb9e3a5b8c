package commit

import "gvpn/config"

// delta returns lines that make next from old; their cost and length follow the difference. Lines that were wrong would lose a
// commit, so they are tried: it reports false if they do not make next.
func delta(old, next config.Tree) (lines []byte, ok bool) {
	lines = config.AppendDelta(nil, old, next)
	made, errs := old.LoadSet(nil, "delta", lines) // what did not change is shared, so this is cheap
	return lines, len(errs) == 0 && config.Equal(made.Root(), next.Root())
}
