// Package lease is the heart of Berth: named ranges of ports, and leases of
// ports, most of them of a range.
//
// # The model
//
// A [Range] is an inclusive interval of the ports of one protocol. A [Lease] is
// one port, held by a [Holder], of a range or, asked for by its number, of none. A
// block of ports that follow each other is as many leases. A [Manager] leases ports: it picks
// one that is free, probes it by binding it, and writes the lease into the
// store before anybody hears of it.
//
// A port that has a lease, or may have one, or that something else is bound
// to, is not free. It is
//
//	planned     picked for a plan: being probed, or its commit is on its way
//	leased      the store has its lease
//	ending      leased, and the end of the lease is on its way
//	unsettled   the store did not say whether the lease was written, or ended
//	set aside   something else is bound to it
//	checking    set aside, and just being looked at
//	foreign     another host leased it from a range of the cluster
//	unreadable  the record of its lease cannot be read
//
// and in exactly one of these states, so that no two probes of one port run at
// the same time. They would see each other.
//
// # From plan to lease
//
// [Manager.Plan] makes the ports of several requests pending, all or none.
// [Manager.Commit] writes their leases in one batch with the caller's own
// records, which therefore cannot disagree with them, and settles memory by
// what the store answered:
//
//	done      the leases are live
//	conflict  nothing happened; a port that another host has leased is known
//	          as taken from now on, and the caller plans again
//	unknown   the ports stay as they are until their keys have been read again
//
// [Manager.Release] and [Manager.Recuperate] end leases in the same way.
// Recuperate is for holders that are gone: it checks the ports, and what
// cannot be bound is set aside. [Manager.RecheckOnce] looks at what is set
// aside, first for somebody who listens, so that nothing is bound in the way of
// a server that is just being restarted, and makes available what is free again.
//
// The manager has no goroutine of its own: [Manager.Run] is the job that
// rechecks and settles. Its lock is held for map and bitmap work only, never
// while a port is probed or the store is asked. Picking costs the same however
// many ports are leased.
//
// Which port of a range is picked, where any will do, its [Policy] says. The
// lowest ports of a range may be kept for pinned leases. An ephemeral range has
// no ports of its own: the system chooses each, and the socket that it was chosen
// by stays bound to it until it is handed over.
//
// # In the store
//
//	ranges/<name>                            a range
//	leases/host-<host>/<protocol>/<port>     a lease from a range of HostScope
//	leases/cluster/<protocol>/<port>         a lease from a range of ClusterScope
//	places/<host>/<name>                     the port picked last, of a range of PolicyNext
//	archives/ranges/<rev>                    ranges, archived
//	intents/leases-<host>/                   commits larger than a batch, while they go on
//
// Ports have five digits. Only this package writes them. A lease's key is its
// port, so a port cannot have two leases in its scope: every commit has the
// condition that the key is absent, or that its record is the one that is known.
//
// # Invariants
//
//  1. A port of a protocol is in at most one live lease of a host; a port of a
//     range of the cluster in at most one of the cluster.
//  2. Every lease that is live in memory is in the store, and every one of this
//     host in the store is known as taken in memory, with the same content.
//  3. A port is free in the bitmap if and only if it is in none of the states above.
//  4. Every lease has a port from 1 to 65535 and can be found by its id and, if a
//     process holds it, by that.
//  5. Ranges of one protocol do not overlap, and memory and store have the same.
//     Ephemeral ones have no ports, and overlap nothing.
//
// [Manager.Check] says so in code. Where something cannot be known, a port is
// rather leaked, to be found and mended later, than leased twice.
package lease
