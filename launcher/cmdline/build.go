package cmdline

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"berth/descriptor"
)

// Input is what a command is made from. Nothing of it is changed.
type Input struct {
	Starter descriptor.Starter

	// Process is the process' name, for messages; errors and warnings begin
	// with it unless it is empty.
	Process string

	// UserDir is the distribution's unpacked folder, absolute. It is also the
	// working directory.
	UserDir string

	// JavaHome is the Java installation of starters that name none. Where it is
	// empty too, the program is looked up by its name alone and java.home is not
	// known.
	JavaHome string

	// ProcessProperties are the process' own, of several of one name the last
	// counts. Their values may hold variables.
	ProcessProperties []Property

	// ServerProperties are what ServerProperties returns.
	ServerProperties []Property

	// ServerVariables are what the administrator has set for the server: variables
	// find them, and the process is not given them. Their values may hold variables.
	ServerVariables []Property

	// Ports are the leased ports, in the order of the descriptor.
	Ports []Port

	// InjectEnv hands the properties over in JAVA_TOOL_OPTIONS as well.
	InjectEnv bool

	// Instance is the number of the instance, from 0.
	Instance int

	// Cwd is the working directory, as written; empty for UserDir.
	Cwd string

	// Check is the address at which the process is asked how it is, as written; it
	// may be empty.
	Check string

	// Container is the name of the container of a docker starter, and ContainerFile
	// where docker run writes the id of one that has no name because it stays when
	// it has ended. Both may be empty.
	Container, ContainerFile string

	// Magnet reads the magnet file of that name, a path from UserDir where it is
	// not absolute. It may be nil for a starter that is not of Magnet.
	Magnet func(name string) (*descriptor.MagnetFile, error)

	// Environ is what the process inherits, ExtraEnv what it is given on top.
	Environ, ExtraEnv []string

	// Jars lists the .jar and .zip files of a folder and the folders below it.
	// The folder is absolute; paths of the answer that are not are relative to
	// it. A folder that does not exist has none: that is no error. It may be nil
	// for a starter that is not of Java.
	Jars func(dir string) ([]string, error)
}

// Command is how a process is started.
type Command struct {
	// Args are the arguments; the first is the program as written, for the
	// caller to look up if it has no slash.
	Args []string

	// Env is the whole environment.
	Env []string

	// Dir is the working directory, absolute.
	Dir string

	// Check is the address at which the process is asked how it is.
	Check string

	// Hidden are the properties whose values are in none of Args and Warnings,
	// for the file HiddenFile in the process' folder.
	Hidden []Property

	// Warnings say what is odd but allowed, a sentence each: every variable that
	// is unknown, once.
	Warnings []string
}

// maxArg is how many bytes an argument may have, its closing NUL included:
// MAX_ARG_STRLEN of Linux, see execve(2).
const maxArg = 128 << 10

// Build makes the command of a starter.
//
// The errors are ErrUnsupported, ErrInvalid, ErrTooLong, a *CircleError, and
// those of Jars and Magnet. They name what is wrong and never the value of a property.
func Build(in Input) (Command, error) {
	command, err := build(&in)
	if err != nil && in.Process != "" {
		return Command{}, fmt.Errorf("process %s: %w", quote(in.Process), err)
	}
	if err != nil {
		return Command{}, err
	}
	if in.Process != "" {
		for i, warning := range command.Warnings {
			command.Warnings[i] = fmt.Sprintf("process %s: %s", quote(in.Process), warning)
		}
	}
	return command, nil
}

func build(in *Input) (Command, error) {
	var arguments func(*Input, *scope) ([]string, error)
	switch in.Starter.Kind {
	case descriptor.Java:
		arguments = javaArgs
	case descriptor.Generic:
		arguments = genericArgs
	case descriptor.Magnet:
		arguments = magnetArgs
	case descriptor.Docker:
		arguments = dockerArgs
	default:
		return Command{}, problemf(ErrUnsupported, "<%s> is not a starter; use <java>, <generic>, <magnet> or <docker>", in.Starter.Kind)
	}
	if !strings.HasPrefix(in.UserDir, "/") {
		return Command{}, problemf(ErrInvalid, "the distribution's folder %s is not an absolute path", quote(in.UserDir))
	}
	instance := strconv.Itoa(in.Instance)
	extra := append([]string{"PM2_INSTANCE_ID=" + instance, "NODE_APP_INSTANCE=" + instance}, in.ExtraEnv...)
	env, warnings, err := makeEnviron(in.Environ, in.UserDir, in.Ports, extra)
	if err != nil {
		return Command{}, err
	}
	s, err := newScope(in, env)
	if err != nil {
		return Command{}, err
	}
	if err := s.ownEnviron(in); err != nil {
		return Command{}, err
	}
	args, err := arguments(in, s)
	if err != nil {
		return Command{}, err
	}
	if err := checkArgs(args); err != nil {
		return Command{}, err
	}
	if s.given == nil { // a starter that has no place for them
		if _, err := s.properties(in); err != nil {
			return Command{}, err
		}
	}
	if in.InjectEnv {
		properties, err := visible(s.given)
		if err != nil {
			return Command{}, err
		}
		if err := inject(env, properties); err != nil {
			return Command{}, err
		}
	}
	cwd := in.Cwd
	if s.dir != "" {
		cwd = s.dir
	}
	if cwd, err = s.render(subject{kind: "cwd"}, cwd); err != nil {
		return Command{}, err
	}
	check, err := s.render(subject{kind: "health_check_url"}, in.Check)
	if err != nil {
		return Command{}, err
	}
	command := Command{Args: args, Check: check, Dir: path.Clean(in.UserDir), Hidden: hiddenOf(s.given), Warnings: append(s.warnings, warnings...)}
	if cwd != "" {
		command.Dir = absolute(in.UserDir, cwd)
		env.set("PWD", command.Dir)
	}
	command.Env = env.entries
	return command, nil
}

// ownEnviron adds the variables that the starter has for the environment. Their
// values may hold variables, and hidden properties.
func (s *scope) ownEnviron(in *Input) error {
	for _, written := range in.Starter.Env {
		of := subject{"env", written.Name}
		value, secret, err := s.renderSecret(of, written.Value)
		if err != nil {
			return err
		}
		if written.Name == "" || strings.ContainsAny(written.Name, "=\x00") || strings.IndexByte(value, 0) >= 0 {
			return problemf(ErrInvalid, "%s: it has no name, or holds a NUL character", of)
		}
		s.environ.set(written.Name, value)
		s.taint(written.Name, secret)
	}
	return nil
}

// checkArgs refuses what execve would.
func checkArgs(args []string) error {
	for i, arg := range args {
		if strings.IndexByte(arg, 0) < 0 && len(arg) < maxArg {
			continue
		}
		// A property is named; no value is shown, it may be a secret.
		where := fmt.Sprintf("argument %d", i)
		if definition, found := strings.CutPrefix(arg, "-D"); found {
			name, _, _ := strings.Cut(definition, "=")
			where += " (property " + quote(name) + ")"
		}
		if len(arg) >= maxArg {
			return problemf(ErrTooLong, "%s is longer than the %d KiB that an argument may have", where, maxArg>>10)
		}
		return problemf(ErrInvalid, "%s holds a NUL character", where)
	}
	return nil
}
