package netconf

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"gvpn/commit"
)

// A confirmed commit (RFC 6241 section 8.4) is package commit's, which takes it back at its time; here is who may confirm it. Without
// <persist> that is the session that issued it, and it is taken back when that session ends; with it, whoever knows the token. What
// somebody on the shell or on gNMI commits confirms it too: the RFC does not know them, and an operator has the last word.

// defaultConfirmTimeout is the RFC's.
const defaultConfirmTimeout = 600 * time.Second

// confirmation is what the last confirmed commit waits for.
type confirmation struct {
	number  uint64 // of the commit: if another runs, there is nothing to wait for
	session uint32 // that must confirm it, 0 for any that has the token
	persist string // the token
}

// commitRequest is what <commit> and <cancel-commit> hold.
type commitRequest struct {
	confirm            time.Duration // 0: not to be confirmed
	persist, persistID string
}

func parseCommit(op *element) (commitRequest, error) {
	r := commitRequest{confirm: defaultConfirmTimeout}
	for _, c := range op.children {
		bad := func(message string) error { return refuse(invalidValue, message, info{"bad-element", c.name}) }
		commits := op.name == "commit"
		switch {
		case c.name == "persist-id":
			if r.persistID = c.text; r.persistID == "" {
				return r, bad("<persist-id> is empty")
			}
		case commits && c.name == "confirmed":
		case commits && c.name == "persist":
			if r.persist = c.text; r.persist == "" {
				return r, bad("<persist> is empty")
			}
		case commits && c.name == "confirm-timeout":
			seconds, err := strconv.ParseUint(c.text, 10, 32)
			if err != nil || seconds == 0 {
				return r, bad(fmt.Sprintf("<confirm-timeout> %q is no number of seconds in 1..%d", c.text, uint32(math.MaxUint32)))
			}
			r.confirm = time.Duration(seconds) * time.Second
		default:
			return r, unsupported(c.name, op.name+" with "+c.name)
		}
	}
	if op.child("confirmed") == nil {
		for _, name := range []string{"confirm-timeout", "persist"} {
			if op.child(name) != nil {
				return r, refuse(badElement, "<"+name+"> without <confirmed/>", info{"bad-element", name})
			}
		}
		r.confirm = 0
	}
	return r, nil
}

// awaited returns what the running configuration waits for, false if it is not a confirmed commit of a NETCONF session. Called under
// the management mutex.
func (s *Server) awaited(db *commit.DB) (confirmation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, pending := db.Pending()
	return s.confirmation, pending && s.confirmation.number == db.Number()
}

// mayConfirm refuses whoever may not follow up the confirmed commit that is pending, and a token that is not its.
func (x *session) mayConfirm(db *commit.DB, r commitRequest) error {
	c, pending := x.server.awaited(db)
	switch {
	case r.persistID != "" && (!pending || r.persistID != c.persist):
		return refuse(invalidValue, "no confirmed commit with this <persist-id> is pending", info{"bad-element", "persist-id"})
	case !pending || c.session == x.id || r.persistID != "":
		return nil
	case c.session == 0:
		return refuse(invalidValue, "a confirmed commit with <persist> is pending: <persist-id> is needed", info{"bad-element", "persist-id"})
	}
	return refuse(inUse, fmt.Sprintf("a confirmed commit of session %d is pending", c.session), sessionInfo(c.session))
}

// await notes who may confirm a commit.
func (x *session) await(number uint64, r commitRequest) {
	c := confirmation{number: number, persist: r.persist}
	switch {
	case c.persist != "":
	case r.persistID != "":
		c.persist = r.persistID
	default:
		c.session = x.id
	}
	x.server.mu.Lock()
	defer x.server.mu.Unlock()
	x.server.confirmation = c
}

func (x *session) commit(op *element) ([]byte, error) {
	r, err := parseCommit(op)
	if err != nil {
		return nil, err
	}
	var result commit.Result
	err = x.server.backend.Manage(func(db *commit.DB) error {
		err := x.mayEdit(db)
		if err == nil {
			err = x.mayConfirm(db, r)
		}
		if err == nil {
			result, err = db.Commit(commit.Options{User: x.identity.User, Client: clientName, Remote: x.identity.Remote, Owner: x.owner(), Confirm: r.confirm})
		}
		if err == nil && r.confirm != 0 {
			x.await(result.Number, r)
		}
		return err
	})
	return done(result.Warnings), err
}

func (x *session) cancelCommit(op *element) ([]byte, error) {
	r, err := parseCommit(op)
	if err != nil {
		return nil, err
	}
	return []byte(ok), x.server.backend.Manage(func(db *commit.DB) error {
		if err := x.mayEdit(db); err != nil {
			return err
		}
		if err := x.mayConfirm(db, r); err != nil {
			return err
		}
		if _, pending := x.server.awaited(db); !pending {
			return refuse(operationFailed, "no confirmed commit of a NETCONF session is pending")
		}
		return db.Cancel(commit.Options{User: x.identity.User, Client: clientName, Remote: x.identity.Remote})
	})
}

// expire has the confirmed commit taken back that only this session could have confirmed.
func (x *session) expire() {
	x.server.mu.Lock()
	mine := x.server.confirmation.session == x.id
	x.server.mu.Unlock()
	if !mine {
		return
	}
	// A node that is closing takes it back when it starts again.
	_ = x.server.backend.Manage(func(db *commit.DB) error {
		if c, pending := x.server.awaited(db); pending && c.session == x.id {
			db.Expire()
		}
		return nil
	})
}
