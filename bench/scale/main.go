// Scale measures the cost of one more client process, watcher, lease or key. It prints slopes,
// from which docs/scale.md calculates what many of them cost a cluster.
//
//	go run ./scale            # about two minutes
//
// The server's processor time and memory are read from /proc, so it runs on Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const limit = 10 * time.Minute

func main() {
	window := flag.Duration("for", 15*time.Second, "how long each amount is observed")
	only := flag.String("only", "", "only what has this in its name")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := run(ctx, *window, *only); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// thing is something that a cluster may have many of. more makes n of them for as long as ctx
// lasts, and returns what to close.
type thing struct {
	name    string
	members int
	some    int // the lower of the two numbers that are compared
	many    int
	more    func(ctx context.Context, cl *etcdtest.Cluster, n int) (func() error, error)
}

var things = []thing{
	{"idle client", 1, 100, 500, clients(func(context.Context, *clientv3.Client, int) error { return nil })},
	{"client with a watch", 1, 100, 500, clients(watch)},
	{"client with a watch, three members", 3, 100, 300, clients(watch)},
	{"client with a lease of TTL 15 s", 1, 100, 500, clients(lease)},
	{"client with a lease of TTL 15 s, three members", 3, 100, 300, clients(lease)},
	{"watcher of one client", 1, 10000, 50000, watchers},
	{"lease of TTL 15 s of one client", 1, 2000, 20000, leases},
	{"key of 256 B", 1, 10000, 100000, keys},
}

// usage is what the servers of a cluster use.
type usage struct {
	cpu  float64 // seconds of a processor, so far
	rss  float64 // bytes
	wrun float64 // seconds of a processor of this process
}

func run(ctx context.Context, window time.Duration, only string) error {
	fmt.Printf("%-48s %22s %18s %22s\n", "one more", "servers' CPU per s", "servers' memory", "this process' CPU per s")
	for _, t := range things {
		if !strings.Contains(t.name, only) {
			continue
		}
		var at [2]usage
		for i, n := range []int{t.some, t.many} {
			l, err := observe(ctx, t, n, window)
			if err != nil {
				return fmt.Errorf("%d times %s: %w", n, t.name, err)
			}
			at[i] = l
		}
		d := float64(t.many - t.some)
		fmt.Printf(
			"%-48s %19.1f us %15.1f KB %19.1f us\n",
			t.name,
			(at[1].cpu-at[0].cpu)/d*1e6,
			(at[1].rss-at[0].rss)/d/1e3,
			(at[1].wrun-at[0].wrun)/d*1e6,
		)
	}
	return nil
}

// observe makes n of t on a fresh cluster and returns what the cluster uses in a second.
func observe(ctx context.Context, t thing, n int, window time.Duration) (l usage, err error) {
	cl, err := etcdtest.StartMain(etcdtest.Options{Members: t.members})
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, cl.Stop()) }()
	tctx, cancel := context.WithCancel(ctx)
	defer cancel()
	end, err := t.more(tctx, cl, n)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, end()) }()
	load.Wait(ctx, 3*time.Second) // the start is not measured
	before, err := used(cl)
	if err != nil {
		return l, err
	}
	load.Wait(ctx, window)
	after, err := used(cl)
	s := window.Seconds()
	return usage{cpu: (after.cpu - before.cpu) / s, rss: after.rss, wrun: (after.wrun - before.wrun) / s}, err
}

// ticks is the unit of processor time in /proc.
const ticks = 100

func used(cl *etcdtest.Cluster) (l usage, err error) {
	for _, m := range cl.Members() {
		cpu, rss, err := process(strconv.Itoa(m.PID()))
		if err != nil {
			return l, err
		}
		l.cpu += cpu
		l.rss += rss
	}
	l.wrun, _, err = process("self")
	return l, err
}

func process(pid string) (cpu, rss float64, err error) {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, 0, err
	}
	_, rest, ok := strings.Cut(string(b), ") ") // the name before it may contain anything
	f := strings.Fields(rest)
	if !ok || len(f) < 22 {
		return 0, 0, fmt.Errorf("/proc/%s/stat: %q", pid, b)
	}
	var v [3]float64
	for i, at := range []int{11, 12, 21} { // utime, stime, rss; proc(5) counts from 3 here
		if v[i], err = strconv.ParseFloat(f[at], 64); err != nil {
			return 0, 0, err
		}
	}
	return (v[0] + v[1]) / ticks, v[2] * float64(os.Getpagesize()), nil
}

func dial(cl *etcdtest.Cluster) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: cl.Endpoints(), Logger: zap.NewNop()})
}

func clients(
	use func(context.Context, *clientv3.Client, int) error,
) func(context.Context, *etcdtest.Cluster, int) (func() error, error) {
	return func(ctx context.Context, cl *etcdtest.Cluster, n int) (func() error, error) {
		var all []*clientv3.Client
		end := func() error {
			var errs []error
			for _, c := range all {
				errs = append(errs, c.Close())
			}
			return errors.Join(errs...)
		}
		for i := range n {
			c, err := dial(cl)
			if err != nil {
				return end, err
			}
			all = append(all, c)
			if _, err := c.Get(ctx, "key"); err != nil {
				return end, err
			}
			if err := use(ctx, c, i); err != nil {
				return end, err
			}
		}
		return end, nil
	}
}

func watch(ctx context.Context, c *clientv3.Client, i int) error {
	c.Watch(ctx, fmt.Sprint("watch/", i))
	return ctx.Err()
}

func lease(ctx context.Context, c *clientv3.Client, _ int) error {
	g, err := c.Grant(ctx, 15)
	if err != nil {
		return err
	}
	_, err = c.KeepAlive(ctx, g.ID)
	return err
}

// with makes n of something with one client.
func with(
	ctx context.Context,
	cl *etcdtest.Cluster,
	n int,
	do func(*clientv3.Client, int) error,
) (func() error, error) {
	c, err := dial(cl)
	if err != nil {
		return nil, err
	}
	for i := range n {
		if err := do(c, i); err != nil {
			return c.Close, err
		}
	}
	return c.Close, ctx.Err()
}

func watchers(ctx context.Context, cl *etcdtest.Cluster, n int) (func() error, error) {
	return with(ctx, cl, n, func(c *clientv3.Client, i int) error { return watch(ctx, c, i) })
}

func leases(ctx context.Context, cl *etcdtest.Cluster, n int) (func() error, error) {
	return with(ctx, cl, n, func(c *clientv3.Client, _ int) error {
		g, err := c.Grant(ctx, 15)
		if err != nil {
			return err
		}
		_, err = c.KeepAlive(ctx, g.ID)
		return err
	})
}

func keys(ctx context.Context, cl *etcdtest.Cluster, n int) (func() error, error) {
	c, err := dial(cl)
	if err != nil {
		return nil, err
	}
	_, err = c.PutAll(ctx, func(yield func(string, string) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("keys/%08d", i), string(make([]byte, 256))) {
				return
			}
		}
	})
	return c.Close, err
}
