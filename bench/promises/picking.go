package main

// Rows 17 to 20: which member is asked, and how often.

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	official "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func retryStorm(ctx context.Context, t *trial) error {
	c, err := t.cluster(etcdtest.Options{Members: 3})
	if err != nil {
		return err
	}
	var mine, their wires
	client, err := t.ours(ours.Config{Endpoints: c.Endpoints(), DialOptions: []grpc.DialOption{mine.option()}})
	if err != nil {
		return err
	}
	theirs, err := t.official(official.Config{Endpoints: c.Endpoints(), DialOptions: []grpc.DialOption{their.option()}})
	if err != nil {
		return err
	}
	_, err1 := client.Get(ctx, "k")
	_, err2 := theirs.Get(ctx, "k")
	if err1 != nil || err2 != nil {
		return fmt.Errorf("before the fault: %v, %v", err1, err2)
	}
	for _, m := range c.Members()[:2] {
		m.Kill()
	}
	last := c.Members()[2]
	noLeader := func() bool {
		v, err := last.Metric(ctx, "etcd_server_has_leader")
		return err == nil && v == 0
	}
	if !within(ctx, patience, noLeader) {
		return fmt.Errorf("the last member still has a leader")
	}
	load.Wait(ctx, 4*time.Second) // it refuses calls only when it has had none for three elections
	read := func(w *wires, get func(context.Context) error) (requests float64, took time.Duration) {
		before := w.of(pb.KV_Range_FullMethodName)
		cctx, cancel := context.WithTimeout(ours.WithRequireLeader(ctx), 2*time.Second)
		defer cancel()
		began := time.Now()
		_ = get(cctx) // cannot succeed
		return float64(w.of(pb.KV_Range_FullMethodName) - before), time.Since(began)
	}
	n, took := read(&mine, func(ctx context.Context) error { _, err := client.Get(ctx, "k"); return err })
	theirN, theirTook := read(&their, func(ctx context.Context) error { _, err := theirs.Get(ctx, "k"); return err })
	t.under("one read that requires a leader, deadline 2 s, two of three members killed")
	t.promise("requests sent", "", 10, n).seen("100 in 1.3 s").here(theirN)
	t.show("it took", "s", took.Seconds()).here(theirTook.Seconds())
	return nil
}

// uniquePuts writes each key once; a key with a higher version was committed twice.
type uniquePuts struct {
	c      *ours.Client
	prefix string
}

func (u uniquePuts) do(ctx context.Context, i int) (bool, error) {
	_, err := u.c.Put(ctx, fmt.Sprintf("%s%06d", u.prefix, i), "v")
	return true, err
}

func (u uniquePuts) twice(ctx context.Context) (float64, error) {
	r, err := u.c.Get(ctx, u.prefix, ours.WithPrefix())
	if err != nil {
		return 0, err
	}
	n := 0
	for _, kv := range r.Kvs {
		if kv.Version != 1 {
			n++
		}
	}
	return float64(n), nil
}

func restarts(ctx context.Context, t *trial) error {
	c, err := t.cluster(etcdtest.Options{Members: 3})
	if err != nil {
		return err
	}
	client, err := t.ours(ours.Config{Endpoints: c.Endpoints()})
	if err != nil {
		return err
	}
	if _, err := client.Put(ctx, "k", "v"); err != nil {
		return err
	}
	plan := load.Plan{Rate: 50, Deadline: 5 * time.Second}
	// during writes while something happens, and for a while after it.
	during := func(prefix string, happen func() error) (calls load.Calls, twice float64, err error) {
		puts := uniquePuts{client, prefix}
		plan.Do = puts.do
		dctx, stop := context.WithCancel(ctx)
		defer stop()
		var wg sync.WaitGroup
		wg.Go(func() { calls = load.Drive(dctx, plan) })
		load.Wait(ctx, time.Second)
		err = happen()
		load.Wait(ctx, 2*time.Second)
		stop()
		wg.Wait()
		if err == nil {
			twice, err = puts.twice(ctx)
		}
		return calls, twice, err
	}

	calls, twice, err := during("rolling/", func() error {
		for _, m := range c.Members() {
			m.Terminate()
			if err := m.Restart(); err != nil {
				return err
			}
			if err := m.WaitReady(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.under("three members restarted one by one (SIGTERM) at 50 writes/s")
	t.show("writes", "", float64(len(calls)))
	t.promise("failed writes", "", 0, float64(len(calls.Failed())))
	t.promise("writes committed twice", "", 0, twice)

	if err := c.WaitHealthy(ctx); err != nil {
		return err
	}
	victim, err := load.Choose(ctx, c, false)
	if err != nil {
		return err
	}
	var gone time.Time
	calls, twice, err = during("killed/", func() error {
		victim.Kill()
		gone = time.Now()
		return nil
	})
	if err != nil {
		return err
	}
	t.under("a follower killed at 50 writes/s")
	t.show("failed writes that were in flight", "", float64(len(calls.Failed())-len(calls.Failed().After(gone))))
	t.promise("failed writes made afterwards", "", 0, float64(len(calls.Failed().After(gone))))
	t.promise("writes committed twice", "", 0, twice)
	return nil
}

func defragmentation(ctx context.Context, t *trial) error {
	c, err := t.cluster(etcdtest.Options{Members: 3})
	if err != nil {
		return err
	}
	client, err := load.Fairlead(c.Endpoints())
	if err != nil {
		return err
	}
	defer client.Close()
	admin, err := t.ours(ours.Config{Endpoints: c.Endpoints()})
	if err != nil {
		return err
	}
	const keys, size = 2000, 100 << 10
	value := strings.Repeat("x", size)
	err = each(4, func(w int) error {
		for i := w; i < keys; i += 4 {
			if _, err := admin.Put(ctx, fmt.Sprint("big/", i), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	plan := load.Plan{Rate: callers, For: time.Second, Deadline: time.Second, Do: load.Mixed(client)}
	load.Drive(ctx, plan)
	var calls load.Calls
	dctx, stop := context.WithCancel(ctx)
	defer stop()
	plan.For = 0
	var wg sync.WaitGroup
	wg.Go(func() { calls = load.Drive(dctx, plan) })
	var longest time.Duration
	inFlight := 0
	began := make([]time.Time, 0, 3)
	for _, m := range c.Members() {
		start := time.Now()
		if _, err := admin.Defragment(ctx, m.Endpoint); err != nil {
			stop()
			wg.Wait()
			return fmt.Errorf("defragment: %w", err)
		}
		longest = max(longest, time.Since(start))
		began = append(began, start)
		load.Wait(ctx, time.Second)
	}
	stop()
	wg.Wait()
	for _, f := range calls.Of(true).Failed() {
		for _, at := range began {
			// What is sent before the member's silence shows counts as in flight there.
			if d := f.Made.Sub(at); d > -plan.Deadline && d < noticed {
				inFlight++
				break
			}
		}
	}
	failed := len(calls.Of(true).Failed())
	t.under("each of three members with %d MB defragmented, %d calls/s with deadlines of 1 s", keys*size/1_000_000, callers)
	t.show("longest defragmentation", "s", longest.Seconds())
	t.promise("failed reads", "", 0, float64(len(calls.Of(false).Failed())))
	t.show("failed writes in flight or made within 300 ms", "", float64(inFlight))
	t.promise("other failed writes", "", 0, float64(failed-inFlight))
	return nil
}

// noticed is by when the client has found out that a member is silent: 200 ms of silence
// make it suspect.
const noticed = 300 * time.Millisecond

func slowMember(ctx context.Context, t *trial) error {
	c, err := t.cluster(etcdtest.Options{Members: 3, Proxied: true})
	if err != nil {
		return err
	}
	client, err := t.ours(ours.Config{Endpoints: c.Endpoints()})
	if err != nil {
		return err
	}
	theirs, err := t.official(official.Config{Endpoints: c.Endpoints()})
	if err != nil {
		return err
	}
	get := func(ctx context.Context, _ int) (bool, error) { _, err := client.Get(ctx, "k"); return false, err }
	theirGet := func(ctx context.Context, _ int) (bool, error) { _, err := theirs.Get(ctx, "k"); return false, err }
	steady := func(do func(context.Context, int) (bool, error), d time.Duration) load.Calls {
		return load.Drive(ctx, load.Plan{Rate: callers, For: d, Deadline: 5 * time.Second, Do: do})
	}
	const length = 10 * time.Second
	steady(get, time.Second) // all members are connected
	steady(theirGet, time.Second)
	healthy := steady(get, length)
	victim, err := load.Choose(ctx, c, false)
	if err != nil {
		return err
	}
	victim.Proxy().Delay(100 * time.Millisecond)
	steady(get, time.Second/2) // 50 calls
	far := steady(get, length)
	their := steady(theirGet, length/2)
	slow := 0
	for _, f := range far {
		if f.Took >= 200*time.Millisecond {
			slow++
		}
	}
	p99, before := far.Quantile(0.99), healthy.Quantile(0.99)
	t.under("a follower 200 ms away, %d reads/s, after 50 calls", callers)
	t.promise("failed reads", "", 0, float64(len(far.Failed())))
	t.show("70th percentile", "ms", ms(far.Quantile(0.7))).seen("201 ms").here(ms(their.Quantile(0.7)))
	t.show("99th percentile", "ms", ms(p99)).here(ms(their.Quantile(0.99)))
	t.promise("99th percentile, times that of healthy members", "", 1.2, float64(p99)/float64(max(before, 1)))
	t.show("calls as slow as the slow member", "%", 100*float64(slow)/float64(len(far)))
	return nil
}
