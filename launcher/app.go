package launcher

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/descriptor"
)

// appEndings are those of the names of app files.
var appEndings = []string{".json", ".yaml", ".yml", ".toml"}

// appFolderFile has the folder that the app file of a distribution lay in, from
// which the folders of its apps are looked for.
const appFolderFile = "app-folder"

// maxAppFile is the most bytes of an app file, and one more.
const maxAppFile = 1<<20 + 1

func isAppFile(name string) bool {
	return slices.Contains(appEndings, strings.ToLower(filepath.Ext(name)))
}

// unpack unpacks what is deployed into an empty folder: an archive, a
// descriptor, or where its name says so an app file. Where that is an absolute
// path, apps run in its folder unless they name another one.
func unpack(file, content, name string) (*descriptor.Distribution, error) {
	if !isAppFile(name) {
		return descriptor.Unpack(file, content, descriptor.Limits{})
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAppFile))
	if err != nil {
		return nil, err
	}
	if _, err := descriptor.ParseApps(filepath.Base(name), text); err != nil {
		return nil, err
	}
	dir := filepath.Join(content, filepath.Dir(descriptor.Place))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if err := writeSynced(filepath.Join(dir, filepath.Base(name)), text); err != nil {
		return nil, err
	}
	if filepath.IsAbs(name) {
		if err := writeSynced(filepath.Join(dir, appFolderFile), []byte(filepath.Dir(name))); err != nil {
			return nil, err
		}
	}
	for _, d := range []string{dir, content} {
		if err := syncFolder(d); err != nil {
			return nil, err
		}
	}
	return readApps(content)
}

func writeSynced(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// readApps reads the app file of a distribution. Where it has none, the error is
// fs.ErrNotExist.
func readApps(dir string) (*descriptor.Distribution, error) {
	place := filepath.Join(dir, filepath.Dir(descriptor.Place))
	files, err := os.ReadDir(place)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(files, func(f fs.DirEntry) bool { return isAppFile(f.Name()) })
	if i < 0 {
		return nil, fmt.Errorf("no descriptor is in %s: %w", place, fs.ErrNotExist)
	}
	text, err := os.ReadFile(filepath.Join(place, files[i].Name()))
	if err != nil {
		return nil, err
	}
	d, err := descriptor.ParseApps(files[i].Name(), text)
	if err != nil {
		return nil, err
	}
	folder, err := os.ReadFile(filepath.Join(place, appFolderFile))
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	for i := range d.Processes {
		if p := &d.Processes[i]; !filepath.IsAbs(p.Cwd) && !strings.HasPrefix(p.Cwd, "$") {
			p.Cwd = filepath.Join(string(folder), p.Cwd)
		}
	}
	return d, err
}
