// Package home finds where a daemon keeps its state and where its socket is.
// The daemon and its clients ask it alike, so that they meet.
package home
