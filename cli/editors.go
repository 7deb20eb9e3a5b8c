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

	lastTerminal int
	terminals    map[int]func(text string)
}

// editor is one session in configuration mode.
type editor struct {
	number      int
	user        string
	since, used time.Time
	place       string // "[edit …]"
	kind        string // "exclusive ", "private ", "" for the shared candidate
}

// maxEditors is how many sessions may be in configuration mode at once, as in Junos.
const maxEditors = 32

// enter adds a session; nil if there are as many as may be.
func (e *Editors) enter(user string, now time.Time) *editor {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.all) >= maxEditors {
		return nil
	}
	e.last++
	one := &editor{number: e.last, user: user, since: now, used: now, place: config.Path(nil).Edit()}
	e.all = append(e.all, one)
	return one
}

// mark notes that a session is exclusive or private.
func (e *Editors) mark(one *editor, kind string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	one.kind = kind + " "
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
		fmt.Fprintf(w, "  %s session %d on since %s, idle %02d:%02d:%02d\n      %s%s\n", o.user, o.number, o.since.Format("2006-01-02 15:04:05 MST"),
			int(idle.Hours()), int(idle.Minutes())%60, int(idle.Seconds())%60, o.kind, o.place)
	}
	return any
}

// name is how a session is named to others whom it keeps out.
func (e *editor) name() string {
	return fmt.Sprintf("%s session %d on since %s", e.user, e.number, e.since.Format("2006-01-02 15:04:05 MST"))
}

// Listen has tell called, from any goroutine, with what everybody on a terminal is told, until stop.
func (e *Editors) Listen(tell func(text string)) (stop func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastTerminal++
	number := e.lastTerminal
	if e.terminals == nil {
		e.terminals = map[int]func(string){}
	}
	e.terminals[number] = tell
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.terminals, number)
	}
}

// Broadcast tells everybody who is on a terminal a line. It does not wait for them to read it.
func (e *Editors) Broadcast(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, tell := range e.terminals {
		go tell(text) // a terminal whose other end has stalled must not hold up the node
	}
}
