package main

// Rows 19 and 20: members that are slow, for a while or for ever.

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	official "go.etcd.io/etcd/client/v3"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

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

// slowMember compares with a client that does not know the slow member, at the same
// time: what else the machine does meets both.
func slowMember(ctx context.Context, t *trial) error {
	c, err := t.cluster(etcdtest.Options{Members: 3, Proxied: true})
	if err != nil {
		return err
	}
	victim, err := load.Choose(ctx, c, false)
	if err != nil {
		return err
	}
	var near []string
	for _, m := range c.Members() {
		if m != victim {
			near = append(near, m.Endpoint)
		}
	}
	client, err := t.ours(ours.Config{Endpoints: c.Endpoints()})
	if err != nil {
		return err
	}
	spared, err := t.ours(ours.Config{Endpoints: near})
	if err != nil {
		return err
	}
	theirs, err := t.official(official.Config{Endpoints: c.Endpoints()})
	if err != nil {
		return err
	}
	type get = func(context.Context, int) (bool, error)
	ourGet := func(c *ours.Client) get {
		return func(ctx context.Context, _ int) (bool, error) { _, err := c.Get(ctx, "k"); return false, err }
	}
	theirGet := func(ctx context.Context, _ int) (bool, error) { _, err := theirs.Get(ctx, "k"); return false, err }
	both := func(d time.Duration) (all, fast load.Calls) {
		plan := load.Plan{Rate: callers, For: d, Deadline: 5 * time.Second}
		var wg sync.WaitGroup
		for into, do := range map[*load.Calls]get{&all: ourGet(client), &fast: ourGet(spared)} {
			p := plan
			p.Do = do
			wg.Go(func() { *into = load.Drive(ctx, p) })
		}
		wg.Wait()
		return all, fast
	}
	both(time.Second) // all members are connected
	victim.Proxy().Delay(100 * time.Millisecond)
	both(time.Second / 2) // 50 calls
	all, fast := both(15 * time.Second)
	their := load.Drive(ctx, load.Plan{Rate: callers, For: 5 * time.Second, Deadline: 5 * time.Second, Do: theirGet})
	slow := 0
	for _, f := range all {
		if f.Took >= 200*time.Millisecond {
			slow++
		}
	}
	p99, least := all.Quantile(0.99), fast.Quantile(0.99)
	t.under("a follower 200 ms away, %d reads/s, after 50 calls", callers)
	t.promise("failed reads", "", 0, float64(len(all.Failed())))
	t.show("70th percentile", "ms", ms(all.Quantile(0.7))).seen("201 ms").here(ms(their.Quantile(0.7)))
	t.show("99th percentile", "ms", ms(p99)).here(ms(their.Quantile(0.99)))
	t.promise("the same, times that of a client of the others alone", "", 1.2, float64(p99)/float64(max(least, 1)))
	t.show("calls as slow as the slow member", "%", 100*float64(slow)/float64(len(all)))
	return nil
}
