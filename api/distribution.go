package api

import "time"

// Distribution is what has been deployed under a name and a version.
type Distribution struct {
	Name       string    `json:"name" doc:"as its descriptor says"`
	Version    string    `json:"version" doc:"as its descriptor says"`
	DeployedAt time.Time `json:"deployedAt" doc:"when it was deployed"`
	Processes  []string  `json:"processes" doc:"the names of its processes"`
	Profiles   []string  `json:"profiles" doc:"the profiles that its processes know"`
	Running    int       `json:"running" doc:"how many processes of it run"`
}

// Deployed answers a deployment.
type Deployed struct {
	Distribution
	Warnings []string `json:"warnings,omitempty" doc:"what is odd about it, for people"`
}

// Undeployed are the distributions that an undeployment removed.
type Undeployed struct {
	Undeployed []Distribution `json:"undeployed" doc:"those that are gone"`
}
