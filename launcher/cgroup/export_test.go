package cgroup

// Outside is outside, for tests.
var Outside = outside
