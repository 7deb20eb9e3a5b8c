package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// HostKeyFile is the name of the host key in the state directory: an OpenSSH private key, ed25519, mode 0600.
const HostKeyFile = "ssh_host_ed25519_key"

// HostKey returns the node's host key, which it makes at the first call on a state directory. A key file that others can
// read is refused, as is one that cannot be parsed: a node must not silently change its identity.
func HostKey(dir string) (ssh.Signer, error) {
	name := filepath.Join(dir, HostKeyFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return newHostKey(name)
	}
	if err != nil {
		return nil, fmt.Errorf("auth: host key: %w", err)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("auth: host key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("auth: host key %s: mode %04o, want 0600", name, info.Mode().Perm())
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("auth: host key %s: %w", name, err)
	}
	return signer, nil
}

// newHostKey makes a key and puts it in place whole: it is written beside its name, synced, and renamed.
func newHostKey(name string) (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("auth: host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "gvpn host key")
	if err != nil {
		return nil, fmt.Errorf("auth: host key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("auth: host key: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), HostKeyFile+".*") // CreateTemp gives mode 0600
	if err != nil {
		return nil, fmt.Errorf("auth: host key: %w", err)
	}
	_, err = f.Write(pem.EncodeToMemory(block))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return nil, fmt.Errorf("auth: host key: %w", err)
	}
	return signer, nil
}
