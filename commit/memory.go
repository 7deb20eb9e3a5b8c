package commit

import (
	"bytes"
	"fmt"
)

// MemoryLog is a Log that a test can make fail. The zero value is empty and ready.
type MemoryLog struct {
	revisions []Revision
	kept      map[string][]byte

	// Fail, if set, is asked at every step: "append" before a revision is recorded, "appended" when it has been, "keep" and
	// "have kept" before and after something else is, "revisions", "text" and "kept" before something is read. Its error is the call's.
	Fail func(step string) error
}

func (l *MemoryLog) fail(step string) error {
	if l.Fail == nil {
		return nil
	}
	return l.Fail(step)
}

// Append implements Log.
func (l *MemoryLog) Append(r Revision) error {
	if err := l.fail("append"); err != nil {
		return err
	}
	r.Text = append([]byte(nil), r.Text...)
	for i, old := range l.revisions {
		if old.Number == r.Number && i+2 >= len(l.revisions) {
			l.revisions = l.revisions[:i]
			break
		}
	}
	if n := len(l.revisions); n > 0 && l.revisions[n-1].Number+1 != r.Number {
		return fmt.Errorf("commit: memory log: append of revision %d after %d", r.Number, l.revisions[n-1].Number)
	}
	l.revisions = append(l.revisions, r)
	for len(l.revisions) > 0 && l.revisions[0].Number < r.Oldest {
		l.revisions = l.revisions[1:]
	}
	return l.fail("appended")
}

// Revisions implements Log.
func (l *MemoryLog) Revisions() ([]Revision, error) {
	if err := l.fail("revisions"); err != nil {
		return nil, err
	}
	out := append([]Revision(nil), l.revisions...)
	for i := range out {
		out[i].Text = nil
	}
	return out, nil
}

// Text implements Log.
func (l *MemoryLog) Text(number uint64) ([]byte, error) {
	if err := l.fail("text"); err != nil {
		return nil, err
	}
	for _, r := range l.revisions {
		if r.Number == number {
			return append([]byte(nil), r.Text...), nil
		}
	}
	return nil, fmt.Errorf("commit: memory log: no revision %d", number)
}

// Keep implements Log.
func (l *MemoryLog) Keep(name string, value []byte) error {
	if err := l.fail("keep"); err != nil {
		return err
	}
	if l.kept == nil {
		l.kept = map[string][]byte{}
	}
	l.kept[name] = bytes.Clone(value)
	return l.fail("have kept")
}

// Kept implements Log.
func (l *MemoryLog) Kept(name string) ([]byte, error) {
	if err := l.fail("kept"); err != nil {
		return nil, err
	}
	return bytes.Clone(l.kept[name]), nil
}
