package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	driver "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"

	"berth/store"
)

// damageName is the file that tells what was found lost or damaged, a line each,
// until that is accepted. While it is there no keys are made.
const damageName = "damage"

// readDamage reads what was found before.
func readDamage(dir string) ([]string, error) {
	content, err := os.ReadFile(filepath.Join(dir, damageName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read what was found damaged: %w", err)
	}
	if err == nil && len(content) == 0 {
		content = []byte("something was lost; what it was could not be written down")
	}
	return strings.FieldsFunc(string(content), func(r rune) bool { return r == '\n' }), nil
}

// addDamage writes down what was found, and says it.
func (s *Store) addDamage(found []string) error {
	fresh := found[:0:0]
	for _, line := range found {
		line = strings.Join(strings.Fields(line), " ")
		s.log.Error("the store is damaged: "+line, "dir", s.dir)
		if !slices.Contains(s.damage, line) { // which only the committer, and opening, change
			fresh = append(fresh, line)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	s.mu.Lock()
	s.damage = append(s.damage, fresh...)
	text := strings.Join(s.damage, "\n") + "\n"
	s.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(s.dir, damageName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Sync(), f.Close(), syncFolder(s.dir))
	}
	if err != nil {
		return fmt.Errorf("write down what was found damaged: %w", err)
	}
	return nil
}

// damaged is the refusal for damage, nil if there is none.
func (s *Store) damaged() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.damage) == 0 {
		return nil
	}
	return errDamaged
}

// refusal is why no keys are made now, nil if they are.
func (s *Store) refusal() error {
	if err := s.damaged(); err != nil {
		return err
	}
	return s.room.refusal()
}

// errDamaged is store.ErrDamaged with what to do about it.
var errDamaged = fmt.Errorf("%w: acknowledged changes are lost, and nothing is leased until that is accepted; see berth doctor", store.ErrDamaged)

// Accept implements store.Inspector.
func (s *Store) Accept() error {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.shut {
		return store.ErrClosed
	}
	err := os.Remove(filepath.Join(s.dir, damageName))
	if err == nil {
		err = syncFolder(s.dir)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("accept the damage: %w", err)
	}
	s.mu.Lock()
	accepted := s.damage
	s.damage = nil
	s.mu.Unlock()
	if len(accepted) > 0 {
		s.log.Warn("the damage of the store was accepted", "damage", accepted)
	}
	return nil
}

// Health implements store.Inspector.
func (s *Store) Health() store.Health {
	s.room.look(0)
	h := store.Health{Dir: s.dir, Refusal: s.Err()}
	s.room.mu.Lock()
	h.Available, h.Needed = s.room.available, s.room.neededLocked()
	s.room.mu.Unlock()
	s.mu.Lock()
	h.Damage = slices.Clone(s.damage)
	s.mu.Unlock()
	if h.Refusal == nil {
		h.Refusal = s.refusal()
	}
	return h
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// checkTables reads all tables and compares their checksums, because Badger
// does not survive it where it finds a block whose checksum does not hold (it
// calls a method of a block that it has not), and leaves a table out without
// an error where it does survive. A table that the manifest does not have was
// being written when the process was killed: Badger deletes it, and it may look
// like anything.
func checkTables(dir string) error {
	name := filepath.Join(dir, driver.ManifestFilename)
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return nil // nothing of Badger's: opening it tells
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	manifest, _, err := driver.ReplayManifestFile(f, 0, driver.DefaultOptions(dir).WithLogger(nil))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	for _, file := range files {
		id, ok := table.ParseFileID(file)
		if _, known := manifest.Tables[id]; ok && !known {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := checkTable(content); err != nil {
			return fmt.Errorf("table %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

func checkTable(content []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errTable
		}
	}()
	t, err := table.OpenInMemoryTable(content, 0, &table.Options{ChkMode: options.NoVerification})
	if err != nil {
		return fmt.Errorf("%w: %w", errTable, err)
	}
	return t.VerifyChecksum()
}

var errTable = errors.New("it is not whole")

// removeEmpties deletes the files of Badger that have nothing for us: the log
// of large values, which we have none of, what is kept of its garbage, and the
// keys of an encryption that we do not use. Badger makes them anew.
func removeEmpties(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
	if err != nil {
		return err
	}
	for _, file := range append(files, filepath.Join(dir, "KEYREGISTRY"), filepath.Join(dir, "DISCARD")) {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// setAside moves what Badger has written to a folder beside it, and returns that.
// What cannot be opened is kept for whoever may want to look at it.
func setAside(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	aside, err := os.MkdirTemp(dir, "damaged-")
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == "MANIFEST", name == "KEYREGISTRY", name == "DISCARD":
		case slices.Contains([]string{".mem", ".vlog", ".sst"}, filepath.Ext(name)):
		default:
			continue
		}
		if err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(aside, e.Name())); err != nil {
			return "", err
		}
	}
	return aside, syncFolder(dir)
}
