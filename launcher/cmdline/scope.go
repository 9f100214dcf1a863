package cmdline

import (
	"cmp"
	"fmt"

	"berth/descriptor"
)

// scope holds the variables of a starter and renders its values.
type scope struct {
	facts    map[string]string   // user.dir, java.home
	rendered map[string]variable // of the starter
	process  map[string]string
	server   map[string]string
	set      map[string]string // of the server, by the administrator
	environ  *environ
	secrets  map[string]secret // variables of environ to the hidden property they are made with

	starter  *descriptor.Starter
	warned   map[string]bool // unknown variables that a warning was given of
	warnings []string
	size     int // bytes rendered

	given []definition // all properties of the process, once they are rendered
	dir   string       // the working directory that a magnet file says, as written
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
		set:      make(map[string]string, len(in.ServerVariables)),
		environ:  env,
		secrets:  make(map[string]secret),
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
	for _, p := range in.ServerVariables {
		s.set[p.Name] = p.Value
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
		return variable{value: value, source: fromProcess, secret: hides(name, fromProcess)}, true
	}
	if value, found := s.server[name]; found {
		return variable{value: value, source: fromServer, final: true}, true
	}
	if value, found := s.set[name]; found {
		return variable{value: value, source: fromSet, secret: hides(name, fromSet)}, true
	}
	if value, found := s.environ.lookup(name); found {
		return variable{value: value, source: fromEnvironment, secret: cmp.Or(s.secrets[name], hides(name, fromEnvironment))}, true
	}
	return variable{}, false
}

// hides is the secret that the value of a property is, by its name.
func hides(name string, from source) secret {
	if !IsHidden(name) {
		return secret{}
	}
	return secret{name, from}
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

// taint marks a variable of the environment as made with a hidden property.
func (s *scope) taint(name string, with secret) {
	if with.isSome() {
		s.secrets[name] = with
	}
}

// render returns a value for all to see with its variables replaced. A hidden
// property among them is an error.
func (s *scope) render(of subject, text string) (string, error) {
	value, secret, err := s.renderSecret(of, text)
	if err == nil && secret.isSome() {
		return "", exposed(of, secret)
	}
	return value, err
}

// renderSecret returns a value with its variables replaced, and the hidden
// property that it is made with.
func (s *scope) renderSecret(of subject, text string) (value string, with secret, err error) {
	e := expander{find: s.find}
	value, err = s.finish(&e, of, text)
	return value, e.secret, err
}

// renderProperty renders an option, its name as well, for all to see.
func (s *scope) renderProperty(of subject, written Property) (Property, error) {
	name, err := s.render(of, written.Name)
	if err != nil {
		return Property{}, err
	}
	value, secret, err := s.renderNamed(of, name, written.Value)
	if err == nil && secret.isSome() {
		err = exposed(of, secret)
	}
	return Property{Name: name, Value: value}, err
}

// renderDefinition renders a property, its name as well.
func (s *scope) renderDefinition(of subject, written Property) (d definition, err error) {
	if d.Name, err = s.render(of, written.Name); err != nil {
		return d, err
	}
	d.Value, d.secret, err = s.renderNamed(of, d.Name, written.Value)
	d.secret = cmp.Or(hides(d.Name, fromStarter), d.secret)
	return d, err
}

// renderNamed renders a named value of the starter, and makes it known to what
// is rendered after it. A value with variables that are not known yet is kept
// as written, and looked at again where it is used. It tells the hidden
// property that the value is made with.
func (s *scope) renderNamed(of subject, name, text string) (value string, with secret, err error) {
	e := expander{find: s.find, item: name}
	value, err = s.finish(&e, of, text)
	if err != nil || name == "" {
		return value, e.secret, err
	}
	v := variable{value: value, source: fromStarter, final: true, secret: e.secret}
	if len(e.unknown) > 0 {
		v.value, v.final = text, false
	}
	v.secret = cmp.Or(hides(name, fromStarter), v.secret)
	s.rendered[name] = v
	return value, e.secret, nil
}

// renderProcess renders a property of the process' own.
func (s *scope) renderProcess(of subject, written Property) (definition, error) {
	e := expander{find: s.find, frames: []frame{{written.Name, fromProcess}}}
	value, err := s.finish(&e, of, written.Value)
	return definition{Property{Name: written.Name, Value: value}, cmp.Or(hides(written.Name, fromProcess), e.secret)}, err
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
func (s *scope) properties(in *Input) ([]definition, error) {
	all, err := s.starterProperties(in)
	if err != nil {
		return nil, err
	}
	return s.allProperties(in, all)
}

// starterProperties renders the starter's <property> elements.
func (s *scope) starterProperties(in *Input) ([]definition, error) {
	all := make([]definition, 0, len(in.Starter.Properties)+len(in.ServerProperties)+len(in.ProcessProperties))
	for _, written := range in.Starter.Properties {
		of := subject{"property", written.Name}
		d, err := s.renderDefinition(of, written)
		if err != nil {
			return nil, err
		}
		if err := checkName(of, d.Name); err != nil {
			return nil, err
		}
		if _, taken := s.server[d.Name]; taken {
			s.warnf("%s: the server sets it for every process, and its value is the one on the command line", of)
		}
		all = append(all, d)
	}
	return all, nil
}

// allProperties adds the server's and the process' own properties to the
// starter's, and remembers what the process is given.
func (s *scope) allProperties(in *Input, all []definition) ([]definition, error) {
	all = append(all, allFinal(in.ServerProperties)...)
	for _, d := range lastOfName(allFinal(in.ProcessProperties)) {
		of := subject{"process property", d.Name}
		d, err := s.renderProcess(of, d.Property)
		if err != nil {
			return nil, err
		}
		if _, taken := s.server[d.Name]; taken {
			s.warnf("%s: it replaces what the server sets for every process", of)
		}
		all = append(all, d)
	}
	s.given = lastOfName(all)
	return s.given, nil
}
