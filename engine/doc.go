// Package engine is one node's protocol engines together: one IKE endpoint, and the key server, server-cluster and group
// member engines on top of it. The engines are siblings that do not know each other; what one asks of another is routed
// here, in route.go, by one switch. Package node drives an Engine with sockets and timers, package sim with a seed.
//
// It has the shape of the engines that it owns and is as pure as they are:
//
//	Prepare(plan) error                                       ask, before a commit is recorded
//	Apply(now, plan)  Do(now, command)                        the operator
//	HandleDatagram(now, …)  HandleTimeout(now)  HandleResult  the world
//	Next() (output, bool)   Deadline() (time, bool)           out; only outputs of package turn
//	State()                                                   look (a copy)
//
// After each call the caller takes outputs by Next until there is none. Their order is a promise of package turn: what
// comes before a Transmit is done before it is sent.
//
// A restart is New, Restore with the records persisted so far, and Apply of the plan from the empty configuration; see
// Apply for what such a plan does.
package engine
