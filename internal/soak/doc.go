// Package soak kills a real gvpnd with kill -9 at random points under a client that commits, and looks at what is there after
// each start: everything that was acknowledged, and of the one commit that may have been under way all or nothing. It holds
// tests only; `make soak` runs them. What a daemon of its own is measured with is here too, and run by `make bench`.
//
// Flags of its test, after -args: -kills is how often (0, the default, skips it), -entries how many gateways the configuration
// holds, -seed which random points.
//
// What it cannot show is the loss of power: what the kernel has taken it still writes after a kill -9. That writes are torn is
// shown on damaged copies of the store, in package store.
package soak
