package api

import "time"

// What came of asking a process how it is.
const (
	DiagnosisWell      = "well"      // it answered as its descriptor says
	DiagnosisStarting  = "starting"  // it did not, and its grace period is not over; or it is just being restarted
	DiagnosisStopping  = "stopping"  // it was asked to stop, and is not asked how it is
	DiagnosisFailed    = "failed"    // it did not answer as its descriptor says
	DiagnosisUnchecked = "unchecked" // its descriptor does not say how to ask
)

// Diagnosis is what came of asking a process on one of its ports.
type Diagnosis struct {
	Process      int       `json:"process" doc:"its id"`
	Distribution string    `json:"distribution" doc:"the name of its distribution"`
	Version      string    `json:"version" doc:"the version of its distribution"`
	Profile      string    `json:"profile" doc:"the profile that it was started with"`
	Name         string    `json:"name" doc:"its name in the descriptor"`
	PID          int       `json:"pid,omitempty" doc:"the operating system's process id"`
	Range        string    `json:"range,omitempty" doc:"of the port on which it is asked; absent where it cannot be asked"`
	Port         int       `json:"port,omitempty" doc:"as leased; the URL has it with its prefix"`
	URL          string    `json:"url,omitempty" doc:"where it was asked"`
	Result       string    `json:"result" doc:"well, starting, stopping, failed or unchecked"`
	Code         int       `json:"code,omitempty" doc:"status of the answer; absent where none came"`
	Milliseconds float64   `json:"milliseconds,omitempty" doc:"how long the answer took"`
	Reason       string    `json:"reason,omitempty" doc:"why it is not well, for people"`
	GraceEnds    time.Time `json:"graceEnds,omitzero" doc:"when failures begin to count"`
}
