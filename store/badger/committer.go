package badger

import (
	"encoding/binary"
	"fmt"

	driver "github.com/dgraph-io/badger/v4"

	"berth/store"
)

// committer knows the revision of every key, decides on batches and writes
// them. Only the goroutine of run uses it.
type committer struct {
	index    map[string]store.Revision
	revision store.Revision // the last one given

	// Of the transaction at hand; the slices are used again.
	answers []answer
	events  []store.Event
	entries []driver.Entry
	keys    []byte // what the entries' keys are made of
	changed bool
}

// withdrawn stands for a batch whose caller has gone.
var withdrawn = answer{revision: -1}

// load reads the revisions of all keys.
func (c *committer) load(db *driver.DB) error {
	c.index = make(map[string]store.Revision)
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
				c.index[key] = r
				return err
			})
			if err != nil {
				return fmt.Errorf("read %q: %w", key, err)
			}
			c.revision = max(c.revision, c.index[key])
		}
		return nil
	})
}

// entryOverhead is added to the size of each entry, so that our estimate of a
// transaction is above Badger's, which adds a version and a few bytes.
const entryOverhead = 1 + revisionBytes + 32

// evaluate decides on the first n batches of a group, as many as one
// transaction takes, and prepares their answers, events and entries. Each batch
// sees those before it.
func (c *committer) evaluate(group []*request) (n int) {
	c.answers, c.events, c.entries, c.keys = c.answers[:0], c.events[:0], c.entries[:0], c.keys[:0]
	c.changed = false
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
			valueBytes += revisionBytes + len(r.batch.Ops[i].Value)
		}
		bytes += size
		ops += len(r.batch.Ops)
		c.answers = append(c.answers, answer{})
		n++
	}
	// The values of a transaction share one piece of memory, which the feed
	// keeps as long as one of its events.
	values := make([]byte, 0, valueBytes)
	for i, r := range group[:n] {
		if c.answers[i] == withdrawn {
			continue
		}
		c.answers[i], values = c.apply(r.batch, values)
	}
	return n
}

// apply decides on a batch and appends what it changes.
func (c *committer) apply(b store.Batch, values []byte) (answer, []byte) {
	for _, cond := range b.Conditions {
		if c.index[cond.Key] != cond.Revision {
			return answer{err: &store.ConflictError{Key: cond.Key}}, values
		}
	}
	c.revision++
	c.changed = true
	for _, op := range b.Ops {
		event := store.Event{Entry: store.Entry{Key: op.Key, Revision: c.revision}, Deleted: op.Delete}
		entry := driver.Entry{}
		if op.Delete {
			if c.index[op.Key] == 0 {
				continue
			}
			delete(c.index, op.Key)
		} else {
			c.index[op.Key] = c.revision
			start := len(values)
			values = binary.BigEndian.AppendUint64(values, uint64(c.revision))
			values = append(values, op.Value...)
			entry.Value = values[start:len(values):len(values)]
			event.Value = entry.Value[revisionBytes:]
		}
		entry.Key = c.key(op.Key)
		c.entries = append(c.entries, entry)
		c.events = append(c.events, event)
	}
	return answer{revision: c.revision}, values
}

// key makes Badger's key in memory that is used again for the next transaction.
func (c *committer) key(key string) []byte {
	start := len(c.keys)
	c.keys = append(append(c.keys, dataMark), key...)
	return c.keys[start:len(c.keys):len(c.keys)]
}

// write writes the transaction at hand and returns when the disk has it.
func (c *committer) write(db *driver.DB) error {
	if !c.changed {
		return nil
	}
	txn := db.NewTransaction(true)
	defer txn.Discard()
	for i := range c.entries {
		e := &c.entries[i]
		var err error
		if e.Value == nil {
			err = txn.Delete(e.Key)
		} else {
			err = txn.SetEntry(e)
		}
		if err != nil {
			return fmt.Errorf("key %q: %w", e.Key[1:], err)
		}
	}
	last := binary.BigEndian.AppendUint64(nil, uint64(c.revision))
	if err := txn.Set(revisionKey, last); err != nil {
		return err
	}
	return txn.Commit()
}
