package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gvpn/turn"
)

// journal is a disk and a network that write down what reaches them, in order. It belongs to the writer's goroutine.
type journal struct {
	lines  []string
	refuse bool
}

func (j *journal) put(records []turn.Persist) error {
	if j.refuse {
		return errors.New("disk full")
	}
	var keys []string
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	j.lines = append(j.lines, "put "+strings.Join(keys, " "))
	time.Sleep(time.Second) // of the bubble: a slow disk, so that batches gather
	return nil
}

func (j *journal) send(batch []turn.Transmit) {
	for _, t := range batch {
		j.lines = append(j.lines, "send "+string(t.Datagram))
	}
}

func newTestWriter(j *journal) (w *writer, stop func()) {
	w = &writer{
		put: j.put, send: j.send,
		notify: func(n turn.Notify) { j.lines = append(j.lines, "notify "+n.Code) },
		failed: func(err error) { j.lines = append(j.lines, "failed: "+err.Error()) },
		wake:   make(chan struct{}, 1), done: make(chan struct{}),
	}
	quit := make(chan struct{})
	go w.run(quit)
	return w, func() { close(quit); <-w.done }
}

func datagramOf(text string) turn.Transmit {
	return turn.Transmit{Remote: netip.MustParseAddrPort("192.0.2.1:848"), Datagram: []byte(text)}
}

// What comes before a Transmit in the engine's output is on disk before that datagram leaves; batches that wait for the disk
// share its next write.
func TestWriterPersistsBeforeItSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		w, stop := newTestWriter(j)
		w.submit([]turn.Output{turn.Persist{Key: "a"}, datagramOf("1"), turn.Notify{Code: "N"}})
		synctest.Wait() // the first write is under way
		w.submit([]turn.Output{turn.Persist{Key: "b"}, datagramOf("2")})
		w.submit([]turn.Output{datagramOf("3"), turn.Persist{Key: "c"}, datagramOf("4")})
		time.Sleep(time.Minute)
		stop()
		want := []string{"put a", "notify N", "send 1", "put b c", "send 2", "send 3", "send 4"}
		if diff := cmp.Diff(want, j.lines); diff != "" {
			t.Errorf("the writer's order (-want +got):\n%s", diff)
		}
	})
}

// Records that come shortly after a transaction wait for each other; what has none, and what comes later, waits for nobody.
func TestWriterGathersRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var lines []string
		note := func(format string, args ...any) {
			lines = append(lines, fmt.Sprintf("%v ", time.Since(began))+fmt.Sprintf(format, args...))
		}
		w := &writer{
			put: func(records []turn.Persist) error { note("put %d", len(records)); return nil },
			send: func(batch []turn.Transmit) {
				for _, t := range batch {
					note("send %s", t.Datagram)
				}
			},
			wake: make(chan struct{}, 1), done: make(chan struct{}),
		}
		quit := make(chan struct{})
		go w.run(quit)
		step := gatherFor / 4
		for _, batch := range [][]turn.Output{
			{turn.Persist{Key: "a"}, datagramOf("1")},
			{datagramOf("2")},
			{turn.Persist{Key: "b"}, datagramOf("3")},
			{turn.Persist{Key: "c"}, datagramOf("4")},
		} {
			w.submit(batch)
			time.Sleep(step)
		}
		time.Sleep(2 * gatherFor)
		w.submit([]turn.Output{turn.Persist{Key: "d"}, datagramOf("5")})
		synctest.Wait()
		close(quit)
		<-w.done
		want := []string{"0s put 1", "0s send 1", "500µs send 2", "2ms put 2", "2ms send 3", "2ms send 4", "6ms put 1", "6ms send 5"}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("what was done when (-want +got):\n%s", diff)
		}
	})
}

func TestWriterSendsNothingAfterTheDiskRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{refuse: true}
		w, _ := newTestWriter(j)
		w.submit([]turn.Output{datagramOf("0"), turn.Persist{Key: "a"}, datagramOf("1")})
		<-w.done
		want := []string{"failed: node: persist 1 records of the engines: disk full"}
		if diff := cmp.Diff(want, j.lines); diff != "" {
			t.Errorf("what left after the failure (-want +got):\n%s", diff)
		}
	})
}

func TestWriterFinishesWhatWasSubmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		w, stop := newTestWriter(j)
		w.submit([]turn.Output{turn.Persist{Key: "last"}})
		stop()
		if diff := cmp.Diff([]string{"put last"}, j.lines); diff != "" {
			t.Errorf("at the end (-want +got):\n%s", diff)
		}
	})
}

func TestNotifySeverities(t *testing.T) {
	for severity, want := range map[turn.Severity]string{
		turn.Info: "level=INFO", turn.Notice: "level=INFO", turn.Warning: "level=WARN", turn.Error: "level=ERROR",
	} {
		var text strings.Builder
		logNotify(slog.New(slog.NewTextHandler(&text, nil)), turn.Notify{Severity: severity, Code: "CODE", Text: "what happened"})
		if line := text.String(); !strings.Contains(line, want) || !strings.Contains(line, "code=CODE") || !strings.Contains(line, `"what happened"`) {
			t.Errorf("severity %d is logged as %q", severity, line)
		}
	}
}
