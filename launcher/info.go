package launcher

import (
	"errors"
	"slices"

	"berth/descriptor"
	"berth/launcher/cmdline"
	"berth/proc"
)

// Info is all that can be told of one process.
type Info struct {
	Process
	Usage

	// Command is its arguments, as they are now; of one that does not run, as it
	// would be started. Environment are the names of its variables, sorted.
	Command, Environment []string

	// Check is the address at which it is asked how it is, without a password;
	// empty where it is not asked.
	Check string

	// WorkingDir is the folder that it was started in.
	WorkingDir string

	// LogFiles are the files with what it wrote, the newest first.
	LogFiles []string

	// Definition is what it was started from; nil where that is not deployed any more.
	Definition *descriptor.Process

	// Dependencies are what it needs, for people: db (store 2.0).
	Dependencies []string
}

// Info tells all of a process that runs, or of one of the last that ended.
func (l *Launcher) Info(id int) (Info, error) {
	p, err := l.Process(id)
	if err != nil {
		return Info{}, err
	}
	info := Info{Process: p, LogFiles: l.logFiles(id)}
	d, err := l.definitionOf(p)
	if err == nil {
		info.Definition, info.WorkingDir = d.process, d.distribution.Dir
		if again, ok := l.commandAgain(p, d); ok {
			info.Command, info.WorkingDir = again.Args, again.Dir
		}
		for _, dep := range d.starter.Dependencies {
			info.Dependencies = append(info.Dependencies, dependencyTitle(p, dep))
		}
	}
	if c, _ := l.checkOf(p); c != nil {
		info.Check = c.shown
	}
	if !p.Live() || p.PID() == 0 {
		return info, nil
	}
	used, err := l.Usages([]Process{p})
	if err != nil {
		return Info{}, err
	}
	info.Usage = used[id]
	handle, err := proc.Open(p.Identity)
	if errors.Is(err, proc.ErrGone) {
		return info, nil // it is about to end
	}
	if err != nil {
		return Info{}, err
	}
	defer handle.Close()
	switch command, err := proc.Command(p.Identity.PID); {
	case err == nil:
		info.Command = command
	case !errors.Is(err, proc.ErrGone):
		return Info{}, err
	}
	environ, err := proc.Environ(p.Identity.PID)
	if err == nil { // otherwise it has other rights by now, or is gone
		for name := range environ {
			info.Environment = append(info.Environment, name)
		}
		slices.Sort(info.Environment)
	}
	return info, nil
}

// logFiles are the files with what a process wrote that are there.
func (l *Launcher) logFiles(id int) []string {
	o, err := l.OpenOutput(id)
	if err != nil {
		return nil
	}
	return o.Files()
}

// commandAgain is what a process would be started as. It reports whether that
// can be told.
func (l *Launcher) commandAgain(p Process, d definition) (cmdline.Command, bool) {
	set, err := l.properties(l.life, d)
	if err != nil {
		return cmdline.Command{}, false
	}
	cmd, err := l.command(p, d, set, nil)
	return cmd, err == nil
}

func dependencyTitle(p Process, dep descriptor.Dependency) string {
	name, version := dep.Distribution, dep.Version
	if name == "" {
		name = p.Distribution
	}
	if version == "" {
		version = p.Version
	}
	return dep.Process + " (" + name + " " + version + ")"
}
