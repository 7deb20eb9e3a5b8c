// Package gdoi reads and writes the bytes of the Group Domain of Interpretation: the payloads of the GROUPKEY-PULL exchange
// (RFC 6407 sections 3.2 and 5), the GROUPKEY-PUSH message (section 4) and its acknowledgement (RFC 8263). It is built on
// package isakmp and turns bytes into the values of package sa.
//
// It is not a protocol: no state, no timer, no retransmission, no duplicate cache. HASH payloads and encryption of the PULL
// are package ike's, which owns the phase-1 keys; who answers what, and when, is packages server's and member's.
//
// # A PULL
//
// The key server has a Policy, checked with Policy.Check. Chains stand after the HASH payload:
//
//	member                                   server
//	AppendPull1(ni, group)            --->   ParsePull1
//	ParsePull2: policy, no keys yet   <---   AppendPull2(nr, policy)
//	AppendPull3: empty                --->   ParsePull3
//	ParsePull4: the keys              <---   AppendPull4(policy)
//
// # A PUSH
//
//	msg := PushMessage(kek, push, now)                        // header and payloads, without SIG
//	turn.RSASign{…, Message: SignInput(msg)}                  // a worker signs: Sign
//	datagram := SealPush(kek, msg, signature)                 // SIG added, padded, encrypted
//
//	spi, ok := PushSPI(datagram)                              // which KEK
//	push, err := OpenPush(kek, datagram, now)                 // decrypt, form, SEQ, SIG, contents: section 4.4's order
//	AppendAck(nil, spi, AckKey(kek), push.Seq, address)       // if the KEK asks for it
//
// OpenPush changes nothing: the caller sets kek.Seq once it has acted on the message.
//
// # What is spoken
//
// ESP in tunnel mode with AES-CBC and HMAC-SHA-256-128, addresses preserved, symmetric; a KEK of AES-CBC with a static IV,
// signed with RSA (PKCS #1 v1.5 with DigestInfo) over SHA-256 or SHA-384; KEK_ACK_REQUESTED types 1 and 3. Not spoken, and
// refused by name: AH, IEC 61850, other ciphers, LKH, sender IDs, IPv6 policy, kilobyte lifetimes. An attribute that is not
// known makes the whole message void (sections 5.3.2 and 5.4).
//
// Where the field differs from the text, writing keeps to the text and reading is lenient in three places: SAT and SAK
// identities with two-octet lengths, a SAK with six reserved octets in place of four, and lifetimes in the short form.
package gdoi
