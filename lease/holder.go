package lease

import "strconv"

// HolderKind tells what ends a holder.
type HolderKind string

// The kinds of holders.
const (
	// Process holds until the launcher's process ends.
	Process HolderKind = "process"
	// Session holds until its time to live runs out unrenewed.
	Session HolderKind = "session"
	// Manual holds until the lease is released.
	Manual HolderKind = "manual"
)

// Holder is who has a lease.
type Holder struct {
	Kind HolderKind

	// Name is for people: httpServer #1 (demo 1.0).
	Name string

	// Process is the launcher's id of the process that holds, 0 for none.
	// It is never used again, which an operating system's process id is.
	Process int
}

// String names the holder for people.
func (h Holder) String() string {
	switch {
	case h.Name != "":
		return h.Name
	case h.Process != 0:
		return "process " + strconv.Itoa(h.Process)
	case h.Kind != "":
		return string(h.Kind) + " holder"
	default:
		return "unnamed holder"
	}
}
