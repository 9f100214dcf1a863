package lease

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"berth/store"
)

// placeFolder has the place of each range of PolicyNext, of each host: the port
// that was picked last. It is written in the batch of the lease, without a
// condition: of two leases that are made at once either may come last, and a
// place that cannot be read is where the range begins.
const placeFolder = "places/"

func (m *Manager) placeKey(name string) string { return placeFolder + m.host + "/" + name }

// loadPlaces reads the places at the start.
func (m *Manager) loadPlaces(ctx context.Context) error {
	entries, _, err := m.store.List(ctx, m.placeKey(""))
	if err != nil {
		return fmt.Errorf("list the places of ranges: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		port, err := strconv.Atoi(string(e.Value))
		if err != nil {
			m.log.Warn("where a range of the policy next goes on cannot be read; it begins anew", "key", e.Key, "error", err)
			continue
		}
		m.places[strings.TrimPrefix(e.Key, m.placeKey(""))] = port
	}
	return nil
}

// putPlaces adds to a batch where the ranges of a plan go on. The lock is held.
func (m *Manager) putPlaces(batch *store.Batch, p *Plan) {
	if len(m.places) == 0 {
		return
	}
	var put map[string]bool
	for _, s := range p.slots {
		name := s.lease.Range
		port, ok := m.places[name]
		if !ok || put[name] || m.ranges[name].Policy != PolicyNext {
			continue
		}
		if put == nil {
			put = make(map[string]bool)
		}
		put[name] = true
		batch.Put(m.placeKey(name), strconv.AppendInt(nil, int64(port), 10))
	}
}

// deletePlaces adds to a batch that ranges which do not go on from a place any
// more have none.
func (m *Manager) deletePlaces(batch *store.Batch, current, next map[string]Range, changed []string) {
	for _, name := range changed {
		if current[name].Policy == PolicyNext && next[name].Policy != PolicyNext {
			batch.Delete(m.placeKey(name))
		}
	}
}
