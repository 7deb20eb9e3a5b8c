package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// The types of the channels by which a server asks its client for a file, and hands it one to write (see the package comment).
const (
	FileChannel = "file@gvpn"
	SaveChannel = "save@gvpn"
)

// fileRequest is the extra data of the open message of either.
type fileRequest struct{ Name string }

// Session is one session channel: what the client sends and is sent, and what it asked for. Reads give io.EOF when the client
// has no more input and waits for what comes of it, and io.ErrUnexpectedEOF when it is gone: what was read then may break off
// anywhere.
type Session struct {
	io.Reader
	io.Writer
	Stderr    io.Writer
	Identity  Identity
	Exec      bool      // "exec": Command is what to run
	Command   string    // of an exec request
	Subsystem string    // of a subsystem request
	Terminal  *Terminal // the pty-req before the session's start; nil: none

	conn *ssh.ServerConn
}

// Open asks the client for one of its files. The octets are read as the client sends them; the error of a refused request
// carries the client's text.
func (s *Session) Open(name string) (io.ReadCloser, error) {
	channel, requests, err := s.ask(FileChannel, name, "this client cannot hand over files; use 'terminal' and send the text")
	if err != nil {
		return nil, err
	}
	f := &clientFile{Channel: channel, name: name, whole: make(chan bool, 1)}
	go func() { // ends with the channel
		whole := false
		for r := range requests {
			whole = whole || r.Type == "exit-status" && string(r.Payload) == string(ssh.Marshal(exitStatus{}))
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
		f.whole <- whole
	}()
	return f, nil
}

// input is what a client sends on a channel.
type input struct{ ssh.Channel }

// Read reads on. The channel gives the same io.EOF for the client's own end of input and for a channel or connection that was
// closed, so the client is asked: any answer to a request, a refusal too (RFC 4254 section 5.4), says that it is there.
func (i input) Read(p []byte) (int, error) {
	n, err := i.Channel.Read(p)
	if errors.Is(err, io.EOF) {
		if _, gone := i.SendRequest("keepalive@gvpn", true, nil); gone != nil {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// Create asks the client to write one of its files, with the client's rights; what is there is overwritten. The file is whole when
// Close returns nil; after a failed Write it is not, and the client knows.
func (s *Session) Create(name string) (io.WriteCloser, error) {
	channel, requests, err := s.ask(SaveChannel, name, "this client writes no files; use 'show' and keep its output")
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(requests)
	return &savedFile{Channel: channel, name: name}, nil
}

// ask opens a channel for a file. cannot is the error if the client knows no such channel.
func (s *Session) ask(kind, name, cannot string) (ssh.Channel, <-chan *ssh.Request, error) {
	channel, requests, err := s.conn.OpenChannel(kind, ssh.Marshal(fileRequest{Name: name}))
	var refused *ssh.OpenChannelError
	switch {
	case err == nil:
	case errors.As(err, &refused) && refused.Reason == ssh.UnknownChannelType:
		err = fmt.Errorf("%s: %s", name, cannot)
	case errors.As(err, &refused):
		err = fmt.Errorf("%s: %s", name, printable(refused.Message))
	default:
		err = fmt.Errorf("%s: %w", name, err)
	}
	return channel, requests, err
}

// savedFile is a file on its way to the client.
type savedFile struct {
	ssh.Channel
	name string
	err  error // of a Write
}

func (f *savedFile) Write(p []byte) (int, error) {
	n, err := f.Channel.Write(p)
	if err != nil {
		f.err = fmt.Errorf("%s: %w", f.name, err)
	}
	return n, f.err
}

// wholeRequest says that all of a file to save was sent. The answer comes when it is written; a refusal's text is on the channel.
const wholeRequest = "whole@gvpn"

// maxRefusal bounds how much of the text is read.
const maxRefusal = 1000

func (f *savedFile) Close() error {
	defer f.Channel.Close()
	if f.err != nil {
		return f.err
	}
	err := f.CloseWrite()
	written := false
	if err == nil {
		written, err = f.SendRequest(wholeRequest, true, nil)
	}
	if err != nil || written {
		if err != nil {
			err = fmt.Errorf("%s: %w", f.name, err)
		}
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f.Channel, maxRefusal))
	if err != nil || len(text) == 0 {
		text = []byte("the client did not write the file")
	}
	return fmt.Errorf("%s: %s", f.name, printable(string(text)))
}

// clientFile is a client's file on its way here. One that broke off must not look like a whole one, so the client ends it
// with an exit-status of 0, and io.EOF stands for that.
type clientFile struct {
	ssh.Channel
	name  string
	whole chan bool // one value when the channel is closed
	err   error     // what a Read after the end returns
}

func (f *clientFile) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.Channel.Read(p)
	if errors.Is(err, io.EOF) {
		if !<-f.whole {
			err = fmt.Errorf("%s: the client did not send the whole file: %w", f.name, io.ErrUnexpectedEOF)
		}
		f.err = err
	}
	return n, err
}

// printable keeps a text from the other end from steering a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// Terminal is the pseudo-terminal that a client asked for. Its methods may be called from any goroutine.
type Terminal struct {
	mu            sync.Mutex
	width, height int
	resized       chan struct{}
}

// NewTerminal returns a terminal of the given size in characters; a size that is not positive stands for 80 by 24.
func NewTerminal(width, height int) *Terminal {
	t := &Terminal{resized: make(chan struct{}, 1)}
	t.set(width, height)
	return t
}

func (t *Terminal) set(width, height int) {
	if width <= 0 || width > 10_000 {
		width = 80
	}
	if height <= 0 || height > 10_000 {
		height = 24
	}
	t.mu.Lock()
	t.width, t.height = width, height
	t.mu.Unlock()
}

// Resize sets the size and tells Resized.
func (t *Terminal) Resize(width, height int) {
	t.set(width, height)
	select {
	case t.resized <- struct{}{}:
	default:
	}
}

// Size returns the size in characters.
func (t *Terminal) Size() (width, height int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.width, t.height
}

// Resized receives after the size has changed, once for any number of changes.
func (t *Terminal) Resized() <-chan struct{} { return t.resized }

// The payloads of channel requests (RFC 4254 sections 6.2, 6.5, 6.7 and 6.10).
type (
	ptyRequest struct {
		Term                                   string
		Columns, Rows, PixelWidth, PixelHeight uint32
		Modes                                  string
	}
	windowChange struct{ Columns, Rows, PixelWidth, PixelHeight uint32 }
	execRequest  struct{ Command string }
	exitStatus   struct{ Status uint32 }
)

// session serves the requests of one session channel: at most one program (shell, exec or subsystem) runs in it
// (RFC 4254 section 6.5), and its end closes the channel.
func (s *Server) session(ctx context.Context, conn *ssh.ServerConn, id Identity, channel ssh.Channel, requests <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(ctx)
	session := &Session{Reader: input{channel}, Writer: channel, Stderr: channel.Stderr(), Identity: id, conn: conn}
	var running sync.WaitGroup
	defer running.Wait()
	defer channel.Close()
	defer cancel()
	started := false
	for r := range requests {
		ok := false
		switch r.Type {
		case "pty-req":
			var p ptyRequest
			if ok = !started && ssh.Unmarshal(r.Payload, &p) == nil; ok {
				session.Terminal = NewTerminal(int(p.Columns), int(p.Rows))
			}
		case "window-change":
			var w windowChange
			if ok = session.Terminal != nil && ssh.Unmarshal(r.Payload, &w) == nil; ok {
				session.Terminal.Resize(int(w.Columns), int(w.Rows))
			}
		case "shell", "exec", "subsystem":
			var handler Handler
			if !started {
				handler = s.program(session, r)
			}
			if ok = handler != nil; ok {
				started = true
				if r.WantReply { // before the program runs: a short one would close the channel before its request is answered
					_ = r.Reply(true, nil)
					r.WantReply = false
				}
				running.Go(func() {
					status := handler(ctx, session)
					_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(exitStatus{Status: uint32(status)}))
					_ = channel.Close() // ends the loop over requests
				})
			}
		}
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
	}
}

// program returns the handler for a request that starts one, and notes in the session what was asked; nil: refused.
func (s *Server) program(session *Session, r *ssh.Request) Handler {
	switch r.Type {
	case "shell":
		return s.Shell
	case "exec":
		var e execRequest
		if ssh.Unmarshal(r.Payload, &e) != nil {
			return nil
		}
		session.Exec, session.Command = true, e.Command
		return s.Shell
	}
	var e execRequest // a subsystem request has the same form
	if ssh.Unmarshal(r.Payload, &e) != nil {
		return nil
	}
	session.Subsystem = e.Command
	return s.Subsystems[e.Command]
}
