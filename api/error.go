package api

// Code names a kind of error, the same on every version. It is an error, so
// that errors.Is(err, api.CodeRangeFull) holds on both sides of the wire.
type Code string

func (c Code) Error() string { return string(c) }

// The codes.
const (
	CodeInvalid              Code = "invalid"                // the request is not well formed
	CodeUnauthenticated      Code = "unauthenticated"        // it is not known who asks: no token, or one that is none
	CodeForbidden            Code = "forbidden"              // who asks may not do this
	CodeQuotaExceeded        Code = "quota-exceeded"         // the owner would have more leases than it may
	CodeTokenExists          Code = "token-exists"           // the name is taken
	CodeTokenNotFound        Code = "token-not-found"        // none has the name
	CodeRangeInvalid         Code = "range-invalid"          // a range's name, ports, protocol or scope
	CodeRangeExists          Code = "range-exists"           // the name is taken
	CodeRangeOverlaps        Code = "range-overlaps"         // its ports belong to another range
	CodeRangeNotFound        Code = "range-not-found"        // no range has the name
	CodeRangeLeased          Code = "range-leased"           // it has live leases
	CodeRangeFull            Code = "range-full"             // no port of it can be leased
	CodePortAssigned         Code = "port-assigned"          // a port that was asked for by its number is leased
	CodePortInUse            Code = "port-in-use"            // something else is bound to it
	CodePortPrivileged       Code = "port-privileged"        // the daemon may not bind it
	CodeKernel               Code = "kernel-refused"         // the daemon may not change the kernel's settings
	CodeArchiveNotFound      Code = "archive-not-found"      // no archive has the name, or it does not hold that
	CodeLeaseNotFound        Code = "lease-not-found"        // no live lease has the id
	CodeLeaseChanged         Code = "lease-changed"          // the generation is another one
	CodeHolderRefused        Code = "holder-refused"         // the process that is to hold has ended, or is another user's
	CodeHolderUnseen         Code = "holder-unseen"          // the daemon cannot see the process that is to hold
	CodeDistributionInvalid  Code = "distribution-invalid"   // descriptor or archive
	CodeDistributionExists   Code = "distribution-exists"    // name and version are taken
	CodeDistributionNotFound Code = "distribution-not-found" // none has the name and version
	CodeDistributionRunning  Code = "distribution-running"   // processes of it run
	CodeProcessNotFound      Code = "process-not-found"      // none has the id, or the name
	CodeProfileNotFound      Code = "profile-not-found"      // the process has no starter for it
	CodeExecNotFound         Code = "exec-not-found"         // an exec configuration
	CodeExecRefused          Code = "exec-refused"           // a check before the start
	CodeExecFailed           Code = "exec-failed"            // the command could not be exec'd, or ended while waited for
	CodeKeyReused            Code = "key-reused"             // the idempotency key is that of another request
	CodeTimeout              Code = "timeout"                // what was waited for did not come
	CodeUnsupported          Code = "unsupported"            // known, and not done by this version
	CodeStore                Code = "store-failed"           // the state could not be written
	CodeNoSpace              Code = "no-space"               // the disk has too little room
	CodeDamaged              Code = "store-damaged"          // acknowledged changes are lost, and that is not accepted yet
	CodeBusy                 Code = "busy"                   // there are too many connections
	CodeStopping             Code = "stopping"               // the daemon is about to end
	CodeInternal             Code = "internal"               // the daemon made a mistake: its log says which
)

// Error is a problem as RFC 9457 has it, with a stable code.
type Error struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title,omitempty"`
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
	Code   Code   `json:"code"`
}

func (e *Error) Error() string {
	switch {
	case e.Detail != "":
		return e.Detail
	case e.Title != "":
		return e.Title
	default:
		return string(e.Code)
	}
}

// Is reports whether target is the error's code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}
