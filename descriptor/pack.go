package descriptor

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Pack writes a folder that has a descriptor at [Place] as a zip: what is in
// it, sorted by name, with permission bits and without times, so that the same
// content makes the same bytes. Symbolic links, devices, pipes and sockets are
// refused by name, and so is a descriptor that [Parse] refuses. What is wrong
// with the folder's content is an [InvalidError].
func Pack(dir string, w io.Writer) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	defer root.Close()
	if err := checkFolder(root); err != nil {
		return err
	}
	z := zip.NewWriter(w)
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("pack: %w", err)
		}
		if name == "." {
			return nil
		}
		return packEntry(z, root, name, d)
	})
	if err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return nil
}

// checkFolder parses the folder's descriptor.
func checkFolder(root *os.Root) error {
	info, err := root.Lstat(Place)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := root.Lstat(path.Base(Place)); err == nil {
			return invalid("there is no %s in the folder, but %q: move it there", Place, path.Base(Place))
		}
		return invalid("there is no %s in the folder", Place)
	case err != nil:
		return fmt.Errorf("pack: %w", err)
	case !info.Mode().IsRegular():
		return invalid("%s is not a regular file", Place)
	}
	f, err := root.Open(Place)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	defer f.Close()
	if _, err := Parse(f); err != nil {
		return prefixed(Place, err)
	}
	return nil
}

// packEntry writes a file or a folder.
func packEntry(z *zip.Writer, root *os.Root, name string, d fs.DirEntry) error {
	if why := pathProblem(name); why != "" {
		return invalid("%s %s", quote(name), why)
	}
	switch {
	case d.Type()&fs.ModeSymlink != 0:
		return invalid("%s is a symbolic link: put the file itself there", quote(name))
	case d.Type()&^fs.ModeDir != 0:
		return invalid("%s is a device, a pipe or a socket", quote(name))
	}
	info, err := d.Info()
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(info.Mode() & (fs.ModeDir | fs.ModePerm))
	if d.IsDir() {
		h.Name += "/"
		h.Method = zip.Store
	} else if isCompressed(name) {
		h.Method = zip.Store
	}
	out, err := z.CreateHeader(h)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if d.IsDir() {
		return nil
	}
	f, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(out, f); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return nil
}

// isCompressed tells by its name that a file would not shrink.
func isCompressed(name string) bool {
	return slices.Contains([]string{".jar", ".war", ".zip", ".gz", ".xz", ".zst", ".png", ".jpg"}, strings.ToLower(path.Ext(name)))
}
