package api

import "time"

// The status of a process.
const (
	StatusStarting   = "starting"   // its ports are leased, its command not yet exec'd
	StatusRunning    = "running"    // its command was exec'd
	StatusStopping   = "stopping"   // it was asked to stop
	StatusRestarting = "restarting" // it was asked to stop and will start again on its ports
	StatusWaiting    = "waiting"    // it ended and is started again on its ports after a pause
	StatusEnded      = "ended"      // it is gone and its leases with it
)

// What the health check of a process has come to.
const (
	HealthChecking  = "checking"  // it has not answered yet since it was started
	HealthHealthy   = "healthy"   // it answered
	HealthUnhealthy = "unhealthy" // it has not answered in time, or has ceased to
)

// The state of a leased port.
const (
	PortLeased    = "leased"    // nobody listens on it yet
	PortListening = "listening" // its process or a descendant of it does
	PortStolen    = "stolen"    // somebody else does
	PortAwaited   = "awaited"   // the process is to bind it by itself, and it is not known yet which one that is
)

// Process is a process that the launcher runs or ran.
type Process struct {
	ID           int           `json:"id" doc:"small, and never used again"`
	Distribution string        `json:"distribution" doc:"the name of its distribution"`
	Version      string        `json:"version" doc:"the version of its distribution"`
	Profile      string        `json:"profile" doc:"the profile that it was started with"`
	Name         string        `json:"name" doc:"its name in the descriptor"`
	Instance     int           `json:"instance" doc:"which one of its exec, from 0"`
	Replaces     int           `json:"replaces,omitempty" doc:"the id of the process that it was started for in a reload"`
	PID          int           `json:"pid,omitempty" doc:"the operating system's process id"`
	Status       string        `json:"status" doc:"what it does now" enum:"starting,running,stopping,restarting,waiting,ended"`
	StartedAt    time.Time     `json:"startedAt,omitzero" doc:"when it was last started"`
	Ports        []ProcessPort `json:"ports" doc:"the ports that are leased to it"`
	Dir          string        `json:"dir" doc:"its folder, which holds process.out"`
	Retries      int           `json:"retries,omitempty" doc:"how often it was started on other ports, because something else had taken one before it could listen"`

	Restarts int       `json:"restarts" doc:"how often it was started again, by request and by itself"`
	Due      time.Time `json:"due,omitzero" doc:"when it is started again, while it waits for that"`

	// Of one that runs and has a health check.
	Health       string `json:"health,omitempty" doc:"checking until it has answered once, healthy or unhealthy; absent where it is not checked"`
	HealthReason string `json:"healthReason,omitempty" doc:"why it is not healthy, or not checked, for people"`

	LastExit *ProcessExit `json:"lastExit,omitempty" doc:"how it ended before it was started again by itself"`

	// Of one that is listed or shown.
	UptimeSeconds *float64 `json:"uptimeSeconds,omitempty" doc:"how long it has run since it was last started; 0 where it does not run"`

	// Where the usage was asked for: with all that come from the process.
	CPUPercent  *float64 `json:"cpuPercent,omitempty" doc:"of one processor, since the usage was last asked for, at most a minute ago; the first time since it was started"`
	MemoryBytes *uint64  `json:"memoryBytes,omitempty" doc:"resident; pages that several share count for each"`

	// Of a process that ended.
	EndedAt  time.Time `json:"endedAt,omitzero" doc:"when it ended"`
	ExitCode *int      `json:"exitCode,omitempty" doc:"absent where a signal ended it or the kernel does not tell"`
	Signal   string    `json:"signal,omitempty" doc:"the signal that ended it: SIGKILL"`

	Reason string `json:"reason,omitempty" doc:"why it ended, or was started on other ports, for people"`
}

// ProcessInfo is all that can be told of a process.
type ProcessInfo struct {
	Process
	PIDs         []int    `json:"pids" doc:"the process itself and those that come from it"`
	Command      []string `json:"command" doc:"its arguments; values of secrets are masked"`
	Environment  []string `json:"environment" doc:"the names of its variables"`
	WorkingDir   string   `json:"workingDir,omitempty" doc:"the folder that it runs in"`
	LogFiles     []string `json:"logFiles" doc:"the files that its output is in, the oldest one first"`
	Dependencies []string `json:"dependencies" doc:"what has to listen before it is started"`

	HealthCheck *HealthCheck `json:"healthCheck,omitempty" doc:"how it is asked how it is; absent where it is not asked"`

	// What its descriptor says; absent where that is not deployed any more.
	Policy *ProcessPolicy `json:"policy,omitempty" doc:"how it is looked after; absent where its descriptor is not deployed any more"`
}

// HealthCheck is how a process is asked how it is.
type HealthCheck struct {
	URL             string  `json:"url" doc:"without a password and without its query"`
	TimeoutSeconds  float64 `json:"timeoutSeconds" doc:"of one check"`
	IntervalSeconds float64 `json:"intervalSeconds" doc:"between two checks"`
	Retries         int     `json:"retries" doc:"how many fail in a row until it is unhealthy"`
}

// ProcessPolicy is how a process is looked after.
type ProcessPolicy struct {
	Restart                string  `json:"restart" doc:"never, on-failure or always"`
	MaxRestarts            int     `json:"maxRestarts" doc:"how often in a row"`
	ShutdownTimeoutSeconds float64 `json:"shutdownTimeoutSeconds" doc:"how long it may take to end before it is forced"`
	MaxKillRetry           int     `json:"maxKillRetry" doc:"how often it is forced"`
	DeleteOnKill           bool    `json:"deleteOnKill" doc:"whether its folder goes with it"`
	MaxInstances           int     `json:"maxInstances" doc:"0: any number"`
}

// ProcessExit is how a process ended.
type ProcessExit struct {
	ExitCode *int   `json:"exitCode,omitempty" doc:"absent where a signal ended it or the kernel does not tell"`
	Signal   string `json:"signal,omitempty" doc:"the signal that ended it: SIGKILL"`
	Reason   string `json:"reason" doc:"why, for people"`
}

// ProcessPort is a port that a process has leased.
type ProcessPort struct {
	Name     string `json:"name" doc:"the range, or what the process knows it by"`
	Protocol string `json:"protocol" doc:"of the port" enum:"tcp,udp"`
	Port     int    `json:"port" doc:"its number; 0 while it is awaited"`
	State    string `json:"state" doc:"what is seen of it; awaited where the process is to bind it by itself, and it is not known yet" enum:"leased,listening,stolen,awaited"`
	Lease    string `json:"lease" doc:"the lease's id; empty while it is awaited"`
	Reason   string `json:"reason,omitempty" doc:"why what the process has bound by itself is not leased to it, for people"`
}

// Exec asks for processes to be started, all or none.
type Exec struct {
	// Config names an exec configuration, in place of all but WaitSeconds.
	Config string `json:"config,omitempty" doc:"an exec configuration, or pattern with *; then the processes are its own"`

	Distribution string `json:"distribution,omitempty" doc:"name, or pattern with *; needed without config"`
	Version      string `json:"version,omitempty" doc:"version, or pattern with *; needed without config"`
	Profile      string `json:"profile,omitempty" doc:"needed without config"`
	Name         string `json:"name,omitempty" doc:"process name, or pattern; empty: each process that is not invoked by name"`
	Instances    int    `json:"instances,omitempty" doc:"how many of each; 0 means 1"`
	// WaitSeconds above 0 asks to wait that long until every process listens on its leased ports.
	WaitSeconds float64 `json:"waitSeconds,omitempty" doc:"how long to wait, in seconds, until every process listens on its leased ports; 0 is not at all" minimum:"0" maximum:"86400"`
}

// Started answers an Exec.
type Started struct {
	Processes []Process `json:"processes" doc:"the processes, in the order in which they were started"`
	Warnings  []string  `json:"warnings,omitempty" doc:"what was left out or is odd, for people"`
}

// Selector selects processes. Fields that are set narrow it down; all of them
// hold together. IDs and PIDs are exact: one that is not there is an error.
type Selector struct {
	All          bool   `json:"all,omitempty" doc:"all processes that live"`
	IDs          []int  `json:"ids,omitempty" doc:"ids that Berth gave; one that is not there is an error"`
	PIDs         []int  `json:"pids,omitempty" doc:"the operating system's process ids; one that is not there is an error"`
	Distribution string `json:"distribution,omitempty" doc:"a name, or a pattern with *"`
	Version      string `json:"version,omitempty" doc:"a version, or a pattern with *"`
	Name         string `json:"name,omitempty" doc:"a name, or a pattern with *"`
	Profile      string `json:"profile,omitempty" doc:"a profile, or a pattern with *"`
	Port         string `json:"port,omitempty" doc:"RANGE:PORT, each a pattern: http:*"`
}

// Kill asks processes to stop.
type Kill struct {
	Selector
	Hard bool `json:"hard,omitempty" doc:"force it at once, without asking"`
	// WaitSeconds above 0 asks to wait that long until the leases are recuperated.
	WaitSeconds float64 `json:"waitSeconds,omitempty" doc:"how long to wait, in seconds, until the leases are recuperated; 0 is not at all" minimum:"0" maximum:"86400"`
}

// Restart asks processes to stop and to start again on the same ports.
type Restart struct {
	Selector
	Hard bool `json:"hard,omitempty" doc:"force it at once, without asking"`
	// Ports are other ports for this run, as in Reload; new processes, with other ids, replace the old ones then.
	Ports []string `json:"ports,omitempty" doc:"other ports for this run, as of a reload; new processes replace the old ones then"`
	// WaitSeconds above 0 asks to wait that long until every process listens on its leased ports again.
	WaitSeconds float64 `json:"waitSeconds,omitempty" doc:"how long to wait, in seconds, until every process listens on its leased ports again; 0 is not at all" minimum:"0" maximum:"86400"`
}

// Reload asks for processes to be exchanged for new ones, one after the other.
type Reload struct {
	Selector
	// Ports are other ports for this run: 3001, 4000-4003, auto:5000-5100 or the name of a range.
	Ports []string `json:"ports,omitempty" doc:"other ports for this run: 3001, 4000-4003, auto:5000-5100, or the name of a range"`
	// WaitSeconds is how long each new one may take until it listens; 0 means 60.
	WaitSeconds float64 `json:"waitSeconds,omitempty" doc:"how long, in seconds, each new one may take until it listens; 0 means 60" minimum:"0" maximum:"86400"`
}

// Reloaded answers a Reload: the new processes, and those that were restarted
// instead, of which the warnings tell.
type Reloaded struct {
	Processes []Process `json:"processes" doc:"the new ones"`
	Restarted []int     `json:"restarted,omitempty" doc:"the ids of those that were restarted"`
	Warnings  []string  `json:"warnings,omitempty" doc:"what was done otherwise or is odd, for people"`
}

// Affected are the processes that a Kill or Restart reached.
type Affected struct {
	Processes []Process `json:"processes" doc:"those that were reached"`
}
