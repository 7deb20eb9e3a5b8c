// Package turn names what a protocol engine may ask of the world at the end of a turn: send a datagram, persist a
// record, compute something expensive, change the data plane, tell an operator. The set is closed; every shell (the
// node, the simulator) carries out every kind.
//
// Order is a promise: what comes before a Transmit in an engine's output is done before that datagram leaves, so a
// sequence number or an SPI is on disk before anyone outside can see it.
package turn
