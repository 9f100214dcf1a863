// Package floor measures the least that durable work costs on this machine:
// records appended to a file and synced, with nothing around them. Benchmarks of
// durable work report it beside their own figures, in the same run.
package floor

import (
	"os"
	"path/filepath"
	"sync"
)

// RecordBytes is the size of a record in bytes.
const RecordBytes = 100

// OneByOne appends n records to a new file in dir and syncs after each, as a
// single writer has to that answers only for what is durable.
func OneByOne(dir string, n int) (err error) {
	f, err := os.CreateTemp(dir, "floor")
	if err != nil {
		return err
	}
	defer discard(f, &err)
	record := make([]byte, RecordBytes)
	for range n {
		if _, err := f.Write(record); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// Grouped has writers append n records altogether to a new file in dir. Each
// writer waits until its record is synced before it gives the next one; the
// records that wait at that moment are written and synced together, and nobody
// is waited for.
func Grouped(dir string, writers, n int) (err error) {
	f, err := os.CreateTemp(dir, "floor")
	if err != nil {
		return err
	}
	defer discard(f, &err)

	waiting := make(chan chan error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		own := n / writers
		if i < n%writers {
			own++
		}
		wg.Go(func() {
			done := make(chan error, 1)
			for range own {
				waiting <- done
				if <-done != nil {
					return
				}
			}
		})
	}
	go func() {
		wg.Wait()
		close(waiting)
	}()

	buffer := make([]byte, 0, writers*RecordBytes)
	group := make([]chan error, 0, writers)
	for first := range waiting {
		group = append(group[:0], first)
		for more := true; more; {
			select {
			case next, ok := <-waiting:
				if more = ok; ok {
					group = append(group, next)
				}
			default:
				more = false
			}
		}
		werr := appendSynced(f, buffer[:len(group)*RecordBytes])
		for _, done := range group {
			done <- werr
		}
		if werr != nil {
			err = werr
		}
	}
	return err
}

func appendSynced(f *os.File, records []byte) error {
	if _, err := f.Write(records); err != nil {
		return err
	}
	return f.Sync()
}

// discard closes and removes a file.
func discard(f *os.File, err *error) {
	if cerr := f.Close(); *err == nil {
		*err = cerr
	}
	if rerr := os.Remove(filepath.Clean(f.Name())); *err == nil {
		*err = rerr
	}
}
