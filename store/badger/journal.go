package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/failpoint"
	"berth/store"
)

// The journal is two files that are written in turn, each again and again from
// its beginning: their blocks are there, so that a sync writes data and nothing
// else. A file begins with its epoch, which grows with each turn. Records follow:
//
//	length of the body   4 bytes
//	checksum             4 bytes, CRC-32C of the body, beginning with that of the record before
//	body                 the first and the last revision of a group, 8 bytes each, then its changes
//
// A change is a byte that says what it is, its revision (8 bytes), and key and
// value, each after its length (4 bytes). Numbers are big-endian. The first
// checksum begins with that of the epoch: so what an earlier turn left behind
// is not taken for a record of this one.
const (
	journalHeader = 16 // epoch, its checksum, four bytes of zero
	recordHeader  = 8
	bodyHeader    = 16

	changePut    = 1
	changeDelete = 2
)

// defaultJournalBytes is how large a file is made when it is new. It grows
// beyond that only while Badger is slower than the callers.
const defaultJournalBytes = 4 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journal is the write-ahead log of a store: what a commit waits for.
type journal struct {
	files  [2]*os.File
	blocks [2]int64 // bytes of a file whose blocks are there
	size   int64    // a file with so much is full
	active int
	epoch  uint64
	offset int64  // where the next record goes
	sum    uint32 // checksum of the record before
	begun  bool   // the active file has its header
	buffer []byte
}

// openJournal opens the files of a folder, which are made if they are not there.
func openJournal(dir string, size int64) (_ *journal, err error) {
	j := &journal{size: size}
	for i := range j.files {
		name := filepath.Join(dir, fmt.Sprintf("journal-%d", i))
		if j.files[i], err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err == nil {
			j.blocks[i], err = preallocate(j.files[i], size+recordRoom)
		}
		if err != nil {
			_ = j.close()
			return nil, fmt.Errorf("open journal: %w", err)
		}
	}
	folder, err := os.Open(dir)
	if err == nil {
		err = errors.Join(folder.Sync(), folder.Close())
	}
	if err != nil {
		_ = j.close()
		return nil, fmt.Errorf("open journal: %w", err)
	}
	failpoint.At("journal/opened")
	return j, nil
}

// preallocate writes a new file full of zeros, so that its blocks are there,
// and returns how many bytes are: fewer where the disk is full.
func preallocate(f *os.File, size int64) (int64, error) {
	info, err := f.Stat()
	if err != nil || info.Size() >= size {
		return info.Size(), err
	}
	zeros := make([]byte, 256<<10)
	at := info.Size()
	for at < size {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
		at += int64(n)
		if noSpace(err) {
			break
		}
		if err != nil {
			return at, err
		}
	}
	return at, f.Sync()
}

// recordRoom is more than a record takes.
const recordRoom = groupBytes + 64<<10

// extend has the blocks of the next record be there. Its error is ENOSPC where
// the disk has none, after which nothing has changed.
func (j *journal) extend() error {
	end := j.offset + recordRoom
	if end <= j.blocks[j.active] {
		return nil
	}
	err := allocate(j.files[j.active], j.blocks[j.active], end-j.blocks[j.active])
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil // writing tells
	case err != nil:
		return fmt.Errorf("extend journal: %w", err)
	}
	j.blocks[j.active] = end
	return nil
}

func (j *journal) close() (err error) {
	for _, f := range j.files {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// begin begins the next turn, in the other file. What that has is lost.
func (j *journal) begin() {
	j.active = 1 - j.active
	j.epoch++
	j.offset, j.begun = journalHeader, false
	j.sum = checksumOfEpoch(j.epoch)
	// What it grew to while there was too little room is given back.
	if usual := j.size + recordRoom; j.blocks[j.active] > usual && j.files[j.active].Truncate(usual) == nil {
		j.blocks[j.active] = usual
	}
}

func checksumOfEpoch(epoch uint64) uint32 {
	return crc32.Checksum(binary.BigEndian.AppendUint64(nil, epoch), castagnoli)
}

// append writes a group and returns when the disk has it. The revisions of the
// group are first to last.
func (j *journal) append(first, last store.Revision, changes []store.Event) error {
	b := j.buffer[:0]
	start := j.offset
	if !j.begun {
		b = binary.BigEndian.AppendUint64(b, j.epoch)
		b = binary.BigEndian.AppendUint32(b, checksumOfEpoch(j.epoch))
		b = append(b, 0, 0, 0, 0)
		start = 0
	}
	record := len(b)
	b = append(b, make([]byte, recordHeader)...)
	b = binary.BigEndian.AppendUint64(b, uint64(first))
	b = binary.BigEndian.AppendUint64(b, uint64(last))
	for i := range changes {
		c := &changes[i]
		kind := byte(changePut)
		if c.Deleted {
			kind = changeDelete
		}
		b = append(b, kind)
		b = binary.BigEndian.AppendUint64(b, uint64(c.Revision))
		b = binary.BigEndian.AppendUint32(b, uint32(len(c.Key)))
		b = append(b, c.Key...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(c.Value)))
		b = append(b, c.Value...)
	}
	body := b[record+recordHeader:]
	sum := crc32.Update(j.sum, castagnoli, body)
	binary.BigEndian.PutUint32(b[record:], uint32(len(body)))
	binary.BigEndian.PutUint32(b[record+4:], sum)
	j.buffer = b

	f := j.files[j.active]
	if err := failpoint.Fail("journal/writing"); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if failpoint.Planted("answer-early") {
		late := slices.Clone(b)
		time.AfterFunc(5*time.Millisecond, func() { _, _ = f.WriteAt(late, start) })
	} else if _, err := f.WriteAt(b, start); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := failpoint.Fail("journal/written"); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	if err := fdatasync(f); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	failpoint.At("journal/synced")
	j.offset = start + int64(len(b))
	j.sum, j.begun = sum, true
	return nil
}

// sync has the disk have all that the files have.
func (j *journal) sync() error {
	for _, f := range j.files {
		if err := fdatasync(f); err != nil {
			return fmt.Errorf("sync journal: %w", err)
		}
	}
	return nil
}

func fdatasync(f *os.File) error {
	for !failpoint.Planted("skip-sync") {
		err := unix.Fdatasync(int(f.Fd()))
		if failpoint.Planted("ignore-sync-errors") {
			err = nil
		}
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
	return nil
}

// group is what one record of the journal says.
type group struct {
	first, last store.Revision
	changes     []store.Event
}

// replay gives every group of the journal to apply, the oldest first. A record
// that is not whole ends its file: it was being written when the machine or the
// process ended, and nobody was told of it.
func (j *journal) replay(apply func(group) error) error {
	var epochs [2]uint64
	for i, f := range j.files {
		var header [journalHeader]byte
		if _, err := f.ReadAt(header[:], 0); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read journal: %w", err)
		}
		epoch := binary.BigEndian.Uint64(header[:])
		if binary.BigEndian.Uint32(header[8:]) == checksumOfEpoch(epoch) {
			epochs[i] = epoch
		}
	}
	older := 0
	if epochs[1] < epochs[0] {
		older = 1
	}
	for _, i := range [2]int{older, 1 - older} {
		if epochs[i] == 0 || i == older && failpoint.Planted("replay-half") {
			continue
		}
		if err := replayFile(j.files[i], epochs[i], apply); err != nil {
			return err
		}
	}
	// The next turn writes over the older file, which the caller has in Badger by then.
	j.active, j.epoch = 1-older, epochs[1-older]
	return nil
}

func replayFile(f *os.File, epoch uint64, apply func(group) error) error {
	content, err := io.ReadAll(io.NewSectionReader(f, journalHeader, 1<<40))
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	sum := checksumOfEpoch(epoch)
	for len(content) >= recordHeader {
		length := int64(binary.BigEndian.Uint32(content))
		if length < bodyHeader || length > int64(len(content)-recordHeader) {
			return nil
		}
		body := content[recordHeader : recordHeader+length]
		if sum = crc32.Update(sum, castagnoli, body); sum != binary.BigEndian.Uint32(content[4:]) && !failpoint.Planted("ignore-checksums") {
			return nil
		}
		g, err := decodeGroup(body)
		if err == nil {
			err = apply(g)
		}
		if err != nil {
			return err
		}
		content = content[recordHeader+length:]
	}
	return nil
}

var errBadRecord = errors.New("a record of the journal is not well formed although its checksum holds")

func decodeGroup(body []byte) (group, error) {
	g := group{
		first: store.Revision(binary.BigEndian.Uint64(body)),
		last:  store.Revision(binary.BigEndian.Uint64(body[8:])),
	}
	rest := body[bodyHeader:]
	field := func() []byte {
		if len(rest) < 4 {
			return nil
		}
		n := int(binary.BigEndian.Uint32(rest))
		if n > len(rest)-4 {
			return nil
		}
		f := rest[4 : 4+n : 4+n]
		rest = rest[4+n:]
		return f
	}
	for len(rest) > 0 {
		if len(rest) < 9 {
			return g, errBadRecord
		}
		e := store.Event{Deleted: rest[0] == changeDelete}
		e.Revision = store.Revision(binary.BigEndian.Uint64(rest[1:]))
		known := rest[0] == changePut || rest[0] == changeDelete
		rest = rest[9:]
		key, value := field(), field()
		if key == nil || value == nil || !known {
			return g, errBadRecord
		}
		e.Key = string(key)
		if !e.Deleted {
			e.Value = value
		}
		g.changes = append(g.changes, e)
	}
	return g, nil
}
