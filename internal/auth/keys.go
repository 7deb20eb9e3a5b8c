package auth

import (
	"crypto/subtle"
	"errors"

	"golang.org/x/crypto/ssh"
)

// ErrLogin is Check's error, the same for an unknown user and an unknown key: a caller learns nothing about which.
var ErrLogin = errors.New("auth: login refused")

// Keys holds the public keys of `system login`. It is immutable; a commit makes a new one.
type Keys struct {
	users map[string]login
}

type login struct {
	class Class
	keys  [][]byte // wire form (RFC 4253 section 6.6)
}

// add takes in one key in the form of an OpenSSH authorized_keys line; a line that does not parse is left out, since it
// can let nobody in.
func (k *Keys) add(user string, class Class, line string) {
	if k.users == nil {
		k.users = make(map[string]login)
	}
	l := k.users[user]
	l.class = class
	if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err == nil {
		l.keys = append(l.keys, key.Marshal())
	}
	k.users[user] = l
}

// Check says who logs in as user with key, which the caller has proved to have or is asking about. A user without class
// has class unauthorized, as on Junos.
func (k *Keys) Check(user string, key ssh.PublicKey) (Identity, error) {
	if k == nil {
		return Identity{}, ErrLogin
	}
	wire := key.Marshal()
	l := k.users[user]
	found := 0
	for _, known := range l.keys { // all of them: which one matched must not show in the time
		found |= subtle.ConstantTimeCompare(known, wire)
	}
	if found != 1 {
		return Identity{}, ErrLogin
	}
	return Identity{User: user, Class: l.class}, nil
}
