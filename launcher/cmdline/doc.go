// Package cmdline makes what a process is started with: the variables of a
// descriptor replaced, the -D properties, the argument list and the
// environment. It is pure: it reads no file, no environment and no clock, so
// that the same input gives the same command everywhere. The only thing it asks
// its caller for is the list of archives in a folder, for the class path.
//
// # Variables
//
// Expand describes the syntax. For a starter, a variable is looked up in this
// order, and the first that has it gives the value:
//
//  1. user.dir and java.home;
//  2. the starter's named values rendered before;
//  3. the process' own properties;
//  4. the server's properties, the ports among them;
//  5. those that the administrator has set for the server;
//  6. the environment that the process will have.
//
// The values of a starter are rendered in the order in which Corus writes them:
// javaHome, javaCmd, vmType, <arg>, <xoption>, <option>, <property>, libDirs,
// mainClass, args; of a generic starter <property> first, then its arguments.
// So an <option> can use an <xoption>, and never the other way round. A value
// that is used before it is rendered is unknown at that place. The names of options
// and properties are rendered as values are.
//
// user.dir, java.home and the server's properties are facts and stand for
// themselves: what looks like a variable in a path is part of the path. The
// values of the process' own properties, of those that are set for the server and
// of the environment may hold variables.
//
// # Properties
//
// A process is given, each as -Dname=value, the starter's <property> elements,
// then the server's properties, then the process' own. Of several of one name
// only the last is written, which is also the one that a JVM would take. It
// follows that an administrator's process property replaces a descriptor's,
// while a variable of that name means the descriptor's.
package cmdline
