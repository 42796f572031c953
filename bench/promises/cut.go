package main

// Row 17, second part: the loss of one connection does not mean that the cluster is in trouble.

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	official "go.etcd.io/etcd/client/v3"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
	"github.com/fairlead-go/fairlead/internal/faultnet"
)

// lostConnection resets the connection to one of three members while many reads wait for
// their answers over links of 200 ms there and back.
func lostConnection(ctx context.Context, t *trial) error {
	const (
		reads  = 900
		oneWay = 100 * time.Millisecond
		rounds = 3
	)
	cl, err := t.cluster(etcdtest.Options{Members: 3, Proxied: true})
	if err != nil {
		return err
	}
	client, err := t.ours(ours.Config{Endpoints: cl.Endpoints()})
	if err != nil {
		return err
	}
	theirs, err := t.official(official.Config{Endpoints: cl.Endpoints()})
	if err != nil {
		return err
	}
	for _, m := range cl.Members() {
		m.Proxy().Delay(oneWay, faultnet.Both)
	}
	// measure returns how long each read took, in order, and how many failed.
	measure := func(get func(context.Context) error) (took []time.Duration, failed int) {
		for round := range rounds {
			_ = each(reads/10, func(int) error { return get(ctx) }) // connects to all members
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range reads {
				wg.Go(func() {
					rctx, cancel := context.WithTimeout(ctx, patience)
					defer cancel()
					began := time.Now()
					err := get(rctx)
					mu.Lock()
					defer mu.Unlock()
					took = append(took, time.Since(began))
					if err != nil {
						failed++
					}
				})
			}
			load.Wait(ctx, oneWay) // all were sent and none is answered
			cl.Members()[round].Proxy().Reset()
			wg.Wait()
			load.Wait(ctx, time.Second) // it is connected again
		}
		slices.Sort(took)
		return took, failed
	}
	their, theirFailed := measure(func(ctx context.Context) error { _, err := theirs.Get(ctx, "k"); return err })
	mine, failed := measure(func(ctx context.Context) error { _, err := client.Get(ctx, "k"); return err })
	if len(mine) == 0 || len(their) == 0 {
		return fmt.Errorf("nothing was read")
	}
	last := func(l []time.Duration) float64 { return l[len(l)-1].Seconds() }
	p99 := func(l []time.Duration) float64 { return l[len(l)*99/100].Seconds() }
	t.under("%d reads under way over links of 200 ms, one of three connections reset, %d rounds", reads, rounds)
	t.promise("reads that failed", "", 0, float64(failed)).here(float64(theirFailed))
	t.promise("slowest", "s", 0.5, last(mine)).seen("0.34 s").here(last(their))
	t.promise("99th percentile, as part of the official client's", "", 1.2, p99(mine)/p99(their))
	t.show("99th percentile", "s", p99(mine)).here(p99(their))
	return nil
}
