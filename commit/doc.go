// Package commit holds the configuration of a node through time: what runs, what is being edited, what ran before, and
// the one way from one to the next. A DB has one writer and is all or nothing.
//
// A commit validates the candidate, compares it with what runs (package diff), makes the plan of its effects (package
// effect), asks every Applier whether it can carry the plan out (Prepare), records the revision durably (Log), and only
// then has it carried out (Apply) and makes it the running configuration. Prepare may fail and must not act; Apply must
// not fail. So whatever goes wrong goes wrong before the record: nothing is applied, the candidate stays as it was, and
// every reason is given, not only the first.
//
// After a crash between the record and Apply, the record counts: Open reads it, and Applied, told the number of the last
// commit that the engines have persisted, has the rest carried out.
//
// A revision is kept as the lines (set, delete, rename, insert …) that make it from the one before, with a checkpoint of the whole text
// now and then; older configurations are rebuilt from the Log when asked for, and not held in memory.
//
// A commit may be one that must be confirmed: its revision says when it is taken back and to which one, so what is pending
// survives a restart, and is pending as long as that revision is the newest (confirm.go). The owner of a DB calls
// HandleTimeout at its Deadline.
//
// A commit at a time (schedule.go) and the rescue configuration (rescue.go) are whole configurations, kept in the Log beside
// the revisions. The time of the one is a Deadline, too.
//
// There is one shared candidate, and a private copy for each session that wants one, which is merged with what others
// committed meanwhile when it is committed itself (merge.go). Commit enforces the lock; who edits the shared candidate asks
// Free first.
//
// The package is not safe for concurrent use: a node holds one mutex around all management. It knows no engine, no
// socket, no file and no clock: appliers, log and clock are given to Open.
package commit
