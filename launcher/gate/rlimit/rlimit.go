// Package rlimit remembers the limit of open files that the program was
// started with. Package os raises the soft limit to the hard one when it is
// initialised, and hands the first on only to what os/exec starts.
//
// It imports nothing but syscall: packages are initialised in the order of
// their import paths as soon as what they import is (Go specification, Program
// initialization), so this one comes before os.
package rlimit

import "syscall"

var (
	nofile syscall.Rlimit
	err    = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &nofile)
)

// NoFile returns the limit of open files at the start of the program, and
// whether it is known.
func NoFile() (soft, hard uint64, ok bool) {
	return nofile.Cur, nofile.Max, err == nil
}
