package server

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gvpn/commit/step"
)

func gcmBench(t rapid.TB, line string) *bench {
	b := newBench(t)
	g := parseGroup(t, line)
	if err := b.commit(1, map[string]step.Group{"G": g}, []step.Effect{
		{Row: "1.14", Group: "G", Kind: step.GenerateKEK}, {Row: "1.14", Group: "G", Kind: step.GenerateTEK},
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

// A group with more registrations than sender IDs is refused for a while: it must not go round and round with its members.
func TestAttackGCMNonceReuseUsedUp(t *testing.T) {
	b := gcmBench(t, "G members=m1,m2 sas=S gcm sender-bits=8")
	b.ask = 8
	spend := func() {
		for range 256 / 8 {
			if got := b.pull("m1", 1, 0); !strings.Contains(got, "sender [") {
				t.Fatalf("%q", got)
			}
		}
	}
	spend()
	if got := b.pull("m1", 1, 0); got != "no answer to message 3" {
		t.Fatalf("after the last: %q", got)
	}
	spend() // with new keys
	b.restart()
	tek := b.s.groups["G"].teks[0].SPI
	if got := b.pull("m1", 1, 0); got != "no answer to message 3" {
		t.Fatalf("after the last again: %q", got)
	}
	if b.s.groups["G"].teks[0].SPI != tek {
		t.Error("the keys went although they had just been made")
	}
	b.now = b.now.Add(time.Minute)
	if got := b.pull("m1", 1, 0); got != "no answer to message 3" {
		t.Fatalf("%q", got)
	}
	spend()
}

// No number is given twice under one key, whatever restarts come between, also in the middle of a turn's records.
func TestAttackGCMNonceReuse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := gcmBench(t, "G members=m1,m2,m3 sas=S,T:10.0.0.0/8 gcm sender-bits="+rapid.SampledFrom([]string{"8", "12", "16"}).Draw(t, "bits"))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"pull", "pull", "pull", "crash", "restart", "rekey", "clear", "time"}).Draw(t, "step") {
			case "pull":
				b.ask = rapid.IntRange(0, 10).Draw(t, "ask")
				b.pull(rapid.SampledFrom([]string{"m1", "m2", "m3"}).Draw(t, "member"), 1, 0)
			case "crash":
				b.keep = rapid.IntRange(0, 3).Draw(t, "keep")
				b.pull("m1", 1, 0)
				b.keep, b.reply = -1, nil
				b.restart()
			case "restart":
				b.restart()
			case "rekey":
				_ = b.s.Do(b.now, Rekey{Group: "G", KEK: true, TEK: true})
				b.drain()
			case "clear":
				_ = b.s.Do(b.now, Clear{Group: "G"})
				b.drain()
			case "time":
				b.advance(10 * time.Minute)
			}
		}
	})
}
