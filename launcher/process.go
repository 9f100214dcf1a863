package launcher

import (
	"fmt"
	"time"

	"berth/lease"
	"berth/proc"
)

// Status tells where a process is in its life.
type Status string

// The status of a process.
const (
	Starting   Status = "starting"   // its ports are leased; its command waits behind the gate
	Running    Status = "running"    // its command was exec'd
	Stopping   Status = "stopping"   // it was asked to stop
	Restarting Status = "restarting" // it was asked to stop, or is gone, and starts again on its ports
	Waiting    Status = "waiting"    // it is gone, and is started again on its ports after a pause
	Ended      Status = "ended"      // it is gone, and its leases with it
)

// PortState tells what a leased port is used for.
type PortState string

// The state of a leased port.
const (
	PortLeased    PortState = "leased"    // nobody listens on it yet
	PortListening PortState = "listening" // the process or a descendant of it does
	PortStolen    PortState = "stolen"    // somebody else does

	// PortAwaited: the process is to bind it by itself, and it is not known yet
	// which one that is. It has no number and no lease.
	PortAwaited PortState = "awaited"
)

// Process is what the launcher runs, or ran: the record that is stored under
// processes/<host>/<id>, and what the launcher tells of it.
type Process struct {
	// ID is small, counts up, and is never used again in a state folder.
	ID           int    `json:"id"`
	Distribution string `json:"distribution"`
	Version      string `json:"version"`
	Profile      string `json:"profile"`
	Name         string `json:"name"`
	// Instance tells the processes of one exec apart, from 0.
	Instance int `json:"instance"`
	// Replaces is the id of the process for which this one was started in a
	// reload; 0 where it was not.
	Replaces int `json:"replaces,omitempty"`
	// Onto are the ports that this run was asked to have in place of the first
	// ones of its definition.
	Onto   []string `json:"onto,omitempty"`
	Status Status   `json:"status"`
	// Again says that the process is being started again by a restart: if it is
	// not there, its gate may never have been opened, and it is still to be started.
	Again bool `json:"again,omitempty"`
	// Retries is how often it was started on other ports since it was asked to
	// start, because something else had taken one of its ports before it could
	// listen; Retried tells of the last time, for people.
	Retries int    `json:"retries,omitempty"`
	Retried string `json:"retried,omitempty"`
	// Restarts is how often it was started again, by request and by itself;
	// InARow how often by itself since it last started well.
	Restarts int `json:"restarts,omitempty"`
	InARow   int `json:"inARow,omitempty"`
	// Due is when it is started again while it waits for that.
	Due time.Time `json:"due,omitzero"`
	// LastExit is how it ended before it was started again by itself.
	LastExit *Exit `json:"lastExit,omitempty"`
	// Identity is who it is to the kernel; zero until it was started, and of
	// the last one when it ended or waits.
	Identity proc.Identity `json:"identity,omitzero"`
	Ports    []Port        `json:"ports,omitempty"`
	// Cgroup is the cgroup of its own that it was last started in, as in
	// /proc/PID/cgroup; empty where it has none.
	Cgroup string `json:"cgroup,omitempty"`
	// StartedAt is when it was last started, EndedAt when its end was noticed.
	StartedAt time.Time `json:"startedAt,omitzero"`
	EndedAt   time.Time `json:"endedAt,omitzero"`
	// Exit is how it ended.
	Exit *Exit `json:"exit,omitempty"`
	// Health is what its check has come to while it runs, and HealthReason says
	// why it is not healthy, or why it is not checked though it has a check. They
	// are observed, not stored.
	Health       Health `json:"-"`
	HealthReason string `json:"-"`
}

// Port is a port that a process has leased.
type Port struct {
	// Range is the range that it was leased from; empty where it was asked for
	// directly and lies in none. It has a Name of its own then.
	Range    string         `json:"range"`
	Name     string         `json:"name,omitempty"`
	Protocol lease.Protocol `json:"protocol"`
	Number   int            `json:"port"`
	Lease    lease.ID       `json:"lease"`
	// Self says that the process binds it by itself, told port 0. It has a Name;
	// until it is known which one it is, Number is 0 and there is no Lease.
	Self bool `json:"self,omitempty"`
	// State is observed, not stored, and so is Conflict: why a port that the
	// process has bound by itself is not leased to it, for people.
	State    PortState `json:"-"`
	Conflict string    `json:"-"`
}

// Label is what the process knows the port by: its range's name, or its own.
func (p Port) Label() string {
	if p.Range == "" || p.Self {
		return p.Name
	}
	return p.Range
}

// String names the port for people: http port 8080.
func (p Port) String() string {
	if p.isAwaited() {
		return fmt.Sprintf("port %s, which it is to bind by itself (told port 0)", p.Name)
	}
	if label := p.Label(); p.Range != "" || p.Self {
		return fmt.Sprintf("%s port %d", label, p.Number)
	}
	return fmt.Sprintf("port %d", p.Number)
}

// Exit tells how a process ended.
type Exit struct {
	// Code is nil where a signal ended it, or the kernel does not tell.
	Code *int `json:"code,omitempty"`
	// Signal is the name of the signal that ended it: SIGKILL.
	Signal string `json:"signal,omitempty"`
	// Reason says why, for people: "killed by request", "exit code 1".
	Reason string `json:"reason"`
}

// Title names the process for people: httpServer #3 (demo 1.0).
func (p Process) Title() string {
	return fmt.Sprintf("%s #%d (%s %s)", p.Name, p.ID, p.Distribution, p.Version)
}

// PID is its number, 0 where it waits and has none.
func (p Process) PID() int {
	if p.Status == Waiting {
		return 0
	}
	return p.Identity.PID
}

// Live reports whether the process has not ended.
func (p Process) Live() bool { return p.Status != Ended }
