//go:build interop

package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connection is a connection p1 of charon's with changes: "what stands there", "what shall".
func connection(changes ...string) string {
	return strings.NewReplacer(append([]string{"SECRET", "between-charon-and-gvpnd"}, changes...)...).Replace(swanctlConf)
}

func (c charon) initiate() {
	c.t.Helper()
	if out, err := c.command("--initiate", "--ike", "p1"); err != nil {
		c.t.Fatalf("swanctl --initiate: %v\n%s", err, out)
	}
}

func (c charon) wantEstablished(also ...string) {
	c.t.Helper()
	sas := c.sas()
	for _, want := range append([]string{"ESTABLISHED"}, also...) {
		if !strings.Contains(sas, want) {
			c.t.Fatalf("swanctl --list-sas: no %q:\n%s", want, sas)
		}
	}
}

// With encap = yes charon makes believe that there is a NAT: it begins from port 500 to 848 and goes on from 4500 to 4500, where DPD
// and the deletion go too.
func TestStrongSwanNATTraversal(t *testing.T) {
	left, right := connected(t)
	startServer(t, right, serverConfig)
	c := startCharonWith(t, left, connection("    keyingtries", "    encap = yes\n    keyingtries"), nil)
	c.initiate()
	c.wantEstablished("192.0.2.2[4500]", "192.0.2.1[4500]")
	eventually(t, 15*time.Second, "two DPD answers seen by charon", func() bool {
		log := c.log()
		return len(dpdAsked.FindAllString(log, -1)) >= 2 && len(dpdAnswered.FindAllString(log, -1)) >= 2
	})
	if out, err := c.command("--terminate", "--ike", "p1"); err != nil {
		t.Fatalf("swanctl --terminate: %v\n%s", err, out)
	}
	tried(t, strongswanPeer, "it begins with gvpnd, `encap = yes`: 500 to 848, then 4500 to 4500; its probes; its delete", "SA up; probes answered")
}

// Aggressive mode with a peer that is known by its identity only; and refused where it is not configured.
func TestStrongSwanAggressiveMode(t *testing.T) {
	left, right := connected(t)
	conf := strings.NewReplacer("mode main", "mode aggressive", "address 192.0.2.1;", "dynamic {\n hostname charon.example.net;\n }").Replace(serverConfig)
	startServer(t, right, conf)
	c := startCharonWith(t, left, connection("    keyingtries", "    aggressive = yes\n    keyingtries", "id = 192.0.2.1\n", "id = charon.example.net\n"), nil)
	c.initiate()
	c.wantEstablished("charon.example.net")
	tried(t, strongswanPeer, "it begins with gvpnd in aggressive mode, known by its host name (`dynamic`)", "SA up")
}

func TestStrongSwanAggressiveModeRefused(t *testing.T) {
	left, right := connected(t)
	startServer(t, right, serverConfig)
	c := startCharonWith(t, left, connection("    keyingtries", "    aggressive = yes\n    keyingtries"), nil)
	if out, err := c.command("--initiate", "--ike", "p1", "--timeout", "8"); err == nil {
		t.Fatalf("swanctl --initiate succeeded:\n%s", out)
	}
	tried(t, strongswanPeer, "it begins with gvpnd in aggressive mode, which the policy does not have", "no SA, silence")
}

// issued is a certificate with its key, and its issuer's, in PEM.
type issued struct{ certificate, key, issuer string }

// issue makes certificates of subjects O=Example, CN=name for two sides under one issuer.
func issue(t *testing.T, kind string, names ...string) map[string]issued {
	t.Helper()
	newKey := func() crypto.Signer {
		var k crypto.Signer
		var err error
		switch kind {
		case "rsa":
			k, err = rsa.GenerateKey(rand.Reader, 2048)
		case "ecdsa-256":
			k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		default:
			k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		}
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	text := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Example"}, CommonName: "CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey := newKey()
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	issuer := text("CERTIFICATE", caDER, err)
	out := map[string]issued{}
	for i, name := range names {
		key := newKey()
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(2 + i)), Subject: pkix.Name{Organization: []string{"Example"}, CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, DNSNames: []string{name + ".example.net"},
		}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), caKey)
		one := issued{certificate: text("CERTIFICATE", der, err), issuer: issuer}
		switch k := key.(type) {
		case *rsa.PrivateKey:
			one.key = text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k), nil)
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(k)
			one.key = text("EC PRIVATE KEY", der, err)
		}
		out[name] = one
	}
	return out
}

func (i issued) files() map[string]string {
	return map[string]string{"x509/me.pem": i.certificate, "private/me.pem": i.key, "x509ca/ca.pem": i.issuer}
}

// certified turns the configuration of serverConfig or memberConfig into one with certificates.
func certified(conf, method, hash string, me issued) string {
	return strings.NewReplacer(
		"pre-shared-keys", method, "authentication-algorithm sha-256;\n                    dh", "authentication-algorithm "+hash+";\n                    dh",
		`pre-shared-key ascii-text "between-charon-and-gvpnd";`, "certificate {\n local-certificate ME;\n trust-anchor CA;\n }",
		"security {\n", "security {\n    certificates {\n local ME {\n \""+me.certificate+me.key+"\";\n }\n trust-anchor CA {\n \""+me.issuer+"\";\n }\n }\n",
	).Replace(conf)
}

var signatureKinds = []struct{ kind, method, hash, charon string }{
	{"rsa", "rsa-signatures", "sha-256", "aes256-sha256-modp2048"},
	{"ecdsa-256", "ecdsa-signatures-256", "sha-256", "aes256-sha256-modp2048"},
	{"ecdsa-384", "ecdsa-signatures-384", "sha-384", "aes256-sha384-modp2048"},
}

// charon as initiator with certificates: each side takes the other's, and sees its subject.
func TestStrongSwanSignatures(t *testing.T) {
	for _, k := range signatureKinds {
		t.Run(k.kind, func(t *testing.T) {
			left, right := connected(t)
			certs := issue(t, k.kind, "charon", "gvpnd")
			conf := certified(serverConfig, k.method, k.hash, certs["gvpnd"])
			conf = strings.ReplaceAll(conf, "address 192.0.2.1;", "dynamic {\n distinguished-name \"CN=charon,O=Example\";\n }\n local-identity distinguished-name;")
			startServer(t, right, conf)
			c := startCharonWith(t, left, connection("aes256-sha256-modp2048", k.charon,
				"auth = psk\n            id = 192.0.2.1", "auth = pubkey\n            certs = me.pem",
				"auth = psk\n            id = 192.0.2.2", "auth = pubkey\n            id = \"O=Example, CN=gvpnd\""), certs["charon"].files())
			c.initiate()
			c.wantEstablished("CN=gvpnd")
			tried(t, strongswanPeer, "it begins with gvpnd, "+k.method+" with certificates, subjects as identities", "SA up")
		})
	}
}

// memberConfig is a group member with one key server, behind the relay at 192.0.2.4.
const memberConfig = `
system {
    host-name member;
}
security {
    group-vpn {
        member {
            ike {
                proposal AES256 {
                    authentication-method pre-shared-keys;
                    authentication-algorithm sha-256;
                    dh-group group14;
                    encryption-algorithm aes-256-cbc;
                    lifetime-seconds 3600;
                }
                policy SERVERS {
                    mode main;
                    proposals AES256;
                    pre-shared-key ascii-text "between-charon-and-gvpnd";
                }
                gateway CHARON {
                    ike-policy SERVERS;
                    server-address 192.0.2.4;
                    local-address 192.0.2.2;
                    local-identity hostname gvpnd.example.net;
                    remote-identity hostname charon.example.net;
                }
            }
            ipsec {
                vpn V {
                    ike-gateway CHARON;
                    group 1;
                }
            }
        }
    }
    zones {
        security-zone LAN;
        security-zone WAN;
    }
    ipsec-policy {
        from-zone LAN to-zone WAN {
            ipsec-group-vpn V;
        }
    }
}
`

// in4 opens a UDP socket in the namespace.
func (ns namespace) listen(t *testing.T, at string) *net.UDPConn {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	type opened struct {
		conn *net.UDPConn
		err  error
	}
	done := make(chan opened)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		fd, err := unix.Open("/var/run/netns/"+ns.name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(fd)
			err = unix.Setns(fd, unix.CLONE_NEWNET)
		}
		if err != nil {
			done <- opened{err: err}
			return
		}
		conn, err := net.ListenUDP("udp4", addr)
		done <- opened{conn, err}
	}()
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	t.Cleanup(func() { _ = o.conn.Close() })
	return o.conn
}

// translate is a NAT in user space beside gvpnd: what comes to 192.0.2.4, UDP 848, goes on from port 500 to charon's port 500, and
// what comes to port 4500 from another port to charon's 4500; and back.
func translate(t *testing.T, ns namespace) {
	t.Helper()
	must(t, need(t, "ip", "iproute2"), "-n", ns.name, "address", "add", "192.0.2.4/24", "dev", "veth0")
	for _, way := range [][3]string{{"192.0.2.4:848", "192.0.2.4:500", "192.0.2.1:500"}, {"192.0.2.4:4500", "192.0.2.4:34500", "192.0.2.1:4500"}} {
		inner, outer := ns.listen(t, way[0]), ns.listen(t, way[1])
		peer, err := net.ResolveUDPAddr("udp4", way[2])
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var client *net.UDPAddr
		go func() {
			buf := make([]byte, 65536)
			for {
				n, from, err := inner.ReadFromUDP(buf)
				if err != nil {
					return
				}
				mu.Lock()
				client = from
				mu.Unlock()
				_, _ = outer.WriteToUDP(buf[:n], peer)
			}
		}()
		go func() {
			buf := make([]byte, 65536)
			for {
				n, _, err := outer.ReadFromUDP(buf)
				if err != nil {
					return
				}
				mu.Lock()
				to := client
				mu.Unlock()
				if to != nil {
					_, _ = inner.WriteToUDP(buf[:n], to)
				}
			}
		}()
	}
}

// Our member as initiator, behind a NAT: it finds the NAT, floats, and charon takes its proof; with a key and with certificates.
func TestStrongSwanResponder(t *testing.T) {
	kinds := append([]struct{ kind, method, hash, charon string }{{"psk", "", "", "aes256-sha256-modp2048"}}, signatureKinds...)
	for _, k := range kinds {
		t.Run(k.kind, func(t *testing.T) {
			left, right := connected(t)
			translate(t, right)
			conf := connection("aes256-sha256-modp2048", k.charon, "remote_addrs = 192.0.2.2", "remote_addrs = %any", "    remote_port = 848\n", "", "    dpd_delay = 1s\n", "",
				"id = 192.0.2.1", "id = charon.example.net", "id = 192.0.2.2", "id = gvpnd.example.net")
			member, files := memberConfig, map[string]string(nil)
			if k.method != "" {
				certs := issue(t, k.kind, "charon", "gvpnd")
				member = certified(memberConfig, k.method, k.hash, certs["gvpnd"])
				files = certs["charon"].files()
				conf = strings.Replace(conf, "auth = psk", "auth = pubkey\n            certs = me.pem", 1)
				conf = strings.Replace(conf, "auth = psk", "auth = pubkey", 1)
			}
			c := startCharonWith(t, left, conf, files)
			startServer(t, right, member)
			eventually(t, 20*time.Second, "an SA at charon", func() bool { return strings.Contains(c.sas(), "ESTABLISHED") })
			c.wantEstablished("192.0.2.4[34500]", "192.0.2.1[4500]", "gvpnd.example.net")
			method := "pre-shared key"
			if k.method != "" {
				method = k.method
			}
			tried(t, strongswanPeer, "a gvpnd member begins from behind a NAT that changes address and ports, "+method, "SA up, on ports 4500")
		})
	}
}

// subConfig is a sub-server, its root-server behind the relay at 192.0.2.4.
var subConfig = strings.NewReplacer(
	"gateway CHARON {", "gateway CHARON {\n dead-peer-detection always-send;\n local-identity hostname gvpnd.example.net;\n remote-identity hostname charon.example.net;",
	"address 192.0.2.1;", "address 192.0.2.4;",
	"ike-gateway CHARON;", "server-cluster {\n server-role sub-server;\n ike-gateway CHARON;\n }",
).Replace(serverConfig)

// Our sub-server as initiator, as the peer of a cluster. What it goes on with, an exchange of ours, charon does not know.
func TestStrongSwanClusterPeer(t *testing.T) {
	left, right := connected(t)
	translate(t, right)
	c := startCharonWith(t, left, connection("remote_addrs = 192.0.2.2", "remote_addrs = %any", "    remote_port = 848\n", "",
		"id = 192.0.2.1", "id = charon.example.net", "id = 192.0.2.2", "id = gvpnd.example.net"), nil)
	startServer(t, right, subConfig)
	eventually(t, 20*time.Second, "an SA at charon", func() bool { return strings.Contains(c.sas(), "ESTABLISHED") })
	c.wantEstablished("192.0.2.4[34500]", "gvpnd.example.net")
	eventually(t, 15*time.Second, "an answer to charon's probe", func() bool { return dpdAnswered.MatchString(c.log()) })
	tried(t, strongswanPeer, "a gvpnd sub-server begins, as the peer of a cluster, from behind the same NAT; its probes", "SA up; probes answered; the cluster's exchange is nothing to it")
}
