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
	hash  sa.Hash
	bits  int
	group int
	auth  step.AuthMethod
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

func digest(b []byte) [32]byte { return sha256.Sum256(b) }

// prf is HMAC of the negotiated hash (RFC 2409 section 4).
func (s suite) prf(key []byte, parts ...[]byte) []byte {
	m := hmac.New(s.newHash, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// keys are the SKEYIDs of a phase-1 SA (RFC 2409 section 5) and the cipher made from SKEYID_e. Neither prf is shorter
// than the longest AES key, so the expansion of Appendix B is never needed: the key is the first octets of SKEYID_e.
type keys struct {
	suite
	skeyid, d, a, e sa.Secret
	block           cipher.Block
}

// deriveKeys makes the keys (RFC 2409 section 5). shared is g^xy, left-padded to the group's size. With signatures SKEYID is made
// of it, and psk is not used.
func deriveKeys(s suite, psk sa.Secret, ni, nr []byte, shared sa.Secret, ck cookies) (keys, error) {
	k := keys{suite: s}
	if s.auth == step.PreSharedKeys {
		k.skeyid = s.prf(psk, ni, nr)
	} else {
		k.skeyid = s.prf(slices.Concat(ni, nr), shared)
	}
	k.d = s.prf(k.skeyid, shared, ck.i[:], ck.r[:], []byte{0})
	k.a = s.prf(k.skeyid, k.d, shared, ck.i[:], ck.r[:], []byte{1})
	k.e = s.prf(k.skeyid, k.a, shared, ck.i[:], ck.r[:], []byte{2})
	var err error
	k.block, err = aes.NewCipher(k.e[:s.bits/8])
	return k, err
}

func (k *keys) zero() {
	for _, s := range []sa.Secret{k.skeyid, k.d, k.a, k.e} {
		s.Zero()
	}
	k.block = nil
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
	cipher.NewCBCEncrypter(k.block, iv[:]).CryptBlocks(body, body)
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
	cipher.NewCBCDecrypter(k.block, iv[:]).CryptBlocks(plain, body)
	return plain, [16]byte(body[len(body)-aes.BlockSize:]), true
}
