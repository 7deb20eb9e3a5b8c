package config

import (
	"cmp"
	"slices"
)

// fanout is the most keys that a page holds. 32 keeps a copied path near one kilobyte a level.
const fanout = 32

// owner is the identity of one edit: pages and nodes that carry it were made by that edit, are not shared yet, and may
// be changed in place. A zero-size type would not do: two of them may have one address.
type owner struct{ _ byte }

// btree is a persistent B+tree. A copy of the struct is a snapshot; set and del leave pages of other owners as they
// are. The zero value is empty.
type btree[K cmp.Ordered, V any] struct {
	root *page[K, V]
	n    int
}

type page[K cmp.Ordered, V any] struct {
	owner *owner
	level int // 0: leaf
	keys  []K // leaf: the keys; inner: for each child a lower bound of its keys
	vals  []V
	kids  []*page[K, V]
}

func (p *page[K, V]) own(o *owner) *page[K, V] {
	if p.owner == o {
		return p
	}
	return &page[K, V]{owner: o, level: p.level, keys: slices.Clone(p.keys), vals: slices.Clone(p.vals), kids: slices.Clone(p.kids)}
}

// child returns the index of the child that k belongs to.
func (p *page[K, V]) child(k K) int {
	i, found := slices.BinarySearch(p.keys, k)
	if !found && i > 0 {
		i--
	}
	return i
}

func (t *btree[K, V]) get(k K) (v V, ok bool) {
	p := t.root
	if p == nil {
		return v, false
	}
	for p.level > 0 {
		p = p.kids[p.child(k)]
	}
	if i, found := slices.BinarySearch(p.keys, k); found {
		return p.vals[i], true
	}
	return v, false
}

// set stores v under k.
func (t *btree[K, V]) set(o *owner, k K, v V) {
	if t.root == nil {
		t.root = &page[K, V]{owner: o}
	}
	left, right, added := t.root.set(o, k, v)
	t.root = left
	if right != nil {
		t.root = &page[K, V]{owner: o, level: left.level + 1, keys: []K{left.keys[0], right.keys[0]}, kids: []*page[K, V]{left, right}}
	}
	if added {
		t.n++
	}
}

func (p *page[K, V]) set(o *owner, k K, v V) (left, right *page[K, V], added bool) {
	p = p.own(o)
	if p.level > 0 {
		i := p.child(k)
		if k < p.keys[i] {
			p.keys[i] = k
		}
		var kid *page[K, V]
		p.kids[i], kid, added = p.kids[i].set(o, k, v)
		if kid == nil {
			return p, nil, added
		}
		p.keys = slices.Insert(p.keys, i+1, kid.keys[0])
		p.kids = slices.Insert(p.kids, i+1, kid)
		return p, p.split(o, i+1), added
	}
	// The common case of a load is a new key behind all others.
	i, found := len(p.keys), false
	if i > 0 && k <= p.keys[i-1] {
		i, found = slices.BinarySearch(p.keys, k)
	}
	if found {
		p.vals[i] = v
		return p, nil, false
	}
	p.keys = slices.Insert(p.keys, i, k)
	p.vals = slices.Insert(p.vals, i, v)
	return p, p.split(o, i), true
}

// split moves the upper half of an overfull page to a new one; after an append it moves the new key alone, so that
// what was loaded in order leaves full pages behind.
func (p *page[K, V]) split(o *owner, inserted int) *page[K, V] {
	n := len(p.keys)
	if n <= fanout {
		return nil
	}
	at := n / 2
	if inserted == n-1 {
		at = n - 1
	}
	q := &page[K, V]{owner: o, level: p.level, keys: withRoom(p.keys[at:])}
	clear(p.keys[at:])
	p.keys = p.keys[:at]
	if p.level > 0 {
		q.kids = withRoom(p.kids[at:])
		clear(p.kids[at:])
		p.kids = p.kids[:at]
	} else {
		q.vals = withRoom(p.vals[at:])
		clear(p.vals[at:])
		p.vals = p.vals[:at]
	}
	return q
}

// withRoom copies a part of a page that will be filled: one key more than a page holds, so that it need not grow to be split.
func withRoom[T any](part []T) []T { return append(make([]T, 0, fanout+1), part...) }

// del removes k and reports whether it was there.
func (t *btree[K, V]) del(o *owner, k K) bool {
	if _, ok := t.get(k); !ok {
		return false
	}
	t.root = t.root.del(o, k)
	t.n--
	for t.root.level > 0 && len(t.root.kids) == 1 {
		t.root = t.root.kids[0]
	}
	if len(t.root.keys) == 0 {
		t.root = nil
	}
	return true
}

func (p *page[K, V]) del(o *owner, k K) *page[K, V] {
	p = p.own(o)
	if p.level == 0 {
		i, _ := slices.BinarySearch(p.keys, k)
		p.keys = slices.Delete(p.keys, i, i+1)
		p.vals = slices.Delete(p.vals, i, i+1)
		return p
	}
	i := p.child(k)
	p.kids[i] = p.kids[i].del(o, k)
	if len(p.kids[i].keys) == 0 {
		p.keys = slices.Delete(p.keys, i, i+1)
		p.kids = slices.Delete(p.kids, i, i+1)
		return p
	}
	if len(p.kids[i].keys) > fanout/4 {
		return p
	}
	if i == len(p.kids)-1 {
		i--
	}
	if i < 0 {
		return p
	}
	left, right := p.kids[i], p.kids[i+1]
	if len(left.keys)+len(right.keys) > fanout*3/4 {
		return p
	}
	left = left.own(o)
	left.keys = append(left.keys, right.keys...)
	if left.level > 0 {
		// The lower bound of right is the parent's, which an earlier delete may have left below right's own.
		left.kids = append(left.kids, right.kids...)
	} else {
		left.vals = append(left.vals, right.vals...)
	}
	p.kids[i] = left
	p.keys = slices.Delete(p.keys, i+1, i+2)
	p.kids = slices.Delete(p.kids, i+1, i+2)
	return p
}

// all calls yield for every key in ascending order until it returns false.
func (t *btree[K, V]) all(yield func(K, V) bool) {
	if t.root != nil {
		t.root.all(yield)
	}
}

func (p *page[K, V]) all(yield func(K, V) bool) bool {
	if p.level == 0 {
		for i, k := range p.keys {
			if !yield(k, p.vals[i]) {
				return false
			}
		}
		return true
	}
	for _, kid := range p.kids {
		if !kid.all(yield) {
			return false
		}
	}
	return true
}

// first and last return the smallest and largest key.
func (t *btree[K, V]) first() (k K, v V, ok bool) {
	p := t.root
	if p == nil {
		return k, v, false
	}
	for p.level > 0 {
		p = p.kids[0]
	}
	return p.keys[0], p.vals[0], true
}

func (t *btree[K, V]) last() (k K, v V, ok bool) {
	p := t.root
	if p == nil {
		return k, v, false
	}
	for p.level > 0 {
		p = p.kids[len(p.kids)-1]
	}
	n := len(p.keys) - 1
	return p.keys[n], p.vals[n], true
}

// above returns the smallest key greater than k, below the largest smaller one.
func (t *btree[K, V]) above(k K) (K, V, bool) { return t.root.above(k) }

func (p *page[K, V]) above(k K) (key K, val V, ok bool) {
	if p == nil {
		return key, val, false
	}
	i, found := slices.BinarySearch(p.keys, k)
	if p.level == 0 {
		if found {
			i++
		}
		if i == len(p.keys) {
			return key, val, false
		}
		return p.keys[i], p.vals[i], true
	}
	if !found && i > 0 {
		i--
	}
	for ; i < len(p.kids); i++ {
		if key, val, ok = p.kids[i].above(k); ok {
			return key, val, true
		}
	}
	return key, val, false
}

func (t *btree[K, V]) below(k K) (K, V, bool) { return t.root.below(k) }

func (p *page[K, V]) below(k K) (key K, val V, ok bool) {
	if p == nil {
		return key, val, false
	}
	i, _ := slices.BinarySearch(p.keys, k)
	if p.level == 0 {
		if i == 0 {
			return key, val, false
		}
		return p.keys[i-1], p.vals[i-1], true
	}
	if i == len(p.kids) {
		i--
	}
	for ; i >= 0; i-- {
		if key, val, ok = p.kids[i].below(k); ok {
			return key, val, true
		}
	}
	return key, val, false
}

// diff calls yield, in key order, for every key whose value may differ between t and other; pages that both share are not
// looked into. hasA says whether the key is in t, hasB whether it is in other.
func (t *btree[K, V]) diff(other *btree[K, V], yield func(k K, va, vb V, hasA, hasB bool) bool) {
	ca, cb := newCursor(t.root), newCursor(other.root)
	var zero V
	for {
		pa, pb := ca.page(), cb.page()
		ka, va, oka := ca.item()
		kb, vb, okb := cb.item()
		switch {
		case pa != nil && pa == pb:
			ca.skip()
			cb.skip()
			continue
		case pa != nil && pb == nil && okb && ca.whole == nil && kb < ka:
			// b's item lies before a's page: a need not be opened for it. ka is the page's lower bound here.
			oka = false
		case pb != nil && pa == nil && oka && cb.whole == nil && ka < kb:
			okb = false
		case pa != nil && (pb == nil || pa.level >= pb.level):
			ca.open()
			continue
		case pb != nil:
			cb.open()
			continue
		}
		var more bool
		switch {
		case !oka && !okb:
			return
		case oka && (!okb || ka < kb):
			more = yield(ka, va, zero, true, false)
			ca.skip()
		case okb && (!oka || kb < ka):
			more = yield(kb, zero, vb, false, true)
			cb.skip()
		default:
			more = yield(ka, va, vb, true, true)
			ca.skip()
			cb.skip()
		}
		if !more {
			return
		}
	}
}

// cursor walks pages in key order and can step over one without opening it.
type cursor[K cmp.Ordered, V any] struct {
	stack []frameOf[K, V]
	whole *page[K, V] // the root, not opened yet
}

type frameOf[K cmp.Ordered, V any] struct {
	p *page[K, V]
	i int
}

func newCursor[K cmp.Ordered, V any](root *page[K, V]) *cursor[K, V] {
	return &cursor[K, V]{whole: root}
}

// page returns the page that the cursor stands before, or nil if it stands at an item or at the end.
func (c *cursor[K, V]) page() *page[K, V] {
	if c.whole != nil {
		return c.whole
	}
	if len(c.stack) == 0 {
		return nil
	}
	f := c.stack[len(c.stack)-1]
	if f.p.level == 0 {
		return nil
	}
	return f.p.kids[f.i]
}

// seek puts the cursor at k, which is in the tree below root.
func (c *cursor[K, V]) seek(root *page[K, V], k K) {
	c.whole, c.stack = nil, c.stack[:0]
	p := root
	for p.level > 0 {
		i := p.child(k)
		c.stack = append(c.stack, frameOf[K, V]{p, i})
		p = p.kids[i]
	}
	i, _ := slices.BinarySearch(p.keys, k)
	c.stack = append(c.stack, frameOf[K, V]{p, i})
}

func (c *cursor[K, V]) open() {
	p := c.page()
	c.whole = nil
	c.stack = append(c.stack, frameOf[K, V]{p, 0})
	c.settle()
}

// skip steps over the page or item that the cursor stands at.
func (c *cursor[K, V]) skip() {
	if c.whole != nil {
		c.whole = nil
		return
	}
	c.stack[len(c.stack)-1].i++
	c.settle()
}

func (c *cursor[K, V]) settle() {
	for len(c.stack) > 0 {
		f := &c.stack[len(c.stack)-1]
		if f.i < len(f.p.keys) {
			return
		}
		c.stack = c.stack[:len(c.stack)-1]
		if len(c.stack) > 0 {
			c.stack[len(c.stack)-1].i++
		}
	}
}

// item returns the item that the cursor stands at; before a page it returns the page's lower bound and no value.
func (c *cursor[K, V]) item() (k K, v V, ok bool) {
	if c.whole != nil || len(c.stack) == 0 {
		return k, v, false
	}
	f := c.stack[len(c.stack)-1]
	if f.p.level == 0 {
		v = f.p.vals[f.i]
	}
	return f.p.keys[f.i], v, true
}
