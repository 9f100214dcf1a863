// Package cgroup gives each process of a state folder a cgroup of its own
// (cgroups(7), version 2), so that all that comes from it can be found and
// killed, whatever sessions and process groups it has made.
//
// The cgroups lie below the daemon's own one:
//
//	<the daemon's>/berth-<hash of the state folder's id>/<process id>
//
// No controllers are used: nothing is limited or counted, and the daemon may
// stay in its cgroup. What is needed is the right to make cgroups there, which
// root has, and others where their cgroup was delegated to them, and Linux 5.14
// for cgroup.kill. A cgroup is taken for ours by its place and name alone; who is
// in it is looked at before it is killed.
package cgroup
