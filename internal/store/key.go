package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	keyFile = "gvpn.key"
	keySize = 32 // AES-256
)

// openDir makes the state directory if it is not there, for its owner alone. An existing one may be read by others, since
// every file in it is its owner's alone, but not written: who may write can put other files in place of ours.
func openDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("store: state directory %s: %w", dir, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("store: state directory %s: %w", dir, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("store: state directory %s: not a directory", dir)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("store: state directory %s: mode %04o lets others write, want 0700 or 0755", dir, info.Mode().Perm())
	}
	return nil
}

// lockDir takes the directory for this process; the lock goes with the file, also when the process dies.
func lockDir(dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("store: state directory %s: %w", dir, err)
	}
	err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("in use by another process")
	}
	if err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("store: state directory %s: %w", dir, err)
	}
	return d, nil
}

// loadKey reads the key file, or makes it if fresh says that nothing has been sealed yet.
func loadKey(dir string, fresh bool) ([]byte, error) {
	path := filepath.Join(dir, keyFile)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && fresh:
		return makeKey(dir, path)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("store: key file %s: missing, and %s cannot be read without it", path, dbFile)
	case err != nil:
		return nil, fmt.Errorf("store: key file %s: %w", path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("store: key file %s: not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("store: key file %s: mode %04o lets others read it, want 0600", path, info.Mode().Perm())
	case info.Size() != keySize:
		return nil, fmt.Errorf("store: key file %s: %d octets, want %d", path, info.Size(), keySize)
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("store: key file %s: %w", path, err)
	}
	return key, nil
}

// makeKey writes the key under another name first: a crash leaves a whole key file or none.
func makeKey(dir, path string) ([]byte, error) {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("store: key file %s: %w", path, err)
	}
	f, err := os.CreateTemp(dir, keyFile+".new-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("store: key file %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(key)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("store: key file %s: %w", path, err)
	}
	return key, nil
}

// syncDir makes names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sealer seals values, each bound to its place.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	// The nonce is random, 96 bits, and stored in front; NIST SP 800-38D section 8.3 allows 2^32 seals under one key.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

func (s sealer) seal(place, value []byte) []byte { return s.aead.Seal(nil, nil, value, place) }

func (s sealer) open(place, sealed []byte) ([]byte, error) {
	value, err := s.aead.Open(nil, nil, sealed, place)
	if err != nil {
		return nil, fmt.Errorf("damaged, or sealed under another key")
	}
	if value == nil {
		value = []byte{} // an empty value is still a value
	}
	return value, nil
}
