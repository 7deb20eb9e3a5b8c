// Package server is the key server engine: the GCKS of RFC 6407 for groups that the configuration describes. It makes the
// KEK and TEKs of a group or, on a sub-server, takes over its root's; registers members (GROUPKEY-PULL, section 3) and sends
// them what changes (GROUPKEY-PUSH, section 4), acknowledged as RFC 8263 says; and carries out its effects of a commit's
// plan. Rules M1 to M9, C4 to C8, T3 to T14.
//
// It is not IKE (package ike verifies and transports pulls), not a codec (package gdoi), and it knows nothing of cluster
// peers: what goes to or comes from them passes through package engine to package cluster as Distribute, Adopt, Adopted,
// Fetch, Fetched, SoftExpired, HardExpired, SenderIDs and RootActive.
//
// # Driving it
//
// New, then Restore with the records of an earlier run, then for every plan Configure, Apply of each effect, Forget. A plan
// whose commit number is not above Applied is a start-up: it sets the configuration only. HandleX, Do, RootActive, Adopt and
// Fetch are inputs; after each, drain Next. A Persist comes before every output of the same turn that shows what it holds, so
// no push number, SPI or registration is seen outside before it is on disk (architecture, "Order is a promise").
//
// # Keys and their times
//
// A KEK and a TEK have a soft and a hard lifetime. Hard is the configured lifetime. Soft is earlier by the margin
//
//	max(lifetime/10, room), at most lifetime/2
//
// where room is what it takes to tell everybody: for members, twice
//
//	number-of-retransmission × retransmission-period + max(retransmission-period, 10 s)
//
// since a member gets one push after the other, and the one before may be given up or acknowledged as late as that; for a TEK the
// activation delay too; and on a root two periods of its cluster. No formula of the original is known; this one is ours. Where
// half the lifetime is less than room (lifetimes may be 180 s and retransmissions last an hour), a commit warns: a member that
// hears only the last retransmission may then get a key after the end of the one before. It may too where more than two pushes
// come together: ipsec-sas of different lifetimes that end within one room, or an operator's rekey at that time.
//
// The activation delay of Junos's defaults, 15 s, is shorter than their two retransmissions, 20 s, so that a commit does not
// warn of that: a member that hears only the last of them cannot read for 5 s what others send with the new TEK already, and
// for 25 s if a KEK was as late just before. Who cannot have that sets activation-time-delay to twice number-of-retransmission
// × retransmission-period, and on a root to a period of its cluster more.
//
// At the soft lifetime S and R make the successor and push it. A new KEK travels under the old one and replaces it; a new TEK
// is activated after the activation delay, and the old one's hard lifetime becomes the deactivation delay from now (twice the
// activation delay, if it is not configured), if that is sooner. Sub-servers make no keys; a quarter of the margin after Soft
// they ask (C6), at Hard they forget the key and their members (C7).
//
// In a group without a KEK nobody is told, so the old TEK keeps its lifetime until there is one: see endReplaced in keys.go.
//
// A group that becomes a root-server's may have a KEK that a cluster cannot share: with multicast or a key hierarchy. It is replaced
// at the end of that plan, and sub-servers get nothing before the old one is gone: see suit in group.go.
//
// A TEK for IEC 61850 (RFC 8052) has the same times, but that nobody receives with it either before its activation: see activation
// in keys.go.
//
// A member goes when it lets a push pass that it should have acknowledged, when the KEK that it shares with the server dies, or
// by an effect or a command. One that has never acknowledged a push may not know how to: it stays, State shows it as Silent,
// and pushes do not wait for it (RFC 8263 section 6). In a group without server-member-communication there is no push, so a
// member also goes when a TEK reaches its hard lifetime and none that lives was made before the member's last pull: see age in
// keys.go. Until then member-threshold counts it.
//
// # Sender IDs
//
// Where nonces count (AES-GCM, AES-GMAC) a member gets sender IDs that nobody else has under the same keys. A standalone or root
// server owns all of a run that begins with new keys, a sub-server the block that its root has lent it. Which run that is, the epoch,
// goes with all keys that a root sends; sender.go has the rules.
//
// # Push numbers
//
// A root counts a push number with every version it distributes, whether it has members of its own or not, and sub-servers
// keep step by the version. So all servers of a cluster number alike under their one KEK, and a member that moves from one to
// the next does not take the next push for a replay (RFC 6407 section 3.3). A root's KEK begins with number 1 as used: that one
// is for a sub-server that gets the KEK and TEKs from before it at once, and pushes these under it.
//
//	          generate              soft: push under it          hard, delete
//	(none) ------------> current ------------------> replaced ------------> zeroed
//	                        \______________________________________________/
package server
