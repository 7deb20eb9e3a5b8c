// Package member is the group member engine: it registers its VPNs with a key server (RFC 6407 section 3, rule M1),
// follows the server's GROUPKEY-PUSH messages (section 4), acknowledges them (RFC 8263), and hands the TEKs to the data
// plane. Table 3 of the change effects is apply.go.
//
// It is pure: no I/O, clock, dice, goroutine or lock. It is driven as every engine is: Configure, Apply, Forget and Do
// bring in what the operator wants; the Handle methods bring in datagrams, package ike's outputs and time; Next gives
// what is to be done, Deadline says when HandleTimeout is due, State is a copy to look at. Phase 1 and the transport of
// a pull belong to package ike, bytes of GDOI to package gdoi, packets to package dataplane: fail-close is theirs, since a
// VPN without TEKs has none here and none there.
//
// One VPN's registration:
//
//	          Register, soft lifetime, gap, Delete of phase 1 by the server
//	idle ────────────────────────────────▶ connecting ──Up──▶ pulling ──message 4──▶ idle, keys in
//	 ▲                                        │  ▲               │
//	 │ wait is over                           │  └─ stale SA ────┤
//	 │                                        │ Failed           │ Failed, bad policy
//	waiting ◀──────── after the last ─────────┴──────────────────┘ else: the next server of the list
//
// TEKs for IEC 61850 (RFC 8052) are kept, replaced and shown like those for ESP, and are no data plane's.
//
// Keys that are held serve on through all of it, until they are replaced, deleted or past their hard lifetime.
//
// A restart needs no record: a member registers anew.
package member
