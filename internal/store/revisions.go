package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"gvpn/commit"
)

var _ commit.Log = (*Store)(nil)

// chunkSize is the length of all but the last chunk of a revision's text, before sealing. Chunks of 64 KiB take 12 MB of
// configuration to disk in 0.05 s.
const chunkSize = 64 << 10

// header is what a revision has beside its text, in JSON.
type header struct {
	Time    time.Time `json:"time"`
	User    string    `json:"user,omitempty"`
	Client  string    `json:"client,omitempty"`
	Remote  string    `json:"remote,omitempty"`
	Comment string    `json:"comment,omitempty"`

	Within   time.Duration `json:"within,omitzero"` // nanoseconds
	Deadline time.Time     `json:"deadline,omitzero"`
	Return   uint64        `json:"return,omitempty"`

	Checkpoint bool   `json:"checkpoint,omitempty"`
	Oldest     uint64 `json:"oldest"`
	Length     int    `json:"length"` // of the text: an end that is missing is noticed
}

// Append implements commit.Log. Revisions before r.Oldest are forgotten in the same transaction.
func (s *Store) Append(r commit.Revision) error {
	return s.update(fmt.Sprintf("append revision %d", r.Number), func(tx *bbolt.Tx) error {
		revisions, texts := tx.Bucket(bucketRevisions), tx.Bucket(bucketTexts)
		if last, _ := revisions.Cursor().Last(); last != nil {
			if n, err := parseNumber(last); err != nil {
				return err
			} else if n != r.Number && n+1 != r.Number && n != r.Number+1 {
				return fmt.Errorf("the last one is %d", n)
			}
		}
		// Also an Append whose outcome the caller did not learn.
		if err := forget(revisions, texts, r.Number, r.Number+1); err != nil {
			return err
		}
		h, err := json.Marshal(header{
			Time: r.Time, User: r.User, Client: r.Client, Remote: r.Remote, Comment: r.Comment,
			Within: r.Within, Deadline: r.Deadline, Return: r.Return,
			Checkpoint: r.Checkpoint, Oldest: r.Oldest, Length: len(r.Text),
		})
		if err != nil {
			return err
		}
		key := numberKey(r.Number)
		if err := revisions.Put(key, s.sealer.seal(headerPlace(r.Number), h)); err != nil {
			return err
		}
		texts.FillPercent = 1 // keys rise: pages are filled and never touched again
		for i, rest := uint32(0), r.Text; len(rest) > 0; i++ {
			chunk := rest[:min(chunkSize, len(rest))]
			rest = rest[len(chunk):]
			key := chunkKey(r.Number, i)
			if err := texts.Put(key, s.sealer.seal(chunkPlace(key), chunk)); err != nil {
				return err
			}
		}
		if r.Oldest == 0 {
			return nil
		}
		return forget(revisions, texts, 0, r.Oldest-1)
	})
}

// forget deletes the revisions first..last.
func forget(revisions, texts *bbolt.Bucket, first, last uint64) error {
	for _, b := range []*bbolt.Bucket{revisions, texts} {
		var gone [][]byte // bbolt's cursor may skip a key after a Delete
		c := b.Cursor()
		for k, _ := c.Seek(numberKey(first)); k != nil && bytes.Compare(k[:min(8, len(k))], numberKey(last)) <= 0; k, _ = c.Next() {
			gone = append(gone, bytes.Clone(k))
		}
		for _, k := range gone {
			if err := b.Delete(k); err != nil {
				return err
			}
		}
	}
	return nil
}

// Revisions implements commit.Log.
func (s *Store) Revisions() ([]commit.Revision, error) {
	var out []commit.Revision
	err := s.view("revisions", func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketRevisions).ForEach(func(k, v []byte) error {
			n, err := parseNumber(k)
			if err != nil {
				return err
			}
			if len(out) > 0 && out[len(out)-1].Number+1 != n {
				return fmt.Errorf("damaged: revision %d follows %d", n, out[len(out)-1].Number)
			}
			h, err := s.header(n, v)
			if err != nil {
				return err
			}
			out = append(out, commit.Revision{
				Number: n, Time: h.Time, User: h.User, Client: h.Client, Remote: h.Remote, Comment: h.Comment,
				Within: h.Within, Deadline: h.Deadline, Return: h.Return,
				Checkpoint: h.Checkpoint, Oldest: h.Oldest,
			})
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Text implements commit.Log.
func (s *Store) Text(number uint64) ([]byte, error) {
	var text []byte
	err := s.view(fmt.Sprintf("text of revision %d", number), func(tx *bbolt.Tx) error {
		sealed := tx.Bucket(bucketRevisions).Get(numberKey(number))
		if sealed == nil {
			return errors.New("not kept")
		}
		h, err := s.header(number, sealed)
		if err != nil {
			return err
		}
		prefix := numberKey(number)
		c := tx.Bucket(bucketTexts).Cursor()
		i := uint32(0)
		for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if !bytes.Equal(k, chunkKey(number, i)) {
				return fmt.Errorf("damaged: chunk %d is missing", i)
			}
			chunk, err := s.sealer.open(chunkPlace(k), v)
			if err != nil {
				return fmt.Errorf("chunk %d: %w", i, err)
			}
			text = append(text, chunk...)
			i++
		}
		if len(text) != h.Length {
			return fmt.Errorf("damaged: %d octets, want %d", len(text), h.Length)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return text, nil
}

func (s *Store) header(number uint64, sealed []byte) (header, error) {
	var h header
	plain, err := s.sealer.open(headerPlace(number), sealed)
	if err == nil {
		err = json.Unmarshal(plain, &h)
	}
	if err != nil {
		return h, fmt.Errorf("revision %d: %w", number, err)
	}
	return h, nil
}

// Keep implements commit.Log.
func (s *Store) Keep(name string, value []byte) error {
	return s.update("keep "+name, func(tx *bbolt.Tx) error {
		key := keptKey(name)
		if value == nil {
			return tx.Bucket(bucketMeta).Delete(key)
		}
		return tx.Bucket(bucketMeta).Put(key, s.sealer.seal(key, value))
	})
}

// Kept implements commit.Log.
func (s *Store) Kept(name string) ([]byte, error) {
	var value []byte
	err := s.view("kept "+name, func(tx *bbolt.Tx) (err error) {
		key := keptKey(name)
		if sealed := tx.Bucket(bucketMeta).Get(key); sealed != nil {
			value, err = s.sealer.open(key, sealed)
		}
		return err
	})
	return value, err
}

// keptKey is also the place to which a kept value is sealed.
func keptKey(name string) []byte { return append([]byte("kept "), name...) }

func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func chunkKey(n uint64, chunk uint32) []byte {
	return binary.BigEndian.AppendUint32(numberKey(n), chunk)
}

func headerPlace(n uint64) []byte  { return append([]byte("revision "), numberKey(n)...) }
func chunkPlace(key []byte) []byte { return append([]byte("text "), key...) }

func parseNumber(k []byte) (uint64, error) {
	if len(k) != 8 {
		return 0, fmt.Errorf("damaged: revision key of %d octets, want 8", len(k))
	}
	return binary.BigEndian.Uint64(k), nil
}
