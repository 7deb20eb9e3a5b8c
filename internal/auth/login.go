package auth

import (
	"slices"

	"gvpn/config"
)

// keyLists are the lists of public keys under `system login user NAME authentication`.
var keyLists = []string{"ssh-rsa", "ssh-ecdsa", "ssh-ed25519"}

// classOf returns the predefined class with the most of the permissions of a configured one, and never one that it has not.
func classOf(permissions []string) Class {
	has := func(p string) bool { return slices.Contains(permissions, p) || slices.Contains(permissions, "all") }
	switch {
	case has("view") && has("clear") && has("configure"):
		return SuperUser
	case has("view") && has("clear"):
		return Operator
	case has("view"):
		return ReadOnly
	}
	return Unauthorized
}

// NewKeys returns the public keys of `system login` in an effective configuration.
func NewKeys(t config.Tree) *Keys {
	k := new(Keys)
	login := t.Root().Child("system").Child("login")
	for user := range login.Entries("user") {
		class := Class(user.Get("class"))
		if c := login.Entry("class", string(class)); c.Exists() {
			class = classOf(c.Child("permissions").Values())
		}
		if class == "" {
			class = Unauthorized
		}
		for _, list := range keyLists {
			for key := range user.Child("authentication").Entries(list) {
				k.add(user.Key()[0], class, key.Key()[0])
			}
		}
	}
	return k
}
