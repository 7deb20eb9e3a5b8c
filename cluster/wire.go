package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"gvpn/isakmp"
	"gvpn/sa"
)

// payloadCluster is the type of the one payload that follows NONCE in both exchanges: the first of ISAKMP's private range (RFC
// 2408 section 3.1).
const payloadCluster isakmp.PayloadType = 128

const (
	format = 3 // of the cluster payload

	nonceLength  = 32 // ours; any of RFC 6407 section 5.8 is taken
	leastNonce   = 8
	mostNonce    = 128
	fixedLength  = 24
	maxPayload   = 60000 // octets of a cluster payload; the datagram around it stays below UDP's limit
	digestLength = 8
	digests      = len(parts) * digestLength
)

// kind is what a cluster payload says.
type kind uint8

const (
	request kind = iota + 1 // cluster-init: give me everything
	reply                   // cluster-init: everything
	refusal                 // cluster-init: no; code says why
	update                  // cluster-update: a change
	ack                     // cluster-update: installed
)

// code is why a root refuses a cluster-init.
type code uint8

const (
	noCode   code = iota
	notPeer       // the group is not configured there, or we are not its peer, or that server is not its root
	notReady      // no keys yet
	tooLarge      // the group's SAs do not fit one message
	lastCode = tooLarge
)

func (c code) String() string {
	switch c {
	case notPeer:
		return "it does not serve this server in this group"
	case notReady:
		return "its keys are not there yet"
	case tooLarge:
		return "the group's SAs do not fit one message"
	}
	return "no reason"
}

// frame is the body of a cluster payload.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------+---------------+---------------+---------------+
//	!  Format (=3)  !     Kind      !     Code      !  Name length  !
//	+---------------+---------------+---------------+---------------+
//	!                           Group ID                            !
//	+---------------------------------------------------------------+
//	!                            Version                            !
//	!                                                               !
//	+---------------------------------------------------------------+
//	!                             Base                              !
//	!                                                               !
//	+---------------------------------------------------------------+
//	~              Group name, printable ASCII, 1..255              ~
//	+---------------------------------------------------------------+
//	~  Digests of the parts of the configuration (V8), 8 octets     ~
//	~  each, in the order of the table in digest.go                 ~
//	+---------------------------------------------------------------+
//	~  Sender IDs that the sub-server has (sa.AppendSenders)        ~
//	+---------------------------------------------------------------+
//	~  Update (sa.AppendUpdate), times relative to the sender's now ~
//	+---------------------------------------------------------------+
//
//	kind      code   version                     base                        digests  sender IDs  update
//	request   0      what the sub-server has     0                           yes      yes         no
//	reply     0      of the Update               0                           yes      no          yes, full
//	refusal   1..3   0                           0                           no       no          no
//	update    0      of the Update               what it builds on           yes      no          yes, not full
//	ack       0      what is installed           0                           no       no          no
//
// The sender IDs of a request are the rest of the block that the sub-server was lent last, with a count of 0 when it is used up, and
// zeros if it has none of any epoch. Those of a reply are in its Update: a block that is lent, or a count of 0. A request that ike
// repeats gets the octets of the first reply, and no second block.
type frame struct {
	kind    kind
	code    code
	groupID uint32
	version uint64
	base    uint64
	group   string
	digest  digest
	senders sa.Senders
	update  sa.Update
}

func (k kind) hasDigests() bool { return k == request || k == reply || k == update }
func (k kind) hasSenders() bool { return k == request }
func (k kind) hasUpdate() bool  { return k == reply || k == update }

var (
	errForm  = errors.New("cluster: malformed message")
	errLarge = errors.New("cluster: the group's SAs do not fit one message")
)

// appendMessage appends the chain NONCE, cluster payload that follows HASH; its first payload is NONCE. f.update has passed
// Check. The error is errLarge.
func appendMessage(dst, nonce []byte, f *frame, now time.Time) ([]byte, error) {
	dst = isakmp.AppendPayload(dst, payloadCluster, nonce)
	dst, at := isakmp.OpenPayload(dst, isakmp.NoPayload)
	dst = append(dst, format, byte(f.kind), byte(f.code), byte(len(f.group)))
	dst = binary.BigEndian.AppendUint32(dst, f.groupID)
	dst = binary.BigEndian.AppendUint64(dst, f.version)
	dst = binary.BigEndian.AppendUint64(dst, f.base)
	dst = append(dst, f.group...)
	if f.kind.hasDigests() {
		for _, d := range f.digest {
			dst = append(dst, d[:]...)
		}
	}
	if f.kind.hasSenders() {
		dst = sa.AppendSenders(dst, f.senders)
	}
	if f.kind.hasUpdate() {
		dst = sa.AppendUpdate(dst, &f.update, now)
	}
	if len(dst)-at > maxPayload {
		clear(dst[at:])
		return nil, errLarge
	}
	return isakmp.ClosePayload(dst, at), nil
}

// parseMessage reads the chain that follows HASH: NONCE and one cluster payload, nothing else, every octet accounted for. The
// frame owns its memory. now is the reader's, for the times of an Update.
func parseMessage(first isakmp.PayloadType, b []byte, now time.Time) (*frame, error) {
	c := isakmp.Payloads(first, b)
	nonce, ok := c.Next()
	if !ok || nonce.Type != isakmp.PayloadNONCE {
		return nil, fmt.Errorf("%w: no NONCE first: %v", errForm, c.Err())
	}
	if err := isakmp.CheckNonce(nonce.Body, leastNonce, mostNonce); err != nil {
		return nil, fmt.Errorf("%w: %w", errForm, err)
	}
	p, ok := c.Next()
	if !ok || p.Type != payloadCluster || c.Peek() != isakmp.NoPayload {
		return nil, fmt.Errorf("%w: not one cluster payload after NONCE: %v", errForm, c.Err())
	}
	return parseFrame(p.Body, now)
}

func parseFrame(b []byte, now time.Time) (*frame, error) {
	if len(b) > maxPayload {
		return nil, fmt.Errorf("%w: %d octets, at most %d", errForm, len(b), maxPayload)
	}
	c := isakmp.NewCursor("cluster payload", b)
	if v := c.Uint8(); c.Err() == nil && v != format {
		return nil, fmt.Errorf("%w: format %d, this program knows %d", errForm, v, format)
	}
	f := &frame{kind: kind(c.Uint8()), code: code(c.Uint8())}
	name := int(c.Uint8())
	f.groupID = c.Uint32()
	f.version = uint64(c.Uint32())<<32 | uint64(c.Uint32())
	f.base = uint64(c.Uint32())<<32 | uint64(c.Uint32())
	f.group = string(c.Bytes(name))
	if err := c.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errForm, err)
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errForm, err)
	}
	if f.kind.hasDigests() {
		for i := range f.digest {
			copy(f.digest[i][:], c.Bytes(digestLength))
		}
	}
	var senders, rest []byte
	if f.kind.hasSenders() {
		senders = c.Bytes(sa.SendersLen)
	}
	if f.kind.hasUpdate() {
		rest = c.Rest()
	}
	if err := c.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", errForm, err)
	}
	if f.kind.hasSenders() {
		var err error
		if f.senders, err = sa.ParseSenders(senders); err != nil {
			return nil, fmt.Errorf("%w: %w", errForm, err)
		}
	}
	if !f.kind.hasUpdate() {
		return f, nil
	}
	u, err := sa.ParseUpdate(rest, now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errForm, err)
	}
	if u.Full != (f.kind == reply) || u.Version != f.version || u.GroupID != f.groupID || u.Group != f.group {
		u.Zero()
		return nil, fmt.Errorf("%w: the Update is not the payload's", errForm)
	}
	f.update = u
	return f, nil
}

// check holds the header against the table above.
func (f *frame) check() error {
	switch {
	case f.kind < request || f.kind > ack:
		return fmt.Errorf("kind %d", f.kind)
	case (f.code != noCode) != (f.kind == refusal) || f.code > lastCode:
		return fmt.Errorf("code %d in kind %d", f.code, f.kind)
	case f.group == "":
		return errors.New("no group name")
	case f.groupID == 0:
		return errors.New("group ID 0")
	case f.kind == refusal && f.version != 0:
		return errors.New("version in a refusal")
	case f.kind != update && f.base != 0:
		return fmt.Errorf("base in kind %d", f.kind)
	case f.kind == update && f.base >= f.version:
		return fmt.Errorf("update to version %d builds on %d", f.version, f.base)
	}
	for _, r := range []byte(f.group) {
		if r < ' ' || r > '~' {
			return errors.New("group name is not printable ASCII")
		}
	}
	return nil
}
