package node

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"gvpn/commit"
	"gvpn/config"
)

// activeDelay is how long after a commit the readable copy of the configuration is written: commits that follow each other
// quickly cost one file, and none of them waits for it.
const activeDelay = time.Second

// activeShare bounds what the copy of a large configuration costs while commits go on: after one was written the next waits this
// many times as long as that took.
const activeShare = 200

// large is the length of a copy, in octets, after which the memory that is free goes back to the system.
const large = 1 << 20

// activeFile keeps the readable copy of the active configuration. The store is the truth; the copy is for people and their
// backups, and is never read.
type activeFile struct {
	write  func(text []byte) error
	failed func(error)
	delay  time.Duration

	mu      sync.Mutex
	latest  []byte // the line above the configuration
	running config.Tree
	took    time.Duration // the last time
	waiting bool          // latest and running are not in the file, and the timer is set
	timer   *time.Timer

	writing sync.Mutex // one at a time; taken before mu
}

// follow has a configuration written after the delay, with all that comes until then.
func (a *activeFile) follow(db *commit.DB) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running, a.latest = db.Running(), nil
	if h := db.History(); len(h) > 0 {
		a.latest = fmt.Appendf(nil, "## Last commit: %s by %s\n", h[0].Time.Format("2006-01-02 15:04:05 MST"), h[0].User)
	}
	if !a.waiting {
		a.waiting = true
		a.timer = time.AfterFunc(max(a.delay, activeShare*a.took), a.flush)
	}
}

// flush writes what waits.
func (a *activeFile) flush() {
	a.writing.Lock()
	defer a.writing.Unlock()
	a.mu.Lock()
	text, t, waiting := a.latest, a.running, a.waiting
	a.waiting = false
	a.mu.Unlock()
	if !waiting {
		return
	}
	start := time.Now()
	text = config.AppendCurly(text, t.Root())
	if err := a.write(text); err != nil {
		a.failed(err)
	}
	if len(text) > large {
		// What a commit of this size took was needed for a second; the runtime would keep most of it for minutes.
		debug.FreeOSMemory()
	}
	a.mu.Lock()
	a.took = time.Since(start)
	a.mu.Unlock()
}

// close writes what waits and waits for what is being written.
func (a *activeFile) close() {
	a.mu.Lock()
	if a.timer != nil {
		a.timer.Stop()
	}
	a.mu.Unlock()
	a.flush()
}
