package ike

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"slices"

	"gvpn/commit/step"
	"gvpn/isakmp"
	"gvpn/sa"
)

// suite is what the two sides of a phase-1 SA agree on; AES-CBC throughout.
type suite struct {
	hash        sa.Hash
	auth        step.AuthMethod
	bits, group uint16
}

func (s suite) newHash() hash.Hash {
	switch s.hash {
	case sa.SHA384:
		return sha512.New384()
	case sa.SHA512:
		return sha512.New()
	}
	return sha256.New()
}

// fingerprint tells datagrams apart: SHA-256, cut. Who finds two that have the same one gains the answer to the first for the second.
type fingerprint [16]byte

func digest(b []byte) fingerprint {
	sum := sha256.Sum256(b)
	return fingerprint(sum[:])
}

// prf is HMAC of the negotiated hash (RFC 2409 section 4).
func (s suite) prf(key []byte, parts ...[]byte) []byte {
	m := hmac.New(s.newHash, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// again is prf with a key that is used more than once.
func again(m hash.Hash, parts ...[]byte) []byte {
	m.Reset()
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// keys are the SKEYIDs of a phase-1 SA (RFC 2409 section 5) that are used as long as it is. Neither prf is shorter than the
// longest AES key, so the expansion of Appendix B is never needed: the key is the first octets of SKEYID_e, and those are e.
type keys struct {
	a, e sa.Secret
	hash sa.Hash
	*seed
	made *tools // nil: none at hand
}

// seed is the SKEYIDs of the negotiation; nil when it has ended.
type seed struct {
	skeyid, d sa.Secret
	prf       hash.Hash // HMAC with skeyid
}

// tools are made of the keys when they are needed, and used more than once then. They are many times as large: see rest.
type tools struct {
	mac              hash.Hash
	encrypt, decrypt cbc
}

// cbc is what package cipher's CBC is.
type cbc interface {
	cipher.BlockMode
	SetIV(iv []byte)
}

// deriveKeys makes the keys (RFC 2409 section 5). shared is g^xy, left-padded to the group's size. With signatures SKEYID is made
// of it, and psk is not used.
func deriveKeys(s suite, psk sa.Secret, ni, nr []byte, shared sa.Secret, ck cookies) (keys, error) {
	k := keys{hash: s.hash, seed: &seed{}}
	if s.auth == step.PreSharedKeys {
		k.skeyid = s.prf(psk, ni, nr)
	} else {
		k.skeyid = s.prf(slices.Concat(ni, nr), shared)
	}
	k.prf = hmac.New(s.newHash, k.skeyid)
	k.d = again(k.prf, shared, ck.i[:], ck.r[:], []byte{0})
	k.a = again(k.prf, k.d, shared, ck.i[:], ck.r[:], []byte{1})
	e := again(k.prf, k.a, shared, ck.i[:], ck.r[:], []byte{2})
	clear(e[s.bits/8:])
	k.e = e[:s.bits/8]
	var err error
	k.made, err = k.make()
	return k, err
}

// settle destroys what only a negotiation needs.
func (k *keys) settle() {
	if k.seed != nil {
		k.skeyid.Zero()
		k.d.Zero()
		k.seed = nil
	}
}

// rest drops the tools: an SA waits for its next message far longer than it takes to make them again.
func (k *keys) rest() { k.made = nil }

// tools returns them, made anew if need be.
func (k *keys) tools() *tools {
	if k.made == nil {
		k.made, _ = k.make() // it did not fail in deriveKeys
	}
	return k.made
}

func (k *keys) make() (*tools, error) {
	block, err := aes.NewCipher(k.e)
	if err != nil {
		return nil, err
	}
	var iv [aes.BlockSize]byte // each message sets its own
	return &tools{
		mac:     hmac.New(suite{hash: k.hash}.newHash, k.a),
		encrypt: cipher.NewCBCEncrypter(block, iv[:]).(cbc),
		decrypt: cipher.NewCBCDecrypter(block, iv[:]).(cbc),
	}, nil
}

func (k *keys) zero() {
	k.settle()
	k.rest()
	k.a.Zero()
	k.e.Zero()
}

// firstIV is the IV of message 5: hash(g^xi | g^xr), truncated (RFC 2409 Appendix B).
func (s suite) firstIV(gxi, gxr []byte) [16]byte {
	h := s.newHash()
	h.Write(gxi)
	h.Write(gxr)
	return [16]byte(h.Sum(nil))
}

// exchangeIV is the IV of the first message of an exchange under an SA: hash(last block of phase 1 | M-ID), truncated
// (RFC 2409 Appendix B).
func (s suite) exchangeIV(last [16]byte, id uint32) [16]byte {
	h := s.newHash()
	h.Write(last[:])
	h.Write(binary.BigEndian.AppendUint32(nil, id))
	return [16]byte(h.Sum(nil))
}

// seal pads what follows the header in msg with zeros, encrypts it in place and sets Length. It returns the datagram and its
// last cipher block.
func (k *keys) seal(msg []byte, iv [16]byte) ([]byte, [16]byte) {
	for (len(msg)-isakmp.HeaderLen)%aes.BlockSize != 0 {
		msg = append(msg, 0)
	}
	body := msg[isakmp.HeaderLen:]
	encrypt := k.tools().encrypt
	encrypt.SetIV(iv[:])
	encrypt.CryptBlocks(body, body)
	isakmp.SetLength(msg)
	return msg, [16]byte(msg[len(msg)-aes.BlockSize:])
}

// open decrypts what follows the header of a datagram into fresh storage and returns it with the last cipher block; false
// if it is not whole blocks, one at least.
func (k *keys) open(b []byte, iv [16]byte) ([]byte, [16]byte, bool) {
	body := b[isakmp.HeaderLen:]
	if len(body) == 0 || len(body)%aes.BlockSize != 0 {
		return nil, [16]byte{}, false
	}
	plain := make([]byte, len(body))
	decrypt := k.tools().decrypt
	decrypt.SetIV(iv[:])
	decrypt.CryptBlocks(plain, body)
	return plain, [16]byte(body[len(body)-aes.BlockSize:]), true
}
