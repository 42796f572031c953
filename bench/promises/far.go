package main

// Rows 25 and 26: long links, and endpoints that are removed.

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

func longLinks(ctx context.Context, t *trial) error {
	for _, l := range []struct{ members, client time.Duration }{
		{members: 300 * time.Millisecond},
		{members: 600 * time.Millisecond},
		{members: 600 * time.Millisecond, client: 1100 * time.Millisecond},
	} {
		if err := longLink(ctx, t, l.members, l.client); err != nil {
			return err
		}
	}
	return nil
}

// longLink measures with the given round trips between the members and to the client.
func longLink(ctx context.Context, t *trial, members, client time.Duration) error {
	cl, err := t.cluster(
		etcdtest.Options{Members: 3, Proxied: true, PeerProxied: true, Heartbeat: members, Election: 10 * members},
	)
	if err != nil {
		return err
	}
	defer cl.Stop()
	for _, m := range cl.Members() {
		m.Proxy().Delay(client/2, faultnet.Both)
		for _, o := range cl.Members() {
			if o != m {
				m.PeerLink(o).Delay(members/2, faultnet.Both)
			}
		}
	}
	var ejected, opened atomic.Int64
	c, err := t.ours(ours.Config{Endpoints: cl.Endpoints(), Hooks: ours.Hooks{
		Member: func(m ours.MemberChange) {
			if m.To == "ejected" {
				ejected.Add(1)
			}
		},
		Stream: func(s ours.StreamInfo) {
			if !s.Ended {
				opened.Add(1)
			}
		},
	}})
	if err != nil {
		return err
	}
	defer c.Close()
	wctx, stop := context.WithCancel(ctx)
	defer stop()
	for i := range 4 {
		<-c.Watch(wctx, fmt.Sprint("watched/", i), ours.WithCreatedNotify())
	}
	g, err := c.Grant(ctx, 60)
	if err != nil {
		return err
	}
	kept, err := c.KeepAlive(wctx, g.ID)
	if err != nil {
		return err
	}
	_, _, silent := receive(ctx, kept, 30*time.Second)
	first := opened.Load()
	const length = 25 * time.Second
	calls := load.Drive(ctx, load.Plan{Rate: 20, For: length, Deadline: 15 * time.Second, Do: mixed(c)})
	t.under("round trips of %v between members, %v to the client, 20 calls/s for %v", members, client, length)
	t.promise("living members ejected", "", 0, float64(ejected.Load()))
	t.promise("writes that failed", "", 0, float64(len(calls.Of(true).Failed())))
	t.promise("reads that failed", "", 0, float64(len(calls.Of(false).Failed())))
	t.promise("streams moved", "", 1, float64(opened.Load()-first))
	t.promise("leases without a renewal for 30 s", "", 0, b2f(silent != nil))
	t.show("calls: median", "s", calls.Quantile(0.5).Seconds())
	t.show("calls: 99th percentile", "s", calls.Quantile(0.99).Seconds())
	return nil
}

// mixed is load.Mixed for a client with hooks.
func mixed(c *ours.Client) func(context.Context, int) (bool, error) {
	return func(ctx context.Context, i int) (bool, error) {
		key := fmt.Sprint("load/", i%20)
		if i%2 == 0 {
			_, err := c.Get(ctx, key)
			return false, err
		}
		_, err := c.Put(ctx, key, "v")
		return true, err
	}
}

func forgotten(ctx context.Context, t *trial) error {
	o, err := t.one(ours.Hooks{})
	if err != nil {
		return err
	}
	events := o.c.Watch(ctx, "watched")
	load.Drive(ctx, load.Plan{Rate: callers, For: time.Second, Deadline: time.Second, Do: mixed(o.c)})
	o.m.Proxy().Strand()
	struck := time.Now()
	plan := load.Plan{Rate: callers, For: 5 * time.Second, Deadline: 20 * time.Second, Do: mixed(o.c)}
	var calls load.Calls
	var wg sync.WaitGroup
	wg.Go(func() { calls = load.Drive(ctx, plan) })
	var delivered time.Duration
	wg.Go(func() {
		wctx, stop := context.WithCancel(ctx)
		defer stop()
		go load.Drive(
			wctx,
			load.Plan{Rate: 20, Deadline: time.Second, Do: func(ctx context.Context, _ int) (bool, error) {
				_, err := o.direct.Put(ctx, "watched", "v")
				return true, err
			}},
		)
		if _, ok, err := receive(ctx, events, 20*time.Second); err != nil || !ok {
			delivered = 20 * time.Second
			return
		}
		delivered = time.Since(struck)
	})
	wg.Wait()
	t.under("the only endpoint forgets its connection, new ones work, %d calls/s", callers)
	var goesOn, wrote time.Duration
	lost := 0
	for _, c := range calls {
		end := c.Made.Add(c.Took).Sub(struck)
		switch {
		case c.Err == nil && (goesOn == 0 || end < goesOn):
			goesOn = end
		case c.Err != nil:
			lost++
			wrote = max(wrote, end)
		}
	}
	t.promise("calls go on after", "s", 2, goesOn.Seconds()).seen("12 s (ours, before)")
	t.promise("the watch delivers after", "s", 2.5, delivered.Seconds())
	t.promise("writes under way have ended after", "s", 4, wrote.Seconds())
	t.show("writes whose outcome is unknown", "", float64(lost))
	return silentLeaves(ctx, t)
}

// silentLeaves measures how long calls on a silent member take if it stays among the endpoints,
// and if it is removed from them.
func silentLeaves(ctx context.Context, t *trial) error {
	longest := func(leaves bool) (time.Duration, error) {
		cl, err := t.cluster(etcdtest.Options{Members: 3, Proxied: true})
		if err != nil {
			return 0, err
		}
		defer cl.Stop()
		silent := cl.Members()[0]
		c, err := t.ours(ours.Config{Endpoints: cl.Endpoints()[:1]}) // so that calls go there
		if err != nil {
			return 0, err
		}
		defer c.Close()
		plan := load.Plan{Rate: callers, For: time.Second, Deadline: 20 * time.Second, Do: mixed(c)}
		load.Drive(ctx, plan)
		c.SetEndpoints(cl.Endpoints()...)
		silent.Proxy().Strand()
		if leaves {
			time.AfterFunc(500*time.Millisecond, func() { c.SetEndpoints(cl.Endpoints()[1:]...) })
		}
		plan.For = 2 * time.Second
		calls := load.Drive(ctx, plan)
		return slices.MaxFunc(calls, func(a, b load.Call) int { return int(a.Took - b.Took) }).Took, nil
	}
	stays, err := longest(false)
	if err != nil {
		return err
	}
	leaves, err := longest(true)
	if err != nil {
		return err
	}
	t.under("a silent member is taken out of the endpoints after 0.5 s")
	t.promise("the longest call, more than if it stays", "s", 2, max(0, (leaves-stays).Seconds()))
	t.show("the longest call", "s", leaves.Seconds()).seen("20 s (ours, before)")
	t.show("the longest call if it stays", "s", stays.Seconds())
	return nil
}
