package descriptor

import (
	"io"
	"regexp"
)

// Exec is an exec configuration: processes that are started together, under a
// name, from an exec.xml.
type Exec struct {
	// Name is one as those of distributions.
	Name string

	// StartOnBoot says that the processes start with the daemon.
	StartOnBoot bool

	// Processes are in the order of the document: at least one.
	Processes []ExecProcess

	// Warnings are what is odd but allowed, one line each.
	Warnings []string
}

// ExecProcess names a process of an exec configuration. All four names are
// exact.
type ExecProcess struct {
	Distribution, Version string
	Name, Profile         string

	// Instances is how many start: 1 to 10,000, 1 where it is left out. The
	// attribute is Berth's own.
	Instances int
}

// execXML are exec configurations. exec-1.0 to exec-3.0 have the same elements.
var execXML = document{
	name: "an exec configuration", root: "exec",
	schema:     `"http://www.sapia-oss.org/xsd/corus/exec-2.0.xsd", one of its versions from 1.0 to 3.0, or none`,
	namespaces: regexp.MustCompile(`^http://www\.sapia-oss\.org/xsd/corus/exec-([1-2]\.[0-9]{1,2}|3\.0)\.xsd$`),
	shapes:     execShapes,
}

// execShapes are the elements of an exec.xml, as the schema exec-2.0.xsd has
// them, and Berth's own attribute instances.
var execShapes = map[string]shape{
	"exec":    {attributes: []string{"name", "startOnBoot"}, children: []string{"process"}},
	"process": {attributes: []string{"dist", "version", "name", "profile", "instances"}},
}

const maxExecInstances = 10_000

// ParseExec reads an exec.xml of at most 1 MiB, of the namespace of its schema
// or of none. What is wrong with the text is an [InvalidError], and ErrInvalid;
// an error of r is returned as it is.
func ParseExec(r io.Reader) (*Exec, error) {
	root, err := execXML.open(r)
	if err != nil {
		return nil, err
	}
	x := &Exec{Name: root.name("name"), StartOnBoot: root.boolean("startOnBoot", false)}
	seen := map[ExecProcess]bool{}
	for _, child := range root.children() {
		p := ExecProcess{
			Distribution: child.name("dist"),
			Version:      child.name("version"),
			Name:         child.name("name"),
			Profile:      child.name("profile"),
			Instances:    child.integer("instances", 1, 1, maxExecInstances),
		}
		same := p
		same.Instances = 0
		if seen[same] {
			child.warn("the process stands here before: both are started")
		}
		seen[same] = true
		x.Processes = append(x.Processes, p)
	}
	if len(x.Processes) == 0 {
		root.problem("there is no process in it: add a process element with dist, version, name and profile")
	}
	if err := root.r.wrong(); err != nil {
		return nil, err
	}
	x.Warnings = root.r.said()
	return x, nil
}
