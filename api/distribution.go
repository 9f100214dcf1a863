package api

import "time"

// Distribution is what has been deployed under a name and a version.
type Distribution struct {
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	DeployedAt time.Time `json:"deployedAt"`
	Processes  []string  `json:"processes" doc:"the names of its processes"`
	Profiles   []string  `json:"profiles" doc:"the profiles that its processes know"`
	Running    int       `json:"running" doc:"how many processes of it run"`
}

// Deployed answers a deployment.
type Deployed struct {
	Distribution
	Warnings []string `json:"warnings,omitempty"`
}

// Undeployed are the distributions that an undeployment removed.
type Undeployed struct {
	Undeployed []Distribution `json:"undeployed"`
}
