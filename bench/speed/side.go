package main

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	official "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	ours "github.com/fairlead-go/fairlead/clientv3"
)

// side is one of the two clients.
type side struct {
	get func(ctx context.Context, key string) error
	put func(ctx context.Context, key, value string) error
	// fill puts the values in one transaction.
	fill  func(ctx context.Context, keys []string, value string) error
	list  func(ctx context.Context, prefix string) (int, error)
	watch func(ctx context.Context, key string) any // the channel, for keeping
	// replay reads n events of a prefix from a revision on.
	replay func(ctx context.Context, prefix string, rev int64, n int) error
	// follow reads n events of a key from now on.
	follow func(ctx context.Context, key string, n int) error
	// one lists a prefix and returns the i-th key-value only.
	one func(ctx context.Context, prefix string, i int) (*mvccpb.KeyValue, error)
	// keep grants a lease and keeps it alive; the channel is not read.
	keep  func(ctx context.Context, ttl int64) (int64, error)
	alive func(ctx context.Context, lease int64) (bool, error)
	close func() error
}

func newOfficial(endpoints []string) (*side, error) {
	c, err := official.New(official.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	return &side{
		get: func(ctx context.Context, key string) error { _, err := c.Get(ctx, key); return err },
		put: func(ctx context.Context, key, value string) error { _, err := c.Put(ctx, key, value); return err },
		fill: func(ctx context.Context, keys []string, value string) error {
			var ops []official.Op
			for _, k := range keys {
				ops = append(ops, official.OpPut(k, value))
			}
			_, err := c.Txn(ctx).Then(ops...).Commit()
			return err
		},
		list: func(ctx context.Context, prefix string) (int, error) {
			r, err := c.Get(ctx, prefix, official.WithPrefix())
			if err != nil {
				return 0, err
			}
			return len(r.Kvs), nil
		},
		watch: func(ctx context.Context, key string) any { return c.Watch(ctx, key) },
		replay: func(ctx context.Context, prefix string, rev int64, n int) error {
			wctx, cancel := context.WithCancel(ctx)
			defer cancel()
			for r := range c.Watch(wctx, prefix, official.WithPrefix(), official.WithRev(rev)) {
				if r.Err() != nil {
					return r.Err()
				}
				if n -= len(r.Events); n <= 0 {
					return nil
				}
			}
			return fmt.Errorf("%d events are missing: %w", n, ctx.Err())
		},
		follow: func(ctx context.Context, key string, n int) error {
			for r := range c.Watch(ctx, key) {
				if n -= len(r.Events); n <= 0 || r.Err() != nil {
					return r.Err()
				}
			}
			return ctx.Err()
		},
		one: func(ctx context.Context, prefix string, i int) (*mvccpb.KeyValue, error) {
			r, err := c.Get(ctx, prefix, official.WithPrefix())
			if err != nil {
				return nil, err
			}
			return r.Kvs[i], nil
		},
		keep: func(ctx context.Context, ttl int64) (int64, error) {
			g, err := c.Grant(ctx, ttl)
			if err != nil {
				return 0, err
			}
			_, err = c.KeepAlive(ctx, g.ID)
			return int64(g.ID), err
		},
		alive: func(ctx context.Context, lease int64) (bool, error) {
			r, err := c.TimeToLive(ctx, official.LeaseID(lease))
			return err == nil && r.TTL > 0, err
		},
		close: c.Close,
	}, nil
}

func newFairlead(endpoints []string) (*side, error) {
	c, err := ours.New(ours.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	return &side{
		get: func(ctx context.Context, key string) error { _, err := c.Get(ctx, key); return err },
		put: func(ctx context.Context, key, value string) error { _, err := c.Put(ctx, key, value); return err },
		fill: func(ctx context.Context, keys []string, value string) error {
			var ops []ours.Op
			for _, k := range keys {
				ops = append(ops, ours.OpPut(k, value))
			}
			_, err := c.Txn(ctx).Then(ops...).Commit()
			return err
		},
		list: func(ctx context.Context, prefix string) (int, error) {
			r, err := c.Get(ctx, prefix, ours.WithPrefix())
			if err != nil {
				return 0, err
			}
			return len(r.Kvs), nil
		},
		watch: func(ctx context.Context, key string) any { return c.Watch(ctx, key) },
		replay: func(ctx context.Context, prefix string, rev int64, n int) error {
			wctx, cancel := context.WithCancel(ctx)
			defer cancel()
			for r := range c.Watch(wctx, prefix, ours.WithPrefix(), ours.WithRev(rev)) {
				if r.Err() != nil {
					return r.Err()
				}
				if n -= len(r.Events); n <= 0 {
					return nil
				}
			}
			return fmt.Errorf("%d events are missing: %w", n, ctx.Err())
		},
		follow: func(ctx context.Context, key string, n int) error {
			for r := range c.Watch(ctx, key) {
				if n -= len(r.Events); n <= 0 || r.Err() != nil {
					return r.Err()
				}
			}
			return ctx.Err()
		},
		one: func(ctx context.Context, prefix string, i int) (*mvccpb.KeyValue, error) {
			r, err := c.Get(ctx, prefix, ours.WithPrefix())
			if err != nil {
				return nil, err
			}
			return r.Kvs[i], nil
		},
		keep: func(ctx context.Context, ttl int64) (int64, error) {
			g, err := c.Grant(ctx, ttl)
			if err != nil {
				return 0, err
			}
			_, err = c.KeepAlive(ctx, g.ID)
			return int64(g.ID), err
		},
		alive: func(ctx context.Context, lease int64) (bool, error) {
			r, err := c.TimeToLive(ctx, ours.LeaseID(lease))
			return err == nil && r.TTL > 0, err
		},
		close: c.Close,
	}, nil
}

// both makes the two clients, the official one first.
func both(endpoints []string, do func(sides [2]*side) error) error {
	their, err := newOfficial(endpoints)
	if err != nil {
		return err
	}
	defer their.close()
	mine, err := newFairlead(endpoints)
	if err != nil {
		return err
	}
	defer mine.close()
	return do([2]*side{their, mine})
}
