package ike

import (
	"bytes"
	"crypto/aes"
	"slices"

	"gvpn/isakmp"
)

// part is one payload to be sent.
type part struct {
	typ  isakmp.PayloadType
	body []byte
}

var (
	vendorDPD  = part{isakmp.PayloadVID, isakmp.VendorDPD[:]}
	vendorNATT = part{isakmp.PayloadVID, isakmp.VendorNATT[:]}
)

// appendParts appends a chain of at least one payload. msg ends with the header, or with the payload in front, that says parts[0].typ.
func appendParts(msg []byte, parts ...part) []byte {
	room := aes.BlockSize // for padding
	for _, p := range parts {
		room += isakmp.GenericLen + len(p.body)
	}
	msg = slices.Grow(msg, room)
	for i, p := range parts {
		next := isakmp.NoPayload
		if i+1 < len(parts) {
			next = parts[i+1].typ
		}
		msg = isakmp.AppendPayload(msg, next, p.body)
	}
	return msg
}

// message is what a message of phase 1 holds, as views of it.
type message struct {
	sa             isakmp.SA
	saBody         []byte
	ke, nonce, id  []byte
	hash, sig      []byte
	certificates   [][]byte // bodies of CERT
	request        bool     // a CERTREQ is there
	natd           [][]byte
	dpd, natt      bool // vendor IDs
	initialContact *isakmp.Notify
	count          [256]uint8
}

// readMessage reads a message of phase 1 whose payloads must be those of want, each once. Beside them may stand what peers put
// there and what answers itself by being there: vendor IDs, certificate requests, notifications, NAT-D; certificates beside SIG.
func readMessage(first isakmp.PayloadType, b []byte, want ...isakmp.PayloadType) (message, error) {
	var m message
	c := isakmp.Payloads(first, b)
	for p, ok := c.Next(); ok; p, ok = c.Next() {
		if slices.Contains(want, p.Type) {
			if m.count[p.Type]++; m.count[p.Type] > 1 {
				return m, isakmp.Errorf(isakmp.DuplicatePayload, "phase 1: a second %v payload", p.Type)
			}
		}
		var err error
		switch p.Type {
		case isakmp.PayloadVID:
			m.dpd = m.dpd || bytes.Equal(p.Body, isakmp.VendorDPD[:])
			m.natt = m.natt || bytes.Equal(p.Body, isakmp.VendorNATT[:])
			continue
		case isakmp.PayloadNATD:
			m.natd = append(m.natd, p.Body)
			continue
		case isakmp.PayloadCR:
			m.request = true
			continue
		case isakmp.PayloadN:
			if n, err := isakmp.ParseNotify(p.Body); err == nil && n.Type == isakmp.InitialContact {
				m.initialContact = &n
			}
			continue
		case isakmp.PayloadCERT:
			if slices.Contains(want, isakmp.PayloadSIG) {
				m.certificates = append(m.certificates, p.Body)
				continue
			}
		}
		if !slices.Contains(want, p.Type) {
			return m, isakmp.Errorf(isakmp.UnexpectedPayload, "phase 1: %v payload where %v are due", p.Type, want)
		}
		switch p.Type {
		case isakmp.PayloadSA:
			m.saBody = p.Body
			if m.sa, err = isakmp.ParseSA(p.Body); err == nil {
				err = checkDOI(m.sa)
			}
		case isakmp.PayloadKE:
			m.ke = p.Body
		case isakmp.PayloadNONCE:
			m.nonce = p.Body
			err = isakmp.CheckNonce(p.Body, 8, 256)
		case isakmp.PayloadID:
			m.id = p.Body
		case isakmp.PayloadHASH:
			m.hash = p.Body
		case isakmp.PayloadSIG:
			m.sig = p.Body
		}
		if err != nil {
			return m, err
		}
	}
	if err := c.Err(); err != nil {
		return m, err
	}
	for _, t := range want {
		if m.count[t] == 0 {
			return m, isakmp.Errorf(isakmp.MissingPayload, "phase 1: no %v payload", t)
		}
	}
	return m, nil
}

// readSA reads messages 1 and 2: SA first (RFC 2409 section 5).
func readSA(first isakmp.PayloadType, b []byte, beside ...isakmp.PayloadType) (message, error) {
	if first != isakmp.PayloadSA {
		return message{}, isakmp.Errorf(isakmp.UnexpectedPayload, "phase 1: %v payload first, want SA", first)
	}
	return readMessage(first, b, append(beside, isakmp.PayloadSA)...)
}

// readKey reads messages 3 and 4.
func readKey(group int, first isakmp.PayloadType, b []byte) (message, error) {
	m, err := readMessage(first, b, isakmp.PayloadKE, isakmp.PayloadNONCE)
	if err == nil {
		err = CheckPublic(group, m.ke)
	}
	return m, err
}
