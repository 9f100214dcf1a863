package descriptor

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// MagnetFile is a magnet file: what a magnet starter runs, for each profile.
// All texts are as written; variables in them are replaced when a process starts.
type MagnetFile struct {
	Name, Description string

	// Parameters are groups in the order of the document. One without a profile
	// counts for all, before those of the profile.
	Parameters []MagnetParameters

	// ClassPaths and Environments are those that others name as their parents.
	ClassPaths   []MagnetClassPath
	Environments []MagnetEnvironment

	// Launchers are at least one, and at most one of type java.
	Launchers []MagnetLauncher

	// Warnings are what is odd but allowed, one line each.
	Warnings []string
}

// MagnetParameters are parameters of a profile, or of all where it is empty.
type MagnetParameters struct {
	Profile    string
	Parameters []MagnetParameter
}

// MagnetParameter is a variable of the magnet file, and a system property of
// the JVM too where System says so.
type MagnetParameter struct {
	Name, Value string
	System      bool

	// If and Unless, where they are not empty, name what must be known for the
	// parameter to count, and what must not.
	If, Unless string
}

// MagnetClassPath is a class path. Its parent's comes before it.
type MagnetClassPath struct {
	ID, Parent string
	Paths      []MagnetPath
}

// MagnetPath is a folder, and patterns of what is taken from it; without any,
// the folder itself.
type MagnetPath struct {
	Directory          string
	Includes, Excludes []string
	Descending         bool // the order of what is found
}

// MagnetEnvironment are variables for a command.
type MagnetEnvironment struct {
	ID, Parent string
	Variables  []Property
}

// MagnetType tells the sort of a launcher.
type MagnetType string

// The sorts of launchers.
const (
	MagnetJava   MagnetType = "java"
	MagnetSystem MagnetType = "system"
)

// MagnetLauncher is what is run: a main class or a command.
type MagnetLauncher struct {
	Type MagnetType
	Name string

	// Default is the profile to fall back to.
	Default string

	MainClass, Args string // of java; Args not yet split

	Command, WorkingDirectory, OS string // of system; Command not yet split

	Profiles []MagnetProfile
}

// MagnetProfile is what a launcher has under a profile.
type MagnetProfile struct {
	Name        string
	Parameters  []MagnetParameter
	ClassPath   *MagnetClassPath   // nil where it has none
	Environment *MagnetEnvironment // nil where it has none
}

// Profile returns the profile of that name, else the launcher's default; nil
// where it has neither.
func (l *MagnetLauncher) Profile(name string) *MagnetProfile {
	for _, wanted := range []string{name, l.Default} {
		for i := range l.Profiles {
			if wanted != "" && l.Profiles[i].Name == wanted {
				return &l.Profiles[i]
			}
		}
	}
	return nil
}

// ClassPath returns the class path of an id; nil where there is none.
func (m *MagnetFile) ClassPath(id string) *MagnetClassPath {
	for i := range m.ClassPaths {
		if m.ClassPaths[i].ID == id {
			return &m.ClassPaths[i]
		}
	}
	return nil
}

// Variables returns the environment of a profile, those of its parents first.
func (m *MagnetFile) Variables(p *MagnetProfile) ([]Property, error) {
	var chain []*MagnetEnvironment
	for at := p.Environment; at != nil; {
		if slices.Contains(chain, at) {
			return nil, fmt.Errorf("environment %s is its own parent", quote(at.ID))
		}
		chain = append(chain, at)
		if at.Parent == "" {
			break
		}
		i := slices.IndexFunc(m.Environments, func(e MagnetEnvironment) bool { return e.ID == at.Parent })
		if i < 0 {
			return nil, fmt.Errorf("there is no environment %s", quote(at.Parent))
		}
		at = &m.Environments[i]
	}
	var all []Property
	for _, e := range slices.Backward(chain) {
		all = append(all, e.Variables...)
	}
	return all, nil
}

// magnetXML are magnet files. They usually begin with a DOCTYPE.
var magnetXML = document{
	name: "a magnet file", root: "magnet", doctype: true,
	schema:     `"http://schemas.sapia-oss.org/magnet/", or none`,
	namespaces: regexp.MustCompile(`^http://schemas\.sapia-oss\.org/magnet/(core/)?$`),
	shapes:     magnetShapes,
}

// magnetShapes are the elements of a magnet file, as its DTD 2.1 has them.
var magnetShapes = map[string]shape{
	"magnet": {
		attributes: []string{"name", "description", "extends"},
		children: []string{"protocolHandlerDef", "scriptHandlerDef", "launchHandlerDef", "script",
			"parameters", "codebase", "classpath", "environment", "launcher"},
	},
	"protocolHandlerDef": {attributes: []string{"type", "classname"}},
	"scriptHandlerDef":   {attributes: []string{"type", "classname"}},
	"launchHandlerDef":   {attributes: []string{"type", "classname"}},
	"script":             {attributes: []string{"type", "profile", "isAbortingOnError"}, text: true},
	"parameters":         {attributes: []string{"profile"}, children: []string{"param"}},
	"param":              {attributes: []string{"name", "value", "scope", "if", "unless"}},
	"codebase":           {attributes: []string{"profile"}, children: []string{"path"}},
	"classpath":          {attributes: []string{"id", "parent"}, children: []string{"path"}},
	"path":               {attributes: []string{"protocol", "host", "directory", "sorting"}, children: []string{"include", "exclude"}},
	"include":            {attributes: []string{"pattern"}},
	"exclude":            {attributes: []string{"pattern"}},
	"environment":        {attributes: []string{"id", "parent"}, children: []string{"variable"}},
	"variable":           {attributes: []string{"name", "value"}},
	"launcher": {
		attributes: []string{"type", "name", "default", "waitTime", "abortOnError", "mainClass", "args", "isDaemon", "command", "workingDirectory", "os"},
		children:   []string{"profile"},
	},
	"profile": {attributes: []string{"name"}, children: []string{"parameters", "classpath", "environment"}},
}

// ParseMagnet reads a magnet file of at most 1 MiB. A DOCTYPE is accepted, and
// nothing that it names is fetched.
//
// What Berth cannot do is an error that is ErrUnsupported: a script, since
// there is no interpreter for it; two launchers of type java, which Magnet runs
// in one JVM; launchers of other types; handlers; another file that it extends.
// What is wrong with the text is an [InvalidError], and ErrInvalid; an error of
// r is returned as it is.
func ParseMagnet(r io.Reader) (*MagnetFile, error) {
	root, err := magnetXML.open(r)
	if err != nil {
		return nil, err
	}
	m := &MagnetFile{}
	m.Name, _ = root.attribute("name")
	m.Description, _ = root.attribute("description")
	if other, ok := root.attribute("extends"); ok && strings.TrimSpace(other) != "" {
		root.cannot("attribute \"extends\": Berth reads one magnet file by itself: put what is in %s into it", quote(other))
	}
	for _, child := range root.children() {
		switch child.Tag {
		case "script":
			kind, _ := child.attribute("type")
			child.cannot("a script of type %s cannot be run, there is no interpreter for it: write what it sets as parameters, or start the process by a <generic> starter", quote(kind))
		case "protocolHandlerDef", "scriptHandlerDef", "launchHandlerDef":
			child.cannot("handlers of the file's own cannot be used")
		case "codebase":
			child.warn("the element is ignored: give java.rmi.server.codebase by a parameter of scope system")
		case "parameters":
			profile, _ := child.attribute("profile")
			m.Parameters = append(m.Parameters, MagnetParameters{Profile: strings.TrimSpace(profile), Parameters: child.parameters()})
		case "classpath":
			m.ClassPaths = append(m.ClassPaths, child.classPath())
		case "environment":
			m.Environments = append(m.Environments, child.environment())
		case "launcher":
			m.Launchers = append(m.Launchers, child.launcher(m))
		}
	}
	if len(m.Launchers) == 0 {
		root.problem("there is no launcher: add one of type \"java\" or \"system\"")
	}
	if err := root.r.wrong(); err != nil {
		return nil, err
	}
	m.Warnings = root.r.said()
	return m, nil
}

// cannot is a problem that is ErrUnsupported.
func (e *element) cannot(format string, args ...any) {
	e.r.problems.unsupported = true
	e.problem(format, args...)
}

// parameters reads the param elements of a parameters element.
func (e *element) parameters() []MagnetParameter {
	var all []MagnetParameter
	for _, child := range e.children() {
		value, _ := child.required("value")
		p := MagnetParameter{Name: strings.TrimSpace(child.filled("name")), Value: value, System: child.word("scope", "magnet", "system") == "system"}
		p.If, _ = child.attribute("if")
		p.Unless, _ = child.attribute("unless")
		all = append(all, p)
	}
	return all
}

// classPath reads a classpath element.
func (e *element) classPath() MagnetClassPath {
	c := MagnetClassPath{}
	c.ID, _ = e.attribute("id")
	c.Parent, _ = e.attribute("parent")
	for _, child := range e.children() {
		p := MagnetPath{Directory: child.filled("directory"), Descending: child.word("sorting", "ascending", "descending") == "descending"}
		if protocol, ok := child.attribute("protocol"); ok && !strings.EqualFold(strings.TrimSpace(protocol), "file") {
			child.cannot("attribute \"protocol\": %s cannot be used: put the files into the distribution", quote(protocol))
		}
		for _, pattern := range child.children() {
			text := strings.TrimSpace(pattern.filled("pattern"))
			if pattern.Tag == "include" {
				p.Includes = append(p.Includes, text)
			} else {
				p.Excludes = append(p.Excludes, text)
			}
		}
		c.Paths = append(c.Paths, p)
	}
	return c
}

// environment reads an environment element.
func (e *element) environment() MagnetEnvironment {
	v := MagnetEnvironment{}
	v.ID, _ = e.attribute("id")
	v.Parent, _ = e.attribute("parent")
	for _, child := range e.children() {
		v.Variables = append(v.Variables, child.property())
	}
	return v
}

// launcher reads a launcher element of m.
func (e *element) launcher(m *MagnetFile) MagnetLauncher {
	kind, _ := e.required("type")
	l := MagnetLauncher{Type: MagnetType(strings.TrimSpace(kind)), Name: e.filled("name")}
	l.Default, _ = e.attribute("default")
	if wait, ok := e.attribute("waitTime"); ok && strings.Trim(strings.TrimSpace(wait), "0") != "" {
		e.warn("attribute \"waitTime\" is ignored: the command starts at once")
	}
	switch l.Type {
	case MagnetJava:
		l.MainClass = e.filled("mainClass")
		l.Args, _ = e.attribute("args")
		if daemon := e.boolean("isDaemon", false); daemon {
			e.warn("attribute \"isDaemon\" is ignored: main runs on the main thread")
		}
		for _, other := range m.Launchers {
			if other.Type == MagnetJava {
				e.cannot("launcher %s is of type java too, and Berth does not run two main classes in one JVM: make two processes of them, each with a magnet file of its own", quote(other.Name))
				break
			}
		}
	case MagnetSystem:
		l.Command = e.filled("command")
		l.WorkingDirectory, _ = e.attribute("workingDirectory")
		l.OS, _ = e.attribute("os")
	case "":
	default:
		e.cannot("attribute \"type\": a launcher of type %s cannot be run: only \"java\" and \"system\" can", quote(kind))
	}
	names := map[string]bool{}
	for _, child := range e.children() {
		p := MagnetProfile{Name: strings.TrimSpace(child.filled("name"))}
		if names[p.Name] {
			child.problem("the profile is taken by an earlier one")
		}
		names[p.Name] = true
		for _, part := range child.children() {
			switch part.Tag {
			case "parameters":
				p.Parameters = append(p.Parameters, part.parameters()...)
			case "classpath":
				if p.ClassPath != nil {
					part.problem("stands twice: keep one")
				}
				c := part.classPath()
				p.ClassPath = &c
			case "environment":
				if p.Environment != nil {
					part.problem("stands twice: keep one")
				}
				v := part.environment()
				p.Environment = &v
			}
		}
		l.Profiles = append(l.Profiles, p)
	}
	if len(l.Profiles) == 0 {
		e.problem("there is no profile: a launcher has at least one")
	}
	return l
}
