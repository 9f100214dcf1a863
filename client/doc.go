// Package client is the typed client of the daemon: what the shell uses, and
// what other programs import. Its methods are grouped by noun, a file each, and
// answer with the types of package api.
//
// An error that the daemon answered satisfies errors.Is with its api.Code and
// with the sentinel of package lease that it stands for; see Error.
package client
