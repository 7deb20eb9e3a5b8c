package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Client is a connection to a control socket.
type Client struct {
	*ssh.Client
	// DaemonUID is the user that the daemon runs as.
	DaemonUID uint32
}

// Files are the files of a client, as it lends them to a daemon that runs as some user while that carries out a command.
type Files interface {
	Open(daemonUID uint32, name string) (io.ReadCloser, error)
	// Create makes a file, or empties it; what is written to it is in it when Close returns nil.
	Create(daemonUID uint32, name string) (io.WriteCloser, error)
}

// Dial connects to the control socket at path. The daemon gets what files gives it; nil refuses all.
//
// The host key is not checked: on a Unix socket the kernel says who answers, and DaemonUID is its word.
func Dial(ctx context.Context, path string, files Files) (*Client, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no daemon at %s: there is no such socket (is gvpnd running? -s names its socket)", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("permission denied: the control socket %s is for root and for the daemon's user", path)
	case err != nil:
		return nil, fmt.Errorf("no daemon at %s: nobody answers there (is gvpnd running?): %w", path, err)
	}
	uid, err := PeerUID(c)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	var banner string
	config := &ssh.ClientConfig{
		User:            "local", // the server asks the kernel, not the client
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		BannerCallback:  func(message string) error { banner += message; return nil },
		Timeout:         defaultHandshakeTimeout,
	}
	_ = c.SetDeadline(time.Now().Add(defaultHandshakeTimeout))
	conn, channels, requests, err := ssh.NewClientConn(c, path, config)
	if err != nil {
		_ = c.Close()
		if banner != "" {
			return nil, errors.New(printable(strings.TrimSpace(banner)))
		}
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	_ = c.SetDeadline(time.Time{})
	client := &Client{Client: ssh.NewClient(conn, channels, requests), DaemonUID: uid}
	if files != nil {
		go serveFiles(client.HandleChannelOpen(FileChannel), uid, files)
		go takeFiles(client.HandleChannelOpen(SaveChannel), uid, files)
	}
	return client, nil
}

// serveFiles answers the daemon's requests for files, one after another, until the connection ends.
func serveFiles(asked <-chan ssh.NewChannel, uid uint32, files Files) {
	each(asked, uid, files.Open, func(channel ssh.Channel, requests <-chan *ssh.Request, f io.ReadCloser) {
		go ssh.DiscardRequests(requests)
		_, err := io.Copy(channel, f)
		_ = f.Close()
		if err == nil {
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(exitStatus{})) // the file is whole
		}
	})
}

// takeFiles writes the files that the daemon hands over, one after another, until the connection ends.
func takeFiles(asked <-chan ssh.NewChannel, uid uint32, files Files) {
	each(asked, uid, files.Create, func(channel ssh.Channel, requests <-chan *ssh.Request, f io.WriteCloser) {
		_, err := io.Copy(f, channel)
		if err != nil {
			_, _ = io.Copy(io.Discard, channel) // else the daemon would wait for room
		}
		err = errors.Join(err, f.Close())
		for r := range requests {
			written := r.Type == wholeRequest && err == nil
			if r.Type == wholeRequest && err != nil {
				_, _ = io.WriteString(channel, cause(err))
				_ = channel.CloseWrite()
			}
			if r.WantReply {
				_ = r.Reply(written, nil)
			}
		}
	})
}

// each opens the file that a channel is asked for, and has do carry it.
func each[F io.Closer](asked <-chan ssh.NewChannel, uid uint32, open func(uint32, string) (F, error), do func(ssh.Channel, <-chan *ssh.Request, F)) {
	for nc := range asked {
		var r fileRequest
		if err := ssh.Unmarshal(nc.ExtraData(), &r); err != nil {
			_ = nc.Reject(ssh.ConnectionFailed, "malformed request for a file")
			continue
		}
		f, err := open(uid, r.Name)
		if err != nil {
			_ = nc.Reject(ssh.Prohibited, cause(err))
			continue
		}
		channel, requests, err := nc.Accept()
		if err != nil {
			_ = f.Close()
			continue
		}
		do(channel, requests, f)
		_ = channel.Close()
	}
}

// cause is an error of the file system without the name, which the server puts in front.
func cause(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
