package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"gvpn/cli"
	"gvpn/config"
	"gvpn/gnmi"
	"gvpn/internal/auth"
	"gvpn/netconf"
)

// services are the node's management doors: the control socket, always; SSH, NETCONF and gNMI, only while the running
// configuration asks for them.
type services struct {
	node    *Node
	hostKey ssh.Signer
	netconf *netconf.Server // one for the life of the node: its locks span listeners
	wg      sync.WaitGroup

	mu      sync.Mutex
	running config.Tree            // the effective one, that the rest is of
	keys    *auth.Keys             // nil before the first configure
	cert    *tls.Certificate       // nil if it cannot be used
	certErr error                  // why cert is nil
	socket  *auth.Server           // the control socket
	doors   map[string]*door       // open, by name
	retry   map[string]*time.Timer // could not be opened, by name
	closed  bool
}

// door is one listener with its server.
type door struct {
	address  string
	listener net.Listener
	close    func() error // of its server, with every session
}

func newServices(n *Node) *services {
	return &services{node: n, netconf: netconf.New(n), doors: map[string]*door{}, retry: map[string]*time.Timer{}}
}

// control opens the control socket, with the host key of the state directory.
func (s *services) control() (err error) {
	if s.hostKey, err = auth.HostKey(s.node.dir); err != nil {
		return err
	}
	ln, err := auth.Listen(filepath.Join(s.node.dir, ControlSocket))
	if err != nil {
		return err
	}
	s.socket = &auth.Server{
		HostKey:    s.hostKey,
		Peer:       auth.LocalPeer(),
		Shell:      cli.Handler(s.node),
		Subsystems: map[string]auth.Handler{"netconf": s.netconf.Handler()},
		Log:        func(text string) { s.node.log.Warn("control socket", "error", text) },
	}
	s.wg.Go(func() {
		if err := s.socket.Serve(ln); err != nil {
			s.node.log.Error("the control socket has failed", "error", err.Error())
		}
	})
	return nil
}

// configure makes the open doors those of the running configuration, the effective one. A door that cannot be opened is logged and tried again
// after rebindEvery: a commit must not fail for it. Keys and the certificate are read again if the commit may have touched them.
func (s *services) configure(running config.Tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	first, before := s.keys == nil, s.running
	s.running = running
	same := func(names ...string) bool {
		if first {
			return false
		}
		a, b := before.Root(), running.Root()
		for _, name := range names {
			a, b = a.Child(name), b.Child(name)
		}
		return config.Same(a, b)
	}
	if !same("system", "login") {
		s.keys = auth.NewKeys(running)
	}
	offered := running.Root().Child("system").Child("services")

	var address string
	if ssh := offered.Child("ssh"); ssh.Exists() {
		address = net.JoinHostPort(ssh.Get("listen-address"), ssh.Get("port"))
	}
	s.set("ssh", address, s.openSSH)

	address = ""
	if ssh := offered.Child("netconf").Child("ssh"); ssh.Exists() {
		address = net.JoinHostPort(ssh.Get("listen-address"), ssh.Get("port"))
	}
	s.set("netconf", address, s.openNETCONF)

	address = ""
	if ssl := offered.Child("extension-service").Child("request-response").Child("grpc").Child("ssl"); ssl.Exists() {
		address = net.JoinHostPort(ssl.Get("listen-address"), ssl.Get("port"))
		if same("system", "services", "extension-service") && same("security", "certificates") {
			// as it was
		} else if s.cert, s.certErr = gnmi.Certificate(running); s.certErr != nil {
			s.node.log.Error("no certificate for gNMI: every connection will be refused", "error", s.certErr.Error())
		}
	}
	s.set("gnmi", address, s.openGNMI)
}

// set opens, moves or closes one door; address "" stands for closed.
func (s *services) set(name, address string, open func(net.Listener) func() error) {
	if t := s.retry[name]; t != nil {
		t.Stop()
		delete(s.retry, name)
	}
	if d := s.doors[name]; d != nil {
		if d.address == address {
			return
		}
		delete(s.doors, name)
		_ = d.listener.Close() // now: the new door may be on the same port
		// Its sessions may be waiting for the mutex that this commit holds: closed beside it.
		s.wg.Go(func() { _ = d.close() })
	}
	if address == "" {
		return
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		s.node.log.Error("cannot listen; will try again", "service", name, "error", err.Error(), "every", rebindEvery)
		s.retry[name] = time.AfterFunc(rebindEvery, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !s.closed && s.doors[name] == nil {
				s.set(name, address, open)
			}
		})
		return
	}
	s.node.log.Info("listening", "service", name, "address", ln.Addr().String())
	s.doors[name] = &door{address: address, listener: ln, close: open(ln)}
}

func (s *services) openSSH(ln net.Listener) func() error {
	server := &auth.Server{
		HostKey:    s.hostKey,
		Keys:       s.currentKeys,
		Shell:      cli.Handler(s.node),
		Subsystems: map[string]auth.Handler{"netconf": s.netconf.Handler()},
		Log:        func(text string) { s.node.log.Warn("ssh", "error", text) },
	}
	s.serve("ssh", func() error { return server.Serve(ln) })
	return server.Close
}

func (s *services) openNETCONF(ln net.Listener) func() error {
	server := &auth.Server{
		HostKey:    s.hostKey,
		Keys:       s.currentKeys,
		Subsystems: map[string]auth.Handler{"netconf": s.netconf.Handler()},
		Log:        func(text string) { s.node.log.Warn("netconf", "error", text) },
	}
	s.serve("netconf", func() error { return server.Serve(ln) })
	return server.Close
}

func (s *services) openGNMI(ln net.Listener) func() error {
	server := gnmi.New(gnmi.Options{Backend: s.node, Keys: s.currentKeys, Certificate: s.certificate})
	s.serve("gnmi", func() error { return server.Serve(ln) })
	return server.Close
}

func (s *services) serve(name string, f func() error) {
	s.wg.Go(func() {
		if err := f(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.node.log.Error("a service has failed", "service", name, "error", err.Error())
		}
	})
}

func (s *services) currentKeys() *auth.Keys {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

func (s *services) certificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cert == nil {
		return nil, fmt.Errorf("node: gNMI has no certificate: %w", s.certErr)
	}
	return s.cert, nil
}

// close closes every door and waits for its sessions.
func (s *services) close() error {
	s.mu.Lock()
	s.closed = true
	var closers []func() error
	if s.socket != nil {
		closers = append(closers, s.socket.Close)
	}
	for name, d := range s.doors {
		closers = append(closers, d.close)
		delete(s.doors, name)
	}
	for name, t := range s.retry {
		t.Stop()
		delete(s.retry, name)
	}
	s.mu.Unlock()
	var errs []error
	for _, f := range closers {
		errs = append(errs, f())
	}
	s.wg.Wait()
	return errors.Join(errs...)
}
