package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Listen opens the control socket at path with mode 0600. A socket file that nobody listens on, as a killed daemon leaves
// it, is replaced; one with a live listener behind it is an error, and so is a file that is no socket.
//
// The socket is made under a name of its own and moved into place after its mode is set, so there is no moment at which
// others could connect. Two daemons that start at once on one path are told apart by the store's lock, not here.
func Listen(path string) (net.Listener, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("auth: control socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("auth: control socket %s: the file exists and is not a socket", path)
	default:
		if c, err := net.Dial("unix", path); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("auth: control socket %s: another daemon listens on it", path)
		}
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s") // mode 0700; short, since a socket's path has only 107 octets
	if err != nil {
		return nil, fmt.Errorf("auth: control socket: %w", err)
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("auth: control socket: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	if err = os.Chmod(made, 0o600); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("auth: control socket: %w", err)
	}
	return &controlSocket{Listener: ln, path: path}, nil
}

// controlSocket removes its file, under its final name, when it is closed.
type controlSocket struct {
	net.Listener
	path string
}

func (c *controlSocket) Close() error {
	_ = os.Remove(c.path)
	return c.Listener.Close()
}

// PeerUID returns the user id of the process at the other end of a Unix socket connection (SO_PEERCRED): who it was when
// it connected or listened, vouched for by the kernel.
func PeerUID(c net.Conn) (uint32, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("auth: peer of a %T connection: no user id", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("auth: peer: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, credErr); err != nil {
		return 0, fmt.Errorf("auth: peer: %w", err)
	}
	return cred.Uid, nil
}

// LocalPeer returns the Peer function of a control socket: user 0 and the user that this process runs as are super-user,
// everybody else is refused.
func LocalPeer() func(net.Conn) (Identity, error) {
	return localPeer(PeerUID, uint32(os.Geteuid()))
}

func localPeer(peer func(net.Conn) (uint32, error), own uint32) func(net.Conn) (Identity, error) {
	return func(c net.Conn) (Identity, error) {
		uid, err := peer(c)
		if err != nil {
			return Identity{}, err
		}
		name := userName(uid)
		if uid != 0 && uid != own {
			return Identity{}, fmt.Errorf("permission denied: %s may not use the control socket; it is for root and for %s, the daemon's user", name, userName(own))
		}
		return Identity{User: name, Class: SuperUser}, nil
	}
}

// userName is the login name of a user id, or "uid-N" if it has none.
func userName(uid uint32) string {
	text := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(text); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid-" + text
}
