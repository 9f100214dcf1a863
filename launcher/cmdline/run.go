package cmdline

import (
	"slices"
	"strconv"
	"strings"
)

// RunInput is what a command in the foreground is made from, which has no
// descriptor. Nothing of it is changed.
type RunInput struct {
	// Args are the command; the first is the program as written.
	Args []string

	// Ports are the leased ports. Those of no range are named port, port2 and so on.
	Ports []Port

	// Instance is the number of the instance, from 0.
	Instance int

	// Environ is what the command inherits, Files what environment files say; of
	// several of one name the last counts.
	Environ []string
	Files   []FileVariable

	// InPlace says that the command becomes the process whose environment Environ
	// is. What systemd told that process is for the command then.
	InPlace bool

	// InjectEnv hands the ports over to JVMs, in JAVA_TOOL_OPTIONS.
	InjectEnv bool
}

// BuildRun makes a command in the foreground. Dir of what it returns is empty:
// the command runs where its caller does.
//
// In the arguments, and in the values of environment files that are not in
// single quotes, the variables of the ports are replaced: every name that Environ
// gives the ports, corus.server.port.RANGE, PM2_INSTANCE_ID and NODE_APP_INSTANCE.
// All others stay as they are written, for the command to replace; a warning tells
// of those that are named like the port of a range. An argument stays one argument,
// also where it becomes empty.
//
// The environment is what the command inherits, then what the files say, then the
// ports: PORT in a file does not tell another port than the leased one.
//
// The errors are ErrInvalid and ErrTooLong.
func BuildRun(in RunInput) (Command, error) {
	ports := slices.Clone(in.Ports)
	nameDirect(ports)
	instance := strconv.Itoa(in.Instance)
	extra := []string{"PM2_INSTANCE_ID=" + instance, "NODE_APP_INSTANCE=" + instance}
	own, _, err := makeEnviron(nil, "", ports, extra)
	if err != nil {
		return Command{}, err
	}
	properties := portProperties(ports)
	lookup := func(name string) (string, bool) {
		for _, p := range properties {
			if p.Name == name {
				return p.Value, true
			}
		}
		return own.lookup(name)
	}

	var command Command
	warned := make(map[string]bool)
	fill := func(of subject, text string) string {
		filled, unknown := Fill(text, lookup)
		for _, name := range unknown {
			if isPortProperty(name) && !warned[name] {
				warned[name] = true
				command.Warnings = append(command.Warnings, of.String()+": no port "+quote(name)+" is leased, and the variable stays as it is")
			}
		}
		return filled
	}
	for i, arg := range in.Args {
		command.Args = append(command.Args, fill(argSubject(i), arg))
	}
	if len(command.Args) == 0 || command.Args[0] == "" {
		return Command{}, problemf(ErrInvalid, "there is no program to run")
	}
	if err := checkArgs(command.Args); err != nil {
		return Command{}, err
	}

	inherited := slices.Clone(in.Environ)
	for _, v := range in.Files {
		value := v.Value
		if !v.Literal {
			value = fill(subject{"variable", v.Name}, value)
		}
		inherited = append(inherited, v.Name+"="+value)
	}
	env, warnings, err := makeEnviron(inherited, "", ports, append(in.kept(), extra...))
	if err != nil {
		return Command{}, err
	}
	if in.InjectEnv && len(properties) > 0 {
		if err := inject(env, properties); err != nil {
			return Command{}, err
		}
	}
	command.Env = env.entries
	command.Warnings = append(command.Warnings, warnings...)
	return command, nil
}

// kept is what the command inherits of that which other processes are not given:
// whose process it comes from, so that it is known as a descendant, and where it
// takes the place of its caller what was meant for that.
func (in *RunInput) kept() (kept []string) {
	for _, entry := range in.Environ {
		name, _, found := strings.Cut(entry, "=")
		if found && (isOfIdentity(name) || name == "OLDPWD" || in.InPlace && isOfService(name)) {
			kept = append(kept, entry)
		}
	}
	return kept
}

// nameDirect names the ports that are of no range, as the launcher does.
func nameDirect(ports []Port) {
	taken := make(map[string]bool)
	for _, p := range ports {
		taken[p.Name] = true
	}
	n := 0
	for i := range ports {
		if ports[i].Name != "" {
			continue
		}
		name := ""
		for name == "" || taken[name] {
			name = "port"
			if n++; n > 1 {
				name += strconv.Itoa(n)
			}
		}
		ports[i].Name = name
	}
}

// portProperties are the properties that tell the ports: each twice, of two ports
// of one range the first.
func portProperties(ports []Port) (properties []Property) {
	for i, p := range ports {
		if isFirstOfRange(ports, i) {
			number := strconv.Itoa(p.Number)
			properties = append(properties, Property{Name: processPortPrefix + p.Name, Value: number}, Property{Name: serverPortPrefix + p.Name, Value: number})
		}
	}
	return properties
}

// isPortProperty says whether a name is that of the port of a range.
func isPortProperty(name string) bool {
	return strings.HasPrefix(name, processPortPrefix) || strings.HasPrefix(name, serverPortPrefix)
}
