package lease

import (
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"berth/proc"
)

// HolderKind tells what ends a holder.
type HolderKind string

// The kinds of holders.
const (
	// Process holds until a process has ended: one of the launcher's, which the
	// field Process names, or any other one of the system, which Identity names.
	Process HolderKind = "process"
	// Session holds until its time to live runs out unrenewed.
	Session HolderKind = "session"
	// Manual holds until the lease is released.
	Manual HolderKind = "manual"
)

// Holder is who has a lease.
type Holder struct {
	Kind HolderKind

	// Name is for people: httpServer #1 (demo 1.0), or the command of a process.
	Name string

	// Owner is whose the lease is, a user's or a module's name; empty for nobody's.
	Owner string

	// Process is the launcher's id of the process that holds, 0 for none.
	// It is never used again, which an operating system's process id is.
	Process int

	// Identity is the operating system's process that holds, zero for none.
	Identity Identity

	// TTL is how long a Session holds from when it is acquired or renewed on.
	TTL time.Duration

	// Expires is when a Session's time runs out, UTC. Where a request leaves it
	// out, it is TTL from when the lease is made.
	Expires time.Time
}

// Identity says which process of the operating system holds a lease.
type Identity struct {
	proc.Identity

	// Namespace is the inode of the pid namespace that the PID is of: whoever
	// lives in another one cannot look the process up. 0 is not known.
	Namespace uint64
}

// IsZero reports whether the identity names no process.
func (id Identity) IsZero() bool { return id == Identity{} }

// String names the holder for people.
func (h Holder) String() string {
	switch {
	case h.Identity.PID != 0 && h.Name != "":
		return h.Name + " (pid " + strconv.Itoa(h.Identity.PID) + ")"
	case h.Identity.PID != 0:
		return "pid " + strconv.Itoa(h.Identity.PID)
	case h.Name != "":
		return h.Name
	case h.Process != 0:
		return "process " + strconv.Itoa(h.Process)
	case h.Owner != "":
		return h.Owner
	case h.Kind != "":
		return string(h.Kind) + " holder"
	default:
		return "unnamed holder"
	}
}

// until words what ends the leases of a holder that is not the launcher's.
func (h Holder) until() string {
	switch {
	case h.Kind == Process:
		return "until that process ends"
	case h.Kind == Session:
		return "until " + h.Expires.Format(time.RFC3339) + " unless it is renewed"
	}
	return "until it is released"
}

// isAs reports whether two holders are the same one, whenever their time runs out.
func (h Holder) isAs(other Holder) bool {
	h.TTL, other.TTL = 0, 0
	h.Expires, other.Expires = time.Time{}, time.Time{}
	return h == other
}

// from is the holder of a lease that is made at a moment: that of a session is
// then known to end.
func (h Holder) from(now time.Time) Holder {
	if h.Kind == Session && h.Expires.IsZero() {
		h.Expires = now.Add(h.TTL)
	}
	return h
}

// maxOwner is the most bytes of an owner's name.
const maxOwner = 255

// MaxTTL is the longest time to live of a session.
const MaxTTL = 366 * 24 * time.Hour

// validate checks a holder of a new lease. What is wrong is ErrRequest.
func (h Holder) validate() error {
	switch {
	case h.Kind == Session && h.TTL == 0 && h.Expires.IsZero():
		return stated(ErrRequest, "a session needs a time to live")
	case h.TTL < 0 || h.TTL > MaxTTL:
		return stated(ErrRequest, "a time to live of %v is not between 0 and %v", h.TTL, MaxTTL)
	case h.Kind != Session && (h.TTL != 0 || !h.Expires.IsZero()):
		return stated(ErrRequest, "a time to live is for a session, not for a %s holder", h.Kind)
	case !h.Identity.IsZero() && (h.Kind != Process || h.Process != 0):
		return stated(ErrRequest, "a process of the system holds as kind process, without an id of the launcher's")
	case !utf8.ValidString(h.Name):
		return stated(ErrRequest, "the name of the holder is not UTF-8")
	}
	return validOwner(h.Owner)
}

func validOwner(owner string) error {
	if owner == "" {
		return nil
	}
	if len(owner) > maxOwner || !utf8.ValidString(owner) {
		return stated(ErrRequest, "the name of the owner is not UTF-8 of at most %d bytes", maxOwner)
	}
	for _, r := range owner {
		if unicode.IsControl(r) {
			return stated(ErrRequest, "the name of the owner has a control character, %s", fmt.Sprintf("%U", r))
		}
	}
	return nil
}
