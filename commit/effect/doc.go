// Package effect turns the difference between two configurations into a plan: what changes for the engines, and what is done
// at once to keys, members, peers and IKE SAs. It implements Tables 1, 2 and 3 of change-effects.md and the readings T1 to T15, with
// one more of ours, T16: a sub-server or a standalone server that forgets its members by row 1.8 ends their IKE SAs too, as the
// root-server's cell says.
//
// The tables are data (table.go; as a page, TABLES.md). Plan works in three steps: it reads the entries that the changes name,
// and what they refer to, into the plain values of package step, old and new (build.go); it finds the rows that the
// differences between those values fall into (classify.go); and it makes one ordered list of the rows' cells for the role of
// each group (plan.go). Where a reading acts, a comment names its number.
//
// It is driven with what package diff returns: Plan(old, next, diff.Diff(old, next)), both trees effective and valid. Package commit
// does so, and has the plan carried out; AppendText shows one to an operator before that.
//
// A statement that is there but not complete enough to act, for which commit gives a warning ("not used", "not served"), is
// read as absent: completing it is the addition, making it incomplete the deletion.
//
// Everything here is pure. Only entries that a change names or that refer to one are read, so the cost follows the size of the
// change; a changed IKE policy or proposal looks through the gateways for those that name it.
package effect
