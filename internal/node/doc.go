// Package node is the shell around one node's engines: sockets, timers, goroutines, disk and management sessions. It
// decides nothing about the protocol; it carries out what package engine asks for, in the order in which it asks.
//
// Goroutines of a node, all ended by Close:
//
//   - the loop (loop.go) owns the engine, the data plane and their one timer; everything reaches them as a call
//   - one reader for each UDP socket (socket.go), of which an address has three: for what begins a phase 1, for what comes from cluster
//     peers, and for all else; and one for each multicast group that a member listens to (multicast.go)
//   - the writer (output.go) persists, in the engine's order, one transaction for all that is waiting; what comes
//     within five milliseconds of the last one waits for more
//   - the sender (output.go) sends what has been persisted, what is for cluster peers first
//   - the workers (work.go) compute Diffie-Hellman and RSA, as many as there are processors
//   - a timer (manage.go), only while a confirmed commit or a commit at a time is pending: it takes the one
//     back, or carries the other out, under the management mutex
//   - a timer (active.go), for a second after a commit, or longer if the copy is large: it writes the readable copy of the
//     active configuration, and gives back to the system the memory that a large one leaves free
//   - a timer for each management listener whose address could not be had (services.go): it tries again
//   - one for each terminal that is told of something, for as long as writing it takes (package cli, Broadcast)
//   - one acceptor for each management listener, and what each session needs (services.go)
//
// A cluster peer's probes and updates wait for nobody but the disk, whatever members do: its datagrams have a socket of their own, are
// taken from it before others, end the gathering of records, and leave between two calls of a long push. The rest is the length of a turn.
//
// Management takes one mutex (manage.go): package commit is not safe for concurrent use, and only its Prepare and Apply
// reach the loop, so a long load or validation never delays the protocol.
//
// This package is not the place for anything that could be decided without a clock or a socket: such a thing belongs to
// an engine, where package sim can reach it.
package node
