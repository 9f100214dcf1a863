package cmdline

import (
	"fmt"

	"berth/descriptor"
)

// scope holds the variables of a starter and renders its values.
type scope struct {
	facts    map[string]string   // user.dir, java.home
	rendered map[string]variable // of the starter
	process  map[string]string
	server   map[string]string
	environ  *environ

	starter  *descriptor.Starter
	warned   map[string]bool // unknown variables that a warning was given of
	warnings []string
	size     int // bytes rendered
}

// maxSize is how many bytes the values of a starter may have together. It is
// what Linux takes by default for arguments and environment, see execve(2), and
// keeps many values that are large together from filling the memory.
const maxSize = 2 << 20

func newScope(in *Input, env *environ) (*scope, error) {
	s := &scope{
		facts:    map[string]string{"user.dir": in.UserDir},
		rendered: make(map[string]variable),
		process:  make(map[string]string, len(in.ProcessProperties)),
		server:   make(map[string]string, len(in.ServerProperties)),
		environ:  env,
		starter:  &in.Starter,
		warned:   make(map[string]bool),
	}
	if in.JavaHome != "" {
		s.facts["java.home"] = in.JavaHome
	}
	for _, p := range in.ServerProperties {
		if err := checkName(subject{"server property", p.Name}, p.Name); err != nil {
			return nil, err
		}
		s.server[p.Name] = p.Value
	}
	for _, p := range in.ProcessProperties {
		if err := checkName(subject{"process property", p.Name}, p.Name); err != nil {
			return nil, err
		}
		s.process[p.Name] = p.Value
	}
	return s, nil
}

// find looks a variable up in the order that the package's comment tells.
func (s *scope) find(name string) (variable, bool) {
	if value, found := s.facts[name]; found {
		return variable{value: value, source: fromFacts, final: true}, true
	}
	if v, found := s.rendered[name]; found {
		return v, true
	}
	if value, found := s.process[name]; found {
		return variable{value: value, source: fromProcess}, true
	}
	if value, found := s.server[name]; found {
		return variable{value: value, source: fromServer, final: true}, true
	}
	if value, found := s.environ.lookup(name); found {
		return variable{value: value, source: fromEnvironment}, true
	}
	return variable{}, false
}

// subject is what a value belongs to, as errors and warnings name it.
type subject struct {
	kind string
	name string // may be empty
}

func (s subject) String() string {
	if s.name == "" {
		return s.kind
	}
	return s.kind + " " + quote(s.name)
}

// render returns a value with its variables replaced.
func (s *scope) render(of subject, text string) (string, error) {
	e := expander{find: s.find}
	return s.finish(&e, of, text)
}

// renderProperty renders a property or an option, its name as well.
func (s *scope) renderProperty(of subject, written Property) (p Property, err error) {
	if p.Name, err = s.render(of, written.Name); err != nil {
		return p, err
	}
	p.Value, err = s.renderNamed(of, p.Name, written.Value)
	return p, err
}

// renderNamed renders a named value of the starter, and makes it known to what
// is rendered after it. A value with variables that are not known yet is kept
// as written, and looked at again where it is used.
func (s *scope) renderNamed(of subject, name, text string) (string, error) {
	e := expander{find: s.find, item: name}
	value, err := s.finish(&e, of, text)
	if err != nil || name == "" {
		return value, err
	}
	if len(e.unknown) > 0 {
		s.rendered[name] = variable{value: text, source: fromStarter}
	} else {
		s.rendered[name] = variable{value: value, source: fromStarter, final: true}
	}
	return value, nil
}

// renderProcess renders a property of the process' own.
func (s *scope) renderProcess(of subject, name, text string) (string, error) {
	e := expander{find: s.find, frames: []frame{{name, fromProcess}}}
	return s.finish(&e, of, text)
}

func (s *scope) finish(e *expander, of subject, text string) (string, error) {
	value, err := e.expand(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", of, err)
	}
	if s.size += len(value); s.size > maxSize {
		return "", problemf(ErrTooLong, "%s: the values are longer than %d MiB together, more than a command may have", of, maxSize>>20)
	}
	for _, name := range e.unknown {
		if s.warned[name] {
			continue
		}
		s.warned[name] = true
		if s.names(name) {
			s.warnf("%s: variable %s has no value before it is rendered, and stays as it is", of, quote(name))
		} else {
			s.warnf("%s: variable %s is unknown, and stays as it is", of, quote(name))
		}
	}
	return value, nil
}

// names says whether a named value of the starter has that name.
func (s *scope) names(name string) bool {
	for _, list := range [][]Property{s.starter.XOptions, s.starter.Options, s.starter.Properties} {
		for _, p := range list {
			if p.Name == name {
				return true
			}
		}
	}
	return false
}

func (s *scope) warnf(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// properties renders all properties that the process is given, in the order of
// the command line and each name once.
func (s *scope) properties(in *Input) ([]Property, error) {
	all := make([]Property, 0, len(in.Starter.Properties)+len(in.ServerProperties)+len(in.ProcessProperties))
	for _, written := range in.Starter.Properties {
		of := subject{"property", written.Name}
		p, err := s.renderProperty(of, written)
		if err != nil {
			return nil, err
		}
		if err := checkName(of, p.Name); err != nil {
			return nil, err
		}
		if _, taken := s.server[p.Name]; taken {
			s.warnf("%s: the server sets it for every process, and its value is the one on the command line", of)
		}
		all = append(all, p)
	}
	all = append(all, in.ServerProperties...)
	for _, p := range lastOfName(in.ProcessProperties) {
		of := subject{"process property", p.Name}
		value, err := s.renderProcess(of, p.Name, p.Value)
		if err != nil {
			return nil, err
		}
		if _, taken := s.server[p.Name]; taken {
			s.warnf("%s: it replaces what the server sets for every process", of)
		}
		all = append(all, Property{Name: p.Name, Value: value})
	}
	return lastOfName(all), nil
}
