// Command gvpnd is a gvpn node as a daemon, and the lab that runs the whole example topology in one process.
//
//	gvpnd -f FILE -d STATE-DIR    one node: UDP 848, control socket STATE-DIR/gvpnd.sock
//	gvpnd lab                     root-server, four sub-servers and four members on loopback addresses
//	gvpnd schema                  the nodes of the configuration, a line each
//
// All behaviour is in package node and below; here are the command line, signals and the lab's script.
package main
