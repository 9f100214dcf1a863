package badger

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"berth/store"
)

// overlay is what the journal has and Badger does not have yet: the last change
// of each key. A key that changes often reaches Badger once.
type overlay struct {
	mu       sync.RWMutex
	revision store.Revision         // of the last group
	fresh    map[string]store.Event // of the journal's active file
	applying map[string]store.Event // of the other file, on its way to Badger
}

// add takes a group that the journal has.
func (o *overlay) add(last store.Revision, changes []store.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.revision = last
	for _, c := range changes {
		c.Value = bytes.Clone(c.Value) // it shares memory with the values of its group
		o.fresh[c.Key] = c
	}
}

// turn has all that is fresh be applied, and returns it with its last revision.
func (o *overlay) turn() (map[string]store.Event, store.Revision) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.applying, o.fresh = o.fresh, make(map[string]store.Event)
	return o.applying, o.revision
}

// applied says that Badger has what was being applied.
func (o *overlay) applied() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.applying = nil
}

// get returns the last change of a key, if it is here. The lock is held.
func (o *overlay) getLocked(key string) (store.Event, bool) {
	if e, ok := o.fresh[key]; ok {
		return e, true
	}
	e, ok := o.applying[key]
	return e, ok
}

// under returns the last changes of all keys with a prefix, ordered by key. The
// lock is held.
func (o *overlay) underLocked(prefix string) []store.Event {
	var list []store.Event
	for key, e := range o.fresh {
		if strings.HasPrefix(key, prefix) {
			list = append(list, e)
		}
	}
	for key, e := range o.applying {
		if _, newer := o.fresh[key]; !newer && strings.HasPrefix(key, prefix) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b store.Event) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// merge lays changes over entries, both ordered by key.
func merge(entries []store.Entry, changes []store.Event) []store.Entry {
	if len(changes) == 0 {
		return entries
	}
	merged := make([]store.Entry, 0, len(entries)+len(changes))
	for len(entries) > 0 || len(changes) > 0 {
		switch {
		case len(changes) == 0 || len(entries) > 0 && entries[0].Key < changes[0].Key:
			merged = append(merged, entries[0])
			entries = entries[1:]
			continue
		case len(entries) > 0 && entries[0].Key == changes[0].Key:
			entries = entries[1:]
		}
		if c := changes[0]; !c.Deleted {
			e := c.Entry
			e.Value = slices.Clone(e.Value)
			merged = append(merged, e)
		}
		changes = changes[1:]
	}
	return merged
}
