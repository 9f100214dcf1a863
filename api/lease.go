package api

import "time"

// AcquireLeases asks for leases, all or none.
type AcquireLeases struct {
	// Ranges are names of ranges, one for each single port wanted: short for as
	// many Ports.
	Ranges []string `json:"ranges,omitempty" doc:"names of ranges, one for each single port wanted"`

	// Ports are more that is wanted. Their leases follow those of Ranges, in this
	// order, the ports of one request ascending.
	Ports []PortRequest `json:"ports,omitempty" doc:"more that is wanted; the leases are in the order of ranges and ports"`

	// Holder is who will hold them.
	Holder Holder `json:"holder,omitzero" doc:"who will hold them; left out, nobody in particular, until they are released"`

	// Owner is whose they are. What that owner has of the same ranges is given up
	// in the same step, unless Keep is set.
	Owner string `json:"owner,omitempty" maxLength:"255" doc:"whose they are; what it has of the same ranges is given up in the same step, unless keep is set"`
	Keep  bool   `json:"keep,omitempty" doc:"with an owner: keep what it has"`
}

// PortRequest asks for ports: of a range, or directly.
type PortRequest struct {
	Range    string `json:"range,omitempty" doc:"name of the range; left out, the ports are asked for directly, by port, min and max, or system"`
	Protocol string `json:"protocol,omitempty" doc:"tcp or udp, which has to be the range's; of ports that are asked for directly tcp where it is left out"`
	Count    int    `json:"count,omitempty" minimum:"0" maximum:"1024" doc:"how many contiguous ports; 1 where it is left out"`
	Port     int    `json:"port,omitempty" minimum:"0" maximum:"65535" doc:"the only port that will do, of several the first"`
	Min      int    `json:"min,omitempty" minimum:"0" maximum:"65535" doc:"with max: the first port of an interval of which any will do"`
	Max      int    `json:"max,omitempty" minimum:"0" maximum:"65535" doc:"with min: the last one"`
	Prefer   int    `json:"prefer,omitempty" minimum:"0" maximum:"65535" doc:"the port that is taken if it is free"`
	System   bool   `json:"system,omitempty" doc:"the system chooses the port, of no range"`
}

// The kinds of holders.
const (
	HolderProcess = "process" // until a process has ended
	HolderSession = "session" // until its time has run out unrenewed
	HolderManual  = "manual"  // until the leases are released
)

// Holder is who will hold leases.
type Holder struct {
	Kind string `json:"kind,omitempty" enum:"process,session,manual" doc:"process: until a process has ended; session: until its time to live has run out unrenewed; manual, where it is left out: until the leases are released"`
	PID  int    `json:"pid,omitempty" minimum:"0" doc:"of kind process: its number, as the caller sees it; a process of the caller's own user"`
	TTL  string `json:"ttl,omitempty" doc:"of kind session: its time to live, as 30s, 5m or 1h30m"`
	Name string `json:"name,omitempty" doc:"its name for people; left out, of a process its command's"`
}

// RenewLease has the time of a session run out later.
type RenewLease struct {
	TTL        string `json:"ttl,omitempty" doc:"its time to live from now on, as 30s; left out, as long as it had"`
	Generation int64  `json:"generation,omitempty" minimum:"0" doc:"the lease's generation; another one is refused; left out, any will do"`
}

// Lease is one port, mostly of a range, held by a holder.
type Lease struct {
	ID         string    `json:"id" doc:"never used again"`
	Generation int64     `json:"generation" doc:"grows with each change of the lease"`
	Range      string    `json:"range" doc:"empty for a port that was asked for directly and lies in none"`
	Protocol   string    `json:"protocol" enum:"tcp,udp" doc:"of the port"`
	Port       int       `json:"port" doc:"its number, 1 to 65535"`
	Holder     string    `json:"holder" doc:"who has it, for people"`
	Kind       string    `json:"kind" enum:"process,session,manual" doc:"what ends it: the end of a process, of its time, or of nothing but a release"`
	PID        int       `json:"pid,omitempty" doc:"of the operating system's process that holds it, as the daemon sees it"`
	Owner      string    `json:"owner,omitempty" doc:"whose it is"`
	ExpiresAt  time.Time `json:"expiresAt,omitzero" doc:"when the time of a session runs out"`
	Process    int       `json:"process,omitempty" doc:"id of the launcher's process that holds it"`
	Since      time.Time `json:"since" doc:"when it was acquired"`
}

// LeaseFilter says which leases are meant: those that fit all that is not zero.
type LeaseFilter struct {
	Range    string // a name, or a pattern with *
	Owner    string // a name, or a pattern with *
	Kind     string
	Protocol string
	Port     int
	PID      int
}
