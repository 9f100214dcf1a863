// Package storetest tells whether a store keeps its contract: a suite of tests
// that every store passes ([Run], and [RunDurable] for those that survive their
// process), a store in memory, and a store that fails on demand.
package storetest
