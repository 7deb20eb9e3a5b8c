// Package gdoi reads and writes the bytes of the Group Domain of Interpretation: the payloads of the GROUPKEY-PULL exchange
// (RFC 6407 sections 3.2 and 5), the GROUPKEY-PUSH message (section 4) and its acknowledgement (RFC 8263), with the TEKs and
// identities of IEC 61850 (RFC 8052). It is built on package isakmp and turns bytes into the values of packages sa and lkh.
//
// It is not a protocol: no state, no timer, no retransmission, no duplicate cache. HASH payloads and encryption of the PULL
// are package ike's, which owns the phase-1 keys; who answers what, and when, is packages server's and member's.
//
// # A PULL
//
// The key server has a Policy, checked with Policy.Check. Chains stand after the HASH payload; o is the Options of the group or
// of the gateway:
//
//	member                                      server
//	AppendPull1(ni, group, o)            --->   ParsePull1
//	ParsePull2: policy, no keys yet      <---   AppendPull2(nr, policy, now, o)
//	AppendPull3: how many sender IDs     --->   ParsePull3
//	ParsePull4: the keys                 <---   AppendPull4(policy, o)
//
// In message 4, and there alone, a Policy has what is for this member only: SenderIDs, and LKH with its keys of a hierarchy.
//
// # A PUSH
//
//	msg := PushMessage(kek, push, now, o)                     // header and payloads, without SIG; push.Check(kek) has passed
//	SignOp(kek, msg, o)                                       // a worker signs: Sign
//	datagram := SealPush(kek, msg, signature)                 // SIG added, padded, encrypted
//
//	spi, ok := PushSPI(datagram)                              // which KEK
//	push, err := OpenPush(kek, keys, datagram, now, o)        // decrypt, form, SEQ, SIG, contents: section 4.4's order
//	AppendAck(nil, Ack{…}, AckKey(kek, leaf, o))              // if the KEK asks for it
//
// OpenPush changes nothing: the caller sets kek.Seq once it has acted on the message, and takes over a new KEK together with
// Policy.LKH. To exclude a member of a hierarchy, the server sends Policy{KEK: the new one, Updates: lkh.Tree.Change's} under
// the old KEK, in parts (SplitUpdates) if there are many, and new TEKs in another message under the new KEK.
//
// # What is spoken
//
// ESP in tunnel mode, addresses preserved, symmetric, with AES-CBC and HMAC-SHA-256-128 or with AES-GCM-16; IEC 61850 with the
// algorithms of RFC 8052; a KEK of AES-CBC with a static IV, alone or as the root of a hierarchy, signed with RSA (PKCS #1
// v1.5 with DigestInfo) over SHA-256, SHA-384 or SHA-512 or with ECDSA on P-256 or P-384; all four types of acknowledgement.
// AES-GCM and IEC 61850 are taken only by a reader whose Options say so. Not spoken, and refused by name: AH, transport mode,
// other ciphers, DSS, P-521, IPv6 policy, kilobyte lifetimes, single-source address preservation or direction. An attribute
// that is not known makes the whole message void (sections 5.3.2 and 5.4). One attribute is ours: the anti-replay windows of TEKs
// (d3p.go); a message without windows does not have it.
//
// Where the field differs from the text, writing keeps to the text and reading is lenient in these places: SAT and SAK
// identities with two-octet lengths, a SAK with six reserved octets in place of four, lifetimes in the short form, a KEK's SPI
// of zero in four octets, a Length with padding under a signature, LKH keys with any dates. What would make a reader weaker or
// mistaken is behind Options.
package gdoi
