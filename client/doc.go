// Package client is the typed client of the daemon: what the shell uses, and
// what other programs import. Its methods are grouped by noun, a file each, and
// answer with the types of package api.
//
// Long lists are asked for page by page by the iterators EachProcess, EachLease
// and EachDistribution. What acquires is sent again where the connection is lost,
// and done once.
//
// An error that the daemon answered satisfies errors.Is with its api.Code and
// with the sentinel of package lease that it stands for; see Error.
package client
