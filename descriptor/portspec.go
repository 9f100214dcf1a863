package descriptor

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
