package shell

import (
	"slices"
	"testing"

	"github.com/alecthomas/kong"
)

// The grammar that a line is read with has the line's command, as it is in the
// grammar of all.
func TestGrammarOfOneCommand(t *testing.T) {
	for _, want := range newGrammar().model.Children {
		children := grammarFor([]string{want.Name}).model.Children
		if len(children) != 1 {
			t.Errorf("%s: %d commands", want.Name, len(children))
			continue
		}
		same(t, want.Name, children[0], want)
	}
}

func same(t *testing.T, path string, got, want *kong.Node) {
	t.Helper()
	options := func(n *kong.Node) (list []string) {
		for _, flag := range n.Flags {
			list = append(list, flag.String()+": "+flag.Help)
		}
		for _, word := range n.Positional {
			list = append(list, word.Summary()+": "+word.Help)
		}
		return list
	}
	if got.Name != want.Name || got.Help != want.Help || !slices.Equal(options(got), options(want)) {
		t.Errorf("%s alone: %s, %q, %q, want %q, %q", path, got.Name, got.Help, options(got), want.Help, options(want))
	}
	if len(got.Children) != len(want.Children) {
		t.Fatalf("%s alone: %d commands, want %d", path, len(got.Children), len(want.Children))
	}
	for i := range want.Children {
		same(t, path+" "+want.Children[i].Name, got.Children[i], want.Children[i])
	}
}
