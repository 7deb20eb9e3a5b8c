//go:build interop

package interop

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "github.com/openconfig/gnmi/proto/gnmi"
	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"gvpn/config"
)

// TestDoorsOfARunningDaemon configures NETCONF and gNMI on a gvpnd and goes through both: OpenSSH carries NETCONF, xmllint
// reads what comes back, a gNMI client commits, and the shell's client sees the result of both.
func TestDoorsOfARunningDaemon(t *testing.T) {
	openssh, xmllint := need(t, "ssh", "openssh-client"), need(t, "xmllint", "libxml2-utils")
	dir := t.TempDir()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(dir, "identity")
	if err := os.WriteFile(identity, pem.EncodeToMemory(private), 0o600); err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	device := selfSigned(t, "device", key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	devicePEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: device.Certificate[0]})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	netconfPort, gnmiPort := freePort(t), freePort(t)
	socket := startServer(t, namespace{}, fmt.Sprintf(`
system {
    host-name before;
    login {
        user mary {
            class super-user;
            authentication {
                ssh-ecdsa %q;
            }
        }
    }
    services {
        netconf {
            ssh {
                port %d;
                listen-address 127.0.0.1;
            }
        }
        extension-service {
            request-response {
                grpc {
                    ssl {
                        port %d;
                        listen-address 127.0.0.1;
                        local-certificate device;
                    }
                }
            }
        }
    }
}
security {
    certificates {
        local device {
            certificate %s;
        }
    }
}
`, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))), netconfPort, gnmiPort, config.Quote(devicePEM)))

	var session strings.Builder
	for _, message := range []string{
		`<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>`,
		`<rpc message-id="1" xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><edit-config><target><candidate/></target><config><configuration><system><host-name>by-netconf</host-name></system></configuration></config></edit-config></rpc>`,
		`<rpc message-id="2" xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><commit/></rpc>`,
		`<rpc message-id="3" xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><get-config><source><running/></source></get-config></rpc>`,
		`<rpc message-id="4" xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><get-gvpn-ipsec-statistics-information/></rpc>`,
		`<rpc message-id="5" xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><close-session/></rpc>`,
	} {
		session.WriteString(message + "]]>]]>\n")
	}
	var out []byte
	eventually(t, 20*time.Second, "an answer on the NETCONF port", func() bool {
		cmd := exec.Command(openssh, "-F", "none", "-i", identity, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
			"-o", "UserKnownHostsFile="+filepath.Join(dir, "known_hosts"), "-o", "ConnectTimeout=5", "-o", "BatchMode=yes",
			"-p", fmt.Sprint(netconfPort), "-s", "mary@127.0.0.1", "netconf")
		cmd.Stdin = strings.NewReader(session.String())
		var err error
		if out, err = cmd.Output(); err != nil {
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				t.Logf("ssh: %v: %s", err, failed.Stderr)
			}
		}
		return len(out) > 0
	})
	messages := bytes.Split(bytes.TrimSpace(out), []byte("]]>]]>"))
	wants := []string{"<session-id>1</session-id>", "<ok/>", "<ok/>", "<host-name>by-netconf</host-name>", "<esp-encrypted-packets>0</esp-encrypted-packets>", "<ok/>"}
	if len(messages) != len(wants)+1 || len(messages[len(wants)]) != 0 {
		t.Fatalf("%d messages from gvpnd: %s", len(messages)-1, out)
	}
	for i, message := range messages[:len(wants)] {
		lint := exec.Command(xmllint, "--noout", "-")
		lint.Stdin = bytes.NewReader(message)
		if out, err := lint.CombinedOutput(); err != nil {
			t.Errorf("message %d: xmllint: %v: %s\n%s", i, err, out, message)
		}
		if !bytes.Contains(message, []byte(wants[i])) {
			t.Errorf("message %d: no %s in %s", i, wants[i], message)
		}
	}

	roots := x509.NewCertPool()
	roots.AddCert(device.Leaf)
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", gnmiPort), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: roots, ServerName: "device", Certificates: []tls.Certificate{selfSigned(t, "mary", key)},
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hostName := &pb.Path{Elem: []*pb.PathElem{{Name: "configuration"}, {Name: "system"}, {Name: "host-name"}}}
	if _, err := pb.NewGNMIClient(conn).Set(t.Context(), &pb.SetRequest{Update: []*pb.Update{{
		Path: hostName, Val: &pb.TypedValue{Value: &pb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(`"by-gnmi"`)}},
	}}}); err != nil {
		t.Fatal(err)
	}
	shown := must(t, program(t, "gvpn"), "-s", socket, "-c", "show configuration system host-name; show system commit")
	for _, want := range []string{"host-name by-gnmi;", "by mary via gnmi", "by mary via netconf"} {
		if !strings.Contains(shown, want) {
			t.Errorf("gvpn shows no %q:\n%s", want, shown)
		}
	}
}

// selfSigned is a certificate for a name, signed by its own key.
func selfSigned(t *testing.T, name string, key crypto.Signer) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// freePort is a TCP port that nobody has at the moment.
func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}
