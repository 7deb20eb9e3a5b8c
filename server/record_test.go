package server

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"gvpn/commit/step"
)

// busy is a bench whose disk holds one record of every kind: a group with members and pushes, and the last push of another that
// is gone.
func busy(t testing.TB) *bench {
	b := newBench(t)
	one := parseGroup(t, "G members=m1,m2 sas=S")
	two := parseGroup(t, "H/% id=2 members=m3 sas=S multicast=239.1.1.1%eth0")
	commit(t, b, 1, []string{"1.14 G generate-kek", "1.14 G generate-tek", "1.14 H/% generate-kek", "1.14 H/% generate-tek"}, one, two)
	b.pull("m1", 1, 0)
	b.pull("m2", 1, 0)
	b.pull("m3", 2, 0)
	b.hold = true
	if err := b.s.Do(b.now, Rekey{Group: "G", KEK: true, TEK: true}); err != nil {
		t.Fatal(err)
	}
	b.drain()
	commit(t, b, 2, []string{"1.3 H/% send-delete-all-to-members", "1.3 H/% delete-keys"}, one)
	return b
}

func commit(t testing.TB, b *bench, number uint64, effects []string, groups ...step.Group) {
	next := make(map[string]step.Group)
	for _, g := range groups {
		next[g.Name] = g
	}
	var parsed []step.Effect
	for _, e := range effects {
		parsed = append(parsed, parseEffect(t, e))
	}
	if err := b.commit(number, next, parsed); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsOfEveryKind(t *testing.T) {
	b := busy(t)
	want := []string{
		"server/commit", "server/group/G/member/m1/198.51.100.1", "server/group/G/member/m2/198.51.100.2", "server/group/G/sas",
		"server/leaving/1",
	}
	if got := slices.Sorted(maps.Keys(b.disk)); !slices.Equal(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
	before := remains(b)
	b.restart()
	if after := remains(b); after != before {
		t.Errorf("a restart changed\n%sinto\n%s", before, after)
	}
	if n := len(b.s.pushes); n != 3 {
		t.Errorf("%d pushes under way after a restart, want 3", n)
	}
	// Nothing is left of a push once it is done.
	b.hold = false
	for _, w := range b.held {
		b.answer(w)
		b.drain()
	}
	b.advance(10 * minAckWait)
	if n := len(b.s.pushes) + len(b.s.leaving) + len(b.s.due); n != 0 {
		t.Errorf("%d pushes left", n)
	}
	if b.disk["server/leaving/1"] != nil {
		t.Error("the record of a group that is gone stays")
	}
}

// A group's record of version 2 ends with the pushes.
func TestOldRecord(t *testing.T) {
	b := busy(t)
	before := remains(b)
	old := b.disk["server/group/G/sas"]
	old[0] = recordVersion
	b.disk["server/group/G/sas"] = old[:len(old)-len(appendUint64(appendOwed(nil, nil), 0))]
	b.restart()
	if len(b.lines) > 0 {
		t.Errorf("%q", b.lines)
	}
	if after := remains(b); after != before {
		t.Errorf("the old record makes\n%sof\n%s", after, before)
	}
	if got := b.disk["server/group/G/sas"][0]; got != groupVersion {
		t.Errorf("written anew with version %d, want %d", got, groupVersion)
	}
}

// Sender IDs of a record of before they had an epoch: the rest of them goes on, with one.
func TestOldSenderIDs(t *testing.T) {
	b, g, r := newBench(t), &group{}, &reader{}
	b.s.ownSaved(g, r.sendersWithout(8, 40))
	if got := g.senders.recorded(); r.err != nil || got.Epoch == 0 || got.Bits != 8 || got.First != 40 || got.End() != 256 {
		t.Errorf("%+v, %v", got, r.err)
	}
	for _, c := range [][2]uint32{{8, 257}, {17, 0}} {
		r := &reader{}
		if r.sendersWithout(int(c[0]), c[1]); r.err == nil {
			t.Errorf("%d sender IDs of %d bits are taken", c[1], c[0])
		}
	}
}

func TestEscape(t *testing.T) {
	for _, name := range []string{"G", "GROUP_ID-0001", "a/b", "a%2Fb", "\x00\xff ~", ""} {
		e := escape(name)
		if strings.ContainsFunc(e, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
			t.Errorf("escape(%q) = %q", name, e)
		}
		if got, err := unescape(e); err != nil || got != name {
			t.Errorf("unescape(%q) = %q, %v", e, got, err)
		}
	}
}

// A record that cannot be read is named, and only what it held is lost: the group gets new keys, of another SPI.
func TestBrokenRecord(t *testing.T) {
	b := busy(t)
	b.disk["server/group/G/sas"] = b.disk["server/group/G/sas"][:40]
	b.disk["server/strange"] = []byte{1}
	b.disk["cluster/G"] = []byte{1}
	err := New(zeros{}, Options{}).Restore(b.now, b.disk)
	if err == nil || !strings.Contains(err.Error(), "server/group/G/sas") || !strings.Contains(err.Error(), "server/strange") || strings.Contains(err.Error(), "cluster") {
		t.Errorf("restore: %v", err)
	}
	b.hold = false
	b.restart()
	st := b.s.State()
	if len(st.Groups) != 1 || !st.Groups[0].Ready || len(st.Groups[0].Members) != 2 {
		t.Errorf("after a broken record: %s", remains(b))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// FuzzRestore reads records that a disk or an older program may have spoilt, each kind as every other.
func FuzzRestore(f *testing.F) {
	b := busy(f)
	for _, v := range b.disk {
		f.Add(v)
	}
	keys := slices.Sorted(maps.Keys(b.disk))
	f.Fuzz(func(t *testing.T, value []byte) {
		records := make(map[string][]byte)
		for _, k := range keys {
			records[k] = value
		}
		s := New(zeros{}, Options{})
		_ = s.Restore(start, records) // an error is as good as any: it must only come back
		for name, g := range s.saved {
			if name != "G" {
				t.Errorf("group %q", name)
			}
			if !bytes.Equal(value, records["server/group/G/sas"]) {
				t.Error("a record was changed")
			}
			for _, p := range g.state.pushes {
				if p.push.sealed == nil && p.push.kek == nil {
					t.Error("a push that can never be sent")
				}
			}
		}
	})
}

// The record of a push for all members does not grow with their number: it names them only once they are not all any more.
func TestTargetsInRecord(t *testing.T) {
	b := busy(t)
	m1 := appendAddrPort(nil, b.s.State().Groups[0].Members[0].Remote)
	if bytes.Contains(b.disk["server/group/G/sas"], m1) {
		t.Error("the record of a push for all members names one")
	}
	b.pull("m2", 1, 0) // has the keys now
	b.s.dirty[b.s.groups["G"]] = true
	b.s.end()
	b.drain()
	if !bytes.Contains(b.disk["server/group/G/sas"], m1) {
		t.Error("the record does not say that the push is for m1 alone")
	}
}
