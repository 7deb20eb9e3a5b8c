package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Limits of this implementation. None is from a specification.
const (
	defaultHandshakeTimeout = 10 * time.Second // from accept to authenticated
	defaultMaxConns         = 64
	maxPending              = 32 // connections that have not logged in
	defaultMaxSessions      = 10 // per connection; OpenSSH's MaxSessions
	maxAuthTries            = 6  // OpenSSH's MaxAuthTries
)

// ErrClosed is returned by Serve on a Server that is closed.
var ErrClosed = errors.New("auth: server closed")

// Handler runs one session and returns its exit status. The channel is closed after it returns. ctx ends with the
// connection and with the server's Close; so do the session's reads.
type Handler func(ctx context.Context, s *Session) int

// Server is an SSH server for one door of a node. Fill the fields, then call Serve; they are not changed after that.
type Server struct {
	HostKey ssh.Signer

	// Exactly one of Peer and Keys says who a caller is. Peer asks the connection (LocalPeer); an error's text is shown to
	// the caller. Keys is asked at every login, so that a commit that removes a key has effect at once.
	Peer func(net.Conn) (Identity, error)
	Keys func() *Keys

	Shell      Handler            // sessions "shell" and "exec"; nil: both are refused
	Subsystems map[string]Handler // by name, such as "netconf"

	HandshakeTimeout time.Duration // 0: 10 s
	MaxConns         int           // connections at once that have logged in, further ones are closed; 0: 64
	MaxSessions      int           // sessions at once in one connection; 0: 10

	// Log takes one line for an operator about a refused connection; nil: nothing is logged.
	Log func(text string)

	mu     sync.Mutex
	closed bool
	open   map[interface{ Close() error }]struct{} // listeners and connections; guarded by mu
	conns  int                                     // that have logged in; guarded by mu
	// pending are the connections that have not logged in, the oldest first; guarded by mu. When there are too many the oldest is
	// closed: who only holds connections open keeps nobody out.
	pending []net.Conn
	wg      sync.WaitGroup // every goroutine of the server
	ctx     context.Context
	cancel  context.CancelFunc
}

// Serve accepts connections on ln until Close, then returns nil; any other error of Accept ends it too. The listener is
// closed when Serve returns. It may be called for several listeners at once.
func (s *Server) Serve(ln net.Listener) error {
	if (s.Peer == nil) == (s.Keys == nil) {
		return errors.New("auth: server: want one of Peer and Keys")
	}
	if !s.hold(ln) {
		_ = ln.Close()
		return ErrClosed
	}
	defer s.release(ln)
	for {
		c, err := ln.Accept()
		if err != nil {
			if s.isClosed() {
				return nil
			}
			return fmt.Errorf("auth: accept: %w", err)
		}
		if !s.admit(c) {
			_ = c.Close()
			continue
		}
		go func() {
			defer s.wg.Done()
			s.connection(c)
			s.release(c)
		}()
	}
}

// Close closes all listeners and connections and returns when every goroutine of the server, handlers included, has ended.
func (s *Server) Close() error {
	s.mu.Lock()
	s.start()
	s.closed = true
	s.cancel()
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// start makes what the zero Server lacks. Called with mu held.
func (s *Server) start() {
	if s.open == nil {
		s.open = make(map[interface{ Close() error }]struct{})
		s.ctx, s.cancel = context.WithCancel(context.Background())
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Server) hold(c interface{ Close() error }) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start()
	if s.closed {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *Server) release(c interface{ Close() error }) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	_ = c.Close()
}

// admit counts a connection in, and its goroutine, unless the server is closed.
func (s *Server) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if len(s.pending) == maxPending {
		s.log("connection from %s closed: it has not logged in, and %d others wait", s.pending[0].RemoteAddr(), maxPending)
		_ = s.pending[0].Close()
		s.pending = slices.Delete(s.pending, 0, 1)
	}
	s.pending = append(s.pending, c)
	s.open[c] = struct{}{}
	s.wg.Add(1)
	return true
}

// settle takes a connection from those that have not logged in. If it has, it is counted, unless there are too many.
func (s *Server) settle(c net.Conn, loggedIn bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = slices.DeleteFunc(s.pending, func(p net.Conn) bool { return p == c })
	if !loggedIn {
		return false
	}
	if s.conns >= orDefault(s.MaxConns, defaultMaxConns) {
		return false // several logged in at once for the last place
	}
	s.conns++
	return true
}

// room is an error if as many as may have logged in.
func (s *Server) room(c net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns < orDefault(s.MaxConns, defaultMaxConns) {
		return nil
	}
	s.log("connection from %s refused: %d connections are open", c.RemoteAddr(), s.conns)
	return &ssh.BannerError{Err: errors.New("auth: too many connections"), Message: fmt.Sprintf("too many connections: %d are open\n", s.conns)}
}

func (s *Server) leave() {
	s.mu.Lock()
	s.conns--
	s.mu.Unlock()
}

func (s *Server) log(format string, args ...any) {
	if s.Log != nil {
		s.Log(fmt.Sprintf(format, args...))
	}
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// connection does the handshake within its deadline and then serves the connection's channels until it ends.
func (s *Server) connection(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(orDefault(s.HandshakeTimeout, defaultHandshakeTimeout)))
	conn, channels, requests, err := ssh.NewServerConn(c, s.config(c))
	counted := s.settle(c, err == nil)
	if err != nil {
		s.log("connection from %s: %q", c.RemoteAddr(), err.Error())
		return
	}
	defer conn.Close()
	if !counted {
		return
	}
	defer s.leave()
	_ = c.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	identity := identityOf(conn.Permissions)

	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer conn.Close() // before the wait: a handler's reads end with the connection
	defer cancel()
	sessions.Go(func() { ssh.DiscardRequests(requests) })

	slots := make(chan struct{}, orDefault(s.MaxSessions, defaultMaxSessions))
	for nc := range channels {
		if nc.ChannelType() != "session" {
			_ = nc.Reject(ssh.UnknownChannelType, "only sessions are served")
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			_ = nc.Reject(ssh.ResourceShortage, "too many sessions in one connection")
			continue
		}
		channel, requests, err := nc.Accept()
		if err != nil {
			<-slots
			continue
		}
		sessions.Go(func() {
			defer func() { <-slots }()
			s.session(ctx, conn, identity, channel, requests)
		})
	}
}

// config is the SSH configuration for one connection; the authentication callbacks are bound to it.
func (s *Server) config(c net.Conn) *ssh.ServerConfig {
	config := &ssh.ServerConfig{MaxAuthTries: maxAuthTries, ServerVersion: "SSH-2.0-gvpn"}
	config.AddHostKey(s.HostKey)
	if s.Peer != nil {
		config.NoClientAuth = true
		config.NoClientAuthCallback = func(ssh.ConnMetadata) (*ssh.Permissions, error) {
			id, err := s.Peer(c)
			if err != nil {
				return nil, &ssh.BannerError{Err: err, Message: err.Error() + "\n"}
			}
			return permissions(id), s.room(c)
		}
		return config
	}
	config.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		id, err := s.Keys().Check(meta.User(), key)
		if err != nil {
			return nil, err
		}
		id.Remote = c.RemoteAddr().String()
		return permissions(id), s.room(c)
	}
	return config
}

// permissions carries an identity through the handshake. It must travel this way and not in a variable of the callback:
// a client may ask about several keys, and only the Permissions of the one that it proved to have come out at the end.
func permissions(id Identity) *ssh.Permissions {
	return &ssh.Permissions{Extensions: map[string]string{"user": id.User, "class": string(id.Class), "remote": id.Remote}}
}

func identityOf(p *ssh.Permissions) Identity {
	if p == nil {
		return Identity{Class: Unauthorized}
	}
	return Identity{User: p.Extensions["user"], Class: Class(p.Extensions["class"]), Remote: p.Extensions["remote"]}
}
