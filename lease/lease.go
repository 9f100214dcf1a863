package lease

import "time"

// ID names a lease. It is never used again.
type ID string

// Lease is one port, mostly of a range, held by a holder.
type Lease struct {
	ID ID

	// Generation is 1 for a new lease and grows with each change of it.
	Generation int64

	// Range is the name of the range that the port was leased from; empty where
	// it was asked for directly and lay in none. The range may be gone, or
	// another one may lie over the port by now.
	Range    string
	Protocol Protocol
	Scope    Scope
	Port     int

	// Host is where the port is leased.
	Host   string
	Holder Holder

	// Since is when the lease was made, UTC.
	Since time.Time
}
