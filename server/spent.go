package server

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"gvpn/commit/step"
)

// A sub-server that destroys a KEK by its own commit (rows 1.3, 1.4, 1.10, 2.4b) may be given the same one again, by the next
// cluster-init with the root that made it. The push numbers that it has used under it stay used: members refuse them (RFC 6407
// section 5.7), and the same number must not carry two messages.

// spent is what is left of a KEK that was destroyed before its end.
type spent struct {
	seq  uint32 // of the last push under it
	hard time.Time
}

type kekSPI = [16]byte

func spentKey(spi kekSPI) string { return spentPrefix + hex.EncodeToString(spi[:]) }

// keepNumber remembers g's push number beyond its KEK. Only a sub-server's can come back.
func (s *Server) keepNumber(now time.Time, g *group) {
	for spi, old := range s.spent {
		if !now.Before(old.hard) {
			delete(s.spent, spi)
			s.records[spentKey(spi)] = nil
		}
	}
	k := g.kek
	if k == nil || k.Seq == 0 || !g.sub() {
		return
	}
	s.spent[k.SPI] = spent{k.Seq, k.Hard}
	b := binary.BigEndian.AppendUint32([]byte{recordVersion}, k.Seq)
	s.records[spentKey(k.SPI)] = appendUint64(b, uint64(k.Hard.UnixMilli()))
}

// usedNumber is the last push number that was used under a KEK which is there again; 0 if there is none.
func (s *Server) usedNumber(spi kekSPI) uint32 {
	old, found := s.spent[spi]
	if found {
		delete(s.spent, spi)
		s.records[spentKey(spi)] = nil
	}
	return old.seq
}

// sub reports whether g's KEK is its root's.
func (g *group) sub() bool {
	return g.conf.Role == step.SubServer || g.before.Role == step.SubServer
}

func (s *Server) restoreSpent(now time.Time, name string, r *reader) error {
	spi, err := hex.DecodeString(name)
	if err != nil || len(spi) != len(kekSPI{}) {
		return errors.New("its key has no SPI")
	}
	r.version()
	old := spent{seq: r.uint32(), hard: r.time()}
	if err := r.end(); err != nil {
		return err
	}
	if now.Before(old.hard) {
		s.spent[kekSPI(spi)] = old
	} else {
		s.records[spentPrefix+name] = nil
	}
	return nil
}
