package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/term"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/clientv3/concurrency"
)

// What lock and elect share: a session, what is owned, and a program that runs while it is owned.
//
// The order at the end matters: the program ends first, then the key is deleted, so that two owners' programs never run at
// the same time because of this command. When the ownership is lost the program is told at once, and killed after the grace
// period; how long both may overlap then is for fencing tokens to cope with.

// defaultOwnerTTL is etcdctl's.
const defaultOwnerTTL = 10

// defaultGrace is how long a program may take to end after it was told to.
const defaultGrace = 10 * time.Second

type ownerFlags struct {
	ttl   int
	grace time.Duration
}

// findProgram says that a program is not there before anything is sent.
func findProgram(args []string) error {
	if len(args) == 0 {
		return nil
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return usageError{err}
	}
	return nil
}

func (f *ownerFlags) check() error {
	if f.ttl <= 0 {
		return usageError{errors.New("--ttl must be positive")}
	}
	return nil
}

// session runs f with a session, and closes it whatever ended f: the keys go with its lease. The client outlives ctx for that.
func (a *app) session(ctx context.Context, ttl int, f func(*clientv3.Client, *concurrency.Session) error) error {
	return a.stream(context.WithoutCancel(ctx), func(_ context.Context, c *clientv3.Client) error {
		if err := a.reachable(ctx, c, "session"); err != nil {
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
		if cerr := a.closeSession(c, s); cerr != nil {
			cerr = fmt.Errorf("the lease could not be revoked, it expires within %d s: %w", ttl, cerr)
			if err == nil {
				return cerr
			}
			fmt.Fprintln(a.env.Stderr, cerr) // the other error is the result
		}
		return err
	})
}

// closeSession takes no longer than a command may: a session by itself tries until its lease has expired.
func (a *app) closeSession(c *clientv3.Client, s *concurrency.Session) error {
	t := time.AfterFunc(a.conn.commandTimeout, func() { _ = c.Close() })
	defer t.Stop()
	err := s.Close()
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil // it is gone, and its keys
	}
	return err
}

// hold waits while the ownership lasts: until ctx ends, or, with a program, until that does.
func (a *app) hold(ctx context.Context, owner concurrency.Owner, grace time.Duration, program, environment []string) error {
	if len(program) > 0 {
		return a.runOwned(ctx, owner, grace, program, environment)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-owner.Context().Done():
		return lost(owner)
	}
}

func lost(owner concurrency.Owner) error {
	return lostError{fmt.Errorf("ownership is lost: %w", context.Cause(owner.Context()))}
}

// runOwned runs a program and returns when it has ended.
func (a *app) runOwned(ctx context.Context, owner concurrency.Owner, grace time.Duration, args, environment []string) error {
	child := exec.Command(args[0], args[1:]...)
	child.Stdin, child.Stdout, child.Stderr = a.env.Stdin, a.env.Stdout, a.env.Stderr
	child.Env = append(os.Environ(), environment...)
	// In a group of its own it can be ended with its children. On a terminal it stays in ours: only the foreground group may
	// read, and Ctrl-C reaches both.
	in, ok := a.env.Stdin.(*os.File)
	shared := ok && term.IsTerminal(int(in.Fd()))
	if !shared {
		child.SysProcAttr = runAttr()
	}
	// Children that it leaves behind with our output open do not keep the lock.
	child.WaitDelay = time.Second
	if err := child.Start(); err != nil {
		return usageError{err}
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	stopSignals := passSignals(child.Process)
	defer stopSignals()
	tell := func(s syscall.Signal) {
		if shared {
			_ = child.Process.Signal(s) // it may have ended
			return
		}
		signalGroup(child.Process, s)
	}

	var result error
	select {
	case err := <-ended:
		return ownedResult(err)
	case <-ctx.Done():
		s := syscall.SIGTERM
		var interrupted interruptedError
		if errors.As(context.Cause(ctx), &interrupted) {
			s = interrupted.signal
		}
		if !shared || s != syscall.SIGINT { // on a terminal it has got that one already
			tell(s)
		}
		result = context.Cause(ctx)
	case <-owner.Context().Done():
		result = lost(owner)
		fmt.Fprintln(a.env.Stderr, result, "- the program is told to end")
		tell(syscall.SIGTERM)
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
		fmt.Fprintf(a.env.Stderr, "the program did not end within %v and is killed\n", grace)
		tell(syscall.SIGKILL)
		<-ended
	}
	return result
}

// ownedResult is childResult for a program that may have left its output to others.
func ownedResult(err error) error {
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return childResult(err)
}

// ownerEnvironment tells the program what it owns.
func ownerEnvironment(owner concurrency.Owner, s *concurrency.Session, key string) []string {
	return []string{
		fmt.Sprintf("FAIRLEAD_FENCING_TOKEN=%d", owner.Fence()),
		"FAIRLEAD_OWNER_KEY=" + key,
		"FAIRLEAD_LEASE=" + leaseText(int64(s.Lease())),
	}
}
