package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func completionCommand(a *command.App) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:     "completion bash|zsh|fish|powershell",
		Short:   "Print a script that completes this program's commands in a shell",
		Example: "  fairlead completion bash > ~/.local/share/bash-completion/completions/fairlead",
		Long: `Print a script that completes this program's commands in a shell.

  bash  source <(fairlead completion bash)
        or: fairlead completion bash > /etc/bash_completion.d/fairlead
  zsh   fairlead completion zsh > "${fpath[1]}/_fairlead"
  fish  fairlead completion fish > ~/.config/fish/completions/fairlead.fish`,
		ValidArgs: shells,
		Args:      command.OneArg("a shell (bash, zsh, fish or powershell)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), a.Env.Stdout
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return command.Usage(fmt.Errorf("no completion for %q: have %v", args[0], shells))
		},
	}
}
