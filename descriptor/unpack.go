package descriptor

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// folderPermissions are those of the folders that are made. The ones in the
// archive are not looked at: a folder without its owner's bits could not be filled.
const folderPermissions = 0o755

// Unpack opens the archive of that name and unpacks it into a folder: see
// [Open] and [Archive.Unpack].
func Unpack(name, dir string, limits Limits) (*Distribution, error) {
	a, err := Open(name, limits)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if err := a.Unpack(dir); err != nil {
		return nil, err
	}
	return a.Distribution, nil
}

// Unpack writes the archive's files into a folder, which must be empty, or not
// be there while the one above it is. A descriptor by itself is written to
// [Place]. When it returns nil the files are on the disk. After an error the
// folder is as it was: empty, or not there.
//
// Nothing is written outside of the folder. Permission bits are kept, except
// that files are readable and writable for their owner and writable for nobody
// else; set-user-id, set-group-id and sticky are never kept.
func (a *Archive) Unpack(dir string) (err error) {
	if a.file == nil {
		return fmt.Errorf("unpack: %w", fs.ErrClosed)
	}
	made := true
	if err := os.Mkdir(dir, folderPermissions); errors.Is(err, fs.ErrExist) {
		made = false
	} else if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer root.Close()
	if !made {
		if err := checkEmpty(root); err != nil {
			return err
		}
	}
	if err := a.write(root); err != nil {
		cleanErr := clean(root)
		if cleanErr == nil && made {
			cleanErr = os.Remove(dir)
		}
		if cleanErr != nil {
			return fmt.Errorf("%w; remove what was unpacked: %w", err, cleanErr)
		}
		return err
	}
	return nil
}

// checkEmpty refuses a folder that has something in it.
func checkEmpty(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	defer f.Close()
	switch _, err := f.ReadDir(1); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("unpack: %w", err)
	}
	return fmt.Errorf("unpack into %s: the folder is not empty: %w", root.Name(), fs.ErrExist)
}

// clean removes everything in a folder.
func clean(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := root.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// write writes all items, and waits until the disk has them.
func (a *Archive) write(root *os.Root) error {
	folders := []string{"."}
	mkdir := func(name string) error {
		folders = append(folders, name)
		return root.Mkdir(name, folderPermissions)
	}
	if a.text != nil {
		if err := mkdir(path.Dir(Place)); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		if err := writeFile(root, Place, 0o644, bytes.NewReader(a.text)); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
	}
	for _, it := range a.items {
		if it.file == nil {
			if err := mkdir(it.name); err != nil {
				return fmt.Errorf("unpack: %w", err)
			}
			continue
		}
		if err := it.write(root); err != nil {
			return err
		}
	}
	for _, name := range folders {
		if err := syncFolder(root, name); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
	}
	return nil
}

// write unpacks one file. An error of reading it is the archive's; one of
// writing it is not.
func (it item) write(root *os.Root) error {
	r, err := it.file.Open()
	if err != nil {
		return damagedEntry(it.name, err)
	}
	defer r.Close()
	in := &source{r: r}
	err = writeFile(root, it.name, it.mode, in)
	switch {
	case in.err != nil:
		return damagedEntry(it.name, in.err)
	case err != nil:
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}

// source remembers the error of reading, so that it can be told from one of writing.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// writeFile makes a file that is not there yet.
func writeFile(root *os.Root, name string, mode fs.FileMode, r io.Reader) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	_, err = io.Copy(w, r)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return closed(f, err)
}

// closed closes a file and returns the error before, else that of closing.
func closed(f *os.File, before error) error {
	if err := f.Close(); before == nil {
		return err
	}
	return before
}

func syncFolder(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return closed(f, f.Sync())
}
