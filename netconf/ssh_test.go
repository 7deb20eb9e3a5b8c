package netconf

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"testing"

	juniper "github.com/Juniper/go-netconf/netconf"
	"golang.org/x/crypto/ssh"

	"gvpn/commit"
	"gvpn/internal/auth"
)

func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// Juniper's own client over a real SSH connection: public-key login from `system login`, base:1.0, and what a program
// does with a device.
func TestJunipersClientOverSSH(t *testing.T) {
	hostKey, _ := newKey(t)
	maryKey, maryLine := newKey(t)
	n := newNode(t, "set system host-name before\nset system login user mary class super-user\nset system login user mary authentication ssh-ed25519 \""+maryLine+"\"\n")

	server := &auth.Server{
		HostKey: hostKey,
		Keys: func() (keys *auth.Keys) {
			_ = n.Manage(func(db *commit.DB) error {
				keys = auth.NewKeys(db.Effective())
				return nil
			})
			return keys
		},
		Subsystems: map[string]auth.Handler{"netconf": New(n).Handler()},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	login := func(user string, key ssh.Signer) (*juniper.Session, error) {
		return juniper.DialSSH(ln.Addr().String(), &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(hostKey.PublicKey()),
		})
	}

	otherKey, _ := newKey(t)
	if _, err := login("mary", otherKey); err == nil {
		t.Fatal("login with a key that is not configured")
	}
	if _, err := login("tom", maryKey); err == nil {
		t.Fatal("login of a user who is not configured")
	}
	s, err := login("mary", maryKey)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.SessionID != 1 || len(s.ServerCapabilities) != len(capabilities) {
		t.Errorf("hello: session %d, capabilities %q", s.SessionID, s.ServerCapabilities)
	}
	for _, method := range []juniper.RPCMethod{
		juniper.MethodLock("candidate"),
		juniper.RawMethod(`<edit-config><target><candidate/></target><config><configuration><system><host-name>after</host-name></system></configuration></config></edit-config>`),
		juniper.RawMethod(`<validate><source><candidate/></source></validate>`),
		juniper.RawMethod(`<commit/>`),
		juniper.MethodUnlock("candidate"),
	} {
		reply, err := s.Exec(method)
		if err != nil {
			t.Fatalf("%s: %v", method.MarshalMethod(), err)
		}
		if !strings.Contains(reply.Data, "<ok/>") {
			t.Errorf("%s: %s", method.MarshalMethod(), reply.RawReply)
		}
	}
	reply, err := s.Exec(juniper.MethodGetConfig("running"))
	if err != nil || !strings.Contains(reply.Data, "<host-name>after</host-name>") {
		t.Errorf("get-config: %v, %s", err, reply.RawReply)
	}
	reply, err = s.Exec(juniper.RawMethod(`<edit-config><target><candidate/></target><config><configuration><nonsense/></configuration></config></edit-config>`))
	if err == nil || len(reply.Errors) != 1 || reply.Errors[0].Tag != "unknown-element" || reply.Errors[0].Path != "[edit]" {
		t.Errorf("edit-config of nonsense: %v, %+v", err, reply)
	}
	// A session that another kills is gone, its SSH channel too.
	other, err := login("mary", maryKey)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := s.Exec(juniper.RawMethod(fmt.Sprintf(`<kill-session><session-id>%d</session-id></kill-session>`, other.SessionID))); err != nil {
		t.Errorf("kill-session: %v", err)
	}
	if reply, err := other.Exec(juniper.MethodGetConfig("running")); err == nil {
		t.Errorf("a killed session answers: %s", reply.RawReply)
	}
	if reply, err = s.Exec(juniper.RawMethod(`<close-session/>`)); err != nil || !strings.Contains(reply.Data, "<ok/>") {
		t.Errorf("close-session: %v, %+v", err, reply)
	}
	// The database knows who committed, and from where.
	_ = n.Manage(func(db *commit.DB) error {
		if last := db.History()[0]; last.User != "mary" || last.Client != "netconf" {
			t.Errorf("last commit by %q through %q", last.User, last.Client)
		}
		return nil
	})
}
