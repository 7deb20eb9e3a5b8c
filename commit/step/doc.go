// Package step holds the words in which a plan is written: what package effect makes of a commit's changes, and what the
// engines carry out. Plain Go values; no YANG path, no generated struct.
//
// A Plan has two parts. Its configuration changes tell the engines the new gateways, groups and VPNs, also where the
// tables say "nothing". Its effects are the rows of Tables 1 to 3 for the server's role, in order. An engine first takes
// over what is new or changed, then carries out the effects one by one, then forgets what is gone: so an effect can still
// reach the members and peers of a group that the same commit deletes.
package step
