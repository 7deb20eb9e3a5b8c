package gdoi

import (
	"encoding/binary"
	"time"

	"gvpn/isakmp"
	"gvpn/sa"
)

// SA TEK for IEC 61850 (RFC 8052 section 2.2), after the Protocol-ID. The example in the RFC's appendix A numbers NONE as 0 and
// HMAC-SHA256-128 as 1; here section 4's registry holds, where they are 1 and 2. SATs follow one another by their generic
// headers, without the row "SA Attr NP" that stands between the two of the example.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!  OID Length   !                       OID                     ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!  OID-Specific Payload Length  !     OID-Specific Payload      ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!                              SPI                              !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!           Auth Alg            !            Enc Alg            !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!                    Remaining Lifetime Value                   !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!                      SA Data Attributes                       ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//
// delayed says that the message has a GAP with an ACTIVATION_TIME_DELAY. That is for all SAs without an SA_ATD (section 2.2.4.1),
// so one that is in use already says so.
func append61850(dst []byte, next isakmp.PayloadType, t *sa.TEK, now time.Time, delayed bool) []byte {
	x := t.IEC61850
	dst, at := isakmp.OpenPayload(dst, next)
	dst = append(dst, proto61850)
	dst = appendSelector(dst, x.Selector)
	dst = binary.BigEndian.AppendUint32(dst, t.SPI)
	dst = binary.BigEndian.AppendUint16(dst, uint16(x.Auth))
	dst = binary.BigEndian.AppendUint16(dst, uint16(x.Enc))
	life := uint32(0) // "the TEK does not have an expire time"
	if !t.Hard.IsZero() {
		life = remaining(t.Hard, now)
	}
	dst = binary.BigEndian.AppendUint32(dst, life)
	if wait := max(t.Activate.Sub(now), 0); wait > 0 || delayed && !t.Activate.IsZero() {
		// Rounded up: nobody begins before the others can.
		dst = isakmp.AppendAttrUint32(dst, sa61850ATD, uint32(min((wait+time.Second-1)/time.Second, 1<<32-1)))
	}
	if x.HasAssurance {
		dst = isakmp.AppendAttrBasic(dst, sa61850KDA, uint16(x.Assurance))
	}
	return isakmp.ClosePayload(dst, at)
}

// appendSelector appends an OID and its payload, each with its length: also the data of an ID_OID (section 2.1).
func appendSelector(dst []byte, s sa.Selector) []byte {
	dst = append(append(dst, byte(len(s.OID))), s.OID...)
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s.Payload))), s.Payload...)
}

func parseSelector(c *isakmp.Cursor) (s sa.Selector) {
	s.OID = string(c.Bytes(int(c.Uint8())))
	s.Payload = string(c.Bytes(int(c.Uint16())))
	return s
}

// parseOID reads the data of an ID_OID.
func parseOID(data []byte) (sa.Selector, error) {
	c := isakmp.NewCursor("ID payload: ID_OID", data)
	s := parseSelector(c)
	if err := c.End(); err != nil {
		return sa.Selector{}, form("ID", err)
	}
	if !s.Sound() {
		return sa.Selector{}, refuse(ErrForm, "ID payload: OID of %d octets with a payload of %d are not DER", len(s.OID), len(s.Payload))
	}
	return s, nil
}

// parse61850 adds a TEK to p.
func parse61850(b []byte, p *Policy, now time.Time) error {
	c := isakmp.NewCursor("SAT payload", b)
	x := &sa.IEC61850{Selector: parseSelector(c)}
	t := sa.TEK{SPI: c.Uint32(), IEC61850: x, Created: now}
	x.Auth, x.Enc = sa.Auth(c.Uint16()), sa.Enc(c.Uint16())
	life := c.Uint32()
	rest := c.Rest()
	if err := c.Err(); err != nil {
		return form("SAT", err)
	}
	if life != 0 {
		t.Hard = now.Add(time.Duration(life) * time.Second)
	}
	list, err := isakmp.ParseAttrs(rest)
	if err != nil {
		return form("SAT", err)
	}
	a, err := readAttrs("SAT payload", list)
	if err != nil {
		return err
	}
	if v, ok := a.take(sa61850ATD); ok {
		if v > 1<<32-1 {
			return refuse(ErrForm, "SAT payload: SA_ATD of %d s", v)
		}
		t.Activate = now.Add(time.Duration(v) * time.Second)
	}
	if v, ok := a.take(sa61850KDA); ok {
		x.Assurance, x.HasAssurance = uint8(min(v, 255)), true
	}
	if err := a.rest(); err != nil {
		return err
	}
	if _, _, ok := t.KeyLengths(); !ok {
		return refuse61850(&t)
	}
	if err := check61850(&t); err != nil {
		return err
	}
	for i := range p.TEKs {
		if p.TEKs[i].SPI == t.SPI {
			return refuse(ErrForm, "SAT payload: two TEKs %#08x", t.SPI)
		}
	}
	return p.add(t)
}
