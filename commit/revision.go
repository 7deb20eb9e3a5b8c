package commit

import "time"

// HistorySize is how many revisions rollback reaches: 0 is the running one, 49 the oldest (junos-facts.md 5.6).
const HistorySize = 50

// Revision is one committed configuration.
type Revision struct {
	Number  uint64 // 1 is the first commit; 0 stands for the empty configuration before it
	Time    time.Time
	User    string // who committed
	Client  string // "cli", "netconf", "gnmi", "file"; "other": the node itself
	Remote  string // the address and port that User came from, "" for this machine
	Comment string // commit comment, one line

	// Of a confirmed commit: Within is how long it waits for its confirmation, Deadline when it is taken back, and Return the
	// number of the revision that it is taken back to. Deadline is zero once it is confirmed.
	Within   time.Duration
	Deadline time.Time
	Return   uint64

	// Checkpoint says what Text is: set lines of the whole configuration, or lines of set, delete, rename, insert and marks that make this
	// configuration from the one before.
	Checkpoint bool
	Text       []byte

	// Oldest is the number of the oldest revision that is still needed when this one is recorded. It is a checkpoint.
	// What is older may be forgotten.
	Oldest uint64
}

// Log keeps revisions where a crash cannot reach them. Package internal/store has the one for disks; MemoryLog is the
// fake.
type Log interface {
	// Append records r: its Number is that of the last revision, which it replaces, or the next. It is durable when Append
	// returns nil. After an error r may or may not be there; a later Append with the same Number, or the one before, takes
	// its place.
	Append(r Revision) error
	// Revisions returns what is kept, by rising Number without gaps, the first a checkpoint; Text is nil.
	Revisions() ([]Revision, error)
	// Text returns the Text of a revision that Revisions lists.
	Text(number uint64) ([]byte, error)

	// Keep keeps a value under a name in the place of the one before; nil forgets it. It is durable when Keep returns nil;
	// after an error it may or may not be.
	Keep(name string, value []byte) error
	// Kept returns the value kept under a name, nil if there is none.
	Kept(name string) ([]byte, error)
}
