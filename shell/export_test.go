package shell

// What tests look at by itself.
var (
	Split = split
	Runs  = runs
)
