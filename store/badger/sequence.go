package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"berth/store"
)

// The sequence is a small file that says what has been acknowledged: the last
// revision, and a digest of the revisions of all keys at that moment. It is
// written after the journal was synced and before callers are answered, so it
// is never ahead of the journal, and synced before a checkpoint begins, so it is
// never behind Badger. What opening finds is compared with it: where the journal
// and Badger together have less, acknowledged changes are lost.
//
// It has two equal records, written at once, of which one may be damaged:
//
//	revision   8 bytes
//	digest     8 bytes
//	checksum   4 bytes, CRC-32C of both
const (
	sequenceName   = "sequence"
	sequenceRecord = 20
)

// mark is what the sequence says.
type mark struct {
	revision store.Revision
	digest   uint64
}

type sequence struct {
	file   *os.File
	buffer [2 * sequenceRecord]byte
}

// errNoMark says that a sequence has no record whose checksum holds.
var errNoMark = errors.New("the file " + sequenceName + " is damaged or missing")

func openSequence(dir string) (*sequence, error) {
	f, err := os.OpenFile(filepath.Join(dir, sequenceName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open sequence: %w", err)
	}
	return &sequence{file: f}, nil
}

// read returns the newer of the records, or errNoMark.
func (s *sequence) read() (m mark, err error) {
	n, err := s.file.ReadAt(s.buffer[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return m, fmt.Errorf("read sequence: %w", err)
	}
	found := false
	for b := s.buffer[:n]; len(b) >= sequenceRecord; b = b[sequenceRecord:] {
		if crc32.Checksum(b[:16], castagnoli) != binary.BigEndian.Uint32(b[16:]) {
			continue
		}
		if r := store.Revision(binary.BigEndian.Uint64(b)); !found || r > m.revision {
			m = mark{revision: r, digest: binary.BigEndian.Uint64(b[8:])}
		}
		found = true
	}
	if !found {
		return m, errNoMark
	}
	return m, nil
}

// write hands a mark to the kernel: it survives the process, and after sync the
// machine.
func (s *sequence) write(m mark) error {
	b := s.buffer[:sequenceRecord]
	binary.BigEndian.PutUint64(b, uint64(m.revision))
	binary.BigEndian.PutUint64(b[8:], m.digest)
	binary.BigEndian.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))
	copy(s.buffer[sequenceRecord:], b)
	if _, err := s.file.WriteAt(s.buffer[:], 0); err != nil {
		return fmt.Errorf("write sequence: %w", err)
	}
	return nil
}

func (s *sequence) sync() error {
	if err := fdatasync(s.file); err != nil {
		return fmt.Errorf("sync sequence: %w", err)
	}
	return nil
}

// keyDigest is the part of a key in a digest, which is the exclusive or of all:
// a key that changes is taken out and put in again. It is the key's FNV-1a hash
// and its revision, mixed as SplitMix64 does.
func keyDigest(key string, r store.Revision) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h += uint64(r) * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
