package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"

	"gvpn/cli"
	"gvpn/examples"
	"gvpn/internal/auth"
	"gvpn/internal/node"
)

// The lab's nodes in the order in which they are shown and started: the root-server first, as an operator would (V10).
var labNodes = []string{"root", "sub1", "sub2", "sub3", "sub4", "gm1", "gm2", "gm3", "gm4"}

// labLANs are the networks behind the members.
var labLANs = map[string]netip.Prefix{
	"gm1": netip.MustParsePrefix("172.16.101.0/24"),
	"gm2": netip.MustParsePrefix("172.16.102.0/24"),
	"gm3": netip.MustParsePrefix("172.16.103.0/24"),
	"gm4": netip.MustParsePrefix("172.16.104.0/24"),
}

// gdoiPort is where GDOI belongs (RFC 6407 section 2.2); labPort stands in where a user may not bind it.
const (
	gdoiPort = 848
	labPort  = 10848
)

// lab is the example topology in one process.
type lab struct {
	dir   string
	port  uint16
	nodes map[string]*node.Node
	wan   wan
}

// runLab runs the lab until its shell is left or its script is done, and returns the exit status.
func runLab(ctx context.Context, stdin *os.File, stdout io.Writer) error {
	dir, err := os.MkdirTemp("", "gvpn-lab-")
	if err != nil {
		return fmt.Errorf("make a directory for the lab's state: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l := &lab{dir: dir, nodes: map[string]*node.Node{}, wan: wan{members: map[string]*site{}}}
	if l.port, err = freePort(); err != nil {
		return err
	}
	defer l.close()
	for _, name := range labNodes {
		if name == "sub1" || name == "gm1" {
			// Whoever asks a server that has no keys yet asks again some seconds later, or goes on to another server: so
			// the root first, then the sub-servers, then the members.
			if err := until(ctx, l.serversReady); err != nil {
				return fmt.Errorf("start the servers: %w", err)
			}
		}
		if err := l.start(name); err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
	}
	out, onTerminal := stdout.(*os.File)
	if onTerminal && term.IsTerminal(int(stdin.Fd())) && term.IsTerminal(int(out.Fd())) {
		fmt.Fprintf(stdout, "nine nodes on UDP port %d, state in %s; `request lab node NAME` moves between: %s\n",
			l.port, dir, strings.Join(labNodes, " "))
		root, _ := l.Node("root")
		cli.OnTerminal(ctx, root, operator, stdin, out)
		return nil
	}
	return (&script{lab: l, out: stdout}).run(ctx)
}

// operator is who the lab's shell and script act as.
var operator = auth.Identity{User: "lab", Class: auth.SuperUser}

// labAddresses are the nodes' local-addresses, in the order of labNodes.
var labAddresses = []string{
	"127.1.0.1", "127.2.0.1", "127.2.0.2", "127.2.0.3", "127.2.0.4", "127.3.0.1", "127.3.0.2", "127.3.0.3", "127.3.0.4",
}

// freePort returns the first of gdoiPort and labPort that this process may listen on at every address of the lab.
func freePort() (port uint16, err error) {
	var refused []error
next:
	for _, port := range []uint16{gdoiPort, labPort} {
		for _, address := range labAddresses {
			conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), port)))
			if err != nil {
				refused = append(refused, err)
				continue next
			}
			_ = conn.Close()
		}
		return port, nil
	}
	return 0, fmt.Errorf("the lab needs UDP port %d or %d on its loopback addresses (is another lab running?): %w", gdoiPort, labPort, errors.Join(refused...))
}

// start runs one node with its own state directory and its example configuration.
func (l *lab) start(name string) error {
	text, err := examples.Cluster.ReadFile("cluster/" + name + ".conf")
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(l.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := node.Open(node.Options{
		Dir:    filepath.Join(l.dir, name),
		File:   name + ".conf",
		Config: text,
		Port:   l.port,
		Lab:    l,
		Log:    slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		return errors.Join(err, log.Close())
	}
	l.nodes[name] = n
	if lan, ok := labLANs[name]; ok {
		l.wan.members[name] = &site{node: n, lan: lan}
	}
	return nil
}

// serversReady says which server does not answer pulls yet, if one does not.
func (l *lab) serversReady() error {
	for name, n := range l.nodes {
		for _, g := range n.Engine().Server.Groups {
			if !g.Ready {
				return fmt.Errorf("%s has no keys of %s yet", name, g.Name)
			}
		}
	}
	return nil
}

// stop ends one node, as if its machine had been switched off: nobody is told.
func (l *lab) stop(name string) error {
	n := l.nodes[name]
	delete(l.nodes, name)
	return n.Close()
}

func (l *lab) close() {
	for _, n := range l.nodes {
		_ = n.Close()
	}
}

// Nodes implements cli.Lab.
func (l *lab) Nodes() []string {
	return slices.DeleteFunc(slices.Clone(labNodes), func(name string) bool { return l.nodes[name] == nil })
}

// Node implements cli.Lab.
func (l *lab) Node(name string) (cli.Backend, bool) {
	n, ok := l.nodes[name]
	if !ok {
		return nil, false
	}
	return n, true
}
