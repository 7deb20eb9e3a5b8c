//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// libreswanPackages are what of Debian 12 is unpacked to run libreswan, which cannot be installed beside strongSwan.
var libreswanPackages = []string{
	"libreswan", "libaudit1", "libcap-ng0", "libcurl3-nss", "libevent-core-2.1-7", "libevent-pthreads-2.1-7", "libldap-2.5-0",
	"libldns3", "libnspr4", "libnss3", "libnss3-tools", "libunbound8",
}

// unpacked is where libreswan's packages were unpacked, once for all tests: TestMain takes it away.
var unpacked struct {
	sync.Once
	dir, fault string
}

// libreswan unpacks libreswan and says where. It needs a Debian mirror; without one the test is skipped, in CI too.
func libreswan(t *testing.T) string {
	t.Helper()
	u := &unpacked
	u.Do(func() {
		var err error
		if u.dir, err = os.MkdirTemp("", "gvpn-libreswan"); err != nil {
			u.fault = err.Error()
			return
		}
		// _apt, as whom apt-get fetches, must be able to write.
		if err := os.Chmod(u.dir, 0o777); err != nil {
			u.fault = err.Error()
			return
		}
		fetch := exec.Command("timeout", append([]string{"120", "apt-get", "-q", "download"}, libreswanPackages...)...)
		fetch.Dir = u.dir
		if out, err := fetch.CombinedOutput(); err != nil {
			u.fault = fmt.Sprintf("libreswan's packages cannot be had here (Debian 12, apt-get update, a mirror): apt-get download: %v\n%s", err, out)
			return
		}
		debs, _ := filepath.Glob(filepath.Join(u.dir, "*.deb"))
		for _, deb := range debs {
			if out, err := exec.Command("dpkg-deb", "-x", deb, filepath.Join(u.dir, "root")).CombinedOutput(); err != nil {
				u.fault = fmt.Sprintf("dpkg-deb -x %s: %v\n%s", deb, err, out)
				return
			}
		}
	})
	if u.fault != "" {
		t.Skip(u.fault)
	}
	return filepath.Join(u.dir, "root")
}

// pluto is a running pluto, libreswan's daemon, at 192.0.2.1 with the connection p1 to 192.0.2.2.
type pluto struct {
	*process
	t         *testing.T
	root, dir string
}

const plutoConf = `config setup
	ikev1-policy=accept
conn p1
	ikev2=no
	authby=secret
	ike=aes256-sha2_256;modp2048
	left=192.0.2.1
	right=192.0.2.2
	dpddelay=1
	dpdtimeout=20
	dpdaction=hold
	auto=add
`

// startPluto runs pluto with changes of plutoConf: "what stands there", "what shall".
func startPluto(t *testing.T, ns namespace, changes ...string) pluto {
	t.Helper()
	p := pluto{t: t, root: libreswan(t), dir: t.TempDir()}
	conf := strings.NewReplacer(changes...).Replace(plutoConf)
	for name, text := range map[string]string{"ipsec.conf": conf, "ipsec.secrets": "192.0.2.1 192.0.2.2 : PSK \"between-charon-and-gvpnd\"\n"} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"nss", "ipsec.d", "run"} {
		if err := os.Mkdir(filepath.Join(p.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "env", p.libraries(), filepath.Join(p.root, "usr/bin/certutil"), "-N", "--empty-password", "-d", "sql:"+filepath.Join(p.dir, "nss"))
	// pluto runs its other programs by their installed names.
	script := "mount -t overlay -o lowerdir=" + p.root + "/usr/libexec:/usr/libexec overlay /usr/libexec && " + p.libraries() +
		" exec /usr/libexec/ipsec/pluto --nofork --stderrlog --no-dnssec --config ipsec.conf --secretsfile ipsec.secrets --nssdir nss --ipsecdir ipsec.d --rundir " + p.dir + "/run"
	command := ns.in(t, "unshare", "-m", "sh", "-c", "cd "+p.dir+" && "+script)
	p.process = start(t, command[0], command[1:]...)
	eventually(t, 20*time.Second, "connection p1 of pluto's", func() bool { return strings.Contains(p.output(), "loading secrets from") })
	return p
}

func (p pluto) libraries() string {
	dir, err := filepath.Glob(filepath.Join(p.root, "usr/lib/*-linux-gnu"))
	if err != nil || len(dir) != 1 {
		p.t.Fatalf("no libraries of libreswan's for %s under %s: %v", runtime.GOARCH, p.root, dir)
	}
	return "LD_LIBRARY_PATH=" + dir[0]
}

// whack tells pluto to do something.
func (p pluto) whack(args ...string) (string, error) {
	command := append([]string{p.libraries(), "timeout", "10", filepath.Join(p.root, "usr/libexec/ipsec/whack"), "--rundir", p.dir + "/run"}, args...)
	out, err := exec.Command("env", command...).CombinedOutput()
	return string(out), err
}

func libreswanHead(port int, lines ...string) string {
	return strings.Replace(head(port, lines...), "strongSwan 5.9.8", "libreswan 4.10", 1)
}

const libreswanPeer = "libreswan 4.10"

// We begin, with the DOI that libreswan knows.
func TestLibreswanResponder(t *testing.T) {
	left, right := connected(t)
	p := startPluto(t, left)
	l := goLive(t, right, libreswanHead(500, "doi 1\n", "dpd 1s 3\n", usual))
	l.do("connect")
	l.says(10*time.Second, "up", 1)
	l.until(10*time.Second, "answers to two of our probes", func() bool {
		s := l.endpoint.State().SAs
		return len(s) == 1 && s[0].DPDAcked >= 2
	})
	l.do("delete")
	l.says(time.Second, "down: deleted", 1)
	eventually(t, 5*time.Second, "an end of pluto's SA", func() bool { return strings.Contains(p.output(), "received Delete SA payload") })
	l.keep("libreswan-responder")
	tried(t, libreswanPeer, "we begin with DOI 1 (an option of package ike, not of gvpnd): main mode, our probes, our delete", "SA up; probes answered; SA gone")
}

// DOI 2, as RFC 6407 has it, is malformed to libreswan.
func TestLibreswanResponderDOI(t *testing.T) {
	left, right := connected(t)
	p := startPluto(t, left)
	l := goLive(t, right, libreswanHead(500, usual))
	l.do("connect")
	l.says(10*time.Second, "failed: no answer to message 1", 1)
	if !strings.Contains(p.output(), "DOI of ISAKMP Security Association Payload has an unknown value: 2") {
		t.Error("pluto does not say that DOI 2 is what it minds")
	}
	tried(t, libreswanPeer, "we begin with DOI 2, as gvpnd does", "it drops message 1, \"unknown value: 2\"; we give up after 4 tries")
}

// libreswan begins, with a proposal and with its own list. It cannot but go on to Quick Mode, whose exchange number is
// GROUPKEY-PULL's: message 1 of it verifies, and is nothing that a group's server answers.
func TestLibreswanInitiator(t *testing.T) {
	for name, change := range map[string][]string{"proposal": nil, "default": {"\tike=aes256-sha2_256;modp2048\n", ""}} {
		t.Run(name, func(t *testing.T) {
			left, right := connected(t)
			p := startPluto(t, left, change...)
			l := goLive(t, right, libreswanHead(500, usual))
			_, err := l.during(20*time.Second, func() (string, error) { return p.whack("--name", "p1", "--initiate", "--asynchronous") })
			if err != nil {
				t.Fatal(err)
			}
			l.says(10*time.Second, "up", 1)
			l.says(10*time.Second, "message 1 of exchange 32", 1)
			if _, err := l.during(20*time.Second, func() (string, error) { return p.whack("--name", "p1", "--terminate") }); err != nil {
				t.Fatal(err)
			}
			l.says(5*time.Second, "down: deleted by the peer", 1)
			l.keep("libreswan-initiator-" + name)
			what := map[string]string{"proposal": "one proposal", "default": "no `ike=`, so 18 transforms: its SAi_b has 640 octets"}[name]
			tried(t, libreswanPeer, "it begins with "+what+"; Quick Mode; its delete", "SA up; Quick Mode's message 1 verified and not answered; SA gone")
		})
	}
}

// libreswan can begin with gvpnd, on port 4500: to any port but 500, 848 too, it sends the four zero octets of that port. A group's
// server leaves its Quick Mode unanswered, keeps the SA, and takes its delete.
func TestLibreswanGroupServer(t *testing.T) {
	left, right := connected(t)
	p := startPluto(t, left, "right=192.0.2.2", "right=192.0.2.2\n\trightikeport=4500\n\tencapsulation=yes")
	d := startDaemon(t, right, serverConfig)
	if out, err := p.whack("--name", "p1", "--initiate", "--asynchronous"); err != nil {
		t.Fatalf("whack --initiate: %v\n%s", err, out)
	}
	eventually(t, 10*time.Second, "a Quick Mode sent thrice", func() bool {
		return strings.Contains(p.output(), "STATE_QUICK_I1: retransmission; will wait 1 seconds")
	})
	if !strings.Contains(d.output(), "asks for an SA by quick mode") || strings.Contains(p.output(), "Quick Mode response") {
		t.Errorf("gvpnd's log has no refused quick mode, or pluto's an answer:\n%s\n%s", d.output(), p.output())
	}
	if sas := d.shell("show security group-vpn server ike security-associations"); !strings.Contains(sas, "UP") {
		t.Errorf("gvpnd's SA is gone:\n%s", sas)
	}
	if out, err := p.whack("--name", "p1", "--terminate"); err != nil {
		t.Fatalf("whack --terminate: %v\n%s", err, out)
	}
	eventually(t, 5*time.Second, "an end of gvpnd's SA", func() bool {
		return !strings.Contains(d.shell("show security group-vpn server ike security-associations"), "UP")
	})
	tried(t, libreswanPeer, "it begins with gvpnd's port 4500 (`rightikeport=4500`, `encapsulation=yes`); Quick Mode; its delete", "SA up; Quick Mode refused in the log, not answered; SA gone")
	tried(t, libreswanPeer, "it begins with port 848 (`rightikeport=848`)", "not possible: it puts the four zero octets of port 4500 in front on any port but 500, and gvpnd drops that on 848")
}
