package auth

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"gvpn/config"
)

// publicKey is a key that is the same at each run.
func publicKey(t *testing.T, seed byte) (ssh.PublicKey, string) {
	t.Helper()
	private := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(seed), ed25519.SeedSize)))
	key, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func TestKeysOfConfiguration(t *testing.T) {
	alice, aliceText := publicKey(t, 'a')
	second, secondText := publicKey(t, 'b')
	off, offText := publicKey(t, 'c')
	stranger, _ := publicKey(t, 'd')
	text := `
system {
    login {
        user alice {
            class operator;
            authentication {
                ssh-ed25519 "` + aliceText + ` alice@home";
                ssh-ed25519 "` + secondText + `";
                inactive: ssh-ed25519 "` + offText + `";
            }
        }
        inactive: user bob {
            class super-user;
            authentication {
                ssh-ed25519 "` + aliceText + `";
            }
        }
        user carol {
            class read-only;
        }
    }
}`
	tree, errs := config.Tree{}.LoadCurly(nil, config.Merge, "test", []byte(text))
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	for permissions, want := range map[string]Class{
		"all": SuperUser, "[ configure clear view ]": SuperUser, "[ clear view ]": Operator, "view": ReadOnly, "[ configure view ]": ReadOnly,
		"[ clear configure ]": Unauthorized, "configure": Unauthorized,
	} {
		own, errs := tree.LoadCurly(nil, config.Merge, "test", []byte("system { login { class own { permissions "+permissions+"; } user alice { class own; } } }"))
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		if id, err := NewKeys(own.Effective()).Check("alice", alice); err != nil || id.Class != want {
			t.Errorf("permissions %s: class %s, %v, want %s", permissions, id.Class, err, want)
		}
	}
	keys := NewKeys(tree.Effective())
	for _, key := range []ssh.PublicKey{alice, second} {
		if id, err := keys.Check("alice", key); err != nil || id != (Identity{User: "alice", Class: Operator}) {
			t.Errorf("alice: %+v, %v", id, err)
		}
	}
	for _, c := range []struct {
		user string
		key  ssh.PublicKey
	}{{"alice", stranger}, {"alice", off}, {"bob", alice}, {"carol", alice}, {"", alice}} {
		if _, err := keys.Check(c.user, c.key); !errors.Is(err, ErrLogin) {
			t.Errorf("%q is let in with a key that is not theirs: %v", c.user, err)
		}
	}
	if _, err := (*Keys)(nil).Check("alice", alice); !errors.Is(err, ErrLogin) {
		t.Errorf("no keys at all: %v", err)
	}
}
