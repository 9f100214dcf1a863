package descriptor

import (
	"strings"
	"unicode"
)

// Kind tells the sort of a starter.
type Kind string

// The sorts of starters.
const (
	Java    Kind = "java"
	Generic Kind = "generic"
	Magnet  Kind = "magnet"
	Docker  Kind = "docker"
)

// Starter tells how a process is started under one profile.
type Starter struct {
	Kind Kind

	// Profile is unique among the starters of the process.
	Profile string

	// Dependencies start before the process, each once. One on the process
	// itself is left out, with a warning.
	Dependencies []Dependency

	// Args are the <arg> elements in their order: of a java or magnet starter
	// the arguments for the JVM, of a generic one the command line, which has
	// at least one.
	Args []Arg

	// Properties are the <property> elements in their order.
	Properties []Property

	// Of java and magnet starters.
	VMType   string // as written: "server", "-server"; no blanks
	JavaHome string
	JavaCmd  string
	LibDirs  []string // as written; nil where the descriptor says nothing, empty where it says none
	Options  []Property
	XOptions []Property // with a name, a value or both

	// Of java starters.
	MainClass string
	MainArgs  string // the attribute args, not yet split

	// Of magnet starters.
	MagnetFile    string
	MagnetOptions string

	// Container is what a docker starter runs; nil of the others.
	Container *Container

	// Env are variables of the environment, of app files.
	Env []Property
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

// starter reads a java, generic, magnet or docker element of process p.
func (e *element) starter(d *Distribution, p *Process) Starter {
	s := Starter{Kind: Kind(e.Tag), Profile: e.name("profile")}
	switch s.Kind {
	case Java:
		s.MainClass = e.filled("mainClass")
		s.MainArgs, _ = e.attribute("args")
	case Magnet:
		s.MagnetFile = e.filled("magnetFile")
		s.MagnetOptions, _ = e.attribute("magnetOptions")
	case Docker:
		s.Container = e.container()
	}
	children := e.children()
	if s.Kind == Java || s.Kind == Magnet {
		s.JavaHome, _ = e.attribute("javaHome")
		s.JavaCmd, _ = e.attribute("javaCmd")
		s.VMType, _ = e.setting("vmType", children)
		if strings.ContainsFunc(s.VMType, unicode.IsSpace) {
			e.problem("vmType %s is more than a word: put JVM arguments into arg elements", quote(s.VMType))
		}
		if dirs, ok := e.setting("libDirs", children); ok {
			s.LibDirs = splitPaths(dirs)
		}
	}
	for _, child := range children {
		switch child.Tag {
		case "arg":
			value, ok := child.required("value")
			if ok && s.Kind == Generic && len(s.Args) == 0 && strings.TrimSpace(value) == "" {
				child.problem("attribute \"value\" is empty: the first arg is the program")
			}
			s.Args = append(s.Args, Arg{Value: value})
		case "processProperties":
			s.Args = append(s.Args, Arg{ProcessProperties: true})
		case "property":
			s.Properties = append(s.Properties, child.property())
		case "option":
			s.Options = append(s.Options, child.option())
		case "xoption":
			s.XOptions = append(s.XOptions, child.xoption())
		case "dependency":
			child.addDependency(d, p, &s)
		case "portMapping":
			s.Container.Ports = append(s.Container.Ports, PortMapping{Host: child.filled("hostPort"), Container: child.filled("containerPort")})
		case "volumeMapping":
			s.Container.Volumes = append(s.Container.Volumes, child.volume())
		case "env":
			for _, property := range child.children() {
				s.Container.Env = append(s.Container.Env, property.property())
			}
		}
	}
	if s.Kind == Generic && (len(s.Args) == 0 || s.Args[0].ProcessProperties) {
		e.problem("there is no command: the first element has to be an arg with the program")
	}
	return s
}

// property reads a name and a value, which may be empty.
func (e *element) property() Property {
	value, _ := e.required("value")
	return Property{Name: e.filled("name"), Value: value}
}

// option is a property whose value may be left out.
func (e *element) option() Property {
	value, _ := e.attribute("value")
	return Property{Name: e.filled("name"), Value: value}
}

// xoption is an option whose name may be left out where it has a value:
// <xoption value="mx64M"/>.
func (e *element) xoption() Property {
	name, _ := e.attribute("name")
	value, _ := e.attribute("value")
	if strings.TrimSpace(name) == "" && strings.TrimSpace(value) == "" {
		e.problem("there is neither a name nor a value")
	}
	return Property{Name: name, Value: value}
}

// setting returns what is an attribute or an element, and whether it is given.
func (e *element) setting(key string, children []*element) (string, bool) {
	value, given := e.attribute(key)
	value = strings.TrimSpace(value)
	for _, child := range children {
		if child.Tag != key {
			continue
		}
		if given {
			e.problem("%s is given twice: keep one", key)
			break
		}
		value, given = child.content(), true
	}
	return value, given
}

// splitPaths parts s at ";" and ":", blanks around the parts and empty parts
// left out. A ":" within ${name:-default} or $<name:-default> parts nothing.
func splitPaths(s string) []string {
	out := []string{}
	var closers []byte // of the variables that are open
	start := 0
	part := func(end int) {
		if p := strings.TrimSpace(s[start:end]); p != "" {
			out = append(out, p)
		}
		start = end + 1
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case strings.HasPrefix(s[i:], "${"):
			closers = append(closers, '}')
		case strings.HasPrefix(s[i:], "$<"):
			closers = append(closers, '>')
		case len(closers) > 0:
			if c == closers[len(closers)-1] {
				closers = closers[:len(closers)-1]
			}
		case c == ';' || c == ':':
			part(i)
		}
	}
	part(len(s))
	return out
}
