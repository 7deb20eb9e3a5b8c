// Package interop meets real peers: strongSwan's charon completes IKEv1 phase 1 and dead peer detection with our bin/gvpnd, as
// initiator and as responder, with keys and with certificates, with and without a NAT between them, and tshark dissects
// what our engines say to each other. It holds tests only, and all but one behind the build tag interop, run as root by
// `make interop` after `make build`.
//
// strongSwan (gdoi-wire.md section 6) runs in a network namespace of its own, on port 500 as it insists, against a gvpnd
// in another namespace on port 848.
//
// tshark (gdoi-wire.md section 5) reads a capture that the test writes: the datagrams of a whole session of our engines
// (phase 1, PULL, PUSH, acknowledgement, cluster exchanges), rewritten only where tshark's dissector is known to be at
// odds with RFC 6407, and encrypted again under the session's own keys so that tshark decrypts everything. The rewritings
// are listed in rewrite_test.go; whatever else tshark finds malformed is our fault.
//
// yanglint reads our modules, and has the verdict that we have on the examples and on every case of config's rules.
//
// The doors of a running gvpnd are tried with OpenSSH, xmllint and a gNMI client.
//
// libreswan's pluto and ike-scan are two more peers. live_test.go has our IKE on real sockets with a seed for randomness, and writes a
// transcript of what it says with them; TestTranscripts plays those of testdata without a peer, and is part of `make test`. `make record`
// writes them anew, and the table of docs/interop.md, where every test notes what it tried (tried).
//
// A missing package of the operating system skips a test with its name, and fails it where CI is set: .ci/run installs
// all of them. libreswan's and ike-scan may be missing.
package interop
