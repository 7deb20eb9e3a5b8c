package gdoi

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"slices"
	"time"

	"gvpn/isakmp"
	"gvpn/lkh"
	"gvpn/sa"
	"gvpn/turn"
)

// Push is what a GROUPKEY-PUSH message says (RFC 6407 section 4): deletions first, then policy with its keys. At least one
// of them is there.
type Push struct {
	Seq uint32

	DeleteKEK   bool     // the KEK that protects the message
	DeleteTEKs  []uint32 // SPIs for ESP; a lone 0 stands for every such TEK of the group
	Delete61850 []uint32 // the same for IEC 61850 (RFC 8052)
	// DeleteAll is "start over with a clean slate" (section 5.9): every TEK and every KEK. The three above are then empty.
	DeleteAll bool

	// Excluded says, after OpenPush, that the message brings a new KEK to a key hierarchy and that no key of this member
	// opens it: the member is shut out, or holds no hierarchy, or its update is in another message. Policy has no KEK then.
	Excluded bool

	// Policy is nil in a message that only deletes. A Policy.KEK is a new one; its first PUSH has number 1.
	Policy *Policy
}

// rekeyPrefix goes before the header into the signature's hash (section 4), without a NUL.
const rekeyPrefix = "rekey"

// Check reports why p cannot be sent under kek: it says nothing, its policy or kek do not pass, there is policy in it that is for
// one member only (SenderIDs, LKH), or it brings a new KEK and TEKs with it. "New Data-Security SAs MUST NOT be included in a
// GROUPKEY-PUSH message that changes group membership" (section 7.4.1): under the old KEK, whoever is to be shut out would get
// them. They go into a second message, under the new KEK. The KEK in force may be repeated beside TEKs.
func (p *Push) Check(kek *sa.KEK) error {
	pub, err := parsePublic(kek.SigPublic, kek.SigAlg)
	if err != nil {
		return err
	}
	if err := p.shape(kek, pub); err != nil || p.Policy == nil {
		return err
	}
	return p.Policy.Check()
}

// shape is Check without a look into the signature key of a new KEK; pub is the one of kek.
func (p *Push) shape(kek *sa.KEK, pub publicKey) error {
	if err := checkKEK(kek); err != nil {
		return err
	}
	if p.Excluded || (p.DeleteAll && (p.DeleteKEK || len(p.DeleteTEKs)+len(p.Delete61850) > 0)) {
		return refuse(ErrForm, "PUSH: deletions told twice, or what only a reader can say")
	}
	if len(p.deletes(kek, Options{IEC61850: true})) > maxDeletes {
		return refuse(ErrForm, "PUSH: %d and %d deletions", len(p.DeleteTEKs), len(p.Delete61850))
	}
	if n := p.size(kek, Options{IEC61850: true}) + isakmp.GenericLen + pub.size() + aes.BlockSize; n > isakmp.MaxMessage {
		return refuse(ErrForm, "PUSH: up to %d octets, at most %d are a datagram", n, isakmp.MaxMessage)
	}
	c := p.Policy
	if c == nil {
		if !p.DeleteAll && !p.DeleteKEK && len(p.DeleteTEKs)+len(p.Delete61850) == 0 {
			return refuse(ErrForm, "PUSH that says nothing")
		}
		return nil
	}
	if err := c.shape(); err != nil {
		return err
	}
	if c.SenderIDs != nil || c.LKH != nil {
		return refuse(ErrForm, "PUSH: sender IDs or keys of a hierarchy that are for one member")
	}
	if c.KEK != nil && c.KEK.SPI != kek.SPI && len(c.TEKs) > 0 {
		return refuse(ErrForm, "PUSH: %d TEKs in the message that changes the KEK", len(c.TEKs))
	}
	return nil
}

// PushMessage builds a GROUPKEY-PUSH up to its signature: the header, with the unpadded Length that the finished message
// will have, and the payloads SEQ, D, SA and KD as p has them, not encrypted. SignOp gives what is to be signed, SealPush
// finishes the message. It panics on what p.Check(kek) refuses.
func PushMessage(kek *sa.KEK, p *Push, now time.Time, o Options) []byte {
	pub := mustPublic(kek)
	if err := p.shape(kek, pub); err != nil {
		panic(err)
	}
	return pushMessage(kek, p, pub, now, o)
}

// size is the most octets that the message has before its signature.
func (p *Push) size(kek *sa.KEK, o Options) int {
	n := isakmp.HeaderLen + sizeSEQ
	for _, d := range p.deletes(kek, o) {
		n += isakmp.GenericLen + 8 + len(d.SPIs)*d.SPISize
	}
	if p.Policy != nil {
		n += sizeSA(p.Policy) + sizeKD(p.Policy)
	}
	return n
}

func pushMessage(kek *sa.KEK, p *Push, pub publicKey, now time.Time, o Options) []byte {
	deletes := p.deletes(kek, o)
	dst := isakmp.AppendHeader(make([]byte, 0, p.size(kek, o)), isakmp.Header{
		InitiatorCookie: [8]byte(kek.SPI[:8]), ResponderCookie: [8]byte(kek.SPI[8:]),
		Next: isakmp.PayloadSEQ, Exchange: isakmp.ExchangePush, Flags: isakmp.FlagEncryption,
	})
	after := isakmp.PayloadSIG
	if p.Policy != nil {
		after = isakmp.PayloadSA
	}
	next := after
	if len(deletes) > 0 {
		next = isakmp.PayloadD
	}
	dst = appendSEQ(dst, next, p.Seq)
	for i, d := range deletes {
		if i == len(deletes)-1 {
			next = after
		}
		dst = isakmp.AppendPayload(dst, next, d.Append(nil))
	}
	if p.Policy != nil {
		dst = appendSA(dst, isakmp.PayloadKD, p.Policy, now, o)
		dst = appendKD(dst, isakmp.PayloadSIG, p.Policy, o)
	}
	binary.BigEndian.PutUint32(dst[24:], uint32(len(dst)+isakmp.GenericLen+pub.size()))
	return dst
}

func mustPublic(kek *sa.KEK) publicKey {
	pub, err := parsePublic(kek.SigPublic, kek.SigAlg)
	if err != nil {
		panic(err)
	}
	return pub
}

// deletes gives the D payloads, TEKs before the KEK.
func (p *Push) deletes(kek *sa.KEK, o Options) (list []isakmp.Delete) {
	teks := func(protocol uint8, all []uint32) {
		for spis := range slices.Chunk(all, isakmp.MaxSPIs) {
			d := isakmp.Delete{DOI: isakmp.DOIGDOI, Protocol: protocol, SPISize: 4}
			for _, spi := range spis {
				d.SPIs = append(d.SPIs, binary.BigEndian.AppendUint32(nil, spi))
			}
			list = append(list, d)
		}
	}
	kekSPI := func(spi [16]byte) {
		list = append(list, isakmp.Delete{DOI: isakmp.DOIGDOI, Protocol: protoKEK, SPISize: len(spi), SPIs: [][]byte{spi[:]}})
	}
	if p.DeleteAll {
		teks(protoESP, []uint32{0})
		if o.IEC61850 {
			teks(proto61850, []uint32{0})
		}
		kekSPI([16]byte{})
		return list
	}
	teks(protoESP, p.DeleteTEKs)
	teks(proto61850, p.Delete61850)
	if p.DeleteKEK {
		kekSPI(kek.SPI)
	}
	return list
}

// SignOp asks a worker for the signature of a message of PushMessage; Sign carries it out. It holds copies of secrets, which
// the worker destroys. kek has its private key.
func SignOp(kek *sa.KEK, msg []byte, o Options) turn.Op {
	input := signInput(msg)
	if o.PaddedLength {
		n := binary.BigEndian.Uint32(msg[24:])
		binary.BigEndian.PutUint32(input[len(rekeyPrefix)+24:], n+uint32(padding(int(n)-isakmp.HeaderLen)))
	}
	if kek.SigAlg != sa.RSA {
		return turn.ECDSASign{Private: kek.SigPrivate.Clone(), Message: input}
	}
	return turn.RSASign{Private: kek.SigPrivate.Clone(), Hash: kek.SigHash, Message: input, Raw: o.RawSignature}
}

// signInput is what the signature of msg is over: "rekey", the header, all payloads before SIG (section 4). The header's
// Length is the unpadded one, of the message "before it has been encrypted".
func signInput(msg []byte) []byte {
	b := make([]byte, 0, len(rekeyPrefix)+len(msg))
	return append(append(b, rekeyPrefix...), msg...)
}

// padding is how many octets n lack to whole blocks.
func padding(n int) int { return -n & (aes.BlockSize - 1) }

// SealPush finishes a message of PushMessage: the signature in a SIG payload, zeros up to a whole block, all after the
// header encrypted with the KEK. The IV is the KEK's own in every message (section 5.6.2.1); nothing chains from one to the
// next. It panics on a signature whose length is not the key's. The result has no key in the clear; msg, which has, stays the
// caller's to destroy.
func SealPush(kek *sa.KEK, msg, signature []byte) []byte {
	if want := mustPublic(kek).size(); len(signature) != want {
		panic(refuse(ErrSignature, "PUSH: signature of %d octets, want %d", len(signature), want))
	}
	size := len(msg) + isakmp.GenericLen + len(signature)
	size += padding(size - isakmp.HeaderLen)
	dst := append(make([]byte, 0, size), msg...)
	dst = isakmp.AppendPayload(dst, isakmp.NoPayload, signature)[:size]
	isakmp.SetLength(dst)
	cipher.NewCBCEncrypter(mustCipher(kek), kek.IV[:]).CryptBlocks(dst[isakmp.HeaderLen:], dst[isakmp.HeaderLen:])
	return dst
}

func mustCipher(kek *sa.KEK) cipher.Block {
	block, err := aes.NewCipher(kek.Key)
	if err != nil {
		panic(refuse(ErrKeys, "KEK: key of %d octets", len(kek.Key)))
	}
	return block
}

// PushSPI returns the cookies of a datagram that has the header of a GROUPKEY-PUSH (section 4.2): version, exchange, flags,
// message ID and length as they must be. They name the KEK.
func PushSPI(datagram []byte) (spi [16]byte, ok bool) {
	h, err := pushHeader(datagram)
	if err != nil {
		return spi, false
	}
	return cookies(h), true
}

func cookies(h isakmp.Header) (spi [16]byte) {
	copy(spi[:8], h.InitiatorCookie[:])
	copy(spi[8:], h.ResponderCookie[:])
	return spi
}

func pushHeader(datagram []byte) (isakmp.Header, error) {
	h, err := isakmp.ParseHeader(datagram)
	if err != nil {
		return h, form("PUSH", err)
	}
	n := len(datagram) - isakmp.HeaderLen
	switch {
	case h.Exchange != isakmp.ExchangePush:
		return h, refuse(ErrForm, "PUSH: exchange %d, want %d", h.Exchange, isakmp.ExchangePush)
	case h.Flags != isakmp.FlagEncryption:
		return h, refuse(ErrForm, "PUSH: flags %#02x, want %#02x", h.Flags, isakmp.FlagEncryption)
	case h.MessageID != 0:
		return h, refuse(ErrForm, "PUSH: message ID %#08x, want 0", h.MessageID)
	case h.Next != isakmp.PayloadSEQ:
		return h, refuse(ErrForm, "PUSH: first payload %v, want SEQ", h.Next)
	case n == 0 || n%aes.BlockSize != 0:
		return h, refuse(ErrForm, "PUSH: %d encrypted octets", n)
	}
	return h, nil
}

// OpenPush reads a GROUPKEY-PUSH under the KEK that its cookies name, in the order of sections 4.4 and 7.3.5: decrypt,
// check the form, SEQ strictly greater than kek.Seq, the signature; only then is policy looked at. It does not change kek:
// the caller sets kek.Seq to the Push's once it has acted. Errors wrap ErrSPI, ErrForm, ErrReplay, ErrSignature,
// ErrUnsupported or ErrKeys; the last two and an ErrForm about policy come after a good signature.
//
// The signature is checked with the unpadded Length in the header, then with the Length as it arrived, since the text can
// be read both ways. A KEK in the message that is the one in force, with the same keys, is a repetition and is left out. A
// new KEK without a signature key inherits the one in force.
//
// keys are what the member holds of the key hierarchy whose root kek is, nil for nothing. They do not change: if updates bring
// a new KEK, Policy.LKH is what they became. The caller takes that over with the KEK.
func OpenPush(kek *sa.KEK, keys *lkh.Keys, datagram []byte, now time.Time, o Options) (*Push, error) {
	h, err := pushHeader(datagram)
	if err != nil {
		return nil, err
	}
	if cookies(h) != kek.SPI {
		return nil, refuse(ErrSPI, "PUSH: the cookies are not the KEK's")
	}
	pub, err := parsePublic(kek.SigPublic, kek.SigAlg)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(kek.Key)
	if err != nil {
		return nil, refuse(ErrKeys, "KEK: key of %d octets", len(kek.Key))
	}
	msg := slices.Clone(datagram)
	defer clear(msg) // it holds keys, and everything taken from it is a copy
	cipher.NewCBCDecrypter(block, kek.IV[:]).CryptBlocks(msg[isakmp.HeaderLen:], msg[isakmp.HeaderLen:])

	f, err := parsePush(msg, h.Next)
	if err != nil {
		return nil, err
	}
	if f.seq <= kek.Seq {
		return nil, refuse(ErrReplay, "PUSH: SEQ %d, want more than %d", f.seq, kek.Seq)
	}
	if len(f.signature) != pub.size() {
		return nil, refuse(ErrSignature, "PUSH: signature of %d octets, want %d", len(f.signature), pub.size())
	}
	if !f.verify(pub, kek.SigHash, msg, o.RawSignature) {
		return nil, refuse(ErrSignature, "PUSH: SEQ %d: the signature is not the KEK's signer's", f.seq)
	}
	return f.contents(kek, keys, now, o)
}

// pushFields are the payloads of a PUSH, views of the decrypted message.
type pushFields struct {
	seq       uint32
	deletes   [][]byte
	sa, kd    []byte // nil if absent
	signature []byte
	signed    int // octets of the message before SIG
	length    int // octets of the message without padding
}

// parsePush checks the form: SEQ, [D,..] [SA, KD,] SIG, and nothing after SIG but padding.
func parsePush(msg []byte, first isakmp.PayloadType) (f pushFields, err error) {
	c := isakmp.Payloads(first, msg[isakmp.HeaderLen:])
	last := isakmp.NoPayload
	for p, ok := c.Next(); ok; p, ok = c.Next() {
		switch {
		case p.Type == isakmp.PayloadSEQ && last == isakmp.NoPayload:
			if f.seq, err = parseSEQ(p.Body); err != nil {
				return f, err
			}
		case p.Type == isakmp.PayloadD && (last == isakmp.PayloadSEQ || last == isakmp.PayloadD):
			if len(f.deletes) == maxDeletes {
				return f, refuse(ErrForm, "PUSH: more than %d D payloads", maxDeletes)
			}
			f.deletes = append(f.deletes, p.Body)
		case p.Type == isakmp.PayloadSA && (last == isakmp.PayloadSEQ || last == isakmp.PayloadD):
			f.sa = p.Body
		case p.Type == isakmp.PayloadKD && last == isakmp.PayloadSA:
			f.kd = p.Body
		case p.Type == isakmp.PayloadSIG && (last == isakmp.PayloadD || last == isakmp.PayloadKD):
			f.signature = p.Body
			f.signed = isakmp.HeaderLen + c.Offset() - len(p.Raw)
		default:
			return f, refuse(ErrForm, "PUSH: %v payload after %v", p.Type, last)
		}
		last = p.Type
	}
	if err := c.Err(); err != nil {
		return f, form("PUSH", err)
	}
	if last != isakmp.PayloadSIG {
		return f, refuse(ErrForm, "PUSH: last payload %v, want SIG", last)
	}
	f.length = isakmp.HeaderLen + c.Offset()
	return f, nil
}

func (f *pushFields) verify(pub publicKey, h sa.Hash, msg []byte, raw bool) bool {
	input := signInput(msg[:f.signed])
	defer clear(input)
	lengths := []int{f.length, len(msg)}
	if f.length == len(msg) {
		lengths = lengths[:1]
	}
	for _, n := range lengths {
		binary.BigEndian.PutUint32(input[len(rekeyPrefix)+24:], uint32(n))
		if pub.verify(h, input, f.signature, raw) {
			return true
		}
	}
	return false
}

// contents reads the payloads of a message whose signature is good.
func (f *pushFields) contents(kek *sa.KEK, keys *lkh.Keys, now time.Time, o Options) (*Push, error) {
	p := &Push{Seq: f.seq}
	if err := p.parseDeletes(f.deletes, kek, o); err != nil {
		return nil, err
	}
	if f.sa == nil {
		return p, nil
	}
	policy, err := parseSA(f.sa, now, false, o)
	if err != nil {
		return nil, err
	}
	// A KEK that is signed for in the way of the one in force may go without its signer's key.
	var inherit []byte
	if policy.KEK != nil && policy.KEK.SigAlg == kek.SigAlg {
		inherit = kek.SigPublic
	}
	r := kdReader{p: policy, held: keys, o: o}
	if p.Excluded, err = r.parseKD(f.kd, inherit); err != nil {
		return nil, err
	}
	if k := policy.KEK; k != nil && k.SPI == kek.SPI {
		same := k.Key.Equal(kek.Key) && k.IV == kek.IV && slices.Equal(k.SigPublic, kek.SigPublic)
		k.Zero()
		policy.LKH.Zero()
		policy.LKH = nil
		if policy.KEK = nil; !same {
			policy.Zero()
			return nil, refuse(ErrKeys, "PUSH: other keys for the KEK in force")
		}
	}
	p.Policy = policy
	return p, nil
}

// parseDeletes reads D payloads (section 5.9). Protocols that this program does not install have nothing to delete; so has
// the SPI of a KEK that is not the one in force.
func (p *Push) parseDeletes(bodies [][]byte, kek *sa.KEK, o Options) error {
	allTEKs, all61850, allKEKs := false, false, false
	for _, body := range bodies {
		d, err := isakmp.ParseDelete(body)
		switch {
		case err != nil:
			return form("D", err)
		case d.DOI != isakmp.DOIGDOI:
			return refuse(ErrUnsupported, "D payload: DOI %d, want %d", d.DOI, isakmp.DOIGDOI)
		case d.Protocol > proto61850:
			return refuse(ErrUnsupported, "D payload: protocol %d", d.Protocol)
		case d.Protocol != protoKEK && d.SPISize != 4, d.Protocol == protoKEK && d.SPISize != 16 && d.SPISize != 4:
			return refuse(ErrForm, "D payload: protocol %d with SPIs of %d octets", d.Protocol, d.SPISize)
		}
		for _, spi := range d.SPIs {
			switch {
			case d.Protocol == protoESP:
				p.DeleteTEKs, allTEKs = deleteTEK(p.DeleteTEKs, spi, allTEKs)
			case d.Protocol == proto61850 && o.IEC61850:
				p.Delete61850, all61850 = deleteTEK(p.Delete61850, spi, all61850)
			case d.Protocol != protoKEK:
			case d.SPISize == 4:
				// The size of an SPI of zero is not said: 16 octets are written, 4 are read too.
				if binary.BigEndian.Uint32(spi) != 0 {
					return refuse(ErrForm, "D payload: KEK SPI of 4 octets that is not zero")
				}
				allKEKs = true
			case [16]byte(spi) == [16]byte{}:
				allKEKs = true
			case [16]byte(spi) == kek.SPI:
				p.DeleteKEK = true
			}
		}
	}
	// A server names the protocol of its TEKs, which for a group is one.
	if (allTEKs || all61850) && allKEKs {
		p.DeleteAll, p.DeleteTEKs, p.Delete61850, p.DeleteKEK = true, nil, nil, false
		return nil
	}
	if allTEKs {
		p.DeleteTEKs = []uint32{0}
	}
	if all61850 {
		p.Delete61850 = []uint32{0}
	}
	p.DeleteKEK = p.DeleteKEK || allKEKs
	return nil
}

// deleteTEK adds an SPI to those of a protocol; 0 is all of them.
func deleteTEK(list []uint32, spi []byte, all bool) ([]uint32, bool) {
	n := binary.BigEndian.Uint32(spi)
	if !slices.Contains(list, n) {
		list = append(list, n)
	}
	return list, all || n == 0
}
