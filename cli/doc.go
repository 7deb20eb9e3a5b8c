// Package cli is the shell: Junos's operational and configuration mode (junos-facts.md sections 2.1 and 5) on any reader
// and writer. One grammar serves lines that are typed, with completion, and lines of a script.
//
// How to drive: New with a Config, then Interactive on a terminal, Exec for the text of `gvpn -c`, or Script for lines from a
// pipe. Handler makes the shell of an SSH server (package auth); OnTerminal puts it on the process's own terminal. A Backend is
// the node; package node implements it.
//
// With a terminal an error in a line is shown as Junos does, a caret below the word and the message; a command that fails
// leaves the session open. Without one, messages begin with "error: ", questions get their safe answer, and the first
// failing command ends the session with exit status 1.
//
// What is ours where Junos's behaviour is not known, or cannot be had:
//
//   - `match`, `except` and `find` ignore case; `last` without a number keeps 10 lines.
//   - A load in which anything is wrong changes nothing; Junos loads the rest.
//   - What is protected is changed by `load override`, `load update` and `rollback`, which put something else in the place of
//     everything. `delete` of what holds something protected says nothing about what it keeps.
//   - `protect` and `unprotect` are about a leaf-list as a whole, as `deactivate` is.
//   - `copy` makes an entry with the marks of the first, protection too. `rename`, `copy` and `insert` name the list on both sides:
//     `rename gateway A to gateway B`; `rename` and `insert` are also about values of a leaf-list.
//   - `replace pattern` leaves secrets and remarks alone; expressions there and in `wildcard delete` are POSIX extended ones and
//     mind case. Without a terminal `wildcard delete` asks nothing, and says how many objects it deleted.
//   - `load patch` changes nothing if anything in it does not fit. A line with ! and no mark moves an entry.
//   - `load` takes a text that begins with < for XML. `load` and `save` are about files of the client, which it reads and writes
//     itself; a client without files (OpenSSH) is refused. `save`, `| save` and `| tee` overwrite; there is no `| append`.
//   - `| display inheritance` shows the configuration without groups and apply-groups, and also in front of `| display set`, xml and json.
//   - `| display set explicit` has a line for each entry, too.
//   - `request security group-vpn server rekey`, `request lab node`, `| display effects`, `show system commit detail` and its `remote-address`.
//   - `commit at` keeps the shared candidate locked until its time or `clear system commit`; `commit at reboot` is refused.
//   - A private commit that conflicts with later ones is refused once, with the list of places; the next one wins.
//   - Without a terminal, edits in `configure private` and `configure exclusive` are discarded on exit without a question; those in
//     `configure` stay, with a warning.
//   - Without a terminal, the line and the caret follow the one-line message of a syntax error.
//   - `exit` after `up` returns to the nearest `edit` that is still above.
//
// This package decides nothing about a configuration or a node: what a statement means is package config's, what a commit
// does is package commit's, and what a reply says is package oper's.
package cli
