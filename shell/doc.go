// Package shell is the language of the administrator: its commands as
// arguments of the program, at the prompt and in scripts, which share one
// grammar. A noun has a file. Commands speak with the daemon through package
// client and never otherwise.
//
// A line of words goes through three steps: Normalise turns the ways in which
// options may be written into one, kong fills the command's struct, and the
// command runs.
package shell
