package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"berth/api"
)

// take is something that happens at a point of a scene.
type take struct {
	scene
	point, nth, action string // the second time that the point is reached where nth is @2
	refused            bool   // whoever asked has to be told of it
}

func (t take) String() string { return t.point + " " + t.action }

// takesMatching are those of all scenes whose texts a pattern matches.
func takesMatching(pattern *regexp.Regexp) (takes []take) {
	for _, sc := range scenes {
		for _, t := range sc.takes() {
			if pattern.MatchString(t.String()) {
				takes = append(takes, t)
			}
		}
	}
	return takes
}

// pointsMatching is the measure that has the daemon die, fail and dawdle at each
// failpoint of its source. After each time all that was acknowledged is there,
// and nothing is half done. What it counts has happened.
func pointsMatching(pattern *regexp.Regexp) measure {
	takes := takesMatching(pattern)
	return measure{
		matching: pointsMatching, cases: pattern.String(),
		name: "points", what: "failpoints × kill, error, delay", unit: "times", ci: len(takes), soak: 20 * len(takes),
		run: func(ctx context.Context, s *suite, n int) (figure, error) { return s.playAll(ctx, takes, n) },
	}
}

// atPoints has all of them.
var atPoints = pointsMatching(regexp.MustCompile(""))

// playAll plays takes, all of them again and again, n altogether.
func (s *suite) playAll(ctx context.Context, takes []take, n int) (f figure, err error) {
	st, err := s.newStage(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = finish(err, &f, st.host, st.decoys) }()
	played := map[string]map[string]bool{} // what has happened at each point
	for i := range n {
		if err := ctx.Err(); err != nil {
			return f, err
		}
		t := takes[i%len(takes)]
		broken := len(f.violations)
		happened, err := st.play(ctx, t, &f)
		if err != nil {
			return f, fmt.Errorf("%s: %w", t, err)
		}
		for i := broken; i < len(f.violations); i++ {
			f.violations[i] = t.String() + ": " + f.violations[i]
		}
		if happened {
			f.done++
			if played[t.point] == nil {
				played[t.point] = map[string]bool{}
			}
			played[t.point][t.action] = true
		}
	}
	with, without := 0, 0
	for _, of := range played {
		switch {
		case containsAll(of, actions):
			with++
		case containsAll(of, actionsWithoutError):
			without++
		}
	}
	f.note("%d points × kill, error, delay; %d at which no error can come × kill, delay", with, without)
	return f, nil
}

func containsAll(of map[string]bool, actions []string) bool {
	return !slices.ContainsFunc(actions, func(action string) bool { return !of[action] })
}

// stage is a host with what its clients know of it.
type stage struct {
	*host
	*ledger
	decoys decoys
	figure *figure
	n      int           // of the take, for names
	wait   time.Duration // how long what was armed is waited for

	comeBack time.Duration // how long ports are waited for

	// things are the ranges and distributions that are there or not, and
	// doubtful those of which that is not known.
	things   map[string]bool
	doubtful map[string]bool

	// doubtfulExec is how many instances an exec has that was not answered.
	doubtfulExec int

	// restarted are the ports of processes whose restart was not answered.
	restarted map[int]int
}

// emptyStage is one whose daemon can be armed, and was never started.
func (s *suite) emptyStage() (*stage, error) {
	h, err := s.newHost()
	if err != nil {
		return nil, err
	}
	h.env = append(h.env, "BERTH_FAILPOINT=@"+filepath.Join(h.dir, "armed"), "BERTH_FAILPOINTS_REACHED="+filepath.Join(h.dir, "reached"))
	h.planted = append(h.planted, "small-journal")
	st := &stage{host: h, ledger: newLedger(), wait: patience / 4, comeBack: patience, things: map[string]bool{}, doubtful: map[string]bool{}, restarted: map[int]int{}}
	return st, st.arm("")
}

func (s *suite) newStage(ctx context.Context) (*stage, error) {
	st, err := s.emptyStage()
	if err != nil {
		return nil, err
	}
	h := st.host
	if err := h.up(ctx); err != nil {
		return nil, err
	}
	if err := h.deploy(ctx); err != nil {
		return nil, err
	}
	one := []api.Range{{Name: "blocked", Min: 28000, Max: 28000}}
	if _, err := h.AddRanges(ctx, api.AddRanges{Ranges: one}); err != nil {
		return nil, err
	}
	st.decoys, err = h.newDecoys(2)
	return st, err
}

// arm tells the daemon, be it there or not, what shall happen.
func (st *stage) arm(text string) error {
	name := filepath.Join(st.dir, "armed")
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// happens waits until what was armed has happened: some of it comes after the
// answer. It reports whether it has.
func (st *stage) happens(ctx context.Context, t take) (bool, error) {
	for deadline := time.Now().Add(st.wait); ; time.Sleep(2 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(st.dir, "reached"))
		if err != nil {
			return false, err
		}
		if slices.Contains(strings.Split(string(text), "\n"), t.String()) {
			return true, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
}

// play has something happen at a point, and compares. It reports whether it has
// happened.
func (st *stage) play(ctx context.Context, t take, f *figure) (bool, error) {
	st.n++
	st.figure = f
	if t.empty {
		fresh, err := st.s.emptyStage()
		if err != nil {
			return false, err
		}
		t.empty = false
		happened, err := fresh.play(ctx, t, f)
		if endErr := fresh.end(); err == nil {
			err = endErr
		}
		return happened, err
	}
	if t.before != nil {
		if err := t.before(st, ctx); err != nil {
			return false, fmt.Errorf("before: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(st.dir, "reached"), nil, 0o600); err != nil {
		return false, err
	}
	armed := t.point + "=" + t.action + t.nth
	if t.also != "" {
		armed = t.also + ";" + armed
	}
	if err := st.arm(armed); err != nil {
		return false, err
	}
	// While the daemon dawdles others have what they ask for.
	rival := func() {}
	if t.action == "delay" && t.do != nil {
		rival = st.rival(ctx)
	}
	var done error
	if t.do != nil {
		done = t.do(st, ctx)
	} else {
		if err := st.start(); err != nil {
			return false, err
		}
		done = st.host.answers(ctx)
	}
	happened, err := st.happens(ctx, t)
	rival()
	if err != nil {
		return false, err
	}
	switch {
	case !happened:
		f.broken("the point was not reached: %v", done)
	case t.refused && done == nil:
		f.broken("nobody was told of the error")
	case t.action == "delay" && t.also == "" && done != nil:
		f.broken("it failed: %v", done)
	}
	if err := st.arm(""); err != nil {
		return happened, err
	}
	if err := st.comesBack(ctx, t, happened, f); err != nil {
		return happened, err
	}
	known := len(st.processes)
	if err := st.verify(ctx, st.host, f); err != nil {
		return happened, err
	}
	if n := len(st.processes) - known; st.doubtfulExec != 0 && n != 0 && n != st.doubtfulExec {
		f.broken("half done: %d of %d instances run", n, st.doubtfulExec)
	}
	st.doubtfulExec = 0
	if err := st.compare(ctx, f); err != nil {
		return happened, err
	}
	if err := st.portsComeBack(ctx, f); err != nil {
		return happened, err
	}
	if t.after != nil {
		if err := t.after(st, ctx); err != nil {
			return happened, fmt.Errorf("after: %w", err)
		}
	}
	return happened, nil
}

// rival has another client acquire and release leases until the returned function
// is called.
func (st *stage) rival(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ctx.Err() == nil; i++ {
			holder := fmt.Sprintf("rival-%d-%d", st.n, i)
			// What was begun is ended, for the ledger to know of it.
			if ctx := context.WithoutCancel(ctx); !st.acquire(ctx, st.host, holder) || !st.release(ctx, st.host, holder) {
				return
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// comesBack waits until a daemon has ended that has to, or may, and starts the
// next one.
func (st *stage) comesBack(ctx context.Context, t take, happened bool, f *figure) error {
	switch {
	case happened && t.action == "kill":
		<-st.ended
	case t.action == "error" && t.do != nil && t.ends:
		st.endsOrWorks(ctx)
	}
	select {
	case <-st.ended:
	default:
		return nil
	}
	switch {
	case t.action == "kill" || t.stops:
	case t.action == "error" && t.ends:
		if says := t.point + " was told to fail"; !strings.Contains(st.logTail(), says) {
			f.broken("the daemon has ended and does not say %q: %s", says, firstLine(st.logTail()))
		}
	default:
		f.broken("the daemon has ended: %s", firstLine(st.logTail()))
	}
	st.Close()
	return st.up(ctx)
}

// endsOrWorks waits until the daemon has ended, or has opened its store again.
func (st *stage) endsOrWorks(ctx context.Context) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		select {
		case <-st.ended:
			return
		default:
		}
		if _, err := st.ArchiveRanges(ctx, "works"); err == nil {
			return
		}
	}
}
