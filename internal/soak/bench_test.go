package soak

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gvpn/config"
	"gvpn/examples"
)

// settled is how long after a load the memory is looked at.
const settled = 5 * time.Second

// BenchmarkClientLoadCommit is `gvpn -c "configure; load ...; commit"` against a daemon of its own, from the start of the client to
// its end, and the daemon's resident memory 5 s later. cpu-ms is what both used; the daemon's start and its copy of the configuration
// are in it.
func BenchmarkClientLoadCommit(b *testing.B) {
	daemon, client := build(b, "gvpnd"), build(b, "gvpn")
	for _, n := range []int{100, 1000, 10_000, 100_000} {
		set := examples.Gateways(n)
		tree, errs := config.Tree{}.LoadSet(nil, "bench", set)
		if errs.Err() != nil {
			b.Fatal(errs)
		}
		for _, spelling := range []struct {
			name, action string
			text         []byte
		}{{"set", "set", set}, {"curly", "override", config.AppendCurly(nil, tree.Root())}} {
			b.Run(fmt.Sprintf("%s/%d", spelling.name, n), func(b *testing.B) {
				file := filepath.Join(b.TempDir(), "bench.conf")
				if err := os.WriteFile(file, spelling.text, 0o600); err != nil {
					b.Fatal(err)
				}
				var load, cpu, resident []float64
				for b.Loop() {
					w := &world{t: b, dir: b.TempDir(), binary: daemon}
					w.start()
					start := time.Now()
					cmd := exec.Command(client, "-s", w.socket(), "-c", "configure; load "+spelling.action+" "+file+"; commit and-quit")
					out, err := cmd.CombinedOutput()
					load = append(load, time.Since(start).Seconds())
					if err != nil || !bytes.Contains(out, []byte("commit complete")) {
						b.Fatalf("%v: %s", err, out)
					}
					time.Sleep(settled)
					resident = append(resident, status(b, w.daemon.Process.Pid, "VmRSS")*1024/1e6)
					w.kill()
					var used time.Duration
					for _, p := range []*os.ProcessState{cmd.ProcessState, w.daemon.ProcessState} {
						used += p.UserTime() + p.SystemTime()
					}
					cpu = append(cpu, used.Seconds())
				}
				b.ReportMetric(0, "ns/op") // of a round, which is mostly waiting
				b.ReportMetric(median(load)*1e3, "load-ms")
				b.ReportMetric(median(cpu)*1e3, "cpu-ms")
				b.ReportMetric(median(resident), "MB-resident")
			})
		}
	}
}

// status reads a line of /proc/PID/status, in units of 1024 octets.
func status(b *testing.B, pid int, name string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			v, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return v
		}
	}
	b.Fatalf("no %s in %s", name, text)
	return 0
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
