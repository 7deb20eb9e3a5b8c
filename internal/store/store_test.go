package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gvpn/commit"
	"gvpn/turn"
)

func stateDir(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state")
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func wantErr(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Fatalf("error %v, want one with %q", err, part)
	}
	if !strings.HasPrefix(err.Error(), "store: ") {
		t.Errorf("error %q does not name its package", err)
	}
}

// diff is cmp.Diff with texts as strings: byte by byte it would take a second each.
func diff(want, got any) string {
	return cmp.Diff(want, got, cmp.Transformer("string", func(b []byte) string { return string(b) }))
}

func TestPutLoad(t *testing.T) {
	dir := stateDir(t)
	s := open(t, dir)
	if err := s.Put([]turn.Persist{
		{Key: "server/group/A", Value: []byte("a")},
		{Key: "server/group/B", Value: []byte{}},
		{Key: "member/vpn/V", Value: []byte("v")},
		{Key: "server/group/A", Value: []byte("a2")}, // in order: the later one counts
		{Key: "server/group/C", Value: []byte("c")},
		{Key: "server/group/C"},
		{Key: "server/group/none"},
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"server/group/A": []byte("a2"), "server/group/B": {}}
	for range 2 { // before and after a restart
		got, err := s.Load("server/")
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(want, got); d != "" {
			t.Errorf("records (-want +got):\n%s", d)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
	}
}

// What Put and Append have returned from is on disk: bbolt must never be told to leave it to the system, and what stands in
// the file at that moment is enough.
func TestDurable(t *testing.T) {
	dir := stateDir(t)
	s := open(t, dir)
	if s.db.NoSync || s.db.NoGrowSync {
		t.Error("bbolt does not wait for the disk")
	}
	appendAll(t, s, revision(1, "set system host-name a\n"))
	if err := s.Put([]turn.Persist{{Key: "k", Value: []byte("v")}}); err != nil {
		t.Fatal(err)
	}
	copied := stateDir(t)
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil { // as a crash would leave it: s is still open
		t.Fatal(err)
	}
	for _, name := range []string{"", keyFile, dbFile} {
		mode := os.FileMode(0o600)
		if name == "" {
			mode = 0o700
		}
		if err := os.Chmod(filepath.Join(copied, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, copied)
	got, err := read(s)
	records, loadErr := s.Load("")
	if err != nil || loadErr != nil || len(got) != 1 || string(records["k"]) != "v" {
		t.Errorf("%v, %v; %q, %v", got, err, records, loadErr)
	}
}

// TestConfigurationDatabase runs a commit.DB over a store, through restarts and past the end of the history.
func TestConfigurationDatabase(t *testing.T) {
	dir := stateDir(t)
	var last commit.DB
	for i := range 120 {
		s := open(t, dir)
		db, err := commit.Open(s, &commit.Recorder{}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if db.Number() != uint64(i) {
			t.Fatalf("start %d: number %d", i, db.Number())
		}
		tree, errs := db.Running().LoadSet(nil, "", fmt.Appendf(nil, "set system host-name name%d\n", i))
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		db.Candidate().Update(tree)
		if _, err := db.Commit(commit.Options{User: "lab", Client: "test"}); err != nil {
			t.Fatal(err)
		}
		last = *db
		if i < 119 {
			_ = s.Close()
		}
	}
	for n := range commit.HistorySize {
		tree, err := last.Rollback(n)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := tree.Root().Child("system").Get("host-name"), fmt.Sprint("name", 119-n); got != want {
			t.Errorf("rollback %d: %s, want %s", n, got, want)
		}
	}
}

// A batch is one transaction: a part of it that cannot be written leaves nothing of it.
func TestPutIsAllOrNothing(t *testing.T) {
	s := open(t, stateDir(t))
	err := s.Put([]turn.Persist{{Key: "a", Value: []byte("1")}, {Key: "", Value: []byte("2")}})
	wantErr(t, err, `record ""`)
	got, err := s.Load("")
	if err != nil || len(got) != 0 {
		t.Errorf("after a failed Put: %d records, %v", len(got), err)
	}
}

func revision(n uint64, text string) commit.Revision {
	return commit.Revision{
		Number: n, Time: time.Date(2025, 1, 2, 3, 4, int(n), 0, time.UTC), User: "lab", Client: "cli", Remote: "192.0.2.1:50022",
		Comment: fmt.Sprint("comment ", n), Checkpoint: n == 1, Text: []byte(text), Oldest: 1,
	}
}

func appendAll(t testing.TB, s *Store, revisions ...commit.Revision) {
	t.Helper()
	for _, r := range revisions {
		if err := s.Append(r); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns all that a store keeps of revisions, with their texts.
func read(s *Store) ([]commit.Revision, error) {
	got, err := s.Revisions()
	if err != nil {
		return nil, err
	}
	for i := range got {
		if got[i].Text, err = s.Text(got[i].Number); err != nil {
			return nil, err
		}
	}
	return got, nil
}

func TestRevisions(t *testing.T) {
	dir := stateDir(t)
	s := open(t, dir)
	long := strings.Repeat("set security group-vpn server group G\n", 10_000) // several chunks
	want := []commit.Revision{revision(1, long), revision(2, ""), revision(3, long[:chunkSize])}
	want[1].Text = nil
	want[2].Within, want[2].Deadline, want[2].Return = 10*time.Minute, time.Date(2025, 1, 2, 3, 14, 3, 0, time.UTC), 1
	appendAll(t, s, want...)
	_ = s.Close()
	s = open(t, dir)
	got, err := read(s)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(want, got); d != "" {
		t.Errorf("revisions (-want +got):\n%s", d)
	}
	if _, err := s.Text(4); err == nil {
		t.Error("text of a revision that is not there: no error")
	}
	wantErr(t, s.Append(revision(7, "x")), "the last one is 3")
}

// A caller that did not learn whether an Append succeeded appends the same number again: nothing of the first is left.
func TestAppendReplacesTheLast(t *testing.T) {
	s := open(t, stateDir(t))
	appendAll(t, s, revision(1, strings.Repeat("x", 3*chunkSize)), revision(1, "short"))
	text, err := s.Text(1)
	if err != nil || string(text) != "short" {
		t.Errorf("text %q, %v", text, err)
	}
	// One that was never acknowledged goes when the one before it is recorded again.
	appendAll(t, s, revision(2, "lost"), revision(1, "again"))
	got, err := read(s)
	if err != nil || len(got) != 1 || string(got[0].Text) != "again" {
		t.Errorf("kept %v, %v; want revision 1 alone", got, err)
	}
}

func TestKeep(t *testing.T) {
	dir := stateDir(t)
	s := open(t, dir)
	const secret = "a secret that is kept"
	for name, value := range map[string][]byte{"a": []byte(secret), "empty": {}, "gone": []byte("x")} {
		if err := s.Keep(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.Keep("gone", nil); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	s = open(t, dir)
	for name, want := range map[string]string{"a": secret, "empty": "", "gone": "none", "never": "none"} {
		got, err := s.Kept(name)
		text := string(got)
		if got == nil {
			text = "none"
		}
		if err != nil || text != want {
			t.Errorf("%s: %q, %v; want %q", name, text, err, want)
		}
	}
	file, err := os.ReadFile(filepath.Join(dir, dbFile))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file, []byte(secret)) {
		t.Error("a kept value stands in clear in the database")
	}
}

func TestAppendForgetsWhatIsOlderThanOldest(t *testing.T) {
	s := open(t, stateDir(t))
	appendAll(t, s, revision(1, "one"), revision(2, "two"), revision(3, "three"))
	r := revision(4, "four")
	r.Oldest = 3
	appendAll(t, s, r)
	got, err := s.Revisions()
	if err != nil || len(got) != 2 || got[0].Number != 3 || got[1].Number != 4 {
		t.Errorf("kept %v, %v; want 3 and 4", got, err)
	}
	if _, err := s.Text(2); err == nil {
		t.Error("a forgotten revision still has its text")
	}
}

// Nothing that is sealed may be found in the files: neither keys nor $9$ secrets nor names of gateways.
func TestNothingInClear(t *testing.T) {
	dir := stateDir(t)
	s := open(t, dir)
	secret := "set security group-vpn server ike policy P pre-shared-key ascii-text \"$9$iqPQ/CuEclFnclKMN-HqmfFn9ApBRh\""
	appendAll(t, s, revision(1, secret))
	if err := s.Put([]turn.Persist{{Key: "server/group/G", Value: []byte("key material 0123456789abcdef")}}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"$9$", "pre-shared-key", "key material", "comment 1"} {
			if bytes.Contains(b, []byte(part)) {
				t.Errorf("%s holds %q in clear", e.Name(), part)
			}
		}
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: mode %v, %v; want 0700", info.Mode(), err)
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name string
		do   func(dir string) error // to a directory that was used and closed
		want string
	}{
		{"directory that others write", func(dir string) error { return os.Chmod(dir, 0o770) }, "lets others write"},
		{"key readable by others", func(dir string) error { return os.Chmod(filepath.Join(dir, keyFile), 0o644) }, "want 0600"},
		{"database readable by others", func(dir string) error { return os.Chmod(filepath.Join(dir, dbFile), 0o640) }, "want 0600"},
		{"key missing", func(dir string) error { return os.Remove(filepath.Join(dir, keyFile)) }, "missing"},
		{"key too short", func(dir string) error { return os.Truncate(filepath.Join(dir, keyFile), 31) }, "31 octets"},
		{"another key", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, keyFile), make([]byte, keySize), 0o600)
		}, "another key"},
		{"key is a link", func(dir string) error {
			key := filepath.Join(dir, keyFile)
			if err := os.Rename(key, key+".real"); err != nil {
				return err
			}
			return os.Symlink(key+".real", key)
		}, "not a regular file"},
		{"database is empty", func(dir string) error { return os.Truncate(filepath.Join(dir, dbFile), 0) }, "gvpn.db"},
		{"database is something else", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, dbFile), bytes.Repeat([]byte("something else\n"), 4096), 0o600)
		}, "gvpn.db"},
		{"database is a directory", func(dir string) error {
			db := filepath.Join(dir, dbFile)
			if err := os.Remove(db); err != nil {
				return err
			}
			return os.Mkdir(db, 0o700)
		}, "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := stateDir(t)
			if err := open(t, dir).Close(); err != nil {
				t.Fatal(err)
			}
			if err := tt.do(dir); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir)
			if err == nil {
				_ = s.Close()
			}
			wantErr(t, err, tt.want)
		})
	}
}

func TestInUse(t *testing.T) {
	dir := stateDir(t)
	s := open(t, dir)
	_, err := Open(dir)
	wantErr(t, err, "in use")
	_ = s.Close()
	open(t, dir)
}

// A crash at the first start, before the database is whole, is a first start again.
func TestFirstStartInterrupted(t *testing.T) {
	dir := stateDir(t)
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(dir, dbFile)
	if err := os.Rename(db, db+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(db+".new", 5000); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	appendAll(t, s, revision(1, "set system host-name a\n"))
}

// TestCrashInsideATransaction makes every state that a crash between the writes of one transaction can leave, at the grain
// of pages: bbolt writes data pages, waits for the disk, and writes one meta page. Whatever subset of the data pages is
// there, the meta page of before counts.
func TestCrashInsideATransaction(t *testing.T) {
	dir := stateDir(t)
	s := open(t, dir)
	first := revision(1, strings.Repeat("set system host-name before\n", 1000))
	appendAll(t, s, first)
	_ = s.Close()
	db := filepath.Join(dir, dbFile)
	before, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	second := revision(2, strings.Repeat("set system host-name after\n", 1000))
	appendAll(t, s, second)
	_ = s.Close()
	after, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	pages := (len(after) + page - 1) / page
	get := func(b []byte, i int) []byte {
		p := make([]byte, page)
		if i*page < len(b) {
			copy(p, b[i*page:])
		}
		return p
	}
	rapid.Check(t, func(rt *rapid.T) {
		metaWritten := rapid.Bool().Draw(rt, "metaWritten")
		var mixed []byte
		for i := range pages {
			from := before
			if metaWritten || i >= 2 && rapid.Bool().Draw(rt, fmt.Sprint("page", i)) {
				from = after
			}
			mixed = append(mixed, get(from, i)...)
		}
		if err := os.WriteFile(db, mixed, 0o600); err != nil {
			rt.Fatal(err)
		}
		s, err := Open(dir)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		got, err := read(s)
		if err != nil {
			rt.Fatal(err)
		}
		want := []commit.Revision{first}
		if metaWritten {
			want = append(want, second)
		}
		if d := diff(want, got); d != "" {
			rt.Errorf("revisions (-want +got):\n%s", d)
		}
	})
}

// TestDamage cuts off and overwrites copies of a database. Each gives what was committed, or an error: never a panic, never
// other data.
func TestDamage(t *testing.T) {
	dir := stateDir(t)
	s := open(t, dir)
	want := []commit.Revision{revision(1, strings.Repeat("set system host-name a\n", 8000)), revision(2, "delete system\n")}
	appendAll(t, s, want...)
	record := turn.Persist{Key: "server/group/G", Value: bytes.Repeat([]byte("k"), 300)}
	if err := s.Put([]turn.Persist{record}); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	db := filepath.Join(dir, dbFile)
	whole, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	try := func(t rapid.TB, b []byte) {
		if err := os.WriteFile(db, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir)
		if err != nil {
			outcomes["refused"]++
			return
		}
		defer func() { _ = s.Close() }()
		got, err := read(s)
		var records map[string][]byte
		if err == nil {
			records, err = s.Load("")
		}
		if err != nil {
			outcomes["error"]++
			return
		}
		outcomes["read"]++
		// bbolt falls back to the meta page before the last, so the last transactions may be missing, and nothing else.
		if len(got) > len(want) {
			t.Fatalf("%d revisions, want %d at most", len(got), len(want))
		}
		if d := diff(want[:len(got)], got); d != "" {
			t.Errorf("revisions (-want +got):\n%s", d)
		}
		if v, ok := records[record.Key]; ok && !bytes.Equal(v, record.Value) {
			t.Errorf("record %q, want %q", v, record.Value)
		}
	}
	for n := 0; n < len(whole); n += len(whole) / 61 {
		try(t, whole[:n])
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := bytes.Clone(whole)
		at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
		garbage := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(rt, "garbage")
		copy(b[at:], garbage)
		try(rt, b)
	})
	// Page headers and bucket roots are where bbolt trusts the file.
	page := os.Getpagesize()
	for i := 0; i*page < len(whole); i++ {
		for _, fill := range []byte{0x01, 0xff} {
			b := bytes.Clone(whole)
			end := min(len(b), i*page+64)
			for j := i * page; j < end; j++ {
				b[j] = fill
			}
			try(t, b)
		}
	}
	t.Log(outcomes)
	if outcomes["refused"] == 0 || outcomes["error"] == 0 || outcomes["read"] == 0 {
		t.Errorf("the damage did not reach every outcome: %v", outcomes)
	}
}
