package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"gvpn/turn"
)

const (
	dbFile = "gvpn.db"
	// lockWait is how long bbolt waits for its own lock on the database; the directory's lock makes it a formality.
	lockWait = 100 * time.Millisecond
	// mapped is how much address space the database gets at once, in octets; it costs no memory. When a database outgrows its map,
	// bbolt copies all that the transaction in hand has written.
	mapped = 256 << 20
	// grown is what a file that is too short grows by beside what is needed, in octets.
	grown = 256 << 10
	// layout is the version of what stands in the database.
	layout = "gvpn store 1"
)

var (
	bucketMeta      = []byte("meta")      // "layout" → sealed layout: tells a wrong key from damage; "kept " name → sealed value
	bucketRecords   = []byte("records")   // name → sealed value
	bucketRevisions = []byte("revisions") // number → sealed header
	bucketTexts     = []byte("texts")     // number, chunk → sealed chunk

	buckets = [][]byte{bucketMeta, bucketRecords, bucketRevisions, bucketTexts}

	keyLayout = []byte("layout")
)

// Store is an open state directory.
type Store struct {
	path   string   // of the database
	dir    *os.File // holds the lock
	file   *os.File // bbolt's: closed here if bbolt cannot
	db     *bbolt.DB
	sealer sealer
	// damage is set when bbolt panicked: its locks and its memory are then in no known state, and it is not called again.
	damage atomic.Pointer[string]
}

// Open opens the state directory, and makes it, its key file and its database if they are not there. It fails if another
// Store has the directory open.
func Open(dir string) (*Store, error) {
	if err := openDir(dir); err != nil {
		return nil, err
	}
	s := &Store{path: filepath.Join(dir, dbFile)}
	if err := s.open(dir); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(dir string) (err error) {
	if s.dir, err = lockDir(dir); err != nil {
		return err
	}
	info, err := os.Lstat(s.path)
	fresh := errors.Is(err, fs.ErrNotExist)
	switch {
	case fresh:
	case err != nil:
		return fmt.Errorf("store: database %s: %w", s.path, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("store: database %s: not a regular file", s.path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("store: database %s: mode %04o lets others read it, want 0600", s.path, info.Mode().Perm())
	}
	key, err := loadKey(dir, fresh)
	if err != nil {
		return err
	}
	s.sealer, err = newSealer(key)
	clear(key)
	if err != nil {
		return fmt.Errorf("store: key file: %w", err)
	}
	if fresh {
		if err := s.make(dir); err != nil {
			return err
		}
	}
	if s.db, err = s.openDB(s.path); err != nil {
		return err
	}
	return s.view("open", s.check)
}

// make makes the database under another name first: after a crash it is whole or not there.
func (s *Store) make(dir string) error {
	name := s.path + ".new"
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: database %s: %w", name, err)
	}
	db, err := s.openDB(name)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucket(b); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keyLayout, s.sealer.seal(keyLayout, []byte(layout)))
	})
	err = errors.Join(err, db.Close())
	if err == nil {
		err = os.Rename(name, s.path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("store: database %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) openDB(path string) (db *bbolt.DB, err error) {
	options := bbolt.Options{
		Timeout: lockWait, FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapped,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			s.file, err = os.OpenFile(name, flag, mode)
			return s.file, err
		},
	}
	err = s.guard("open", func() (err error) {
		if db, err = bbolt.Open(path, 0o600, &options); err == nil {
			db.AllocSize = grown
		}
		return err
	})
	return db, err
}

// check tells a database that is cut off, is sealed under another key, or is none of ours.
func (s *Store) check(tx *bbolt.Tx) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("damaged: %d octets, want %d at least", info.Size(), tx.Size())
	}
	for _, b := range buckets {
		if tx.Bucket(b) == nil {
			return fmt.Errorf("damaged, or not a store: no bucket %q", b)
		}
	}
	got, err := s.sealer.open(keyLayout, tx.Bucket(bucketMeta).Get(keyLayout))
	if err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	if string(got) != layout {
		return fmt.Errorf("layout %q, want %q", got, layout)
	}
	return nil
}

// Close releases the directory. The Store must not be used after it.
func (s *Store) Close() error {
	var err error
	switch {
	case s.damage.Load() != nil:
		// The memory map that bbolt leaves behind would keep its lock.
		_ = syscall.Flock(int(s.file.Fd()), syscall.LOCK_UN)
		_ = s.file.Close()
	case s.db != nil:
		err = s.guard("close", s.db.Close)
	}
	if s.dir != nil {
		err = errors.Join(err, s.dir.Close()) // and with it the lock
	}
	return err
}

// Put carries a batch of Persist outputs out, in order, in one transaction: all of it is on disk when Put returns nil, and
// after an error none of it is. Keys must not be empty.
func (s *Store) Put(batch []turn.Persist) error {
	if len(batch) == 0 {
		return nil
	}
	return s.update("put", func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketRecords)
		for _, p := range batch {
			key := []byte(p.Key)
			var err error
			if p.Value == nil {
				err = b.Delete(key)
			} else {
				err = b.Put(key, s.sealer.seal(recordPlace(key), p.Value))
			}
			if err != nil {
				return fmt.Errorf("record %q: %w", p.Key, err)
			}
		}
		return nil
	})
}

// Load returns every record whose key starts with prefix. The map and its values are the caller's.
func (s *Store) Load(prefix string) (map[string][]byte, error) {
	records := make(map[string][]byte)
	err := s.view("load", func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketRecords).Cursor()
		for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
			value, err := s.sealer.open(recordPlace(k), v)
			if err != nil {
				return fmt.Errorf("record %q: %w", k, err)
			}
			records[string(k)] = value
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

func recordPlace(key []byte) []byte { return append([]byte("record "), key...) }

func (s *Store) view(what string, f func(*bbolt.Tx) error) error {
	return s.guard(what, func() error { return s.db.View(f) })
}

func (s *Store) update(what string, f func(*bbolt.Tx) error) error {
	return s.guard(what, func() error { return s.db.Update(f) })
}

// guard turns what bbolt does about a damaged file, panics and memory faults, into an error.
func (s *Store) guard(what string, f func() error) (err error) {
	if d := s.damage.Load(); d != nil {
		return fmt.Errorf("store: %s: database %s: damaged: %s", what, s.path, *d)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			text := fmt.Sprint(r)
			s.damage.Store(&text)
			err = fmt.Errorf("store: %s: database %s: damaged: %s", what, s.path, text)
		}
	}()
	if err := f(); err != nil {
		return fmt.Errorf("store: %s: database %s: %w", what, s.path, err)
	}
	return nil
}
