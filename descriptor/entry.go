package descriptor

import (
	"archive/zip"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// item is a file or a folder to write.
type item struct {
	name string      // slashes between its parts, none at its ends
	file *zip.File   // nil of a folder
	mode fs.FileMode // permission bits
}

const (
	maxPath = 1024 // bytes; a folder to write into stands before it
	maxPart = 255  // bytes; NAME_MAX of Linux
)

// pathProblem says why a name cannot be one in an archive; empty where it can.
// The name is that of a file, without the slash that ends a folder's.
func pathProblem(name string) string {
	switch {
	case name == "":
		return "has no name"
	case !utf8.ValidString(name):
		return "has a name that is not UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "has a control character in its name"
	case strings.Contains(name, `\`):
		return `has a "\" in its name: use "/"`
	case strings.HasPrefix(name, "/"):
		return "has an absolute name"
	case len(name) > maxPath:
		return "has a name longer than 1024 bytes"
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "..":
			return "leads out of the archive"
		case part == "" || part == ".":
			return `has an empty part or "." in its name`
		case len(part) > maxPart:
			return "has a part longer than 255 bytes in its name"
		}
	}
	return ""
}

// arrangement is the tree that entries make, while it grows.
type arrangement struct {
	limits Limits
	items  []item
	given  map[string]bool   // names that have an entry
	folder map[string]bool   // every name: whether it is a folder
	folded map[string]string // names in lower case to names as written
}

// arrange makes of a zip's entries the files and folders to write, each folder
// before what is in it. It refuses names that lead elsewhere, that collide, or
// that could be mistaken for another on a file system that ignores case; and
// everything that is neither a file nor a folder.
func arrange(entries []*zip.File, limits Limits) ([]item, error) {
	if len(entries) > limits.Entries {
		return nil, invalid("the archive has more than %d entries", limits.Entries)
	}
	a := &arrangement{limits: limits, given: map[string]bool{}, folder: map[string]bool{}, folded: map[string]string{}}
	for _, f := range entries {
		if err := a.entry(f); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(a.items, func(x, y item) int { return strings.Compare(x.name, y.name) })
	return a.items, nil
}

func (a *arrangement) entry(f *zip.File) error {
	name, folder := strings.CutSuffix(f.Name, "/")
	if why := pathProblem(name); why != "" {
		return invalid("entry %s %s", quote(f.Name), why)
	}
	if why := sortProblem(f, folder); why != "" {
		return invalid("entry %s %s", quote(f.Name), why)
	}
	if a.given[name] {
		return invalid("entry %s is there twice", quote(f.Name))
	}
	a.given[name] = true
	for above := path.Dir(name); above != "."; above = path.Dir(above) {
		if known, ok := a.folder[above]; ok && !known {
			return invalid("entry %s is in %s, which is a file", quote(f.Name), quote(above))
		} else if ok {
			break // and so is all above it
		}
		if err := a.add(item{name: above}, true); err != nil {
			return err
		}
	}
	if known, ok := a.folder[name]; ok {
		if known && folder {
			return nil // the entry of a folder that a name before it had made
		}
		return invalid("entry %s is a file, and a folder for other entries", quote(f.Name))
	}
	if folder {
		return a.add(item{name: name}, true)
	}
	return a.add(item{name: name, file: f, mode: filePermissions(f)}, false)
}

func (a *arrangement) add(it item, folder bool) error {
	lower := strings.ToLower(it.name)
	if other, ok := a.folded[lower]; ok && other != it.name {
		return invalid("entries %s and %s differ in case only", quote(other), quote(it.name))
	}
	a.folded[lower] = it.name
	a.folder[it.name] = folder
	a.items = append(a.items, it)
	if len(a.items) > a.limits.Entries {
		return invalid("the archive has more than %d files and folders", a.limits.Entries)
	}
	return nil
}

// sortProblem says why an entry cannot be unpacked whatever its name is; empty
// where it can. folder says that its name ends in a slash.
func sortProblem(f *zip.File, folder bool) string {
	const encrypted, strong = 0x1, 0x40
	mode := f.Mode()
	switch {
	case mode&fs.ModeSymlink != 0:
		return "is a symbolic link: put the file itself there"
	case mode&^fs.ModeDir&fs.ModeType != 0:
		return "is a device, a pipe or a socket"
	case folder && f.UncompressedSize64 != 0:
		return "is a folder with content"
	case mode.IsDir() && !folder:
		return `is a folder whose name does not end in "/"`
	case f.Flags&(encrypted|strong) != 0:
		return "is encrypted"
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return "is compressed by a method other than deflate"
	}
	return ""
}

// filePermissions are those that a file is written with: as in the archive,
// but readable and writable for its owner, writable for nobody else, and
// without set-user-id, set-group-id and sticky. What has none gets 0644.
func filePermissions(f *zip.File) fs.FileMode {
	mode := f.Mode().Perm()
	if mode == 0 {
		mode = 0o644
	}
	return mode&^0o022 | 0o600
}

// checkSizes compares the sizes that entries say they have with the limits.
// archive/zip holds them to it when they are read. The ratio is that of all
// entries to the file: several of them may share their bytes in it.
func checkSizes(items []item, size int64, limits Limits) error {
	var total uint64
	for _, it := range items {
		if it.file == nil {
			continue
		}
		n := it.file.UncompressedSize64
		switch {
		case it.name == Place && n > maxDescriptorBytes:
			return invalid("%s: the text is larger than %d bytes", Place, maxDescriptorBytes)
		case n > uint64(limits.EntryBytes):
			return invalid("entry %s is larger than %d bytes", quote(it.name), limits.EntryBytes)
		}
		if total += n; total > uint64(limits.Bytes) {
			return invalid("the files of the archive are larger than %d bytes", limits.Bytes)
		}
	}
	if total > uint64(limits.RatioFrom) && total/uint64(limits.Ratio) > uint64(size) {
		return invalid("the files of the archive are more than %d times larger than the archive", limits.Ratio)
	}
	return nil
}
