// Package lkh is the logical key hierarchy of RFC 2627 section 5.4, with the names and limits that GDOI gives it (RFC 6407
// section 5.6.3): a binary tree of keys, a member at each leaf, the group's KEK at the root. A member holds the keys from its
// leaf to the root. To exclude it, the key server replaces them all and sends each new one encrypted under a key that the
// others below it hold, so that one message shuts one member out of thousands.
//
// A Tree is the key server's, Keys are a member's. Both are plain values: no clock, no dice, no wire. What an attribute looks
// like is package gdoi's; who is excluded, and when, is the key server's.
//
//	tree, err := lkh.New(256, 10000, random)
//	leaf, updates, err := tree.Join(random)               // updates: only if the tree has grown
//	tree.Path(leaf)                                       // LKH_DOWNLOAD_ARRAY, for that member alone
//	_, updates, err = tree.Change(random, 0, leaf)        // LKH_UPDATE_ARRAYs, in a PUSH under the old KEK
//	tree.Root()                                           // the KEK from now on
//
//	keys, err := lkh.NewKeys(path)                        // at the member
//	keys, ok, err = keys.Apply(updates)                   // !ok: excluded
//
// # What it costs
//
// Excluding one of n members replaces log2 n keys and sends log2 n arrays. RFC 6407 wants every array to run up to the KEK by
// itself, so that each carries the new keys above it once more: log2 n · (log2 n + 1) / 2 encrypted keys on the wire, 105 or
// some 7,000 octets for 10,000 members and AES-256. In return no array needs another, and they may be spread over messages.
package lkh
