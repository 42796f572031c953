package coordination

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func electCommand(a *command.App) *cobra.Command {
	var (
		f      ownerFlags
		listen bool
	)
	c := &cobra.Command{
		Use:   "elect NAME [PROPOSAL [-- PROGRAM [ARGUMENTS]]]",
		Short: "Take part in an election, or watch who leads",
		Example: `  fairlead elect backup $(hostname) -- ./nightly-backup.sh
  fairlead elect backup $(hostname)
  fairlead elect backup --listen`,
		Long: `Take part in an election with a proposal that all can see. Once elected, print the leader's key and
proposal and lead until interrupted; or run a program, lead as long as it runs, and end with its
exit status. Without a proposal, or with --listen, print each leader instead.

The program finds FAIRLEAD_FENCING_TOKEN, FAIRLEAD_OWNER_KEY and FAIRLEAD_LEASE in its environment.
When the leadership is lost, the program and its children are ended. They get signals and the
terminal as with "lock".`,
		Args: func(cmd *cobra.Command, args []string) error {
			own, program := command.SplitProgram(cmd, args)
			switch {
			case len(own) == 0 || len(own) > 2:
				return command.Usage(
					errors.New("elect needs a name, and may take a proposal; a program goes after --"),
				)
			case listen && len(own) > 1:
				return command.Usage(errors.New("--listen and a proposal exclude each other"))
			case len(program) > 0 && len(own) < 2:
				return command.Usage(errors.New("a program needs a proposal: nobody leads without one"))
			}
			return f.check()
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			own, program := command.SplitProgram(cmd, args)
			if len(own) == 1 {
				return observe(cmd.Context(), a, own[0])
			}
			if err := command.FindProgram(program); err != nil {
				return err
			}
			return session(cmd.Context(), a, f.ttl, func(c *clientv3.Client, s *concurrency.Session) error {
				return campaign(cmd.Context(), a, c, s, &f, own[0], own[1], program)
			})
		},
	}
	fs := c.Flags()
	fs.BoolVarP(&listen, "listen", "l", false, "print each leader")
	fs.IntVar(&f.ttl, "ttl", defaultElectTTL, "seconds after which another may lead if this process dies")
	fs.DurationVar(&f.grace, "grace", command.DefaultGrace, "how long the program may take to end before it is killed")
	return c
}

// defaultElectTTL is the default TTL of sessions.
const defaultElectTTL = 60

func campaign(
	ctx context.Context,
	a *command.App,
	c *clientv3.Client,
	s *concurrency.Session,
	f *ownerFlags,
	name, proposal string,
	program []string,
) (err error) {
	e := concurrency.NewElection(s, name)
	if err := e.Campaign(ctx, proposal); err != nil {
		return command.Ended(ctx, err)
	}
	defer func() {
		if rerr := release(ctx, a, s, e.Resign); rerr != nil && err == nil {
			err = rerr
		}
	}()
	key := e.Key()
	if len(program) == 0 {
		resp, err := ownKey(ctx, a, c, key)
		if err != nil {
			return err
		}
		if err := a.Printer().KeyValues(resp); err != nil {
			return err
		}
	}
	return hold(ctx, a, e, f.grace, program, ownerEnvironment(e, s, key))
}

// observe prints the leaders until ctx ends. It needs a session because an election gets its client
// from one.
func observe(ctx context.Context, a *command.App, name string) error {
	return session(ctx, a, defaultElectTTL, func(_ *clientv3.Client, s *concurrency.Session) error {
		for resp := range concurrency.NewElection(s, name).Observe(ctx) {
			if err := a.Printer().KeyValues(resp); err != nil {
				return err
			}
		}
		return command.Ended(ctx, errors.New("the observation has ended"))
	})
}
