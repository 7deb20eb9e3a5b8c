package gdoi

import (
	"encoding/binary"
	"time"

	"gvpn/isakmp"
)

// mustNonce is for the encoders: a nonce of another length is a programming error.
func mustNonce(b []byte) {
	if err := isakmp.CheckNonce(b, minNonce, maxNonce); err != nil {
		panic(err)
	}
}

// AppendPull1 appends what follows HASH in message 1 of GROUPKEY-PULL, a chain that begins with NONCE: the nonce ni of 8 to
// 128 octets and the group as an ID of type KEY_ID (RFC 6407 sections 3.2, 5.1 and 5.8).
func AppendPull1(dst, ni []byte, groupID uint32) []byte {
	mustNonce(ni)
	dst = isakmp.AppendPayload(dst, isakmp.PayloadID, ni)
	id := isakmp.ID{Type: isakmp.IDKeyID, Data: binary.BigEndian.AppendUint32(nil, groupID)}
	return isakmp.AppendPayload(dst, isakmp.NoPayload, id.Append(nil))
}

// ParsePull1 reads what follows HASH in message 1. ni is the caller's to keep.
func ParsePull1(first isakmp.PayloadType, b []byte) (ni []byte, groupID uint32, err error) {
	p, err := payloads("PULL message 1", first, b, isakmp.PayloadNONCE, isakmp.PayloadID)
	if err != nil {
		return nil, 0, err
	}
	if ni, err = parseNonce(p[0]); err != nil {
		return nil, 0, err
	}
	id, err := isakmp.ParseID(p[1])
	switch {
	case err != nil:
		return nil, 0, form("PULL message 1", err)
	case id.Type != isakmp.IDKeyID || len(id.Data) != 4:
		return nil, 0, refuse(ErrUnsupported, "ID payload: group identity of type %d with %d octets, want KEY_ID with 4", id.Type, len(id.Data))
	case id.Protocol != 0 || id.Port != 0:
		return nil, 0, refuse(ErrForm, "ID payload: DOI-specific data is not zero")
	}
	return ni, binary.BigEndian.Uint32(id.Data), nil
}

// AppendPull2 appends what follows HASH in message 2, a chain that begins with NONCE: the server's nonce and the group's
// policy with what is left of its lifetimes at now. It panics on a Policy that Check refuses.
func AppendPull2(dst, nr []byte, p *Policy, now time.Time) []byte {
	mustNonce(nr)
	mustCheck(p)
	dst = isakmp.AppendPayload(dst, isakmp.PayloadSA, nr)
	return appendSA(dst, isakmp.NoPayload, p, now)
}

// ParsePull2 reads what follows HASH in message 2. The Policy has no keys yet: ParsePull4 brings them. Its SAs are Created
// now and Hard when their remaining lifetime is over; Soft and Activate are zero.
func ParsePull2(first isakmp.PayloadType, b []byte, now time.Time) (nr []byte, p *Policy, err error) {
	bodies, err := payloads("PULL message 2", first, b, isakmp.PayloadNONCE, isakmp.PayloadSA)
	if err != nil {
		return nil, nil, err
	}
	if nr, err = parseNonce(bodies[0]); err != nil {
		return nil, nil, err
	}
	if p, err = parseSA(bodies[1], now, true); err != nil {
		return nil, nil, err
	}
	return nr, p, nil
}

// AppendPull3 appends what follows HASH in message 3: nothing, as no member of ours asks for sender IDs. The chain's first
// payload is isakmp.NoPayload.
func AppendPull3(dst []byte) []byte { return dst }

// ParsePull3 reads what follows HASH in message 3: nothing, or a GAP. A request for sender IDs is well-formed and goes
// unanswered: no cipher spoken here counts.
func ParsePull3(first isakmp.PayloadType, b []byte) error {
	if first == isakmp.NoPayload {
		return nil
	}
	bodies, err := payloads("PULL message 3", first, b, isakmp.PayloadGAP)
	if err != nil {
		return err
	}
	list, err := isakmp.ParseAttrs(bodies[0])
	if err != nil {
		return form("GAP", err)
	}
	a, err := readAttrs("GAP payload", list)
	if err != nil {
		return err
	}
	for _, known := range []uint16{activationTimeDelay, deactivationTimeDelay, senderIDRequest} {
		a.take(known)
	}
	return a.rest()
}

// Pull4First is the type of the first payload after HASH in message 4: SEQ with a KEK, KD without.
func Pull4First(p *Policy) isakmp.PayloadType {
	if p.KEK != nil {
		return isakmp.PayloadSEQ
	}
	return isakmp.PayloadKD
}

// AppendPull4 appends what follows HASH in message 4, a chain that begins with Pull4First: the number of the last PUSH
// (p.KEK.Seq, section 5.7), if there is a KEK, and the keys. It panics on a Policy that Check refuses.
func AppendPull4(dst []byte, p *Policy) []byte {
	mustCheck(p)
	if p.KEK != nil {
		dst = appendSEQ(dst, isakmp.PayloadKD, p.KEK.Seq)
	}
	return appendKD(dst, isakmp.NoPayload, p)
}

// ParsePull4 reads what follows HASH in message 4 and puts the keys, the signature key and KEK.Seq into p, which came from
// ParsePull2. On an error p is as it was. A SEQ belongs to a KEK: one without the other is refused.
func ParsePull4(first isakmp.PayloadType, b []byte, p *Policy) error {
	want := []isakmp.PayloadType{isakmp.PayloadSEQ, isakmp.PayloadKD}
	if p.KEK == nil {
		want = want[1:]
	}
	bodies, err := payloads("PULL message 4", first, b, want...)
	if err != nil {
		return err
	}
	var seq uint32
	if p.KEK != nil {
		if seq, err = parseSEQ(bodies[0]); err != nil {
			return err
		}
	}
	if err := parseKD(bodies[len(bodies)-1], p, nil); err != nil {
		return err
	}
	if p.KEK != nil {
		p.KEK.Seq = seq
	}
	return nil
}

// payloads reads a chain of exactly the given types, in this order, and returns their bodies. Octets after the chain are
// padding.
func payloads(what string, first isakmp.PayloadType, b []byte, want ...isakmp.PayloadType) ([][]byte, error) {
	bodies := make([][]byte, 0, len(want))
	c := isakmp.Payloads(first, b)
	for p, ok := c.Next(); ok; p, ok = c.Next() {
		if len(bodies) == len(want) || p.Type != want[len(bodies)] {
			return nil, refuse(ErrForm, "%s: %v payload at place %d", what, p.Type, len(bodies)+1)
		}
		bodies = append(bodies, p.Body)
	}
	if err := c.Err(); err != nil {
		return nil, form(what, err)
	}
	if len(bodies) < len(want) {
		return nil, refuse(ErrForm, "%s: no %v payload", what, want[len(bodies)])
	}
	return bodies, nil
}

func parseNonce(body []byte) ([]byte, error) {
	if err := isakmp.CheckNonce(body, minNonce, maxNonce); err != nil {
		return nil, form("NONCE", err)
	}
	return append([]byte(nil), body...), nil
}

// Sequence Number payload (RFC 6407 section 5.7); its length is always 8.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	! Next Payload  !   RESERVED    !         Payload Length        !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!                      Sequence Number                          !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
func appendSEQ(dst []byte, next isakmp.PayloadType, seq uint32) []byte {
	dst, at := isakmp.OpenPayload(dst, next)
	return isakmp.ClosePayload(binary.BigEndian.AppendUint32(dst, seq), at)
}

func parseSEQ(body []byte) (uint32, error) {
	if len(body) != 4 {
		return 0, refuse(ErrForm, "SEQ payload: %d octets, want 4", len(body))
	}
	return binary.BigEndian.Uint32(body), nil
}
