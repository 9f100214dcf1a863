package conf

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"berth/store"
)

// Kind is a kind of settings that is archived by itself.
type Kind string

// The kinds.
const (
	Properties Kind = "properties" // of server and processes
	Tags       Kind = "tags"
	Execs      Kind = "execs" // exec configurations
)

// folders are the folders of a host that hold a kind.
func (k Kind) folders() []string {
	switch k {
	case Properties:
		return []string{serverFolder, processFolder, categoryFolder}
	case Tags:
		return []string{tagFolder}
	case Execs:
		return []string{execFolder}
	}
	return nil
}

// Archive keeps the settings of some kinds under rev, in place of what was kept
// there, and returns how many there are of each. A rev has letters, digits, '.',
// '_' and '-'; another one is ErrArchiveInvalid.
func (c *Settings) Archive(ctx context.Context, rev string, kinds ...Kind) (kept map[Kind]int, err error) {
	err = c.change(ctx, func(ctx context.Context) (b store.Batch, err error) {
		b, kept, err = c.archiving(ctx, rev, kinds)
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("archive settings as %s: %w", rev, err)
	}
	return kept, nil
}

// ArchiveWith does as Archive, and has commit write it together with its own.
func (c *Settings) ArchiveWith(ctx context.Context, rev string, kinds []Kind, commit func(context.Context, store.Batch) error) (kept map[Kind]int, err error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	b, kept, err := c.archiving(ctx, rev, kinds)
	if err == nil {
		err = commit(ctx, b)
	}
	return kept, err
}

func (c *Settings) archiving(ctx context.Context, rev string, kinds []Kind) (b store.Batch, kept map[Kind]int, err error) {
	if err := checkRevision(rev); err != nil {
		return b, nil, err
	}
	kept = make(map[Kind]int, len(kinds))
	for _, kind := range kinds {
		head := c.archiveKey(rev, kind)
		old, _, err := c.store.List(ctx, head+"/")
		if err != nil {
			return b, nil, fmt.Errorf("read archive %s: %w", rev, err)
		}
		stays := make(map[string]bool)
		kept[kind] = 0
		for _, folder := range kind.folders() {
			entries, err := c.list(ctx, folder)
			if err != nil {
				return b, nil, err
			}
			for _, e := range entries {
				key := head + "/" + folder + e.Key
				stays[key] = true
				b.Put(key, e.Value)
			}
			kept[kind] += len(entries)
		}
		for _, e := range old {
			if !stays[e.Key] {
				b.Delete(e.Key)
			}
		}
		b.Put(head, nil)
	}
	return b, kept, nil
}

// Unarchive brings the settings of some kinds back that are kept under rev, and
// returns how many of each. Those of the same names are replaced, others stay,
// and so does the archive. Nothing changes where one kind was not archived:
// ErrArchiveNotFound.
func (c *Settings) Unarchive(ctx context.Context, rev string, kinds ...Kind) (restored map[Kind]int, err error) {
	err = c.change(ctx, func(ctx context.Context) (b store.Batch, err error) {
		b, restored, err = c.unarchiving(ctx, rev, kinds)
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("unarchive settings of %s: %w", rev, err)
	}
	return restored, nil
}

// UnarchiveWith does as Unarchive, and has commit write it together with its own.
func (c *Settings) UnarchiveWith(ctx context.Context, rev string, kinds []Kind, commit func(context.Context, store.Batch) error) (restored map[Kind]int, err error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	b, restored, err := c.unarchiving(ctx, rev, kinds)
	if err == nil {
		err = commit(ctx, b)
	}
	return restored, err
}

func (c *Settings) unarchiving(ctx context.Context, rev string, kinds []Kind) (b store.Batch, restored map[Kind]int, err error) {
	if err := checkRevision(rev); err != nil {
		return b, nil, err
	}
	restored = make(map[Kind]int, len(kinds))
	for _, kind := range kinds {
		head := c.archiveKey(rev, kind)
		if _, err := c.store.Get(ctx, head); errors.Is(err, store.ErrNotFound) {
			return b, nil, stated(ErrArchiveNotFound, "there is no archive %q of %s", rev, kind)
		} else if err != nil {
			return b, nil, fmt.Errorf("read archive %s: %w", rev, err)
		}
		entries, _, err := c.store.List(ctx, head+"/")
		if err != nil {
			return b, nil, fmt.Errorf("read archive %s: %w", rev, err)
		}
		for _, e := range entries {
			b.Put(c.folder()+strings.TrimPrefix(e.Key, head+"/"), e.Value)
		}
		restored[kind] = len(entries)
	}
	return b, restored, nil
}

func (c *Settings) archiveKey(rev string, kind Kind) string {
	return "archives/conf/" + c.host + "/" + rev + "/" + string(kind)
}

func checkRevision(rev string) error {
	other := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	}
	if rev == "" || len(rev) > maxName || strings.ContainsFunc(rev, other) {
		return stated(ErrArchiveInvalid, "archive %.40q: a name has letters, digits, '.', '_' and '-'", rev)
	}
	return nil
}
