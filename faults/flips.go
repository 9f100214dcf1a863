package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth/api"
)

// flips flips a bit of a file in the folder of a daemon that was killed, of each
// kind of file in turn. The next daemon has all that was acknowledged, or says
// that it has not: it ends with a word about it, or grants nothing until that
// is accepted.
var flips = flipsMatching(regexp.MustCompile(""))

// flipsMatching flips bits of the files whose kinds a pattern matches.
func flipsMatching(pattern *regexp.Regexp) measure {
	return measure{
		name: "flips", what: "flipped bits whose loss is noticed", unit: "flips", ci: 200, soak: 5000,
		matching: flipsMatching, cases: pattern.String(),
		run: func(ctx context.Context, s *suite, n int) (figure, error) { return s.flip(ctx, pattern, n) },
	}
}

func (s *suite) flip(ctx context.Context, pattern *regexp.Regexp, n int) (f figure, err error) {
	h, err := s.newHost()
	if err != nil {
		return f, err
	}
	h.planted = append(h.planted, "small-journal")
	fl := &flipping{host: h, f: &f, told: map[string]int{}, done: map[string]int{}}
	defer func() { err = fl.finish(ctx, err) }()
	if err := fl.prepare(ctx); err != nil {
		return f, err
	}
	fl.kinds = slices.DeleteFunc(fl.kinds, func(kind string) bool { return !pattern.MatchString(kind) })
	if len(fl.kinds) == 0 {
		return f, fmt.Errorf("there is no kind of file like %q", pattern)
	}
	for f.done < n && !s.caught(&f) && ctx.Err() == nil {
		kind := fl.kinds[f.done%len(fl.kinds)]
		if err := fl.round(ctx, kind, s.random); err != nil {
			return f, fmt.Errorf("%s: %w", kind, err)
		}
		f.done++
	}
	var told []string
	for _, kind := range fl.kinds {
		told = append(told, fmt.Sprintf("%s %d of %d", kind, fl.told[kind], fl.done[kind]))
	}
	f.note("told of: %s", strings.Join(told, ", "))
	return f, ctx.Err()
}

// flipping is a state folder that is put back after each flip.
type flipping struct {
	*host
	f      *figure
	files  map[string][]byte   // by their paths in the folder
	kinds  []string            // of files
	of     map[string][]string // the files of a kind
	live   map[string]int      // where what counts ends, in files that have more behind it
	id     string              // of the folder
	before view
	told   map[string]int // flips that were noticed, by kind
	done   map[string]int
}

// view is what a daemon shows of its state.
type view struct {
	ranges        []api.Range
	leases        []api.Lease
	distributions []string
	processes     []api.Process
}

func (h *host) view(ctx context.Context) (v view, err error) {
	ranges, err := h.Ranges(ctx, "")
	if err != nil {
		return v, err
	}
	for _, r := range ranges {
		v.ranges = append(v.ranges, api.Range{Name: r.Name, Min: r.Min, Max: r.Max, Protocol: r.Protocol, Scope: r.Scope})
	}
	if v.leases, err = h.Leases(ctx); err != nil {
		return v, err
	}
	distributions, err := h.Distributions(ctx, "", "")
	if err != nil {
		return v, err
	}
	for _, d := range distributions {
		v.distributions = append(v.distributions, d.Name+" "+d.Version)
	}
	processes, err := h.Processes(ctx, api.Selector{}, false)
	for _, p := range processes {
		v.processes = append(v.processes, api.Process{ID: p.ID, PID: p.PID, Status: p.Status, Dir: p.Dir})
	}
	return v, err
}

// prepare makes a folder that has content in all kinds of files, and keeps it.
func (fl *flipping) prepare(ctx context.Context) error {
	if err := fl.up(ctx); err != nil {
		return err
	}
	if err := fl.deploy(ctx); err != nil {
		return err
	}
	if _, err := fl.Exec(ctx, api.Exec{Distribution: "demo", Version: "1.0", Profile: "test", Name: "server", Instances: 2, WaitSeconds: patience.Seconds()}); err != nil {
		return err
	}
	if _, err := fl.ArchiveRanges(ctx, "kept"); err != nil {
		return err
	}
	// A killed daemon leaves logs, of which the next one makes tables.
	const lives = 3
	for life := range lives {
		for i := range 60 {
			holder := fmt.Sprintf("life%d-%d", life, i)
			list, err := fl.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"leases", "leases"}, Holder: api.Holder{Name: holder}})
			if err != nil {
				return err
			}
			if i%3 > 0 {
				err = fl.ReleaseLease(ctx, list[0].ID, list[0].Generation)
			}
			if err != nil {
				return err
			}
		}
		if life < lives-1 {
			fl.kill()
			if err := fl.up(ctx); err != nil {
				return err
			}
		}
	}
	if err := fl.fillJournal(ctx); err != nil {
		return err
	}
	if _, err := fl.settled(ctx); err != nil {
		return err
	}
	var err error
	if fl.before, err = fl.view(ctx); err != nil {
		return err
	}
	fl.kill()
	return fl.keep()
}

// halfFull is where the journal's next record begins at least. What stands behind
// it is of before the last turn: Badger has it as well, and a flip there loses
// nothing.
const halfFull = 8 << 10

func journalName(i int) string { return fmt.Sprintf("journal-%d", i) }

// fillJournal adds ranges, and acquires and releases, until a file of the journal is
// half full. The record of a lease has a checksum of its own, that of a range has
// none but the journal's.
func (fl *flipping) fillJournal(ctx context.Context) error {
	journals := func() (content [2][]byte, err error) {
		for i := range content {
			if content[i], err = os.ReadFile(filepath.Join(fl.home, "store", journalName(i))); err != nil {
				return content, err
			}
		}
		return content, nil
	}
	for i := range 200 {
		before, err := journals()
		if err != nil {
			return err
		}
		added := api.Range{Name: fmt.Sprintf("added%d", i), Min: 2*i + 1, Max: 2*i + 1, Protocol: "udp"}
		if _, err := fl.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{added}}); err != nil {
			return err
		}
		list, err := fl.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"leases"}})
		if err != nil {
			return err
		}
		if err := fl.ReleaseLease(ctx, list[0].ID, list[0].Generation); err != nil {
			return err
		}
		after, err := journals()
		if err != nil {
			return err
		}
		for i := range after {
			written := 0 // where the last record ends
			for at := range after[i] {
				if at >= len(before[i]) || after[i][at] != before[i][at] {
					written = at
				}
			}
			if written >= halfFull {
				fl.live = map[string]int{filepath.Join("store", journalName(i)): written + 1}
				return nil
			}
		}
	}
	return errors.New("the journal is not filled by 200 leases")
}

// keep reads the files of the folder.
func (fl *flipping) keep() error {
	fl.files, fl.of = map[string][]byte{}, map[string][]string{}
	for _, dir := range []string{"", "store"} {
		entries, err := os.ReadDir(filepath.Join(fl.home, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if !e.Type().IsRegular() || e.Name() == "ballast" { // which is empty inside
				continue
			}
			content, err := os.ReadFile(filepath.Join(fl.home, name))
			if err != nil {
				return err
			}
			fl.files[name] = content
			kind := e.Name()
			if ext := filepath.Ext(kind); ext != "" && ext != ".lock" {
				kind = ext
			}
			if len(content) > 0 {
				fl.of[kind] = append(fl.of[kind], name)
			}
		}
	}
	for _, kind := range []string{"journal-0", "journal-1", "sequence", ".mem", ".sst", ".vlog", "MANIFEST", "KEYREGISTRY", "DISCARD", "state-id", "state-place"} {
		if len(fl.of[kind]) == 0 {
			return fmt.Errorf("the folder has no file of the kind %s", kind)
		}
	}
	fl.kinds = slices.Sorted(maps.Keys(fl.of))
	fl.id = strings.TrimSpace(string(fl.files["state-id"]))
	return nil
}

// restore puts the folder back as it was.
func (fl *flipping) restore() error {
	if err := os.RemoveAll(filepath.Join(fl.home, "store")); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(fl.home, "store"), 0o700); err != nil {
		return err
	}
	for name, content := range fl.files {
		if err := writeSparse(filepath.Join(fl.home, name), content); err != nil {
			return err
		}
	}
	return nil
}

// writeSparse writes a file with holes where there are zeros.
func writeSparse(name string, content []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = f.Truncate(int64(len(content)))
	const block = 64 << 10
	zeros := make([]byte, block)
	for at := 0; at < len(content) && err == nil; at += block {
		part := content[at:min(at+block, len(content))]
		if !bytes.Equal(part, zeros[:len(part)]) {
			_, err = f.WriteAt(part, int64(at))
		}
	}
	return errors.Join(err, f.Close())
}

// flip flips a bit of a file, mostly where it has content, and tells which.
func (fl *flipping) flip(name string, random *rand.Rand) (string, error) {
	content := bytes.Clone(fl.files[name])
	end := len(bytes.TrimRight(content, "\x00"))
	if live := fl.live[name]; live > 0 {
		end = live
	}
	if end == 0 || random.IntN(20) == 0 {
		end = len(content)
	}
	at := random.IntN(end)
	if random.IntN(3) == 0 {
		at = end - 1 - random.IntN(min(end, 64)) // the end matters most
	}
	bit := random.IntN(8)
	content[at] ^= 1 << bit
	return fmt.Sprintf("%s, byte %d of %d, bit %d", name, at, len(content), bit), writeSparse(filepath.Join(fl.home, name), content)
}

// flipLimit is how long a daemon may take to answer or to end.
const flipLimit = 30 * time.Second

func (fl *flipping) round(ctx context.Context, kind string, random *rand.Rand) error {
	if err := fl.restore(); err != nil {
		return err
	}
	names := fl.of[kind]
	what, err := fl.flip(names[random.IntN(len(names))], random)
	if err != nil {
		return err
	}
	log := filepath.Join(fl.dir, "log")
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fl.done[kind]++
	if err := fl.start(); err != nil {
		return err
	}
	defer fl.kill()
	limited, cancel := context.WithTimeout(ctx, flipLimit)
	defer cancel()
	err = fl.answers(limited)
	select {
	case <-fl.ended:
		text := strings.TrimSpace(fl.logTail())
		last := text[strings.LastIndexByte(text, '\n')+1:]
		if fl.exit.ProcessState.ExitCode() != 1 || !strings.HasPrefix(last, "berth: ") {
			fl.f.broken("%s: the daemon crashed: %v: %s", what, fl.exit.ProcessState, fl.lastCrash())
		}
		fl.told[kind]++
		return nil
	default:
	}
	if err != nil {
		if ctx.Err() == nil {
			fl.f.broken("%s: the daemon hangs: %v", what, err)
		}
		return ctx.Err()
	}
	health, err := fl.Health(ctx)
	if err != nil {
		return err
	}
	if len(health.Damage) > 0 {
		fl.told[kind]++
		return fl.damaged(ctx, what)
	}
	after, err := fl.view(ctx)
	if err != nil {
		return err
	}
	if id, err := os.ReadFile(filepath.Join(fl.home, "state-id")); err != nil || !strings.EqualFold(strings.TrimSpace(string(id)), fl.id) {
		fl.f.broken("%s: the folder has the id %q and had %s, and not a word of it: %v", what, id, fl.id, err)
	}
	if was, is := fmt.Sprint(fl.before), fmt.Sprint(after); was != is {
		fl.f.broken("%s: not all is there, and not a word of it: it shows %s, and showed %s", what, is, was)
	}
	return nil
}

// damaged looks whether a daemon that tells of damage grants nothing until that
// is accepted, and then grants no port that something has.
func (fl *flipping) damaged(ctx context.Context, what string) error {
	if !strings.Contains(fl.logTail(), "damaged") {
		fl.f.broken("%s: the log does not tell of the damage", what)
	}
	probe := api.Range{Name: "flips", Min: lastProcessPort + 1, Max: lastProcessPort + 9}
	if _, err := fl.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{probe}}); !errors.Is(err, api.CodeDamaged) {
		fl.f.broken("%s: a range is added in spite of the damage: %v", what, err)
	}
	if _, err := fl.AcceptDamage(ctx); err != nil {
		return err
	}
	if _, err := fl.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{probe}}); err != nil {
		fl.f.broken("%s: after its acceptance: %v", what, err)
		return nil
	}
	if _, err := fl.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{probe.Name}}); err != nil {
		fl.f.broken("%s: after its acceptance: %v", what, err)
	}
	leases, err := fl.Leases(ctx)
	ports := map[int]bool{}
	for _, l := range leases {
		if ports[l.Port] {
			fl.f.broken("%s: port %d is leased twice", what, l.Port)
		}
		ports[l.Port] = true
	}
	return err
}

// finish ends the host, of which the folder is whole again.
func (fl *flipping) finish(ctx context.Context, err error) error {
	if fl.files != nil {
		fl.kill()
		if restoreErr := fl.restore(); restoreErr != nil {
			return errors.Join(err, restoreErr)
		}
		if upErr := fl.up(context.WithoutCancel(ctx)); upErr != nil {
			return errors.Join(err, upErr)
		}
	}
	return finish(err, fl.f, fl.host, nil)
}
