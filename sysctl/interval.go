package sysctl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Interval is ports that follow each other, both ends inclusive.
type Interval struct{ First, Last int }

// String is a single port, or both ends: 9148-9150.
func (i Interval) String() string {
	if i.First == i.Last {
		return strconv.Itoa(i.First)
	}
	return fmt.Sprintf("%d-%d", i.First, i.Last)
}

const maxPort = 65535

// ParseList reads intervals as the kernel writes them: 8080,9148-9150. Empty is none.
func ParseList(text string) ([]Interval, error) {
	var list []Interval
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		first, last, two := strings.Cut(part, "-")
		if !two {
			last = first
		}
		var i Interval
		var err error
		if i.First, err = strconv.Atoi(first); err == nil {
			i.Last, err = strconv.Atoi(last)
		}
		if err != nil || i.First < 0 || i.Last < i.First || i.Last > maxPort {
			return nil, fmt.Errorf("%q is no list of ports as 8080,9148-9150", text)
		}
		list = append(list, i)
	}
	return list, nil
}

// FormatList writes intervals as ParseList reads them.
func FormatList(list []Interval) string {
	parts := make([]string, len(list))
	for i, one := range list {
		parts[i] = one.String()
	}
	return strings.Join(parts, ",")
}

// Merge returns the ports of all lists, each once, ascending: neighbours are one interval.
func Merge(lists ...[]Interval) []Interval {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b Interval) int { return a.First - b.First })
	var merged []Interval
	for _, i := range all {
		if n := len(merged); n > 0 && i.First <= merged[n-1].Last+1 {
			merged[n-1].Last = max(merged[n-1].Last, i.Last)
			continue
		}
		merged = append(merged, i)
	}
	return merged
}

// Without returns the ports of an interval that are in none of a list's, ascending.
func (i Interval) Without(list []Interval) []Interval {
	var left []Interval
	for _, other := range Merge(list) {
		if other.Last < i.First {
			continue
		}
		if other.First > i.Last {
			break
		}
		if i.First < other.First {
			left = append(left, Interval{i.First, other.First - 1})
		}
		i.First = other.Last + 1
	}
	if i.First <= i.Last {
		left = append(left, i)
	}
	return left
}
