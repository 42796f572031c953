package local

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/demo"
)

// candidateRunCommand runs one candidate of the demonstration's election as a process of its own:
// it reads its demo.Candidate as JSON from standard input and ends when its parent closes that.
func candidateRunCommand(a *command.App) *cobra.Command {
	return demoChild[demo.Candidate](a, "run-candidate", "One candidate of the demonstration's election")
}

// greeterRunCommand runs one process that offers the demonstration's service.
func greeterRunCommand(a *command.App) *cobra.Command {
	return demoChild[demo.Greeter](a, "run-greeter", "One process of the demonstration's service")
}

// demoChild returns a command that runs a process of the demonstration.
func demoChild[T interface {
	Run(context.Context, io.Writer) error
}](a *command.App, name, short string) *cobra.Command {
	return &cobra.Command{
		Use:    name,
		Short:  short,
		Hidden: true,
		Args:   command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var c T
			if err := json.NewDecoder(a.Env.Stdin).Decode(&c); err != nil {
				return fmt.Errorf("read the description of the process: %w", err)
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			go func() {
				defer cancel()
				io.Copy(io.Discard, a.Env.Stdin) // ends with the parent
			}()
			return c.Run(ctx, a.Env.Stdout)
		},
	}
}
