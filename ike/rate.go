package ike

import "time"

// rate lets a number of things through at once, and as many again evenly over each span.
type rate struct {
	burst int
	span  time.Duration
	full  time.Time // when all of it will be there again
}

func (r *rate) allow(now time.Time) bool {
	if r.full.Before(now) {
		r.full = now
	}
	next := r.full.Add(r.span / time.Duration(r.burst))
	if next.Sub(now) > r.span {
		return false
	}
	r.full = next
	return true
}
