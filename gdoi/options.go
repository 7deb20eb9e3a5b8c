package gdoi

// Options say what a reader takes beyond the set that it takes anyway, and in which points a peer speaks otherwise than RFC
// 6407 does. The zero value is the RFC as it stands. A value belongs to a group at a key server and to a gateway at a member,
// and is the same for every message of theirs.
type Options struct {
	// GCM: a reader takes ESP with AES-GCM. Without it such a TEK is refused by name. A writer writes what its Policy says.
	GCM bool
	// IEC61850: a reader takes TEKs of RFC 8052, and a PUSH that deletes all deletes them too.
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
