// Package archtest holds the house rules as tests: who may import whom, what the pure core may not touch, how files are
// formatted and named, that generated files are what their generator makes, and that every dependency is defended.
//
// It is not a linter: what golangci-lint can say is said in .golangci.yml. It imports nothing of the module, reads the
// source with go/parser, and so works on a tree that does not compile. Build-tagged files are read like all others.
//
// To excuse a file from a rule, add it to that rule's table with the reason; an excuse that is no longer needed fails too.
package archtest
