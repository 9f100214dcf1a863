// Package launcher deploys distributions and starts, watches, stops, restarts
// and adopts their processes on leased ports.
//
// # A process' life
//
// Exec resolves what is asked for, plans a port of each range that a process
// declares, makes the command lines, and starts every command behind a gate
// (package gate): the children exist, with their pids, and run nothing. Then
// one commit writes all leases and all records, identities included. Only when
// it is durable the gates open. A daemon that dies before that leaves children
// that read the end of the file from their gate and exit, and nothing in the
// store; a daemon that dies after it finds every process that runs in its
// records. So nothing ever runs that is not written down, and there is no record
// of a process that was never started.
//
// One goroutine, the owner, takes all events of a process: requests, its exit,
// timeouts. What an event means is the table of machine.go, and only the owner
// changes the record. An exit is noticed by pidfd, for children and adopted
// processes alike. The end of the leases and of the record is one batch, and
// comes after the ports were probed.
//
// A restart keeps leases, id and folder: the record says restarting before the
// process is asked to stop, and when it has exited the same record is started
// again on the same ports.
//
// A reload starts another process beside one, with another id, and ends that
// once the new one listens (reload.go, succession.go).
//
// A process that failed because something else had taken one of its ports
// before it could listen is started again too, on another port in place of that
// one, three times at most (race.go).
//
// A process that nobody has asked to end is started again where its descriptor
// says so, at once or after a pause, for which its record says waiting (revive.go).
//
// A process whose definition has a health check is asked how it is, by a goroutine
// that begins and ends with each incarnation; where it is unhealthy and its policy
// says so, its owner has it end and start again like one that crashed (health.go).
//
// # Hand-over
//
// A port whose descriptor has a handoff is bound by the launcher between plan
// and start: it listens and passes the socket on, or holds the port while the
// process binds it. It keeps its copies over restarts, and closes them when the
// process has ended, before the ports are probed. They end with the daemon.
//
// # Start of the daemon
//
// Open reads the records. What still runs, by boot id, pid, start time and, where
// the kernel has one, the pidfd's inode, is adopted; what ended meanwhile is ended now, and its ports are recuperated; a
// restart that was under way is completed. A record that cannot be read is
// reported and left alone, and its leases stay.
//
// # Signals
//
// A process leads a session and a process group of its own. Stopping sends
// SIGTERM to the group, and SIGKILL after the shutdown timeout. When a process
// that was asked to stop has exited, what is left of its group is killed, so that
// it does not keep the ports; when a process ends by itself, its children are
// left alone, and a port that one of them still has is set aside. Where processes
// have cgroups (cgroups.go), all that is left in one is killed like the group.
package launcher
