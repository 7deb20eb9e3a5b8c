package gdoi

import (
	"encoding/binary"

	"gvpn/isakmp"
	"gvpn/lkh"
	"gvpn/sa"
)

// The arrays of a key packet for LKH (RFC 6407 section 5.6.3). A download array has a header of 4 octets:
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!  LKH Version  !          # of LKH Keys        !  RESERVED     !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                            LKH Keys                           ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// An update array names after it the key that the first LKH key is under:
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!            LKH ID             !           RESERVED2           !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!                           Key Handle                          !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// An LKH key, whose length follows from the KEK's:
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!             LKH ID            !    Key Type   !    RESERVED   !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!                        Key Creation Date                      !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!                       Key Expiration Date                     !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	!                           Key Handle                          !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	~                            Key Data                           ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// Both dates are written as zero, "necessary in the case where time synchronization within the group is not possible", and not
// looked at: the KEK's lifetime is SAK's, and no other key is used but under it.
const (
	lkhDownloadHead = 4
	lkhUpdateHead   = 12
	lkhKeyHead      = 16
)

// SizeUpdates is how many octets updates take in a message.
func SizeUpdates(updates []lkh.Update) int {
	n := 0
	for _, u := range updates {
		n += sizeUpdate(u)
	}
	return n
}

func sizeUpdate(u lkh.Update) int {
	n := isakmp.GenericLen + lkhUpdateHead
	for _, k := range u.Keys {
		n += lkhKeyHead + len(k.Data)
	}
	return n
}

// SplitUpdates divides updates, in their order, so that none has more than most octets, unless one update alone has, and all
// fit a PUSH of their own beside the KEK that they bring. "Parts of the array MAY be sent in different unique GROUPKEY-PUSH
// datagrams" (RFC 6407 section 4): each is complete, and a member's array is in one of them.
func SplitUpdates(kek *sa.KEK, updates []lkh.Update, most int) (parts [][]lkh.Update) {
	p := &Policy{KEK: kek, Updates: []lkh.Update{}}
	most = min(most, maxPolicySize-sizeSA(p)-sizeKD(p))
	for from := 0; from < len(updates); {
		to, size := from+1, sizeUpdate(updates[from])
		for to < len(updates) && size+sizeUpdate(updates[to]) <= most {
			size += sizeUpdate(updates[to])
			to++
		}
		parts = append(parts, updates[from:to:to])
		from = to
	}
	return parts
}

func appendDownload(dst []byte, keys *lkh.Keys) []byte {
	path := keys.Path()
	defer zeroPath(path)
	dst = binary.BigEndian.AppendUint16(dst, lkhDownloadArray)
	dst = binary.BigEndian.AppendUint16(dst, uint16(lkhDownloadHead+len(path)*(lkhKeyHead+len(path[0].Data))))
	return appendLKHKeys(appendLKHHead(dst, len(path)), path)
}

func zeroPath(path []lkh.Key) {
	for _, k := range path {
		k.Data.Zero()
	}
}

func appendUpdateArray(dst []byte, u lkh.Update) []byte {
	dst = binary.BigEndian.AppendUint16(dst, lkhUpdateArray)
	dst = binary.BigEndian.AppendUint16(dst, uint16(sizeUpdate(u)-isakmp.GenericLen))
	dst = appendLKHHead(dst, len(u.Keys))
	dst = binary.BigEndian.AppendUint16(dst, u.ID)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, u.Handle)
	return appendLKHKeys(dst, u.Keys)
}

func appendLKHHead(dst []byte, n int) []byte {
	return append(binary.BigEndian.AppendUint16(append(dst, lkhVersion), uint16(n)), 0)
}

func appendLKHKeys(dst []byte, keys []lkh.Key) []byte {
	for _, k := range keys {
		dst = binary.BigEndian.AppendUint16(dst, k.ID)
		dst = append(dst, kekAlgAES, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		dst = binary.BigEndian.AppendUint32(dst, k.Handle)
		dst = append(dst, k.Data...)
	}
	return dst
}

// parseDownload reads the value of an LKH_DOWNLOAD_ARRAY; bits is the KEK's.
func parseDownload(b []byte, bits int) (*lkh.Keys, error) {
	c := isakmp.NewCursor("LKH_DOWNLOAD_ARRAY", b)
	n, err := parseLKHHead(c)
	if err != nil {
		return nil, err
	}
	path, err := parseLKHKeys(c, n, lkh.DataLen(bits))
	if err != nil {
		return nil, err
	}
	keys, err := lkh.NewKeys(path)
	if err != nil {
		return nil, &refusal{kind: ErrKeys, text: "LKH_DOWNLOAD_ARRAY", cause: err}
	}
	return keys, nil
}

// parseUpdate reads the value of an LKH_UPDATE_ARRAY; key data are views.
func parseUpdate(b []byte, bits int) (u lkh.Update, err error) {
	c := isakmp.NewCursor("LKH_UPDATE_ARRAY", b)
	n, err := parseLKHHead(c)
	if err != nil {
		return u, err
	}
	u.ID = c.Uint16()
	reserved := c.Uint16()
	u.Handle = c.Uint32()
	if c.Err() == nil && reserved != 0 {
		return u, refuse(ErrForm, "LKH_UPDATE_ARRAY: RESERVED2 %#04x", reserved)
	}
	u.Keys, err = parseLKHKeys(c, n, lkh.WrappedLen(bits))
	return u, err
}

func parseLKHHead(c *isakmp.Cursor) (int, error) {
	version, n, reserved := c.Uint8(), int(c.Uint16()), c.Uint8()
	switch {
	case c.Err() != nil:
		return 0, form("LKH", c.Err())
	case version != lkhVersion:
		return 0, refuse(ErrUnsupported, "LKH array: version %d, want %d", version, lkhVersion)
	case reserved != 0:
		return 0, refuse(ErrForm, "LKH array: RESERVED %#02x", reserved)
	case n == 0 || n > lkh.MaxPath:
		return 0, refuse(ErrForm, "LKH array: %d keys, want 1 to %d", n, lkh.MaxPath)
	}
	return n, nil
}

func parseLKHKeys(c *isakmp.Cursor, n, size int) ([]lkh.Key, error) {
	if c.Err() == nil && c.Len() != n*(lkhKeyHead+size) {
		return nil, refuse(ErrForm, "LKH array: %d octets for %d keys of %d", c.Len(), n, size)
	}
	keys := make([]lkh.Key, 0, n)
	for range n {
		k := lkh.Key{ID: c.Uint16()}
		typ, reserved := c.Uint8(), c.Uint8()
		c.Bytes(8) // the dates
		k.Handle, k.Data = c.Uint32(), c.Bytes(size)
		switch {
		case c.Err() != nil:
			return nil, form("LKH", c.Err())
		case typ != kekAlgAES:
			return nil, refuse(ErrUnsupported, "LKH key of type %d, want %d", typ, kekAlgAES)
		case reserved != 0:
			return nil, refuse(ErrForm, "LKH key: RESERVED %#02x", reserved)
		}
		keys = append(keys, k)
	}
	return keys, nil
}
