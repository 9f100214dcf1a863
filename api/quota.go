package api

// Quota is how many leases an owner may have at a time.
type Quota struct {
	Owner string `json:"owner" doc:"*: each owner that has no quota of its own"`
	Max   int    `json:"max" doc:"how many leases it may have"`
	Have  int    `json:"have" doc:"how many it has"`
}

// SetQuota sets the quota of an owner.
type SetQuota struct {
	Max int `json:"max" minimum:"0" doc:"how many leases it may have; those that it has already are not touched"`
}
