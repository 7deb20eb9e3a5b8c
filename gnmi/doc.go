// Package gnmi is the gNMI front door to the configuration database (the gNMI specification, service version 0.10.0).
//
// What it does: Capabilities with our YANG modules, Get of configuration in JSON_IETF, and Set, whose deletes, replaces
// and updates, in this order, are one commit: all of it or nothing. A Set begins from the running configuration; while
// someone's candidate holds uncommitted changes, or the database is locked, it is refused (ABORTED), because it would
// commit them too.
//
// Paths begin at the top container, as on Junos: /configuration/system/host-name. A list without keys in the last
// element stands for all its entries. Element names may carry their module's name.
//
// What it is not: Subscribe, union_replace, extensions, wildcards, the origin "cli" and other encodings are answered
// UNIMPLEMENTED by name; no state data is modelled yet, so Get takes the types ALL and CONFIG. Schema and rules are
// package config's, the commit is package commit's.
//
// Who may come in, a rule of ours: the transport is TLS 1.3 with a certificate of `security certificates local`, and
// there is no login without a client certificate. The certificate may be signed by anybody, its own key included; what
// counts is that its public key is one of the SSH public keys of the user of `system login` that its subject's common
// name names, and that the handshake proves the key. One set of keys thus opens the shell, NETCONF and gNMI, and a commit
// that removes a key has effect on the next call, on open connections too.
//
//	openssl req -x509 -key KEY.pem -subj /CN=USER -days 365 -out CERT.pem
//
// To drive it: [New], [Server.Serve] on a listener, [Server.Close].
package gnmi
