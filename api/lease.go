package api

import "time"

// AcquireLeases asks for leases, all or none, held until they are released.
type AcquireLeases struct {
	// Ranges are the names of the ranges, one for each port wanted.
	Ranges []string `json:"ranges"`
	// Holder names who wants them, for people.
	Holder string `json:"holder,omitempty"`
}

// Lease is one port of a range, held by a holder.
type Lease struct {
	ID         string    `json:"id"`
	Generation int64     `json:"generation" doc:"grows with each change of the lease"`
	Range      string    `json:"range"`
	Protocol   string    `json:"protocol"`
	Port       int       `json:"port"`
	Holder     string    `json:"holder"`
	Process    int       `json:"process,omitempty" doc:"id of the process that holds it"`
	Since      time.Time `json:"since"`
}
