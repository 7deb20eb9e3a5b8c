// Package diff compares two configurations: two trees in, a list of changes out. It is pure, and knows no statement by name.
//
// It sees what YANG can tell apart: entries, leaves, flags and presence containers that came or went, other values, and, in
// lists and leaf-lists that the user orders, moves. A plain container is no more than what is in it. An entry or presence
// container that came or went is one change, which swallows everything below it. Remarks are no configuration and give no
// change.
//
// The trees compared should be effective ones (config.Tree.Effective): then what is inactive is absent, and deactivate is a
// delete, activate an add (reading T15 of change-effects.md).
//
// The cost follows the difference: what both trees share is not looked at.
package diff
