package lkh

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gvpn/sa"
)

func dice(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

var compare = cmp.Options{cmp.Comparer(sa.Secret.Equal), cmp.AllowUnexported(Keys{}, Tree{}, node{})}

func TestNumbers(t *testing.T) {
	for id, want := range map[uint16]uint16{1: 2, 3: 2, 5: 6, 7: 6, 2: 4, 6: 4, 4: 8, 12: 8, 32767: 32766, 16384: 32768, 49152: 32768} {
		if got := parent(id); got != want {
			t.Errorf("above %d stands %d, want %d", id, got, want)
		}
		if !slices.Contains(children(want), id) {
			t.Errorf("%d is not below %d: %d", id, want, children(want))
		}
	}
	if c := children(5); c != nil {
		t.Errorf("below leaf 5: %d", c)
	}
}

// The figure of RFC 2627 section 5.4: eight members, and the last leaves. Everything above it is replaced; each subtree beside
// the way up gets one array, which runs to the KEK.
func TestLeaveOfEight(t *testing.T) {
	random := dice(1)
	tree, err := New(128, 8, random)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if _, updates, err := tree.Join(random); err != nil || updates != nil {
			t.Fatalf("join: %d updates, %v", len(updates), err)
		}
	}
	held := tree.Path(13) // the seventh
	_, updates, err := tree.Change(random, 0, 15)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, u := range updates {
		fmt.Fprintf(&text, "%d:", u.ID)
		for _, k := range u.Keys {
			fmt.Fprintf(&text, " %d", k.ID)
		}
		fmt.Fprintln(&text)
	}
	if want := "4: 8\n10: 12 8\n13: 14 12 8\n"; text.String() != want {
		t.Errorf("arrays\n%swant\n%s", text.String(), want)
	}
	// The encryption by hand: the leaf's IV and key over the new IV and key above it.
	now := tree.Path(13)
	if got := updates[2].Keys[0].Data; !got.Equal(wrap(held[0].Data, now[1].Data)) || got.Equal(now[1].Data) {
		t.Error("the first key of an array is not under the key that the array names")
	}
	if got := updates[2].Keys[1].Data; !got.Equal(wrap(now[1].Data, now[2].Data)) {
		t.Error("the second key of an array is not under the first")
	}
	if updates[2].Handle != held[0].Handle || now[0].Handle != held[0].Handle || now[1].Handle == held[1].Handle {
		t.Error("handles do not tell the keys apart")
	}
	if tree.Members() != 7 || tree.Has(15) || tree.Path(15) != nil {
		t.Error("the member is still there")
	}
}

// world is a tree with all of its members, past ones with what they last held.
type world struct {
	random *rand.ChaCha8
	tree   *Tree
	here   map[uint16]*Keys
	gone   []*Keys
}

func newWorld(t testing.TB, bits, room, members int, seed byte) *world {
	w := &world{random: dice(seed), here: map[uint16]*Keys{}}
	var err error
	if w.tree, err = New(bits, room, w.random); err != nil {
		t.Fatal(err)
	}
	for range members {
		w.join(t)
	}
	return w
}

type failer interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

func (w *world) enter(t failer, leaf uint16) {
	k, err := NewKeys(w.tree.Path(leaf))
	if err != nil {
		t.Fatal(err)
	}
	if w.here[leaf] != nil {
		t.Fatalf("leaf %d was given twice", leaf)
	}
	w.here[leaf] = k
}

func (w *world) join(t failer) {
	leaf, updates, err := w.tree.Join(w.random)
	if err != nil {
		t.Fatal(err)
	}
	if len(updates) > 0 {
		w.update(t, updates)
	}
	w.enter(t, leaf)
}

func (w *world) change(t failer, join int, leaves ...uint16) []Update {
	before := w.tree.Root()
	joined, updates, err := w.tree.Change(w.random, join, leaves...)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range leaves {
		w.gone = append(w.gone, w.here[leaf])
		delete(w.here, leaf)
	}
	if k := w.tree.Root(); k.Data.Equal(before.Data) {
		t.Fatal("the KEK is the old one")
	}
	w.update(t, updates)
	for _, leaf := range joined {
		w.enter(t, leaf)
	}
	return updates
}

// update lets everybody have the updates: all who are there come to hold what the tree has for them, and nobody else anything.
func (w *world) update(t failer, updates []Update) {
	for leaf, k := range w.here {
		next, ok, err := k.Apply(updates)
		if err != nil || !ok {
			t.Fatalf("leaf %d: %v, %v", leaf, ok, err)
		}
		if diff := cmp.Diff(w.tree.Path(leaf), next.Path(), compare); diff != "" {
			t.Fatalf("leaf %d (-tree +member):\n%s", leaf, diff)
		}
		w.here[leaf] = next
	}
	for i, k := range w.gone {
		if next, ok, err := k.Apply(updates); ok || err != nil {
			t.Fatalf("member %d that left: %v, %v, %v", i, next, ok, err)
		}
		// Nor by force: no key that it holds opens any key of any array.
		for _, held := range k.path {
			for _, u := range updates {
				for _, wrapped := range u.Keys {
					data, err := unwrap(held.Data, wrapped.Data)
					if err == nil && data.Equal(w.tree.data(wrapped.ID)) {
						t.Fatalf("member %d that left: its key of node %d opens that of node %d", i, held.ID, wrapped.ID)
					}
				}
			}
		}
	}
}

// Forward and backward access control (RFC 6407 section 7.4) under any sequence of joins, leaves, batches and restarts.
func TestTreeProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		bits := rapid.SampledFrom([]int{128, 192, 256}).Draw(rt, "bits")
		w := newWorld(t, bits, rapid.IntRange(1, 20).Draw(rt, "room"), rapid.IntRange(0, 20).Draw(rt, "members"), rapid.Byte().Draw(rt, "seed"))
		head, parts := []byte(nil), map[int][]byte{} // what is on disk
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			leaves := make([]uint16, 0, len(w.here))
			for leaf := range w.here {
				leaves = append(leaves, leaf)
			}
			slices.Sort(leaves)
			switch rapid.IntRange(0, 2).Draw(rt, "step") {
			case 0:
				w.join(rt)
			case 1:
				var out []uint16
				if len(leaves) > 0 {
					out = rapid.SliceOfNDistinct(rapid.SampledFrom(leaves), 0, len(leaves), rapid.ID).Draw(rt, "leave")
				}
				join := rapid.IntRange(0, 5).Draw(rt, "join")
				before := w.tree.Append(nil)
				w.change(rt, join, out...)
				// Who came just now cannot read what the group said before (section 7.4.2).
				if old, err := Parse(before); err != nil {
					rt.Fatal(err)
				} else if join > 0 {
					for leaf, k := range w.here {
						if old.Has(leaf) && old.nodes[leaf].handle == k.path[0].Handle {
							continue
						}
						for _, key := range k.path {
							if int(key.ID) < len(old.nodes) && old.nodes[key.ID].handle == key.Handle {
								rt.Fatalf("leaf %d came now and holds the old key of node %d", leaf, key.ID)
							}
						}
					}
				}
			case 2:
				changed := w.tree.Changed()
				for _, n := range changed {
					if parts[n] = w.tree.Part(n); parts[n] == nil {
						delete(parts, n)
					}
				}
				if len(changed) > 0 {
					head = w.tree.Head()
				}
				again, err := Assemble(head, parts)
				if err != nil {
					rt.Fatal(err)
				}
				if whole, err := Parse(w.tree.Append(nil)); err != nil || !bytes.Equal(whole.Append(nil), again.Append(nil)) {
					rt.Fatalf("in pieces it is another tree: %v", err)
				}
				if got := w.tree.Leaves(); len(got) != w.tree.Members() || !slices.Equal(got, leaves) {
					rt.Fatalf("leaves %v, want %v", got, leaves)
				}
				w.tree.changed = nil
				again.free = w.tree.free // only where the search for a free leaf begins
				if diff := cmp.Diff(w.tree, again, compare); diff != "" {
					rt.Fatalf("(-before +after):\n%s", diff)
				}
				w.tree = again
			}
			if w.tree.Members() != len(w.here) {
				rt.Fatalf("%d members, want %d", w.tree.Members(), len(w.here))
			}
		}
	})
}

// "excluding one member of 10,000 costs O(log n) keys in one message"
func TestTenThousand(t *testing.T) {
	w := newWorld(t, 256, 10000, 10000, 3)
	for _, leaf := range []uint16{1, 9999, 19999} {
		handle := w.tree.handle
		_, updates, err := w.tree.Change(w.random, 0, leaf)
		if err != nil {
			t.Fatal(err)
		}
		fresh := int(w.tree.handle - handle)
		keys, size := 0, 0
		for _, u := range updates {
			keys += len(u.Keys)
			size += 4 + 12 + len(u.Keys)*(16+WrappedLen(256)) // as package gdoi writes them
		}
		t.Logf("without leaf %d: %d new keys, %d arrays, %d encrypted keys, %d octets", leaf, fresh, len(updates), keys, size)
		const log = 14
		if fresh > log || len(updates) > log || keys > log*(log+1)/2 || size > 8192 {
			t.Error("that is more than the tree's height allows")
		}
		out := w.here[leaf]
		delete(w.here, leaf)
		if _, ok, err := out.Apply(updates); ok || err != nil {
			t.Errorf("leaf %d: %v, %v", leaf, ok, err)
		}
		root := w.tree.Root()
		for l, k := range w.here {
			next, ok, err := k.Apply(updates)
			if err != nil || !ok || !next.Root().Data.Equal(root.Data) {
				t.Fatalf("leaf %d: %v, %v", l, ok, err)
			}
			w.here[l] = next
		}
	}
	// 100 at once cost less than 100 times as much.
	var batch []uint16
	for leaf := range w.here {
		if batch = append(batch, leaf); len(batch) == 100 {
			break
		}
	}
	_, updates, err := w.tree.Change(w.random, 0, batch...)
	if err != nil {
		t.Fatal(err)
	}
	if len(updates) > 100*8 {
		t.Errorf("%d arrays for 100 members", len(updates))
	}
	for l, k := range w.here {
		_, ok, err := k.Apply(updates)
		if err != nil || ok == slices.Contains(batch, l) {
			t.Fatalf("leaf %d: %v, %v", l, ok, err)
		}
	}
	if n := len(w.tree.Append(nil)); n > 10000*2*54+8 {
		t.Errorf("a record of %d octets", n)
	}
}

func TestTreeLimits(t *testing.T) {
	random := dice(4)
	for _, c := range [][2]int{{127, 10}, {0, 10}, {128, 0}, {128, MaxLeaves + 1}} {
		if _, err := New(c[0], c[1], random); err == nil {
			t.Errorf("New(%d, %d) made a tree", c[0], c[1])
		}
	}
	tree, err := New(128, 1, random)
	if err != nil {
		t.Fatal(err)
	}
	grown := 0
	for range MaxLeaves {
		_, updates, err := tree.Join(random)
		if err != nil {
			t.Fatal(err)
		}
		if updates != nil {
			grown++
		}
	}
	if grown != maxHeight-1 || tree.Members() != MaxLeaves {
		t.Errorf("%d members, grown %d times", tree.Members(), grown)
	}
	before := tree.Append(nil)
	if _, _, err := tree.Join(random); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
	for _, f := range []func() error{
		func() error { _, _, err := tree.Change(random, 1); return err },
		func() error { _, _, err := tree.Change(random, 0, 2); return err },
		func() error { _, _, err := tree.Change(random, 0, 3, 3); return err },
	} {
		if f() == nil || !bytes.Equal(tree.Append(nil), before) {
			t.Error("no error, or a change in spite of it")
		}
	}
	if joined, _, err := tree.Change(random, 1, 77); err != nil || !slices.Equal(joined, []uint16{77}) {
		t.Errorf("one for another: %d, %v", joined, err)
	}
	tree.handle = maxHandle + 1
	if _, _, err := tree.Change(random, 0, 77); !errors.Is(err, ErrFull) {
		t.Errorf("no handles left: %v", err)
	}
	tree.Zero()
	if !bytes.Equal(tree.nodes[77].data[:], make([]byte, 48)) {
		t.Error("Zero left a key")
	}
}

func TestApplyRefuses(t *testing.T) {
	w := newWorld(t, 192, 4, 4, 5)
	keys := w.here[1]
	good := func() []Update {
		tree, err := Parse(w.tree.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		_, updates, err := tree.Change(dice(6), 0, 7)
		if err != nil {
			t.Fatal(err)
		}
		return updates
	}
	if next, ok, err := keys.Apply(good()); !ok || err != nil || next.Root().ID != 4 {
		t.Fatalf("the good ones: %v, %v", ok, err)
	}
	if _, ok, err := keys.Apply(nil); ok || err != nil {
		t.Errorf("no updates: %v, %v", ok, err)
	}
	for _, c := range []struct {
		name string
		bad  func([]Update)
		ok   bool // no error, but not for us
	}{
		{"an array without keys", func(u []Update) { u[0].Keys = nil }, false},
		{"65 keys", func(u []Update) { u[0].Keys = slices.Repeat(u[0].Keys, 65) }, false},
		{"a short key", func(u []Update) { u[0].Keys[0].Data = u[0].Keys[0].Data[:40] }, false},
		{"no key data", func(u []Update) { u[1].Keys[0].Data = nil }, false},
		{"two KEKs", func(u []Update) { u[1].Keys = u[1].Keys[:1] }, false},
		{"another key's handle", func(u []Update) { u[0].Handle++ }, true},
		{"another node", func(u []Update) { u[0].ID = 9 }, true},
		{"octets that decrypt to no padding", func(u []Update) { u[0].Keys[0].Data[47] ^= 1 }, false},
		{"a node twice", func(u []Update) { u[0].Keys = slices.Repeat(u[0].Keys, 2) }, false},
	} {
		u := good()
		c.bad(u)
		before := keys.Clone()
		next, ok, err := keys.Apply(u)
		if ok || next != nil || c.ok != (err == nil) || err != nil && !errors.Is(err, ErrKeys) {
			t.Errorf("%s: %v, %v", c.name, ok, err)
		}
		if diff := cmp.Diff(before, keys, compare); diff != "" {
			t.Errorf("%s: the keys changed:\n%s", c.name, diff)
		}
	}
	for _, c := range []struct {
		name string
		path []Key
	}{
		{"nothing", nil},
		{"65 keys", make([]Key, 65)},
		{"an empty key", []Key{{ID: 1}}},
		{"two lengths", []Key{{ID: 1, Data: make(sa.Secret, 32)}, {ID: 2, Data: make(sa.Secret, 48)}}},
		{"a node twice", []Key{{ID: 1, Data: make(sa.Secret, 32)}, {ID: 1, Data: make(sa.Secret, 32)}}},
	} {
		if _, err := NewKeys(c.path); !errors.Is(err, ErrKeys) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Another make of key server may tell of a join in arrays under the old keys of the same nodes.
func TestApplyUnderOldKeysOfTheSameNodes(t *testing.T) {
	data := func(b byte) sa.Secret { return bytes.Repeat([]byte{b}, 32) }
	keys, err := NewKeys([]Key{{1, 1, data(1)}, {2, 2, data(2)}, {4, 3, data(3)}})
	if err != nil {
		t.Fatal(err)
	}
	next, ok, err := keys.Apply([]Update{
		{2, 2, []Key{{2, 12, wrap(data(2), data(12))}, {4, 13, wrap(data(12), data(13))}}},
		{4, 3, []Key{{4, 13, wrap(data(3), data(13))}}},
	})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	want := []Key{{1, 1, data(1)}, {2, 12, data(12)}, {4, 13, data(13)}}
	if diff := cmp.Diff(want, next.Path(), compare); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !next.Leaf().Equal(data(1)[16:]) || next.Bits() != 128 {
		t.Error("the leaf's key is not its own")
	}
	next.Zero()
	if !next.Root().Data.Equal(make(sa.Secret, 32)) || keys.Root().Data.Equal(make(sa.Secret, 32)) {
		t.Error("Zero does not reach its keys, or reaches others")
	}
}

func TestNothingPrintsKeys(t *testing.T) {
	random := bytes.NewReader(bytes.Repeat([]byte("hunter2!"), 1000))
	tree, err := New(256, 2, random)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, err := tree.Join(random)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := NewKeys(tree.Path(leaf))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{tree, *tree, keys, *keys, tree.Path(leaf), struct {
		T *Tree
		K *Keys
	}{tree, keys}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%b"} {
			out := fmt.Sprintf(verb, v)
			for _, leak := range []string{"hunter2", "68756e74", "104 117", "0x68, 0x75", "1101000 1110101"} {
				if strings.Contains(out, leak) {
					t.Errorf("%s of %T: %s", verb, v, out)
				}
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	w := newWorld(t, 128, 4, 3, 7)
	good := w.tree.Append(nil)
	const size = 6 + 32
	set := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	without := func(n int) []byte { return slices.Delete(bytes.Clone(good), 8+n*size, 8+(n+1)*size) }
	for name, b := range map[string][]byte{
		"nothing": nil, "a version of the future": set(0, 2), "127 bits": set(2, 127), "height 0": set(3, 0), "height 16": set(3, 16),
		"a height less": set(3, 1), "one octet more": append(bytes.Clone(good), 0), "cut": good[:len(good)-1],
		"a node twice": set(8+size, 0, 1), "node 0": set(8, 0, 0), "a handle of the future": set(8+2, 0x7f), "handle 0": set(8+2, 0, 0, 0, 0),
		"a handle twice": set(8+2, good[8+size+2:8+size+6]...), "a member without the key above": without(1), "no root": without(3),
		"a key above nobody": without(4),
	} {
		if tree, err := Parse(b); !errors.Is(err, ErrKeys) {
			t.Errorf("%s: %v, %v", name, tree, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(newWorld(f, 128, 4, 3, 8).tree.Append(nil))
	f.Add(newWorld(f, 256, 1, 0, 8).tree.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := Parse(b)
		if err != nil {
			return
		}
		if again := tree.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x", b, again)
		}
		leaf, _, err := tree.Join(dice(9))
		if err != nil {
			return
		}
		if _, _, err := tree.Change(dice(9), 1, leaf); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	})
}

func BenchmarkLeaveOf10000(b *testing.B) {
	w := newWorld(b, 256, 10000, 10000, 3)
	b.ReportAllocs()
	for i := range b.N {
		leaf := leafID(i % 10000)
		if _, _, err := w.tree.Change(w.random, 1, leaf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	w := newWorld(b, 256, 10000, 10000, 3)
	_, updates, err := w.tree.Change(w.random, 0, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := w.here[3].Apply(updates); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
