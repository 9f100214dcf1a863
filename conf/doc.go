// Package conf keeps what an administrator has set for this server: properties
// of the server and of processes, those by category, and the tags that the
// server has. Its truth is in the store; nothing is kept in memory.
//
// A property of the scope Process reaches processes: a global one every
// process, one of a category those processes that name the category in their
// descriptor. Where a name is set more than once, a category wins over the
// global one, and a later category over an earlier one. A property of the scope
// Server is the server's own: variables of a descriptor find it, and no process
// is given it.
//
// A change is done whole or not at all, however many properties it has.
//
// Keys:
//
//	conf/<host>/server/<name>                 a property of the server
//	conf/<host>/process/<name>                a global one of processes
//	conf/<host>/category/<category>/<name>    one of a category
//	conf/<host>/tags/<tag>
//	conf/<host>/execs/<name>                  an exec configuration
//	conf/<host>/booted                        the boot at which these were started last
//	archives/conf/<host>/<revision>/<kind>            that there is an archive of a kind
//	archives/conf/<host>/<revision>/<kind>/<the rest> what it holds
//
// Names stand in keys as in the paths of URLs.
package conf
