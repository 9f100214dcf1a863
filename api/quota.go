package api

// Quota is how many leases an owner may have at a time.
type Quota struct {
	Owner string `json:"owner" doc:"*: each owner that has no quota of its own"`
	Max   int    `json:"max" doc:"how many leases it may have"`
	TCP   *int   `json:"tcp,omitempty" doc:"how many of TCP ports may be among them; absent, as many as max"`
	UDP   *int   `json:"udp,omitempty" doc:"how many of UDP ports may be among them; absent, as many as max"`
	Have  int    `json:"have" doc:"how many it has"`
}

// SetQuota sets the quota of an owner.
type SetQuota struct {
	Max int  `json:"max" minimum:"0" doc:"how many leases it may have; those that it has already are not touched"`
	TCP *int `json:"tcp,omitempty" minimum:"0" doc:"its demand of TCP ports: how many of them may be among these; left out, as many as max"`
	UDP *int `json:"udp,omitempty" minimum:"0" doc:"its demand of UDP ports"`
}
