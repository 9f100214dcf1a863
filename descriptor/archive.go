package descriptor

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Place is where the descriptor of an archive is.
const Place = "META-INF/corus.xml"

// Archive is what is deployed: a zip that holds a descriptor at [Place], or a
// descriptor by itself. Everything that can be known of it without writing its
// files has been checked.
type Archive struct {
	// Distribution is what its descriptor says.
	Distribution *Distribution

	limits Limits
	file   *os.File
	items  []item // of a zip, the folders before what is in them
	text   []byte // of a descriptor by itself
}

// Open opens an archive. What it is is told by its content, not by its name.
// Its descriptor is parsed; the names, sorts and sizes of its entries are
// checked. What is wrong with it is an [InvalidError].
func Open(name string, limits Limits) (_ *Archive, err error) {
	// Not blocking: opening a pipe would wait for its writer.
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	a := &Archive{limits: limits.withDefaults(), file: file}
	switch {
	case info.IsDir():
		return nil, invalid("it is a folder: pack it into a zip first")
	case !info.Mode().IsRegular():
		return nil, invalid("it is not a regular file")
	case info.Size() > a.limits.Bytes:
		return nil, invalid("the archive is larger than %d bytes", a.limits.Bytes)
	}
	start := make([]byte, 512)
	n, err := io.ReadFull(file, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	switch what := sniff(start[:n]); what {
	case "zip":
		err = a.readZip(info.Size())
	case "XML":
		err = a.readText()
	default:
		err = invalid("%s: an archive is a zip with %s in it, or a corus.xml by itself", what, Place)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// sniff tells a file by its first bytes: "zip", "XML", or a sentence about
// what it is instead.
func sniff(start []byte) string {
	text := bytes.TrimLeft(bytes.TrimPrefix(start, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case len(start) == 0:
		return "the file is empty"
	case bytes.HasPrefix(start, []byte("PK\x03\x04")), bytes.HasPrefix(start, []byte("PK\x05\x06")):
		return "zip"
	case bytes.HasPrefix(text, []byte("<")), bytes.HasPrefix(start, []byte("\xff\xfe<\x00")), bytes.HasPrefix(start, []byte("\xfe\xff\x00<")):
		return "XML"
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		return "it is a gzip file"
	case len(start) > 262 && string(start[257:262]) == "ustar":
		return "it is a tar file"
	}
	return "it is neither a zip nor XML"
}

// readText reads a descriptor by itself.
func (a *Archive) readText() error {
	text, err := io.ReadAll(io.NewSectionReader(a.file, 0, maxDescriptorBytes+1))
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	d, err := Parse(bytes.NewReader(text))
	if err != nil {
		return prefixed("corus.xml", err)
	}
	a.Distribution, a.text = d, text
	return nil
}

// directoryBytes is how much of a zip's directory is read for each entry that
// is allowed: its header of 46 bytes with a name and an extra field.
const directoryBytes = 256

// meter is a file of which only so much can be read until it is opened up.
// archive/zip reads a directory to its end however long it is.
type meter struct {
	file io.ReaderAt
	left int64
	open bool
}

var errMeter = errors.New("directory is too large")

func (m *meter) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 { // a directory may say any offset
		return 0, zip.ErrFormat
	}
	if !m.open {
		if m.left -= int64(len(p)); m.left < 0 {
			return 0, errMeter
		}
	}
	return m.file.ReadAt(p, off)
}

// readZip checks the entries of a zip and reads its descriptor.
func (a *Archive) readZip(size int64) error {
	const trailers = 128 << 10 // what is looked through for the end of the directory
	m := &meter{file: a.file, left: trailers + directoryBytes*int64(a.limits.Entries)}
	z, err := zip.NewReader(m, size)
	switch {
	case errors.Is(err, errMeter):
		return invalid("the archive's directory is too large for %d entries", a.limits.Entries)
	case err != nil && !errors.Is(err, zip.ErrInsecurePath): // arrange looks at the names
		return damaged(err)
	}
	m.open = true
	items, err := arrange(z.File, a.limits)
	if err != nil {
		return err
	}
	if err := checkSizes(items, size, a.limits); err != nil {
		return err
	}
	for _, it := range items {
		if it.name == Place && it.file != nil {
			d, err := readDescriptor(it.file)
			if err != nil {
				return err
			}
			a.items, a.Distribution = items, d
			return a.checkMagnets()
		}
	}
	return missing(items)
}

// checkMagnets reads the magnet files that the descriptor names, where that can
// be told before a process starts. One that cannot be started is refused.
func (a *Archive) checkMagnets() error {
	seen := map[string]bool{}
	for _, p := range a.Distribution.Processes {
		for _, s := range p.Starters {
			name := path.Clean(strings.TrimPrefix(s.MagnetFile, "${user.dir}/"))
			if s.Kind != Magnet || strings.Contains(name, "$") || path.IsAbs(name) || seen[name] {
				continue
			}
			seen[name] = true
			i := slices.IndexFunc(a.items, func(it item) bool { return it.name == name && it.file != nil })
			if i < 0 {
				a.Distribution.Warnings = append(a.Distribution.Warnings,
					fmt.Sprintf("process %s: magnet (profile %s): there is no file %s in the archive", quote(p.Name), quote(s.Profile), quote(name)))
				continue
			}
			r, err := a.items[i].file.Open()
			if err != nil {
				return damagedEntry(name, err)
			}
			_, err = ParseMagnet(r)
			r.Close()
			if errors.Is(err, ErrInvalid) {
				return prefixed(cut(name), err)
			}
			if err != nil {
				return damagedEntry(name, err)
			}
		}
	}
	return nil
}

func readDescriptor(f *zip.File) (*Distribution, error) {
	r, err := f.Open()
	if err != nil {
		return nil, damagedEntry(f.Name, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxDescriptorBytes+1))
	if err != nil {
		return nil, damagedEntry(f.Name, err)
	}
	d, err := Parse(bytes.NewReader(text))
	if err != nil {
		return nil, prefixed(Place, err)
	}
	return d, nil
}

// damagedEntry is damaged of one entry.
func damagedEntry(name string, err error) error {
	if errors.Is(err, zip.ErrFormat) {
		err = errors.New("the content is not what its header says")
	}
	return prefixed("entry "+quote(name), damaged(err))
}

// damaged tells an error of archive/zip or compress/flate: one of the content,
// or one of reading the file.
func damaged(err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("read archive: %w", err)
	}
	return invalid("the archive is damaged: %s", plain(strings.TrimPrefix(err.Error(), "zip: ")))
}

// missing says that there is no descriptor, and points to one in another place.
func missing(items []item) error {
	for _, it := range items {
		if it.file == nil || !strings.EqualFold(path.Base(it.name), path.Base(Place)) {
			continue
		}
		if above, ok := strings.CutSuffix(it.name, "/"+Place); ok {
			return invalid("there is no %s, but %s: pack what is in the folder %s, not the folder", Place, quote(it.name), quote(above))
		}
		return invalid("there is no %s, but %s: move it there", Place, quote(it.name))
	}
	return invalid("there is no %s in the archive", Place)
}

// Close closes the file. It can be called twice.
func (a *Archive) Close() error {
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}
