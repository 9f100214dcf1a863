// Package audit keeps a record of every change that was asked of a daemon: who,
// what, when, and what became of it.
//
// A [Log] is a file of JSON lines that only grows, and older ones beside it:
// audit.log, audit.log.1 and so on. A record is written before the change is
// answered, so that nobody was answered of whom it does not tell; it is in the
// kernel's hands then, which a daemon that dies does not take with it, and a
// power cut does. Secrets have no place in a record.
package audit
