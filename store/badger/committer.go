package badger

import (
	"encoding/binary"
	"fmt"

	driver "github.com/dgraph-io/badger/v4"

	"berth/internal/failpoint"
	"berth/store"
)

// committer knows the revision of every key and decides on batches. Only the goroutine of run uses it.
type committer struct {
	index    map[string]store.Revision
	digest   uint64         // of the index
	revision store.Revision // the last one given
	damaged  error          // of batches that make keys and do not mend; nil to take them
	noRoom   error          // of batches that make keys; nil to take them

	// Of the group at hand; the slices are used again.
	answers []answer
	events  []store.Event
	first   store.Revision // of the group, if it changed anything
}

// withdrawn stands for a batch whose caller has gone.
var withdrawn = answer{revision: -1}

// set notes the revision of a key, 0 if it is deleted.
func (c *committer) set(key string, r store.Revision) {
	if old := c.index[key]; old != 0 {
		c.digest ^= keyDigest(key, old)
	}
	if r == 0 {
		delete(c.index, key)
		return
	}
	c.digest ^= keyDigest(key, r)
	c.index[key] = r
}

// load reads the revisions of all keys. The revision is that of the last
// checkpoint that is complete; keys can be newer, of one that is not.
func (c *committer) load(db *driver.DB) error {
	c.index, c.digest = make(map[string]store.Revision), 0
	return db.View(func(txn *driver.Txn) (err error) {
		if c.revision, err = lastRevision(txn); err != nil {
			return err
		}
		it := txn.NewIterator(driver.IteratorOptions{Prefix: []byte{dataMark}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			key := string(item.Key()[1:])
			err := item.Value(func(stored []byte) error {
				r, _, err := decodeValue(stored)
				if err == nil {
					c.set(key, r)
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("read %q: %w", key, err)
			}
		}
		return nil
	})
}

// entryOverhead is added to the size of each entry, so that our estimate of a
// transaction is above Badger's, which adds a version and a few bytes.
const entryOverhead = 1 + revisionBytes + 32

// evaluate decides on the first n batches of a group, as many as one
// record of the journal takes, and prepares their answers and events. Each batch
// sees those before it.
func (c *committer) evaluate(group []*request) (n int) {
	c.answers, c.events = c.answers[:0], c.events[:0]
	c.first = c.revision + 1
	bytes, ops, valueBytes := 0, 0, 0
	for _, r := range group {
		size := r.batch.Size() + len(r.batch.Ops)*entryOverhead
		if n > 0 && (bytes+size > groupBytes || ops+len(r.batch.Ops) > groupEntries) {
			break
		}
		if !r.taken.CompareAndSwap(false, true) {
			c.answers = append(c.answers, withdrawn)
			n++
			continue
		}
		for i := range r.batch.Ops {
			valueBytes += len(r.batch.Ops[i].Value)
		}
		bytes += size
		ops += len(r.batch.Ops)
		c.answers = append(c.answers, answer{})
		n++
	}
	// The values of a group share one piece of memory, which the feed
	// keeps as long as one of its events.
	values := make([]byte, 0, valueBytes)
	for i, r := range group[:n] {
		if c.answers[i] == withdrawn {
			continue
		}
		c.answers[i], values = c.apply(r.batch, r.mends, values)
	}
	return n
}

// apply decides on a batch and appends what it changes. One that mends is not
// refused for damage.
func (c *committer) apply(b store.Batch, mends bool, values []byte) (answer, []byte) {
	for _, cond := range b.Conditions {
		if c.index[cond.Key] != cond.Revision && !failpoint.Planted("lease-twice") {
			return answer{err: &store.ConflictError{Key: cond.Key}}, values
		}
	}
	refusal := c.noRoom
	if c.damaged != nil && !mends {
		refusal = c.damaged
	}
	if refusal != nil && c.makesKeys(b) {
		return answer{err: refusal}, values
	}
	c.revision++
	for _, op := range b.Ops {
		event := store.Event{Entry: store.Entry{Key: op.Key, Revision: c.revision}, Deleted: op.Delete}
		if op.Delete {
			if c.index[op.Key] == 0 {
				continue
			}
			c.set(op.Key, 0)
		} else {
			c.set(op.Key, c.revision)
			start := len(values)
			values = append(values, op.Value...)
			event.Value = values[start:len(values):len(values)]
		}
		c.events = append(c.events, event)
	}
	return answer{revision: c.revision}, values
}

// makesKeys reports whether a batch adds to what is kept: it puts a key that is
// absent. What ends leases and changes records does not, and work that has begun
// with an intent is let through to its end, or back.
func (c *committer) makesKeys(b store.Batch) bool {
	for _, cond := range b.Conditions {
		if cond.Revision != 0 && store.IsIntent(cond.Key) {
			return false
		}
	}
	for _, op := range b.Ops {
		if !op.Delete && c.index[op.Key] == 0 {
			return true
		}
	}
	return false
}

// writeChanges writes changes into Badger, in as many transactions as it takes,
// the revision with the last one, and returns when the disk has them.
func writeChanges(db *driver.DB, changes map[string]store.Event, last store.Revision) error {
	txn := db.NewTransaction(true)
	defer func() { txn.Discard() }()
	bytes, entries := 0, 0
	for key, c := range changes {
		size := len(key) + len(c.Value) + entryOverhead
		if entries > 0 && (bytes+size > groupBytes || entries == groupEntries) {
			if err := txn.Commit(); err != nil {
				return err
			}
			txn = db.NewTransaction(true)
			bytes, entries = 0, 0
		}
		bytes += size
		entries++
		var err error
		if c.Deleted {
			err = txn.Delete(dataKey(key))
		} else {
			stored := binary.BigEndian.AppendUint64(make([]byte, 0, revisionBytes+len(c.Value)), uint64(c.Revision))
			err = txn.Set(dataKey(key), append(stored, c.Value...))
		}
		if err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	if err := txn.Set(revisionKey, binary.BigEndian.AppendUint64(nil, uint64(last))); err != nil {
		return err
	}
	return txn.Commit()
}
