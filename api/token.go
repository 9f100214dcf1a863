package api

import "time"

// The roles, the lowest first. A higher one may do all that the lower ones may.
const (
	RoleRead  = "read"  // sees everything but secrets
	RoleLease = "lease" // acquires leases, and renews and releases its own
	RoleExec  = "exec"  // deploys, and starts and stops processes
	RoleAdmin = "admin" // everything
)

// AddToken asks for a token.
type AddToken struct {
	Name  string `json:"name" doc:"letters, digits, '.', '_' and '-'"`
	Role  string `json:"role" doc:"read, lease, exec or admin"`
	Owner string `json:"owner,omitempty" doc:"whose the leases are that are acquired with it; the token's name if left out"`
	Quota int    `json:"quota,omitempty" doc:"how many leases the owner may have; 0 says nothing"`
	// Expires is when it is over; zero for never. ExpiresInSeconds says the same
	// from now on.
	Expires          time.Time `json:"expires,omitzero" doc:"when it is over; left out: never"`
	ExpiresInSeconds int64     `json:"expiresInSeconds,omitempty" minimum:"0" doc:"the same from now on, in seconds; it excludes expires"`
}

// Token is what is told of a token.
type Token struct {
	Name    string    `json:"name" doc:"of the token"`
	Role    string    `json:"role" enum:"read,lease,exec,admin" doc:"what its bearer may"`
	Owner   string    `json:"owner" doc:"whose the leases are that are acquired with it"`
	Quota   int       `json:"quota,omitempty" doc:"how many leases the owner may have"`
	Created time.Time `json:"created" doc:"when it was made"`
	Expires time.Time `json:"expires,omitzero" doc:"absent: never"`
	Expired bool      `json:"expired,omitempty" doc:"its time is over: it is not taken any more"`
	By      string    `json:"by,omitempty" doc:"who has made it"`
}

// AddedToken answers an AddToken.
type AddedToken struct {
	Token
	Secret string `json:"secret" doc:"what the caller has to show. It is told this once, and kept nowhere"`
}

// DeletedTokens are the tokens that were revoked.
type DeletedTokens struct {
	Deleted []Token `json:"deleted" doc:"as they were"`
}

// Whoami is who the daemon takes the caller for.
type Whoami struct {
	UID     *int   `json:"uid,omitempty" doc:"of the process at the other end of the socket; absent over TCP"`
	User    string `json:"user,omitempty" doc:"the name of that user"`
	Token   string `json:"token,omitempty" doc:"the name of the token that was shown"`
	Address string `json:"address,omitempty" doc:"over TCP"`
	Role    string `json:"role" doc:"what the caller may: read, lease, exec or admin; empty: nothing"`
	Owner   string `json:"owner,omitempty" doc:"whose the leases are that the caller acquires without naming an owner"`
}
