package cli

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"gvpn/config"
)

// Editors is who is in configuration mode on one node. The zero value is ready; it may be used from any goroutine.
type Editors struct {
	mu   sync.Mutex
	last int
	all  []*editor // by number
}

// editor is one session in configuration mode.
type editor struct {
	number      int
	user        string
	since, used time.Time
	place       string // "[edit …]"
}

// enter adds a session.
func (e *Editors) enter(user string, now time.Time) *editor {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	one := &editor{number: e.last, user: user, since: now, used: now, place: config.Path(nil).Edit()}
	e.all = append(e.all, one)
	return one
}

// leave removes a session.
func (e *Editors) leave(one *editor) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = slices.DeleteFunc(e.all, func(o *editor) bool { return o == one })
}

// touch notes that a session did something, and where it is.
func (e *Editors) touch(one *editor, place config.Path, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	one.used, one.place = now, place.Edit()
}

// write lists the sessions but one, and reports whether there is any. Where Junos names a terminal and a process, there is
// the number of the session.
func (e *Editors) write(w io.Writer, except *editor, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	any := false
	for _, o := range e.all {
		if o == except {
			continue
		}
		if !any {
			fmt.Fprintln(w, "Users currently editing the configuration:")
		}
		any = true
		idle := now.Sub(o.used)
		fmt.Fprintf(w, "  %s session %d on since %s, idle %02d:%02d:%02d\n      %s\n", o.user, o.number, o.since.Format("2006-01-02 15:04:05 MST"),
			int(idle.Hours()), int(idle.Minutes())%60, int(idle.Seconds())%60, o.place)
	}
	return any
}
