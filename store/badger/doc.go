// Package badger is the store of one host: Badger, embedded, in a folder.
//
// Commits that wait are written together. One goroutine, the committer, takes
// all that wait, looks at the conditions of each batch in turn against an index
// of the revisions of all keys in memory, writes what holds as one synced
// Badger transaction, and then answers all of them. So nobody is told of a
// change that the disk does not have, and what many callers wait for costs one
// sync. The index is exact because the committer is the only writer.
//
// The revision is the store's own counter, because Badger gives a transaction
// one version: it stands before each value, and the last one has a key of its
// own that no listing shows.
//
// The first error of a write or a sync is the last thing a store does: whether
// the disk has the group is unknown then, and a later sync of the same pages
// may answer well without having written them. Failed tells of it.
package badger
