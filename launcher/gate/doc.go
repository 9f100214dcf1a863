// Package gate starts programs behind a gate: the child exists, with its
// process id, its session, its files and its folder, but it does not run its
// command until the gate is opened. Its starter can so write down who it is
// first; if the starter dies before it opens the gate, the child reads the end
// of the file from the gate and exits, and nothing was ever run that is not
// written down. Several gates can be opened at one instant, see [Group].
//
// # How
//
// On linux/amd64 the child is made by clone3 with CLONE_VM and without
// CLONE_VFORK: as with posix_spawn(3) it shares the memory of its parent and
// nothing is copied, and as with fork(2) the parent goes on. The child never
// runs Go. It runs some thirty instructions of assembler on a stack of its own:
// make a session, put the descriptors in their places and close all others,
// change the folder, unblock the signals, read one byte from the gate, execve.
// What it reads lies in an anonymous mapping that is kept until the child has
// exec'd or is gone. Signal handlers are reset by CLONE_CLEAR_SIGHAND before
// the child exists, so that none of Go's can run in it.
//
// Arguments and environment reach execve as they were given. There is no
// second program and no tracing in between: programs with setuid or file
// capabilities keep them.
//
// Elsewhere, and where the kernel or a seccomp filter refuses clone3, the
// running program is executed again as the gate (see [Main]); that costs about
// a Go program's start for each child.
package gate
