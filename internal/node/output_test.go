package node

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gvpn/turn"
)

// journal is a disk and a network that write down what reaches them, in order.
type journal struct {
	mu     sync.Mutex
	began  time.Time
	timed  bool
	lines  []string
	refuse bool
	slow   time.Duration // the disk, so that batches gather
	wait   time.Duration // the network
}

func (j *journal) note(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.timed {
		text = fmt.Sprint(time.Since(j.began), " ", text)
	}
	j.lines = append(j.lines, text)
}

func (j *journal) put(records []turn.Persist) error {
	if j.refuse {
		return errors.New("disk full")
	}
	var keys []string
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	time.Sleep(j.slow)
	j.note("put " + strings.Join(keys, " "))
	return nil
}

func (j *journal) send(batch []turn.Transmit) {
	for _, t := range batch {
		j.note("send " + string(t.Datagram))
	}
	time.Sleep(j.wait)
}

// newTestWriter starts both stages; stop returns when they have ended.
func newTestWriter(j *journal) (w *writer, stop func()) {
	j.began = time.Now()
	out := newDepartures(j.send, func(n turn.Notify) { j.note("notify " + n.Code) })
	w = newWriter(j.put, func(err error) { j.note("failed: " + err.Error()) }, out)
	quit := make(chan struct{})
	go w.run(quit)
	go out.run()
	return w, sync.OnceFunc(func() { close(quit); <-out.done })
}

func datagramOf(text string) turn.Transmit {
	return turn.Transmit{Remote: netip.MustParseAddrPort("192.0.2.1:848"), Datagram: []byte(text)}
}

// What comes before a Transmit in the engine's output is on disk before that datagram leaves; batches that wait for the disk
// share its next write.
func TestWriterPersistsBeforeItSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{slow: time.Second}
		w, stop := newTestWriter(j)
		w.submit([]turn.Output{turn.Persist{Key: "a"}, datagramOf("1"), turn.Notify{Code: "N"}}, false)
		synctest.Wait() // the first write is under way
		w.submit([]turn.Output{turn.Persist{Key: "b"}, datagramOf("2")}, false)
		w.submit([]turn.Output{datagramOf("3"), turn.Persist{Key: "c"}, datagramOf("4")}, false)
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
		j := &journal{timed: true}
		w, stop := newTestWriter(j)
		step := gatherFor / 4
		for _, batch := range [][]turn.Output{
			{turn.Persist{Key: "a"}, datagramOf("1")},
			{datagramOf("2")},
			{turn.Persist{Key: "b"}, datagramOf("3")},
			{turn.Persist{Key: "c"}, datagramOf("4")},
		} {
			w.submit(batch, false)
			time.Sleep(step)
		}
		time.Sleep(2 * gatherFor)
		w.submit([]turn.Output{turn.Persist{Key: "d"}, datagramOf("5")}, false)
		synctest.Wait()
		time.Sleep(step)
		w.submit([]turn.Output{turn.Persist{Key: "e"}, datagramOf("6")}, false)
		time.Sleep(step)
		w.submit([]turn.Output{datagramOf("7")}, true) // which may not pass the record before it, and so hurries it
		synctest.Wait()
		stop()
		want := []string{
			"0s put a", "0s send 1", "1.25ms send 2", "5ms put b c", "5ms send 3", "5ms send 4", "15ms put d", "15ms send 5",
			"17.5ms put e", "17.5ms send 6", "17.5ms send 7",
		}
		if diff := cmp.Diff(want, j.lines); diff != "" {
			t.Errorf("what was done when (-want +got):\n%s", diff)
		}
	})
}

func TestWriterSendsNothingAfterTheDiskRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{refuse: true}
		w, stop := newTestWriter(j)
		w.submit([]turn.Output{datagramOf("0"), turn.Persist{Key: "a"}, datagramOf("1")}, false)
		<-w.done
		stop()
		w.submit([]turn.Output{datagramOf("2")}, false)
		if w.backlog() != 0 {
			t.Error("what nobody will send is kept")
		}
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
		w.submit([]turn.Output{turn.Persist{Key: "last"}}, false)
		stop()
		if diff := cmp.Diff([]string{"put last"}, j.lines); diff != "" {
			t.Errorf("at the end (-want +got):\n%s", diff)
		}
	})
}

// What is for a cluster peer leaves between two calls of a push to many, in its own order and behind the records before it. What
// is for one address keeps its order also while who is preferred changes.
func TestPeersLeaveFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, member := netip.MustParseAddrPort("192.0.2.9:848"), netip.MustParseAddrPort("192.0.2.1:848")
		to := func(remote netip.AddrPort, text string) turn.Transmit {
			return turn.Transmit{Remote: remote, Datagram: []byte(text)}
		}
		j := &journal{wait: time.Millisecond}
		w, stop := newTestWriter(j)
		batch := []turn.Output{preferred{peer.Addr(): true}}
		for i := range 4 * burst {
			batch = append(batch, to(member, fmt.Sprint("m", i)))
		}
		w.submit(batch, false)
		synctest.Wait() // the first call is under way
		w.submit([]turn.Output{turn.Persist{Key: "a"}, to(peer, "p1"), to(member, "last"), to(peer, "p2")}, true)
		synctest.Wait()
		if n := w.out.backlog(); n != 3*burst+1 {
			t.Errorf("%d wait, want %d", n, 3*burst+1)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		var want []string
		for i := range 4 * burst {
			if i == burst {
				want = append(want, "send p1", "send p2")
			}
			want = append(want, fmt.Sprint("send m", i))
		}
		want = append(want, "send last")
		var sent []string
		recorded := false
		for _, l := range j.lines {
			if recorded = recorded || l == "put a"; l != "put a" {
				sent = append(sent, l)
			}
			if l == "send p1" && !recorded {
				t.Error("sent before the record that is before it was on disk")
			}
		}
		if diff := cmp.Diff(want, sent); diff != "" {
			t.Errorf("what left (-want +got):\n%s", diff)
		}

		// The peer is one no more, and the member becomes one, while something for both waits.
		j.lines = nil
		batch = nil
		for i := range 2 * burst {
			batch = append(batch, to(member, fmt.Sprint("m", i)))
		}
		w.submit(batch, false)
		synctest.Wait()
		w.submit([]turn.Output{to(peer, "p1"), preferred{member.Addr(): true}, to(peer, "p2"), to(member, "m512")}, false)
		time.Sleep(time.Second)
		synctest.Wait()
		want = nil
		for i := range 2*burst + 1 {
			if i == 2*burst {
				want = append(want, "send p2")
			}
			want = append(want, fmt.Sprint("send m", i))
			if i == burst-1 {
				want = append(want, "send p1")
			}
		}
		if diff := cmp.Diff(want, j.lines); diff != "" {
			t.Errorf("what left while preference changed (-want +got):\n%s", diff)
		}
		stop()
	})
}

// Whatever is submitted from two sides of a turn, every datagram leaves after the records before it, and those to one address in their
// order. No clock: as fast as it goes, for the race detector.
func TestWriterKeepsItsPromises(t *testing.T) {
	const remotes, rounds = 8, 5000
	var mu sync.Mutex
	recorded := 0         // the number of the last record on disk
	var last [remotes]int // the number of the last datagram to each
	out := newDepartures(func(batch []turn.Transmit) {
		mu.Lock()
		defer mu.Unlock()
		for _, o := range batch {
			var after, n int
			if _, err := fmt.Sscan(string(o.Datagram), &after, &n); err != nil {
				t.Error(err)
			}
			to := int(o.Remote.Addr().As4()[3])
			if after > recorded {
				t.Errorf("datagram %d left before record %d was on disk", n, after)
			}
			if n != last[to]+1 {
				t.Errorf("datagram %d to %v came after %d", n, o.Remote, last[to])
			}
			last[to] = n
		}
	}, func(turn.Notify) {})
	w := newWriter(func(records []turn.Persist) error {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range records {
			recorded++
			if r.Key != fmt.Sprint(recorded) {
				t.Errorf("record %s came after %d", r.Key, recorded-1)
			}
		}
		return nil
	}, func(err error) { t.Error(err) }, out)
	stop := make(chan struct{})
	go w.run(stop)
	go out.run()
	dice := rand.New(rand.NewPCG(1, 2))
	records := 0
	var given [remotes]int
	for range rounds {
		var batch []turn.Output
		for range 1 + dice.IntN(8) {
			switch dice.IntN(16) {
			case 0, 1:
				records++
				batch = append(batch, turn.Persist{Key: fmt.Sprint(records)})
			case 2:
				p := preferred{}
				for i := range remotes {
					if dice.IntN(3) == 0 {
						p[netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})] = true
					}
				}
				batch = append(batch, p)
			default:
				to := dice.IntN(remotes)
				given[to]++
				batch = append(batch, turn.Transmit{
					Remote:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(to)}), 848),
					Datagram: fmt.Append(nil, records, " ", given[to]),
				})
			}
		}
		w.submit(batch, dice.IntN(4) == 0)
	}
	close(stop)
	<-out.done
	if recorded != records || last != given {
		t.Errorf("%d of %d records, %v of %v datagrams", recorded, records, last, given)
	}
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
