// Package oper words what a node's engines are doing: one Go type for each operational reply, with Junos's XML names
// (junos-tree.md section 5.1), its text layout (junos-facts.md section 2.3), and JSON of the same names.
//
// A reply is made from a State, which is copies of the engines' states at one moment; nothing here reaches an engine, and
// no reply holds a key. Commands is the one table of what can be asked and done: its words are the shell's grammar, its
// RPC names NETCONF's. A row makes either a reply or the commands that the engines are to be given.
//
// Where Junos's YANG declares no output (five of the server's replies) the root is the RPC's name without "get-", and the
// fields follow the declared ones nearby; that is a choice of ours. A reply about groups is one root element per group. Text
// labels that are known from memory only, and all column widths, are in layout.go and nowhere else, so that one who knows
// better can correct them in one place.
//
// How to drive: Find the Command, call its Reply with a State and Args, then AppendText, AppendXML or AppendJSON.
package oper
