package lease

import "strings"

// Policy is how a port of a range is picked where any of them will do.
type Policy string

// The policies.
const (
	// PolicyLowest picks the lowest port: one that came back is the next one leased
	// if it is the lowest.
	PolicyLowest Policy = "lowest"
	// PolicyNext picks the port after the one leased last, and begins again at the
	// first one after the last: a port that came back rests for as long as there
	// are others. Where it goes on is written down with each lease, so that it goes
	// on there after a start of the daemon as well.
	PolicyNext Policy = "next"
	// PolicyRandom picks each port with the same probability.
	PolicyRandom Policy = "random"
)

// ParsePolicy reads lowest, next or random, in any case; empty stays empty.
// Other words are ErrRangeInvalid.
func ParsePolicy(s string) (Policy, error) {
	switch p := Policy(strings.ToLower(s)); p {
	case "", PolicyLowest, PolicyNext, PolicyRandom:
		return p, nil
	}
	return "", stated(ErrRangeInvalid, "policy %q is not known; it is lowest, next or random", s)
}

// pickOf picks a free port of min..max, which is what a range has open, by the
// policy of the range. The lock is held.
func (m *Manager) pickOf(r Range, min, max int) (port int, ok bool) {
	free := &m.table(r.Protocol).free
	switch r.Policy {
	case PolicyLowest:
		return lowest{}.Pick(free, min, max)
	case PolicyRandom:
		return random{}.Pick(free, min, max)
	case PolicyNext:
		if port, ok = after(free, m.places[r.Name], min, max); ok {
			m.places[r.Name] = port
		}
		return port, ok
	}
	return m.picker.Pick(free, min, max)
}
