package dataplane

import "fmt"

// Verdict is what became of a packet.
type Verdict uint8

// The verdicts. The first four pass the packet, all others drop it.
const (
	NoVerdict Verdict = iota

	Encrypted // sent under ESP
	Decrypted // arrived under ESP
	Excluded  // in the clear by an exclude rule
	FailOpen  // in the clear by a fail-open rule

	DropFailClose // nothing has it
	DropClear     // arrived in the clear, though a group SA is for it
	DropMalformed // no sound IPv4 header
	DropIPv6      // not supported
	DropFragment  // cannot be judged without its other fragments
	DropTooBig    // over 65535 octets under ESP
	DropExhausted // every TEK for it has used up its sequence numbers or nonces, or has no sender ID
	DropNoRandom  // the source of randomness gave no IV
	DropSPI       // no TEK has this SPI
	DropExpired   // the TEK's hard lifetime is over
	DropShort     // ESP of a length that cannot be
	DropAuth      // wrong integrity check value
	DropTrailer   // padding, or a next header that is not spoken
	DropInner     // no sound IPv4 packet inside
	DropSelector  // the packet inside is not what the outer header and the TEK's policies say
	DropDummy     // a dummy packet (RFC 4303 section 2.6)

	DropTooOld              // time stamp before the TEK's window (D3P)
	DropTooNew              // after it
	DropNoTimestamp         // the TEK has a window
	DropUnexpectedTimestamp // the TEK has none
	DropTimestampType       // of another layout
	DropTimestampLength     // not its layout's
	DropTimestampNext       // a next header that is not spoken, behind the time stamp

	verdicts
)

var verdictNames = [verdicts]string{
	NoVerdict: "none", Encrypted: "encrypted", Decrypted: "decrypted", Excluded: "excluded", FailOpen: "fail-open",
	DropFailClose: "fail-close", DropClear: "clear-packet", DropMalformed: "bad-header", DropIPv6: "ipv6", DropFragment: "fragment",
	DropTooBig: "too-big", DropExhausted: "sequence-exhausted", DropNoRandom: "no-randomness", DropSPI: "invalid-spi",
	DropExpired: "expired-tek", DropShort: "bad-length", DropAuth: "authentication-failure", DropTrailer: "bad-trailer",
	DropInner: "bad-inner-header", DropSelector: "ts-check-failure", DropDummy: "dummy",
	DropTooOld: "too-old", DropTooNew: "too-new", DropNoTimestamp: "no-timestamp", DropUnexpectedTimestamp: "unexpected-timestamp",
	DropTimestampType: "timestamp-type", DropTimestampLength: "timestamp-length", DropTimestampNext: "timestamp-next-header",
}

// Passed reports whether the packet goes on.
func (v Verdict) Passed() bool { return v >= Encrypted && v <= FailOpen }

// String is a word for an operator: "encrypted", "fail-close".
func (v Verdict) String() string {
	if v < verdicts {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict-%d", uint8(v))
}

// Stats are counters since the Plane was made, or the VPN set. The names follow Junos's reply
// get-gvpn-ipsec-statistics-information; octets are those of the whole packet on the wire, outer header included.
type Stats struct {
	ESPEncryptedPackets, ESPEncryptedBytes uint64
	ESPDecryptedPackets, ESPDecryptedBytes uint64

	ESPAuthenticationFailures uint64
	ESPDecryptionFailures     uint64 // ESP that is no whole number of blocks
	BadHeaders                uint64 // outer or inner
	BadTrailers               uint64
	InvalidSPI                uint64 // expired TEKs among them
	TSCheckFail               uint64
	ExceedsTunnelMTU          uint64
	D3P                       D3PStats
	Discards                  uint64 // all other drops: IPv6, fragments, dummies, exhausted TEKs, no randomness

	ExcludePackets          uint64 // both ways
	FailOpenPacketsSent     uint64
	FailOpenPacketsReceived uint64
	FailCloseDrops          uint64
	PolicyMismatchReceived  uint64 // in the clear, though a group SA is for it
}

// D3PStats count what time-based anti-replay has dropped.
type D3PStats struct {
	TooOld, TooNew                             uint64
	NoTimestamp                                uint64 // under a TEK with a window
	Unexpected                                 uint64 // a time stamp under a TEK without one
	TypeErrors, LengthErrors, NextHeaderErrors uint64
}

// count adds a packet of n octets on the wire. sent says the direction.
func (s *Stats) count(v Verdict, n int, sent bool) {
	switch v {
	case Encrypted:
		s.ESPEncryptedPackets++
		s.ESPEncryptedBytes += uint64(n)
	case Decrypted:
		s.ESPDecryptedPackets++
		s.ESPDecryptedBytes += uint64(n)
	case Excluded:
		s.ExcludePackets++
	case FailOpen:
		if sent {
			s.FailOpenPacketsSent++
		} else {
			s.FailOpenPacketsReceived++
		}
	case DropFailClose:
		s.FailCloseDrops++
	case DropClear:
		s.PolicyMismatchReceived++
	case DropMalformed, DropInner:
		s.BadHeaders++
	case DropTooBig:
		s.ExceedsTunnelMTU++
	case DropSPI, DropExpired:
		s.InvalidSPI++
	case DropShort:
		s.ESPDecryptionFailures++
	case DropAuth:
		s.ESPAuthenticationFailures++
	case DropTrailer:
		s.BadTrailers++
	case DropSelector:
		s.TSCheckFail++
	case DropTooOld:
		s.D3P.TooOld++
	case DropTooNew:
		s.D3P.TooNew++
	case DropNoTimestamp:
		s.D3P.NoTimestamp++
	case DropUnexpectedTimestamp:
		s.D3P.Unexpected++
	case DropTimestampType:
		s.D3P.TypeErrors++
	case DropTimestampLength:
		s.D3P.LengthErrors++
	case DropTimestampNext:
		s.D3P.NextHeaderErrors++
	default:
		s.Discards++
	}
}
