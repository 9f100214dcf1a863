package access

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"berth/store"
)

// quotaFolder is where the store has quotas: quotas/<owner>.
const quotaFolder = "quotas/"

// EveryOwner stands for the owners that have no quota of their own.
const EveryOwner = "*"

// Quota is how many leases an owner may have at a time.
type Quota struct {
	Owner string `json:"-"` // EveryOwner: each one without a quota of its own
	Max   int    `json:"max"`

	// TCP and UDP are how many of each protocol it may have of these, its demands;
	// nil says nothing of that protocol.
	TCP *int `json:"tcp,omitempty"`
	UDP *int `json:"udp,omitempty"`
}

// of returns what a quota says of a protocol, nil for nothing.
func (q Quota) of(protocol string) *int {
	switch protocol {
	case "tcp":
		return q.TCP
	case "udp":
		return q.UDP
	}
	return nil
}

// Quotas are the quotas that a store holds. Its methods may be called from many
// goroutines.
type Quotas struct {
	store store.Store

	changing sync.Mutex // held while one is changed

	mu     sync.RWMutex
	quotas map[string]Quota
	owners map[string]*turn // those of whom somebody acquires leases
}

// turn is whose turn it is to acquire leases for an owner.
type turn struct {
	taken chan struct{}
	many  int // who has it or waits for it
}

// OpenQuotas reads the quotas of a store, which the caller closes. A record that
// cannot be read is reported to log, and lets its owner have nothing.
func OpenQuotas(ctx context.Context, st store.Store, log *slog.Logger) (*Quotas, error) {
	q := &Quotas{store: st, quotas: make(map[string]Quota), owners: make(map[string]*turn)}
	entries, _, err := st.List(ctx, quotaFolder)
	if err != nil {
		return nil, fmt.Errorf("read the quotas: %w", err)
	}
	for _, e := range entries {
		var one Quota
		if err := json.Unmarshal(e.Value, &one); err != nil {
			log.Error("a quota cannot be read, and its owner may lease nothing", "key", e.Key, "error", err)
		}
		one.Owner = strings.TrimPrefix(e.Key, quotaFolder)
		q.quotas[one.Owner] = one
	}
	return q, nil
}

// Set sets a quota. Leases that an owner has already are not touched. Errors:
// ErrInvalid, the store's.
func (q *Quotas) Set(ctx context.Context, set Quota) error {
	if set.Owner != EveryOwner {
		if err := CheckName("owner", set.Owner); err != nil {
			return err
		}
	}
	if set.Max < 0 || set.Max > MaxQuota {
		return stated(ErrInvalid, "quota %d of owner %s is not between 0 and %d", set.Max, set.Owner, MaxQuota)
	}
	for _, protocol := range []string{"tcp", "udp"} {
		if n := set.of(protocol); n != nil && (*n < 0 || *n > set.Max) {
			return stated(ErrInvalid, "demand of %d %s ports of owner %s is not between 0 and its quota of %d", *n, protocol, set.Owner, set.Max)
		}
	}
	record, err := json.Marshal(set)
	if err != nil {
		return err
	}
	var b store.Batch
	b.Put(quotaFolder+set.Owner, record)
	return q.change(ctx, b, func() { q.quotas[set.Owner] = set })
}

// Delete takes the quota of an owner away, and reports whether there was one.
func (q *Quotas) Delete(ctx context.Context, owner string) (had bool, err error) {
	q.mu.RLock()
	_, had = q.quotas[owner]
	q.mu.RUnlock()
	if !had {
		return false, nil
	}
	var b store.Batch
	b.Delete(quotaFolder + owner)
	return true, q.change(ctx, b, func() { delete(q.quotas, owner) })
}

// change commits and then does the same in memory.
func (q *Quotas) change(ctx context.Context, b store.Batch, inMemory func()) error {
	q.changing.Lock()
	defer q.changing.Unlock()
	if _, err := q.store.Commit(ctx, b); err != nil {
		return fmt.Errorf("change a quota: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	inMemory()
	return nil
}

// List returns all quotas, by owner; EveryOwner is the first.
func (q *Quotas) List() []Quota {
	q.mu.RLock()
	defer q.mu.RUnlock()
	var all []Quota
	for _, owner := range slices.Sorted(maps.Keys(q.quotas)) {
		all = append(all, q.quotas[owner])
	}
	return all
}

// Of returns how many leases an owner may have, by its quota and by the one that
// the caller's token has (0: says nothing), and whether there is a limit at all.
// What belongs to nobody has none.
func (q *Quotas) Of(owner string, byToken int) (most int, limited bool) {
	if owner == "" {
		return 0, false
	}
	own, limited := q.find(owner)
	if byToken > 0 && (!limited || byToken < own.Max) {
		return byToken, true
	}
	return own.Max, limited
}

// Demand returns how many leases of a protocol an owner may have, and whether its
// quota says so.
func (q *Quotas) Demand(owner, protocol string) (most int, limited bool) {
	if owner == "" {
		return 0, false
	}
	own, _ := q.find(owner)
	if n := own.of(protocol); n != nil {
		return *n, true
	}
	return 0, false
}

// find returns the quota that counts for an owner.
func (q *Quotas) find(owner string) (Quota, bool) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	own, ok := q.quotas[owner]
	if !ok {
		own, ok = q.quotas[EveryOwner]
	}
	return own, ok
}

// ExceedsDemand is the error, ErrQuota, for an owner who has so many leases of a
// protocol and wants more than its demand of most.
func ExceedsDemand(owner, protocol string, have, want, most int) error {
	return stated(ErrQuota, "owner %s has %d %s leases, and with %d more there would be more than its demand of %d: release some, or have the demand raised", owner, have, protocol, want, most)
}

// Within does acquire where an owner would not have more leases than most after
// it: have counts those that the owner keeps, want those that are acquired. Who
// acquires for one owner takes turns, so that two together do not get more. The
// error is ErrQuota, the context's, or acquire's.
func (q *Quotas) Within(ctx context.Context, owner string, most, want int, have func() int, acquire func() error) error {
	done, err := q.wait(ctx, owner)
	if err != nil {
		return err
	}
	defer done()
	if n := have(); n+want > most {
		return stated(ErrQuota, "owner %s has %d leases, and with %d more there would be more than its quota of %d: release some, or have the quota raised", owner, n, want, most)
	}
	return acquire()
}

// wait waits for the turn of an owner.
func (q *Quotas) wait(ctx context.Context, owner string) (done func(), err error) {
	q.mu.Lock()
	t := q.owners[owner]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		q.owners[owner] = t
	}
	t.many++
	q.mu.Unlock()
	leave := func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if t.many--; t.many == 0 {
			delete(q.owners, owner)
		}
	}
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
