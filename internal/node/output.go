package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gvpn/turn"
)

// writer carries out Persist, Transmit and Notify in the engine's order. Batches that wait while the disk is busy share
// the next fsync: all their records are written first, then all their datagrams leave, so no datagram is ever ahead of a
// record that it depends on.
type writer struct {
	put    func([]turn.Persist) error
	send   func([]turn.Transmit)
	notify func(turn.Notify)
	failed func(error) // the disk refused a record: nothing more may be sent

	leaving []turn.Transmit // run's own, of up to burst
	wrote   time.Time       // likewise: when the last transaction began

	mu      sync.Mutex
	waiting []turn.Output
	records bool          // among waiting
	taken   sync.Cond     // with mu: waiting is empty again, or always will be
	ended   bool          // nothing is taken any more
	wake    chan struct{} // capacity 1
	done    chan struct{}
}

// gatherFor is how long after a transaction began the next one does so at the earliest. A transaction takes the processor a sixth as
// long as a whole registration, whether it has one record or twenty: what comes in a rush shares it, what comes alone does not wait.
const gatherFor = 2 * time.Millisecond

// maxWaiting is how many outputs may wait before a submit waits: what strangers make the engines say must not pile up here.
const maxWaiting = 256

func (w *writer) submit(batch []turn.Output) {
	w.mu.Lock()
	w.taken.L = &w.mu
	for len(w.waiting) > maxWaiting && !w.ended {
		w.taken.Wait()
	}
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
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run works until stop is closed and everything submitted before that is carried out.
func (w *writer) run(stop <-chan struct{}) {
	defer func() {
		w.mu.Lock()
		w.ended = true
		w.mu.Unlock()
		w.taken.Broadcast()
		close(w.done)
	}()
	for {
		select {
		case <-w.wake:
			w.gather()
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
func (w *writer) gather() {
	w.mu.Lock()
	records := w.records
	w.mu.Unlock()
	if records {
		time.Sleep(gatherFor - time.Since(w.wrote))
	}
}

func (w *writer) flush() bool {
	w.mu.Lock()
	batch := w.waiting
	w.waiting, w.records = nil, false
	w.mu.Unlock()
	w.taken.Broadcast()
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
	for _, o := range batch {
		switch o := o.(type) {
		case turn.Transmit:
			if w.leaving = append(w.leaving, o); len(w.leaving) == burst {
				w.leave()
			}
		case turn.Notify:
			w.notify(o)
		}
	}
	w.leave()
	return true
}

// leave sends what has been put together.
func (w *writer) leave() {
	w.send(w.leaving)
	clear(w.leaving)
	w.leaving = w.leaving[:0]
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
