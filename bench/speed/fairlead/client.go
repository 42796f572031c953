// Code generated from package official. DO NOT EDIT.

// Package fairlead has our client for the benchmark.
package fairlead

import (
	"context"
	"fmt"

	"github.com/fairlead-go/fairlead/clientv3"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/zap"

	"github.com/fairlead-go/fairlead/bench/speed/side"
)

// New makes a client for the benchmark.
func New(endpoints []string) (*side.Side, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	return &side.Side{
		Get: func(ctx context.Context, key string) error { _, err := c.Get(ctx, key); return err },
		Put: func(ctx context.Context, key, value string) error { _, err := c.Put(ctx, key, value); return err },
		Fill: func(ctx context.Context, keys []string, value string) error {
			var ops []clientv3.Op
			for _, k := range keys {
				ops = append(ops, clientv3.OpPut(k, value))
			}
			_, err := c.Txn(ctx).Then(ops...).Commit()
			return err
		},
		List: func(ctx context.Context, prefix string) (int, error) {
			r, err := c.Get(ctx, prefix, clientv3.WithPrefix())
			if err != nil {
				return 0, err
			}
			return len(r.Kvs), nil
		},
		Watch: func(ctx context.Context, key string) any { return c.Watch(ctx, key) },
		Replay: func(ctx context.Context, prefix string, rev int64, n int) error {
			wctx, cancel := context.WithCancel(ctx)
			defer cancel()
			for r := range c.Watch(wctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(rev)) {
				if r.Err() != nil {
					return r.Err()
				}
				if n -= len(r.Events); n <= 0 {
					return nil
				}
			}
			return fmt.Errorf("%d events are missing: %w", n, ctx.Err())
		},
		Follow: func(ctx context.Context, key string, n int) error {
			for r := range c.Watch(ctx, key) {
				if n -= len(r.Events); n <= 0 || r.Err() != nil {
					return r.Err()
				}
			}
			return ctx.Err()
		},
		One: func(ctx context.Context, prefix string, i int) (*mvccpb.KeyValue, error) {
			r, err := c.Get(ctx, prefix, clientv3.WithPrefix())
			if err != nil {
				return nil, err
			}
			return r.Kvs[i], nil
		},
		Keep: func(ctx context.Context, ttl int64) (int64, error) {
			g, err := c.Grant(ctx, ttl)
			if err != nil {
				return 0, err
			}
			_, err = c.KeepAlive(ctx, g.ID)
			return int64(g.ID), err
		},
		Alive: func(ctx context.Context, lease int64) (bool, error) {
			r, err := c.TimeToLive(ctx, clientv3.LeaseID(lease))
			return err == nil && r.TTL > 0, err
		},
		Close: c.Close,
	}, nil
}
