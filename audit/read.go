package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// maxBlock is how many bytes of records are read at a time. A line is never that long.
const maxBlock = 256 << 10

// Last returns the last records, at most n of them, the oldest first. Lines that
// are no records are left out.
func (l *Log) Last(n int) ([]Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last(n)
}

// last is Last, with the lock held: no file is rotated meanwhile.
func (l *Log) last(n int) ([]Record, error) {
	var parts [][]Record
	for i := 0; i <= l.o.Files && n > 0; i++ {
		data, err := tail(l.path(i), n)
		if errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read the audit: %w", err)
		}
		records := parse(data)
		records = records[max(0, len(records)-n):]
		n -= len(records)
		parts = append(parts, records)
	}
	slices.Reverse(parts)
	return slices.Concat(parts...), nil
}

// tailBlock is how many bytes are read at a time from the end of a file.
const tailBlock = 64 << 10

// tail returns the end of a file, with at least its last n lines.
func tail(path string, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	var blocks [][]byte
	for lines := -1; at > 0 && lines < n; {
		block := make([]byte, min(at, tailBlock))
		at -= int64(len(block))
		if _, err := f.ReadAt(block, at); err != nil {
			return nil, err
		}
		lines += bytes.Count(block, []byte{'\n'})
		blocks = append(blocks, block)
	}
	slices.Reverse(blocks)
	data := slices.Concat(blocks...)
	if at > 0 {
		// It begins in the middle of a line.
		_, data, _ = bytes.Cut(data, []byte{'\n'})
	}
	return data, nil
}

func parse(data []byte) []Record {
	var records []Record
	for line := range bytes.Lines(data) {
		if r, ok := parseLine(line); ok {
			records = append(records, r)
		}
	}
	return records
}

func parseLine(line []byte) (r Record, ok bool) {
	ok = json.Unmarshal(line, &r) == nil && r.Operation != ""
	return r, ok
}

// Follow hands on the last n records and then what is added, until ctx ends, stop
// or the log is closed, or take returns an error, which is returned. It reads the
// files, so nobody waits for a slow reader; one that is so slow that a file is
// gone which it has not read misses that.
func (l *Log) Follow(ctx context.Context, stop <-chan struct{}, n int, take func([]Record) error) error {
	var last []Record
	r := &reader{log: l}
	err := func() (err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if last, err = l.last(n); err != nil {
			return err
		}
		r.at = l.size
		r.file, err = os.Open(l.path(0))
		return err
	}()
	if err != nil {
		return fmt.Errorf("follow the audit: %w", err)
	}
	defer func() { r.file.Close() }()
	if err := take(last); err != nil {
		return err
	}
	for {
		records, more, err := r.next()
		if err != nil {
			return fmt.Errorf("follow the audit: %w", err)
		}
		if len(records) > 0 {
			if err := take(records); err != nil {
				return err
			}
		}
		if more == nil {
			continue
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		case <-stop:
			return nil
		}
	}
}

// reader reads the files one after the other.
type reader struct {
	log  *Log
	file *os.File
	at   int64 // how much of the file was read
}

// next returns records that were not read yet; more is nil where there may be
// others, and else closed once there are.
func (r *reader) next() (records []Record, more <-chan struct{}, err error) {
	end, more, err := r.look()
	if err != nil || r.at == end {
		return nil, more, err
	}
	block := make([]byte, min(end-r.at, maxBlock))
	if _, err := r.file.ReadAt(block, r.at); err != nil {
		return nil, nil, err
	}
	if i := bytes.LastIndexByte(block, '\n'); i >= 0 {
		block = block[:i+1]
	}
	r.at += int64(len(block))
	return parse(block), nil, nil
}

// look tells how much of the file may be read. From one that was read and is
// rotated it goes on to the next.
func (r *reader) look() (end int64, more <-chan struct{}, err error) {
	l := r.log
	l.mu.Lock() // no file is rotated meanwhile
	defer l.mu.Unlock()
	mine, err := r.file.Stat()
	if err != nil {
		return 0, nil, err
	}
	if l.file == nil {
		return mine.Size(), l.written, nil
	}
	if present, err := l.file.Stat(); err != nil || os.SameFile(present, mine) {
		return l.size, l.written, err
	}
	if r.at < mine.Size() {
		return mine.Size(), nil, nil
	}
	f, err := os.Open(l.after(mine))
	if err != nil {
		return 0, nil, err
	}
	r.file.Close()
	r.file, r.at = f, 0
	return 0, nil, nil
}

// after is the file that was begun after one that is not the present one, the
// oldest of all where that one is gone.
func (l *Log) after(file fs.FileInfo) string {
	later := l.path(0)
	for i := range l.o.Files + 1 {
		switch info, err := os.Stat(l.path(i)); {
		case err != nil:
		case os.SameFile(info, file):
			return later
		default:
			later = l.path(i)
		}
	}
	return later
}
