package api

// ExecConfig is an exec configuration: processes that are started together.
type ExecConfig struct {
	Name        string        `json:"name" doc:"as its file says"`
	StartOnBoot bool          `json:"startOnBoot" doc:"its processes start when the host has booted"`
	Enabled     bool          `json:"enabled" doc:"one that is not starts nothing"`
	Processes   []ExecProcess `json:"processes" doc:"what it starts, in this order"`
}

// ExecProcess is a process of an exec configuration.
type ExecProcess struct {
	Distribution string `json:"distribution" doc:"the name of the distribution"`
	Version      string `json:"version" doc:"the version of the distribution"`
	Name         string `json:"name" doc:"the process"`
	Profile      string `json:"profile" doc:"the profile to start it with"`
	Instances    int    `json:"instances" doc:"how many"`
}

// DeployedExec answers the deployment of an exec configuration.
type DeployedExec struct {
	ExecConfig
	Warnings []string `json:"warnings,omitempty" doc:"what is odd about it, for people"`
}

// UndeployedExecs are the names of the exec configurations that were removed.
type UndeployedExecs struct {
	Undeployed []string `json:"undeployed" doc:"the names of those that are gone"`
}

// EnableExecs asks for exec configurations to be enabled or disabled.
type EnableExecs struct {
	Name    string `json:"name" doc:"a name, or a pattern with *"`
	Enabled bool   `json:"enabled" doc:"whether they start what they have"`
}
