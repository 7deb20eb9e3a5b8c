//go:build interop

package interop

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// namespace is one network namespace, with one end of a veth pair in it.
type namespace struct{ name, address string }

// connected makes two namespaces with a wire between them, 192.0.2.1 and 192.0.2.2 (RFC 5737); they go with the test.
func connected(t *testing.T) (a, b namespace) {
	t.Helper()
	ip := need(t, "ip", "iproute2")
	if os.Geteuid() != 0 {
		absent(t, "network namespaces need root")
	}
	a = namespace{fmt.Sprintf("gvpn-a-%d", os.Getpid()), "192.0.2.1"}
	b = namespace{fmt.Sprintf("gvpn-b-%d", os.Getpid()), "192.0.2.2"}
	for _, ns := range []namespace{a, b} {
		if out, err := exec.Command(ip, "netns", "add", ns.name).CombinedOutput(); err != nil {
			absent(t, fmt.Sprintf("no network namespace can be made here: %v: %s", err, out))
		}
		t.Cleanup(func() { _ = exec.Command(ip, "netns", "del", ns.name).Run() })
	}
	must(t, ip, "link", "add", "veth0", "netns", a.name, "type", "veth", "peer", "name", "veth0", "netns", b.name)
	for _, ns := range []namespace{a, b} {
		must(t, ip, "-n", ns.name, "link", "set", "lo", "up")
		must(t, ip, "-n", ns.name, "address", "add", ns.address+"/24", "dev", "veth0")
		must(t, ip, "-n", ns.name, "link", "set", "veth0", "up")
	}
	return a, b
}

// must runs a command and returns its output; it fails the test if the command fails.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// process is a program that runs beside the test.
type process struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	log bytes.Buffer // what it printed; guarded by mu
}

// Write keeps what the program prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// output is what the program has printed so far.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start runs a program beside the test, which ends it, politely first.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{}
	p.cmd = exec.Command(name, args...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = p.cmd.Process.Kill()
			<-done
			t.Errorf("%s did not end within 5 s of SIGTERM", name)
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.output())
		}
	})
	return p
}

// in makes a command run in the namespace. `ip netns exec` replaces itself by it, so the process is the command's own.
func (ns namespace) in(t *testing.T, command ...string) []string {
	t.Helper()
	if ns.name == "" {
		return command
	}
	return append([]string{need(t, "ip", "iproute2"), "netns", "exec", ns.name}, command...)
}

// eventually calls see until it reports true, for at most the given time. what says what is waited for.
func eventually(t *testing.T, within time.Duration, what string, see func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for !see() {
		select {
		case <-ctx.Done():
			t.Fatalf("after %v: still not %s", within, what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
