package node

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvpn/turn"
)

// writer records what the engines persist, in their order, and hands everything else on to the sender when all that came before it is
// on disk. Batches that wait while the disk is busy share the next fsync: all their records are written first, then they are handed
// on, so no datagram is ever ahead of a record that it depends on.
type writer struct {
	put    func([]turn.Persist) error
	failed func(error) // the disk refused a record: nothing of that batch, and nothing after it, may be sent
	out    *departures

	wrote time.Time // run's own: when the last transaction began

	mu      sync.Mutex
	waiting []turn.Output
	records bool          // among waiting
	urgent  bool          // nothing more is to be gathered
	ended   bool          // nothing is taken any more
	wake    chan struct{} // capacity 1
	hurry   chan struct{} // capacity 1: urgent was set
	done    chan struct{}
}

func newWriter(put func([]turn.Persist) error, failed func(error), out *departures) *writer {
	return &writer{
		put: put, failed: failed, out: out,
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// gatherFor is how long after a transaction began the next one does so at the earliest. A transaction takes the processor a sixth as
// long as a whole registration, whether it has one record or twenty: what comes in a rush shares it, what comes alone does not wait.
const gatherFor = 5 * time.Millisecond

// maxWaiting is how many outputs may wait for the disk before they are gathered no longer and the loop takes no more from members
// and strangers: what those make the engines say must not pile up here.
const maxWaiting = 256

// submit takes a batch, and waits for nothing. What is urgent, the answer to a cluster peer, is not to wait for others to share a
// transaction with.
func (w *writer) submit(batch []turn.Output, urgent bool) {
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return
	}
	w.records = w.records || slices.ContainsFunc(batch, isRecord)
	if w.waiting == nil {
		w.waiting = batch
	} else {
		w.waiting = append(w.waiting, batch...)
	}
	w.urgent = w.urgent || urgent || len(w.waiting) > maxWaiting
	urgent = w.urgent
	w.mu.Unlock()
	tell(w.wake)
	if urgent {
		tell(w.hurry)
	}
}

// tell wakes who listens to c, now or the next time.
func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// backlog is how many outputs wait for the disk.
func (w *writer) backlog() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

// run works until stop is closed and everything submitted before that is carried out.
func (w *writer) run(stop <-chan struct{}) {
	defer func() {
		w.mu.Lock()
		w.ended, w.waiting = true, nil // the loop must not wait for room
		w.mu.Unlock()
		w.out.close()
		close(w.done)
	}()
	for {
		select {
		case <-w.wake:
			w.gather(stop)
			if !w.flush() {
				return
			}
		case <-stop:
			w.flush()
			return
		}
	}
}

func isRecord(o turn.Output) bool { _, is := o.(turn.Persist); return is }

// gather waits for what is to share the next transaction.
func (w *writer) gather(stop <-chan struct{}) {
	w.mu.Lock()
	wait := w.records && !w.urgent
	w.mu.Unlock()
	left := gatherFor - time.Since(w.wrote)
	if !wait || left <= 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-stop:
			return
		case <-w.hurry:
			w.mu.Lock()
			urgent := w.urgent
			w.mu.Unlock()
			if urgent { // and not that of a batch which is gone
				return
			}
		}
	}
}

func (w *writer) flush() bool {
	w.mu.Lock()
	batch := w.waiting
	w.waiting, w.records, w.urgent = nil, false, false
	w.mu.Unlock()
	var records []turn.Persist
	for _, o := range batch {
		if p, ok := o.(turn.Persist); ok {
			records = append(records, p)
		}
	}
	if len(records) > 0 {
		w.wrote = time.Now()
		if err := w.put(records); err != nil {
			w.failed(fmt.Errorf("node: persist %d records of the engines: %w", len(records), err))
			return false
		}
	}
	w.out.add(batch)
	tell(w.out.room)
	return true
}

// preferred are the cluster peers from here on in the outputs. It is the loop's own output, no engine's.
type preferred map[netip.Addr]bool

// IsOutput implements turn.Output.
func (preferred) IsOutput() {}

// departures sends what has been recorded. What is for a cluster peer leaves before what waits for everybody else, and so between two
// calls of a long push; what is for one address leaves in the engine's order.
type departures struct {
	send   func([]turn.Transmit) // up to burst
	notify func(turn.Notify)
	room   chan struct{} // capacity 1: told whenever less is waiting here or for the disk

	leaving []turn.Transmit // run's own, of up to burst

	mu     sync.Mutex
	some   sync.Cond // with mu: there is something to do
	peers  preferred
	level  bool          // peers has changed: nobody is preferred until the line was empty, or one datagram to an address could pass another
	ahead  []turn.Output // for peers
	line   []turn.Output // all else
	closed bool          // nothing is added any more
	done   chan struct{}
}

func newDepartures(send func([]turn.Transmit), notify func(turn.Notify)) *departures {
	d := &departures{send: send, notify: notify, room: make(chan struct{}, 1), done: make(chan struct{})}
	d.some.L = &d.mu
	return d
}

// add takes what may leave.
func (d *departures) add(batch []turn.Output) {
	d.mu.Lock()
	for _, o := range batch {
		switch o := o.(type) {
		case turn.Persist: // done
			continue
		case preferred:
			d.peers, d.level = o, len(d.line) > 0
			continue
		case turn.Transmit:
			if d.peers[o.Remote.Addr()] && !d.level {
				d.ahead = append(d.ahead, o)
				continue
			}
		}
		d.line = append(d.line, o)
	}
	d.mu.Unlock()
	d.some.Signal()
}

// backlog is how many outputs wait to leave, the peers' left out.
func (d *departures) backlog() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.line)
}

func (d *departures) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.some.Signal()
}

// run sends until it is closed and nothing is left.
func (d *departures) run() {
	defer close(d.done)
	for batch := d.next(); batch != nil; batch = d.next() {
		for _, o := range batch {
			switch o := o.(type) {
			case turn.Transmit:
				d.leaving = append(d.leaving, o)
			case turn.Notify:
				d.notify(o)
			}
		}
		clear(batch)
		d.send(d.leaving)
		clear(d.leaving)
		d.leaving = d.leaving[:0]
		tell(d.room)
	}
}

// next waits for what is to leave, up to burst outputs; nil at the end. It is the caller's.
func (d *departures) next() (batch []turn.Output) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		from := &d.ahead
		if len(d.ahead) == 0 {
			from = &d.line
		}
		if n := min(len(*from), burst); n > 0 {
			batch, *from = (*from)[:n:n], (*from)[n:]
			if len(*from) == 0 {
				*from = nil
			}
			return batch
		}
		d.level = false
		if d.closed {
			return nil
		}
		d.some.Wait()
	}
}

// logNotify writes an engine's Notify to the log; the engines have quoted what came from the wire.
func logNotify(log *slog.Logger, o turn.Notify) {
	level := slog.LevelInfo
	switch o.Severity {
	case turn.Info, turn.Notice:
	case turn.Warning:
		level = slog.LevelWarn
	case turn.Error:
		level = slog.LevelError
	}
	log.Log(context.Background(), level, o.Text, "code", o.Code)
}
