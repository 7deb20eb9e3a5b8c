package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gvpn/config"
	"gvpn/internal/store"
)

// The readable copy follows the commits, loads back to what runs, and says no secret in clear.
func TestActiveFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, store.ActiveFile)
	read := func() string {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("mode %04o, want 0600", info.Mode().Perm())
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	n := open(t, dir, serverText)
	n.active.flush()
	text := read()
	if strings.Contains(text, "long enough") || !strings.Contains(text, "$9$") {
		t.Errorf("the secret is in clear, or missing:\n%s", text)
	}
	back, errs := config.Tree{}.LoadCurly(nil, config.Override, "active", []byte(text))
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	running := n.db.Running()
	if !config.Equal(back.Root(), running.Root()) {
		t.Errorf("does not load back to what runs:\n%s", text)
	}
	run(t, n, "configure; set system host-name second; commit")
	run(t, n, "configure; set system host-name third; commit")
	closeNode(t, n) // which does not wait for the delay
	if text = read(); !strings.Contains(text, "host-name third;") || !strings.HasPrefix(text, "## Last commit: ") {
		t.Errorf("after two commits:\n%s", text)
	}
	// A copy that is gone, or that somebody wrote to, is made again at the next start.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	closeNode(t, open(t, dir, ""))
	if again := read(); again != text {
		t.Errorf("after a restart:\n%s\nbefore:\n%s", again, text)
	}
}
