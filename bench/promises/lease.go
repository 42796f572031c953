package main

// Rows 22 and 23: renewals.

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"

	"github.com/fairlead-go/fairlead/bench/internal/load"
	ours "github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/etcdtest"
)

func strictRenewals(ctx context.Context, t *trial) error {
	c, err := t.cluster(etcdtest.Options{Members: 3})
	if err != nil {
		return err
	}
	r := &renewals{}
	client, err := t.ours(ours.Config{Endpoints: c.Endpoints(), DialOptions: []grpc.DialOption{r.option()}})
	if err != nil {
		return err
	}
	const subscribers = 10
	g, err := client.Grant(ctx, 9)
	if err != nil {
		return err
	}
	var chans []<-chan *ours.LeaseKeepAliveResponse
	for range subscribers {
		ch, err := client.KeepAlive(ours.WithRequireLeader(ctx), g.ID)
		if err != nil {
			return err
		}
		chans = append(chans, ch)
	}
	if _, ok, err := receive(ctx, chans[0], patience); err != nil || !ok {
		return fmt.Errorf("the lease is not renewed: %v", err)
	}
	for _, m := range c.Members()[:2] {
		m.Kill()
	}
	killed := time.Now()
	open := 0
	for _, ch := range chans {
		for {
			_, ok, err := receive(ctx, ch, patience)
			if err != nil {
				open++
			}
			if !ok {
				break
			}
		}
	}
	ended := time.Now()
	load.Wait(ctx, 4*time.Second) // more than a third of the TTL: the next renewal is due by then
	t.under("the only lease has %d keep-alives that require a leader; two of three members killed", subscribers)
	t.promise("keep-alives that go on", "", 0, float64(open))
	t.show("all had ended after", "s", ended.Sub(killed).Seconds())
	t.promise("renewals sent afterwards", "", 0, float64(r.since(ended))).seen("go on")
	return nil
}

func unreadRenewals(ctx context.Context, t *trial) error {
	cl, err := t.cluster(etcdtest.Options{})
	if err != nil {
		return err
	}
	core, logs := observer.New(zapcore.WarnLevel)
	c, err := t.ours(ours.Config{Endpoints: cl.Endpoints(), Logger: zap.New(core)})
	if err != nil {
		return err
	}
	g, err := c.Grant(ctx, 60)
	if err != nil {
		return err
	}
	ch, err := c.KeepAlive(ctx, g.ID)
	if err != nil {
		return err
	}
	// Each further keep-alive renews at once, and all channels of the lease learn of it.
	const n = 100
	var latest int64
	for i := range n {
		p, err := c.Put(ctx, "k", fmt.Sprint(i)) // tells the answers apart
		if err != nil {
			return err
		}
		once, stop := context.WithCancel(ctx)
		also, err := c.KeepAlive(once, g.ID)
		if err != nil {
			stop()
			return err
		}
		_, _, err = receive(ctx, also, patience)
		stop()
		if err != nil {
			return fmt.Errorf("renewal %d: %w", i, err)
		}
		latest = p.Header.Revision
	}
	kept, missing := len(ch), 1
	for range kept {
		r, _, err := receive(ctx, ch, time.Second)
		if err == nil && r.Revision >= latest {
			missing = 0
		}
	}
	ttl, err := c.TimeToLive(ctx, g.ID)
	if err != nil {
		return err
	}
	t.under("%d renewals of a lease whose channel nobody reads", n)
	t.promise("warnings logged", "", 0, float64(logs.Len())).seen(`"queue is full"`)
	t.show("answers kept", "", float64(kept))
	t.promise("latest answers missing among them", "", 0, float64(missing))
	t.promise("leases lost", "", 0, lost(ttl))
	return nil
}

func lost(ttl *ours.LeaseTimeToLiveResponse) float64 {
	if ttl.TTL <= 0 {
		return 1
	}
	return 0
}
