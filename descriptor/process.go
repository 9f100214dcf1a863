package descriptor

import (
	"strings"
	"time"
)

// Process is the definition of a process. Many instances of it may run.
type Process struct {
	// Name is unique in the distribution.
	Name string

	// Ports are the ranges that an instance needs a port of, in the order of
	// the document and each name once.
	Ports []Port

	// Starters tell how it is started: at least one, and one for a profile.
	Starters []Starter

	// Invoke says that the process starts only when it is asked for by name.
	// It is true where the attribute is left out, as in Corus' code; Corus'
	// manual says false.
	Invoke bool

	// ShutdownTimeout is the time from asking the process to stop to forcing
	// it: 0 to 24 h, 30 s where it is left out.
	ShutdownTimeout time.Duration

	// MaxKillRetry is how many times a process that was forced and does not end is
	// forced again: 0 to 1,000, 3 where it is left out.
	MaxKillRetry int

	// DeleteOnKill says that the folder of the process goes when it is killed.
	DeleteOnKill bool

	// MaxInstances is the most instances that may run at once, up to 100,000;
	// 0 is no limit.
	MaxInstances int

	// PollInterval (10 s where it is left out) and StatusInterval (30 s) are
	// handed on to the process as properties, in whole seconds from 1 s to
	// 24 h. PollTimeout is up to 24 h, and negative when none is wanted.
	PollInterval, StatusInterval, PollTimeout time.Duration

	Tags               []string
	PropertyCategories []string

	// PreExec are commands that run before the process, in order.
	PreExec []string

	// Restart says after which ends an instance is started again by itself, and
	// MaxRestarts how often in a row: 0 to 1,000, DefaultMaxRestarts where it is
	// left out. Both attributes are Berth's own.
	Restart     RestartPolicy
	MaxRestarts int

	// InterpolationPasses is how often Corus would replace variables in values
	// that variables had: 1 to 100, 0 where it is left out. Berth replaces them
	// until there is none, and needs no number.
	InterpolationPasses int

	// Of app files; zero in every corus.xml.

	// Instances is how many start where an exec does not say: 0 means 1.
	Instances int

	// Cwd is the folder that instances run in, as written: absolute, or in the
	// distribution's folder. Empty for that folder itself.
	Cwd string

	// RestartDelay is how long to wait before the first restart by itself, and
	// MinUptime how long an instance runs before its start counts as good.
	RestartDelay, MinUptime time.Duration

	// Health is how an instance is asked how it is; nil where nothing says it.
	Health *HealthCheck
}

// HealthCheck is how an app is asked how it is.
type HealthCheck struct {
	// URL begins with http:// or https:// and may hold variables.
	URL string

	// Timeout is that of one attempt, Interval the time between two: 1 ms to
	// 24 h. Retries is how many fail before the instance counts as unwell.
	Timeout, Interval time.Duration
	Retries           int
}

// RestartPolicy says after which ends a process that nobody asked to end is
// started again.
type RestartPolicy string

// The restart policies. What is left out is RestartNever.
const (
	RestartNever     RestartPolicy = "never"
	RestartOnFailure RestartPolicy = "on-failure" // a code other than 0, or a signal
	RestartAlways    RestartPolicy = "always"
)

// DefaultMaxRestarts is how often in a row a process is started again where
// its descriptor does not say.
const DefaultMaxRestarts = 10

// Starter returns the starter of a profile, and whether there is one.
func (p *Process) Starter(profile string) (*Starter, bool) {
	for i := range p.Starters {
		if p.Starters[i].Profile == profile {
			return &p.Starters[i], true
		}
	}
	return nil, false
}

const (
	dayInSeconds      = 24 * 60 * 60
	dayInMilliseconds = dayInSeconds * 1000
	maxInstances      = 100_000
	maxKillRetry      = 1000
	maxRestarts       = 1000
)

// restart returns the value of attribute "restart", which is a policy where it
// is there.
func (e *element) restart() RestartPolicy {
	value, ok := e.attribute("restart")
	if !ok {
		return RestartNever
	}
	policy, ok := restartPolicy(value)
	if !ok {
		e.problem("attribute \"restart\": %s is none of \"never\", \"on-failure\" and \"always\"", quote(value))
	}
	return policy
}

// restartPolicy returns the policy of a word, and whether it is one.
func restartPolicy(word string) (RestartPolicy, bool) {
	switch p := RestartPolicy(strings.ToLower(strings.TrimSpace(word))); p {
	case RestartNever, RestartOnFailure, RestartAlways:
		return p, true
	}
	return RestartNever, false
}

// process reads a process element of d.
func (e *element) process(d *Distribution) Process {
	p := Process{
		Name:               e.name("name"),
		Invoke:             e.boolean("invoke", true),
		ShutdownTimeout:    e.duration("shutdownTimeout", time.Millisecond, 30_000, 0, dayInMilliseconds),
		MaxKillRetry:       e.integer("maxKillRetry", 3, 0, maxKillRetry),
		DeleteOnKill:       e.boolean("deleteOnKill", false),
		MaxInstances:       e.integer("maxInstances", 0, 0, maxInstances),
		PollInterval:       e.duration("pollInterval", time.Second, 10, 1, dayInSeconds),
		StatusInterval:     e.duration("statusInterval", time.Second, 30, 1, dayInSeconds),
		PollTimeout:        e.duration("pollTimeout", time.Second, -1, -1, dayInSeconds),
		Tags:               e.list("tags"),
		PropertyCategories: e.list("propertyCategories"),
		Restart:            e.restart(),
		MaxRestarts:        e.integer("maxRestarts", DefaultMaxRestarts, 0, maxRestarts),

		InterpolationPasses: e.integer("interpolationPasses", 0, 1, 100),
	}
	ports := portsReader{process: &p}
	profiles := map[string]bool{}
	before := false // a preExec was seen
	for _, child := range e.children() {
		switch child.Tag {
		case "port":
			ports.add(child)
		case "preExec":
			if before {
				child.problem("stands twice: put all commands into one")
			}
			before = true
			p.PreExec = append(p.PreExec, child.commands()...)
		default:
			s := child.starter(d, &p)
			if s.Profile != "" && profiles[s.Profile] {
				child.problem("the profile is taken by an earlier starter")
			}
			profiles[s.Profile] = true
			p.Starters = append(p.Starters, s)
		}
	}
	ports.end()
	if len(p.Starters) == 0 {
		e.problem("there is no starter: add a java, generic, magnet or docker element")
	}
	return p
}

// commands reads a preExec element.
func (e *element) commands() []string {
	var out []string
	for _, child := range e.children() {
		value, given := child.attribute("value")
		text := child.content()
		switch {
		case text == "":
			text = value
		case given && text != value:
			child.problem("the command stands both in attribute \"value\" and as text: keep one")
		}
		if text == "" {
			child.problem("there is no command: put it into attribute \"value\"")
			continue
		}
		out = append(out, text)
	}
	return out
}
