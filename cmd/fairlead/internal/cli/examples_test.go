package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// Every visible command has an example, and the program accepts the examples.
func TestExamples(t *testing.T) {
	count := 0
	var each func(*cobra.Command)
	each = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			each(sub)
		}
		if !c.IsAvailableCommand() || c.HasSubCommands() || c.Name() == "help" {
			return // families and help topics only print help
		}
		count++
		own := false
		for _, words := range exampleLines(c.Example) {
			own = tryExample(t, words) == c.CommandPath() || own
		}
		if !own {
			t.Errorf("%s has no example", c.CommandPath())
		}
	}
	each(rootCommand((&command.App{})))
	if count < 60 {
		t.Errorf("only %d commands were examined", count)
	}
}

// tryExample does everything with a command line that the program does before it runs the command,
// and returns that command.
func tryExample(t *testing.T, words []string) string {
	t.Helper()
	found, rest, err := rootCommand((&command.App{})).Find(words)
	if err != nil {
		t.Errorf("%q: %v", words, err)
		return ""
	}
	if err := found.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", words, err)
	} else if err := found.ValidateArgs(found.Flags().Args()); err != nil {
		t.Errorf("%q: %v", words, err)
	}
	return found.CommandPath()
}

// exampleLines returns the words after the program's name in each line that runs it, split as by a
// shell, without what the shell handles itself: comments, redirections and the commands behind a
// pipe.
func exampleLines(example string) (all [][]string) {
	for line := range strings.Lines(example) {
		_, line, ok := strings.Cut(strings.TrimRight(line, "\n"), "fairlead ")
		if !ok {
			continue
		}
		var words []string
		var word strings.Builder
		var quote rune
		begun := false
		end := func() {
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		}
	scan:
		for _, r := range line {
			switch {
			case quote != 0 && r == quote:
				quote = 0
			case quote == 0 && (r == '\'' || r == '"'):
				quote, begun = r, true
			case quote == 0 && r == ' ':
				end()
			case quote == 0 && !begun && strings.ContainsRune("#|<>", r):
				break scan
			default:
				word.WriteRune(r)
				begun = true
			}
		}
		end()
		all = append(all, words)
	}
	return all
}
