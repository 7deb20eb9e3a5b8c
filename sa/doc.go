// Package sa holds the security associations of a group as plain values: the KEK that protects GROUPKEY-PUSH
// (RFC 6407 section 5.3), the TEKs that protect traffic (section 5.5), and the Update that carries both from a
// root-server to its sub-servers and to disk.
//
// It has no behaviour beyond copying, comparing, clearing and one binary form. Wire forms of GDOI are in package
// gdoi; who makes and replaces keys, and when, is in package server.
package sa
