//go:build interop

package interop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
)

// A rewriter turns a recorded session into one that tshark 4.0 can dissect to the last octet. It changes only what
// tshark's dissector is known to read otherwise than RFC 6407 has it (gdoi-wire.md section 5), and encrypts again:
//
//   - the DOI of a phase-1 SA becomes 1: tshark takes any SA of DOI 2 for a GDOI SA, and then decrypts nothing;
//   - a SAT's "ID Data Len" becomes two octets wide: tshark reads one octet in a SAK and two in a SAT;
//   - a GAP between SAK and SATs is taken out: tshark does not follow the chain past it, and would see no SAT at all;
//   - before a PUSH come a clear SA and two KEs under the same initiator cookie, and a one-block message that ends in the
//     KEK's IV: tshark decrypts a message only under cookies whose main mode it saw, from the last cipher block it saw.
//
// It has its own key derivation and its own walk over payloads: what tshark is shown does not go through the code under
// test.
type rewriter struct {
	psk     map[string]string // "address address", sorted: the pre-shared key
	shared  map[string][]byte // g^x of one side: g^xy, both left-padded
	logged  map[string][]byte // initiator cookie: the cipher key, where there is a key log
	phase1s map[string]*phase1
	keks    map[string]*kek // initiator cookie of PUSHes under it
	keys    []string        // tshark's decryption table
	noGAP   bool            // take out GAPs
	wide    bool            // widen the ID lengths of SATs
	told    map[string]bool // datagrams that were taken: a repetition says nothing new, and would break tshark's chain of IVs
	out     []datagram
	plain   []message
}

// message is what the rewriter saw inside a datagram.
type message struct {
	exchange byte
	number   int // 1.. within its exchange
	payloads []payload
	datagram int // index in out
}

// payload is one payload of a chain: its type and its body without the generic header.
type payload struct {
	kind byte
	body []byte
}

type phase1 struct {
	clear  int // messages in the clear so far
	ke     [][]byte
	nonce  [][]byte
	block  cipher.Block
	last   []byte // last cipher block of phase 1 so far: the IV of its next message
	chains map[string]*chain
}

// chain is one exchange under a phase-1 SA, by message ID: the IV of the next message as recorded, and as written.
type chain struct {
	read, write []byte
	number      int
}

type kek struct {
	block cipher.Block
	iv    []byte
	shown bool
}

// The payload types of RFC 2408 section 3.1 and RFC 6407 section 5.
const (
	typeSA, typeKE, typeNonce    = 1, 4, 10
	typeSAK, typeSAT, typeKD     = 15, 16, 17
	typeGAP                      = 22
	exchangeMain, exchangePull   = 2, 32
	exchangePush, exchangeAck    = 33, 35
	exchangeInit, exchangeUpdate = 240, 241
)

func newRewriter() *rewriter {
	return &rewriter{psk: map[string]string{}, shared: map[string][]byte{}, phase1s: map[string]*phase1{}, keks: map[string]*kek{}, told: map[string]bool{}}
}

// add takes the next datagram of the session.
func (r *rewriter) add(d datagram) error {
	b := d.payload
	if r.told[string(b)] {
		return nil
	}
	r.told[string(b)] = true
	if len(b) < 28 || int(binary.BigEndian.Uint32(b[24:])) != len(b) {
		return fmt.Errorf("%d octets from %v: no ISAKMP message", len(b), d.from)
	}
	switch exchange := b[18]; {
	case exchange == exchangePush:
		return r.push(d)
	case exchange == exchangeAck:
		chain, err := walk(b[16], b[28:])
		if err != nil {
			return err
		}
		r.emit(d, exchange, 1, chain)
		return nil
	case exchange == exchangeMain && b[19]&1 == 0:
		return r.clear(d)
	case b[19]&1 != 0:
		return r.encrypted(d)
	default:
		return fmt.Errorf("exchange %d in the clear from %v", exchange, d.from)
	}
}

func (r *rewriter) emit(d datagram, exchange byte, number int, chain []payload) {
	r.plain = append(r.plain, message{exchange, number, chain, len(r.out)})
	r.out = append(r.out, d)
}

// clear takes the first four messages of main mode.
func (r *rewriter) clear(d datagram) error {
	d.payload = slices.Clone(d.payload)
	b := d.payload
	p := r.phase1s[string(b[:8])]
	if p == nil {
		p = &phase1{chains: map[string]*chain{}}
		r.phase1s[string(b[:8])] = p
	}
	chain, err := walk(b[16], b[28:])
	if err != nil {
		return err
	}
	if p.clear++; p.clear > 4 {
		return fmt.Errorf("a fifth message in the clear from %v: repeated?", d.from)
	}
	for _, pl := range chain {
		switch pl.kind {
		case typeSA:
			if doi := binary.BigEndian.Uint32(pl.body); doi != 2 {
				return fmt.Errorf("phase-1 SA of DOI %d from %v, want 2", doi, d.from)
			}
			binary.BigEndian.PutUint32(pl.body, 1) // in place: the body lies in b
		case typeKE:
			p.ke = append(p.ke, pl.body)
		case typeNonce:
			p.nonce = append(p.nonce, pl.body)
		}
	}
	r.emit(d, exchangeMain, p.clear, chain)
	if p.clear == 4 {
		return r.derive(p, d)
	}
	return nil
}

// derive makes the cipher key and the first IV of a phase-1 SA (RFC 2409 section 5 and appendix B), prf HMAC-SHA-256 and
// AES-256.
func (r *rewriter) derive(p *phase1, last datagram) error {
	if len(p.ke) != 2 || len(p.nonce) != 2 {
		return fmt.Errorf("main mode with %d KEs and %d nonces", len(p.ke), len(p.nonce))
	}
	if key := r.logged[string(last.payload[:8])]; key != nil {
		return r.use(p, last.payload[:8], key)
	}
	shared := r.shared[string(p.ke[0])]
	if shared == nil {
		shared = r.shared[string(p.ke[1])]
	}
	if shared == nil {
		return fmt.Errorf("no shared secret is known for the main mode with %v", last.from)
	}
	psk, ok := r.psk[pair(last)]
	if !ok {
		return fmt.Errorf("no pre-shared key is known between %s", pair(last))
	}
	cookies := last.payload[:16]
	skeyid := prf([]byte(psk), p.nonce[0], p.nonce[1])
	skeyidD := prf(skeyid, shared, cookies, []byte{0})
	skeyidA := prf(skeyid, skeyidD, shared, cookies, []byte{1})
	return r.use(p, cookies[:8], prf(skeyid, skeyidA, shared, cookies, []byte{2}))
}

// use takes the cipher key of a phase-1 SA.
func (r *rewriter) use(p *phase1, cookie, key []byte) error {
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	p.block = block
	iv := sha256.Sum256(slices.Concat(p.ke[0], p.ke[1]))
	p.last = iv[:16]
	r.keys = append(r.keys, hex.EncodeToString(cookie)+","+hex.EncodeToString(key))
	return nil
}

func pair(d datagram) string {
	a, b := d.from.Addr(), d.to.Addr()
	if b.Less(a) {
		a, b = b, a
	}
	return a.String() + " " + b.String()
}

func prf(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// encrypted takes a message under a phase-1 SA's key.
func (r *rewriter) encrypted(d datagram) error {
	b := d.payload
	p := r.phase1s[string(b[:8])]
	if p == nil || p.block == nil {
		return fmt.Errorf("exchange %d from %v under unknown cookies", b[18], d.from)
	}
	sealed := b[28:]
	if len(sealed) == 0 || len(sealed)%16 != 0 {
		return fmt.Errorf("exchange %d from %v: %d encrypted octets", b[18], d.from, len(sealed))
	}
	lastBlock := sealed[len(sealed)-16:]
	if b[18] == exchangeMain {
		plain := decrypt(p.block, p.last, sealed)
		chain, err := walk(b[16], plain)
		if err != nil {
			return fmt.Errorf("main mode from %v: %w", d.from, err)
		}
		p.last = lastBlock
		p.clear++
		r.emit(d, exchangeMain, p.clear, chain)
		return nil
	}
	id := string(b[20:24])
	c := p.chains[id]
	if c == nil {
		iv := sha256.Sum256(slices.Concat(p.last, b[20:24]))
		c = &chain{read: iv[:16], write: iv[:16]}
		p.chains[id] = c
	}
	c.number++
	plain := decrypt(p.block, c.read, sealed)
	c.read = lastBlock
	payloads, err := walk(b[16], plain)
	if err != nil {
		return fmt.Errorf("exchange %d from %v: %w", b[18], d.from, err)
	}
	if b[18] == exchangePull {
		if err := r.learnKEK(payloads); err != nil {
			return err
		}
	}
	payloads = r.rewriteSAs(payloads)
	d.payload = seal(p.block, c.write, b[:28], payloads)
	c.write = d.payload[len(d.payload)-16:]
	r.emit(d, b[18], c.number, payloads)
	return nil
}

// learnKEK takes the KEK out of a PULL's last message: KD, key packet type 2 (RFC 6407 section 5.6.2), attribute 1.
func (r *rewriter) learnKEK(payloads []payload) error {
	for _, pl := range payloads {
		if pl.kind == typeKD {
			return r.learnKD(pl.body)
		}
	}
	return nil
}

func (r *rewriter) learnKD(body []byte) error {
	for b := body[4:]; len(b) >= 5; {
		size := int(binary.BigEndian.Uint16(b[2:]))
		spi := b[5 : 5+int(b[4])]
		attrs := b[5+len(spi) : size]
		if b[0] == 2 {
			for len(attrs) >= 4 {
				kind, n := binary.BigEndian.Uint16(attrs), int(binary.BigEndian.Uint16(attrs[2:]))
				if kind&0x8000 != 0 {
					attrs = attrs[4:]
					continue
				}
				if kind == 1 {
					value := attrs[4 : 4+n] // IV, then key
					block, err := aes.NewCipher(value[16:])
					if err != nil {
						return err
					}
					if r.keks[string(spi[:8])] == nil {
						r.keks[string(spi[:8])] = &kek{block: block, iv: value[:16]}
						r.keys = append(r.keys, hex.EncodeToString(spi[:8])+","+hex.EncodeToString(value[16:]))
					}
				}
				attrs = attrs[4+n:]
			}
		}
		b = b[size:]
	}
	return nil
}

// push takes a GROUPKEY-PUSH.
func (r *rewriter) push(d datagram) error {
	b := d.payload
	k := r.keks[string(b[:8])]
	if k == nil {
		return fmt.Errorf("PUSH from %v under a KEK that no PULL delivered", d.from)
	}
	payloads, err := walk(b[16], decrypt(k.block, k.iv, b[28:]))
	if err != nil {
		return fmt.Errorf("PUSH from %v: %w", d.from, err)
	}
	for _, pl := range payloads {
		if pl.kind == typeKD {
			if err := r.learnKD(pl.body); err != nil {
				return err
			}
		}
	}
	payloads = r.rewriteSAs(payloads)
	if !k.shown {
		k.shown = true
		for _, lead := range r.leadIn(b[:16]) {
			r.out = append(r.out, datagram{d.at, d.from, d.to, lead})
		}
		back := datagram{d.at, d.to, d.from, slices.Concat(header(b[:16], 4, exchangeMain, 0, 0, 4+256), []byte{0, 0, 1, 4}, bytes.Repeat([]byte{2}, 256))}
		r.out = append(r.out, back)
	}
	// One "encrypted" block, so that tshark takes it for the last cipher block before the PUSH.
	r.out = append(r.out, datagram{d.at, d.from, d.to, slices.Concat(header(b[:16], b[16], exchangePush, 1, 0, 16), k.iv)})
	d.payload = seal(k.block, k.iv, b[:28], payloads)
	r.emit(d, exchangePush, 1, payloads)
	return nil
}

// leadIn makes the clear SA (AES-256, SHA-256, group 14, pre-shared key) and the initiator's KE that tshark wants to have seen.
func (r *rewriter) leadIn(cookies []byte) [][]byte {
	sa, err := hex.DecodeString("00000034" + "00000001" + "00000001" + "00000028" + "01010001" + "00000020" + "01010000" +
		"80010007" + "800e0100" + "80020004" + "80030001" + "8004000e" + "800b0001")
	if err != nil {
		panic(err)
	}
	return [][]byte{
		slices.Concat(header(cookies, typeSA, exchangeMain, 0, 0, len(sa)), sa),
		slices.Concat(header(cookies, typeKE, exchangeMain, 0, 0, 4+256), []byte{0, 0, 1, 4}, bytes.Repeat([]byte{1}, 256)),
	}
}

func header(cookies []byte, next, exchange, flags byte, id uint32, payload int) []byte {
	h := append(slices.Clone(cookies), next, 0x10, exchange, flags)
	h = binary.BigEndian.AppendUint32(h, id)
	return binary.BigEndian.AppendUint32(h, uint32(28+payload))
}

// rewriteSAs makes the SAs of a chain readable for tshark; the other payloads stay as they are.
func (r *rewriter) rewriteSAs(payloads []payload) []payload {
	out := slices.Clone(payloads)
	for i, pl := range out {
		if pl.kind == typeSA {
			out[i].body = r.rewriteSA(pl.body)
		}
	}
	return out
}

// rewriteSA drops GAPs and widens the ID lengths of SATs in the body of a GDOI SA (RFC 6407 section 5.2).
func (r *rewriter) rewriteSA(body []byte) []byte {
	inner, err := walk(body[9], body[12:])
	if err != nil {
		return body
	}
	if r.noGAP {
		inner = slices.DeleteFunc(inner, func(pl payload) bool { return pl.kind == typeGAP })
	}
	for i, pl := range inner {
		if r.wide && pl.kind == typeSAT {
			inner[i].body = widen(pl.body)
		}
	}
	out := slices.Clone(body[:12])
	out[9] = 0
	if len(inner) > 0 {
		out[9] = inner[0].kind
	}
	return append(out, chainOf(inner)...)
}

// widen rewrites an ESP SAT (RFC 6407 section 5.5.1): protocol-ID, protocol, then twice ID type, port, ID length, data.
func widen(body []byte) []byte {
	out := slices.Clone(body[:2])
	rest := body[2:]
	for range 2 {
		n := int(rest[3])
		out = append(out, rest[:3]...)
		out = append(out, 0, rest[3])
		out = append(out, rest[4:4+n]...)
		rest = rest[4+n:]
	}
	return append(out, rest...)
}

// walk reads a chain of payloads; what follows the last one is padding.
func walk(next byte, b []byte) ([]payload, error) {
	var chain []payload
	for next != 0 {
		if len(b) < 4 {
			return nil, fmt.Errorf("payload %d: %d octets left", next, len(b))
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return nil, fmt.Errorf("payload %d: length %d of %d octets left", next, n, len(b))
		}
		chain = append(chain, payload{next, b[4:n]})
		next, b = b[0], b[n:]
	}
	return chain, nil
}

func chainOf(payloads []payload) []byte {
	var out []byte
	for i, pl := range payloads {
		next := byte(0)
		if i+1 < len(payloads) {
			next = payloads[i+1].kind
		}
		out = append(out, next, 0)
		out = binary.BigEndian.AppendUint16(out, uint16(4+len(pl.body)))
		out = append(out, pl.body...)
	}
	return out
}

func decrypt(block cipher.Block, iv, sealed []byte) []byte {
	plain := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed)
	return plain
}

// seal encrypts a chain under head, whose length it sets anew.
func seal(block cipher.Block, iv, head []byte, payloads []payload) []byte {
	plain := chainOf(payloads)
	for len(plain) == 0 || len(plain)%16 != 0 {
		plain = append(plain, 0)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(plain, plain)
	out := append(slices.Clone(head), plain...)
	if len(payloads) > 0 {
		out[16] = payloads[0].kind
	}
	binary.BigEndian.PutUint32(out[24:], uint32(len(out)))
	return out
}
