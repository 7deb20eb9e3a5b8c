// Package cluster is the server-cluster engine: what the root-server and the sub-servers of a group say to each other so that
// all hold the same SAs and keys (rules C1 to C9, D1 to D7, V8; rows of Table 2). It knows which peer is active, opens the IKE
// SA to the root, asks for everything (cluster-init), carries changes and their acknowledgements (cluster-update), and
// compares the configurations of both ends.
//
// It makes and keeps no key: an Update passes through it between package server, which does, and the peer. It does no
// cryptography: both exchanges run inside an IKE SA, and package ike's HASH binds their messages by the nonces in them. The
// original's protocol is not published; this one is ours, with a version in its first octet (wire.go).
//
//	sub-server                                   root-server
//	HDR*, HASH(1), NONCE, cluster(request)  -->
//	                                        <--  HDR*, HASH(2), NONCE, cluster(everything)      exchange 240, cluster-init
//
//	                                        <--  HDR*, HASH(1), NONCE, cluster(update)          exchange 241, cluster-update
//	HDR*, HASH(2), NONCE, cluster(ack)      -->
//
// A cluster-init says what the sub-server has of sender IDs, and its answer lends it others if it needs some (package server,
// sender.go); a sub-server that has few left asks for them so. Each answer is another question of package server's, and a request
// that ike repeats is none: so the answer to it is the same octets, and no block is lent twice.
//
// # A sub-server's view of its root
//
//	      start, Dead, refused, hard lifetime, mark-peer-inactive
//	    +---------------------------------------------------------+
//	    v                                                         |
//	inactive: connect -> ask -> adopt, again after 5 s --good--> active
//	                                                              |
//	                    soft lifetime, "delete all", IKE SA lost, |
//	     configuration changed, sender IDs low: ask again <-------+
//
// DPD is the judge of a root that an IKE SA leads to (D3, V7): an unanswered cluster-init alone does not make it inactive. A
// root that no IKE SA can be opened to is inactive at once (C9).
//
// # A root's view of a sub-server
//
// Active from its cluster-init on, until DPD's verdict. A change for an active sub-server that has not acknowledged the one
// before is merged with it, so that the latest state always travels and nothing is lost: an update names the version that it
// builds on, and a sub-server that has not got that far asks for everything instead.
//
// # Driving it
//
// As package server: New, then for every plan Configure, Apply of each effect, Forget; HandleX, Distribute, Adopted, Fetched,
// SoftExpired, HardExpired, SenderIDs and Do in between; after each, drain Next. Nothing of it is on disk: at a start every peer is
// inactive (C3).
package cluster
