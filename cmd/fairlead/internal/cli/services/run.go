package services

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/child"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/discovery"
)

type runFlags struct {
	instance instanceFlags
	records  recordFlags
	service  string
	checks   []string
	every    time.Duration
	drain    drainFlags
	grace    time.Duration
}

func runCommand(a *command.App) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run --service SERVICE --addr HOST:PORT [--check CHECK]... -- PROGRAM [ARGUMENTS]",
		Short: "Run a program and register it as an instance of a service",
		Example: `  fairlead run --service payments --addr :8080 --check http://127.0.0.1:8080/healthz -- ./payments
  fairlead run --service payments --addr :8080 --check tcp://127.0.0.1:8080 --check 'command:./ready.sh' -- ./payments
  fairlead run --service batch --addr :9000 --serve 0s --drain 0s --grace 1m -- ./worker --port 9000`,
		Long: `Run a program, in any language, and register it as an instance of a service once all its checks
pass. While a check fails, the instance is withdrawn. The program runs on while etcd is away, and is
registered once etcd is back. If another process still has its id, it is registered once the id is
free. Each step is reported on standard error, with -o json as lines of JSON: starting, up,
withdrawn (a check fails), lost, restored, taken, draining.

On SIGINT and SIGTERM the instance is drained and its record removed, while the program goes on
serving for --serve at least and --drain at most. Then the program gets the signal, and SIGKILL
after --grace. A second signal skips the draining. Other signals are passed on at once. All signals
go to the program and its children. On Linux the program is killed when this command is. The program
must not put itself into the background: the command ends with it, and leaves processes that it left
behind alone.

On a terminal the program has the foreground, as if a shell had started it. Ctrl-C goes to the
program, without draining. Ctrl-Z stops the program and the command, and the record expires then.

The command ends with the program's exit status; with 128 and the number of the signal that ended
it; with 127 if there is no such program, or with 126 if it cannot be run.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.Usage(errors.New("run needs a program, after --"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.service == "" {
				return command.Usage(errors.New("--service is needed"))
			}
			in, err := f.instance.instance(f.service)
			if err != nil {
				return err
			}
			format, _, err := f.records.records()
			if err != nil {
				return err
			}
			checks, err := f.checkers()
			if err != nil {
				return err
			}
			if err := writable(format, &in); err != nil {
				return err
			}
			if err := f.drain.check(); err != nil {
				return err
			}
			if f.grace < 0 {
				return command.Usage(errors.New("--grace must not be negative"))
			}
			if err := command.FindProgram(args); err != nil {
				return err
			}
			// The record is removed after the signal that ends the program.
			return a.Stream(context.WithoutCancel(cmd.Context()), func(_ context.Context, c *clientv3.Client) error {
				r := &runner{app: a, f: &f, in: in, check: checks}
				r.registrar = discovery.NewRegistrar(c, discovery.WithFormat(format), discovery.WithTTL(f.instance.ttl),
					discovery.WithServing(f.drain.serve), discovery.WithEvents(r.registration))
				defer r.registrar.Close()
				return r.run(cmd.Context(), args)
			})
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.service, "service", "", "the service that the program offers")
	fs.StringArrayVar(
		&f.checks,
		"check",
		nil,
		"a check of the program: http(s)://..., tcp://HOST:PORT, grpc://HOST:PORT/SERVICE or 'command:COMMAND ...',"+
			" which a shell runs; may be given more than once (default: the program runs)",
	)
	fs.DurationVar(&f.every, "check-every", 2*time.Second, "how often to check, and how long a check may take")
	f.drain.register(fs)
	fs.DurationVar(&f.grace, "grace", 10*time.Second, "how long the program may take to end before it is killed")
	f.instance.register(fs)
	f.records.register(fs)
	return c
}

// runner is one run of a program.
type runner struct {
	app       *command.App
	f         *runFlags
	in        discovery.Instance
	check     discovery.Check // nil without checks
	registrar *discovery.Registrar
}

// run starts the program, registers it and returns when it has ended.
func (r *runner) run(ctx context.Context, args []string) error {
	p, err := r.app.StartProgram(ctx, args, nil)
	if err != nil {
		return err
	}
	r.tell("starting", nil)
	rctx, cancel := context.WithCancel(ctx)
	defer cancel()
	registered := make(chan *discovery.Registration, 1)
	go func() { registered <- r.register(rctx) }()

	select {
	case <-p.Done(): // it ended by itself
		cancel()
		if g := <-registered; g != nil {
			_ = r.registrar.Close() // at once: the instance does not serve any more
		}
		return command.ProgramResult(p)
	case <-ctx.Done():
	}
	cancel()
	if g := <-registered; g != nil {
		r.leave(context.WithoutCancel(ctx), g, p)
	}
	r.app.EndProgram(p, command.EndingSignal(ctx), r.f.grace)
	return command.ProgramResult(p)
}

// registerAgain is the time between attempts to register while another process has the id, or after
// an error of etcd: a process that was moved from elsewhere waits for the old record to expire.
const registerAgain = time.Second

// checkAgain is the longest time between two checks of a program that starts.
const checkAgain = 500 * time.Millisecond

// register registers the program once it is healthy, and reports each reason for a failure once; it
// returns nil if ctx ends before that.
func (r *runner) register(ctx context.Context) *discovery.Registration {
	said := ""
	for {
		again := min(r.f.every, checkAgain)
		g, err := (*discovery.Registration)(nil), r.checked(ctx)
		if err == nil {
			again = registerAgain
			g, err = r.put(ctx)
		}
		if err == nil {
			if r.check != nil {
				g.Supervise(r.check, r.f.every)
			}
			return g
		}
		if why := err.Error(); ctx.Err() == nil && why != said {
			r.tell("starting", err)
			said = why
		}
		t := time.NewTimer(again)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

// put waits for etcd as long as other commands do, so that a missing answer is reported.
func (r *runner) put(ctx context.Context) (*discovery.Registration, error) {
	ctx, cancel := context.WithTimeout(ctx, r.app.Conn.CommandTimeout)
	defer cancel()
	return r.registrar.Register(ctx, r.in)
}

func (r *runner) checked(ctx context.Context) error {
	if r.check == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.f.every)
	defer cancel()
	return r.check(ctx)
}

// leave drains and removes the record, unless the program ends meanwhile or a second signal cancels
// the drain.
func (r *runner) leave(ctx context.Context, g *discovery.Registration, p *child.Child) {
	if r.f.drain.limit > 0 {
		r.tell("draining", nil)
	}
	ctx, cancel := context.WithTimeout(ctx, r.f.drain.limit+r.app.Conn.CommandTimeout)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- g.Drain(ctx, r.f.drain.limit) }()
	select {
	case err := <-drained:
		if err != nil {
			r.tell("draining", fmt.Errorf("the record could not be removed, it expires: %w", err))
		}
		return
	case <-r.app.Again:
		r.tell("draining", errors.New("a second signal ends it"))
	case <-p.Done():
	}
	cancel()
	<-drained
}
