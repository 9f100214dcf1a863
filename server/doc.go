// Package server answers the daemon's HTTP API: handlers by noun, problem
// details (RFC 9457) with a stable code for whatever goes wrong, and an OpenAPI
// document made from the types of package api.
//
// The document is served at /openapi.json, and docs/api.md is made from it.
//
// It listens on a unix socket that is its owner's alone. Whom the handlers ask
// is behind two small interfaces, [Leases] and [Processes].
package server

//go:generate go test -run TestReference -update .
