// Package require lets a test ask for what not every machine has: a program,
// the rights of root.
//
// Where it is missing the test is skipped, with a line that begins with
// "SKIPPED" on standard error and says what would not be missing then. The go
// command hides what passing tests print unless it is called with -v, and so a
// machine that is to run all tests says that it is one: with CI=true or
// BERTH_REQUIRE_ALL=1 in the environment the test fails instead.
package require

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// T is what is needed of a *testing.T, *testing.B or *testing.F.
type T interface {
	Helper()
	Name() string
	Skip(args ...any)
	Fatal(args ...any)
}

// Tool returns the path of a program on the PATH.
func Tool(t T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "the program "+name, "install it, or put its folder on the PATH")
	}
	return path
}

// Root requires that the test runs as root.
func Root(t T) {
	t.Helper()
	if uid := os.Geteuid(); uid != 0 {
		Missing(t, fmt.Sprintf("the rights of root (this is user %d)", uid), "run the tests as root too")
	}
}

// Missing ends the test because the machine does not have something; remedy
// says what to do about it.
func Missing(t T, what, remedy string) {
	t.Helper()
	if variable := wanted(); variable != "" {
		t.Fatal(fmt.Sprintf("%s needs %s, and %s forbids to skip it: %s", t.Name(), what, variable, remedy))
		return
	}
	line := fmt.Sprintf("SKIPPED: %s needs %s: %s", t.Name(), what, remedy)
	fmt.Fprintln(os.Stderr, line)
	t.Skip(line)
}

// wanted is the variable that wants every test to run, empty if none does.
func wanted() string {
	for _, name := range []string{"CI", "BERTH_REQUIRE_ALL"} {
		if on, err := strconv.ParseBool(os.Getenv(name)); err == nil && on {
			return name + "=" + os.Getenv(name)
		}
	}
	return ""
}
