// Command gvpn is the client of a node's shell. It connects to the control socket of gvpnd and lends the shell there its
// terminal, its standard input and output, and its files.
//
//	gvpn [-s SOCKET] [-c "COMMAND; COMMAND"]
//
// With -c it runs the commands, stops at the first that fails, and exits with 0 only if all succeeded. Without, on a terminal, it is
// interactive; otherwise it reads commands line by line, with the same rule. The names of files in commands (`load merge FILE`,
// `save FILE`) are names on this side: this process reads and writes them, with its own rights. SOCKET is $GVPN_SOCKET if it is not given, and else /var/run/gvpn/gvpnd.sock.
//
// It understands no command and no configuration: all that is in package cli, at the other end.
package main
