package auth

import "gvpn/config"

// keyLists are the lists of public keys under `system login user NAME authentication`.
var keyLists = []string{"ssh-rsa", "ssh-ecdsa", "ssh-ed25519"}

// NewKeys returns the public keys of `system login` in a configuration. Inactive parts let nobody in.
func NewKeys(t config.Tree) *Keys {
	k := new(Keys)
	for user := range t.Effective().Root().Child("system").Child("login").Entries("user") {
		class := Class(user.Get("class"))
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
