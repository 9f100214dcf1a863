// Package proc knows processes by identity, never by pid alone.
//
// A pid says who a process is only while that process has not been reaped: the kernel gives the number to somebody else afterwards.
// An [Identity] adds the start time and the boot, which makes it unique, and a [Process] is a handle (a pidfd) that stays
// bound to one process whatever happens to its number. Everything that acts on a process goes through such a handle.
//
// Functions that take a bare pid ([Identify], [EnvironValue], [Memory], [Session], [Tree]) read a moment's picture. Whoever
// draws a conclusion from one checks the identity afterwards, with [Open].
package proc
