package ike

import (
	"container/heap"
	"time"
)

// timer is one thing that will be due. The zero timer with fire set is not armed.
type timer struct {
	at   time.Time
	seq  uint64
	pos  int // in the heap, plus one; 0: not armed
	fire func(now time.Time)
}

// timers is a heap of what is armed; equal times fire in the order in which they were armed.
type timers struct {
	h   timerHeap
	seq uint64
}

// arm sets t to fire at a time, whatever it was set to before.
func (ts *timers) arm(t *timer, at time.Time) {
	ts.seq++
	t.at, t.seq = at, ts.seq
	if t.pos > 0 {
		heap.Fix(&ts.h, t.pos-1)
		return
	}
	heap.Push(&ts.h, t)
}

// stop disarms t, if there is one.
func (ts *timers) stop(t *timer) {
	if t != nil && t.pos > 0 {
		heap.Remove(&ts.h, t.pos-1)
	}
}

func (ts *timers) next() (time.Time, bool) {
	if len(ts.h) == 0 {
		return time.Time{}, false
	}
	return ts.h[0].at, true
}

// run fires what is due by now. What firing arms for now or earlier waits for the next turn, so run ends.
func (ts *timers) run(now time.Time) {
	last := ts.seq
	for len(ts.h) > 0 && !ts.h[0].at.After(now) && ts.h[0].seq <= last {
		t := heap.Pop(&ts.h).(*timer)
		t.fire(now)
	}
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.pos = len(*h)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.pos = 0
	return t
}
