package ike

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	der  []byte
}

var rsaKeys = sync.OnceValue(func() (keys []*rsa.PrivateKey) {
	for range 3 {
		k, err := rsa.GenerateKey(crand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys = append(keys, k)
	}
	return keys
})

func newKey(t testing.TB, m step.AuthMethod, n int) crypto.Signer {
	t.Helper()
	curve := elliptic.P256()
	switch m {
	case step.RSASignatures:
		return rsaKeys()[n]
	case step.ECDSASignatures384:
		curve = elliptic.P384()
	}
	k, err := ecdsa.GenerateKey(curve, crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newAuthority(t testing.TB, m step.AuthMethod, under *authority) *authority {
	t.Helper()
	a := &authority{key: newKey(t, m, 0)}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA " + fmt.Sprint(under != nil), Country: []string{"DE"}},
		NotBefore: epoch.Add(-time.Hour), NotAfter: epoch.Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if under == nil {
		under = &authority{c, a.key, nil}
	}
	a.der = certify(t, c, under, a.key)
	a.cert, _ = x509.ParseCertificate(a.der)
	return a
}

func certify(t testing.TB, c *x509.Certificate, by *authority, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(crand.Reader, c, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func toPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// issue makes a certificate with its key, as it is configured.
func (a *authority) issue(t testing.TB, name string, key crypto.Signer, change ...func(*x509.Certificate)) *step.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}},
		NotBefore: epoch.Add(-time.Hour), NotAfter: epoch.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		DNSNames: []string{name + ".example.net"}, EmailAddresses: []string{name + "@example.net"},
		IPAddresses: []net.IP{addrA.Addr().AsSlice(), addrB.Addr().AsSlice()},
	}
	for _, f := range change {
		f(c)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &step.Certificate{Name: name, PEM: sa.Secret(toPEM("CERTIFICATE", certify(t, c, a, key)) + toPEM("PRIVATE KEY", private))}
}

func (a *authority) anchor() []step.TrustAnchor {
	return []step.TrustAnchor{{Name: "CA", PEM: toPEM("CERTIFICATE", a.der)}}
}

func signedBy(m step.AuthMethod, c *step.Certificate, anchors []step.TrustAnchor) func(*step.Gateway) {
	return func(g *step.Gateway) {
		g.PSK, g.Cert, g.Anchors = nil, c, anchors
		g.Proposals[0].Auth = m
		if m == step.ECDSASignatures384 {
			g.Proposals[0].Hash = sa.SHA384
		}
	}
}

// certWorld is two endpoints with certificates of one authority.
func certWorld(t testing.TB, m step.AuthMethod, change ...func(*step.Gateway)) (*world, *authority) {
	ca := newAuthority(t, m, nil)
	w := newWorld(t)
	for i, n := range []*node{w.a, w.b} {
		to := []func(*step.Gateway){signedBy(m, ca.issue(t, []string{"a", "b"}[i], newKey(t, m, 1+i)), ca.anchor())}
		n.e.SetGateway(w.now, gatewayTo([]netip.AddrPort{addrB, addrA}[i], append(to, change...)...))
		if bad := n.e.gateways["peer"].bad; bad != nil {
			t.Fatal(bad)
		}
	}
	return w, ca
}

func TestSignatures(t *testing.T) {
	for _, m := range []step.AuthMethod{step.RSASignatures, step.ECDSASignatures256, step.ECDSASignatures384} {
		t.Run(m.String(), func(t *testing.T) {
			w, _ := certWorld(t, m)
			w.connect()
			w.a.want("up 1")
			w.b.want("up 1")
			a, b := w.a.last(), w.b.last()
			if a.iv != b.iv || !a.keys.e.Equal(b.keys.e) || a.suite.auth != m {
				t.Errorf("%+v\n%+v", a.look(), b.look())
			}
			w.a.e.Do(w.now, Begin{SA: 1, Exchange: isakmp.ExchangePull, Token: 1, First: isakmp.PayloadNONCE, Payloads: chainOf('i', 4)})
			w.settle()
			w.pull()
		})
	}
}

// Lost and repeated messages: the proofs are made once.
func TestSignaturesLostMessages(t *testing.T) {
	w, _ := certWorld(t, step.ECDSASignatures256)
	seen := map[string]int{}
	w.net = func(d wire) []wire {
		seen[string(d.b)]++
		if seen[string(d.b)] == 1 {
			return nil
		}
		return []wire{d, d}
	}
	w.connect()
	w.run(20 * time.Second)
	w.a.want("up 1")
	w.b.want("up 1")
	if w.a.e.lastWork != 3 || w.b.e.lastWork != 2 {
		t.Errorf("%d and %d computations", w.a.e.lastWork, w.b.e.lastWork)
	}
}

// A dynamic gateway is found by the identity that a certificate shows, from whatever address and also beside others.
func TestSignaturesDynamic(t *testing.T) {
	m := step.ECDSASignatures256
	w, ca := certWorld(t, m)
	server := ca.issue(t, "b", newKey(t, m, 2))
	w.b.e.RemoveGateway(w.now, "peer")
	for _, c := range []struct {
		name string
		id   step.Identity
	}{
		{"first", named("x.example.net")},
		{"mail", step.Identity{Kind: step.UserAtHostname, Value: "a@EXAMPLE.net"}},
		{"host", named("a.example.net")},
		{"subject", step.Identity{Kind: step.DistinguishedName, Value: "CN=a,O=Example"}},
	} {
		g := gatewayTo(addrA, signedBy(m, server, ca.anchor()), func(g *step.Gateway) { g.Name, g.Remote, g.Dynamic = c.name, nil, c.id })
		w.b.e.SetGateway(w.now, g)
		if bad := w.b.e.gateways[c.name].bad; bad != nil {
			t.Fatal(bad)
		}
	}
	for _, c := range []struct {
		id   step.Identity
		want string
	}{
		{step.Identity{Kind: step.UserAtHostname, Value: "a@example.NET"}, "mail"},
		{named("A.example.net"), "host"},
		{step.Identity{Kind: step.DistinguishedName}, "subject"},
		{step.Identity{Kind: step.UserAtHostname, Value: "A@example.net"}, ""}, // case counts before the @
		{named("x.example.net"), ""},                                           // not in the certificate
		{named("y.example.net"), ""},
		{step.Identity{}, ""}, // an address, and no gateway for it
	} {
		w.b.take()
		cert := w.a.e.gateways["peer"].c.Cert
		w.a.e.SetGateway(w.now, gatewayTo(addrB, signedBy(m, cert, ca.anchor()), func(g *step.Gateway) { g.LocalID = c.id }))
		w.a.e.Do(w.now, Delete{Gateway: "peer"})
		w.connect()
		got := ""
		for _, o := range w.b.take() {
			if u, ok := o.(Up); ok {
				got = u.Gateway
			}
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q; %v", c.id, got, c.want, w.b.e.count)
		}
		w.run(time.Minute)
	}
}

// What a certificate may not be. All are met with silence, and said to the operator.
func TestAttackRogueGCKSCertificate(t *testing.T) {
	m := step.ECDSASignatures256
	ca := newAuthority(t, m, nil)
	other := newAuthority(t, m, nil)
	middle := newAuthority(t, m, ca)
	key := newKey(t, m, 1)
	for _, c := range []struct {
		name string
		cert *step.Certificate
		want string
	}{
		{"good", ca.issue(t, "a", key), ""},
		{"chain", func() *step.Certificate {
			s := middle.issue(t, "a", key)
			s.PEM = append(s.PEM, toPEM("CERTIFICATE", middle.der)...)
			return s
		}(), ""},
		{"chain without its middle", middle.issue(t, "a", key), "unknown authority"},
		{"another authority", other.issue(t, "a", key), "unknown authority"},
		{"expired", ca.issue(t, "a", key, func(c *x509.Certificate) { c.NotAfter = epoch.Add(-time.Second) }), "expired"},
		{"not yet valid", ca.issue(t, "a", key, func(c *x509.Certificate) { c.NotBefore = epoch.Add(time.Second) }), "not yet valid"},
		{"not for signing", ca.issue(t, "a", key, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), "not for signatures"},
		{"no address", ca.issue(t, "a", key, func(c *x509.Certificate) { c.IPAddresses = nil }), "does not show"},
		{"another kind of key", ca.issue(t, "a", newKey(t, step.RSASignatures, 0)), "was agreed"},
	} {
		w := newWorld(t)
		w.a.e.SetGateway(w.now, gatewayTo(addrB, signedBy(m, ca.issue(t, "a", key), ca.anchor())))
		w.b.e.SetGateway(w.now, gatewayTo(addrA, signedBy(m, ca.issue(t, "b", newKey(t, m, 2)), ca.anchor())))
		cred, err := parseCredential(c.cert.PEM)
		if err != nil {
			t.Fatal(c.name, err)
		}
		w.a.e.gateways["peer"].cred = cred // also what Supports would refuse
		w.connect()
		got := fmt.Sprint(w.b.take())
		if up := strings.Contains(got, "IKE_SA_UP"); up != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.name, got)
		}
		if c.want != "" && len(w.sent) != 5 {
			t.Errorf("%s: %d datagrams", c.name, len(w.sent))
		}
	}
}

// forgeries are signatures that a forger might send, made with the private key where a small exponent would let him find them without:
// PKCS #1 type 1 of the hash alone is compared as a whole block (CVE-2018-16151, CVE-2026-50721: a short hash, octets behind it).
func forgeries(op turn.SignHash, good []byte) map[string][]byte {
	must := func(b []byte, err error) []byte {
		if err != nil {
			panic(err)
		}
		return b
	}
	key, _ := x509.ParsePKCS8PrivateKey(op.Private)
	forged := map[string][]byte{
		"other hash":      must(Sign(turn.SignHash{Private: op.Private, Digest: bytes.Repeat([]byte{1}, len(op.Digest))})),
		"other key":       must(Sign(turn.SignHash{Private: must(x509.MarshalPKCS8PrivateKey(rsaKeys()[0])), Digest: op.Digest})),
		"cut":             good[:len(good)-1],
		"longer":          append(bytes.Clone(good), 0),
		"longer in front": append([]byte{0}, good...),
		"zeros":           make([]byte, len(good)),
		"one octet":       {1},
		"halves":          append(bytes.Clone(good[len(good)/2:]), good[:len(good)/2]...),
	}
	k, ok := key.(*rsa.PrivateKey)
	if !ok {
		return forged
	}
	forged["DigestInfo"] = must(rsa.SignPKCS1v15(nil, k, crypto.SHA256, op.Digest))
	block := func(fill int, t []byte) []byte {
		b := append(append(append([]byte{0, 1}, bytes.Repeat([]byte{255}, fill)...), 0), t...)
		m := new(big.Int).SetBytes(append(b, bytes.Repeat([]byte{0xa5}, k.Size()-len(b))...))
		return m.Exp(m, k.D, k.N).FillBytes(make([]byte, k.Size()))
	}
	room := k.Size() - 3
	forged["octets behind the hash"] = block(8, op.Digest)
	forged["an octet behind the hash"] = block(room-len(op.Digest)-1, append(bytes.Clone(op.Digest), 0))
	forged["half the hash"] = block(room-16, op.Digest[:16])
	forged["no hash"] = block(room, nil)
	forged["no padding"] = block(0, op.Digest)
	forged["a zero before the hash"] = block(room-len(op.Digest)-1, append([]byte{0}, op.Digest...))
	return forged
}

// RSA signature parsing, and that of ECDSA: signatures that a forger might send, and none at all.
func TestAttackRSASignature(t *testing.T) {
	try := func(m step.AuthMethod, name string, forge func(op turn.SignHash, good []byte) []byte) {
		w, _ := certWorld(t, m)
		w.a.hold = true
		w.connect()
		for len(w.a.held) > 0 {
			k := w.a.held[0]
			w.a.held = w.a.held[1:]
			if op, ok := k.Op.(turn.SignHash); ok {
				good, err := Sign(op)
				if err != nil {
					t.Fatal(err)
				}
				w.a.e.HandleResult(w.now, turn.Result{ID: k.ID, Value: forge(op, good)})
			} else {
				w.a.work(k)
			}
			w.settle()
		}
		if name == "good" {
			w.b.want("up 1")
		} else if w.b.e.count[string(dropHash)] == 0 || w.b.e.count[string(tallyUp)] != 0 {
			t.Errorf("%v, %s: %v", m, name, w.b.e.count)
		}
	}
	for _, m := range []step.AuthMethod{step.RSASignatures, step.ECDSASignatures256, step.ECDSASignatures384} {
		try(m, "good", func(_ turn.SignHash, good []byte) []byte { return good })
		var names []string
		try(m, "none", func(op turn.SignHash, good []byte) []byte {
			for name := range forgeries(op, good) {
				names = append(names, name)
			}
			return []byte{}
		})
		for _, name := range names {
			try(m, name, func(op turn.SignHash, good []byte) []byte { return forgeries(op, good)[name] })
		}
		if len(names) < 8 {
			t.Errorf("%v: %d forgeries", m, len(names))
		}
	}
}

// Certificate parsing: what a stranger sends as one, before it is authenticated. Whatever the octets, there is no answer and no end to
// anything (CVE-2026-14957: an exponent of 0; CVE-2017-9023; CVE-2013-6075), and how much is read is bounded.
func TestAttackCertificateParsing(t *testing.T) {
	m := step.RSASignatures
	good := rsaCertificate(t)
	key := rsaKeys()[1].PublicKey
	// The exponent's INTEGER 02 03 01 00 01, which stands behind the modulus, is another.
	exponent := func(of ...byte) []byte {
		at := bytes.Index(good, key.N.Bytes()) + len(key.N.Bytes())
		if !bytes.Equal(good[at:at+5], []byte{2, 3, 1, 0, 1}) {
			t.Fatal("the certificate has its exponent elsewhere")
		}
		b := bytes.Clone(good)
		copy(b[at+2:], of)
		return b
	}
	x509Cert := func(der []byte) []byte { return append([]byte{encodingX509}, der...) }
	bodies := map[string][][]byte{
		"none":                        {},
		"of another encoding":         {append([]byte{1}, good...)},
		"no octets":                   {{}},
		"an encoding and no octets":   {{encodingX509}},
		"exponent 0":                  {x509Cert(exponent(0, 0, 0))},
		"exponent 1":                  {x509Cert(exponent(0, 0, 1))},
		"exponent 3":                  {x509Cert(exponent(0, 0, 3))},
		"a negative exponent":         {x509Cert(exponent(0xff, 0, 1))},
		"an even exponent":            {x509Cert(exponent(1, 0, 2))},
		"nested without end":          {x509Cert(bytes.Repeat([]byte{0x30, 0x80}, 4000))},
		"of indefinite length":        {x509Cert([]byte{0x30, 0x80, 0x30, 0x80, 0, 0, 0, 0})},
		"4 GB long":                   {x509Cert([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1})},
		"octets behind it":            {x509Cert(append(bytes.Clone(good), 0))},
		"too long":                    {x509Cert(make([]byte, maxCertificate))},
		"good, and then one too long": {x509Cert(good), x509Cert(make([]byte, maxCertificate))},
		"one too many":                slices.Repeat([][]byte{x509Cert(good)}, maxCertificates+1),
		"200":                         slices.Repeat([][]byte{{encodingX509}}, 200),
	}
	for n := range good {
		if leaf, _, err := peerCertificates([][]byte{x509Cert(good[:n])}); err == nil {
			t.Errorf("the first %d octets are the certificate of %v", n, leaf.Subject)
		}
	}
	for name, list := range bodies {
		began := time.Now()
		if leaf, _, err := peerCertificates(list); err == nil {
			t.Errorf("%s: the certificate of %v", name, leaf.Subject)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%s: %v", name, d)
		}
		// And through the door: message 5 of one who has the keys of the negotiation and no right to an SA.
		w, _ := certWorld(t, m)
		w.net = func(d wire) []wire {
			if h, _ := isakmp.ParseHeader(d.b); h.Flags == isakmp.FlagEncryption {
				return nil
			}
			return []wire{d}
		}
		w.connect()
		a := w.a.last()
		parts := []part{{isakmp.PayloadID, a.localID.Append(nil)}}
		for _, body := range list {
			parts = append(parts, part{isakmp.PayloadCERT, body})
		}
		parts = append(parts, part{isakmp.PayloadSIG, make([]byte, 256)})
		b := w.b.last()
		msg, _ := a.keys.seal(appendParts(a.header(isakmp.PayloadID, isakmp.ExchangeMain, isakmp.FlagEncryption, 0), parts...), b.iv)
		if moved := w.silent(name, msg); len(moved) == 0 {
			t.Errorf("%s: counted nowhere", name)
		}
	}
}

// What a configured certificate may not be; no text quotes it.
func TestCheckCertificates(t *testing.T) {
	m := step.ECDSASignatures256
	ca := newAuthority(t, m, nil)
	good := ca.issue(t, "a", newKey(t, m, 1))
	text := string(good.PEM)
	end := strings.Index(text, "-----BEGIN PRIVATE")
	weak, err := rsa.GenerateKey(crand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*step.Gateway){
		"": func(*step.Gateway) {},
		"certificate a: there is no private key in it":                  func(g *step.Gateway) { g.Cert.PEM = sa.Secret(text[:end]) },
		"certificate a: there is no certificate in it":                  func(g *step.Gateway) { g.Cert.PEM = sa.Secret(text[end:]) },
		"certificate a: there are two private keys in it":               func(g *step.Gateway) { g.Cert.PEM = sa.Secret(text + text[end:]) },
		"certificate a: the private key is not the first certificate's": func(g *step.Gateway) { g.Cert.PEM = sa.Secret(text[:end] + keyOf(ca.issue(t, "b", newKey(t, m, 0)))) },
		"certificate a: certificate 1 cannot be read":                   func(g *step.Gateway) { g.Cert.PEM = sa.Secret(toPEM("CERTIFICATE", []byte("x"))) },
		"certificate a: the private key cannot be read":                 func(g *step.Gateway) { g.Cert.PEM = sa.Secret(text[:end] + toPEM("EC PRIVATE KEY", []byte("x"))) },
		"certificate a: an RSA key of 1024 bits (2048 to 4096)":         func(g *step.Gateway) { g.Cert = ca.issue(t, "a", weak) },
		"certificate a is for ecdsa-signatures-384, proposal p wants":   func(g *step.Gateway) { g.Cert = ca.issue(t, "a", newKey(t, step.ECDSASignatures384, 0)) },
		"the policy has no trust-anchor":                                func(g *step.Gateway) { g.Anchors = nil },
		"trust-anchor CA: there is no certificate in it":                func(g *step.Gateway) { g.Anchors[0].PEM = "x" },
		"trust-anchor CA: part 1 is no certificate":                     func(g *step.Gateway) { g.Anchors[0].PEM = toPEM("PRIVATE KEY", []byte("x")) },
	} {
		g := gatewayTo(addrB, signedBy(m, &step.Certificate{Name: "a", PEM: good.PEM.Clone()}, ca.anchor()), change)
		err := new(Checker).Supports(g)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func keyOf(c *step.Certificate) string {
	return string(c.PEM[bytes.Index(c.PEM, []byte("-----BEGIN PRIVATE")):])
}

// The private key is destroyed with its gateway, and a worker's copy by the worker.
func TestAttackKeyHygienePrivateKey(t *testing.T) {
	w, _ := certWorld(t, step.ECDSASignatures256)
	g := w.a.e.gateways["peer"]
	key, text := g.cred.key, g.c.Cert.PEM
	twin := g.c
	twin.Name = "twin"
	w.a.e.SetGateway(w.now, twin)
	if w.a.e.gateways["twin"].cred != g.cred || len(w.a.e.vault.held) != 1 {
		t.Error("one certificate is held twice")
	}
	w.a.e.RemoveGateway(w.now, "peer")
	if zero(key) || !zero(text) {
		t.Error("a key that another gateway shares is destroyed, or the text is not")
	}
	w.a.e.RemoveGateway(w.now, "twin")
	if !zero(key) || len(w.a.e.vault.held) != 0 {
		t.Error("the key is still there")
	}
}

// Certificates of strangers: nothing panics, whatever the octets.
func FuzzCertificates(f *testing.F) {
	m := step.ECDSASignatures256
	ca := newAuthority(f, m, nil)
	c := ca.issue(f, "a", newKey(f, m, 1))
	cred, err := parseCredential(c.PEM)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cred.chain[0], []byte("a.example.net"), uint8(2))
	f.Add(ca.der, cred.leaf.RawSubject, uint8(9))
	f.Add(rsaCertificate(f), []byte{192, 0, 2, 1}, uint8(1))
	f.Fuzz(func(t *testing.T, der, id []byte, kind uint8) {
		leaf, others, err := peerCertificates([][]byte{append([]byte{encodingX509}, der...)})
		nameText(id)
		if err != nil {
			return
		}
		pool := x509.NewCertPool()
		pool.AddCert(ca.cert)
		_ = checkChain(epoch, leaf, others, pool)
		shows(leaf, isakmp.ID{Type: isakmp.IDType(kind), Data: id})
		verifySignature(leaf.PublicKey, make([]byte, 32), make([]byte, 64))
	})
}

func rsaCertificate(t testing.TB) []byte {
	cred, err := parseCredential(newAuthority(t, step.RSASignatures, nil).issue(t, "r", newKey(t, step.RSASignatures, 1)).PEM)
	if err != nil {
		t.Fatal(err)
	}
	return cred.chain[0]
}

// Rogue GCKS: a member with a good certificate of the same authority stands where the key server should, and calls itself by its own name
// or by the server's. A member takes keys from whom its configuration names alone (RFC 6407 section 3.1).
func TestAttackRogueGCKS(t *testing.T) {
	for _, m := range []step.AuthMethod{step.RSASignatures, step.ECDSASignatures256} {
		for _, c := range []struct{ cert, id string }{{"b", "b.example.net"}, {"m", "m.example.net"}, {"m", "b.example.net"}, {"b", "m.example.net"}} {
			ca := newAuthority(t, m, nil)
			w := newWorld(t)
			w.a.e.SetGateway(w.now, gatewayTo(addrB, signedBy(m, ca.issue(t, "a", newKey(t, m, 1)), ca.anchor()), func(g *step.Gateway) {
				g.Side, g.RemoteID = step.Member, named("b.example.net")
			}))
			w.b.e.SetGateway(w.now, gatewayTo(addrA, signedBy(m, ca.issue(t, c.cert, newKey(t, m, 2)), ca.anchor()), func(g *step.Gateway) {
				g.LocalID = named(c.id)
			}))
			w.connect()
			w.run(10 * time.Second)
			ups := w.a.e.count[string(tallyUp)]
			if right := c.cert == "b" && c.id == "b.example.net"; (ups == 1) != right {
				t.Errorf("%v: the certificate of %s, saying %s: up %d times, %v", m, c.cert, c.id, ups, w.a.e.count)
			} else if !right && w.a.e.count[string(dropHash)]+w.a.e.count[string(dropIdentity)] == 0 {
				t.Errorf("%v: the certificate of %s, saying %s: %v", m, c.cert, c.id, w.a.e.count)
			}
		}
	}
}
