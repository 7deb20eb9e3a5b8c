package ike

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
	"gvpn/turn"
)

// Limits of certificates, on what a peer that has proven no more than its address can make us read.
const (
	maxCertificates   = 8     // CERT payloads in a message
	maxCertificate    = 8192  // octets of one
	maxAuthentication = 32768 // octets of messages 5 and 6
)

// encodingX509 is the certificate encoding "X.509 Certificate - Signature" (RFC 2408 section 3.9).
const encodingX509 = 4

// credential is our certificate with what stands under it, and its private key.
type credential struct {
	chain [][]byte // DER, ours first
	leaf  *x509.Certificate
	key   sa.Secret // PKCS #8 DER
}

// parseCredential reads PEM text: certificates, ours first, and one private key (PKCS #8, PKCS #1 or SEC 1).
func parseCredential(text sa.Secret) (*credential, error) {
	c := &credential{}
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		err := c.take(block)
		clear(block.Bytes)
		if err != nil {
			c.key.Zero()
			return nil, err
		}
	}
	switch {
	case c.leaf == nil:
		return nil, errors.New("there is no certificate in it")
	case len(c.chain) > maxCertificates:
		return nil, fmt.Errorf("there are %d certificates in it (at most %d)", len(c.chain), maxCertificates)
	case c.key == nil:
		return nil, errors.New("there is no private key in it")
	}
	key, err := x509.ParsePKCS8PrivateKey(c.key)
	if err == nil {
		err = checkKey(c.leaf.PublicKey)
	}
	if own, ok := key.(interface {
		Public() crypto.PublicKey
	}); err == nil && (!ok || !own.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(c.leaf.PublicKey)) {
		err = errors.New("the private key is not the first certificate's")
	}
	if err != nil {
		c.key.Zero()
		return nil, err
	}
	return c, nil
}

func (c *credential) take(block *pem.Block) error {
	switch block.Type {
	case "CERTIFICATE":
		der := bytes.Clone(block.Bytes)
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("certificate %d cannot be read", len(c.chain)+1)
		}
		if c.leaf == nil {
			c.leaf = cert
		}
		c.chain = append(c.chain, der)
		return nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
	default:
		return nil // parameters of a curve, say
	}
	if c.key != nil {
		return errors.New("there are two private keys in it")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		key, err = x509.ParseECPrivateKey(block.Bytes)
	}
	if err == nil {
		c.key, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		return errors.New("the private key cannot be read") // what x509 says may quote it
	}
	return nil
}

// checkKey refuses public keys that no signature of phase 1 may be made with.
func checkKey(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return isakmp.CheckRSA(k)
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
	}
	return errors.New("a key that is neither RSA nor ECDSA on P-256 or P-384")
}

// methodOf is the authentication method that a checked key is for.
func methodOf(key any) step.AuthMethod {
	if k, ok := key.(*ecdsa.PublicKey); ok {
		if k.Curve == elliptic.P384() {
			return step.ECDSASignatures384
		}
		return step.ECDSASignatures256
	}
	return step.RSASignatures
}

// parseAnchors reads the certificates that may have issued a peer's.
func parseAnchors(anchors []step.TrustAnchor) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for _, a := range anchors {
		n := 0
		for rest := []byte(a.PEM); ; n++ {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil || block.Type != "CERTIFICATE" {
				return nil, fmt.Errorf("trust-anchor %s: part %d is no certificate", a.Name, n+1)
			}
			if err := checkKey(c.PublicKey); err != nil {
				return nil, fmt.Errorf("trust-anchor %s: %w", a.Name, err)
			}
			pool.AddCert(c)
		}
		if n == 0 {
			return nil, fmt.Errorf("trust-anchor %s: there is no certificate in it", a.Name)
		}
	}
	return pool, nil
}

// certificates is what a gateway with signatures shows and whom it believes, or what is wrong with it.
type certificates struct {
	cred    *credential
	anchors *x509.CertPool
	err     error
	users   int
}

// vault reads each certificate once, however many gateways share it: reading a private key takes milliseconds. The zero vault is
// empty.
type vault struct {
	held map[[sha256.Size]byte]*certificates
}

func vaultKey(g step.Gateway) [sha256.Size]byte {
	h := sha256.New()
	for _, part := range append([]step.TrustAnchor{{Name: g.Cert.Name, PEM: string(g.Cert.PEM)}}, g.Anchors...) {
		for _, s := range []string{part.Name, part.PEM} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
			h.Write([]byte(s))
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// take reads a gateway's certificates, if nobody has; drop is its counterpart.
func (v *vault) take(g step.Gateway) *certificates {
	if g.Cert == nil {
		return &certificates{err: errors.New("the policy has no local-certificate")}
	}
	key := vaultKey(g)
	c := v.held[key]
	if c == nil {
		c = readCertificates(g)
		if v.held == nil {
			v.held = make(map[[sha256.Size]byte]*certificates)
		}
		v.held[key] = c
	}
	c.users++
	return c
}

// drop destroys a key that nobody uses any more.
func (v *vault) drop(g step.Gateway) {
	if g.Cert == nil {
		return
	}
	key := vaultKey(g)
	if c := v.held[key]; c != nil {
		if c.users--; c.users == 0 {
			c.cred.zero()
			delete(v.held, key)
		}
	}
}

func (v *vault) close() {
	for _, c := range v.held {
		c.cred.zero()
	}
	v.held = nil
}

func readCertificates(g step.Gateway) *certificates {
	c := &certificates{}
	if c.cred, c.err = parseCredential(g.Cert.PEM); c.err != nil {
		c.err = fmt.Errorf("certificate %s: %w", g.Cert.Name, c.err)
		return c
	}
	if len(g.Anchors) == 0 {
		c.err = errors.New("the policy has no trust-anchor")
	} else {
		c.anchors, c.err = parseAnchors(g.Anchors)
	}
	return c
}

// fit says what is wrong with a gateway's certificates, nil if nothing.
func (c *certificates) fit(g step.Gateway) error {
	if c.err != nil {
		return c.err
	}
	for _, p := range g.Proposals {
		if m := methodOf(c.cred.leaf.PublicKey); m != p.Auth {
			return fmt.Errorf("certificate %s is for %v, proposal %s wants %v", g.Cert.Name, m, p.Name, p.Auth)
		}
	}
	return nil
}

func (c *credential) zero() {
	if c != nil {
		c.key.Zero()
	}
}

// parts are CERT payloads of our chain (RFC 2408 section 3.9).
func (c *credential) parts() []part {
	out := make([]part, 0, len(c.chain))
	for _, der := range c.chain {
		out = append(out, part{isakmp.PayloadCERT, append([]byte{encodingX509}, der...)})
	}
	return out
}

// request is a CERTREQ payload that takes certificates of any issuer (RFC 2408 section 3.10): which ones we believe is our own
// business.
func (s suite) request() []part {
	if s.auth == step.PreSharedKeys {
		return nil
	}
	return []part{{isakmp.PayloadCR, []byte{encodingX509}}}
}

// Sign signs HASH_I or HASH_R of phase 1. It is what carries out turn.SignHash: for RSA, PKCS #1 type 1 of the hash alone, without
// DigestInfo (RFC 2409 section 5.1); for ECDSA r and s of the curve's size one behind the other (RFC 4754 section 7), by RFC 6979, so
// that no bad randomness can give the key away.
func Sign(op turn.SignHash) ([]byte, error) {
	key, err := x509.ParsePKCS8PrivateKey(op.Private)
	if err != nil {
		return nil, errors.New("ike: the private key cannot be read")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(nil, k, 0, op.Digest)
	case *ecdsa.PrivateKey:
		return isakmp.SignECDSA(k, op.Digest)
	}
	return nil, fmt.Errorf("ike: no way to sign with a %T", key)
}

// verifySignature checks a signature over a hash. RSA compares the whole block.
func verifySignature(key any, hash, sig []byte) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, 0, hash, sig) == nil
	case *ecdsa.PublicKey:
		return isakmp.VerifyECDSA(k, hash, sig)
	}
	return false
}

// peerCertificates reads CERT payloads: the first is the peer's own, the others may lead to somebody who is believed. Other
// encodings are passed over.
func peerCertificates(bodies [][]byte) (leaf *x509.Certificate, others *x509.CertPool, err error) {
	if len(bodies) > maxCertificates {
		return nil, nil, fmt.Errorf("%d certificates, at most %d", len(bodies), maxCertificates)
	}
	others = x509.NewCertPool()
	for _, b := range bodies {
		if len(b) == 0 || b[0] != encodingX509 {
			continue
		}
		if len(b) > maxCertificate {
			return nil, nil, fmt.Errorf("a certificate of %d octets, at most %d", len(b), maxCertificate)
		}
		// What is parsed keeps its octets, and these are the datagram's.
		c, err := x509.ParseCertificate(bytes.Clone(b[1:]))
		if err != nil {
			return nil, nil, fmt.Errorf("a certificate that cannot be read: %q", err.Error())
		}
		if err := checkKey(c.PublicKey); err != nil {
			return nil, nil, err
		}
		if leaf == nil {
			leaf = c
		} else {
			others.AddCert(c)
		}
	}
	if leaf == nil {
		return nil, nil, errors.New("no certificate")
	}
	return leaf, others, nil
}

// checkChain decides whether a certificate is one of somebody who is believed, now, and for signing.
func checkChain(now time.Time, leaf *x509.Certificate, others, anchors *x509.CertPool) error {
	if anchors == nil {
		return errors.New("nobody is believed")
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return errors.New("a certificate that is not for signatures")
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: anchors, Intermediates: others, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("certificate of %q: %q", leaf.Subject.String(), err.Error())
	}
	return nil
}

// shows reports whether a certificate is of the one whom an ID names: by its subject, or by a subjectAltName.
func shows(leaf *x509.Certificate, id isakmp.ID) bool {
	key := idKey(id)
	switch id.Type {
	case isakmp.IDDERDN:
		return bytes.Equal(leaf.RawSubject, id.Data)
	case isakmp.IDFQDN:
		for _, n := range leaf.DNSNames {
			if idKey(isakmp.ID{Type: id.Type, Data: []byte(n)}) == key {
				return true
			}
		}
	case isakmp.IDUserFQDN:
		for _, n := range leaf.EmailAddresses {
			if idKey(isakmp.ID{Type: id.Type, Data: []byte(n)}) == key {
				return true
			}
		}
	case isakmp.IDIPv4, isakmp.IDIPv6:
		want, _ := netip.AddrFromSlice(id.Data)
		for _, a := range leaf.IPAddresses {
			if got, ok := netip.AddrFromSlice(a); ok && got.Unmap() == want.Unmap() {
				return true
			}
		}
	}
	return false
}

// verifyPeer says what is wrong with a peer's signature, nil if nothing. id is what it shows, g the gateway that claims it, or
// the one that the negotiation began with if none does: then too all of it is done, and takes its time.
func (e *Endpoint) verifyPeer(now time.Time, p *phase1, g *gateway, m message, id isakmp.ID) error {
	leaf, others, err := peerCertificates(m.certificates)
	if err != nil {
		return err
	}
	if got := methodOf(leaf.PublicKey); got != p.suite.auth {
		return fmt.Errorf("a certificate for %v where %v was agreed", got, p.suite.auth)
	}
	if !verifySignature(leaf.PublicKey, p.auth(!p.initiator, m.id), m.sig) {
		return errors.New("wrong signature")
	}
	if err := checkChain(now, leaf, others, g.anchors); err != nil {
		return err
	}
	if !shows(leaf, id) {
		return fmt.Errorf("the certificate of %q does not show the identity %s", leaf.Subject.String(), idText(id))
	}
	return nil
}
