package shell_test

import (
	"bytes"
	"slices"
	"testing"

	"berth/shell"
)

// An order arrives as it was given, whatever bytes it has, and one that was cut
// off anywhere is none.
func TestOrder(t *testing.T) {
	path, args, env := "/bin/x", []string{"x", "", "\xff\n", "2"}, []string{"A=1", "B=\xfe", "C="}
	text := shell.Order(path, args, env)
	gotPath, gotArgs, gotEnv, ok := shell.ParseOrder(text)
	if !ok || gotPath != path || !slices.Equal(gotArgs, args) || !slices.Equal(gotEnv, env) {
		t.Errorf("%v %q %q %q", ok, gotPath, gotArgs, gotEnv)
	}
	for n := range text {
		if _, _, _, ok := shell.ParseOrder(text[:n]); ok {
			t.Errorf("the first %d of %d bytes are taken for an order", n, len(text))
		}
	}
	if _, _, _, ok := shell.ParseOrder(append(bytes.Clone(text), 0)); ok {
		t.Error("an order with more behind it is taken for one")
	}
	if _, args, env, ok := shell.ParseOrder(shell.Order("/bin/x", []string{"x"}, nil)); !ok || len(args) != 1 || len(env) != 0 {
		t.Errorf("without an environment: %v %q %q", ok, args, env)
	}
}
