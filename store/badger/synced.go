//go:build !faults

package badger

// unsynced has no commit wait for the disk. That is never so.
const unsynced = false
