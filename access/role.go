package access

// Role is what a caller may do. A higher one may do all that the lower ones may.
type Role int

// The roles, the lowest first.
const (
	// None may do nothing.
	None Role = iota
	// Read sees ranges, leases, distributions, processes, their outputs and events.
	Read
	// Lease acquires leases and renews and releases its own.
	Lease
	// Exec deploys distributions and starts and stops processes. What it
	// starts runs as the daemon's user.
	Exec
	// Admin does everything.
	Admin
)

var roleNames = [...]string{None: "none", Read: "read", Lease: "lease", Exec: "exec", Admin: "admin"}

// ParseRole reads the name of a role that may do something. Errors are ErrInvalid.
func ParseRole(text string) (Role, error) {
	for r := Read; r <= Admin; r++ {
		if roleNames[r] == text {
			return r, nil
		}
	}
	return None, stated(ErrInvalid, "%.40q is not a role: read, lease, exec or admin", text)
}

// String is the name of the role.
func (r Role) String() string {
	if r < None || r > Admin {
		return "none"
	}
	return roleNames[r]
}

// Allows reports whether who has the role may do what needs another one. What
// needs none is for everybody who is known.
func (r Role) Allows(need Role) bool { return r >= need }
