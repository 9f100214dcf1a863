package lease

import (
	"time"

	"berth/internal/failpoint"
	"berth/store"
)

// state tells why a port is not free.
type state uint8

const (
	// planned: it was picked, is being probed, or its commit is on its way.
	planned state = iota + 1
	// leased: its lease is in the store.
	leased
	// ending: it is leased, and the end of the lease is on its way.
	ending
	// unsettled: a commit that makes or ends its lease has no known outcome.
	unsettled
	// aside: something else is bound to it.
	aside
	// checking: it is set aside and just being looked at.
	checking
	// foreign: another host has it from a range of the cluster.
	foreign
	// unreadable: the record of its lease cannot be read.
	unreadable
)

// slot is a port that is not free. Its fields are the manager's lock's; what
// its pointers lead to never changes.
type slot struct {
	protocol Protocol
	port     int
	state    state

	// lease is nil where the port is set aside or unreadable.
	lease *Lease
	key   string

	// live says that the store has the lease, as far as it is known: it can be
	// found by its id. It stays true while the lease is ending.
	live bool

	// revision of the lease's record; 0: it has to be read.
	revision store.Revision

	// blocked is why the port cannot be leased: where it is set aside or
	// unreadable, and where it is to be set aside after its lease has ended.
	blocked *SetAside

	// pause is how long it is from the last look at a port that is set aside
	// to the next, which is due then.
	pause time.Duration
	due   time.Time

	// ends is when the time of a live lease runs out, zero where it does not,
	// and place where the slot is in the manager's expiries.
	ends  time.Time
	place int

	// gone says that the lease is ending because its holder is gone.
	gone bool

	// under is what the port is when this ends: two records can lie over one
	// port when a host's range was deleted by force and the cluster's range
	// that came after it was leased from elsewhere.
	under *slot
}

// newSlot is the slot of a planned lease, in one piece of memory with it.
func newSlot(l Lease) *slot {
	both := &struct {
		slot  slot
		lease Lease
	}{slot{protocol: l.Protocol, port: l.Port, state: planned, key: l.Key()}, l}
	both.slot.lease = &both.lease
	return &both.slot
}

// taken reports whether a lease is, or is about to be, on the port.
func (s *slot) taken() bool {
	switch s.state {
	case planned, leased, ending, unsettled, foreign:
		return true
	}
	return false
}

const pageSize = 256

// table is the ports of one protocol.
type table struct {
	free  Bits // ports that have no slot
	aside Bits // ports whose slot is not taken
	pages [ports / pageSize]*[pageSize]*slot
}

// at returns the slot of port, nil if it is free.
func (t *table) at(port int) *slot {
	if p := t.pages[port/pageSize]; p != nil {
		return p[port%pageSize]
	}
	return nil
}

// put makes s the slot of its port, over the one that is there.
func (t *table) put(s *slot) {
	p := t.pages[s.port/pageSize]
	if p == nil {
		p = new([pageSize]*slot)
		t.pages[s.port/pageSize] = p
	}
	s.under = p[s.port%pageSize]
	p[s.port%pageSize] = s
	if !failpoint.Planted("lease-twice") {
		t.free.remove(s.port)
	}
	t.mark(s)
}

// mark notes whether the slot of a port is taken, after its state has changed.
func (t *table) mark(s *slot) {
	if s.taken() {
		t.aside.remove(s.port)
	} else {
		t.aside.add(s.port)
	}
}

// drop ends a slot: its port is free, or what lies under it.
func (t *table) drop(s *slot) {
	p := t.pages[s.port/pageSize]
	if p[s.port%pageSize] != s {
		for over := p[s.port%pageSize]; over != nil; over = over.under {
			if over.under == s {
				over.under = s.under
				return
			}
		}
		return
	}
	p[s.port%pageSize] = s.under
	if s.under == nil {
		t.aside.remove(s.port)
		t.free.add(s.port)
		return
	}
	t.mark(s.under)
}

// each calls f with the slots of min..max in the order of their ports until f returns false.
func (t *table) each(min, max int, f func(*slot) bool) {
	for page := min / pageSize; page <= max/pageSize; page++ {
		p := t.pages[page]
		if p == nil {
			continue
		}
		first, last := 0, pageSize-1
		if page == min/pageSize {
			first = min % pageSize
		}
		if page == max/pageSize {
			last = max % pageSize
		}
		for _, s := range p[first : last+1] {
			if s != nil && !f(s) {
				return
			}
		}
	}
}
