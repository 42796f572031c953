package coordination

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
)

// Shared by lock and elect: a session, an ownership, and a program that runs while it lasts.
//
// The order at the end matters: the program ends first, then the key is deleted, so that this
// command never makes two owners' programs run at the same time. When the ownership is lost, the
// program gets SIGTERM at once, and is killed after the grace period; meanwhile two programs may
// overlap, which only fencing tokens make harmless.

// defaultOwnerTTL is the same as etcdctl's.
const defaultOwnerTTL = 10

type ownerFlags struct {
	ttl   int
	grace time.Duration
}

func (f *ownerFlags) check() error {
	if f.ttl <= 0 {
		return command.Usage(errors.New("--ttl must be positive"))
	}
	if f.grace < 0 {
		return command.Usage(errors.New("--grace must not be negative"))
	}
	return nil
}

// session runs f with a session, and closes it for whatever reason f ends: the keys are deleted
// with its lease. The client outlives ctx for that.
func session(ctx context.Context, a *command.App, ttl int, f func(*clientv3.Client, *concurrency.Session) error) error {
	return a.Stream(context.WithoutCancel(ctx), func(_ context.Context, c *clientv3.Client) error {
		if err := a.Reachable(ctx, c, "session"); err != nil {
			return err
		}
		// ctx ends the wait for the lease, not the session.
		starting, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		started := context.AfterFunc(ctx, cancel)
		s, err := concurrency.NewSession(c, concurrency.WithTTL(ttl), concurrency.WithUntil(starting))
		if !started() || err != nil {
			if err == nil {
				err = s.Close()
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		err = f(c, s)
		over := expired(s)
		if cerr := closeSession(a, c, s); cerr != nil && !over {
			cerr = fmt.Errorf("the lease could not be revoked, it expires within %d s: %w", ttl, cerr)
			if err == nil {
				return cerr
			}
			fmt.Fprintln(a.Env.Stderr, cerr) // err is the result
		}
		return err
	})
}

// expired reports whether the lease is lost. Then its keys go with it, and etcd may not answer.
func expired(s *concurrency.Session) bool {
	return errors.Is(context.Cause(s.Ctx()), concurrency.ErrSessionExpired)
}

// closeSession takes at most a command's time limit: Close alone tries until the lease has expired.
func closeSession(a *command.App, c *clientv3.Client, s *concurrency.Session) error {
	t := time.AfterFunc(a.Conn.CommandTimeout, func() { _ = c.Close() })
	defer t.Stop()
	err := s.Close()
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil // the lease is gone, and its keys
	}
	return err
}

// hold waits while the ownership lasts: until ctx ends, or until the program ends if there is one.
func hold(
	ctx context.Context,
	a *command.App,
	owner concurrency.Owner,
	grace time.Duration,
	program, environment []string,
) error {
	if len(program) > 0 {
		return runOwned(ctx, a, owner, grace, program, environment)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-owner.Context().Done():
		return lost(owner)
	}
}

func lost(owner concurrency.Owner) error {
	return command.Lost(fmt.Errorf("ownership is lost: %w", context.Cause(owner.Context())))
}

// runOwned runs a program and returns when it has ended.
func runOwned(
	ctx context.Context,
	a *command.App,
	owner concurrency.Owner,
	grace time.Duration,
	args, environment []string,
) error {
	p, err := a.StartProgram(ctx, args, append(os.Environ(), environment...))
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
		return command.ProgramResult(p)
	case <-ctx.Done():
		a.EndProgram(p, command.EndingSignal(ctx), grace)
		return context.Cause(ctx)
	case <-owner.Context().Done():
		result := lost(owner)
		fmt.Fprintln(a.Env.Stderr, result, "- ending the program")
		a.EndProgram(p, syscall.SIGTERM, grace)
		return result
	}
}

// ownerEnvironment describes the ownership to the program.
func ownerEnvironment(owner concurrency.Owner, s *concurrency.Session, key string) []string {
	return []string{
		fmt.Sprintf("FAIRLEAD_FENCING_TOKEN=%d", owner.Fence()),
		"FAIRLEAD_OWNER_KEY=" + key,
		"FAIRLEAD_LEASE=" + command.LeaseText(int64(s.Lease())),
	}
}
