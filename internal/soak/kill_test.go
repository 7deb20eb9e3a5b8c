package soak

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gvpn/config"
	"gvpn/internal/auth"
)

var (
	kills   = flag.Int("kills", 0, "how often gvpnd is killed; 0 skips the test")
	entries = flag.Int("entries", 1000, "gateways in the configuration")
	seed    = flag.Uint64("seed", 0, "seed of the random points; 0: a new one")
)

// patience is how long a start, an answer or an end may take.
const patience = 30 * time.Second

// TestKill commits without a pause over one session after another. Commit i writes i at three places: the host name and the
// addresses of two gateways, so that a mix of two commits shows.
func TestKill(t *testing.T) {
	if *kills == 0 {
		t.Skip("-kills does not say how often; make soak does")
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	w := &world{t: t, dir: t.TempDir(), binary: build(t, "gvpnd")}
	w.start()
	w.execute(base(*entries))
	w.model = make([]int, *entries)

	recorded, lost := 0, 0 // of the commits under way when gvpnd was killed
	for kill := range *kills {
		// One kill in eight hits a start.
		if kill%8 == 7 {
			w.kill()
			w.launch()
			time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
			w.kill()
			w.start()
		}
		timer := time.AfterFunc(time.Duration(random.IntN(300_000))*time.Microsecond, w.end)
		acknowledged, tried := w.commit()
		timer.Stop()
		w.kill()
		w.start()
		switch n := w.verify(acknowledged, tried); {
		case n > acknowledged:
			recorded++
		case tried > acknowledged:
			lost++
		}
		if t.Failed() {
			t.Fatalf("after kill %d", kill+1)
		}
	}
	t.Logf("%d kills; %d commits acknowledged, none lost; of those under way at a kill %d were recorded and %d were not", *kills, w.last, recorded, lost)
	w.kill()
}

// build builds a command of package cmd.
func build(t testing.TB, name string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", binary, "gvpn/cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// base is the configuration before the first commit of the client.
func base(entries int) string {
	var b strings.Builder
	b.WriteString(`configure
set system host-name h0
set security group-vpn server ike proposal P authentication-method pre-shared-keys
set security group-vpn server ike proposal P authentication-algorithm sha-256
set security group-vpn server ike proposal P dh-group group14
set security group-vpn server ike proposal P encryption-algorithm aes-256-cbc
set security group-vpn server ike policy K proposals P
set security group-vpn server ike policy K pre-shared-key ascii-text "a key that is long enough"
`)
	for i := range entries {
		fmt.Fprintf(&b, "set security group-vpn server ike gateway G%d ike-policy K\nset security group-vpn server ike gateway G%d address %s\n"+
			"set security group-vpn server ike gateway G%d local-address 127.0.0.1\n", i, i, address(i, 0), i)
	}
	b.WriteString("commit\n")
	return b.String()
}

// address is what commit i writes at a gateway: no two gateways ever have the same.
func address(gateway, i int) string {
	return fmt.Sprintf("10.%d.%d.%d", i%250, gateway/250, gateway%250+1)
}

// world is one state directory, and the daemon that has it.
type world struct {
	t      testing.TB
	dir    string
	binary string
	log    bytes.Buffer // of the daemon's life
	daemon *exec.Cmd

	last  int   // number of the last commit that is there
	model []int // the last commit of each gateway
}

func (w *world) socket() string { return filepath.Join(w.dir, "gvpnd.sock") }

// launch starts the daemon and does not wait for it.
func (w *world) launch() {
	w.t.Helper()
	w.log.Reset()
	w.daemon = exec.Command(w.binary, "-d", w.dir)
	w.daemon.Stderr = &w.log
	if err := w.daemon.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.kill)
}

// start starts the daemon and waits until it can be managed.
func (w *world) start() {
	w.t.Helper()
	w.launch()
	deadline := time.Now().Add(patience)
	for {
		c, err := auth.Dial(context.Background(), w.socket(), nil)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			w.kill()
			w.t.Fatalf("no daemon after %v: %v\n%s", patience, err, w.log.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// end is kill -9, from any goroutine.
func (w *world) end() { _ = w.daemon.Process.Kill() }

// kill is kill -9, and waits until the daemon is gone.
func (w *world) kill() {
	w.end()
	_ = w.daemon.Wait() // it reports the kill
}

// execute runs commands in a session of their own and returns what it wrote.
func (w *world) execute(commands string) string {
	w.t.Helper()
	c, err := auth.Dial(context.Background(), w.socket(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	session, err := c.NewSession()
	if err != nil {
		w.t.Fatal(err)
	}
	var out, wrong bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(commands), &out, &wrong
	if err := session.Shell(); err != nil {
		w.t.Fatal(err)
	}
	if err := session.Wait(); err != nil {
		w.t.Fatalf("%v\n%s\n%s\n%s", err, out.String(), wrong.String(), w.log.String())
	}
	return out.String()
}

// commit commits until the daemon is gone. It returns the last commit that was acknowledged and the last that was begun.
func (w *world) commit() (acknowledged, tried int) {
	w.t.Helper()
	acknowledged, tried = w.last, w.last
	c, err := auth.Dial(context.Background(), w.socket(), nil)
	if err != nil {
		return acknowledged, tried // killed already
	}
	defer c.Close()
	stuck := time.AfterFunc(patience, func() { _ = c.Close() })
	defer stuck.Stop()
	session, err := c.NewSession()
	if err != nil {
		return acknowledged, tried
	}
	in, err := session.StdinPipe()
	if err != nil {
		return acknowledged, tried
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return acknowledged, tried
	}
	var wrong bytes.Buffer
	session.Stderr = &wrong
	if err := session.Shell(); err != nil {
		return acknowledged, tried
	}
	if _, err := io.WriteString(in, "configure\n"); err != nil {
		return acknowledged, tried
	}
	lines := bufio.NewScanner(out)
	for {
		i := tried + 1
		a, b := gateways(i, len(w.model))
		if _, err := fmt.Fprintf(in, "set system host-name h%d\nset security group-vpn server ike gateway G%d address %s\n"+
			"set security group-vpn server ike gateway G%d address %s\n", i, a, address(a, i), b, address(b, i)); err != nil {
			return acknowledged, tried
		}
		tried = i
		if _, err := io.WriteString(in, "commit\n"); err != nil {
			return acknowledged, tried
		}
		for {
			if !lines.Scan() {
				if wrong.Len() > 0 {
					w.t.Errorf("the session ended with %q", wrong.String())
				}
				return acknowledged, tried
			}
			if lines.Text() == "commit complete" {
				acknowledged = i
				break
			}
		}
	}
}

// gateways are the two that commit i writes to.
func gateways(i, entries int) (a, b int) { return i * 7 % entries, (i*7 + entries/2) % entries }

// verify compares what runs with what must run: commit number acknowledged, or, whole, the one that was under way. It returns which
// it is.
func (w *world) verify(acknowledged, tried int) int {
	w.t.Helper()
	text := w.execute("show configuration | display set\n")
	running, errs := config.Tree{}.LoadSet(nil, "running", []byte(text))
	if err := errs.Err(); err != nil {
		w.t.Fatalf("what runs cannot be read: %v", err)
	}
	root := running.Root()
	n := -1
	if _, err := fmt.Sscanf(root.Child("system").Get("host-name"), "h%d", &n); err != nil {
		w.t.Fatalf("host-name %q: %v\n%.2000s\n%s", root.Child("system").Get("host-name"), err, text, w.log.String())
	}
	if n < acknowledged || n > tried {
		w.t.Errorf("commit %d runs; %d was acknowledged, %d was under way", n, acknowledged, tried)
	}
	for i := w.last + 1; i <= n; i++ {
		a, b := gateways(i, len(w.model))
		w.model[a], w.model[b] = i, i
	}
	w.last = n
	ike := root.Child("security").Child("group-vpn").Child("server").Child("ike")
	if got := ike.Len("gateway"); got != len(w.model) {
		w.t.Errorf("%d gateways, want %d", got, len(w.model))
	}
	for g, i := range w.model {
		if got, want := ike.Entry("gateway", fmt.Sprint("G", g)).Get("address"), address(g, i); got != want {
			w.t.Errorf("gateway G%d: address %s, want %s of commit %d", g, got, want, i)
		}
	}
	return n
}

// The model of the configuration is right for what base and commit write, and no two gateways share an address.
func TestModel(t *testing.T) {
	seen := map[string]bool{}
	for g := range 1000 {
		for _, i := range []int{0, 1, 249} {
			a := address(g, i)
			if seen[a] {
				t.Fatalf("address %s is not unique", a)
			}
			seen[a] = true
		}
	}
	for i := 1; i < 3000; i++ {
		if a, b := gateways(i, 1000); a == b || a < 0 || b < 0 || a >= 1000 || b >= 1000 {
			t.Errorf("commit %d writes to gateways %d and %d", i, a, b)
		}
	}
}
