package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/demo"
)

// candidateRunCommand is one candidate of the demonstration's election as a process of its own: it reads its
// demo.Candidate as JSON from standard input and ends when its parent closes that.
func (a *app) candidateRunCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "run-candidate",
		Short:  "One candidate of the demonstration's election",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var c demo.Candidate
			if err := json.NewDecoder(a.env.Stdin).Decode(&c); err != nil {
				return fmt.Errorf("read the candidate's description: %w", err)
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			go func() {
				defer cancel()
				io.Copy(io.Discard, a.env.Stdin) // ends with the parent
			}()
			return c.Run(ctx, a.env.Stdout)
		},
	}
}
