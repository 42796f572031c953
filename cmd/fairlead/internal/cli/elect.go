package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
)

func (a *app) electCommand() *cobra.Command {
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
		Long: `Take part in an election with a proposal that all can see. Once elected, print the leader's key and proposal and
lead until interrupted; or run a program, lead as long as it runs, and end with its exit status. Without a proposal, or
with --listen, print each leader instead.

The program finds FAIRLEAD_FENCING_TOKEN, FAIRLEAD_OWNER_KEY and FAIRLEAD_LEASE in its environment. With its children it is
ended when the leadership is lost, and gets signals and the terminal, as "lock" does it.`,
		Args: func(cmd *cobra.Command, args []string) error {
			own, program := splitProgram(cmd, args)
			switch {
			case len(own) == 0 || len(own) > 2:
				return usageError{errors.New("elect needs a name and takes a proposal besides; a program goes after --")}
			case listen && len(own) > 1:
				return usageError{errors.New("--listen and a proposal exclude each other")}
			case len(program) > 0 && len(own) < 2:
				return usageError{errors.New("a program needs a proposal: nobody leads without")}
			}
			return f.check()
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			own, program := splitProgram(cmd, args)
			if len(own) == 1 {
				return a.observe(cmd.Context(), own[0])
			}
			if err := findProgram(program); err != nil {
				return err
			}
			return a.session(cmd.Context(), f.ttl, func(c *clientv3.Client, s *concurrency.Session) error {
				return a.campaign(cmd.Context(), c, s, &f, own[0], own[1], program)
			})
		},
	}
	fs := c.Flags()
	fs.BoolVarP(&listen, "listen", "l", false, "print each leader")
	fs.IntVar(&f.ttl, "ttl", defaultElectTTL, "seconds after which another may lead if this process dies")
	fs.DurationVar(&f.grace, "grace", defaultGrace, "how long the program may take to end before it is killed")
	return c
}

// defaultElectTTL is what sessions have by default.
const defaultElectTTL = 60

// splitProgram separates the arguments from the program after --.
func splitProgram(cmd *cobra.Command, args []string) (own, program []string) {
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		return args[:n], args[n:]
	}
	return args, nil
}

func (a *app) campaign(ctx context.Context, c *clientv3.Client, s *concurrency.Session, f *ownerFlags, name, proposal string, program []string) (err error) {
	e := concurrency.NewElection(s, name)
	if err := e.Campaign(ctx, proposal); err != nil {
		return ended(ctx, err)
	}
	defer func() {
		if rerr := a.release(ctx, e.Resign); rerr != nil && err == nil {
			err = rerr
		}
	}()
	key := e.Key()
	if len(program) == 0 {
		resp, err := a.ownKey(ctx, c, key)
		if err != nil {
			return err
		}
		if err := a.printer().get(resp, &getFlags{}); err != nil {
			return err
		}
	}
	return a.hold(ctx, e, f.grace, program, ownerEnvironment(e, s, key))
}

// observe prints the leaders until ctx ends. The session is what an election reaches the client
// through.
func (a *app) observe(ctx context.Context, name string) error {
	return a.session(ctx, defaultElectTTL, func(_ *clientv3.Client, s *concurrency.Session) error {
		for resp := range concurrency.NewElection(s, name).Observe(ctx) {
			if err := a.printer().get(resp, &getFlags{}); err != nil {
				return err
			}
		}
		return ended(ctx, errors.New("the observation has ended"))
	})
}
