// Package sockdiag tells which sockets are bound to which ports, and which processes have them.
//
// The sockets come from the kernel's sock_diag interface (sock_diag(7)), which filters by state and port before it answers: ten
// thousand established connections cost nothing when only listeners are asked for. What is seen is this process' network
// namespace. The processes come from the links in /proc/PID/fd: those of other users' processes can be read by root only.
package sockdiag
