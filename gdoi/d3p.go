package gdoi

import (
	"encoding/binary"
	"time"

	"gvpn/isakmp"
	"gvpn/sa"
)

// Windows of time-based anti-replay: an attribute of a GAP that is ours, from the range for private use, until it is known how
// others carry them. Everything that knows its layout is in this file. A GAP stands for a whole message, which may list a TEK
// from before a change and its successor: so the attribute names each TEK that has a window by its SPI. Numbers are big endian.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!0!             211             !            Length             !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!                          SPI of a TEK                         !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	!               Its window in milliseconds, 1..60000            !
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//	~               and so on, at most MaxTEKs pairs                ~
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
//
// Each SPI is that of an ESP TEK of the same SA payload, and stands once. Without a window there is no attribute.
const (
	gapWindows = 211
	windowLen  = 8
)

// sizeWindows is how many octets the attribute has, 0 if there is none.
func sizeWindows(p *Policy) (n int) {
	for i := range p.TEKs {
		if p.TEKs[i].Window != 0 {
			n += windowLen
		}
	}
	if n > 0 {
		n += 4 // the attribute's head
	}
	return n
}

func appendWindows(dst []byte, p *Policy) []byte {
	n := sizeWindows(p)
	if n == 0 {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, gapWindows)
	dst = binary.BigEndian.AppendUint16(dst, uint16(n-4))
	for i := range p.TEKs {
		if t := &p.TEKs[i]; t.Window != 0 {
			dst = binary.BigEndian.AppendUint32(dst, t.SPI)
			dst = binary.BigEndian.AppendUint32(dst, uint32(t.Window.Milliseconds()))
		}
	}
	return dst
}

// windows are a message's, by SPI; they are read before its TEKs are.
type windows map[uint32]time.Duration

// take takes the attribute out of a GAP's and reads it; what is left is in the same memory.
func (w windows) take(list []isakmp.Attr) ([]isakmp.Attr, error) {
	rest := list[:0]
	for _, a := range list {
		if a.Type != gapWindows || a.Basic {
			rest = append(rest, a)
			continue
		}
		if len(w) > 0 {
			return nil, refuse(ErrForm, "GAP payload: attribute %d twice", gapWindows)
		}
		if n := len(a.Value); n == 0 || n%windowLen != 0 || n/windowLen > MaxTEKs {
			return nil, refuse(ErrForm, "GAP payload: anti-replay windows of %d octets", n)
		}
		for b := a.Value; len(b) > 0; b = b[windowLen:] {
			spi, ms := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
			if w[spi] != 0 || ms == 0 || ms > uint32(sa.MaxWindow.Milliseconds()) {
				return nil, refuse(ErrForm, "GAP payload: anti-replay window of %d ms for TEK %#08x, or another", ms, spi)
			}
			w[spi] = time.Duration(ms) * time.Millisecond
		}
	}
	return rest, nil
}

// give gives the message's TEKs their windows.
func (w windows) give(teks []sa.TEK) error {
	given := 0
	for i := range teks {
		if t := &teks[i]; w[t.SPI] != 0 {
			if t.IEC61850 != nil {
				return refuse(ErrForm, "GAP payload: anti-replay window for IEC 61850 TEK %#08x", t.SPI)
			}
			t.Window = w[t.SPI]
			given++
		}
	}
	if given != len(w) {
		return refuse(ErrForm, "GAP payload: %d anti-replay windows for %d TEKs of the message", len(w), given)
	}
	return nil
}
