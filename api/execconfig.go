package api

// ExecConfig is an exec configuration: processes that are started together.
type ExecConfig struct {
	Name        string        `json:"name"`
	StartOnBoot bool          `json:"startOnBoot" doc:"its processes start when the host has booted"`
	Enabled     bool          `json:"enabled" doc:"one that is not starts nothing"`
	Processes   []ExecProcess `json:"processes"`
}

// ExecProcess is a process of an exec configuration.
type ExecProcess struct {
	Distribution string `json:"distribution"`
	Version      string `json:"version"`
	Name         string `json:"name"`
	Profile      string `json:"profile"`
	Instances    int    `json:"instances"`
}

// DeployedExec answers the deployment of an exec configuration.
type DeployedExec struct {
	ExecConfig
	Warnings []string `json:"warnings,omitempty"`
}

// UndeployedExecs are the names of the exec configurations that were removed.
type UndeployedExecs struct {
	Undeployed []string `json:"undeployed"`
}

// EnableExecs asks for exec configurations to be enabled or disabled.
type EnableExecs struct {
	Name    string `json:"name" doc:"a name, or a pattern with *"`
	Enabled bool   `json:"enabled"`
}
