//go:build !faults

package failpoint

// At is a point at which no error can come.
func At(string) {}

// Fail is a point at which an error can come.
func Fail(string) error { return nil }

// Planted reports whether the program shall have a bug.
func Planted(string) bool { return false }
