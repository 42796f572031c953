// Faults runs the same workload with the official etcd client and with Fairlead's
// under each of several faults, and prints a table.
//
//	go run ./faults                       # all faults, both clients: about 10 minutes
//	go run ./faults -only "leader frozen" # one
//
// Every run has a cluster of its own: three real etcd processes. One client makes
// 100 calls a second, half reads and half writes, with deadlines of one second; twenty
// others hold a lease with a TTL of 5 s and watch a key. Everything has its default
// configuration.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

const (
	holders  = 20              // clients with a lease and a watch
	leaseTTL = 5               // seconds
	deadline = time.Second     // of each call
	watchFor = 3 * time.Second // after the fault: a watch that delivers nothing then is silent
)

func main() {
	only := flag.String("only", "", "run only the faults whose name contains this")
	rate := flag.Int("rate", 100, "calls per second")
	length := flag.Duration("for", 20*time.Second, "how long to measure after the fault")
	flag.Parse()
	fmt.Printf("%s, %s, %d cores, etcd 3.7.3; %d calls/s, %v deadlines, %v after the fault\n\n",
		time.Now().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), *rate, deadline, *length)
	fmt.Println("| fault | client | failed reads | failed writes | last failed read made | last failed write made | p50 | p99 | leases lost | watches silent |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	failed := false
	for _, f := range faults {
		if !strings.Contains(f.name, *only) {
			continue
		}
		for _, k := range kinds {
			r, err := run(f, k.dial, *rate, *length)
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s, %s: %v\n", f.name, k.name, err)
				failed = true
				continue
			}
			fmt.Printf("| %s | %s | %s |\n", f.name, k.name, r)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// result is one row of the table.
type result struct {
	calls, failed [2]int // reads, writes
	last          [2]time.Duration
	took          []time.Duration
	lost, silent  int
}

func (r *result) String() string {
	cell := func(i int) string {
		return fmt.Sprintf("%d of %d (%.1f %%)", r.failed[i], r.calls[i], 100*float64(r.failed[i])/float64(max(r.calls[i], 1)))
	}
	last := func(i int) string {
		if r.failed[i] == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f s", r.last[i].Seconds())
	}
	slices.Sort(r.took)
	at := func(q float64) string {
		if len(r.took) == 0 {
			return "-"
		}
		return r.took[int(q*float64(len(r.took)-1))].Round(100 * time.Microsecond).String()
	}
	return strings.Join([]string{cell(0), cell(1), last(0), last(1), at(0.5), at(0.99),
		fmt.Sprintf("%d of %d", r.lost, holders), fmt.Sprintf("%d of %d", r.silent, holders)}, " | ")
}

func run(f fault, dial func([]string) (client, error), rate int, length time.Duration) (_ *result, err error) {
	c, err := etcdtest.StartMain(etcdtest.Options{Members: 3, Proxied: true, PeerProxied: true})
	if err != nil {
		return nil, err
	}
	defer c.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	h, err := hold(ctx, c, dial)
	if err != nil {
		return nil, err
	}
	defer h.close()
	load, err := dial(c.Endpoints())
	if err != nil {
		return nil, err
	}
	defer load.close()
	victim, err := choose(ctx, c, f.leader)
	if err != nil {
		return nil, err
	}
	r := &result{}
	drive(load, rate, 2*time.Second, time.Now(), &result{}) // everything is warm
	struck := time.Now()
	if err := f.strike(c, victim); err != nil {
		return nil, err
	}
	if f.mend != nil {
		wait(ctx, outage)
		if err := f.mend(c); err != nil {
			return nil, err
		}
		struck = time.Now() // measured from the return of a quorum
	}
	var wg sync.WaitGroup
	wg.Go(func() { drive(load, rate, length, struck, r) })
	wg.Go(func() { r.silent = h.silent(ctx, c, victim, struck) })
	wg.Wait()
	r.lost = h.lost(ctx, c, victim)
	return r, nil
}

func choose(ctx context.Context, c *etcdtest.Cluster, leader bool) (*etcdtest.Member, error) {
	l, err := c.FindLeader(ctx)
	if err != nil || leader {
		return l, err
	}
	for _, m := range c.Members() {
		if m != l {
			return m, nil
		}
	}
	return nil, fmt.Errorf("there is no follower")
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// drive makes calls at a steady rate and notes how they end.
func drive(c client, rate int, length time.Duration, struck time.Time, r *result) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := range int(length.Seconds() * float64(rate)) {
		<-tick.C
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			made, kind := time.Now(), i%2
			var err error
			if kind == 0 {
				err = c.get(ctx, fmt.Sprint("load/", i%20))
			} else {
				err = c.put(ctx, fmt.Sprint("load/", i%20), "v")
			}
			mu.Lock()
			defer mu.Unlock()
			r.calls[kind]++
			if err != nil {
				r.failed[kind]++
				r.last[kind] = max(r.last[kind], made.Sub(struck))
				return
			}
			r.took = append(r.took, time.Since(made))
		})
	}
	wg.Wait()
}
