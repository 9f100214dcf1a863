package gate

// Ways are the implementations, for tests that hold for each.
var Ways = map[string]func(Command) (*Child, error){
	"native":      Start,
	"re-executed": func(c Command) (*Child, error) { return startWith(c, startByExec) },
}
