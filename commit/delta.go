package commit

import "gvpn/config"

// appendDelta appends set and delete lines that make next from old; its cost and length follow the difference. It reports
// false, with lines that are of no use, if lines cannot say it: set appends to a list, so an entry that came in between
// others, or moved, cannot be told.
func appendDelta(dst []byte, old, next config.Tree) ([]byte, bool) {
	d := deltaPrinter{dst: dst}
	d.inner(old.Root(), next.Root())
	// The order of entries, and that every line is understood, are seen by trying it. Both trees share all that did not change.
	made, errs := old.LoadSet(nil, "delta", d.dst[len(dst):])
	if len(errs) > 0 || !config.Equal(made.Root(), next.Root()) {
		return dst, false
	}
	return d.dst, true
}

type deltaPrinter struct{ dst []byte }

// replace takes a out and puts b in; either may be absent.
func (d *deltaPrinter) replace(a, b config.Node) {
	if a.Exists() {
		d.remove(a)
	}
	d.dst = config.AppendSet(d.dst, b)
}

// remove writes that n goes, protected or not.
func (d *deltaPrinter) remove(n config.Node) {
	if n.Protected() {
		d.line("unprotect", n)
	}
	d.line("delete", n)
}

func (d *deltaPrinter) line(verb string, n config.Node) {
	d.dst = append(append(d.dst, verb...), ' ')
	d.dst = append(append(d.dst, n.Path().String()...), '\n')
}

// inner writes what differs below a and b, which are both there.
func (d *deltaPrinter) inner(a, b config.Node) {
	for _, s := range a.Schema().Children() {
		switch {
		case s.IsKey():
		case s.Kind() == config.List:
			d.list(s.Name(), a, b)
		default:
			d.child(s, a.Child(s.Name()), b.Child(s.Name()))
		}
	}
}

func (d *deltaPrinter) child(s *config.Schema, a, b config.Node) {
	switch {
	case config.Same(a, b) || !a.Exists() && !b.Exists():
	case (s.Kind() == config.Container || s.Kind() == config.Presence) && a.Exists() && b.Exists():
		d.both(a, b)
	case !config.Equal(a, b):
		d.replace(a, b)
	}
}

// both writes what differs between two containers or entries that are there: what is in them, and their marks and remarks.
func (d *deltaPrinter) both(a, b config.Node) {
	switch {
	case a.Comment() != b.Comment():
		d.replace(a, b)
		return
	case a.Inactive() == b.Inactive():
	case b.Inactive():
		d.line("deactivate", b)
	default:
		d.line("activate", b)
	}
	if a.Protected() && !b.Protected() {
		d.line("unprotect", b)
	}
	d.inner(a, b)
	if b.Protected() && !a.Protected() {
		d.line("protect", b)
	}
}

func (d *deltaPrinter) list(name string, a, b config.Node) {
	came := map[string]bool{}
	var entries []config.Node
	for e := range config.DiffEntries(a, b, name) {
		switch {
		case !e.New.Exists():
			d.remove(e.Old)
		case !e.Old.Exists():
			came[entryKey(e.New)] = true
			entries = append(entries, e.New)
		default:
			d.both(e.Old, e.New)
		}
	}
	if len(entries) > 1 { // they came by name; in the list they have another order
		entries = entries[:0]
		for e := range b.Entries(name) {
			if came[entryKey(e)] {
				entries = append(entries, e)
			}
		}
	}
	for _, e := range entries {
		d.dst = config.AppendSet(d.dst, e)
	}
}

func entryKey(n config.Node) string {
	key := n.Key()
	var out []byte
	for _, k := range key {
		out = append(append(out, k...), 0)
	}
	return string(out)
}
