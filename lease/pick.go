package lease

import (
	"fmt"
	"math/rand/v2"
)

// Picker is a strategy that chooses a port. Pick returns a port of free that
// is in min..max, inclusive, or false if there is none. It is called by one
// goroutine at a time, must be quick and must not keep free.
type Picker interface {
	Pick(free *Bits, min, max int) (port int, ok bool)
}

// ParsePicker returns the strategy of that name: lowest (the default, for ""),
// next or random.
func ParsePicker(name string) (Picker, error) {
	switch name {
	case "", "lowest":
		return Lowest(), nil
	case "next":
		return Next(), nil
	case "random":
		return Random(), nil
	}
	return nil, fmt.Errorf("picking strategy %q is not known; it is lowest, next or random", name)
}

// Lowest picks the lowest free port: a port that came back is the next one
// leased if it is the lowest.
func Lowest() Picker { return lowest{} }

// Next picks the free port after the one picked last from the same range,
// and begins again at min after max: a port that came back rests for as long
// as there are others.
func Next() Picker { return &next{last: make(map[int]int)} }

// Random picks each free port with the same probability.
func Random() Picker { return random{} }

type lowest struct{}

func (lowest) Pick(free *Bits, min, max int) (int, bool) { return free.Next(min, max) }

// next remembers the last port by the range's first one: ranges of a protocol
// do not overlap, and where one of each protocol begins at the same port they
// share their place, which does no harm.
type next struct{ last map[int]int }

func (n *next) Pick(free *Bits, min, max int) (int, bool) {
	port, ok := after(free, n.last[min], min, max)
	if ok {
		n.last[min] = port
	}
	return port, ok
}

// after returns the lowest port of free that is in min..max and above last, or
// where there is none the lowest one of min..max.
func after(free *Bits, last, min, max int) (int, bool) {
	start := min
	if min <= last && last < max {
		start = last + 1
	}
	port, ok := free.Next(start, max)
	if !ok && start > min {
		port, ok = free.Next(min, start-1)
	}
	return port, ok
}

type random struct{}

func (random) Pick(free *Bits, min, max int) (int, bool) {
	n := free.Count(min, max)
	if n == 0 {
		return 0, false
	}
	return free.Nth(min, max, rand.IntN(n))
}
