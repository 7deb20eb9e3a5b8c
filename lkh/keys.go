package lkh

import (
	"fmt"
	"slices"

	"gvpn/sa"
)

// MaxPath is how many keys a member takes. A tree of ours has 16 at most; other key servers build others.
const MaxPath = 64

// Keys are what a member holds: the keys from its leaf to the root. They do not change; Apply makes others. Memory: some 80
// octets a key, 15 keys in a group of 10,000.
type Keys struct{ path []Key }

// NewKeys takes what an LKH_DOWNLOAD_ARRAY brought: the leaf's key first, the KEK last. The keys are copied. Errors wrap
// ErrKeys: no key, more than MaxPath, keys of different or impossible lengths, a node that stands there twice.
func NewKeys(path []Key) (*Keys, error) {
	if len(path) == 0 || len(path) > MaxPath {
		return nil, fmt.Errorf("%w: a path of %d keys, want 1 to %d", ErrKeys, len(path), MaxPath)
	}
	size := len(path[0].Data)
	if !keyBits(8 * (size - ivLen)) {
		return nil, fmt.Errorf("%w: IV and key of %d octets", ErrKeys, size)
	}
	for i, k := range path {
		if len(k.Data) != size {
			return nil, fmt.Errorf("%w: IV and key of %d octets and of %d", ErrKeys, size, len(k.Data))
		}
		if slices.ContainsFunc(path[:i], func(o Key) bool { return o.ID == k.ID }) {
			return nil, fmt.Errorf("%w: node %d stands twice in a path", ErrKeys, k.ID)
		}
	}
	return &Keys{clone(path)}, nil
}

func clone(path []Key) []Key {
	out := slices.Clone(path)
	for i := range out {
		out[i].Data = out[i].Data.Clone()
	}
	return out
}

// Path gives copies of the keys, the leaf's first.
func (k *Keys) Path() []Key { return clone(k.path) }

// Len is how many keys there are.
func (k *Keys) Len() int { return len(k.path) }

// Clone returns a deep copy, nil of nil.
func (k *Keys) Clone() *Keys {
	if k == nil {
		return nil
	}
	return &Keys{clone(k.path)}
}

// Leaf is the member's own key, without its IV: no other member has it. It is a view.
func (k *Keys) Leaf() sa.Secret { return k.path[0].Data[ivLen:] }

// Root is the group's KEK, a view.
func (k *Keys) Root() Key { return k.path[len(k.path)-1] }

// Bits is the length of each AES key.
func (k *Keys) Bits() int { return 8 * (len(k.path[0].Data) - ivLen) }

// Zero destroys the keys.
func (k *Keys) Zero() {
	if k != nil {
		for _, key := range k.path {
			key.Data.Zero()
		}
	}
}

// Format implements fmt.Formatter: Keys print how many they are and no key.
func (k Keys) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "lkh.Keys of %d nodes", len(k.path))
}

// Apply gives the keys after the updates, in order: an array that begins under a key of ours replaces what we hold above that
// one; others are not for us. It is false, without keys, if no array was for us: we are excluded, or the array for us is in
// another message. Errors wrap ErrKeys: arrays that do not end in the same KEK, keys of another length, a node that a way up
// would hold twice. k itself does not change.
func (k *Keys) Apply(updates []Update) (*Keys, bool, error) {
	if err := sound(updates, WrappedLen(k.Bits())); err != nil {
		return nil, false, err
	}
	out := &Keys{k.path}
	found := false
	for _, u := range updates {
		at := slices.IndexFunc(out.path, func(o Key) bool { return o.ID == u.ID && o.Handle == u.Handle })
		if at < 0 {
			continue
		}
		next, err := out.climb(at, u.Keys)
		if found {
			out.Zero()
		}
		if err != nil {
			return nil, false, err
		}
		out, found = next, true
	}
	if !found {
		return nil, false, nil
	}
	return out, true, nil
}

// climb is one array: what is held up to and with the key at, then the array's. A node that comes again with a new key loses
// its old one.
func (k *Keys) climb(at int, wrapped []Key) (*Keys, error) {
	under := k.path[at].Data
	var fresh []Key
	zero := func() {
		for _, f := range fresh {
			f.Data.Zero()
		}
	}
	for _, w := range wrapped {
		data, err := unwrap(under, w.Data)
		if err != nil {
			zero()
			return nil, err
		}
		fresh = append(fresh, Key{w.ID, w.Handle, data})
		under = data
	}
	path := make([]Key, 0, at+1+len(fresh))
	for _, held := range k.path[:at+1] {
		if !slices.ContainsFunc(fresh, func(f Key) bool { return f.ID == held.ID }) {
			path = append(path, held)
		}
	}
	next, err := NewKeys(append(path, fresh...))
	zero()
	return next, err
}

// sound checks what holds of all arrays of a message, whoever they are for.
func sound(updates []Update, size int) error {
	for _, u := range updates {
		if len(u.Keys) == 0 || len(u.Keys) > MaxPath {
			return fmt.Errorf("%w: an array of %d keys, want 1 to %d", ErrKeys, len(u.Keys), MaxPath)
		}
		for _, k := range u.Keys {
			if len(k.Data) != size {
				return fmt.Errorf("%w: an encrypted key of %d octets, want %d", ErrKeys, len(k.Data), size)
			}
		}
		first, last := updates[0].Keys[len(updates[0].Keys)-1], u.Keys[len(u.Keys)-1]
		if first.ID != last.ID || first.Handle != last.Handle {
			return fmt.Errorf("%w: arrays that end in two KEKs", ErrKeys)
		}
	}
	return nil
}
