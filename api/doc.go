// Package api holds the types and the error codes that cross the wire between
// the daemon and its clients. It imports nothing of the project. Lists are
// JSON arrays; a time is RFC 3339; ports are numbers; both ends of an interval
// belong to it.
package api
