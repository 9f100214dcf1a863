package conf

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"berth/store"
)

// Settings are the settings of a server. Its methods may be called from many
// goroutines.
type Settings struct {
	store store.Store
	host  string

	// changing is held while a change is made, so that who reads sees all of it
	// or nothing: a large one is more than one batch.
	changing sync.RWMutex
	left     bool // a change may have left an intent behind; guarded by changing
}

// Open returns the settings of a host that s holds, and ends what an earlier
// daemon has left half done. The store is closed by the caller.
func Open(ctx context.Context, s store.Store, host string) (*Settings, error) {
	c := &Settings{store: s, host: host}
	if _, err := store.Recover(ctx, s, c.intentScope()); err != nil {
		return nil, fmt.Errorf("undo what was left half done of the settings: %w", err)
	}
	return c, nil
}

func (c *Settings) intentScope() string { return "conf-" + c.host }

func (c *Settings) folder() string { return "conf/" + c.host + "/" }

// The folders below that of a host.
const (
	serverFolder   = "server/"
	processFolder  = "process/"
	categoryFolder = "category/"
	tagFolder      = "tags/"
	execFolder     = "execs/"
	bootKey        = "booted"
)

// change makes a batch of what is there and commits it. Without operations
// nothing is done.
func (c *Settings) change(ctx context.Context, make func(context.Context) (store.Batch, error)) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.left {
		if _, err := store.Recover(ctx, c.store, c.intentScope()); err != nil {
			return err
		}
		c.left = false
	}
	b, err := make(ctx)
	if err != nil || len(b.Ops) == 0 {
		return err
	}
	err = store.CommitAll(ctx, c.store, c.intentScope(), b)
	c.left = errors.Is(err, store.ErrUnknown) || err != nil && b.Len() > store.MaxOps
	return err
}

// list returns what is below a folder of the host, by the rest of its key.
func (c *Settings) list(ctx context.Context, folder string) ([]store.Entry, error) {
	prefix := c.folder() + folder
	entries, _, err := c.store.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	for i := range entries {
		entries[i].Key = strings.TrimPrefix(entries[i].Key, prefix)
	}
	return entries, nil
}

// escape makes a name a part of a key.
func escape(name string) string { return url.PathEscape(name) }

// unescape is the name that escape was given.
func unescape(part string) string {
	name, err := url.PathUnescape(part)
	if err != nil {
		return part
	}
	return name
}

const (
	// maxName is the most bytes of the name of a property, a category or a tag,
	// maxValue of a property's value.
	maxName  = 255
	maxValue = 64 << 10
)

// checkWord checks the name of a category or a tag.
func checkWord(kind, word string) error {
	switch {
	case word == "":
		return stated(ErrInvalid, "a %s has no name", kind)
	case len(word) > maxName:
		return stated(ErrInvalid, "%s %.40q…: a name has at most %d bytes", kind, word, maxName)
	case strings.ContainsFunc(word, unprintable) || strings.ContainsAny(word, ",*"):
		return stated(ErrInvalid, "%s %q: a name has no comma, no * and no control characters", kind, word)
	}
	return nil
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }
