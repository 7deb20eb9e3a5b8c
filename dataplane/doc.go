// Package dataplane is where a TEK meets a packet: one member's group SAs, its fail-open and exclude rules, and ESP in tunnel
// mode with the original addresses outside (RFC 4303; RFC 5374 section 3.1; RFC 6407 section 5.5.1.1.1). It is a pure core:
// packets in, packets and a Verdict out. A shell (dataplane/tun, the lab) owns devices and calls it from one goroutine.
//
// # The order of evaluation
//
// A packet from the LAN, VPN by VPN in the order of their names:
//
//	exclude     a rule of the VPN has it        → out in the clear
//	group SA    a live TEK's policy has it      → out under ESP
//
// and if no VPN has taken it:
//
//	fail-open   a rule of any VPN has it        → out in the clear
//	fail-close                                  → dropped
//
// A Plane drops what it has no word for, also when it has no VPN at all: there is no moment between two configurations, or
// before the first, in which a packet slips out.
//
// A packet from the WAN under ESP is looked up by its SPI, authenticated, decrypted, and held against the policies of its TEK
// and its own outer addresses. One in the clear passes if an exclude or a fail-open rule has it, read backwards (rules say
// what leaves the LAN), and is dropped otherwise. SA policies are the group's: each is for packets of one direction, and a
// packet keeps its addresses, so the same policy holds where it is sent and where it arrives.
//
// # TEKs
//
// A TEK is received with from the moment it is installed until its hard lifetime. Packets are sent with the TEK whose
// activation has passed last, and if there is none, with the one that will be active first. Its sequence numbers start at 1
// and never repeat in the life of a Plane, also if it is installed again; a TEK that has used all of them sends no more, and
// its packets are dropped by name (DropExhausted) unless another TEK serves them.
//
// Under AES-GCM (RFC 4106) no two packets of a group may have the same nonce, so a TEK is sent with only under a sender ID of the
// member's own, which comes with it (RFC 6407 section 3.5): the ID is the upper bits of the IV, and the rest counts every packet
// that the VPN ever sent under that ID, over all TEKs. Of several IDs one is used after the other, and Low says when the last is nearly
// used up. A new life of a Plane begins at 1 again: it must have another ID.
//
// Many members send under one SPI, each with its own count, so a receiver can keep no window of sequence numbers: there is no
// anti-replay by number, and a packet repeated on the WAN arrives twice. (RFC 4303 section 3.3.2 says the same of SAs with
// several senders.) Under a TEK with a Window packets carry time stamps (d3p.go), 12 octets each before padding, and one that is
// repeated when the window is over is dropped: within it, it still arrives twice. The members' clocks must agree to within
// the window less the time a packet takes.
//
// # What it does not do
//
// IPv4 only: an IPv6 packet is dropped and counted. It neither fragments nor reassembles: an ESP packet that arrives as
// fragments is the kernel's to put together first, and is dropped here. A later fragment of a packet in the clear has no
// ports: it matches policies and rules without ports; if a policy with ports could have it, it is dropped, since the packet's
// head may have gone under ESP. The TTL of the inner packet is left alone; whoever routes the packet counts it down.
package dataplane
