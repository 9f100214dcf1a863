package lease

import (
	"fmt"
	"strconv"
	"strings"
)

// maxNamed is how many ports a FullError names of each sort.
const maxNamed = 8

// Interval is ports that follow each other, both ends inclusive.
type Interval struct{ First, Last int }

// String is a single port, or both ends: 8082-8085.
func (i Interval) String() string {
	if i.First == i.Last {
		return strconv.Itoa(i.First)
	}
	return fmt.Sprintf("%d-%d", i.First, i.Last)
}

// FullError says that a range has fewer ports that can be leased than were
// wanted, or none that follow each other, and who has the others. It is
// ErrRangeFull.
type FullError struct {
	// Range has no name where an interval of ports was asked for directly.
	Range    Range
	Protocol Protocol

	// Wanted is how many ports of the range were asked for together, Available
	// how many of them there were.
	Wanted, Available int

	// Together is how many of them were to follow each other. Where it is more
	// than 1, Runs are the lowest stretches of available ports, and MoreRuns is
	// how many others there are.
	Together int
	Runs     []Interval
	MoreRuns int

	// Kept is how many ports of the range are not counted here, since they are
	// static ones, for requests that ask for them by number.
	Kept int

	// Held are the lowest leased ports of the range, Leased is how many there are.
	Held   []ActivePort
	Leased int

	// SetAside are the lowest ports of the range that are set aside, Aside is
	// how many there are.
	SetAside []SetAside
	Aside    int
}

// Is reports whether target is ErrRangeFull.
func (e *FullError) Is(target error) bool { return target == ErrRangeFull }

func (e *FullError) Error() string {
	var b strings.Builder
	if e.Range.Name == "" {
		fmt.Fprintf(&b, "%s ports %v: ", e.Protocol, Interval{e.Range.Min, e.Range.Max})
	} else {
		fmt.Fprintf(&b, "range %s: ", e.Range.Name)
	}
	total := e.Range.Len() - e.Kept
	switch {
	case total == 0:
		fmt.Fprintf(&b, "%s wanted, and its ports %v are kept for pinned leases: ask for one by its number", count(e.Wanted), Interval{e.Range.Min, e.Range.Max})
		return b.String()
	case e.Wanted > total:
		fmt.Fprintf(&b, "%s wanted, it has %s", count(e.Wanted), count(total))
	case e.Together > 1 && e.Available > 0:
		fmt.Fprintf(&b, "%s contiguous ports wanted", thousands(e.Together))
		if e.Wanted > e.Together {
			fmt.Fprintf(&b, ", %s in all", thousands(e.Wanted))
		}
		fmt.Fprintf(&b, ", of its %s available are ", count(total))
		for i, r := range e.Runs {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(r.String())
		}
		if e.MoreRuns > 0 {
			fmt.Fprintf(&b, " and %s more runs", thousands(e.MoreRuns))
		}
	case e.Available > 0:
		fmt.Fprintf(&b, "%s wanted, %s of its %s can be leased", count(e.Wanted), thousands(e.Available), count(total))
	case e.Aside > 0 && total == 1:
		b.WriteString("its port cannot be leased")
	case e.Aside > 0:
		fmt.Fprintf(&b, "none of its %s can be leased", count(total))
	case total == 1:
		b.WriteString("its port is leased")
	default:
		fmt.Fprintf(&b, "all %s are leased", count(total))
	}
	if e.Kept > 0 {
		fmt.Fprintf(&b, " (besides %s kept for pinned leases)", thousands(e.Kept))
	}
	separator := ": "
	for i := 0; i < len(e.Held); {
		first, last := e.Held[i], e.Held[i].Port
		for i++; i < len(e.Held) && e.Held[i].Port == last+1 && first.Lease.Holder.Process != 0 && e.Held[i].Lease.Holder == first.Lease.Holder; i++ {
			last++
		}
		fmt.Fprintf(&b, "%s%v by %s", separator, Interval{first.Port, last}, first.Lease.Holder)
		separator = ", "
	}
	if more := e.Leased - len(e.Held); more > 0 {
		fmt.Fprintf(&b, " and %s more", thousands(more))
	}
	for _, s := range e.SetAside {
		fmt.Fprintf(&b, "%s%d set aside: %s", separator, s.Port, s.Reason)
		separator = ", "
	}
	if more := e.Aside - len(e.SetAside); more > 0 {
		fmt.Fprintf(&b, " and %s more", thousands(more))
	}
	return b.String()
}

// count words a number of ports.
func count(n int) string {
	if n == 1 {
		return "1 port"
	}
	return thousands(n) + " ports"
}

// thousands writes n, which is at most 65,535 times a few, with a comma.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

// lacking says why a request of a plan cannot have ports, and gives back those
// of the plan. It is errAfresh where the others have ports that were picked
// before one was refused: they may be in the way of a block. The lock is held.
func (m *Manager) lacking(p *Plan, q *Request, r Range) error {
	m.takeBack(p)
	if p.refused && p.first != nil {
		p.refused = false
		m.giveBackLocked(p)
		p.done = false
		return errAfresh
	}
	if q.Port != 0 {
		err := m.conflict(p, r)
		m.giveBackLocked(p)
		return err
	}
	n := 0 // wanted of the same interval
	for i := range p.requests {
		if other := &p.requests[i]; other.Range == q.Range && other.Min == q.Min && other.Max == q.Max {
			n += other.count()
		}
	}
	m.giveBackLocked(p)
	return m.full(r, n, q.count())
}
