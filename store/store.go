package store

import "context"

// MaxOps is the most conditions and operations, counted together, that one
// batch may hold. It is etcd's default for a transaction. Larger
// all-or-nothing work goes through [CommitAll].
const MaxOps = 128

// MaxBytes is the most bytes of keys and values, those of its conditions and
// operations added up, that one batch may hold. Every store takes that much.
const MaxBytes = 512 << 10

// MaxKeyBytes is the length in bytes of the longest key.
const MaxKeyBytes = 4 << 10

// Revision numbers the batches of a store, from 1 in the order in which they
// took effect. It is the store's own counter: it survives Close and Open and
// never goes back. Every key a batch puts carries the batch's revision.
type Revision int64

// Entry is a key with its value and the revision of the batch that put it.
type Entry struct {
	Key      string
	Value    []byte
	Revision Revision
}

// Store is a small ordered key-value store with atomic conditional batches
// and watching: what etcd's transactions are, and what Badger can be.
//
// Keys are non-empty UTF-8, parted by slashes, ordered bytewise. An empty
// value and none are the same. Values given out belong to the caller, and so
// do those of a batch once Commit has returned. All methods may be called from
// many goroutines. A context that has ended is answered with its error and
// nothing is done. After Close every method answers [ErrClosed].
type Store interface {
	// Get returns the entry of key, or an error that is ErrNotFound.
	Get(ctx context.Context, key string) (Entry, error)

	// List returns all entries whose keys start with prefix, ordered by key,
	// as they were at one moment, and the revision of that moment: a Watch
	// from there misses nothing.
	List(ctx context.Context, prefix string) ([]Entry, Revision, error)

	// Commit applies a batch, all or nothing, and returns its revision once it
	// is durable. Its errors are
	//   - a *ConflictError (it is ErrConflict): a condition did not hold; nothing changed;
	//   - ErrUnknown: it may have happened. What was pending stays pending
	//     until its keys have been read again;
	//   - ErrTooLarge: more than MaxOps or MaxBytes, or a key longer than MaxKeyBytes; nothing changed;
	//   - ErrInvalid: an empty batch, a key that is empty or not UTF-8, or one key changed twice; nothing changed;
	//   - ErrNoSpace, ErrDamaged: the store takes no batch now that makes keys; nothing changed.
	//     One that puts back what was lost is taken in spite of damage: see Rebuilding.
	//     Batches that only change and delete keys are taken as long as there is any room;
	//   - ErrClosed, or the context's error if the batch was not begun.
	Commit(ctx context.Context, batch Batch) (Revision, error)

	// Watch reports the changes to keys that start with prefix made after
	// the given revision, in their order, until ctx ends or the store closes.
	// A revision that is no longer kept is ErrCompacted: List again and watch from there.
	// A revision still to come is waited for.
	Watch(ctx context.Context, prefix string, after Revision) (Watcher, error)

	// Close ends the store. It may be called twice.
	Close() error
}

// Watcher is a stream of changes, read by one goroutine.
type Watcher interface {
	// Next waits for the next change. It returns ErrCompacted when the
	// watcher fell too far behind, ErrClosed when the store was closed, and
	// the context's error when ctx, or the watch's own context, ended.
	Next(ctx context.Context) (Event, error)
}

// Event is a change of one key.
type Event struct {
	// Entry is the key with its new value; after a deletion the value is nil.
	// Revision is that of the batch that changed it.
	Entry
	Deleted bool
}
