package server

import (
	"strings"
	"testing"
	"time"
)

// Members that register one after another without a pause leave nothing behind, whether or not a pull that came to nothing is
// waited for meanwhile.
func TestPullsLeaveNothing(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		b := newBench(t)
		commit(t, b, 1, []string{"1.14 G generate-kek", "1.14 G generate-tek"}, parseGroup(t, "G members=m1,m2 sas=S"))
		waiting := 0
		if stuck {
			b.pull("m2", 1, 1)
			waiting = 1
		}
		for range 200 {
			if got := b.pull("m1", 1, 0); !strings.HasPrefix(got, "KEK1") {
				t.Fatalf("a member got %q", got)
			}
			if n := len(b.s.pullQueue); n > 2*(waiting+1)+maxPullsPerSA {
				t.Fatalf("%d places in the queue for %d pulls", n, waiting)
			}
		}
		if at, ok := b.s.Deadline(); stuck && (!ok || at.After(start.Add(pullTimeout))) {
			t.Errorf("deadline %v, want that of the pull that waits", at)
		}
		b.advance(pullTimeout + time.Second)
		if len(b.s.pulls) != 0 || len(b.s.pullQueue) != 0 {
			t.Errorf("%d pulls and %d places left", len(b.s.pulls), len(b.s.pullQueue))
		}
		if got := b.s.groups["G"].stats.PullFailed; got != uint64(waiting) {
			t.Errorf("%d pulls failed, want %d", got, waiting)
		}
	}
}
