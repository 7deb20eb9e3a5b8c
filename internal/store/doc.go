// Package store keeps a node's state in one directory of mode 0700: the committed configurations (it is a commit.Log) and
// the records that the protocol engines persist (turn.Persist).
//
//	gvpn.key   32 octets, mode 0600, made at first start: the key under which everything is sealed
//	gvpn.db    a bbolt database, mode 0600
//	gvpn.conf  the active configuration as people read it, mode 0600: a copy, written after a commit and never read
//
// Everything of value in the database is sealed with AES-256-GCM under the key file: engine records hold SAs and keys, and
// configuration text holds pre-shared keys in Junos's $9$ form, which anybody can undo. What the seal covers is bound to its
// place, so a record cannot be moved to another name or number. Names of records and numbers of revisions stand in clear.
//
// The seal does not cover gvpn.conf: whoever reads it has the pre-shared keys of the active configuration, though no SA.
//
// The key file is refused if anybody but its owner can read it, and is never made anew beside a database that exists. Keep
// it out of backups that hold the database, or the seal is worth nothing.
//
// Put and Append return when their one transaction has reached the disk. bbolt writes new pages first and then one of two
// meta pages, so a crash in between leaves the state before. A database that is damaged all the same is an error, not a
// panic: bbolt answers damage with panics and, where the file is too short, with memory faults; both are caught at the
// border of this package. One kind of damage is not: pages that refer to each other in a ring make bbolt exhaust its stack.
//
// A revision's text is cut into chunks of 64 KiB under rising keys, which bbolt takes in without rebalancing (one value
// per configuration line would take minutes for a large configuration).
//
// A Store is safe for concurrent use. One process has a directory open at a time.
package store
