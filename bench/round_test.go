package bench_test

import (
	"cmp"
	"runtime"
	"slices"
	"testing"
	"time"
)

// The units of figures.
const (
	rate = "ops/s"
	ms   = "ms"
)

// series is one way to do a piece of work. Run does it once and returns the
// figure: operations a second, or milliseconds.
type series struct {
	name string
	run  func(b *testing.B) float64
}

// figures are those of each series by its name, a figure a round.
type figures map[string][]float64

// alternate runs each series once in every round, and each time another one
// comes first: what disturbs the machine disturbs all of them alike. A round is
// an iteration of the benchmark.
func alternate(b *testing.B, all ...series) figures {
	b.Helper()
	f := make(figures)
	for round := 0; b.Loop(); round++ {
		for i := range all {
			s := all[(i+round)%len(all)]
			runtime.GC() // nobody clears up after the one before
			f[s.name] = append(f[s.name], s.run(b))
		}
	}
	b.ReportMetric(0, "ns/op") // that of a round says nothing
	return f
}

// median is the median of a series.
func (f figures) median(name string) float64 { return median(f[name]) }

// ratio is the median of what each round says of one series beside another.
func (f figures) ratio(name, floor string) float64 {
	return f.paired(name, floor, func(a, b float64) float64 { return a / b })
}

// difference is the median of how much more one series has in each round than
// another.
func (f figures) difference(name, floor string) float64 {
	return f.paired(name, floor, func(a, b float64) float64 { return a - b })
}

func (f figures) paired(name, floor string, compare func(a, b float64) float64) float64 {
	each := make([]float64, len(f[name]))
	for i := range each {
		each[i] = compare(f[name][i], f[floor][i])
	}
	return median(each)
}

// median is the middle one, or the mean of the two in the middle; 0 of none.
func median[T ~int64 | ~float64](list []T) T {
	if len(list) == 0 {
		return 0
	}
	list = slices.SortedFunc(slices.Values(list), cmp.Compare[T])
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// percentile is the least of a list that at least so many of a hundred do not
// exceed; 0 of none.
func percentile[T ~int64 | ~float64](list []T, hundredths int) T {
	if len(list) == 0 {
		return 0
	}
	list = slices.SortedFunc(slices.Values(list), cmp.Compare[T])
	return list[max(0, (len(list)*hundredths+99)/100-1)]
}

// perSecond is the rate of n operations that took d.
func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

// inMs is d in milliseconds.
func inMs(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// size is how much work there is: n, or little of it with -short.
func size(n, short int) int {
	if testing.Short() {
		return short
	}
	return n
}
