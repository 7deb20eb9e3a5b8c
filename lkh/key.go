package lkh

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"

	"gvpn/sa"
)

// ErrKeys is wrapped by errors about keys and arrays that another has made; ErrFull says that a Tree has no leaf left, or
// has given out almost as many keys as there are handles.
var (
	ErrKeys = errors.New("lkh: keys do not fit")
	ErrFull = errors.New("lkh: no leaf or no handle left")
)

// ivLen is the length of the explicit IV before a key (RFC 6407 section 5.6.3.1).
const ivLen = aes.BlockSize

// Key is the key of one node. ID names the node, Handle the key within it: a node's next key has another.
type Key struct {
	ID     uint16
	Handle uint32
	Data   sa.Secret // the IV of 16 octets, then the AES key; in an Update both encrypted
}

// Update is an LKH_UPDATE_ARRAY (RFC 6407 section 5.6.3.2): new keys on the way up from a node, the last one the group's KEK.
// The first is encrypted under the key that ID and Handle name, each further one under the one before it.
type Update struct {
	ID     uint16
	Handle uint32
	Keys   []Key
}

// keyBits reports whether an AES key may have n bits.
func keyBits(n int) bool { return n == 128 || n == 192 || n == 256 }

// DataLen is the length of Data for a key of so many bits, WrappedLen that of Data in an Update: whole blocks, so that the IV
// and key of AES-192 have 8 octets of zeros behind them. RFC 6407 is silent there.
func DataLen(bits int) int { return ivLen + bits/8 }

// WrappedLen says how long the Data of an encrypted key is.
func WrappedLen(bits int) int {
	return (DataLen(bits) + aes.BlockSize - 1) / aes.BlockSize * aes.BlockSize
}

// wrap encrypts data under a key: AES-CBC with that key's own IV, as a PUSH is under the KEK (RFC 6407 section 5.6.2.1). The
// IV stays the same; what is encrypted begins with a fresh random IV of its own, so that no two texts begin alike.
func wrap(under, data sa.Secret) sa.Secret {
	out := make(sa.Secret, WrappedLen(8*(len(data)-ivLen)))
	copy(out, data)
	cipher.NewCBCEncrypter(block(under), under[:ivLen]).CryptBlocks(out, out)
	return out
}

// unwrap is its inverse; it fails if the octets after the key are not zero.
func unwrap(under, wrapped sa.Secret) (sa.Secret, error) {
	out := make(sa.Secret, len(wrapped))
	cipher.NewCBCDecrypter(block(under), under[:ivLen]).CryptBlocks(out, wrapped)
	for _, o := range out[len(under):] {
		if o != 0 {
			out.Zero()
			return nil, fmt.Errorf("%w: octets after a key are not zero", ErrKeys)
		}
	}
	return out[:len(under):len(under)], nil
}

func block(key sa.Secret) cipher.Block {
	b, err := aes.NewCipher(key[ivLen:])
	if err != nil {
		panic("lkh: " + err.Error()) // lengths have been checked
	}
	return b
}
