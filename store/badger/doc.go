// Package badger is the store of one host: Badger, embedded, in a folder, with
// a journal before it.
//
// Commits that wait are written together. One goroutine, the committer, takes
// all that wait, looks at the conditions of each batch in turn against an index
// of the revisions of all keys in memory, appends what holds to the journal as
// one record, syncs that, and then answers all of them. So nobody is told of a
// change that the disk does not have, and what many callers wait for costs one
// sync. The index is exact because the committer is the only writer.
//
// The journal is two preallocated files that are written in turn. When one is
// full, the last change of each key in it goes to Badger, in synced
// transactions, while the other one is written. Until Badger has them these
// changes are in memory, and reads see them there. Opening brings to Badger what
// is left in the journal, so that a store that was killed needs nothing else.
// The journal is there because a transaction of Badger costs two syncs and some
// microseconds of processor time for each key.
//
// Loss is never silent. Badger drops what a damaged log has without a word, and
// a damaged end of the journal looks as one that was being written. So a second,
// small file, the sequence, says what was acknowledged last, with a digest of
// the revisions of all keys, and opening compares what it finds with that. What
// is lost is logged and written down, and until Accept says that it is known
// the store takes no batch that makes keys; those that change and delete are
// taken, so that what is there can end.
//
// The revision is the store's own counter, because Badger gives a transaction
// one version: it stands before each value, and the last one has a key of its
// own that no listing shows.
//
// Badger's files are memory-mapped, and a full disk would end the process with
// SIGBUS. So with little room no keys are made, later Badger gets nothing and the
// journal grows, in blocks that are allocated before a record is decided on; a
// ballast file is given up for that, and for opening. With room it is all as before.
//
// The first error of a write or a sync is not tried again: whether the disk has
// the group is unknown then, and a later sync of the same pages may answer well
// without having written them. The store opens itself anew instead, and goes on
// with what the disk has; those who waited learn that the outcome is unknown. Only
// if that fails too the store ends: Failed tells of it.
package badger
