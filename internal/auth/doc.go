// Package auth says who may come in, and carries them as far as a shell or a subsystem: identities and what they may do,
// the public keys of `system login`, the host key, and one SSH server for both doors of a node.
//
//   - The control socket is a Unix socket that speaks SSH. Its caller is known to the kernel (SO_PEERCRED); user 0 and the
//     daemon's own user are super-user, everybody else is refused in words. The SSH layer authenticates nobody there: it
//     brings terminals, exec, exit status and, later, logins without a second protocol.
//   - A TCP listener (NETCONF over SSH, RFC 6242) knows its caller by a public key of `system login user NAME
//     authentication`.
//
// How to drive: fill a Server (HostKey, and Peer or Keys, and the handlers), call Serve on a listener, Close at the end.
// Handlers run in a goroutine per session and get a Session: the channel, the identity, the terminal if one was asked for.
// Dial is the other end of the control socket.
//
// A client's files. A shell command may name a file (`load merge FILE`), and the name is the client's. The server then
// opens a channel of type "file@gvpn" towards the client, whose extra data is one SSH string (RFC 4251 section 5): the name
// as typed. The client rejects the channel with a text, or accepts it, sends the octets of the file, an exit-status of 0
// to say that they are all, and closes. A client without such files (OpenSSH) rejects the unknown channel type by itself.
//
// `save FILE` goes the other way, in a channel of type "save@gvpn" with the same extra data: the client opens the file with its own
// rights, or rejects; the server sends the octets, an EOF, and a request "whole@gvpn", which the client grants when all is written;
// else it sends a text and refuses the request. So a daemon never writes a file for a caller with rights of its own.
//
// This package is not a policy engine: classes are Junos's four predefined ones, and what a class may do is three words.
package auth
