package descriptor

import "time"

// Distribution is a validated corus.xml: processes under a name and a version.
type Distribution struct {
	Name    string
	Version string

	// Tags are the tags that a server must have for any process of the
	// distribution to start on it.
	Tags []string

	// PropertyCategories name the sets of process properties that each
	// process is given, the later winning.
	PropertyCategories []string

	// Processes are in the order of the document; their names are unique.
	Processes []Process

	// Warnings are what is odd but allowed, a sentence each.
	Warnings []string
}

// Process is the definition of a process. Many instances of it may run.
type Process struct {
	Name string

	// Ports are the ranges that an instance needs a port of, in the order of
	// the document and each name once.
	Ports []Port

	// Starters tell how it is started, one for each profile.
	Starters []Starter

	// Invoke false never occurs in a file that leaves the attribute out. A
	// process with invoke="true" starts only when it is named; see SPEC C16.
	Invoke bool

	// ShutdownTimeout is the time from asking the process to stop to forcing it.
	ShutdownTimeout time.Duration

	// MaxKillRetry is how many times a process that does not end is forced.
	MaxKillRetry int

	// DeleteOnKill says that the folder of the process goes when it is killed.
	DeleteOnKill bool

	// MaxInstances is the most instances that may run at once; 0 is no limit.
	MaxInstances int

	// PollInterval and StatusInterval are handed on to the process as
	// properties; PollTimeout is negative when none is wanted.
	PollInterval, StatusInterval, PollTimeout time.Duration

	Tags               []string
	PropertyCategories []string

	// PreExec are commands that run before the process, in order.
	PreExec []string
}

// Port is a process' need of a port of a range.
type Port struct {
	// Name is the range's name.
	Name string
}

// Kind tells the sort of a starter.
type Kind string

// The sorts of starters.
const (
	Java    Kind = "java"
	Generic Kind = "generic"
	Magnet  Kind = "magnet"
)

// Starter tells how a process is started under one profile.
type Starter struct {
	Kind    Kind
	Profile string

	// Dependencies start before the process, each once.
	Dependencies []Dependency

	// Args are the <arg> elements in their order: of a java or magnet starter
	// the arguments for the JVM, of a generic one the command line.
	Args []Arg

	// Properties are the <property> elements in their order.
	Properties []Property

	// Of java and magnet starters.
	VMType   string // as written: "server", "-server"
	JavaHome string
	JavaCmd  string
	LibDirs  []string // as written; nil where the descriptor says nothing
	Options  []Property
	XOptions []Property

	// Of java starters.
	MainClass string
	MainArgs  string // the attribute args, not yet split

	// Of magnet starters.
	MagnetFile    string
	MagnetOptions string
}

// Arg is an argument, or the place where all process properties are written.
type Arg struct {
	Value             string
	ProcessProperties bool
}

// Property is a name with a value, as written: variables are not replaced.
type Property struct {
	Name  string
	Value string
}

// Dependency names a process that starts before another. An empty
// Distribution, Version or Profile means that of the process that depends.
type Dependency struct {
	Distribution string
	Version      string
	Process      string
	Profile      string
}

// Process returns the process of that name, and whether there is one.
func (d *Distribution) Process(name string) (*Process, bool) {
	for i := range d.Processes {
		if d.Processes[i].Name == name {
			return &d.Processes[i], true
		}
	}
	return nil, false
}

// Starter returns the starter of a profile, and whether there is one.
func (p *Process) Starter(profile string) (*Starter, bool) {
	for i := range p.Starters {
		if p.Starters[i].Profile == profile {
			return &p.Starters[i], true
		}
	}
	return nil, false
}
