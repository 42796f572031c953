package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
)

// childError is how a program that was run has ended.
type childError struct{ code int }

func (e childError) Error() string {
	return fmt.Sprintf("the program has ended with status %d", e.code)
}

type runFlags struct {
	instance instanceFlags
	records  recordFlags
	service  string
	check    string
	every    time.Duration
	drain    drainFlags
	grace    time.Duration
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:     "run --service SERVICE --addr HOST:PORT [--check URL] -- PROGRAM [ARGUMENTS]",
		Short:   "Run a program and register it as an instance of a service",
		Example: "  fairlead run --service payments --addr :8080 --check http://127.0.0.1:8080/healthz -- ./payments",
		Long: `Run a program, in any language, and register it as an instance of a service once it is healthy; withdraw it while
it is not. On SIGINT and SIGTERM it is drained and its record removed, while it goes on serving for --serve at least and
--drain at most; then the program gets the signal. Other signals are passed on. That etcd is away does not concern the program: it is registered when etcd is back, and when the id,
which a process elsewhere may still have, is free.

The command ends when the program does, with its exit status.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("run needs a program, after --")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.service == "" {
				return usageError{errors.New("--service is needed")}
			}
			in, err := f.instance.instance(f.service)
			if err != nil {
				return err
			}
			format, _, err := f.records.records()
			if err != nil {
				return err
			}
			check, err := f.checker()
			if err != nil {
				return err
			}
			if err := findProgram(args); err != nil {
				return err
			}
			// The record is removed after the signal that ends the program.
			return a.stream(context.WithoutCancel(cmd.Context()), func(_ context.Context, c *clientv3.Client) error {
				r := &runner{app: a, f: &f, in: in, check: check, registrar: discovery.NewRegistrar(c,
					discovery.WithFormat(format), discovery.WithTTL(f.instance.ttl), discovery.WithServing(f.drain.serve), discovery.WithEvents(a.tellRegistration))}
				defer r.registrar.Close()
				return r.run(cmd.Context(), args)
			})
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.service, "service", "", "the service that the program offers")
	fs.StringVar(&f.check, "check", "", "how to tell that it works: http(s)://..., tcp://HOST:PORT or grpc://HOST:PORT/SERVICE (default: that it runs)")
	fs.DurationVar(&f.every, "check-every", 2*time.Second, "how often to check, and how long a check may take")
	f.drain.register(fs)
	fs.DurationVar(&f.grace, "grace", 10*time.Second, "how long the program may take to end before it is killed")
	f.instance.register(fs)
	f.records.register(fs)
	return c
}

// checker is nil if nothing is to be checked.
func (f *runFlags) checker() (discovery.Check, error) {
	if f.every <= 0 {
		return nil, usageError{errors.New("--check-every must be positive")}
	}
	scheme, rest, _ := strings.Cut(f.check, "://")
	switch {
	case f.check == "":
		return nil, nil
	case rest == "":
	case scheme == "http", scheme == "https":
		return discovery.HTTPCheck(f.check), nil
	case scheme == "tcp":
		return discovery.TCPCheck(rest), nil
	case scheme == "grpc":
		address, service, _ := strings.Cut(rest, "/")
		return discovery.GRPCCheck(address, service), nil
	}
	return nil, usageError{fmt.Errorf("--check %q is none of http://, https://, tcp:// and grpc://", f.check)}
}

// runner is one run.
type runner struct {
	app       *app
	f         *runFlags
	in        discovery.Instance
	check     discovery.Check
	registrar *discovery.Registrar
	ended     context.Context // the program's life
}

// run starts the program, registers it and returns when it has ended.
func (r *runner) run(ctx context.Context, args []string) error {
	child := exec.Command(args[0], args[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, r.app.env.Stdout, r.app.env.Stderr
	child.SysProcAttr = runAttr()
	if err := child.Start(); err != nil {
		return usageError{err}
	}
	ended := make(chan error, 1)
	var over context.CancelFunc
	r.ended, over = context.WithCancel(context.Background())
	defer over()
	go func() { ended <- child.Wait(); over() }()
	stopSignals := passSignals(child.Process)
	defer stopSignals()

	rctx, cancel := context.WithCancel(ctx)
	defer cancel()
	registered := make(chan *discovery.Registration, 1)
	go func() { registered <- r.register(rctx) }()

	select {
	case err := <-ended: // by itself
		cancel()
		if g := <-registered; g != nil {
			_ = r.registrar.Close() // at once: nobody is there any more
		}
		return childResult(err)
	case <-ctx.Done():
	}
	cancel()
	if g := <-registered; g != nil {
		r.leave(context.WithoutCancel(ctx), g)
	}
	return r.end(ctx, child.Process, ended)
}

// register registers the program once it is healthy; nil if that never was.
func (r *runner) register(ctx context.Context) *discovery.Registration {
	tick := time.NewTicker(min(r.f.every, 500*time.Millisecond))
	defer tick.Stop()
	for r.check != nil {
		cctx, cancel := context.WithTimeout(ctx, r.f.every)
		err := r.check(cctx)
		cancel()
		if err == nil {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	g := r.insist(ctx)
	if g == nil {
		return nil
	}
	if r.check != nil {
		g.Supervise(r.check, r.f.every)
	}
	return g
}

// registerAgain is how long to wait before an id that another process has, or what etcd refused,
// is tried again: a process that was moved elsewhere waits for the old record to expire.
const registerAgain = time.Second

// insist registers until that succeeds or ctx ends, nil then, and says each reason why it does
// not once.
func (r *runner) insist(ctx context.Context) *discovery.Registration {
	tick := time.NewTicker(registerAgain)
	defer tick.Stop()
	for said := ""; ; {
		g, err := r.registrar.Register(ctx, r.in)
		if err == nil {
			return g
		}
		if why := err.Error(); ctx.Err() == nil && why != said {
			fmt.Fprintln(r.app.env.Stderr, "not registered yet:", why)
			said = why
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// leave drains and removes the record.
func (r *runner) leave(ctx context.Context, g *discovery.Registration) {
	ctx, cancel := context.WithTimeout(ctx, r.f.drain.limit+r.app.conn.commandTimeout)
	defer cancel()
	defer context.AfterFunc(r.ended, cancel)()
	if err := g.Drain(ctx, r.f.drain.limit); err != nil && r.ended.Err() == nil {
		fmt.Fprintln(r.app.env.Stderr, "the record could not be removed, it expires:", err)
	}
}

// end passes on the signal that ended ctx, and waits for the program.
func (r *runner) end(ctx context.Context, p *os.Process, ended <-chan error) error {
	signal := syscall.SIGTERM
	var interrupted interruptedError
	if errors.As(context.Cause(ctx), &interrupted) {
		signal = interrupted.signal
	}
	_ = p.Signal(signal) // it may have ended
	t := time.NewTimer(r.f.grace)
	defer t.Stop()
	select {
	case err := <-ended:
		return childResult(err)
	case <-t.C:
		fmt.Fprintf(r.app.env.Stderr, "the program did not end within %v and is killed\n", r.f.grace)
		_ = p.Kill()
		return childResult(<-ended)
	}
}

// childResult is the program's exit status as an error: as shells say it, 128 and the
// number of the signal for one that was killed.
func childResult(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	code := exit.ExitCode()
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		code = 128 + int(s.Signal())
	}
	return childError{code}
}
