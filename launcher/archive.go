package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth/lease"
	"berth/store"
)

// Archives of distributions: under a revision is kept what one undeployment
// removed, each distribution in a folder of its own below archives/, made before
// the record that names it is written. A folder that no record names is removed
// at the next start.
//
//	archives/distributions/<revision>   what it holds: a list of archivedRecord
const archivedDistributions = "archives/distributions/"

// archivedRecord is a distribution in an archive.
type archivedRecord struct {
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	DeployedAt time.Time `json:"deployedAt"`
	Folder     string    `json:"folder"` // below archives/ of the state folder
}

func (l *Launcher) archiveDir(folder string) string { return filepath.Join(l.Home, "archives", folder) }

// UndeployTo does as Undeploy, and keeps what it removes under rev, in place of
// what was kept there; where nothing fits, rev holds nothing. A rev that is not
// well formed is lease.ErrArchiveInvalid.
func (l *Launcher) UndeployTo(ctx context.Context, name, version, rev string) ([]Distribution, error) {
	if err := lease.ValidRevision(rev); err != nil {
		return nil, err
	}
	return l.undeploy(ctx, name, version, func(ctx context.Context, chosen []*deployed, b *store.Batch) (func(bool), error) {
		old, revision, err := l.archived(ctx, rev)
		if err != nil {
			return nil, err
		}
		var kept []archivedRecord
		settle := func(done bool) {
			gone := kept
			if done {
				gone = old
			}
			for _, r := range gone {
				if err := os.RemoveAll(l.archiveDir(r.Folder)); err != nil {
					l.Logger.Error("cannot remove the folder of an archived distribution", "distribution", r.Name+" "+r.Version, "error", err)
				}
			}
		}
		for _, d := range chosen {
			place, err := os.MkdirTemp(l.archiveDir(""), "dist-")
			if err != nil {
				return settle, err
			}
			kept = append(kept, archivedRecord{Name: d.Name, Version: d.Version, DeployedAt: d.DeployedAt, Folder: filepath.Base(place)})
			// Its files are the same ones: they go nowhere while it is removed.
			if err := copyFolder(d.Dir, place, os.Link); err != nil {
				return settle, fmt.Errorf("archive distribution %s %s: %w", d.Name, d.Version, err)
			}
		}
		if err := syncFolder(l.archiveDir("")); err != nil {
			return settle, err
		}
		value, err := json.Marshal(kept)
		if err != nil {
			return settle, err
		}
		b.If(archivedDistributions+rev, revision)
		b.Put(archivedDistributions+rev, value)
		return settle, nil
	})
}

// archived reads what is kept under rev, and the revision of its record: 0 where
// there is none.
func (l *Launcher) archived(ctx context.Context, rev string) ([]archivedRecord, store.Revision, error) {
	e, err := l.Store.Get(ctx, archivedDistributions+rev)
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read archive %s: %w", rev, err)
	}
	var records []archivedRecord
	if err := json.Unmarshal(e.Value, &records); err != nil {
		return nil, 0, fmt.Errorf("archive %s of distributions: %w: %w", rev, lease.ErrRecord, err)
	}
	return records, e.Revision, nil
}

// DeployArchived deploys what is kept under rev again, all or none, and returns
// it. The archive stays. Errors are lease.ErrArchiveNotFound, lease.ErrArchiveInvalid,
// ErrDistributionExists, and those of the disk and store.
func (l *Launcher) DeployArchived(ctx context.Context, rev string) ([]Distribution, error) {
	if err := lease.ValidRevision(rev); err != nil {
		return nil, err
	}
	records, revision, err := l.archived(ctx, rev)
	if err != nil {
		return nil, err
	}
	if revision == 0 {
		return nil, fmt.Errorf("%w: there is no archive %q of distributions", lease.ErrArchiveNotFound, rev)
	}
	if len(records) == 0 {
		return nil, nil
	}
	staged, err := os.MkdirTemp(filepath.Join(l.Home, "staging"), "deploy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(staged)
	list := make([]Distribution, len(records))
	for i, r := range records {
		content := filepath.Join(staged, fmt.Sprint(i))
		if err := os.Mkdir(content, 0o700); err != nil {
			return nil, err
		}
		if err := copyFolder(l.archiveDir(r.Folder), content, copyFile); err != nil {
			return nil, fmt.Errorf("deploy %s %s of archive %s: %w", r.Name, r.Version, rev, err)
		}
		d, err := readDescriptor(content)
		if err == nil && (d.Name != r.Name || d.Version != r.Version) {
			err = fmt.Errorf("its descriptor is that of %s %s", d.Name, d.Version)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s %s of archive %s: %w", ErrDistributionInvalid, r.Name, r.Version, rev, err)
		}
		list[i] = Distribution{
			Name: r.Name, Version: r.Version, DeployedAt: l.Now().UTC().Truncate(time.Millisecond),
			Dir: l.distributionDir(distributionID{r.Name, r.Version}), Descriptor: d,
		}
	}

	// As Deploy does: the names are taken in memory first, all of them.
	l.mu.Lock()
	for _, d := range list {
		id := distributionID{d.Name, d.Version}
		if _, ok := l.distributions[id]; ok {
			l.mu.Unlock()
			return nil, fmt.Errorf("%w: %s is deployed already: undeploy it first; nothing of archive %s was deployed", ErrDistributionExists, id, rev)
		}
	}
	for _, d := range list {
		l.distributions[distributionID{d.Name, d.Version}] = nil
	}
	l.mu.Unlock()
	err = l.installAll(ctx, staged, list)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range list {
		id := distributionID{d.Name, d.Version}
		if err != nil {
			delete(l.distributions, id)
			continue
		}
		l.distributions[id] = &deployed{Distribution: d}
	}
	if err != nil {
		return nil, fmt.Errorf("deploy archive %s: %w", rev, err)
	}
	return list, nil
}

// installAll moves the folders below staged, by the number of their
// distribution, into their places, and writes the records of all in one batch.
func (l *Launcher) installAll(ctx context.Context, staged string, list []Distribution) error {
	var b store.Batch
	undo := func() {
		for _, d := range list {
			_ = os.RemoveAll(d.Dir)
		}
	}
	for i, d := range list {
		err := l.place(filepath.Join(staged, fmt.Sprint(i)), d)
		if err == nil {
			b.IfAbsent(distributionKey(distributionID{d.Name, d.Version}))
			err = recordDistribution(&b, d)
		}
		if err != nil {
			undo()
			return err
		}
	}
	if err := store.CommitAll(ctx, l.Store, l.intentScope(), b); err != nil {
		if !errors.Is(err, store.ErrUnknown) {
			undo()
		}
		return err
	}
	return nil
}

// sweepArchives removes the folders of archives that no record names.
func (l *Launcher) sweepArchives(ctx context.Context) error {
	if l.Lost {
		return nil // one may be what is left of an archive
	}
	entries, _, err := l.Store.List(ctx, archivedDistributions)
	if err != nil {
		return fmt.Errorf("list the archives of distributions: %w", err)
	}
	known := make(map[string]bool)
	for _, e := range entries {
		var records []archivedRecord
		if err := json.Unmarshal(e.Value, &records); err != nil {
			l.Logger.Error("an archive of distributions cannot be read; no folder of one is removed", "archive", strings.TrimPrefix(e.Key, archivedDistributions), "error", err)
			return nil
		}
		for _, r := range records {
			known[r.Folder] = true
		}
	}
	l.sweep(l.archiveDir(""), known)
	return nil
}

// copyFolder makes the folders of from in to, which is there, and each file by
// file. What processes may have left there and is neither a file nor a folder nor
// a link is left out.
func copyFolder(from, to string, file func(from, to string) error) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		place := filepath.Join(to, rel)
		switch {
		case entry.IsDir():
			info, err := entry.Info()
			if err != nil {
				return err
			}
			// Its owner has to write into it, whatever became of it.
			return os.Mkdir(place, info.Mode().Perm()|0o700)
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, place)
		case entry.Type().IsRegular():
			return file(path, place)
		}
		return nil
	})
}

// copyFile copies a file with its mode, and has the disk take it.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	return out.Sync()
}
