// Package ike is IKEv1 as GDOI needs it: phase 1 in main and aggressive mode, both sides; the Informational
// exchange; dead peer detection; and the transport of every exchange that runs under a phase-1 SA.
//
// It implements RFC 2409 sections 5, 5.1, 5.4, 5.7 and Appendix A and B, RFC 2408 sections 4.5, 4.6, 4.8 and 5, RFC 3706, RFC 3947,
// RFC 3948 for IKE itself, RFC 4754, INITIAL-CONTACT (RFC 2407 section 4.6.3.3), the phase-1
// part of RFC 6407 (sections 2.1, 2.2 and 3.2's HASHes), the groups of RFC 3526, 5114 and 5903 that DHPublic lists, and rules C1 and D1 to D7.
// It is not: quick mode, public key encryption, aggressive mode with signatures, IKEv2. It does not know what a group is: the payloads
// of GROUPKEY-PULL (exchange 32) and of the private exchanges (240 to 255) are chains of octets to it, which package server,
// member and cluster read and write.
//
// # How to drive it
//
// An Endpoint has no socket, clock, goroutine or lock. Everything goes in through HandleDatagram, HandleTimeout,
// HandleResult, Do, SetGateway and RemoveGateway; after any of them the caller drains Next until it says false and looks at
// Deadline for when HandleTimeout is due. What comes out is turn.Transmit, turn.Work (a Diffie-Hellman computation or a signature; DHPublic,
// DHShared, DHBoth and Sign carry it out), turn.Notify, turn.KeyLog where it is asked for, and Up, Down, Moved, Dead, Message and Failed for the engines above, which in turn emit
// the commands Connect, Begin, Reply, Abort, Delete, Created and ClearDPD.
//
// # Phase 1
//
//	initiator                                          responder
//	  waitSA    -- HDR, SA, VID ------------------------>  (none)
//	  makeKE   <-- HDR, SA, VID -------------------------  a slot
//	  waitKE    -- HDR, KE, Ni ------------------------->  compute
//	  share    <-- HDR, KE, Nr --------------------------  waitAuth
//	  waitAuth  -- HDR*, IDii, HASH_I ------------------>  up
//	  up       <-- HDR*, IDir, HASH_R -------------------
//
// With signatures CERT and SIG stand in the place of HASH, and making SIG is Work too (state signing). Aggressive mode is in
// aggressive.go. A responder begins with what gateways of the address, and dynamic ones, could accept; the identity of message 5, or
// message 1 in aggressive mode, says which gateway it is, and a certificate must show that identity.
//
// A responder has no SA before message 3, but a slot of a table of bounded size that its cookie names (halfOpen).
// makeKE, share and compute wait for Work. The initiator repeats its last message; the responder never sends on a timer,
// only again what it answered when the same octets come again. Nothing that is not verified moves a state: a message that
// does not parse, does not decrypt or does not fit is counted and forgotten. An SA that the operator or the peer's own
// message takes away goes closing first if exchanges of ours are still unanswered (T14): it accepts their answers and the
// peer's Delete, and nothing else.
//
// # NATs
//
// Messages 1 and 2 carry the vendor ID of RFC 3947, messages 3 and 4 NAT-D. If these show a NAT, the initiator sends message 5
// from and to port 4500, and all that follows goes there: exchanges, pushes, acknowledgements (RFC 6407 section 2.2). The side
// behind the NAT sends a keepalive every 20 s for as long as its gateway is configured, or until its SAs are deleted. An SA
// follows its peer to another port, never to another address, by a message that is verified and not an old one; Moved says so.
// Members behind one NAT have one address and a gateway each; remote-identity tells them apart, and with pre-shared keys in main
// mode all of these gateways need the same key.
//
// # Exchanges under an SA
//
// Begin sends message 1 with a random message ID; every verified message comes up as Message with its Number; Reply sends
// the next one. HASH(n) is prf(SKEYID_a, M-ID | Ni_b | Nr_b | what follows HASH), with Ni_b from message 2 and Nr_b from
// message 3 on (RFC 6407 section 3.2); Ni_b and Nr_b are the NONCE bodies of messages 1 and 2, empty if they hold none. In
// private exchanges the exchange type follows M-ID as one octet, since the rule covers nothing of the header otherwise. The
// CBC chain runs per exchange. A repeated datagram is answered with the octets of the first answer, also for a while after the
// exchange is over.
package ike
