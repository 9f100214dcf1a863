// Package descriptor turns what is deployed into plain validated values.
//
// A descriptor is a corus.xml: a distribution of processes, each with the
// ranges that it needs ports of and, for each profile, a starter that tells
// its command line. [Parse] reads one. It takes no value apart that may hold
// variables, and replaces none: that is done when a process starts.
//
// An archive is a zip with META-INF/corus.xml, or a corus.xml by itself.
// [Open] checks one, [Archive.Unpack] writes it into a folder, [Pack] makes
// one of a folder.
//
// Everything that is read here may come from a stranger. The text is bounded
// before a tree is made of it, every name of an archive is checked before
// anything is written, and nothing is written outside of the folder given.
// Errors that are the input's fault are [ErrInvalid]; they are one line and
// name the element by its path, as in
//
//	process "httpServer": port: attribute "name" is missing
package descriptor
