package netconf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"gvpn/commit"
	"gvpn/internal/auth"
	"gvpn/oper"
)

// Limits of this implementation. None is from a specification.
const (
	maxMessage = 64 << 20 // octets of one message
	maxQuery   = 1 << 20  // octets of one message of a user who may not configure
	maxHello   = 64 << 10 // octets of a client's hello
	helloTime  = 30 * time.Second
)

// capabilities are what the server says in its hello, each of which really works.
var capabilities = []string{
	base10,
	base11,
	"urn:ietf:params:netconf:capability:candidate:1.0",
	"urn:ietf:params:netconf:capability:confirmed-commit:1.1",
	"urn:ietf:params:netconf:capability:rollback-on-error:1.0",
	"urn:ietf:params:netconf:capability:validate:1.1",
}

const (
	base10 = "urn:ietf:params:netconf:base:1.0"
	base11 = "urn:ietf:params:netconf:base:1.1"
)

// Backend is one node as this package needs it; a cli.Backend is one too.
type Backend interface {
	oper.Engines
	// Manage calls f while holding the node's management mutex: only within f may db be used. It returns f's error, or
	// its own if the node is closing.
	Manage(f func(db *commit.DB) error) error
}

// Server holds the NETCONF sessions of a node. It is made by New, and its methods may be called from any goroutine.
type Server struct {
	backend Backend

	mu       sync.Mutex
	last     uint32              // the last session-id given out
	sessions map[uint32]*session // guarded by mu
	locks    map[string]uint32   // datastore to the session that holds its lock; guarded by mu

	confirmation confirmation // guarded by mu
}

// New returns a Server without sessions.
func New(b Backend) *Server {
	return &Server{backend: b, sessions: map[uint32]*session{}, locks: map[string]uint32{}}
}

// Handler is the SSH subsystem "netconf".
func (s *Server) Handler() auth.Handler {
	return func(ctx context.Context, channel *auth.Session) int {
		if err := s.Serve(ctx, channel, channel.Identity); err != nil {
			_, _ = fmt.Fprintf(channel.Stderr, "%v\n", err)
			return 1
		}
		return 0
	}
}

// Serve runs one session on a stream for a caller who has been authenticated, and returns when it ends: nil after
// close-session, kill-session or a stream that ended between messages. Whatever way it ends, its locks are freed, and what only it could confirm is taken back. If ctx
// ends, so should the stream; rw is closed to end a session from outside if it is an io.Closer, or its io.Reader is one.
func (s *Server) Serve(ctx context.Context, rw io.ReadWriter, id auth.Identity) error {
	x := &session{server: s, identity: id, framer: newFramer(rw), end: closer(rw)}
	s.enter(x)
	defer s.leave(x)
	stop := context.AfterFunc(ctx, x.end)
	defer stop()
	impatient := time.AfterFunc(helloTime, x.end)
	err := x.hello()
	if !impatient.Stop() && err != nil {
		return fmt.Errorf("netconf: session %d: no hello within %v", x.id, helloTime)
	}
	for err == nil {
		err = x.turn()
	}
	if errors.Is(err, errEnd) || errors.Is(err, io.EOF) || x.isKilled() {
		return nil
	}
	return fmt.Errorf("netconf: session %d of %s: %w", x.id, id.User, err)
}

// closer returns what ends a stream from outside.
func closer(rw io.ReadWriter) func() {
	if c, ok := rw.(io.Closer); ok {
		return func() { _ = c.Close() }
	}
	if channel, ok := rw.(*auth.Session); ok {
		if c, ok := channel.Reader.(io.Closer); ok {
			return func() { _ = c.Close() }
		}
	}
	return func() {}
}

// enter gives a session its id: 1 and up, never used again while the server lives, and never 0.
func (s *Server) enter(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	if s.last == 0 {
		s.last = 1
	}
	x.id = s.last
	s.sessions[x.id] = x
}

// leave forgets a session.
func (s *Server) leave(x *session) {
	s.mu.Lock()
	delete(s.sessions, x.id)
	s.mu.Unlock()
	x.giveUp()
}

// giveUp frees what a session held; it may be called more than once, and from another's goroutine.
func (x *session) giveUp() {
	x.expire()
	x.freeLocks()
}
