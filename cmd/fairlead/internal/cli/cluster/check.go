package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/cmd/fairlead/internal/cli/command"
	"github.com/fairlead-go/fairlead/internal/scrape"
)

// The workloads have etcdctl's names and sizes, which etcd's documentation gives.
var perfLoads = map[string]perfLoad{
	"s": {
		clients: 50,
		rate:    150,
	}, "m": {clients: 200, rate: 1000}, "l": {clients: 500, rate: 8000}, "xl": {clients: 1000, rate: 15000},
}

var scaleLoads = map[string]scaleLoad{
	"s": {
		pairs:   10_000,
		clients: 50,
	}, "m": {pairs: 100_000, clients: 200}, "l": {pairs: 1_000_000, clients: 500},
	"xl": {pairs: 3_000_000, clients: 1000},
}

type perfLoad struct{ clients, rate int }

type scaleLoad struct{ pairs, clients int }

const (
	perfTime       = time.Minute
	perfShare      = 0.9 // of the requested rate
	perfSlowest    = 500 * time.Millisecond
	perfDeviation  = 100 * time.Millisecond
	checkValueSize = 1024
)

// checkFlags are the flags of both checks.
type checkFlags struct {
	load            string
	prefix          string
	compact, defrag bool
}

func (f *checkFlags) register(c *cobra.Command, what, prefix string) {
	c.Flags().StringVar(&f.load, "load", "s", what)
	c.Flags().StringVar(&f.prefix, "prefix", prefix, "prefix of the keys that are written, and removed at the end")
	c.Flags().BoolVar(&f.compact, "auto-compact", false, "compact to the last revision at the end")
	c.Flags().BoolVar(&f.defrag, "auto-defrag", false, "defragment the endpoints at the end")
}

// loadOf returns a workload; the long names are those of etcdctl's help.
func loadOf[L any](loads map[string]L, name string) (L, error) {
	short := map[string]string{"small": "s", "medium": "m", "large": "l", "xlarge": "xl"}
	n := strings.ToLower(name)
	if s, ok := short[n]; ok {
		n = s
	}
	l, ok := loads[n]
	if !ok {
		return l, command.Usage(fmt.Errorf("--load is s, m, l or xl, not %q", name))
	}
	return l, nil
}

func checkPerfCommand(a *command.App) *cobra.Command {
	var f checkFlags
	length := perfTime
	c := &cobra.Command{
		Use:   "perf",
		Short: "Write at a fixed rate for a minute and judge throughput and delay",
		Long: `Write keys of 256 bytes with values of 1 KiB at a fixed rate. The cluster passes if it did 90 % of
the writes, if none took longer than 500 ms, and if the standard deviation is below 100 ms. The keys
are removed at the end. The load is real: do not run this on a cluster in use.`,
		Example: "  fairlead check perf --load m --duration 30s",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := loadOf(perfLoads, f.load)
			if err != nil {
				return err
			}
			if length < time.Second || f.prefix == "" {
				return command.Usage(fmt.Errorf("--duration is at least 1s, and --prefix is not empty"))
			}
			return check(cmd.Context(), a, f, func(ctx context.Context, c *clientv3.Client) error {
				return perf(ctx, a, c, f.prefix, l, length)
			})
		},
	}
	f.register(
		c,
		"s (50 clients, 150 writes/s), m (200, 1000/s), l (500, 8000/s) or xl (1000, 15000/s)",
		"/fairlead-check-perf/",
	)
	c.Flags().DurationVar(&length, "duration", perfTime, "how long to write")
	return c
}

func checkDatascaleCommand(a *command.App) *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use:   "datascale",
		Short: "Write many keys and say how much memory the first endpoint takes for them",
		Long: `Write keys with values of 1 KiB, as fast as the clients can, and say how much memory the server at
the first endpoint has taken meanwhile. The keys are removed at the end. The load is real: do not
run this on a cluster in use.`,
		Example: "  fairlead check datascale --load s --auto-compact --auto-defrag",
		Args:    command.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := loadOf(scaleLoads, f.load)
			if err != nil {
				return err
			}
			if f.prefix == "" {
				return command.Usage(fmt.Errorf("--prefix is not empty"))
			}
			endpoints, err := a.Endpoints(cmd.Context())
			if err != nil {
				return err
			}
			return check(cmd.Context(), a, f, func(ctx context.Context, c *clientv3.Client) error {
				return datascale(ctx, a, c, f.prefix, endpoints[0], l)
			})
		},
	}
	f.register(c, "s (10,000 keys), m (100,000), l (1,000,000) or xl (3,000,000)", "/fairlead-check-datascale/")
	return c
}

// check runs a check under a prefix without keys, and removes its keys afterwards, even if it is
// interrupted.
func check(ctx context.Context, a *command.App, f checkFlags, run func(context.Context, *clientv3.Client) error) error {
	err := a.Stream(ctx, func(ctx context.Context, c *clientv3.Client) (err error) {
		first, cancel := context.WithTimeout(ctx, a.Conn.CommandTimeout)
		resp, err := c.Get(first, f.prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		cancel()
		if err != nil {
			return err
		}
		if resp.Count > 0 {
			return command.Usage(
				fmt.Errorf(
					"there are %d keys under %s already: give another --prefix, or remove them",
					resp.Count,
					f.prefix,
				),
			)
		}
		defer func() {
			if e := tidyUp(ctx, a, c, f); err == nil {
				err = e
			}
		}()
		return run(ctx, c)
	})
	if err != nil || !f.defrag {
		return err
	}
	endpoints, err := a.Endpoints(ctx)
	if err != nil {
		return err
	}
	return defragment(ctx, a, endpoints)
}

func tidyUp(ctx context.Context, a *command.App, c *clientv3.Client, f checkFlags) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(a.Conn.CommandTimeout, 30*time.Second))
	defer cancel()
	resp, err := c.Delete(ctx, f.prefix, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("remove the keys under %s: %w", f.prefix, err)
	}
	if f.compact {
		if _, err := c.Compact(ctx, resp.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
			return fmt.Errorf("compact: %w", err)
		}
	}
	return nil
}

// writers puts n keys with so many clients, at most at the rate of pace (0: no limit). Only one
// goroutine at a time calls observe.
func writers(ctx context.Context, c *clientv3.Client, clients, n int, key func(int) string, pace *rate.Limiter,
	observe func(took time.Duration, err error)) {
	var (
		mu   sync.Mutex
		next int
		wg   sync.WaitGroup
	)
	value := rand.Text() + strings.Repeat("v", checkValueSize)
	value = value[:checkValueSize]
	for range clients {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n || pace != nil && pace.Wait(ctx) != nil || ctx.Err() != nil {
					return
				}
				began := time.Now()
				_, err := c.Put(ctx, key(i), value)
				if ctx.Err() != nil {
					return // an interrupted put says nothing about the cluster
				}
				mu.Lock()
				observe(time.Since(began), err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func perf(
	ctx context.Context,
	a *command.App,
	c *clientv3.Client,
	prefix string,
	l perfLoad,
	length time.Duration,
) error {
	bar := a.Progress("writing", func(n int64) string { return fmt.Sprint(n) })
	defer bar.Stop()
	var (
		took    []float64 // seconds
		slowest time.Duration
		failed  int
		reason  error
	)
	goal := int(float64(l.rate) * length.Seconds())
	run, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	pad := strings.Repeat("k", max(256-len(prefix)-16, 0))
	writers(run, c, l.clients, goal, func(i int) string { return fmt.Sprintf("%s%016d%s", prefix, i, pad) },
		rate.NewLimiter(rate.Limit(l.rate), 1), func(d time.Duration, err error) {
			if err != nil {
				failed, reason = failed+1, err
				return
			}
			took, slowest = append(took, d.Seconds()), max(slowest, d)
			bar.Set(int64(len(took)), int64(goal))
		})
	bar.Stop()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p := a.Printer()
	good := true
	verdict := func(ok bool, text string, args ...any) {
		good = good && ok
		fmt.Fprintf(p, "%s: %s\n", map[bool]string{true: "PASS", false: "FAIL"}[ok], fmt.Sprintf(text, args...))
	}
	if failed > 0 {
		verdict(false, "%d writes failed, the last with: %v", failed, reason)
	}
	throughput := float64(len(took)) / length.Seconds()
	verdict(throughput >= perfShare*float64(l.rate), "Throughput is %.0f writes/s, of %d", throughput, l.rate)
	verdict(slowest <= perfSlowest, "Slowest request took %.6fs", slowest.Seconds())
	sd := deviation(took)
	verdict(sd <= perfDeviation.Seconds(), "Stddev is %.6fs", sd)
	if err := p.Flush(); err != nil {
		return err
	}
	if !good {
		return command.Reported("the cluster does not take this load")
	}
	_, err := fmt.Fprintln(a.Env.Stdout, "PASS")
	return err
}

// deviation returns the standard deviation.
func deviation(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	mean, squares := sum/float64(len(list)), 0.0
	for _, v := range list {
		squares += (v - mean) * (v - mean)
	}
	return math.Sqrt(squares / float64(len(list)))
}

func datascale(ctx context.Context, a *command.App, c *clientv3.Client, prefix, endpoint string, l scaleLoad) error {
	secured, err := a.Conn.Secured()
	if err != nil {
		return command.Usage(err)
	}
	pages := scrape.New(secured.TLS)
	defer pages.Close()
	memory := func() (float64, error) {
		ctx, cancel := context.WithTimeout(ctx, a.Conn.CommandTimeout)
		defer cancel()
		n, err := pages.Sum(ctx, endpoint, "process_resident_memory_bytes")
		if err != nil {
			err = fmt.Errorf("read the metrics of %s: %w", endpoint, err)
		}
		return n, err
	}
	before, err := memory()
	if err != nil {
		return err
	}
	bar := a.Progress("writing", func(n int64) string { return fmt.Sprint(n) })
	defer bar.Stop()
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began, done := time.Now(), 0
	writers(run, c, l.clients, l.pairs, func(i int) string { return fmt.Sprintf("%s%08d", prefix, i) }, nil,
		func(_ time.Duration, err error) {
			if err != nil {
				cancel(fmt.Errorf("after %d of %d keys: %w", done, l.pairs, err))
				return
			}
			done++
			bar.Set(int64(done), int64(l.pairs))
		})
	bar.Stop()
	if run.Err() != nil {
		return context.Cause(run)
	}
	rate := float64(done) / time.Since(began).Seconds()
	after, err := memory()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(
		a.Env.Stdout,
		"%d keys of %d bytes, %.0f writes/s\nPASS: Approximate system memory used : %.2f MB.\n",
		l.pairs,
		checkValueSize,
		rate,
		math.Max(after-before, 0)/1e6,
	)
	return err
}
