package shell

import (
	"context"
	"embed"
	"fmt"
	"strings"
)

// completing is the word by which the completion of other shells asks. It is no
// command of the grammar: nobody types it.
const completing = "__complete"

//go:embed completion
var completionScripts embed.FS

// otherShell is a shell that can complete commands of berth.
type otherShell string

func (o *otherShell) UnmarshalText(text []byte) error {
	switch v := string(text); v {
	case "bash", "zsh", "fish":
		*o = otherShell(v)
		return nil
	}
	return fmt.Errorf("%s is not bash, zsh or fish", quote(string(text)))
}

type completeCommand struct {
	Shell otherShell `arg:"" complete:"shell" help:"bash, zsh or fish"`
}

func (completeCommand) page() page {
	return page{
		long: `Prints a script that makes another shell complete commands of berth: their names, their options, and the names of ranges, distributions, processes and profiles, for which the daemon is asked that runs. None is started for that.

For bash, put source <(berth completion bash) into ~/.bashrc. For zsh, put source <(berth completion zsh) behind compinit in ~/.zshrc. For fish, write the script to ~/.config/fish/completions/berth.fish.`,
		examples: []example{
			{"completion bash", "the script for bash"},
			{"completion zsh", "the script for zsh"},
			{"completion fish", "the script for fish"},
		},
	}
}

func (c *completeCommand) run(_ context.Context, s *Shell) error {
	text, err := completionScripts.ReadFile("completion/berth." + string(c.Shell))
	if err != nil {
		return err
	}
	_, err = s.out.Write(text)
	return err
}

// proposals answers the completion of another shell: a line for each candidate,
// with what it is behind a tab; or :file where files are to be completed, which
// those shells do themselves. The words are "-line LINE", a command line up to
// the cursor, or "-- WORD…", the words behind the program's name, the last of
// which is being typed. It is quiet about everything else.
func (s *Shell) proposals(ctx context.Context, args []string) {
	var words []string
	var last string
	switch {
	case len(args) == 2 && args[0] == "-line":
		words, last = lastWord(args[1])
		words = words[min(1, len(words)):] // the program, by whatever name
	case len(args) >= 2 && args[0] == "--":
		words, last = args[1:len(args)-1], args[len(args)-1]
	default:
		return
	}
	s.foreign = true
	all := s.completeWords(ctx, words, last)
	if s.forFile {
		s.out.printf(":file\n")
	}
	for _, c := range all {
		switch {
		case len(words) == 0 && c.Value == "exit": // of the prompt
		case strings.ContainsAny(c.Value, "\t\r\n"):
		default:
			s.out.printf("%s%s\n", c.Value, behind("\t", oneLine(c.About)))
		}
	}
}
