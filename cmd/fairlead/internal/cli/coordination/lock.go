package coordination

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

func lockCommand(a *command.App) *cobra.Command {
	var f ownerFlags
	c := &cobra.Command{
		Use:   "lock NAME [-- PROGRAM [ARGUMENTS]]",
		Short: "Wait for a lock and hold it, or run a program while holding it",
		Example: `  fairlead lock deploy -- ./deploy.sh production
  fairlead lock --ttl 30 --grace 1m nightly -- ./backup.sh
  fairlead lock deploy`,
		Long: `Wait for a lock. Then print its key and hold it until interrupted; or run a program, hold the lock
as long as the program runs, and end with its exit status.

The program finds in its environment:
  FAIRLEAD_FENCING_TOKEN  a number that is higher for each later owner: a store that the program writes to can
                          refuse lower ones, or compare the create revision of the key
  FAIRLEAD_OWNER_KEY      the lock's key; ETCD_LOCK_KEY is the same
  FAIRLEAD_LEASE          the lease that the lock goes with
  ETCD_LOCK_REV           the same as the token, under etcdctl's name

When the lock is lost, because the cluster was out of reach for --ttl seconds or somebody deleted
the key, the program and its children get SIGTERM at once and SIGKILL after --grace, and the command
ends with code 4. They get SIGINT and SIGTERM too, and the lock is held until they have ended. On
Linux the program is killed when this command is. Processes that have put themselves into a session
of their own are left alone. On a terminal the program has the foreground, as if a shell had started
it.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.Usage(errors.New("lock needs a name, and may take a program"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if err := command.FindProgram(args[1:]); err != nil {
				return err
			}
			return session(cmd.Context(), a, f.ttl, func(c *clientv3.Client, s *concurrency.Session) error {
				return lock(cmd.Context(), a, c, s, &f, args[0], args[1:])
			})
		},
	}
	fs := c.Flags()
	fs.IntVar(&f.ttl, "ttl", defaultOwnerTTL, "seconds after which others may have the lock if this process dies")
	fs.DurationVar(&f.grace, "grace", command.DefaultGrace, "how long the program may take to end before it is killed")
	return c
}

func lock(
	ctx context.Context,
	a *command.App,
	c *clientv3.Client,
	s *concurrency.Session,
	f *ownerFlags,
	name string,
	program []string,
) (err error) {
	m := concurrency.NewMutex(s, name)
	if err := m.Lock(ctx); err != nil {
		return command.Ended(ctx, err)
	}
	defer func() {
		if uerr := release(ctx, a, s, m.Unlock); uerr != nil && err == nil {
			err = uerr
		}
	}()
	if len(program) == 0 {
		resp, err := ownKey(ctx, a, c, m.Key())
		if err != nil {
			return err
		}
		if err := a.Printer().KeyValues(resp); err != nil {
			return err
		}
	}
	return hold(ctx, a, m, f.grace, program, append(ownerEnvironment(m, s, m.Key()),
		"ETCD_LOCK_KEY="+m.Key(), fmt.Sprintf("ETCD_LOCK_REV=%d", m.Fence())))
}

// ownKey reads the owner's key, to print it.
func ownKey(ctx context.Context, a *command.App, c *clientv3.Client, key string) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Conn.CommandTimeout)
	defer cancel()
	resp, err := c.Get(ctx, key)
	return resp, err
}

// release gives up the ownership, even if ctx has ended.
func release(
	ctx context.Context,
	a *command.App,
	s *concurrency.Session,
	give func(context.Context) error,
) error {
	if expired(s) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Conn.CommandTimeout)
	defer cancel()
	err := give(ctx)
	if errors.Is(err, concurrency.ErrLockReleased) || errors.Is(err, concurrency.ErrSessionExpired) {
		return nil
	}
	return err
}
