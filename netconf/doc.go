// Package netconf is the NETCONF front door to a node: RFC 6241 over the framings of RFC 6242.
//
// What it does: hello with :base:1.0 and :base:1.1, candidate, get and get-config (running, candidate; subtree filter),
// edit-config (candidate; merge, replace, none; nc:operation; test-option), commit and cancel-commit (:confirmed-commit:1.1),
// discard-changes, validate, lock, unlock, close-session and kill-session; Junos's operational RPCs of group-vpn (package oper), which
// answer in XML or, with format="text", in the shell's words. Every edit-config is all or nothing, so :rollback-on-error holds by itself.
// Errors are rpc-errors in the order and with the paths ("[edit security group-vpn]") that Junos gives them.
//
// What it is not: it opens no socket and knows no SSH. A session is [Server.Serve] over any stream; package auth carries
// it, package node listens. The datastore, its rules and its locks are package commit's; spelling is package config's.
// Junos's own operations on the configuration (get-configuration, load-configuration, ...) and command are answered operation-not-supported by
// name, as are url and copy-config, whose capabilities are not advertised.
//
// Three readings. An edit-config that names no test-option is parsed and held against the schema at once, while the
// constraints between statements wait for commit or validate, as RFC 7950 section 8.3 has it for the candidate; with
// test-option test-then-set or test-only they are checked too. There is one lock on the configuration: lock of the
// running datastore takes the same lock as lock of the candidate, because a commit needs both. A confirmed commit is also confirmed
// by a commit on the shell or by gNMI; one that waits when the node stops is taken back when it starts, <persist> or not (RFC 6241
// section 8.4.1).
//
// To drive it: one [Server] per node, made by [New]; hand [Server.Handler] to the SSH server as subsystem "netconf", or
// call [Server.Serve] with a stream and a user's name.
package netconf
