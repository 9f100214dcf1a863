package portmaster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"berth/lease"
	"berth/store"
)

// noteFolder is where the notes are.
const noteFolder = "offers/local/"

// note is what the adapter knows of a lease besides the lease.
type note struct {
	Service string    `json:"service"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`          // when it was offered; of what was accepted, when that was
	Secret  string    `json:"secret,omitempty"` // the digest of the secret of an offer
}

// named is an offer by its service and name.
type named struct{ service, name string }

// notes are the notes that the store has.
type notes struct {
	store store.Store

	mu       sync.Mutex
	byLease  map[lease.ID]note
	bySecret map[string]lease.ID // the digests of offers
	byName   map[named]lease.ID  // offers
}

func newNotes(st store.Store) *notes {
	return &notes{store: st, byLease: map[lease.ID]note{}, bySecret: map[string]lease.ID{}, byName: map[named]lease.ID{}}
}

func noteKey(id lease.ID) string { return noteFolder + string(id) }

// put adds to a batch that a note is written.
func (n note) put(b *store.Batch, id lease.ID) {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // plain data
	}
	b.Put(noteKey(id), text)
}

// load reads the notes, and returns the keys of those that cannot be read.
func (n *notes) load(ctx context.Context) (bad []string, err error) {
	entries, _, err := n.store.List(ctx, noteFolder)
	if err != nil {
		return nil, fmt.Errorf("read the offers: %w", err)
	}
	for _, e := range entries {
		var read note
		if err := json.Unmarshal(e.Value, &read); err != nil {
			bad = append(bad, e.Key)
			continue
		}
		n.keep(lease.ID(strings.TrimPrefix(e.Key, noteFolder)), read)
	}
	return bad, nil
}

// keep takes a note into memory, in place of the one that the lease had.
func (n *notes) keep(id lease.ID, kept note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgetLocked(id)
	n.byLease[id] = kept
	if kept.Secret != "" {
		n.bySecret[kept.Secret] = id
		n.byName[named{kept.Service, kept.Name}] = id
	}
}

func (n *notes) forget(id lease.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgetLocked(id)
}

func (n *notes) forgetLocked(id lease.ID) {
	old, ok := n.byLease[id]
	if !ok {
		return
	}
	delete(n.byLease, id)
	delete(n.bySecret, old.Secret)
	if name := (named{old.Service, old.Name}); n.byName[name] == id {
		delete(n.byName, name)
	}
}

// of returns the note of a lease.
func (n *notes) of(id lease.ID) (note, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	found, ok := n.byLease[id]
	return found, ok
}

// secretOf returns which lease is offered with a secret.
func (n *notes) secretOf(s secret) (lease.ID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id, ok := n.bySecret[s.digest()]
	return id, ok
}

// offered returns which lease was offered last for a name.
func (n *notes) offered(service, name string) (lease.ID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id, ok := n.byName[named{service, name}]
	return id, ok
}

// all are the leases that have notes.
func (n *notes) all() []lease.ID {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := make([]lease.ID, 0, len(n.byLease))
	for id := range n.byLease {
		ids = append(ids, id)
	}
	return ids
}

// reread takes from the store what became of a note in a commit that failed, if
// the store tells.
func (n *notes) reread(ctx context.Context, id lease.ID) {
	e, err := n.store.Get(context.WithoutCancel(ctx), noteKey(id))
	var read note
	switch {
	case errors.Is(err, store.ErrNotFound):
		n.forget(id)
	case err == nil && json.Unmarshal(e.Value, &read) == nil:
		n.keep(id, read)
	}
}
