// Package isakmp reads and writes the bytes of ISAKMP (RFC 2408): the header, chains of payloads, data attributes, and
// the bodies of the payloads that IKEv1's main mode and Informational exchanges use (RFC 2408 section 3, RFC 2409
// section 5, RFC 2407 section 4.6).
//
// It is not a protocol: it keeps no state, knows no keys and takes no decision; phase 1 is package ike, the payloads of
// GDOI (SAK, SAT, KD, SEQ, GAP and the GDOI form of SA) are package gdoi, which is built on Header, Chain, Cursor and the
// attribute functions of this one.
//
// Writing appends to a slice. Reading goes by cursor over the caller's slice with exact lengths; it never panics, never
// allocates by a number that came from the wire and counts everything that repeats against a limit. What a Parse
// function or an iterator returns points into the caller's slice: it is valid while the caller leaves that slice alone,
// and whoever keeps it longer copies it. An error is always an *Error, whose Kind is what a counter is named for.
package isakmp
