package node

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gvpn/commit"
	"gvpn/config"
	"gvpn/examples"
	"gvpn/internal/auth"
)

// The benchmarks are the rows of README.md's table of speed, each at four sizes: the whole way in one process, with the
// engines, the sockets and the store on a real file. Package internal/soak has the rows that need a daemon of its own.

func sizes(b *testing.B, f func(b *testing.B, n int)) {
	for _, n := range []int{100, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { f(b, n) })
	}
}

// openEmpty opens a node without a configuration, in a directory of its own.
func openEmpty(b *testing.B) *Node {
	b.Helper()
	n, err := Open(Options{Dir: b.TempDir(), Port: testPort})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func shut(b *testing.B, n *Node) {
	b.Helper()
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
}

// commitTree makes t what runs.
func commitTree(b *testing.B, n *Node, t config.Tree) {
	b.Helper()
	err := n.Manage(func(db *commit.DB) error {
		db.Candidate().Update(t)
		_, err := db.Commit(commit.Options{User: "bench", Client: "other"})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// benchLoad measures parse and commit of a whole configuration, and beside it a bare write and fsync of as many octets.
func benchLoad(b *testing.B, text []byte, load func(text []byte) (config.Tree, config.Errors)) {
	b.SetBytes(int64(len(text)))
	var bare time.Duration
	rounds := 0
	for b.Loop() {
		b.StopTimer()
		n := openEmpty(b)
		start := time.Now()
		if err := os.WriteFile(filepath.Join(n.dir, "bare"), text, 0o600); err != nil {
			b.Fatal(err)
		}
		syncFile(b, filepath.Join(n.dir, "bare"))
		bare += time.Since(start)
		rounds++
		b.StartTimer()
		t, errs := load(text)
		if errs.Err() != nil {
			b.Fatal(errs)
		}
		commitTree(b, n, t)
		b.StopTimer()
		shut(b, n)
		b.StartTimer()
	}
	b.ReportMetric(bare.Seconds()*1e3/float64(rounds), "bare-write-ms")
}

func syncFile(b *testing.B, name string) {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	f.Close()
}

func loadSet(text []byte) (config.Tree, config.Errors) {
	return config.Tree{}.LoadSet(nil, "bench", text)
}

func loadCurly(text []byte) (config.Tree, config.Errors) {
	return config.Tree{}.LoadCurly(nil, config.Override, "bench", text)
}

func mustLoad(b *testing.B, n int) config.Tree {
	b.Helper()
	t, errs := loadSet(examples.Gateways(n))
	if errs.Err() != nil {
		b.Fatal(errs)
	}
	return t
}

func BenchmarkLoadCommitSet(b *testing.B) {
	sizes(b, func(b *testing.B, n int) { benchLoad(b, examples.Gateways(n), loadSet) })
}

func BenchmarkLoadCommitCurly(b *testing.B) {
	sizes(b, func(b *testing.B, n int) { benchLoad(b, config.AppendCurly(nil, mustLoad(b, n).Root()), loadCurly) })
}

// leafCommits is how many commits of one leaf make a round: enough for a 99th percentile.
const leafCommits = 1000

// BenchmarkLeafCommit is a change of one leaf and its commit: through a node and its file, and through commit.DB with a log in
// memory, which is the same without fsync. Beside them a bare append of 4 KB to a file, with fsync.
func BenchmarkLeafCommit(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		node := openEmpty(b)
		defer shut(b, node)
		t := mustLoad(b, n)
		commitTree(b, node, t)
		memory, err := commit.Open(&commit.MemoryLog{}, &silent{}, time.Now)
		if err != nil {
			b.Fatal(err)
		}
		memory.Candidate().Update(t)
		if _, err := memory.Commit(commit.Options{}); err != nil {
			b.Fatal(err)
		}
		bare, err := os.Create(filepath.Join(node.dir, "bare"))
		if err != nil {
			b.Fatal(err)
		}
		defer bare.Close()
		page := make([]byte, 4096)

		var durable, inMemory, bareSync []time.Duration
		for b.Loop() {
			for i := range leafCommits {
				at := config.Path{
					{Name: "security"},
					{Name: "group-vpn"},
					{Name: "server"},
					{Name: "ike"},
					{Name: "gateway", Keys: []string{examples.GatewayName(i * 7 % n)}},
					{Name: "address"},
				}
				value := fmt.Sprintf("172.%d.%d.%d", 16+len(durable)/leafCommits%16, i>>8, i&255)
				edit := func(db *commit.DB) error {
					t, err := db.Candidate().Tree().SetValue(at, value)
					if err != nil {
						return err
					}
					db.Candidate().Update(t)
					_, err = db.Commit(commit.Options{User: "bench", Client: "other"})
					return err
				}
				durable = append(durable, took(b, func() error { return node.Manage(edit) }))
				inMemory = append(inMemory, took(b, func() error { return edit(memory) }))
				bareSync = append(bareSync, took(b, func() error {
					if _, err := bare.Write(page); err != nil {
						return err
					}
					return bare.Sync()
				}))
			}
		}
		b.ReportMetric(0, "ns/op") // a round means nothing
		report(b, durable, 50, "p50-ms")
		report(b, durable, 99, "p99-ms")
		report(b, inMemory, 50, "no-fsync-p50-ms")
		report(b, inMemory, 99, "no-fsync-p99-ms")
		report(b, bareSync, 50, "bare-fsync-p50-ms")
		report(b, bareSync, 99, "bare-fsync-p99-ms")
	})
}

// silent is an applier that does nothing.
type silent struct{ commit.Recorder }

func took(b *testing.B, f func() error) time.Duration {
	start := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// report reports a percentile in milliseconds.
func report(b *testing.B, all []time.Duration, percent int, unit string) {
	all = slices.Clone(all)
	slices.Sort(all)
	b.ReportMetric(all[(len(all)-1)*percent/100].Seconds()*1e3, unit)
}

// BenchmarkPrintXML is the whole configuration as XML, into a buffer that is there already.
func BenchmarkPrintXML(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		t := mustLoad(b, n)
		dst := config.AppendXML(nil, t.Root(), config.XMLOptions{Namespaces: true})
		b.SetBytes(int64(len(dst)))
		for b.Loop() {
			dst = config.AppendXML(dst[:0], t.Root(), config.XMLOptions{Namespaces: true})
		}
	})
}

// sessionRounds is how many edits over a session make a round.
const sessionRounds = 200

// BenchmarkSession opens a candidate over a session on the control socket, edits and discards: a shared one and a private one.
func BenchmarkSession(b *testing.B) {
	for _, kind := range []string{"shared", "private"} {
		b.Run(kind, func(b *testing.B) {
			sizes(b, func(b *testing.B, n int) {
				node := openEmpty(b)
				defer shut(b, node)
				commitTree(b, node, mustLoad(b, n))
				commands, output, hangUp := session(b, node)
				defer hangUp()
				enter := "configure"
				if kind == "private" {
					enter = "configure private"
				}
				var all []time.Duration
				for b.Loop() {
					for i := range sessionRounds {
						text := fmt.Sprintf("%s; set security group-vpn server ike gateway %s address 172.16.%d.%d; rollback 0; exit\n",
							enter, examples.GatewayName(i*7%n), i>>8, i&255)
						all = append(all, took(b, func() error {
							if _, err := io.WriteString(commands, text); err != nil {
								return err
							}
							return untilLine(output, "Exiting configuration mode")
						}))
					}
				}
				b.ReportMetric(0, "ns/op") // a round means nothing
				report(b, all, 50, "p50-ms")
				report(b, all, 99, "p99-ms")
			})
		})
	}
}

// session opens a shell without a terminal on the node's control socket.
func session(b *testing.B, n *Node) (commands io.Writer, output *bufio.Reader, hangUp func()) {
	b.Helper()
	client, err := auth.Dial(b.Context(), filepath.Join(n.dir, ControlSocket), nil)
	if err != nil {
		b.Fatal(err)
	}
	s, err := client.NewSession()
	if err != nil {
		b.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Shell(); err != nil {
		b.Fatal(err)
	}
	return in, bufio.NewReader(out), func() { _ = client.Close() }
}

// untilLine reads up to a line.
func untilLine(r *bufio.Reader, want string) error {
	var seen bytes.Buffer
	for {
		line, err := r.ReadString('\n')
		seen.WriteString(line)
		switch {
		case err != nil:
			return fmt.Errorf("no line %q in %q: %w", want, seen.String(), err)
		case line == want+"\n":
			return nil
		}
	}
}
