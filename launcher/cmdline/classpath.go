package cmdline

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// defaultLibDir is the folder of archives where a starter names none.
const defaultLibDir = "lib"

// classPath makes the class path of a <java> starter from its libDirs. The
// entries are absolute; one that comes twice is kept once.
//
//   - A folder gives its archives, sorted.
//   - A folder with a slash at its end is itself an entry, for classes.
//   - A name that ends in .jar or .zip is itself an entry.
//   - A last element with * or ? is a pattern for archives of that folder.
//
// Without libDirs it is the folder lib. Where all that gives nothing, the class
// path is the distribution's folder.
func classPath(in *Input, s *scope) ([]string, error) {
	dirs := in.Starter.LibDirs
	if len(dirs) == 0 {
		dirs = []string{defaultLibDir}
	}
	var entries []string
	add := func(entry string) (err error) {
		entries, err = addEntry(entries, entry)
		return err
	}
	for _, written := range dirs {
		value, err := s.render(subject{kind: "libDirs"}, written)
		if err != nil {
			return nil, err
		}
		// A variable may stand for several folders.
		for dir := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ';' || r == ':' }) {
			if dir = strings.TrimSpace(dir); dir == "" {
				continue
			}
			found, err := archives(in, dir)
			if err != nil {
				return nil, err
			}
			if len(found) == 0 && len(in.Starter.LibDirs) > 0 {
				s.warnf("libDirs: %s has no .jar and no .zip; a folder of classes is written with / at its end", quote(dir))
			}
			for _, entry := range found {
				if err := add(entry); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(entries) == 0 {
		if err := add(path.Clean(in.UserDir)); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// addEntry appends an entry of a class path that is not there yet.
func addEntry(entries []string, entry string) ([]string, error) {
	if strings.Contains(entry, ":") {
		return nil, problemf(ErrInvalid, `class path: %s holds ":", which parts the entries of a class path; rename it`, quote(entry))
	}
	if slices.Contains(entries, entry) {
		return entries, nil
	}
	return append(entries, entry), nil
}

// archives returns the entries of one of the libDirs.
func archives(in *Input, dir string) ([]string, error) {
	full := absolute(in.UserDir, dir)
	if strings.HasSuffix(dir, "/") || isArchive(dir) && !strings.ContainsAny(path.Base(dir), "*?") {
		return []string{full}, nil
	}
	pattern := ""
	if base := path.Base(full); strings.ContainsAny(base, "*?") {
		pattern, full = base, path.Dir(full)
	}
	if in.Jars == nil {
		return nil, nil
	}
	jars, err := in.Jars(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("libDirs: %s: %w", quote(dir), err)
	}
	entries := make([]string, 0, len(jars))
	for _, jar := range jars {
		jar = absolute(full, jar)
		if pattern != "" {
			matched, err := path.Match(pattern, path.Base(jar))
			if err != nil {
				return nil, problemf(ErrInvalid, "libDirs: %s is not a pattern: %v", quote(dir), err)
			}
			if !matched || path.Dir(jar) != full {
				continue
			}
		}
		entries = append(entries, jar)
	}
	slices.Sort(entries)
	return entries, nil
}

func isArchive(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jar", ".zip":
		return true
	}
	return false
}
