// Package failpoint names the places at which a daemon can be made to die, to
// fail or to dawdle, for the measures of command faults.
//
// The names are switched on by the environment of a program that was built
// with the tag faults. Without the tag nothing of it is left in the program: the
// functions are empty and inlined.
//
//	BERTH_FAILPOINT           name=action, several with a semicolon between them; or @file,
//	                          which says it and is read at each point, so that a
//	                          program that runs can be told something else
//	BERTH_FAILPOINTS_REACHED  a file that gets a line of each name, when it is reached
//	                          first, and one of name and action when that happens
//	BERTH_PLANTED             names of bugs to have, and of what has something rare happen
//	                          soon, with commas between them
//	BERTH_STACKS              a file that gets the stacks of all goroutines at each SIGUSR1
//
// An action is kill, which is SIGKILL to the program itself; error; or delay,
// which can be followed by a colon and how long it takes (delay:5ms). @n after
// it has it happen when the point is reached for the nth time. It happens
// once. At does not return an error, so the action error does nothing there, and
// that is neither noted.
package failpoint

import "errors"

// Err is what every error of a failpoint is.
var Err = errors.New("failpoint")
