package gdoi

import (
	"encoding/binary"
	"slices"
	"time"

	"gvpn/isakmp"
	"gvpn/sa"
)

// mustNonce is for the encoders: a nonce of another length is a programming error.
func mustNonce(b []byte) {
	if err := isakmp.CheckNonce(b, minNonce, maxNonce); err != nil {
		panic(err)
	}
}

// GroupName is how message 1 of a PULL names a group: by a number in a KEY_ID (RFC 6407 section 5.1), or by the object
// identifier of what it carries in an ID_OID (RFC 8052 section 2.1). A Selector that is not zero is the name, and ID is 0.
type GroupName struct {
	ID       uint32
	Selector sa.Selector
}

// AppendPull1 appends what follows HASH in message 1 of GROUPKEY-PULL, a chain that begins with NONCE: the nonce ni of 8 to
// 128 octets and the group (RFC 6407 sections 3.2, 5.1 and 5.8). It panics on a Selector that is not Sound.
func AppendPull1(dst, ni []byte, group GroupName, o Options) []byte {
	mustNonce(ni)
	dst = isakmp.AppendPayload(dst, isakmp.PayloadID, ni)
	id := isakmp.ID{Type: isakmp.IDKeyID}
	switch {
	case group.Selector != sa.Selector{}:
		if !group.Selector.Sound() {
			panic(refuse(ErrForm, "PULL message 1: OID or its payload are not DER"))
		}
		id.Type, id.Data = isakmp.IDOID, appendSelector(nil, group.Selector)
	case o.HostOrderGroup:
		id.Data = binary.LittleEndian.AppendUint32(nil, group.ID)
	default:
		id.Data = binary.BigEndian.AppendUint32(nil, group.ID)
	}
	return isakmp.AppendPayload(dst, isakmp.NoPayload, id.Append(nil))
}

// ParsePull1 reads what follows HASH in message 1. ni is the caller's to keep.
func ParsePull1(first isakmp.PayloadType, b []byte, o Options) (ni []byte, group GroupName, err error) {
	p, err := payloads("PULL message 1", first, b, isakmp.PayloadNONCE, isakmp.PayloadID)
	if err != nil {
		return nil, group, err
	}
	if ni, err = parseNonce(p[0]); err != nil {
		return nil, group, err
	}
	if group, err = parseGroup(p[1], o); err != nil {
		return nil, GroupName{}, err
	}
	return ni, group, nil
}

func parseGroup(body []byte, o Options) (group GroupName, err error) {
	id, err := isakmp.ParseID(body)
	switch {
	case err != nil:
		return group, form("PULL message 1", err)
	case id.Protocol != 0 || id.Port != 0:
		return group, refuse(ErrForm, "ID payload: DOI-specific data is not zero")
	case id.Type == isakmp.IDOID:
		group.Selector, err = parseOID(id.Data)
		return group, err
	case id.Type != isakmp.IDKeyID || len(id.Data) != 4:
		return group, refuse(ErrUnsupported, "ID payload: group identity of type %d with %d octets, want KEY_ID with 4 or ID_OID", id.Type, len(id.Data))
	case o.HostOrderGroup:
		group.ID = binary.LittleEndian.Uint32(id.Data)
	default:
		group.ID = binary.BigEndian.Uint32(id.Data)
	}
	return group, nil
}

// AppendPull2 appends what follows HASH in message 2, a chain that begins with NONCE: the server's nonce and the group's
// policy with what is left of its lifetimes at now. It panics on a Policy that Check refuses, or with Updates.
func AppendPull2(dst, nr []byte, p *Policy, now time.Time, o Options) []byte {
	mustNonce(nr)
	mustPull(p)
	dst = slices.Grow(dst, isakmp.GenericLen+len(nr)+sizeSA(p))
	dst = isakmp.AppendPayload(dst, isakmp.PayloadSA, nr)
	return appendSA(dst, isakmp.NoPayload, p, now, o)
}

// ParsePull2 reads what follows HASH in message 2. The Policy has no keys yet: ParsePull4 brings them. Its SAs are Created
// now and Hard when their remaining lifetime is over; Soft is zero, and Activate too but for an SA_ATD.
func ParsePull2(first isakmp.PayloadType, b []byte, now time.Time, o Options) (nr []byte, p *Policy, err error) {
	bodies, err := payloads("PULL message 2", first, b, isakmp.PayloadNONCE, isakmp.PayloadSA)
	if err != nil {
		return nil, nil, err
	}
	if nr, err = parseNonce(bodies[0]); err != nil {
		return nil, nil, err
	}
	if p, err = parseSA(bodies[1], now, true, o); err != nil {
		return nil, nil, err
	}
	return nr, p, nil
}

// Pull3First is the type of the first payload after HASH in message 3 that asks for so many sender IDs.
func Pull3First(senderIDs int) isakmp.PayloadType {
	if senderIDs > 0 {
		return isakmp.PayloadGAP
	}
	return isakmp.NoPayload
}

// AppendPull3 appends what follows HASH in message 3, a chain that begins with Pull3First: nothing, or a GAP that asks for so
// many sender IDs, 65535 at most (SENDER_ID_REQUEST, RFC 6407 section 5.4.2). "Requesting a value of 1 is not necessary"
// (section 3.5): a group with a cipher that counts gives every member one.
func AppendPull3(dst []byte, senderIDs int) []byte {
	if senderIDs == 0 {
		return dst
	}
	if senderIDs < 0 || senderIDs > 65535 {
		panic(refuse(ErrForm, "PULL message 3: %d sender IDs", senderIDs))
	}
	dst, at := isakmp.OpenPayload(dst, isakmp.NoPayload)
	return isakmp.ClosePayload(isakmp.AppendAttrBasic(dst, senderIDRequest, uint16(senderIDs)), at)
}

// ParsePull3 reads what follows HASH in message 3: nothing, or a GAP. senderIDs is how many are asked for, up to 65535 and 0 if
// none is; how many a member gets is the caller's to say, and at most MaxSenderIDs. Delays in the GAP mean nothing there.
func ParsePull3(first isakmp.PayloadType, b []byte) (senderIDs int, err error) {
	if first == isakmp.NoPayload {
		return 0, nil
	}
	bodies, err := payloads("PULL message 3", first, b, isakmp.PayloadGAP)
	if err != nil {
		return 0, err
	}
	list, err := isakmp.ParseAttrs(bodies[0])
	if err != nil {
		return 0, form("GAP", err)
	}
	a, err := readAttrs("GAP payload", list)
	if err != nil {
		return 0, err
	}
	v, _ := a.take(senderIDRequest)
	if v > 65535 {
		return 0, refuse(ErrForm, "GAP payload: request for %d sender IDs", v)
	}
	for _, known := range []uint16{activationTimeDelay, deactivationTimeDelay} {
		a.take(known)
	}
	return int(v), a.rest()
}

// Pull4First is the type of the first payload after HASH in message 4: SEQ with a KEK, KD without.
func Pull4First(p *Policy) isakmp.PayloadType {
	if p.KEK != nil {
		return isakmp.PayloadSEQ
	}
	return isakmp.PayloadKD
}

// AppendPull4 appends what follows HASH in message 4, a chain that begins with Pull4First: the number of the last PUSH
// (p.KEK.Seq, section 5.7), if there is a KEK, and the keys: TEKs, the KEK or, with p.LKH, the member's way up to it, and
// p.SenderIDs. It panics on a Policy that Check refuses (a look into the signature key aside), or with Updates, or without SenderIDs if a TEK Counts: then at least one
// "MUST be included" (section 5.6.4.4).
//
// dst grows before the first key is written, so that no key is left behind in a smaller buffer.
func AppendPull4(dst []byte, p *Policy, o Options) []byte {
	mustPull(p)
	if p.SenderIDs == nil && slices.ContainsFunc(p.TEKs, func(t sa.TEK) bool { return t.Counts() }) {
		panic(refuse(ErrForm, "policy: a cipher that counts, and no sender IDs"))
	}
	dst = slices.Grow(dst, sizeSEQ+sizeKD(p))
	if p.KEK != nil {
		dst = appendSEQ(dst, isakmp.PayloadKD, p.KEK.Seq)
	}
	return appendKD(dst, isakmp.NoPayload, p, o)
}

// ParsePull4 reads what follows HASH in message 4 and puts the keys, the signature key, KEK.Seq, LKH and SenderIDs into p,
// which came from ParsePull2. On an error p is as it was. A SEQ belongs to a KEK: one without the other is refused.
func ParsePull4(first isakmp.PayloadType, b []byte, p *Policy, o Options) error {
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
	r := kdReader{p: p, pull: true, o: o}
	if _, err := r.parseKD(bodies[len(bodies)-1], nil); err != nil {
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
const sizeSEQ = 8

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
