package gnmi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"gvpn/commit"
	"gvpn/config"
	"gvpn/internal/auth"
)

// Limits of this implementation. None is from a specification.
const (
	maxConnections = 64
	maxStreams     = 16       // calls at once on one connection
	maxRequest     = 64 << 20 // octets of one request
	maxHeader      = 16 << 10
	handshakeTime  = 10 * time.Second // from accept to the end of the TLS and HTTP/2 handshakes
	maxIdle        = time.Hour
	minPing        = 10 * time.Second // a client that pings more often is cut off
	graceTime      = 2 * time.Second  // for calls under way, at Close
)

// Backend is one node's configuration database as this package needs it; a cli.Backend is one too.
type Backend interface {
	// Manage calls f while holding the node's management mutex: only within f may db be used. It returns f's error, or
	// its own if the node is closing.
	Manage(f func(db *commit.DB) error) error
}

// Options are what a Server is made of. All fields but Now are needed.
type Options struct {
	Backend     Backend
	Keys        func() *auth.Keys                // called per connection and per call, so that a commit takes effect
	Certificate func() (*tls.Certificate, error) // called per connection; see [Certificate]
	Now         func() time.Time                 // nil: time.Now
}

// Server is a gNMI server. It is made by New, and its methods may be called from any goroutine.
type Server struct {
	pb.UnimplementedGNMIServer

	backend Backend
	keys    func() *auth.Keys
	now     func() time.Time
	grpc    *grpc.Server
}

// New returns a Server that does not listen yet.
func New(o Options) *Server {
	s := &Server{backend: o.Backend, keys: o.Keys, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	tlsConfig := &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return o.Certificate()
		},
		// No authority vouches for client certificates: VerifyConnection asks `system login`. Every connection proves its
		// key anew, so tickets are off.
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := s.identity(state)
			return err
		},
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(tlsConfig)),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: maxIdle}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.authenticate),
	)
	pb.RegisterGNMIServer(s.grpc, s)
	return s
}

// Serve accepts connections on ln until Close, then returns nil. It closes ln.
func (s *Server) Serve(ln net.Listener) error {
	err := s.grpc.Serve(&limited{Listener: ln, slots: make(chan struct{}, maxConnections)})
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Close stops the listeners, gives calls under way a moment to finish and closes every connection. It returns when all
// goroutines of the server have ended.
func (s *Server) Close() error {
	timer := time.AfterFunc(graceTime, s.grpc.Stop)
	defer timer.Stop()
	s.grpc.GracefulStop()
	return nil
}

// limited closes connections beyond its slots at once.
type limited struct {
	net.Listener
	slots chan struct{}
}

// Accept returns the next connection that has a slot.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &slot{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			_ = c.Close()
		}
	}
}

// slot is a connection that gives its slot back when it is closed.
type slot struct {
	net.Conn
	free func()
}

// Close closes the connection.
func (s *slot) Close() error {
	defer s.free()
	return s.Conn.Close()
}

// identity says who a connection belongs to: the user whose name is the certificate's common name, if the certificate's key
// is one of that user's.
func (s *Server) identity(state tls.ConnectionState) (auth.Identity, error) {
	if len(state.PeerCertificates) == 0 {
		return auth.Identity{}, errors.New("gnmi: login without a client certificate")
	}
	cert := state.PeerCertificates[0]
	if now := s.now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return auth.Identity{}, fmt.Errorf("gnmi: client certificate of %q is valid from %s to %s", cert.Subject.CommonName, cert.NotBefore.Format(time.DateOnly), cert.NotAfter.Format(time.DateOnly))
	}
	key, err := ssh.NewPublicKey(cert.PublicKey)
	if err != nil {
		return auth.Identity{}, fmt.Errorf("gnmi: client certificate of %q: %w", cert.Subject.CommonName, err)
	}
	return s.keys().Check(cert.Subject.CommonName, key)
}

type identityKey struct{}

// authenticate asks `system login` again for each call, and lets it run with the caller's identity in its context.
func (s *Server) authenticate(ctx context.Context, request any, info *grpc.UnaryServerInfo, call grpc.UnaryHandler) (any, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "gnmi: no peer")
	}
	transport, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "gnmi: no TLS")
	}
	id, err := s.identity(transport.State)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	id.Remote = p.Addr.String()
	need := auth.View
	if info.FullMethod == pb.GNMI_Set_FullMethodName {
		need = auth.Configure
	}
	if !id.May(need) {
		return nil, status.Errorf(codes.PermissionDenied, "gnmi: permission denied: %s for user %s of class %s", info.FullMethod, id.User, id.Class)
	}
	return call(context.WithValue(ctx, identityKey{}, id), request)
}

// Certificate reads the certificate that `system services extension-service request-response grpc ssl local-certificate`
// names: PEM text with the certificate, those of its issuers if any, and the private key, in any order.
func Certificate(t config.Tree) (*tls.Certificate, error) {
	root := t.Root()
	name := root.Child("system").Child("services").Child("extension-service").Child("request-response").
		Child("grpc").Child("ssl").Child("local-certificate").Value()
	if name == "" {
		return nil, errors.New("gnmi: no local-certificate is configured for grpc ssl")
	}
	text := root.Child("security").Child("certificates").Entry("local", name).Child("certificate").Secret()
	defer text.Zero()
	var chain, key []byte
	defer func() { clear(key) }()
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			chain = append(chain, pem.EncodeToMemory(block)...)
		} else {
			key = append(key, pem.EncodeToMemory(block)...)
		}
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("gnmi: certificate %q of security certificates local: %w", name, err)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("gnmi: certificate %q of security certificates local: %w", name, err)
		}
	}
	return &cert, nil
}
