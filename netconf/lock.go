package netconf

import (
	"fmt"

	"gvpn/commit"
)

// The locks of both datastores are one lock of the database underneath: a session that holds either keeps everybody else,
// on NETCONF or not, from editing the candidate and from committing.

// owner is how the database knows a session that locks it.
func (x *session) owner() string {
	return fmt.Sprintf("%s netconf session %d", x.identity.User, x.id)
}

func (x *session) lock(op *element) ([]byte, error) {
	name, err := datastore(op, "target", running, candidate)
	if err != nil {
		return nil, err
	}
	return []byte(ok), x.server.backend.Manage(func(db *commit.DB) error {
		s := x.server
		s.mu.Lock()
		defer s.mu.Unlock()
		if holder, held := s.locks[name]; held {
			return denied(holder, fmt.Sprintf("configuration database locked by session %d", holder))
		}
		if holder := s.otherHolder(x); holder != 0 {
			return denied(holder, fmt.Sprintf("configuration database locked by session %d", holder))
		}
		// RFC 6241 section 7.5: no lock on a candidate with changes that were neither committed nor discarded.
		if name == candidate && db.Candidate().Changed() {
			return denied(0, "configuration database modified")
		}
		if !s.holds(x) {
			if err := db.Lock(x.owner()); err != nil {
				return denied(0, err.Error())
			}
		}
		s.locks[name] = x.id
		return nil
	})
}

func (x *session) unlock(op *element) ([]byte, error) {
	name, err := datastore(op, "target", running, candidate)
	if err != nil {
		return nil, err
	}
	return []byte(ok), x.server.backend.Manage(func(db *commit.DB) error {
		x.server.mu.Lock()
		defer x.server.mu.Unlock()
		if x.server.locks[name] != x.id {
			return refuse(operationFailed, "session "+fmt.Sprint(x.id)+" holds no lock on "+name)
		}
		x.release(db, name)
		return nil
	})
}

// freeLocks gives back what the session holds; it may be called for a session that is gone, and from another's goroutine.
func (x *session) freeLocks() {
	x.server.mu.Lock()
	held := x.server.holds(x)
	x.server.mu.Unlock()
	if !held {
		return
	}
	// A node that is closing has no use for the lock either.
	_ = x.server.backend.Manage(func(db *commit.DB) error {
		x.server.mu.Lock()
		defer x.server.mu.Unlock()
		for _, name := range []string{candidate, running} {
			if x.server.locks[name] == x.id {
				x.release(db, name)
			}
		}
		return nil
	})
}

// release gives one lock back. "Any outstanding changes are discarded when the lock is released, whether explicitly with
// the <unlock> operation or implicitly from session failure" (RFC 6241 section 8.3.5.2). Called with mu held.
func (x *session) release(db *commit.DB, name string) {
	delete(x.server.locks, name)
	if name == candidate {
		db.Candidate().Discard()
	}
	if !x.server.holds(x) {
		db.Unlock(x.owner())
	}
}

// holds reports whether x holds any lock. Called with mu held.
func (s *Server) holds(x *session) bool {
	return s.locks[running] == x.id || s.locks[candidate] == x.id
}

// otherHolder returns a session other than x that holds a lock, 0 if there is none. Called with mu held.
func (s *Server) otherHolder(x *session) uint32 {
	for _, name := range []string{candidate, running} {
		if holder := s.locks[name]; holder != 0 && holder != x.id {
			return holder
		}
	}
	return 0
}

func denied(holder uint32, message string) faults {
	return refuse(lockDenied, message, sessionInfo(holder))
}

// mayEdit refuses if someone else holds the lock. Called under the management mutex.
func (x *session) mayEdit(db *commit.DB) error {
	x.server.mu.Lock()
	defer x.server.mu.Unlock()
	if holder := x.server.otherHolder(x); holder != 0 {
		return refuse(inUse, fmt.Sprintf("configuration database locked by session %d", holder), sessionInfo(holder))
	}
	if owner := db.Locked(); owner != "" && owner != x.owner() {
		return refuse(inUse, "configuration database locked by: "+owner, sessionInfo(0))
	}
	return nil
}
