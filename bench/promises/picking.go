package main

// Rows 17 and 18: what is sent again and what is not.

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	official "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func repetitions(ctx context.Context, t *trial) error {
	if err := retryStorm(ctx, t); err != nil {
		return err
	}
	return lostConnection(ctx, t)
}

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
	load.Wait(ctx, 4*time.Second) // the member refuses calls only after three election timeouts without a leader
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
	// during makes writes while something happens, and for a while after it.
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
