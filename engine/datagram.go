package engine

import (
	"bytes"
	"net/netip"
	"time"

	"gvpn/ike"
	"gvpn/isakmp"
)

// Refused counts datagrams that no engine was given. None of them is answered: an answer would help only a stranger.
type Refused struct {
	Short    uint64 // less than an ISAKMP header
	Long     uint64 // more than UDP over IPv4 carries
	Length   uint64 // the header's Length is not the datagram's (RFC 2408 section 5.1)
	Version  uint64 // not ISAKMP 1.0
	Exchange uint64 // an exchange type that is none of ours
	// Multicast is what came to a group and is no GROUPKEY-PUSH: nothing else is for all, and whoever answers such a thing
	// answers for all.
	Multicast uint64
	NotIKE    uint64 // on port 4500 and neither IKE nor a keepalive: ESP in UDP, which no data plane takes from there

	Keepalives uint64 // that came (RFC 3948 section 2.3); they need no answer and no engine
}

// nonESP stands in front of IKE on port 4500 (RFC 3948 section 2.2).
var nonESP = [4]byte{}

// HandleDatagram hands a datagram, which it does not keep, to the engine that its exchange type belongs to.
func (e *Engine) HandleDatagram(now time.Time, local, remote netip.AddrPort, b []byte) {
	if len(b) > isakmp.MaxMessage {
		e.refused.Long++
		return
	}
	if local.Port() == ike.NATPort {
		switch {
		case len(b) == 1 && b[0] == 0xff:
			e.refused.Keepalives++
			return
		case !bytes.HasPrefix(b, nonESP[:]):
			e.refused.NotIKE++
			return
		}
		b = b[len(nonESP):]
	}
	h, err := isakmp.ParseHeader(b)
	if err != nil {
		switch isakmp.KindOf(err) {
		case isakmp.Short:
			e.refused.Short++
		case isakmp.Version:
			e.refused.Version++
		default:
			e.refused.Length++
		}
		return
	}
	switch x := h.Exchange; {
	case local.Addr().IsMulticast() && x != isakmp.ExchangePush:
		e.refused.Multicast++
		return
	case x == isakmp.ExchangePush:
		e.member.HandleDatagram(now, local, remote, b)
	case x == isakmp.ExchangePushAck:
		e.server.HandleDatagram(now, local, remote, b)
	case x == isakmp.ExchangeMain, x == isakmp.ExchangeAggressive, x == isakmp.ExchangeInformational, x == isakmp.ExchangePull, x.Private():
		e.ike.HandleDatagram(now, local, remote, b)
	default:
		e.refused.Exchange++
		return
	}
	e.drain(now)
}
