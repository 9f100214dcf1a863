package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const (
	// FileName is the present file in the state folder; older ones have .1, .2
	// and so on behind it, the higher the older.
	FileName = "audit.log"

	// DefaultLimit is how many bytes a file has before another one is begun,
	// DefaultFiles how many older ones are kept: some 800,000 records in all.
	DefaultLimit = 16 << 20
	DefaultFiles = 9
)

// ErrClosed says that the log was closed.
var ErrClosed = errors.New("the audit is closed")

// Record is a change that was asked for.
type Record struct {
	Time time.Time `json:"time"`

	// Who: the user of the process at the other end of the socket, or the token
	// that was shown, or both. Nobody is known where neither is there.
	UID     *int   `json:"uid,omitempty"`
	User    string `json:"user,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Token   string `json:"token,omitempty"`
	Address string `json:"address,omitempty"` // where from, over TCP

	// What: the operation, and to what.
	Operation string `json:"operation"`
	Subject   string `json:"subject,omitempty"`

	// What became of it: the HTTP status, and the code of a problem.
	Status int    `json:"status"`
	Code   string `json:"code,omitempty"`
}

// Options are the settings of a Log.
type Options struct {
	// Limit and Files are how large files get in bytes, and how many older ones
	// are kept; 0 means DefaultLimit and DefaultFiles.
	Limit int64
	Files int

	// Logger is told when a record cannot be written; nil means slog.Default.
	Logger *slog.Logger
}

// Log is where records are kept. Its methods may be called from many goroutines.
type Log struct {
	dir string
	o   Options

	mu      sync.Mutex
	file    *os.File // nil once closed
	size    int64
	torn    bool          // the last line of the file may have no end
	lost    int           // records that could not be written since the last one that was
	written chan struct{} // closed once a record was written
	buf     bytes.Buffer
	encoder *json.Encoder // to buf
}

// Open opens the log of a state folder, and makes it where there is none.
func Open(dir string, o Options) (*Log, error) {
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	if o.Files == 0 {
		o.Files = DefaultFiles
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	l := &Log{dir: dir, o: o, written: make(chan struct{})}
	l.encoder = json.NewEncoder(&l.buf)
	l.encoder.SetEscapeHTML(false)
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open the audit: %w", err)
	}
	return l, nil
}

// path is the n-th older file, 0 the present one.
func (l *Log) path(n int) string { return pathIn(l.dir, n) }

func pathIn(dir string, n int) string {
	if n == 0 {
		return filepath.Join(dir, FileName)
	}
	return filepath.Join(dir, FileName+"."+strconv.Itoa(n))
}

// open opens the present file. What a daemon that died, or a full disk, has left
// of a line is ended with the next one.
func (l *Log) open() error {
	l.torn = false
	f, err := os.OpenFile(l.path(0), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size > 0 {
		var last [1]byte
		_, err = f.ReadAt(last[:], size-1)
		l.torn = last[0] != '\n'
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, size
	return nil
}

// Add writes a record. One that cannot be written is counted, and told to the
// daemon's log: a disk that is full keeps nobody from releasing.
func (l *Log) Add(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.add(r); err != nil {
		if l.lost++; l.lost == 1 {
			l.o.Logger.Error("a change is missing in the audit, and maybe more to come", "operation", r.Operation, "error", err)
		}
		return
	}
	if l.lost > 0 {
		l.o.Logger.Error("the audit is written again", "missing", l.lost)
		l.lost = 0
	}
	close(l.written)
	l.written = make(chan struct{})
}

func (l *Log) add(r Record) error {
	if l.file == nil {
		return ErrClosed
	}
	if l.size >= l.o.Limit {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	l.buf.Reset()
	if l.torn {
		l.buf.WriteByte('\n')
	}
	if err := l.encoder.Encode(r); err != nil {
		return err
	}
	n, err := l.file.Write(l.buf.Bytes())
	l.size += int64(n)
	if n > 0 {
		l.torn = err != nil
	}
	return err
}

// rotate makes the present file an older one and begins another.
func (l *Log) rotate() error {
	// Where another one could not be begun the last time, it is an older one already.
	if _, err := os.Lstat(l.path(0)); err == nil {
		for n := l.o.Files; n > 0; n-- {
			if err := os.Rename(l.path(n-1), l.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("rotate: %w", err)
			}
		}
	}
	old := l.file
	if err := l.open(); err != nil {
		return err
	}
	return old.Close()
}

// Close ends the log. It may be called twice.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	close(l.written)
	l.written = make(chan struct{})
	return err
}
