package access

import (
	"context"
	"strconv"
)

// NoUID is the user id of a caller whose user is not known.
const NoUID = -1

// Caller is who a request comes from. The zero Caller is somebody unknown.
type Caller struct {
	// Known reports whether it is known who it is.
	Known bool

	// Role is what the caller may do.
	Role Role

	// UID and PID are those of the process at the other end of the socket, as
	// they were when it connected; NoUID and 0 over TCP.
	UID, PID int

	// User is the name of that user, where it has one.
	User string

	// Token is the name of the token that the caller has shown, empty for none.
	// Then Role is the token's, whoever has connected.
	Token string

	// Owner is whose the leases of the caller are. Only an admin may act for
	// other owners.
	Owner string

	// Quota is how many leases the owner may have by the token; 0 says nothing.
	Quota int

	// Address is where the caller is, empty on the socket.
	Address string
}

// IsAdmin reports whether the caller may do everything.
func (c Caller) IsAdmin() bool { return c.Role.Allows(Admin) }

// String names the caller, for messages: token ci, user bob.
func (c Caller) String() string {
	switch {
	case c.Token != "":
		return "token " + c.Token
	case !c.Known:
		return "an unknown caller"
	case c.User != "":
		return "user " + c.User
	default:
		return "user " + strconv.Itoa(c.UID)
	}
}

// Check reports whether the caller may do what needs a role: nil, or an error that
// is ErrUnauthenticated or ErrForbidden.
func (c Caller) Check(need Role) error {
	switch {
	case !c.Known:
		return stated(ErrUnauthenticated, "this needs a token: set BERTH_TOKEN, or BERTH_TOKEN_FILE to a file that holds it")
	case c.Role == None:
		return stated(ErrForbidden, "%v may not use this daemon: its owner may say otherwise with berth serve -socket-group or -socket-allow", c)
	case !c.Role.Allows(need):
		return stated(ErrForbidden, "%v has the role %v, and this needs the role %v", c, c.Role, need)
	}
	return nil
}

// Acts returns whose the leases are that the caller acquires for an owner that
// it names; empty names none. An admin acts for anybody, everybody else for its
// own owner. The error is ErrForbidden.
func (c Caller) Acts(owner string) (string, error) {
	switch {
	case c.IsAdmin() && owner != "":
		return owner, nil
	case owner == "" || owner == c.Owner:
		return c.Owner, nil
	}
	return "", stated(ErrForbidden, "%v acts for owner %s, and not for %.64q: that needs the role admin", c, c.Owner, owner)
}

// Owns reports whether the caller may change a lease of an owner: nil, or an
// error that is ErrForbidden. What has no owner is for admins.
func (c Caller) Owns(owner string) error {
	switch {
	case c.IsAdmin(), c.Owner != "" && owner == c.Owner:
		return nil
	case owner == "":
		return stated(ErrForbidden, "the lease has no owner, and %v acts for owner %s: that needs the role admin", c, c.Owner)
	}
	return stated(ErrForbidden, "the lease is owner %s's, and %v acts for owner %s: that needs the role admin", owner, c, c.Owner)
}

// Scope tells what callers send apart, for keys that must not be shared: it is
// empty for admins, who are one.
func (c Caller) Scope() string {
	if c.IsAdmin() {
		return ""
	}
	return c.Owner
}

type contextKey struct{}

// With returns a context of what a caller asks for.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From returns whose request a context belongs to; somebody unknown, who may do
// nothing, where it is nobody's.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(contextKey{}).(Caller)
	return c
}
