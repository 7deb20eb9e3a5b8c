package gdoi

import "gvpn/commit/step"

// Options say what a reader takes beyond the set that it takes anyway, and in which points a peer speaks otherwise than RFC
// 6407 does. The zero value is the RFC as it stands. A value belongs to a group at a key server and to a gateway at a member,
// and is the same for every message of theirs.
type Options struct {
	// GCM: a reader takes ESP with AES-GCM. Without it such a TEK is refused by name. A writer writes what its Policy says.
	GCM bool
	// IEC61850: a reader takes TEKs of RFC 8052, and a PUSH that deletes all names them too. A key server sets it for the groups
	// that have some: other members may not know the protocol.
	IEC61850 bool

	// The rest are quirks. The reference implementation of the GDOI drafts, which is in the field in forks, has the first six;
	// they hold for writing and for reading.

	HostOrderGroup   bool // the group's number in message 1 has its least significant octet first
	SAKReserved6     bool // SAK has six reserved octets after its SPI; read without it too
	ShortKEKLifetime bool // KEK_KEY_LIFETIME in the short form, cut to 65535 s; read without it too
	SwappedAddresses bool // addresses and masks of a SAT have their least significant octet first
	RawSignature     bool // an RSA signature is over the bare hash, without DigestInfo; with it, one with DigestInfo is read too
	HostOrderSID     bool // SID_VALUE has its least significant octet first

	PaddedLength bool // what is signed has the header's Length with padding; both are read without it too
	WideIDLen    bool // identities in SAK and SAT have lengths of two octets; read without it too, but there may be doubt
	AckShortL    bool // L in the acknowledgement's key counts the key's own bits, 256 or 512 (RFC 8263 section 3.2 can be read so)
}

// Speak gives the options for a peer with these quirks: all that this program can do, in that peer's way.
func Speak(q step.Quirks) Options {
	return Options{
		GCM:              true,
		IEC61850:         true,
		HostOrderGroup:   q.HostOrderGroup,
		SAKReserved6:     q.SAKReserved6,
		ShortKEKLifetime: q.ShortKEKLifetime,
		SwappedAddresses: q.SwappedAddresses,
		RawSignature:     q.RawSignature,
		HostOrderSID:     q.HostOrderSID,
		PaddedLength:     q.PaddedLength,
		WideIDLen:        q.WideIDLen,
		AckShortL:        q.AckShortL,
	}
}

// flags are the fields in the order of their bits on disk.
func (o *Options) flags() []*bool {
	return []*bool{
		&o.GCM, &o.IEC61850, &o.HostOrderGroup, &o.SAKReserved6, &o.ShortKEKLifetime, &o.SwappedAddresses, &o.RawSignature,
		&o.HostOrderSID, &o.PaddedLength, &o.WideIDLen, &o.AckShortL,
	}
}

// Bits are the options as a number, for a record.
func (o Options) Bits() (n uint16) {
	for i, f := range o.flags() {
		if *f {
			n |= 1 << i
		}
	}
	return n
}

// OptionsOf reads Bits; bits that mean nothing are dropped.
func OptionsOf(n uint16) (o Options) {
	for i, f := range o.flags() {
		*f = n>>i&1 == 1
	}
	return o
}
