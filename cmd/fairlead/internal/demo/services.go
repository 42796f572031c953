package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/discovery"
	"github.com/fairlead-go/fairlead/discovery/httpdisc"
)

// Five processes offer an HTTP service; calls are spread over them while one of them is killed and
// another drained.

const (
	serviceName = "demo-greeter"
	greeters    = 5
	// greeterTTL, in seconds, is how long the record of a killed process stays.
	greeterTTL = 2
	// greeterCalls is the calls per second, each with a limit of greeterLimit.
	greeterCalls = 100
	greeterLimit = time.Second
	// drainLimit is how long a greeter that ends waits for its callers.
	drainLimit = time.Second
)

// Greeter describes a process that offers the service.
type Greeter struct {
	Name      string
	Endpoints []string
}

// Run serves until ctx ends, and then drains: it writes "serves" when it is registered.
func (g Greeter) Run(ctx context.Context, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, g.Name) }),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	cli, err := clientv3.New(
		clientv3.Config{Endpoints: g.Endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()},
	)
	if err != nil {
		return err
	}
	defer cli.Close()
	r := discovery.NewRegistrar(cli, discovery.WithTTL(greeterTTL))
	defer r.Close()
	reg, err := r.Register(
		ctx,
		discovery.Instance{Service: serviceName, ID: g.Name, Addresses: []string{l.Addr().String()}},
	)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "serves"); err != nil {
		return err
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit+time.Second)
	defer cancel()
	return errors.Join(reg.Drain(dctx, drainLimit), server.Shutdown(dctx))
}

func (d *demo) services(ctx context.Context) error {
	d.say.title("Five processes offer a service")
	var running []*child
	defer func() {
		for _, c := range running {
			c.kill()
		}
	}()
	for i := range greeters {
		name := fmt.Sprintf("greeter-%d", i+1)
		c, first, err := startProcess(
			d.greeter,
			Greeter{name, d.cluster.endpoints()},
			name,
			filepath.Join(d.cluster.dir, name+".log"),
		)
		if err != nil {
			return err
		}
		running = append(running, c)
		select {
		case line := <-first:
			if line != "serves" {
				return fmt.Errorf("%s has ended: %s", name, lastLine(c.logFile))
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	directory := discovery.NewDirectory(d.client, discovery.WithAnnounce("demo"), discovery.WithLog(nil))
	defer directory.Close()
	transport := httpdisc.New(directory)
	defer transport.Close()
	calls := newGreetings(&http.Client{Transport: transport, Timeout: greeterLimit})
	calls.start(ctx)
	defer calls.stop()
	if err := wait(ctx, time.Second); err != nil {
		return err
	}
	d.say.line(
		"%d calls a second to http://%s/, spread over %d processes",
		greeterCalls,
		serviceName,
		calls.answering(),
	)
	killed, drained := running[0], running[1]
	d.say.line("killing %s", killed.name)
	killed.kill()
	if err := wait(ctx, time.Second); err != nil {
		return err
	}
	d.say.line("ending %s, which drains", drained.name)
	begin := time.Now()
	if err := drained.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-drained.exited:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	d.say.line("it has ended after %s", short(time.Since(begin)))
	if err := wait(ctx, time.Second); err != nil {
		return err
	}
	return calls.report(d.say)
}

// wait waits for d or the end of ctx.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// greetings are calls of the service under way.
type greetings struct {
	client *http.Client
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	by     map[string]int // answers, by the process that gave them
	failed int
	first  error
}

func newGreetings(c *http.Client) *greetings { return &greetings{client: c, by: make(map[string]int)} }

// start makes calls at a steady rate until stop.
func (g *greetings) start(ctx context.Context) {
	ctx, g.cancel = context.WithCancel(ctx)
	g.wg.Go(func() {
		tick := time.NewTicker(time.Second / greeterCalls)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				g.wg.Go(func() { g.call(context.WithoutCancel(ctx)) })
			case <-ctx.Done():
				return
			}
		}
	})
}

func (g *greetings) stop() {
	g.cancel()
	g.wg.Wait()
}

func (g *greetings) call(ctx context.Context) {
	who, err := g.ask(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		if g.failed++; g.first == nil {
			g.first = err
		}
		return
	}
	g.by[who]++
}

func (g *greetings) ask(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+serviceName+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	who, err := io.ReadAll(resp.Body)
	return string(who), err
}

// answering returns how many processes have answered.
func (g *greetings) answering() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.by)
}

// report prints how often each process answered, and fails if a call failed.
func (g *greetings) report(say *speaker) error {
	g.stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	var names []string
	total := 0
	for name, n := range g.by {
		names = append(names, name)
		total += n
	}
	slices.Sort(names)
	for _, name := range names {
		say.line("%-12s %4d calls", name, g.by[name])
	}
	say.line("%-12s %4d of %d", "failed", g.failed, total+g.failed)
	switch {
	case g.failed > 0:
		return fmt.Errorf("%d calls of the service failed, the first with: %w", g.failed, g.first)
	case len(names) != greeters:
		return fmt.Errorf("only %d of %d processes were called", len(names), greeters)
	}
	return nil
}
