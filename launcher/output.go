package launcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// outputName is the file in a process' folder that its standard output and error
// go to. Older output is in files with a number behind that, 1 the newest.
const outputName = "process.out"

// Output is what a process wrote, the old files and the present one in a row. A
// position in it stays that of the same byte while the files are rotated.
type Output struct {
	dir string

	rotating sync.Mutex // one rotation at a time

	mu    sync.Mutex
	start int64       // the position of the first byte that is kept
	sizes []int64     // of the old files, the oldest first
	seen  os.FileInfo // the present file, when it was looked at last
}

// NewOutput is the output in the folder of a process.
func NewOutput(dir string) (*Output, error) {
	o := &Output{dir: dir}
	if err := o.recover(); err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		info, err := os.Stat(o.old(n))
		if errors.Is(err, fs.ErrNotExist) {
			return o, nil
		}
		if err != nil {
			return nil, err
		}
		o.sizes = append([]int64{info.Size()}, o.sizes...)
	}
}

func (o *Output) present() string { return filepath.Join(o.dir, outputName) }

func (o *Output) old(n int) string { return o.present() + "." + strconv.Itoa(n) }

// unfinished is a copy that is not an old file yet.
func (o *Output) unfinished() string { return o.present() + ".new" }

// Files are the files that there are, the newest first.
func (o *Output) Files() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := []string{o.present()}
	for n := range o.sizes {
		list = append(list, o.old(n+1))
	}
	return list
}

// base is the position of the first byte of the present file. The lock is held.
func (o *Output) base() int64 {
	at := o.start
	for _, size := range o.sizes {
		at += size
	}
	return at
}

// look looks at the present file. One that is another file than before, since
// somebody has moved that away, has other positions. The lock is held.
func (o *Output) look() (os.FileInfo, error) {
	info, err := os.Stat(o.present())
	if err != nil {
		return nil, err
	}
	if o.seen != nil && !os.SameFile(o.seen, info) {
		o.start += o.seen.Size()
	}
	o.seen = info
	return info, nil
}

// Bounds are the positions of the first byte that is kept, and of the one
// behind the last. The error wraps fs.ErrNotExist where there is no output.
func (o *Output) Bounds() (first, end int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	info, err := o.look()
	if err != nil {
		return 0, 0, err
	}
	return o.start, o.base() + info.Size(), nil
}

// Read reads from a position on, and tells the one it has read from: a later one
// where what was there is not kept any more, and the beginning of the present
// file where that was emptied. At the end the error is io.EOF.
func (o *Output) Read(b []byte, at int64) (n int, from int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	info, err := o.look()
	if err != nil {
		return 0, at, err
	}
	at = max(at, o.start)
	begin := o.start
	for i, size := range o.sizes {
		if at < begin+size {
			n, err := readAt(o.old(len(o.sizes)-i), b[:min(int64(len(b)), begin+size-at)], at-begin)
			if n == 0 { // somebody has shortened or removed it
				return 0, begin + size, nil
			}
			return n, at, dropEOF(err)
		}
		begin += size
	}
	if at > begin+info.Size() {
		at = begin
	}
	n, err = readAt(o.present(), b, at-begin)
	if n > 0 {
		err = dropEOF(err)
	}
	return n, at, err
}

func dropEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func readAt(file string, b []byte, at int64) (int, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(b, at)
}

// ReadAt fills b from a position on, as io.ReaderAt.
func (o *Output) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		k, from, err := o.Read(b[n:], at)
		if err != nil {
			return n, err
		}
		n, at = n+k, from+int64(k)
	}
	return n, nil
}

// rotate makes what the present file has beyond a cap an old file, of which at
// most so many are kept. The process goes on writing to the same file: what was
// copied is taken away at its beginning, by fallocate(2) with
// FALLOC_FL_COLLAPSE_RANGE, of which a writer that appends notices nothing. Where
// the file system cannot do that (ext4 and XFS can) the file is truncated, and what
// is written between the last read and that is lost.
func (o *Output) rotate(limit int64, keep int) error {
	o.rotating.Lock()
	defer o.rotating.Unlock()
	f, err := os.OpenFile(o.present(), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Size < limit || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	whole := (st.Size - 1) / st.Blksize * st.Blksize // it has to end before the file does
	to, err := os.OpenFile(o.unfinished(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(to, io.LimitReader(f, whole)); err != nil {
		_ = os.Remove(o.unfinished())
		return fmt.Errorf("copy what is to be an old file: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	moved := whole
	switch err := collapse(f, whole); {
	case err == nil:
	case !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, unix.EINVAL):
		_ = os.Remove(o.unfinished())
		return fmt.Errorf("take away the beginning: %w", err) // the next time
	default:
		rest, err := io.Copy(to, f)
		if err != nil {
			_ = os.Remove(o.unfinished())
			return err
		}
		if err := f.Truncate(0); err != nil {
			_ = os.Remove(o.unfinished())
			return err
		}
		moved += rest
	}
	return o.shift(moved, keep)
}

// collapse takes away the first bytes of a file.
func collapse(f *os.File, n int64) error {
	if n == 0 {
		return errors.ErrUnsupported
	}
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, n)
		if err != unix.EINTR {
			return err
		}
	}
}

// shift makes the copy the newest of the old files. The lock is held.
func (o *Output) shift(size int64, keep int) error {
	for n := len(o.sizes); n >= 1; n-- {
		var err error
		if n >= keep {
			err = os.Remove(o.old(n))
			o.start += o.sizes[0]
			o.sizes = o.sizes[1:]
		} else {
			err = os.Rename(o.old(n), o.old(n+1))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if keep == 0 {
		o.start += size
		return os.Remove(o.unfinished())
	}
	o.sizes = append(o.sizes, size)
	return os.Rename(o.unfinished(), o.old(1))
}

// recover sees to a copy that a daemon left that died while it rotated: if the
// present file still begins like that, it was not taken away from there.
func (o *Output) recover() error {
	copied, err := os.ReadFile(o.unfinished())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	begin := make([]byte, min(len(copied), 64<<10))
	n, err := readAt(o.present(), begin, 0)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if n == len(begin) && bytes.Equal(begin, copied[:n]) {
		return os.Remove(o.unfinished())
	}
	last := 0
	for ; ; last++ {
		if _, err := os.Stat(o.old(last + 1)); err != nil {
			break
		}
	}
	for ; last >= 1; last-- {
		if err := os.Rename(o.old(last), o.old(last+1)); err != nil {
			return err
		}
	}
	return os.Rename(o.unfinished(), o.old(1))
}

// outputs are those of processes that somebody has asked for, or that were
// looked at for their sizes, by id.
type outputs struct {
	mu   sync.Mutex
	open map[int]*Output
}

func (l *Launcher) output(id int) (*Output, error) {
	l.outputs.mu.Lock()
	defer l.outputs.mu.Unlock()
	if o, ok := l.outputs.open[id]; ok {
		return o, nil
	}
	o, err := NewOutput(l.Dir(id))
	if err != nil {
		return nil, err
	}
	if l.outputs.open == nil {
		l.outputs.open = make(map[int]*Output)
	}
	l.outputs.open[id] = o
	return o, nil
}

func (l *Launcher) forgetOutput(id int) {
	l.outputs.mu.Lock()
	defer l.outputs.mu.Unlock()
	delete(l.outputs.open, id)
}

// OpenOutput is what a process wrote to its standard output and error.
func (l *Launcher) OpenOutput(id int) (*Output, error) {
	if _, err := l.unit(id); err != nil {
		return nil, err
	}
	o, err := l.output(id)
	if err != nil {
		return nil, err
	}
	if _, _, err := o.Bounds(); err != nil {
		return nil, err
	}
	return o, nil
}

func (l *Launcher) outputFile(id int) string { return filepath.Join(l.Dir(id), outputName) }

// rotationPause is between two looks at how long the outputs are.
const rotationPause = time.Second

// RotateOutputs looks once at the outputs of all processes that run, and rotates
// those that are too long.
func (l *Launcher) RotateOutputs() {
	if l.LogLimit < 0 {
		return
	}
	l.mu.Lock()
	var ids []int
	for id, u := range l.units {
		if u.snapshot().Live() {
			ids = append(ids, id)
		}
	}
	l.mu.Unlock()
	for _, id := range ids {
		o, err := l.output(id)
		if err == nil {
			err = o.rotate(l.LogLimit, l.LogFiles)
		}
		if err != nil {
			l.Logger.Error("the output of a process cannot be rotated and grows", "process", id, "error", err)
		}
	}
}

func (l *Launcher) keepRotating(ctx context.Context) {
	tick := time.NewTicker(rotationPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.RotateOutputs()
		}
	}
}
