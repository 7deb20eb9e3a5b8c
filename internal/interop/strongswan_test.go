//go:build interop

package interop

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// program is one of our programs, which `make build` makes.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: make build first", err)
	}
	return path
}

// startServer runs gvpnd in a namespace (the zero one: where the test is) and returns its control socket.
func startServer(t *testing.T, ns namespace, config string) string {
	t.Helper()
	return startDaemon(t, ns, config).socket
}

// daemon is a running gvpnd.
type daemon struct {
	*process
	t      *testing.T
	socket string
}

// startDaemon is startServer with more options.
func startDaemon(t *testing.T, ns namespace, config string, options ...string) daemon {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "server.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command := append(ns.in(t, program(t, "gvpnd"), "-f", file, "-d", filepath.Join(dir, "state")), options...)
	p := start(t, command[0], command[1:]...)
	socket := filepath.Join(dir, "state", "gvpnd.sock")
	eventually(t, 20*time.Second, "a control socket of gvpnd", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	return daemon{p, t, socket}
}

// shell has the daemon's shell carry out a line and returns what it prints.
func (d daemon) shell(line string) string {
	d.t.Helper()
	return must(d.t, program(d.t, "gvpn"), "-s", d.socket, "-c", line)
}

// serverConfig is a key server with one group member at address.
const serverConfig = `
system {
    host-name server;
}
security {
    group-vpn {
        server {
            ike {
                proposal AES256 {
                    authentication-method pre-shared-keys;
                    authentication-algorithm sha-256;
                    dh-group group14;
                    encryption-algorithm aes-256-cbc;
                }
                policy MEMBERS {
                    mode main;
                    proposals AES256;
                    pre-shared-key ascii-text "between-charon-and-gvpnd";
                }
                gateway CHARON {
                    ike-policy MEMBERS;
                    address 192.0.2.1;
                    local-address 192.0.2.2;
                }
            }
            ipsec {
                proposal ESP {
                    authentication-algorithm hmac-sha-256-128;
                    encryption-algorithm aes-256-cbc;
                    lifetime-seconds 3600;
                }
            }
            group G {
                group-id 1;
                member-threshold 10;
                ike-gateway CHARON;
                server-member-communication {
                    communication-type unicast;
                    lifetime-seconds 7200;
                    encryption-algorithm aes-256-cbc;
                    sig-hash-algorithm sha-256;
                }
                ipsec-sa SA {
                    proposal ESP;
                    match-policy 1 {
                        source 172.16.0.0/12;
                        destination 172.16.0.0/12;
                        protocol 0;
                    }
                }
            }
        }
    }
}
`

// charonConf is charon's own configuration (gdoi-wire.md section 6): one setting per line, or it is not read.
const charonConf = `charon-systemd {
    load = random nonce openssl hmac kdf pem x509 pkcs1 constraints pubkey kernel-netlink socket-default vici
    install_routes = no
    retransmit_tries = 3
    retransmit_timeout = 1.0
    filelog {
        log {
            path = DIR/charon.log
            default = 1
            ike = 2
            flush_line = yes
        }
    }
    plugins {
        vici {
            socket = unix://DIR/vici
        }
    }
}
`

const swanctlConf = `connections {
    p1 {
        version = 1
        local_addrs = 192.0.2.1
        remote_addrs = 192.0.2.2
        remote_port = 848
        proposals = aes256-sha256-modp2048
        keyingtries = 1
        dpd_delay = 1s
        dpd_timeout = 20s
        local {
            auth = psk
            id = 192.0.2.1
        }
        remote {
            auth = psk
            id = 192.0.2.2
        }
    }
}
secrets {
    ike-1 {
        id = 192.0.2.2
        secret = "SECRET"
    }
}
`

// charon is a running charon-systemd with the connection p1 to gvpnd.
type charon struct {
	t            *testing.T
	swanctl, dir string
}

func startCharon(t *testing.T, ns namespace, secret string) charon {
	t.Helper()
	return startCharonWith(t, ns, strings.ReplaceAll(swanctlConf, "SECRET", secret), nil)
}

// startCharonWith runs charon with a swanctl.conf and further files, by their names under swanctl's directory.
func startCharonWith(t *testing.T, ns namespace, swanctl string, files map[string]string) charon {
	t.Helper()
	daemon := need(t, "charon-systemd", "charon-systemd")
	c := charon{t, need(t, "swanctl", "strongswan-swanctl"), t.TempDir()}
	all := map[string]string{"charon.conf": strings.ReplaceAll(charonConf, "DIR", c.dir), "swanctl.conf": swanctl}
	maps.Copy(all, files)
	for name, text := range all {
		file := filepath.Join(c.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// charon keeps its process ID under /run: it gets a /run of its own.
	command := ns.in(t, "unshare", "-m", "sh", "-c", "mount -t tmpfs none /run && STRONGSWAN_CONF="+c.dir+"/charon.conf exec "+daemon)
	start(t, command[0], command[1:]...)
	eventually(t, 20*time.Second, "a vici socket of charon", func() bool {
		_, err := os.Stat(filepath.Join(c.dir, "vici"))
		return err == nil
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("charon's log:\n%s", c.log())
		}
	})
	if out, err := c.command("--load-all", "--file", filepath.Join(c.dir, "swanctl.conf"), "--noprompt"); err != nil {
		t.Fatalf("swanctl --load-all: %v\n%s", err, out)
	}
	return c
}

// command runs swanctl: the operation comes first, --uri after it.
func (c charon) command(operation string, args ...string) (string, error) {
	cmd := exec.Command(c.swanctl, append([]string{operation, "--uri", "unix://" + c.dir + "/vici"}, args...)...)
	cmd.Env = append(os.Environ(), "SWANCTL_DIR="+c.dir) // where certificates and keys are
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c charon) log() string {
	text, err := os.ReadFile(filepath.Join(c.dir, "charon.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (c charon) sas() string {
	out, err := c.command("--list-sas")
	if err != nil {
		c.t.Fatalf("swanctl --list-sas: %v\n%s", err, out)
	}
	return out
}

// The DPD exchanges as charon logs them (RFC 3706 section 5.3).
var (
	dpdAsked    = regexp.MustCompile(`generating INFORMATIONAL_V1 request \d+ \[ HASH N\(DPD\) \]`)
	dpdAnswered = regexp.MustCompile(`parsed INFORMATIONAL_V1 request \d+ \[ HASH N\(DPD_ACK\) \]`)
)

// strongSwan as initiator completes main mode with our key server on UDP 848, has its R-U-THERE answered, and deletes the
// SA.
func TestStrongSwanMainModeAndDPD(t *testing.T) {
	left, right := connected(t)
	startServer(t, right, serverConfig)
	c := startCharon(t, left, "between-charon-and-gvpnd")
	if out, err := c.command("--initiate", "--ike", "p1"); err != nil {
		t.Fatalf("swanctl --initiate: %v\n%s", err, out)
	}
	if sas := c.sas(); !strings.Contains(sas, "ESTABLISHED") || !strings.Contains(sas, "192.0.2.2[848]") ||
		!strings.Contains(sas, "AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048") {
		t.Fatalf("swanctl --list-sas:\n%s", sas)
	}
	eventually(t, 15*time.Second, "two DPD answers seen by charon", func() bool {
		log := c.log()
		return len(dpdAsked.FindAllString(log, -1)) >= 2 && len(dpdAnswered.FindAllString(log, -1)) >= 2
	})
	if sas := c.sas(); !strings.Contains(sas, "ESTABLISHED") {
		t.Fatalf("swanctl --list-sas after DPD:\n%s", sas)
	}
	if out, err := c.command("--terminate", "--ike", "p1"); err != nil {
		t.Fatalf("swanctl --terminate: %v\n%s", err, out)
	}
	eventually(t, 5*time.Second, "an end of the SA", func() bool { return !strings.Contains(c.sas(), "ESTABLISHED") })
	tried(t, strongswanPeer, "it begins with gvpnd, port 500 to 848; its probes; its delete", "SA up; probes answered; SA gone")
}

// With another pre-shared key no SA comes up.
func TestStrongSwanWrongKey(t *testing.T) {
	left, right := connected(t)
	startServer(t, right, serverConfig)
	c := startCharon(t, left, "some-other-pre-shared-key")
	if out, err := c.command("--initiate", "--ike", "p1", "--timeout", "8"); err == nil {
		t.Fatalf("swanctl --initiate succeeded:\n%s", out)
	}
	if sas := c.sas(); strings.Contains(sas, "ESTABLISHED") {
		t.Fatalf("swanctl --list-sas:\n%s", sas)
	}
	tried(t, strongswanPeer, "it begins with gvpnd and another pre-shared key", "no SA")
}
