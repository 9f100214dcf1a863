package descriptor

import (
	"fmt"
	"strconv"
	"strings"
)

// PortSpec is a port, or one for each instance, that is asked for directly.
// Exactly one of Range, Auto with an interval, and an interval is set; where
// all are zero it is "0": whatever port is free.
//
//	http             a port of the range http
//	3000             this port and no other
//	3000-3003        instance i gets the i-th of them
//	auto:5000-5100   the first ones of them that are free
//	0                a port that the system chooses
type PortSpec struct {
	// Range is the name of a range.
	Range string

	// First and Last are an interval of ports, inclusive; equal for a single one.
	First, Last int

	// Auto says that any free port of the interval will do.
	Auto bool
}

// ParsePortSpec reads what String writes. A text of digits is a port, and one
// of digits with a dash between them an interval, whatever ranges are called.
// The error is ErrInvalid.
func ParsePortSpec(text string) (PortSpec, error) {
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return PortSpec{}, invalid("the port is empty: write a range's name, 3000, 3000-3003, auto:5000-5100 or 0")
	}
	if head, interval, found := strings.Cut(trimmed, ":"); found {
		if !strings.EqualFold(strings.TrimSpace(head), "auto") {
			return PortSpec{}, invalid("port %s: what stands before a \":\" is \"auto\", as in auto:5000-5100", quote(text))
		}
		spec, ok, err := parseInterval(strings.TrimSpace(interval))
		switch {
		case err != nil:
			return PortSpec{}, prefixed("port "+quote(text), err)
		case !ok || spec.First == 0:
			return PortSpec{}, invalid("port %s: \"auto:\" needs the first and the last port, as in auto:5000-5100", quote(text))
		}
		spec.Auto = true
		return spec, nil
	}
	spec, ok, err := parseInterval(trimmed)
	switch {
	case err != nil:
		return PortSpec{}, prefixed("port "+quote(text), err)
	case ok:
		return spec, nil
	}
	if why := nameProblem(trimmed); why != "" {
		return PortSpec{}, invalid("port %s is none of a range's name, 3000, 3000-3003, auto:5000-5100 and 0", quote(text))
	}
	return PortSpec{Range: trimmed}, nil
}

// parseInterval reads one port or two with a dash between them, and tells
// whether the text is that.
func parseInterval(text string) (spec PortSpec, ok bool, err error) {
	first, last, two := strings.Cut(text, "-")
	first, last = strings.TrimSpace(first), strings.TrimSpace(last)
	if !two {
		last = first
	}
	if !isNumber(first) || !isNumber(last) {
		return PortSpec{}, false, nil
	}
	if !two && strings.Trim(first, "0") == "" {
		return PortSpec{}, true, nil
	}
	for _, number := range []string{first, last} {
		if n, err := strconv.Atoi(number); err != nil || n < 1 || n > maxPort {
			return PortSpec{}, false, invalid("%s is not a port from 1 to %d", cut(number), maxPort)
		}
	}
	spec.First, _ = strconv.Atoi(first)
	spec.Last, _ = strconv.Atoi(last)
	if spec.Last < spec.First {
		return PortSpec{}, false, invalid("the last port is below the first: write %d-%d", spec.Last, spec.First)
	}
	return spec, true, nil
}

const maxPort = 65535

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// String writes the specification so that ParsePortSpec reads it.
func (s PortSpec) String() string {
	interval := strconv.Itoa(s.First)
	if s.Last != s.First {
		interval = fmt.Sprintf("%d-%d", s.First, s.Last)
	}
	switch {
	case s.Range != "":
		return s.Range
	case s.Auto:
		return "auto:" + interval
	default:
		return interval
	}
}

// Size is how many ports there are to choose from; 0 where that is for a range
// or the system to say.
func (s PortSpec) Size() int {
	if s.First == 0 {
		return 0
	}
	return s.Last - s.First + 1
}
