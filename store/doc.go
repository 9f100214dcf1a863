// Package store is the contract of what Berth keeps: a small ordered
// key-value store with atomic conditional batches and watching. Everything
// that must survive a crash is a key in it.
//
// # The model
//
// A store maps keys to values. A key is a path of words parted by slashes
// ("leases/host/tcp/8080"); keys are ordered bytewise, so that the keys of a
// folder stand together and are listed by their prefix.
//
// Changes are made by batches. A [Batch] has conditions (this key is absent;
// this key was last put at revision r) and operations (put, delete). It is
// applied all or nothing: readers and watchers see either none of it or all of
// it. A batch whose conditions do not hold changes nothing, and its error
// names the key, so that the caller can read that key again and decide anew.
//
// Batches take effect one after the other, and each has a [Revision], the
// store's own counter, which grows and survives. An [Entry] carries the
// revision of the batch that put it; a condition on it is therefore a
// compare-and-swap. Nothing compares times.
//
// An answer is given when the change is durable. The one case in between is
// [ErrUnknown]: the connection or the disk failed while the batch was on its
// way, and it may have been applied or not. Whoever gets it must treat what it
// wanted to change as pending until the keys were read again: rather keep a
// port from being leased than lease it twice.
//
// # Watching
//
// List returns a revision with its entries, and Watch reports every change
// after a revision, in order, a batch's changes with the same revision. A
// store keeps a bounded number of changes. Who asks for older ones, or falls
// too far behind, gets [ErrCompacted] and lists again.
//
// # Larger work
//
// A batch is small, at most [MaxOps] conditions and operations and [MaxBytes]
// bytes, because a cluster's store takes no more. [CommitAll] does larger
// all-or-nothing work as several batches, after it has written down how to
// undo them; [Recover] undoes what a crash has left half done. Others can see
// the work while it is half done; once CommitAll or Recover has returned, it
// is whole or gone.
//
// # Stores
//
// Package badger is the embedded store of one host. Package storetest has the
// suite of tests that every store passes, a store in memory and a store that
// fails on demand. A store translates its driver's errors into those of this
// package: nothing above it names a driver.
package store
