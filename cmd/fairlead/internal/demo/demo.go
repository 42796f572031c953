// Package demo shows the client at work on a three-member cluster of its own: `fairlead demo`.
//
// The members are child processes, so that one can really be frozen (SIGSTOP): its connections stay
// open, its kernel still accepts bytes, and nothing answers. Of all faults, clients handle this one
// worst.
//
// Run is the script; cluster.go has the children, election.go the candidates, services.go the
// processes that offer a service, load.go, watch.go and lease.go what goes on while members freeze,
// and report.go the table at the end. Nothing is faked: every figure comes from real calls, and the
// watch is compared with what the cluster holds.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
)

const (
	// limit is more than the whole needs, about 30 seconds: a run that takes longer hangs.
	limit = 60 * time.Second
	// calm is how long the load runs between faults.
	calm = 2 * time.Second
	// freeze is how long a member is frozen: longer than a call may take, so that waiting for the
	// thaw would not help.
	freeze = 4 * time.Second
)

// Options say where to write and how to start a member.
type Options struct {
	Stdout io.Writer
	// Command is the program and arguments that run a member: it reads a server.Spec from standard
	// input and writes "ready".
	Command []string
	// Candidate is the program and arguments that run a candidate: it reads a Candidate and reports
	// when it leads.
	Candidate []string
	// Greeter is the same for a Greeter, which reports that it serves.
	Greeter []string
}

// Run shows everything and fails if anything went wrong. When it returns, its processes and files
// are gone.
func Run(ctx context.Context, o Options) (err error) {
	// The children die with the thread that started them (see childAttr), so that thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	d := &demo{say: newSpeaker(o.Stdout), candidate: o.Candidate, greeter: o.Greeter}
	d.say.title("Starting three etcd members")
	start := time.Now()
	d.cluster, err = startCluster(ctx, o.Command)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cluster.stop()) }()
	for _, m := range d.cluster.members {
		d.say.line("%s  %s  process %d", m.name, m.endpoint, m.cmd.Process.Pid)
	}
	d.say.line("ready after %s", short(time.Since(start)))

	d.client, err = clientv3.New(clientv3.Config{
		Endpoints: d.cluster.endpoints(), DialTimeout: 5 * time.Second, Context: ctx, Logger: zap.NewNop(),
		Hooks: clientv3.Hooks{Attempt: func(a clientv3.AttemptInfo) {
			if a.Method == "KV.Put" && a.Number > 0 {
				d.repeated.Add(1)
			}
		}},
	})
	if err != nil {
		return err
	}
	defer d.client.Close()
	if err := d.script(ctx); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("not done after %v: %w", limit, err)
		}
		return err
	}
	return d.say.err
}

type demo struct {
	say       *speaker
	candidate []string
	greeter   []string
	cluster   *cluster
	client    *clientv3.Client
	repeated  atomic.Int64 // puts that the client sent to another member too
}

func (d *demo) script(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.basics, d.transaction, d.expiry, d.election, d.services} {
		if err := step(ctx); err != nil {
			return err
		}
		if d.say.err != nil {
			return d.say.err // the output fails, so the rest would not be read
		}
	}
	return d.faults(ctx)
}

// faults runs the load, a watch and a lease together while members are frozen and thawed.
func (d *demo) faults(ctx context.Context) error {
	d.say.title("Load, a watch and a lease, while members freeze")
	watched, err := startWatch(ctx, d.client, loadPrefix)
	if err != nil {
		return err
	}
	defer watched.stop()
	kept, err := startLease(ctx, d.client)
	if err != nil {
		return err
	}
	defer kept.stop()
	l := startLoad(ctx, d.client)
	defer l.stop()
	d.say.line("%d calls a second, puts and gets, each with a limit of %v", callsPerSecond, callLimit)
	if err := d.during(ctx, l, calm, "all well"); err != nil {
		return err
	}
	for range 2 {
		m, err := d.victim(ctx)
		if err != nil {
			return err
		}
		d.say.line("freezing %s, which most calls go to", m.name)
		if err := m.freeze(); err != nil {
			return err
		}
		err = d.during(ctx, l, freeze, m.name+" frozen")
		d.say.line("thawing %s", m.name)
		if err := errors.Join(err, m.thaw()); err != nil {
			return err
		}
		if err := d.during(ctx, l, calm, "all well"); err != nil {
			return err
		}
	}
	calls := l.stop()
	r := &report{calls: calls, repeated: d.repeated.Load(), lease: kept.stop()}
	if r.watch, err = watched.finish(ctx, d.client); err != nil {
		return err
	}
	return r.write(d.say)
}

// during lets the load run and reports its figures every second.
func (d *demo) during(ctx context.Context, l *load, length time.Duration, what string) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range length / time.Second {
		before := l.snapshot()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		s := l.snapshot().since(before)
		d.say.line("  %-11s %3d calls, %d failed, slowest %s", what, s.done, s.failed, short(s.slowest))
		if d.say.err != nil {
			return d.say.err
		}
	}
	return nil
}
