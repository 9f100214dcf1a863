package api

import "time"

// Range is a named, inclusive interval of ports of one protocol and scope.
type Range struct {
	Name     string `json:"name" doc:"letters, digits, '.', '_' and '-'"`
	Min      int    `json:"min" doc:"first port, 1 to 65535"`
	Max      int    `json:"max" doc:"last port, inclusive"`
	Protocol string `json:"protocol,omitempty" doc:"tcp (the default) or udp"`
	Scope    string `json:"scope,omitempty" doc:"host (the default) or cluster"`
}

// RangeStatus is a range with what became of its ports. Every port of it is in
// exactly one of Available, Active and SetAside.
type RangeStatus struct {
	Range
	Available []int          `json:"available" doc:"ports that can be leased now"`
	Active    []ActivePort   `json:"active" doc:"ports that are leased"`
	SetAside  []SetAsidePort `json:"setAside" doc:"ports that something else is bound to"`
}

// ActivePort is a port that is leased.
type ActivePort struct {
	Port   int    `json:"port" doc:"its number"`
	State  string `json:"state" doc:"leased, listening or stolen"`
	Holder string `json:"holder" doc:"who has the lease, for people"`
	PID    int    `json:"pid,omitempty" doc:"the holder's process id, where it is a running process"`
	Lease  string `json:"lease" doc:"the lease's id"`
}

// SetAsidePort is a port that cannot be leased now because something else is bound to it.
type SetAsidePort struct {
	Port    int       `json:"port" doc:"its number"`
	Reason  string    `json:"reason" doc:"why, for people"`
	PID     int       `json:"pid,omitempty" doc:"who is bound to it, where that can be seen"`
	Command string    `json:"command,omitempty" doc:"the name of its program"`
	Since   time.Time `json:"since" doc:"since when"`
}

// AddRanges asks for ranges to be added, all or none.
type AddRanges struct {
	Ranges []Range `json:"ranges" doc:"the ranges to add"`
	Clear  bool    `json:"clear,omitempty" doc:"replace all ranges that there are"`
	Force  bool    `json:"force,omitempty" doc:"with clear: also where a range that goes has live leases"`
}

// UpdateRange asks for other bounds of a range. What is left out stays.
type UpdateRange struct {
	Min   int  `json:"min,omitempty" doc:"first port, 1 to 65535"`
	Max   int  `json:"max,omitempty" doc:"last port, inclusive"`
	Force bool `json:"force,omitempty" doc:"also where ports that are leased fall out of the range"`
}

// UpdatedRange is a range whose bounds were changed.
type UpdatedRange struct {
	Range
	Before  Range        `json:"before" doc:"the range as it was"`
	Outside []ActivePort `json:"outside" doc:"leased ports that the range does not have any more; they stay leased until their holders end"`
}

// DeletedRanges are the ranges that a deletion removed.
type DeletedRanges struct {
	Deleted []Range `json:"deleted" doc:"as they were"`
}

// Archived tells which ranges an archive holds after archiving or restoring.
type Archived struct {
	Revision string  `json:"revision" doc:"the name of the archive"`
	Ranges   []Range `json:"ranges" doc:"its ranges"`
}
