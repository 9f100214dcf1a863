package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"berth/internal/failpoint"
)

// checkEvery is how often Run looks at what is unknown or leased elsewhere.
const checkEvery = 2 * time.Second

// The pauses between two looks at a port that is set aside: each is twice the
// one before, up to the longest. They begin anew when somebody else has the port.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second
)

// Run does what RunOnce does until ctx ends, whose error it returns: it looks at
// each port that is set aside after growing pauses of its own, from 0.1 to 30
// seconds, ends the leases of a holder once that is gone, and looks at the rest
// every two seconds. What goes wrong is logged.
func (m *Manager) Run(ctx context.Context) error {
	var holders sync.WaitGroup
	holders.Go(func() { m.runHolders(ctx) })
	defer holders.Wait()
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			err = m.inquire(ctx)
		case <-m.asideAgain:
		case <-look.C:
			now := time.Now()
			err = m.recheck(ctx, func(s *slot) bool { return !s.due.After(now) })
		}
		if err != nil && ctx.Err() == nil {
			m.log.Warn("ports cannot be looked at", "error", err)
		}
		look.Reset(m.untilDue())
	}
}

// untilDue is how long it is until a port that is set aside has to be looked at.
func (m *Manager) untilDue() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	wait := longestPause
	now := time.Now()
	for i := range m.tables {
		t := &m.tables[i]
		for port, ok := t.aside.Next(MinPort, MaxPort); ok; port, ok = t.aside.Next(port+1, MaxPort) {
			if s := t.at(port); s.state == aside {
				wait = min(wait, s.due.Sub(now))
			}
		}
	}
	return max(wait, 0)
}

// schedule sets when a port that is being set aside is looked at next, and
// wakes Run. The lock is held.
func (m *Manager) schedule(s *slot) {
	s.pause = min(max(2*s.pause, firstPause), longestPause)
	s.due = time.Now().Add(s.pause)
	select {
	case m.asideAgain <- struct{}{}:
	default:
	}
}

// RunOnce settles unknown outcomes, ends the leases of holders that are gone,
// looks at the ports that are set aside and reads which ports of the cluster's
// ranges other hosts have let go of.
func (m *Manager) RunOnce(ctx context.Context) error {
	return errors.Join(m.inquire(ctx), m.RecuperateOnce(ctx), m.RecheckOnce(ctx))
}

// inquire settles unknown outcomes and reads the leases of the cluster.
func (m *Manager) inquire(ctx context.Context) error {
	m.mu.Lock()
	elsewhere := m.elsewhere > 0
	m.mu.Unlock()
	err := m.Settle(ctx)
	if elsewhere {
		err = errors.Join(err, m.refresh(ctx))
	}
	return err
}

// RecheckOnce looks at every port that is set aside: whether somebody listens
// on it, and only if nobody does, whether it can be bound, in which case it is
// available again.
func (m *Manager) RecheckOnce(ctx context.Context) error {
	return m.recheck(ctx, func(*slot) bool { return true })
}

// recheck looks at the ports that are set aside and wanted.
func (m *Manager) recheck(ctx context.Context, want func(*slot) bool) error {
	// One at a time: who waits for the gate then finds the ports set aside
	// again, and does not take them for lost because they are being checked.
	if err := m.checks.enter(ctx); err != nil {
		return err
	}
	defer m.checks.leave()
	var list []*slot
	m.mu.Lock()
	for i := range m.tables {
		t := &m.tables[i]
		for port, ok := t.aside.Next(MinPort, MaxPort); ok; port, ok = t.aside.Next(port+1, MaxPort) {
			if s := t.at(port); s.state == aside && want(s) {
				list = append(list, s)
			}
		}
	}
	m.mu.Unlock()
	failpoint.At("recheck/listed")
	var errs []error
	for _, s := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		m.mu.Lock()
		still := s.state == aside && m.table(s.protocol).at(s.port) == s
		if still {
			m.move(s, checking)
		}
		m.mu.Unlock()
		if !still {
			continue
		}
		blocked, err := m.look(s.protocol, s.port, true)
		if err == nil {
			err = failpoint.Fail("recheck/looked")
		}
		m.mu.Lock()
		switch {
		case err != nil:
			errs = append(errs, err)
			m.move(s, aside)
		case blocked == nil:
			m.tellAside(s, false)
			m.drop(s)
		default:
			blocked.Since = s.blocked.Since
			if blocked.PID != s.blocked.PID {
				s.pause = 0
			}
			s.blocked = blocked
			m.move(s, aside)
		}
		m.mu.Unlock()
	}
	return errors.Join(errs...)
}

// look reports why a port cannot be bound, nil if it can. With lookUp it is
// bound only if nobody listens on it. An error says that it cannot be told.
// The port must be marked, so that nobody else looks at the same time, and the
// lock must not be held.
func (m *Manager) look(p Protocol, port int, lookUp bool) (*SetAside, error) {
	if lookUp {
		if who, listening, err := m.finder.Find(p, port); err == nil && listening {
			return m.inUse(port, who), nil
		}
	}
	err := m.prober.Probe(p, port)
	if err == nil {
		return nil, nil
	}
	var inUse *InUseError
	switch {
	case errors.As(err, &inUse) && inUse.PID != 0:
		return m.inUse(port, Occupant{PID: inUse.PID, Command: inUse.Command}), nil
	case errors.Is(err, ErrInUse):
		who, _, findErr := m.finder.Find(p, port)
		if findErr != nil {
			m.log.Warn("who is bound to a port cannot be told", "protocol", p, "port", port, "error", findErr)
		}
		return m.inUse(port, who), nil
	case errors.Is(err, ErrPrivileged):
		return &SetAside{Port: port, Reason: "this user may not bind it", Since: m.now().UTC(), denied: true}, nil
	}
	return nil, fmt.Errorf("look at %s port %d: %w", p, port, err)
}

func (m *Manager) inUse(port int, who Occupant) *SetAside {
	return &SetAside{Port: port, Reason: inUseBy(who.PID, who.Command), PID: who.PID, Command: who.Command, Since: m.now().UTC()}
}
