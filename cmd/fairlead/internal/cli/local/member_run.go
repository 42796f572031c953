package local

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/server"
)

// memberRunCommand runs one member of the demonstration's cluster as a process of its own: it reads
// its server.Spec as JSON from standard input, writes "ready", and ends when its parent closes that
// input.
func memberRunCommand(a *command.App) *cobra.Command {
	return &cobra.Command{
		Use:    "run-member",
		Short:  "One member of the demonstration's cluster",
		Hidden: true,
		Args:   command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var spec server.Spec
			if err := json.NewDecoder(a.Env.Stdin).Decode(&spec); err != nil {
				return fmt.Errorf("read the member's description: %w", err)
			}
			m, err := server.Start(spec)
			if err != nil {
				return err
			}
			defer m.Stop()
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			go func() {
				defer cancel()
				io.Copy(io.Discard, a.Env.Stdin) // ends with the parent
			}()
			if err := m.WaitReady(ctx); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(a.Env.Stdout, "ready"); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case err := <-m.Err():
				return err
			}
		},
	}
}
