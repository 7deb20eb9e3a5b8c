// Package sim is the deterministic world for tests of the whole protocol half: many nodes, each with the engines, the data
// plane and the configuration of a real one, on one goroutine, in simulated time, driven by one seed. The network loses,
// doubles, reorders, delays and damages datagrams and can be cut in one direction; nodes crash, between any two of their
// outputs, and come back with what they had persisted; clocks are skewed.
//
// After every event verifiers look at the world (verify.go) and collect what is wrong in World.Violations. The same seed
// gives the same events: Trace is the SHA-256 of all of them.
//
// It is not a model: what runs is package engine, commit and dataplane as package node runs them, with their real
// cryptography. Only the RSA keys come from a fixed pool, and Work takes simulated time.
//
// Drive it from Go (New, Node, Commit, Run, Faults, Cut, Heal, Crash, Restart), or from text, one scenario a file, under
// testdata/ (scenario_test.go), and one cell of the tables a file under testdata/cells/ROW (cells_test.go); random schedules of faults
// and commits are in random_test.go and changes_test.go.
package sim
