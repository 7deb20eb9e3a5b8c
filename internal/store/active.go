package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ActiveFile is the name of the readable copy of the active configuration in the state directory.
const ActiveFile = "gvpn.conf"

// WriteActive puts text in the place of the readable copy of the active configuration. A crash leaves the whole old text or the
// whole new one. Calls must not overlap.
func (s *Store) WriteActive(text []byte) error {
	dir := filepath.Dir(s.path)
	path := filepath.Join(dir, ActiveFile)
	err := os.WriteFile(path+".new", nil, 0o600) // made by its owner alone before anything stands in it
	if err == nil {
		err = os.Chmod(path+".new", 0o600) // what an earlier crash left may be wider
	}
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(path+".new", os.O_WRONLY, 0o600)
	}
	if err == nil {
		_, err = f.Write(text)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("store: readable configuration %s: %w", path, err)
	}
	return nil
}
