package api

// ReleaseLeases says which leases of an owner are released.
type ReleaseLeases struct {
	Owner    string
	Range    string // empty: of whatever range, or none
	Protocol string // empty: of both
}
