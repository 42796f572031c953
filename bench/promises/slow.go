package main

// Rows 19 and 20: members that are slow, for a while or for good.

import (
	"context"
	"fmt"
	"slices"
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
	var seen notices
	client, err := t.ours(ours.Config{Endpoints: c.Endpoints(), Hooks: ours.Hooks{Member: seen.hook}})
	if err != nil {
		return err
	}
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
	plan := load.Plan{
		Rate:     callers,
		For:      time.Second,
		Deadline: time.Second,
		Do: func(ctx context.Context, i int) (bool, error) {
			key := fmt.Sprint("load/", i%20)
			if i%2 == 0 {
				_, err := client.Get(ctx, key)
				return false, err
			}
			_, err := client.Put(ctx, key, "v")
			return true, err
		},
	}
	load.Drive(ctx, plan)
	var calls load.Calls
	dctx, stop := context.WithCancel(ctx)
	defer stop()
	plan.For = 0
	var wg sync.WaitGroup
	wg.Go(func() { calls = load.Drive(dctx, plan) })
	// window is the time in which writes count as in flight on a member, see notices.
	type window struct{ from, to time.Time }
	var windows []window
	var longest, noticed time.Duration
	for _, m := range c.Members() {
		start := time.Now()
		if _, err := admin.Defragment(ctx, m.Endpoint); err != nil {
			stop()
			wg.Wait()
			return fmt.Errorf("defragment: %w", err)
		}
		longest = max(longest, time.Since(start))
		if at := seen.after(m.Endpoint, start); !at.IsZero() {
			noticed = max(noticed, at.Sub(start))
			windows = append(windows, window{start.Add(-plan.Deadline), at})
		}
		load.Wait(ctx, time.Second)
	}
	stop()
	wg.Wait()
	inFlight := 0
	failed := calls.Of(true).Failed()
	for _, f := range failed {
		if slices.ContainsFunc(windows, func(w window) bool { return f.Made.After(w.from) && f.Made.Before(w.to) }) {
			inFlight++
		}
	}
	t.under(
		"each of three members with %d MB defragmented, %d calls/s with deadlines of 1 s",
		keys*size/1_000_000,
		callers,
	)
	t.show("longest defragmentation", "s", longest.Seconds())
	t.show("noticed by the client after, at most", "s", noticed.Seconds())
	t.promise("failed reads", "", 0, float64(len(calls.Of(false).Failed())))
	t.show("failed writes that were in flight, or made until then", "", float64(inFlight))
	t.promise("other failed writes", "", 0, float64(len(failed)-inFlight))
	return nil
}

// notices are the times at which a client stopped considering members healthy. A write made before
// that may have been sent to the member, and counts as in flight there.
type notices struct {
	mu   sync.Mutex
	list []notice // guarded by mu, in order
}

type notice struct {
	endpoint string
	at       time.Time
}

func (n *notices) hook(c ours.MemberChange) {
	if c.From != "healthy" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, notice{c.Endpoint, time.Now()})
}

// after returns the first notice of a member after t, zero if there was none.
func (n *notices) after(endpoint string, t time.Time) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, x := range n.list {
		if x.endpoint == endpoint && x.at.After(t) {
			return x.at
		}
	}
	return time.Time{}
}

// slowMember compares with a client that does not know the slow member, at the same time:
// everything else on the machine affects both.
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
	both(time.Second) // connects to all members
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
