package api

import "time"

// The policies by which a port of a range is picked where any of them will do.
const (
	PolicyLowest = "lowest" // the lowest one that is available; the default
	PolicyNext   = "next"   // the one after the port leased last
	PolicyRandom = "random" // each with the same probability
)

// Range is a named, inclusive interval of ports of one protocol and scope, or,
// where it is ephemeral, a name for ports that the system chooses.
type Range struct {
	Name      string `json:"name" doc:"letters, digits, '.', '_' and '-'"`
	Min       int    `json:"min" required:"false" doc:"first port, 1 to 65535; 0 of an ephemeral range"`
	Max       int    `json:"max" required:"false" doc:"last port, inclusive; 0 of an ephemeral range"`
	Protocol  string `json:"protocol,omitempty" doc:"tcp (the default) or udp"`
	Scope     string `json:"scope,omitempty" doc:"host (the default) or cluster"`
	Policy    string `json:"policy,omitempty" doc:"how a port is picked where any will do: lowest (the default), next (the one after the port leased last) or random" enum:"lowest,next,random"`
	Static    int    `json:"static,omitempty" doc:"how many of its ports, the lowest, are kept for pinned leases: leased only to who asks for them by number"`
	Ephemeral bool   `json:"ephemeral,omitempty" doc:"it has no ports of its own: the system chooses each, of those that lie in no range"`

	Description string `json:"description,omitempty" doc:"for people, at most 1,024 characters"`
}

// AddedRange is a range that was added.
type AddedRange struct {
	Range
	Warnings []string `json:"warnings,omitempty" doc:"what may keep its ports from being bound, for people: that the kernel gives them to outgoing connections, or that the daemon may not bind them"`
}

// RangeStatus is a range with what became of its ports. Every port of it is in
// exactly one of Available, Active and SetAside; of an ephemeral range those that
// are leased from it are in Active.
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

// UpdateRange asks for other bounds, another policy or other static ports of a
// range. What is left out stays.
type UpdateRange struct {
	Min    int    `json:"min,omitempty" doc:"first port, 1 to 65535"`
	Max    int    `json:"max,omitempty" doc:"last port, inclusive"`
	Policy string `json:"policy,omitempty" doc:"how a port is picked from now on" enum:"lowest,next,random"`
	Static *int   `json:"static,omitempty" doc:"how many of its ports, the lowest, are kept for pinned leases; what is leased of them stays leased"`

	// Description is the new one, empty for none; nil leaves it.
	Description *string `json:"description,omitempty" doc:"for people, at most 1,024 characters; an empty one takes it away"`

	Force bool `json:"force,omitempty" doc:"also where ports that are leased fall out of the range"`
}

// UpdatedRange is a range that was changed.
type UpdatedRange struct {
	Range
	Before   Range        `json:"before" doc:"the range as it was"`
	Outside  []ActivePort `json:"outside" doc:"leased ports that the range does not have any more; they stay leased until their holders end"`
	Warnings []string     `json:"warnings,omitempty" doc:"as of a range that is added"`
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
