package cmdline

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"berth/descriptor"

	"github.com/bmatcuk/doublestar/v4"
)

// magnetArgs makes the arguments of a <magnet> starter, from its magnet file:
// the command line of a JVM for a launcher of type java, the command itself for
// one of type system.
func magnetArgs(in *Input, s *scope) ([]string, error) {
	name, err := s.render(subject{kind: "magnetFile"}, in.Starter.MagnetFile)
	if err != nil {
		return nil, err
	}
	if in.Magnet == nil {
		return nil, problemf(ErrUnsupported, "<magnet> cannot be started: its file cannot be read here")
	}
	file, err := in.Magnet(name)
	if errors.Is(err, descriptor.ErrUnsupported) {
		return nil, problemf(ErrUnsupported, "magnet file %s: %v", quote(name), err)
	}
	if err != nil {
		return nil, fmt.Errorf("magnet file %s: %w", quote(name), err)
	}
	for _, warning := range file.Warnings {
		s.warnf("magnet file %s: %s", quote(name), warning)
	}
	args, err := magnetCommand(in, s, file)
	if err != nil {
		return nil, fmt.Errorf("magnet file %s: %w", quote(name), err)
	}
	return args, nil
}

func magnetCommand(in *Input, s *scope, file *descriptor.MagnetFile) ([]string, error) {
	launcher, profile, err := chooseLauncher(in, s, file)
	if err != nil {
		return nil, err
	}
	var args []string
	if launcher.Type == descriptor.MagnetJava {
		if args, err = jvmArgs(in, s); err != nil {
			return nil, err
		}
	}
	all, err := s.starterProperties(in)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"", in.Starter.Profile} {
		for _, group := range file.Parameters {
			if group.Profile != name {
				continue
			}
			if all, err = s.parameters(all, group.Parameters); err != nil {
				return nil, err
			}
		}
	}
	if all, err = s.parameters(all, profile.Parameters); err != nil {
		return nil, err
	}
	if all, err = s.allProperties(in, all); err != nil {
		return nil, err
	}
	if launcher.Type == descriptor.MagnetSystem {
		return systemLauncher(in, s, file, launcher, profile)
	}
	properties, err := visible(all)
	if err != nil {
		return nil, err
	}
	entries, err := magnetClassPath(in, s, file, profile)
	if err != nil {
		return nil, err
	}
	args = append(definitions(args, properties), "-cp", strings.Join(entries, ":"))
	return s.mainArgs(args, launcher.MainClass, launcher.Args)
}

// chooseLauncher returns the one launcher that has the profile of the starter,
// or one that it falls back to.
func chooseLauncher(in *Input, s *scope, file *descriptor.MagnetFile) (*descriptor.MagnetLauncher, *descriptor.MagnetProfile, error) {
	wanted := in.Starter.Profile
	var launcher *descriptor.MagnetLauncher
	var profile *descriptor.MagnetProfile
	for i := range file.Launchers {
		l := &file.Launchers[i]
		p := l.Profile(wanted)
		switch {
		case p == nil && l.Default != "":
			s.warnf("magnet file: launcher %s is skipped: it has neither the profile %s nor its default %s", quote(l.Name), quote(wanted), quote(l.Default))
		case p == nil:
			s.warnf("magnet file: launcher %s is skipped: it has no profile %s", quote(l.Name), quote(wanted))
		case l.OS != "" && !strings.Contains(strings.ToLower(l.OS), "linux") && !strings.EqualFold(l.OS, "unix"):
			s.warnf("magnet file: launcher %s is skipped: it is for %s", quote(l.Name), quote(l.OS))
		case launcher != nil:
			return nil, nil, problemf(ErrUnsupported, "launchers %s and %s both have profile %s: a process is one command, make two processes of them",
				quote(launcher.Name), quote(l.Name), quote(wanted))
		default:
			launcher, profile = l, p
		}
	}
	if launcher == nil {
		return nil, nil, problemf(ErrInvalid, "no launcher has profile %s, or a default", quote(wanted))
	}
	return launcher, profile, nil
}

// parameters renders parameters whose conditions hold, makes them known, and
// appends those of scope system to the definitions.
func (s *scope) parameters(all []definition, parameters []descriptor.MagnetParameter) ([]definition, error) {
	for _, written := range parameters {
		of := subject{"param", written.Name}
		holds, err := s.conditions(of, written)
		if err != nil {
			return nil, err
		}
		if !holds {
			continue
		}
		// A parameter may be made of what had its name before.
		value, secret, err := s.renderSecret(of, written.Value)
		if err != nil {
			return nil, err
		}
		secret = cmp.Or(hides(written.Name, fromStarter), secret)
		s.rendered[written.Name] = variable{value: value, source: fromStarter, final: true, secret: secret}
		if written.System {
			if err := checkName(of, written.Name); err != nil {
				return nil, err
			}
			all = append(all, definition{Property{Name: written.Name, Value: value}, secret})
		}
	}
	return all, nil
}

// conditions tells whether "if" names something known, and "unless" nothing.
func (s *scope) conditions(of subject, p descriptor.MagnetParameter) (bool, error) {
	for _, condition := range []struct {
		name  string
		known bool
	}{{p.If, true}, {p.Unless, false}} {
		if condition.name == "" {
			continue
		}
		name, err := s.render(of, condition.name)
		if err != nil {
			return false, err
		}
		if _, known := s.find(name); known != condition.known {
			return false, nil
		}
	}
	return true, nil
}

// magnetClassPath is the class path of a profile: those of its parents before
// its own, then the libDirs of the starter. Where there is none, it is as that
// of a <java> starter.
func magnetClassPath(in *Input, s *scope, file *descriptor.MagnetFile, profile *descriptor.MagnetProfile) ([]string, error) {
	var chain []*descriptor.MagnetClassPath
	for at := profile.ClassPath; at != nil; {
		if slices.Contains(chain, at) {
			return nil, problemf(ErrInvalid, "class path %s is its own parent", quote(at.ID))
		}
		chain = append(chain, at)
		if at.Parent == "" {
			break
		}
		parent := file.ClassPath(at.Parent)
		if parent == nil {
			return nil, problemf(ErrInvalid, "there is no class path %s", quote(at.Parent))
		}
		at = parent
	}
	slices.Reverse(chain)
	var entries []string
	for _, classPath := range chain {
		for _, written := range classPath.Paths {
			found, err := magnetPath(in, s, written)
			if err != nil {
				return nil, err
			}
			for _, entry := range found {
				if entries, err = addEntry(entries, entry); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(entries) > 0 && len(in.Starter.LibDirs) == 0 {
		return entries, nil
	}
	own, err := classPath(in, s)
	if err != nil {
		return nil, err
	}
	for _, entry := range own {
		if entries, err = addEntry(entries, entry); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// magnetPath returns the entries of a path: the archives of its folder that its
// patterns include, or the folder itself where it includes nothing in particular.
func magnetPath(in *Input, s *scope, written descriptor.MagnetPath) ([]string, error) {
	of := subject{"path", written.Directory}
	dir, err := s.render(of, written.Directory)
	if err != nil {
		return nil, err
	}
	dir = absolute(in.UserDir, dir)
	if len(written.Includes) == 0 && len(written.Excludes) == 0 {
		return []string{dir}, nil
	}
	includes, err := s.patterns(of, written.Includes)
	if err != nil {
		return nil, err
	}
	excludes, err := s.patterns(of, written.Excludes)
	if err != nil {
		return nil, err
	}
	if len(includes) == 0 {
		includes = []string{"**"}
	}
	found, err := archives(in, strings.TrimRight(dir, "/"))
	if err != nil {
		return nil, err
	}
	matches := func(patterns []string, entry string) bool {
		rest := strings.TrimPrefix(entry, dir+"/")
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			matched, _ := doublestar.Match(pattern, rest)
			return matched
		})
	}
	var entries []string
	for _, entry := range found {
		if matches(includes, entry) && !matches(excludes, entry) {
			entries = append(entries, entry)
		}
	}
	// An archive, or a folder of classes, that is named and not searched for.
	for _, include := range includes {
		if strings.ContainsAny(include, "*?[{") || slices.Contains(entries, path.Join(dir, include)) || len(written.Includes) == 0 {
			continue
		}
		if !isArchive(include) {
			entries = append(entries, path.Join(dir, include))
		}
	}
	if written.Descending {
		slices.Reverse(entries)
	}
	if len(entries) == 0 {
		s.warnf("magnet file: path %s: no .jar and no .zip there is included", quote(written.Directory))
	}
	return entries, nil
}

// patterns renders patterns, and checks that they are some.
func (s *scope) patterns(of subject, written []string) ([]string, error) {
	patterns, err := s.renderWords(nil, of.String(), written)
	for _, pattern := range patterns {
		if !doublestar.ValidatePattern(pattern) {
			return nil, problemf(ErrInvalid, "%s: %s is not a pattern", of, quote(pattern))
		}
	}
	return patterns, err
}

// systemLauncher makes the command of a launcher of type system.
func systemLauncher(in *Input, s *scope, file *descriptor.MagnetFile, launcher *descriptor.MagnetLauncher, profile *descriptor.MagnetProfile) ([]string, error) {
	variables, err := file.Variables(profile)
	if err != nil {
		return nil, problemf(ErrInvalid, "%v", err)
	}
	for _, written := range variables {
		of := subject{"variable", written.Name}
		value, secret, err := s.renderSecret(of, written.Value)
		if err != nil {
			return nil, err
		}
		if strings.ContainsAny(written.Name, "=\x00") || strings.IndexByte(value, 0) >= 0 {
			return nil, problemf(ErrInvalid, "%s: it is no name of a variable, or holds a NUL character", of)
		}
		s.environ.set(written.Name, value)
		s.taint(written.Name, secret)
	}
	if s.dir, err = s.render(subject{kind: "workingDirectory"}, launcher.WorkingDirectory); err != nil {
		return nil, err
	}
	s.dir = Escape(s.dir) // it is rendered where the working directory is made
	if len(in.Starter.XOptions)+len(in.Starter.Options)+len(in.Starter.Args) > 0 || in.Starter.VMType != "" {
		s.warnf("magnet file: launcher %s starts no JVM: the starter's vmType, arg, option and xoption elements are left out", quote(launcher.Name))
	}
	words, err := Split(launcher.Command)
	if err != nil {
		return nil, problemf(ErrInvalid, "command: %v", err)
	}
	args, err := s.renderWords(nil, "command", words)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 || args[0] == "" {
		return nil, problemf(ErrInvalid, "launcher %s has no command", quote(launcher.Name))
	}
	return args, nil
}
