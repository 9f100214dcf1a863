package main

import "errors"

var (
	// errLocked says that another daemon runs on a state folder.
	errLocked = errors.New("another daemon runs")

	// errReplaced says that a state folder is another one than at the start.
	errReplaced = errors.New("the state folder was replaced")

	// errCopied says that a state folder is a copy, or has one, and the other
	// one of the two is in use.
	errCopied = errors.New("a copied state folder")

	// errStateID says that the id of a state folder is not the one that it was given.
	errStateID = errors.New("the id of the state folder is damaged")

	// errEnded says that a part of the daemon ended by itself.
	errEnded = errors.New("ended by itself")
)
